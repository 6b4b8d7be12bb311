"""A domain: identity, life, memory, parameters.

Each part is kept under its own key and read when it is first used, so that listing domains reads no P2M.
"""

from __future__ import annotations

from xlpy import abi
from xlpy.errors import HostTrouble, XlpyError
from xlpy.functions import cached_property
from xlpy.hypervisor.tables import RECORDS
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from xlpy.addr import Spa, Span
    from xlpy.hw.hardware import Hardware
    from xlpy.hypervisor.cpuid import Policy
    from xlpy.hypervisor.memory import GuestMemory
    from xlpy.hypervisor.mmio import Ioreq
    from xlpy.hypervisor.p2m import P2M
    from xlpy.hypervisor.pmem import Pmem
    from xlpy.hypervisor.protocol import XenServices
    from xlpy.hypervisor.ramfile import RamFiles
    from xlpy.typing import Protocol

    class Hypervisor(XenServices, Protocol):
        """What hypercalls use of ``Xen``, which documents each."""

        preempt_after: int | None
        continuations: dict[tuple[int, int], tuple[int, tuple[object, ...]]]

        @property
        def pmem(self) -> Pmem: ...
        @property
        def total_pages(self) -> int: ...
        def clear_poison(self, span: Span[Spa]) -> int: ...
        def die(self, why: str, cause: str = "") -> None: ...
        def find(self, domid: int) -> Domain | None: ...
        def domain(self, domid: int) -> Domain: ...
        def domains(self) -> Sequence[Domain]: ...
        def pick_domid(self, domid: int | None = None) -> int | None: ...
        def add_domain(self, domid: int, uuid: bytes, flags: int, max_vcpus: int) -> Domain: ...
        def remove_domain(self, domain: Domain) -> None: ...
        def set_target(self, device_model: Domain, target: Domain) -> None: ...


WEIGHT = 256  # credit2's default


class Vmce(NamedTuple):
    """A machine check as the guest sees it: bank 1 of its virtual MSRs.

    status: MCi_STATUS without the model-specific code. mcg_status: MCG_STATUS. addr: guest physical. misc: MCi_MISC.
    """

    status: int
    mcg_status: int
    addr: int
    misc: int


