"""libndctl's operations on the kernel's nd bus: enabling and disabling devices, by single writes to sysfs.

Everything returns 0 or a negative errno, as libndctl does; what it says by itself goes to standard error.
"""

from __future__ import annotations

from errno import EBUSY, EINVAL, ENXIO

from xlpy.dom0.nvdimm.namespace import MODES
from xlpy.typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.cli.ndctl.session import NdctlSession
    from xlpy.dom0.nvdimm.nd.claim import Claim
    from xlpy.dom0.nvdimm.nd.dimm import Nvdimm
    from xlpy.dom0.nvdimm.nd.namespace import NdNamespace
    from xlpy.dom0.nvdimm.nd.region import NdRegion

ENABLED_BY_CLAIM = 1  # what enabling returns when another device took the namespace over


class Driven(Protocol):
    """A device with a driver."""

    bound: bool

    @property
    def dev(self) -> str:
        """Its name."""
        ...

    def bind(self) -> None:
        """Bind its driver."""
        ...

    def unbind(self) -> None:
        """Unbind its driver."""
        ...


def attempt(act: Callable[[], object]) -> int:
    """0, or the negative errno of what the kernel refuses."""
    try:
        act()
    except OSError as error:
        return -(error.errno or ENXIO)
    return 0


def enable(session: NdctlSession, device: Driven, function: str) -> int:
    """Bind a device's driver; whatever the kernel says, it is ENXIO when that fails."""
    if device.bound:
        return 0
    attempt(device.bind)
    if device.bound:
        return 0
    session.library(function, f"{device.dev}: failed to enable")
    return -ENXIO


def disable(session: NdctlSession, device: Driven, function: str) -> int:
    """Unbind a device's driver."""
    if not device.bound:
        return 0
    attempt(device.unbind)
    if not device.bound:
        return 0
    session.library(function, f"{device.dev}: failed to disable")
    return -EBUSY


def enable_dimm(session: NdctlSession, dimm: Nvdimm) -> int:
    """ndctl_dimm_enable."""
    return enable(session, dimm, "ndctl_dimm_enable")


def disable_dimm(session: NdctlSession, dimm: Nvdimm) -> int:
    """ndctl_dimm_disable."""
    return disable(session, dimm, "ndctl_dimm_disable")


def enable_region(session: NdctlSession, region: NdRegion) -> int:
    """ndctl_region_enable."""
    return enable(session, region, "ndctl_region_enable")


def disable_region(session: NdctlSession, region: NdRegion) -> int:
    """ndctl_region_disable_invalidate."""
    return disable(session, region, "ndctl_region_disable")


def enable_namespace(session: NdctlSession, namespace: NdNamespace) -> int:
    """ndctl_namespace_enable: 1 when a btt, pfn or dax device took it over."""
    if namespace.bound:
        return 0
    attempt(namespace.bind)
    if namespace.bound:
        return 0
    if namespace.enabled:
        return ENABLED_BY_CLAIM
    session.library("ndctl_namespace_enable", f"{namespace.dev}: failed to enable")
    return -ENXIO


def drop_claim(claim: Claim) -> int:
    """ndctl_btt_delete and its sisters."""
    if claim.bound:
        attempt(claim.unbind)
    return attempt(lambda: claim.store_namespace(""))


def disable_namespace(session: NdctlSession, namespace: NdNamespace) -> int:
    """ndctl_namespace_disable_invalidate: whatever claims it gives it up."""
    if namespace.claim:
        result = drop_claim(namespace.claim)
        if result:
            return result
    return disable(session, namespace, "ndctl_namespace_disable")


def disable_unused(session: NdctlSession, namespace: NdNamespace) -> int:
    """ndctl_namespace_disable_safe: EBUSY while it is in use by a mount, a domain or another device."""
    if namespace.region.bus.users(namespace):
        return -EBUSY
    disable_namespace(session, namespace)
    return 0


def configured(namespace: NdNamespace) -> bool:
    """ndctl_namespace_is_configured."""
    return not namespace.has_label or (namespace.size >= 4096 and bool(namespace.uuid))


def idle(namespace: NdNamespace) -> bool:
    """ndctl_namespace_is_configuration_idle: it can become something."""
    return not namespace.enabled and (not namespace.has_label or not configured(namespace))


def delete_namespace(namespace: NdNamespace) -> int:
    """ndctl_namespace_delete: its label goes; one that has gone already is no error."""
    if namespace.bound:
        return -EBUSY
    if not namespace.has_label:
        return 0
    result = attempt(lambda: namespace.store_size(0))
    return 0 if result == -ENXIO else result


def set_size(namespace: NdNamespace, size: int) -> None:
    """ndctl_namespace_set_size, which does not delete. OSError EINVAL for 0, else as ``store_size``."""
    if not size:
        raise OSError(EINVAL, "a size of 0 is for ndctl_namespace_delete")
    namespace.store_size(size)


def set_class(namespace: NdNamespace, mode: str) -> None:
    """ndctl_namespace_set_enforce_mode, whose failure is ignored."""
    attempt(lambda: namespace.store_holder_class(MODES[mode][1]))
