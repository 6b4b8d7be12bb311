"""How a domain's memory is laid out before it starts (libxl's ``build_hvm``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xlpy.addr import GIB, KIB, MIB, PAGE, Gpa, Span
from xlpy.errors import Constraint
from xlpy.firmware.layout import FOUR_GIB, VGA_WINDOW
from xlpy.records import NamedTuple

if TYPE_CHECKING:
    from xlpy.toolstack.config import DomainConfig

MMIO_HOLE = 256 * MIB
HVMLOADER_SIZE = 0x34000  # hvmloader's image and bss, in whole pages; modules follow it


class MemoryLayout(NamedTuple):
    """Bytes: low_end is the first address after RAM below 4 GiB; high_end the one after RAM above, or 0."""

    low_end: Gpa
    high_end: Gpa
    mmio_start: Gpa

    @property
    def ram(self) -> tuple[Span[Gpa], ...]:
        """Populated stretches: the VGA window below 1 MiB has no RAM."""
        spans = [Span(Gpa(0), VGA_WINDOW), Span.between(Gpa(0xC0000), self.low_end)]
        if self.high_end:
            spans.append(Span.between(FOUR_GIB, self.high_end))
        return tuple(spans)


def memory_layout(config: DomainConfig) -> MemoryLayout:
    """Split the domain's memory at the hole below 4 GiB.

    Args:
        config: ``max_kib``, ``videoram_kib`` and ``mmio_hole`` (MiB, or None) count.

    Raises:
        Constraint: less than the 2 MiB that hvmloader needs below 4 GiB.
    """
    ram = (config.max_kib - config.videoram_kib) * KIB // PAGE * PAGE
    if ram < 8 * MIB:
        raise Constraint(
            f"{config.name}: {ram // MIB} MiB of RAM remain after {config.videoram_kib // 1024} MiB of video memory",
            hint="give the domain more: memory = 512",
        )
    hole = max((config.mmio_hole or 0) * MIB, MMIO_HOLE)
    start = 4 * GIB - hole
    high = 4 * GIB + ram - start if ram > start else 0
    return MemoryLayout(Gpa(min(ram, start)), Gpa(high), Gpa(start))
