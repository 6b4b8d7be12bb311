"""The platform under the nd bus of the emulated Dom0: the machine's memory and label areas, and their users."""

from __future__ import annotations

from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.addr import Spa, Span
    from xlpy.dom0.nvdimm.driver import Dimm
    from xlpy.dom0.nvdimm.memory import HostMemory
    from xlpy.hw.hardware import Hardware


class KeptMemory:
    """Host memory whose content before a write comes back when the change does not stay.

    Args:
        hw: the machine.
        memory: as the driver reads it.
    """

    def __init__(self, hw: Hardware, memory: HostMemory) -> None:
        self._hw = hw
        self._memory = memory
        self.read = memory.read

    def write(self, spa: Spa, data: bytes) -> None:
        """Store at an address."""
        from xlpy.addr import Span

        self._hw.keep(Span(spa, len(data)))
        self._memory.write(spa, data)

    def zero(self, span: Span[Spa]) -> None:
        """Make a span read as zeros without using space."""
        self._hw.keep(span)
        self._memory.zero(span)


class DimmLabels:
    """A DIMM's label area, as label commands reach it."""

    def __init__(self, hw: Hardware, dimm: str, size: int) -> None:
        self._hw = hw
        self._dimm = dimm
        self.size = size

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the area."""
        return self._hw.labels_read(self._dimm, offset, length)

    def write(self, offset: int, data: bytes) -> None:
        """Store bytes in the area."""
        self._hw.labels_write(self._dimm, offset, data)


class HostPlatform:
    """Implements ``nd.bus.Platform``.

    Args:
        hw: the machine.
        memory: as the driver reads it.
        bad: the unreadable parts of a span that the driver knows of.
        users: who uses persistent memory in a span.
        clear: makes a span readable.
    """

    def __init__(
        self,
        hw: Hardware,
        memory: HostMemory,
        bad: Callable[[Span[Spa]], list[Span[Spa]]],
        users: Callable[[Span[Spa]], list[str]],
        clear: Callable[[Span[Spa]], int],
    ) -> None:
        self._hw = hw
        self.memory: HostMemory = KeptMemory(hw, memory)
        self.poison = bad
        self.users = users
        self.clear_poison = clear
        self._dimms = {one.handle: one for one in hw.spec.dimms}

    def config(self, dimm: Dimm) -> DimmLabels:
        """The label area of a DIMM."""
        one = self._dimms.get(dimm.handle)  # None: it was just pulled out
        return DimmLabels(self._hw, one.id, one.label_size) if one else DimmLabels(self._hw, "", 0)

    def flush_hints(self, dimm: Dimm) -> int:
        """How many flush hint addresses a DIMM has."""
        return dimm.flush_hints
