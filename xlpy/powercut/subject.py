"""What a check is run on: an image of one block device, or a domain of its own on a host of its own.

A subject goes from state to state. Several of them do so side by side, on one machine or on many.
"""

from __future__ import annotations

import os
import shutil
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from xlpy.addr import MIB, align_up
from xlpy.errors import Constraint
from xlpy.hw.sparse import copy
from xlpy.powercut.image import Image, copy_sparse
from xlpy.powercut.trace import LABELS, Trace
from xlpy.private import private
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xlpy.powercut.history import Durable
    from xlpy.powercut.trace import Header

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


class Source(NamedTuple):
    """What states are made of. trace: its folder. start, size: the part of its ``base`` that matters, in bytes.

    domain: whether a domain is wanted, with all its vNVDIMMs and their labels; else it is one block device.
    """

    trace: str
    start: int
    size: int
    domain: bool = False


def source_of(trace: Trace, device: str | None, *, domain: bool) -> Source:
    """The source of a check.

    Args:
        device: the block device that ``{image}`` is, None for the first.
    """
    path = str(trace.path.absolute())
    if domain:
        return Source(path, 0, sum(window.size + window.label_size for window in trace.header.windows), domain=True)
    chosen = trace.device(device)
    start = trace.offset(chosen.gpa)
    assert start is not None, "a device lies in a window"
    return Source(path, start, chosen.size)


def place(trace: Trace, source: Source, line: int) -> int | None:
    """Where a line of the model lies in the source; None outside of it."""
    at = trace.offset(line)
    size = 8 if line >= LABELS else 64
    if at is None or not source.start <= at <= source.start + source.size - size:
        return None
    return at - source.start


def cut_to_size(line: int, data: bytes) -> bytes:
    """The bytes of a line that are in memory: of one of a label area, a unit."""
    return data[:8] if line >= LABELS else data


class Subject:
    """An image that is brought from state to state.

    Args:
        source: what it is made of. folder: where its files go; they go away with it.

    Attributes:
        values: what stands for the placeholders of a check, by name. variables: of its environment.
    """

    def __init__(self, source: Source, folder: Path | None) -> None:
        self.trace = Trace(Path(source.trace))
        self.source = source
        self.home = TemporaryDirectory(prefix="state-", dir=folder or source.trace)
        self.folder = Path(self.home.name)
        self.image = Image(self.folder / "image", self.trace.base, source.start, source.size)
        self.values = {"image": str(self.image.path)}
        self.variables: dict[str, str] = {}

    def set(self, durable: Durable, kept: Mapping[int, bytes]) -> None:
        """Make it one state, see ``Image.set``."""
        self.image.set(durable, kept)

    def close(self) -> None:
        """Remove its files."""
        self.home.cleanup()


class DomainSubject(Subject):
    """A host with one domain, which is as the recorded one was, on one crash state after another.

    ``{image}`` is the memory of its vNVDIMMs, one after the other.
    """

    def __init__(self, source: Source, folder: Path | None) -> None:
        super().__init__(source, folder)
        self._fresh, self._root = self.folder / "fresh", self.folder / "host"
        self._stretches = _make_host(self.trace.header, self._fresh)
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


def make_subject(source: Source, folder: Path | None) -> Subject:
    """The subject for a source."""
    return (DomainSubject if source.domain else Subject)(source, folder)


def _make_host(header: Header, root: Path) -> list[tuple[list[tuple[str, int, int]], str]]:
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
            domid, stopped = builder.create(config)
        if stopped is not None:
            raise Constraint(f"{config.name} cannot be made again: {stopped.message}")
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
