"""The root tables: RSDP, RSDT and XSDT (ACPI 6.5, 5.2.5, 5.2.7 and 5.2.8)."""

from __future__ import annotations

from typing import Unpack

from construct import Const, Int8ul, Int32ul, Int64ul, Padding, Struct

from xlpy.errors import FormatError
from xlpy.firmware.acpi.header import verify
from xlpy.firmware.acpi.sdt import TableFormat, ToEnd, build, parse, set_checksum, text
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.firmware.acpi.header import Identity

RSDP1_SIZE, RSDP_SIZE = 20, 36

RSDP1 = Struct(
    "signature" / Const(b"RSD PTR "),
    "checksum" / Int8ul,
    "oem_id" / text(6),
    "revision" / Int8ul,
    "rsdt_address" / Int32ul,
)
RSDP2 = RSDP1 + Struct(
    "length" / Int32ul,
    "xsdt_address" / Int64ul,
    "extended_checksum" / Int8ul,
    Padding(3),
)
assert (RSDP1.sizeof(), RSDP2.sizeof()) == (RSDP1_SIZE, RSDP_SIZE)

RSDT = TableFormat("RSDT", Struct("entries" / ToEnd(Int32ul)))
XSDT = TableFormat("XSDT", Struct("entries" / ToEnd(Int64ul)))


class Rsdp(NamedTuple):
    """The root pointer; addresses are physical, 0 when there is no such table."""

    rsdt_address: int
    xsdt_address: int = 0
    oem_id: str = "Xen"
    revision: int = 2


def build_rsdp(rsdp: Rsdp) -> bytes:
    """36 bytes with both checksums, or 20 bytes for revision 0 and 1."""
    short = rsdp.revision < 2
    fields = rsdp._asdict() | {"checksum": 0, "length": RSDP_SIZE, "extended_checksum": 0}
    data = set_checksum(build(RSDP1 if short else RSDP2, fields, "rsdp"), 8, RSDP1_SIZE)
    return data if short else set_checksum(data, 32)


def parse_rsdp(data: bytes) -> Rsdp:
    """Read an RSDP from its first byte on; ``data`` may go on behind it.

    Raises:
        FormatError: not an RSDP, too short, or a bad checksum.
    """
    head = parse(RSDP1, data[:RSDP1_SIZE], "rsdp")
    if not verify(data[:RSDP1_SIZE]):
        raise FormatError("rsdp: the first 20 bytes do not sum to 0", offset=8, path="rsdp.checksum")
    if head.revision < 2:
        return Rsdp(head.rsdt_address, 0, head.oem_id, head.revision)
    full = parse(RSDP2, data[:RSDP_SIZE], "rsdp")
    if not RSDP_SIZE <= full.length <= len(data) or not verify(data[: full.length]):
        raise FormatError(
            f"rsdp: the {full.length} bytes that it claims do not sum to 0", offset=32, path="rsdp.extended_checksum"
        )
    return Rsdp(full.rsdt_address, full.xsdt_address, full.oem_id, full.revision)


def build_rsdt(entries: Sequence[int], **identity: Unpack[Identity]) -> bytes:
    """An RSDT of physical addresses below 4 GiB."""
    return RSDT.build({"entries": entries}, **identity)


def build_xsdt(entries: Sequence[int], **identity: Unpack[Identity]) -> bytes:
    """An XSDT of physical addresses."""
    return XSDT.build({"entries": entries}, **identity)
