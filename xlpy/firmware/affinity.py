"""The SRAT of a guest (ACPI 6.5, 5.2.16): which node each vCPU, each RAM range and each vNVDIMM belongs to.

hvmloader builds one when the domain has virtual NUMA nodes, as Xen's libacpi does, and the device model passes a whole
one when there are vNVDIMMs: an operating system takes one SRAT, and it must tell of processors and RAM too, or all of
it is dropped.
"""

from __future__ import annotations

from _struct import Struct

from xlpy.firmware.acpi.header import build_table
from xlpy.firmware.layout import apic_id
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Unpack

    from xlpy.addr import Gpa, Span
    from xlpy.firmware.acpi.header import Identity
    from xlpy.firmware.platform import Vnuma

ENABLED, NON_VOLATILE = 1, 4
_HEAD = Struct("<I8x")  # table revision
_PROCESSOR = Struct("<BBBBI8x")  # type, length, node, APIC id, flags
_MEMORY = Struct("<BBI2xQQ4xI8x")  # type, length, node, base, length, flags


def build_srat(vnuma: Vnuma, pmem: Iterable[tuple[Span[Gpa], int]] = (), **identity: Unpack[Identity]) -> bytes:
    """The table.

    Args:
        vnuma: the nodes of the vCPUs and of RAM.
        pmem: each vNVDIMM's range and node; as QEMU's, enabled and non-volatile.
        identity: as for ``build_table``.
    """
    parts = [
        _HEAD.pack(1),
        *(
            _PROCESSOR.pack(0, _PROCESSOR.size, node, apic_id(vcpu), ENABLED)
            for vcpu, node in enumerate(vnuma.vcpu_to_node)
        ),
        *(
            _MEMORY.pack(1, _MEMORY.size, part.node, part.start, part.end - part.start, ENABLED)
            for part in vnuma.ranges
        ),
        *(
            _MEMORY.pack(1, _MEMORY.size, node, span.start, span.size, ENABLED | NON_VOLATILE)
            for span, node in sorted(pmem)
        ),
    ]
    return build_table("SRAT", b"".join(parts), **identity)
