"""Guest memory, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from case import Case

from xlpy.addr import Gpa
from xlpy.host import Host
from xlpy.toolstack.config.domain_config import load_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOCK = 32 << 20


def cases(folder: Path) -> Iterator[Case]:
    """Bulk copies to and from persistent memory and RAM."""
    host = Host.make(folder / "memory", None)
    host.create(load_config('name="m"; type="hvm"; memory=512; vnvdimm=["/mnt/pmem0/vm1.img"]', "m.cfg"))
    domain = host.domain("m")
    data = bytes(range(256)) * (BLOCK >> 8)
    other = bytearray(data)
    plain = memoryview(other)  # a bytearray itself would copy what is assigned to a slice first
    for what, gpa in (("pmem", domain.record.vnvdimms[0].gpa), ("ram", 64 << 20)):
        domain.memory.write(Gpa(gpa), data)
        yield Case(
            f"memory read, {what}, 32 MiB", "bytes(bytearray)", 0.8,
            lambda at=gpa: domain.memory.read(Gpa(at), BLOCK), lambda: bytes(other), least=True, runs=30,
        )  # fmt: skip
        yield Case(
            f"memory write, {what}, 32 MiB", "memoryview(bytearray)[:] =", 0.8,
            lambda at=gpa: domain.memory.write(Gpa(at), data), lambda: plain.__setitem__(slice(None), data),
            least=True, runs=30,
        )  # fmt: skip
