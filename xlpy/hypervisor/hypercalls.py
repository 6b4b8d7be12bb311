"""The hypercall interface, as one caller has it: every operation is a method that fails with Xen's errnos."""

from __future__ import annotations

from xlpy.hypervisor.op_dm import DmOps
from xlpy.hypervisor.op_domctl import DomctlOps
from xlpy.hypervisor.op_hvm import HvmOps
from xlpy.hypervisor.op_memory import MemoryOps
from xlpy.hypervisor.op_platform import PlatformOps
from xlpy.hypervisor.op_pmem import PmemOps
from xlpy.hypervisor.op_trigger import TriggerOps


class Hypercalls(PlatformOps, DomctlOps, MemoryOps, PmemOps, HvmOps, DmOps, TriggerOps):
    """All operations; ``Xen.hypercalls(caller)`` gives one."""
