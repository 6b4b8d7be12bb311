"""Who holds which file or device of Dom0, and how a file looked when the hold began.

A map from file to host memory is only right as long as the file system leaves the blocks where they are. The immutable
flag keeps kernels from moving them; comparing with the record shows when somebody did it anyway.
"""

from __future__ import annotations

from xlpy.addr import Spa, Span
from xlpy.errors import Conflict
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.dom0.extents import Extents
    from xlpy.store import Table


class Pin(NamedTuple):
    """One hold.

    key: ``MAJOR:MINOR`` of a device, or ``MAJOR:MINOR:INODE`` of a file on it. window: host memory of that device.
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
    """All holds, kept in a table; writers hold the store's transaction."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def get(self, key: str) -> Pin | None:
        """The hold on a file or device, or None."""
        record = self._table.get(key)
        return _load(key, record) if record else None

    def all(self) -> list[Pin]:
        """Every hold, by key."""
        return [_load(key, record) for key, record in self._table.items()]

    def users(self, span: Span[Spa]) -> list[str]:
        """Who holds something inside a range of host memory, each owner once, sorted."""
        return sorted({pin.owner for pin in self.all() if pin.window.overlaps(span)})

    def add(self, pin: Pin) -> None:
        """Record a hold; once more by the same owner renews it.

        Raises:
            Conflict: another owner holds it, or a device is wanted of which a part is held, or the other way round.
        """
        for other in self.all():
            same = other.key == pin.key
            whole = not (other.inode and pin.inode) and other.window.overlaps(pin.window)
            if (same and other.owner != pin.owner) or (whole and not same):
                raise Conflict(
                    f"{pin.path} is in use: {other.owner} holds {other.path}",
                    code="XLPY-PMEM-PINNED",
                    hint="a file or device backs one domain at a time: end that domain first",
                )
        window = [pin.window.start, pin.window.size]
        self._table.put(pin.key, [pin.owner, pin.path, window, pin.inode, pin.size, pin.digest, pin.flagged])

    def remove(self, key: str) -> None:
        """Forget a hold; no error when there is none."""
        self._table.delete(key)


def _load(key: str, record: list) -> Pin:  # type: ignore[type-arg]
    owner, path, (start, size), inode, length, extents, *flagged = record
    return Pin(key, owner, path, Span(Spa(start), size), inode, length, extents, flagged != [False])


def digest(extents: Extents) -> str:
    """A short text that changes when a file's extents do."""
    from xlpy.columns import interleave
    from xlpy.digest import blake2b

    return blake2b(interleave(extents.columns), digest_size=16).hexdigest()
