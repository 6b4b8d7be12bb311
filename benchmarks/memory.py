"""Guest memory, in this process."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from case import Case

from xlpy.addr import Gpa
from xlpy.host import Host
from xlpy.toolstack.config.domain_config import load_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from version import Version

BLOCK = 32 << 20


def both(version: Version, kind: str) -> tuple[Callable[[], object], ...]:
    """Reading and writing of one kind of memory, then the same of a bytearray."""
    domain = machine(version.folder / "memory").domain("m")
    data = bytes(range(256)) * (BLOCK >> 8)
    other = bytearray(data)
    plain = memoryview(other)  # a bytearray itself would copy what is assigned to a slice first
    gpa = Gpa(domain.record.vnvdimms[0].gpa if kind == "pmem" else 64 << 20)
    domain.memory.write(gpa, data)
    return (
        lambda: domain.memory.read(gpa, BLOCK),
        lambda: domain.memory.write(gpa, data),
        lambda: bytes(other),
        lambda: plain.__setitem__(slice(None), data),
    )


@cache
def machine(root: Path) -> Host:
    """A host with a domain."""
    host = Host.make(root, None)
    host.create(load_config('name="m"; type="hvm"; memory=512; vnvdimm=["/mnt/pmem0/vm1.img"]', "m.cfg"))
    return host


CASES = [
    Case(
        f"memory {what}, {kind}, 32 MiB",
        peer,
        0.8,
        lambda version, kind=kind, at=at: both(version, kind)[at::2],
        least=True,
        runs=30,
    )
    for kind in ("pmem", "ram")
    for at, (what, peer) in enumerate((("read", "bytes(bytearray)"), ("write", "memoryview(bytearray)[:] =")))
]
