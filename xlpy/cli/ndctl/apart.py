"""Dismantling a namespace, before it is reconfigured or destroyed."""

from __future__ import annotations

from errno import EBUSY, ENXIO

from xlpy.addr import Spa, Span
from xlpy.cli.ndctl import device
from xlpy.dom0.nvdimm.nd.namespace import INFO_BYTES
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.cli.ndctl.session import NdctlSession
    from xlpy.dom0.nvdimm.nd.namespace import NdNamespace


def take_apart(session: NdctlSession, one: NdNamespace, force: bool, delete: bool) -> int:
    """Disable a namespace and zero its info block; with ``delete`` its label goes too.

    Returns:
        0: done; 1: there was nothing to do; negative: an errno.
    """
    if one.region.ro:
        session.error(f"{one.dev}: read-only, re-configuration disabled\n")
        return -ENXIO
    if one.enabled and not force:
        session.error(f"{one.dev} is active, specify --force for re-configuration\n")
        return -EBUSY
    result = device.disable_unused(session, one)
    if result:
        return result
    device.set_class(one, "raw")
    result = _zero(session, one)
    if result < 0 or not one.has_label:
        return result
    return device.delete_namespace(one) if delete else 0


def _zero(session: NdctlSession, one: NdNamespace) -> int:
    """Zero the info block: 0 when there was anything, 1 when not; negative: an errno."""
    device.attempt(lambda: one.store_force_raw(True))
    result = device.enable_namespace(session, one)
    if result < 0:
        session.failed(f"{one.dev} failed to enable for zeroing, continuing")
        result = 1
    else:
        memory = one.region.bus.memory
        try:
            written = memory.read(one.resource, INFO_BYTES) != bytes(INFO_BYTES)
            if written:
                memory.zero(Span(Spa(one.resource), INFO_BYTES))
            result = 0 if written else 1
        except OSError:
            result = -ENXIO
    device.attempt(lambda: one.store_force_raw(False))
    device.disable_namespace(session, one)
    return result
