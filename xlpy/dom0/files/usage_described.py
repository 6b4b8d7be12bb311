"""Uses of persistent memory that a machine description asks for: its keys ``dm``, ``swap`` and ``loop``."""

from __future__ import annotations

from xlpy.dom0.files.usage import Use
from xlpy.errors import Conflict, Constraint, NotFound
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.dom0.files.vfs import Vfs
    from xlpy.hw.machine import MachineSpec


def described_uses(spec: MachineSpec, dom0: Vfs) -> Iterator[Use]:
    """The uses that a description asks for.

    Raises:
        NotFound: a path leads nowhere. Constraint: it is neither a block device nor a regular file. Conflict: a device
        is mounted or used already.
    """
    taken: dict[tuple[str, int], Use] = {}
    wanted = [
        *(("dm", f"dm-{at}", one.name, path) for at, one in enumerate(spec.dm) for path in one.devices),
        *(("swap", "", "", path) for path in spec.swap),
        *(("loop", f"loop{at}", "", path) for at, path in enumerate(spec.loop)),
    ]
    for kind, dev, name, path in wanted:
        use = _look(dom0, kind, dev, name, path)
        busy = next((mount for mount in dom0.disk_mounts if not use.inode and _same(mount.device, use.device)), None)
        if busy:
            raise Conflict(f"{kind}: {path} is mounted on {busy.mountpoint}", hint="name another device")
        other = taken.setdefault((use.device, use.inode), use)
        if other is not use:
            raise Conflict(f"{kind}: {path} is {other.phrase} already", hint="name each device or file once")
        yield use


def _look(dom0: Vfs, kind: str, dev: str, name: str, path: str) -> Use:
    try:
        found = dom0.stat(path)
    except NotFound as error:
        raise NotFound(f"{kind}: {error.message}", hint="describe it under namespaces") from error
    if found.kind == "block":
        return Use(kind, dev, name, path, dom0.block_device_name(*found.device), 0)
    if found.kind == "file" and kind != "dm" and dom0.mount_of(path) in dom0.disk_mounts:
        return Use(kind, dev, name, path, dom0.block_device_name(*found.device), found.inode)
    raise Constraint(f"{kind}: {path} is a {found.kind}, a pmem device is required", hint="name for example /dev/pmem1")


def _same(path: str, name: str) -> bool:
    return path.rpartition("/")[2] == name
