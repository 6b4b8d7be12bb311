"""How a domain's memory becomes an emulator's memory.

The domain's RAM file is the emulator's RAM: up to ``low`` below 4 GiB (``max-ram-below-4g``), the rest from 4 GiB on.
Behind it, from the next multiple of 1 GiB on, is the room that QEMU has for memory modules (``pc-dimm``). A vNVDIMM is
one or more modules at exactly its guest-physical address; modules can be plugged in and taken out while it runs:

    0 ........ low    4 GiB ..... high    base    gpa of vNVDIMM 1        gpa of vNVDIMM 2
    |   RAM file  |   | RAM file |        |bell|  |  media or stage  |    |  media or stage |

A module is not in the memory map of the emulator's BIOS, as memory of a NUMA node is. So a guest's kexec does not take
it for RAM: kexec-tools reads /sys/firmware/memmap, which does not follow ``memmap=``.

The first module, a page without content, is the bell: whenever it is asked to leave, QEMU raises an event in the guest
(``ssdt``), and it never leaves.

With ``offset=`` (QEMU from 8.1 on) each stretch of a vNVDIMM is a module of its own, as long as there are slots.
Without it a vNVDIMM that is one stretch is mapped with the whole media file, such that the stretch falls on its
address: the rest of the file is then reachable for a guest that ignores its memory map. Everything else is staged:
copied into one file, and copied back afterwards.
"""

from __future__ import annotations

from xlpy.addr import GIB, KIB, PAGE, align_up, format_size
from xlpy.errors import Constraint
from xlpy.firmware.layout import FOUR_GIB
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MEMORY_SLOTS = 256  # QEMU's ACPI_MAX_RAM_SLOTS
SIZE_ALIGN = 8 * KIB  # QEMU rounds the size of memory up to this
SPARE = 16  # slots that are left for vNVDIMMs that are attached later,
ROOM = 64 * GIB  # and the addresses for them, as far as there are any
PHYSICAL_BITS = 40  # of every processor that QEMU emulates in software
PCI = 2 * GIB  # what QEMU keeps of them behind all memory
BELL_SIZE = PAGE


class Stretch(NamedTuple):
    """One contiguous piece of a vNVDIMM in its media file: path, offset and length in bytes."""

    path: Path
    offset: int
    length: int


class GuestNvdimm(NamedTuple):
    """A vNVDIMM to map. gpa, size: its guest-physical range; stretches: its media, in guest order; read_only: the guest
    cannot write to it."""

    name: str
    gpa: int
    size: int
    stretches: tuple[Stretch, ...]
    read_only: bool = False

    def stage_file(self, folder: Path) -> Path:
        """Where it is while it is staged, in the folder of a boot."""
        return folder / f"{self.name}.stage"


class Backend(NamedTuple):
    """A file as memory. kind: ``ram``, ``media`` or ``stage``; offset: into ``path``; read_only: what the guest writes
    there is dropped; owner: the name of its vNVDIMM."""

    kind: str
    path: Path
    offset: int
    size: int
    gpa: int
    read_only: bool = False
    owner: str = ""

    @property
    def end(self) -> int:
        """The first guest address behind it."""
        return self.gpa + self.size


class MemoryPlan(NamedTuple):
    """What the emulator maps.

    ram: the domain's RAM. bell: where the bell is, None without vNVDIMMs. modules: in guest order. slots, room: how
    many modules there may be, and for how many bytes. staged: the vNVDIMMs that are staged. notes: what the user
    should know.
    """

    ram: Backend
    bell: int | None
    modules: tuple[Backend, ...]
    slots: int
    room: int
    staged: tuple[GuestNvdimm, ...]
    notes: tuple[str, ...]


class Means(NamedTuple):
    """How vNVDIMMs can be mapped. folder: for stage files. has_offset: whether the emulator can map part of a file.
    stage_all: stage every vNVDIMM, so that the guest cannot reach other media."""

    folder: Path
    has_offset: bool
    stage_all: bool = False


