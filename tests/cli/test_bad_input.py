"""Bad input gets its documented status, one clear line, and leaves the host as it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from programs import need

from xlpy.host import Host

if TYPE_CHECKING:
    from pathlib import Path

GUEST = 'name = "{name}"\ntype = "hvm"\nmemory = 256\nvnvdimm = [ {entries} ]\n'


@pytest.fixture
def guest(tmp_path):
    """Write a configuration with the given vnvdimm entries."""

    def write(*entries, name="guest", more=""):
        path = tmp_path / f"{name}.cfg"
        path.write_text(GUEST.format(name=name, entries=", ".join(f"'{entry}'" for entry in entries)) + more)
        return path

    return write


def snapshot(root: Path) -> dict[str, object]:
    """Everything in the state but the hypervisor's log and counters that only grow."""
    import sqlite3

    with sqlite3.connect(root / "state.db") as db:
        rows = db.execute("SELECT room, key, value FROM records ORDER BY room, key").fetchall()
    volatile = {"xen.console"}
    state = {(room, key): value for room, key, value in rows if room not in volatile}
    state.pop(("xen", "last_domid"), None)
    state = {key: value for key, value in state.items() if not (key[0] == "xenstore" and key[1].startswith("#"))}
    return {**state, "domains": sorted(p.name for p in (root / "domains").glob("*"))}


class TestDomains:
    @pytest.mark.parametrize(
        "words",
        [
            ("destroy", "nobody"),
            ("destroy", "77"),
            ("list", "nobody"),
            ("map", "nobody"),
            ("acpi", "dump", "nobody"),
            ("mem", "read", "nobody", "0", "16"),
            ("mem", "write", "nobody", "0", "--hex", "00"),
        ],
    )
    def test_unknown_domain(self, xlpy, words):
        found = xlpy(*words, status=4)
        assert found.err.startswith("error: ")
        assert "xlpy list" in found.err

    def test_name_taken(self, xlpy, guest, host_root):
        xlpy("create", guest("/dev/pmem1"))
        before = snapshot(host_root)
        found = xlpy("create", guest("/mnt/pmem0/vm1.img"), status=5)
        assert 'Domain with name "guest" already exists.' in found.err
        assert snapshot(host_root) == before

    def test_partial_destroy(self, xlpy, guest):
        xlpy("create", guest("/dev/pmem1"))
        found = xlpy("destroy", "nobody", "guest", status=11)
        assert "nobody" in found.err


class TestConfigurations:
    @pytest.mark.parametrize(
        ("text", "where"),
        [
            ("name =\n", "bad.cfg:1:"),
            ('name = "x"\nmemory = \n', "bad.cfg:2:"),
            ('name = "x', "bad.cfg:1:"),
            ('name="x";type="hvm"\nvnvdimm = [ "file=/dev/pmem1"', "bad.cfg:2:"),
            ('name="x";type="hvm"\nvnvdimm = [ "fiel=/dev/pmem1" ]\n', "bad.cfg:2:"),
            ('name="x";type="hvm"\nvnvdimm = [ "file=/dev/pmem1,label_size=12" ]\n', "bad.cfg:2:"),
            ('name="x";type="hvm"\nvnvdimm = [ "file=/dev/pmem1,unarmed=maybe" ]\n', "bad.cfg:2:"),
            ('name="x";type="hvm"\nvnvdimm = "file=/dev/pmem1"\n', "bad.cfg:2:"),
            ('name="x";type="hvm"\nvnvdimm = [ [ "file=/dev/pmem1" ] ]\n', "bad.cfg:2:"),
            ('name="x";type="hvm"\nvnvdimm = [ "label_size=128K" ]\n', "bad.cfg:2:"),
            ("memory = 512\n", "bad.cfg"),
        ],
    )
    def test_wrong_configurations_say_where(self, xlpy, tmp_path, text, where):
        path = tmp_path / "bad.cfg"
        path.write_text(text)
        assert where in xlpy("create", path, status=3).err

    def test_unknown_vnvdimm_key_names_the_nearest(self, xlpy, guest):
        assert "label_size" in xlpy("create", guest("file=/dev/pmem1,labelsize=128K"), status=3).err

    def test_missing_configuration_file(self, xlpy):
        assert "Failed to read config file" in xlpy("create", "/nonexistent.cfg", status=4).err

    def test_error_as_json(self, xlpy):
        found = xlpy("create", "/nonexistent.cfg", "--json", status=4)
        assert found.json["schema"] == "xlpy.error/1"
        assert found.json["exit"] == 4


