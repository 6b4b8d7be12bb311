"""What a guest or a stranger's file has put into a name cannot act on the terminal; JSON tells it exactly."""

from __future__ import annotations

import re
import subprocess
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlpy.cli.show import visible
from xlpy.dom0.nvdimm.labels import TYPE_PMEM, Label, empty_index
from xlpy.dom0.nvdimm.labelset import Member, cookies
from xlpy.firmware.acpi.nfit import ControlRegion
from xlpy.firmware.acpi.nfit_format import parse_nfit
from xlpy.guest.machine import interpreter
from xlpy.host import Host

HOSTILE = "\x1b]0;x\x07\x9b2J\u202e\u2066\u200fé"
"""Sets a window's title, clears a screen, turns the direction of writing: well-known sequences, harmless here."""
ACTS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, größe, 漢字\u3000\xa0", "plain text, größe, 漢字\u3000\xa0"),
        ("\x00\x1b\x1f\x7f\x80\x9b\x9f", r"\x00\x1b\x1f\x7f\x80\x9b\x9f"),
        ("a\nb\tc\rd", r"a\nb\tc\rd"),
        ("\u061c\u200e\u200f\u202a\u202e\u2066\u2069", r"\u061c\u200e\u200f\u202a\u202e\u2066\u2069"),
        ("\u2028\u2029\u200b\ufeff\U000e0001", r"\u2028\u2029\u200b\ufeff\U000e0001"),
        ("\ud800\udc80\udc9f\udca0\udcff", "\\ud800\\x80\\x9f\udca0\udcff"),
        (r"back\slash", r"back\slash"),
        ("", ""),
    ],
)
def test_visible(text, shown):
    assert visible(text) == shown


@given(st.text(st.characters()))
def test_nothing_that_acts_is_left(text):
    shown = visible(text)
    assert all(unicodedata.category(c) not in ("Cc", "Cf", "Zl", "Zp") for c in shown)
    assert all(c not in shown for c in map(chr, range(0xD800, 0xDCA0)))


@pytest.fixture
def hostile(xlpy, host_root, tmp_path):
    """A domain whose name, label, xenstore values and console output try to act on the terminal."""
    name = f"{HOSTILE}\nerror: forged"
    config = tmp_path / "vm.cfg"
    text = 'type = "hvm"\nmemory = 256\nvnvdimm = [ "file=/mnt/pmem0/vm1.img" ]\nname = "'
    config.write_bytes(text.encode() + name.replace("\n", "\\n").encode() + b'"\n')
    xlpy("create", "-q", config)
    host = Host.open(host_root)
    with host.change("test"):
        write_label(host.domain("1"), HOSTILE[:20].encode("utf-8", "replace").decode(errors="ignore"))
        host.xenstore.connection(1).write("data/" + "x", name.encode("utf-8", "replace").decode("latin-1"))
        host.xen.domain(1).xen.console.write(f"(d1) {name}")
    host.store.close()
    return name


def write_label(domain, name):
    """A namespace label through _LSW, as a driver writes it."""
    nfit = next(table.data for table in domain.acpi_tables() if table.signature == "NFIT")
    control = next(one for one in parse_nfit(nfit) if isinstance(one, ControlRegion))
    member = Member(0, control.serial_number, control.vendor_id)
    label = Label(
        uuid=bytes(range(16)), name=name, flags=0, nlabel=1, position=0, isetcookie=cookies([member]).v1_2,
        lbasize=512, dpa=0, rawsize=16 << 20, slot=0, type=TYPE_PMEM,
    )  # fmt: skip
    aml = interpreter(domain)
    blocks = [empty_index(128 << 10, at) for at in (0, 1)]
    blocks[0] = blocks[0]._replace(free=blocks[0].free & ~1)
    for block in blocks:
        assert aml.evaluate("\\_SB.NVDR.NV00._LSW", block.own, len(block.build()), block.build()) == 0
    assert aml.evaluate("\\_SB.NVDR.NV00._LSW", blocks[0].labels, 256, label.build()) == 0


COMMANDS = [
    "list", "list -v", "list -l", "vm-list", "domname 1", "vcpu-list", "uptime", "map 1", "--color always map 1",
    "guest probe 1", "xenstore ls", "xenstore read /local/domain/1/data/x", "xenstore read -p /local/domain/1/name",
    "dmesg", "nvdimm-list 1", "pmem list", "--color always pmem list", "host show", "acpi namespace 1", "acpi dump 1",
    "acpi eval 1 \\_SB.NVDR.NV00._LSI", "info", "-vv list",
]  # fmt: skip


@pytest.mark.parametrize("line", COMMANDS)
def test_no_listing_acts_on_the_terminal(xlpy, hostile, line):
    found = xlpy(*line.split())
    shown = re.sub("^Name .*\n", "", found.out) + found.err  # xl has tabs in this line
    if "always" in line:
        shown = re.sub("\x1b\\[[0-9;]*m", "", shown)
    assert ACTS.search(shown) is None, ACTS.search(shown)
    assert not re.search("^error: forged", shown, re.M)


def test_it_is_shown(xlpy, hostile):
    shown = r"\x1b]0;x\x07\x9b2J\u202e\u2066\u200fé\nerror: forged"
    for line in ("list", "vm-list", "domname 1", "dmesg", "xenstore read /local/domain/1/name"):
        assert shown in xlpy(*line.split()).out, line
    assert r"named \x1b]0;x\x07\x9b2J\u202e" in xlpy("guest", "probe", "1").out


def test_json_has_it_exactly(xlpy, hostile):
    assert xlpy("list", "--json").json["items"][0]["name"] == hostile
    assert xlpy("list", "-l").json[-1]["config"]["c_info"]["name"] == hostile
    assert xlpy("xenstore", "read", "/local/domain/1/name", "--json").json["items"][0]["value"] == hostile
    assert HOSTILE[:15] in [one["name"][:15] for one in xlpy("guest", "probe", "1", "--json").json["pmem"]]


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["list", HOSTILE], 4),
        (["create", f"/tmp/{HOSTILE}.cfg"], 4),
        (["pmem", "resolve", f"/mnt/{HOSTILE}"], 4),
        (["xenstore", "read", f"/{HOSTILE}"], 2),
        (["host", "init", "--machine", f"/tmp/{HOSTILE}"], 4),
        (["acpi", "check", f"/tmp/{HOSTILE}"], 4),
        ([HOSTILE], 2),
        (["list", f"--{HOSTILE}"], 2),
        (["pmem", "mkfile", HOSTILE, "/mnt/pmem0/x"], 2),
    ],
    ids=lambda words: words[0] if isinstance(words, list) else None,
)
def test_errors_show_it_too(xlpy, words, status, tmp_path):
    found = xlpy(*words, status=status)
    assert ACTS.search(found.err) is None
    assert re.search("^error: ", found.err, re.M)


def test_a_configuration_cannot_draw_its_own_errors(xlpy, tmp_path):
    config = tmp_path / "vm.cfg"
    config.write_bytes(f'name = "a"\ntype = "{HOSTILE}"\nmemory = 1 {HOSTILE}\n'.encode())
    for words in (("create", "-n", config), ("config", "check", config)):
        found = xlpy(*words, status=3)
        assert ACTS.search(found.out + found.err) is None


def test_completion_offers_nothing_that_acts(host_root, hostile):
    script = f"_XLPY_COMPLETE=bash_complete COMP_WORDS='xlpy destroy ' COMP_CWORD=2 XLPY_ROOT={host_root} xlpy"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert ACTS.search(done.stdout.replace("\n", "")) is None
