"""The hypervisor: one host's domains, memory and persistent memory, behind the hypercall interface.

State is in the host's store; every process reads what it needs and writes what it changes, inside the transaction of
the command that it serves. What lies outside the store (frame tables on the media, RAM files) is derived from it again
by ``repair`` when a process died in between.
"""

from __future__ import annotations

import os

from xlpy import abi
from xlpy.errors import NotFound, StateError
from xlpy.functions import cached_property
from xlpy.hypervisor.console import Console
from xlpy.hypervisor.tables import OWNERS, PARTS, RECORDS, TARGETS
from xlpy.private import discard
from xlpy.typing import TYPE_CHECKING, Any
from xlpy.xen_version import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.addr import Spa, Span
    from xlpy.hw.hardware import Hardware
    from xlpy.hypervisor.domain import Domain
    from xlpy.hypervisor.heap import Heap
    from xlpy.hypervisor.hypercalls import Hypercalls
    from xlpy.hypervisor.mca import Mca
    from xlpy.hypervisor.memory import MemorySpan
    from xlpy.hypervisor.mmio import IoRequest
    from xlpy.hypervisor.pmem import Pmem
    from xlpy.store import Store

_STATE = "xen"


class Xen:
    """The hypervisor of one host.

    Args:
        hw: the machine it runs on, or what opens it when something is asked of it.
        store: where its state is kept.
        on_console_line: called with each line of the console as it is written.

    Attributes:
        preempt_after: extents after which a long memory operation returns to its caller, to be continued; None never.
        ended: domids of domains that shut down while this object was in use: VIRQ_DOM_EXC, for the toolstack.
    """

    def __init__(
        self, hw: Hardware | Callable[[], Hardware], store: Store, on_console_line: Callable[[str], None] | None = None
    ) -> None:
        self._machine = hw
        self.store = store
        self.console = Console(store, on_console_line)
        self.preempt_after: int | None = None
        self.ended: list[int] = []
        self.continuations: dict[tuple[int, int], tuple[int, tuple[object, ...]]] = {}
        self._state = store.table(_STATE)
        self._domains: dict[int, Domain] = {}
        self._stale: set[str] = set()  # domains whose RAM files may have to go: those that came or went here

    def boot(self, version: str = DEFAULT) -> None:
        """Start on a machine that was just powered on: no domains but Dom0, nothing known of persistent memory.

        Args:
            version: as which Xen, one of ``xen_version.VERSIONS``.
        """
        from xlpy.hypervisor.heap import at_boot
        from xlpy.hypervisor.pmem import ANNOUNCEMENT

        for table in (_STATE, RECORDS, TARGETS, OWNERS, *PARTS):
            rows = self.store.table(table)
            for key in rows.keys():  # noqa: SIM118 - a Table is not a dict
                rows.delete(key)
        self.reread()
        self.console.clear()
        (self.hw.root / "domains" / ANNOUNCEMENT).unlink(missing_ok=True)
        self._stale |= self._with_ram()
        self.heap, total, *taken = at_boot(self.hw.memory_map())
        own, dom0 = (sum(count for _, count in runs) for runs in taken)
        self.save_heap()
        self._state.put("version", version)
        cpus = self.hw.spec.cpu.count
        from xlpy.hypervisor.domain import Domain

        record = Domain.new_record(bytes(16), 0, cpus)
        record |= {"max_pages": dom0, "tot_pages": dom0, "pause_count": 0, "started": True}
        self.store.table(RECORDS).put("0", record)
        self._state.put("last_domid", 0)
        self._state.put("total_pages", total)
        self.console.write(f"(XEN) Xen version {version}")
        self.console.write(
            f"(XEN) System RAM: {total >> 8}MB ({total << 2}kB), {own} pages for the frame table and M2P"
        )
        self.console.write(f"(XEN) Dom0 has {dom0} pages and {cpus} vCPUs")

    def afresh(self) -> Xen:
        """The hypervisor as other processes have left it by now."""
        return Xen(self._machine, self.store)

    def reread(self) -> None:
        """Changes since the last savepoint were rolled back: read the state again on next use."""
        self._domains.clear()
        self.continuations.clear()
        for name in ("pmem", "heap", "mca"):
            self.__dict__.pop(name, None)

    def repair(self) -> list[str]:
        """Bring data outside the store in line with it, after a process died.

        Returns:
            what was done, one line each; empty when everything was in order.
        """
        self._stale |= self._with_ram()
        done = self.repair_frames() + self.sweep()
        for line in done:
            self.console.write(f"(XEN) repair: {line}")
        return done

    @property
    def behind(self) -> bool:
        """Whether this object has left a frame table as it was, because it could not be written."""
        return "pmem" in self.__dict__ and self.pmem.unclean

    def repair_frames(self) -> list[str]:
        """Bring frame tables in line with the store, when they are ahead of it; what was done."""
        return self.pmem.repair_unclean() if self.pmem.unclean else []

    def sweep(self) -> list[str]:
        """Remove RAM files of domains that are gone. Call it after the transaction that destroyed them is committed.

        Only those of domains that came or went in this process are looked for, and after a boot or a repair all: what a
        command costs does not grow with the domains that are there.
        """
        records, done = self.store.table(RECORDS), []
        for name in sorted(self._stale):
            home = self.hw.beside("domains", name)
            if os.path.exists(home) and records.get(name) is None:
                discard(home)
                done.append(f"removed the RAM of domain {name}")
        self._stale.clear()
        return done

    def _with_ram(self) -> set[str]:
        """The domains that have RAM files, there or gone."""
        from xlpy.hypervisor.pmem import ANNOUNCEMENT

        home = self.hw.beside("domains")
        return set(os.listdir(home)) - {ANNOUNCEMENT} if os.path.isdir(home) else set()

    # parts

    @cached_property
    def hw(self) -> Hardware:
        """The machine that it runs on."""
        return self._machine() if callable(self._machine) else self._machine

    @cached_property
    def pmem(self) -> Pmem:
        """The registry of persistent memory."""
        from xlpy.hypervisor.pmem import Pmem

        return Pmem(self)

    def registered(self, span: Span[Spa]) -> bool:
        """Whether all of ``span`` is in the data area of one registered device. The registry is not loaded for it."""
        from xlpy.hypervisor.regions import load, registered

        loaded = "pmem" in self.__dict__
        return registered(self.pmem.regions if loaded else load(self._state.get("pmem", {}).get("regions", ())), span)

    @cached_property
    def heap(self) -> Heap:
        """Free host RAM."""
        from xlpy.hypervisor.heap import Heap

        saved = self._state.get("heap")
        if saved is None:
            raise StateError("the hypervisor was never booted", hint="xlpy host reset")
        return Heap.from_json(saved)

    def save_heap(self) -> None:
        """Keep the heap."""
        self._state.follow("heap", self.heap.to_json)

    @property
    def version(self) -> str:
        """Which Xen it is, such as ``4.17``."""
        return str(self._state.get("version", DEFAULT))

    @property
    def total_pages(self) -> int:
        """Pages of the host's RAM."""
        return int(self._state.get("total_pages", 0))

    @cached_property
    def mca(self) -> Mca:
        """The machine check handler."""
        from xlpy.hypervisor.mca import Mca

        return Mca(self)

    def consumed(self, spa: Spa) -> None:
        """A domain read poison: a machine check, of the kind that must be handled at once."""
        self.mca.report(spa, action_required=True)

    def clear_poison(self, span: Span[Spa]) -> int:
        """A host range was rewritten; how many of its bytes were poisoned and are not any more."""
        return self.mca.clear(span)

    @property
    def panic(self) -> str | None:
        """Why the host went down, or None."""
        reason: str | None = self._state.get("panic")
        return reason

    def die(self, why: str, cause: str = "") -> None:
        """Record a fatal error of the host: what the console says, and what it came from."""
        self._state.put("panic", f"{why}: {cause}" if cause else why)
        stars = "*" * 40
        for line in ("", stars, "Panic on CPU 0:", why, stars, "", "Reboot in five seconds..."):
            self.console.write(f"(XEN) {line}")

    # domains

    def find(self, domid: int) -> Domain | None:
        """A domain by id, or None."""
        if domid not in self._domains:
            record = self.store.table(RECORDS).get(str(domid))
            if record is None:
                return None
            self._know(domid, record)
        return self._domains[domid]

    def _know(self, domid: int, record: dict[str, Any]) -> None:
        from xlpy.hypervisor.domain import Domain

        self._domains[domid] = Domain(self, domid, record)

    def domain(self, domid: int) -> Domain:
        """A domain by id; NotFound when there is none."""
        found = self.find(domid)
        if found is None:
            raise NotFound(f"no domain {domid}", hint="`xlpy list` shows all domains")
        return found

    def domains(self) -> list[Domain]:
        """All domains but Dom0, by domid."""
        domids = self.domids()
        if not self._domains.keys() >= set(domids):
            for key, record in self.store.table(RECORDS).items():
                if int(key) not in self._domains:
                    self._know(int(key), record)
        return [self.domain(domid) for domid in domids]

    def domids(self) -> list[int]:
        """The ids of all domains but Dom0, in order."""
        table = self.store.table(RECORDS)
        return [domid for domid in sorted(map(int, table.keys())) if domid]

    def pick_domid(self, domid: int | None = None) -> int | None:
        """An id for a domain; None when ``domid`` is taken or reserved, or no id is free.

        By default the next one after the last handed out, wrapping, never 0; it counts as handed out from now on.
        """
        taken = self.store.table(RECORDS).get
        if domid is None:
            last, count = self._state.get("last_domid", 0), abi.DOMID_FIRST_RESERVED - 1
            free = ((last + step) % count + 1 for step in range(count))
            domid = next((number for number in free if taken(str(number)) is None), None)
            if domid is None:
                return None
            with self.store.surviving():  # it is not handed out again, even when the domain cannot be made
                self._state.put("last_domid", domid)
        elif not 0 < domid < abi.DOMID_FIRST_RESERVED or taken(str(domid)) is not None:
            return None
        return domid

    def add_domain(self, domid: int, uuid: bytes, flags: int, max_vcpus: int) -> Domain:
        """Make a domain with an id that was picked."""
        from xlpy.hypervisor.domain import Domain

        home = self.hw.beside("domains", str(domid))
        if os.path.exists(home):  # RAM of an earlier domain with this id
            discard(home)
        self._stale.add(str(domid))
        self._domains[domid] = made = Domain(self, domid, Domain.new_record(uuid, flags, max_vcpus))
        made.save()
        return made

    def remove_domain(self, domain: Domain) -> None:
        """Forget a domain whose memory was released, and that another one is its device model."""
        self._stale.add(str(domain.domid))
        targets = self.store.table(TARGETS)
        if domain.target is not None:
            targets.delete(f"{domain.target}/{domain.domid}")
        for key in targets.keys(f"{domain.domid}/"):
            targets.delete(key)
            other = self.find(int(key.partition("/")[2]))
            if other is not None:
                other.target = None
                other.save()
        for table in (RECORDS, *PARTS):
            self.store.table(table).delete(str(domain.domid))
        self._domains.pop(domain.domid, None)

    def set_target(self, device_model: Domain, target: Domain) -> None:
        """Make a domain the device model of another."""
        device_model.target = target.domid
        device_model.save()
        self.store.table(TARGETS).put(f"{target.domid}/{device_model.domid}", 1)

    # the outside

    def hypercalls(self, caller: int) -> Hypercalls:
        """The hypercall interface as domain ``caller`` has it."""
        from xlpy.hypervisor.hypercalls import Hypercalls

        return Hypercalls(self, caller)

    def connect_emulator(self, domid: int, server: int, handler: Callable[[IoRequest], int]) -> None:
        """Let ``handler`` answer the requests to an ioreq server, in this process.

        Raises:
            NotFound: no such domain.
            HypercallError: no such server.
        """
        self.domain(domid).ioreq.connect(server, handler)

    def map(self, domid: int) -> list[MemorySpan]:
        """The memory map of a domain; NotFound when there is no such domain."""
        return self.domain(domid).memory.spans()

    def dom0_may_map(self, span: Span[Spa]) -> bool:
        """Whether Dom0 may map host memory: not what Xen keeps its metadata in."""
        return self.pmem.dom0_may_map(span)
