"""Machine checks on memory: the owner of the page, and who is notified.

The order follows Xen's memory handler (``mc_memerr_dhandler``), with the exemption that persistent memory needs: it is
not RAM in the host's memory map, and would otherwise bring the host down. The guest that owns the page loses it (its
p2m type becomes ram_broken) and gets a virtual machine check whose address is guest physical. The poison itself is
recorded by the hardware, outlives the domain, and keeps the page from being mapped again until it is cleared.
"""

from __future__ import annotations

from xlpy import abi
from xlpy.addr import LINE, PAGE, PAGE_SHIFT, Gpa, Spa, Span, align_down, align_up
from xlpy.firmware.e820 import E820_RAM
from xlpy.hypervisor.domain import Vmce
from xlpy.hypervisor.p2m import as_broken, as_repaired
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.hypervisor.domain import Domain, Hypervisor


_FATAL = "MCE: Fatal error happened on CPUs %x"
_REBOOTS = (
    "   The processor has reported a hardware error which cannot",
    "   be recovered from.  Xen will now reboot the machine.",
)

STATUS_VAL, STATUS_UC, STATUS_EN = 1 << 63, 1 << 61, 1 << 60
STATUS_MISCV, STATUS_ADDRV, STATUS_PCC = 1 << 59, 1 << 58, 1 << 57
STATUS_S, STATUS_AR = 1 << 56, 1 << 55
MCG_RIPV, MCG_EIPV, MCG_MCIP = 1 << 0, 1 << 1, 1 << 2
MISC_MODE_PHYSICAL = 2 << 6
MCG_LMCE = 1 << 3
CODE_SCRUBBING = 0x00C0  # memory scrubbing: action optional
CODE_WRITE_BACK = 0x017A  # explicit write-back from the last cache: action optional
CODE_DATA_LOAD = 0x0134  # action required
CODE_FETCH = 0x0150  # instruction fetch: action required
PLATFORM_BANK = 7  # where memory errors of the model's processors are reported

CONTINUE, RECOVERED, RESET = "continue", "recovered", "reset"


class MachineCheck(NamedTuple):
    """What a bank of the host's machine check registers holds (MCi_STATUS, MCi_ADDR, MCi_MISC)."""

    status: int
    addr: int
    misc: int

    @classmethod
    def memory_error(cls, spa: Spa, *, action_required: bool = False) -> MachineCheck:
        """An uncorrected error in the line at ``spa``: found by scrubbing, or (action required) by a data load."""
        kind = STATUS_AR | CODE_DATA_LOAD if action_required else CODE_SCRUBBING
        flags = STATUS_VAL | STATUS_UC | STATUS_EN | STATUS_MISCV | STATUS_ADDRV | STATUS_S
        return cls(flags | kind, spa, MISC_MODE_PHYSICAL | (LINE - 1).bit_count())


class Bank(NamedTuple):
    """Where a machine check is reported.

    number: of the bank; cpu: whose it is; mcg_status: MCG_STATUS there; corrected: by a corrected machine check
    interrupt (CMCI), which is only logged.
    """

    number: int = PLATFORM_BANK
    cpu: int = 0
    mcg_status: int = MCG_RIPV | MCG_MCIP
    corrected: bool = False


UNCORRECTED = Bank()


class MachineCheckOutcome(NamedTuple):
    """How a machine check ended.

    verdict: ``continue`` (logged), ``recovered`` or ``reset`` (the host panics).
    domid, gpa: the guest that had the page, and where; None when no guest had it.
    why: one line.
    """

    verdict: str
    domid: int | None
    gpa: Gpa | None
    why: str


