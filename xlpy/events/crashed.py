"""A domain on the states that a power failure may leave: like the recorded one, on its own host, one state at a time.

Checks of ``xlpy trace cut`` that name ``{domain}`` are run on it, and guests that recover are booted on it.
"""

from __future__ import annotations

import os
import shutil
from contextlib import closing

from xlpy.addr import MIB, align_up
from xlpy.errors import Constraint, FirmwareStopped
from xlpy.hw.sparse import copy
from xlpy.powercut.image import copy_sparse
from xlpy.powercut.subject import Subject
from xlpy.private import private
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from xlpy.powercut.history import Durable
    from xlpy.powercut.subject import StateSource
    from xlpy.powercut.trace import TraceHeader

MACHINE = """\
name: crash
ram: {ram}
cpu: {{count: {cpus}, physical_bits: {physical_bits}, features: {features}}}
persistence: {persistence}
dimms: [{{id: dimm0, capacity: {capacity}}}]
sets: [{{name: set0, dimms: [dimm0]}}]
namespaces:
  - region: set0
    mode: fsdax
    map: dev
    reserve: true
    filesystem: {{type: ext4, mount: /mnt/pmem0, files: [{files}]}}
"""


class DomainSubject(Subject):
    """A host with one domain, which is as the recorded one was, on one crash state after another.

    ``{image}`` is the memory of its vNVDIMMs, one after the other.
    """

    def __init__(self, source: StateSource, folder: Path | None) -> None:
        super().__init__(source, folder)
        self._fresh, self._root = self.folder / "fresh", self.folder / "host"
        self._stretches = _make_host(self.trace.header, self._root)
        self._root.rename(self._fresh)  # copies of it go where it was made: its state names its label files by path
        self.values["domain"] = self.trace.header.domain
        self.variables["XLPY_ROOT"] = str(self._root)

    def set(self, durable: Durable, kept: Mapping[int, bytes]) -> None:
        """The host is made anew for each state: whatever a guest did to it is gone."""
        super().set(durable, kept)
        shutil.rmtree(self._root, ignore_errors=True)
        _copy_tree(self._fresh, self._root)
        with self.image.path.open("rb") as image:
            for window, (pieces, label) in zip(self.trace.header.windows, self._stretches, strict=True):
                at = window.offset
                for file, offset, length in pieces:
                    with (self._root / file).open("r+b") as media:
                        copy(image.fileno(), at, length, media.fileno(), offset)
                    at += length
                if window.label_size and label:
                    copy_sparse(self.image.path, window.labels, window.label_size, self._root / label)


def _make_host(header: TraceHeader, root: Path) -> list[tuple[list[tuple[str, int, int]], str]]:
    """A host with the domain on empty persistent memory.

    Returns:
        for each vNVDIMM the (file below the root, offset, length) of its parts, and the file of its label area.

    Raises:
        Constraint: the domain cannot be had again as it was.
    """
    from xlpy.host import Host
    from xlpy.toolstack.config.domain_config import load_config

    if not header.config:
        raise Constraint("the trace does not hold the domain's configuration", hint="record it again")
    size = sum(align_up(window.size, MIB) for window in header.windows)
    files = ", ".join(
        f"{{path: vnvdimm{at}.img, size: {window.size}, state: written}}" for at, window in enumerate(header.windows)
    )
    machine = MACHINE.format(
        ram=header.machine.get("ram", 16 << 30),
        cpus=header.machine.get("cpus", 4),
        physical_bits=header.machine.get("physical_bits", 46),
        features=f"[{', '.join(header.cpu_features)}]",
        persistence=header.persistence,
        capacity=align_up(size + size // 16 + 256 * MIB, 128 * MIB),
        files=files,
    )
    described = root.with_name("machine.yaml")
    described.write_text(machine, encoding="utf-8")
    host = Host.make(root, described)
    with closing(host.store):
        words = [
            f"'file=/mnt/pmem0/vnvdimm{at}.img{',' if window.options else ''}{window.options}'"
            for at, window in enumerate(header.windows)
        ]
        config = load_config(header.config, header.domain, [*header.extra, f"vnvdimm=[{', '.join(words)}]"])
        places = [(window.handle - 1, window.gpa, window.serial) for window in header.windows]
        with host.change(f"creating {config.name}"):
            builder: Any = host.lifecycle.builder()
            builder.places = places
            try:
                domid = builder.create(config)
            except FirmwareStopped as stopped:
                raise Constraint(f"{config.name} cannot be made again: {stopped.message}") from stopped
        return [
            (_pieces(host, one.extents, root), f"labels/{one.label}" if one.label else "")
            for one in host.domain(domid).record.vnvdimms
        ]


def _pieces(host: Any, extents: Sequence[Sequence[int]], root: Path) -> list[tuple[str, int, int]]:  # noqa: ANN401
    found = []
    for spa, length in extents:
        path, offset = host.hw.backing(spa)
        found.append((os.path.relpath(path, root), offset, length))
    return found


def _copy_tree(source: Path, target: Path) -> None:
    """A copy of a folder whose files keep their holes."""
    target.mkdir(mode=0o700)
    for path in source.iterdir():
        made = target / path.name
        if path.is_dir():
            _copy_tree(path, made)
        elif path.is_file():
            with path.open("rb") as read, open(made, "xb", opener=private) as write:
                write.truncate(path.stat().st_size)
                copy(read.fileno(), 0, path.stat().st_size, write.fileno())
