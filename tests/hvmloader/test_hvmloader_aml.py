"""The guest's AML before ACPICA, and beside that of Xen's own hvmloader where that is installed (xen-utils-4.17)."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from acpi.judges import disassemble, run, tool
from hvmloader.fake_platform import boot, case

from xlpy.addr import Gpa
from xlpy.firmware.acpi.aml import name
from xlpy.firmware.dm_acpi import build_stream, device_entry
from xlpy.firmware.hvmloader import dm_acpi, ssdt
from xlpy.firmware.hvmloader.dsdt import build_dsdt

PAGE = Gpa(0xFC000000)
OURS = build_dsdt(PAGE)


@cache
def xen_tables() -> dict[tuple[str, int], bytes]:
    """AML in the real hvmloader, by signature and length: found by signature, kept when the checksum is good."""
    found = {}
    for path in Path("/usr/lib").glob("xen-4.17/boot/hvmloader"):
        image = path.read_bytes()
        for match in re.finditer(b"DSDT|SSDT", image):
            size = int.from_bytes(image[match.start() + 4 : match.start() + 8], "little")
            table = image[match.start() : match.start() + size]
            if 36 <= size == len(table) and sum(table) & 0xFF == 0:
                found[match.group().decode(), size] = table
    return found


def xen(signature: str, size: int) -> bytes:
    return xen_tables().get((signature, size)) or pytest.skip("hvmloader of Xen 4.17 is not installed (xen-utils-4.17)")


def acpiexec(folder: Path, tables: list[bytes], *commands: str, values: dict[str, int] | None = None) -> str:
    """What acpiexec prints for commands; ``values`` go into region fields first."""
    program = tool("acpiexec")
    files = [f"t{number}.aml" for number in range(len(tables))]
    for file, table in zip(files, tables, strict=True):
        (folder / file).write_bytes(table)
    (folder / "values").write_text("".join(f"{path} {value:#x}\n" for path, value in (values or {}).items()))
    initial = ["-fi", "values"] if values else []
    output = ""
    for batch in batches(commands):
        done = run(program, *initial, "-b", batch, *files, folder=folder)
        assert done.returncode == 0, done.stdout + done.stderr
        output += done.stdout
    return output


def batches(commands: tuple[str, ...]) -> list[str]:
    """Command lines of at most 1023 characters, which is what acpiexec takes."""
    lines = [""]
    for command in commands:
        if len(lines[-1]) + len(command) > 1000:
            lines.append("")
        lines[-1] += f"{command};"
    return [f"{line}quit" for line in lines]


def complaints(text: str) -> list[str]:
    return [line for line in text.splitlines() if re.search(r"Error|Exception|Warning|AE_[A-Z]+", line)]


def namespace(folder: Path, tables: list[bytes]) -> dict[str, str]:
    """Path to type and value, of all that the tables define."""
    text = acpiexec(folder, tables, "namespace")
    assert complaints(text) == []
    found, path = {}, []
    for line in text.splitlines():
        match = re.match(r" {1,9}(\d+) +(\S{4}) (\w+) +0x[0-9a-f]+ +\d+ ?(.*)", line)
        if match:
            depth, label, kind, value = match.groups()
            path = [*path[: int(depth)], label]
            value = re.sub(r"Len [0-9A-F]+ Aml.*|Notify Object.*|Object 0x.*", "", value)
            found["\\" + ".".join(path)] = f"{kind} {value}".strip()
    return found


def evaluated(text: str) -> list[str]:
    """The results in acpiexec's output, without its addresses."""
    parts = text.split("\nEvaluating ")[1:]
    return [re.sub(r"0x[0-9a-f]{6,}", "", part.partition("\nACPI: ")[0]) for part in parts]


def test_dsdt_has_the_objects_of_xens(tmp_path):
    ours = namespace(tmp_path, [OURS])
    assert sum(kind.startswith("Device") for kind in ours.values()) == 54 + 2  # \_SB and \_TZ count as devices
    assert sum(kind.startswith("Processor") for kind in ours.values()) == 128
    theirs = namespace(tmp_path, [xen("DSDT", 37539)])
    assert len(theirs) > 1400
    assert ours == theirs


# Integers and strings are compared with the namespace; acpiexec takes 15 ms for each of these.
STATIC = [
    *(f"\\_SB.{device}._CRS" for device in ("MEM0", "PCI0.HPET", "PCI0.HP0")),
    *(
        f"\\_SB.PCI0.ISA.{device}._CRS"
        for device in ("SYSR", "PIC", "DMA0", "TMR", "RTC", "PS2M", "PS2K", "FDC0", "UAR1", "UAR2", "LTP1")
    ),
    *(f"\\_SB.PCI0.ISA.{device}._STA" for device in ("PS2M", "PS2K", "FDC0")),
    *(f"\\_SB.PCI0.{path}" for path in ("LNKA._PRS", "_PRT", "PRTP", "PRTA", "VGA._S1D", "VGA._S3D")),
    "\\_S5",
]
DYNAMIC = [
    *("\\_SB.PCI0._CRS", "\\_SB.PCI0.LNKA._CRS", "\\_SB.PCI0.LNKB._STA", "\\_SB.PCI0.HPET._STA"),
    *("\\_SB.PCI0.ISA.UAR1._STA", "\\_SB.PCI0.ISA.LTP1._STA", "\\_SB.PCI0.ISA.VGID.ADDR", "\\_SB.PCI0.S31._STA"),
    *(f"\\_SB.{processor}.{name}" for processor in ("PR00", "PR01", "PR7F") for name in ("_STA", "_MAT")),
]


