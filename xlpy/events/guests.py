"""The guests that have some of a host's persistent memory: their device models are told what happened to it."""

from __future__ import annotations

from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from xlpy.addr import Spa, Span
    from xlpy.devicemodel.model import DeviceModel
    from xlpy.host import Host


def tell_guests(host: Host, spans: Iterable[Span[Spa]], tell: Callable[[DeviceModel], object]) -> list[int]:
    """Call ``tell`` with the device model of each guest that has some of the spans.

    Args:
        host: whose.
        spans: host physical.
        tell: what to do, in the order of domids.

    Returns:
        the domids.
    """
    owners = sorted({piece.tag for span in spans for piece in host.xen.pmem.owned(span)})
    if owners:
        from xlpy.toolstack.domain.model import device_model

        for domid in owners:
            tell(device_model(host.xen, host.xenstore, host.store, domid))
    return owners
