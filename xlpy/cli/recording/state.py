"""The state of a host: digests to compare, and a full copy to restore."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import zipfile
from pathlib import Path

from xlpy.cli.recording import sparse
from xlpy.digest import blake2b
from xlpy.errors import StateError
from xlpy.private import folder, private
from xlpy.statedir import FAILURE, LOCK, NEXT, READY, RESERVE, STATE
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSING = (STATE, LOCK, RESERVE, FAILURE, NEXT, READY, "domains/frames", "hw/holds")  # no part of what is compared


def fingerprint(root: str, prefix: str = "") -> dict[str, str]:
    """Digests of the parts of a host: tables of its state, and files, by name; empty when there is none.

    Args:
        root: the state directory.
        prefix: what stands in front of every path here and did not where it is compared with.
    """
    if not Path(root, STATE).exists():
        return {}
    found = dict(_tables(root, prefix))
    for path in _files(root):
        name = str(path.relative_to(root))
        if not name.startswith(PASSING) and path.suffix != ".lock":
            with path.open("rb") as file:
                found[name] = sparse.digest(file.fileno())
    return found


def _tables(root: str, prefix: str) -> Iterator[tuple[str, str]]:
    """(name, digest) of each table of the state file."""
    digests: dict[str, blake2b] = {}
    try:
        with sqlite3.connect(f"{Path(root, STATE).as_uri()}?mode=ro", uri=True, timeout=10) as db:
            for room, key, value in db.execute("SELECT room, key, value FROM records ORDER BY room, key"):
                text = json.dumps([key, value]).replace(prefix, "") if prefix else json.dumps([key, value])
                digests.setdefault(room, blake2b(digest_size=12)).update(text.encode())
    except sqlite3.Error as error:
        yield "state", f"cannot be read: {error}"
    yield from ((f"state: {room}", digest.hexdigest()) for room, digest in digests.items())


def snapshot(root: str) -> bytes | None:
    """A whole host, holes left out; None when there is none."""
    if not Path(root, STATE).exists():
        return None
    blob = io.BytesIO()
    with zipfile.ZipFile(blob, "w", zipfile.ZIP_STORED) as archive:
        for path in _files(root):
            with path.open("rb") as file:
                fd = file.fileno()
                archive.writestr(str(path.relative_to(root)), sparse.pack(sparse.pages(fd), os.fstat(fd).st_size))
    return blob.getvalue()


def put_back(blob: bytes, root: str, most: int) -> None:
    """Make a state directory what a snapshot says.

    Args:
        most: bytes that a file of it may need.

    Raises:
        StateError: it is no snapshot.
    """
    import shutil

    shutil.rmtree(root, ignore_errors=True)
    folder(root)
    try:
        with zipfile.ZipFile(io.BytesIO(blob)) as archive:
            for info in archive.infolist():
                target = Path(os.path.normpath(f"{root}/{info.filename}"))
                if not target.is_relative_to(root) or target == Path(root):
                    raise StateError(f"a snapshot with the name {info.filename!r} in it")
                if info.file_size > most:
                    raise StateError(f"a snapshot with {info.file_size} bytes of {info.filename!r} in it")
                folder(target.parent)
                apply(archive.read(info), target, most)
    except zipfile.BadZipFile as error:
        raise StateError(f"a snapshot that cannot be unpacked: {error}") from None


def apply(blob: bytes, target: Path, most: int, *, resize: bool = True) -> None:
    """Write pages into a file, which is made when it is not there. StateError: they are none."""
    size, rows = sparse.unpack(blob, most)
    fd = private(target, os.O_RDWR | os.O_CREAT)
    try:
        if resize:
            os.ftruncate(fd, size)
        for offset, data in rows:
            os.pwrite(fd, data, offset)
    finally:
        os.close(fd)


def _files(root: str) -> Iterator[Path]:
    return (path for path in sorted(Path(root).rglob("*")) if path.is_file() and not path.is_symlink())
