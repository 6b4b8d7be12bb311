"""A real, unmodified Xen as judge of what `xlpy export` makes of the design's configuration, and of xlpy beside xl."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import subprocess

import pytest
from realxen.debian import Unavailable
from realxen.judge import Judged, judge

from xlpy.dom0.ext4.tools import find_program

pytestmark = pytest.mark.slow

KNOWN = b"".join(b"%d\n" % number for number in range(1, 20001))
DIGEST = hashlib.md5(KNOWN).hexdigest()
COMPLAINTS = re.compile(r"ACPI Error|ACPI BIOS|ACPI Warning|AE_|\[Firmware|[Tt]aint|Call Trace|WARNING:")
FILE = 32 << 20


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Two boots for all tests, whichever process comes first."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "real-xen"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            try:
                judge(folder)
                (folder / "done").write_text("")
            except Unavailable as error:
                (folder / "done").write_text(str(error))
        missing = (folder / "done").read_text()
    if missing:
        pytest.skip(f"no real Xen here: {missing}")
    return Judged(folder)


def test_the_file_lies_in_extents_out_of_order(judged):
    extents = judged.extents["vm1.img"]
    assert len(extents) >= 3
    addresses = [spa for _, spa, _ in extents]
    assert addresses != sorted(addresses)
    assert sum(length for *_, length in extents) == FILE


def test_export_check_and_the_real_create_succeed(judged):
    for section in ("export", "check", "create"):
        assert judged.statuses(section) == [0], judged.sections[section]


def test_the_configuration_names_every_extent(judged):
    text = (judged.out / "export" / "vm1.cfg").read_text()
    entries = [[int(word, 16) for word in row] for row in re.findall(r'"(\w+),(\w+)@(\w+)"', text)]
    pages = {mfn + n for mfn, count, _ in entries for n in range(count)}
    wanted = {
        (spa + at) >> 12 for rows in judged.extents.values() for _, spa, size in rows for at in range(0, size, 4096)
    }
    assert pages == wanted
    assert "vnvdimm" not in re.sub(r"#.*", "", text)


def test_the_guest_finds_the_pmem(judged):
    guest = judged.guest(1)
    assert guest["size"] == f"{FILE}\n"
    listed = json.loads(guest["list"])
    (region,) = listed["regions"] if "regions" in listed else listed["buses"][0]["regions"]
    assert region["size"] == FILE


@pytest.mark.parametrize("number", [1, 2])
def test_the_guest_has_no_complaint(judged, number):
    guest = judged.guest(number)
    assert "end" in guest
    assert [line for line in guest["dmesg"].splitlines() if COMPLAINTS.search(line)] == []
    assert guest["taint"] == "0\n"


def test_labels_and_a_namespace_are_made_through_aml_alone(judged):
    guest = judged.guest(1)
    assert "initialized 1 nmem" in guest["labels"]
    assert "successfully verified 1 nmem label" in guest["labels"]
    assert json.loads(guest["namespace"])["mode"] == "fsdax"
    assert "ext4 rw,relatime,dax=always" in guest["file"]
    assert DIGEST in guest["file"]


def test_what_the_guest_wrote_is_at_the_extents_addresses_on_the_media(judged, tmp_path):
    image = tmp_path / "image"
    image.write_bytes(judged.media("vm1.img"))
    where = f"{image}?offset={2 << 20}"
    cat = subprocess.run([find_program("debugfs"), "-R", "cat /known", where], capture_output=True, check=True)
    assert cat.stdout == KNOWN
    assert b"NAMESPACE_INDEX" in judged.media("vm1.labels")


def test_dom0_finds_it_in_the_file(judged):
    text = judged.sections["release"]
    assert DIGEST in text
    assert hashlib.md5(judged.media("vm1.img")).hexdigest() in judged.sections["again"]


def test_a_second_guest_on_the_same_file_is_refused(judged):
    assert judged.statuses("refused") == [5], judged.sections["refused"]
    assert "vm1" in judged.sections["refused"]


def test_a_pinned_file_cannot_be_moved(judged):
    assert "Operation not permitted" in judged.sections["moved"]


def test_a_second_guest_finds_what_the_first_left(judged):
    assert judged.statuses("again") == [0, 0, 0], judged.sections["again"]
    guest = judged.guest(2)
    assert "successfully verified 1 nmem label" in guest["labels"]
    (namespace,) = json.loads(guest["namespace"])
    assert namespace["mode"] == "fsdax"
    assert namespace["uuid"] == json.loads(judged.guest(1)["namespace"])["uuid"]
    assert DIGEST in guest["file"]


def test_xen_saw_nothing_but_the_mappings(judged):
    lines = (judged.out / "xen1").read_text().splitlines()
    assert any("memory_map:add" in line for line in lines)
    assert [line for line in lines if re.search(r"not permitted|fail|crash", line)] == []
