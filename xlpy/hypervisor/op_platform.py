"""platform_op and sysctl: what concerns the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xlpy.hypervisor import abi
from xlpy.hypervisor.cpuid import TSC_KHZ
from xlpy.hypervisor.gate import Gate, hypercall, refuse
from xlpy.records import NamedTuple

if TYPE_CHECKING:
    from xlpy.addr import Mfn, Span


class PhysInfo(NamedTuple):
    """XEN_SYSCTL_physinfo.

    total_pages: what the heap manages and what Dom0 and Xen have. pmem_pages: registered data areas, not in the total.
    """

    nr_cpus: int
    cpu_khz: int
    total_pages: int
    free_pages: int
    pmem_pages: int


class PlatformOps(Gate):
    """platform_op and sysctl."""

    @hypercall("XENPF_pmem_add")
    def platform_pmem_add(
        self,
        region: Span[Mfn],
        reserved: Span[Mfn],
        data: Span[Mfn],
        interface_version: int = abi.XENPF_INTERFACE_VERSION,
    ) -> None:
        """Dom0 reports a pmem device. Whichever check fails, the device is ignored and nothing is left behind.

        Args:
            region: machine frames of the whole device.
            reserved: the part in which Xen may keep its metadata; Dom0 loses the right to map it.
            data: the part that guests may get.
            interface_version: of the caller.

        Raises:
            HypercallError: in this order: EPERM the caller is not the control domain; EACCES another interface version;
                EINVAL an empty area, a frame beyond the physical width or the frame table; EINVAL an area that leaves
                the device, or areas that overlap; ENOSPC the reserved area is too small (``pmem.metadata_pages``);
                EEXIST overlap with a registered device, or the same report again; EINVAL no persistent memory there in
                the host's map; ENOMEM the metadata cannot be written.
        """
        self._control("XENPF_pmem_add")
        if interface_version != abi.XENPF_INTERFACE_VERSION:
            refuse(abi.EACCES, f"interface version {interface_version:#x}, required {abi.XENPF_INTERFACE_VERSION:#x}")
        self.xen.pmem.add(region, reserved, data)

    @hypercall("XEN_SYSCTL_readconsole", query=True)
    def sysctl_readconsole(self, *, clear: bool = False) -> list[str]:
        """The console ring, oldest line first; EPERM."""
        self._control("XEN_SYSCTL_readconsole")
        lines = self.xen.console.lines()
        if clear:
            self.xen.console.clear()
        return lines

    @hypercall("XEN_SYSCTL_physinfo", query=True)
    def sysctl_physinfo(self) -> PhysInfo:
        """What the host has; EPERM."""
        self._control("XEN_SYSCTL_physinfo")
        return PhysInfo(
            nr_cpus=self.xen.hw.spec.cpu.count,
            cpu_khz=TSC_KHZ,
            total_pages=self.xen.total_pages,
            free_pages=self.xen.heap.pages,
            pmem_pages=sum(one.data.size for one in self.xen.pmem.regions),
        )
