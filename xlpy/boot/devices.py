"""The vNVDIMMs of a domain as their bytes lie in the host's media files."""

from __future__ import annotations

from xlpy.addr import Spa
from xlpy.boot.plan import GuestNvdimm, Stretch
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.hw.hardware import Hardware
    from xlpy.toolstack.domain.record import DomainRecord


def device_name(slot: int) -> str:
    """The name of the vNVDIMM in a slot."""
    return f"vnvdimm{slot}"


def guest_nvdimms(hw: Hardware, record: DomainRecord) -> list[GuestNvdimm]:
    """The vNVDIMMs of a domain, in the order of its record."""
    return [
        GuestNvdimm(device_name(one.slot), one.gpa, one.size, _stretches(hw, one.extents), one.read_only)
        for one in record.vnvdimms
    ]


def _stretches(hw: Hardware, extents: list[list[int]]) -> tuple[Stretch, ...]:
    """Extents that follow each other in one file are one stretch."""
    stretches: list[Stretch] = []
    for spa, length in extents:
        path, offset = hw.backing(Spa(spa))
        last = stretches[-1] if stretches else None
        if last is not None and last.path == path and last.offset + last.length == offset:
            stretches[-1] = last._replace(length=last.length + length)
        else:
            stretches.append(Stretch(path, offset, length))
    return tuple(stretches)
