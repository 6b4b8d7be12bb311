"""What else the emulated Dom0 does with its persistent memory: device mapper, swap space, loop devices.

The machine description asks for it (``dm``, ``swap``, ``loop``). Nothing is done with the bytes; the devices exist, and
what is used so cannot be given to a domain.
"""

from __future__ import annotations

from xlpy.errors import Conflict, Constraint, NotFound
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.dom0.vfs import Vfs
    from xlpy.hw.machine import MachineSpec

LOOP_MAJOR, DM_MAJOR = 7, 253  # the first is fixed, the second what Linux gives to the first dynamic user


class Use(NamedTuple):
    """One use of a device or file.

    kind: ``dm``, ``swap`` or ``loop``. dev: the device that results, such as ``dm-0``; empty for swap space.
    name: of a mapped device. path: as described. device: kernel's name of the block device that is used, or that the
    file lies on. inode: of the file, 0 for a device.
    """

    kind: str
    dev: str
    name: str
    path: str
    device: str
    inode: int

    @property
    def phrase(self) -> str:
        """What it makes of the device or file, to follow "it is"."""
        if self.kind == "dm":
            return f"held by {self.dev} (device mapper: {self.name})"
        if self.kind == "swap":
            return f"{'an active swap file' if self.inode else 'active swap space'} ({self.path})"
        return f"used by the loop device {self.dev}"

    @property
    def number(self) -> tuple[int, int]:
        """Of the device that results."""
        return (DM_MAJOR if self.kind == "dm" else LOOP_MAJOR, int(self.dev.strip("dmlop-")))

    @property
    def nodes(self) -> tuple[str, ...]:
        """Its paths below ``/dev``."""
        return (f"/dev/{self.dev}", f"/dev/mapper/{self.name}") if self.kind == "dm" else (f"/dev/{self.dev}",)


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


def load_use(values: list[Any]) -> Use:
    """The record that was kept as JSON."""
    return Use(*values)
