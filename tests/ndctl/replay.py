"""The same sequences with xlpy, in this process, on an emulated host with the machine of `machine.py`."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from ndctl import media, recorded
from ndctl.differences import plain
from ndctl.machine import DIMMS, REGIONS, machine_yaml
from ndctl.recorded import FINISH, Result
from ndctl.sequences import Answer, Sequence

from xlpy.addr import Spa
from xlpy.cli.kept import Kept
from xlpy.cli.main import run
from xlpy.dom0.nvdimm.labels import empty_index
from xlpy.errors import ConfigError
from xlpy.host import Host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OPTIONS = {"root": None, "verbose": 0, "quiet": False, "dry_run": False, "color": "auto", "xen": None}


def make(folder: Path, state: str) -> Path:
    """A host in the state that a sequence begins with."""
    root = folder / f"host-{state}"
    description = folder / "machine.yaml"
    description.write_text(machine_yaml(legacy=state == "legacy"))
    try:
        host = Host.make(root, description)
    except ConfigError as error:
        if state == "legacy":
            pytest.skip(f"a set without DIMMs cannot be described yet: {error}")
        raise
    if state in ("1.1", "1.2"):
        with host.manage("labels") as nd:
            for region in nd.regions:
                region.unbind()
            for dimm in nd.dimms:
                if dimm.commands:
                    for block in (0, 1):
                        made = empty_index(dimm.config.size, block, int(state[2:]))
                        dimm.set_config_data(made.own, made.build())
                    dimm.unbind()
                    dimm.bind()
            for region in nd.regions:
                region.bind()
    host.store.close()
    return root


class Replay:
    """One sequence after the other, each on a host of its own.

    Args:
        folder: for the hosts and the files that commands read and write.
        like: the version of ndctl to answer as.
    """

    def __init__(self, folder: Path, like: str = "76") -> None:
        self._folder = folder
        self._like = like
        self._made: dict[str, Path] = {}
        self._left: dict[str, tuple[str, ...]] = {}

    def state(self, name: str) -> tuple[str, ...]:
        """What lies there when a sequence begins in a state, in lines."""
        if name not in self._left:
            self._left[name] = tuple(plain(line, line) for line in self.play(Sequence(name, name, ())).left)
        return self._left[name]

    def play(self, sequence: Sequence) -> Result:
        """What xlpy does at each command, and what is left."""
        with self.opened(sequence.state) as (kept, call):
            answers = [call(line) for line in sequence.commands]
            finish = [call(line) for line in FINISH]
            left = list(_left(host(kept)))
        return recorded.result(sequence, answers, finish, left)

    @contextlib.contextmanager
    def opened(self, state: str) -> Iterator[tuple[Kept, Callable[[str], Answer]]]:
        """A fresh host in a state: what keeps it open, and a function that runs one line of a sequence on it."""
        if state not in self._made:
            self._made[state] = make(self._folder, state)
        root, work = self._folder / "host", self._folder / "work"
        shutil.rmtree(root, ignore_errors=True)
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        subprocess.run(["cp", "-a", "--sparse=always", self._made[state], root], check=True)
        with contextlib.chdir(work), patch.dict(os.environ, XLPY_ROOT=str(root)):
            kept = Kept(OPTIONS)
            try:
                yield kept, partial(_command, kept, self._like)
            finally:
                kept.close()


def host(kept: Kept) -> Host:
    """The host that is open."""
    return kept.host(None, str, None)


def _command(kept: Kept, like: str, line: str) -> Answer:
    word, *rest = line.split()
    if word in ("ndctl", "daxctl"):
        return _call([word, "--like", like, *shlex.split(line)[1:]], kept)
    if word == "poke":
        _poke(host(kept), rest[0], int(rest[1], 0), bytes.fromhex(rest[2]))
    elif word == "mount":
        machine = host(kept)
        with machine.change("a domain takes it"):
            machine.dom0.pin(rest[0], "domain 1")
    elif word == "umount":
        machine = host(kept)
        with machine.change("the domain ends"):
            machine.dom0.release("domain 1")
    else:
        done = subprocess.run(["sh", "-c", line], capture_output=True, check=False)
        return Answer(done.returncode, done.stdout, done.stderr)
    return Answer(0, b"", b"")


def _poke(host: Host, place: str, at: int, data: bytes) -> None:
    number = int(place[-1])
    if place.startswith("nmem"):
        host.hw.labels_write(f"dimm{number}", at, data)
    else:
        host.hw.write(Spa(DIMMS[REGIONS[number]].base + at), data)


def _left(host: Host) -> Iterator[str]:
    """What label areas and media hold, in lines."""
    for slot, one in enumerate(DIMMS):
        area = host.hw.labels_read(f"dimm{slot}", 0, one.label) if one.label else b""
        yield from (f"nmem{slot}: {line}" for line in media.label_area(area))
    for number, slot in enumerate(REGIONS):
        one = DIMMS[slot]

        def read(offset: int, length: int, base: int = one.base) -> bytes:
            return host.hw.read(Spa(base + offset), length)

        file, start = host.hw.locate_file(Spa(one.base))
        extents = [(at - start, length) for at, length in media.written(file, start, start + one.size)]
        yield from (f"region{number}: {line}" for line in media.media(read, extents))


def _call(words: list[str], kept: Kept) -> Answer:
    """One command of xlpy; what stands behind ``<`` is its standard input."""
    source = os.devnull
    if "<" in words:
        at = words.index("<")
        source, words = words[at + 1], words[:at]
    out, err = (
        io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="surrogateescape", write_through=True) for _ in range(2)
    )
    before = sys.stdin
    with Path(source).open() as sys.stdin, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = run(words, kept)
        finally:
            sys.stdin = before
    return Answer(status, *(stream.buffer.getvalue() for stream in (out, err)))
