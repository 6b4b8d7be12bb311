"""A guest's run, however it ends: what is shown, what is recorded, what is left behind."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time

import pytest

from xlpy.devicemodel.dsm import MAX_TRANSFER


class Booter:
    """Boot the domain ``vm``, whose vNVDIMMs are a file in one piece and a scattered one."""

    def __init__(self, xlpy, kernel):
        self.xlpy, self.root, self._words = xlpy, xlpy.root, ("boot", "vm", "--kernel", kernel)

    def __call__(self, guest, *words, status=0):
        return self.xlpy(*self._words, *words, guest=guest, status=status)

    def start(self, guest, *words, **options):
        return self.xlpy.start(*self._words, *words, guest=guest, **options)


@pytest.fixture
def vm(xlpy, kernel):
    """See Booter."""
    return Booter(xlpy, kernel)


def left_behind(xlpy):
    """Folders, records and locks of boots."""
    from xlpy.store import Store

    store = Store(xlpy.root / "state.db")
    found = [str(path) for path in xlpy.root.glob("domains/*/boot")] + store.table("boot").keys()
    store.close()
    return [*found, (xlpy.root / "lock").read_text()]


NOTHING = [""]


def content(xlpy, path, length):
    """The first bytes of a file or device as Dom0 sees it."""
    from xlpy.addr import Spa
    from xlpy.host import Host
    from xlpy.toolstack.backing.resolve import resolve

    host = Host.open(xlpy.root)
    data = host.hw.read(Spa(resolve(host.dom0, path).extents[0].spa), length)
    host.store.close()
    return data


def hanging(process, seconds=30):
    """Wait until the guest hangs; the emulator's process id."""
    deadline, said = time.monotonic() + seconds, ""
    while time.monotonic() < deadline:
        if select.select([process.stdout], [], [], 1)[0]:
            said += os.read(process.stdout.fileno(), 4096).decode()
            found = re.search(r"hanging (\d+)\n", said)
            if found:
                return int(found[1])
    raise AssertionError(f"the guest does not hang within {seconds} s: {said}")


def gone(pid):
    """Whether a process has ended, within a few seconds."""
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
            if stat.read().rpartition(")")[2].split()[0] == "Z":  # its new parent has not looked yet
                return True
        time.sleep(0.05)
    return False


# -- ends that a guest chooses ---------------------------------------------------------------------------------------


def test_a_guest_that_powers_off(vm):
    out, err = vm("say hello off")
    assert out == "hello\n"
    assert "vnvdimm1 lies in 1025 stretches: staged in one file, written back when the guest ends" in err
    assert left_behind(vm.xlpy) == NOTHING
    assert "---s--" in vm.xlpy("list")[0]


def test_it_can_be_booted_again(vm):
    vm("off")
    assert vm("say again off")[0] == "again\n"


def test_json(vm):
    out, err = vm("say hello ask 1 off", "--json")
    made = json.loads(out)
    assert (made["schema"], made["domain"], made["reason"], made["requests"]) == ("xlpy.boot/1", "vm", "poweroff", 1)
    assert len(made["notes"]) == 2
    assert "hello" in err


def test_a_guest_that_resets_itself(vm):
    out, err = vm("say Kernel say panic reset", status=6)
    assert out == "Kernel\npanic\n"
    assert "vm reset itself instead of powering off" in err
    assert "  panic\n" in err
    assert left_behind(vm.xlpy) == NOTHING


def test_a_guest_that_takes_too_long(vm):
    out, _ = vm("say hello hang", "--timeout", "12", "--json", status=6)
    error = json.loads(out)
    assert error["code"] == "XLPY-BOOT-TIMEOUT"
    assert error["message"] == "vm did not power off within 12 s"
    pid = int(error["details"][-1].removeprefix("hanging "))
    assert gone(pid)
    assert left_behind(vm.xlpy) == NOTHING


