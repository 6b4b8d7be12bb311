"""What firmware leaves behind, in a form in which two firmwares can be compared.

The DSDTs differ in content and length, so whatever is allocated behind them lies elsewhere. Every address in the ACPI
area is therefore written as if the DSDT had no length, and checksums that cover such an address, and have been
verified, are left out.
"""

import re
from struct import pack_into, unpack_from

from xlpy.addr import PAGE, PAGE_SHIFT, Gpa, Span, align_up
from xlpy.firmware.acpi.walk import walk
from xlpy.firmware.e820 import E820_NVS
from xlpy.firmware.handover import read_handover
from xlpy.firmware.layout import BIOS_INFO

ACPI_INFO, ACPI_INFO_SIZE = 0xFC000000, 40
ACPI_AREA = range(0xFC001000, 0xFC100000)
FLASH = range(0xFFE00000, 1 << 32)
POINTERS = {  # where the addresses are, and their width; and the checksums that they change
    "RSDP": ([(16, 4), (24, 8)], [8, 32]),
    "RSDT": ([(at, 4) for at in range(36, 36 + 16 * 4, 4)], [9]),
    "XSDT": ([(at, 8) for at in range(36, 36 + 16 * 8, 8)], [9]),
    "INFO": ([(12, 4), (16, 4), (20, 4)], []),
}
GENERATION_ID_PARAM = 34
PARAMS = (19, GENERATION_ID_PARAM, 37)


def observe(platform, domain, log):
    """Everything that can be told from outside, name -> comparable value.

    Args:
        platform: what the firmware ran on. domain: whose it is. log: its lines on the debug port.
    """
    platform.save()
    read = domain.memory.read
    handover = read_handover(read)
    tables = _acpi(read, handover.rsdp, platform.get_param(GENERATION_ID_PARAM))
    shift = align_up(sum(len(data) for name, _, data in tables if name == "DSDT"), 16)

    def moved(address):
        return address - shift if address in ACPI_AREA and address > dsdt else address

    dsdt = next((at for name, at, _ in tables if name == "DSDT"), 0)
    last = max((at + len(data) for _, at, data in tables if at in ACPI_AREA), default=0)
    seen = {"info block": read(BIOS_INFO, 32)}
    board = domain.part("xen.chipset")
    seen |= {"CMOS": board["cmos"], "ports": board["ports"]}
    seen |= {f"PCI {int(key) >> 3:02x}.{int(key) & 7}": config for key, config in board["pci"].items()}
    seen["parameters"] = {index: moved(platform.get_param(index)) for index in PARAMS}
    nvs = next((row for row in handover.e820 if row.type == E820_NVS), None)
    if nvs:
        assert nvs.span == Span.between(Gpa(ACPI_INFO), Gpa(align_up(last, PAGE))), "all tables and no page more"
    end = f"{nvs.end:08x}" if nvs else "no tables"
    seen["log"] = [line.replace(end, "end of the tables") for line in log]
    seen["E820"] = [
        (row.type, *("end of the tables" if nvs and at == nvs.end else at for at in (row.start, row.end)))
        for row in handover.e820
    ]
    seen["RAM"] = _runs(domain.p2m.ram)
    for name, at, data in tables:
        if name != "DSDT":
            seen[f"{name} at {moved(at):#x}"] = _plain(name, data, moved)
    for name, at, data in _low(read, handover.tables):
        seen[f"{name} at {at:#x}"] = re.sub(rb"\d\d/\d\d/\d{4}", b"MM/DD/YYYY", data)  # when it was compiled
    return seen


def _runs(pieces):
    """Where RAM begins and ends in turn, page numbers; without ACPI tables and the flash, whose image is not ours."""
    edges = set()
    for piece in pieces:
        if piece.start << PAGE_SHIFT not in ACPI_AREA and piece.start << PAGE_SHIFT not in FLASH:
            edges ^= {piece.start, piece.end}
    return sorted(edges)


def _acpi(read, rsdp, generation_id):
    if rsdp is None:
        return []
    tables = [tuple(found) for found in walk(lambda at, size: read(Gpa(at), size), rsdp)]
    rsdt = next(data for name, _, data in tables if name == "RSDT")
    (fadt,) = unpack_from("<I", rsdt, 36)
    tables.append(("FACP of the RSDT", fadt, read(Gpa(fadt), 116)))
    tables.append(("INFO", ACPI_INFO, read(Gpa(ACPI_INFO), ACPI_INFO_SIZE)))
    if generation_id:
        tables.append(("generation id", generation_id, read(Gpa(generation_id), 16)))
    for name, _, data in tables:
        if name not in ("FACS", "INFO", "generation id"):
            assert sum(data) % 256 == 0, f"checksum of {name}"
    return tables


def _plain(name, data, moved):
    places, checksums = POINTERS.get(name, ([], []))
    plain = bytearray(data)
    for at, width in places:
        if at < len(data):
            form = "<I" if width == 4 else "<Q"
            pack_into(form, plain, at, moved(unpack_from(form, data, at)[0]))
    for at in checksums:
        plain[at] = 0
    return bytes(plain)


def _low(read, addresses):
    """SMBIOS, MP and PIR tables: name, address, bytes."""
    for at in addresses:
        head = read(at, 16)
        if head[:4] == b"_SM_":
            length, address = unpack_from("<HI", read(at, 31), 22)
            yield "SMBIOS", at, read(at, 31)
            yield "SMBIOS structures", address, read(Gpa(address), length)
        elif head[:4] == b"_MP_":
            (address,) = unpack_from("<I", head, 4)
            yield "MP", at, head
            yield "MP configuration", address, read(Gpa(address), unpack_from("<H", read(Gpa(address), 6), 4)[0])
        elif head[:4] == b"$PIR":
            yield "PIR", at, read(at, unpack_from("<H", head, 6)[0])
