"""From an RSDP to every table, as an operating system finds them (ACPI 6.5, 5.2.5 to 5.2.10)."""

from __future__ import annotations

from xlpy.errors import FormatError
from xlpy.firmware.acpi.header import HEADER_SIZE, verify
from xlpy.limits import GUEST_ENTRIES, GUEST_TABLES
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Read = Callable[[int, int], bytes]  # physical address, length

TABLE_LIMIT = 4 << 20  # a longer table is taken for garbage

_RSDP = b"RSD PTR "
_FADT_LINKS = (("FACS", 36, 132), ("DSDT", 40, 140))  # signature, offset of the 32-bit and of the 64-bit address


class Found(NamedTuple):
    """A table in memory: its signature (``RSDP`` for the root pointer), physical address, and bytes."""

    signature: str
    address: int
    data: bytes


def find_rsdp(read: Read) -> int:
    """Look for the RSDP where a BIOS puts it (5.2.5.1): the first KiB of the EBDA, then 0xE0000 to 0xFFFFF.

    Returns:
        its physical address.

    Raises:
        FormatError: there is none with a right checksum.
    """
    ebda = int.from_bytes(read(0x40E, 2), "little") << 4
    for start, length in ((ebda, 0x400), (0xE0000, 0x20000)):
        area = read(start, length) if start else b""
        at = area.find(_RSDP)
        while at >= 0:
            if at % 16 == 0 and verify(area[at : at + 20]):
                return start + at
            at = area.find(_RSDP, at + 1)
    raise FormatError(
        "no RSDP in the EBDA and in 0xE0000-0xFFFFF",
        path="rsdp",
        hint="the machine has no ACPI, or its firmware has not run",
    )


def walk(
    read: Read, rsdp_address: int, *, everything: bool = False, problems: list[FormatError] | None = None
) -> list[Found]:
    """Every table that can be reached: RSDP, RSDT, XSDT, then the XSDT's (without one, the RSDT's) tables in order.

    FACS and DSDT follow their FADT. Checksums of other tables than the roots are not looked at.

    Args:
        read: reads physical memory.
        rsdp_address: where the RSDP is.
        everything: also tables that only the RSDT lists, which an operating system that has an XSDT never sees.
        problems: where to put what is wrong, and go on; without it the first trouble is raised.

    Raises:
        FormatError: an address that leads to no table, with the address in the message.
    """
    walker = _Walker(read, problems)
    walker.roots(rsdp_address, everything)
    return walker.found


class _Walker:
    def __init__(self, read: Read, problems: list[FormatError] | None) -> None:
        self.read, self.problems = read, problems
        self.found: list[Found] = []
        self.seen: set[int] = set()
        self.left = GUEST_TABLES  # bytes that may still be read
        self.full = False

    def trouble(self, message: str, path: str) -> None:
        error = FormatError(message, path=path)
        if self.problems is None:
            raise error
        self.problems.append(error)

    def roots(self, address: int, everything: bool) -> None:
        data = self.read(address, 36)
        if data[:8] != _RSDP or not verify(data[:20]):
            self.trouble(f"no RSDP with a right checksum at {address:#x}", "rsdp")
            return
        lists = [("RSDT", _number(data, 16, 4), 4)]
        if data[15] >= 2:
            if _number(data, 20, 4) != 36 or not verify(data):
                self.trouble(f"rsdp at {address:#x}: length or extended checksum is wrong", "rsdp.extended_checksum")
            lists.append(("XSDT", _number(data, 24, 8), 8))
        else:
            data = data[:20]
        self.found.append(Found("RSDP", address, data))
        roots = [(self.table(where, name), width) for name, where, width in lists if where]
        tables = [(root, width) for root, width in reversed(roots) if root]
        if not tables:
            self.trouble(f"rsdp at {address:#x}: it leads to no RSDT or XSDT", "rsdp.xsdt_address")
        for root, width in tables if everything else tables[:1]:
            if not verify(root.data):
                self.trouble(f"{root.signature.lower()} at {root.address:#x}: bad checksum", root.signature.lower())
            for entry in _numbers(root.data, width):
                if self.full:
                    break
                self.entry(entry, root.signature)

    def entry(self, address: int, root: str) -> None:
        table = self.table(address, None, f"{root.lower()}.entries")
        if not table or table.signature != "FACP":
            return
        for name, narrow, wide in _FADT_LINKS:
            target = _number(table.data, wide, 8) or _number(table.data, narrow, 4)
            if target:
                self.table(target, name, f"facp.{name.lower()}")

    def table(self, address: int, wanted: str | None, path: str = "rsdp") -> Found | None:
        """The table at ``address``, unless it was met already, or too much was read."""
        if address in self.seen or self.full:
            return None
        if len(self.seen) == GUEST_ENTRIES:
            self.full = True
            self.trouble(f"{path}: more than {GUEST_ENTRIES} tables; no further ones are looked at", path)
            return None
        self.seen.add(address)
        head = self.read(address, HEADER_SIZE)
        signature, length = head[:4].decode("latin-1"), _number(head, 4, 4)
        if (wanted or signature) != signature or not (signature.isascii() and signature.isalnum()):
            self.trouble(f"{path}: {wanted or 'a table'} is required at {address:#x}, found {head[:4]!r}", path)
            return None
        if not HEADER_SIZE <= length <= TABLE_LIMIT:
            self.trouble(
                f"{path}: {signature} at {address:#x} claims a length of {length}", f"{signature.lower()}.length"
            )
            return None
        self.left -= length
        if self.left < 0:
            self.full = True
            self.trouble(f"{path}: more than {GUEST_TABLES} bytes of tables; no further ones are read", path)
            return None
        found = Found(signature, address, self.read(address, length))
        self.found.append(found)
        return found


def _number(data: bytes, at: int, width: int) -> int:
    return int.from_bytes(data[at : at + width], "little")


def _numbers(data: bytes, width: int) -> Iterator[int]:
    return (_number(data, at, width) for at in range(HEADER_SIZE, len(data) - width + 1, width))
