"""The arenas of a BTT when its device is enabled: found, with unfinished writes finished, or made.

A write goes to a free block first, then to the log, then to the map. When power fails between log and map, the log
says what the map is to be; it is made so here (UEFI 2.7, 6.4; ``drivers/nvdimm/btt.c`` of Linux 6.1).
"""

from __future__ import annotations

from _struct import Struct
from errno import EIO, ENODEV, ENXIO

from xlpy.addr import Spa, Span
from xlpy.dom0.nvdimm.btt import ARENA_MAX, ARENA_MIN, BttBlock, btt_block, parse_btt
from xlpy.dom0.nvdimm.infoblock import BLOCK, InfoBlockError
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.dom0.nvdimm.memory import HostMemory

_ENTRY = Struct("<4I")
_MAP = Struct("<I")
LANE = 64  # bytes of a lane of the log: four entries, two of which are used
TRIM, ERROR = 1 << 31, 1 << 30  # flags of a map entry; both: an ordinary entry, neither: not written yet
LBA = ERROR - 1


class LogEntry(NamedTuple):
    """The last write of a lane: block ``lba`` was at ``old`` and is at ``new`` (map entries); sequence 1, 2 or 3."""

    lba: int
    old: int
    new: int
    sequence: int


def discover(memory: HostMemory, span: Span[Spa], parent: bytes) -> list[BttBlock]:
    """The arenas in a span, their maps in line with their logs.

    Args:
        memory: where they lie.
        span: from the first arena to the end of the namespace.
        parent: uuid of the namespace's label, zeros for none.

    Returns:
        their info blocks; none when there is no valid one at the start.

    Raises:
        InfoBlockError: a later arena is damaged (ENODEV), or a log contradicts itself (ENXIO, EIO).
    """
    found: list[BttBlock] = []
    at = span.start
    while at + BLOCK <= span.end:
        try:
            block = parse_btt(memory.read(at, BLOCK), parent)
        except InfoBlockError as error:
            if error.errno == ENODEV and not found:
                return []
            raise
        size = block.nextoff or block.info2off + BLOCK
        if at + size > span.end:
            raise InfoBlockError(f"arena at {at:#x}: it ends behind the namespace", ENXIO)
        recover(memory, at, block)
        found.append(block)
        if not block.nextoff:
            break
        at = Spa(at + size)
    return found


def create(
    memory: HostMemory, span: Span[Spa], lbasize: int, uuid: bytes, parent: bytes, version: tuple[int, int]
) -> list[BttBlock]:
    """Make the arenas of a span: of each the map, the log, the copy of the info block, and the info block.

    Args:
        memory, span, parent: as ``discover``.
        lbasize: bytes of a block.
        uuid: of the BTT.
        version: (1, 1) or (2, 0).
    """
    at, left, made = span.start, span.size, []
    while left >= ARENA_MIN:
        arena = min(left, ARENA_MAX)
        left -= arena
        following = arena if left >= ARENA_MIN else 0
        block = btt_block(arena, lbasize, uuid, parent=parent, version=version, nextoff=following)
        memory.zero(Span(Spa(at + block.mapoff), block.logoff - block.mapoff))
        memory.write(Spa(at + block.logoff), block.log())
        for place in (block.info2off, 0):
            memory.write(Spa(at + place), block.build())
        made.append(block)
        at = Spa(at + arena)
    return made


def log_slots(raw: bytes) -> tuple[int, int]:
    """Which two of the four entries of each lane are used: 0 and 1, or, as ndctl before 60 made it, 0 and 2.

    Raises:
        InfoBlockError: ENXIO: neither, in some lane.
    """
    known: list[int] = []
    for lane in range(0, len(raw), LANE):
        used = [slot for slot in range(4) if any(raw[lane + 16 * slot : lane + 16 * slot + 16])]
        if 0 not in used or len(used) > 2:
            raise InfoBlockError(f"log: lane {lane // LANE} has the entries {used}", ENXIO)
        if len(used) == 2:
            if known and used != known:
                raise InfoBlockError(f"log: lane {lane // LANE} has the entries {used}, another lane {known}", ENXIO)
            known = used
    if known and known != [0, 1] and known != [0, 2]:
        raise InfoBlockError(f"log: unknown padding scheme, entries {known}", ENXIO)
    return (known[0], known[1]) if known else (0, 1)


def newest(lane: bytes, slots: tuple[int, int], number: int) -> LogEntry:
    """The entry of a lane that counts. InfoBlockError EIO: its sequence numbers contradict each other."""
    one, two = (LogEntry(*_ENTRY.unpack_from(lane, 16 * slot)) for slot in slots)
    first, second = one.sequence, two.sequence
    if first == 0 or second == 0:
        if first == second or first + second > 3:
            raise InfoBlockError(f"log corruption: lane {number} seq [{first}, {second}]", EIO)
        return one if first else two
    if first == second or first + second > 5:
        raise InfoBlockError(f"log corruption: lane {number} seq [{first}, {second}]", EIO)
    return two if second == first % 3 + 1 else one


def entries(raw: bytes) -> list[LogEntry]:
    """The entry that counts of each lane. InfoBlockError: the log contradicts itself."""
    slots = log_slots(raw)
    return [newest(raw[at : at + LANE], slots, at // LANE) for at in range(0, len(raw), LANE)]


def recover(memory: HostMemory, start: Spa, block: BttBlock) -> None:
    """Finish the writes that an arena's log has and its map does not."""
    raw = memory.read(Spa(start + block.logoff), block.nfree * LANE)
    for entry in entries(raw):
        if entry.old & LBA == entry.new & LBA:
            continue
        if entry.lba >= block.external_nlba:
            raise InfoBlockError(f"log: block {entry.lba} of {block.external_nlba}", EIO)
        place = Spa(start + block.mapoff + 4 * entry.lba)
        if mapped(_MAP.unpack(memory.read(place, 4))[0], entry.lba) == entry.old & LBA:
            memory.write(place, _MAP.pack(entry.new & LBA | TRIM | ERROR))


def mapped(entry: int, lba: int) -> int:
    """The block that a map entry leads to; one that was not written yet leads to itself."""
    return entry & LBA if entry & (TRIM | ERROR) else lba