class Mca:
    """The machine check handler of one host."""

    def __init__(self, xen: Hypervisor) -> None:
        self._xen = xen

    def report(self, spa: Spa, *, action_required: bool = False) -> MachineCheckOutcome:
        """A memory error at ``spa``; see ``handle``."""
        return self.handle(MachineCheck.memory_error(spa, action_required=action_required))

    def handle(self, check: MachineCheck, bank: Bank = UNCORRECTED) -> MachineCheckOutcome:
        """Handle a machine check as Xen would, and record everything that follows from it."""
        outcome = self._judge(check, bank)
        if outcome.verdict == RECOVERED:
            return outcome
        fatal = bool(check.status & STATUS_PCC)
        if fatal:
            for line in (f"Fatal machine check: {_FATAL % (1 << bank.cpu)}", "", "*" * 40, "", *_REBOOTS):
                self._say(line)
        if check.status & STATUS_UC and not bank.corrected:
            self._say(f"CPU{bank.cpu}: Machine Check Exception: {bank.mcg_status:16x}")
            misc = f"[{check.misc:16x}]" if check.status & STATUS_MISCV else ""
            at = f" at {check.addr:16x}" if check.status & STATUS_ADDRV else ""
            self._say(f"Bank {bank.number}: {check.status:16x}{misc}{at}")
        if outcome.verdict == RESET:
            panic = "HARDWARE ERROR" if fatal else "MCE: Software recovery failed for the UCR"
            self._xen.die(panic, outcome.why)
        return outcome

    def _say(self, line: str) -> None:
        self._xen.console.write(f"(XEN) {line}")

    def clear(self, span: Span[Spa]) -> int:
        """Forget the poison in a host range that was rewritten; pages without poison become ordinary again.

        Returns:
            bytes that were poisoned and are not any more.
        """
        xen = self._xen
        cleared = xen.hw.clear_poison(span)
        xen.pmem.forget_bad(lines(span))
        first, last = span.start >> PAGE_SHIFT, -(-span.end // PAGE)
        for mfn in [mfn for mfn in xen.pmem.broken if first <= mfn < last]:
            if not xen.hw.poison.overlapping(Span(Spa(mfn << PAGE_SHIFT), PAGE)):
                self._mark(mfn, broken=False)
        self._forget_views()
        return cleared

    def _judge(self, check: MachineCheck, bank: Bank) -> MachineCheckOutcome:
        as_is = RESET if check.status & (STATUS_AR | STATUS_PCC) else CONTINUE
        if not check.status & STATUS_UC:
            return MachineCheckOutcome(as_is, None, None, "a corrected error, which is logged for Dom0")
        if (
            not check.status & STATUS_ADDRV
            or not check.status & STATUS_MISCV
            or check.misc & 0x1C0 != MISC_MODE_PHYSICAL
        ):
            return MachineCheckOutcome(as_is, None, None, "no physical address")
        if check.status & STATUS_PCC:
            return MachineCheckOutcome(RESET, None, None, "processor context corrupt")
        spa, mfn = Spa(check.addr), check.addr >> PAGE_SHIFT
        bits = check.misc & 0x3F
        bad = lines(Span(Spa(spa >> bits << bits), 1 << bits))
        region = self._xen.pmem.region_at(mfn)
        if any(one.span.covers(bad) for one in self._xen.hw.regions):
            self._xen.hw.poison.add(bad)
        if bank.corrected or not _memory_error(check.status):
            return MachineCheckOutcome(CONTINUE, None, None, "no action is required, it is logged for Dom0")
        if region is None:
            return self._judge_ram(check, mfn, as_is)
        self._xen.pmem.note_bad([bad])
        self._forget_views()
        if mfn in region.reserved:
            return MachineCheckOutcome(
                RESET, None, None, f"frame {mfn:#x} holds Xen's own metadata about {region.region}"
            )
        owner = self._xen.pmem.m2p.lookup(mfn)
        known = mfn in self._xen.pmem.broken
        self._mark(mfn, broken=True)
        if owner is None:
            return MachineCheckOutcome(RECOVERED, None, None, f"pmem frame {mfn:#x} has no owner, it is marked bad")
        domain = self._xen.domain(owner[1])
        gpa = Gpa(owner[0] << PAGE_SHIFT | spa & (PAGE - 1))
        if known:
            domain.crash(f"another error in the broken page {gpa:#x}")
            return MachineCheckOutcome(
                CONTINUE, domain.domid, gpa, f"frame {mfn:#x} was broken already, d{domain.domid} crashed"
            )
        return self._inject(check, domain, gpa, as_is)

    def _judge_ram(self, check: MachineCheck, mfn: int, as_is: str) -> MachineCheckOutcome:
        """The page is not registered pmem: Xen's handling of RAM."""
        xen = self._xen
        in_map = any(
            start <= check.addr < start + size for start, size, kind in xen.hw.memory_map() if kind == E820_RAM
        )
        if not in_map:
            return MachineCheckOutcome(as_is, None, None, f"frame {mfn:#x} is not conventional RAM")
        owner, gfn = self._ram_owner(mfn)
        if xen.heap.offlined(mfn):
            if owner is None:
                return MachineCheckOutcome(as_is, None, None, f"frame {mfn:#x} was offlined before")
            owner.crash(f"another error in the broken frame {mfn:#x}")
            return MachineCheckOutcome(
                CONTINUE, owner.domid, None, f"frame {mfn:#x} was broken already, d{owner.domid} crashed"
            )
        free = xen.heap.offline(mfn)
        xen.save_heap()
        if free:
            return MachineCheckOutcome(RECOVERED, None, None, f"free frame {mfn:#x} was taken off the heap")
        if owner is None:
            return MachineCheckOutcome(as_is, None, None, f"frame {mfn:#x} belongs to Xen or Dom0")
        gpa = Gpa(gfn << PAGE_SHIFT | check.addr & (PAGE - 1))
        owner.p2m.ram.retag(gfn, gfn + 1, abi.P2M_RAM_BROKEN)
        owner.save_ram()
        return self._inject(check, owner, gpa, as_is)

    def _ram_owner(self, mfn: int) -> tuple[Domain | None, int]:
        for domain in self._xen.domains():
            for piece in domain.p2m.ram:
                if piece.base <= mfn < piece.base + piece.size:
                    return domain, piece.start + mfn - piece.base
        return None, 0

    def _inject(self, check: MachineCheck, domain: Domain, gpa: Gpa, as_is: str) -> MachineCheckOutcome:
        """Tell the guest: bank 1 of its virtual machine check registers, the address rewritten to guest physical."""
        self._say(f"MCE: This error page is ownded by DOM {domain.domid}")  # Xen's spelling
        what = f"frame {check.addr >> PAGE_SHIFT:#x} belongs to d{domain.domid} at {gpa:#x}"
        if not domain.flags & abi.XEN_DOMCTL_CDF_HAP or not domain.hvm:
            self._say(f"Unmap broken memory {check.addr >> PAGE_SHIFT:x} for DOM{domain.domid} failed")
            domain.crash(f"its page at {gpa:#x} is broken and it has no hardware-assisted paging")
            return MachineCheckOutcome(as_is, domain.domid, gpa, f"{what}, which cannot be told and was crashed")
        if domain.vmce_pending:
            self._say(f"MCE: d{domain.domid}v0: guest has not handled previous vMCE yet!")
            self._say(f"Fill vMCE# data for DOM{domain.domid} failed")
            domain.crash("a machine check while the last one was not finished")
            return MachineCheckOutcome(
                as_is, domain.domid, gpa, f"{what}, which had not finished the last machine check: crashed"
            )
        status = check.status & ~0xFFFF0000
        domain.vmce.append(Vmce(status, MCG_RIPV | MCG_MCIP, gpa, check.misc))
        domain.vmce_pending = True
        domain.save()
        return MachineCheckOutcome(RECOVERED, domain.domid, gpa, f"{what}, which was told")

    def _mark(self, mfn: int, *, broken: bool) -> None:
        """Xen's mark in the frame table, and the type of the page in the owner's P2M."""
        pmem = self._xen.pmem
        owner = pmem.m2p.lookup(mfn)
        pmem.mark_broken(mfn, broken=broken)
        if owner is not None:
            domain = self._xen.domain(owner[1])
            _, tag = domain.p2m.pmem.lookup(owner[0]) or (0, abi.P2M_RAM_RW)
            domain.p2m.pmem.retag(owner[0], owner[0] + 1, as_broken(tag) if broken else as_repaired(tag))
            domain.save_pmem()

    def _forget_views(self) -> None:
        for domain in self._xen.domains():
            domain.memory.forget()


def lines(span: Span[Spa]) -> Span[Spa]:
    """The whole lines that a span touches."""
    return Span.between(Spa(align_down(span.start, LINE)), Spa(align_up(span.end, LINE)))


def _memory_error(status: int) -> bool:
    """Whether it is an error code that Xen's memory handler takes."""
    code = status & 0xFFFF
    if status & STATUS_AR:
        return code in (CODE_DATA_LOAD, CODE_FETCH)
    return code & 0xFFF0 == CODE_SCRUBBING or code == CODE_WRITE_BACK
