"""`xlpy ndctl` on a host: errors, health, who is in the way, what Xen is told, and xlpy's own additions."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import pytest
from copying import copy_tree

from xlpy.cli.main import run
from xlpy.host import Host

MACHINE = """
name: ndctl
ram: 4G
cpu: {count: 2, physical_bits: 40}
dimms:
  - {id: a, capacity: 128M, label_size: 128K, handle: 0x01}
  - {id: b, capacity: 128M, label_size: 128K, handle: 0x11}
  - {id: c, capacity: 64M, label_size: 128K, handle: 0x21}
sets:
  - {name: pair, dimms: [a, b], line: 4K, labels: '1.2'}
  - {name: single, dimms: [c], labels: '1.2'}
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ndctl")
    (folder / "machine.yaml").write_text(MACHINE)
    Host.make(folder / "host", folder / "machine.yaml").store.close()
    return folder / "host"


@pytest.fixture
def ndctl(template, tmp_path, monkeypatch, capfdbinary):
    """Run `xlpy ndctl WORDS`, or another command; (standard output, standard error)."""
    copy_tree(template, tmp_path / "host")
    monkeypatch.setenv("XLPY_ROOT", str(tmp_path / "host"))

    def call(line: str, status: int = 0, command: str = "ndctl") -> tuple[str, str]:
        capfdbinary.readouterr()
        got = run([*command.split(), *line.split()])
        out, err = (one.decode(errors="replace") for one in capfdbinary.readouterr())
        assert got == status, err
        return out, err

    return call


def one(out: str) -> dict:
    """The only object of a listing."""
    found = json.loads(out)
    if isinstance(found, list):
        (found,) = found
    return found


# --- errors ----------------------------------------------------------------------------------------------------------


def test_an_error_is_injected_found_and_cleared(ndctl):
    ndctl("create-namespace -r region1 -s 32M")
    told = one(ndctl("inject-error namespace1.0 -B 8 -n 2")[0])
    assert told["badblock_count"] == 2
    assert told["badblocks"] == [{"offset": 8, "length": 2}]
    assert one(ndctl("list -M -n namespace1.0")[0])["badblocks"] == told["badblocks"]
    assert one(ndctl("list -RM -r region1")[0])["badblock_count"] == 2
    assert json.loads(ndctl("inject-error namespace1.0 -t")[0]) == {"badblocks": [{"block": 8, "count": 2}]}
    out, err = ndctl("clear-errors namespace1.0")
    assert "badblock_count" not in one(out)
    assert err == "cleared 1 namespace\n"
    assert ndctl("inject-error namespace1.0 -t") == ("", "")


def test_an_unreported_error_is_found_by_a_scrub(ndctl):
    ndctl("create-namespace -r region1 -s 32M")
    assert "badblocks" not in one(ndctl("inject-error namespace1.0 -B 0 -n 1 --no-notify")[0])
    assert "badblocks" not in one(ndctl("list -M -n namespace1.0")[0])
    assert one(ndctl("start-scrub")[0])["scrub_state"] == "idle"
    assert one(ndctl("list -M -n namespace1.0")[0])["badblocks"] == [{"offset": 0, "length": 1}]
    assert one(ndctl("wait-scrub ACPI.NFIT")[0])["dev"] == "ndbus0"


def test_clear_errors_can_scrub_first(ndctl):
    ndctl("create-namespace -r region1 -s 32M -m raw")
    ndctl("inject-error namespace1.0 -B 16 -n 1 -N")
    ndctl("clear-errors -s namespace1.0")
    assert ndctl("inject-error namespace1.0 -t")[0] == ""


