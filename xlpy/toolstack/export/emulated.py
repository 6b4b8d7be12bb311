"""Export from the emulated host: the same files, for trying things out; addresses are those of the emulated bank."""

from __future__ import annotations

from xlpy.functions import cached_property
from xlpy.toolstack.backing.resolve import resolve
from xlpy.toolstack.config.devices.vnvdimm import VnvdimmEntry
from xlpy.toolstack.export.machine import DimmFacts
from xlpy.typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from xlpy.addr import Gpa, Spa, Span
    from xlpy.dom0.emulated import EmulatedDom0
    from xlpy.dom0.kernel import Mount
    from xlpy.dom0.xenstore.daemon import XenStore
    from xlpy.hypervisor.xen import Xen
    from xlpy.store import Store
    from xlpy.toolstack.backing.resolve import Resolved
    from xlpy.toolstack.config.domain_config import DomainConfig
    from xlpy.toolstack.domain.backings import Backings


class HostActors(Protocol):
    """Who acts on an emulated host (``xlpy.host.Host``); each is there when it is first asked for."""

    @property
    def xen(self) -> Xen: ...
    @property
    def dom0(self) -> EmulatedDom0: ...
    @property
    def xenstore(self) -> XenStore: ...

    store: Store

    def change(self, what: str) -> AbstractContextManager[None]: ...


class EmulatedMachine:
    """Implements ``Machine``.

    Args:
        host: the emulated host.
        labels: folder of the label areas of its domains.
    """

    kind = "emulated"

    def __init__(self, host: HostActors, labels: str) -> None:
        self._host = host
        self._labels = labels
        self.register = host.store.table("exports")
        self.change = host.change

    @property
    def _xen(self) -> Xen:
        return self._host.xen

    @property
    def _dom0(self) -> EmulatedDom0:
        return self._host.dom0

    @cached_property
    def _backings(self) -> Backings:
        from xlpy.toolstack.domain.backings import Backings

        return Backings(self._xen, self._dom0, self._labels)

    def absolute(self, path: str) -> str:
        return self._dom0.clean(path) if path.startswith("/") else path

    def xen(self) -> str | None:
        return None

    def physical_bits(self) -> int:
        return self._xen.hw.spec.cpu.physical_bits

    def resolve(self, paths: Sequence[str]) -> list[Resolved]:
        return [resolve(self._dom0, path) for path in paths]

    def refuse_taken(self, name: str, found: Sequence[Resolved]) -> None:
        self._backings.refuse_taken(name, [(VnvdimmEntry(one.path), one) for one in found])

    def locate(self, spans: Sequence[Span[Spa]]) -> tuple[str, str] | None:
        from xlpy.toolstack.export import search

        found = search.locate(self._dom0, self._names, spans, self._files)
        return found or search.devdax(self._dom0, self._dax, spans)

    def _files(self, mount: Mount, size: int) -> Iterator[str]:
        for path, inode in self._dom0.files(mount):
            if inode.size == size:
                yield path

    def pmem(self) -> list[tuple[str, Span[Spa]]]:
        from xlpy.toolstack.export import search

        found = [(name, span) for name, kind, span in search.devices(self._dom0, self._names) if kind == "device"]
        return found + [(name, span) for name, spans in search.daxes(self._dom0, self._dax) for span in spans]

    @property
    def _dax(self) -> list[str]:
        return [one.char for one in self._dom0.namespaces if one.char]

    @property
    def _names(self) -> list[str]:
        return [device.name for device in self._dom0.devices]

    def media(self, resolved: Resolved) -> DimmFacts:
        spec = self._xen.hw.spec
        identity = self._backings.label_name(VnvdimmEntry(resolved.path), resolved)
        from xlpy.devicemodel.smart import told

        smart = told(self._xen.hw, resolved.spans)
        if smart is None:
            return DimmFacts(identity, spec.persistence)
        return DimmFacts(identity, spec.persistence, smart.health.state == "fatal", smart.health.unsafe_shutdowns)

    def poisoned(self, resolved: Resolved) -> list[Span[Spa]]:
        from xlpy.toolstack.backing.poison import poisoned

        return poisoned(self._dom0, resolved)

    def inode(self, path: str) -> int:
        return self._dom0.stat(path).inode

    def read(self, resolved: Resolved, length: int) -> bytes:
        data = b""
        for span in resolved.spans:
            data += self._xen.hw.read(span.start, min(span.size, length - len(data)))
            if len(data) == length:
                break
        return data

    def users(self, paths: Sequence[str]) -> dict[str, list[str]]:
        return {path: [] for path in paths}  # no process of the emulated Dom0 has files open

    def mapping(self, spans: Sequence[Span[Spa]]) -> list[str]:
        owners = {owner for span in spans if (owner := self._xen.pmem.owner_of(span)) is not None}
        from xlpy.toolstack.domain.record import name_of

        return [f"domain {domid} ({name_of(self._host.xenstore, domid)})" for domid in sorted(owners)]

    def reserved(self, config: DomainConfig) -> list[Span[Gpa]]:
        del config
        return []

    def bars(self, config: DomainConfig) -> int:
        del config
        return 0

    def sync(self, path: str) -> None:
        del path
        self._xen.hw.sync()

    def pin(self, path: str, kind: str, owner: str, *, renew: bool) -> str:
        del renew
        self._dom0.pin(path, owner)
        return "immutable" if kind == "file" else "record"

    def pinned(self, path: str, kind: str) -> bool:
        del kind
        return self._dom0.holder(path) is not None

    def unpin(self, path: str, how: str, owner: str) -> None:
        del how
        self._dom0.unpin(path, owner)
