"""Machine checks as ``xen-mceinj`` injects them, and their consequences on the whole host (design, section 4.2.5).

Xen's tool fakes the registers of a processor; here the line is bad on the media as well. Xen handles the check, the
guest that had the page gets its virtual machine check, the platform notifies Dom0 (0x81), and that finds the error.
"""

from __future__ import annotations

from xlpy.addr import PAGE, PAGE_SHIFT, Spa
from xlpy.errors import Constraint, UsageError
from xlpy.events import media_errors
from xlpy.hypervisor.mca import MCG_LMCE, RESET, STATUS_UC, Bank, MachineCheck
from xlpy.records import NamedTuple
from xlpy.table import BOOTS
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.host import Host
    from xlpy.hypervisor.mca import MachineCheckOutcome

DEFAULT_ADDRESS = 0x180020  # xen-mceinj's
MISC = 0x86  # a physical address, 64-byte line
_MCG_STATUS, _STATUS, _ADDR, _MISC = 0x17A, 0x401, 0x402, 0x403  # MSRs, of bank 0


class Kind(NamedTuple):
    """One of xen-mceinj's error types (Xen 4.17, xen-mceinj.c): what a processor's registers hold."""

    name: str
    mcg_status: int
    bank: int
    status: int
    corrected: bool = False


KINDS = (
    Kind("MCE_SRAO_MEM", 5, 7, 0xBD2000008000017A),
    Kind("MCE_SRAO_LLC", 5, 8, 0xBD000000004000CF),
    Kind("CMCI_UCNA_LLC", 0, 9, 0xBC20000080000136, True),
    Kind("AMD L1 icache parity", 5, 1, 0x9400000000000151),
    Kind("MCE_SRAO_MEM (Fatal)", 5, 7, 0xBF2000008000017A),
)


class MachineCheckInjection(NamedTuple):
    """What is to be injected. address: guest physical with a domid, else host physical. lmce: to one CPU only."""

    type: int = 0
    address: int = DEFAULT_ADDRESS
    domid: int | None = None
    cpu: int = 0
    lmce: bool = False


class Effect(NamedTuple):
    """What came of it.

    spa: where. outcome: Xen's, None when nothing was done. path, offset: the file or device of Dom0 that has the byte,
    None elsewhere. notified: domids that got notification 0x81. booted: a guest that runs under ``xlpy boot`` got the
    machine check from its emulator.
    """

    spa: Spa
    outcome: MachineCheckOutcome | None
    path: str | None
    offset: int
    notified: list[int]
    booted: bool


def inject(host: Host, wanted: MachineCheckInjection, dry_run: bool = False) -> Effect:
    """Inject a machine check.

    Args:
        host: whose; the caller is inside of ``Host.change``.
        wanted: what.
        dry_run: check only.

    Raises:
        UsageError: an unknown type; a corrected error as LMCE. NotFound: no such domain. Constraint: no such CPU, or
        nothing is mapped at the guest's address, or nothing lies at the host's.
    """
    if not 0 <= wanted.type < len(KINDS):
        raise UsageError(f"Unsupported error type {wanted.type}", hint="xlpy mceinj --help lists the types")
    kind, cpus = KINDS[wanted.type], host.spec.cpu.count
    if kind.corrected and wanted.lmce:
        raise UsageError("No support to inject CMCI as LMCE", hint="leave --lmce out")
    if wanted.cpu >= cpus:
        raise Constraint(f"-c {wanted.cpu} is larger than {cpus - 1}", hint="the host's CPUs count from 0")
    spa = _address(host, wanted)
    pmem = any(spa in region.span for region in host.hw.regions)
    path, offset = _name(host, spa) if pmem else (None, 0)
    if dry_run:
        return Effect(spa, None, path, offset, [], False)
    bank = Bank(kind.bank, wanted.cpu, kind.mcg_status | MCG_LMCE * wanted.lmce, kind.corrected)
    _announce(host, bank, kind.status, spa, wanted.lmce)
    outcome = host.xen.mca.handle(MachineCheck(kind.status, spa, MISC), bank)
    notified: list[int] = []
    if pmem and kind.status & STATUS_UC and outcome.verdict != RESET:
        notified = media_errors.raise_notification(host)
    booted = _answer(host, outcome)
    return Effect(spa, outcome, path, offset, notified, booted)


def bring_down(host: Host) -> None:
    """Xen has panicked: the domains are gone with it, what was stored is not."""
    from xlpy.events.power import ALL, cut

    cut(host, ALL, seed=0)


def _address(host: Host, wanted: MachineCheckInjection) -> Spa:
    """Where in host physical memory: Xen translates what is given for a domain."""
    if wanted.domid is None:
        if not any(start <= wanted.address < start + size for start, size, _ in host.hw.memory_map()):
            raise Constraint(f"nothing is at host address {wanted.address:#x}", hint="xlpy host show lists the ranges")
        return Spa(wanted.address)
    if wanted.domid == 0:
        raise Constraint(
            "where Dom0 has which memory is not modelled", hint="leave -d out and give a host physical address"
        )
    gfn = wanted.address >> PAGE_SHIFT
    found = host.xen.domain(wanted.domid).p2m.lookup(gfn)
    if found is None:
        raise Constraint(
            f"bad gfn {gfn:#x} of domain {wanted.domid}", hint=f"xlpy map {wanted.domid} tells what is mapped"
        )
    return Spa(found.mfn << PAGE_SHIFT | wanted.address & (PAGE - 1))


def _name(host: Host, spa: Spa) -> tuple[str | None, int]:
    """The file or device of Dom0 that has a byte, and the offset in it."""
    from xlpy.views.where.storage import above

    fields = above(host, spa).fields
    return fields.get("path"), fields.get("path_offset", 0)


def _announce(host: Host, bank: Bank, status: int, spa: Spa, lmce: bool) -> None:
    """What Xen says before the handler runs."""
    base = 4 * bank.number
    msrs = (
        (_MCG_STATUS, bank.mcg_status),
        (_STATUS + base, status),
        (_MISC + base, MISC),
        (_ADDR + base, spa),
    )
    for msr, value in msrs:
        host.xen.console.write(
            f"(XEN) HV MSR INJECT (interpose) target {bank.cpu} actual {bank.cpu} MSR {msr:#x} <-- {value:#x}"
        )
    if not bank.corrected and not lmce:
        host.xen.console.write(f"(XEN) Simulating #MC on cpu {bank.cpu}")


def _answer(host: Host, outcome: MachineCheckOutcome) -> bool:
    """The guest that got a machine check handles it; whether it runs under an emulator, which then gets it."""
    domain = None if outcome.domid is None else host.xen.find(outcome.domid)
    if domain is None or not domain.vmce_pending:
        return False
    if host.store.table(BOOTS).get(str(domain.domid)) is not None:
        from xlpy.boot.session import booted, deliver

        record = booted(host.store, domain.domid)
        if record is not None:
            check = domain.vmce[-1]
            host.store.afterwards(lambda: deliver(record, check))
            return True
    if domain.running:
        from xlpy.toolstack.domain.guest import ModelGuest

        ModelGuest(domain, host.xenstore).answer()
    return False
