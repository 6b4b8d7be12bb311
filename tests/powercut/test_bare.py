"""What a guest without an operating system does (`bare/guest.c`), and what its trace holds: each instruction.

Each case stands between two marks.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from copying import copy_tree
from powercut.qemu import newer_qemu

from xlpy.cli.main import run
from xlpy.errors import NotFound
from xlpy.host import Host
from xlpy.powercut.epochs import Epochs
from xlpy.powercut.record import READS
from xlpy.powercut.trace import LABELS, Trace

BARE = Path(__file__).parent / "bare"
ROOT = Path(__file__).parents[2]
FLAGS = "-O1 -ffreestanding -fno-pic -no-pie -mno-red-zone -fno-stack-protector -mgeneral-regs-only -nostdlib -static"
LINK = "-Wl,--build-id=none,-z,noexecstack,--no-warn-rwx-segments"

pytestmark = pytest.mark.skipif(
    not (shutil.which("gcc") and shutil.which("objcopy")), reason="there is no gcc (packages gcc, binutils)"
)


class Recorded:
    """A recorded run: the trace, its events by mark, and the state directory of its host."""

    def __init__(self, trace, root, complaints):
        self.trace, self.root, self.complaints = trace, root, complaints
        self.gpa = trace.header.windows[0].gpa
        self.cases = {}
        for event in trace.events():
            if event.kind == "mark":
                here = self.cases.setdefault(event.number, [])
            else:
                here.append(event)

    def rows(self, case):
        """(kind, offset or None, data as hex) of a case."""
        places = {"sfence", "mfence"}
        return [
            (one.kind, None if one.kind in places else one.address - self.gpa, one.data.hex())
            for one in self.cases[case]
        ]


@pytest.fixture(scope="session")
def boot_bare(made_host, tmp_path_factory):
    """boot_bare(config) records the bare guest on a fresh host."""
    qemu = newer_qemu()
    folder = tmp_path_factory.mktemp("bare")
    words = ["gcc", *FLAGS.split(), LINK, f"-Wl,-T,{BARE}/bare.ld", "-o", f"{folder}/bare.elf"]
    subprocess.run([*words, BARE / "start.S", BARE / "guest.c"], check=True)
    subprocess.run(["objcopy", "-O", "binary", f"{folder}/bare.elf", f"{folder}/bare.img"], check=True)

    def boot(name, *extra, status=0, trace=None):
        trace = trace or folder / f"trace-{name}"
        root = folder / f"host-{name}"
        copy_tree(made_host, root)
        with pytest.MonkeyPatch.context() as patch:  # the fixture outlives a test
            patch.setenv("XLPY_ROOT", str(root))
            patch.setenv("XLPY_QEMU", qemu)
            patch.setenv(READS, str(folder / f"reads-{name}"))
            assert run(["create", "-q", str(ROOT / "configs" / "quickstart.cfg"), *extra]) == 0
            host = Host.open(root)
            gpa = host.domain("quickstart").record.vnvdimms[0].gpa
            host.store.close()
            shown = folder / f"command-{name}"
            where = ["--kernel", f"{folder}/bare.img", "--record", str(trace)]
            with shown.open("w") as out:
                words = [sys.executable, "-m", "xlpy", "boot", "quickstart", *where, "--print-command"]
                subprocess.run(words, check=True, stdout=out)
            (mailbox,) = re.findall(r"mailbox=(0x[0-9a-f]+)", shown.read_text())
            with shown.open("w") as out:
                words = [*words[:-1], "--timeout", "100", "--append", f"P={gpa:#x} M={mailbox}"]
                assert subprocess.run(words, check=False, stderr=out).returncode == status
        return Recorded(Trace(trace), root, shown.read_text())

    return boot


@pytest.fixture(scope="session")
def bare(boot_bare):
    """The recorded run on two vCPUs."""
    return boot_bare("usual")


def test_the_trace_is_whole(bare):
    assert bare.trace.header.complete
    assert bare.trace.problem is None
    assert sorted(bare.cases) == list(range(1, 13))


def test_sizes(bare):
    assert bare.rows(1) == [
        ("store", 1, "11"),
        ("store", 2, "2222"),
        ("store", 4, "33333333"),
        ("store", 8, "44" * 8),
    ]


def test_unaligned_stores(bare):
    """The one that crosses a page is cut there: the next page may lie anywhere."""
    assert bare.rows(2) == [
        ("store", 0x103, "0102030405060708"),
        ("store", 0x13C, "1112131415161718"),
        ("store", 0xFFC, "21222324"),
        ("store", 0x1000, "25262728"),
    ]


def test_string_instructions(bare):
    rows = bare.rows(3)
    assert rows[:100] == [("store", 0x2001 + i, f"{i:02x}") for i in range(100)]
    assert rows[100:] == [("store", 0x2100 + 8 * i, "55" * 8) for i in range(8)]


def test_sse_and_avx(bare):
    low, high = bytes(range(16)).hex(), bytes(range(16, 32)).hex()
    assert bare.rows(4) == [
        ("store", 0x3000, low),
        ("store", 0x3021, low),
        ("store", 0x3040, low),
        ("store", 0x3050, high),
        ("nontemporal", 0x3080, low),
        ("nontemporal", 0x30A0, low),
        ("nontemporal", 0x30B0, high),
        ("nontemporal", 0x30C0, "66" * 8),
    ]


def content(bare, case, start, length):
    made = bytearray(length)
    for kind, at, data in bare.rows(case):
        if kind in ("store", "nontemporal") and start <= at < start + length:
            made[at - start : at - start + len(data) // 2] = bytes.fromhex(data)
    return bytes(made)


@pytest.mark.parametrize("start", [0x4000, 0x5000], ids=["xsave", "fxsave"])
def test_xsave(bare, start):
    """Every byte that the instruction has stored is there: xmm0 and xmm7 in the legacy area, the header behind it."""
    area = content(bare, 5, start, 0x340)
    assert area[0xA0:0xB0] == area[0x110:0x120] == bytes(range(16))
    expected = (7, bytes(range(16, 32))) if start == 0x4000 else (0, bytes(16))
    assert (area[0x200], area[0x240:0x250]) == expected


def test_locked_instructions(bare):
    assert bare.rows(6) == [
        ("locked", 0x6000, "0100000000000000"),
        ("locked", 0x6010, "07000000000000000800000000000000"),
        ("locked", 0x6020, "0900000000000000"),
    ]


def test_write_backs_and_fences(bare):
    one = "0100000000000000"
    assert bare.rows(7) == [
        *(("store", 0x7000, one), ("clwb", 0x7000, ""), ("sfence", None, "")),
        *(("store", 0x7040, one), ("clflushopt", 0x7040, ""), ("mfence", None, "")),
        *(("store", 0x7080, one), ("clflush", 0x7080, "")),
        *(("store", 0x70C0, one), ("clwb", 0x70C0, ""), ("mfence", None, "")),
    ]


def test_code_that_changes_itself(bare):
    rows = [("store", 0x8000, "7700000000000000"), ("clwb", 0x8000, ""), ("sfence", None, "")]
    assert bare.rows(8) == rows


def test_pages_mapped_elsewhere(bare):
    """The write-back is of the line that is mapped when it is executed; a store over two pages is in both."""
    assert bare.rows(9) == [
        *(("store", 0x9000, "0100000000000000"), ("clwb", 0xA000, ""), ("sfence", None, "")),
        *(("store", 0xEFFD, "3132"), ("store", 0xEFFF, "33"), ("store", 0xD000, "34353637"), ("store", 0xD004, "38")),
    ]


def test_two_vcpus(bare):
    """By the numbers that the guest has for them, in the order in which they took effect."""
    rows = [(one.kind, one.vcpu) for one in bare.cases[10]]
    assert rows == [("store", 0), ("clwb", 0), ("store", 1), ("clwb", 1), ("sfence", 1), ("sfence", 0)]


def test_a_label_write(bare):
    label, status = bare.cases[11]
    assert (label.kind, label.number, label.address, label.data) == ("dsm", 0, 0x1000, b"abcdefghijklmnop")
    assert (status.kind, status.address - bare.gpa, status.data) == ("store", 0xC000, bytes(8))  # it succeeded


def test_a_label_write_in_flight(bare):
    """A failure before the answer leaves of each unit of 8 bytes the first few; after it, all of it."""
    epochs = Epochs(bare.trace, lambda _address, length: bytes(length))
    flying = next(dict(epoch.lines) for epoch in epochs if epoch.ended_by == "dsm")
    lines = {address: line.choices for address, line in flying.items() if address >= LABELS}
    assert list(lines.values()) == [9, 9]
    settled = {}
    for epoch in epochs:
        settled |= epoch.settled
    assert [data[:8] for address, data in sorted(settled.items()) if address >= LABELS] == [b"abcdefgh", b"ijklmnop"]


def test_media_hold_what_the_trace_says(bare):
    final = {}
    for epoch in Epochs(bare.trace, lambda _address, length: bytes(length)):
        final |= epoch.settled
        final |= {a: line.content(len(line.stores)) for a, line in epoch.lines.items()}
    host = Host.open(bare.root)
    memory = host.domain("quickstart").memory
    assert {a: memory.read(a, 64) for a in final if a < LABELS} == {a: d for a, d in final.items() if a < LABELS}
    host.store.close()


def test_what_was_loaded(bare):
    """Locked instructions load, and XSAVE its header; plain stores do not."""
    lines = (bare.trace.path.parent / "reads-usual").read_text().split("\n")[:-1]
    found = [tuple(int(word, 16) for word in line.split()) for line in lines]
    assert found == [(bare.gpa + 0x4200, 64), (bare.gpa + 0x6000, 64)]


def test_an_instruction_that_the_cpuid_lacks(boot_bare):
    """It is an invalid opcode there, of which this guest dies; the user is told, and the trace does not have it."""
    recorded = boot_bare("without", 'cpuid="host,clwb=0"', status=6)
    assert "the guest uses clwb, which is not in its CPUID" in recorded.complaints
    assert recorded.rows(7) == [("store", 0x7000, "0100000000000000")]


def test_a_fresh_guest_on_each_state(bare, tmp_path, monkeypatch, capsys):
    """`--boot`: this guest again, at the same addresses, on what is left; the recorder says what it has loaded."""
    monkeypatch.setenv("XLPY_QEMU", newer_qemu())
    (tmp_path / "recover.sh").write_text("exit 0\n")
    (tmp_path / "initrd").write_bytes(b"an initramfs, of which this guest knows nothing")
    number = next(epoch.number for epoch in Epochs(bare.trace, bare.trace.before) if epoch.mark == 3)
    words = ["trace", "cut", str(bare.trace.path), "--at", str(number), "--strategy", "all-lo", "--strategy", "all-hi"]
    words += ["--strategy", "single", "--boot", str(tmp_path / "recover.sh"), "--initrd", str(tmp_path / "initrd")]
    capsys.readouterr()
    assert run([*words, "--prune", "--html", str(tmp_path / "page.html")]) == 0
    found = re.search(r"(\d+) distinct \(0 known from before, (\d+) pruned\), 0 failed", capsys.readouterr().out)
    distinct, pruned = map(int, found.groups())
    assert distinct - pruned == 1  # what this guest loads is the same in all of them
    assert "recover" in (tmp_path / "page.html").read_text()


@pytest.fixture
def small_disk(tmp_path):
    """A file system with room for ``pages`` pages."""
    mounted = []

    def make(pages):
        path = tmp_path / f"small-{pages}"
        path.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", f"size={4 * pages}k", "none", path]
        if subprocess.run(words, check=False, capture_output=True).returncode:
            pytest.skip("no file system can be mounted here")
        mounted.append(path)
        return path

    yield make
    for path in mounted:
        subprocess.run(["umount", path], check=True)


def test_a_disk_that_fills_up_while_a_guest_is_recorded(boot_bare, small_disk):
    """There is room for a header, and not for an event: the guest goes on."""
    recorded = boot_bare("full", trace=small_disk(1) / "trace")
    assert "the trace cannot be written, it ends here" in recorded.complaints
    assert not recorded.trace.header.complete
    assert recorded.cases == {}
    shown = subprocess.run(
        [sys.executable, "-m", "xlpy", "trace", "show", recorded.trace.path],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "the trace ends early" in shown.stderr or "did not end by itself" in shown.stderr


def test_a_disk_that_is_full_before(boot_bare, small_disk):
    """Nothing has begun then: the domain is as it was."""
    disk = small_disk(2)
    (disk / "filler").write_bytes(bytes(8192))
    with pytest.raises(NotFound):
        boot_bare("none", trace=disk / "trace", status=6)
