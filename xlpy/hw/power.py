"""Power: whether the machine is on, and its count of unsafe shutdowns.

``hw/off`` is there while the machine is without power; ``hw/shutdowns.json`` counts, by DIMM, the failures in which a
queue could not be written to its media.
"""

from __future__ import annotations

import os

from xlpy.errors import Conflict, StateError
from xlpy.jsontext import decode, encode
from xlpy.private import private
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xlpy.hw.machine import MachineSpec

CACHES = os.path.join("hw", "caches.json")  # there while something in the caches may be lost
HEALTH = os.path.join("hw", "health.json")  # there once values of a DIMM's health were injected
OFF = os.path.join("hw", "off")
SHUTDOWNS = os.path.join("hw", "shutdowns.json")


def require_power(root: str | os.PathLike[str]) -> None:
    """Conflict while the machine in a state directory has no power."""
    if os.path.exists(os.path.join(root, OFF)):
        raise Conflict("the host has no power", code="XLPY-HOST-OFF", hint="xlpy host power on")


def switch(root: str | os.PathLike[str], *, on: bool) -> None:
    """Record whether the machine has power."""
    path = os.path.join(root, OFF)
    if not on:
        os.close(private(path, os.O_WRONLY | os.O_CREAT))
    elif os.path.exists(path):
        os.unlink(path)


def worn(root: str | os.PathLike[str], spec: MachineSpec) -> MachineSpec:
    """The description with the health that its DIMMs have by now."""
    counts = _counts(root)
    if not counts:
        return spec
    dimms = tuple(
        dimm._replace(
            health=dimm.health._replace(
                unsafe_shutdowns=dimm.health.unsafe_shutdowns + counts[dimm.id][0],
                last_shutdown="dirty" if counts[dimm.id][1] else dimm.health.last_shutdown,
            )
        )
        if dimm.id in counts
        else dimm
        for dimm in spec.dimms
    )
    return spec._replace(dimms=dimms)


def count_failure(root: str | os.PathLike[str], failed: Iterable[str]) -> None:
    """Power has failed; on the DIMMs ``failed`` something could not be written."""
    counts = {dimm: [count, False] for dimm, (count, _) in _counts(root).items()}
    for dimm in failed:
        counts[dimm] = [counts.get(dimm, [0, False])[0] + 1, True]
    path = os.path.join(root, SHUTDOWNS)
    if counts:
        fresh = f"{path}.new"
        with open(fresh, "w", encoding="utf-8", opener=private) as file:
            file.write(encode(counts))
        os.replace(fresh, path)


def _counts(root: str | os.PathLike[str]) -> dict[str, tuple[int, bool]]:
    """By DIMM: unsafe shutdowns, and whether the last failure was one."""
    path = os.path.join(root, SHUTDOWNS)
    try:
        with open(path, "rb") as file:
            return {str(dimm): (int(count), bool(last)) for dimm, (count, last) in decode(file.read().decode()).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise StateError(f"{path}: {error}", hint="remove the file to forget all shutdowns") from error
