"""Traces that are written here, as a recording would have left them."""

from __future__ import annotations

import gzip

import pytest

from xlpy.powercut.events import TraceEvent, encode
from xlpy.powercut.trace import Trace, TracedDevice, TraceHeader, Window, write_header

GPA, SIZE = 0x1_0000_0000, 1 << 20


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
        folder.mkdir()
        raw = gzip.compress(encode(program(events) if isinstance(events, str) else events))
        (folder / "events.gz").write_bytes(raw[:cut])
        with (folder / "base").open("wb") as file:
            file.write(base)
            file.truncate(size)
        window = Window("vnvdimm0", GPA, size, 0, "/mnt/pmem0/vm1.img", [[0x4_0000_0000, size]])
        write_header(folder, TraceHeader("vm1", [window], [TracedDevice("pmem0", "raw", GPA, size)], complete=complete))
        return Trace(folder)

    return make
