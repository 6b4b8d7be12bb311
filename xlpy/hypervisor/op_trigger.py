"""Buttons and lines of a domain's board that the control domain can press and pull."""

from __future__ import annotations

from xlpy.hypervisor import abi
from xlpy.hypervisor.chipset import PWRBTN_STS, SLPBTN_STS, Chipset
from xlpy.hypervisor.gate import Gate, hypercall, refuse

_BUTTONS = {abi.XEN_DOMCTL_SENDTRIGGER_POWER: PWRBTN_STS, abi.XEN_DOMCTL_SENDTRIGGER_SLEEP: SLPBTN_STS}


class TriggerOps(Gate):
    """XEN_DOMCTL_sendtrigger."""

    @hypercall("XEN_DOMCTL_sendtrigger")
    def domctl_sendtrigger(self, domid: int, trigger: int, vcpu: int = 0) -> None:
        """Press the power or sleep button (the guest finds it in its PM1 status), reset the board, or send an NMI.

        Xen on x86 has no code for a reset (it answers ENOSYS); here it does what the board's reset line does.

        Args:
            domid: the domain.
            trigger: XEN_DOMCTL_SENDTRIGGER_*.
            vcpu: who gets an NMI.

        Raises:
            HypercallError: EPERM; ESRCH no such domain or vCPU; EINVAL a button on a guest without ACPI hardware;
                ENOSYS INIT, which x86 does not have, or a number that is not a trigger.
        """
        domain = self._controlled("XEN_DOMCTL_sendtrigger", domid)
        if not 0 <= vcpu < domain.max_vcpus:
            refuse(abi.ESRCH, f"d{domid} has no vCPU {vcpu}, its vCPUs are 0 to {domain.max_vcpus - 1}")
        if trigger == abi.XEN_DOMCTL_SENDTRIGGER_NMI:
            self.xen.console.write(f"(XEN) d{domid}v{vcpu} NMI; its firmware ignores it")
        elif trigger == abi.XEN_DOMCTL_SENDTRIGGER_RESET:
            domain.shutdown(abi.SHUTDOWN_REBOOT)
        elif trigger in _BUTTONS:
            if not domain.hvm:
                refuse(abi.EINVAL, f"d{domid} is not an HVM guest: it has no buttons")
            board = Chipset(domain)
            board.press(_BUTTONS[trigger])
            board.save()
        else:
            refuse(abi.ENOSYS, f"trigger {trigger} does not exist on x86")
