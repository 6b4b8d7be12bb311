"""Keys of virtual CPUs, scheduling and CPU features."""

from __future__ import annotations

from xlpy.toolstack.config.options.option import (
    BOOLEAN,
    BOOLEAN_OR_LIST,
    HARDWARE,
    HVM,
    INTEGER,
    LIST,
    STRING_OR_INTEGER,
    STRING_OR_LIST,
    XLPY,
    Option,
)
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

GROUPS = (
    "base",
    "freq",
    "time_ref_count",
    "reference_tsc",
    "hcall_remote_tlb_flush",
    "apic_assist",
    "crash_ctl",
    "synic",
    "stimer",
    "hcall_ipi",
    "ex_processor_masks",
    "no_vp_limit",
    "cpu_hotplug",
)
# what viridian = 1 turns on
DEFAULT_GROUPS = (
    "base",
    "freq",
    "time_ref_count",
    "apic_assist",
    "crash_ctl",
    "no_vp_limit",
    "cpu_hotplug",
)
TSC_MODES = ("default", "always_emulate", "native", "native_paravirt")
TIMER_MODES = (
    "delay_for_missed_ticks",
    "no_delay_for_missed_ticks",
    "no_missed_ticks_pending",
    "one_missed_tick_pending",
)
ALTP2M_MODES = ("disabled", "mixed", "external", "limited")

OPTIONS = (
    Option("vcpus", INTEGER, "Virtual CPUs that are online at the start.", default="1"),
    Option(
        "maxvcpus",
        INTEGER,
        "Virtual CPUs that can ever be online; at least vcpus, and with vnuma exactly as many as its nodes have.",
        default="vcpus, or vnuma's total",
    ),
    Option(
        "cpus",
        STRING_OR_LIST,
        "Physical CPUs on which the virtual ones may run: one CPU list for all of them, or "
        "a list with one each. A CPU list has commas between all, N, N-M, node:N, nodes:N-M, each with ^ in front "
        "to take away. The list form switches automatic NUMA placement off.",
        default="all",
    ),
    Option(
        "cpus_soft", STRING_OR_LIST, "Physical CPUs that the virtual ones prefer; written like cpus.", default="none"
    ),
    Option(
        "cpu_weight",
        INTEGER,
        "Share of CPU time in the credit schedulers, relative to other domains.",
        default="256",
        path="b_info.sched_params.weight",
        store="i32",
    ),
    Option(
        "cap",
        INTEGER,
        "Most CPU time the domain gets, in percent of one physical CPU; 0 is no limit.",
        default="0",
        path="b_info.sched_params.cap",
        store="i32",
    ),
    Option(
        "period",
        INTEGER,
        "Period of the real-time scheduler in microseconds.",
        path="b_info.sched_params.period",
        store="i32",
    ),
    Option(
        "slice",
        INTEGER,
        "Without effect since the SEDF scheduler is gone.",
        path="b_info.sched_params.slice",
        store="i32",
    ),
    Option(
        "latency",
        INTEGER,
        "Without effect since the SEDF scheduler is gone.",
        path="b_info.sched_params.latency",
        store="i32",
    ),
    Option(
        "extratime",
        INTEGER,
        "Whether the real-time scheduler gives the domain idle time beyond its budget.",
        path="b_info.sched_params.extratime",
        store="i32",
    ),
    Option(
        "cpuid",
        STRING_OR_LIST,
        'CPU features: "host,NAME=VALUE,..." with values 0, 1, x (default) and k (host), '
        "or a list of register masks. Entries that cannot be read are complained about and left out; the domain is "
        "created all the same.",
        default="the host's default policy",
    ),
    Option(
        "nestedhvm",
        BOOLEAN,
        "Hardware virtualisation inside the guest.",
        default="0",
        guests=HARDWARE,
        path="b_info.nested_hvm",
    ),
    Option(
        "hap", BOOLEAN, "Hardware-assisted paging.", default="1 if the host can", guests=HARDWARE, path="c_info.hap"
    ),
    Option("oos", BOOLEAN, "Let shadow page tables run out of step.", default="1", guests=HARDWARE, path="c_info.oos"),
    Option("pae", BOOLEAN, "Show the guest PAE.", default="1", guests=(HVM,), path="b_info.u.pae"),
    Option("nx", BOOLEAN, "Show the guest no-execute pages.", default="1", guests=(HVM,), path="b_info.u.nx"),
    Option(
        "apic",
        BOOLEAN,
        "Build the APIC tables, which a guest with one CPU can do without.",
        default="1",
        guests=(HVM,),
        path="b_info.apic",
    ),
    Option(
        "tsc_mode",
        STRING_OR_INTEGER,
        "What the guest's time stamp counter is. Numbers 0 to 3 are deprecated.",
        default="default",
        legal=TSC_MODES,
    ),
    Option(
        "timer_mode",
        STRING_OR_INTEGER,
        "What becomes of timer ticks that came while the guest did not run. Numbers 0 to 3 are deprecated.",
        default="no_delay_for_missed_ticks",
        guests=HARDWARE,
        legal=TIMER_MODES,
        fatal="refused for PV guests",
    ),
    Option(
        "vpt_align",
        BOOLEAN,
        "Make periodic timers expire together, which wakes the CPU less often.",
        default="1",
        guests=(HVM,),
        path="b_info.u.vpt_align",
    ),
    Option(
        "viridian",
        BOOLEAN_OR_LIST,
        "Hyper-V interfaces for Windows: 1 is the default set; a list holds all, "
        "defaults, GROUP and !GROUP, applied in order. Groups: " + ", ".join(GROUPS) + ".",
        default="0",
        guests=(HVM,),
    ),
    Option(
        "altp2m",
        STRING_OR_INTEGER,
        "Alternate views of guest memory; numbers 0 to 3 mean the same.",
        default="disabled",
        legal=ALTP2M_MODES,
    ),
    Option(
        "altp2mhvm",
        BOOLEAN,
        "Alternate views of guest memory, in the old way.",
        default="0",
        guests=(HVM,),
        path="b_info.u.altp2m",
        instead="altp2m",
    ),
    Option(
        "altp2m_count", INTEGER, "How many alternate views there are.", default="10", since="4.21", unread_by=(XLPY,)
    ),
    Option(
        "msr_relaxed",
        BOOLEAN,
        "Let the guest read unknown MSRs, as Xen 4.14 did. xl warns whenever it is set.",
        default="0",
        path="b_info.arch_x86.msr_relaxed",
    ),
    Option(
        "mca_caps",
        LIST,
        "Machine check features beyond the usual; only lmce exists.",
        guests=(HVM,),
        legal=("lmce",),
        fatal="refused",
    ),
    Option("vmtrace_buf_kb", INTEGER, "KiB of processor trace buffer for each virtual CPU.", default="0"),
    Option("vpmu", BOOLEAN, "Give the guest performance counters.", default="0", path="b_info.vpmu"),
)


def groups_on(guest: Mapping[str, Any]) -> tuple[str, ...]:
    """The Hyper-V groups that are on in libxl's part for an HVM guest, in libxl's order."""
    on = {GROUPS.index(name) for name in DEFAULT_GROUPS} if guest.get("viridian") else set()
    on |= set(guest.get("viridian_enable", ()))
    on -= set(guest.get("viridian_disable", ()))
    return tuple(group for at, group in enumerate(GROUPS) if at in on)
