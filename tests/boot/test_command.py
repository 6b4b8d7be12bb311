"""The emulator's command line says what the domain is, and printing it changes nothing."""

from __future__ import annotations

import json
import shlex
from itertools import pairwise

import pytest

from xlpy.addr import MIB


@pytest.fixture
def command(xlpy, config, kernel):
    """Create a domain and print its command line, as words and with the kernel's line."""

    def show(*lines, words=(), **shape):
        xlpy("destroy", "vm")
        xlpy("create", config("it", *lines, **shape))
        out, _ = xlpy("boot", "it", "--kernel", kernel, "--print-command", *words)
        found = shlex.split(out)
        return found, found[found.index("-append") + 1].split()

    return show


def memmap(line):
    return [word.removeprefix("memmap=") for word in line if word.startswith("memmap=")]


def test_the_memory_map_is_the_one_that_firmware_left(command):
    _, line = command("vnvdimm = [ 'file=/mnt/pmem0/vm1.img', '/dev/pmem1' ]")
    first, *rows = memmap(line)
    assert first == "exactmap"
    assert rows[0] == "0xa0000@0x0"
    assert rows[-2:] == ["0x4000000%0x500000000-0+7", "0x7c00000%0x540000000-0+7"]
    assert "acpi_rsdp=0xfdfe000" in line  # in the middle of 504 MiB: 252 MiB, less two pages of the 2 MiB block


def test_memory_is_laid_out_byte_for_byte(command, xlpy):
    words, _ = command("vnvdimm = [ 'file=/mnt/pmem0/vm1.img' ]")
    low = 504 * MIB
    assert f"pc,max-ram-below-4g={low},memory-backend=ram" in words
    files = [word for word in words if word.startswith("memory-backend-file")]
    assert [word.split("mem-path=")[1] for word in files] == [
        f"{xlpy.root}/domains/2/boot/ram,size={low}",
        f"{xlpy.root}/hw/media/set0,size={512 * MIB}",
    ]
    resolved = json.loads(xlpy("pmem", "resolve", "/mnt/pmem0/vm1.img", "--json")[0])
    offset = resolved["extents"][0]["spa"] - 0x240000000
    assert f"pc-dimm,id=m1,memdev=m1-memory,slot=1,addr={0x500000000 - offset}" in words
    (size,) = (word for word in words if ",maxmem=" in word)
    # up to 64 GiB behind the last byte, and a slot for each module, the bell and 16 more
    assert size == f"{low >> 10}K,slots=18,maxmem={low + 0x500000000 - offset + 512 * MIB + (60 << 30) >> 10}K"


def test_the_bell_is_right_behind_ram(command):
    words, _ = command("vnvdimm = [ 'file=/mnt/pmem0/vm1.img' ]")
    assert "memory-backend-memfd,id=bell-memory,size=4096" in words
    assert f"pc-dimm,id=bell,memdev=bell-memory,slot=0,addr={4 << 30}" in words


@pytest.mark.parametrize(
    ("version", "offset"), [("7.2.22", False), ("8.0.5", False), ("8.1.0", True), ("10.0.13", True)]
)
def test_another_emulator(command, bin_folder, monkeypatch, version, offset):
    """Part of a file can be mapped from 8.1 on."""
    monkeypatch.setenv("FAKE_QEMU_VERSION", version)
    other = bin_folder / "another"
    other.symlink_to("qemu-system-x86_64")
    words, _ = command("vnvdimm = [ 'file=/mnt/pmem0/vm1.img' ]", words=["--qemu", other])
    assert words[0] == str(other)
    media = next(word for word in words if word.startswith("memory-backend-file") and "/media/" in word)
    assert (",offset=" in media) == offset


@pytest.mark.parametrize(("words", "used"), [([], "another"), (["--qemu", "qemu-system-x86_64"], "qemu-system-x86_64")])
def test_the_environment_names_an_emulator_too(command, bin_folder, monkeypatch, words, used):
    (bin_folder / "another").symlink_to("qemu-system-x86_64")
    monkeypatch.setenv("XLPY_QEMU", "another")
    assert command(words=words)[0][0] == str(bin_folder / used)


