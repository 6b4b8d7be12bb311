"""Keys of memory, NUMA and grants."""

from __future__ import annotations

from xlpy.toolstack.config.options.option import HARDWARE, HVM, INTEGER, LIST, LISTS, STRING, XL, Option

OPTIONS = (
    Option(
        "memory",
        INTEGER,
        "MiB of memory at the start. Nothing checks the sign.",
        default="maxmem, or 32",
        path="b_info.target_memkb",
        store="kib",
    ),
    Option(
        "maxmem",
        INTEGER,
        "MiB of memory that the domain can grow to. More than memory makes a hardware-assisted "
        "guest populate on demand.",
        default="memory",
        path="b_info.max_memkb",
        store="kib",
    ),
    Option(
        "shadow_memory",
        INTEGER,
        "MiB for shadow or nested page tables.",
        default="1 MiB per vCPU, and 8 KiB per MiB of maxmem",
        path="b_info.shadow_memkb",
        store="kib",
    ),
    Option(
        "videoram",
        INTEGER,
        "MiB of video memory, taken out of maxmem.",
        default="8 for cirrus, 16 for stdvga, 128 for qxl",
        guests=(HVM,),
        path="b_info.video_memkb",
        store="kib",
    ),
    Option(
        "mmio_hole", INTEGER, "MiB kept free for devices below 4 GiB, from 256 to 3840.", default="256", guests=(HVM,)
    ),
    Option(
        "vnuma",
        LISTS,
        "The guest's NUMA nodes, each a list of pnode=N, size=MIB, vcpus=LIST and vdistances=LIST.",
        guests=HARDWARE,
    ),
    Option(
        "rdm",
        STRING,
        "What to do about reserved device memory: strategy=host. A valid policy makes xl drop the "
        "whole setting without a word.",
        default="no strategy, relaxed",
        guests=(HVM,),
    ),
    Option(
        "rdm_mem_boundary",
        INTEGER,
        "MiB above which a conflict with reserved device memory shortens the low memory instead of failing.",
        default="2048",
        guests=(HVM,),
        path="b_info.u.rdm_mem_boundary_memkb",
        store="kib",
    ),
    Option(
        "max_grant_frames",
        INTEGER,
        "Frames of grants that the domain may make, at most 2147483647.",
        default="from xl.conf, else the hypervisor's",
        fatal="refused without a message",
    ),
    Option(
        "max_maptrack_frames",
        INTEGER,
        "Frames for tracking grants that the domain has mapped, at most 2147483647.",
        default="from xl.conf, else the hypervisor's",
        fatal="refused without a message",
    ),
    Option(
        "max_grant_version",
        INTEGER,
        "The highest grant table version the domain may use.",
        default="from xl.conf, else the hypervisor's",
        fatal="refused without a message",
    ),
    Option(
        "max_event_channels",
        INTEGER,
        "Event channels that the domain may have.",
        default="1023",
        path="b_info.event_channels",
        store="u32",
    ),
    Option("llc_colors", LIST, "Cache colours, each N or N-M.", since="4.20"),
    Option(
        "vnvdimm",
        LIST,
        "Virtual NVDIMMs: file=PATH names a pmem device (/dev/pmem0) or a file on a DAX file system; label_size=SIZE "
        "gives it a label area; unarmed=1 makes writes volatile; mode=ro maps it read-only (rw is the default), and is "
        "required for what Dom0 has read-only itself; node=N is its virtual NUMA node; label_file=PATH holds its "
        "labels on a real Xen (`xlpy export`).",
        guests=(HVM,),
        unread_by=(XL,),
    ),
)
