"""Namespaces: how Dom0 uses a region, as its info block on media says. ``detect`` finds it there."""

from __future__ import annotations

from xlpy.addr import Spa, Span
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xlpy.dom0.nvdimm.memory import Readable


# By ndctl's word for a mode: sysfs' word, and the class of the device that claims the namespace
MODES = {"raw": ("raw", ""), "fsdax": ("memory", "pfn"), "sector": ("safe", "btt"), "devdax": ("dax", "dax")}
MODE_OF = {sysfs: word for word, (sysfs, _) in MODES.items()}
DAX_MAJOR = 252  # what Linux gives to dax, the first dynamic user of character devices with more than 256 minors


class Namespace(NamedTuple):
    """One namespace as the driver enabled it. Numbers are bytes and host physical addresses.

    region: its number, as in ``namespace0.0``; span: all of it.
    mode: ``raw``, ``fsdax``, ``sector``, or ``devdax``.
    map: ``dev`` or ``mem`` in fsdax mode, else None. uuid: of the info block, empty without one.
    data: what the block device shows; in sector mode the blocks of the first arena while they still lie in order.
    reserve: room for another owner's page structures, or None.
    seal: (address, checksum) of the info block that said all this; None in raw mode.
    problem: why the namespace is disabled, or None.
    id: S of ``namespaceR.S``; name, label: of its label, the name and the uuid as text, empty without one.
    holder: the btt, pfn or dax device that has claimed it, or empty.
    """

    region: int
    span: Span[Spa]
    mode: str
    data: Span[Spa]
    map: str | None = None
    uuid: str = ""
    align: int = 0
    sector_size: int = 512
    size: int = 0
    reserve: Span[Spa] | None = None
    seal: tuple[int, int] | None = None
    problem: str | None = None
    id: int = 0
    name: str = ""
    label: str = ""
    holder: str = ""

    @property
    def dev(self) -> str:
        """The name on the nd bus."""
        return f"namespace{self.region}.{self.id}"

    @property
    def disk(self) -> str | None:
        """The name of its block device; None when it has none."""
        if self.problem or self.mode == "devdax":
            return None
        return f"pmem{self.region}{f'.{self.id}' * bool(self.id)}{'s' * (self.mode == 'sector')}"

    @property
    def char(self) -> str | None:
        """The name of its devdax device; None when it has none."""
        return f"dax{self.region}.{self.id}" if self.mode == "devdax" and not self.problem else None

    @property
    def number(self) -> tuple[int, int]:
        """(major, minor) of the devdax device."""
        return (DAX_MAJOR, self.region + 256 * self.id)

    @property
    def dax(self) -> bool:
        """Whether file systems on it can map their files directly (``queue/dax``)."""
        return self.mode == "fsdax"

    def dump(self) -> list[Any]:
        """The record as JSON values."""
        return [[v.start, v.size] if isinstance(v, Span) else v for v in self]

    @classmethod
    def load(cls, values: list[Any]) -> Namespace:
        """The record that ``dump`` wrote."""
        made = cls(*values)
        return made._replace(
            span=Span(*values[1]),
            data=Span(*values[3]),
            reserve=Span(*values[9]) if values[9] else None,
            seal=(values[10][0], values[10][1]) if values[10] else None,
        )


def place_of(values: list[Any]) -> tuple[int, int]:
    """(region, id) of the record that ``dump`` wrote."""
    return values[0], values[12]


def revalidate(memory: Readable, known: Namespace) -> Namespace:
    """The namespace as it is now: disabled, with the reason, when the info block it was enabled by is not there.

    Raw namespaces have no block and stay as they are.
    """
    if known.seal is None or known.problem:
        return known
    from xlpy.dom0.nvdimm.infoblock import BLOCK, InfoBlockError, parse_pfn

    place, seal = known.seal
    try:
        data = memory.read(Spa(place), BLOCK)
        if known.mode == "sector":
            from xlpy.dom0.nvdimm.btt import parse_btt

            parse_btt(data, bytes.fromhex(known.label.replace("-", "")))
        else:
            parse_pfn(data)
    except InfoBlockError as error:
        problem = error.message
    else:
        if checksum(data) == seal:
            return known
        problem = "the info block is not the one that the namespace was enabled by"
    return known._replace(
        mode="raw", data=known.span, size=known.span.size, map=None, uuid="", align=0, reserve=None, problem=problem
    )


def checksum(block: bytes) -> int:
    """The checksum field of an info block."""
    from xlpy.dom0.nvdimm.infoblock import CHECKSUM

    return int.from_bytes(block[CHECKSUM:], "little")
