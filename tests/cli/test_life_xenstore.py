"""xenstore from the command line, and what libxl leaves in it for a domain."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

HOME = "/local/domain/1"
# path below the domain's home, value, permissions (Xen's libxl writes these)
ROWS = [
    ("vm", "/vm/{uuid}", "n0,r1"),
    ("name", "quickstart", "n0,r1"),
    ("domid", "1", "n0,r1"),
    ("control/shutdown", "", "n1"),
    ("control/sysrq", "", "n1"),
    ("control/feature-poweroff", "", "n1"),
    ("control/platform-feature-xs_reset_watches", "1", "n0,r1"),
    ("memory/static-max", "524288", "n0,r1"),
    ("memory/target", "516096", "n0,r1"),
    ("memory/videoram", "8192", "n0,r1"),
    ("store/port", "1", "n0,r1"),
    ("store/ring-ref", "1044476", "n0,r1"),
    ("cpu/1/availability", "online", "n0,r1"),
    ("platform/acpi", "1", "n0,r1"),
    ("hvmloader/bios", "seabios", "n0,r1"),
    ("hvmloader/allow-memory-relocate", "0", "n0,r1"),
    ("data", "", "n1"),
    ("console/backend", "/local/domain/0/backend/console/1/0", "n0,r1"),
    ("console/backend-id", "0", "n1,r0"),
    ("console/limit", "1048576", "n0,r1"),
    ("console/type", "xenconsoled", "n0,r1"),
    ("console/output", "pty", "n0,r1"),
    ("console/port", "2", "n0,r1"),
    ("console/ring-ref", "1044479", "n0,r1"),
    ("/libxl/1/type", "hvm", "n0"),
    ("/libxl/1/dm-version", "qemu_xen", "n0"),
    ("/libxl/1/device/nvdimm/0/file", "/mnt/pmem0/vm1.img", "n0"),
    ("/libxl/1/device/nvdimm/0/state", "4", "n0"),
    ("/libxl/1/device/console/0/frontend", "/local/domain/1/console", "n0"),
    ("/vm/{uuid}/name", "quickstart", "n0,r1"),
    ("/vm/{uuid}/image/ostype", "hvm", "n0,r1"),
    ("/local/domain/0/device-model/1/state", "running", "n0"),
    ("/local/domain/0/backend/console/1/0/frontend", "/local/domain/1/console", "n0,r1"),
]


@pytest.fixture
def vm(xlpy, configs):
    """A running domain with one vNVDIMM: domain 1."""
    xlpy("create", "-q", configs / "quickstart.cfg")
    return "quickstart"


def test_what_libxl_writes(xlpy, vm):
    uuid = xlpy("list", "--json").json["items"][0]["uuid"]
    found = {
        row["path"]: (row["value"], ",".join(row["perms"])) for row in xlpy("xenstore", "ls", "--json").json["items"]
    }
    for path, value, perms in ROWS:
        path = path.format(uuid=uuid)
        whole = path if path.startswith("/") else f"{HOME}/{path}"
        assert found.get(whole) == (value.format(uuid=uuid), perms), whole


def test_nothing_is_left_of_a_destroyed_domain(xlpy, vm):
    xlpy("destroy", vm)
    assert not [row for row in xlpy("xenstore", "ls", "-f").out.splitlines() if "/1" in row or "quickstart" in row]


def test_tree(xlpy, vm):
    assert xlpy("xenstore", "ls", f"{HOME}/memory").out.splitlines() == [
        'static-max = "524288"',
        'target = "516096"',
        'videoram = "8192"',
    ]
    assert ' name = "quickstart"' in xlpy("xenstore", "ls", "/local/domain").out.splitlines()
    assert f'{HOME}/name = "quickstart"   (n0,r1)' in xlpy("xenstore", "ls", "-f", "-p", HOME).out.splitlines()


def test_read_write(xlpy, vm):
    xlpy("xenstore", "write", f"{HOME}/data/a", 'one\n"two"', f"{HOME}/data/b/c", "é")
    assert xlpy("xenstore", "read", f"{HOME}/data/b/c").out == "é\n"
    assert xlpy("xenstore", "read", "-p", f"{HOME}/data/b").out == f"{HOME}/data/b: \n"
    assert xlpy("xenstore", "ls", f"{HOME}/data").out == 'a = "one\\n\\"two\\""\nb = ""\n c = "é"\n'


def test_as_a_guest(xlpy, vm):
    assert xlpy("xenstore", "read", "--domid", "1", "name").out == "quickstart\n"
    xlpy("xenstore", "write", "--domid", "1", "data/mine", "1")
    assert xlpy("xenstore", "ls", "-f", "-p", "--domid", "1", "data").out == f'{HOME}/data/mine = "1"   (n1)\n'
    assert "EACCES" in xlpy("xenstore", "write", "--domid", "1", "name", "x", status=8).err
    assert "EACCES" in xlpy("xenstore", "read", "--domid", "1", "/libxl/1/type", status=8).err
    assert "EACCES" in xlpy("xenstore", "ls", "--domid", "1", "/libxl", status=8).err


def test_all_or_none(xlpy, vm):
    xlpy("xenstore", "write", "--domid", "1", "data/a", "1", "name", "x", status=8)
    xlpy("xenstore", "read", f"{HOME}/data/a", status=4)


def test_dry_run(xlpy, vm):
    xlpy("xenstore", "write", "-n", f"{HOME}/data/a", "1")
    xlpy("xenstore", "read", f"{HOME}/data/a", status=4)
    xlpy("xenstore", "write", "-n", "--domid", "1", "name", "x", status=8)
    xlpy("xenstore", "write", "-n", f"{HOME}/control/shutdown", "poweroff")
    xlpy("list", vm)


def test_the_guest_watches_its_control_nodes(xlpy, vm):
    found = xlpy("xenstore", "write", "--json", f"{HOME}/control/shutdown", "reboot").json
    assert found["followed"][0]["successor"] == 2
    xlpy("xenstore", "write", "/local/domain/2/control/shutdown", "dance")  # what it does not know it leaves
    assert xlpy("xenstore", "read", "/local/domain/2/control/shutdown").out == "dance\n"


def test_a_domain_that_is_not_there(xlpy, vm):
    xlpy("xenstore", "write", "/local/domain/77/control/shutdown", "reboot")


def test_what_an_administrator_breaks_is_an_error_not_a_crash(xlpy, vm, host_root):
    xlpy("xenstore", "write", "/local/domain/foo", "1", f"{HOME}/memory/target", "many", f"{HOME}/memory/videoram", "")
    xlpy("xenstore", "write", "/libxl/1/device/nvdimm/0/state", "odd", f"{HOME}/vm", "no such path")
    assert "a number is required" in xlpy("mem-set", vm, "400", status=6).err
    assert "a number is required" in xlpy("mem-max", vm, "400", status=6).err
    assert "a number is required" in xlpy("list", "-l", status=6).err
    for words in (("list",), ("uptime",), ("domid", vm), ("nvdimm-list", vm), ("rename", vm, vm), ("reboot", vm)):
        xlpy(*words)
    xlpy("destroy", vm)


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (("read", "/nothing"), 4, "ENOENT"),
        (("ls", "/nothing"), 4, "ENOENT"),
        (("read", "//x"), 2, "is not a path"),
        (("read", "/x/"), 2, "is not a path"),
        (("read", "/a b"), 2, "is not a path"),
        (("read", "/" + "x" * 4000), 2, "is not a path"),
        (("write", "/x"), 2, "has no value"),
        (("write", "/x", "v" * 5000), 8, "E2BIG"),
        (("read", "--domid", "40000", "/x"), 2, "40000"),
        (("watch", "/a b", "-T", "0"), 2, "is not a path"),
        (("watch", "/x", "-n", "0"), 2, "0"),
        (("watch", "/x", "-T", "nan"), 2, "no number"),
        ((), 2, "ls"),
    ],
)
def test_bad_input(xlpy, words, status, text):
    assert text in xlpy("xenstore", *words, status=status).err


class TestWatch:
    def test_one_event_at_once(self, xlpy, vm):
        assert xlpy("xenstore", "watch", "-n", "1", HOME).out == f"{HOME}\n"
        assert xlpy("xenstore", "watch", "-T", "0", "--json", HOME, "/vm").json["items"] == [
            {"path": HOME},
            {"path": "/vm"},
        ]

    def test_what_another_process_changes(self, xlpy, vm, host_root):
        code = "import sys; from xlpy.cli.main import run; sys.exit(run(sys.argv[1:]))"
        words = ("xenstore", "watch", "-n", "4", "-T", "30", f"{HOME}/data", f"{HOME}/name")
        watcher = subprocess.Popen(
            [sys.executable, "-c", code, *words],
            env={**os.environ, "XLPY_ROOT": str(host_root)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert watcher.stdout is not None
        assert [watcher.stdout.readline() for _ in range(2)] == [f"{HOME}/data\n", f"{HOME}/name\n"]
        xlpy("xenstore", "write", f"{HOME}/data/x", "1")
        assert watcher.stdout.readline() == f"{HOME}/data/x\n"
        xlpy("xenstore", "write", f"{HOME}/error", "unwatched")
        xlpy("rename", vm, "other")
        assert watcher.communicate(timeout=30)[0] == f"{HOME}/name\n"
        assert watcher.returncode == 0

    def test_what_goes_is_reported(self, host):
        from xlpy.toolstack.domain.watching import Watcher

        with host.store.transaction("test"):
            connection = host.xenstore.connection(0)
            connection.write("/data/a/b", "1")
            watcher = Watcher(host.xenstore, connection, ["/data"])
            assert watcher.poll() == []
            connection.rm("/data/a")
            connection.write("/data/c", "1")
            assert watcher.poll() == ["/data/a", "/data/a/b", "/data/c"]
