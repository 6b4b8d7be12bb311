"""vNVDIMMs that come and go while a guest runs; the emulator only pretends."""

from __future__ import annotations

import fcntl
import json
import os
import re
from pathlib import Path
from subprocess import PIPE

import pytest
from boot.test_session import NOTHING, content, left_behind

from xlpy.errors import Conflict, Constraint


class Running:
    """The domain ``vm`` while its guest plays its part."""

    def __init__(self, xlpy, process):
        self.xlpy, self.process = xlpy, process
        self._said = ""
        while "ready\n" not in self._said:  # not by lines: what is read beyond one would be lost for ``communicate``
            self._said += os.read(process.stdout.fileno(), 4096).decode()

    def end(self):
        """What the guest said until it powered off; it may wait for a line (``echo``)."""
        said, self.notes = self.process.communicate("go on\n", timeout=60)
        assert self.process.returncode == 0, self.notes
        assert left_behind(self.xlpy) == NOTHING
        return self._said + said

    def slots(self):
        return [one["slot"] for one in json.loads(self.xlpy("nvdimm-list", "vm", "--json")[0])["items"]]


@pytest.fixture
def start(xlpy, kernel):
    """Boot ``vm``; the guest says that it is ready, then plays the given part."""
    processes = []

    def run(guest):
        processes.append(xlpy.start("boot", "vm", "--kernel", kernel, guest=f"say ready {guest} off", stdin=PIPE))
        return Running(xlpy, processes[-1])

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def monitor(said):
    return re.findall(r"^monitor: (.*)$", said, re.MULTILINE)


def notified(said):
    return re.findall(r"^notified: (.*)$", said, re.MULTILINE)


def test_memory_is_plugged_in_and_the_guest_is_notified(start, xlpy):
    guest = start("obey device_del fetch fetch")
    shown = json.loads(xlpy("nvdimm-attach", "vm", "/dev/pmem1", "--json")[0])
    assert guest.slots() == [0, 1, 2]
    said = guest.end()
    media = f"{xlpy.root}/hw/media/set1"
    size = Path(media).stat().st_size
    offset = int(re.search(r"driver=pc-dimm id=m3 memdev=m3-memory slot=3 addr=(\d+)", said)[1])
    assert 0 < shown["gpa"] - offset < 16 << 20  # the whole file is mapped, the namespace is at the address
    assert monitor(said)[1:] == [
        f"object-add qom-type=memory-backend-file id=m3-memory share=True mem-path={media} size={size}",
        f"device_add driver=pc-dimm id=m3 memdev=m3-memory slot=3 addr={offset}",
        "device_del id=bell",
    ]
    assert notified(said) == ["0x0 0x80"]


def test_it_does_not_lie_where_the_emulator_has_other_memory(start, xlpy):
    """A whole media file is mapped for vnvdimm0: it reaches beyond the next multiple of 1 GiB."""
    guest = start("obey device_del")
    gpa = json.loads(xlpy("nvdimm-attach", "vm", "/dev/pmem1", "--json")[0])["gpa"]
    guest.end()
    items = json.loads(xlpy("nvdimm-list", "vm", "--json")[0])["items"]
    assert gpa > items[1]["gpa"] + items[1]["size"]
    assert gpa % (1 << 30) == 0


def test_what_was_staged_meanwhile_is_written_back(start, xlpy):
    guest = start("obey device_del stage hot")
    xlpy("nvdimm-attach", "vm", "/mnt/pmem0/few.img")
    guest.end()
    assert "vnvdimm2: staged data is back on the media\n" in guest.notes
    assert content(xlpy, "/mnt/pmem0/few.img", 3) == b"hot"


