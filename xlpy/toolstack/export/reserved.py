"""Guest addresses that devices passed through make unusable: reserved device memory, and 64-bit BARs."""

from __future__ import annotations

import re
from _struct import unpack_from
from pathlib import Path

from xlpy.addr import GIB, MIB, Gpa, Span, align_up
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.toolstack.config.domain_config import DomainConfig

_REMAPPING = 48  # where a DMAR's structures begin
_RMRR = 1
_MEMORY_64 = 0x4  # of a BAR's flags as sysfs has them: bits 1-2 of the register


def device_memory(config: DomainConfig, sysfs: str = "/sys") -> list[Span[Gpa]]:
    """Reserved device memory (RMRR), which libxl keeps identity-mapped for a guest with devices or ``rdm``.

    libxl (4.17, ``libxl__domain_device_construct_rdm``) takes the regions of all devices with ``strategy=host``, else
    those of the devices passed through; here all of them count in either case. Nothing where the table cannot be read.
    """
    if not (_pci(config) or config.tree["b_info"].get("u", {}).get("rdm")):
        return []
    try:
        table = Path(sysfs, "firmware/acpi/tables/DMAR").read_bytes()
    except OSError:
        return []
    return list(rmrrs(table))


def hypertransport(proc: str = "/proc") -> list[Span[Gpa]]:
    """On AMD's processors, the 12 GiB below 1 TiB that belong to HyperTransport and are no memory.

    ``xl create`` of Xen 4.17 did not come back from mapping a frame there.
    """
    try:
        vendor = re.search(r"^vendor_id\s*:\s*(\w+)", Path(proc, "cpuinfo").read_text(), re.M)
    except OSError:
        return []
    amd = vendor is not None and vendor[1] in ("AuthenticAMD", "HygonGenuine")
    return [Span.between(Gpa(1012 * GIB), Gpa(1024 * GIB))] if amd else []


def rmrrs(table: bytes) -> Iterator[Span[Gpa]]:
    """The reserved regions of a DMAR; what does not fit into it ends the list."""
    at = _REMAPPING
    while at + 4 <= len(table):
        kind, size = unpack_from("<HH", table, at)
        if size < 4 or at + size > len(table):
            return
        if kind == _RMRR and size >= 24:
            base, limit = unpack_from("<QQ", table, at + 8)
            if base <= limit:
                yield Span(Gpa(base), limit + 1 - base)
        at += size


def large_bars(config: DomainConfig, sysfs: str = "/sys") -> int:
    """Bytes above RAM that hvmloader may give to 64-bit BARs of devices passed through, alignment included.

    hvmloader places them one after another from the end of RAM, each on a multiple of its size. Xen 4.17 and 4.20.
    """
    total = 0
    for address in sorted(_pci(config)):
        try:
            rows = Path(sysfs, "bus/pci/devices", address, "resource").read_text().splitlines()[:6]
        except OSError:
            continue
        for row in rows:
            start, end, flags = (int(word, 16) for word in row.split())
            if flags & 0x100000 and end > start:  # IORESOURCE_MEM_64
                total = align_up(total, end - start + 1) + end - start + 1
    return align_up(total, GIB) if total > 16 * MIB else total


def _pci(config: DomainConfig) -> set[str]:
    """The addresses of devices passed through, as sysfs writes them."""
    found = set()
    for one in config.tree.get("pcidevs", ()):
        found.add(f"{one.get('domain', 0):04x}:{one.get('bus', 0):02x}:{one.get('dev', 0):02x}.{one.get('func', 0):x}")
    return {address for address in found if re.fullmatch(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", address)}
