"""The node that Linux gives to a range of persistent memory (``target_node``), from the guest's own SRAT.

Nodes are numbered in the order in which proximity domains appear: processors first, then memory (``acpi_numa_init``,
Linux 6.1 to 7.2). A range whose NFIT entry names no valid domain belongs to the node whose memory covers its address.
"""

from __future__ import annotations

from _struct import Struct

from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.firmware.acpi.nfit import SpaRange

PROXIMITY_VALID = 2  # of an SPA range
ENABLED = 1
_HEADER = 48  # of the table
_MEMORY = Struct("<2xI2xQQ4xI8x")  # domain, base, length, flags (ACPI 6.5, 5.2.16.2)


class Nodes:
    """What an SRAT says.

    Args:
        srat: the table; empty: the guest has none, and no range has a node.
    """

    def __init__(self, srat: bytes) -> None:
        self._nodes: dict[int, int] = {}
        self._memory: list[tuple[int, int, int]] = []
        entries = list(_entries(srat))
        for kind, raw in entries:
            domain = _processor(kind, raw)
            if domain is not None:
                self._node(domain)
        for kind, raw in entries:
            if kind == 1 and len(raw) >= _MEMORY.size:
                domain, base, length, flags = _MEMORY.unpack_from(raw)
                if flags & ENABLED and length:
                    self._memory.append((base, base + length, self._node(domain)))

    def _node(self, domain: int) -> int:
        return self._nodes.setdefault(domain, len(self._nodes))

    def of(self, spa: SpaRange) -> int | None:
        """The node of a range, or None."""
        if spa.flags & PROXIMITY_VALID and spa.proximity_domain in self._nodes:
            return self._nodes[spa.proximity_domain]
        return next((node for start, end, node in self._memory if start <= spa.base < end), None)


def _entries(srat: bytes) -> Iterator[tuple[int, bytes]]:
    at = _HEADER
    while at + 2 <= len(srat) and srat[at + 1] >= 2:
        yield srat[at], srat[at : at + srat[at + 1]]
        at += srat[at + 1]


def _processor(kind: int, raw: bytes) -> int | None:
    """The domain of an enabled processor, by local APIC (type 0) or x2APIC (type 2)."""
    if kind == 0 and len(raw) >= 16 and raw[4] & ENABLED:
        return raw[2] | int.from_bytes(raw[9:12], "little") << 8
    if kind == 2 and len(raw) >= 24 and raw[12] & ENABLED:
        return int.from_bytes(raw[4:8], "little")
    return None
