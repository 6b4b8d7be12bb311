"""How devices are distinguished: UUIDs that users write, and numbers."""

from __future__ import annotations

from errno import EINVAL

from xlpy import uuids
from xlpy.dom0.nvdimm.nd.error import refuse
from xlpy.typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable


class Numbered(Protocol):
    """A device with a number among its kind."""

    id: int


def uuid_bytes(text: str) -> bytes:
    """16 bytes of a UUID. NdError EINVAL: it is none."""
    try:
        return uuids.uuid_bytes(text.strip())
    except ValueError as error:
        refuse(EINVAL, str(error))


def lowest(among: Iterable[Numbered]) -> int:
    """The lowest number that no device has."""
    taken = {one.id for one in among}
    return next(number for number in range(len(taken) + 1) if number not in taken)
