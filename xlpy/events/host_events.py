"""Operations in Dom0 on a file that a guest has mapped: what the kernel allows, and what would be lost otherwise.

A file that a domain has is immutable until the domain ends, so Linux refuses everything that moves or frees its blocks
(ext4, Linux 6.1). Without that pin the guest's mapping would stay where it is, and the blocks would become somebody
else's: which guest pages those are is what ``cost`` tells.
"""

from __future__ import annotations

from xlpy.addr import PAGE, align_down, align_up
from xlpy.contexts import suppress
from xlpy.errors import Conflict, Constraint, NotFound
from xlpy.records import NamedTuple
from xlpy.toolstack.domain.record import load
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.host import Host

EVENTS = ("truncate", "punch", "defrag", "reflink", "unlink", "remount")


class HostEvent(NamedTuple):
    """What is to happen. size: for truncate. offset, length: for punch, None for the rest of the file."""

    kind: str
    path: str
    size: int = 0
    offset: int = 0
    length: int | None = None


class Cost(NamedTuple):
    """Pages of a guest: where they are there, in the file, and in host memory; now: whose they would be."""

    domid: int
    gpa: int
    offset: int
    spa: int
    length: int
    now: str


def carry_out(host: Host, event: HostEvent, dry_run: bool = False) -> str:
    """Do what Dom0's kernel allows, inside of ``Host.change``; what was done, in words.

    Raises:
        NotFound: no such file. Conflict: a domain has it (EPERM), or another file on the mount (EBUSY).
        Constraint: the file system cannot do it, or not with DAX (EOPNOTSUPP, EINVAL).
    """
    from xlpy.dom0.files.edits import refuse_xfs

    dom0, path = host.dom0, event.path
    if event.kind == "remount":
        return _remount(host, path, dry_run)
    mount, _, inode = dom0.file(path)
    owner = dom0.holder(dom0.clean(path))
    if owner is not None:
        raise Conflict(
            f"{path}: Operation not permitted: {owner} has it mapped, so it is immutable until that ends",
            code="XLPY-PMEM-PINNED",
            hint="--force tells what it would have cost",
        )
    refuse_xfs(mount)
    if event.kind == "defrag":
        raise Constraint(f"{path}: Operation not supported: ext4 does not move blocks of DAX files")
    if event.kind == "reflink":
        raise Constraint(f"{path}: Operation not supported: ext4 has no shared extents")
    if event.kind == "punch":
        if event.length == 0:
            raise Constraint(f"{path}: Invalid argument: the length of a hole is at least 1", hint="--length 4K")
        start, length = _whole_blocks(event, inode.size)
        if not dry_run and length:
            dom0.punch(path, start, length)
        return f"a hole of {length} bytes at {start:#x}"
    if event.kind == "truncate":
        if not dry_run:
            dom0.truncate(path, event.size)
        return f"{inode.size} bytes before, {event.size} now"
    if not dry_run:
        dom0.unlink(path)
    return "removed"


def _remount(host: Host, path: str, dry_run: bool) -> str:
    """mount -o remount,dax=never on the file system of a file, or of a mount point."""
    dom0 = host.dom0
    dom0.stat(path)
    mount = dom0.mount_of(path)
    if mount not in dom0.disk_mounts:
        dom0.file(path)  # says so
    window = dom0.device(mount.device).window
    users = [user for user in dom0.users_of(window) if not user.startswith("mount ")]
    if users:
        raise Conflict(
            f"{mount.mountpoint}: refusing change of dax flag with busy inodes while remounting: {', '.join(users)}",
            code="XLPY-PMEM-PINNED",
            hint="--force tells what it would have cost",
        )
    if "dax=always" not in mount.options:
        return f"{mount.mountpoint} has no DAX already"
    if not dry_run:
        dom0.set_options(mount, tuple(one for one in mount.options if one != "dax=always"))
    return f"{mount.mountpoint} is mounted without DAX: no domain can have its files"


def cost(host: Host, event: HostEvent) -> list[Cost]:
    """Which pages of which guests would have got another owner, had the kernel done it; nothing is changed.

    Raises:
        NotFound: no such file, or no domain has it.
    """
    path = host.dom0.clean(event.path)
    mount, _, inode = host.dom0.file(path)
    free = f"free blocks of {mount.mountpoint}: the next file that grows gets them, with what the guest stores"
    spans = {
        "truncate": (align_up(event.size, PAGE), inode.size, free),
        "unlink": (0, inode.size, free),
        "defrag": (0, inode.size, f"{free}; the file's content lies elsewhere, without what the guest stores"),
        "reflink": (0, inode.size, "the file's and its copy's: what the guest stores changes both"),
        "remount": (
            0,
            inode.size,
            "the file's; Dom0 reads and writes it through its page cache, and writes old pages over the guest's stores",
        ),
    }
    if event.kind == "punch":
        start, length = _whole_blocks(event, inode.size)
        spans["punch"] = (start, start + length, free)
    low, high, now = spans[event.kind]
    found = [row for domid, _ in _holders(host, path) for row in _pages(host, domid, path, low, high, now)]
    if not any(True for _ in _holders(host, path)):
        raise NotFound(f"{path}: no domain has it", hint="without --force it is done, as far as the kernel allows")
    return found


def _whole_blocks(event: HostEvent, size: int) -> tuple[int, int]:
    """What a punch frees: whole blocks inside of the range."""
    end = size if event.length is None else min(event.offset + event.length, size)
    start = align_up(event.offset, PAGE)
    stop = align_up(end, PAGE) if end >= size else align_down(end, PAGE)
    return start, max(stop - start, 0)


def _holders(host: Host, path: str) -> Iterator[tuple[int, str]]:
    for domain in host.xen.domains():
        with suppress(NotFound):
            for device in load(host.store, domain.domid).vnvdimms:
                if host.dom0.clean(device.path) == path:
                    yield domain.domid, device.path


def _pages(host: Host, domid: int, path: str, low: int, high: int, now: str) -> Iterator[Cost]:
    """The parts of a file from ``low`` to ``high`` that a guest has mapped, one for each extent."""
    for device in load(host.store, domid).vnvdimms:
        if host.dom0.clean(device.path) != path:
            continue
        at = 0
        for spa, length in device.extents:
            first, last = max(low, at), min(high, at + length)
            if first < last:
                yield Cost(domid, device.gpa + first, first, spa + first - at, last - first, now)
            at += length