def test_an_injection_is_taken_back(ndctl):
    ndctl("create-namespace -r region1 -s 32M")
    ndctl("inject-error namespace1.0 -B 8 -n 1")
    out, _ = ndctl("inject-error namespace1.0 -B 8 -n 1 -d")
    warning, _, told = out.partition("\n\n")
    assert warning.startswith("Warning: Un-injecting previously injected errors here will")
    assert json.loads(told)["badblock_count"] == 1, "the kernel goes on believing in it"
    assert ndctl("inject-error namespace1.0 -t")[0] == ""


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ("-B 70000 -n 1", 234, "Unable to inject error: Invalid argument (-22)"),
        ("-B 0 -n 0", 234, "Unable to inject error: Invalid argument (-22)"),
        ("-B 0 -n 1 -b e820", 250, "namespace1.0: no such namespace"),
    ],
)
def test_injections_that_are_refused(ndctl, words, status, said):
    ndctl("create-namespace -r region1 -s 32M")
    assert said in ndctl(f"inject-error namespace1.0 {words}", status)[1]


def test_sector_mode_has_no_place_for_an_injection(ndctl):
    ndctl("create-namespace -r region1 -s 32M -m sector")
    assert "Operation not supported" in ndctl("inject-error namespace1.0 -B 0 -n 1", 161)[1]


# --- health ----------------------------------------------------------------------------------------------------------


def test_health_is_listed_injected_and_taken_back(ndctl):
    health = one(ndctl("list -DH -d nmem0")[0])["health"]
    assert list(health)[:4] == [
        "health_state",
        "temperature_celsius",
        "controller_temperature_celsius",
        "spares_percentage",
    ]
    assert health["health_state"] == "ok"
    told = one(ndctl("inject-smart nmem0 -m 90.0625 -s 5 -f -U")[0])["health"]
    assert (told["health_state"], told["temperature_celsius"], told["spares_percentage"]) == ("fatal", 90.0625, 5)
    assert told["alarm_temperature"] is True
    assert told["shutdown_state"] == "dirty"
    assert one(ndctl("list -DH -d nmem0")[0])["health"] == told
    assert one(ndctl("inject-smart nmem0 -N")[0])["health"] == health
    told = one(ndctl("inject-smart nmem0 -M 20 --media-temperature-alarm=on --spares-alarm=off")[0])["health"]
    assert told["temperature_threshold"] == 20.0
    assert told["alarm_enabled_media_temperature"] is True
    assert told["alarm_enabled_spares"] is False


# --- who is in the way, and what Xen is told -------------------------------------------------------------------------


@pytest.fixture
def domain(ndctl, tmp_path):
    """A domain that has /dev/pmem1."""
    ndctl("create-namespace -r region1 -s 32M --reserve xen")
    config = tmp_path / "vm.cfg"
    config.write_text('name = "vm"\ntype = "hvm"\nmemory = 64\nvnvdimm = ["file=/dev/pmem1"]\n')
    ndctl(f"-q {config}", command="create")


def pending(ndctl) -> list[list]:
    """Notifications that wait for the guest."""
    return json.loads(ndctl("vm --json", command="nvdimm-list")[0])["items"][0]["pending"]


def test_a_guest_sees_how_its_dimm_is_by_now(ndctl, domain):
    assert "health ok" in ndctl("vm", command="guest probe")[0]
    ndctl("inject-smart nmem2 -s 50")
    assert pending(ndctl) == [], "nothing to be told of"
    ndctl("inject-smart nmem0 -f")
    assert pending(ndctl) == [], "another DIMM"
    ndctl("inject-smart nmem2 -f")
    assert pending(ndctl) == [["\\_SB.NVDR.NV00", 0x81]]
    assert "health fatal" in ndctl("vm", command="guest probe")[0]
    assert pending(ndctl) == [], "the guest has asked"
    ndctl("inject-smart nmem2 -N")
    assert "health ok" in ndctl("vm", command="guest probe")[0]
    ndctl("inject-smart nmem2 -S 60 --spares-alarm=off")
    ndctl("inject-smart nmem2 -s 50")
    assert pending(ndctl) == [], "the alarm is off"
    ndctl("inject-smart nmem2 --spares-alarm=on")
    assert pending(ndctl) == [["\\_SB.NVDR.NV00", 0x81]]


