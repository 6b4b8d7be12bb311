"""Other uses of persistent memory by the emulated Dom0: device mapper, swap space, loop devices.

Nothing is done with the bytes; the devices exist, and what is used so cannot be given to a domain. ``usage_described``
reads what a machine description asks for.
"""

from __future__ import annotations

from xlpy.records import NamedTuple
from xlpy.typing import Any

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


def load_use(values: list[Any]) -> Use:
    """The record that was kept as JSON."""
    return Use(*values)
