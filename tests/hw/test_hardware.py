"""The powered machine: addresses, files, labels, poison, and what a killed process leaves."""

import os
import resource
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from work import calls

from xlpy.addr import GIB, KIB, MIB, PAGE, TIB, Dpa, Spa, Span
from xlpy.errors import Conflict, Constraint, NotFound, StateError
from xlpy.hw import media
from xlpy.hw.describe import parse_machine
from xlpy.hw.hardware import Hardware
from xlpy.hw.machine import DimmSpec, MachineSpec, SetSpec
from xlpy.hw.poison import PoisonList

MACHINES = Path(__file__).parents[2] / "configs" / "machines"
TEXT = """
ram: 4G
dimms:
  - {id: a, capacity: 64M, handle: 1}
  - {id: b, capacity: 64M, handle: 2}
  - {id: c, capacity: 64M, handle: 3}
  - {id: d, capacity: 32M, handle: 4, label_size: 0}
  - {id: e, capacity: 32M, handle: 5, flush_hints: 2}
sets:
  - {name: three, dimms: [a, b, c], line: 4K, base: 6G}
  - {name: one, dimms: [d], base: 0x18c000000}        # right behind the first
"""
FIRST, SECOND = Spa(6 * GIB), Spa(6 * GIB + 192 * MIB)


@pytest.fixture
def hw(tmp_path):
    made = Hardware.create(tmp_path, parse_machine(TEXT))
    yield made
    made.close()


def test_regions(hw, tmp_path):
    assert [(r.name, r.index, r.span, r.path) for r in hw.regions] == [
        ("three", 0, Span(FIRST, 192 * MIB), tmp_path / "hw" / "media" / "three"),
        ("one", 1, Span(SECOND, 32 * MIB), tmp_path / "hw" / "media" / "one"),
    ]


def test_all_memory_is_zero_and_costs_nothing(hw):
    assert hw.read(FIRST, 3 * PAGE) == bytes(3 * PAGE)
    assert sum(path.stat().st_blocks for path in hw.root.rglob("*") if path.is_file()) < 64


@pytest.mark.parametrize(
    "spa", [0, 0xFFFF0, 3 * GIB - 4, 4 * GIB, 5 * GIB - 100, FIRST, SECOND - 8, SECOND + 32 * MIB - 16]
)
def test_what_is_written_is_read(hw, spa):
    data = b"sixteen bytes ok"[: 4 if spa == 3 * GIB - 4 else 16]
    hw.write(Spa(spa), data)
    assert hw.read(Spa(spa), len(data)) == data
    path, offset = hw.backing(Spa(spa))
    length = min(len(data), 8 if spa == SECOND - 8 else len(data))
    with path.open("rb") as file:
        file.seek(offset)
        assert file.read(length) == data[:length]


def test_ram_above_the_hole_continues_the_ram_file(hw, tmp_path):
    assert hw.backing(Spa(4 * GIB)) == (tmp_path / "hw" / "ram", 3 * GIB)


def test_reading_across_two_files(hw):
    hw.write(Spa(SECOND - 3), b"abcdef")
    assert hw.read(Spa(SECOND - 4), 8) == b"\0abcdef\0"
    assert hw.backing(Spa(SECOND - 1))[0].name == "three"
    assert hw.backing(SECOND)[0].name == "one"


@pytest.mark.parametrize("spa", [3 * GIB, 0xFEE00000, 5 * GIB, SECOND + 32 * MIB, 1 << 46, 3 * GIB - 2])
def test_where_there_is_no_memory(hw, spa):
    for attempt in (
        lambda: hw.read(Spa(spa), 4),
        lambda: hw.write(Spa(spa), b"abcd"),
        lambda: hw.zero(Span(Spa(spa), 4)),
        lambda: hw.view(Span(Spa(spa), 4)),
    ):
        with pytest.raises(Constraint, match="no memory at host address"):
            attempt()
    assert hw.read(Spa(3 * GIB - 2), 2) == b"\0\0"  # a refused write leaves nothing behind
    assert not hw.has_memory(Span(Spa(spa), 4))


