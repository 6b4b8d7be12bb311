"""Damage: a host's files are changed, cut off, lost; commands say so and end in order, and there is a way out."""

from __future__ import annotations

import contextlib
import io
import os
from typing import TYPE_CHECKING

from campaign.figures import CONFIGS, UUID, Done
from campaign.states import copy

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from campaign.figures import Figures

READERS = (
    ("list",),
    ("list", "-l"),
    ("info",),
    ("host", "show"),
    ("pmem", "list"),
    ("pmem", "resolve", "/mnt/pmem0/vm1.img"),
    ("map", "quickstart"),
    ("guest", "probe", "quickstart"),
    ("acpi", "dump", "quickstart"),
    ("acpi", "eval", "quickstart", r"\_SB.NVDR._FIT"),
    ("xenstore", "ls", "-f"),
    ("nvdimm-list", "quickstart"),
    ("dmesg",),
    ("mem", "read", "quickstart", "0x500000000", "64"),
)
CHANGERS = (
    ("pmem", "mkfile", "64K", "/mnt/pmem0/new.img"),
    ("nvdimm-attach", "quickstart", "file=/dev/pmem1"),
    ("rename", "quickstart", "other"),
    ("reboot", "quickstart"),
    ("destroy", "quickstart"),
)


def inside(figures: Figures, root: Path, *words: str) -> Done:
    """Run a command in this process: much faster, and a traceback is seen as well."""
    from xlpy.cli.main import run as main

    os.environ["XLPY_ROOT"] = str(root)
    out, err = (io.TextIOWrapper(io.BytesIO(), errors="surrogateescape", write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), contextlib.chdir(CONFIGS):
        status = main(list(words))
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode(errors="replace"))  # type: ignore[attr-defined]
    done = Done(words, status, *texts)
    figures.note(done)
    return done


def change(rng: random.Random, path: Path) -> str:
    """Change one file; what was done."""
    size = path.stat().st_size
    kind = rng.choice(["bit", "bytes", "zeros", "cut", "gone", "grown"])
    if kind == "gone":
        path.unlink()
        return kind
    if kind in ("cut", "grown"):
        os.truncate(path, rng.randrange(size + 1) if kind == "cut" else size + rng.randrange(1, 9000))
        return kind
    with path.open("r+b") as file:
        for _ in range(rng.choice([1, 1, 3, 20])):
            at = _somewhere(rng, file.fileno(), size)
            if at is None:
                break
            file.seek(at)
            old = file.read(1)
            file.seek(at)
            if kind == "zeros":
                file.write(bytes(64))
            elif kind == "bit" and old:
                file.write(bytes([old[0] ^ 1 << rng.randrange(8)]))
            else:
                file.write(rng.randbytes(rng.randrange(1, 9)))
    os.truncate(path, size)
    return kind


def _somewhere(rng: random.Random, fd: int, size: int) -> int | None:
    """An offset where the file has data, or None."""
    if not size:
        return None
    for start in (rng.randrange(size), 0):
        with contextlib.suppress(OSError):
            at = os.lseek(fd, start, os.SEEK_DATA)
            return at + rng.randrange(min(os.lseek(fd, at, os.SEEK_HOLE) - at, 1 << 16))
    return None


def run(rng: random.Random, folder: Path, figures: Figures) -> None:
    """Damage a host with a domain in one place, use it, and start it anew."""
    spare, root = folder / "spare", folder / "host"
    for words in (("create", "-q", "quickstart.cfg", UUID), ("acpi", "eval", "quickstart", r"\_SB.NVDR.NV00._LSI")):
        figures.xlpy(spare, *words)
    figures.xlpy(spare, "acpi", "eval", "quickstart", r"\_SB.NVDR.NV00._LSW", "0", "4", "str:kept")
    files = [path for path in spare.rglob("*") if path.is_file() and path.suffix != ".lock"]
    names = sorted(str(path.relative_to(spare)) for path in files)
    while figures.time_left:
        copy(spare, root)
        name = rng.choice([*names, "state.db", "hw/media/set0"])
        kind = change(rng, root / name)
        figures.count(kind)
        for words in (*rng.sample(READERS, 4), *rng.sample(CHANGERS, 2)):
            inside(figures, root, *words)
        found = inside(figures, root, "host", "reset", "--keep-media")
        if found.status == 0:
            figures.count("kept their media")
            found = inside(figures, root, "list")
        else:
            found = inside(figures, root, "host", "reset")
        if found.status:
            figures.find(f"{name}: {kind}: no way out: {found.words} ended with {found.status}: {found.err}")
