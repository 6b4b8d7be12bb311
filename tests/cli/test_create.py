"""The main job, as a user does it: create, look, write, destroy, look again."""

from __future__ import annotations

import re
import subprocess
from itertools import pairwise

import pytest
from programs import need

from xlpy.host import Host


def test_quickstart(xlpy, configs):
    xlpy("create", configs / "quickstart.cfg")
    (domain,) = xlpy("list", "--json").json["items"]
    assert (domain["domid"], domain["name"], domain["vcpus"], domain["state"]) == (1, "quickstart", 2, "r-----")
    (device,) = domain["vnvdimms"]
    assert device["path"] == "/mnt/pmem0/vm1.img"
    assert device["size"] == 64 << 20
    assert device["gpa"] % (1 << 30) == 0
    listed = xlpy("pmem", "list", "--json").json["items"]
    assert [item["users"] for item in listed] == [["quickstart"], []]


def test_list_has_xls_columns(xlpy, configs):
    xlpy("create", configs / "quickstart.cfg")
    lines = xlpy("list").out.splitlines()
    assert lines[0] == "Name                                        ID   Mem VCPUs\tState\tTime(s)"
    assert re.fullmatch(r"Domain-0 {37}0 +1024     4     r-----       0\.0", lines[1])
    assert re.fullmatch(r"quickstart {35}1 +512     2     r-----       0\.0", lines[2])


def test_a_byte_goes_all_the_way(xlpy, configs, host_root):
    """Guest address, p2m, SPA, media file, and the same byte through Dom0's file system; it outlives the domain."""
    debugfs = need("debugfs")
    xlpy("create", configs / "quickstart.cfg")
    (device,) = xlpy("list", "--json").json["items"][0]["vnvdimms"]
    offset, text = 0x123456, b"persistent"
    xlpy("mem", "write", "quickstart", hex(device["gpa"] + offset), "--hex", text.hex())

    resolved = xlpy("pmem", "resolve", "/mnt/pmem0/vm1.img", "--json").json
    piece = next(p for p in resolved["extents"] if p["logical"] <= offset < p["logical"] + p["length"])
    host = Host.open(host_root)
    media, at = host.hw.backing(piece["spa"] + offset - piece["logical"])
    image, start = host.hw.backing(host.dom0.list_namespaces()[0]["resource"])
    host.store.close()
    with media.open("rb") as file:
        file.seek(at)
        assert file.read(len(text)) == text

    cat = subprocess.run(
        [debugfs, "-R", "cat /vm1.img", f"{image}?offset={start}"], capture_output=True, check=True
    ).stdout
    assert cat[offset : offset + len(text)] == text

    xlpy("destroy", "quickstart")
    xlpy("create", configs / "quickstart.cfg", 'name="second"')
    (again,) = xlpy("list", "--json").json["items"][0]["vnvdimms"]
    read = xlpy("mem", "read", "second", hex(again["gpa"] + offset), str(len(text)), "--json").json
    assert bytes.fromhex(read["hex"]) == text


