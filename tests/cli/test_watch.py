"""`xlpy watch`: what it sees of what other commands do, in a pipe and on a terminal, and that it ends cleanly."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

from xlpy.host import Host
from xlpy.views.watching import Watch, lines

GPA = 0x500000000


@pytest.fixture
def watch(host_root):
    watching = Watch(str(host_root))
    watching.look()
    yield watching
    watching.close()


def test_what_commands_of_others_do(watch, xlpy, configs):
    assert watch.look()[2:] == ((), (), 0, (), (), False)
    xlpy("create", "-q", configs / "quickstart.cfg")
    look = watch.look()
    assert look.came == ("quickstart",)
    (seen,) = look.domains
    assert (seen.domid, seen.state, seen.devices[0].path) == (1, "r-----", "/mnt/pmem0/vm1.img")
    assert look.calls > 10
    assert any("XEN_DOMCTL_createdomain" in line for line in look.log)
    xlpy("pause", "quickstart")
    look = watch.look()
    assert (look.domains[0].state, look.log) == ("--p---", ("(XEN) d0 XEN_DOMCTL_pausedomain(1) = 0",))
    xlpy("destroy", "quickstart")
    assert watch.look().gone == ("quickstart",)


def test_stores_are_placed(watch, xlpy, configs):
    xlpy("create", "-q", configs / "quickstart.cfg")
    watch.look()
    xlpy("mem", "write", "quickstart", hex(GPA + 0x1FFE), "--hex", "01020304")
    xlpy("mem", "write", "quickstart", hex(GPA + 0x9000), "--hex", "ff")
    look = watch.look()
    assert [(one.offset, one.size, one.gpa) for one in look.stored] == [
        (0x1000, 0x2000, GPA + 0x1000),
        (0x9000, 0x1000, GPA + 0x9000),
    ]
    assert list(lines(look)) == [
        f"stored: /mnt/pmem0/vm1.img 0x1000-0x3000 (quickstart {GPA + 0x1000:#x})",
        f"stored: /mnt/pmem0/vm1.img 0x9000-0xa000 (quickstart {GPA + 0x9000:#x})",
    ]
    xlpy("mem", "write", "quickstart", hex(GPA + 0x9000), "--hex", "00")  # back to zeros
    assert [one.offset for one in watch.look().stored] == [0x9000]
    assert watch.look().stored == ()


def test_poison(watch, xlpy, host_root):
    from xlpy.addr import Spa, Span

    with Host.open(host_root) as host:
        start = host.hw.regions[0].span.start
        host.hw.poison.add(Span(Spa(start + (64 << 20)), 64))
        with host.change("a test"):
            host.store.table("host").put("test", 1)
    assert watch.look().poison == ((start + (64 << 20), start + (64 << 20) + 64),)


def test_a_host_that_is_made_anew_meanwhile(watch, xlpy, configs):
    xlpy("create", "-q", configs / "quickstart.cfg")
    watch.look()
    xlpy("host", "reset")
    assert watch.look().gone == ("quickstart",)


def test_too_much_data_to_compare(watch, xlpy, configs, monkeypatch):
    monkeypatch.setattr("xlpy.views.watching.MOST", 1)
    xlpy("create", "-q", configs / "quickstart.cfg")
    xlpy("mem", "write", "quickstart", hex(GPA), "--hex", "01")
    look = watch.look()
    assert (look.blind, look.stored) == (True, ())


def test_json(xlpy, configs):
    xlpy("create", "-q", configs / "quickstart.cfg")
    document = xlpy("watch", "-n", "2", "-i", "0.01", "--json").json
    assert document["schema"] == "xlpy.watch/1"
    assert [len(look["domains"]) for look in document["items"]] == [1, 1]
    assert document["items"][0]["domains"][0]["devices"][0]["gpa"] == GPA


@pytest.mark.parametrize("words", [("-n", "0"), ("-i", "0"), ("-i", "x"), ("-T", "-1")])
def test_numbers_that_are_none(xlpy, words):
    xlpy("watch", *words, status=2)


def started(host_root, *words, **options):
    environment = os.environ | {"XLPY_ROOT": str(host_root), "TERM": "xterm"}
    return subprocess.Popen([sys.executable, "-m", "xlpy", "watch", *words], env=environment, **options)


def read(descriptor, until=None, seconds=30.0):
    """What comes, until something has come or the other end is closed; it fails when neither happens."""
    found, deadline = b"", time.monotonic() + seconds
    while until is None or until not in found:
        assert time.monotonic() < deadline, found
        if select.select([descriptor], [], [], 0.5)[0]:
            try:
                more = os.read(descriptor, 65536)
            except OSError:  # of a terminal whose other end is closed
                more = b""
            if not more:
                assert until is None, found
                break
            found += more
    return found


def test_lines_in_a_pipe_until_ctrl_c(host_root, xlpy, configs):
    """Each line comes at once; the end has no traceback."""
    process = started(host_root, "-i", "0.05", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    xlpy("create", "-q", configs / "quickstart.cfg")
    shown = read(process.stdout.fileno(), b"vNVDIMM 0: /mnt/pmem0/vm1.img, 64M")
    xlpy("pause", "quickstart")
    shown += read(process.stdout.fileno(), b"XEN_DOMCTL_pausedomain(1) = 0")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, b"")
    assert b"\x1b" not in shown + out


def test_a_reader_that_goes_away(host_root):
    process = started(host_root, "-i", "0.05", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    with Host.open(host_root) as host, host.store.transaction("a test"):
        for _ in range(3):
            host.xen.console.write("(XEN) d0 something")
    for number in range(40):  # it notices when it has something to say
        with Host.open(host_root) as host, host.store.transaction("a test"):
            host.xen.console.write(f"(XEN) d0 more {number}")
        if process.poll() is not None:
            break
        time.sleep(0.1)
    assert process.wait(timeout=30) == 141
    assert process.stderr.read() == b""


def test_a_picture_on_a_terminal_until_ctrl_c(host_root, xlpy, configs):
    xlpy("create", "-q", configs / "quickstart.cfg")
    leader, follower = pty.openpty()
    process = started(host_root, "-i", "0.05", stdin=follower, stdout=follower, stderr=subprocess.PIPE)
    os.close(follower)
    shown = read(leader, b"hypercalls")
    process.send_signal(signal.SIGINT)
    shown += read(leader)
    assert process.wait(timeout=30) == 130
    assert process.stderr.read() == b""
    text = shown.decode()
    assert "/mnt/pmem0/vm1.img" in text
    assert text.rstrip().endswith("\x1b[?25h")  # the cursor is back
    os.close(leader)


@pytest.mark.parametrize(
    "words", [("-i", "nan"), ("-i", "inf", "-n", "2"), ("-i", "1e308"), ("-T", "nan"), ("-i", "0")]
)
def test_times_that_are_none(xlpy, words):
    assert f"Invalid value for '{words[0]}'" in xlpy("watch", *words, status=2).err
