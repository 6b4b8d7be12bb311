"""``save``: a domain in a file, for ``restore`` here or on another host.

The file holds the configuration, Xen's and the device model's state, and the RAM that was ever written. Persistent
memory is not in it: it stays where it is, and a digest of its content tells whether it is the same when the domain
comes back.

Layout: ``MAGIC``; the length of a JSON header (64 bits) and the header; for each run of RAM its guest address and
length (64 bits each) and its bytes; a run of length 0; a digest of all that (BLAKE2b, 32 bytes). Numbers are little
endian.
"""

from __future__ import annotations

import errno
import os
import struct
from contextlib import contextmanager

from xlpy import limits
from xlpy.addr import PAGE, PAGE_SHIFT, Spa
from xlpy.digest import blake2b
from xlpy.errors import ConfigError, Constraint, StateError
from xlpy.hypervisor.domain import PARTS
from xlpy.inputs import open_plain
from xlpy.private import private
from xlpy.records import NamedTuple
from xlpy.toolstack.domain.coredump import files_of
from xlpy.toolstack.domain.record import load
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from xlpy.hypervisor.domain import Domain
    from xlpy.toolstack.domain.lifecycle import Lifecycle

MAGIC = b"xlpy saved domain 1\n"
WORD, RUN = struct.Struct("<Q"), struct.Struct("<QQ")
DIGEST = 32
CHUNK = 1 << 20
KEPT_PARTS = tuple(part for part in PARTS if part not in ("xen.ram", "xen.pmem", "xen.files", "xen.ioreq"))


class Saved(NamedTuple):
    """What a file of a saved domain says, but for its RAM.

    header: ``record`` (libxl's), ``domain`` (Xen's record), ``parts``, ``ram`` (frames ``[start, end)``), ``devices``
    (slot, address, serial of each vNVDIMM), ``slots``, ``digests`` (of their contents), ``features`` of the CPU,
    ``type``.
    at: offset of the first run of RAM.
    """

    path: str
    header: dict[str, Any]
    at: int


def save_domain(life: Lifecycle, domid: int, path: str) -> None:
    """Write a domain that does not run to a file; nothing is left when that fails.

    Raises:
        Constraint: the file cannot be written.
    """
    domain, record = life.xen.domain(domid), load(life.store, domid)
    model = life.device_model(domid)
    devices = model.devices if record.vnvdimms else []
    fields = record._asdict()
    fields["vnvdimms"] = [list(device) for device in record.vnvdimms]
    header = {
        "record": fields,
        "domain": domain.record(),
        "parts": {part: saved for part in KEPT_PARTS if (saved := domain.part(part)) is not None},
        "ram": [[piece.start, piece.end] for piece in domain.p2m.ram],
        "devices": [[device.slot, device.gpa, device.serial] for device in devices],
        "slots": model.slots if devices else 0,
        "digests": [pmem_digest(life, domid, one.extents, one.label) for one in record.vnvdimms],
        "features": list(life.xen.hw.spec.cpu.features),
        "type": life.xenstore.connection(0).read(f"/libxl/{domid}/type"),
    }
    temporary = f"{path}.partial"
    try:
        with open(temporary, "wb", opener=private) as file:
            _write(file, header, domain)
        os.replace(temporary, path)  # noqa: PTH105
    except OSError as error:
        if os.path.exists(temporary):  # noqa: PTH110
            os.unlink(temporary)  # noqa: PTH108
        raise Constraint(f"{path}: {error.strerror}", hint="choose another file") from None


def _write(file: BinaryIO, header: dict[str, Any], domain: Domain) -> None:
    import json

    digest = blake2b(digest_size=DIGEST)

    def put(data: bytes) -> None:
        digest.update(data)
        file.write(data)

    text = json.dumps(header).encode()
    put(MAGIC + WORD.pack(len(text)) + text)
    for gpa, source, offset, length in ram_runs(domain):
        put(RUN.pack(gpa, length))
        for at in range(0, length, CHUNK):
            put(os.pread(source, min(CHUNK, length - at), offset + at))
    put(RUN.pack(0, 0))
    file.write(digest.digest())