def test_view_shares_bytes_with_read_write_and_zero(hw):
    view = hw.view(Span(Spa(FIRST + PAGE), 2 * PAGE))
    view[0:5] = b"hello"
    assert hw.read(Spa(FIRST + PAGE), 5) == b"hello"
    hw.write(Spa(FIRST + PAGE), b"J")
    assert bytes(view[:5]) == b"Jello"
    hw.zero(Span(Spa(FIRST + PAGE), 3))
    assert bytes(view[:5]) == b"\0\0\0lo"
    hw.close()
    assert bytes(view[:5]) == b"\0\0\0lo"
    view.release()


def test_view_across_files_is_refused(hw):
    with pytest.raises(Constraint, match="not in one piece"):
        hw.view(Span(Spa(SECOND - PAGE), 2 * PAGE))


@pytest.mark.parametrize("can_punch", [True, False])
def test_zero_gives_blocks_back(hw, monkeypatch, can_punch):
    if not can_punch:
        monkeypatch.setattr(media, "punch", lambda *_: False)
    path = hw.regions[0].path
    hw.write(Spa(FIRST + 100), b"x" * MIB)
    hw.zero(Span(Spa(FIRST + 200), MIB - 300))
    assert hw.read(Spa(FIRST + 99), 102) == b"\0" + b"x" * 100 + b"\0"
    assert hw.read(Spa(FIRST + MIB - 101), 202) == b"\0" + b"x" * 200 + b"\0"
    if can_punch:
        assert path.stat().st_blocks * 512 <= 64 * KIB
    hw.zero(hw.regions[0].span)
    assert hw.read(FIRST, 2 * MIB) == bytes(2 * MIB)


# address translation


def test_locate(hw):
    assert [
        (hw.locate(Spa(FIRST + x))[0].id, hw.locate(Spa(FIRST + x))[1]) for x in (0, 4096, 8192, 12288, 192 * MIB - 1)
    ] == [
        ("a", 0),
        ("b", 0),
        ("c", 0),
        ("a", 4096),
        ("c", 64 * MIB - 1),
    ]
    assert hw.spa_of("c", Dpa(64 * MIB - 1)) == FIRST + 192 * MIB - 1
    assert hw.spa_of("d", Dpa(5)) == SECOND + 5


@settings(max_examples=60)
@given(st.integers(0, 192 * MIB - 1))
def test_locate_and_back(offset):
    hw = Hardware(Path("/nowhere"), parse_machine(TEXT))
    dimm, dpa = hw.locate(Spa(FIRST + offset))
    assert hw.spa_of(dimm.id, dpa) == FIRST + offset


def test_translation_errors(hw):
    with pytest.raises(NotFound, match="0x1000 is not persistent memory"):
        hw.locate(Spa(0x1000))
    with pytest.raises(NotFound, match="no DIMM 'z'") as caught:
        hw.spa_of("z", Dpa(0))
    assert caught.value.hint == "there are: a, b, c, d, e"
    with pytest.raises(Constraint, match="beyond the capacity of d"):
        hw.spa_of("d", Dpa(32 * MIB))
    with pytest.raises(Constraint, match="e: 0x0 belongs to no interleave set"):
        hw.spa_of("e", Dpa(0))


# labels, poison, hints


def test_labels_persist(hw, tmp_path):
    assert hw.labels_read("a", 0, 128 * KIB) == bytes(128 * KIB)
    hw.labels_write("a", 128 * KIB - 4, b"tail")
    again = Hardware.open(tmp_path)
    assert again.labels_read("a", 128 * KIB - 4, 4) == b"tail"
    assert again.labels_read("b", 128 * KIB - 4, 4) == bytes(4)
    again.close()


@pytest.mark.parametrize(("offset", "length"), [(128 * KIB, 1), (0, 128 * KIB + 1), (-1, 4), (1 << 32, 4)])
def test_label_bounds(hw, offset, length):
    with pytest.raises(Constraint, match="leaves the label area of a"):
        hw.labels_read("a", offset, length)
    with pytest.raises(Constraint):
        hw.labels_write("a", offset, bytes(length))


def test_no_labels(hw):
    with pytest.raises(NotFound, match="d has no label area"):
        hw.labels_read("d", 0, 1)


