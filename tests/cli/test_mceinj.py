"""`xlpy mceinj`: a machine check from the command line, and everything that knows of it afterwards."""

from __future__ import annotations

import pytest

from xlpy.addr import Spa, Span
from xlpy.host import Host

GPA = 0x500001040
FILE = "/mnt/pmem0/vm1.img"


@pytest.fixture
def guest(xlpy, configs):
    xlpy("create", "-q", configs / "quickstart.cfg")
    return xlpy


def console(xlpy):
    return [line for line in xlpy("dmesg").out.splitlines() if line.startswith("(XEN)")]


def test_a_guest_gets_its_virtual_machine_check(guest, host_root):
    shown = guest("mceinj", "-d", "quickstart", "-p", GPA)
    assert shown.out == f"get gaddr of error inject is: {GPA:#x}\n"
    assert f"{FILE}: the line at 0x1040 is bad" in shown.err
    assert f"domain 1 got a virtual machine check at {GPA:#x}" in shown.err
    said = console(guest)
    assert "(XEN) HV MSR INJECT (interpose) target 0 actual 0 MSR 0x41d <-- 0xbd2000008000017a" in said
    assert said.index("(XEN) Simulating #MC on cpu 0") < said.index("(XEN) MCE: This error page is ownded by DOM 1")
    host = Host.open(host_root)
    domain = host.xen.domain(1)
    (check,) = domain.vmce
    assert (check.addr, check.status & 0xFFFF0000, check.status & 0xFFFF) == (GPA, 0, 0x17A)
    assert (domain.running, domain.vmce_pending) == (True, False)  # its handler survives
    assert domain.p2m.lookup(GPA >> 12).broken


def test_the_file_is_named_and_all_agree_on_it(guest, configs):
    """pmem list, resolve, create -n and create; another file beside it is fine."""
    guest("mceinj", "-d", "1", "-p", GPA)
    item = guest("pmem", "list", "--json").json["items"][0]
    assert item["bad_files"] == [{"path": FILE, "badblock_count": 1, "badblocks": [{"offset": 8, "length": 1}]}]
    assert f"warning: {FILE} has 1 of them, from 0x1000 on" in guest("pmem", "list").err
    guest("destroy", "quickstart")
    for words in (
        ("pmem", "resolve", FILE),
        ("create", "-n", configs / "quickstart.cfg"),
        ("create", configs / "quickstart.cfg"),
    ):
        assert "poisoned" in guest(*words, status=8).err
    guest("pmem", "mkfile", "1M", "/mnt/pmem0/other.img")
    guest("pmem", "resolve", "/mnt/pmem0/other.img")


def test_clearing_by_writing(guest, configs):
    guest("pmem", "write", FILE, "0", "--hex", "11", status=5)  # a domain has it
    guest("mceinj", "-d", "quickstart", "-p", GPA)
    guest("destroy", "quickstart")
    for length in ("32", "4K"):
        assert "Input/output error" in guest("pmem", "read", FILE, "4K", length, status=7).err
    guest("pmem", "read", FILE, "0", "4K")  # the page before
    assert "part of a block of 4096" in guest("pmem", "write", FILE, "4K", "--zero", "512", status=7).err
    assert "64 bad bytes would be" in guest("pmem", "write", "-n", FILE, "4K", "--zero", "4K").err
    assert "bad_files" in guest("pmem", "list", "--json").json["items"][0]
    guest("pmem", "write", FILE, "0", "--file", configs / "quickstart.cfg")
    assert guest("pmem", "read", FILE, "0", "4").out.startswith("0x000000000000  23 20")
    assert "64 bad bytes are cleared" in guest("pmem", "write", FILE, "4K", "--zero", "4K").err
    assert "badblocks" not in guest("pmem", "list", "--json").json["items"][0]
    guest("create", "-q", configs / "quickstart.cfg")


