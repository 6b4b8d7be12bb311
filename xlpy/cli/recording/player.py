"""Replaying: the commands of a recording, in their own folder, with their recorded inputs."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from io import BytesIO, TextIOWrapper
from itertools import zip_longest
from pathlib import Path

from xlpy import inputs, limits
from xlpy.cli.recording import chance, guard, state
from xlpy.contexts import contextmanager
from xlpy.dom0.ext4 import tools
from xlpy.errors import Conflict
from xlpy.private import folder as make_folder
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xlpy.cli.recording.archive import Recording

VARIABLES = ("XLPY_", "XDG_", "NO_COLOR", "FORCE_COLOR")  # beginnings of those that a replay sets or clears


class ReplayDifference(NamedTuple):
    """What is not as it was after a command. number: of the command, from 1."""

    number: int
    words: list[str]
    details: list[str]


class Player:
    """One replay.

    Args:
        recording: what is replayed.
        folder: where; every path of then is a path below it.
        run: runs a command line in this process; its exit status.
        note: called with what happens.
    """

    def __init__(
        self, recording: Recording, folder: str, run: Callable[[list[str]], int], note: Callable[[str], None]
    ) -> None:
        self._recording, self._folder, self._run, self._note = recording, os.path.realpath(folder), run, note
        self._outputs: set[str] = set()

    def play(self) -> Iterator[tuple[int, dict[str, Any], ReplayDifference | None]]:
        """(number, command, what differs or None) of each command in turn; the first that differs is the last."""
        for number, command in enumerate(self._recording.commands, 1):
            details = self._one(command)
            difference = ReplayDifference(number, command["words"], details) if details else None
            yield number, command, difference
            if difference:
                return

    def _one(self, command: dict[str, Any]) -> list[str]:
        root = self._inside(command["root"])
        if "before" in command:
            state.put_back(self._recording.blob(command["before"]), root, limits.RECORDING)
        if command["kind"] == "skipped":
            return []
        if command["kind"] == "applied":
            state.put_back(self._recording.blob(command["after"]), root, limits.RECORDING)
            return []
        self._lay_out(command)
        out, err = BytesIO(), BytesIO()
        problems: list[str] = []
        with self._as_then(command, root, problems), _captured(out, err):
            status = self._run([self._moved(word, command) for word in command["words"]])
        self._outputs.update(command["outputs"])
        found = state.fingerprint(root, self._folder)
        return [*problems, *self._differences(command, status, out, err, found)]

    def _differences(
        self, command: dict[str, Any], status: int, out: BytesIO, err: BytesIO, found: dict[str, str]
    ) -> Iterator[str]:
        if status != command["status"]:
            yield f"exit status: {command['status']} then, {status} now"
        for name, then, now in (("output", command["out"], out), ("messages", command["err"], err)):
            text = now.getvalue().decode(errors="backslashreplace").replace(self._folder, "")
            if _plain(then) != _plain(text):
                yield f"{name}: {_first_difference(then, text)}"
        for name in sorted(command["state"].keys() | found.keys()):
            if command["state"].get(name) != found.get(name):
                how = "is new" if name not in command["state"] else "is missing" if name not in found else "differs"
                yield f"{name} {how}"

    # -- making it as it was ------------------------------------------------------------------------------------

    def _inside(self, path: str) -> str:
        """Where a path of then is now."""
        return self._folder + os.path.normpath(f"/{path}").replace("//", "/")  # normpath: no .. leads out of it

    def _lay_out(self, command: dict[str, Any]) -> None:
        make_folder(self._inside(command["cwd"]))
        for path, blob in command["inputs"].items():
            if path not in self._outputs:  # else it was made by a command before
                target = Path(self._inside(path))
                target.parent.mkdir(parents=True, exist_ok=True)
                state.apply(self._recording.blob(blob), target, limits.RECORDING)
        for path in command["outputs"]:
            Path(self._inside(path)).parent.mkdir(parents=True, exist_ok=True)

    def _moved(self, word: str, command: dict[str, Any]) -> str:
        """A word with the paths of then put where they are now; a relative one needs nothing."""
        known = {*command["inputs"], *command["outputs"], command["root"], *self._outputs}
        option, equals, value = word.partition("=")
        if word in known:
            return self._inside(word)
        if equals and value in known:
            return f"{option}={self._inside(value)}"
        return word

    @contextmanager
    def _as_then(self, command: dict[str, Any], root: str, problems: list[str]) -> Iterator[None]:
        variables, where, programs = dict(os.environ), Path.cwd(), list(reversed(command["programs"]))
        temporary, tempfile.tempdir = tempfile.tempdir, f"{self._folder}/tmp"
        make_folder(tempfile.tempdir)

        def opened(path: str) -> str:
            inside = self._inside(str(Path(path).absolute()).removeprefix(self._folder))
            return inside if Path(inside).exists() else path

        def program(name: str, image: str, _act: tools.Act) -> tuple[int, str, str]:
            if not programs or programs[-1]["program"] != name:
                problems.append(f"it runs {name}, which it did not then")
                raise Conflict(problems[-1])
            then = programs.pop()
            state.apply(self._recording.blob(then["pages"]), Path(image), limits.RECORDING, resize=False)
            return int(then["status"]), str(then["out"]), str(then["err"])

        try:
            for name in variables:
                if name.startswith(VARIABLES):
                    del os.environ[name]
            os.environ.update({name: str(value) for name, value in command["environment"].items()})
            os.environ["XLPY_ROOT"] = root
            os.chdir(self._inside(command["cwd"]))
            inputs.opening, tools.observer = opened, program
            with guard.only_in(self._folder), chance.told(command["chance"], problems):
                yield
        finally:
            inputs.opening, tools.observer = None, None
            tempfile.tempdir = temporary
            os.chdir(where)
            os.environ.clear()
            os.environ.update(variables)


@contextmanager
def _captured(out: BytesIO, err: BytesIO) -> Iterator[None]:
    real = sys.stdout, sys.stderr, sys.stdin
    sys.stdout, sys.stderr, sys.stdin = (
        TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="", write_through=True)
        for stream in (out, err, BytesIO())
    )
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr, sys.stdin):
            stream.detach()
        sys.stdout, sys.stderr, sys.stdin = real


def _plain(text: str) -> str:
    """Without what the length of a path changes: how far columns are apart."""
    return re.sub(r"[ \t]+", " ", text)


def _first_difference(then: str, now: str) -> str:
    for number, (one, other) in enumerate(zip_longest(then.splitlines(), now.splitlines()), 1):
        if one is None or other is None:
            return f"line {number} is {'new' if one is None else 'missing'}: {(one or other or '').strip()!r}"
        if _plain(one) != _plain(other):
            return f"line {number} was {one.strip()!r}, is {other.strip()!r}"
    return "they end differently"