class TestBackings:
    @pytest.mark.parametrize(
        ("entry", "status", "text"),
        [
            ("/mnt/pmem0/none.img", 4, "/mnt/pmem0/none.img"),
            ("/dev/pmem7", 4, "/dev/pmem7"),
            ("/dev/pmem0", 5, "mounted on /mnt/pmem0"),
            ("/mnt/pmem0", 7, "is a dir"),
            ("/etc/passwd", 4, "/etc/passwd"),
        ],
    )
    def test_refused_with_nothing_left_behind(self, xlpy, guest, host_root, entry, status, text):
        before = snapshot(host_root)
        assert text in xlpy("create", guest(entry), status=status).err
        assert snapshot(host_root) == before

    @pytest.mark.parametrize("state", ["unwritten", "sparse"])
    def test_files_that_are_not_written(self, xlpy, guest, host_root, state):
        host = Host.open(host_root)
        with host.change("test"):
            host.dom0.mkfile("/mnt/pmem0/f.img", 8 << 20, state=state)
        host.store.close()
        found = xlpy("create", guest("/mnt/pmem0/f.img"), status=7)
        assert "xlpy pmem prepare /mnt/pmem0/f.img" in found.err
        xlpy("pmem", "prepare", "/mnt/pmem0/f.img")
        xlpy("create", guest("/mnt/pmem0/f.img"))

    def test_a_file_of_another_domain(self, xlpy, guest):
        xlpy("create", guest("/mnt/pmem0/vm1.img", name="first"))
        found = xlpy("create", guest("/mnt/pmem0/vm1.img", name="second"), status=5)
        assert "in use by domain 1" in found.err

    def test_the_same_file_twice(self, xlpy, guest):
        found = xlpy("create", guest("/mnt/pmem0/vm1.img", "/mnt/pmem0/../pmem0/vm1.img"), status=5)
        assert "entries 1" in found.err
        assert "and 2" in found.err

    def test_a_pinned_file_cannot_change(self, xlpy, guest, host_root):
        xlpy("create", guest("/mnt/pmem0/vm1.img"))
        host = Host.open(host_root)
        from xlpy.errors import XlpyError

        for act in (
            lambda: host.dom0.truncate("/mnt/pmem0/vm1.img", 0),
            lambda: host.dom0.unlink("/mnt/pmem0/vm1.img"),
        ):
            with pytest.raises(XlpyError, match="domain 1"), host.change("test"):
                act()
        host.store.close()

    def test_a_file_that_moves_all_the_same_is_noticed(self, xlpy, guest, host_root):
        """Somebody with the media at hand shrinks the file, immutable or not."""
        debugfs = need("debugfs")
        xlpy("create", guest("/mnt/pmem0/vm1.img"))
        (device,) = xlpy("list", "--json").json["items"][0]["vnvdimms"]
        host = Host.open(host_root)
        image, start = host.hw.backing(host.dom0.list_namespaces()[0]["resource"])
        host.store.close()
        subprocess.run([debugfs, "-w", "-R", "sif /vm1.img size 8192", f"{image}?offset={start}"], check=True)
        found = xlpy("mem", "write", "guest", hex(device["gpa"]), "--hex", "00", status=7)
        assert "/mnt/pmem0/vm1.img is not the file" in found.err

    def test_tables_that_collide(self, xlpy, guest, tmp_path):
        """A second NFIT, from acpi_firmware: hvmloader stops, and nothing is left behind."""
        xlpy("create", guest("/dev/pmem1"))
        xlpy("acpi", "dump", "guest", "--table", "NFIT", "--format", "bin", "-o", tmp_path)
        xlpy("destroy", "guest")
        found = xlpy("create", guest("/dev/pmem1"), f'acpi_firmware="{tmp_path}/nfit.dat"', status=9)
        assert "dm-acpi: table 'NFIT' came with acpi_firmware" in found.err
        assert xlpy("list", "--json").json["items"] == []
        xlpy("create", guest("/dev/pmem1"))

    def test_a_table_file_that_is_missing(self, xlpy, guest):
        for dry in ((), ("-n",)):
            found = xlpy("create", *dry, guest("/dev/pmem1"), 'acpi_firmware="/none.aml"', status=3)
            assert "acpi_firmware: /none.aml: No such file" in found.err

    def test_no_space_left_in_the_file_system(self, xlpy):
        assert "space" in xlpy("pmem", "mkfile", "64G", "/mnt/pmem0/huge.img", status=6).err.lower()