def compare(folder: Path, paths: list[str], values: dict[str, int]) -> None:
    """Evaluate in our DSDT and in Xen's."""
    commands = [f"evaluate {path}" for path in paths]
    theirs = evaluated(acpiexec(folder, [xen("DSDT", 37539)], *commands, values=values))
    ours = evaluated(acpiexec(folder, [OURS], *commands, values=values))
    assert len(theirs) == len(paths)
    assert ours == theirs


def test_static_objects_evaluate_as_xens(tmp_path):
    compare(tmp_path, STATIC, {})


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"\\_SB.PMIN": 0xF0000000, "\\_SB.PLEN": 0xC000000, "\\_SB.NCPU": 4, "\\_SB.VGIA": 0xFC00A6E0},
        {"\\_SB.HMIN": 4, "\\_SB.HLEN": 4, "\\_SB.HPET": 1, "\\_SB.UAR1": 1, "\\_SB.LTP1": 1},
        {"\\_SB.LMIN": 0x90000000, "\\_SB.HMIN": 1, "\\_SB.LLEN": 0x80000000, "\\_SB.HLEN": 3},
        {"\\_SB.LLEN": 0x1000, "\\PIRA": 5, "\\PIRB": 0x8A, "\\_SB.NCPU": 0x80, "\\_SB.PCI0.B0RM": 1 << 31},
        {"\\_SB.NCPU": 2, "\\_SB.PR00.FLG": 1, "\\_SB.PR01.FLG": 1, "\\_SB.PR7F.FLG": 1},
    ],
    ids=["nothing", "low window", "high window", "high window with carry", "routed", "processors"],
)
def test_what_firmware_found_evaluates_as_in_xens(tmp_path, values):
    compare(tmp_path, DYNAMIC, values)


def test_links_are_programmed_as_xens(tmp_path):
    commands = [
        *("evaluate \\_SB.PCI0.LNKB._SRS (23 20 0C 18 79 00)", "evaluate \\PIRB", "evaluate \\_SB.PCI0.LNKB._CRS"),
        *("evaluate \\_SB.PCI0.LNKB._DIS", "evaluate \\PIRB", "evaluate \\_SB.PCI0.LNKB._STA"),
        *("evaluate \\_PIC 1", "evaluate \\_SB.PCI0._PRT", "evaluate \\_SB.PCI0.S3._EJ0 1", "evaluate \\_SB.PCI0.B0EJ"),
    ]
    ours = evaluated(acpiexec(tmp_path, [OURS], *commands))
    assert "[Integer] = 0000000000000085" in ours[4], "IRQ 5 is the lowest of 5, 10, 11; bit 7 is off"
    assert ours == evaluated(acpiexec(tmp_path, [xen("DSDT", 37539)], *commands))


@pytest.mark.parametrize(
    "values",
    [
        {"\\_SB.NCPU": 4, "\\_SB.PR01.FLG": 1, "\\_SB.PR03.FLG": 1, "\\_SB.MSU": 0x10},
        {"\\_SB.NCPU": 128, "\\_SB.PR00.FLG": 1, "\\_SB.PR7F.FLG": 1},
    ],
)
def test_processor_hot_unplug(tmp_path, values):
    """The bitmap reads 0: processors that are online get an eject request, their flag goes, the checksum grows."""
    gone = [path for path in values if path.endswith("FLG")]
    commands = ["evaluate \\_GPE._E02", "evaluate \\_SB.MSU", *(f"evaluate {path}" for path in gone)]
    text = acpiexec(tmp_path, [OURS], *commands, values=values)
    assert complaints(text) == []
    for path in gone:
        assert f"Received a System Notify on [{path[5:9]}]" in text
    results = [int(number, 16) for number in re.findall(r"\[Integer\] = ([0-9A-F]+)", text)]
    assert results == [values.get("\\_SB.MSU", 0) + 2, 0, 0]


def test_slot_events(tmp_path):
    text = acpiexec(
        tmp_path, [OURS], "evaluate \\_GPE._E01", values={"\\_GPE.PCIU": 1 << 3, "\\_GPE.PCID": 1 << 31 | 1 << 8}
    )
    assert sorted(re.findall(r"Notify on \[(\w+)\] \S+ Value (0x\d+)", text)) == [
        ("S31_", "0x03"),
        ("S3__", "0x01"),
        ("S8__", "0x03"),
    ]


