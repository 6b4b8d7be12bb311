"""What a disk may hold after a power cut, told from the system calls of a program (strace).

A disk keeps what a file had at its last ``fsync`` or ``fdatasync``. Of what came later any part may be there, in any
order: each sector by itself, and the length of a file without its content. That a name was made or removed is sure once
its folder is synchronised. No file system promises less; SQLite relies on a sector's being written whole or not.
"""

from __future__ import annotations

import re
import subprocess
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import random
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

SECTOR = 512
CALLS = "openat,pwrite64,ftruncate,fdatasync,fsync,unlink,access"
MARK = "/mark/"  # a name that the program asks for, to tell how far it is
LINE = re.compile(r"^\d+ +(\w+)\((.*)\) += (\d+|-1)")
TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


class Step(NamedTuple):
    """One call. kind: create, write, length, sync, remove or mark. name: of the file, or what the mark says."""

    kind: str
    name: str
    at: int = 0
    data: bytes = b""


def record(argv: Sequence[str], folder: Path, log: Path) -> list[Step]:
    """What a program does to the files of a folder; the folder itself is called ``""``. log: written by strace."""
    trace = ["strace", "-f", "-y", "-xx", "-s", "70000", "-o", str(log), "-e", f"trace={CALLS}"]
    subprocess.run([*trace, *argv], check=True)
    steps = (_step(line) for line in log.read_text().splitlines())
    return [one if one.kind == "mark" else one._replace(name=one.name[len(f"{folder}/") :])
            for one in steps if one and (one.kind == "mark" or f"{one.name}/".startswith(f"{folder}/"))]  # fmt: skip


def _step(line: str) -> Step | None:
    found = LINE.match(line)
    if not found:
        return None
    call, arguments, result = found.groups()
    texts = [bytes.fromhex(text.replace("\\x", "")) for text in TEXT.findall(arguments)]
    if call == "access" and texts[0].startswith(MARK.encode()):
        return Step("mark", texts[0].decode().removeprefix(MARK))
    if result == "-1":
        return None
    if call == "openat":
        return Step("create", texts[0].decode()) if "O_CREAT" in arguments else None
    if call == "unlink":
        return Step("remove", texts[0].decode())
    name = re.findall(r"^\d+<(.*?)>", arguments)[0]
    name = bytes.fromhex(name.replace("\\x", "")).decode() if name.startswith("\\x") else name
    last = arguments.rsplit(", ", 1)[-1]
    if call == "pwrite64":
        return Step("write", name, int(last), texts[0])
    return Step("length", name, int(last)) if call == "ftruncate" else Step("sync", name)


class File:
    """kept: what is sure to be there. pending: what came later, in pieces that are there or not. now: all of it."""

    def __init__(self, data: bytes = b"") -> None:
        self.kept, self.pending, self.now = data, [], bytearray(data)

    def do(self, step: Step) -> None:
        """A write, another length, or the promise that all of it stays."""
        if step.kind == "sync":
            self.kept, self.pending = bytes(self.now), []
            return
        if step.kind == "write":
            end = step.at + len(step.data)
            if end > len(self.now):
                self.pending.append(Step("length", "", end))
            edges = [step.at, *range(step.at - step.at % SECTOR + SECTOR, end, SECTOR), end]
            for start, stop in pairwise(edges):
                self.pending.append(Step("write", "", start, step.data[start - step.at : stop - step.at]))
        else:
            self.pending.append(step)
        _apply(self.now, step)

    def left(self, pieces: Sequence[Step]) -> bytes:
        """What is there with these of the pieces."""
        data = bytearray(self.kept)
        for piece in pieces:
            _apply(data, piece)
        return bytes(data)


def _apply(data: bytearray, step: Step) -> None:
    length = step.at if step.kind == "length" else max(len(data), step.at + len(step.data))
    del data[length:]
    data += bytes(length - len(data))
    if step.kind == "write":
        data[step.at : step.at + len(step.data)] = step.data


class Disk:
    """The files of one folder, by name."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = {name: File(data) for name, data in files.items()}
        self._sure = dict(self.files)
        self._names: list[tuple[str, File | None]] = []  # what was made and removed since the folder was synchronised

    def do(self, step: Step) -> None:
        """Let it happen."""
        if step.kind == "create":
            if step.name not in self.files:
                self.files[step.name] = File()
                self._names.append((step.name, self.files[step.name]))
        elif step.kind == "remove":
            del self.files[step.name]
            self._names.append((step.name, None))
        elif step.name:
            self.files[step.name].do(step)
        else:
            self._sure, self._names = dict(self.files), []

    def now(self) -> dict[str, bytes]:
        """What programs see, after a kill as before it."""
        return {name: bytes(file.now) for name, file in self.files.items()}

    def cuts(self, rng: random.Random, many: int) -> Iterator[dict[str, bytes]]:
        """What may be there after a power cut: none of what is pending, all, one alone, all but one, or some of it.

        Args:
            rng, many: which ones alone and left out, and which some, so many of each.
        """
        files = {id(file): file for file in (*self._sure.values(), *(file for _, file in self._names if file))}
        pieces = [(number, at) for number, file in files.items() for at in range(len(file.pending))]
        pieces += [(0, at) for at in range(len(self._names))]
        everything = set(pieces)
        yield self._left(files, ())
        yield self._left(files, everything)
        for piece in rng.sample(pieces, min(many, len(pieces))):
            yield self._left(files, {piece})
            yield self._left(files, everything - {piece})
        for _ in range(many if len(pieces) > 1 else 0):
            share = rng.random()
            yield self._left(files, {piece for piece in pieces if rng.random() < share})

    def _left(self, files: dict[int, File], there: Collection[tuple[int, int]]) -> dict[str, bytes]:
        names: dict[str, File | None] = dict(self._sure)
        names |= {name: file for at, (name, file) in enumerate(self._names) if (0, at) in there}
        content = {
            number: file.left([piece for at, piece in enumerate(file.pending) if (number, at) in there])
            for number, file in files.items()
        }
        return {name: content[id(file)] for name, file in names.items() if file}
