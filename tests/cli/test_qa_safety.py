"""Killed, crowded out, damaged by hand: the next command finds a whole host, and no data is lost."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from campaign.states import differences, snapshot, whole

from xlpy.dom0.emulated import EmulatedDom0
from xlpy.errors import Conflict, Constraint, NotFound
from xlpy.host import Host
from xlpy.hw.media import Media, trouble

GPA = "0x500003039"
DEVICE = 'name = "device"\ntype = "hvm"\nmemory = 256\nvnvdimm = ["/dev/pmem1"]\n'
FILE = 'name = "file"\ntype = "hvm"\nmemory = 256\nvnvdimm = ["/mnt/pmem0/vm1.img"]\n'


@pytest.fixture
def config(tmp_path):
    """Write a configuration."""

    def write(text):
        path = tmp_path / "guest.cfg"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def killed(host_root):
    """Run a command that dies, as by kill -9, where it calls a function: ``module:class.function``."""

    def run(where, *words, root=host_root):
        module, path = where.split(":")
        program = (
            f"import os, sys, {module} as m\n"
            f"m.{path} = lambda *a, **k: os._exit(9)\n"
            "from xlpy.cli.main import run\n"
            "run(sys.argv[1:])"
        )
        env = {**os.environ, "XLPY_ROOT": str(root)}
        done = subprocess.run([sys.executable, "-c", program, *map(str, words)], env=env, capture_output=True)
        assert done.returncode == 9, done.stderr

    return run


BOOT = "xlpy.dom0.emulated:EmulatedDom0.boot"


class TestKilledWhileMaking:
    def test_a_killed_restart_was_none(self, xlpy, config, killed):
        xlpy("create", config(FILE))
        xlpy("mem", "write", "file", GPA, "--hex", "c0ffee")
        killed(BOOT, "host", "reset", "--keep-media")
        assert "repairing what an interrupted command left: restarting the host" in xlpy("list").err
        assert xlpy("mem", "read", "file", GPA, "3", "--json").json["hex"] == "c0ffee"
        xlpy("destroy", "file")

    def test_a_restart_releases_the_files_of_domains(self, xlpy, config, host_root):
        xlpy("create", config(FILE))
        xlpy("mem", "write", "file", GPA, "--hex", "c0ffee")
        xlpy("host", "reset", "--keep-media")
        host = Host.open(host_root)
        assert not host.dom0.file("/mnt/pmem0/vm1.img")[2].immutable
        host.store.close()
        xlpy("create", config(FILE))
        assert xlpy("mem", "read", "file", GPA, "3", "--json").json["hex"] == "c0ffee"

    @pytest.mark.parametrize(
        "damage",
        [
            lambda state: state.write_bytes(b"no database" * 1000),
            lambda state: state.write_bytes(state.read_bytes()[:5000]),
            lambda state: state.write_bytes(b""),
            lambda state: state.unlink(),
        ],
        ids=["foreign", "cut", "empty", "gone"],
    )
    def test_a_restart_is_the_way_out_of_a_damaged_state(self, xlpy, config, host_root, damage):
        xlpy("create", config(DEVICE))
        xlpy("mem", "write", "device", GPA, "--hex", "c0ffee")
        xlpy("create", config(FILE))
        damage(host_root / "state.db")
        xlpy("host", "reset", "--keep-media")
        assert xlpy("list", "--json").json["items"] == []
        assert not list((host_root / "domains").glob("[0-9]*"))
        host = Host.open(host_root)
        assert not host.dom0.file("/mnt/pmem0/vm1.img")[2].immutable
        host.store.close()
        xlpy("create", config(DEVICE))
        assert xlpy("mem", "read", "device", GPA, "3", "--json").json["hex"] == "c0ffee"

    def test_a_damaged_record_does_not_hinder_a_restart(self, xlpy, config, host_root):
        xlpy("create", config(FILE))
        with sqlite3.connect(host_root / "state.db") as db:
            db.execute("UPDATE records SET value = '[]' WHERE room = 'dom0.pins'")
        db.close()
        found = xlpy("host", "reset", "--keep-media")
        assert "who held which file is lost" in found.err
        assert xlpy("list", "--json").json["items"] == []
        host = Host.open(host_root)
        assert not host.dom0.file("/mnt/pmem0/vm1.img")[2].immutable
        host.store.close()

    def test_making_over_media_is_refused(self, xlpy, host_root):
        (host_root / "state.db").unlink()
        assert "nothing is made over them" in xlpy("host", "init", status=6).err

    def test_the_machine_that_was_asked_for_is_finished(self, xlpy, killed, configs, tmp_path):
        root = tmp_path / "other"
        killed(BOOT, "host", "init", "--machine", configs / "machines" / "interleaved.yaml", root=root)
        shown = xlpy("--root", root, "host", "show", "--json")
        assert shown.json["name"] == "interleaved"
        assert not {path.name for path in root.iterdir()} & {"making", "making.new", "unclean"}

    def test_a_killed_reset_was_none(self, xlpy, killed, configs, host_root):
        killed(BOOT, "host", "reset", "--machine", configs / "machines" / "interleaved.yaml")
        assert xlpy("host", "show", "--json").json["name"] == "default"
        assert not {path.name for path in host_root.iterdir()} & {"next", "replacing", "unclean"}

    def test_a_reset_that_fails_was_none(self, xlpy, config, host_root, monkeypatch):
        xlpy("create", config(DEVICE))
        before = snapshot(host_root)

        def refuse(*_):
            raise Constraint("it does not fit")

        monkeypatch.setattr(EmulatedDom0, "boot", refuse)
        xlpy("host", "reset", status=6)
        assert differences(before, snapshot(host_root)) == []
        xlpy("host", "reset", "--keep-media", status=6)
        assert differences(before, snapshot(host_root)) == []
        assert "it does not fit" not in xlpy("dmesg").out

    def test_a_restart_that_was_killed_behind_its_commit_holds_no_file(self, xlpy, config, killed, host_root):
        """The flag that said so was cleared in the same transaction, and stays cleared."""
        xlpy("create", config(FILE))
        assert list((host_root / "hw" / "holds").iterdir())
        killed("xlpy.dom0.files.edits:Edits.settle", "host", "reset", "--keep-media")
        assert xlpy("list", "--json").json["items"] == []
        host = Host.open(host_root)
        assert not host.dom0.file("/mnt/pmem0/vm1.img")[2].immutable
        host.store.close()
        assert whole(host_root) == []

    def test_a_restart_forgets_the_copy_of_the_holds(self, xlpy, config, host_root):
        xlpy("create", config(FILE))
        xlpy("host", "reset", "--keep-media")
        assert list((host_root / "hw" / "holds").iterdir()) == []

    @pytest.mark.parametrize("left", [(), ("lock",), ("lock", "old-is-gone")])
    def test_a_reset_that_was_killed_when_all_had_moved_is_done(self, xlpy, config, host_root, left):
        """Nothing of the host that is there is removed, whatever of the empty folder is left."""
        xlpy("create", config(FILE))
        before = snapshot(host_root)
        (host_root / "replacing").mkdir()
        for name in left:
            (host_root / "replacing" / name).touch()
        assert [one["name"] for one in xlpy("list", "--json").json["items"]] == ["file"]
        assert differences(before, snapshot(host_root)) == []
        assert not (host_root / "replacing").exists()

    def test_a_reset_replaces_everything(self, xlpy, config, configs, host_root):
        xlpy("create", config(DEVICE))
        xlpy("dump-core", "device", host_root / "dump.core")
        (host_root / "dump").mkdir()
        (host_root / "dump" / "old.core").write_text("old")
        xlpy("host", "reset", "--machine", configs / "machines" / "interleaved.yaml")
        left = {"hw", "domains", "lock", "machine.yaml", "state.db", "state.db-journal", "dump.core"}
        assert {path.name for path in host_root.iterdir()} == left
        assert xlpy("host", "show", "--json").json["name"] == "interleaved"

    def test_a_failure_leaves_nothing(self, xlpy, tmp_path, monkeypatch):
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr("xlpy.dom0.ext4.tools._SYSTEM_FOLDERS", ())
        xlpy("--root", tmp_path / "new", "list", status=4)
        assert not {"hw", "making", "domains"} & {path.name for path in (tmp_path / "new").iterdir()}


class TestBehindTheBack:
    """Two processes: what one has read, the other one changes before the first gets the lock."""

    def test_a_domain_that_is_gone_is_not_destroyed_twice(self, host_root, config, xlpy):
        xlpy("create", config(DEVICE))
        early = Host.open(host_root)
        domid = early.domid("device")
        assert early.xen.domain(domid).tot_pages
        early.xen.pmem.m2p  # noqa: B018 - read now
        xlpy("destroy", "device")
        free = xlpy("info", "free_memory").out
        with pytest.raises(NotFound), early.change("test"):
            early.lifecycle.destroy(domid)
        early.store.close()
        assert xlpy("info", "free_memory").out == free

    def test_one_that_waited_for_a_killed_one_repairs_first(self, host_root, config, killed):
        lines = []
        early = Host.open(host_root, lines.append)
        killed("xlpy.firmware.hvmloader.main:run", "create", config(FILE))
        assert early.dom0.file("/mnt/pmem0/vm1.img")[2].immutable
        early.mkfile("/mnt/pmem0/new.img", 4096)
        assert "repairing what an interrupted command left: creating file" in lines[0]
        assert not early.dom0.file("/mnt/pmem0/vm1.img")[2].immutable
        assert not (host_root / "unclean").exists()
        early.store.close()

    def test_a_host_that_was_reset_is_not_changed(self, host_root, xlpy):
        early = Host.open(host_root)
        xlpy("host", "reset")
        with pytest.raises(Conflict, match="the host was reset meanwhile"):
            early.mkfile("/mnt/pmem0/new.img", 4096)
        early.store.close()


class TestFullDisk:
    @pytest.mark.parametrize("file", ["ram", "hole"])
    def test_firmware_is_not_blamed(self, xlpy, config, host_root, monkeypatch, file):
        write = Media.write

        def full(self, offset, data):
            if str(self.path).endswith(file):
                raise trouble(self.path, OSError(errno.ENOSPC, "No space left on device"))
            write(self, offset, data)

        monkeypatch.setattr(Media, "write", full)
        found = xlpy("create", "--json", config(FILE), status=6)
        assert found.json["code"] == "XLPY-NO-SPACE"
        monkeypatch.undo()
        monkeypatch.setenv("XLPY_ROOT", str(host_root))
        assert xlpy("list", "--json").json["items"] == []
        assert not list((host_root / "domains").glob("[0-9]*"))
        xlpy("create", config(FILE))

    def test_an_edit_for_which_there_is_no_space(self, xlpy, host_root, monkeypatch):
        write = os.write

        def full(fd, data):
            if ".edit-" in str(Path(f"/proc/self/fd/{fd}").readlink()):
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(fd, data)

        monkeypatch.setattr(os, "write", full)
        assert "No space left" in xlpy("pmem", "mkfile", "4K", "/mnt/pmem0/new.img", status=6).err
        assert not (host_root / "unclean").exists()
        monkeypatch.undo()
        monkeypatch.setenv("XLPY_ROOT", str(host_root))
        xlpy("pmem", "mkfile", "4K", "/mnt/pmem0/new.img")


class TestByHand:
    @pytest.mark.parametrize(
        ("damage", "words"),
        [
            (lambda ram: ram.unlink(), "No such file or directory"),
            (lambda ram: os.truncate(ram, 4096), "4096 bytes long, 268500992 are required"),
        ],
        ids=["gone", "short"],
    )
    def test_ram_that_is_lost(self, xlpy, config, host_root, damage, words):
        """The domain cannot go on, and can be ended."""
        xlpy("create", config(DEVICE))
        damage(host_root / "domains" / "1" / "ram")
        for command in (
            ("mem", "read", "device", "1M", "16"),
            ("acpi", "dump", "device"),
            ("guest", "probe", "device"),
        ):
            found = xlpy(*command, status=6)
            assert words in found.err
            assert "destroy the domain" in found.err
        xlpy("destroy", "device")
        xlpy("create", config(DEVICE))

    def test_a_missing_description_is_put_back(self, xlpy, host_root):
        text = (host_root / "machine.yaml").read_text()
        (host_root / "machine.yaml").unlink()
        xlpy("list")
        assert (host_root / "machine.yaml").read_text() == text

    def test_a_changed_description_says_what_to_do(self, xlpy, host_root):
        (host_root / "machine.yaml").write_text("name: other\n")
        assert "remove the file to get the original back" in xlpy("list", status=3).err

    def test_media_whose_machine_is_unknown(self, xlpy, host_root):
        (host_root / "state.db").unlink()
        (host_root / "machine.yaml").unlink()
        assert "reset --keep-media" in xlpy("list", status=6).err
        assert "xlpy host reset" in xlpy("host", "reset", "--keep-media", status=4).err
        xlpy("host", "reset")
        xlpy("list")

    def test_a_root_that_is_a_file(self, xlpy, tmp_path):
        (tmp_path / "file").write_text("mine")
        assert str(tmp_path / "file") in xlpy("--root", tmp_path / "file", "list", status=6).err
        assert (tmp_path / "file").read_text() == "mine"

    def test_keep_media_or_another_machine(self, xlpy, configs):
        machine = configs / "machines" / "interleaved.yaml"
        xlpy("host", "reset", "--keep-media", "--machine", machine, status=2)

    def test_there_is_a_host_already(self, xlpy):
        assert "xlpy host reset --machine" in xlpy("host", "init", status=5).err
