"""hvm_op and dm_op: the parameters of an HVM domain, and what a device model may do to it."""

from __future__ import annotations

from xlpy import abi
from xlpy.abi import in_range, refuse
from xlpy.hypervisor.gate import Gate, hypercall
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.hypervisor.domain import Domain

# What a guest may set for itself, and read; the rest is the toolstack's.
GUEST_SETS = frozenset(
    {
        abi.HVM_PARAM_CALLBACK_IRQ,
        abi.HVM_PARAM_VM86_TSS,
        abi.HVM_PARAM_VM86_TSS_SIZED,
        abi.HVM_PARAM_ACPI_IOPORTS_LOCATION,
        abi.HVM_PARAM_VM_GENERATION_ID_ADDR,
        abi.HVM_PARAM_STORE_EVTCHN,
        abi.HVM_PARAM_CONSOLE_EVTCHN,
        abi.HVM_PARAM_X87_FIP_WIDTH,
    }
)
GUEST_READS = GUEST_SETS | {abi.HVM_PARAM_STORE_PFN, abi.HVM_PARAM_CONSOLE_PFN}
SET_ONCE = frozenset(
    {
        abi.HVM_PARAM_VIRIDIAN,
        abi.HVM_PARAM_IOREQ_SERVER_PFN,
        abi.HVM_PARAM_NR_IOREQ_SERVER_PAGES,
        abi.HVM_PARAM_ALTP2M,
        abi.HVM_PARAM_MCA_CAP,
    }
)


class HvmOps(Gate):
    """hvm_op."""

    @hypercall("HVMOP_set_param")
    def hvm_set_param(self, domid: int, index: int, value: int) -> None:
        """Set a parameter.

        Raises:
            HypercallError: ESRCH; EPERM no rights over the domain, or a parameter that is not the guest's; EINVAL no
                such parameter, no 64-bit value, not an HVM domain; EEXIST it can be set only once and has another
                value.
        """
        domain = self._target("HVMOP_set_param", domid)
        self._check(domain.domid, index, hvm=domain.hvm)
        in_range(value, 1 << 64, f"the value of parameter {index}")
        if domain.domid == self.caller and index not in GUEST_SETS:
            refuse(abi.EPERM, f"parameter {index} is set by the toolstack, not by the guest")
        old = domain.params.get(index, 0)
        if index in SET_ONCE and old not in (0, value):
            refuse(abi.EEXIST, f"parameter {index} is {old:#x} and cannot become {value:#x}")
        domain.params[index] = value
        domain.save()

    @hypercall("HVMOP_get_param", query=True)
    def hvm_get_param(self, domid: int, index: int) -> int:
        """A parameter, 0 when it was never set; errors as for setting."""
        domain = self._target("HVMOP_get_param", domid)
        self._check(domain.domid, index, hvm=domain.hvm)
        if domain.domid == self.caller and index not in GUEST_READS:
            refuse(abi.EPERM, f"parameter {index} is not for the guest")
        return domain.params.get(index, 0)

    @staticmethod
    def _check(domid: int, index: int, *, hvm: bool) -> None:
        in_range(index, abi.HVM_NR_PARAMS, "parameter")
        if not hvm:
            refuse(abi.EINVAL, f"d{domid} is not an HVM domain")


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
        domain.keep("xen.ioreq", domain.ioreq.to_json)
        return result
