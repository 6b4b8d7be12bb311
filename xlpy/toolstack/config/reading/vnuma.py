"""``vnuma``: the guest's NUMA nodes (xl.cfg(5), "Guest Virtual NUMA Configuration")."""

from __future__ import annotations

from xlpy.limits import NUMA_NODES
from xlpy.toolstack.config.cnumbers import BLANKS, ULONG_MAX, i32, strtoul, u32, u64
from xlpy.toolstack.config.libxl_json import UNSET_MEMKB
from xlpy.toolstack.config.reading.cpulists import bitmap_bits, parse_range
from xlpy.toolstack.config.xlcfg import Items, Text
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from xlpy.toolstack.config.reading.reader import Reader

PAIRS_SINCE = (4, 18)
_KEYS = ("pnode", "size", "vcpus", "vdistances")
# More vCPUs than any guest can have.
_MANY = 1 << 20


def read_vnuma(reader: Reader) -> None:
    """Read the nodes; they settle ``maxvcpus`` and ``maxmem`` where these are not given."""
    nodes = reader.items("vnuma", quiet=True)
    if not nodes:
        if "vnuma" in reader.settings and nodes is None:
            reader.warn("vnuma", "vnuma is not a list; xl ignores it")
        return
    if len(nodes) > NUMA_NODES:
        reader.error(nodes, f"vnuma has {len(nodes)} nodes, and a guest at most {NUMA_NODES}", status=None)
        return
    given = i32(reader.integer("maxvcpus", quiet=True) or 0)
    bits = bitmap_bits(given if given > 0 else reader.host.cpus)
    total_cpus, total_kib = 0, 0
    written: list[dict[str, Any]] = []
    for node in nodes:
        if not isinstance(node, Items):
            reader.error(
                node, "vnuma: each node is a list of settings", '[ ["pnode=0", "size=512", "vcpus=0-1"], ... ]'
            )
            return
        fields: dict[str, Any] = {"distances": [0] * len(nodes)}
        cpus: set[int] = set()
        for item in node:
            if not isinstance(item, Text):
                reader.warn(item, "vnuma: xl ignores a list inside a node")
                continue
            count = _read_item(reader, item, fields, cpus, bits)
            if count is None:
                return
            total_cpus += count
        if fields.get("memkb") is not None:
            total_kib += fields["memkb"]
        fields["vcpus"] = sorted(cpus)
        written.append(fields)
    reader.put("b_info.vnuma_nodes", written)
    _settle(reader, nodes, total_cpus, total_kib)


def _read_item(reader: Reader, item: Text, fields: dict[str, Any], cpus: set[int], bits: int) -> int | None:
    """Read one KEY=VALUE; return how many vCPUs it names, or None after an error."""
    # later versions split at the first =, and only the value must be there
    parts = item.split("=", 1) if reader.version >= PAIRS_SINCE else [part for part in item.split("=") if part]
    if len(parts) < 2 or not parts[1]:
        reader.error(item, f"vnuma: {str(item)!r} is not KEY=VALUE")
        return None
    key, value = parts[0].strip(BLANKS), parts[1].strip(BLANKS)
    if key not in _KEYS:
        reader.warn(item, f"vnuma: unknown setting {key!r}; xl ignores it", f"known are {', '.join(_KEYS)}")
        return 0
    pieces = [piece for piece in value.split(",") if piece]
    if key in ("pnode", "size"):
        number = _number(reader, item, value)
        if number is None:
            return None
        if key == "size":
            fields["memkb"] = u64(number << 10)
        elif number >= reader.host.nodes:
            reader.error(item, f"vnuma: the host has no node {number}", f"it has {reader.host.nodes}, counted from 0")
            return None
        else:
            fields["pnode"] = u32(number)
            reader.put("b_info.numa_placement", False)
        return 0
    if not pieces:
        reader.error(item, f"vnuma: {key} needs a value", status=None)
        return None
    if key == "vdistances":
        distances = [_number(reader, item, piece) for piece in pieces]
        if None in distances:
            return None
        nodes = len(fields["distances"])
        what = f"vnuma: {len(distances)} distances for {nodes} nodes"
        if len(distances) > nodes:
            reader.error(item, what, "give one for each node", status=None)
            return None
        if len(distances) < nodes:
            reader.warn(item, f"{what}; a missing one is 0, which building the domain refuses")
        for at, distance in enumerate(distances):
            fields["distances"][at] = u32(distance or 0)
        return 0
    count = 0
    for piece in pieces:
        first, last, good = parse_range(piece)
        if not good:
            reader.warn(item, f"vnuma: {piece!r} is not a range of vCPUs; xl reads what it can of it")
        if last - first >= _MANY:
            reader.error(item, f"vnuma: {piece!r} has too many vCPUs", f"a range may have {_MANY}", status=None)
            return None
        count += max(0, last - first + 1)
        cpus.update(range(first, min(last + 1, bits)))
    return count


def _number(reader: Reader, item: Text, text: str) -> int | None:
    value, end = strtoul(text)
    if end == 0 or value == ULONG_MAX:
        reader.error(item, f"vnuma: {text!r} is not a number")
        return None
    return value


def _settle(reader: Reader, nodes: Items, cpus: int, kib: int) -> None:
    """Compare the sums with ``maxvcpus`` and ``maxmem``, or let them decide."""
    given = reader.get("b_info.max_vcpus") or 0
    if given and given != cpus:
        reader.error(nodes, f"vnuma has {cpus} vCPUs and maxvcpus is {given}")
    elif not given and reader.host.cpus < cpus:
        reader.error(nodes, f"vnuma has {cpus} vCPUs and the host {reader.host.cpus} CPUs", "maxvcpus= allows it")
    else:
        reader.put("b_info.max_vcpus", i32(cpus))
    most = reader.get("b_info.max_memkb")
    if most not in (None, UNSET_MEMKB) and most != u64(kib):
        reader.error(nodes, f"vnuma has {kib >> 10} MiB and maxmem is {most >> 10}")
    else:
        reader.put("b_info.max_memkb", u64(kib))
