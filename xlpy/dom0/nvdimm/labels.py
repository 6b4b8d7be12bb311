"""The label storage area of an NVDIMM: two index blocks, then label slots (UEFI 2.7, 13.19).

The area is reached through label commands only, so it is read through a callback, and of the slots only those in use.
Two formats exist: 1.1 with labels of 128 bytes and no checksum on them, and 1.2 with labels of 256 bytes, type and
abstraction GUIDs and a checksum. What counts as valid is what Linux accepts.
"""

from __future__ import annotations

from _struct import Struct
from itertools import pairwise

from xlpy.addr import align_up
from xlpy.dom0.nvdimm import INDEX_SIGNATURE
from xlpy.dom0.nvdimm.fletcher import seal, sealed
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING
from xlpy.uuids import uuid_text

if TYPE_CHECKING:
    from collections.abc import Callable


LABEL_SIZE = {1: 128, 2: 256}  # bytes of a slot, by minor version
INDEX_UNIT = 256
INDEX_HEAD = 72
INDEX_CHECKSUM = 64
LABEL_CHECKSUM = 248  # 1.2 only

# Label.flags
READ_ONLY, LOCAL, UPDATING, SPA_COOKIE = 1, 2, 8, 0x10

# GUIDs as stored in a label: first three groups byte-reversed
TYPE_PMEM = bytes.fromhex("79d3f066f3b47440ac430d3318b78cdb")
ABSTRACTIONS = {
    bytes(16): "none",
    bytes.fromhex("a263ed8aa229664c8b12f05d15d3922a"): "btt",
    bytes.fromhex("fc3b6318351717428ac917239282d3f8"): "btt2",
    bytes.fromhex("ba0064269ffb7746bcb0968f11d0d225"): "pfn",
    bytes.fromhex("9c6da897dd3cda4e986f5068b4f80088"): "dax",
}

_INDEX = Struct("<16s3sBIQQQQIHHQ")
_LABEL = Struct("<16s64sIHHQQQQIB3x16s16s")
_LABEL_1_1 = Struct("<16s64sIHHQQQQI4x")

_SUCCESSOR = {1: 2, 2: 3, 3: 1}


class IndexBlock(NamedTuple):
    """One index block. Offsets and sizes in bytes of the area.

    sequence: 1, 2 or 3 (only the low two bits count); the successor of the other block's makes this one current.
    own, other: where this block and its twin lie.
    size: of this block.
    labels: where slot 0 lies.
    slots: how many there are.
    free: bit ``n`` is set when slot ``n`` holds no label.
    """

    sequence: int
    own: int
    size: int
    other: int
    labels: int
    slots: int
    free: int
    major: int = 1
    minor: int = 2

    @property
    def label_size(self) -> int:
        """Bytes of a slot."""
        return LABEL_SIZE[2 if self.minor >= 2 else 1]

    @property
    def used(self) -> list[int]:
        """The numbers of the slots that hold a label, ascending."""
        taken = ~self.free & ((1 << self.slots) - 1)
        return [slot for slot, bit in enumerate(f"{taken:b}"[::-1]) if bit == "1"]

    def build(self) -> bytes:
        """The block as stored in the area, checksum included."""
        block = bytearray(self.size)
        code = 0 if self.minor < 2 else self.label_size.bit_length() - 8
        _INDEX.pack_into(
            block,
            0,
            INDEX_SIGNATURE,
            bytes(3),
            code,
            self.sequence,
            self.own,
            self.size,
            self.other,
            self.labels,
            self.slots,
            self.major,
            self.minor,
            0,
        )
        block[INDEX_HEAD:] = self.free.to_bytes(self.size - INDEX_HEAD, "little")
        return seal(block, INDEX_CHECKSUM)


