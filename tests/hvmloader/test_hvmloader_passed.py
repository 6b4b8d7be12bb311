"""Tables that were passed in: by the toolstack (acpi_firmware) and by the device model (dm-acpi)."""

from __future__ import annotations

from struct import pack

import pytest
from hvmloader.fake_platform import Boot, FakePlatform, boot, case

from xlpy.addr import GIB, MIB, PAGE, Gpa, Span
from xlpy.errors import FirmwareStopped
from xlpy.firmware.acpi.aml import name
from xlpy.firmware.acpi.nfit import VOLATILE_MEMORY, SpaRange
from xlpy.firmware.acpi.nfit_format import build_nfit
from xlpy.firmware.acpi.sdt import build_table
from xlpy.firmware.affinity import build_srat
from xlpy.firmware.dm_acpi import DmAcpiEntry, build_stream, device_entry, table_entry
from xlpy.firmware.e820 import E820_PMEM, E820_RESERVED, E820Entry
from xlpy.firmware.hvmloader import dm_acpi
from xlpy.firmware.hvmloader.main import run
from xlpy.firmware.platform import Vnuma, VnumaRange

PMEM = 0x500000000
NFIT = build_nfit([SpaRange(1, PMEM, 64 * MIB), SpaRange(2, 8 * GIB * 4, GIB, VOLATILE_MEMORY)])


def stopped(platform: FakePlatform, words: str, code: str | None = None) -> FirmwareStopped:
    """Boot; it must stop with these words, in the log too, and crash the domain."""
    with pytest.raises(FirmwareStopped, match=words) as caught:
        run(platform)
    assert platform.stopped == 3
    assert caught.value.message in platform.lines
    assert caught.value.hint
    assert code in (None, caught.value.code)
    return caught.value


# acpi_firmware


def passing(blob: bytes, length: int | None = None, address: str = "0x134000", **keys: str) -> FakePlatform:
    platform = case("A", keys={"hvmloader/acpi/address": address} | keys)
    platform.keys["hvmloader/acpi/length"] = hex(len(blob) if length is None else length)
    platform.write(Gpa(0x134000), blob)
    return platform


SLIC = build_table("SLIC", bytes(338))


def test_passed_tables_come_after_our_own_and_before_the_xsdt():
    spoilt = SLIC[:9] + bytes([SLIC[9] ^ 1]) + SLIC[10:]
    result = boot(passing(spoilt + build_table("UEFI", b"x")))
    assert [signature for signature, _, _ in result.tables()][-5:] == ["SSDT", "SLIC", "UEFI", "XSDT", "RSDT"]
    assert result.one("SLIC") == spoilt, "verbatim: the checksum is not repaired"
    assert len(result.table(result.xsdt)) == 36 + 8 * 8


def test_a_decimal_address_and_a_rest_shorter_than_a_header():
    result = boot(passing(SLIC + bytes(35), address=str(0x134000)))
    assert result.one("SLIC") == SLIC


def test_more_tables_than_fit_are_dropped():
    result = boot(passing(b"".join(build_table("OEM1", bytes([n])) for n in range(20))))
    assert len(result.listed(result.xsdt, 8)) == 16
    assert [body[36] for signature, _, body in result.tables() if signature == "OEM1"] == list(range(10))
    assert "acpi_firmware: more than 15 tables, the rest is left out" in result.platform.lines


@pytest.mark.parametrize("keys", [{}, {"hvmloader/acpi/address": ""}, {"hvmloader/acpi/address": "0"}])
def test_nothing_passed(keys):
    assert len(boot(case("A", keys=keys)).tables()) == 11


@pytest.mark.parametrize(
    ("blob", "length", "words"),
    [
        (SLIC + SLIC[:4] + pack("<I", 35) + SLIC[8:], None, "'SLIC' at offset 0x176 says it has 35 bytes"),
        (SLIC, 373, "says it has 374 bytes, 373 are left"),
        (SLIC, 0x20000000, "do not lie in RAM"),
    ],
)
def test_malformed_passthrough(blob, length, words):
    stopped(passing(blob, length), words, "XLPY-FIRMWARE-PASSTHROUGH")


def test_the_smallest_length_and_the_largest():
    table = SLIC[:4] + pack("<I", 36) + SLIC[8:36]
    passed = [body for signature, _, body in boot(passing(table + SLIC)).tables() if signature == "SLIC"]
    assert passed == [table, SLIC]


