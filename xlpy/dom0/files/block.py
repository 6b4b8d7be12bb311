"""Block devices: the disks of enabled namespaces, and the parts of them that a partition table names."""

from __future__ import annotations

from xlpy.addr import Spa, Span
from xlpy.dom0.files import BOOT_SECTOR, BOOT_SIGNATURE
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from xlpy.dom0.nvdimm.namespace import Namespace

BLOCK_EXT_MAJOR = 259  # where Linux numbers the disks of drivers without a major of their own


class BlockDevice(NamedTuple):
    """A disk or a partition of one.

    name: the kernel's, such as ``pmem0p1``; number: (major, minor).
    namespace: the name of the one that it shows; disk: name of the whole disk (its own, for a disk).
    partition: its number, 0 for the disk; offset: of its start on the disk, in bytes.
    window: where its bytes lie in host memory; size: bytes (beyond the window in a BTT of many arenas).
    sector: logical block size; dax: whether its file systems can be mapped directly.
    """

    name: str
    number: tuple[int, int]
    namespace: str
    disk: str
    partition: int
    offset: int
    window: Span[Spa]
    size: int
    sector: int
    dax: bool

    def dump(self) -> list[Any]:
        """The record as JSON values."""
        return [[v.start, v.size] if isinstance(v, Span) else v for v in self]

    @classmethod
    def load(cls, values: list[Any]) -> BlockDevice:
        """The record that ``dump`` wrote."""
        made = cls(*values)
        return made._replace(number=(values[1][0], values[1][1]), window=Span(*values[6]))

    @staticmethod
    def minor(values: list[Any]) -> tuple[str, int]:
        """(name, minor number) of the record that ``dump`` wrote."""
        return values[0], values[1][1]

    @staticmethod
    def shown(values: list[Any]) -> str:
        """The namespace of the record that ``dump`` wrote."""
        namespace: str = values[2]
        return namespace


def block_devices(
    read: Callable[[Spa, int], bytes], namespaces: Iterable[Namespace], known: Mapping[str, int] | None = None
) -> tuple[list[BlockDevice], list[str]]:
    """The disks of enabled namespaces, each followed by its partitions, and what is wrong with partition tables.

    Args:
        read: gives bytes of host memory at an address.
        namespaces: in order of their regions.
        known: minor numbers of devices that are there already, by name; new ones get the lowest that are free.
    """
    found: list[BlockDevice] = []
    problems = []
    known = known or {}
    taken = set(known.values())

    def number(name: str) -> tuple[int, int]:
        minor = known.get(name)
        if minor is None:
            minor = next(one for one in range(len(taken) + 1) if one not in taken)
            taken.add(minor)
        return (BLOCK_EXT_MAJOR, minor)

    for one in namespaces:
        if one.disk is None:
            continue
        disk = BlockDevice(
            one.disk,
            number(one.disk),
            one.dev,
            one.disk,
            0,
            0,
            one.data,
            one.size,
            one.sector_size,
            one.dax,
        )
        found.append(disk)

        on_disk = _reader(read, one)
        if one.data.size < BOOT_SECTOR or not on_disk(0, BOOT_SECTOR).endswith(BOOT_SIGNATURE):
            continue  # neither a GPT nor an MBR
        from xlpy.dom0.files.partitions import read_table

        table = read_table(on_disk, one.size, one.sector_size)
        if table.problem:
            problems.append(f"{one.disk}: {table.problem}")
        for entry, offset, size in table.partitions:
            name = f"{one.disk}{'p' * one.disk[-1].isdigit()}{entry}"
            found.append(
                disk._replace(
                    name=name,
                    number=number(name),
                    partition=entry,
                    offset=offset,
                    window=Span(Spa(one.data.start + offset), size),
                    size=size,
                )
            )
    return found, problems


def _reader(read: Callable[[Spa, int], bytes], one: Namespace) -> Callable[[int, int], bytes]:
    """What gives bytes of a disk by their offset on it."""
    if one.mode == "sector":
        from xlpy.dom0.nvdimm.sectors import Sectors

        return Sectors(read, one).read
    return lambda at, length: read(Spa(one.data.start + at), length)
