"""Writing a trace as a recording would have left it."""

from __future__ import annotations

import gzip

from xlpy.powercut.events import encode
from xlpy.powercut.trace import TracedDevice, TraceHeader, Window, write_header

GPA, SIZE = 0x1_0000_0000, 1 << 20


def write_trace(folder, events, size=SIZE, base=b"", cut=None, complete=True):
    """A trace of one vNVDIMM at GPA; ``cut`` shortens its events."""
    folder.mkdir()
    (folder / "events.gz").write_bytes(gzip.compress(encode(events))[:cut])
    with (folder / "base").open("wb") as file:
        file.write(base)
        file.truncate(size)
    window = Window("vnvdimm0", GPA, size, 0, "/mnt/pmem0/vm1.img", [[0x4_0000_0000, size]])
    write_header(folder, TraceHeader("vm1", [window], [TracedDevice("pmem0", "raw", GPA, size)], complete=complete))
