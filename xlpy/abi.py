"""Every number of the hypervisor interface that xlpy speaks, in one table.

Sources: Xen's public headers (``xen.h``, ``memory.h``, ``platform.h``, ``domctl.h``, ``sysctl.h``, ``sched.h``,
``hvm/dm_op.h``, ``hvm/params.h``, ``errno.h``). Names are the headers' names in capitals. Operations that the vNVDIMM
design proposes have no number in any released Xen; they get ours, above everything in use: XENMEM from 48 (it must stay
below 64, because ``memory_op`` keeps its continuation index from bit 6 on), XENPF from 1000.
"""

from __future__ import annotations

from xlpy.errors import HypercallError
from xlpy.typing import NoReturn

# Domain ids: 0 is Dom0; real domains end below DOMID_FIRST_RESERVED.
DOMID_FIRST_RESERVED = 0x7FF0
DOMID_SELF = 0x7FF0
DOMID_IO = 0x7FF1  # owns frames that are no domain's RAM: MMIO, and pmem that Dom0 keeps
DOMID_XEN = 0x7FF2
DOMID_COW = 0x7FF3
DOMID_INVALID = 0x7FF4
DOMID_IDLE = 0x7FFF

# errno values: Xen's own list equals Linux's.
EPERM, ENOENT, ESRCH, EIO, ENXIO, E2BIG = 1, 2, 3, 5, 6, 7
EAGAIN, ENOMEM, EACCES, EFAULT, EBUSY, EEXIST, EXDEV, ENODEV = 11, 12, 13, 14, 16, 17, 18, 19
EINVAL, ENOSPC, ERANGE, ENOSYS, ENODATA, EOVERFLOW = 22, 28, 34, 38, 61, 75
EILSEQ, EOPNOTSUPP, ENOBUFS, ETIMEDOUT = 84, 95, 105, 110

# memory_op
XENMEM_DECREASE_RESERVATION = 1
XENMEM_POPULATE_PHYSMAP = 6
XENMEM_ADD_TO_PHYSMAP = 7
XENMEM_MEMORY_MAP = 9
XENMEM_SET_MEMORY_MAP = 13
XENMEM_REMOVE_FROM_PHYSMAP = 15
XENMEM_SET_POD_TARGET = 16
XENMEM_GET_VNUMAINFO = 26
XENMEM_PMEM_MAP = 48  # ours: map pmem frames into a guest
XENMEM_PMEM_UNMAP = 49  # ours
XENMEM_PMEM_CLEAR_ERROR = 50  # ours: forget poison under a guest range

XENMAPSPACE_SHARED_INFO = 0
XENMAPSPACE_GRANT_TABLE = 1
XENMAPSPACE_GMFN = 2
XENMAPSPACE_GMFN_RANGE = 3
XENMAPSPACE_GMFN_FOREIGN = 4
XENMAPSPACE_DEV_MMIO = 5
GMFN_RANGE_MAX = 0xFFFF  # xen_add_to_physmap.size is 16 bits wide

# platform_op
XENPF_INTERFACE_VERSION = 0x03000001
XENPF_MEM_HOTADD = 59
XENPF_PMEM_ADD = 1000  # ours: Dom0 reports a pmem device

# domctl
XEN_DOMCTL_CREATEDOMAIN = 1
XEN_DOMCTL_DESTROYDOMAIN = 2
XEN_DOMCTL_PAUSEDOMAIN = 3
XEN_DOMCTL_UNPAUSEDOMAIN = 4
XEN_DOMCTL_GETDOMAININFO = 5
XEN_DOMCTL_MAX_MEM = 11
XEN_DOMCTL_SETDOMAINHANDLE = 17
XEN_DOMCTL_RESUMEDOMAIN = 27
XEN_DOMCTL_SENDTRIGGER = 28
XEN_DOMCTL_SET_TARGET = 46
XEN_DOMCTL_SET_BROKEN_PAGE_P2M = 67
XEN_DOMCTL_SETVNUMAINFO = 74
XEN_DOMCTL_GET_CPU_POLICY = 82
XEN_DOMCTL_SET_CPU_POLICY = 83

XEN_DOMCTL_SENDTRIGGER_NMI = 0
XEN_DOMCTL_SENDTRIGGER_RESET = 1
XEN_DOMCTL_SENDTRIGGER_INIT = 2
XEN_DOMCTL_SENDTRIGGER_POWER = 3
XEN_DOMCTL_SENDTRIGGER_SLEEP = 4

XEN_DOMCTL_CDF_HVM = 1 << 0
XEN_DOMCTL_CDF_HAP = 1 << 1
XEN_DOMCTL_CDF_S3_INTEGRITY = 1 << 2
XEN_DOMCTL_CDF_OOS_OFF = 1 << 3
XEN_DOMCTL_CDF_XS_DOMAIN = 1 << 4
XEN_DOMCTL_CDF_IOMMU = 1 << 5
XEN_DOMCTL_CDF_NESTED_VIRT = 1 << 6
XEN_DOMCTL_CDF_VPMU = 1 << 7
XEN_DOMCTL_CDF_MAX = XEN_DOMCTL_CDF_VPMU