@pytest.mark.parametrize(
    ("guest", "says"),
    [("die", "ended with status 1\n  qemu: cannot allocate the moon"), ("crash", "was killed by signal 11")],
)
def test_an_emulator_that_fails(vm, guest, says):
    out, err = vm(guest, status=6)
    assert out == ""
    assert says in err
    assert left_behind(vm.xlpy) == NOTHING
    assert "---s--" not in vm.xlpy("list")[0]


def test_the_console_goes_both_ways(vm):
    process = vm.start("echo off", stdin=subprocess.PIPE)
    out, _ = process.communicate("typed\n", timeout=30)
    assert out == "read typed\n"


def test_a_terminal_passes_keys_and_is_restored(vm):
    mine, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    process = vm.start("say ready echo off", stdin=theirs)
    assert process.stdout.read(6) == "ready\n"
    assert not termios.tcgetattr(theirs)[3] & (termios.ECHO | termios.ICANON)
    assert termios.tcgetattr(theirs)[3] & termios.ISIG
    os.write(mine, b"typed\n")
    assert process.communicate(timeout=30)[0] == "read typed\n"
    assert termios.tcgetattr(theirs) == before
    os.close(mine)
    os.close(theirs)


def test_a_reader_that_goes_away(vm):
    process = vm.start("say hello hang")
    pid = hanging(process)
    process.stdout.close()
    os.kill(pid, signal.SIGUSR1)
    assert process.wait(20) == 141, process.stderr.read()
    assert gone(pid)
    assert left_behind(vm.xlpy) == NOTHING


def test_the_ram_file_stays_where_it_was_asked_for(vm, tmp_path):
    vm("say hello off", "--memory-file-dir", tmp_path / "memory")
    assert [path.name for path in (tmp_path / "memory").rglob("*") if path.is_file()] == ["ram"]
    assert (tmp_path / "memory" / "domain-1" / "ram").stat().st_size == 504 << 20
    assert left_behind(vm.xlpy) == NOTHING


# -- persistent memory -----------------------------------------------------------------------------------------------


def test_staged_data_is_on_the_media_afterwards(vm):
    vm("stage scattered off")
    assert content(vm.xlpy, "/mnt/pmem0/scattered.img", 9) == b"scattered"


def test_read_only_data_is_not_written_back(xlpy, config, kernel, bin_folder):
    """Whatever an emulator does to the stage file."""
    del bin_folder
    xlpy("destroy", "vm")
    xlpy("create", config("reader", "vnvdimm = [ 'file=/mnt/pmem0/scattered.img,mode=ro' ]"))
    before = content(xlpy, "/mnt/pmem0/scattered.img", 9)
    _, err = xlpy("boot", "reader", "--kernel", kernel, guest="stage scattered off")
    assert "not written back" in err
    assert "back on the media" not in err
    assert content(xlpy, "/mnt/pmem0/scattered.img", 9) == before


def test_everything_can_be_staged(vm):
    vm("stage both off", "--stage")
    assert content(vm.xlpy, "/mnt/pmem0/scattered.img", 4) == b"both"
    assert content(vm.xlpy, "/mnt/pmem0/vm1.img", 4) == b"both"


# -- ends from outside -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_leave_nothing(vm, number, status):
    process = vm.start("stage signalled hang")
    pid = hanging(process)
    process.send_signal(number)
    assert process.wait(20) == status
    assert gone(pid)
    assert left_behind(vm.xlpy) == NOTHING
    assert content(vm.xlpy, "/mnt/pmem0/scattered.img", 9) == b"signalled"


def test_a_domain_is_booted_once(vm):
    process = vm.start("hang")
    hanging(process)
    _, err = vm("off", status=5)
    assert f"vm is booted by process {process.pid}" in err
    process.terminate()
    process.wait(20)
    vm("off")


def test_other_commands_work_meanwhile(vm, config):
    process = vm.start("hang")
    hanging(process)
    vm.xlpy("create", config("other"))
    vm.xlpy("acpi", "dump", "vm")
    process.terminate()
    process.wait(20)


