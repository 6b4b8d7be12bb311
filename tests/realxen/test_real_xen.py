"""A real, unmodified Xen as judge of what `xlpy export` makes of the design's configuration, and of xlpy beside xl."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from realxen.compare import compare, compare_all, told
from realxen.debian import Unavailable
from realxen.differences import unexplained
from realxen.judge import Judged, judge, minute
from realxen.recorded import file, load
from realxen.replay import replay
from realxen.steps import QUICK

from xlpy.dom0.ext4.tools import find_program

pytestmark = pytest.mark.slow

KNOWN = b"".join(b"%d\n" % number for number in range(1, 20001))
SECOND = b"".join(b"%d\n" % number for number in range(20001, 30001))
DIGEST = hashlib.md5(KNOWN).hexdigest()
COMPLAINTS = re.compile(r"ACPI Error|ACPI BIOS|ACPI Warning|AE_|\[Firmware|[Tt]aint|Call Trace|WARNING:")
FILE = 32 << 20
XEN = os.environ.get("XLPY_REAL_XEN", "4.17")  # the campaign has 4.20 too


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Two boots for all tests, whichever process comes first; XLPY_REAL_XEN_FOLDER keeps them for further runs."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "real-xen"
    folder = Path(os.environ.get("XLPY_REAL_XEN_FOLDER") or shared)
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            try:
                judge(folder, XEN)
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


def test_the_readmes_minute_succeeds_word_by_word(judged):
    told = judged.sections["minute"] + judged.sections["minute2"]
    assert re.findall(r"(?m)^\$ (.+)$", told) == minute()
    assert len(minute()) >= 4
    statuses = judged.statuses("minute") + judged.statuses("minute2")
    assert statuses == [0] * len(minute()), told


def test_the_configuration_names_every_extent(judged):
    text = (judged.out / "exported" / "vm1.cfg").read_text()
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
    assert DIGEST in judged.sections["found"]
    assert hashlib.md5(judged.media("vm1.img")).hexdigest() in judged.sections["left"]


def test_a_second_guest_on_the_same_file_is_refused(judged):
    assert judged.statuses("refused") == [5], judged.sections["refused"]
    assert "vm1" in judged.sections["refused"]


def test_a_pinned_file_cannot_be_moved(judged):
    assert "Operation not permitted" in judged.sections["moved"]


def test_a_second_guest_finds_what_the_first_left(judged):
    assert judged.statuses("again") == [0] * 4, judged.sections["again"]
    assert hashlib.md5(SECOND).hexdigest() in judged.sections["left"]
    guest = judged.guest(2)
    assert "successfully verified 1 nmem label" in guest["labels"]
    (namespace,) = json.loads(guest["namespace"])
    assert namespace["mode"] == "fsdax"
    assert namespace["uuid"] == json.loads(judged.guest(1)["namespace"])["uuid"]
    assert DIGEST in guest["file"]


def test_xen_saw_nothing_but_the_mappings(judged):
    domain = (judged.out / "domid").read_text().strip()
    lines = re.findall(rf"(?m)^\(XEN\) .*\bd{domain}\b.*$", (judged.out / "console").read_text(errors="replace"))
    # a hypercall that takes too long goes on in another one, hence more calls than extents
    added = re.findall(r"memory_map:add: \S+ gfn=\w+ mfn=(\w+) nr=(\w+)", "\n".join(lines))
    calls = {(int(mfn, 16) << 12, int(count, 16) << 12) for mfn, count in added}
    extents = {(spa, length) for rows in judged.extents.values() for _, spa, length in rows}
    assert extents <= calls
    assert all(any(spa <= at and at + size == spa + length for spa, length in extents) for at, size in calls)
    assert [line for line in lines if re.search(r"not permitted|fail|crash", line)] == []


@pytest.fixture(scope="module")
def answers(judged):
    """What the running Xen's xl answered to the steps; all of them were done."""
    found = judged.answers()
    assert len(found) == len(QUICK)
    return found


def test_xlpy_answers_as_xl_does(answers, tmp_path, record_property):
    findings, counts = compare_all(QUICK, answers, replay(QUICK, answers, tmp_path / "replay", XEN))
    record_property(f"compared with Xen {XEN}, running", told(counts))
    rest = unexplained(findings, XEN)
    assert rest == [], "\n".join(rest)
    assert counts["commands"] >= 60
    assert counts["permissions"] >= 1000


def test_the_recorded_answers_are_those_of_the_running_xen(answers):
    commands, recorded = load(file(XEN).read_text())
    assert commands == [step.text for step in QUICK], "the steps have changed: python -m realxen.record"
    counts = Counter()
    pairs = zip(QUICK, answers, recorded, strict=True)
    rest = [str(found) for step, running, kept in pairs for found in compare(step, running, kept, counts)]
    assert rest == [], "\n".join(rest)