def test_read_only_media_are_mapped_read_only(command):
    words, _ = command("vnvdimm = [ 'file=/mnt/pmem0/vm1.img,mode=ro', '/dev/pmem1' ]")
    files = [word for word in words if word.startswith("memory-backend-file")]
    assert [("/media/" in word, word.endswith(",readonly=on")) for word in files if "/media/" in word] == [
        (True, True),
        (True, False),
    ]


def test_processors_of_different_nodes_share_no_socket(command):
    vnuma = 'vnuma = [ [ "size=256", "vcpus=0", "vdistances=10,20" ], [ "size=256", "vcpus=1", "vdistances=20,10" ] ]'
    words, _ = command(vnuma)
    assert "cpus=3,sockets=2,cores=1,threads=2,maxcpus=4" in words


def test_processors_have_even_apic_ids(command):
    words, _ = command(vcpus=3)
    assert "cpus=5,sockets=1,cores=3,threads=2,maxcpus=6" in words


def test_a_domain_without_vnvdimm(command):
    words, line = command()
    assert sum(word.startswith("memory-backend-file") for word in words) == 1
    assert not any(word.startswith("pc-dimm") or "slots=" in word for word in words)
    assert not any("+7" in row for row in memmap(line))


def test_smbios_is_the_domains(command, xlpy):
    """One structure a file; types 4 and 127 are the emulator's."""
    words, _ = command(vcpus=2)
    files = [word for before, word in pairwise(words) if before == "-smbios"]
    assert files == [f"file={xlpy.root}/domains/2/boot/{at}.smbios" for at in range(9)]


def test_smbios_of_the_user(command):
    words, _ = command(words=("--", "-smbios", "type=11,value=x"))
    assert words.count("-smbios") == 1


def test_a_domain_without_acpi(command):
    _, line = command("acpi = 0")
    assert "acpi=off" in line
    assert not any(word.startswith("acpi_rsdp") for word in line)


def test_cpuid_decides_about_the_flush_instructions(command):
    words, _ = command('cpuid = "host,clwb=0"')
    cpu = words[words.index("-cpu") + 1]
    assert "clwb=off" in cpu
    assert "clflushopt" not in cpu


def test_words_of_the_user(command):
    words, line = command(words=("--append", "quiet maxcpus=1", "--", "-device", "virtio-rng-pci", "-accel", "kvm"))
    assert line[-2:] == ["quiet", "maxcpus=1"]
    assert words[-4:] == ["-device", "virtio-rng-pci", "-accel", "kvm"]
    assert "tcg" not in words


def test_stage_hides_the_media(command):
    words, _ = command("vnvdimm = [ 'file=/mnt/pmem0/vm1.img' ]", words=("--stage",))
    assert not any("/hw/media/" in word for word in words)
    assert any(word.endswith(f"vnvdimm0.stage,size={64 * MIB}") for word in words)


def test_nothing_is_changed(command, xlpy, kernel):
    command("vnvdimm = [ 'file=/mnt/pmem0/scattered.img' ]")
    before = sorted((str(path), path.stat().st_size) for path in xlpy.root.rglob("*"))
    state = (xlpy.root / "state.db").read_bytes()
    out, err = xlpy("boot", "it", "--kernel", kernel, "-n")
    assert out == ""
    assert "stretches: staged in one file" in err
    made = json.loads(xlpy("boot", "it", "--kernel", kernel, "--print-command", "--json")[0])
    assert made["schema"] == "xlpy.boot-command/1"
    assert made["command"][0].endswith("qemu-system-x86_64")
    assert sorted((str(path), path.stat().st_size) for path in xlpy.root.rglob("*")) == before
    assert (xlpy.root / "state.db").read_bytes() == state
