"""Fresh hosts for tests: one is made for each machine description, kept, and copied for each test as sparse files."""

from __future__ import annotations

import os
from pathlib import Path

from xlpy import __version__
from xlpy.digest import blake2b
from xlpy.functions import cache
from xlpy.host import Host
from xlpy.private import folder, private


def fresh(machine: Path | None, root: Path) -> Host:
    """Open a fresh host.

    Args:
        machine: its description, None for the default one. root: its state directory, which does not exist yet.

    Raises:
        ConfigError, NotFound: the description is invalid, or not there. OSError: no space for the copy.
    """
    copy_tree(os.fspath(made(machine)), os.fspath(root))
    return Host.open(root)


def made(machine: Path | None) -> Path:
    """A host that was made from a description, among those that are kept; workers that make it at once do not meet."""
    from xlpy.making import read

    text, _ = read(machine)
    key = blake2b(f"{__version__}\0{_sources()}\0{text}".encode(), digest_size=10).hexdigest()
    home = _kept()
    found = home / key
    if not found.exists():
        import shutil
        import tempfile

        new = Path(tempfile.mkdtemp(prefix=f"{key}.", dir=home))
        try:
            Host.make(new / "host", machine).store.close()
            (new / "host").rename(found)
        except OSError:
            if not found.exists():  # another worker was not faster: it is a real failure
                raise
        finally:
            shutil.rmtree(new)
    return found


@cache
def _kept() -> Path:
    """The folder of hosts that are kept; one of this process alone where that cannot be written."""
    import tempfile

    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xlpy" / "hosts"
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=home):
            return home
    except OSError as error:
        import atexit
        import shutil
        import warnings

        own = Path(tempfile.mkdtemp(prefix="xlpy-hosts-"))
        atexit.register(shutil.rmtree, own, ignore_errors=True)
        warnings.warn(f"hosts cannot be kept in {home}: {error.strerror}; each process makes its own", stacklevel=1)
        return own


@cache
def _sources() -> int:
    """When the package was changed last: a host of older sources is not a fresh one of these."""
    newest, todo = 0, [os.path.dirname(__file__)]  # noqa: PTH120 - a walk of 600 files is quicker without pathlib
    while todo:
        with os.scandir(todo.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    todo.append(entry.path)
                elif entry.name.endswith(".py"):
                    newest = max(newest, entry.stat().st_mtime_ns)
    return newest


def copy_tree(source: str, target: str) -> None:
    """Copy a host whose holes stay holes."""
    from xlpy.hw.sparse import copy

    folder(target)
    with os.scandir(source) as entries:
        for entry in entries:
            where = f"{target}/{entry.name}"
            if entry.is_dir():
                copy_tree(entry.path, where)
                continue
            with open(entry.path, "rb", 0) as read, open(where, "wb", 0, opener=private) as write:  # noqa: PTH123
                size = entry.stat().st_size
                write.truncate(size)
                copy(read.fileno(), 0, size, write.fileno())
