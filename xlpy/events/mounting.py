"""File systems of Dom0 that are mounted and unmounted while the host runs, as mount(8) and umount(8) do."""

from __future__ import annotations

from xlpy.errors import Conflict, Constraint, NotFound
from xlpy.events.users import named_users, what_ends
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.dom0.kernel import Mount
    from xlpy.host import Host


def mount(
    host: Host, device: str, place: str, dax: bool = True, read_only: bool = False, dry_run: bool = False
) -> Mount:
    """Mount the file system that is on a device, inside of ``Host.change``. It lasts until Dom0 boots.

    Args:
        host: whose Dom0.
        device: such as ``/dev/pmem0p1``. place: an absolute path that nothing is mounted on.
        dax: with ``-o dax``, without which no domain can have its files. read_only: with ``-o ro``.
        dry_run: check only.

    Raises:
        NotFound: no such device. Conflict: it is used (EBUSY), or something is mounted there. Constraint: no file
            system that is known is on it, DAX is impossible, or the place is no absolute path.
    """
    from xlpy.dom0.bring_up import filesystem_on, make_filesystem
    from xlpy.hw.machine import FilesystemSpec

    dom0 = host.dom0
    found = dom0.device(device)
    where = dom0.clean(place)
    if not place.startswith("/") or where == "/":
        raise Constraint(f"{place}: an absolute path below / is required", hint="such as /mnt/pmem0")
    if any(one.mountpoint == where for one in dom0.disk_mounts):
        raise Conflict(f"{where}: a file system is mounted there already", hint=f"xlpy host umount {where}")
    users = dom0.users_of(found.window)
    if users:
        raise Conflict(
            f"{device}: already mounted or busy: {named_users(host, users)}",
            code="XLPY-PMEM-IN-USE",
            hint=what_ends(users[0]),
        )
    kind = filesystem_on(host.hw, found)
    if not kind:
        raise Constraint(
            f"{device}: no ext4 or XFS is on it",
            hint="file systems are made from machine.yaml, or by host plug, or by a guest that has the device",
        )
    made = make_filesystem(host.hw, found, FilesystemSpec(kind, where, dax=dax, read_only=read_only))
    if not dry_run:
        dom0.put_mounts([*dom0.disk_mounts, made])
    return made


def unmount(host: Host, place: str, dry_run: bool = False) -> Mount:
    """Unmount what is mounted on a directory or from a device, inside of ``Host.change``.

    Raises:
        NotFound: nothing is. Conflict: it is in use (EBUSY).
    """
    dom0 = host.dom0
    where = dom0.clean(place)
    found = next((one for one in dom0.disk_mounts if where in (one.mountpoint, one.device)), None)
    if found is None:
        there = ", ".join(one.mountpoint for one in dom0.disk_mounts)
        raise NotFound(f"{place}: not mounted", hint=f"mounted are: {there or 'none'}")
    users = [one for one in dom0.users_of(dom0.window(found)) if one != f"mount {found.mountpoint}"]
    if users:
        raise Conflict(
            f"{found.mountpoint}: target is busy: {named_users(host, users)}",
            code="XLPY-PMEM-IN-USE",
            hint=what_ends(users[0]),
        )
    if not dry_run:
        dom0.put_mounts(one for one in dom0.disk_mounts if one != found)
    return found
