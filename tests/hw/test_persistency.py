"""What a power failure may leave, held against litmus tests of the literature.

Each test is a program of one or two threads, all cells zero at first, and the set of contents that a failure at any
instant of any execution may leave. Programs and verdicts: Raad et al., POPL 2020 (sections 1 and 2); those of
non-temporal stores: Intel SDM volume 1, 10.4.6.2. Cells x and y lie in different lines, x and x2 in one.
"""

from __future__ import annotations

from itertools import product

import pytest

from xlpy.addr import LINE
from xlpy.hw.persistency import Persistency, pieces

X, X2, Y = 0x1000, 0x1008, 0x2000
CELLS = {"x": X, "x2": X2, "y": Y}


def run_thread_op(model, thread, operation):
    words = operation.split()
    address = CELLS.get(words[1]) if len(words) > 1 else None
    match words[0]:
        case "st" | "nt":
            model.store(thread, address, int(words[2]).to_bytes(8, "little"), nontemporal=words[0] == "nt")
        case "rmw":
            model.locked(thread, address, int(words[2]).to_bytes(8, "little"))
        case "clwb":
            model.clwb(thread, address)
        case "clflush":
            model.clflush(thread, address)
        case "sfence":
            model.sfence(thread)
        case "mfence":
            model.mfence(thread)
        case _:
            raise AssertionError(operation)


def replay(schedule, program):
    """The model after a schedule: each entry lets a thread enter its next operation, or one of its buffer drain."""
    model = Persistency(lambda _address, length: bytes(length))
    entered = [0] * len(program)
    for kind, thread, at in schedule:
        if kind == "enter":
            run_thread_op(model, thread, program[thread][entered[thread]])
            entered[thread] += 1
        else:
            model.step(thread, at)
    return model, entered


def outcomes(program, cells):
    """Every content of the cells that a failure may leave, over all executions and instants."""
    found, seen, todo = set(), set(), [()]
    while todo:
        schedule = todo.pop()
        model, entered = replay(schedule, program)
        key = (
            tuple(entered),
            repr([(a, line.stores, line.durable) for a, line in sorted(model.lines.items())]),
            repr(model._buffers),
            repr(model._flushing),
        )
        if key in seen:
            continue
        seen.add(key)
        lines = sorted(model.lines)
        for chosen in product(*(range(model.lines[a].durable, len(model.lines[a].stores) + 1) for a in lines)):
            image = dict(model.image(dict(zip(lines, chosen, strict=True))))
            values = []
            for cell in cells:
                address = CELLS[cell]
                line = image.get(address - address % LINE, bytes(LINE))
                values.append(int.from_bytes(line[address % LINE :][:8], "little"))
            found.add(tuple(values))
        for thread, operations in enumerate(program):
            if entered[thread] < len(operations):
                todo.append((*schedule, ("enter", thread, 0)))
            todo += [(*schedule, ("drain", thread, at)) for at in model.ready(thread)]
    return found


LITMUS = [
    # (name, program, cells, what a failure may leave)
    ("two lines persist in any order", [["st x 1", "st y 1"]], "x y", {(0, 0), (1, 0), (0, 1), (1, 1)}),
    ("one line persists in order", [["st x 1", "st x2 1"]], "x x2", {(0, 0), (1, 0), (1, 1)}),
    ("clflush is ordered with later stores", [["st x 1", "clflush x", "st y 1"]], "x y", {(0, 0), (1, 0), (1, 1)}),
    (
        "clwb alone orders nothing",
        [["st x 1", "clwb x", "st y 1"]],
        "x y",
        {(0, 0), (1, 0), (0, 1), (1, 1)},
    ),
    (
        "clwb and sfence order",
        [["st x 1", "clwb x", "sfence", "st y 1"]],
        "x y",
        {(0, 0), (1, 0), (1, 1)},
    ),
    (
        "sfence without a flush orders nothing",
        [["st x 1", "sfence", "st y 1"]],
        "x y",
        {(0, 0), (1, 0), (0, 1), (1, 1)},
    ),
    (
        "a flush of the other line orders nothing",
        [["st x 1", "clwb y", "sfence", "st y 1"]],
        "x y",
        {(0, 0), (1, 0), (0, 1), (1, 1)},
    ),
    (
        "clwb does not run ahead of its own line's store",
        [["st x 1", "clwb x", "mfence", "st y 1"]],
        "x y",
        {(0, 0), (1, 0), (1, 1)},
    ),
    (
        "clwb runs ahead of clflush of another line",
        [["st y 1", "st x 1", "clwb x", "clflush y", "st x2 1"]],
        "x x2 y",
        {(0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 0, 1), (1, 1, 1)},
    ),
    (
        "a locked instruction is a fence",
        [["st x 1", "clwb x", "rmw y 1"]],
        "x y",
        {(0, 0), (1, 0), (1, 1)},
    ),
    (
        "a locked instruction fences what follows",
        [["st x 1", "clwb x", "rmw x2 1", "st y 1"]],
        "x y",
        {(0, 0), (1, 0), (1, 1)},
    ),
    ("non-temporal stores wait for a fence", [["nt x 1", "st y 1"]], "x y", {(0, 0), (1, 0), (0, 1), (1, 1)}),
    ("a fence makes non-temporal stores durable", [["nt x 1", "sfence", "st y 1"]], "x y", {(0, 0), (1, 0), (1, 1)}),
    (
        "store buffers hold stores back, in order",
        [["st x 1", "st x2 1"], ["st y 1"]],
        "x x2 y",
        {(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 1)},
    ),
    (
        "a fence of another thread is none of this one's",
        [["st x 1", "clwb x", "st y 1"], ["sfence"]],
        "x y",
        {(0, 0), (1, 0), (0, 1), (1, 1)},
    ),
]


@pytest.mark.parametrize(("program", "cells", "allowed"), [row[1:] for row in LITMUS], ids=[row[0] for row in LITMUS])
def test_litmus(program, cells, allowed):
    assert outcomes(program, cells.split()) == allowed


def test_with_eadr_nothing_that_left_the_buffer_is_lost():
    model = Persistency(lambda _address, length: bytes(length), caches_survive=True)
    model.store(0, X, b"\x01")
    assert model.states() == 1
    assert model.lines == {}  # it is still in the store buffer, and that is lost
    model.drain(0)
    assert dict(model.image({}))[X][:1] == b"\x01"


@pytest.mark.parametrize(
    ("address", "data", "parts"),
    [
        (0, b"12345678", [(0, b"12345678")]),
        (4, b"12345678", [(4, b"1234"), (8, b"5678")]),
        (60, b"12345678", [(60, b"1234"), (64, b"5678")]),
        (7, b"1", [(7, b"1")]),
        (0, b"", []),
        (0, bytes(16), [(0, bytes(8)), (8, bytes(8))]),
    ],
)
def test_what_is_never_torn(address, data, parts):
    assert list(pieces(address, data)) == parts


def test_states_are_counted_and_settled_lines_forgotten():
    model = Persistency(lambda _address, length: bytes(length))
    for address in (X, X2, Y):
        model.store(0, address, b"\x01")
    model.drain(0)
    assert model.states() == 3 * 2
    model.clwb(0, X)
    model.drain(0)
    model.settle()
    assert model.states() == 6  # the write-back waits for its fence
    model.mfence(0)
    assert model.states() == 2
    model.settle()
    assert list(model.lines) == [Y]
