"""Make what limits.sh names: configurations with many iomem entries on the NVDIMM, and files of tables."""

import struct
from pathlib import Path

FIRST, PAGES, GUEST = 0x14_0000, 0x8000, 0x50_0000  # frames: of the NVDIMM, and in the guest
BASE = 'name = "limit"\ntype = "hvm"\nmemory = 64\nvga = "none"\nvnc = 0\n'


def table(number: int, size: int) -> bytes:
    """A table of the given size that no firmware knows, with a right checksum."""
    head = struct.pack("<4sIBB6s8sI4sI", b"OEM%d" % (number % 10), size, 1, 0, b"XLPY  ", b"LIMITS  ", 1, b"XLPY", 1)
    body = bytearray(head.ljust(size, b"\0"))
    body[9] = -sum(body) & 0xFF
    return bytes(body)


def config(name: str, entries: list[str]) -> None:
    quoted = ", ".join(f'"{entry}"' for entry in entries)
    Path(f"{name}.cfg").write_text(f"{BASE}iomem = [ {quoted} ]\n")


config("one", [f"{FIRST:x},{PAGES // 2:x}@{GUEST:x}"])
for count in (1000, 4000):
    config(f"entries{count}", [f"{FIRST + 2 * n:x},1@{GUEST + n:x}" for n in range(count)])
Path("blob.cfg").write_text(BASE)
for kib in (256, 1024):
    Path(f"blob{kib}").write_bytes(table(1, kib << 10))
for count in (16, 17):
    Path(f"tables{count}").write_bytes(b"".join(table(n, 64) for n in range(count)))
