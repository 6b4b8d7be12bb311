"""The order in which ndctl meets devices: that of a directory of sysfs, turned around.

The kernel keeps the names of a directory sorted by a hash (``fs/kernfs/dir.c`` and ``include/linux/stringhash.h`` of
Linux 6.1); libndctl puts each that it reads in front of those before.
"""

from __future__ import annotations

from xlpy.typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

GOLDEN = 0x61C8864680B583EB  # GOLDEN_RATIO_64
LONG = 2**64 - 1


class NdDevice(Protocol):
    """A device of the nd bus."""

    @property
    def dev(self) -> str:
        """Its name."""
        ...


D = TypeVar("D", bound=NdDevice)


def key(name: str) -> tuple[int, str]:
    """What a directory's names are sorted by."""
    value = 0
    for letter in name.encode():
        value = (value + (letter << 4) + (letter >> 4)) * 11 & LONG
    value = (value * GOLDEN & LONG) >> 32 & 0x7FFFFFFF
    if value < 2:
        value += 2
    return min(value, 0x7FFFFFFE), name


def met(devices: Iterable[D]) -> list[D]:
    """Devices in the order in which ndctl goes through them."""
    return sorted(devices, key=lambda one: key(one.dev), reverse=True)
