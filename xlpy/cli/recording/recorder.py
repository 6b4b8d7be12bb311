"""A command that is recorded: it runs as usual, and its inputs and outputs are added to a folder."""

from __future__ import annotations

import fcntl
import io
import json
import os
import sys
from pathlib import Path

from xlpy import inputs
from xlpy.cli.recording import chance, kinds, sparse, state
from xlpy.contexts import contextmanager, nullcontext, suppress
from xlpy.digest import blake2b
from xlpy.dom0.ext4 import tools
from xlpy.private import private
from xlpy.statedir import locate
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from xlpy.cli.kept import Kept

COMMANDS, SEEN = "commands.jsonl", "roots"
RECORDED_VARIABLES = ("XLPY_XEN",)


def recorded(folder: str, words: Sequence[str], kept: Kept | None, act: Callable[[], int]) -> int:
    """Run a command and record it.

    Args:
        folder: of the recording. words, kept: as for ``main.run``. act: runs it; its exit status.
    """
    if kinds.is_one_of(words, kinds.INNER):
        return act()
    return _Recorder(folder, words, kept).run(act)


class _Recorder:
    """One command."""

    def __init__(self, folder: str, words: Sequence[str], kept: Kept | None) -> None:
        self._folder = Path(folder)
        self._root = locate(_root(words) or (kept.options["root"] if kept else None))
        self._applied = kinds.is_one_of(words, kinds.APPLIED)
        self._skipped = kinds.is_one_of(words, kinds.SKIPPED)
        self._inputs: dict[str, str] = {}
        self._programs: list[dict[str, Any]] = []
        self._words = list(words)
        self._fields: dict[str, Any] = {
            "words": [*_flags(kept), *words],
            "cwd": str(Path.cwd()),
            "root": self._root,
            "environment": {name: os.environ[name] for name in RECORDED_VARIABLES if name in os.environ},
        }
        if kept and kept.options["xen"]:
            self._fields["environment"]["XLPY_XEN"] = kept.options["xen"]

    def run(self, act: Callable[[], int]) -> int:
        """Run it; its exit status."""
        if self._skipped:
            status = act()
            self._add(status=status, kind="skipped")
            return status
        with self._alone():
            self._look_before()
            asked: chance.Asked = []
            before = self._named_files()
            out, err = io.BytesIO(), io.BytesIO()
            with self._tapped(), chance.heard(asked), nullcontext() if self._applied else _teed(out, err):
                status = act()
            after = self._named_files()
            more: dict[str, Any] = {"kind": "applied", "after": self._keep(state.snapshot(self._root) or b"")}
            if not self._applied:
                more = {
                    "kind": "done",
                    "out": out.getvalue().decode(errors="backslashreplace"),
                    "err": err.getvalue().decode(errors="backslashreplace"),
                    "chance": asked,
                    "programs": self._programs,
                }
            self._add(
                status=status,
                inputs=self._inputs,
                outputs=[path for path in after if after[path] != before.get(path)],
                state=state.fingerprint(self._root),
                **more,
            )
        return status

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One command after the other, or their states could not be told apart; but for one that waits for others."""
        if self._applied:
            yield
            return
        fd = private(self._folder / "lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _look_before(self) -> None:
        """A host that was there before the recording is kept as it was."""
        seen = self._folder / SEEN
        roots = json.loads(seen.read_text()) if seen.exists() else []
        if self._root in roots:
            return
        blob = state.snapshot(self._root)
        if blob is not None:
            self._fields["before"] = self._keep(blob)
        with open(seen, "w", opener=private) as file:
            json.dump([*roots, self._root], file)

    @contextmanager
    def _tapped(self) -> Iterator[None]:
        inputs.opening, tools.observer = self._opened, self._program
        try:
            yield
        finally:
            inputs.opening, tools.observer = None, None

    def _opened(self, path: str) -> str:
        """A file is about to be read."""
        where = str(Path(path).absolute())
        with suppress(OSError):
            if where not in self._inputs and not where.startswith(f"{self._root}/"):
                fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                try:
                    self._inputs[where] = self._keep(sparse.pack(sparse.pages(fd), os.fstat(fd).st_size))
                finally:
                    os.close(fd)
        return path

    def _program(self, program: str, image: str, act: tools.Act) -> tuple[int, str, str]:
        """A program changes an image: what it does is kept, so that a replay needs no such program."""
        fd = os.open(image, os.O_RDONLY | os.O_CLOEXEC)
        try:
            before = sparse.checks(fd)
            status, out, err = act()
            blob = sparse.pack(sparse.changed(fd, before), os.fstat(fd).st_size)
        finally:
            os.close(fd)
        self._programs.append({"program": program, "status": status, "out": out, "err": err, "pages": self._keep(blob)})
        return status, out, err

    def _named_files(self) -> dict[str, list[int]]:
        """What files and folders named on the command line are: those that differ afterwards are what it has made."""
        found: dict[str, list[int]] = {}
        for word in self._words:
            for text in {word, word.partition("=")[2]}:
                if text and not text.startswith("-"):
                    path = Path(text).absolute()
                    with suppress(OSError, ValueError):
                        one = path.stat()
                        if str(path) != self._root:
                            found[str(path)] = [one.st_ino, one.st_size, one.st_mtime_ns]
        return found

    def _keep(self, blob: bytes) -> str:
        """Keep a blob under the name that its content has."""
        name = blake2b(blob, digest_size=16).hexdigest()
        path = self._folder / name
        if not path.exists():
            with open(path, "wb", opener=private) as file:
                file.write(blob)
        return name

    def _add(self, **fields: Any) -> None:  # noqa: ANN401 - JSON values
        with open(self._folder / COMMANDS, "a", encoding="utf-8", opener=private) as file:
            file.write(json.dumps(self._fields | fields) + "\n")


def _root(words: Sequence[str]) -> str | None:
    from xlpy.cli.failures import root_option

    return root_option(words)


def _flags(kept: Kept | None) -> list[str]:
    """The options of the script that contains a line."""
    if kept is None:
        return []
    options = kept.options
    return ["-v"] * options["verbose"] + ["-q"] * options["quiet"] + ["-N"] * options["dry_run"]


@contextmanager
def _teed(out: io.BytesIO, err: io.BytesIO) -> Iterator[None]:
    """Inside, what is printed is kept as well; it is no terminal any more, so that it is the same again."""
    real = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _tee(real[0], out), _tee(real[1], err)
    try:
        yield
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        with suppress(OSError, ValueError):
            sys.stderr.flush()
        sys.stdout, sys.stderr = real


def _tee(stream: Any, copy: io.BytesIO) -> io.TextIOWrapper:  # noqa: ANN401 - a text stream
    stream.flush()
    both: Any = _Both(stream.buffer, copy)
    return io.TextIOWrapper(both, encoding="utf-8", errors="surrogateescape", newline="", write_through=True)


class _Both(io.BufferedIOBase):
    """Writes to a stream, and keeps a copy."""

    def __init__(self, stream: Any, copy: io.BytesIO) -> None:  # noqa: ANN401 - a binary stream
        self._stream, self._copy = stream, copy

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - bytes
        self._copy.write(data)
        self._stream.write(data)
        return len(data)

    def flush(self) -> None:
        self._stream.flush()
