"""The model guest: not an operating system, but it responds as one with PV drivers and ACPI does.

It has four ears: ``control/shutdown`` and ``control/sysrq`` in xenstore, the buttons in its PM1 status register, and
machine checks, which its handler survives.
It acts through what belongs to it: its own xenstore rights, hypercalls made by it, its own ports. It has no balloon
driver, and it never lets go of a vNVDIMM by itself. A real kernel under ``xlpy boot`` takes its place for a while.
"""

from __future__ import annotations

from xlpy import abi
from xlpy.hypervisor.chipset import PM_CONTROL, PWRBTN_STS, S3_TYPE, S5_TYPE, SLP_EN, SLPBTN_STS
from xlpy.hypervisor.hypercalls import Hypercalls
from xlpy.hypervisor.platform import GuestPlatform
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.dom0.xenstore.daemon import XenStore
    from xlpy.hypervisor.domain import Domain

PM1 = 0xB000  # where hvmloader puts the power management block
REQUESTS = {  # words in control/shutdown that Linux acts on
    "poweroff": abi.SHUTDOWN_POWEROFF,
    "halt": abi.SHUTDOWN_POWEROFF,
    "reboot": abi.SHUTDOWN_REBOOT,
    "suspend": abi.SHUTDOWN_SUSPEND,
}
SYSRQ = {"o": abi.SHUTDOWN_POWEROFF, "b": abi.SHUTDOWN_REBOOT, "c": abi.SHUTDOWN_CRASH}  # Linux's letters
ALL_ONES = 0xFFFF


class ModelGuest:
    """The guest of one domain.

    Args:
        domain: where it runs.
        xenstore: the store that it watches.
    """

    def __init__(self, domain: Domain, xenstore: XenStore) -> None:
        self._domain = domain
        self._xenstore = xenstore.connection(domain.domid)
        self._calls = Hypercalls(domain.xen, domain.domid)

    def answer(self) -> None:
        """Act on what was asked since the last time; nothing happens while it cannot run."""
        if self._domain.running and self._domain.vmce_pending:  # its handler gives the page up, and clears MCIP
            self._domain.finish_machine_check()
        if self._domain.running:
            self._take("control/shutdown", REQUESTS)
        if self._domain.running:
            self._take("control/sysrq", SYSRQ)
        if self._domain.running and self._domain.hvm and self._xenstore.read_or_none("platform/acpi") == "1":
            self._look_at_buttons()

    def _take(self, path: str, meanings: dict[str, int]) -> None:
        """Acknowledge a request by clearing it, then shut down; what it does not know stays as it is."""
        reason = meanings.get(self._xenstore.read_or_none(path) or "")
        if reason is not None:
            self._xenstore.write(path, "")
            self._calls.sched_shutdown(abi.DOMID_SELF, reason)

    def _look_at_buttons(self) -> None:
        board = GuestPlatform(self._domain, self._xenstore.read_or_none)
        status = board.io_in(PM1, 2)
        if status == ALL_ONES:
            return
        if status & (PWRBTN_STS | SLPBTN_STS):
            board.io_out(PM1, 2, status & (PWRBTN_STS | SLPBTN_STS))
            if status & PWRBTN_STS:
                board.io_out(PM1 + PM_CONTROL, 2, SLP_EN | S5_TYPE)
            elif self._xenstore.read_or_none("platform/acpi_s3") == "1":
                board.io_out(PM1 + PM_CONTROL, 2, SLP_EN | S3_TYPE)
            board.save()
