"""Asking a domain to end or start again, and pressing its buttons: the toolstack's side (libxl ``libxl_domain.c``).

The guest is asked through xenstore, and answers or does not. What follows is the monitor's business.
"""

from __future__ import annotations

from xlpy import abi
from xlpy.errors import Conflict, UsageError
from xlpy.toolstack.domain.guest import SYSRQ
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.hypervisor.domain import Domain
    from xlpy.toolstack.domain.lifecycle import Lifecycle

TRIGGERS = {
    "nmi": abi.XEN_DOMCTL_SENDTRIGGER_NMI,
    "reset": abi.XEN_DOMCTL_SENDTRIGGER_RESET,
    "init": abi.XEN_DOMCTL_SENDTRIGGER_INIT,
    "power": abi.XEN_DOMCTL_SENDTRIGGER_POWER,
    "sleep": abi.XEN_DOMCTL_SENDTRIGGER_SLEEP,
    "s3resume": None,  # not a trigger of Xen's: an HVM parameter
}


def ask(life: Lifecycle, domid: int, word: str, dry_run: bool = False) -> None:
    """Write ``poweroff``, ``reboot`` or ``suspend`` to ``control/shutdown``, and let the guest answer.

    Raises:
        Conflict: it cannot answer: it is Dom0, shut down already, paused, or asleep.
    """
    domain = life.guest(domid)
    _refuse_ended(domain)
    _refuse_deaf(domain)
    if not dry_run:
        life.xenstore.connection(0).write(f"/local/domain/{domid}/control/shutdown", word)
        life.wake(domid)


def trigger(life: Lifecycle, domid: int, name: str, vcpu: int = 0, dry_run: bool = False) -> None:
    """Send a trigger, and let the guest answer what it answers at once.

    Args:
        life: the toolstack.
        domid: the domain.
        name: a key of ``TRIGGERS``, in any case.
        vcpu: who gets an NMI.
        dry_run: check only.

    Raises:
        UsageError: no such trigger. Conflict: Dom0, or shut down already. HypercallError: Xen refuses.
    """
    if name.lower() not in TRIGGERS:
        raise UsageError(f'Invalid trigger "{name}"', hint=f"choose one of: {', '.join(TRIGGERS)}")
    domain = life.guest(domid)
    _refuse_ended(domain)
    if dry_run:
        return
    number = TRIGGERS[name.lower()]
    if number is None:
        life.xen.hypercalls(0).hvm_set_param(domid, abi.HVM_PARAM_ACPI_S_STATE, 0)
    else:
        life.xen.hypercalls(0).domctl_sendtrigger(domid, number, vcpu)
    life.wake(domid)


def sysrq(life: Lifecycle, domid: int, letter: str, dry_run: bool = False) -> None:
    """Write a letter to ``control/sysrq``; the guest acts on o (off), b (reboot) and c (crash), and ignores others.

    Raises:
        UsageError: not one letter. Conflict: it cannot answer.
    """
    if len(letter) != 1 or not letter.isascii() or not letter.isalnum():
        raise UsageError("Invalid sysrq.", hint=f"one letter; the guest acts on {', '.join(SYSRQ)}")
    domain = life.guest(domid)
    _refuse_ended(domain)
    _refuse_deaf(domain)
    if not dry_run:
        life.xenstore.connection(0).write(f"/local/domain/{domid}/control/sysrq", letter)
        life.wake(domid)


def _refuse_ended(domain: Domain) -> None:
    if domain.shutdown_code is not None:
        raise Conflict(
            f"domain {domain.domid} has shut down already ({abi.SHUTDOWN_NAMES[domain.shutdown_code]})",
            code="XLPY-DOMAIN-ENDED",
            hint=f"xlpy destroy {domain.domid} removes it",
        )


def _refuse_deaf(domain: Domain) -> None:
    """A guest that does not run cannot answer; xl would wait 60 seconds for it and take its request back."""
    if domain.paused:
        raise Conflict(
            f"domain {domain.domid} is paused: its guest cannot answer",
            code="XLPY-DOMAIN-PAUSED",
            hint=f"xlpy unpause {domain.domid}",
        )
    if domain.asleep:
        raise Conflict(
            f"domain {domain.domid} is asleep (ACPI S3): its guest cannot answer",
            code="XLPY-DOMAIN-ASLEEP",
            hint=f"xlpy trigger {domain.domid} s3resume",
        )
