"""The devices that result from regions, labels and info blocks, with the names that Linux gives them."""

from __future__ import annotations

from xlpy.addr import Dpa, Gpa, Spa, Span
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xlpy.dom0.nvdimm.driver import Bus, RegionDesc
    from xlpy.guest.nvdimm import ProbedNvdimm
    from xlpy.toolstack.domain.running import Running


class PmemDevice(NamedTuple):
    """A block or devdax device that results.

    dev: below ``/dev``. start: guest-physical. mode, size, uuid, name: as ndctl says them. namespace: its device on the
    nd bus. target_node: the NUMA node that its memory would form, or None.
    """

    dev: str
    mode: str
    start: int
    size: int
    uuid: str | None
    name: str | None
    namespace: str
    target_node: int | None = None


def devices(
    running: Running,
    region: RegionDesc,
    bus: Bus | None,
    nvdimms: dict[int, ProbedNvdimm],
    structures: list[Any],
    problems: list[str],
) -> list[PmemDevice]:
    """The devices of a region: by labels where an index block is valid, else one for the whole region.

    Args:
        running: the domain.
        region: of ``bus``.
        bus: what the NFIT says.
        nvdimms: what the DIMMs told, by handle.
        structures: of the NFIT.
        problems: what does not fit is added.
    """
    from xlpy.dom0.nvdimm.labelset import Cookies, LabelledMapping, assemble

    handles = {dimm.dev: dimm.handle for dimm in (bus.dimms if bus else ())}
    areas = {m.dimm: nvdimms[handles[m.dimm]].area for m in region.mappings if handles[m.dimm] in nvdimms}
    if not any(area and area.current is not None for area in areas.values()):
        return [_device(running, region, 0, Span(region.span.start, region.span.size))]
    mappings = [LabelledMapping(one.dimm, areas.get(one.dimm), Dpa(one.offset), one.length) for one in region.mappings]
    known = Cookies(region.cookie1, region.cookie2, region.altcookie)
    made = assemble(Spa(region.span.start), mappings, known)
    if made.error:
        problems.append(f"{region.dev}: {made.error}")
    problems += [f"{region.dev}: {line}" for line in made.skipped]
    listed = []
    for at, space in enumerate(made.namespaces):
        parent = bytes.fromhex(space.uuid.replace("-", ""))
        found = _device(running, region, at, Span(space.start, space.size), parent)
        listed.append(found._replace(uuid=found.uuid or space.uuid, name=space.name or None))
    return listed


def _device(running: Running, region: RegionDesc, at: int, span: Span[Spa], parent: bytes = bytes(16)) -> PmemDevice:
    """The device of namespace ``at`` of a region: what an info block makes of it, else raw."""
    from xlpy.dom0.nvdimm.detect import detect

    class GuestPhysicalMemory:
        """Guest memory where a driver reads physical memory: inside the guest they are the same thing."""

        @staticmethod
        def read(address: Spa, length: int, /) -> bytes:
            return running.memory.read(Gpa(address), length)

    found = detect(GuestPhysicalMemory(), region.number, span, parent)
    return PmemDevice(
        device_name(region.number, at, found.mode),
        found.mode,
        found.data.start,
        found.size,
        found.uuid or None,
        None,
        f"namespace{region.number}.{at}",
    )


def device_name(region: int, namespace: int, mode: str) -> str:
    """What Linux calls the device of a namespace: ``pmem0``, ``pmem0.1``, ``pmem0.2s`` (sector), ``dax0.3``."""
    if mode == "devdax":
        return f"dax{region}.{namespace}"
    return f"pmem{region}{f'.{namespace}' if namespace else ''}{'s' if mode == 'sector' else ''}"
