r"""Loading what the device model passes in the dm-acpi area.

Two keys announce the area, which lies in RAM below 4 GiB. Tables in it are appended as they are; of each namespace
device one SSDT is made, in ``\_SB``. Whatever would collide with a table or a name that firmware builds itself stops
the boot, and so does everything that is malformed: a guest that silently lacks a device is worse than one that does
not start.
"""

from __future__ import annotations

from xlpy.addr import LIMIT, PAGE, PAGE_SHIFT, Gfn, Gpa, Span, pages
from xlpy.errors import FirmwareStopped
from xlpy.firmware.acpi.encoding import name_string, packaged
from xlpy.firmware.acpi.header import build_table
from xlpy.firmware.dm_acpi import TABLE, EntryCheck, split_stream
from xlpy.firmware.hvmloader.board import AML_CREATOR
from xlpy.firmware.hvmloader.stop import stop
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from xlpy.firmware.dm_acpi import DmAcpiEntry
    from xlpy.firmware.hvmloader.memory import FirmwareMemory
    from xlpy.firmware.platform import Platform

ADDRESS_KEY, LENGTH_KEY = "hvmloader/dm-acpi/address", "hvmloader/dm-acpi/length"

# Signatures that firmware builds, whether it does for this guest or not. SSDT is not one: there may be many. Nor is
# SRAT: a device model that has memory of its own knows more than firmware does, so its table takes the place of ours.
BUILTIN_TABLE_SIGS = frozenset(
    ("RSDT", "XSDT", "FACP", "FACS", "DSDT", "APIC", "HPET", "WAET", "TCPA", "TPM2", "SLIT", "RSD ")
)

# Names of devices and processors anywhere in firmware's tables. Only those in \_SB would really clash with a new
# device.
BUILTIN_ND_NAMES = frozenset(
    (
        *("MEM0", "PCI0", "AC__", "BAT0", "BAT1", "TPM_", "CONV"),
        *("VGA_", "HPET", "ISA_", "HP0_", "LNKA", "LNKB", "LNKC", "LNKD"),
        *("SYSR", "PIC_", "DMA0", "TMR_", "RTC_", "SPKR", "PS2M", "PS2K", "FDC0", "UAR1", "UAR2", "LTP1", "VGID"),
    )
)
_HEX = "0123456789ABCDEF"
# more of them, by what each of their characters is: PR00 to PR7F, S1 to S31, S00 to SFF
_NUMBERED = (("P", "R", _HEX[:8], _HEX), ("S", _HEX[1:10], "_", "_"), ("S", _HEX, _HEX, "_"))

# What else has a name in \_SB: regions, fields, methods. A device of that name would be lost to the OS just the same.
BUILTIN_SB_NAMES = frozenset(
    (
        *("BIOS", "UAR1", "UAR2", "LTP1", "HPET", "NCPU", "PMIN", "PLEN", "MSUA", "MAPA", "VGIA", "LMIN", "HMIN"),
        *("LLEN", "HLEN", "MSUM", "MSU_", "PMAT", "PRST", "PRS_", "PRSC"),
        *("DBGA", "DBGB", "DBGC", "DBGD", "DBG1", "DBG2", "DBG3", "DBG4", "PRT1", "PRT2", "PRT3", "PB2_", "PB2A"),
        *("P86_", "P88_", "SYNC", "BUF0", "BUF1", "BUFA", "BUFB", "ACQR", "INIT", "WPRT", "REL_", "BIFP", "BIF_"),
        *(f"HLP{n:X}" for n in range(1, 11)),
    )
)

_SCOPE, _DEVICE = b"\x10", b"\x5b\x82"  # opcodes (ACPI 6.5, 20.2.5.1 and 20.2.5.2)


class DmAcpi(NamedTuple):
    """The two keys as they are, read once while xenstore is open."""

    address: str | None
    length: str | None

    @property
    def announced(self) -> bool:
        """Whether there is either of the keys."""
        return bool(self.address or self.length)

    def protect(self) -> Span[Gfn]:
        """The pages that the area takes, when the keys make sense; none otherwise. For RAM that must not move."""
        try:
            area = self.area()
        except FirmwareStopped:
            return Span(Gfn(0), 0)
        return Span(Gfn(area.start >> PAGE_SHIFT), pages(area.size))

    def area(self) -> Span[Gpa]:
        """The area that the keys announce.

        Raises:
            FirmwareStopped: one key without the other, not a number, length 0, an end beyond 2**64, or an address
                that is not page aligned.
        """
        if not self.address or not self.length:
            missing, there = (LENGTH_KEY, ADDRESS_KEY) if self.address else (ADDRESS_KEY, LENGTH_KEY)
            raise _key_error(f"key {there} is set, {missing} is not")
        address, length = _number(ADDRESS_KEY, self.address), _number(LENGTH_KEY, self.length)
        if length == 0:
            raise _key_error(f"{LENGTH_KEY} is 0")
        if address + length > LIMIT:
            raise _key_error(f"{length:#x} bytes at {address:#x} reach beyond 2**64")
        if address % PAGE:
            raise _key_error(f"address {address:#x} is not a multiple of {PAGE}")
        return Span(Gpa(address), length)


