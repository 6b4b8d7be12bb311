"""A devdax device (``/dev/daxN.M``): no file system, no block device, only memory; and what provides a device's memory.

Everything is in sysfs: ``/sys/bus/dax/devices/daxN.M`` has its ranges, its driver, and above it the nd bus that it came
from, if it came from one.
"""

from __future__ import annotations

from xlpy.addr import PAGE, Spa, Span
from xlpy.errors import NotFound, Unsafe
from xlpy.records import NamedTuple
from xlpy.toolstack.backing.refusals import read_only_backing, refuse_used
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.dom0.kernel import Dom0

MAPPED_BY = {"", "device_dax"}  # drivers that leave the memory to the processes that open the device

# What is known of memory that no NFIT describes
NOTES = {
    "virtio-pmem": "virtio-pmem: what a guest flushes is in this host's memory, and reaches the media of the host "
    "outside only when this host asks for it; say unarmed=1",
    "e820": "a region of the memory map (type 12, memmap=): nothing says that it survives a power failure; say "
    "unarmed=1 unless you know",
}


class DaxDevice(NamedTuple):
    """A devdax device: its name, and its memory in the order in which it shows it."""

    name: str
    spans: tuple[Span[Spa], ...]


def find(dom0: Dom0, path: str, number: tuple[int, int], read_only: bool) -> DaxDevice | None:
    """The devdax device behind a character device; None when it is another one.

    Args:
        dom0: the kernel that is asked.
        path: of the device's node. number: (major, minor) of it.
        read_only: the guest will not write.

    Raises:
        Conflict: it is used as system RAM, or by another driver, or a process has it open. Unsafe: it is not persistent
        memory, or read-only, or its ranges do not hold together.
    """
    try:
        event = dom0.sysfs(f"/sys/dev/char/{number[0]}:{number[1]}/uevent")
    except NotFound:
        return None
    facts = dict(line.partition("=")[::2] for line in event.splitlines())
    name = facts.get("DEVNAME", "")
    base = f"/sys/bus/dax/devices/{name}"
    if not name or not _read(dom0, f"{base}/size"):
        return None
    driver = facts.get("DRIVER", "")
    if driver not in MAPPED_BY:
        what = "system RAM (driver kmem)" if driver == "kmem" else f"bound to the driver {driver}"
        refuse_used(path, [what], f"daxctl reconfigure-device --mode=devdax {name}")
    refuse_used(path, dom0.device_users(path, name))
    region = f"{base}/../.."
    if not _read(dom0, f"{region}/../provider"):
        raise Unsafe(
            f"{path} is memory of another kind (soft-reserved, CXL): no nd region says that it is persistent",
            code="XLPY-PMEM-NOT-PMEM",
            hint="use a devdax device that ndctl list shows",
        )
    if not read_only and _read(dom0, f"{region}/read_only") == "1":
        raise read_only_backing(path, "its region is read-only", "write 0 to the region's read_only in sysfs")
    return DaxDevice(name, _ranges(dom0, path, base))


def provider(dom0: Dom0, kind: str, device: str) -> str:
    """Who describes a device's memory, in the kernel's word: ``ACPI.NFIT``, ``e820``, ``virtio-pmem`` ...; or empty."""
    at = f"/sys/bus/dax/devices/{device}/.." if kind == "devdax" else f"/sys/block/{device}/device"
    return _read(dom0, f"{at}/../../provider")


def _ranges(dom0: Dom0, path: str, base: str) -> tuple[Span[Spa], ...]:
    """The ranges in the order of their page offsets; kernels before 5.10 have one, and no folder for it."""
    found: list[tuple[int, Span[Spa]]] = []
    while start := _read(dom0, f"{base}/mapping{len(found)}/start"):
        at = f"{base}/mapping{len(found)}"
        end, page = (int(dom0.sysfs(f"{at}/{name}"), 0) for name in ("end", "page_offset"))
        found.append((page * PAGE, Span.between(Spa(int(start, 0)), Spa(end + 1))))
    if not found:
        found = [(0, Span(Spa(int(dom0.sysfs(f"{base}/resource"), 0)), int(dom0.sysfs(f"{base}/size"), 0)))]
    found.sort()
    point = 0
    for offset, span in found:
        if offset != point or not span.aligned(PAGE):
            raise Unsafe(
                f"{path}: its range {span} at offset {offset:#x} does not follow the one before it in whole pages",
                code="XLPY-PMEM-ORDER",
                hint="make the device anew: ndctl create-namespace -f -e NAMESPACE -m devdax",
            )
        point += span.size
    return tuple(span for _, span in found)


def _read(dom0: Dom0, path: str) -> str:
    try:
        return dom0.sysfs(path)
    except NotFound:
        return ""
