"""Which domain pins which file or device of Dom0, and the file's layout when the pin was made.

A map from file to host memory is only right as long as the file system leaves the blocks where they are. The immutable
flag keeps kernels from moving them; comparing with the record shows when they were moved anyway.
"""

from __future__ import annotations

from xlpy.addr import Spa, Span
from xlpy.errors import Conflict
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.dom0.extents import Extents
    from xlpy.store import Store
    from xlpy.table import Table


class Pin(NamedTuple):
    """One hold.

    key: ``MAJOR:MINOR`` of a device, or ``MAJOR:MINOR/INODE`` of a file on it. window: host memory of that device.
    inode, size, digest: of the file when the hold began; 0, the device's size and ``""`` for a device.
    flagged: the immutable flag was set for this hold; a file that had it before keeps it afterwards.
    """

    key: str
    owner: str
    path: str
    window: Span[Spa]
    inode: int
    size: int
    digest: str
    flagged: bool = False


class Pins:
    """All holds; writers hold the store's transaction.

    They are found by key, by owner and by path without looking at the others.

    Args:
        store: the host's state; tables ``dom0.pins``, ``dom0.pins.owners`` and ``dom0.pins.paths``.
    """

    def __init__(self, store: Store) -> None:
        self._table = store.table("dom0.pins")
        self._owners = store.table("dom0.pins.owners")
        self._paths = store.table("dom0.pins.paths")

    def get(self, key: str) -> Pin | None:
        """The hold on a file or device, or None."""
        record = self._table.get(key)
        return _load(key, record) if record else None

    def all(self) -> list[Pin]:
        """Every hold, by key."""
        return [_load(key, record) for key, record in self._table.items()]

    def of(self, owner: str) -> list[Pin]:
        """Every hold of an owner, by key."""
        return self._found(self._owners, owner)

    def at(self, path: str) -> list[Pin]:
        """Every hold that began under a path, by key."""
        return self._found(self._paths, path)

    def holder(self, path: str) -> str | None:
        """Who holds a path, or None."""
        return next((pin.owner for pin in self.at(path)), None)

    def _found(self, table: Table, name: str) -> list[Pin]:
        start = f"{name}//"  # which no path has inside
        pins = (self.get(key[len(start) :]) for key in table.keys(start))
        return [pin for pin in pins if pin is not None]

    def users(self, span: Span[Spa]) -> list[str]:
        """Who holds something inside a range of host memory, each owner once, sorted."""
        return sorted({pin.owner for pin in self.all() if pin.window.overlaps(span)})

    def add(self, pin: Pin) -> None:
        """Record a hold; once more by the same owner renews it.

        Raises:
            Conflict: another owner holds it, or a device is wanted of which a part is held, or the other way round.
        """
        same = self.get(pin.key)
        if same is not None and same.owner != pin.owner:
            raise _conflict(pin, same)
        for other in self._devices() if pin.inode else [*self._devices(), *self._samples()]:
            if other.key != pin.key and other.window.overlaps(pin.window):
                raise _conflict(pin, other)
        if same is not None:
            self.remove(same.key)
        window = [pin.window.start, pin.window.size]
        self._table.put(pin.key, [pin.owner, pin.path, window, pin.inode, pin.size, pin.digest, pin.flagged])
        self._owners.put(f"{pin.owner}//{pin.key}", 1)
        self._paths.put(f"{pin.path}//{pin.key}", 1)

    def _devices(self) -> list[Pin]:
        """The holds on whole devices."""
        names = self._table.branches("")
        return [pin for name in names if (pin := self.get(name)) is not None]

    def _samples(self) -> Iterator[Pin]:
        """A hold on a file of each device that has any: its window is that of all of them."""
        for name in self._table.branches(""):
            key = self._table.first(f"{name}/")
            pin = None if key is None else self.get(key)
            if pin is not None:
                yield pin

    def remove(self, key: str) -> None:
        """Forget a hold; no error when there is none."""
        pin = self.get(key)
        if pin is not None:
            self._table.delete(key)
            self._owners.delete(f"{pin.owner}//{key}")
            self._paths.delete(f"{pin.path}//{key}")


def _conflict(pin: Pin, other: Pin) -> Conflict:
    return Conflict(
        f"{pin.path} is in use: {other.owner} holds {other.path}",
        code="XLPY-PMEM-PINNED",
        hint="a file or device backs one domain at a time: end that domain first",
    )


def _load(key: str, record: list) -> Pin:  # type: ignore[type-arg]
    owner, path, (start, size), inode, length, extents, *flagged = record
    return Pin(key, owner, path, Span(Spa(start), size), inode, length, extents, flagged != [False])


def digest(extents: Extents) -> str:
    """A short text that changes when a file's extents do."""
    from xlpy.columns import interleave
    from xlpy.digest import blake2b

    return blake2b(b"".join(interleave(part.columns) for part in extents.parts), digest_size=16).hexdigest()