MACHINE = """
name: test
ram: 4G
cpu: {{count: 2, physical_bits: {bits}}}
dimms:
  - {{id: d0, capacity: {size}, handle: 1}}
  - {{id: d1, capacity: 256M, handle: 0x11}}
sets:
  - {{name: s0, dimms: [d0]}}
  - {{name: s1, dimms: [d1]}}
namespaces:
  - {{region: s0, mode: fsdax, map: dev, reserve: {reserve}}}
  - {{region: s1, mode: sector}}
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Make a host of a certain kind."""

    def make(bits=46, size="256M", reserve="true"):
        path = tmp_path / "machine.yaml"
        path.write_text(MACHINE.format(bits=bits, size=size, reserve=reserve))
        root = tmp_path / "special"
        Host.make(root, path).store.close()
        return root

    return make


class TestMachines:
    def test_sector_mode(self, xlpy, machine, guest):
        found = xlpy("--root", machine(), "create", guest("/dev/pmem1s"), status=7)
        assert "sector mode" in found.err

    def test_a_device_without_reserve_is_not_registered(self, xlpy, machine, guest):
        root = machine(reserve="false")
        found = xlpy("--root", root, "pmem", "list", "--json")
        assert found.json["items"][0]["registered"] is False
        refused = xlpy("--root", root, "create", guest("/dev/pmem0"), status=8)
        assert "/dev/pmem0: Xen does not know pmem0: the namespace was made without a reserve" in refused.err
        assert "ENXIO" in refused.err

    def test_beyond_the_physical_width(self, xlpy, machine, guest):
        root = machine(bits=36, size="56G")
        for dry in ((), ("-n",)):
            found = xlpy("--root", root, "create", *dry, guest("/dev/pmem0"), "memory=1024", status=6)
            assert "the guest has 36 physical address bits" in found.err

    def test_a_damaged_info_block(self, xlpy, machine, guest):
        root = machine()
        media = next((root / "hw" / "media").glob("s0*"))
        with media.open("r+b") as file:
            file.seek(0x1000 + 60)
            file.write(b"\xff")
        listed = xlpy("--root", root, "pmem", "list", "--json").json["items"][0]
        assert listed["mode"] != "fsdax" or listed.get("state") == "disabled"
        xlpy("--root", root, "create", guest("/dev/pmem0"), status=7)

    def test_a_damaged_description(self, xlpy, machine, guest):
        root = machine()
        (root / "machine.yaml").write_text("dimms: 12\n")
        assert "machine.yaml" in xlpy("--root", root, "list", status=3).err

    @pytest.mark.parametrize("damage", [b"", b"not a database at all", b"SQLite format 3\0" + bytes(200)])
    def test_a_damaged_state(self, xlpy, machine, damage):
        root = machine()
        (root / "state.db").write_bytes(damage)
        found = xlpy("--root", root, "list", status=6)
        assert "state" in found.err

    def test_a_damaged_file_system(self, xlpy, host_root, guest):
        media = max((host_root / "hw" / "media").iterdir(), key=lambda path: path.stat().st_size)
        data_start = int(xlpy("pmem", "list", "--json").json["items"][0]["resource"])
        host = Host.open(host_root)
        path, offset = host.hw.backing(data_start)
        host.store.close()
        assert path == media
        with media.open("r+b") as file:
            file.seek(offset + 1024 + 100)
            file.write(b"\xff" * 32)
        found = xlpy("create", guest("/mnt/pmem0/vm1.img"), status=6)
        assert "e2fsck" in found.err

    def test_mke2fs_missing(self, xlpy, tmp_path, monkeypatch):
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr("xlpy.dom0.ext4.tools._SYSTEM_FOLDERS", ())
        found = xlpy("--root", tmp_path / "new", "list", status=4)
        assert "apt-get install e2fsprogs" in found.err

    def test_somebody_elses_directory(self, xlpy, tmp_path):
        (tmp_path / "thesis.tex").write_text("work")
        found = xlpy("--root", tmp_path, "host", "init", status=5)
        assert "not empty" in found.err
        assert (tmp_path / "thesis.tex").read_text() == "work"


