"""`xlpy host event`: Dom0 is refused what would move a file under a guest, and what that would have cost."""

from __future__ import annotations

import pytest

FILE = "/mnt/pmem0/vm1.img"
EVENTS = ("truncate", "punch", "defrag", "reflink", "unlink", "remount")


@pytest.fixture
def guest(xlpy, configs):
    xlpy("create", "-q", configs / "quickstart.cfg")
    return xlpy


def test_everything_is_refused_while_a_domain_has_the_file(guest):
    before = guest("pmem", "resolve", FILE, "--json").json
    for kind in EVENTS:
        for option in ((), ("-n",)):
            shown = guest("host", "event", kind, FILE, *option, status=5).err
            assert "domain 1" in shown, kind
            assert ("busy inodes" if kind == "remount" else "Operation not permitted") in shown
    assert guest("pmem", "resolve", FILE, "--json").json == before


WHAT_IT_WOULD_HAVE_COST = [
    (("truncate",), 0x500000000, 64 << 20, "free blocks"),
    (("truncate", "--size", "32M"), 0x502000000, 32 << 20, "free blocks"),
    (("truncate", "--size", "4097"), 0x500002000, (64 << 20) - 8192, "free blocks"),
    (("punch", "--offset", "4K", "--length", "64K"), 0x500001000, 65536, "free blocks"),
    (("punch", "--offset", "1", "--length", "8191"), 0x500001000, 4096, "free blocks"),
    (("defrag",), 0x500000000, 64 << 20, "elsewhere"),
    (("reflink",), 0x500000000, 64 << 20, "changes both"),
    (("unlink",), 0x500000000, 64 << 20, "free blocks"),
    (("remount",), 0x500000000, 64 << 20, "page cache"),
]


def test_what_it_would_have_cost(guest):
    for words, gpa, length, now in WHAT_IT_WOULD_HAVE_COST:
        before = guest("pmem", "resolve", FILE, "--json").json
        kind, *options = words
        (row,) = guest("host", "event", kind, FILE, *options, "--force", "--json").json["cost"]
        assert (row["domid"], row["gpa"], row["length"]) == (1, gpa, length)
        assert row["offset"] == gpa - 0x500000000
        assert now in row["now"]
        assert f"{gpa:#x}" in guest("host", "event", kind, FILE, *options, "--force").out
        assert guest("pmem", "resolve", FILE, "--json").json == before


def test_nothing_is_lost_by_a_hole_of_no_block(guest):
    words = ("punch", FILE, "--offset", "1", "--length", "4095", "--force", "--json")
    assert guest("host", "event", *words).json["cost"] == []


def test_extents_are_told_apart(xlpy, configs, tmp_path, monkeypatch):
    monkeypatch.setenv("XLPY_ROOT", str(tmp_path / "refusals"))
    xlpy("host", "init", "--machine", configs / "machines" / "refusals.yaml")
    xlpy("create", "-q", configs / "scattered.cfg")
    rows = xlpy("host", "event", "unlink", "/mnt/pmem0/scattered.img", "--force", "--json").json["cost"]
    assert len(rows) > 1
    assert sum(row["length"] for row in rows) == 16 << 20


def test_without_a_domain_the_kernel_does_what_it_can(xlpy):
    assert "no domain has it" in xlpy("host", "event", "unlink", FILE, "--force", status=4).err
    for kind in ("defrag", "reflink"):
        assert "Operation not supported" in xlpy("host", "event", kind, FILE, status=6).err
    xlpy("host", "event", "-n", "unlink", FILE)
    xlpy("host", "event", "punch", FILE, "--offset", "4K", "--length", "4K")
    assert "hole" in xlpy("pmem", "resolve", FILE, status=7).err
    xlpy("pmem", "prepare", FILE)
    xlpy("host", "event", "truncate", FILE, "--size", "1M")
    assert xlpy("pmem", "resolve", FILE, "--json").json["size"] == 1 << 20
    xlpy("host", "event", "punch", FILE, "--offset", "4K", "--length", "0", status=6)
    assert "no DAX already" not in xlpy("host", "event", "-n", "remount", FILE).err
    for path in ("/", "/dev/pmem0"):
        assert "does not lie on a file system" in xlpy("host", "event", "remount", path, status=7).err
    xlpy("host", "event", "remount", "/mnt/pmem0")
    assert "page cache" in xlpy("pmem", "resolve", FILE, status=7).err
    xlpy("host", "event", "unlink", FILE)
    xlpy("pmem", "resolve", FILE, status=4)
