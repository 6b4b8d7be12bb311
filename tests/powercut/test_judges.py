"""A real guest is recorded, and software that nobody here wrote judges what power failures leave of what it did.

Usually a short guest and a sample of states; XLPY_POWERCUT=long runs all of it (see docs/powercut.md for figures).
XLPY_POWERCUT_RUN=FOLDER records there, and uses what is there already.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from copying import copy_tree
from powercut.qemu import newer_qemu

from xlpy.cli.main import run
from xlpy.events.crashed import DomainSubject
from xlpy.host import Host
from xlpy.powercut.bench import close
from xlpy.powercut.check import Check
from xlpy.powercut.counterexample import reduced
from xlpy.powercut.epochs import Epochs
from xlpy.powercut.explore import Exploration, ExploreOptions
from xlpy.powercut.recovery import Guest, guest_check
from xlpy.powercut.subject import Subject
from xlpy.powercut.trace import LABELS, Trace

ROOT = Path(__file__).parents[2]
JUDGES = Path(__file__).parent / "judges"
EXAMPLES = ROOT / "examples" / "powercut"
LONG = os.environ.get("XLPY_POWERCUT") == "long"
PARTS = "plain journal sectors labels xfs" if LONG else "plain journal"
FEW = ("all-lo", "all-hi", "random")
STRATEGIES = ("all-lo", "all-hi", "single", "prefix", "random") if LONG else FEW

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no C compiler (package gcc)"),
]
long_only = pytest.mark.skipif(not LONG, reason="XLPY_POWERCUT=long runs it")


def kit(*words):
    """What the guest kit prints, by name."""
    command = [sys.executable, str(ROOT / "guest" / "kit.py"), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the guest kit could not be assembled: {done.stderr.strip()[-200:]}")
    return dict(line.replace("'", "").split("=", 1) for line in done.stdout.splitlines())


class Run:
    """A recorded run: its trace, the state directory of its host, and the epochs between two marks."""

    def __init__(self, trace, root):
        self.trace, self.root = trace, root
        self.marks, self.kinds = {}, {}
        for epoch in Epochs(trace, trace.before):
            self.kinds[epoch.number] = epoch.ended_by
            if epoch.mark is not None:
                self.marks[epoch.mark] = epoch.number

    def between(self, first, last):
        return frozenset(range(self.marks[first] + 1, self.marks[last] + 1))

    def bytewise(self, epochs):
        """Of epochs whose stores are four bytes one after the other, the address of the first."""
        found = {}
        for epoch in Epochs(self.trace, self.trace.before):
            if epoch.number in epochs and (epoch.stores, epoch.stored) == (4, 4):
                ((address, line),) = epoch.lines.items()
                offsets = [store.offset for store in line.stores]
                assert offsets == list(range(offsets[0], offsets[0] + 4))
                found[epoch.number] = address + offsets[0]
        return found

    def explore(self, command, epochs, device=None, strategies=STRATEGIES):
        """(options, results, summary)."""
        results = []
        check = Check(tuple(map(str, command)), 120.0)
        subject = DomainSubject if check.domain else Subject
        options = ExploreOptions(check, device, epochs, strategies=strategies, samples=4, jobs=2, subject=subject)
        summary = Exploration(self.trace, options, results.append).run()
        assert summary.problem is None
        return options, results, summary


@pytest.fixture(scope="session")
def recorded(made_host, tmp_path_factory):
    qemu = newer_qemu()
    kept = os.environ.get("XLPY_POWERCUT_RUN")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("judges")
    if (folder / "trace").exists():
        return Run(Trace(folder / "trace"), folder / "host")
    folder.mkdir(exist_ok=True)
    extras = ["--with", "libpmem-dev", *(["--with", "xfs"] if LONG else [])]
    tools = kit(*extras)["TOOLS"]
    words = ["gcc", "-O1", f"-I{tools}/usr/include", "-o", folder / "pool", EXAMPLES / "pool.c"]
    words += [f"-L{tools}/usr/lib/x86_64-linux-gnu", "-lpmem", "-Wl,--unresolved-symbols=ignore-in-shared-libs"]
    subprocess.run(words, check=True)
    (folder / "run.sh").write_text(f"PARTS='{PARTS}'\n{(JUDGES / 'run.sh').read_text()}")
    parts = kit(*extras, "--file", folder / "pool", "--script", folder / "run.sh")
    root = folder / "host"
    copy_tree(made_host, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLPY_ROOT", str(root))
        patch.setenv("XLPY_QEMU", qemu)
        words = ["name=judges", "vcpus=1"]
        config = ROOT / "configs" / "quickstart.cfg"
        if LONG:
            config, words = JUDGES / "judges.cfg", []
            assert run(["pmem", "mkfile", "64M", "/mnt/pmem0/sectors.img"]) == 0
            assert run(["pmem", "mkfile", "64M", "/mnt/pmem0/xfs.img"]) == 0
        assert run(["create", "-q", str(config), *(f'name="{w[5:]}"' if w[:5] == "name=" else w for w in words)]) == 0
        command = [sys.executable, "-m", "xlpy", "boot", "judges"]
        command += ["--kernel", parts["KERNEL"], "--initrd", parts["INITRD"]]
        command += ["--append", "quiet maxcpus=1", "--timeout", "550", "--record", folder / "trace"]
        with (folder / "console").open("w") as console:
            status = subprocess.run(command, check=False, stdout=console, stderr=console).returncode
        assert status == 0, (folder / "console").read_text()[-2000:]
    return Run(Trace(folder / "trace"), root)


def test_the_trace(recorded, request):
    """It is whole, small, and the media hold what it says."""
    trace = recorded.trace
    assert trace.header.complete
    final, stores = {}, 0
    for epoch in Epochs(trace, trace.before):
        stores += epoch.stores
        final |= epoch.settled
        final |= {a: line.content(len(line.stores)) for a, line in epoch.lines.items()}
    host = Host.open(recorded.root)
    memory = host.domain("judges").memory
    assert all(memory.read(a, 64) == data for a, data in final.items() if a < LABELS)
    host.store.close()
    size = (trace.path / "events.gz").stat().st_size
    assert size <= 8 * stores
    request.node.user_properties.append(("compared: stores of a real guest with the media", stores))
    request.node.user_properties.append(
        ("compared: bytes of the trace for each store, in hundredths", 100 * size // stores)
    )


def e2fsck():
    found = shutil.which("e2fsck") or shutil.which("/sbin/e2fsck")
    if found is None:
        pytest.skip("e2fsck is not installed (package e2fsprogs)")
    return found


def test_ext4_without_a_journal_does_not_survive_everything(recorded):
    """A judge that never fails is no judge; and what it finds is reduced to one line."""
    options, results, summary = recorded.explore([e2fsck(), "-fn", "{image}"], recorded.between(1, 2))
    assert 0 < summary.failed < summary.distinct
    smallest = min((one for one in results if not one.verdict.passed), key=lambda one: one.lost)
    assert len(reduced(recorded.trace, options, smallest).lost) == 1


def test_ext4_with_its_journal_survives(recorded):
    _, results, summary = recorded.explore(["sh", EXAMPLES / "journal.sh", "{image}"], recorded.between(3, 4))
    assert [one.verdict.output for one in results if not one.verdict.passed] == []
    assert summary.distinct > 5


@pytest.mark.parametrize(("name", "first", "failures"), [("right", 5, False), ("wrong", 6, True)])
def test_pmdk(recorded, name, first, failures):
    """libpmem used as it should be, and with one flush left out."""
    epochs = recorded.between(first, first + 1)
    _, results, summary = recorded.explore(["sh", EXAMPLES / "pool.sh", "{image}", name], epochs)
    assert bool(summary.failed) == failures
    assert all("is set, its record is" in one.verdict.output for one in results if not one.verdict.passed)


def test_labels_through_dsm(recorded, tmp_path):
    """Linux' own label updates: whatever is left of a write in flight, a namespace is there or not."""
    flying = [number for number, kind in recorded.kinds.items() if kind == "dsm"]
    chosen = flying if LONG else flying[6:16:3]
    command = [sys.executable, "-m", "xlpy", "guest", "probe", "{domain}"]
    _, results, summary = recorded.explore(command, frozenset(chosen), strategies=FEW)  # a domain for each
    found, old = {}, ""
    for one in results:  # the index block that was in flight may be torn, and no other: then the older one counts
        problems = re.findall("problem: (.*)", one.verdict.output)
        assert len(problems) <= 1, one.verdict.output
        assert all(re.search(r"index block [01]: (checksum|no signature)", text) for text in problems), problems
        assert "128K label area, 1 labels" in one.verdict.output or LONG, one.verdict.output
        seen = re.sub("(?m)^.*problem: .*\n?", "", one.verdict.output)
        found.setdefault(one.epoch, []).append((one, seen))
    for epoch in sorted(found):  # what was found before comes from this epoch, or is that after the one before it
        old = next((seen for one, seen in found[epoch] if not one.state), old)
        new = next((seen for one, seen in found[epoch] if not one.lost), old)
        assert {seen for _, seen in found[epoch]} <= {old, new}, epoch
        old = new
    assert summary.distinct > 3


