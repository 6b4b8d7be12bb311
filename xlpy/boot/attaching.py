"""Attaching and detaching vNVDIMMs of a domain whose guest runs: the process that boots it has to follow.

A vNVDIMM is attached when the emulator has its memory; one that is detached leaves the emulator first, so that its host
memory is nobody's when it is given back. Call these without a transaction: the other process needs the state as well.
"""

from __future__ import annotations

import json
import os
import time

from xlpy.boot.devices import device_name
from xlpy.boot.session import BOARD, OUT, booted
from xlpy.contexts import contextmanager
from xlpy.errors import Conflict, Constraint
from xlpy.private import private
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xlpy.boot.session import Record
    from xlpy.store import Store

SECONDS = 60.0  # how long it may take: staged content is copied


def running(store: Store, domid: int) -> Record | None:
    """The boot that runs a domain, or None.

    Raises:
        Conflict: it is recorded: the trace has the vNVDIMMs of its beginning.
    """
    record = booted(store, domid)
    if record is not None and record.recorded:
        raise Conflict(
            f"{record.name} is booted by process {record.pid} and recorded, with the vNVDIMMs that it had",
            code="XLPY-BOOTED",
            hint="boot it without --record, or change them before",
        )
    return record


def wait_plugged(record: Record, slot: int, gpa: int) -> None:
    """Wait until the emulator has the memory of a vNVDIMM that was attached, or the boot has ended.

    Raises:
        Constraint: the emulator does not take it. Conflict: the boot does not answer.
    """
    name = device_name(slot)

    def plugged(board: dict[str, Any]) -> bool:
        if name in board["failed"]:
            raise Constraint(
                f"the guest of {record.name} cannot get the vNVDIMM while it runs: {board['failed'][name]}",
                code="XLPY-BOOT-QEMU",
                hint="attach it when the guest has ended",
            )
        return bool(board["plugged"].get(name, (None,))[0] == gpa)

    _wait(record, plugged)


@contextmanager
def withdrawn(record: Record, slot: int) -> Iterator[None]:
    """Inside, the emulator does not have a vNVDIMM; afterwards it has it again, unless it was detached.

    Raises:
        Constraint: it cannot be taken out. Conflict: the boot does not answer.
    """
    name = device_name(slot)
    path = record.folder / f"{OUT}{name}"

    def gone(board: dict[str, Any]) -> bool:
        if name in board["failed"]:
            raise Constraint(f"{record.name} is booted and cannot lose {name}: {board['failed'][name]}")
        return name not in board["plugged"]

    try:
        with open(path, "w", encoding="ascii", opener=private) as file:
            file.write(str(os.getpid()))
    except OSError:  # the boot has ended
        yield
        return
    try:
        _wait(record, gone)
        yield
    finally:
        path.unlink(missing_ok=True)


def _wait(record: Record, done: Callable[[dict[str, Any]], bool]) -> None:
    """Wait until what is plugged in is as it should be."""
    deadline = time.monotonic() + SECONDS
    while record.alive:
        try:
            board = json.loads((record.folder / BOARD).read_bytes())
        except OSError:
            board = None  # it is only starting, or ending
        if board is not None and done(board):
            return
        if time.monotonic() > deadline:
            raise Conflict(
                f"process {record.pid}, which boots {record.name}, does not answer", hint=f"kill {record.pid}"
            )
        time.sleep(0.01)
