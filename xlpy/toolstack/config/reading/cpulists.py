"""CPU lists, numbers of vCPUs and affinity."""

from __future__ import annotations

from xlpy.toolstack.config.cnumbers import ULONG_MAX, i32, strtoul
from xlpy.toolstack.config.xlcfg import Text
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.toolstack.config.reading.reader import HostFacts, Reader

# More than any guest can have.
MANY_VCPUS = 1 << 16


class BadCpuList(Exception):
    """A CPU list that cannot be read: ``message``, and ``index`` of the element in the text."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.message = message
        self.index = index


def bitmap_bits(count: int) -> int:
    """How many bits libxl's bitmap of ``count`` has: it is made of whole bytes."""
    return (count + 7) // 8 * 8


def parse_range(text: str) -> tuple[int, int, bool]:
    """``N`` or ``N-M`` as xl reads it: (first, last, whether it is in order)."""
    first, end = strtoul(text)
    last = first
    if end == 0 or first == ULONG_MAX:
        return first, last, False
    if text[end : end + 1] == "-":
        start = end + 1
        last, end = strtoul(text, 10, start)
        if end == start or last == ULONG_MAX or last < first:
            return first, last, False
    return first, last, end == len(text)


def parse_cpu_list(text: str, host: HostFacts) -> list[int]:
    """The CPUs that a CPU list names, in order.

    Elements between commas are applied from left to right: ``all``, ``N``, ``N-M``, ``node:N``, ``nodes:N-M``, each
    with ``^`` in front to take away. CPUs that the host does not have are left out.

    Raises:
        BadCpuList: an element is none of these.
    """
    bits = bitmap_bits(host.cpus)
    cpus: set[int] = set()
    index = 0
    for element in text.split(","):
        at, index = index, index + len(element) + 1
        if not element:
            continue
        away = element.startswith("^")
        body = element.removeprefix("^")
        nodes = body.startswith(("node:", "nodes:"))
        body = body.partition(":")[2] if nodes else body
        if body == "all":
            if away:
                raise BadCpuList('"^" cannot take all away', at)
            cpus.update(range(bits))
            continue
        first, last, good = parse_range(body)
        if not good:
            raise BadCpuList(f"{element!r} is not a CPU, a range of CPUs or a node", at)
        named = range(first, min(last + 1, bits))
        if nodes:
            named_nodes = range(first, min(last + 1, host.nodes))
            named = [cpu for node in named_nodes for cpu in host.node_cpus(node)]  # type: ignore[assignment]
        cpus = cpus.difference(named) if away else cpus.union(named)
    return sorted(cpus)


def read_vcpus(reader: Reader) -> None:
    """``vcpus`` and ``maxvcpus``."""
    online = reader.integer("vcpus")
    if online is not None:
        if not 0 <= online <= MANY_VCPUS:
            reader.error(
                "vcpus", f"vcpus is {online} and must be 0 to {MANY_VCPUS}", status=1 if i32(online) < 0 else None
            )
        else:
            bits = bitmap_bits(online or reader.host.cpus)
            reader.put("b_info.avail_vcpus", list(range(min(online, bits))))
    most = reader.integer("maxvcpus")
    if most is not None:
        reader.put("b_info.max_vcpus", i32(most))


def settle_vcpus(reader: Reader) -> None:
    """Without ``maxvcpus`` and vnuma the domain can have what it starts with."""
    online = reader.integer("vcpus", quiet=True) or 0
    if not reader.get("b_info.max_vcpus"):
        reader.put("b_info.max_vcpus", i32(online))
    if reader.get("b_info.max_vcpus") < online:
        reader.error("maxvcpus", f"maxvcpus is {reader.get('b_info.max_vcpus')} and vcpus is {online}")


def read_affinity(reader: Reader, key: str, path: str) -> None:
    """``cpus`` or ``cpus_soft``: one CPU list for all vCPUs, or a list with one each.

    xl places the domain itself unless a list, or any soft affinity, is given.
    """
    if key not in reader.settings:
        return
    count = reader.get("b_info.max_vcpus") or 0
    if count < 0 or count > MANY_VCPUS:
        reader.error("maxvcpus", f"maxvcpus is {count} and must be 0 to {MANY_VCPUS}", status=None)
        return
    value = reader.settings[key]
    if isinstance(value, Text):
        if reader.string(key) is None:
            return
        cpus = _cpus(reader, key, value)
        if not count:  # seen on a running Xen 4.17.7: cpus = "99" is refused with vcpus = 1, and accepted without
            reader.warn(key, f"{key} has no effect without vcpus: xl applies it to as many as are written", "vcpus = 1")
        reader.put(path, [cpus] * count)
        if key == "cpus_soft":
            reader.put("b_info.numa_placement", False)
        return
    lists = [_cpus(reader, key, text) for text in reader.flat(key, None, count)]
    if len(value) > count:
        reader.warn(key, f"{key}: {len(value)} entries for {count} vCPUs; xl ignores the rest")
    reader.put(path, lists)
    reader.put("b_info.numa_placement", False)


def check_affinity(reader: Reader) -> None:
    """Each vCPU needs a CPU on which it may run; xl looks at it when all else is read."""
    for cpus in reader.get("b_info.vcpu_hard_affinity") or ():
        if not cpus:
            reader.error("cpus", "cpus leaves a vCPU without any CPU of this host", f"it has {reader.host.cpus}")
            return


def _cpus(reader: Reader, key: str, text: Text) -> list[int]:
    try:
        return parse_cpu_list(text, reader.host)
    except BadCpuList as bad:
        reader.error(reader.at(text, bad.index), f"{key}: {bad.message}")
        return []