def read_keys(platform: Platform) -> DmAcpi:
    """What xenstore says; empty values count as missing."""
    return DmAcpi(platform.xenstore(ADDRESS_KEY), platform.xenstore(LENGTH_KEY))


def _number(key: str, value: str) -> int:
    base, digits = (16, value[2:]) if value[:2] in ("0x", "0X") else (10, value)
    try:
        if (base == 10 and digits[0] == "0" != digits) or not (digits.isascii() and digits.isalnum()):
            raise ValueError  # int() takes more: leading zeros, signs, blanks, underscores
        return int(digits, base)
    except ValueError:
        raise _key_error(f"{key} is {value!r}, required a number, decimal or with 0x") from None


def read(memory: FirmwareMemory, keys: DmAcpi) -> list[DmAcpiEntry]:
    """The entries of the area, in order.

    Args:
        memory: where the area is.
        keys: the area's keys.

    Raises:
        FirmwareStopped: bad keys, an area that is not RAM below 4 GiB or is larger than all tables may be, a collision
            with a table or name of hvmloader's own.
        FormatError: a malformed entry.
    """
    area = keys.area()
    room = memory.layout.acpi_end - memory.layout.acpi_start
    if not memory.holds(area):
        raise _key_error(f"the area {area} does not lie in RAM between 1 MiB and {memory.low_end:#x}")
    if area.size > room:
        raise _key_error(f"the area has {area.size:#x} bytes, there is room for {room:#x} bytes of tables")
    check = EntryCheck()
    found = []
    for offset, entry in split_stream(memory.platform.read(area.start, area.size)):
        _check_collision(entry)
        found.append(check(entry, offset))
    return found


def tables(entries: Iterable[DmAcpiEntry], taken: set[str]) -> Iterator[bytes]:
    """The tables that the device model's entries come to.

    Args:
        entries: as ``read`` found them.
        taken: signatures of tables that the toolstack passed through.

    Raises:
        FirmwareStopped: a collision with one of these.
    """
    for entry in entries:
        if entry.type == TABLE and entry.label in taken and entry.label != "SSDT":
            hint = "take it out of the acpi_firmware file"
            raise _collision(f"table {entry.label!r} came with acpi_firmware", hint)
        yield entry.blob if entry.type == TABLE else namespace_device(entry.label, entry.body)


def namespace_device(name: str, body: bytes) -> bytes:
    r"""``Scope (\_SB) { Device (name) { body } }``: how a device that the device model passed becomes a table.

    Args:
        name: 4 characters.
        body: AML, which may be empty; it is not looked into.
    """
    scope = packaged(_SCOPE, name_string("\\_SB"), packaged(_DEVICE, name_string(name), body))
    return build_table("SSDT", scope, 2, **AML_CREATOR)


def is_builtin_device(name: str) -> bool:
    """Whether firmware's tables have a device or processor of this name of 4 characters."""
    numbered = any(all(one in those for one, those in zip(name, form, strict=True)) for form in _NUMBERED)
    return numbered or name in BUILTIN_ND_NAMES


def _check_collision(entry: DmAcpiEntry) -> None:
    label = entry.label
    if entry.type == TABLE:
        if label in BUILTIN_TABLE_SIGS:
            raise _collision(f"table {label!r} is hvmloader's own", "pass tables that hvmloader does not build")
    elif is_builtin_device(label):
        raise _collision(f"namespace device {label!r} is hvmloader's own", "give the device another name")
    elif label in BUILTIN_SB_NAMES:
        raise _collision(f"the name {label!r} is taken in \\_SB by hvmloader", "give the device another name")


def _collision(what: str, hint: str) -> FirmwareStopped:
    return stop(f"dm-acpi: {what}", code="XLPY-DMACPI-COLLISION", hint=hint)


def _key_error(what: str) -> FirmwareStopped:
    return stop(
        f"dm-acpi: {what}",
        code="XLPY-DMACPI-KEYS",
        hint="the device model writes both keys, for a page-aligned area at the end of RAM below 4 GiB",
    )
