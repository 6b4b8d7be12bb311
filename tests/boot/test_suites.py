"""Kernels, tools and QEMUs of other Debian suites: each boots a domain with one vNVDIMM of every kind.

XLPY_TEST_SUITES names the suites: `trixie` by default (QEMU 10.0, Linux 6.12); `debian` is the machine's own, `sid` the
newest. The campaign has all three.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import pytest
from boot.test_linux import KNOWN, REPO, SECONDS, Guest, backing, create, one_at_a_time
from copying import copy_tree
from realhost.guest import KitError, kit

from xlpy.addr import GIB, KIB, MIB

__all__ = ["one_at_a_time"]
pytestmark = pytest.mark.slow

SUITES = os.environ.get("XLPY_TEST_SUITES", "trixie").split(",")
THREE = """
name = 'three'
type = 'hvm'
memory = 512
vcpus = 2
vnvdimm = ['file=/mnt/pmem0/vm1.img', 'file=/mnt/pmem0/few.img', 'file=/mnt/pmem0/old.img,mode=ro']
"""


@pytest.fixture(scope="module", params=SUITES)
def booted(request, boot_machine, one_at_a_time, tmp_path_factory):
    """Boot a domain with a suite's kernel, tools and QEMU: root, what the guest said, xlpy's notes."""
    del one_at_a_time
    suite = "" if request.param == "debian" else request.param
    script = REPO / "tests" / "boot" / "guest" / "suite.sh"
    try:
        parts = kit(
            suite, os.environ.get("XLPY_GUEST_KIT"), extras=("xfs", "daxctl", "pmdk"), modules="", script=script
        )
    except KitError as error:
        pytest.skip(f"the guest kit cannot be assembled: {error}")
    folder = tmp_path_factory.mktemp(f"suite-{request.param}")
    root = folder / "host"
    copy_tree(boot_machine, root)
    subprocess.run([sys.executable, "-m", "xlpy", "--root", root, "destroy", "vm"], cwd=REPO, check=True)
    create(root, THREE, folder)
    words = ["boot", "three", "--kernel", parts["KERNEL"], "--initrd", parts["INITRD"], "--append", "quiet"]
    words += ["--timeout", str(SECONDS), *(["--qemu", parts["QEMU"]] if suite else [])]
    done = subprocess.run(
        [sys.executable, "-m", "xlpy", "--root", str(root), *words],
        cwd=REPO,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout[-2000:]
    return root, Guest(done.stdout), done.stderr, suite


def test_linux_has_no_complaint(booted):
    booted[1].check_health()
    assert "No such file" not in booted[1]["acpi"]


def test_vnvdimms_are_where_they_are(booted):
    _, guest, _, _ = booted
    assert guest.pmem == [
        (20 * GIB, 20 * GIB + 64 * MIB),
        (21 * GIB, 21 * GIB + 256 * KIB),
        (22 * GIB, 22 * GIB + MIB),
    ]
    (bus,) = guest.json("list")
    assert [one["flag_failed_arm"] for one in bus["dimms"] if "flag_failed_arm" in one] == [True]


def test_programs_are_debians_own(booted):
    """Not busybox's, which has applets of the same names."""
    assert booted[1]["shell"].splitlines() == ["/usr/sbin/mke2fs", "/usr/bin/chattr", "/usr/sbin/tune2fs"]


def test_tools_on_request(booted):
    """XFS, daxctl and PMDK, each with the libraries that it needs."""
    told = booted[1]["tools"].splitlines()
    assert [line.split()[0] for line in told[:2]] == ["mkfs.xfs", "xfs_io"]
    assert told[2][0].isdigit()
    assert any(line.startswith("pmempool") for line in told[3:])  # notes of deprecated pools come first


def test_what_was_written_is_on_the_media(booted):
    root, guest, _, _ = booted
    assert backing(root, "/mnt/pmem0/vm1.img")[100 * 4096 :].startswith(KNOWN)
    pieces = backing(root, "/mnt/pmem0/few.img")
    assert pieces.startswith(KNOWN)
    assert hashlib.md5(pieces).hexdigest() in guest["pieces"]


def test_pieces_are_mapped_where_the_emulator_can(booted):
    """QEMU from 8.1 on maps each in its place; before, they are staged."""
    root, _, notes, suite = booted
    found = subprocess.run(
        [sys.executable, "-m", "xlpy", "--root", root, "pmem", "resolve", "/mnt/pmem0/few.img", "--json"],
        cwd=REPO,
        capture_output=True,
        check=True,
    )
    assert len(json.loads(found.stdout)["extents"]) > 3
    assert ("staged" in notes) == (not suite)


def test_read_only_stays_read_only(booted):
    """Linux makes the device read-only; when it is made writable by force, stores change nothing."""
    root, guest, _, _ = booted
    ro, before, status, forced, after = guest["ro"].split("\n")[:5]
    assert (ro, forced) == ("1", "0")
    assert status != "0"
    digest = hashlib.md5(backing(root, "/mnt/pmem0/old.img")).hexdigest()
    assert before.split()[0] == after.split()[0] == digest
    assert digest == hashlib.md5(bytes(MIB)).hexdigest()
