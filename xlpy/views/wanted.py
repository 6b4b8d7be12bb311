"""How large a namespace must be for a guest to get an exact number of bytes.

Every way to do it is computed with the formulas by which namespaces are made (``plan_fsdax``), and the smallest
namespace for each is searched: what is left for data never shrinks when a namespace grows.
"""

from __future__ import annotations

from math import lcm

from xlpy.addr import GIB, LIMIT, MIB, PAGE, REGION_ALIGN, Spa, Span, align_up, format_size
from xlpy.dom0.nvdimm.fsdax import FSDAX_MIN, XEN_TABLES, pfn_block
from xlpy.errors import Constraint
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

FRONT, BACK = MIB, 33 * 512  # of a GPT: where partitions begin by custom, and its copy at the end


class NamespacePlace(NamedTuple):
    """Where the namespace is to be. start: of its region. align: sizes are multiples of it. most: bytes it may have.

    region: Dom0's name of the region, empty for any.
    """

    start: Spa = Spa(4 * GIB)
    align: int = REGION_ALIGN
    most: int = LIMIT >> 1
    region: str = ""


ANYWHERE = NamespacePlace()


class NamespacePlan(NamedTuple):
    """One way. size: of the namespace. device: bytes of its device. partition: start and size, None for all of it.

    ram: bytes of Dom0's RAM that Linux' page structs take.
    """

    mode: str
    map: str
    align: int
    size: int
    device: int
    partition: tuple[int, int] | None
    ram: int

    def command(self, region: str = "") -> str:
        """What makes the namespace, in a region or anywhere."""
        where = f" --region={region}" if region else ""
        return (
            f"ndctl create-namespace{where} --mode={self.mode} --map={self.map} --align={format_size(self.align)}"
            f" --size={format_size(self.size)} --reserve=xen"
        )


def plans(
    wanted: int,
    place: NamespacePlace = ANYWHERE,
    modes: Iterable[str] = ("fsdax",),
    maps: Iterable[str] = ("mem", "dev"),
) -> list[NamespacePlan]:
    """Every way to give a guest exactly so many bytes, the smallest namespace first.

    Args:
        wanted: bytes, whole pages.
        place: where.
        modes: ``fsdax`` and ``devdax``; a devdax device has no partitions, so that its size must fit exactly.
        maps: where Linux' page structs may lie.

    Raises:
        Constraint: not whole pages, or nothing that large fits.
    """
    if wanted <= 0 or wanted % PAGE:
        raise Constraint(
            f"a guest cannot get {wanted} bytes of persistent memory: it comes in pages of {PAGE}",
            hint=f"{format_size(max(align_up(wanted, PAGE), PAGE))} is possible",
        )
    ways = [(mode, map_, align) for mode in modes for map_ in maps for align in (2 * MIB, GIB)]
    found = [plan for way in ways for plan in _plan(wanted, place, *way)]
    if not found:
        raise Constraint(
            f"no namespace of at most {format_size(place.most)} leaves {format_size(wanted)} for a guest"
            if place.most < ANYWHERE.most
            else f"no {', '.join(modes)} namespace leaves exactly {format_size(wanted)}, and devdax has no partitions",
            hint="leave DEVICE out to see what would be needed"
            if place.most < ANYWHERE.most
            else "--mode fsdax has: a partition can have any size",
        )
    return sorted(found, key=lambda plan: (plan.size, plan.partition is not None, plan.align, plan.ram))


def _plan(wanted: int, place: NamespacePlace, mode: str, map_: str, align: int) -> list[NamespacePlan]:
    whole = _smallest(wanted, place, map_, align)
    if whole is None:
        return []
    device = _device(whole, place, map_, align)
    ram = 0 if map_ == "dev" else (whole // PAGE) * 64
    if device == wanted:
        return [NamespacePlan(mode, map_, align, whole, device, None, ram)]
    if mode == "devdax":
        return []
    size = _smallest(FRONT + wanted + align_up(BACK, PAGE), place, map_, align)
    if size is None:
        return []
    ram = 0 if map_ == "dev" else (size // PAGE) * 64
    return [NamespacePlan(mode, map_, align, size, _device(size, place, map_, align), (FRONT, wanted), ram)]


def _smallest(data: int, place: NamespacePlace, map_: str, align: int) -> int | None:
    """The smallest namespace that leaves at least so much for data."""
    step = lcm(place.align, align)  # ndctl takes multiples of both
    low = high = -(-max(data, FSDAX_MIN) // step)
    while high * step <= place.most and _device(high * step, place, map_, align) < data:
        high *= 2
    high = min(high, place.most // step)
    if high < low or _device(high * step, place, map_, align) < data:
        return None
    while low < high:
        middle = (low + high) // 2
        if _device(middle * step, place, map_, align) < data:
            low = middle + 1
        else:
            high = middle
    return low * step


def _device(size: int, place: NamespacePlace, map_: str, align: int) -> int:
    """Bytes of the device that a namespace of ``size`` has."""
    block = pfn_block(Span(place.start, size), bytes(16), on_media=map_ == "dev", align=align, costs=XEN_TABLES)
    return max(0, size - block.dataoff - block.end_trunc)
