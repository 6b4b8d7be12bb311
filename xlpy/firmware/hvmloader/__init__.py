"""hvmloader: the firmware of a Xen HVM guest, which builds its tables and its memory map."""

from xlpy.firmware.hvmloader.main import run

__all__ = ["run"]
