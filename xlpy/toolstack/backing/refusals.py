"""Why a backing with valid addresses still cannot be given to a guest: in use, read-only, cached, unknown to Xen."""

from __future__ import annotations

import errno

from xlpy.errors import Conflict, HypercallError, Unsafe
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.addr import Spa, Span
    from xlpy.dom0.emulated import EmulatedDom0
    from xlpy.dom0.kernel import FileState, Mount
    from xlpy.hypervisor.xen import Xen


def refuse_used(path: str, users: Sequence[str], hint: str = "end that use, or choose another backing") -> None:
    """Conflict when something in Dom0 uses a backing.

    Args:
        path: of the backing.
        users: phrases that follow "it is", as ``kernel.Dom0.device_users`` has them.
        hint: what to do.
    """
    if users:
        raise Conflict(
            f"{path} is in use in Dom0: it is {users[0]}",
            code="XLPY-PMEM-IN-USE",
            details=[f"it is {user}" for user in users[1:]],
            hint=hint,
        )


def read_only_backing(path: str, what: str, remedy: str) -> Unsafe:
    """The refusal of what is read-only in Dom0, for a guest that may write.

    Args:
        path: of the backing. what: says what is read-only. remedy: makes it writable.
    """
    return Unsafe(
        f"{path}: {what}, and a guest's stores would change it all the same",
        code="XLPY-PMEM-READ-ONLY",
        hint=f"write mode=ro in the vnvdimm entry, so that the guest can only read, or: {remedy}",
    )


# why the kernel keeps a file in the page cache although its mount has DAX: code, reason, what to do
_CACHED = {
    "verity": (
        "VERITY",
        "is sealed by fs-verity: the kernel reads it through the page cache, and a store would break its seal",
        "copy the content into a new file",
    ),
    "encrypted": (
        "ENCODED",
        "is encrypted: the bytes on the media are not the bytes of the file",
        "copy the content into a file outside the encrypted directory",
    ),
    "journal": (
        "JOURNAL",
        "is written through the journal (chattr +j): its newest bytes are in the page cache and the journal, not in "
        "its blocks",
        "copy the content into a new file in a directory without that attribute",
    ),
}


def refuse_page_cache(path: str, mount: Mount, state: FileState) -> None:
    """Unsafe for a file whose pages are not its blocks on media.

    DAX is a property of the file: a mount may give it to files that ask for it, or deny it to some.
    """
    if state.dax:
        return
    if state.why:
        code, reason, remedy = _CACHED[state.why]
        raise Unsafe(f"{path} {reason}", code=f"XLPY-PMEM-{code}", hint=remedy)
    if state.dax is None:
        raise Unsafe(
            f"{path}: the kernel does not tell (statx) whether the file is accessed with DAX",
            code="XLPY-PMEM-DAX-UNKNOWN",
            hint="Linux tells from 5.11 on, on ext4 and XFS",
        )
    if any(option in ("dax", "dax=always") for option in mount.options):
        raise Unsafe(
            f"{path}: the kernel keeps it in the page cache although {mount.mountpoint} is mounted with DAX",
            code="XLPY-PMEM-NOT-DAX",
            hint="close the file everywhere, and look at lsattr and dmesg; or copy it into a new file",
        )
    raise Unsafe(
        f"{path}: {mount.mountpoint} is mounted without DAX, so its pages live in the page cache",
        code="XLPY-PMEM-NOT-DAX",
        hint=f"umount {mount.mountpoint}; mount -o dax {mount.device} {mount.mountpoint} (in fsdax mode only); or make "
        "the file in a directory with chattr +x",
    )


def refuse_unregistered(xen: Xen, dom0: EmulatedDom0, path: str, device: str, first: Span[Spa]) -> None:
    """HypercallError: Xen does not know the device of a backing, of which ``first`` is the first piece."""
    if xen.registered(first):
        return
    known = [one for one in dom0.list_namespaces() if device in (one.get("blockdev"), one.get("chardev"))]
    reason = known[0].get("reason", "it was not reported") if known else "it was not reported"
    raise HypercallError(
        f"{path}: Xen does not know {device}: {reason}",
        errno.ENXIO,
        code="XLPY-PMEM-UNREGISTERED",
        hint="xlpy pmem list shows what Xen knows; ndctl create-namespace --reserve xen makes room for it",
    )