def choose(*thresholds: int) -> None:
    """The guest sets its own: alarm control, spares, temperatures of media and controller in sixteenths of a degree."""
    from struct import pack

    from xlpy.devicemodel.mailbox import Request
    from xlpy.firmware.acpi.guid import NVDIMM_DEVICE, guid_bytes
    from xlpy.toolstack.domain.model import device_model

    data = pack("<HBHH", *thresholds)
    with Host.open(os.environ["XLPY_ROOT"]) as host:
        model = device_model(host.xen, host.xenstore, host.store, host.domid("vm"))
        assert model.answer(Request(1, 2, 17, guid_bytes(NVDIMM_DEVICE), len(data), data)) == bytes(4)


def test_a_guest_has_thresholds_of_its_own(ndctl, domain):
    """Those of the DIMM stay as they are."""
    choose(1, 60, 1600, 1600)
    ndctl("inject-smart nmem2 -s 70")
    assert pending(ndctl) == []
    ndctl("inject-smart nmem2 -s 50")
    assert pending(ndctl) == [["\\_SB.NVDR.NV00", 0x81]]
    assert "health ok" in ndctl("vm", command="guest probe")[0]
    ndctl("inject-smart nmem2 -m 90")
    assert pending(ndctl) == [["\\_SB.NVDR.NV00", 0x81]], (
        "spares still; the DIMM's temperature alarm is not the guest's"
    )
    assert one(ndctl("list -DH -d nmem2")[0])["health"]["spares_threshold"] == 10
    choose(0, 60, 1600, 1600)
    ndctl("vm", command="guest probe")
    ndctl("inject-smart nmem2 -m 95")
    assert pending(ndctl) == [], "it has switched its alarms off"
    ndctl("inject-smart nmem2 -f")
    assert pending(ndctl) == [["\\_SB.NVDR.NV00", 0x81]], "a failing DIMM is always told"


def test_a_guest_whose_set_has_no_dimm_is_told_of_no_health(tmp_path, ndctl, monkeypatch):
    (tmp_path / "legacy.yaml").write_text(
        "name: legacy\nram: 1G\nsets: [{name: set0, size: 64M}]\n"
        "namespaces: [{region: set0, mode: fsdax, reserve: true}]\n"
    )
    monkeypatch.setenv("XLPY_ROOT", str(tmp_path / "legacy"))
    ndctl(f"init --machine {tmp_path / 'legacy.yaml'}", command="host")
    (tmp_path / "vm.cfg").write_text('name = "vm"\ntype = "hvm"\nmemory = 64\nvnvdimm = ["file=/dev/pmem0"]\n')
    ndctl(f"-q {tmp_path / 'vm.cfg'}", command="create")
    assert "health not told" in ndctl("vm", command="guest probe")[0]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ("destroy-namespace -f namespace1.0", 240, "destroyed 0 namespaces"),
        ("disable-namespace namespace1.0", 240, "disabled 0 namespaces"),
        ("disable-region region1", 0, "disabled 0 regions"),
        ("create-namespace -f -e namespace1.0 -m raw", 240, "failed to reconfigure namespace: Device or resource busy"),
        ("clear-errors namespace1.0", 240, "cleared 0 namespaces"),
        ("disable-dimm nmem2", 1, "nmem2 is active, skipping..."),
        ("zero-labels nmem2", 1, "nmem2: regions active, abort label write"),
    ],
)
def test_what_a_domain_uses_is_busy(ndctl, domain, words, status, said):
    before = ndctl("list -v")
    assert said in ndctl(words, status)[1]
    assert ndctl("list -v") == before
    ndctl("vm", command="destroy")
    if status:
        ndctl("disable-region region1")


def test_xen_is_told_of_namespaces_that_come_and_go(ndctl):
    def known() -> list[str]:
        return [
            item["dev"] for item in json.loads(ndctl("list --json", command="pmem")[0])["items"] if item["registered"]
        ]

    assert known() == []
    ndctl("create-namespace -r region1 -s 32M --reserve xen")
    assert known() == ["namespace1.0"]
    ndctl("create-namespace -r region0 -s 64M -m devdax --reserve xen")
    assert known() == ["namespace0.0", "namespace1.0"]
    ndctl("disable-namespace namespace1.0")
    assert known() == ["namespace0.0"]
    ndctl("destroy-namespace -f all")
    assert known() == []


# --- xlpy's own ------------------------------------------------------------------------------------------------------


