"""What cannot be booted is told before anything is started, and leaves nothing behind."""

from __future__ import annotations

import json

import pytest

from xlpy.boot.qemu import Qemu, find_qemu
from xlpy.powercut.record import OLDEST
from xlpy.statedir import FAILURE


def state(root):
    """Names and sizes of everything, and the content of the state."""
    files = [path for path in root.rglob("*") if path.name != FAILURE]  # which is there for `xlpy doctor`
    return sorted((str(path), path.stat().st_size) for path in files), (root / "state.db").read_bytes()


def refusal(xlpy, *words, status):
    before = state(xlpy.root)
    out, err = xlpy("boot", *words, "--json", status=status)
    assert state(xlpy.root) == before
    error = json.loads(out)
    assert error["exit"] == status
    assert "hint:" in err
    return f"{error['code']} {error['message']}"


def test_no_emulator(xlpy, bin_folder, kernel, monkeypatch):
    (bin_folder / "qemu-system-x86_64").unlink()
    monkeypatch.setenv("PATH", str(bin_folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(bin_folder))  # nor one of the guest kit
    before = state(xlpy.root)
    _, err = xlpy("boot", "vm", "--kernel", kernel, status=4)
    assert "qemu-system-x86_64 is needed and not installed" in err
    assert "apt-get install qemu-system-x86" in err
    assert state(xlpy.root) == before


def unpacked(cache, suite, text):
    """A program in the place where the guest kit puts the QEMU of a suite."""
    path = cache / "xlpy-guest-kit" / suite / "bin" / "qemu-system-x86_64"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_one_that_the_guest_kit_has_unpacked(bin_folder, tmp_path, monkeypatch):
    """It is used when the one on PATH is too old for a recording, or absent; one that was named, whatever it is."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("FAKE_QEMU_VERSION", "7.2.22")
    here = str(bin_folder / "qemu-system-x86_64")
    assert find_qemu(least=OLDEST).path == here  # there is no other
    unpacked(tmp_path, "broken", "exit 1")
    unpacked(tmp_path, "bookworm", "echo QEMU emulator version 7.2.1")
    new = unpacked(tmp_path, "trixie", "echo QEMU emulator version 10.0.13")
    assert find_qemu(least=OLDEST) == Qemu(new, (10, 0))
    assert find_qemu("qemu-system-x86_64", OLDEST).path == here
    assert find_qemu().path == here
    monkeypatch.setenv("FAKE_QEMU_VERSION", "9.2.0")
    assert find_qemu(least=OLDEST).path == here
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_qemu().version == (7, 2)


@pytest.mark.parametrize("how", ["--qemu", "XLPY_QEMU"])
def test_no_such_emulator(xlpy, bin_folder, kernel, monkeypatch, how):
    named = bin_folder / "qemu-of-mine"
    words = [how, named] if how == "--qemu" else []
    if not words:
        monkeypatch.setenv(how, str(named))
    assert "qemu-of-mine: no such program" in refusal(xlpy, "vm", "--kernel", kernel, *words, status=4)
    named.write_text("#!/bin/sh\necho something else\n")
    named.chmod(0o755)
    assert "says 'something else', not a version" in refusal(xlpy, "vm", "--kernel", kernel, *words, status=6)
    named.write_bytes(b"\x7fELF")  # nothing that can be started
    assert "not a version" in refusal(xlpy, "vm", "--kernel", kernel, *words, status=6)


def test_no_such_domain(xlpy, kernel):
    assert "XLPY-NOT-FOUND" in refusal(xlpy, "other", "--kernel", kernel, status=4)


@pytest.mark.parametrize(
    ("content", "status", "says"),
    [
        (b"#!/bin/sh\n", 6, "is not a bzImage: it begins with b'#!/bin/s'"),
        (b"\x7fELF" + bytes(4096), 6, "an ELF file (vmlinux)"),
        (bytes(0x202) + b"HdrS\x04\x02" + bytes(4096), 6, "boot protocol 2.04, required 2.10"),
    ],
)
def test_not_a_kernel(xlpy, tmp_path, content, status, says):
    path = tmp_path / "kernel"
    path.write_bytes(content)
    assert says in refusal(xlpy, "vm", "--kernel", path, status=status)


def test_an_initrd_that_would_reach_into_firmware(xlpy, kernel, tmp_path):
    initrd = tmp_path / "initrd"
    with initrd.open("wb") as file:
        file.write(b"x")
        file.truncate(256 << 20)
    assert "the initrd has 256 MiB, 249 fit" in refusal(xlpy, "vm", "--kernel", kernel, "--initrd", initrd, status=6)


def test_a_domain_that_is_not_an_hvm_guest(xlpy, config, kernel):
    xlpy("create", config("pv", f'kernel = "{kernel}"', kind="pv"))
    assert "not an HVM guest" in refusal(xlpy, "pv", "--kernel", kernel, status=6)


def test_a_paused_domain(xlpy, config, kernel):
    xlpy("create", "-p", config("waiting"))
    assert "XLPY-CONFLICT waiting is paused" in refusal(xlpy, "waiting", "--kernel", kernel, status=5)


@pytest.mark.parametrize(
    ("memory", "says"), [(128, "a kernel and its firmware need 192"), (3900, "at most 3G")], ids=["small", "large"]
)
def test_memory_that_does_not_suit(xlpy, config, kernel, memory, says):
    xlpy("create", config("sized", memory=memory))
    found = refusal(xlpy, "sized", "--kernel", kernel, status=6)
    assert "XLPY-BOOT-MEMORY" in found
    assert says in found


def test_a_command_line_that_is_too_long(xlpy, kernel):
    assert "at most 2047 fit" in refusal(xlpy, "vm", "--kernel", kernel, "--append", "x" * 2000, "-n", status=6)


@pytest.mark.parametrize("timeout", ["0", "-1", "soon"])
def test_times_that_are_none(xlpy, kernel, timeout):
    assert "XLPY-USAGE" in refusal(xlpy, "vm", "--kernel", kernel, "--timeout", timeout, status=2)


def test_persistent_memory_that_an_emulated_processor_cannot_reach(xlpy, kernel, monkeypatch):
    monkeypatch.setattr("xlpy.boot.plan.PHYSICAL_BITS", 34)
    found = refusal(xlpy, "vm", "--kernel", kernel, status=6)
    assert "vnvdimm0 ends at guest address 0x504000000, an emulated processor has 34 address bits" in found
