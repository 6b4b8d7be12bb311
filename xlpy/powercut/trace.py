"""A trace on disk: a folder with what was recorded, and with the memory as it was before.

``header.json``: what was recorded, see ``TraceHeader``. ``events.gz``: events, gzip over the encoding of ``events``.
``base``: the vNVDIMMs before the first event, one after the other, then their label areas, as a sparse file.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from weakref import finalize

from xlpy.addr import LINE
from xlpy.errors import Constraint, FormatError, NotFound
from xlpy.hw.persistency import UNIT
from xlpy.inputs import read_file, require_folder
from xlpy.limits import TRACE_HEADER
from xlpy.powercut.events import decode
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from xlpy.powercut.events import TraceEvent

VERSION = 1
LABELS = 1 << 52  # above all guest addresses: the model's lines for label areas
AREA = 1 << 36  # of one vNVDIMM
CHUNK = 1 << 16


class Window(NamedTuple):
    """A vNVDIMM: ``size`` bytes from ``gpa`` on, whose bytes are those of ``base`` from ``offset`` on.

    path: its backing. extents: [host address, length] pairs in guest order. handle: by which
    `_DSM` knows it; serial: its number in the NFIT. label_size: bytes of its label area, which is
    that of ``base`` from ``labels`` on. options: as a configuration has them, but for ``file``.
    """

    name: str
    gpa: int
    size: int
    offset: int
    path: str
    extents: list[list[int]]
    handle: int = 0
    serial: int = 0
    label_size: int = 0
    labels: int = 0
    options: str = ""


def label_line(window: int, offset: int) -> int:
    """The model's line for 8 bytes of a label area: a line for each, because a write that is cut short may leave any.

    Args:
        window: number of the vNVDIMM, from 0. offset: in its label area.
    """
    return LABELS + window * AREA + offset // UNIT * LINE


def label_unit(line: int) -> tuple[int, int] | None:
    """(number of the vNVDIMM, offset in its label area) of such a line; None: a guest address."""
    if line < LABELS:
        return None
    window, at = divmod(line - LABELS, AREA)
    return window, at // LINE * UNIT


class TracedDevice(NamedTuple):
    """A block device that the guest makes of a namespace: ``size`` bytes from ``gpa`` on."""

    dev: str
    mode: str
    gpa: int
    size: int


class TraceHeader(NamedTuple):
    """What was recorded.

    domain: its name. windows: its vNVDIMMs. devices: as found after the run. caches_survive: eADR. complete: the guest
    ended by itself, and all events are there. persistence, cpu_features: of the machine; machine: its ``ram`` in
    bytes, ``cpus`` and ``physical_bits``. config, extra: of the domain;
    kernel, initrd, append: what it was booted with.
    """

    domain: str
    windows: list[Window]
    devices: list[TracedDevice]
    caches_survive: bool = False
    complete: bool = False
    persistence: str = "memory_controller"
    cpu_features: list[str] = []  # noqa: RUF012 - never changed in place
    machine: dict[str, int] = {}  # noqa: RUF012
    config: str = ""
    extra: list[str] = []  # noqa: RUF012
    kernel: str = ""
    initrd: str = ""
    append: str = ""


class Trace:
    """A recorded run.

    Attributes:
        path, header. While events are read: ``read`` is the part that was read so far, 0 to 1; ``problem`` says why
        they end early.

    Raises:
        NotFound: there is no trace. FormatError: it is of another version, or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem: str | None = None
        self.read = 0.0
        self._base: int | None = None  # descriptor: a line is read from it for each that is stored to
        require_folder(path)
        try:
            self.header = _header(json.loads(read_file(path / "header.json", TRACE_HEADER, nonempty=True)))
        except NotFound:
            raise NotFound(f"{path} holds no trace", hint="xlpy boot DOMAIN --record DIR ... records one") from None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise FormatError(f"{path}/header.json: {error}", hint="record it again") from error

    @property
    def base(self) -> Path:
        """The file that holds the memory before the run."""
        return self.path / "base"

    def events(self) -> Iterator[TraceEvent]:
        """The events in order. What is cut short or damaged ends them early; ``problem`` then says so."""
        self.problem = None
        try:
            yield from decode(self._chunks())
        except FormatError as error:
            self.problem = self.problem or error.message

    def _chunks(self) -> Iterator[bytes]:
        try:
            with (self.path / "events.gz").open("rb") as raw, gzip.open(raw) as file:
                size = os.fstat(raw.fileno()).st_size
                if not size:
                    self.problem = "events.gz is empty"
                while chunk := file.read1(CHUNK):
                    self.read = raw.tell() / size
                    yield chunk
        except FileNotFoundError:
            self.problem = "events.gz is missing"
        except (EOFError, OSError, zlib.error) as error:
            self.problem = f"events.gz: {error}"

    def window_of(self, gpa: int) -> Window | None:
        """The vNVDIMM at a guest address."""
        return next((one for one in self.header.windows if one.gpa <= gpa < one.gpa + one.size), None)

    def offset(self, gpa: int) -> int | None:
        """Where the byte at a guest address, or a line of a label area, lies in ``base``; None: nowhere."""
        if (unit := label_unit(gpa)) is not None:
            return self.header.windows[unit[0]].labels + unit[1]
        window = self.window_of(gpa)
        return None if window is None else window.offset + gpa - window.gpa

    def before(self, gpa: int, length: int) -> bytes:
        """What was there before the run; zeros where nothing is."""
        at = self.offset(gpa)
        if at is None:
            return bytes(length)
        if self._base is None:
            self._base = os.open(self.base, os.O_RDONLY | os.O_CLOEXEC)
            finalize(self, os.close, self._base)
        return os.pread(self._base, UNIT if gpa >= LABELS else length, at).ljust(length, b"\0")

    def device(self, name: str | None) -> TracedDevice:
        """A block device by its name, with or without ``/dev/``, or a whole vNVDIMM; None is the first block device.

        Raises:
            NotFound: there is none. Constraint: its content is not in one piece.
        """
        wanted = name and name.removeprefix("/dev/")
        whole = [TracedDevice(one.name, "vnvdimm", one.gpa, one.size) for one in self.header.windows]
        for one in [*self.header.devices, *whole]:
            if wanted in (None, one.dev) and one.mode != "sector":
                return one
            if wanted == one.dev:
                window = self.window_of(one.gpa)
                raise Constraint(
                    f"{one.dev} has a BTT: its sectors lie anywhere in the namespace",
                    hint=f"--device {window.name if window else ''} is all of its vNVDIMM",
                )
        known = ", ".join(one.dev for one in [*self.header.devices, *whole]) or "none"
        raise NotFound(f"the trace has no block device {name or ''}".rstrip(), hint=f"it has {known}")

    def place(self, gpa: int) -> str:
        """A guest address as people look for it: backing and offset, device and offset; or a place among labels."""
        if (label := label_unit(gpa)) is not None:
            return f"labels of {self.header.windows[label[0]].name}+{label[1]:#x}"
        window = self.window_of(gpa)
        if window is None:
            return f"{gpa:#x}"
        text = f"{window.path}+{gpa - window.gpa:#x}"
        for one in self.header.devices:
            if one.gpa <= gpa < one.gpa + one.size:
                return f"{text} ({one.dev}+{gpa - one.gpa:#x})"
        return text


def write_header(path: Path, header: TraceHeader) -> None:
    """Write or replace the header of a trace at once."""
    fields = header._asdict()
    fields["windows"] = [one._asdict() for one in header.windows]
    fields["devices"] = [one._asdict() for one in header.devices]
    fresh = path / "header.json.new"
    fresh.write_text(json.dumps({"version": VERSION, **fields}, indent=1), encoding="utf-8")
    fresh.replace(path / "header.json")


def _header(values: dict[str, Any]) -> TraceHeader:
    version = values.pop("version")
    if version != VERSION:
        raise ValueError(f"version {version}, {VERSION} is required")
    windows = [Window(**one) for one in values.pop("windows")]
    devices = [TracedDevice(**one) for one in values.pop("devices")]
    return TraceHeader(windows=windows, devices=devices, **values)
