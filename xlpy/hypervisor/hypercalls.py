"""The hypercall interface, as one caller has it: every operation is a method that fails with Xen's errnos."""

from __future__ import annotations

from xlpy.hypervisor.op_domctl import DomctlOps, SysctlOps
from xlpy.hypervisor.op_hvm import DmOps, HvmOps
from xlpy.hypervisor.op_memory import MemoryOps
from xlpy.hypervisor.op_pmem import PmemOps, PmemReportOps


class Hypercalls(SysctlOps, DomctlOps, MemoryOps, PmemReportOps, PmemOps, HvmOps, DmOps):
    """All operations; ``Xen.hypercalls(caller)`` gives one."""