class Label(NamedTuple):
    """One label: the share of one namespace on one device. Sizes in bytes.

    uuid: of the namespace, bytes in text order.
    nlabel, position: devices in the set, and which of them this is.
    isetcookie: what the set must be for the label to count.
    lbasize: sector size, 0 for the default.
    dpa, rawsize: the range on this device.
    slot: its own number.
    alignment: power of two, 0 when not given (1.2).
    type, abstraction: GUIDs as bytes of the table; zeros in 1.1.
    """

    uuid: bytes
    name: str
    flags: int
    nlabel: int
    position: int
    isetcookie: int
    lbasize: int
    dpa: int
    rawsize: int
    slot: int
    alignment: int = 0
    type: bytes = bytes(16)
    abstraction: bytes = bytes(16)

    def build(self, minor: int = 2) -> bytes:
        """The label as stored in its slot, in format 1.``minor``."""
        slot = bytearray(LABEL_SIZE[minor])
        fields = (self.uuid, self.name.encode(errors="surrogateescape"), *self[2:10])
        if minor < 2:
            _LABEL_1_1.pack_into(slot, 0, *fields)
            return bytes(slot)
        _LABEL.pack_into(slot, 0, *fields, *self[10:])
        return seal(slot, LABEL_CHECKSUM)

    @classmethod
    def parse(cls, slot: bytes) -> Label:
        """Read one slot of 128 (1.1) or 256 bytes (1.2), whatever it holds."""
        fields = (_LABEL if len(slot) == LABEL_SIZE[2] else _LABEL_1_1).unpack_from(slot)
        name = fields[1].split(b"\0", 1)[0].decode(errors="surrogateescape")
        return cls(fields[0], name, *fields[2:])


class LabelAreaContent(NamedTuple):
    """What a label area says.

    size: of the area.
    blocks: both index blocks, None where one is invalid.
    current: the block that counts, 0 or 1; None when the area is not initialised.
    labels: the valid labels, by slot.
    conflict: why the whole device is unusable (ranges that overlap, or are empty), else None.
    problems: one line for each thing that is wrong.
    """

    size: int
    blocks: tuple[IndexBlock | None, IndexBlock | None]
    current: int | None
    labels: tuple[Label, ...]
    conflict: str | None
    problems: tuple[str, ...]

    @property
    def head(self) -> IndexBlock | None:
        """The current index block."""
        return None if self.current is None else self.blocks[self.current]

    @property
    def available_slots(self) -> int:
        """Slots that a new label may take: the free ones, less the one that updates need."""
        index = self.head
        return 0 if index is None else max(0, index.slots - len(index.used) - 1)


