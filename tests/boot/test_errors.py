"""Debian's kernel as judge of memory errors: ARS tells it what was bad before, a machine check what goes bad later.

One boot of about 15 s, by software emulation; see ``test_linux.py``, whose kit it uses.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from boot.test_linux import REPO, SECONDS, Guest, create, kit, one_at_a_time

from xlpy.cli.main import run
from xlpy.host import Host

pytestmark = pytest.mark.slow
__all__ = ["kit", "one_at_a_time"]

START = 0x500000000


@pytest.fixture(scope="module")
def guest(kit, one_at_a_time, made_host, tmp_path_factory):
    """What the guest said, and what xlpy said of the machine check that it got while it ran."""
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
    text = ""
    with subprocess.Popen(
        [*xlpy, *words, "--timeout", str(SECONDS)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            text += line
            if line.startswith("=== waiting"):
                words = ["mceinj", "-d", "quickstart", "-p", hex(START + 0x8000), "--json"]
                told = json.loads(subprocess.run([*xlpy, *words], capture_output=True, check=True).stdout)
    assert process.returncode == 0, text[-2000:]
    return Guest(text), told, root


def test_a_guest_finds_what_was_bad_before_by_scrubbing(guest):
    (namespace,) = guest[0].json("before")
    assert namespace["badblock_count"] == 1
    assert namespace["badblocks"] == [{"offset": 8, "length": 1, "dimms": ["nmem0"]}]
    assert "I/O error" in guest[0]["read"]


def test_a_machine_check_reaches_a_running_guest(guest):
    """Its kernel counts the exception, and adds the address to the region's bad blocks."""
    said, told, _ = guest
    assert (told["booted"], told["domid"], told["gpa"]) == (True, 1, START + 0x8000)
    assert said["after"].splitlines() == ["8 1", "64 1"]
    (counted,) = (line.split() for line in said["checks"].splitlines() if line.startswith("MCE:"))
    assert counted[1] == "1"
    assert "Machine check events logged" in said["dmesg"]


def test_a_guest_clears_errors_through_its_dsm(guest):
    said, _, root = guest
    assert "cleared 1 namespace" in said["cleared"]
    assert "badblock" not in said["cleared"]
    with Host.open(root) as host:
        assert list(host.hw.poison) == []
        assert list(host.xen.pmem.bad) == []


def test_a_guest_is_told_of_the_worst_of_its_dimms(guest):
    (dimm,) = guest[0].json("health")
    assert dimm["health"]["health_state"] == "fatal"
    assert dimm["health"]["spares_percentage"] == 7
    assert dimm["health"]["temperature_celsius"] == 81.5
    assert dimm["health"]["alarm_temperature"]