def test_the_file_system_stays_clean(xlpy, configs, host_root):
    e2fsck = need("e2fsck")
    xlpy("create", configs / "quickstart.cfg")
    xlpy("pmem", "mkfile", "8M", "/mnt/pmem0/more.img")
    host = Host.open(host_root)
    image, start = host.hw.backing(host.dom0.list_namespaces()[0]["resource"])
    host.store.close()
    done = subprocess.run([e2fsck, "-fn", f"{image}?offset={start}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


NODES = (
    'vnuma = [["pnode=0", "size=1024", "vcpus=0-1", "vdistances=10,20"],'
    ' ["pnode=0", "size=7168", "vcpus=2-3", "vdistances=20,10"]]'
)
MORE = ("memory=8192", "vcpus=4", "acpi_laptop_slate=1", NODES)
LESS = ("vcpus=1", "acpi_s3=0", "acpi_s4=0", "hpet=0", "apic=0")


@pytest.mark.parametrize(
    ("config", "words", "tables"),
    [
        ("quickstart.cfg", (), 14),
        ("device.cfg", LESS, 10),
        ("two.cfg", (), 14),
        ("two.cfg", MORE, 16),
    ],
    ids=["quickstart", "least", "two", "most"],
)
def test_acpi_tools_find_nothing_to_complain_about(xlpy, configs, tmp_path, config, words, tables):
    iasl, acpiexec = need("iasl"), need("acpiexec")
    xlpy("create", configs / config, *words)
    name = xlpy("list", "--json").json["items"][0]["name"]
    xlpy("acpi", "dump", name, "--format", "bin", "-o", tmp_path / "tables")
    tmp_path /= "tables"
    files = sorted(path.name for path in tmp_path.iterdir())
    always = {"rsdp.dat", "rsdt.dat", "xsdt.dat", "facp.dat", "facs.dat", "dsdt.dat", "nfit.dat", "srat.dat"}
    assert always | {"ssdt.dat" if words == LESS else "ssdt1.dat"} <= set(files)
    assert len(files) == tables
    for path in sorted(tmp_path.glob("*.dat")):
        if path.name == "rsdp.dat":
            continue
        done = subprocess.run([iasl, "-d", path.name], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert not re.search(r"error|warning|remark|invalid", done.stdout + done.stderr, re.IGNORECASE), done.stdout
    aml = ["dsdt.dat", *sorted(path.name for path in tmp_path.glob("ssdt*.dat"))]
    done = subprocess.run([acpiexec, "-b", "quit", *aml], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert not re.search(r"ACPI (Error|Warning|BIOS)|AE_", done.stdout), done.stdout


def test_hex_dumps_are_for_acpixtract(xlpy, configs, tmp_path):
    acpixtract = need("acpixtract")
    xlpy("create", configs / "quickstart.cfg")
    (tmp_path / "acpi.out").write_text(xlpy("acpi", "dump", "quickstart").out)
    subprocess.run([acpixtract, "-a", "acpi.out"], cwd=tmp_path, check=True, capture_output=True)
    xlpy("acpi", "dump", "quickstart", "--format", "bin", "-o", tmp_path / "bin")
    for name in ("nfit.dat", "dsdt.dat", "ssdt3.dat"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "bin" / name).read_bytes()


def test_map_names_everything(xlpy, configs):
    xlpy("create", configs / "two.cfg")
    rows = xlpy("map", "two", "--json").json["items"]
    board = ["ram", "ram", "mmio", "mmio", "mmio"]  # ROM, video RAM, what its BAR has beside it, two more BARs
    assert [row["kind"] for row in rows] == ["ram", "ram", *board, "acpi", "ram", "mmio", "ram", "pmem", "pmem"]
    assert rows[3]["what"] == "video RAM of cirrus-vga 03:0"
    assert rows[-2]["what"] == "/mnt/pmem0/vm1.img"
    assert rows[-2]["dimms"] == ["dimm0", "dimm1"]
    assert rows[-1]["what"] == "/dev/pmem1"
    assert rows[-1]["dimms"] == ["dimm2"]
    assert all(a["end"] <= b["start"] for a, b in pairwise(rows))
    assert "/dev/pmem1" in xlpy("map", "two").out
    assert "█" in xlpy("--color", "always", "map", "two").out


def test_dmesg_has_both_sides(xlpy, configs):
    xlpy("create", configs / "quickstart.cfg")
    log = xlpy("dmesg").out
    assert "(d1) HVM Loader" in log
    assert "XENMEM_pmem_map(1," in log
    assert "Invoking SeaBIOS" in log


def test_verbose_twice_is_a_serial_cable(xlpy, configs):
    """Xen's console is heard while the command works: hypercalls, queries too, and hvmloader."""
    assert "XENMEM" not in xlpy("-v", "create", "-n", configs / "quickstart.cfg").err
    heard = xlpy("-vv", "create", configs / "quickstart.cfg").err.splitlines()
    assert "domain 1: running hvmloader" in heard
    assert heard.index("(d1) HVM Loader") > heard.index("domain 1: running hvmloader")
    assert set(xlpy("dmesg").out.splitlines()[-20:]) <= set(heard)


def test_a_dry_run_evaluates_nothing(xlpy, configs):
    xlpy("create", configs / "quickstart.cfg")
    write = ("acpi", "eval", "quickstart", r"\_SB.NVDR.NV00._LSW", "0", "4", "str:kept")
    read = ("acpi", "eval", "quickstart", r"\_SB.NVDR.NV00._LSR", "0", "4")
    before = xlpy(*read).out
    for dry in ((*write, "-n"), ("-N", *write)):
        assert not xlpy(*dry).out
    assert xlpy(*read).out == before
    xlpy(*write)
    assert xlpy(*read).out != before
    for dry in ((), ("-n",)):
        assert "has no ACPI object" in xlpy("acpi", "eval", *dry, "quickstart", r"\NOPE", status=4).err


def test_a_dry_run_does_not_clear_the_log(xlpy):
    xlpy("dmesg", "-c", "-n")
    xlpy("-N", "dmesg", "-c")
    assert xlpy("dmesg", "-c").out
    assert not xlpy("dmesg").out


def test_dry_run_changes_nothing(xlpy, configs, host_root):
    before = (host_root / "state.db").read_bytes()
    shown = xlpy("create", "-n", configs / "quickstart.cfg").json
    assert shown["c_info"]["name"] == "quickstart"
    assert shown["vnvdimms"] == [{"file": "/mnt/pmem0/vm1.img", "label_size": 131072}]
    xlpy("create", "-n", configs / "quickstart.cfg", "vnvdimm=['/mnt/pmem0/none']", status=4)
    xlpy("pmem", "mkfile", "-n", "8M", "/mnt/pmem0/x.img")
    xlpy("host", "reset", "-n")
    assert (host_root / "state.db").read_bytes() == before


def test_a_dry_run_as_json_has_a_schema(xlpy, configs):
    words = (configs / "quickstart.cfg", 'uuid="6bd0b6d9-31b0-4cdd-91a1-26ba45b1a1b1"')
    bare, document = (xlpy("create", *options, *words).json for options in (["-n"], ["-n", "--json"]))
    assert document == {"schema": "xlpy.create-plan/1", "xen": "4.17", "config": bare}


def test_dry_run_needs_no_host(xlpy, configs, tmp_path):
    found = xlpy("--root", tmp_path / "none", "create", "-n", configs / "quickstart.cfg")
    assert "not checked" in found.err
    assert not (tmp_path / "none").exists()


def test_overrides_from_the_command_line(xlpy, configs):
    xlpy("create", configs / "quickstart.cfg", 'name="other"', "memory=1024", "vcpus=1")
    (domain,) = xlpy("list", "--json").json["items"]
    assert (domain["name"], domain["vcpus"]) == ("other", 1)
    assert domain["memory_mb"] == 1024


def test_a_reset_keeps_media_when_asked(xlpy, configs):
    xlpy("create", configs / "device.cfg")
    (device,) = xlpy("list", "--json").json["items"][0]["vnvdimms"]
    xlpy("mem", "write", "device", hex(device["gpa"]), "--hex", "c0ffee")
    xlpy("host", "reset", "--keep-media")
    assert xlpy("list", "--json").json["items"] == []
    xlpy("create", configs / "device.cfg")
    assert xlpy("mem", "read", "device", hex(device["gpa"]), "3", "--json").json["hex"] == "c0ffee"
    xlpy("host", "reset")
    xlpy("create", configs / "device.cfg")
    assert xlpy("mem", "read", "device", hex(device["gpa"]), "3", "--json").json["hex"] == "000000"


@pytest.mark.parametrize("ways", [["reset --keep-media"], ["power cut", "power on"]], ids=" ".join)
def test_no_memory_of_a_guest_outlives_the_machine_that_it_ran_on(xlpy, configs, host_root, ways):
    for _ in range(2):
        xlpy("create", configs / "quickstart.cfg")
        assert (host_root / "domains" / "1").is_dir()
        for words in ways:
            xlpy("host", *words.split())
        assert [path.name for path in (host_root / "domains").iterdir() if path.is_dir()] == []


def test_closed_pipe(host_root, monkeypatch):
    import os
    import sys

    done = subprocess.run(
        f"set -o pipefail; {sys.executable} -m xlpy dmesg | head -1",
        shell=True,
        executable="/bin/bash",
        env={**os.environ, "XLPY_ROOT": str(host_root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 141)
    assert "Traceback" not in done.stderr


def test_full_disk_is_not_success(host_root):
    import os
    import sys

    done = subprocess.run(
        f"{sys.executable} -m xlpy dmesg > /dev/full",
        shell=True,
        env={**os.environ, "XLPY_ROOT": str(host_root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 6
    assert done.stderr.startswith("error: ")


def test_a_dry_run_foresees_poison(xlpy, configs, tmp_path):
    """As the hypervisor's refusal of the same backing; Dom0 knows it from ``badblocks``."""
    xlpy("host", "reset", "--machine", configs / "machines" / "faulty.yaml")
    config = tmp_path / "bad.cfg"
    config.write_text('name = "bad"\ntype = "hvm"\nmemory = 256\nvnvdimm = [ "/dev/pmem0" ]\n')
    assert "poisoned" in xlpy("create", "-n", config, status=8).err
    assert "poisoned" in xlpy("create", config, status=8).err


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ('name="other"\nmemory=128', 0),
        ('name="quickstart"\nmemory=128', 5),  # taken, and before anything else
        ('name="quickstart"\nmemory=999999', 5),
        ('name="other"\nmemory=999999', 6),
        ('name="other"\nmemory=4', 6),
        ('name="other"\nmemory=128\ndisk=["/nowhere,raw,xvda"]', 3),
        ('name="other"\nmemory=128\nsoundhw="foo"', 3),
        ('name="other"\nmemory=128\nmaxvcpus=129', 8),
        ('name="other"\nmemory=128\ncpu_weight=0', 8),
        ('name="other"\nmemory=128\nvcpus=1\ncpus="all,^0-3"', 8),
        ('name="other"\nmemory=128\ncpuid=["0x99:eax=0x1"]', 8),
        ('name="other"\nmemory=128\nbios="rombios"', 9),
    ],
)
def test_a_dry_run_refuses_what_create_would(xlpy, configs, tmp_path, lines, status):
    """There is no vnvdimm in any of them; as strict as xl itself, only the file is read."""
    xlpy("create", "-q", configs / "quickstart.cfg")
    config = tmp_path / "a.cfg"
    config.write_text(f'type="hvm"\n{lines}\n')
    rehearsed = xlpy("create", "-n", config, status=status).err
    assert xlpy("create", config, status=status).err.splitlines()[:2] == rehearsed.splitlines()[:2] or not status
    xlpy("create", "-n", "--xl-strict", config)


def test_a_dry_run_knows_of_label_areas(xlpy, configs, host_root):
    """They belong to the backing: with another size its labels would be lost."""
    labels = host_root / "labels"
    labels.mkdir(exist_ok=True)
    (labels / "pmem1").write_bytes(bytes(256 << 10))
    xlpy("create", "-n", configs / "quickstart.cfg", "vnvdimm=['/dev/pmem1,label_size=256K']")
    for dry in ("-n", "-q"):
        found = xlpy("create", dry, configs / "quickstart.cfg", "vnvdimm=['/dev/pmem1']", status=5)
        assert "has 262144 bytes, 131072 are asked for" in found.err
