"""Codes about domains: creating them, and actions of their guests."""

from __future__ import annotations

from xlpy.views.explained.record import Explanation as E  # noqa: N817 - a table of them

TITLE = "Domains"

_QUICK = "xlpy create configs/quickstart.cfg"
_WITHOUT = "xlpy create configs/quickstart.cfg 'vnvdimm=[]'"

CODES = (
    E(
        "XLPY-NAME-TAKEN",
        5,
        "A domain of that name is alive.",
        "Choose another name, or end that domain.",
        (_WITHOUT, _WITHOUT),
        "4.4",
    ),
    E(
        "XLPY-UUID-TAKEN",
        5,
        "A domain with that UUID is alive.",
        "Leave uuid out of the configuration, and a new one is made.",
        (
            _WITHOUT + " 'uuid=\"01234567-89ab-cdef-0123-456789abcdef\"'",
            _WITHOUT + " 'uuid=\"01234567-89ab-cdef-0123-456789abcdef\"' 'name=\"second\"'",
        ),
        "4.4",
    ),
    E(
        "XLPY-NO-MEMORY",
        6,
        "The host has not enough RAM left, or the domain has less than its builder needs.",
        "xlpy info free_memory shows how much there is; end a domain, or change memory =.",
        ("xlpy create configs/quickstart.cfg memory=500000",),
        "4.2.4",
    ),
    E(
        "XLPY-GUEST-WIDTH",
        6,
        "The vNVDIMMs end beyond what the guest's physical addresses reach.",
        "Give it smaller backings, or a CPU with more address bits.",
        ("# a device of 6 TiB, and a CPU with 36 address bits",),
        "4.2.4",
    ),
    E(
        "XLPY-NODE",
        6,
        "A vnvdimm entry names a virtual NUMA node that the domain does not have.",
        "Leave node out, or write node=0.",
        (
            _QUICK,
            "xlpy pmem mkfile 1M /mnt/pmem0/more.img",
            "xlpy nvdimm-attach quickstart file=/mnt/pmem0/more.img,node=7",
        ),
        "4.3.1",
    ),
    E(
        "XLPY-NO-NVDR",
        5,
        "The domain was started without vNVDIMMs, so its tables have no NVDIMM root device that could be notified.",
        "Start it with one vNVDIMM; more can be attached later.",
        (_WITHOUT, "xlpy nvdimm-attach quickstart file=/mnt/pmem0/vm1.img"),
        "4.2.6",
    ),
    E(
        "XLPY-PMEM-IN-GUEST",
        5,
        "The guest has not let go of the vNVDIMM that is to be detached; it was asked to (notification 3).",
        "Evaluate _EJ0 in the guest, then detach again; -f takes it away at once.",
        (_QUICK, "xlpy nvdimm-detach quickstart 0"),
        "4.2.6",
    ),
    E(
        "XLPY-DOMAIN-ENDED",
        5,
        "The domain has shut down; it is kept, and nothing can be done with its guest.",
        "xlpy destroy removes it.",
        (_QUICK + " 'on_poweroff=\"preserve\"'", "xlpy shutdown quickstart", "xlpy reboot quickstart"),
        "life.md",
    ),
    E(
        "XLPY-DOMAIN-PAUSED",
        5,
        "The domain is paused, so that its guest cannot answer.",
        "xlpy unpause lets it run.",
        (_QUICK, "xlpy pause quickstart", "xlpy reboot quickstart"),
        "life.md",
    ),
    E(
        "XLPY-DOMAIN-ASLEEP",
        5,
        "The guest is asleep (ACPI S3) and cannot answer.",
        "xlpy trigger DOMAIN s3resume wakes it.",
        (_QUICK, "xlpy trigger quickstart sleep", "xlpy reboot quickstart"),
        "life.md",
    ),
    E(
        "XLPY-GUEST-BROKEN",
        8,
        "The guest touched memory that a machine check had poisoned; Xen crashed the domain.",
        "on_crash says what follows; xlpy dmesg has the address.",
        ("# a guest that reads a line with poison",),
        "4.2.5",
    ),
    E(
        "XLPY-GUEST-READ-ONLY",
        8,
        "The guest stored to memory that it may only read; nothing of the store was done.",
        "mode=ro in the vnvdimm entry is the reason; leave it out where the guest is to write.",
        (
            "xlpy create configs/quickstart.cfg 'vnvdimm=[\"file=/mnt/pmem0/vm1.img,mode=ro\"]'",
            "xlpy mem write quickstart 0x500000000 --hex 00",
        ),
        "4.2.4",
    ),
    E(
        "XLPY-AML",
        6,
        "The AML of a guest's tables could not be evaluated; the status is ACPICA's.",
        "The message names table, method and offset; `xlpy acpi check` finds what is wrong before it is run.",
        (_QUICK, "xlpy acpi eval quickstart '\\_SB.NVDR.NV00._LSR' 1 2 3 4 5 6 7 8"),
        "aml.md",
    ),
)