def test_poison_is_whole_lines_and_persists(hw, tmp_path):
    hw.poison.add(Span(Spa(FIRST + 100), 1))
    hw.poison.add(Span(Spa(FIRST + 129), 64))
    assert list(hw.poison) == [Span(Spa(FIRST + 64), 192)]
    assert list(Hardware.open(tmp_path).poison) == [Span(Spa(FIRST + 64), 192)]
    assert hw.poison.overlapping(Span(Spa(FIRST), 128)) == [Span(Spa(FIRST + 64), 64)]
    assert hw.poison.clear(Span(Spa(FIRST + 130), 2)) == 64
    assert list(Hardware.open(tmp_path).poison) == [Span(Spa(FIRST + 64), 64), Span(Spa(FIRST + 192), 64)]
    assert hw.poison.clear(Span(Spa(FIRST), PAGE)) == 128
    assert hw.poison.clear(Span(Spa(FIRST), PAGE)) == 0


def test_poison_from_the_description(tmp_path):
    hw = Hardware.create(tmp_path, parse_machine((MACHINES / "faulty.yaml").read_text()))
    base = hw.regions[0].span.start
    assert list(hw.poison) == [Span(Spa(base + 128 * MIB), 256), Span(Spa(base + 256 * MIB + 64), 64)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40), st.integers(0, 12)), max_size=12))
def test_poison_against_a_set_of_lines(steps):
    import tempfile

    with tempfile.TemporaryDirectory() as where:
        poison, lines = PoisonList(Path(where) / "p"), set()
        for add, start, size in steps:
            touched = set(range(start, start + size))
            (poison.add if add else poison.clear)(Span(Spa(start * 64), size * 64))
            lines = lines | touched if add else lines - touched
        assert {line for span in poison for line in range(span.start // 64, span.end // 64)} == lines
        spans = list(poison)
        assert all(left.end < right.start for left, right in pairwise(spans))


@pytest.mark.parametrize("text", ["", "[[1]]", "[[5, 1]]", "{}x", "[[0, 64], [0, 64]]", "7"])
def test_damaged_poison_list(hw, text):
    (hw.root / "hw" / "poison.json").write_text(text)
    with pytest.raises(StateError, match="list of poisoned lines cannot be read"):
        list(hw.poison)


def test_flush_hints(hw):
    hints = hw.flush_hints("e")
    assert hints == (0xFD004000, 0xFD004040)
    hw.write(hints[1], b"\1" * 8)  # drains nothing
    assert hw.flush_hints("a") == ()
    with pytest.raises(Constraint):
        hw.write(Spa(0xFD000000), b"\1")


# the map of the host


def test_memory_map(hw):
    assert [(hex(start), hex(start + size), kind) for start, size, kind in hw.memory_map()] == [
        ("0x0", "0x9fc00", 1),
        ("0x9fc00", "0xa0000", 2),
        ("0xe0000", "0x100000", 2),
        ("0x100000", "0xbff00000", 1),
        ("0xbff00000", "0xbfff0000", 3),
        ("0xbfff0000", "0xc0000000", 4),
        ("0xfec00000", "0x100000000", 2),
        ("0x100000000", "0x140000000", 1),
        ("0x180000000", "0x18c000000", 7),
        ("0x18c000000", "0x18e000000", 7),
    ]


@pytest.mark.parametrize("ram", [64 * MIB, GIB, 3 * GIB, 3 * GIB + PAGE, TIB])
def test_memory_map_is_sorted_and_disjoint(ram):
    entries = Hardware(Path("/nowhere"), MachineSpec(ram=ram)).memory_map()
    assert all(a.start + a.size <= b.start for a, b in pairwise(entries))
    usable = sum(entry.size for entry in entries if entry.type in (1, 3, 4))
    assert usable == ram - (MIB - 0x9FC00)


# making and opening


def test_create_twice(hw, tmp_path):
    with pytest.raises(Conflict, match="there is a machine already"):
        Hardware.create(tmp_path, hw.spec)


def test_open_reads_the_description_back(hw, tmp_path):
    assert Hardware.open(tmp_path).spec == hw.spec
    assert Hardware.open(tmp_path, hw.spec).regions == hw.regions


def test_open_nothing(tmp_path):
    with pytest.raises(NotFound, match="there is no machine"):
        Hardware.open(tmp_path)
    with pytest.raises(NotFound):
        Hardware.open(tmp_path, MachineSpec())


def test_remove(hw, tmp_path):
    Hardware.remove(tmp_path)
    assert list(tmp_path.iterdir()) == []
    Hardware.remove(tmp_path)


def test_open_is_light(hw, tmp_path):
    code = (
        "import sys; from pathlib import Path; from xlpy.hw.hardware import Hardware; from xlpy.addr import Spa\n"
        f"hw = Hardware.open(Path({str(tmp_path)!r})); hw.read(Spa({FIRST}), 8)\n"
        "print(sorted({'yaml', 'construct', 'mmap', 'ctypes', 'difflib', 'dataclasses', 'shutil'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert run.stdout == "[]\n"


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda home: (home / "machine.json").write_text("{"), "machine.json"),
        (lambda home: (home / "machine.json").write_text('{"name": 1, "x": 2}'), "the stored machine cannot be read"),
        (lambda home: (home / "machine.json").unlink(), "machine.json is missing"),
        (lambda home: (home / "media" / "three").unlink(), "the media file is missing"),
        (lambda home: os.truncate(home / "media" / "three", 5), "5 bytes long, 201326592 are required"),
    ],
)
def test_damage_is_reported(hw, tmp_path, damage, text):
    damage(tmp_path / "hw")
    with pytest.raises(StateError, match=text):
        Hardware.open(tmp_path).read(FIRST, 1)