def geometry(size: int, label_size: int) -> tuple[int, int]:
    """(bytes of an index block, slots) of an area of ``size`` bytes with labels of ``label_size`` bytes."""
    bound = size // label_size
    index = align_up(INDEX_HEAD + -(-bound // 8), INDEX_UNIT)
    return index, max(0, (size - 2 * index) // label_size)


def empty_index(size: int, block: int, minor: int = 2) -> IndexBlock:
    """The index block that initialises an area of ``size`` bytes: all slots free, block 0 current."""
    index, slots = geometry(size, LABEL_SIZE[minor])
    own = (0, index)
    return IndexBlock(3 - block, own[block], index, own[1 - block], 2 * index, slots, (1 << slots) - 1, 1, minor)


def read_area(size: int, read: Callable[[int, int], bytes]) -> LabelAreaContent:
    """Decode a label area.

    Args:
        size: of the area, in bytes.
        read: gives ``length`` bytes from ``offset`` of the area.

    Returns:
        its content; damage is reported in ``problems`` and never raised.
    """
    failed: list[str] = []
    for label_size in LABEL_SIZE.values():
        index_size, slots = geometry(size, label_size)
        if slots < 2:
            continue
        raw = read(0, 2 * index_size)
        blocks = [_parse_index(raw, at, index_size, label_size, size) for at in (0, 1)]
        found = [None if isinstance(block, str) else block for block in blocks]
        if any(found):
            problems = [f"index block {at}: {why}" for at, why in enumerate(blocks) if isinstance(why, str)]
            current = _current(found[0], found[1])
            index = found[current]
            assert index is not None
            labels = _labels(index, read, problems)
            conflict = _conflict(labels)
            if conflict:
                problems.append(conflict)
            return LabelAreaContent(size, (found[0], found[1]), current, tuple(labels), conflict, tuple(problems))
        if any(raw):
            failed += [f"index block {at} (labels of {label_size}): {why}" for at, why in enumerate(blocks)]
    return LabelAreaContent(size, (None, None), None, (), None, tuple(failed or ["the area is not initialised"]))


def _parse_index(raw: bytes, at: int, index_size: int, label_size: int, area: int) -> IndexBlock | str:
    """The index block at place ``at`` of ``raw``, or what is wrong with it: the checks in Linux' order."""
    block = raw[at * index_size : (at + 1) * index_size]
    signature, _, code, sequence, own, size, other, labels, slots, major, minor, _ = _INDEX.unpack_from(block)
    if signature != INDEX_SIGNATURE:
        return "no signature"
    says = 1 << 7 + code if major * 100 + minor >= 102 else LABEL_SIZE[1]
    if says != label_size:
        return f"version {major}.{minor} with labels of {says} bytes, {label_size} expected"
    stored, computed = sealed(block, INDEX_CHECKSUM)
    if stored != computed:
        return f"checksum {stored:#018x}, {computed:#018x} computed"
    if not sequence & 3:
        return f"sequence number {sequence}, must be 1, 2 or 3"
    if own != at * index_size:
        return f"own offset {own:#x}, lies at {at * index_size:#x}"
    if other != (1 - at) * index_size:
        return f"other block at {other:#x}, {(1 - at) * index_size:#x} expected"
    if labels != 2 * index_size:
        return f"labels from {labels:#x}, {2 * index_size:#x} expected"
    if not INDEX_HEAD <= size <= index_size:
        return f"own size {size}, {INDEX_HEAD} to {index_size} expected"
    if labels + slots * label_size > area or slots > 8 * (index_size - INDEX_HEAD):
        return f"{slots} slots of {label_size} bytes do not fit in {area} bytes"
    free = int.from_bytes(block[INDEX_HEAD:], "little")
    return IndexBlock(sequence & 3, own, size, other, labels, slots, free, major, minor)


def _current(first: IndexBlock | None, second: IndexBlock | None) -> int:
    """Which of the valid blocks counts: the cyclic successor; of equals, block 1."""
    if first is None or second is None:
        return 0 if second is None else 1
    return 0 if _SUCCESSOR[second.sequence] == first.sequence else 1


def _labels(index: IndexBlock, read: Callable[[int, int], bytes], problems: list[str]) -> list[Label]:
    """The valid labels among the used slots."""
    valid = []
    for slot in index.used:
        raw = read(index.labels + slot * index.label_size, index.label_size)
        label = Label.parse(raw)
        if label.slot != slot:
            problems.append(f"slot {slot}: calls itself slot {label.slot}, ignored")
            continue
        if index.minor >= 2:
            stored, computed = sealed(raw, LABEL_CHECKSUM)
            if stored != computed:
                problems.append(f"slot {slot}: checksum {stored:#018x}, {computed:#018x} computed, ignored")
                continue
        valid.append(label)
    return valid


def _conflict(labels: list[Label]) -> str | None:
    """Why these labels cannot all be on one device: their bytes must not overlap."""
    ordered = sorted(labels, key=lambda label: label.dpa)
    for label in ordered:
        if not label.rawsize:
            return f"slot {label.slot} claims no bytes for {uuid_text(label.uuid)}"
    for one, two in pairwise(ordered):
        if one.dpa + one.rawsize > two.dpa:
            return f"slots {one.slot} and {two.slot} claim the same bytes from {two.dpa:#x}"
    return None
