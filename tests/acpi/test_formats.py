"""Table formats: one sample, and everything about it, at a time. The values are those of hvmloader's tables."""

import pytest
from acpi.judges import disassemble
from construct import Container
from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.errors import FormatError
from xlpy.firmware.acpi import aml
from xlpy.firmware.acpi.facs import FACS
from xlpy.firmware.acpi.fadt import FADT, LENGTHS, build_fadt
from xlpy.firmware.acpi.formats import FORMATS
from xlpy.firmware.acpi.hpet import HPET
from xlpy.firmware.acpi.madt import INTERRUPT_OVERRIDE, IO_APIC, LOCAL_APIC, MADT
from xlpy.firmware.acpi.roots import RSDT, XSDT, Rsdp, build_rsdp, build_rsdt, build_xsdt, parse_rsdp
from xlpy.firmware.acpi.sdt import HEADER_SIZE, Header, build_table, checksum, verify
from xlpy.firmware.acpi.slit import SLIT
from xlpy.firmware.acpi.srat import MEMORY, PROCESSOR, SRAT
from xlpy.firmware.acpi.waet import WAET


def plain(value):
    """What a parser returned, without construct's bookkeeping."""
    if isinstance(value, Container):
        return {key: plain(item) for key, item in value.items() if not key.startswith("_")}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def check(form, table, fields, size):
    """Parse, build, round trip and size of one sample; ``fields`` may leave out those that are 0."""
    assert len(table) == size
    parsed = plain(form.parse(table))
    assert {key: parsed[key] for key in fields} == fields
    assert not any(value for key, value in parsed.items() if key not in fields and not isinstance(value, dict))
    head = Header.parse(table)
    identity = {key: value for key, value in head._asdict().items() if key.startswith(("oem", "creator"))}
    assert form.build(parsed, head.revision, length=size, **identity) == table
    assert verify(table)
    for cut in (0, HEADER_SIZE - 1, HEADER_SIZE, size - 1):
        with pytest.raises(FormatError):
            form.parse(table[:cut])
    with pytest.raises(FormatError) as caught:
        form.parse(table[:-1] + bytes([table[-1] ^ 1]))
    assert caught.value.path.endswith("checksum")


ADDRESS = {"space_id": 0, "bit_width": 0, "bit_offset": 0, "access_size": 0, "address": 0}


def port(width, address):
    return ADDRESS | {"space_id": 1, "bit_width": width, "address": address}


FADT1_FIELDS = {
    "firmware_ctrl": 0xFC001000,
    "dsdt": 0xFC001040,
    "sci_int": 9,
    "pm1a_evt_blk": 0xB000,
    "pm1a_cnt_blk": 0xB004,
    "pm_tmr_blk": 0xB008,
    "gpe0_blk": 0xAFE0,
    "pm1_evt_len": 4,
    "pm1_cnt_len": 2,
    "pm_tmr_len": 4,
    "gpe0_blk_len": 4,
    "p_lvl2_lat": 0xFFF,
    "p_lvl3_lat": 0xFFF,
    "flags": 0x8145,
}
FADT4_FIELDS = FADT1_FIELDS | {
    "iapc_boot_arch": 2,
    "reset_reg": port(8, 0xCF9),
    "reset_value": 6,
    "x_firmware_ctrl": 0xFC001000,
    "x_dsdt": 0xFC001040,
    "x_pm1a_evt_blk": port(32, 0xB000),
    "x_pm1a_cnt_blk": port(16, 0xB004),
    "x_pm_tmr_blk": port(32, 0xB008),
}


@pytest.mark.parametrize(("revision", "fields", "expected"), [(1, FADT1_FIELDS, 0x28), (4, FADT4_FIELDS, 0xC8)])
def test_fadt(revision, fields, expected):
    table = build_fadt(fields, revision)
    check(FADT, table, fields, LENGTHS[revision])
    assert table[9] == expected
    assert (table[8], table[10:28]) == (revision, b"Xen\0\0\0HVM\0\0\0\0\0\0\0\0\0")


def test_fadt_grows_with_its_revision():
    later = FADT4_FIELDS | {"sleep_control_reg": port(8, 0x100), "hypervisor_vendor_id": 0x1122334455667788}
    assert len(build_fadt(later, 5)) == 268
    table = build_fadt(later, 6)
    assert FADT.parse(table).hypervisor_vendor_id == 0x1122334455667788
    assert table[244:256] == bytes([1, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0])
    assert FADT.parse(build_fadt(later, 4)).sleep_control_reg is None


