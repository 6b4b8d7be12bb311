"""domctl, sched_op and sysctl: the life of domains, and operations on the host."""

from __future__ import annotations

from xlpy import abi
from xlpy.abi import refuse
from xlpy.addr import PAGE_SHIFT
from xlpy.hypervisor import cpuid
from xlpy.hypervisor.gate import Gate, hypercall
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

WEIGHT_MAX, CAP_MAX = 65535, 100  # credit2's; the cap is in percent of a CPU, for each vCPU

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xlpy.firmware.platform import Vnuma
    from xlpy.hypervisor.domain import Domain


class DomainInfo(NamedTuple):
    """XEN_DOMCTL_getdomaininfo.

    flags: XEN_DOMINF_*, shutdown code in bits 16 to 23. tot_pages, max_pages: RAM; persistent memory is not counted.
    state: xl's six letters, derived from the flags.
    """

    domid: int
    flags: int
    tot_pages: int
    max_pages: int
    max_vcpus: int
    handle: bytes
    state: str

    @property
    def shutdown_code(self) -> int | None:
        """SHUTDOWN_*, or None."""
        if not self.flags & abi.XEN_DOMINF_SHUTDOWN:
            return None
        return self.flags >> abi.XEN_DOMINF_SHUTDOWNSHIFT & 0xFF


class PhysInfo(NamedTuple):
    """XEN_SYSCTL_physinfo.

    total_pages: what the heap manages and what Dom0 and Xen have. pmem_pages: registered data areas, not in the total.
    """

    nr_cpus: int
    cpu_khz: int
    total_pages: int
    free_pages: int
    pmem_pages: int


