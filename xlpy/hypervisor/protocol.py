"""The interfaces between the parts of the hypervisor.

For type checkers only: nothing imports this module at run time. ``domain.Hypervisor`` adds what hypercalls use.
"""

from __future__ import annotations

from xlpy.typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xlpy.addr import Spa
    from xlpy.hw.hardware import Hardware
    from xlpy.hypervisor.console import Console
    from xlpy.hypervisor.heap import Heap
    from xlpy.hypervisor.mmio import Ioreq
    from xlpy.hypervisor.p2m import P2M
    from xlpy.hypervisor.ramfile import RamFiles
    from xlpy.store import Store


class XenServices(Protocol):
    """What domains and the registry of persistent memory use of ``Xen``, which documents each."""

    store: Store
    console: Console
    ended: list[int]

    @property
    def hw(self) -> Hardware: ...
    @property
    def heap(self) -> Heap: ...
    @property
    def version(self) -> str: ...
    def save_heap(self) -> None: ...
    def consumed(self, spa: Spa) -> None: ...
    def domains(self) -> Iterable[PmemDomain]: ...


class PmemDomain(Protocol):
    """What the registry of persistent memory uses of a domain."""

    domid: int

    @property
    def p2m(self) -> P2M: ...
    def save_pmem(self) -> None: ...


class MemoryDomain(Protocol):
    """What guest memory uses of its domain: what is mapped where, and the emulators that answer for the rest.

    crash: ends the domain. denied: a store to read-only memory was refused.
    consumed: poison was read at a host address, the machine check is for the domain to handle.
    """

    domid: int

    @property
    def hw(self) -> Hardware: ...
    @property
    def p2m(self) -> P2M: ...
    @property
    def files(self) -> RamFiles: ...
    @property
    def ioreq(self) -> Ioreq: ...
    def crash(self, why: str) -> None: ...
    def denied(self, gfn: int, mfn: int) -> None: ...
    def consumed(self, spa: Spa) -> None: ...
