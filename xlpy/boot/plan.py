"""How a domain's memory becomes an emulator's memory.

QEMU lays the memory back ends of its NUMA nodes one after another: the first below 4 GiB as far as
``max-ram-below-4g`` says, the rest from 4 GiB on. So a domain's RAM file is node 0, gaps are sparse filler files that
the guest never sees, and each vNVDIMM is a back end at exactly its guest-physical address:

    0 ........ low    4 GiB ..... high      gpa of vNVDIMM 1        gpa of vNVDIMM 2
    |   RAM file  |   | RAM file |  filler  |  media or stage  | filler |  media or stage |

With ``offset=`` (QEMU from 8.1 on) each stretch of a vNVDIMM is a back end of its own, as long as there are NUMA
nodes. Without it a vNVDIMM that is one stretch is mapped with the whole media file, such that the stretch falls on its
address: the rest of the file is then reachable for a guest that ignores its memory map. Everything else is staged:
copied into one file, and copied back afterwards.
"""

from __future__ import annotations

from xlpy.addr import KIB, format_size
from xlpy.errors import Constraint
from xlpy.firmware.layout import FOUR_GIB
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MAX_NODES = 128  # QEMU's MAX_NODES
SIZE_ALIGN = 8 * KIB  # QEMU rounds the size of memory up to this


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


class Backend(NamedTuple):
    """One NUMA node's memory. kind: ``ram``, ``filler``, ``media`` or ``stage``; offset: into ``path``; read_only: what
    the guest writes there is dropped."""

    kind: str
    path: Path
    offset: int
    size: int
    gpa: int
    read_only: bool = False


class MemoryPlan(NamedTuple):
    """All back ends in guest order, the vNVDIMMs that are staged, and what the user should know."""

    backends: tuple[Backend, ...]
    staged: tuple[GuestNvdimm, ...]
    notes: tuple[str, ...]

    @property
    def memory(self) -> int:
        """The emulator's ``-m``, in bytes."""
        return sum(backend.size for backend in self.backends)


def plan_memory(
    ram: Path,
    low: int,
    high: int,
    devices: tuple[GuestNvdimm, ...],
    folder: Path,
    has_offset: bool,
    stage_all: bool = False,
) -> MemoryPlan:
    """Lay out the back ends.

    Args:
        ram: the domain's RAM file: ``low`` bytes from GPA 0, then ``high`` bytes from 4 GiB on.
        low, high: bytes.
        devices: the vNVDIMMs.
        folder: where staging and filler files will be made.
        has_offset: whether the emulator can map part of a file.
        stage_all: stage every vNVDIMM, so that the guest cannot reach other media.

    Raises:
        Constraint: more pieces than the emulator has NUMA nodes.
    """
    backends = [Backend("ram", ram, 0, low + high, 0)]
    staged: list[GuestNvdimm] = []
    notes: list[str] = []
    end = FOUR_GIB + high
    ordered = sorted(devices, key=lambda device: device.gpa)
    spare = MAX_NODES - 2 - 2 * len(ordered)  # nodes, beside RAM, the end, and a gap and a piece for each vNVDIMM
    for at, device in enumerate(ordered):
        following = ordered[at + 1].gpa if at + 1 < len(ordered) else None
        room = spare + 1 if has_offset else None
        pieces = None if stage_all else _in_place(device, end, following, room, notes)
        if pieces is None:
            staged.append(device)
            pieces = [Backend("stage", folder / f"{device.name}.stage", 0, device.size, device.gpa)]
        spare -= len(pieces) - 1
        pieces = [piece._replace(read_only=device.read_only) for piece in pieces]
        if pieces[0].gpa > end:
            backends.append(Backend("filler", folder / f"{device.name}.gap", 0, pieces[0].gpa - end, end))
        backends += pieces
        end = pieces[-1].gpa + pieces[-1].size
    rest = -sum(backend.size for backend in backends) % SIZE_ALIGN
    if rest:
        backends.append(Backend("filler", folder / "end.gap", 0, rest, end))
    if len(backends) > MAX_NODES:
        raise Constraint(
            f"{len(backends)} stretches of memory, and the emulator has {MAX_NODES} NUMA nodes",
            hint="run it with --stage: each vNVDIMM is then one file",
        )
    return MemoryPlan(tuple(backends), tuple(staged), tuple(notes))


def _in_place(
    device: GuestNvdimm, end: int, following: int | None, room: int | None, notes: list[str]
) -> list[Backend] | None:
    """Back ends that map the device's own media, or None when it must be staged.

    Args:
        device: the vNVDIMM.
        end: of what is laid out already. following: where the next one begins, or None.
        room: how many pieces it may have; None: only whole files can be mapped.
        notes: what the user should know is added.
    """
    if room is not None and len(device.stretches) <= room:
        pieces, gpa = [], device.gpa
        for stretch in device.stretches:
            pieces.append(Backend("media", stretch.path, stretch.offset, stretch.length, gpa))
            gpa += stretch.length
        return pieces
    if len(device.stretches) == 1 and room is None:
        stretch = device.stretches[0]
        size, start = stretch.path.stat().st_size, device.gpa - stretch.offset
        if start >= end and (following is None or start + size <= following):
            exposed = size - stretch.length
            if exposed:
                notes.append(
                    f"{device.name} is mapped in place with all of {stretch.path.name}: {format_size(exposed)} beside "
                    "it are within reach of a guest that ignores its memory map (--stage prevents that)"
                )
            return [Backend("media", stretch.path, 0, size, start)]
    back = "not written back" if device.read_only else "written back when the guest ends"
    why = f"{len(device.stretches)} stretches" if len(device.stretches) > 1 else "a file too large to map whole"
    reason = (
        "QEMU before 8.1 maps whole files only"
        if room is None
        else f"from {room + 1} on, since QEMU has {MAX_NODES} NUMA nodes"
    )
    notes.append(f"{device.name} lies in {why}: staged in one file, {back} ({reason})")
    return None
