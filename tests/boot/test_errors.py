"""Debian's kernel as judge of what happens while it runs: errors, health, vNVDIMMs that come and go.

ARS tells it what was bad before; machine checks and notifications tell it the rest. One boot of about 15 s, by software
emulation; see ``test_linux.py``, whose kit it uses.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from typing import NamedTuple

import pytest
from boot.test_linux import COMPLAINTS, KNOWN, REPO, SECONDS, Guest, backing, create, kit, one_at_a_time

from xlpy.addr import MIB
from xlpy.cli.main import run
from xlpy.host import Host

pytestmark = pytest.mark.slow
__all__ = ["kit", "one_at_a_time"]

START = 0x500000000
FILE = 0x7F7000  # where the guest's memory is in the host's /dev/pmem0
MEANWHILE = {  # what is done on the host when the guest says so
    "do_check": f"mceinj -d quickstart -p {START + 0x8000:#x} --json",
    "do_poison": f"ndctl inject-error namespace0.0 -B {(FILE + 0x3000) // 512} -n 1",
    "do_health": "ndctl inject-smart nmem1 -m 90",
    "do_attach": "nvdimm-attach quickstart file=/dev/pmem1,label_size=128K --json",
    "do_detach": "nvdimm-detach -f quickstart /dev/pmem1",
}


class Told(NamedTuple):
    """What the guest said, what the commands said that ran meanwhile, and the state directory."""

    guest: Guest
    host: dict[str, str]
    root: object


@pytest.fixture(scope="module")
def told(kit, one_at_a_time, made_host, tmp_path_factory):
    """See Told."""
    from copying import copy_tree

    del one_at_a_time
    folder = tmp_path_factory.mktemp("errors")
    root = folder / "host"
    copy_tree(made_host, root)
    create(root, (REPO / "configs" / "quickstart.cfg").read_text(), folder)
    xlpy = [sys.executable, "-m", "xlpy", "--root", str(root)]
    for line in (f"mceinj -d quickstart -p {START + 0x1040:#x}", "ndctl inject-smart nmem1 -f -s 7 -m 81.5"):
        assert run(["--root", str(root), *line.split()]) == 0
    kernel, initrd = kit(REPO / "tests" / "boot" / "guest" / "errors.sh")
    words = ["boot", "quickstart", "--kernel", kernel, "--initrd", initrd, "--append", "quiet maxcpus=1"]
    text, said = "", {}
    with subprocess.Popen(
        [*xlpy, *words, "--timeout", str(SECONDS)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            text += line
            what = line.strip().removeprefix("=== ")
            if what in MEANWHILE:
                done = subprocess.run([*xlpy, *MEANWHILE[what].split()], capture_output=True, check=True, text=True)
                said[what] = done.stdout
    assert process.returncode == 0, text[-2000:]
    return Told(Guest(text), said, root)


def test_a_guest_finds_what_was_bad_before_by_scrubbing(told):
    (namespace,) = told.guest.json("before")
    assert namespace["badblock_count"] == 1
    assert namespace["badblocks"] == [{"offset": 8, "length": 1, "dimms": ["nmem0"]}]
    assert "I/O error" in told.guest["read"]


def test_a_machine_check_reaches_a_running_guest(told):
    """Its kernel counts the exception, and adds the address to the region's bad blocks."""
    check = json.loads(told.host["do_check"])
    assert (check["booted"], check["domid"], check["gpa"]) == (True, 1, START + 0x8000)
    assert told.guest["after"].splitlines() == ["8 1", "64 1"]
    (counted,) = (line.split() for line in told.guest["checks"].splitlines() if line.startswith("MCE:"))
    assert counted[1] == "1"
    assert "Machine check events logged" in told.guest["dmesg"]


def test_a_guest_clears_errors_through_its_dsm(told):
    assert "cleared 1 namespace" in told.guest["cleared"]
    assert "badblock" not in told.guest["cleared"]
    with Host.open(told.root) as host:
        assert [span.start - 0x443DF7000 for span in host.hw.poison] == [0x3000]  # what was injected afterwards


def test_a_guest_is_told_of_the_worst_of_its_dimms(told):
    (dimm,) = told.guest.json("health")
    assert dimm["health"]["health_state"] == "fatal"
    assert dimm["health"]["spares_percentage"] == 7
    assert dimm["health"]["temperature_celsius"] == 81.5
    assert dimm["health"]["alarm_temperature"]


def test_an_error_that_the_host_finds_makes_the_guest_scrub(told):
    """Notification 0x81 of the root device."""
    assert told.guest["poisoned"] == "24 1\n"


def test_news_of_health_reach_who_monitors_it(told):
    """Notification 0x81 of the vNVDIMM wakes `ndctl monitor`, which has set the guest's own alarms through ``_DSM``."""
    before, after = (int(told.guest[name].split()[0]) for name in ("events", "worse"))
    assert after == before + 1
    event = told.guest["monitor"]
    assert '"dev":"nmem0"' in event
    assert '"temperature_celsius":90.0' in event


def test_a_vnvdimm_is_attached_to_a_running_guest(told):
    """Notification 0x80: Linux evaluates ``_FIT``, finds a DIMM and a region; what it writes there is on the media."""
    assert json.loads(told.host["do_attach"])["slot"] == 1
    found = told.guest.json("attached")
    assert [(one["dev"], one["handle"]) for one in found["dimms"]] == [("nmem1", 2)]
    (region,) = found["regions"]
    assert (region["dev"], region["size"], region["persistence_domain"]) == ("region1", 512 * MIB, "memory_controller")
    assert backing(told.root, "/dev/pmem1").startswith(KNOWN)


def test_a_vnvdimm_is_taken_from_a_running_guest(told):
    """Its memory reads as zeros from then on. Linux has no way to forget a region, and says so."""
    assert "disabled 1 region" in told.guest["disabled"]
    assert hashlib.md5(bytes(4096)).hexdigest() in told.guest["detached"]
    assert "new nfit deletes entries" in told.guest["dmesg"]
    with Host.open(told.root) as host:
        assert [one.path for one in host.domain("quickstart").record.vnvdimms] == ["/mnt/pmem0/vm1.img"]


def test_linux_has_no_complaint(told):
    """But for the machine check, which taints a kernel."""
    complaints = [line for line in told.guest["dmesg"].splitlines() if COMPLAINTS.search(line)]
    assert [line for line in complaints if "due to kernel taint" not in line] == []
