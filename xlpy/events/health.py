"""Health of DIMMs that changes while the host runs: new SMART values, and who is notified of them.

Guests see the DIMMs under their vNVDIMMs: the SMART functions of their ``_DSM`` are answered with what those tell when
they are asked. Neither the design nor QEMU has such functions; a guest's administrator wants to know all the same.
"""

from __future__ import annotations

from xlpy.events.guests import tell_guests
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xlpy.devicemodel.model import DeviceModel
    from xlpy.host import Host
    from xlpy.hw.health import Thresholds


def change_health(host: Host, dimm: str, values: dict[str, Any], limits: Thresholds | None = None) -> list[int]:
    """Make a DIMM report other values than its own, and notify the guests on it; inside ``Host.change``.

    Args:
        host: whose.
        dimm: its id.
        values: fields of ``HealthSpec``; None ends an injection.
        limits: other alarm thresholds.

    Returns:
        the domids of guests that were notified: when an alarm is raised that is enabled, by the DIMM's thresholds or
        those that the guest has set, or the DIMM is not well.

    Raises:
        NotFound: no such DIMM.
    """
    if limits is not None:
        host.hw.set_thresholds(dimm, limits)
    if values:
        host.hw.inject_health(dimm, **values)
    return _notify(host, dimm, host.hw.thresholds(dimm).worth_telling(host.hw.dimm(dimm).health))


def _notify(host: Host, dimm: str, alarming: bool) -> list[int]:
    spans = [region.span for region in host.hw.regions if dimm in region.set.dimms]
    told: list[int] = []

    def tell(model: DeviceModel) -> None:
        if model.health_changed(spans, alarming):
            told.append(model.domid)

    tell_guests(host, spans, tell)
    return told