def test_room_is_kept_for_another_owner(ndctl):
    plain = one(ndctl("create-namespace -r region0 -s 128M -a 4K -M mem")[0])["size"]
    ndctl("destroy-namespace -f all")
    xen = one(ndctl("create-namespace -r region0 -s 128M -a 4K -M mem --reserve xen")[0])["size"]
    ndctl("destroy-namespace -f all")
    large = one(ndctl("create-namespace -r region0 -s 128M -a 4K -M mem --reserve 10M")[0])["size"]
    pages = (128 << 20) // 4096
    assert plain >= xen >= plain - (40 * pages + (2 << 20) + 8192)
    assert plain - large >= 10 << 20


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ("--reserve x", 129, "failed to parse reserve 'x'"),
        ("-m raw --reserve xen", 129, "--reserve only valid for fsdax and devdax mode"),
        ("-s 32M --reserve 64G", 237, "is more than"),
    ],
)
def test_a_reserve_that_cannot_be(ndctl, words, status, said):
    assert said in ndctl(f"create-namespace -r region0 {words}", status)[1]
    assert ndctl("list") == ("", "")


def test_a_process_that_goes_on_sees_what_others_make(ndctl, tmp_path):
    """Of regions and DIMMs alike: what is free goes with what is there."""
    from xlpy.cli.ndctl.session import NdctlSession

    with Host.open(tmp_path / "host") as host:
        session = NdctlSession(SimpleNamespace(host=host), "ndctl", "76")
        with session.looking():
            free = session.nd.region("region1").available_size
        ndctl("create-namespace -r region1 -s 32M")
        again = NdctlSession(SimpleNamespace(host=host), "ndctl", "76")
        with again.looking():
            region = again.nd.region("region1")
            assert [one.size for one in region.namespaces if one.size] == [32 << 20]
            assert region.available_size == free - (32 << 20)


def test_a_dry_run_prints_and_keeps_nothing(ndctl):
    made = one(ndctl("create-namespace -r region1 -s 32M", command="-N ndctl")[0])
    assert made["dev"] == "namespace1.0"
    assert ndctl("list") == ("", "")
    ndctl("create-namespace -r region1 -s 32M --reserve xen")
    before = ndctl("", command="dmesg")[0]
    ndctl("inject-error namespace1.0 -B 8 -n 1", command="-N ndctl")
    assert ndctl("", command="dmesg")[0] == before, "Xen's log does not tell of it"


def test_another_version_is_answered_for(ndctl):
    assert ndctl("--version")[0] == "76.1\n"
    assert ndctl("--like 85 --version")[0] == "85\n"
    assert ndctl("--like=85 list") == ("", "")
    out, err = ndctl("--like 12 list", 2)
    assert (out, err.splitlines()[0]) == ("", "error: --like 12: not a version that is known")


def test_what_is_not_emulated_says_so(ndctl):
    assert "monitor is not emulated" in ndctl("monitor", 161)[1]
    assert "dax0.0: mode system-ram is not emulated" not in ndctl("list", command="daxctl")[1]


def test_devdax_does_not_become_memory(ndctl):
    ndctl("create-namespace -r region1 -m devdax")
    _, err = ndctl("reconfigure-device -m system-ram dax1.0", 161, command="daxctl")
    assert "persistent memory does not become memory of Dom0 here" in err
    assert err.endswith("reconfigured 0 devices\n")


def test_a_name_is_bytes(ndctl, tmp_path):
    """Linux takes any; what is no UTF-8 comes back as it was."""
    ndctl("create-namespace -r region0 -s 32M -n \udcffdata", 0)
    with Host.open(tmp_path / "host") as host:
        assert b"\xffdata\0" in host.hw.labels_read("a", 0, 8192)
        assert host.dom0.nd.buses[0].regions[0].namespaces[0].alt_name == "\udcffdata"


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        ("inject-smart nmem0 -m nan", 234, "Invalid argument: media_temperature: nan"),
        ("write-labels -i . nmem0", 1, "failed to open: .: (Is a directory)"),
    ],
)
def test_input_that_is_none(ndctl, line, status, said):
    assert said in ndctl(line, status)[1]
