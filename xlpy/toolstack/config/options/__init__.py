"""Every key of xl.cfg, as data: the reader, the reference page and the completions come from this one table."""

from __future__ import annotations

from xlpy.toolstack.config.options import cpu, devices, display, identity, memory, platform
from xlpy.toolstack.config.options.option import Option

# Sections of the reference page in their order.
SECTIONS: tuple[tuple[str, tuple[Option, ...]], ...] = (
    ("Identity and life", identity.OPTIONS),
    ("CPU", cpu.OPTIONS),
    ("Memory and NUMA", memory.OPTIONS),
    ("Platform, firmware and boot", platform.OPTIONS),
    ("Devices and device model", devices.OPTIONS),
    ("Screen, keyboard, sound and USB", display.OPTIONS),
)
OPTIONS: dict[str, Option] = {option.key: option for _, options in SECTIONS for option in options}

__all__ = ["OPTIONS", "SECTIONS", "Option"]