def test_memory_is_taken_out_before_it_is_given_back(start, xlpy):
    """And staged content is on the media when the command ends."""
    guest = start("stage cold obey object-del obey device_del fetch echo")
    xlpy("nvdimm-detach", "-f", "vm", "/mnt/pmem0/scattered.img")
    assert content(xlpy, "/mnt/pmem0/scattered.img", 4) == b"cold"
    assert guest.slots() == [0]
    said = guest.end()
    assert monitor(said)[1:] == [
        "human-monitor-command command-line=o /w 0xa00 2",
        "human-monitor-command command-line=o /b 0xa14 8",
        "object-del id=m2-memory",
        "device_del id=bell",
    ]
    assert notified(said) == ["0x0 0x80"]


def test_a_guest_is_asked_to_let_go(start, xlpy):
    guest = start("obey device_del fetch")
    _, err = xlpy("nvdimm-detach", "vm", "1", status=5)
    assert "has not let go of vNVDIMM 1" in err
    said = guest.end()
    assert notified(said) == ["0x2 0x3"]
    assert not any("object-del" in line for line in monitor(said))


def test_errors_are_notified(start, xlpy):
    guest = start("obey device_del fetch")
    xlpy("mceinj", "-d", "vm", "-p", "0x500000040")
    assert "0x0 0x81" in notified(guest.end())


def test_what_was_notified_before_the_boot_is_not_repeated(start, xlpy):
    xlpy("mceinj", "-d", "vm", "-p", "0x500000040")
    assert notified(start("fetch").end()) == []


def test_an_emulator_that_refuses(start, xlpy, config):
    """Nothing is left: the file is free, and its stage file is gone."""
    guest = start("refuse device_add obey object-del obey device_del echo")
    _, err = xlpy("nvdimm-attach", "vm", "/mnt/pmem0/few.img", status=6)
    assert "the guest of vm cannot get the vNVDIMM while it runs" in err
    assert "the emulator refuses device_add: not today" in err
    assert guest.slots() == [0, 1]
    assert not list(xlpy.root.glob("domains/*/boot/vnvdimm2.stage*"))
    xlpy("create", config("other", "vnvdimm = ['/mnt/pmem0/few.img']"))
    guest.end()


def test_a_detach_that_fails_gives_the_memory_back(start, xlpy, monkeypatch):
    from xlpy.host import Host
    from xlpy.toolstack.domain import hotplug

    guest = start("obey object-del obey device_add echo")
    real = hotplug.detach

    def failing(*words, dry_run=False, **more):
        if not dry_run:
            raise Constraint("injected")
        return real(*words, dry_run=True, **more)

    monkeypatch.setattr(hotplug, "detach", failing)
    with Host.open(xlpy.root) as host, pytest.raises(Constraint, match="injected"):
        host.detach("vm", 0, force=True)
    assert guest.slots() == [0, 1]
    added = [line for line in monitor(guest.end()) if line.startswith("device_add")]
    assert len(added) == 1


def test_a_command_that_died_does_not_keep_the_memory(start, xlpy):
    guest = start("obey object-del obey device_add")
    (folder,) = xlpy.root.glob("domains/*/boot")
    living = xlpy.start("console", "vm")  # some process
    (folder / "out-vnvdimm0").write_text(str(living.pid))
    board = folder / "board"
    while "vnvdimm0" in json.loads(board.read_bytes())["plugged"]:
        assert guest.process.poll() is None
    living.kill()
    living.communicate()
    guest.end()


def test_a_recorded_guest_keeps_its_vnvdimms(boot_root):
    from xlpy.boot.attaching import running
    from xlpy.boot.session import LOCK, Record
    from xlpy.store import Store

    folder = boot_root / "domains" / "1" / "boot"
    folder.mkdir()
    store = Store(boot_root / "state.db")
    record = Record(1, "vm", os.getpid(), folder, False, (), ((1, 2),), recorded=True)
    with store.transaction("test"):
        store.table("boot").put("1", record.to_json())
    with open(folder / LOCK, "w") as lock:  # noqa: PTH123
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Conflict, match="and recorded, with the vNVDIMMs that it had"):
            running(store, 1)
    assert Record.from_json(1, record.to_json()) == record
    store.close()
