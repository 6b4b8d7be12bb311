"""The label area of a DIMM as its driver works on it: one index block is current, the other is the next to be written.

Nothing is ever changed in place. A new label goes into a free slot, then the index block that does not count is written
with the next sequence number; from then on it counts. Whatever is torn in between leaves the old state (UEFI 2.7,
13.19; order and values are those of Linux 6.1, ``drivers/nvdimm/label.c``).
"""

from __future__ import annotations

from errno import ENXIO

from xlpy.dom0.nvdimm.labels import LABEL_SIZE, Label, LabelAreaContent, geometry, read_area
from xlpy.dom0.nvdimm.nd.error import refuse
from xlpy.typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xlpy.dom0.nvdimm.labels import IndexBlock

NEXT = {1: 2, 2: 3, 3: 1}  # of sequence numbers


class ConfigData(Protocol):
    """The commands that reach a label area: ND_CMD_GET_CONFIG_SIZE, _GET_CONFIG_DATA and _SET_CONFIG_DATA."""

    size: int

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the area."""
        ...

    def write(self, offset: int, data: bytes) -> None:
        """Store bytes; they are durable when it returns, and any part of them may be when power fails meanwhile."""
        ...


class Storage:
    """The labels of one DIMM.

    Args:
        config: how to reach the area.
    """

    def __init__(self, config: ConfigData) -> None:
        self._config = config
        self._initialised = False  # and nothing written since
        self.area: LabelAreaContent = read_area(config.size, config.read)

    @property
    def index(self) -> IndexBlock | None:
        """The index block that counts; None while the area is not initialised."""
        return self.area.head

    @property
    def minor(self) -> int:
        """Format of the labels, 1.1 or 1.2; an area that is not initialised will get 1.2."""
        index = self.index
        return 2 if index is None or index.minor >= 2 else 1

    @property
    def available_slots(self) -> int:
        """Slots for new labels; one is always kept for updates."""
        if self.index is None:
            return geometry(self._config.size, LABEL_SIZE[2])[1] - 1
        return self.area.available_slots

    def initialise(self) -> None:
        """Write two empty index blocks, unless there is one that counts; the slots stay as they are."""
        if self.index is None:
            from xlpy.dom0.nvdimm.labels import empty_index

            for block in (0, 1):
                made = empty_index(self._config.size, block)
                self._config.write(made.own, made.build())
            self._initialised = True
            self.area = read_area(self._config.size, self._config.read)

    def update(self, label: Label, old: Iterable[int]) -> int:
        """Write a label and free the slots that it replaces.

        Args:
            label: what to write; its slot number is set here.
            old: the slots.

        Returns:
            its slot.

        Raises:
            NdError: ENXIO: no free slot, or no index block.
        """
        index = self.index
        if index is None:
            refuse(ENXIO, "there is no index block")
        free = index.free & ((1 << index.slots) - 1)
        if not free:
            refuse(ENXIO, f"all {index.slots} label slots are in use")
        slot = (free & -free).bit_length() - 1
        made = label._replace(slot=slot)
        raw = made.build(self.minor)
        self._config.write(index.labels + slot * index.label_size, raw)
        gone = set(old)
        self._swap(index, index.free & ~(1 << slot) | _bits(gone), [made], gone)
        return slot

    def free(self, slots: Iterable[int]) -> None:
        """Free slots; with none of them the index block is written all the same, as Linux does. Nothing without one."""
        index = self.index
        if index is not None:
            gone = set(slots)
            self._swap(index, index.free | _bits(gone), [], gone)

    def _swap(self, index: IndexBlock, free: int, made: list[Label], gone: set[int]) -> None:
        """The other index block becomes the one that counts."""
        current = self.area.current
        assert current is not None
        size, _ = geometry(self._config.size, LABEL_SIZE[self.minor])
        # the number follows that of the block that is written over, which is a copy of the current one by then; but
        # not right after Linux itself has made the two: of equal numbers the second block counts
        before, self._initialised = (2 if self._initialised else index.sequence & 3), False
        following = index._replace(
            sequence=NEXT[before],
            own=(1 - current) * size,
            size=size,
            other=current * size,
            free=free,
            major=1,
            minor=self.minor,
        )
        self._config.write(following.own, following.build())
        blocks = (following, index) if current else (index, following)
        labels = [label for label in self.area.labels if label.slot not in gone] + made
        labels.sort(key=lambda label: label.slot)
        self.area = self.area._replace(blocks=blocks, current=1 - current, labels=tuple(labels))


def _bits(slots: Iterable[int]) -> int:
    bits = 0
    for slot in slots:
        bits |= 1 << slot
    return bits
