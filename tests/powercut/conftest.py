"""Traces that are written here, as a recording would have left them."""

from __future__ import annotations

import pytest
from traces import GPA, SIZE, write_trace

from xlpy.powercut.events import TraceEvent
from xlpy.powercut.trace import Trace


def program(text, vcpu=0):
    """Events of a small language: `st 40 1` (8 bytes at GPA + 0x40), nt, lock, clwb, clflush, fence, mark."""
    names = {"st": "store", "nt": "nontemporal", "lock": "locked", "fence": "sfence"}
    events = []
    for line in text.split(";"):
        word, *rest = line.split()
        kind = names.get(word, word)
        if kind in ("store", "nontemporal", "locked"):
            events.append(TraceEvent(kind, vcpu, GPA + int(rest[0], 16), int(rest[1], 16).to_bytes(8, "little")))
        elif kind in ("clwb", "clflush", "clflushopt"):
            events.append(TraceEvent(kind, vcpu, GPA + int(rest[0], 16)))
        else:
            events.append(TraceEvent(kind, vcpu, number=int(rest[0]) if rest else 0))
    return events


@pytest.fixture
def make_trace(tmp_path):
    """make_trace("st 0 1; clwb 0; fence", size=..., cut=...) is an opened trace of these events."""

    def make(events, size=SIZE, base=b"", cut=None, complete=True):
        folder = tmp_path / "trace"
        write_trace(folder, program(events) if isinstance(events, str) else events, size, base, cut, complete)
        return Trace(folder)

    return make