def plan_memory(ram: Path, low: int, high: int, devices: Sequence[GuestNvdimm], means: Means) -> MemoryPlan:
    """Lay out the memory.

    Args:
        ram: the domain's RAM file: ``low`` bytes from GPA 0, then ``high`` bytes from 4 GiB on.
        low, high: bytes.
        devices: the vNVDIMMs.
        means: how they are mapped.

    Raises:
        Constraint: more vNVDIMMs than the emulator has slots, or one that ends beyond its processor's address width.
    """
    memory = Backend("ram", ram, 0, align_up(low + high, SIZE_ALIGN), 0)
    if not devices:
        return MemoryPlan(memory, None, (), 0, 0, (), ())
    bell = align_up(FOUR_GIB + high, GIB)
    modules: list[Backend] = []
    staged: list[GuestNvdimm] = []
    notes: list[str] = []
    ordered = sorted(devices, key=lambda device: device.gpa)
    for at, device in enumerate(ordered):
        others = [*modules, *(Backend("", ram, 0, one.size, one.gpa) for one in ordered[at + 1 :])]
        slots = MEMORY_SLOTS - SPARE - 1 - len(others)
        pieces = map_device(device, means, bell + BELL_SIZE, others, slots, notes)
        if pieces[0].kind == "stage":
            staged.append(device)
        modules += pieces
    modules.sort(key=lambda module: module.gpa)
    slots = min(1 + len(modules) + SPARE, MEMORY_SLOTS)
    if 1 + len(modules) > slots:
        raise Constraint(f"{len(devices)} vNVDIMMs, and the emulator has {MEMORY_SLOTS} memory slots")
    limit = (1 << PHYSICAL_BITS) - PCI - slots * GIB  # QEMU adds 1 GiB for each slot to the room that it is told
    ends = [(one.name, one.gpa + one.size) for one in ordered] + [(one.owner, one.end) for one in modules]
    beyond = next(((name, end) for name, end in ends if end > limit), None)
    if beyond is not None:
        raise Constraint(
            f"{beyond[0]} ends at guest address {beyond[1]:#x}, an emulated processor has {PHYSICAL_BITS} address bits "
            f"and its memory ends at {limit:#x}",
            code="XLPY-BOOT-WIDTH",
            hint="boot a domain with smaller vNVDIMMs",
        )
    room = min(max(module.end for module in modules) + ROOM, limit) - bell
    return MemoryPlan(memory, bell, tuple(modules), slots, room, tuple(staged), tuple(notes))


def map_device(
    device: GuestNvdimm, means: Means, lowest: int, others: Sequence[Backend], slots: int, notes: list[str]
) -> list[Backend]:
    """The modules of one vNVDIMM: its own media, or one stage file.

    Args:
        device: the vNVDIMM.
        means: how.
        lowest: the first address for a module.
        others: what lies elsewhere, or will.
        slots: how many modules there may be.
        notes: what the user should know is added.
    """
    pieces = None if means.stage_all else _in_place(device, means, lowest, others, slots, notes)
    if pieces is None:
        pieces = [Backend("stage", device.stage_file(means.folder), 0, device.size, device.gpa)]
    return [piece._replace(read_only=device.read_only, owner=device.name) for piece in pieces]


def _in_place(
    device: GuestNvdimm, means: Means, lowest: int, others: Sequence[Backend], slots: int, notes: list[str]
) -> list[Backend] | None:
    """Modules of the device's own media, or None when it must be staged; as for ``map_device``."""
    count = len(device.stretches)
    if means.has_offset and count <= slots:
        pieces, gpa = [], device.gpa
        for stretch in device.stretches:
            pieces.append(Backend("media", stretch.path, stretch.offset, stretch.length, gpa))
            gpa += stretch.length
        return pieces
    if count == 1 and not means.has_offset:
        stretch = device.stretches[0]
        whole = Backend("media", stretch.path, 0, stretch.path.stat().st_size, device.gpa - stretch.offset)
        if whole.gpa >= lowest and not any(whole.gpa < one.end and one.gpa < whole.end for one in others):
            exposed = whole.size - stretch.length
            if exposed:
                notes.append(
                    f"{device.name} is mapped in place with all of {stretch.path.name}: {format_size(exposed)} beside "
                    "it are within reach of a guest that ignores its memory map (--stage prevents that)"
                )
            return [whole]
    back = "not written back" if device.read_only else "written back when the guest ends"
    why = f"{count} stretches" if count > 1 else "a file too large to map whole"
    reason = (
        f"from {slots + 1} on, since QEMU has {MEMORY_SLOTS} memory slots"
        if means.has_offset
        else "QEMU before 8.1 maps whole files only"
    )
    notes.append(f"{device.name} lies in {why}: staged in one file, {back} ({reason})")
    return None
