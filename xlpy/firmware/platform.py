"""What firmware sees of the machine it runs on: the guest's own view, and nothing else.

hvmloader is a guest program: it reaches memory by guest physical address, devices by port and MMIO, Xen by hypercall
and the toolstack by xenstore. The hypervisor side implements this protocol.
"""

from __future__ import annotations

from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Protocol

    from xlpy.addr import Gfn, Gpa
    from xlpy.firmware.e820 import E820Entry


class VnumaRange(NamedTuple):
    """RAM ``[start, end)`` (guest physical, bytes) that belongs to a virtual node."""

    start: Gpa
    end: Gpa
    node: int


class Vnuma(NamedTuple):
    """XENMEM_get_vnumainfo's answer.

    vcpu_to_node: node of each vCPU, by vCPU number.
    distances: one row per node, each with one distance per node.
    ranges: the memory of the nodes.
    """

    vcpu_to_node: tuple[int, ...]
    distances: tuple[tuple[int, ...], ...]
    ranges: tuple[VnumaRange, ...]


if TYPE_CHECKING:

    class Platform(Protocol):
        """The guest's view of Xen and of its devices."""

        def read(self, gpa: Gpa, length: int, /) -> bytes:
            """Guest memory or MMIO; all ones where nothing responds."""

        def write(self, gpa: Gpa, data: bytes, /) -> None:
            """Guest memory or MMIO; dropped where nothing responds."""

        def cpuid(self, leaf: int, subleaf: int, /) -> tuple[int, int, int, int]:
            """EAX, EBX, ECX, EDX under the domain's policy, with Xen's own leaves from 0x40000000."""

        def io_in(self, port: int, size: int, /) -> int:
            """Read a port, ``size`` 1, 2 or 4 bytes; all ones where nothing responds."""

        def io_out(self, port: int, size: int, value: int, /) -> None:
            """Write a port, ``size`` 1, 2 or 4 bytes."""

        def memory_map(self) -> list[E820Entry]:
            """XENMEM_memory_map: what the toolstack set."""

        def populate(self, gfn: Gfn, count: int, /) -> bool:
            """XENMEM_populate_physmap of ``count`` pages from ``gfn``; False when the domain's allowance is used up."""

        def move_page(self, src: Gfn, dst: Gfn, count: int = 1, /) -> None:
            """XENMEM_add_to_physmap (gmfn, gmfn_range): ``count`` pages go from ``src`` to ``dst``, content and all."""

        def xenstore(self, path: str, /) -> str | None:
            """Read a key relative to the domain's directory; None when it does not exist or may not be read."""

        def set_param(self, index: int, value: int, /) -> None:
            """HVMOP_set_param."""

        def get_param(self, index: int, /) -> int:
            """HVMOP_get_param."""

        def vnuma(self) -> Vnuma | None:
            """XENMEM_get_vnumainfo; None when the domain has no virtual topology."""

        def log(self, line: str, /) -> None:
            """One line on debug port 0xE9."""

        def shutdown(self, reason: int, /) -> None:
            """SCHEDOP_shutdown; returns in the model, and firmware must stop then."""