def madt(cpus):
    overrides = [
        {"type": INTERRUPT_OVERRIDE, "body": {"bus": 0, "source": irq, "gsi": gsi, "flags": flags}}
        for irq, gsi, flags in ((0, 2, 0), (5, 5, 0xF), (10, 10, 0xF), (11, 11, 0xF))
    ]
    io_apic = {"type": IO_APIC, "body": {"io_apic_id": 1, "address": 0xFEC00000, "gsi_base": 0}}
    apics = [{"type": LOCAL_APIC, "body": {"processor_id": n, "apic_id": 2 * n, "flags": 1}} for n in range(cpus)]
    return {"local_apic_address": 0xFEE00000, "flags": 1, "entries": [*overrides, io_apic, *apics]}


@pytest.mark.parametrize(("cpus", "size", "expected"), [(1, 104, 0xE5), (4, 128, 0xA0), (2, 112, 0xD1)])
def test_madt(cpus, size, expected):
    table = MADT.build(madt(cpus), 2)
    check(MADT, table, madt(cpus), size)
    assert table[9] == expected
    assert table[84:86] == bytes([IO_APIC, 12])


def test_madt_keeps_entries_that_it_does_not_know():
    entry = {"type": 0x7F, "body": b"abc"}
    table = MADT.build({"entries": [entry]}, 5)
    assert table[44:] == b"\x7f\x05abc"
    assert plain(MADT.parse(table).entries) == [entry]


@pytest.mark.parametrize(
    ("entries", "offset", "path"),
    [
        (b"\x00", 45, "apic.entries[0].body"),  # no length
        (b"\x00\x00", 46, "apic.entries[0].body"),  # would never end
        (b"\x00\x01", 46, "apic.entries[0].body"),
        (b"\x00\x08\x00\x00", 48, "apic.entries[0].body"),  # beyond the table
        (b"\x00\x08" + bytes(6) + b"\x00\x09" + bytes(7), 61, "apic.entries[1].body"),  # longer than its type
    ],
)
def test_malformed_madt_entry(entries, offset, path):
    with pytest.raises(FormatError) as caught:
        MADT.parse(build_table("APIC", bytes(8) + entries))
    assert caught.value.path == path
    assert caught.value.offset == offset


def test_hpet():
    fields = {"event_timer_block_id": 0x8086A201, "base_address": ADDRESS | {"address": 0xFED00000}}
    table = HPET.build(fields)
    check(HPET, table, fields, 56)
    assert table[9] == 0xD2


def test_waet():
    table = WAET.build({"flags": 3})
    check(WAET, table, {"flags": 3}, 40)
    assert table[9] == 0x56


def test_srat():
    memory = {"proximity": 1, "base": 1 << 32, "length": 1 << 30, "flags": 5}
    processor = {"proximity_low": 1, "apic_id": 2, "flags": 1}
    table = SRAT.build({"entries": [{"type": PROCESSOR, "body": processor}, {"type": MEMORY, "body": memory}]})
    assert len(table) == 48 + 16 + 40
    assert table[36:48] == b"\1" + bytes(11)
    assert table[48:64].hex(" ") == "00 10 01 02 01 00 00 00 00 00 00 00 00 00 00 00"
    assert table[64:82].hex(" ") == "01 28 01 00 00 00 00 00 00 00 00 00 01 00 00 00 00 00"
    parsed = plain(SRAT.parse(table))
    assert parsed["table_revision"] == 1
    assert parsed["entries"][1]["body"] == memory
    assert SRAT.build(parsed) == table


def test_slit():
    fields = {"localities": 2, "distances": [[10, 20], [20, 10]]}
    table = SLIT.build({"distances": fields["distances"]})
    check(SLIT, table, fields, 48)
    assert table[36:].hex(" ") == "02 00 00 00 00 00 00 00 0a 14 14 0a"


@pytest.mark.parametrize("localities", [0, 3, 1 << 40, (1 << 64) - 1])
def test_slit_of_another_size(localities):
    with pytest.raises(FormatError):
        SLIT.parse(build_table("SLIT", localities.to_bytes(8, "little") + bytes(4)))


def test_facs():
    data = FACS.build({"version": 1})
    assert data == b"FACS\x40\0\0\0" + bytes(24) + b"\1" + bytes(31)
    assert FACS.parse(data).version == 1
    assert FACS.build(FACS.parse(data)) == data
    for bad in (data[:-1], data + b"\0", b"FACP" + data[4:]):
        with pytest.raises(FormatError):
            FACS.parse(bad)


ENTRIES = [0xFC00A370, 0xFC00A470, 0xFC00A550, 0xFC00A590, 0xFC00A5C0, 0xFC00A600]


