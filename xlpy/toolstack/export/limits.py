"""Requirements and limits of stock Xen for frames mapped by ``iomem``. Numbers: Xen 4.17 and 4.20, source and runs."""

from __future__ import annotations

from xlpy.addr import GIB, KIB, MIB, PAGE
from xlpy.errors import Constraint
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xlpy.toolstack.backing.resolve import Resolved
    from xlpy.toolstack.config.domain_config import DomainConfig
    from xlpy.toolstack.export.manifest import MemoryArea

TABLE = 2 * MIB  # of guest space that one page of the p2m's last level covers
SMALL = 64  # KiB of page tables that fit into the default pool beside those of RAM
MOST_ENTRIES = 32768


def _pieces(resolved: Resolved) -> int:
    """How many spans there will be, without making them."""
    count, end = 0, None
    for start, length in resolved.pairs():
        count += start != end
        end = start + length
    return count


def paging_kib(config: DomainConfig) -> int:
    """libxl's default paging pool (``libxl__get_required_paging_memory``): 1 MiB a vCPU and 4 KiB a MiB of memory.

    That is with hardware paging; without (``hap = 0``) it is 4 KiB a MiB more.
    """
    shadow = not config.tree["c_info"].get("hap", True)
    return 4 * (256 * config.max_vcpus + (1 + shadow) * (config.max_kib // 1024))


def tables_kib(areas: Iterable[MemoryArea]) -> int:
    """The paging pool that the areas need: a page for every 2 MiB that are mapped page by page, and the levels above.

    Xen maps 2 MiB at once where guest and host address both are multiples of it (p2m.c, ``mmio_order``), never more.
    """
    count = 0
    for area in areas:
        touched, at = 0, area.gpa + 0
        last = -1
        for span in area.spans:
            first, end = at // TABLE, -(-(at + span.size) // TABLE)
            alike = (at - span.start) % TABLE == 0
            whole = max(0, (at + span.size) // TABLE - -(-at // TABLE)) if alike else 0
            touched += end - first - whole - (first == last)
            last = end - 1
            at += span.size
        count += touched + -(-area.size // GIB) + 2
    return count * PAGE // KIB


def shadow_mib(config: DomainConfig, areas: Iterable[MemoryArea]) -> int | None:
    """``shadow_memory`` in MiB where the default pool, or what is configured, may not do; else None.

    A guest of 64 MiB with the default of 1280 KiB took 92 MiB of pages one by one, and Xen 4.17 crashed it on the next
    (``xl create``: "failed to map ... Invalid argument"); with 4 MiB it took 512 MiB.
    """
    need = tables_kib(areas)
    have = config.tree["b_info"].get("shadow_memkb")
    if need <= SMALL and have is None:
        return None
    wanted = paging_kib(config) + need
    return None if have is not None and int(have) >= wanted else -(-wanted // KIB) + 1


def check_entries(config: DomainConfig, found: Iterable[Resolved], own: int) -> None:
    """Refuse more ``iomem`` entries than can be meant. xl was seen to take 40,000, at some milliseconds each.

    Args:
        config: for messages.
        found: the backings: an entry for each extent, neighbours together.
        own: entries that the configuration has itself.

    Raises:
        Constraint: there are more.
    """
    count = own + sum(_pieces(one) for one in found)
    if count > MOST_ENTRIES:
        raise Constraint(
            f"{config.name}: {count} iomem entries are needed, one for each extent, and {MOST_ENTRIES} is the limit",
            code="XLPY-EXPORT-EXTENTS",
            hint="copy the file into one made in one piece on an emptier file system (fallocate, then write it)",
        )