XEN_DOMINF_DYING = 1 << 0
XEN_DOMINF_HVM_GUEST = 1 << 1
XEN_DOMINF_SHUTDOWN = 1 << 2
XEN_DOMINF_PAUSED = 1 << 3
XEN_DOMINF_BLOCKED = 1 << 4
XEN_DOMINF_RUNNING = 1 << 5
XEN_DOMINF_XS_DOMAIN = 1 << 7
XEN_DOMINF_HAP = 1 << 8
XEN_DOMINF_SHUTDOWNSHIFT = 16

HVM_MAX_VCPUS = 128

# sysctl
XEN_SYSCTL_READCONSOLE = 1
XEN_SYSCTL_PHYSINFO = 3
XEN_SYSCTL_GETDOMAININFOLIST = 6

# sched_op
SHUTDOWN_POWEROFF = 0
SHUTDOWN_REBOOT = 1
SHUTDOWN_SUSPEND = 2
SHUTDOWN_CRASH = 3
SHUTDOWN_WATCHDOG = 4
SHUTDOWN_SOFT_RESET = 5
SHUTDOWN_MAX = 5
SHUTDOWN_NAMES = ("poweroff", "reboot", "suspend", "crash", "watchdog", "soft_reset")

# dm_op
XEN_DMOP_CREATE_IOREQ_SERVER = 1
XEN_DMOP_GET_IOREQ_SERVER_INFO = 2
XEN_DMOP_MAP_IO_RANGE_TO_IOREQ_SERVER = 3
XEN_DMOP_UNMAP_IO_RANGE_FROM_IOREQ_SERVER = 4
XEN_DMOP_SET_IOREQ_SERVER_STATE = 5
XEN_DMOP_DESTROY_IOREQ_SERVER = 6
XEN_DMOP_IO_RANGE_PORT = 0
XEN_DMOP_IO_RANGE_MEMORY = 1
XEN_DMOP_IO_RANGE_PCI = 2
MAX_IOREQ_SERVERS = 8
MAX_IO_RANGES = 256  # per type and server

# hvm_op: parameters
HVM_PARAM_CALLBACK_IRQ = 0
HVM_PARAM_STORE_PFN = 1
HVM_PARAM_STORE_EVTCHN = 2
HVM_PARAM_IOREQ_PFN = 5
HVM_PARAM_BUFIOREQ_PFN = 6
HVM_PARAM_VIRIDIAN = 9
HVM_PARAM_TIMER_MODE = 10
HVM_PARAM_HPET_ENABLED = 11
HVM_PARAM_IDENT_PT = 12
HVM_PARAM_ACPI_S_STATE = 14
HVM_PARAM_VM86_TSS = 15
HVM_PARAM_VPT_ALIGN = 16
HVM_PARAM_CONSOLE_PFN = 17
HVM_PARAM_CONSOLE_EVTCHN = 18
HVM_PARAM_ACPI_IOPORTS_LOCATION = 19
HVM_PARAM_BUFIOREQ_EVTCHN = 26
HVM_PARAM_PAGING_RING_PFN = 27
HVM_PARAM_MONITOR_RING_PFN = 28
HVM_PARAM_SHARING_RING_PFN = 29
HVM_PARAM_IOREQ_SERVER_PFN = 32
HVM_PARAM_NR_IOREQ_SERVER_PAGES = 33
HVM_PARAM_VM_GENERATION_ID_ADDR = 34
HVM_PARAM_ALTP2M = 35
HVM_PARAM_X87_FIP_WIDTH = 36
HVM_PARAM_VM86_TSS_SIZED = 37
HVM_PARAM_MCA_CAP = 38
HVM_NR_PARAMS = 39

VIRQ_DOM_EXC = 3
VIRQ_MCA = 16

# Guest page types (x86 p2m). MMIO_DM is what an unmapped gfn reads as.
P2M_RAM_RW = 0
P2M_RAM_RO = 3
P2M_MMIO_DM = 4
P2M_RAM_BROKEN = 13

# Frames and orders
ORDER_4K, ORDER_2M, ORDER_1G = 0, 9, 18
FRAME_TABLE_LIMIT = 1 << 32  # first frame that the 128 GiB frame table cannot describe: 16 TiB of memory

CPUID_XEN_BASE = 0x40000000
CPUID_XEN_LEAVES = 5
CPUID_XEN_SIGNATURE = (0x566E6558, 0x65584D4D, 0x4D4D566E)  # "XenVMMXenVMM" in EBX, ECX, EDX
CPUID_HVM_VCPU_ID_PRESENT = 1 << 3
CPUID_HVM_DOMID_PRESENT = 1 << 4


def errno_name(number: int) -> str:
    """The name of an errno, such as ``EBUSY``; the number itself when it has none here."""
    names = (name for name, value in globals().items() if name[0] == "E" and value == number)
    return next(names, str(number))


def refuse(errno: int, message: str, hint: str | None = None) -> NoReturn:
    """Fail the hypercall.

    Args:
        errno: positive errno, as above.
        message: what was asked and why it is refused, with the numbers.
        hint: what to do next.
    """
    raise HypercallError(message, errno, hint=hint)


def in_range(value: int, limit: int, what: str) -> None:
    """EINVAL unless ``0 <= value < limit``."""
    if not 0 <= value < limit:
        refuse(EINVAL, f"{what} is {value:#x}, required below {limit:#x}")
