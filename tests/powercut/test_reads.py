"""What a check reads, and which states need none because of that."""

from __future__ import annotations

import shutil
import sys

import pytest
from powercut.test_explore import check, explore

from xlpy.powercut.reads import merged, reads_of, reads_of_guest

SIZE = 1 << 20
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace (package strace)")


def log(tmp_path, text):
    path = tmp_path / "log"
    path.write_text("".join(f"7 {line}\n" for line in text.split("; ")))
    return reads_of(path, SIZE)


CALLS = [
    ('openat(AT_FDCWD, "/i", O_RDONLY) = 3</i>; pread64(3</i>, ""..., 100, 4096) = 100', ((4096, 4224),)),
    ('openat(AT_FDCWD, "/i", O_RDONLY) = 3</i>; read(3</i>, ""..., 64) = 64; read(3</i>, "", 64) = 64', ((0, 128),)),
    ('openat(AT_FDCWD, "/i", O_RDONLY) = 3; lseek(3</i>, 640, SEEK_SET) = 640; read(3</i>, "", 9) = 9', ((640, 704),)),
    ('openat(AT_FDCWD, "/i", O_RDONLY) = 3; dup2(3</i>, 0) = 0</i>; read(0</i>, "", 9) = 9', ((0, 64),)),
    ('open("/i", O_RDONLY) = 3; write(3</i>, "", 64) = 64; read(3</i>, "", 64) = 64', ((64, 128),)),
    ('openat(AT_FDCWD, "/i", O_RDONLY) = -1 ENOENT (No such file or directory)', ()),
    ("fstat(3</i>, {st_mode=S_IFREG|0600, st_size=7, ...}) = 0", ()),
    ('read(0</i>, "", 64) = 64', None),  # who knows where it stood
    ("mmap(NULL, 4096, PROT_READ, MAP_SHARED, 3</i>, 0) = 0x7f0000000000", None),
    ("copy_file_range(3</i>, NULL, 4</o>, NULL, 4096, 0) = 4096", None),
    ("ioctl(4</o>, BTRFS_IOC_CLONE or FICLONE, 3</i>) = 0", None),
    ("pread64(3</i>,  <unfinished ...>", None),
    ("some_call_of_the_future(3</i>) = 0", None),
    ("--- SIGCHLD {si_signo=SIGCHLD} ---", ()),
]


@pytest.mark.parametrize(("text", "ranges"), CALLS, ids=[text[:50] for text, _ in CALLS])
def test_system_calls(tmp_path, text, ranges):
    assert log(tmp_path, text) == ranges


def test_ranges_are_whole_lines_and_apart():
    assert merged([(70, 71), (0, 1), (64, 128), (300, 300)]) == ((0, 128),)


def test_what_a_guest_loads(tmp_path):
    (tmp_path / "log").write_text("100000040 40\n200000000 80\n900000000 40\n")
    windows = {0x100000000: (4096, 0), 0x200000000: (4096, 4096)}
    assert reads_of_guest(tmp_path / "log", windows) == ((0x40, 0x80), (4096, 4096 + 0x80))


@needs_strace
def test_states_that_differ_where_nothing_is_read(make_trace):
    """The check reads the first page; the stores are in the second but for one."""
    trace = make_trace("st 0 5; " + "; ".join(f"st {0x1000 + i * 64:x} 1" for i in range(10)))
    words = ("dd", "if={image}", "bs=4096", "count=1", "of=/dev/null")
    summary, results = explore(trace, words, prune=True)
    run = [result for result in results if not result.pruned]
    assert len(run) == 2  # with the store to the first page, and without
    assert summary.pruned == summary.distinct - 2 > 10
    again, _ = explore(trace, words, prune=True)
    assert (again.known, again.pruned) == (summary.distinct, 0)


@needs_strace
def test_a_failure_is_a_failure_for_all_that_read_the_same(make_trace):
    trace = make_trace("st 0 5; st 1000 1; st 1040 1")
    words = (sys.executable, "-c", "import os; os._exit(os.pread(os.open('{image}', 0), 8, 0)[0] == 5)")
    summary, results = explore(trace, words, prune=True)
    assert {result.verdict.status for result in results if 4294967296 in result.state} == {1}
    assert {result.verdict.status for result in results if 4294967296 not in result.state} == {0}
    assert summary.pruned > 0


@needs_strace
def test_a_check_that_cannot_be_followed_is_run_on_every_state(make_trace):
    trace = make_trace("st 0 5; st 1000 1; st 1040 1")
    text = "import mmap, sys; f = open(sys.argv[1], 'rb'); mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)[0]"
    summary, results = explore(trace, check(text), prune=True)
    assert (summary.pruned, summary.failed, len(results)) == (0, 0, summary.distinct)


def test_without_strace(make_trace, monkeypatch, tmp_path):
    from xlpy.errors import MissingTool

    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingTool) as raised:
        explore(make_trace("st 0 1"), prune=True)
    assert "strace" in raised.value.hint