class DomctlOps(Gate):
    """domctl. A caller other than the control domain gets EPERM, a missing domain ESRCH."""

    @hypercall("XEN_DOMCTL_createdomain")
    def domctl_createdomain(
        self, uuid: bytes, *, hvm: bool = True, max_vcpus: int = 1, flags: int | None = None, domid: int | None = None
    ) -> int:
        """Make a domain, paused.

        Args:
            uuid: 16 bytes.
            hvm: fully virtualised, with hardware-assisted paging; ignored when ``flags`` are given.
            max_vcpus: 1 to 128.
            flags: XEN_DOMCTL_CDF_*.
            domid: the id wanted; by default the next free one after the last handed out.

        Returns:
            its domid.

        Raises:
            HypercallError: EPERM; EINVAL a bad argument, which uses up an id all the same; EEXIST
                the id is taken or reserved, or none is free.
        """
        self._control("XEN_DOMCTL_createdomain")
        picked = self.xen.pick_domid(domid)
        if picked is None:
            what = "no domain id is free" if domid is None else f"domain id {domid:#x} is taken or reserved"
            refuse(abi.EEXIST, f"{what}; ids go from 1 to {abi.DOMID_FIRST_RESERVED - 1:#x}")
        if flags is None:
            flags = abi.XEN_DOMCTL_CDF_HVM | abi.XEN_DOMCTL_CDF_HAP if hvm else 0
        if len(uuid) != 16:
            refuse(abi.EINVAL, f"the handle has {len(uuid)} bytes, required 16")
        if not 0 <= flags <= 2 * abi.XEN_DOMCTL_CDF_MAX - 1:
            refuse(
                abi.EINVAL, f"flags {flags:#x} have bits that do not exist, the highest is {abi.XEN_DOMCTL_CDF_MAX:#x}"
            )
        if flags & abi.XEN_DOMCTL_CDF_HAP and not flags & abi.XEN_DOMCTL_CDF_HVM:
            refuse(abi.EINVAL, f"flags {flags:#x} ask for hardware-assisted paging of a domain that is not HVM")
        if not 1 <= max_vcpus <= abi.HVM_MAX_VCPUS:
            refuse(abi.EINVAL, f"{max_vcpus} vCPUs, required 1 to {abi.HVM_MAX_VCPUS}")
        return self.xen.add_domain(picked, uuid, flags, max_vcpus).domid

    @hypercall("XEN_DOMCTL_destroydomain")
    def domctl_destroydomain(self, domid: int) -> None:
        """End a domain and free its resources.

        RAM is scrubbed and goes back to the heap. Persistent memory is unmapped and becomes free with its content as it
        is: it is neither scrubbed nor given to the heap.

        Raises:
            HypercallError: EPERM; ESRCH; EINVAL the caller itself.
        """
        domain = self._not_self("XEN_DOMCTL_destroydomain", domid)
        domain.dying = True
        domain.save()
        self.xen.pmem.release(domain)
        for piece in domain.p2m.ram:
            self.xen.heap.release(piece.base, piece.base + piece.size)
        self.xen.save_heap()
        domain.memory.forget()
        self.xen.remove_domain(domain)

    @hypercall("XEN_DOMCTL_pausedomain")
    def domctl_pausedomain(self, domid: int) -> None:
        """Pause a domain, counted: EPERM, ESRCH, EINVAL the caller itself."""
        domain = self._not_self("XEN_DOMCTL_pausedomain", domid)
        domain.pause_count += 1
        domain.save()

    @hypercall("XEN_DOMCTL_unpausedomain")
    def domctl_unpausedomain(self, domid: int) -> None:
        """Take one pause back; the first time, creation is finished. EPERM, ESRCH, EINVAL not paused."""
        domain = self._controlled("XEN_DOMCTL_unpausedomain", domid)
        if not domain.pause_count:
            refuse(abi.EINVAL, f"d{domid} is not paused")
        domain.pause_count -= 1
        domain.started = True
        domain.save()

    @hypercall("XEN_DOMCTL_resumedomain")
    def domctl_resumedomain(self, domid: int) -> None:
        """Forget that a domain shut down: EPERM, ESRCH, EINVAL the caller itself."""
        domain = self._not_self("XEN_DOMCTL_resumedomain", domid)
        domain.shutdown_code = None
        domain.save()

    @hypercall("XEN_DOMCTL_setdomainhandle")
    def domctl_setdomainhandle(self, domid: int, uuid: bytes) -> None:
        """Give a domain another handle of 16 bytes: EPERM, ESRCH, EINVAL."""
        domain = self._controlled("XEN_DOMCTL_setdomainhandle", domid)
        if len(uuid) != 16:
            refuse(abi.EINVAL, f"the handle has {len(uuid)} bytes, required 16")
        domain.uuid = uuid
        domain.save()

    @hypercall("XEN_DOMCTL_max_mem")
    def domctl_max_mem(self, domid: int, kib: int) -> None:
        """How much RAM a domain may have, in KiB; persistent memory does not count. EPERM, ESRCH, EINVAL."""
        domain = self._controlled("XEN_DOMCTL_max_mem", domid)
        if not 0 <= kib < 1 << 54:
            refuse(abi.EINVAL, f"{kib} KiB is not a size")
        domain.max_pages = kib >> (PAGE_SHIFT - 10)
        domain.save()

    @hypercall("XEN_DOMCTL_setvcpuaffinity")
    def domctl_setvcpuaffinity(
        self, domid: int, vcpu: int, hard: Sequence[int] | None = None, soft: Sequence[int] | None = None
    ) -> None:
        """Say on which CPUs a vCPU may run, and on which it should; None leaves that as it is.

        Raises:
            HypercallError: EPERM; ESRCH; EINVAL no such vCPU, or no CPU that the host has.
        """
        domain = self._controlled("XEN_DOMCTL_setvcpuaffinity", domid)
        if not 0 <= vcpu < domain.max_vcpus:
            refuse(abi.EINVAL, f"d{domid} has no vCPU {vcpu}, its vCPUs are 0 to {domain.max_vcpus - 1}")
        count = self.xen.hw.spec.cpu.count
        row = domain.affinity.get(vcpu, [None, None])
        for at, cpus in enumerate((hard, soft)):
            if cpus is not None:
                present = sorted({cpu for cpu in cpus if 0 <= cpu < count})
                if not present:
                    refuse(abi.EINVAL, f"none of the CPUs {list(cpus)} is there, the host has {count}")
                row[at] = present
        domain.affinity[vcpu] = row
        domain.save()

    @hypercall("XEN_DOMCTL_scheduler_op")
    def domctl_scheduler_op(self, domid: int, weight: int | None = None, cap: int | None = None) -> tuple[int, int]:
        """Set credit2's weight (1 to 65535) and cap (percent, 0 is none) of a domain; None leaves that as it is.

        Returns:
            weight and cap.

        Raises:
            HypercallError: EPERM; ESRCH; EINVAL out of range.
        """
        domain = self._controlled("XEN_DOMCTL_scheduler_op", domid)
        if weight is not None and not 1 <= weight <= WEIGHT_MAX:
            refuse(abi.EINVAL, f"weight {weight}, required 1 to {WEIGHT_MAX}")
        if cap is not None and not 0 <= cap <= CAP_MAX * domain.max_vcpus:
            refuse(abi.EINVAL, f"cap {cap}, required 0 to {CAP_MAX * domain.max_vcpus}")
        domain.weight = domain.weight if weight is None else weight
        domain.cap = domain.cap if cap is None else cap
        domain.save()
        return domain.weight, domain.cap

    @hypercall("XEN_DOMCTL_set_target")
    def domctl_set_target(self, dm_domid: int, domid: int) -> None:
        """Make ``dm_domid`` the device model of ``domid``: EPERM, ESRCH, EINVAL both the same, or it has a target."""
        device_model = self._controlled("XEN_DOMCTL_set_target", dm_domid)
        target = self._lookup(domid)
        if device_model is target:
            refuse(abi.EINVAL, f"d{domid} cannot be its own device model")
        if device_model.target is not None:
            refuse(abi.EINVAL, f"d{dm_domid} is the device model of d{device_model.target} already")
        self.xen.set_target(device_model, target)

    @hypercall("XEN_DOMCTL_set_cpu_policy")
    def domctl_set_cpu_policy(self, domid: int, overrides: Sequence[Mapping[str, Any]]) -> None:
        """Set a domain's CPUID policy: what the host has, with overrides in libxl's shape (``cpuid.guest_policy``).

        Raises:
            HypercallError: EPERM; ESRCH; EINVAL a malformed override, or a leaf that the host does not have; EBUSY the
                domain has run already.
        """
        domain = self._controlled("XEN_DOMCTL_set_cpu_policy", domid)
        if domain.started:
            refuse(abi.EBUSY, f"d{domid} has run already, its CPUID policy is fixed")
        domain.policy = cpuid.guest_policy(self.xen.hw.cpuid, overrides, hvm=domain.hvm)
        domain.keep("xen.policy", domain.policy.to_json)

    @hypercall("XEN_DOMCTL_get_cpu_policy", query=True)
    def domctl_get_cpu_policy(self, domid: int) -> cpuid.Policy:
        """A domain's CPUID policy: EPERM, ESRCH."""
        return self._controlled("XEN_DOMCTL_get_cpu_policy", domid).policy

    @hypercall("XEN_DOMCTL_setvnumainfo")
    def domctl_setvnumainfo(self, domid: int, vnuma: Vnuma) -> None:
        """Set a domain's virtual NUMA topology: EPERM, ESRCH, EINVAL sizes that do not fit together."""
        domain = self._controlled("XEN_DOMCTL_setvnumainfo", domid)
        nodes = len(vnuma.distances)
        square = all(len(row) == nodes for row in vnuma.distances)
        if not nodes or not square or len(vnuma.vcpu_to_node) != domain.max_vcpus:
            refuse(
                abi.EINVAL,
                f"{nodes} nodes, {len(vnuma.vcpu_to_node)} of {domain.max_vcpus} vCPUs: the distances must be a square "
                "over the nodes, and every vCPU needs a node",
            )
        named = (*vnuma.vcpu_to_node, *(one.node for one in vnuma.ranges))
        if any(not 0 <= node < nodes for node in named):
            refuse(abi.EINVAL, f"a vCPU or a range names a node beyond {nodes - 1}")
        domain.keep("xen.vnuma", lambda: vnuma)

    @hypercall("XEN_DOMCTL_getdomaininfo", query=True)
    def domctl_getdomaininfo(self, domid: int) -> DomainInfo:
        """What a domain is and does: EPERM, ESRCH."""
        return _info(self._controlled("XEN_DOMCTL_getdomaininfo", domid))

    @hypercall("XEN_SYSCTL_getdomaininfolist", query=True)
    def sysctl_getdomaininfolist(self, first: int = 0) -> list[DomainInfo]:
        """All domains from id ``first`` on, Dom0 included: EPERM."""
        self._control("XEN_SYSCTL_getdomaininfolist")
        everyone = [self.xen.domain(0), *self.xen.domains()]
        return [_info(domain) for domain in everyone if domain.domid >= first]

    @hypercall("SCHEDOP_shutdown")
    def sched_shutdown(self, domid: int, reason: int) -> None:
        """Shut down: the caller itself, or by the control domain another one (SCHEDOP_remote_shutdown).

        The first reason wins.

        Raises:
            HypercallError: ESRCH; EPERM another domain without privilege; EINVAL no such reason.
        """
        domain = self._lookup(domid)
        if domain.domid != self.caller and not self._emulates(domain):
            refuse(abi.EPERM, f"d{self.caller} may not shut d{domain.domid} down")
        if not 0 <= reason <= abi.SHUTDOWN_MAX:
            refuse(abi.EINVAL, f"shutdown reason {reason}, required 0 to {abi.SHUTDOWN_MAX}")
        domain.shutdown(reason)

    def _not_self(self, what: str, domid: int) -> Domain:
        domain = self._controlled(what, domid)
        if domain.domid == self.caller:
            refuse(abi.EINVAL, f"{what}: d{domain.domid} cannot do this to itself")
        return domain

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
        elif trigger in (abi.XEN_DOMCTL_SENDTRIGGER_POWER, abi.XEN_DOMCTL_SENDTRIGGER_SLEEP):
            if not domain.hvm:
                refuse(abi.EINVAL, f"d{domid} is not an HVM guest: it has no buttons")
            from xlpy.hypervisor.chipset import PWRBTN_STS, SLPBTN_STS, Chipset

            board = Chipset(domain)
            board.press(PWRBTN_STS if trigger == abi.XEN_DOMCTL_SENDTRIGGER_POWER else SLPBTN_STS)
            board.save()
        else:
            refuse(abi.ENOSYS, f"trigger {trigger} does not exist on x86")