def spawn(root: Path, *words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "xlpy", *map(str, words)],
        env={**os.environ, "XLPY_ROOT": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class TestAtTheSameTime:
    def test_two_creates_race_for_one_device(self, host_root, guest):
        both = [spawn(host_root, "create", guest("/dev/pmem1", name=name)) for name in ("first", "second")]
        statuses = sorted(process.wait(60) for process in both)
        assert statuses == [0, 5]

    @pytest.mark.parametrize("delay", [0.05, 0.12, 0.16, 0.2, 0.24, 0.28, 0.32, 0.4])
    def test_killed_at_any_instant(self, xlpy, host_root, guest, delay):
        config = guest("/dev/pmem1", "/mnt/pmem0/vm1.img")
        process = spawn(host_root, "create", config)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        listed = xlpy("list", "--json").json["items"]
        if listed:
            xlpy("destroy", "guest")
        xlpy("create", config)
        xlpy("acpi", "dump", "guest")
        xlpy("destroy", "guest")
        assert not list((host_root / "domains").glob("[0-9]*"))


class TestWithoutAHost:
    """A dry run changes nothing, not even where there is no host yet: it is tried on one that is thrown away."""

    @pytest.mark.parametrize(
        ("words", "status"),
        [
            (("pmem", "mkfile", "-n", "64M", "/mnt/pmem0/x"), 0),
            (("pmem", "mkfile", "-n", "64M", "/mnt/pmem0/vm1.img"), 5),
            (("-N", "pmem", "prepare", "/mnt/pmem0/vm1.img"), 0),
            (("destroy", "-n", "nobody"), 4),
        ],
    )
    def test_dry(self, xlpy, tmp_path, monkeypatch, words, status):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        before = set(tmp_path.iterdir())
        assert "thrown away" in xlpy("--root", tmp_path / "none", *words, status=status).err
        assert set(tmp_path.iterdir()) == before


def test_a_file_is_no_directory(xlpy):
    assert "is not a directory" in xlpy("pmem", "resolve", "/mnt/pmem0/vm1.img/", status=4).err
    assert "is not a directory" in xlpy("pmem", "resolve", "/mnt/pmem0/vm1.img/.", status=4).err


def test_a_size_that_cannot_be_mapped_is_reported(xlpy):
    assert "whole pages" in xlpy("pmem", "mkfile", "5000", "/mnt/pmem0/odd").err


def test_an_option_where_a_command_belongs(xlpy):
    assert "'--codes'" in xlpy("acpi", "--", "--codes", status=2).err


def test_mistyped_commands(xlpy):
    assert "Did you mean 'create' or 'migrate'?" in xlpy("crate", status=2).err
    assert "Did you mean 'list'?" in xlpy("pmem", "lst", status=2).err
    assert "Did you mean" not in xlpy("xyzzy", status=2).err