def test_roots():
    xsdt, rsdt = build_xsdt(ENTRIES), build_rsdt([0xFC00A2F0, *ENTRIES[1:]])
    check(XSDT, xsdt, {"entries": ENTRIES}, 84)
    check(RSDT, rsdt, {"entries": [0xFC00A2F0, *ENTRIES[1:]]}, 60)
    assert (xsdt[9], rsdt[9]) == (0xD7, 0x76)
    fields = Rsdp(0xFC00A6A0, 0xFC00A640)
    rsdp = build_rsdp(fields)
    assert (len(rsdp), rsdp[8], rsdp[32]) == (36, 0x72, 0xFA)
    assert parse_rsdp(rsdp + bytes(100)) == fields


def test_rsdp_of_acpi_1():
    data = build_rsdp(Rsdp(0x1000, revision=0))
    assert len(data) == 20
    assert verify(data)
    assert parse_rsdp(data) == Rsdp(0x1000, revision=0)


@pytest.mark.parametrize(
    "damage", [lambda d: d[:35], lambda d: d[:19], lambda d: b"x" + d[1:], lambda d: d[:20] + b"\xff" * 4 + d[24:]]
)
def test_damaged_rsdp(damage):
    with pytest.raises(FormatError):
        parse_rsdp(damage(build_rsdp(Rsdp(0x1000, 0x2000))))


@pytest.mark.parametrize(("state", "types", "expected"), [("_S3", (1, 1, 0, 0), 0x0E), ("_S4", (0, 0, 0, 0), 0x0F)])
def test_sleep_state_ssdt(state, types, expected):
    body = aml.name("\\" + state, aml.package(*types))
    table = build_table("SSDT", body, 2, creator_id="INTL", creator_revision=0x20200925)
    assert (len(table), table[9]) == (49, expected)


def test_header():
    table = build_table("OEM1", b"body", 7, "XLPY", "TABLE", 2, "CRTR", 3)
    assert Header.parse(table) == Header("OEM1", 40, 7, table[9], "XLPY", "TABLE", 2, "CRTR", 3)
    assert (
        table[:36].hex(" ", 4)
        == "4f454d31 28000000 07" + f"{table[9]:02x}" + "584c 50590000 5441424c 45000000 02000000 43525452 03000000"
    )
    with pytest.raises(FormatError) as caught:
        Header.parse(table[:35])
    assert caught.value.offset is not None


@settings(deadline=None)
@given(st.binary(max_size=100), st.binary(max_size=100))
def test_checksum(before, after):
    whole = before + bytes([checksum(before + b"\0" + after)]) + after
    assert verify(whole)


@settings(deadline=None)
@given(st.sampled_from(sorted(FORMATS)), st.binary(max_size=120))
def test_any_bytes_parse_or_are_refused(signature, body):
    form = FORMATS[signature]
    table = build_table(signature, body)
    try:
        form.parse(table)
    except FormatError:
        return


@pytest.mark.parametrize(
    "make",
    [
        lambda: WAET.build({"flags": 1 << 32}),
        lambda: WAET.build({"flags": "x"}),
        lambda: MADT.build({"entries": [{"body": {}}]}),
        lambda: MADT.build({"entries": [{"type": 0x7F, "body": bytes(254)}]}),
        lambda: build_rsdt([1 << 32]),
    ],
)
def test_fields_that_do_not_fit(make):
    with pytest.raises(FormatError):
        make()


def test_iasl_takes_the_tables_apart(tmp_path):
    tables = {
        "facp1": build_fadt(FADT1_FIELDS, 1),
        "facp4": build_fadt(FADT4_FIELDS, 4),
        "facp5": build_fadt(FADT4_FIELDS, 5),
        "facp6": build_fadt(FADT4_FIELDS, 6),
        "apic": MADT.build(madt(2), 2),
        "hpet": HPET.build({"event_timer_block_id": 0x8086A201}),
        "waet": WAET.build({"flags": 3}),
        "srat": SRAT.build({"entries": [{"type": PROCESSOR, "body": {"flags": 1}}, {"type": MEMORY, "body": {}}]}),
        "slit": SLIT.build({"distances": [[10, 20], [20, 10]]}),
        "facs": FACS.build({"version": 1}),
        "xsdt": build_xsdt(ENTRIES),
        "rsdt": build_rsdt(ENTRIES),
    }
    bad, texts = disassemble(tmp_path, {f"{name}.dat": data for name, data in tables.items()})
    assert bad == []
    assert all(texts)