def test_six_tebibytes_cost_no_more_than_a_few(tmp_path):
    spec = parse_machine((MACHINES / "huge.yaml").read_text())
    assert calls(lambda: _use(tmp_path, spec)) < 20_000


def _use(tmp_path, spec):
    hw = Hardware.create(tmp_path, spec)
    span = hw.regions[0].span
    assert span.size == 6 * TIB
    hw.write(Spa(span.end - 4), b"tail")
    assert bytes(hw.view(Span(Spa(span.end - 8), 8))) == b"\0\0\0\0tail"
    assert hw.locate(Spa(span.end - 1))[0].id == "d11"
    hw.zero(span)
    assert hw.regions[0].path.stat().st_blocks < 64
    hw.close()


def test_a_file_too_large_for_the_file_system(tmp_path):
    size = 1 << 60
    spec = MachineSpec(dimms=(DimmSpec("d", 1, 1, size),), sets=(SetSpec("s", ("d",), PAGE, FIRST, size),))
    with pytest.raises(Constraint) as caught:
        Hardware.create(tmp_path, spec)
    assert "smaller set" in str(caught.value.hint) or "free some space" in str(caught.value.hint)
    assert list(tmp_path.iterdir()) == []


def test_a_limit_on_file_size(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (GIB, hard))
    try:
        with pytest.raises(Constraint, match="File too large"):
            Hardware.create(tmp_path, parse_machine(TEXT))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_no_space_left(hw, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(Constraint, match="No space left on device") as caught:
        hw.write(FIRST, b"x")
    assert caught.value.hint == "free some space, or use another file system with --root"


def test_the_root_is_a_file(tmp_path):
    (tmp_path / "root").write_text("")
    with pytest.raises(Constraint):
        Hardware.create(tmp_path / "root", MachineSpec())


KILLED = """
import os, signal, sys
from pathlib import Path
from xlpy.hw import hardware
from xlpy.hw.describe import parse_machine
left = int(sys.argv[2])
names = ("create", "_store", "folder", "private", "rename", "remove", "_sweep")
def trace(frame, event, arg):
    global left
    if frame.f_code.co_name in names and event == "line":
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return trace
spec = parse_machine(sys.stdin.read())
sys.settrace(trace)
hardware.Hardware.create(Path(sys.argv[1]), spec)
hardware.Hardware.remove(Path(sys.argv[1]))
sys.settrace(None)
print("done")
"""


def test_a_process_killed_anywhere_leaves_all_or_nothing(tmp_path):
    repo, step, whole = Path(__file__).parents[2], 0, 0
    while True:
        root = tmp_path / str(step)
        run = subprocess.run(
            [sys.executable, "-c", KILLED, str(root), str(step)], input=TEXT, capture_output=True, text=True, cwd=repo
        )
        if run.stdout == "done\n":
            break
        assert run.returncode == -signal.SIGKILL, run.stderr
        try:
            hw = Hardware.open(root)
        except NotFound:
            hw = Hardware.create(root, parse_machine(TEXT))
        else:
            whole += 1
        assert hw.read(FIRST, 8) == bytes(8)
        assert hw.labels_read("c", 0, 8) == bytes(8)
        assert list(hw.poison) == []
        Hardware.remove(root)
        assert list(root.iterdir()) == []
        step += 5  # smaller than the stretch of lines in which all is there
    assert step > 50
    assert whole
