"""The dm-acpi area: how tables and devices reach hvmloader.

The stream of `xlpy.firmware.dm_acpi` is put into whole pages at the end of the guest's RAM below 4 GiB, through a
foreign mapping, and announced in xenstore (vNVDIMM design, 4.3.1). Those pages are RAM of the guest, before and after:
hvmloader leaves them alone while it builds, although it takes pages from the end of RAM.
"""

from __future__ import annotations

from xlpy.addr import MIB, PAGE, Gpa, Span, align_down
from xlpy.errors import Constraint
from xlpy.firmware.layout import FOUR_GIB
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.contexts import ExitStack
    from xlpy.dom0.xenstore.daemon import Connection
    from xlpy.hypervisor.memory import GuestMemory

FLOOR = Gpa(2 * MIB)  # hvmloader needs RAM up to here, and has its own image in it


def area_for(length: int, low_end: Gpa, floor: Gpa = FLOOR) -> Span[Gpa]:
    """The pages for a stream: the last ones of low RAM.

    Args:
        length: bytes of the stream.
        low_end: first address after RAM below 4 GiB.
        floor: first address that may be used.

    Raises:
        Constraint: they do not fit between ``floor`` and ``low_end``.
    """
    end = Gpa(align_down(min(low_end, FOUR_GIB), PAGE))
    start = align_down(end - length, PAGE)
    if start < floor:
        raise Constraint(
            f"{length} bytes of ACPI tables do not fit into the domain's RAM between {floor:#x} and {end:#x}",
            code="XLPY-DMACPI-SPACE",
            hint="give the domain more memory",
        )
    return Span.between(Gpa(start), end)


def hand_over(
    stream: bytes, area: Span[Gpa], domid: int, memory: GuestMemory, xenstore: Connection, undo: ExitStack
) -> None:
    """Write the stream to the start of its area and announce it.

    Args:
        stream: what `xlpy.firmware.dm_acpi.build_stream` made.
        area: from `area_for`.
        domid: the domain.
        memory: its memory.
        xenstore: a connection that may write below the domain's ``hvmloader``.
        undo: takes what brings back the former state.
    """
    undo.callback(memory.write, area.start, memory.read(area.start, len(stream)))
    memory.write(area.start, stream)
    home = key(domid)
    xenstore.write(f"{home}/address", f"{area.start:#x}")
    undo.callback(xenstore.rm, home)
    xenstore.write(f"{home}/length", f"{len(stream):#x}")


def key(domid: int) -> str:
    """The xenstore directory of the announcement."""
    return f"/local/domain/{domid}/hvmloader/dm-acpi"
