"""hvm_op: the parameters of an HVM domain."""

from __future__ import annotations

from xlpy.hypervisor import abi
from xlpy.hypervisor.gate import Gate, hypercall, in_range, refuse

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
