"""The placement of vNVDIMMs in guest-physical space.

They lie above all RAM, behind the window in which hvmloader may put 64-bit BARs: that starts at the end of high RAM, or
at 4 GiB without any, and nothing tells hvmloader what else lives there.

Each device starts on a multiple of 1 GiB, so that 1 GiB and 2 MiB pages of the p2m are possible wherever its host
memory is aligned alike. There is one exception. A 1 GiB page needs host and guest address equal modulo 1 GiB, and host
memory whose own start is not a multiple of 1 GiB (behind an info block and its reserve) would never get one. When
moving the device up by its host memory's remainder makes at least one 1 GiB page possible, it is moved; but only by
multiples of 16 MiB, which a Linux guest wants of a region's start before it makes namespaces in it. Other remainders
(2 MiB info blocks, files on 4 KiB blocks) are not followed: the guest's own alignment is worth more.
"""

from __future__ import annotations

from xlpy.addr import GIB, REGION_ALIGN, Gpa, align_up, format_size
from xlpy.errors import Constraint
from xlpy.firmware.layout import FOUR_GIB, PCI64_WINDOW, PMEM_ALIGN
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Protocol

    from xlpy.addr import Spa, Span

    class Placeable(Protocol):
        """What a vNVDIMM is made of: ``path`` for messages, bytes in all, and the spans in the order of the guest's."""

        @property
        def path(self) -> str: ...
        @property
        def size(self) -> int: ...
        @property
        def spans(self) -> Sequence[Span[Spa]]: ...


class GuestRam(NamedTuple):
    """What the device model knows of the domain when it starts.

    low_end: first address after RAM below 4 GiB.
    high_end: first address after RAM above 4 GiB; 4 GiB or less when there is none.
    physical_bits: width of the guest's physical addresses.
    window: bytes above RAM that are left to 64-bit BARs.
    """

    low_end: Gpa
    high_end: Gpa
    physical_bits: int
    window: int = PCI64_WINDOW

    @property
    def floor(self) -> Gpa:
        """The lowest address for a vNVDIMM."""
        return Gpa(align_up(max(self.high_end, FOUR_GIB) + self.window, PMEM_ALIGN))


def place(backing: Placeable, ram: GuestRam, taken: Iterable[Span[Gpa]] = ()) -> Gpa:
    """The start of another vNVDIMM: the lowest free address.

    Args:
        backing: its host memory.
        ram: the domain's RAM.
        taken: ranges of the vNVDIMMs that the domain has.

    Raises:
        Constraint: it would end beyond the guest's physical width.
    """
    size, skew = backing.size, superpage_skew(backing.spans)
    start = ram.floor + skew
    for other in sorted(taken):
        if start < other.end and other.start < start + size:
            start = align_up(other.end - skew, PMEM_ALIGN) + skew
    limit = 1 << ram.physical_bits
    if start + size > limit:
        raise Constraint(
            f"{backing.path}: {format_size(size)} at guest address {start:#x} end at {start + size:#x}, "
            f"the guest has {ram.physical_bits} physical address bits and ends at {limit:#x}",
            code="XLPY-GUEST-WIDTH",
            hint=_hint(ram, start, size),
        )
    return Gpa(start)


def _hint(ram: GuestRam, start: int, size: int) -> str:
    """What can be done about a vNVDIMM that does not fit; the window for BARs is named where it is the reason."""
    way = "give the domain less memory, or fewer or smaller vNVDIMMs"
    above = max(ram.high_end, FOUR_GIB)
    if start - ram.window + size > 1 << ram.physical_bits:
        return way
    needed = (start + size - 1).bit_length()
    return (
        f"{format_size(ram.window)} from {above:#x} on are kept for 64-bit BARs of PCI devices; {way}, or the machine"
        f" {needed} physical address bits (cpu: {{physical_bits: {needed}}})"
    )


def superpage_skew(spans: Iterable[Span[Spa]]) -> int:
    """How far above a multiple of 1 GiB a device should start so that most of it can be mapped by 1 GiB pages."""
    gain: dict[int, int] = {}
    offset = 0
    for span in spans:
        whole = span.end // GIB - -(-span.start // GIB)
        if whole > 0:
            skew = (span.start - offset) % GIB
            gain[skew] = gain.get(skew, 0) + whole
        offset += span.size
    useful = [skew for skew in gain if skew % REGION_ALIGN == 0]
    return max(useful, key=lambda skew: (gain[skew], -skew), default=0)
