"""Changes of a host between two observations: domains, vNVDIMMs, stores, poison, Xen's log with hypercalls."""

from __future__ import annotations

import os
from pathlib import Path
from zlib import crc32

from xlpy.addr import PAGE, format_size
from xlpy.contexts import suppress
from xlpy.host import Host
from xlpy.records import NamedTuple
from xlpy.statedir import STATE
from xlpy.table import BOOTS
from xlpy.toolstack.domain.contents import pages
from xlpy.toolstack.domain.record import load, name_of
from xlpy.typing import TYPE_CHECKING
from xlpy.views.listing import state

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 1 << 30  # bytes of data on media up to which stores are looked for


class WatchedNvdimm(NamedTuple):
    """One vNVDIMM: slot, path, guest address, bytes."""

    slot: int
    path: str
    gpa: int
    size: int


class Seen(NamedTuple):
    """One domain. state: xl's six letters. booted: an emulator runs it."""

    domid: int
    name: str
    state: str
    booted: bool
    devices: tuple[WatchedNvdimm, ...]


class Stored(NamedTuple):
    """Pages that have another content than at the last look: where in the vNVDIMM, and in the guest."""

    domain: str
    path: str
    offset: int
    size: int
    gpa: int


class Look(NamedTuple):
    """What a host is like, and what is new since the last look.

    poison: (start, end) host addresses. log: new lines of Xen's log; ``calls`` of them are hypercalls. came, gone:
    names of domains. blind: stores were not looked for, there is too much data.
    """

    domains: tuple[Seen, ...]
    poison: tuple[tuple[int, int], ...]
    stored: tuple[Stored, ...]
    log: tuple[str, ...]
    calls: int
    came: tuple[str, ...]
    gone: tuple[str, ...]
    blind: bool


class Watch:
    """Looks at a host again and again; other processes change it meanwhile.

    Args:
        root: its state directory.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._host: Host | None = None
        self._stamp: tuple[int, ...] = ()
        self._next = -1
        self._names: dict[int, str] = {}
        self._content: dict[tuple[int, int], dict[int, int]] = {}
        self._media: dict[str, tuple[int, int]] = {}

    def look(self) -> Look:
        """What is, and what is new. Errors as ``Host.open``."""
        host = self._opened()
        domains = tuple(_seen(host, domain.domid) for domain in host.xen.domains())
        names = {one.domid: one.name for one in domains}
        came = tuple(names[domid] for domid in names if domid not in self._names)
        gone = tuple(self._names[domid] for domid in self._names if domid not in names)
        first, self._names = self._next < 0, names
        log = self._log(host)
        stored, blind = self._stores(host, domains)
        calls = sum(line.startswith("(XEN) d") and "(" in line[7:] for line in log)
        poison = tuple((int(span.start), int(span.end)) for span in host.hw.poison)
        return Look(domains, poison, stored, () if first else log, 0 if first else calls, came, gone, blind)

    def close(self) -> None:
        """Let go of the host."""
        if self._host is not None:
            self._host.close()
            self._host = None

    def _opened(self) -> Host:
        """The current host: reopened when its state was changed or replaced."""
        stamp: tuple[int, ...] = ()
        with suppress(FileNotFoundError):
            found = Path(self._root, STATE).stat()
            stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
        if self._host is None or stamp != self._stamp:
            self.close()
            self._host, self._stamp = Host.open(self._root), stamp
        return self._host

    def _log(self, host: Host) -> tuple[str, ...]:
        lines = host.xen.console.numbered()
        new = tuple(line for number, line in lines if number >= self._next)
        self._next = max([self._next, 0, *(number + 1 for number, _ in lines)])
        return new

    def _stores(self, host: Host, domains: tuple[Seen, ...]) -> tuple[tuple[Stored, ...], bool]:
        media = {os.fspath(region.path): _touched(os.fspath(region.path)) for region in host.hw.regions}
        if sum(blocks for _, blocks in media.values()) * 512 > MOST:
            return (), True
        same = media == self._media and not any(one.booted for one in domains)
        self._media = media
        found: list[Stored] = []
        alive = {(one.domid, device.slot) for one in domains for device in one.devices}
        self._content = {key: value for key, value in self._content.items() if key in alive}
        for one in domains:
            extents = {device.slot: device.extents for device in load(host.store, one.domid).vnvdimms}
            for device in one.devices:
                key = (one.domid, device.slot)
                before = self._content.get(key)
                if same and before is not None:
                    continue
                now = {offset: crc32(page) for offset, page in pages(host.hw, extents[device.slot])}
                self._content[key] = now
                if before is not None:
                    found += _changes(one.name, device, before, now)
        return tuple(found), False


def _touched(path: str) -> tuple[int, int]:
    found = Path(path).stat()
    return found.st_mtime_ns, found.st_blocks


def _seen(host: Host, domid: int) -> Seen:
    record = load(host.store, domid)
    devices = tuple(WatchedNvdimm(one.slot, one.path, one.gpa, one.size) for one in record.vnvdimms)
    booted = host.store.table(BOOTS).get(str(domid)) is not None
    return Seen(domid, name_of(host.xenstore, domid) or record.name, state(host.xen.domain(domid)), booted, devices)


def _changes(name: str, device: WatchedNvdimm, before: dict[int, int], now: dict[int, int]) -> Iterator[Stored]:
    """Runs of pages whose content is another one."""
    changed = sorted(at for at in before.keys() | now.keys() if before.get(at) != now.get(at))
    start = end = -1
    for at in changed:
        if at != end:
            if end > start:
                yield Stored(name, device.path, start, end - start, device.gpa + start)
            start = at
        end = at + PAGE
    if end > start:
        yield Stored(name, device.path, start, end - start, device.gpa + start)


def lines(look: Look) -> Iterator[str]:
    """What is new, a line each."""
    by_name = {one.name: one for one in look.domains}
    for name in look.came:
        one = by_name[name]
        yield f"domain {one.domid} ({name}) {one.state}"
        for device in one.devices:
            yield f"  vNVDIMM {device.slot}: {device.path}, {format_size(device.size)} at {device.gpa:#x}"
    yield from (f"domain {name} is gone" for name in look.gone)
    for stored in look.stored:
        place = f"{stored.offset:#x}-{stored.offset + stored.size:#x}"
        yield f"stored: {stored.path} {place} ({stored.domain} {stored.gpa:#x})"
    yield from look.log