class Domain:
    """One domain.

    Attributes:
        domid, uuid: who it is.
        flags: XEN_DOMCTL_CDF_* as at creation.
        max_vcpus: 1 to 128.
        max_pages: how many pages of RAM it may have. Persistent memory is not counted.
        tot_pages: how many its map has memory for.
        pod: how many of these are populated on demand, and do not count yet.
        pause_count: pauses by the toolstack; it is paused above 0.
        shutdown_code: SHUTDOWN_*, or None while it runs.
        dying: it is being destroyed.
        target: domid that it is the device model of, or None.
        params: HVM parameters that were set.
        vmce: machine checks that it was given, oldest first.
        affinity: by vCPU, the CPUs that it may use and the ones it should; what is not there is all.
        weight, cap: of the scheduler credit2.
    """

    def __init__(self, xen: Hypervisor, domid: int, record: dict[str, Any]) -> None:
        self.xen = xen
        self.domid = domid
        self.uuid = bytes.fromhex(record["uuid"])
        self.flags: int = record["flags"]
        self.max_vcpus: int = record["max_vcpus"]
        self.max_pages: int = record["max_pages"]
        self.tot_pages: int = record["tot_pages"]
        self.pod: int = record["pod"]
        self.pause_count: int = record["pause_count"]
        self.started: bool = record["started"]
        self.shutdown_code: int | None = record["shutdown_code"]
        self.dying: bool = record["dying"]
        self.target: int | None = record["target"]
        self.params: dict[int, int] = {int(key): value for key, value in record["params"].items()}
        self.vmce = [Vmce(*row) for row in record["vmce"]]
        self.vmce_pending: bool = record["vmce_pending"]
        self.affinity: dict[int, list[list[int] | None]] = {int(key): row for key, row in record["affinity"].items()}
        self.weight: int = record["weight"]
        self.cap: int = record["cap"]

    @staticmethod
    def new_record(uuid: bytes, flags: int, max_vcpus: int) -> dict[str, Any]:
        """What a new domain starts with: paused once by its creator, and not allowed any memory."""
        return {
            "uuid": uuid.hex(),
            "flags": flags,
            "max_vcpus": max_vcpus,
            "max_pages": 0,
            "tot_pages": 0,
            "pod": 0,
            "pause_count": 1,
            "started": False,
            "shutdown_code": None,
            "dying": False,
            "target": None,
            "params": {},
            "vmce": [],
            "vmce_pending": False,
            "affinity": {},
            "weight": WEIGHT,
            "cap": 0,
        }

    def save(self) -> None:
        """Keep the record."""
        self.xen.store.table(RECORDS).follow(str(self.domid), self.record)

    def record(self) -> dict[str, Any]:
        """What is kept of it, beside its parts."""
        return {
            "uuid": self.uuid.hex(),
            "flags": self.flags,
            "max_vcpus": self.max_vcpus,
            "max_pages": self.max_pages,
            "tot_pages": self.tot_pages,
            "pod": self.pod,
            "pause_count": self.pause_count,
            "started": self.started,
            "shutdown_code": self.shutdown_code,
            "dying": self.dying,
            "target": self.target,
            "params": self.params,
            "vmce": self.vmce,
            "vmce_pending": self.vmce_pending,
            "affinity": self.affinity,
            "weight": self.weight,
            "cap": self.cap,
        }

    # parts

    def part(self, table: str) -> Any:  # noqa: ANN401 - JSON
        """What is kept of a part, or None."""
        return self.xen.store.table(table).get(str(self.domid))

    def keep(self, table: str, make: Callable[[], Any]) -> None:
        """Keep a part: what ``make()`` gives, in JSON, when the state is written."""
        self.xen.store.table(table).follow(str(self.domid), make)

    def restore(self, record: dict[str, Any], parts: dict[str, Any]) -> None:
        """Become what another domain was when it was saved: its parameters, processors and board; RAM comes later."""
        for name in ("max_pages", "pod", "weight", "cap"):
            setattr(self, name, record[name])
        self.started = True
        self.params.clear()
        self.params.update({int(key): value for key, value in record["params"].items()})
        self.affinity = {int(key): row for key, row in record["affinity"].items()}
        self.vmce = [Vmce(*row) for row in record["vmce"]]
        for table, saved in parts.items():
            self.keep(table, lambda saved=saved: saved)  # type: ignore[misc]
        self.__dict__.pop("policy", None)
        self.save()

    @property
    def hw(self) -> Hardware:
        """The machine that it runs on."""
        return self.xen.hw

    @property
    def home(self) -> Path:
        """The directory of its RAM files."""
        from pathlib import Path

        return Path(self.folder)

    @property
    def folder(self) -> str:
        """``home`` as text."""
        return self.hw.beside("domains", str(self.domid))

    @cached_property
    def p2m(self) -> P2M:
        """Guest frames to machine frames."""
        from xlpy.hypervisor.linear import LinearMap
        from xlpy.hypervisor.p2m import P2M

        return P2M(LinearMap().load(self.part("xen.ram") or []), LinearMap().load(self.part("xen.pmem") or []))

    @cached_property
    def files(self) -> RamFiles:
        """Where the bytes of its RAM are."""
        from xlpy.hypervisor.ramfile import RamFiles

        return RamFiles(self.folder, lambda: self.part("xen.files"))

    @cached_property
    def memory(self) -> GuestMemory:
        """Its memory by guest physical address."""
        from xlpy.hypervisor.memory import GuestMemory

        return GuestMemory(self)

    @cached_property
    def ioreq(self) -> Ioreq:
        """Its device models, and the devices that Xen itself emulates."""
        from xlpy.hypervisor.mmio import Ioreq, attach_hpet

        made = Ioreq(self.domid, self.blocked, self.part("xen.ioreq") or {})
        attach_hpet(made, self.params)
        return made

    @cached_property
    def policy(self) -> Policy:
        """Its CPUID policy."""
        from xlpy.hypervisor import cpuid

        saved = self.part("xen.policy")
        return cpuid.from_json(saved) if saved else cpuid.default_policy(self.hw.cpuid, hvm=self.hvm)

    def cpuid(self, leaf: int, subleaf: int = 0) -> tuple[int, int, int, int]:
        """EAX, EBX, ECX, EDX that its vCPU 0 sees, Xen's own leaves included."""
        from xlpy.hypervisor import cpuid

        base = abi.CPUID_XEN_BASE + (0x100 if self.params.get(abi.HVM_PARAM_VIRIDIAN) else 0)
        if base <= leaf < base + 0x100:
            return cpuid.xen_leaf(leaf - base, subleaf, base, self.domid, self.xen.version)
        return self.policy.read(leaf, subleaf)

    @property
    def physical_bits(self) -> int:
        """Width of its guest physical addresses."""
        return self.policy.read(0x80000008, 0)[0] & 0xFF or 36

    def save_ram(self) -> None:
        """Keep the RAM side of the P2M, and where the bytes are."""
        self.keep("xen.ram", self.p2m.ram.dump)
        self.keep("xen.files", self.files.to_json)
        self.memory.forget()
        self.save()

    def save_pmem(self) -> None:
        """Keep the persistent-memory side of the P2M."""
        self.keep("xen.pmem", self.p2m.pmem.dump)
        self.memory.forget()

    # state

    @property
    def pages(self) -> int:
        """How many pages of RAM it has, without what waits to be populated on demand."""
        return self.tot_pages - self.pod

    @property
    def hvm(self) -> bool:
        """Whether it is fully virtualised."""
        return bool(self.flags & abi.XEN_DOMCTL_CDF_HVM)

    @property
    def paused(self) -> bool:
        """Whether the toolstack keeps it from running."""
        return self.pause_count > 0

    @property
    def running(self) -> bool:
        """Whether its vCPUs run."""
        return not (self.paused or self.dying or self.asleep or self.shutdown_code is not None)

    @property
    def asleep(self) -> bool:
        """Whether it is in ACPI S3: all of its vCPUs are down."""
        return self.params.get(abi.HVM_PARAM_ACPI_S_STATE) == 3

    @property
    def state(self) -> str:
        """xl's column: running, blocked, paused, shut down, crashed, dying."""
        crashed = self.shutdown_code == abi.SHUTDOWN_CRASH
        shutdown = self.shutdown_code is not None and not crashed
        return "".join(
            letter if is_so else "-"
            for letter, is_so in zip(
                "rbpscd", (self.running, self.asleep, self.paused, shutdown, crashed, self.dying), strict=True
            )
        )

    @property
    def info_flags(self) -> int:
        """XEN_DOMINF_* with the shutdown code in bits 16 to 23."""
        return (
            abi.XEN_DOMINF_DYING * self.dying
            | abi.XEN_DOMINF_HVM_GUEST * self.hvm
            | abi.XEN_DOMINF_SHUTDOWN * (self.shutdown_code is not None)
            | abi.XEN_DOMINF_PAUSED * self.paused
            | abi.XEN_DOMINF_BLOCKED * self.asleep
            | abi.XEN_DOMINF_RUNNING * self.running
            | abi.XEN_DOMINF_XS_DOMAIN * bool(self.flags & abi.XEN_DOMCTL_CDF_XS_DOMAIN)
            | abi.XEN_DOMINF_HAP * bool(self.flags & abi.XEN_DOMCTL_CDF_HAP)
            | (self.shutdown_code or 0) << abi.XEN_DOMINF_SHUTDOWNSHIFT
        )

    def shutdown(self, code: int) -> None:
        """Stop it; the first code wins."""
        if self.shutdown_code is None:
            self.shutdown_code = code
            self.save()
            self.xen.ended.append(self.domid)
            self.xen.console.write(f"(XEN) d{self.domid} shut down: {abi.SHUTDOWN_NAMES[code]} ({code})")

    def crash(self, why: str) -> None:
        """Xen ends it."""
        self.xen.console.write(f"(XEN) domain_crash called for d{self.domid}: {why}")
        self.shutdown(abi.SHUTDOWN_CRASH)

    def denied(self, gfn: int, mfn: int) -> None:
        """It stored to read-only memory, in Xen's words."""
        self.xen.console.write(f"(XEN) d{self.domid} attempted write to read-only gfn {gfn:#x} (mfn={mfn:#x})")

    def consumed(self, spa: Spa) -> None:
        """It read poison."""
        self.xen.consumed(spa)

    def finish_machine_check(self) -> None:
        """The guest cleared MCIP: it is ready for the next machine check."""
        self.vmce_pending = False
        self.save()

    def blocked(self, why: str) -> None:
        """A vCPU waits for an emulator that is not there; on hardware it would wait forever."""
        self.xen.console.write(f"(XEN) d{self.domid} blocked: {why}", keep=False)

    # RAM

    def populate(self, gfn: int, count: int) -> str | None:
        """Give it ``count`` new pages of RAM at ``gfn``.

        Returns:
            None when done, else why not; then nothing has changed.
        """
        if self.p2m.overlaps(gfn, gfn + count):
            return f"guest frames [{gfn:#x}, {gfn + count:#x}) hold memory already"
        if self.pages + count > self.max_pages:
            return f"{self.pages} + {count} pages are more than the {self.max_pages} that it may have"
        runs = self.xen.heap.allocate(count, gfn)
        if runs is None:
            return f"{count} pages wanted, {self.xen.heap.pages} are free on the host"
        at = gfn
        try:
            for mfn, size in runs:
                self.files.place(at, mfn, size)
                self.p2m.ram.add(at, at + size, mfn, abi.P2M_RAM_RW)
                at += size
        except XlpyError as error:
            self.p2m.ram.take(gfn, at)
            for mfn, size in runs:
                self.files.frames.take(mfn, mfn + size)
                self.xen.heap.release(mfn, mfn + size)
            if isinstance(error, HostTrouble):  # the host lacks no RAM
                raise
            return error.message
        self.tot_pages += count
        self.xen.save_heap()
        self.save_ram()
        return None

    def release(self, start: int, end: int) -> int:
        """Scrub the RAM at ``[start, end)`` and give it back to the heap; how many pages that were."""
        done = 0
        for piece in self.p2m.ram.take(start, end):
            self.files.forget(piece.base, piece.size)
            self.xen.heap.release(piece.base, piece.base + piece.size)
            done += piece.size
        self.tot_pages -= done
        self.xen.save_heap()
        self.save_ram()
        self.xen.store.afterwards(self.files.scrub)
        return done
