"""What a device of the nd bus uses of its parents: its region, and its bus.

Devices hold their children by their classes and their parents by these protocols, so that modules import downwards.
"""

from __future__ import annotations

from xlpy.typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from xlpy.addr import Spa, Span
    from xlpy.dom0.nvdimm.driver import RegionDesc
    from xlpy.dom0.nvdimm.memory import HostMemory


class AboveClaim(Protocol):
    """A namespace, for the device that has claimed it."""

    id: int
    span: Span[Spa]
    raw_uuid: bytes | None
    kind: str
    bound: bool
    claim: Any

    @property
    def dev(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def holder_class(self) -> str: ...
    @property
    def region(self) -> AboveNamespace: ...
    def probe_common(self) -> None: ...


class AboveNamespace(Protocol):
    """A region, for what is below it."""

    bus: AboveRegion
    info: RegionDesc
    bound: bool
    ro: bool
    align: int
    mappings: list[Any]
    namespaces: list[Any]
    btts: list[Any]
    pfns: list[Any]
    daxs: list[Any]
    namespace_seed: Any
    btt_seed: Any
    pfn_seed: Any
    dax_seed: Any

    @property
    def dev(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def resource(self) -> Spa: ...
    @property
    def nstype(self) -> int: ...
    @property
    def numa_node(self) -> int | None: ...
    @property
    def target_node(self) -> int | None: ...
    @property
    def badblocks(self) -> list[tuple[int, int]]: ...
    def label_cookie(self, dimm: Any, /) -> int: ...  # noqa: ANN401
    def require_room(self, wanted: int, allocated: int) -> None: ...
    def resize(self, uuid: str, old: int, new: int) -> None: ...
    def probe(self, dev: Any, driver: Callable[[], None], /) -> None: ...  # noqa: ANN401


class AboveRegion(Protocol):
    """A bus, for what is on it."""

    provider: str
    persistence: str | None

    @property
    def dev(self) -> str: ...
    @property
    def scrub_state(self) -> str | None: ...
    @property
    def regions(self) -> Sequence[Any]: ...
    @property
    def memory(self) -> HostMemory: ...
    def clear_poison(self, span: Span[Spa]) -> int: ...
    def badblocks(self, span: Span[Spa]) -> list[tuple[int, int]]: ...
    def has_flush(self, dimm: Any, /) -> bool: ...  # noqa: ANN401
    def users(self, namespace: Any, /) -> Iterable[str]: ...  # noqa: ANN401
    def require_idle(self, namespace: Any, /) -> None: ...  # noqa: ANN401
    def uuid_taken(self, uuid: bytes) -> bool: ...
    def changed(self, what: Any, /) -> None: ...  # noqa: ANN401
    def log(self, text: str) -> None: ...
