"""Changes to the machine's own files that are kept when the state is committed, and undone when it is not.

The state is one transaction; poison, health and media files lie outside of it. Before one of them changes, what it was
is kept here in an entry, whose name goes into the state. After an error or a kill, an entry whose name the state has is
final, and any other is undone, the newest first.
"""

from __future__ import annotations

import os

from xlpy.contexts import suppress
from xlpy.hw.media import punch, trouble
from xlpy.jsontext import decode, encode
from xlpy.private import folder, private
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import FileIO

FOLDER = "undo"
SUFFIX = ".json"
GOES = "-goes"  # ends the name of an entry for what is removed when the change is final


class Undo:
    """The entries of one machine.

    Args:
        home: the machine's directory; all paths are names in it.

    Attributes:
        enter: puts the name of an entry into the state; None outside of a change, where nothing is kept and everything
            is final at once.
    """

    def __init__(self, home: str) -> None:
        self._home = home
        self.enter: Callable[[str], None] | None = None
        self._ranges: FileIO | None = None  # the file of the entry that keeps ranges of files, while it goes on

    def keep(self, name: str) -> None:
        """A small file is about to be replaced, or made: keep what it holds."""
        if self.enter is not None:
            try:
                with open(os.path.join(self._home, name), "rb") as file:
                    content = file.read().hex()
            except FileNotFoundError:
                content = None
            self._add({"kept": name, "content": content})

    def made(self, name: str) -> None:
        """A file or folder is about to be made."""
        if self.enter is not None:
            self._add({"made": name})

    def drop(self, name: str) -> None:
        """Remove a file or folder; until the change is final it is only moved aside."""
        path = os.path.join(self._home, name)
        if self.enter is None:
            _remove(path)
            return
        entry = self._add({"aside": name})
        try:
            os.rename(path, self._aside(entry))
        except OSError as error:
            raise trouble(path, error) from error

    def goes(self, path: str) -> None:
        """Remove a folder that may be on another file system, once the change is final."""
        if self.enter is None:
            _remove(path)
            return
        self._add({"goes": path}, GOES)

    def fresh(self) -> None:
        """What ``keep_range`` keeps from now on can be undone alone: a step begins that can fail on its own."""
        if self._ranges is not None:
            self._ranges.close()
            self._ranges = None

    def keep_range(self, name: str, offset: int, content: bytes | int) -> None:
        """A range of a large file is about to be written: keep what it holds, bytes or so many zeros."""
        if self.enter is None:
            return
        line = {"range": name, "offset": offset, "content": content if isinstance(content, int) else content.hex()}
        path = self._path(self._add(line)) if self._ranges is None else ""
        try:
            if self._ranges is None:
                self._ranges = open(path, "ab", buffering=0, opener=private)  # noqa: SIM115 - until the entry is final
                return
            rest = f"\n{encode(line)}".encode()
            while rest:
                rest = rest[self._ranges.write(rest) :]
        except OSError as error:
            raise trouble(path or os.path.join(self._home, FOLDER), error) from error

    def take_back(self, stays: Callable[[str], bool]) -> bool:
        """Take back the entries that the state does not have; whether there were any."""
        self.fresh()
        gone = [entry for entry in self._entries() if not stays(entry)]
        for entry in reversed(gone):
            self._revert(entry)
            os.unlink(self._path(entry))
        return bool(gone)

    def settle(self) -> bool:
        """The state is committed: all entries are final; whether there were any."""
        self.fresh()
        found = list(self._entries())
        for entry in found:
            if entry.endswith(GOES):
                import shutil

                with open(self._path(entry), "rb") as file:
                    shutil.rmtree(decode(file.read().decode())["goes"], ignore_errors=True)
            _remove(self._aside(entry))
            os.unlink(self._path(entry))
        return bool(found)

    def _add(self, fields: dict[str, Any], kind: str = "") -> str:
        assert self.enter is not None
        entry = f"{len(list(self._entries())):06d}-{os.urandom(4).hex()}{kind}"
        path = self._path(entry)
        try:
            folder(os.path.dirname(path))
            with open(f"{path}.new", "w", encoding="utf-8", opener=private) as file:
                file.write(encode(fields))
            os.replace(f"{path}.new", path)
        except OSError as error:
            raise trouble(path, error) from error
        self.enter(entry)
        return entry

    def _revert(self, entry: str) -> None:
        with open(self._path(entry), "rb") as file:
            text, *more = file.read().decode().splitlines()
        fields = decode(text)
        if "goes" in fields:
            return
        if "range" in fields:
            for line in (*reversed(more), text):
                with suppress(ValueError):  # the last one was not written whole, so nothing was written after it
                    self._rewrite(decode(line))
            return
        name = fields.get("kept") or fields.get("made") or fields["aside"]
        path = os.path.join(self._home, name)
        if "aside" in fields:
            with suppress(FileNotFoundError):
                os.rename(self._aside(entry), path)
        elif fields.get("content") is None:
            _remove(path)
        else:
            with open(f"{path}.new", "wb", opener=private) as file:
                file.write(bytes.fromhex(fields["content"]))
            os.replace(f"{path}.new", path)

    def _rewrite(self, line: dict[str, Any]) -> None:
        """A range of a file gets its old content again."""
        path, content = os.path.join(self._home, line["range"]), line["content"]
        try:
            with open(path, "r+b", buffering=0) as file:
                if isinstance(content, str):
                    os.pwrite(file.fileno(), bytes.fromhex(content), line["offset"])
                elif not punch(file.fileno(), line["offset"], content):
                    os.pwrite(file.fileno(), bytes(content), line["offset"])
        except OSError as error:
            raise trouble(path, error) from error

    def _entries(self) -> Iterator[str]:
        """The names of all entries, oldest first."""
        with suppress(FileNotFoundError):
            for name in sorted(os.listdir(os.path.join(self._home, FOLDER))):
                if name.endswith(SUFFIX):
                    yield name.removesuffix(SUFFIX)

    def sweep(self) -> None:
        """Under the lock: remove what a kill left of files that were being written, before anything counted on them."""
        for home in (self._home, os.path.join(self._home, FOLDER)):
            with suppress(FileNotFoundError):
                for name in os.listdir(home):
                    if name.endswith(".new"):
                        os.unlink(os.path.join(home, name))

    def _path(self, entry: str) -> str:
        return os.path.join(self._home, FOLDER, f"{entry}{SUFFIX}")

    def _aside(self, entry: str) -> str:
        return os.path.join(self._home, FOLDER, f"{entry}.aside")


def _remove(path: str) -> None:
    """Remove a file or folder; no error when there is none."""
    if os.path.isdir(path):
        import shutil

        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError):
            os.unlink(path)
