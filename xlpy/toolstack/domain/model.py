"""The device model of an existing domain."""

from __future__ import annotations

from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.devicemodel.attach import Attaching
    from xlpy.devicemodel.model import DeviceModel
    from xlpy.dom0.xenstore.daemon import XenStore
    from xlpy.hypervisor.xen import Xen
    from xlpy.store import Store


def device_model(xen: Xen, xenstore: XenStore, store: Store, domid: int) -> DeviceModel:
    """The device model of a domain, as it left itself in the store."""
    from xlpy.devicemodel.model import DeviceModel

    domain = xen.domain(domid)
    return DeviceModel(xen, domain, xenstore.connection(0), store.table("dm"))


def attaching(xen: Xen, xenstore: XenStore, store: Store, domid: int) -> Attaching:
    """The device model of a domain that starts."""
    from xlpy.devicemodel.attach import Attaching

    return Attaching(xen, xen.domain(domid), xenstore.connection(0), store.table("dm"))