def ram_runs(domain: Domain) -> Iterator[tuple[int, int, int, int]]:
    """RAM that was ever written: guest address, descriptor and offset of the bytes, length."""
    for piece in domain.p2m.ram:
        for path, offset, length, skip in files_of(domain, piece, pmem=False):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                for start, size in data_runs(fd, offset, length):
                    yield (piece.start << PAGE_SHIFT) + skip + start - offset, fd, start, size
            finally:
                os.close(fd)


def data_runs(fd: int, offset: int, length: int) -> Iterator[tuple[int, int]]:
    """Offset and length of what is no hole in a stretch of a file."""
    end = offset + length
    while offset < end:
        try:
            offset = os.lseek(fd, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        if offset >= end:
            return
        stop = min(os.lseek(fd, offset, os.SEEK_HOLE), end)
        yield offset, stop - offset
        offset = stop


def pmem_digest(life: Lifecycle, domid: int, extents: list[list[int]], label: str) -> str:
    """A digest of a vNVDIMM: of its pages that are not all zero, and of its label area."""
    digest, zeros, first = blake2b(digest_size=DIGEST), bytes(PAGE), 0
    hw = life.xen.hw
    for spa, length in extents:
        at = spa
        while at < spa + length:
            stop = min(spa + length, hw.region_at(Spa(at)).span.end)
            path, offset = hw.backing(Spa(at))
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                for start, size in data_runs(fd, offset, stop - at):
                    for page in range(start // PAGE * PAGE, start + size, PAGE):
                        content = os.pread(fd, PAGE, page)
                        if content != zeros:
                            digest.update(WORD.pack(first + at - spa + page - offset) + content)
            finally:
                os.close(fd)
            at = stop
        first += length
    if label:
        try:
            with open(f"{life.labels}/{label}", "rb") as file:  # noqa: PTH123
                digest.update(file.read())
        except FileNotFoundError:
            digest.update(b"no labels")
    return digest.hexdigest()


def open_saved(path: str) -> Saved:
    """Read the header of a file, and check that all of it is as it was written.

    Raises:
        ConfigError: it is no file of a saved domain. StateError: it is damaged.
    """
    import json

    try:
        with open_plain(path, ConfigError) as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise ConfigError(f"{path} is no file of a saved domain", hint="xlpy save DOMAIN FILE makes one")
            _check_digest(path, file)
            file.seek(len(MAGIC))
            (length,) = WORD.unpack(_exactly(path, file, WORD.size))
            if length > limits.SAVED_HEADER:
                raise _odd(path)
            header = json.loads(_exactly(path, file, length))
            if not isinstance(header, dict) or not isinstance(header.get("record"), dict):
                raise _odd(path)
            return Saved(path, header, file.tell())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", hint="check the path") from None
    except (ValueError, RecursionError):
        raise _odd(path) from None


def _exactly(path: str, file: BinaryIO, length: int) -> bytes:
    data = file.read(length)
    if len(data) < length:
        raise _odd(path)
    return data


def _odd(path: str) -> StateError:
    return StateError(f"{path} is whole, but not as xlpy save writes it", hint="save the domain again")


@contextmanager
def well_formed(path: str) -> Iterator[None]:
    """What is done with a header: it may be somebody's invention, with anything in the place of anything.

    Raises:
        StateError: something in it is not of the kind that ``save`` writes.
    """
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
        raise _odd(path) from error


def _check_digest(path: str, file: BinaryIO) -> None:
    size = os.fstat(file.fileno()).st_size
    digest, left = blake2b(MAGIC, digest_size=DIGEST), size - len(MAGIC) - DIGEST
    while left > 0 and (data := file.read(min(CHUNK, left))):
        digest.update(data)
        left -= len(data)
    if left or file.read() != digest.digest():
        raise StateError(f"{path} is damaged: it does not end as it was written", hint="save the domain again")


def runs_of(saved: Saved) -> Iterator[tuple[int, bytes]]:
    """The RAM in a file that was checked: guest address and bytes, in pieces of at most 1 MiB."""
    with open(saved.path, "rb") as file:  # noqa: PTH123
        file.seek(saved.at)
        while True:
            gpa, length = RUN.unpack(_exactly(saved.path, file, RUN.size))
            if not length:
                return
            while length:
                data = _exactly(saved.path, file, min(CHUNK, length))
                yield gpa, data
                gpa, length = gpa + len(data), length - len(data)