def test_the_region_lies_where_the_layout_says(tmp_path):
    moved = namespace(tmp_path, [build_dsdt(Gpa(0x1ABC000))])
    assert moved["\\_SB_.BIOS"] == "Region [SystemMemory] Addr 0000000001ABC000 Len 0028"


def test_iasl_takes_everything_apart(tmp_path):
    tables = {
        "dsdt.aml": OURS,
        "s3.aml": ssdt.sleep_s3(),
        "slate.aml": ssdt.laptop_slate(),
        "power.aml": ssdt.power(),
        "tpm.aml": ssdt.tpm12(),
        "tpm2.aml": ssdt.tpm20(),
        "device.aml": dm_acpi.namespace_device("NVDR", name("_ADR", 0)),
    }
    for file, table in tables.items():
        bad, _ = disassemble(tmp_path, {file: table})
        assert bad == [], file


def test_iasl_compiles_what_it_took_apart(tmp_path):
    for number, table in enumerate((OURS, ssdt.power())):
        _, (source,) = disassemble(tmp_path, {f"d{number}.aml": table})
        (tmp_path / f"again{number}.asl").write_text(source)
        done = run(tool("iasl"), "-vw", "3144", f"again{number}.asl", folder=tmp_path)
        assert " 0 Errors" in done.stdout, done.stdout + done.stderr


def test_all_tables_load_together(tmp_path):
    """DSDT and every SSDT that firmware can build, with one of a device that was passed in."""
    platform = case("A", keys={"platform/acpi_laptop_slate": "1"})
    platform.ports[0x88] = 0x1F
    platform.poke(0xFED40F00, bytes.fromhex("86800100"))
    stream = build_stream([device_entry("NVDR", name("_ADR", 0))])
    platform.write(Gpa(0x1FFFF000), stream)
    platform.keys |= {dm_acpi.ADDRESS_KEY: "0x1ffff000", dm_acpi.LENGTH_KEY: str(len(stream))}
    loaded = [body for signature, _, body in boot(platform).tables() if signature in ("DSDT", "SSDT")]
    assert len(loaded) == 7
    objects = namespace(tmp_path, loaded)
    for path, kind in {
        "\\_SB_.AC__": "Device",
        "\\_SB_.BAT0": "Device",
        "\\_SB_.BAT1": "Device",
        "\\_SB_.NVDR": "Device",
        "\\_SB_.NVDR._ADR": "Integer = 0000000000000000",
        "\\CONV": "Device",
        "\\TPM_": "Device",
        "\\_S3_": "Package Elements 04",
        "\\_S4_": "Package Elements 04",
    }.items():
        assert objects[path] == kind


@pytest.mark.parametrize("size", [49, 73, 76])
def test_small_ssdts_are_xens_byte_for_byte(size):
    ours = [
        table for table in (ssdt.sleep_s3(), ssdt.sleep_s4(), ssdt.laptop_slate(), ssdt.tpm12()) if len(table) == size
    ]
    assert xen("SSDT", size) in ours


def test_power_ssdt_has_the_devices_of_xens(tmp_path):
    theirs = namespace(tmp_path, [xen("DSDT", 37539), xen("SSDT", 1447)])
    ours = namespace(tmp_path, [OURS, ssdt.power()])
    devices = [path for path in theirs if re.match(r"\\_SB_\.(AC__|BAT[01])", path)]
    assert len(devices) == 19
    assert {path: ours[path] for path in devices} == {path: theirs[path] for path in devices}
    assert set(ours) <= set(theirs), "no name in \\_SB that Xen's tables do not have"


def test_every_name_in_sb_is_on_a_list(tmp_path):
    """A device that the device model passes cannot be lost to a clash: all names of its scope are known."""
    if not xen_tables():
        tables = [OURS, ssdt.power(), ssdt.laptop_slate(), ssdt.tpm12()]
    else:
        tables = [xen("DSDT", 37539), *(xen("SSDT", size) for size in (1447, 73, 76))]
    taken = {path[6:] for path in namespace(tmp_path, tables) if path.count(".") == 1 and path.startswith("\\_SB_.")}
    assert len(taken) > 180
    assert {name for name in taken if not dm_acpi.is_builtin_device(name)} <= dm_acpi.BUILTIN_SB_NAMES


def test_every_device_name_is_on_the_list(tmp_path):
    found = namespace(tmp_path, [OURS, ssdt.power(), ssdt.laptop_slate(), ssdt.tpm12()])
    devices = {path[-4:] for path, kind in found.items() if kind.startswith(("Device", "Processor"))}
    assert [name for name in devices - {"_SB_", "_TZ_"} if not dm_acpi.is_builtin_device(name)] == []


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        *(("PR00", True), ("PR7F", True), ("PR80", False), ("PR7G", False), ("PX00", False)),
        *(("S1__", True), ("S9__", True), ("S0__", False), ("SA__", False), ("S31_", True), ("S_1_", False)),
        *(("S00_", True), ("SFF_", True), ("SFG_", False), ("S000", False), ("NVDR", False), ("PCI0", True)),
    ],
)
def test_numbered_names(name, taken):
    assert dm_acpi.is_builtin_device(name) == taken
