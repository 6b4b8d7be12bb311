"""Making a namespace as ndctl does, one attribute after the other: what a host's description asks for at first boot."""

from __future__ import annotations

from xlpy.addr import Span
from xlpy.dom0.nvdimm.btt import BTT1_AT
from xlpy.dom0.nvdimm.infoblock import BLOCK
from xlpy.dom0.nvdimm.labels import empty_index, read_area
from xlpy.dom0.nvdimm.namespace import MODE_OF, MODES
from xlpy.dom0.nvdimm.nd.region import NSTYPE_PMEM
from xlpy.errors import Conflict, Constraint
from xlpy.hw.machine import SECTOR_SIZES
from xlpy.typing import TYPE_CHECKING
from xlpy.uuids import derived, uuid_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xlpy.dom0.nvdimm.nd.bus import Nd
    from xlpy.dom0.nvdimm.nd.namespace import NdNamespace
    from xlpy.dom0.nvdimm.nd.pfn import NdPfn
    from xlpy.dom0.nvdimm.nd.region import NdRegion
    from xlpy.hw.machine import NamespaceSpec


def label(nd: Nd, formats: Mapping[int, int]) -> set[int]:
    """Initialise the label areas of DIMMs that are not in use yet, as ``ndctl init-labels`` does.

    Args:
        nd: whose drivers are not bound yet.
        formats: 1 or 2 for labels of the format 1.1 or 1.2, by the handle of the DIMM.

    Returns:
        the handles of those whose areas were not in use.
    """
    done = set()
    for dimm in nd.dimms:
        minor = formats.get(dimm.info.handle)
        if minor and read_area(dimm.config.size, dimm.config.read).current is None:
            for number in (0, 1):
                block = empty_index(dimm.config.size, number, minor)
                dimm.set_config_data(block.own, block.build())
            done.add(dimm.info.handle)
    return done


def provide(region: NdRegion, spec: NamespaceSpec, place: int, fresh: bool) -> NdNamespace | None:
    """The namespace that a description asks for; the one that is there already, when the media have been used before.

    Args:
        region: which is to have it.
        spec: what it is to be like.
        place: which of the region's namespaces in the description it is, from 0.
        fresh: its label areas have just been initialised; else what is not there was destroyed, and stays so.

    Returns:
        it, or None.

    Raises:
        Constraint: it does not fit, or labels are needed and there are none. Conflict: there is one in another mode.
    """
    found, read_only = _existing(region, spec, place), region.ro
    if read_only:
        region.store_read_only(False)  # what lies there was made while its DIMMs were still armed
    try:
        if found is None:
            if region.nstype == NSTYPE_PMEM and not fresh:
                return None
            found = _labelled(region, spec, place)
        if not found.enabled:
            if found.claim is None and spec.mode != "raw":
                _claim(found, spec)
        elif found.claim is None and spec.mode != "raw" and (MODE_OF[found.mode] != spec.mode or spec.reserve):
            found.unbind()  # memory without a DIMM is fsdax as it is, with page structs in RAM and no reserve
            _claim(found, spec)
    except OSError as error:
        if found is not None and region.bus.badblocks(Span(found.span.start, BTT1_AT + BLOCK)):
            return found  # it stays disabled, as an info block that cannot be read leaves it
        why = getattr(error, "why", "") or str(error)
        raise Constraint(f"namespace {place} of {spec.region} cannot be made: {why}") from error
    finally:
        if read_only:
            region.store_read_only(True)
    if found.enabled and MODE_OF[found.mode] != spec.mode:
        if not region.mappings and found.claim is None:
            raise Constraint(
                f"namespace {place} of {spec.region} is in {MODE_OF[found.mode]} mode: memory without a DIMM is,"
                " until it has an info block",
                hint="write mode: fsdax, devdax or sector",
            )
        raise Conflict(
            f"{region.dev} ({spec.region}) holds a namespace in {MODE_OF[found.mode]} mode, the description asks for"
            f" {spec.mode}",
            hint="start with empty media: xlpy host reset",
        )
    return found


def _existing(region: NdRegion, spec: NamespaceSpec, place: int) -> NdNamespace | None:
    if not region.bound:
        raise Constraint(f"{region.dev} ({spec.region}) is not enabled: its labels are damaged")
    used = [one for one in region.namespaces if one.size]
    if used and not used[0].has_label:
        return used[0]
    named = derived(f"{region.dev}.{place}")
    return next((one for one in used if one.raw_uuid == named), None)


def _labelled(region: NdRegion, spec: NamespaceSpec, place: int) -> NdNamespace:
    """A new namespace with labels, as large as asked for."""
    seed = region.namespace_seed
    if seed is None or not seed.has_label:
        raise Constraint(
            f"{spec.region}: without labels a region is one namespace of full size",
            hint="give the set labels: 1.2, and its DIMMs a label_size",
        )
    seed.store_uuid(uuid_text(derived(f"{region.dev}.{place}")))
    seed.store_alt_name(spec.name)
    seed.store_size(spec.size or region.max_available_extent)
    seed.store_sector_size(spec.sector_size if spec.mode == "sector" and spec.sector_size in SECTOR_SIZES else 512)
    seed.store_holder_class(MODES[spec.mode][1])
    if spec.mode == "raw":
        seed.bind()
    return seed


def _claim(namespace: NdNamespace, spec: NamespaceSpec) -> None:
    """Let a btt, pfn or dax device have a namespace, which gets an info block."""
    region = namespace.region
    uuid = spec.uuid or uuid_text(derived(region.dev))
    if spec.mode == "sector":
        btt = region.btt_seed
        assert btt is not None
        btt.store_uuid(uuid)
        btt.store_sector_size(spec.sector_size)
        btt.store_namespace(namespace.dev)
        btt.bind()
        return
    from xlpy.dom0.nvdimm.fsdax import XEN_TABLES, plan_fsdax

    costs = XEN_TABLES if spec.reserve else ()
    plan_fsdax(namespace.span, bytes(16), on_media=spec.map != "mem", align=spec.align, costs=costs)  # says more
    pfn: NdPfn | None = region.dax_seed if spec.mode == "devdax" else region.pfn_seed
    assert pfn is not None
    pfn.store_uuid(uuid)
    pfn.store_mode("ram" if spec.map == "mem" else "pmem")
    pfn.store_align(spec.align)
    pfn.store_reserve(costs)
    pfn.store_namespace(namespace.dev)
    pfn.bind()
