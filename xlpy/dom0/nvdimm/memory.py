"""Host physical memory, as far as Dom0's driver needs it."""

from __future__ import annotations

from xlpy.typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from xlpy.addr import Spa, Span


class Readable(Protocol):
    """Memory to look at."""

    def read(self, spa: Spa, length: int, /) -> bytes:
        """Bytes at an address."""
        ...


class HostMemory(Readable, Protocol):
    """What the driver needs of host physical memory."""

    def write(self, spa: Spa, data: bytes) -> None:
        """Store at an address."""
        ...

    def zero(self, span: Span[Spa]) -> None:
        """Make a span read as zeros without using space."""
        ...
