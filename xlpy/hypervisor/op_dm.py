"""dm_op: what a device model may do to its domain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xlpy.hypervisor import abi
from xlpy.hypervisor.gate import Gate, hypercall, refuse

if TYPE_CHECKING:
    from xlpy.hypervisor.domain import Domain


class DmOps(Gate):
    """dm_op.

    Every operation refuses in this order: EPERM the caller's own domain; ESRCH no such domain; EINVAL not an HVM
    domain; EPERM neither its device model nor the control domain.
    """

    @hypercall("XEN_DMOP_create_ioreq_server")
    def dm_create_ioreq_server(self, domid: int) -> int:
        """Register the caller as a device model of the domain; it starts disabled.

        Returns:
            the id of the server, 0 to 7.

        Raises:
            HypercallError: see the class; ENOSPC there are eight.
        """
        domain = self._dm_domain("XEN_DMOP_create_ioreq_server", domid)
        number = domain.ioreq.create(self.caller)
        return self._kept(domain, number)

    @hypercall("XEN_DMOP_map_io_range_to_ioreq_server")
    def dm_map_io_range(self, domid: int, server: int, kind: int, start: int, end: int) -> None:
        """Send accesses to a range to a server.

        Args:
            domid, server: the domain, and which of its servers.
            kind: XEN_DMOP_IO_RANGE_*.
            start, end: first and last address, both inside.

        Raises:
            HypercallError: see the class; ENOENT no such server; EPERM another's server; EINVAL bad kind, or start
                after end; EEXIST overlap with a range of this server; ENOSPC 256 ranges.
        """
        domain = self._dm_domain("XEN_DMOP_map_io_range_to_ioreq_server", domid)
        domain.ioreq.server(server, self.caller).map_range(kind, start, end)
        self._kept(domain)

    @hypercall("XEN_DMOP_unmap_io_range_from_ioreq_server")
    def dm_unmap_io_range(self, domid: int, server: int, kind: int, start: int, end: int) -> None:
        """Take back a range that was mapped with these ends; errors as for mapping, ENOENT an unknown range."""
        domain = self._dm_domain("XEN_DMOP_unmap_io_range_from_ioreq_server", domid)
        domain.ioreq.server(server, self.caller).unmap_range(kind, start, end)
        self._kept(domain)

    @hypercall("XEN_DMOP_set_ioreq_server_state")
    def dm_set_state(self, domid: int, server: int, enabled: bool) -> None:
        """Enable or disable a server: see the class; ENOENT, EPERM."""
        domain = self._dm_domain("XEN_DMOP_set_ioreq_server_state", domid)
        domain.ioreq.server(server, self.caller).enabled = bool(enabled)
        self._kept(domain)

    @hypercall("XEN_DMOP_destroy_ioreq_server")
    def dm_destroy(self, domid: int, server: int) -> None:
        """Remove a server: see the class; ENOENT, EPERM."""
        domain = self._dm_domain("XEN_DMOP_destroy_ioreq_server", domid)
        domain.ioreq.server(server, self.caller)
        domain.ioreq.destroy(server)
        self._kept(domain)

    def _dm_domain(self, what: str, domid: int) -> Domain:
        if domid in (self.caller, abi.DOMID_SELF):
            refuse(abi.EPERM, f"{what}: a domain is not its own device model")
        domain = self._lookup(domid)
        if not domain.hvm:
            refuse(abi.EINVAL, f"{what}: d{domid} is not an HVM domain")
        return self._device_model(what, domid)

    @staticmethod
    def _kept(domain: Domain, result: int = 0) -> int:
        domain.keep("xen.ioreq", domain.ioreq.to_json())
        return result
