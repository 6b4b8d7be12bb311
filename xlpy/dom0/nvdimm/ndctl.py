"""A namespace as ``ndctl list`` has it, as far as Dom0's own list of namespaces begins like that.

Keys, their order and quirks are those of ndctl 76.1; ``xlpy.cli.ndctl`` has all of its words.
"""

from __future__ import annotations

from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xlpy.dom0.nvdimm.namespace import Namespace

Object = dict[str, Any]


def namespace_object(one: Namespace) -> Object:
    """One namespace."""
    made: Object = {"dev": one.dev, "mode": one.mode}
    if one.map:
        made["map"] = one.map
    made["size"] = one.size
    if one.uuid:
        made["uuid"] = one.uuid
    if one.mode == "devdax":
        device = {"chardev": f"dax{one.region}.0", "size": one.size, "align": one.align, "mode": "devdax"}
        made["daxregion"] = {"id": one.region, "size": one.size, "align": one.align, "devices": [device]}
    else:
        made["sector_size"] = one.sector_size
    if one.align:
        made["align"] = one.align
    if one.disk:
        made["blockdev"] = one.disk
    if one.problem:
        made["state"] = "disabled"
    return made
