"""Pinning Dom0's files and devices for a domain: their blocks do not move until it ends.

A file gets the immutable flag on media, and its record in the state is what ``check`` compares with.
"""

from __future__ import annotations

from xlpy.contexts import suppress
from xlpy.dom0.files.holds import Hold, Holds
from xlpy.dom0.files.pins import Pin, Pins, digest
from xlpy.errors import Conflict, FormatError, NotFound, Unsafe
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.dom0.ext4.inode import Inode
    from xlpy.dom0.files.edits import Edits
    from xlpy.dom0.files.vfs import Vfs
    from xlpy.dom0.kernel import Mount


class Pinning:
    """All holds of the emulated Dom0; writers hold the store's transaction.

    Args:
        vfs: whose files and devices they are.
        edits: what sets the immutable flag.
    """

    def __init__(self, vfs: Vfs, edits: Edits) -> None:
        self._vfs = vfs
        self._edits = edits
        self._pins = Pins(vfs.store)
        self._holds = Holds(vfs.hw.beside("hw", "holds"))
        self._moved: dict[Hold, str] = {}  # what is held or let go in this transaction

    def pin(self, path: str, owner: str) -> None:
        """As ``kernel.Dom0.pin``: a file gets the immutable flag on media. Devices can be held too, unless mounted.

        Raises:
            Conflict: another owner holds it, or a device and something on it would be held; the device is mounted.
        """
        vfs, new = self._vfs, self._as_it_is(path, owner)
        busy = [one for one in vfs.disk_mounts if vfs.device(one.device).window.overlaps(new.window)]
        if busy and not new.inode:
            raise Conflict(
                f"{path} is in use: {busy[0].device} is mounted on {busy[0].mountpoint}",
                code="XLPY-PMEM-MOUNTED",
                hint=f"use a file below {busy[0].mountpoint}, or another device",
            )
        old, free = self._pins.get(new.key), False
        if new.inode:
            mount, _, inode = vfs.file(path)
            free = not inode.immutable and not mount.frozen
            new = new._replace(flagged=old.flagged if old else free)
        self._pins.add(new)
        self._moved[new.window.start, new.inode] = new.key
        if free:
            self._set_immutable(new, True)

    def unpin(self, path: str, owner: str) -> None:
        """As ``kernel.Dom0.unpin``."""
        for pin in self._pins.at(self._vfs.clean(path)):
            if pin.owner == owner:
                self._release(pin)

    def release(self, owner: str | None = None) -> None:
        """Remove all pins of an owner, or of all owners, whatever has happened to the files."""
        for pin in self._pins.all() if owner is None else self._pins.of(owner):
            self._release(pin)

    def _release(self, pin: Pin) -> None:
        self._pins.remove(pin.key)
        self._moved[pin.window.start, pin.inode] = pin.key
        if pin.inode and pin.flagged:
            with suppress(Unsafe, FormatError, NotFound):  # a damaged device must not keep a domain alive
                self._set_immutable(pin, False)

    def check(self, path: str) -> None:
        """As ``kernel.Dom0.check_pinned``. NotFound when the path is not held."""
        pin = next(iter(self._pins.at(self._vfs.clean(path))), None)
        if pin is None:
            raise NotFound(f"{path} is not held by any domain")
        if self._as_it_is(path, pin.owner)._replace(flagged=pin.flagged) != pin:
            raise Unsafe(
                f"{path} is not the file, or does not have the size or the blocks, that {pin.owner} was given",
                code="XLPY-PMEM-MOVED",
                hint="the guest may be writing into blocks of other files: destroy it, then check the file system",
            )

    def refuse_held(self, path: str, mount: Mount, inode: Inode) -> None:
        """Conflict (EPERM) when a file is pinned, by whatever path."""
        major, minor = self._vfs.device(mount.device).number
        pin = self._pins.get(f"{major}:{minor}/{inode.number}")
        if pin is not None:
            raise Conflict(
                f"{path}: Operation not permitted: {pin.owner} holds it, its blocks must stay where they are",
                code="XLPY-PMEM-PINNED",
                hint="end the domain first",
            )

    def _as_it_is(self, path: str, owner: str) -> Pin:
        """A pin on a file or device as it is now."""
        vfs = self._vfs
        clean, stat = vfs.clean(path), vfs.stat(path)
        key = f"{stat.device[0]}:{stat.device[1]}"
        dax = vfs.dax_device(clean)
        if dax is not None:
            return Pin(f"char {key}", owner, clean, dax.data, 0, dax.size, "")
        if stat.kind == "block":
            window = vfs.device(clean).window
            return Pin(key, owner, clean, window, 0, window.size, "")
        mount, _, inode = vfs.file(path)
        extents = digest(vfs.image(mount).fiemap(inode, path))
        window = vfs.device(mount.device).window
        return Pin(f"{key}/{inode.number}", owner, clean, window, inode.number, inode.size, extents)

    def _set_immutable(self, pin: Pin, on: bool) -> None:
        """Set or clear the flag of the inode that is held, whatever its path is by now."""
        vfs = self._vfs
        mount = next(one for one in vfs.disk_mounts if vfs.window(one) == pin.window)
        self._edits.set_immutable(mount, pin.inode, on)

    # --- the copy beside the media ---------------------------------------------------------------------------------

    def recover(self) -> None:
        """After a command was killed: make the copy of the holds right."""
        self._holds.replace((int(pin.window.start), pin.inode) for pin in self._pins.all() if pin.inode and pin.flagged)

    def settle(self) -> None:
        """The transaction is committed: the copy of the holds follows."""
        for hold, key in self._moved.items():
            pin = self._pins.get(key)
            self._holds.set(hold, pin is not None and bool(pin.inode) and pin.flagged)
        self._moved.clear()

    def release_lost(self) -> None:
        """Remove the pins of a lost state: those that their copy lists."""
        vfs = self._vfs
        for start, inode in self._holds.all():
            self._moved[start, inode] = ""  # which no pin has for its key
            for mount in vfs.disk_mounts:
                if vfs.window(mount).start == start and not mount.frozen:
                    with suppress(Unsafe, FormatError, NotFound):
                        if vfs.image(mount).inode(inode).immutable:
                            self._edits.set_immutable(mount, inode, False)
