"""Making, finding and ending domains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xlpy.errors import NotFound
from xlpy.toolstack.record import forget, load, named

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from xlpy.dom0.emulated import EmulatedDom0
    from xlpy.dom0.xenstore import XenStore
    from xlpy.hypervisor.xen import Xen
    from xlpy.store import Store
    from xlpy.toolstack.build import Builder
    from xlpy.toolstack.config import DomainConfig
    from xlpy.toolstack.running import Running


def _quiet(_text: str) -> None:
    """The default listener: nobody."""


class Lifecycle:
    """The toolstack of one host.

    Args:
        xen, dom0, xenstore, store: the actors, and where libxl keeps its records.
        labels: folder of the vNVDIMMs' label areas.
    """

    def __init__(self, xen: Xen, dom0: EmulatedDom0, xenstore: XenStore, store: Store, labels: Path) -> None:
        self.xen = xen
        self.dom0 = dom0
        self.xenstore = xenstore
        self.store = store
        self.labels = labels

    def builder(self, step: Callable[[str], None] = _quiet) -> Builder:
        """A builder that tells its steps."""
        from xlpy.toolstack.build import Builder

        return Builder(self.xen, self.dom0, self.xenstore, self.store, self.labels, step)

    def check(self, config: DomainConfig) -> None:
        """Everything that can be found wrong with a configuration before anything is made."""
        self.builder().check(config)

    def create(self, config: DomainConfig, paused: bool = False, step: Callable[[str], None] = _quiet) -> int:
        """Build a domain and start it; its domid."""
        return self.builder(step).create(config, paused)

    def destroy(self, domid: int) -> None:
        """End a domain at once: device model, xenstore, memory; its persistent memory is left as it is."""
        from xlpy.toolstack.build import clear_rows, device_model

        calls = self.xen.hypercalls(0)
        vm = self.xenstore.connection(0).read_or_none(f"/local/domain/{domid}/vm")
        self.xen.domain(domid)  # NotFound, before anything is touched
        device_model(self.xen, self.xenstore, self.store, domid).destroy()
        self.unpin(domid)
        calls.domctl_destroydomain(domid)
        clear_rows(self.xenstore, domid, vm)
        self.xenstore.release(domid)
        forget(self.store, domid)

    def unpin(self, domid: int) -> None:
        """Give the backings of a domain back to Dom0."""
        for device in load(self.store, domid).vnvdimms:
            self.dom0.unpin(device.path, f"domain {domid}")

    def domid(self, domain: str) -> int:
        """A domid from what a user wrote: all digits is a domid, anything else an exact name.

        Raises:
            NotFound: no such domain.
        """
        if domain.isdigit():
            found: int | None = int(domain) if self.xen.find(int(domain)) is not None else None
        else:
            found = 0 if domain == "Domain-0" else named(self.xenstore, domain)
        if found is None:
            raise NotFound(f"{domain} is an invalid domain identifier", hint="xlpy list shows the domains")
        return found

    def running(self, domid: int) -> Running:
        """A running domain with its device model connected. NotFound for Domain-0, which has no firmware here."""
        from xlpy.toolstack.running import Running

        if domid == 0:
            raise NotFound("domain 0 is the host's own", hint="xlpy acpi dump --host shows the host's tables")
        domain = self.xen.domain(domid)
        record = load(self.store, domid)
        if record.vnvdimms:
            from xlpy.toolstack.build import device_model

            device_model(self.xen, self.xenstore, self.store, domid).connect()
        return Running(domain, record, self.xen.hw)
