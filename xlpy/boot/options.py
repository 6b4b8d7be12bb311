"""Options of a boot."""

from __future__ import annotations

from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class BootOptions(NamedTuple):
    """Options of a boot.

    kernel, initrd: files. append: words for the kernel's command line. timeout: seconds for the whole run, or None.
    stage: give the guest copies of its persistent memory, so that nothing else is within reach.
    folder: where memory files go, and the RAM file stays; None: the domain's directory, and nothing stays.
    extra: further words for the emulator. record: folder for a trace of what the guest does to its vNVDIMMs.
    qemu: the emulator, see ``find_qemu``.
    """

    kernel: Path
    initrd: Path | None = None
    append: str = ""
    timeout: float | None = None
    stage: bool = False
    folder: Path | None = None
    extra: tuple[str, ...] = ()
    record: Path | None = None
    qemu: str = ""