def test_a_dry_run_and_a_dump_change_nothing(guest, host_root):
    before = (host_root / "hw" / "poison.json").read_bytes()
    for words in (("-n",), ("-D",), ("-D", "--json")):
        guest("mceinj", *words, "-d", "quickstart", "-p", GPA)
    assert guest("mceinj", "-D", "-p", "0x440000000").out.splitlines()[1] == "Xen: gaddr=0x440000000"
    assert (host_root / "hw" / "poison.json").read_bytes() == before
    assert not any("#MC" in line for line in console(guest))


def test_json(guest):
    found = guest("mceinj", "-d", "1", "-p", GPA, "--json").json
    assert (found["schema"], found["verdict"], found["domid"], found["gpa"]) == ("xlpy.mceinj/1", "recovered", 1, GPA)
    assert (found["path"], found["offset"], found["notified"], found["dry_run"]) == (FILE, 0x1040, [1], False)


WHAT_CANNOT_BE = [
    (("-t", "5"), 2, "Unsupported error type 5"),
    (("-t", "2", "-l"), 2, "No support to inject CMCI as LMCE"),
    (("-c", "4"), 6, "-c 4 is larger than 3"),
    (("-d", "nobody"), 4, "nobody"),
    (("-d", "1", "-p", "0x600000000"), 6, "bad gfn 0x600000 of domain 1"),
    (("-p", "0x7f0000000000"), 6, "nothing is at host address"),
    (("-d", "0"), 6, "Dom0"),
]


def test_what_cannot_be(guest):
    for words, status, text in WHAT_CANNOT_BE:
        assert text in guest("mceinj", *words, status=status).err
        assert not any("HV MSR INJECT" in line for line in console(guest))


def test_a_corrected_error_is_only_logged(guest):
    found = guest("mceinj", "-t", "2", "-p", "0x4c0f00000", "--json").json
    assert (found["verdict"], found["domid"]) == ("continue", None)
    assert "badblocks" in guest("pmem", "list", "--json").json["items"][1]  # but the line is bad


def test_an_error_that_xen_cannot_handle_brings_the_host_down(guest, configs):
    found = guest("mceinj", "-t", "4", "-d", "1", "-p", GPA)
    assert "reset: processor context corrupt" in found.err
    said = found.err.splitlines()
    assert "(XEN) Fatal machine check: MCE: Fatal error happened on CPUs 1" in said
    assert said.index("(XEN) Panic on CPU 0:") + 1 == said.index("(XEN) HARDWARE ERROR")
    assert "the host has no power" in guest("list", status=5).err
    guest("host", "power", "on")
    guest("domid", "quickstart", status=4)
    guest("create", "-q", configs / "quickstart.cfg")


def test_a_second_check_that_the_guest_cannot_take_crashes_it(guest):
    """It is paused, so that its handler has not finished with the first one."""
    guest("pause", "quickstart")
    guest("mceinj", "-d", "1", "-p", GPA)
    guest("mceinj", "-d", "1", "-p", GPA + 0x2000)
    assert any("guest has not handled previous vMCE yet!" in line for line in console(guest))
    assert "quickstart" not in guest("list").out or "c" in guest("list").out


def test_dom0_reads_an_unknown_error(guest, host_root):
    """The machine check is how it is found."""
    host = Host.open(host_root)
    bad = host.dom0.namespaces[1].data.start + 4096
    host.hw.poison.add(Span(Spa(bad), 64))
    host.store.close()
    assert "badblocks" not in guest("pmem", "list", "--json").json["items"][1]
    guest("pmem", "read", "/dev/pmem1", "0", "4K")
    assert "Input/output error" in guest("pmem", "read", "/dev/pmem1", "0", "8K", status=7).err
    assert guest("pmem", "list", "--json").json["items"][1]["badblocks"] == [{"offset": 8, "length": 1}]
    assert "64 bad" in guest("pmem", "write", "/dev/pmem1", "4K", "--zero", "512").err
