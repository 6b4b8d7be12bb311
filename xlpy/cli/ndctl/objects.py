"""Devices of the nd bus as JSON objects, with ndctl's keys in its order."""

from __future__ import annotations

from xlpy.cli.ndctl.sizes import hexadecimal, human
from xlpy.dom0.nvdimm.namespace import MODE_OF
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.addr import Span
    from xlpy.dom0.nvdimm.nd.above import AboveNamespace
    from xlpy.dom0.nvdimm.nd.bus import NdBus
    from xlpy.dom0.nvdimm.nd.claim import Claim
    from xlpy.dom0.nvdimm.nd.dimm import NdMapping, Nvdimm
    from xlpy.dom0.nvdimm.nd.namespace import NdNamespace
    from xlpy.dom0.nvdimm.nd.region import NdRegion

Object = dict[str, Any]

NO_UUID = "00000000-0000-0000-0000-000000000000"
MODE_WORDS = {  # what options take, in any case -> as sysfs has them
    "memory": "memory",
    "fsdax": "memory",
    "sector": "safe",
    "safe": "safe",
    "dax": "dax",
    "devdax": "dax",
    "raw": "raw",
}
PLACES = {"none": "none", "ram": "mem", "pmem": "dev"}
DIMM_FLAGS = {  # NFIT state flags as sysfs names them, in the order of the keys
    "map_fail": "flag_failed_map",
    "save_fail": "flag_failed_save",
    "not_armed": "flag_failed_arm",
    "restore_fail": "flag_failed_restore",
    "flush_fail": "flag_failed_flush",
    "smart_event": "flag_smart_event",
}


class Detail(NamedTuple):
    """How much is to be shown, and how.

    human: numbers for people; verbose: nodes and the labels' uuids; idle, configured: what is not in use;
    dax: device-dax regions (``-X``); media: the places of errors (``-M``); capabilities; firmware.
    wide: hexadecimal numbers have 64 bits (ndctl 77 and later), not 63.
    """

    human: bool = False
    verbose: bool = False
    idle: bool = False
    configured: bool = False
    dax: bool = False
    media: bool = False
    capabilities: bool = False
    firmware: bool = False
    wide: bool = False

    def size(self, value: int) -> int | str:
        """A size."""
        return human(value) if self.human else value

    def hex(self, value: int) -> int | str:
        """A number that people want in hexadecimal."""
        if not self.human:
            return value
        return hexadecimal(value if self.wide else min(value, 2**63 - 1))


def known(read: Callable[[], int]) -> int | None:
    """The value of an attribute; None when it has none now."""
    try:
        return read()
    except OSError:
        return None


def bus_object(bus: NdBus) -> Object:
    """One bus."""
    made: Object = {"provider": bus.provider, "dev": bus.dev}
    state = bus.scrub_state
    if state is not None:
        made["scrub_state"] = state
    return made


def dimm_object(dimm: Nvdimm, detail: Detail) -> Object:
    """One DIMM."""
    info = dimm.info
    made: Object = {
        "dev": dimm.dev,
        "id": info.unique,
        "handle": detail.hex(info.handle),
        "phys_id": detail.hex(info.phys_id),
    }
    if not dimm.bound:
        made["state"] = "disabled"
    return made | {word: True for flag, word in DIMM_FLAGS.items() if flag in info.flags}


def mapping_object(mapping: NdMapping, detail: Detail) -> Object:
    """A DIMM's part of a region."""
    return {
        "dimm": mapping.dimm.dev,
        "offset": detail.hex(mapping.start),
        "length": detail.hex(mapping.size),
        "position": mapping.position,
    }


def region_object(region: NdRegion, detail: Detail, mappings: list[NdMapping]) -> Object:
    """One region; ``mappings`` are those to be shown."""
    labels = region.nstype == 5
    made: Object = {
        "dev": region.dev,
        "size": detail.size(region.size),
        "align": detail.size(region.align),
        "available_size": detail.size(region.available_size if labels else 0),
        "max_available_extent": detail.size(region.max_available_extent if labels else 0),
        "type": "pmem",
    }
    if detail.verbose:
        made |= _nodes(region)
    if labels and region.set_cookie is not None:
        made["iset_id"] = detail.hex(region.set_cookie)
    if mappings:
        made["mappings"] = [mapping_object(one, detail) for one in mappings]
    if not region.bound:
        made["state"] = "disabled"
    made |= errors(region_errors(region), detail)
    if detail.capabilities and region.btt_seed and region.pfn_seed and region.dax_seed:
        made["capabilities"] = [
            {"mode": "sector", "sector_sizes": list(region.btt_seed.sector_sizes)},
            {"mode": "fsdax", "alignments": list(region.pfn_seed.supported_alignments)},
            {"mode": "devdax", "alignments": list(region.dax_seed.supported_alignments)},
        ]
    made["persistence_domain"] = region.persistence_domain or "unknown"
    return made


