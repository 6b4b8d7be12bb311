"""Whatever toolstack and device model leave for it, hvmloader finishes or stops with a reason: nothing else."""

from __future__ import annotations

from hvmloader.fake_platform import FakePlatform, case
from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.addr import Gpa
from xlpy.errors import FirmwareStopped
from xlpy.firmware.acpi.nfit import SpaRange
from xlpy.firmware.acpi.nfit_format import build_nfit
from xlpy.firmware.dm_acpi import build_stream, device_entry, table_entry
from xlpy.firmware.hvmloader.dm_acpi import ADDRESS_KEY, LENGTH_KEY
from xlpy.firmware.hvmloader.main import run

AREA = Gpa(0x1FFFF000)
GOOD = build_stream([table_entry(build_nfit([SpaRange(1, 1 << 34, 1 << 30)])), device_entry("NVDR", b"\xa3" * 9)])

numbers = st.one_of(st.integers(-(2**70), 2**70).map(str), st.integers(0, 2**33).map(hex), st.text(max_size=6))
NUMERIC = (
    *("hvmloader/acpi/address", "hvmloader/acpi/length", ADDRESS_KEY, LENGTH_KEY),
    *("platform/mmio_hole_size", "platform/generation-id", "platform/tpm_version", "bios-strings/bios-vendor", "vm"),
)


def finishes_or_stops(platform: FakePlatform) -> None:
    try:
        run(platform)
    except FirmwareStopped:
        assert platform.stopped == 3
        assert platform.lines[-1] == "*** HVMLoader crashed."
    else:
        assert platform.stopped is None
        assert platform.lines[-1] == "Invoking SeaBIOS ..."


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(NUMERIC), numbers, max_size=4), st.booleans())
def test_any_keys(keys, relocate):
    finishes_or_stops(case("A", keys=keys | {"hvmloader/allow-memory-relocate": str(int(relocate))}))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_damage_to_the_stream(data):
    stream = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 3))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    length = data.draw(st.one_of(st.just(len(GOOD)), st.integers(1, 4096)))
    platform = case("A", keys={ADDRESS_KEY: hex(AREA), LENGTH_KEY: str(length)})
    platform.write(AREA, bytes(stream))
    finishes_or_stops(platform)


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=36, max_size=200))
def test_any_passed_through_bytes(blob):
    keys = {"hvmloader/acpi/address": "0x134000", "hvmloader/acpi/length": str(len(blob))}
    platform = case("A", keys=keys)
    platform.write(Gpa(0x134000), blob)
    finishes_or_stops(platform)