def test_a_machine_check_reaches_the_emulator(vm):
    """`mceinj` in another process: the booted guest gets it in bank 1, with its own address."""
    process = vm.start("monitor off")
    assert process.stdout.readline() == "ready\n"
    shown, _ = vm.xlpy("mceinj", "-d", "vm", "-p", "0x500000040", "--json")
    said = process.communicate(timeout=30)[0]
    assert process.returncode == 0
    assert "monitor: mce 0 1 0xbd2000000000017a 0xd 0x500000040 0x86\n" in said
    assert json.loads(shown)["booted"]


def test_a_killed_boot_is_cleaned_up(vm):
    from xlpy.boot.session import booted, recover
    from xlpy.host import Host

    process = vm.start("stage killed hang")
    pid = hanging(process)
    process.kill()
    process.wait(20)
    assert gone(pid), "the emulator outlives xlpy"
    host = Host.open(vm.xlpy.root)
    assert booted(host.store, 1) is None
    lines = []
    recover(host.store, lines.append)
    host.store.close()
    assert left_behind(vm.xlpy) == NOTHING
    assert content(vm.xlpy, "/mnt/pmem0/scattered.img", 6) == b"killed"
    assert not lines or "staged data" in lines[0]
    vm("off")


def test_the_next_boot_cleans_up_too(vm):
    process = vm.start("stage killed hang")
    hanging(process)
    process.kill()
    process.wait(20)
    vm("off")
    assert content(vm.xlpy, "/mnt/pmem0/scattered.img", 6) == b"killed"


def test_a_stage_file_that_is_not_complete_is_not_copied_back(vm):
    from xlpy.boot.plan import GuestNvdimm, Stretch
    from xlpy.boot.session import Record, recover
    from xlpy.store import Store

    media = vm.xlpy.root / "hw" / "media" / "set1"
    folder = vm.xlpy.root / "domains" / "1" / "boot"
    folder.mkdir()
    (folder / "vnvdimm0.stage.new").write_bytes(b"half")
    device = GuestNvdimm("vnvdimm0", 0, 4096, (Stretch(media, 4096, 4096),))
    before = media.read_bytes()
    store = Store(vm.xlpy.root / "state.db")
    with store.transaction("test"):
        store.table("boot").put("1", Record(1, "vm", 1, folder, False, (device,)).to_json())
    recover(store, print)
    store.close()
    assert media.read_bytes() == before
    assert left_behind(vm.xlpy) == NOTHING


def test_ending_a_boot(vm):
    from xlpy.boot.session import end
    from xlpy.store import Store

    process = vm.start("stage ended hang")
    hanging(process)
    store = Store(vm.xlpy.root / "state.db")
    end(store, 1)
    end(store, 1)
    store.close()
    assert process.wait(20) == 6
    assert "error: vm was ended by another command while its guest ran" in process.stderr.read()
    assert left_behind(vm.xlpy) == NOTHING
    assert content(vm.xlpy, "/mnt/pmem0/scattered.img", 5) == b"ended"


# -- the mailbox -----------------------------------------------------------------------------------------------------


def test_the_mailbox_is_answered(vm):
    out, _ = vm("ask 1 ask 2 ask 9 ask 1 off")
    there, missing = f"0 {128 << 10} {MAX_TRANSFER}", "2"
    assert out.splitlines() == [there, there, missing, there]


def test_a_guest_that_hammers_the_mailbox(vm):
    out, _ = vm("hammer 20000 say done off")
    assert len(out.splitlines()) == 201


def test_an_idle_guest_costs_little(vm):
    process = vm.start("hang")
    hanging(process)
    time.sleep(0.5)

    def seconds():
        """Of processor time, which other processes on a busy machine do not add to."""
        with open(f"/proc/{process.pid}/stat") as stat:  # noqa: PTH123
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before = seconds()
    time.sleep(2)
    assert seconds() - before < 0.2
    process.terminate()
    process.wait(20)
