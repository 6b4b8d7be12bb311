"""Where domains are kept in the state."""

from __future__ import annotations

# Tables of a domain's parts; the record itself is in RECORDS. All are keyed by domid.
RECORDS = "xen.domain"
TARGETS = "xen.targets"  # target/domid of each domain that is the device model of another
PARTS = ("xen.ram", "xen.pmem", "xen.files", "xen.ioreq", "xen.policy", "xen.memory_map", "xen.vnuma", "xen.chipset")
OWNERS = "xen.m2p"  # who owns which page of persistent memory, by part of the M2P