@long_only
def test_btt_sectors_are_whole(recorded, request):
    """In every state but some that tear an entry of the map, which Linux stores byte by byte (docs/powercut.md)."""
    epochs = recorded.between(8, 9)
    words = [sys.executable, "-I", "-S", JUDGES / "btt.py", "{image}"]
    _, results, summary = recorded.explore(words, epochs, "vnvdimm1")
    failed = [one for one in results if not one.verdict.passed]
    bytewise = recorded.bytewise(epochs)
    assert [one for one in failed if not any(0 < left < 4 for left in one.state.values())] == []
    assert {one.epoch for one in failed} <= bytewise.keys(), failed
    assert all(at // 4 % 2 for at in bytewise.values()), "entries with an even number are stored at once"
    assert 0 < len(failed) < summary.distinct
    assert summary.distinct > 100
    request.node.user_properties.append(("compared: states of a BTT", summary.distinct))


@long_only
def test_xfs(recorded):
    """Only Linux replays its log: here it is dropped, and what is left can be repaired."""
    if shutil.which("xfs_repair") is None:
        pytest.skip("xfs_repair is not installed (package xfsprogs)")
    repair = 'cp --sparse=always "$1" "$1.copy" && xfs_repair -L "$1.copy" && xfs_repair -n "$1.copy"'
    repair += '; s=$?; rm -f "$1.copy"; exit $s'
    words, epochs = ["sh", "-c", repair, "x", "{image}"], recorded.between(12, 13)
    _, results, summary = recorded.explore(words, epochs, "pmem2", strategies=(*FEW, "single"))  # half a second each
    assert [one.verdict.output for one in results if not one.verdict.passed] == []
    assert summary.distinct > 5


@long_only
@pytest.mark.parametrize(
    ("script", "first", "chosen"),
    [
        ("recover.sh", 3, "--strategy all-lo --strategy all-hi --strategy random --samples 2"),
        ("xfs.sh", 12, "--strategy all-lo --strategy all-hi"),
    ],
    ids=["ext4", "xfs"],
)
def test_a_fresh_guest_recovers(recorded, tmp_path, monkeypatch, script, first, chosen):
    """`--boot`: the guest mounts what is left, replays the journal, and finds one name or the other."""
    monkeypatch.setenv("XLPY_QEMU", newer_qemu())
    epoch = sorted(recorded.between(first, first + 1))[-2]
    words = ["--at", str(epoch), *chosen.split(), "--boot", str(EXAMPLES / script), "--timeout", "300"]
    assert run(["trace", "cut", str(recorded.trace.path), *words, "--html", str(tmp_path / "page.html")]) == 0


@long_only
def test_xfs_takes_sectors_for_whole(recorded, monkeypatch):
    """Of a log record's header 32 bytes are left and its CRC is not: Linux refuses the log (docs/powercut.md)."""
    monkeypatch.setenv("XLPY_QEMU", newer_qemu())
    check = guest_check(recorded.trace, EXAMPLES / "xfs.sh", Guest(), 300)
    exploration = Exploration(recorded.trace, ExploreOptions(check, subject=DomainSubject), lambda _result: None)
    lines, durable = exploration.at(sorted(recorded.between(12, 13))[-2])
    header = min(lines)
    assert lines[header].content(4)[:4] == bytes.fromhex("feedbabe")
    assert lines[header].content(4)[32:36] == bytes(4) != lines[header].content(5)[32:36]
    whole = {address: len(line.stores) for address, line in lines.items()}
    try:
        verdict = exploration.check(lines, durable, whole | {header: 4})
    finally:
        close(exploration.bench)
    assert "log record CRC mismatch: found 0x0, expected" in verdict.output
    assert verdict.status == 255, "mount failed"