def _info(domain: Domain) -> DomainInfo:
    return DomainInfo(
        domain.domid,
        domain.info_flags,
        domain.pages,
        domain.max_pages,
        domain.max_vcpus,
        domain.uuid,
        domain.state,
    )


class SysctlOps(Gate):
    """sysctl: what concerns the host."""

    @hypercall("XEN_SYSCTL_readconsole", query=True)
    def sysctl_readconsole(self, *, clear: bool = False) -> list[str]:
        """The console ring, oldest line first; EPERM."""
        self._control("XEN_SYSCTL_readconsole")
        lines = self.xen.console.lines()
        if clear:
            self.xen.console.clear()
        return lines

    @hypercall("XEN_SYSCTL_debug_keys")
    def sysctl_debug_keys(self, keys: str) -> None:
        """Press keys on Xen's console; EPERM."""
        from xlpy.hypervisor.debugkeys import press

        self._control("XEN_SYSCTL_debug_keys")
        press(self.xen, keys)

    @hypercall("XEN_SYSCTL_physinfo", query=True)
    def sysctl_physinfo(self) -> PhysInfo:
        """What the host has; EPERM."""
        self._control("XEN_SYSCTL_physinfo")
        return PhysInfo(
            nr_cpus=self.xen.hw.spec.cpu.count,
            cpu_khz=cpuid.TSC_KHZ,
            total_pages=self.xen.total_pages,
            free_pages=self.xen.heap.pages,
            pmem_pages=sum(one.data.size for one in self.xen.pmem.regions),
        )