@pytest.mark.parametrize("address", ["0xF0000000", "0x8000", "-4096", "0xfffffffffffff000", "1x"])
def test_passthrough_outside_ram(address):
    stopped(passing(SLIC, address=address), "do not lie in RAM")


# dm-acpi


def handing(stream: bytes, memory: str = "A", **keys: str) -> FakePlatform:
    """A guest whose device model put a stream at the end of low RAM."""
    platform = case(memory)
    address = platform.low_end - -(-max(len(stream), 1) // PAGE) * PAGE
    platform.write(Gpa(address), stream)
    platform.keys |= {"hvmloader/dm-acpi/address": hex(address), "hvmloader/dm-acpi/length": hex(len(stream))}
    platform.keys |= {key.replace("__", "/"): value for key, value in keys.items()}
    return platform


def entries(*what: DmAcpiEntry) -> bytes:
    return build_stream(what)


BODY = name("_ADR", 0)


def test_tables_and_devices_are_loaded():
    platform = handing(entries(table_entry(NFIT), device_entry("NVDR", BODY), device_entry("NVD2", b"")))
    result = boot(platform)
    assert [signature for signature, _, _ in result.tables()][-6:] == ["SSDT", "NFIT", "SSDT", "SSDT", "XSDT", "RSDT"]
    assert result.one("NFIT") == NFIT
    wrapped = [body for signature, _, body in result.tables() if signature == "SSDT"][-2:]
    assert wrapped[0][36:] == b"\x10\x13\\_SB_\x5b\x82\x0bNVDR" + BODY
    assert wrapped[1][36:] == b"\x10\x0d\\_SB_\x5b\x82\x05NVD2"
    assert all(body[8] == 2 and sum(body) & 0xFF == 0 for body in wrapped)


@pytest.mark.parametrize("size", [1, 40, 60, 4080, 70000])
def test_devices_of_any_length(size):
    result = boot(handing(entries(device_entry("NVDR", b"\xa3" * size))))
    body = [body for signature, _, body in result.tables() if signature == "SSDT"][-1]
    assert body.endswith(b"NVDR" + b"\xa3" * size)


def test_persistent_memory_is_in_the_e820():
    result = boot(handing(entries(table_entry(NFIT)), "C"))
    assert result.e820[-1] == E820Entry(Gpa(PMEM), 64 * MIB, E820_PMEM)
    assert " [06]: 00000005:00000000 - 00000005:04000000: PMEM" in result.platform.lines


def test_the_area_stays_ram():
    platform = handing(entries(table_entry(NFIT)))
    plain, passed = boot(case("A")).e820, boot(platform).e820
    assert [row for row in passed if row.type != E820_PMEM] == plain


def test_firmware_does_not_take_the_pages_of_the_area():
    platform = handing(entries(table_entry(NFIT)))
    platform.allowance = 0
    result = boot(platform)
    assert result.one("NFIT") == NFIT
    assert all(src != 0x1FFFF for src, _, _ in platform.moved)


def test_passthrough_comes_first():
    platform = handing(entries(table_entry(NFIT)))
    platform.keys |= {"hvmloader/acpi/address": "0x134000", "hvmloader/acpi/length": str(len(SLIC))}
    platform.write(Gpa(0x134000), SLIC)
    assert [signature for signature, _, _ in boot(platform).tables()][-4:] == ["SLIC", "NFIT", "XSDT", "RSDT"]


def test_15_tables_are_the_limit():
    def devices(count: int) -> bytes:
        return entries(*(device_entry(f"NV{n:02d}", b"") for n in range(count)))

    assert len(boot(handing(devices(10))).tables()) == 4 + 15 + 2
    stopped(handing(devices(11)), "no room for table 'SSDT': there are 15", "XLPY-DMACPI-TOO-MANY")


def test_more_than_fits_in_the_table_area():
    big = entries(*(device_entry(f"NV{n:02d}", bytes(300_000)) for n in range(3)))
    assert boot(handing(big))
    stopped(handing(big + entries(device_entry("NV99", bytes(140_000)))), "do not fit", "XLPY-FIRMWARE-MEMORY")
    stopped(handing(bytes(MIB)), "there is room for", "XLPY-DMACPI-KEYS")


SIGNATURES = ["RSDT", "XSDT", "FACP", "DSDT", "APIC", "HPET", "WAET", "TCPA", "TPM2", "SLIT"]


@pytest.mark.parametrize("signature", SIGNATURES)
def test_table_collision(signature):
    """Whether firmware builds the table for this guest or not: the lists are static."""
    stopped(handing(entries(table_entry(build_table(signature, b"")))), f"'{signature}'", "XLPY-DMACPI-COLLISION")


@pytest.mark.parametrize(
    "blob", [pack("<4sI56x", b"FACS", 64), b"RSD PTR " + bytes(28), pack("<4sI", b"RSD ", 36) + bytes(28)]
)
def test_structures_without_a_header_collide(blob):
    stopped(handing(b"\0" + pack("<I", len(blob)) + blob), "is hvmloader's own", "XLPY-DMACPI-COLLISION")


DEVICES = ["MEM0", "PCI0", "PR00", "PR7F", "AC", "BAT0", "BAT1", "TPM", "CONV", "VGA", "HPET", "ISA", "HP0", "LNKD"]
MORE_DEVICES = ["S1", "S31", "S00", "SFF", "SYSR", "PIC", "DMA0", "TMR", "RTC", "SPKR", "PS2M", "FDC0", "UAR1", "VGID"]
OTHERS = ["BIOS", "NCPU", "MSU", "PMAT", "PRS", "PRSC", "SYNC", "HLP1", "HLPA", "REL", "BIF", "P86", "DBGD"]


@pytest.mark.parametrize("label", [*DEVICES, *MORE_DEVICES, *OTHERS])
def test_device_collision(label):
    stopped(handing(entries(device_entry(label, BODY))), f"'{label.ljust(4, '_')}'", "XLPY-DMACPI-COLLISION")


def test_collision_with_a_passed_through_table():
    platform = handing(entries(table_entry(NFIT)))
    platform.keys |= {"hvmloader/acpi/address": "0x134000", "hvmloader/acpi/length": str(len(NFIT))}
    platform.write(Gpa(0x134000), NFIT)
    stopped(platform, "'NFIT' came with acpi_firmware", "XLPY-DMACPI-COLLISION")


def test_a_malformed_stream_stops_the_boot():
    error = stopped(handing(b"\0\0\0\0\0"), "dm-acpi: entry 0: length is 0", "XLPY-DMACPI-LENGTH")
    assert error.exit == 9


def test_nothing_of_a_stream_that_is_refused_is_listed():
    platform = handing(entries(device_entry("NVDR", BODY), table_entry(NFIT))[:-1])
    stopped(platform, "bytes are left in the stream")
    assert platform.read(Gpa(0x100C0), 8) == bytes(8), "no RSDP"


@pytest.mark.parametrize(
    "structures",
    [
        pack("<HH", 0, 0) + bytes(52),
        pack("<HH", 1, 3),
        pack("<HH", 0, 52) + bytes(48),
        pack("<HH", 9, 9) + bytes(4),
        pack("<HH", 9, 4) + b"\0\0\0",
    ],
)
def test_malformed_nfit(structures):
    bad = build_table("NFIT", bytes(4) + structures)
    stopped(handing(entries(table_entry(bad))), "the NFIT is malformed", "XLPY-DMACPI-NFIT")


def test_structures_of_other_kinds_are_passed_over():
    nfit = build_table("NFIT", bytes(4) + pack("<HH4x", 77, 8) + NFIT[40:])
    assert boot(handing(entries(table_entry(nfit)), "C")).e820[-1].start == PMEM


@pytest.mark.parametrize(
    ("address", "length", "words"),
    [
        (None, "0x1000", "address is not"),
        ("0x1ffff000", None, "length is not"),
        ("0x1ffff000", "", "length is not"),
        ("", "0x1000", "address is not"),
        ("0x1ffff000", "0", "length is 0"),
        ("0x1ffff000", "0x0", "length is 0"),
        ("ten", "0x1000", "'ten'"),
        ("0x", "0x1000", "'0x'"),
        ("-4096", "0x1000", "'-4096'"),
        ("0x1ffff000", "-1", "'-1'"),
        ("0x1ffff000 ", "0x1000", "required a number"),
        ("010000", "0x1000", "required a number"),
        ("0x1ffff000", "4k", "'4k'"),
        ("0x1ffff004", "0x100", "is not a multiple of 4096"),
        ("0xfffffffffffff000", "0x1001", "reach beyond 2\\*\\*64"),
        ("0x1ffff000", "0xffffffffffffffff", "reach beyond 2\\*\\*64"),
        ("0x10000000000000000", "0x1000", "reach beyond 2\\*\\*64"),
        ("0x1ffff000", "0x1001", "does not lie in RAM"),
        ("0x20000000", "0x1000", "does not lie in RAM"),
        ("0x0", "0x1000", "does not lie in RAM"),
        ("0x100000000", "0x1000", "does not lie in RAM"),
        ("0xfffff000", "0x1000", "does not lie in RAM"),
        ("0xfc001000", "0x1000", "does not lie in RAM"),
    ],
)
def test_bad_keys(address, length, words):
    platform = case("A")
    for key, value in ((dm_acpi.ADDRESS_KEY, address), (dm_acpi.LENGTH_KEY, length)):
        if value is not None:
            platform.keys[key] = value
    stopped(platform, words, "XLPY-DMACPI-KEYS")


def test_high_ram_is_no_place_for_the_area():
    platform = case("C")
    platform.keys |= {dm_acpi.ADDRESS_KEY: "0x100000000", dm_acpi.LENGTH_KEY: "0x1000"}
    stopped(platform, "does not lie in RAM")


def test_keys_are_read_once():
    platform = handing(entries(table_entry(NFIT)))
    run(platform)
    assert [platform.asked.count(key) for key in (dm_acpi.ADDRESS_KEY, dm_acpi.LENGTH_KEY)] == [1, 1]


@pytest.mark.parametrize(
    ("start", "size", "memory", "words"),
    [
        (0x10000000, MIB, "A", "another row"),
        (0x1FFFF000, 2 * PAGE, "A", "another row"),
        (0xF4000000, MIB, "A", "the PCI hole"),
        (0xFC000000, MIB, "A", "another row"),
        (0x18FFFF000, GIB, "C", "another row"),
        (1 << 46, GIB, "A", "46 bits of physical address"),
        ((1 << 46) - GIB, 2 * GIB, "A", "46 bits of physical address"),
    ],
)
def test_persistent_memory_in_the_way(start, size, memory, words):
    platform = handing(entries(table_entry(build_nfit([SpaRange(1, start, size)]))), memory)
    stopped(platform, words, "XLPY-FIRMWARE-E820")


def test_persistent_memory_that_overlaps_itself():
    twice = build_nfit([SpaRange(1, PMEM, GIB), SpaRange(2, PMEM + MIB, GIB)])
    stopped(handing(entries(table_entry(twice))), "another row", "XLPY-FIRMWARE-E820")


def test_persistent_memory_under_64_bit_pci_memory():
    from hvmloader.fake_platform import PciFunction

    platform = handing(entries(table_entry(build_nfit([SpaRange(1, 0x480000000, GIB)]))), "C")
    platform.pci[0x20] = PciFunction(0x12345678, 0x0880, {0x10: (16 * GIB, 0xC)})
    stopped(platform, "64-bit PCI memory", "XLPY-FIRMWARE-E820")


def test_more_rows_than_a_bios_reads():
    platform = case("A")
    platform.rows += [E820Entry(Gpa(8 * GIB + n * MIB), PAGE, E820_RESERVED) for n in range(124)]
    stopped(platform, "a BIOS reads 128", "XLPY-FIRMWARE-E820")


@pytest.mark.parametrize(("start", "size"), [(PMEM, 0), (2**64 - PAGE, 2 * PAGE)])
def test_persistent_memory_that_is_no_range(start, size):
    platform = handing(entries(table_entry(build_nfit([SpaRange(1, start, size)]))))
    stopped(platform, "persistent memory of", "XLPY-DMACPI-NFIT")


def test_many_rows():
    ranges = [SpaRange(n + 1, PMEM + n * GIB, MIB) for n in range(40)]
    result = boot(handing(entries(table_entry(build_nfit(ranges)))))
    assert len(result.e820) == 45, "more than the 16 that hvmloader keeps room for"
    assert isinstance(result, Boot)


def test_an_srat_of_the_device_model_takes_the_place_of_our_own():
    """An operating system takes one. The SLIT stays hvmloader's, and so does an SRAT where none is passed."""
    nodes = Vnuma((0,), ((10,),), (VnumaRange(Gpa(0), Gpa(512 * MIB), 0),))
    passed = build_srat(nodes, [(Span(Gpa(64 << 30), MIB), 0)])
    for blobs, expected in (([table_entry(passed)], passed), ([device_entry("NV00", b"")], build_srat(nodes))):
        platform = handing(entries(*blobs))
        platform.topology = nodes
        found = boot(platform).tables()
        assert [body for signature, _, body in found if signature == "SRAT"] == [expected]
        assert [signature for signature, *_ in found].count("SLIT") == 1
