"""Address range scrub and clear error: root functions 1 to 4 of the NVDIMM ``_DSM``, and 5, translate SPA.

What is bad is what the media have on their poison list, shown where the guest has that memory. A scrub takes no time:
starting one notes the range, and its result is what the list holds when it is asked for. Statuses: the low 16 bits are
the status, the high 16 the extended one.
"""

from __future__ import annotations

from _struct import Struct

from xlpy.addr import LIMIT, LINE, Gpa, Span
from xlpy.devicemodel.mailbox import DATA_SIZE
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from xlpy.addr import Spa
    from xlpy.devicemodel.backing import Vnvdimm
    from xlpy.hypervisor.xen import Xen

OK, NOT_SUPPORTED, INVALID = 0, 1, 2
# Extended statuses
SUPPORTS_PERSISTENT = 2 << 16  # of capabilities
NO_RESULT, STOPPED_EARLY = 2 << 16, 3 << 16  # of a query

PERSISTENT = 2  # type of memory to scrub
MORE_RECORDS = 1  # flag of a result

_CAPABILITIES = Struct("<IIIHH")
_STARTED = Struct("<II")
_RESULT = Struct("<IIQQQQHHI")  # the second field is the size of everything, status included, as Linux takes it
_RECORD = Struct("<IIQQ")
_CLEARED = Struct("<IIQ")
_TRANSLATED = Struct("<IB3xQI")
_DEVICE = Struct("<IIQ")

RECORDS = (DATA_SIZE - _RESULT.size) // _RECORD.size
MAX_OUTPUT = _RESULT.size + RECORDS * _RECORD.size


class HostMedia:
    """The host's poison list, as far as one domain's memory goes.

    Args:
        xen: the hypervisor.
        domid: the domain.
    """

    def __init__(self, xen: Xen, domid: int) -> None:
        self._xen = xen
        self._domid = domid

    def poisoned(self, span: Span[Spa]) -> list[Span[Spa]]:
        """What is bad inside ``span``, by now: other commands change it while a guest runs."""
        self._xen.hw.poison.reread()
        return self._xen.hw.poison.overlapping(span)

    def clear_poison(self, host: Span[Spa], guest: Span[Gpa]) -> None:
        """Zero the lines, then have Xen take their mark away."""
        self._xen.hw.zero(host)
        self._xen.hypercalls(0).memory_pmem_clear_error(self._domid, guest)


class Scan(NamedTuple):
    """A scrub that was started: guest-physical range and type of memory."""

    start: int
    length: int
    type: int


class Ars:
    """Scrub and error functions for one guest.

    Args:
        media: the host's poison list.
        devices: the vNVDIMMs; no other memory is looked at or touched.
        scan: the scrub that was started last.
        started: called when a scrub is started.
    """

    def __init__(
        self, media: HostMedia, devices: Sequence[Vnvdimm], scan: Scan | None, started: Callable[[Scan], None]
    ) -> None:
        self._media = media
        self._devices = devices
        self._scan = scan
        self._started = started

    def capabilities(self, start: int, length: int) -> bytes:
        """Function 1: only persistent memory can be scrubbed, and all of ours."""
        if self._owner(start, length) is None:
            return _CAPABILITIES.pack(INVALID, 0, 0, 0, 0)
        return _CAPABILITIES.pack(SUPPORTS_PERSISTENT, MAX_OUTPUT, LINE, 0, 0)

    def start(self, start: int, length: int, kind: int) -> bytes:
        """Function 2; the estimated time is 0 seconds."""
        if self._owner(start, length) is None or kind != PERSISTENT:
            return _STARTED.pack(INVALID, 0)
        self._started(Scan(start, length, kind))
        return _STARTED.pack(OK, 0)

    def status(self) -> bytes:
        """Function 3: the bad ranges, and from where to go on when there are more than fit."""
        if self._scan is None:
            return _RESULT.pack(NO_RESULT, _RESULT.size, 0, 0, 0, 0, 0, 0, 0)
        start, length, kind = self._scan
        owner = self._owner(start, length)
        bad = [] if owner is None else self._bad(owner, Span(Gpa(start), length))
        shown, more = bad[:RECORDS], len(bad) > RECORDS
        end = start + length
        stop = shown[-1].end if more else end
        restart = (stop, end - stop) if more else (0, 0)
        size = _RESULT.size + len(shown) * _RECORD.size
        head = _RESULT.pack(
            STOPPED_EARLY if more else OK, size, start, stop - start, *restart, kind, MORE_RECORDS * more, len(shown)
        )
        handle = owner.handle if owner else 0
        return head + b"".join(_RECORD.pack(handle, 0, span.start, span.size) for span in shown)

    def clear(self, start: int, length: int) -> bytes:
        """Function 4: bad lines of the range become good ones, with content lost; good ones are not touched."""
        owner = self._owner(start, length)
        if owner is None or start % LINE or length % LINE:
            return _CLEARED.pack(INVALID, 0, 0)
        for host in owner.host_spans(Span(Gpa(start), length)):
            for bad in list(self._media.poisoned(host)):
                part = bad.intersect(host)
                if part is not None:
                    self._media.clear_poison(part, owner.guest_spans([part])[0])
        return _CLEARED.pack(OK, 0, length)

    def _bad(self, device: Vnvdimm, span: Span[Gpa]) -> list[Span[Gpa]]:
        host = device.host_spans(span)
        hull = Span.between(min(piece.start for piece in host), max(piece.end for piece in host))
        pieces = (bad.intersect(hull) for bad in self._media.poisoned(hull))
        seen = device.guest_spans(piece for piece in pieces if piece is not None)
        return [part for part in (bad.intersect(span) for bad in seen) if part is not None]

    def _owner(self, start: int, length: int) -> Vnvdimm | None:
        return owner(self._devices, start, length)


def owner(devices: Iterable[Vnvdimm], start: int, length: int) -> Vnvdimm | None:
    """The vNVDIMM that has all of ``[start, start + length)``; None also for an empty range and one that wraps."""
    if not length or start + length > LIMIT:
        return None
    span = Span(Gpa(start), length)
    return next((device for device in devices if device.span.covers(span)), None)


def translate(devices: Iterable[Vnvdimm], start: int) -> bytes:
    """Function 5: the device and its address behind a guest-physical address, and for how many bytes that goes on."""
    device = owner(devices, start, 1)
    if device is None:
        return _TRANSLATED.pack(INVALID, 0, 0, 0)
    dpa = device.dpa(Gpa(start))
    return _TRANSLATED.pack(OK, 0, device.backing.size - dpa, 1) + _DEVICE.pack(device.handle, 0, dpa)
