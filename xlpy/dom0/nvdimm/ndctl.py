"""What ``ndctl list`` prints, as data: the same keys, nesting, order and number forms.

Buses hold DIMMs and regions, regions hold namespaces; what was not asked for is left out. Keys and quirks are those of
ndctl 76.1.
"""

from __future__ import annotations

from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xlpy.dom0.nvdimm.driver import Bus, Dimm, Region
    from xlpy.dom0.nvdimm.namespace import Namespace

Object = dict[str, Any]

_FLAGS = {
    "map_fail": "flag_failed_map",
    "save_fail": "flag_failed_save",
    "not_armed": "flag_failed_arm",
    "restore_fail": "flag_failed_restore",
    "flush_fail": "flag_failed_flush",
    "smart_event": "flag_smart_event",
}
_KIB, _MIB, _GIB, _TIB = (1 << shift for shift in (10, 20, 30, 40))


def listing(
    bus: Bus,
    namespaces: Iterable[Namespace],
    *,
    buses: bool = False,
    dimms: bool = False,
    regions: bool = False,
    with_namespaces: bool = False,
    idle: bool = False,
    human: bool = False,
    verbose: bool = False,
) -> Any:  # noqa: ANN401 - an array or an object, as ndctl prints it
    """The document of ``ndctl list``.

    Args:
        bus, namespaces: what the driver found and enabled.
        buses, dimms, regions, with_namespaces: ``-B -D -R -N``; none of them means namespaces.
        idle: ``-i``, disabled namespaces too.
        human: ``-u``, sizes as text, numbers as hexadecimal strings, a single element without brackets.
        verbose: ``-v``, NUMA nodes.

    Returns:
        an array, or an object where ndctl prints one; None where it prints nothing.
    """
    with_namespaces = with_namespaces or not (buses or dimms or regions)
    shown = [one for one in namespaces if idle or not one.problem]
    nodes = {region.number: region.node for region in bus.regions}
    dimm_list = [_dimm(one, human) for one in bus.dimms] if dimms else []
    by_region = {
        region.number: [namespace_object(one, human, nodes[one.region] if verbose else None) for one in shown
                        if one.region == region.number]
        for region in bus.regions
    }  # fmt: skip
    region_list = []
    for region in bus.regions if regions else ():
        made = _region(region, bus.persistence, dimms, human, verbose)
        if with_namespaces and by_region[region.number]:
            made["namespaces"] = by_region[region.number]
        region_list.append(made)
    loose = [one for group in by_region.values() for one in group] if with_namespaces and not regions else []
    parts = {"dimms": dimm_list, "regions": region_list, "namespaces": loose}
    wanted = {"dimms": dimms, "regions": regions, "namespaces": with_namespaces and not regions}
    filled = {key: value for key, value in parts.items() if value}
    if buses:
        if not bus.dimms and not bus.regions:
            return None
        return _bare([{"provider": "ACPI.NFIT", "dev": "ndbus0", **filled}], human)
    if sum(wanted.values()) > 1:
        return filled or None
    return next((_bare(value, human) for value in filled.values()), None)


def namespace_object(one: Namespace, human: bool = False, node: int | None = None) -> Object:
    """One namespace; ``node`` adds the NUMA nodes of ``-v``."""
    made: Object = {"dev": one.dev, "mode": one.mode}
    if one.map:
        made["map"] = one.map
    made["size"] = human_size(one.size) if human else one.size
    if one.uuid:
        made["uuid"] = one.uuid
    if one.mode == "devdax":
        made["daxregion"] = _dax_region(one, human, node)
    else:
        made["sector_size"] = one.sector_size
    if one.align:
        made["align"] = one.align
    if one.disk:
        made["blockdev"] = one.disk
    if one.problem:
        made["state"] = "disabled"
    if node is not None:
        made["numa_node"] = made["target_node"] = node
    return made


def _dax_region(one: Namespace, human: bool, node: int | None) -> Object:
    size = human_size(one.size) if human else one.size
    device: Object = {"chardev": f"dax{one.region}.0", "size": size}
    if node is not None:
        device["target_node"] = node
    device |= {"align": one.align, "mode": "devdax"}
    return {"id": one.region, "size": size, "align": one.align, "devices": [device]}


def _dimm(dimm: Dimm, human: bool) -> Object:
    made: Object = {
        "dev": dimm.dev,
        "id": dimm.unique,
        "handle": _number(dimm.handle, human),
        "phys_id": _number(dimm.phys_id, human),
    }
    return made | {key: True for flag, key in _FLAGS.items() if flag in dimm.flags}


def _region(region: Region, persistence: str | None, with_mappings: bool, human: bool, verbose: bool) -> Object:
    made: Object = {
        "dev": region.dev,
        "size": human_size(region.span.size) if human else region.span.size,
        "align": _number(region.align, human),
        "available_size": 0,
        "max_available_extent": 0,
        "type": "pmem",
    }
    if verbose:
        made["numa_node"] = made["target_node"] = region.node
    if with_mappings and region.mappings:
        made["mappings"] = [
            {
                "dimm": one.dimm,
                "offset": _number(one.offset, human),
                "length": _number(one.length, human),
                "position": one.position,
            }
            for one in region.mappings
        ]
    made["persistence_domain"] = persistence or "unknown"
    return made


def _number(value: int, human: bool) -> int | str:
    """Zero has no prefix, as printf's ``%#x`` has it."""
    return value if not human else hex(value) if value else "0"


def _bare(array: list[Object], human: bool) -> Any:  # noqa: ANN401
    return array[0] if human and len(array) == 1 else array


def human_size(size: int) -> int | str:
    """A size as ``-u`` prints it: ``124.00 MiB (130.02 MB)``; a plain number below 5000 KiB."""
    if size < 5000 * _KIB:
        return size
    name, binary, decimal = ("M", _MIB, 10**6) if size < 2 * _GIB else ("G", _GIB, 10**9)
    if size >= 2 * _TIB:
        name, binary, decimal = "T", _TIB, 10**12
    in_binary = (size * 200 // binary + 1) // 2
    in_decimal = (size * 200 // decimal + 1) // 2
    return f"{in_binary // 100}.{in_binary % 100:02} {name}iB ({in_decimal // 100}.{in_decimal % 100:02} {name}B)"


def to_json(document: Any) -> str:  # noqa: ANN401
    """The text as ndctl writes it; empty for nothing."""
    import json

    return "" if document is None else json.dumps(document, indent=2, separators=(",", ":")) + "\n"
