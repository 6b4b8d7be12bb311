"""How commands end when they are stopped or short of something: without a traceback, and with nothing left behind."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from campaign.full import mounted
from campaign.states import differences, snapshot, whole

from xlpy.cli.scratch import PREFIX
from xlpy.host import Host


@pytest.fixture
def command(host_root, configs):
    """Start a command in a process of its own, with limits: ``command("list", RLIMIT_NOFILE=12)``."""

    def start(*words, root=host_root, program=("-m", "xlpy"), env=None, **limits):
        def limit():
            for name, value in limits.items():
                number = getattr(resource, name)
                resource.setrlimit(number, (value, resource.getrlimit(number)[1]))

        return subprocess.Popen(
            [sys.executable, *program, *map(str, words)],
            env={**os.environ, "XLPY_ROOT": str(root), **(env or {})},
            cwd=configs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=limit,
        )

    return start


class TestLimits:
    @pytest.mark.parametrize("files", [8, 10, 12, 14])
    def test_few_open_files_at_the_first_use(self, command, tmp_path, files):
        """What was begun is not taken for a host."""
        root = tmp_path / "new"
        first = command("list", root=root, RLIMIT_NOFILE=files)
        err = first.communicate()[1]
        assert "Too many open files" in err
        assert first.returncode == 6
        again = command("create", "-q", "quickstart.cfg", root=root)
        assert again.wait() == 0, again.stderr.read()
        assert whole(root) == []

    def test_a_limit_on_file_sizes_is_not_a_lack_of_memory(self, command, host_root):
        before = snapshot(host_root)
        done = command("create", "quickstart.cfg", RLIMIT_FSIZE=100 << 20)
        err = done.communicate()[1]
        assert done.returncode == 6
        assert "File too large" in err
        assert "ulimit -f" in err
        assert differences(before, snapshot(host_root)) == []

    def test_a_child_that_dies_of_a_limit_leaves_a_host_that_works(self, command, xlpy, host_root, monkeypatch):
        """The limit is on debugfs alone, which writes beyond it."""
        before = snapshot(host_root)
        run = subprocess.call

        def limited(*args, **kwargs):
            soft, hard = 64 << 10, resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            return run(*args, **kwargs, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard)))

        with monkeypatch.context() as patch:
            patch.setattr(subprocess, "call", limited)
            found = xlpy("pmem", "mkfile", "1M", "/mnt/pmem0/a.img", status=6)
        assert "debugfs was killed by signal 25 (the limit on file sizes, ulimit -f)" in found.err
        assert differences(before, snapshot(host_root)) == []
        xlpy("list")
        xlpy("pmem", "mkfile", "1M", "/mnt/pmem0/a.img")
        assert whole(host_root) == []

    @pytest.mark.parametrize("words", [("list",), ("pmem", "list"), ("pmem", "mkfile", "1M", "/mnt/pmem0/a.img")])
    def test_after_a_killed_child_every_command_works(self, command, host_root, words):
        killed = command("pmem", "mkfile", "1M", "/mnt/pmem0/a.img", RLIMIT_FSIZE=50000 << 10)
        err = killed.communicate()[1]
        assert killed.returncode == 6
        assert "error: " in err
        done = command(*words)
        assert done.wait() == 0, done.stderr.read()
        assert whole(host_root) == []


class TestSignals:
    @pytest.mark.parametrize("module", ["xlpy.cli.main", "xlpy.cli.plain", "xlpy.errors", "xlpy.cli.env"])
    def test_ctrl_c_during_an_import(self, command, module):
        program = (
            "import os, signal, sys\n"
            "def interrupt(event, args):\n"  # when its code runs, however it was found
            f"    if event == 'exec' and args[0].co_filename.endswith({module.replace('.', '/') + '.py'!r}):\n"
            "        os.kill(os.getpid(), signal.SIGINT)\n"
            "from xlpy.start import main\n"
            "sys.addaudithook(interrupt)\n"
            "sys.argv = ['xlpy', 'list']\n"
            "main()\n"
        )
        done = command(program=("-c", program))
        out, err = done.communicate()
        assert (done.returncode, out, err) == (-signal.SIGINT, "", "")

    def test_ctrl_c_during_a_command(self, command):
        program = (
            "import os, signal, sys\n"
            "from xlpy.host import Host\n"
            "Host.open = lambda *_, **__: os.kill(os.getpid(), signal.SIGINT)\n"
            "from xlpy.start import main\n"
            "sys.argv = ['xlpy', 'list']\n"
            "main()\n"
        )
        done = command(program=("-c", program))
        assert done.communicate() == ("", "")
        assert done.returncode == 130

    def test_an_ignored_ctrl_c_stays_ignored(self, command):
        program = (
            "import os, signal, sys\n"
            "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
            "os.execv(sys.executable, [sys.executable, '-c', 'import os, signal, sys\\n"
            "from xlpy.start import main\\n"
            'sys.argv = ["xlpy", "list"]\\n'
            "os.kill(os.getpid(), signal.SIGINT)\\n"
            "main()\\n'])\n"
        )
        done = command(program=("-c", program))
        out, err = done.communicate()
        assert done.returncode == 0, err
        assert "Domain-0" in out

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
    def test_a_dry_run_that_is_ended_takes_its_folder_along(self, command, tmp_path, number):
        where = tmp_path / "tmp"
        where.mkdir()
        child = command(
            "pmem", "mkfile", "-n", "4K", "/mnt/pmem0/x", root=tmp_path / "none", env={"TMPDIR": str(where)}
        )
        deadline = time.monotonic() + 30
        while not list(where.glob(f"{PREFIX}*/hw*")) and time.monotonic() < deadline:
            time.sleep(0.001)
        child.send_signal(number)
        child.communicate()
        assert child.returncode == -number
        assert list(where.iterdir()) == []

    def test_what_a_killed_dry_run_left_goes_with_the_next(self, command, tmp_path):
        where = tmp_path / "tmp"
        (where / f"{PREFIX}left" / "hw").mkdir(parents=True)
        os.utime(where / f"{PREFIX}left", (0, 0))  # a fresh one may be about to be locked
        (where / "else").mkdir()
        child = command(
            "pmem", "mkfile", "-n", "4K", "/mnt/pmem0/x", root=tmp_path / "none", env={"TMPDIR": str(where)}
        )
        assert child.wait() == 0, child.stderr.read()
        assert [path.name for path in where.iterdir()] == ["else"]
        assert Path(tempfile.gettempdir()).exists()


READERS = [
    ("list",),
    ("list", "-l"),
    ("info",),
    ("pmem", "list"),
    ("pmem", "resolve", "/mnt/pmem0/vm1.img"),
    ("map", "quickstart"),
    ("guest", "probe", "quickstart"),
    ("acpi", "dump", "quickstart"),
    ("acpi", "eval", "quickstart", r"\_SB.NVDR._FIT"),
    ("xenstore", "ls", "-f"),
    ("nvdimm-list", "quickstart"),
    ("dmesg",),
    ("mem", "read", "quickstart", "0x500000000", "64"),
    ("create", "-n", "device.cfg"),
    ("destroy", "-n", "quickstart"),
]


class TestReadOnly:
    """A root on a file system that is mounted read-only: what only reads works."""

    @pytest.fixture
    def root(self, xlpy, host_root, configs, tmp_path, monkeypatch):
        xlpy("create", "-q", configs / "quickstart.cfg")
        disk = tmp_path / "disk"
        try:
            with mounted(disk, 64 << 20):
                subprocess.run(["cp", "-a", "--sparse=always", str(host_root), str(disk)], check=True)
                subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
                monkeypatch.setenv("XLPY_ROOT", str(disk / "host"))
                yield disk / "host"
        except PermissionError as error:
            pytest.skip(f"nothing can be mounted here: {error}")

    def test_every_reader(self, xlpy, root, configs):
        for words in READERS:
            xlpy(*(configs / word if word.endswith(".cfg") else word for word in words))

    def test_what_changes_something_says_why_not(self, xlpy, root):
        for words in (("destroy", "quickstart"), ("pmem", "mkfile", "4K", "/mnt/pmem0/x"), ("dmesg", "-c")):
            assert "Read-only file system" in xlpy(*words, status=6).err

    def test_what_a_killed_command_left_is_reported_and_listed(self, xlpy, host_root, configs, monkeypatch, tmp_path):
        xlpy("create", "-q", configs / "quickstart.cfg")
        (host_root / "unclean").write_text("creating vm (pid 1)\n")
        disk = tmp_path / "disk"
        try:
            with mounted(disk, 64 << 20):
                subprocess.run(["cp", "-a", "--sparse=always", str(host_root), str(disk)], check=True)
                subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
                monkeypatch.setenv("XLPY_ROOT", str(disk / "host"))
                found = xlpy("list")
        except PermissionError as error:
            pytest.skip(f"nothing can be mounted here: {error}")
        assert "quickstart" in found.out
        assert "cannot be repaired yet" in found.err


def test_a_domain_ends_although_its_file_is_gone(xlpy, configs, host_root):
    """The inode is known; what has become of the path does not matter."""
    xlpy("create", "-q", configs / "quickstart.cfg")
    host = Host.open(host_root)
    mount = host.dom0.place("/mnt/pmem0")[0]
    number = host.dom0.file("/mnt/pmem0/vm1.img")[2].number
    editor = host.dom0.edits.editor(mount)
    with editor._editing():
        editor._scratch.open().lookup("/vm1.img")
        editor._debugfs(["ln vm1.img other.img", f"sif <{number}> links_count 2", "unlink vm1.img"])
    host.store.close()
    xlpy("destroy", "quickstart")
    host = Host.open(host_root)
    assert not host.dom0.file("/mnt/pmem0/other.img")[2].immutable
    host.store.close()
