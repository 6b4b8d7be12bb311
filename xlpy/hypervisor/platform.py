"""A domain as the programs inside it see it: memory, processor, ports, and Xen by hypercall."""

from __future__ import annotations

from xlpy import abi
from xlpy.addr import Span
from xlpy.errors import HypercallError
from xlpy.functions import cached_property
from xlpy.hypervisor.mmio import IoRequest
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.addr import Gfn, Gpa
    from xlpy.firmware.e820 import E820Entry
    from xlpy.firmware.platform import Vnuma
    from xlpy.hypervisor.chipset import Chipset
    from xlpy.hypervisor.domain import Domain
    from xlpy.hypervisor.hypercalls import Hypercalls

DEBUG_PORT = 0xE9


class GuestPlatform:
    """``xlpy.firmware.platform.Platform`` for a domain: what its firmware runs on.

    The state of the board is kept whenever the guest leaves a mark (a line, a parameter, a shutdown), and by ``save``.

    Args:
        domain: the domain.
        xenstore: reads a key relative to the domain's directory with the domain's rights; None when it cannot.
    """

    def __init__(self, domain: Domain, xenstore: Callable[[str], str | None]) -> None:
        self._domain = domain
        self._memory = domain.memory
        self._xenstore = xenstore
        self._line = bytearray()

    @cached_property
    def chipset(self) -> Chipset:
        """The board."""
        from xlpy.hypervisor.chipset import Chipset

        return Chipset(self._domain)

    def save(self) -> None:
        """Keep the state of the board, when it has changed."""
        self.chipset.save()

    @cached_property
    def _calls(self) -> Hypercalls:
        from xlpy.hypervisor.hypercalls import Hypercalls

        return Hypercalls(self._domain.xen, self._domain.domid)

    def read(self, gpa: Gpa, length: int, /) -> bytes:
        """Guest memory or MMIO; all ones where nothing responds."""
        return self._memory.read(gpa, length)

    def read_run(self, gpa: Gpa, width: int, count: int, /) -> bytes:
        """The same of ``count`` units of ``width`` bytes, each read by itself."""
        return self._memory.read_run(gpa, width, count)

    def write(self, gpa: Gpa, data: bytes, /) -> None:
        """Guest memory or MMIO; dropped where nothing responds."""
        self._memory.write(gpa, data)

    def cpuid(self, leaf: int, subleaf: int, /) -> tuple[int, int, int, int]:
        """EAX, EBX, ECX, EDX of vCPU 0."""
        return self._domain.cpuid(leaf, subleaf)

    def io_in(self, port: int, size: int, /) -> int:
        """Read a port; all ones where nothing responds."""
        if port == DEBUG_PORT:
            return DEBUG_PORT  # how a guest recognises the port
        value = self.chipset.io_in(port, size)
        if value is None:
            value = self._domain.ioreq.access(IoRequest(port, size, write=False, kind=abi.XEN_DMOP_IO_RANGE_PORT))
        return value & ((1 << 8 * size) - 1)

    def io_out(self, port: int, size: int, value: int, /) -> None:
        """Write a port."""
        value &= (1 << 8 * size) - 1
        if port == DEBUG_PORT:
            self._debug(value & 0xFF)
        elif not self.chipset.io_out(port, size, value):
            request = IoRequest(port, size, write=True, value=value, kind=abi.XEN_DMOP_IO_RANGE_PORT)
            self._domain.ioreq.access(request)

    def memory_map(self) -> list[E820Entry]:
        """XENMEM_memory_map; empty when the toolstack set none."""
        try:
            return self._calls.memory_memory_map()
        except HypercallError as error:
            if error.errno != abi.ENOSYS:
                raise
            return []

    def populate(self, gfn: Gfn, count: int, /) -> bool:
        """XENMEM_populate_physmap; False when not all of it could be populated."""
        return self._calls.memory_populate_physmap(abi.DOMID_SELF, [Span(gfn, count)]) == 1

    def move_page(self, src: Gfn, dst: Gfn, count: int = 1, /) -> None:
        """XENMEM_add_to_physmap, in steps of at most 65535 pages."""
        while count > 0:
            step = min(count, abi.GMFN_RANGE_MAX)
            space = abi.XENMAPSPACE_GMFN if step == 1 else abi.XENMAPSPACE_GMFN_RANGE
            self._calls.memory_add_to_physmap(abi.DOMID_SELF, space, src, dst, step)
            src, dst, count = type(src)(src + step), type(dst)(dst + step), count - step

    def xenstore(self, path: str, /) -> str | None:
        """A key relative to the domain's directory."""
        return self._xenstore(path)

    def set_param(self, index: int, value: int, /) -> None:
        """HVMOP_set_param."""
        self._calls.hvm_set_param(abi.DOMID_SELF, index, value)
        self.save()

    def get_param(self, index: int, /) -> int:
        """HVMOP_get_param."""
        return self._calls.hvm_get_param(abi.DOMID_SELF, index)

    def vnuma(self) -> Vnuma | None:
        """XENMEM_get_vnumainfo; None when the domain has no virtual topology."""
        try:
            return self._calls.memory_get_vnumainfo()
        except HypercallError as error:
            if error.errno != abi.EOPNOTSUPP:
                raise
            return None

    def log(self, line: str, /) -> None:
        """One line on the debug port."""
        self._domain.xen.console.write(f"(d{self._domain.domid}) {line}")
        self.save()

    def shutdown(self, reason: int, /) -> None:
        """SCHEDOP_shutdown."""
        self.save()
        self._calls.sched_shutdown(abi.DOMID_SELF, reason)

    def _debug(self, letter: int) -> None:
        if letter == ord("\n"):
            line = self._line.decode("ascii", "replace")
            self._line.clear()
            self.log(line)
        elif letter >= ord(" ") or letter == ord("\t"):
            self._line.append(letter)