def _nodes(region: AboveNamespace) -> Object:
    nodes = {"numa_node": region.numa_node, "target_node": region.target_node}
    return {key: node for key, node in nodes.items() if node is not None and node >= 0}


def namespace_object(one: NdNamespace, detail: Detail) -> Object:
    """One namespace."""
    claim, mode = one.claim, one.mode
    made: Object = {"dev": one.dev, "mode": MODE_OF[mode]}
    if mode in ("memory", "dax"):
        made["map"] = PLACES[claim.mode] if claim else "mem"  # type: ignore[attr-defined]  # pfn and dax have it
    size = known(lambda: claim.size) if claim else one.size  # type: ignore[attr-defined]
    if size is not None:
        made["size"] = detail.size(size)
    if claim:
        made["uuid"] = claim.uuid or NO_UUID
        if detail.verbose and one.has_label and one.uuid:
            made["raw_uuid"] = one.uuid
        if mode == "dax":
            made |= _devices(one, claim, detail)
    elif one.has_label:
        made["uuid"] = one.uuid or NO_UUID
    if mode != "dax":
        made["sector_size"] = claim.lbasize if claim and mode == "safe" else one.sector_size  # type: ignore[attr-defined]
    if claim and mode != "safe":
        made["align"] = claim.align  # type: ignore[attr-defined]
    if one.block_device:
        made["blockdev"] = one.block_device
    if not one.enabled:
        made["state"] = "disabled"
    if one.has_label and one.alt_name:
        made["name"] = one.alt_name
    if detail.verbose:
        made |= _nodes(one.region)
    return made | namespace_errors(one, detail)


def _devices(one: NdNamespace, claim: Claim, detail: Detail) -> Object:
    """What a devdax namespace offers: its character device, with ``-X`` the whole region of device-dax."""
    if not claim.bound or one.char_device is None:
        return {}
    if not detail.dax:
        return {"chardev": one.char_device}
    return {"daxregion": dax_region(one, claim, detail)}


def dax_region(one: NdNamespace, claim: Claim, detail: Detail, devices: bool = True) -> Object:
    """A region of device-dax: a devdax namespace from the other side."""
    size, align = claim.size, claim.align  # type: ignore[attr-defined]
    made: Object = {"id": one.region.number, "size": detail.size(size), "align": align}
    if devices:
        made["devices"] = [dax_device(one, claim, detail)]
    return made


def dax_device(one: NdNamespace, claim: Claim, detail: Detail) -> Object:
    """A device of device-dax."""
    made: Object = {"chardev": one.char_device, "size": detail.size(claim.size)}  # type: ignore[attr-defined]
    node = one.region.target_node
    if node is not None and node >= 0:
        made["target_node"] = node
    return made | {"align": detail.size(claim.align), "mode": "devdax"}  # type: ignore[attr-defined]


# --- errors ----------------------------------------------------------------------------------------------------------


def region_errors(region: AboveNamespace) -> list[tuple[int, int]]:
    """(sector, number) of the errors that the kernel knows in a region."""
    return region.badblocks if region.bound else []


def within(region: AboveNamespace, span: Span[Any]) -> list[tuple[int, int]]:
    """The errors of a region that touch a span, relative to it, as ndctl cuts them to it."""
    found = []
    for sector, number in region_errors(region):
        start = region.resource + sector * 512
        end = start + number * 512 - 1
        last = span.end - 1
        if end <= span.start or start >= last:
            continue
        start, end = max(start, span.start), min(end, last)
        found.append(((start - span.start) // 512, (end - start + 1) // 512))
    return found


def errors(found: list[tuple[int, int]], detail: Detail) -> Object:
    """Errors as keys of an object."""
    count = sum(number for _, number in found)
    if not count:
        return {}
    made: Object = {"badblock_count": count}
    if detail.media:
        made["badblocks"] = [{"offset": sector, "length": number} for sector, number in found]
    return made


def namespace_errors(one: NdNamespace, detail: Detail) -> Object:
    """The errors of a namespace: of its data; of a raw one those of the whole region, as ndctl counts them."""
    claim = one.claim
    if claim is None:
        return errors(region_errors(one.region), detail)
    if one.mode == "safe":
        return errors(within(one.region, one.span), detail._replace(media=False))
    if claim.bound:
        return errors(within(one.region, claim.data), detail)  # type: ignore[attr-defined]
    return {}
