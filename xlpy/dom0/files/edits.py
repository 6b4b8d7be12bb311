"""Edits of Dom0's ext4 file systems: each is committed or undone with the transaction that it is made in.

The file system keeps what an edit replaces, under a name, until the edit is final; the state has that name when the
transaction has been committed. So the next command after a kill knows what to complete and what to undo.
"""

from __future__ import annotations

from xlpy.addr import Spa, Span
from xlpy.errors import Constraint
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.dom0.ext4.edit import Ext4Editor
    from xlpy.dom0.ext4.inplace import InPlace
    from xlpy.dom0.files.vfs import Vfs
    from xlpy.dom0.kernel import Mount


class Edits:
    """What changes file systems.

    Args:
        vfs: where they are mounted; its store's table ``dom0.edits`` has the names of edits that stay.
    """

    def __init__(self, vfs: Vfs) -> None:
        self._vfs = vfs
        self._table = vfs.store.table("dom0.edits")
        self.pending = False  # in this transaction

    def editor(self, mount: Mount) -> Ext4Editor:
        """An editor of the file system on a mount. Constraint: it is an XFS."""
        from xlpy.dom0.ext4.edit import Ext4Editor

        refuse_xfs(mount)
        start, hw = self._vfs.device(mount.device).window.start, self._vfs.hw

        def zero(at: int, length: int) -> None:
            hw.zero(Span(Spa(start + at), length))

        return Ext4Editor(*self._vfs.located(mount), zero=zero, keep=self._keep)

    def set_immutable(self, mount: Mount, inode: int, on: bool) -> None:
        """Set or clear the immutable flag of an inode."""
        from xlpy.dom0.ext4.inplace import InPlace

        image = self._vfs.opened(mount)
        told = image.only_flags_changed if image else None
        InPlace(*self._vfs.located(mount), keep=self._keep).set_immutable(inode, on, told)

    def _keep(self, edit: str) -> None:
        """An edit of a file system is kept when the store has its record, and undone when it has not."""
        if not self.pending:
            for name in self._table.keys():  # noqa: SIM118 - a Table is not a dict
                self._table.delete(name)  # of earlier transactions, and final
        self.pending = True
        self._table.put(edit, True)

    # --- in the end ------------------------------------------------------------------------------------------------

    def take_back(self) -> None:
        """Take back the edits that the store does not have."""
        for fs in self._filesystems():
            fs.take_back(self._stays)

    def recover(self) -> None:
        """After a command was killed: complete or undo its edits, at a cost that depends on them alone."""
        for fs in self._filesystems():
            fs.recover(self._stays)

    def settle(self) -> None:
        """The transaction is committed: its edits are final."""
        if self.pending:
            for fs in self._filesystems():
                for name in fs.journal.pending():
                    fs.journal.forget(name)
        self.pending = False

    def _stays(self, edit: str) -> bool:
        return self._table.get(edit) is not None

    def _filesystems(self) -> Iterator[InPlace]:
        from xlpy.dom0.ext4.inplace import InPlace

        for mount in self._vfs.disk_mounts:
            if not mount.frozen:
                yield InPlace(*self._vfs.located(mount))


def refuse_xfs(mount: Mount) -> None:
    """Refuse to change a file system of a type that is only read here. Constraint: it is an XFS."""
    if mount.fstype == "xfs":
        raise Constraint(
            f"{mount.mountpoint} is an XFS: its files can be used here, and not made, changed or removed",
            code="XLPY-XFS-READ-ONLY",
            hint="list its files in the machine description, or use a file system of type ext4",
        )


def refuse_read_only(path: str, mount: Mount) -> None:
    """Constraint: a path is on a file system that is mounted with ro."""
    if mount.read_only:
        raise Constraint(
            f"{path}: Read-only file system: {mount.mountpoint} is mounted with ro",
            code="XLPY-EXT4-READ-ONLY",
            hint="choose a place on another file system",
        )
