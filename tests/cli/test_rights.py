"""Who may read: what xlpy makes belongs to its owner alone, whatever the umask."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from stat import S_IMODE, S_ISDIR

import pytest

from xlpy.private import claim, folder, open_to_others, private


def rights(top):
    """The mode of everything below a folder, and of the folder."""
    found = {".": top.lstat().st_mode} | {str(p.relative_to(top)): p.lstat().st_mode for p in top.rglob("*")}
    return {name: S_IMODE(mode) for name, mode in found.items() if S_IMODE(mode) != (0o700 if S_ISDIR(mode) else 0o600)}


@pytest.fixture
def shell(tmp_path):
    """Run commands in bash, where xlpy uses a root that is not there yet."""

    def run(*lines, root=tmp_path / "host", ok=True):
        script = "set -e\n" + "\n".join(lines)
        env = {**os.environ, "XLPY_ROOT": str(root), "x": f"{sys.executable} -m xlpy"}
        done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, check=False)
        assert not ok or done.returncode == 0, done.stderr
        return done

    return run


@pytest.mark.parametrize("umask", ["0000", "0022", "0177"])
def test_a_root_and_all_in_it(shell, tmp_path, umask):
    """After all that makes files: a host, domains with labels, a core dump, an attached device, a poisoned line."""
    root = tmp_path / "host"
    shell(
        f"umask {umask}",
        "$x create -q configs/quickstart.cfg",
        "$x mem write quickstart 0x500000 --hex 00",
        "$x pmem mkfile 1M /mnt/pmem0/b/c.img",
        "$x nvdimm-attach quickstart file=/mnt/pmem0/b/c.img",
        "$x acpi eval quickstart '\\_SB.NVDR.NV00._LSW' 0 4 hex:00000000 >/dev/null",
        "mkdir -m 700 $XLPY_ROOT/dump; $x dump-core quickstart $XLPY_ROOT/dump/x.core",
        f"$x dump-core quickstart {tmp_path}/mine.core",
        f"$x mem read quickstart 0 4096 -o {tmp_path}/page",
        "$x list >/dev/null",
    )
    assert len(list(root.rglob("*"))) > 20
    assert rights(root) == {}
    assert S_IMODE((tmp_path / "mine.core").stat().st_mode) == 0o600
    assert S_IMODE((tmp_path / "page").stat().st_mode) == 0o600


def test_an_empty_folder_becomes_private_when_a_host_is_made_in_it(shell, tmp_path):
    root = tmp_path / "host"
    root.mkdir(mode=0o755)
    assert shell("$x host init").stderr.count("warning") == 0
    assert rights(root) == {}


def test_a_wider_root_warns_with_the_command_that_ends_it(xlpy, host_root):
    assert "open to other users" not in xlpy("list").err
    for mode in (0o755, 0o750, 0o701):
        host_root.chmod(mode)
        warned = xlpy("list").err
        assert f"warning: {host_root} is open to other users (mode {mode:04o})" in warned
        assert xlpy("-q", "list").err == ""
    command = warned.strip().rpartition("end that with: ")[2]
    subprocess.run(["bash", "-c", command], check=True)
    assert xlpy("list").err == ""


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv (util-linux)")
def test_a_lock_of_somebody_else(shell, tmp_path):
    """Another user cannot open any file of a host, and so hold no lock on it."""
    root = tmp_path / "host"
    shell("$x host init")
    for above in (tmp_path, tmp_path.parent):
        above.chmod(0o755)
    for path in (root / "lock", root / "state.db"):
        stranger = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "flock", "-n", str(path), "true"]
        assert subprocess.run(stranger, capture_output=True, check=False).returncode != 0
    root.chmod(0o755)  # even where they see the names
    for path in (root / "lock", root / "state.db"):
        stranger[-2] = str(path)
        assert subprocess.run(stranger, capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize(("owner", "me", "status"), [(1, 2, 5), (0, 2, 0), (2, 2, 0), (1, 0, 0)])
def test_a_root_of_somebody_else(xlpy, host_root, tmp_path, monkeypatch, owner, me, status):
    """One that root has made for a user is fine; one that another user has laid out is not, empty or with a host."""
    if os.geteuid():
        pytest.skip("needs root, to give folders away")
    (tmp_path / "empty").mkdir()
    for path in (host_root, tmp_path / "empty"):
        os.chown(path, owner, owner)
    monkeypatch.setattr(os, "geteuid", lambda: me)
    found = xlpy("list", status=status)
    assert ("belongs to another user (uid 1)" in found.err) == bool(status)
    xlpy("--root", tmp_path / "empty", "host", "init", status=status)


class TestPrivate:
    @pytest.fixture(autouse=True, params=[0o000, 0o022, 0o777])
    def umask(self, request):
        before = os.umask(request.param)
        yield
        os.umask(before)

    def test_a_new_file_and_a_new_folder(self, tmp_path):
        os.close(private(tmp_path / "file", os.O_WRONLY | os.O_CREAT))
        with open(tmp_path / "other", "w", opener=private) as file:
            file.write("x")
            assert fcntl.fcntl(file, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        folder(tmp_path / "folder")
        assert rights(tmp_path).keys() <= {"."}

    def test_what_is_there_keeps_its_rights(self, tmp_path):
        file, place = tmp_path / "file", tmp_path / "folder"
        file.touch()
        place.mkdir()
        file.chmod(0o640)
        place.chmod(0o750)
        os.close(private(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
        folder(place)
        assert (open_to_others(file), open_to_others(place)) == (0o640, 0o750)
        with pytest.raises(FileExistsError):
            private(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        with pytest.raises(NotADirectoryError):
            folder(file)
        claim(place)
        assert open_to_others(place) == 0

    def test_nothing_is_made_unless_asked(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            private(tmp_path / "file", os.O_RDONLY)
