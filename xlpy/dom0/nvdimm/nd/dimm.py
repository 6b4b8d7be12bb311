"""``nmemN``: one NVDIMM, its label area, and which of its bytes belong to which namespace."""

from __future__ import annotations

from errno import EBUSY, EINVAL, ENOTTY, ENXIO

from xlpy.addr import Span, align_down, align_up
from xlpy.dom0.nvdimm.nd.error import no_value, refuse
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xlpy.dom0.nvdimm.driver import Dimm
    from xlpy.dom0.nvdimm.nd.above import AboveRegion
    from xlpy.dom0.nvdimm.nd.storage import ConfigData, Storage

LABEL_COMMANDS = ("get_size", "get_data", "set_data")  # of ND_CMD_*, as sysfs spells them
MAX_TRANSFER = 4 * 1024  # bytes of one label command; _LSI of the firmware says the same


class DpaResource(NamedTuple):
    """A range of device addresses that a namespace has: its uuid as text, first byte and length."""

    uuid: str
    start: int
    size: int

    @property
    def end(self) -> int:
        """First address behind it."""
        return self.start + self.size


class Nvdimm:
    """A DIMM on the nd bus.

    Attributes:
        bus: that it is on.
        info: what the NFIT says of it: ``dev``, ``handle``, ``phys_id``, ``unique`` (nfit/id), identity, ``flags``.
        bound: whether its driver is bound (``enabled``, as ndctl has it).
        labeling: it has had valid labels since the bus was set up (``label`` in the attribute flags).
        locked: its security state forbids access.
        dpa: ranges that namespaces have, ascending.
    """

    def __init__(self, bus: AboveRegion, info: Dimm, config: ConfigData) -> None:
        self.bus = bus
        self.info = info
        self.config = config
        self.bound = False
        self.labeling = False
        self.locked = False
        self.dpa: list[DpaResource] = []
        self._storage: Storage | None = None

    # --- what sysfs shows ------------------------------------------------------------------------------------------

    @property
    def dev(self) -> str:
        """Its name, such as ``nmem0``."""
        return self.info.dev

    @property
    def state(self) -> str:
        """``active`` while an enabled region uses its labels, else ``idle``."""
        return "active" if self.busy else "idle"

    @property
    def flags(self) -> str:
        """``alias``, ``label`` and ``lock``, as far as they hold, each with a blank behind it."""
        return "label " * self.labeling + "lock " * self.locked

    @property
    def commands(self) -> tuple[str, ...]:
        """The ND_CMD_* it takes, in order of their numbers."""
        return LABEL_COMMANDS if self.config.size else ()

    @property
    def available_slots(self) -> int:
        """Label slots that new namespaces may take. NdError ENXIO: the driver is not bound, or there are no labels."""
        if not self.has_labels:
            no_value(f"{self.dev}/available_slots")
        return self.storage.available_slots

    # --- commands --------------------------------------------------------------------------------------------------

    def get_config_size(self) -> tuple[int, int]:
        """ND_CMD_GET_CONFIG_SIZE: bytes of the label area, and bytes of one transfer. ENOTTY: it has none."""
        self._require_commands()
        return self.config.size, MAX_TRANSFER

    def get_config_data(self, offset: int, length: int) -> bytes:
        """ND_CMD_GET_CONFIG_DATA. ENOTTY: it has no label area. EINVAL: the range leaves it."""
        self._check(offset, length)
        return self.config.read(offset, length)

    def set_config_data(self, offset: int, data: bytes) -> None:
        """ND_CMD_SET_CONFIG_DATA. Errors as ``get_config_data``, and EBUSY while an enabled region uses the labels.

        The driver does not look at what was written before it is bound again.
        """
        self._check(offset, len(data))
        if self.busy:
            refuse(EBUSY, f"{self.dev} is active, a region that is enabled uses its labels")
        self.config.write(offset, data)

    def _check(self, offset: int, length: int) -> None:
        self._require_commands()
        if offset < 0 or length < 0 or offset + length > self.config.size:
            refuse(EINVAL, f"{self.dev}: [{offset:#x}, {offset + length:#x}) leaves its {self.config.size:#x} bytes")

    def _require_commands(self) -> None:
        if not self.config.size:
            refuse(ENOTTY, f"{self.dev} has no label area")

    # --- the driver ------------------------------------------------------------------------------------------------

    @property
    def has_labels(self) -> bool:
        """Whether the driver is bound and has an area to work on, initialised or not."""
        return self.bound and bool(self.config.size)

    @property
    def storage(self) -> Storage:
        """Its labels; only while ``has_labels``."""
        if self._storage is None:
            from xlpy.dom0.nvdimm.nd.storage import Storage

            self._storage = Storage(self.config)
        return self._storage

    @property
    def busy(self) -> bool:
        """Whether an enabled region uses its labels."""
        return any(
            region.bound and mapping.dimm is self and mapping.labelled
            for region in self.bus.regions
            for mapping in region.mappings
        )

    def bind(self) -> None:
        """Bind the ``nvdimm`` driver: read the label area and set the ranges aside that its labels claim.

        Raises:
            NdError: EBUSY: bound already, or two labels claim the same bytes. ENXIO: labels are needed and cannot be
                read.
        """
        if self.bound:
            refuse(EBUSY, f"{self.dev} is enabled already")
        self._storage = None
        self.dpa = []
        if not self.config.size:
            if self.labeling:
                refuse(ENXIO, f"{self.dev} has no label area")
            self.bound = True
            self.bus.changed(self)
            return
        from xlpy.uuids import uuid_text

        area = self.storage.area
        if area.current is not None:
            for label in area.labels:
                self._reserve(uuid_text(label.uuid), label.dpa, label.rawsize)
            self.labeling = True
        self.bound = True
        self.bus.changed(self)

    def unbind(self) -> None:
        """Unbind the driver. NdError EBUSY: a region that is enabled uses it. ENODEV: it is not bound."""
        if self.busy:
            refuse(EBUSY, f"{self.dev} is active, a region that is enabled uses its labels")
        if not self.bound:
            from errno import ENODEV

            refuse(ENODEV, f"{self.dev} is not enabled")
        self.bound = False
        self.dpa = []
        self._storage = None
        self.bus.changed(self)

    def _reserve(self, uuid: str, start: int, size: int) -> None:
        try:
            self.allocate(uuid, start, size)
        except OSError:
            self.dpa = []
            self._storage = None
            self.bus.log(f"nvdimm {self.dev}: probe failed: label {uuid} claims [{start:#x}, {start + size:#x}) again")
            raise

    # --- ranges of namespaces --------------------------------------------------------------------------------------

    def allocate(self, uuid: str, start: int, size: int) -> None:
        """Give a range to a namespace. NdError EBUSY: it is empty, or has bytes of another one."""
        if size <= 0 or any(one.start < start + size and start < one.end for one in self.dpa):
            refuse(EBUSY, f"{self.dev}: [{start:#x}, {start + size:#x}) cannot be set aside for {uuid}")
        self.dpa.append(DpaResource(uuid, start, size))
        self.dpa.sort(key=lambda one: one.start)

    def allocated(self, uuid: str) -> list[DpaResource]:
        """The ranges that a namespace has here."""
        return [one for one in self.dpa if one.uuid == uuid]

    # --- between two commands --------------------------------------------------------------------------------------

    def dump(self) -> list[Any]:
        """What the driver knows, as JSON values."""
        return [self.bound, self.labeling, self.locked, [list(one) for one in self.dpa]]

    def load(self, values: list[Any]) -> None:
        """Take over what ``dump`` wrote."""
        self.bound, self.labeling, self.locked = values[:3]
        self.dpa = [DpaResource(*one) for one in values[3]]


class NdMapping:
    """A DIMM's part of a region.

    Attributes:
        dimm: whose; start, size: device addresses, in bytes; position: of its first byte among all parts, from 0.
        labelled: the region was enabled with the labels of this DIMM.
        slots: label slots of this DIMM that the region's namespaces use.
    """

    def __init__(self, dimm: Nvdimm, start: int, size: int, position: int) -> None:
        self.dimm = dimm
        self.start = start
        self.size = size
        self.position = position
        self.labelled = False
        self.slots: list[int] = []

    @property
    def end(self) -> int:
        """First device address behind it."""
        return self.start + self.size

    # --- free ranges; ``step``: what they are aligned to -----------------------------------------------------------

    def available(self, step: int) -> int:
        """Bytes of it that are free, on the grid of the alignment (Linux: nd_pmem_available_dpa)."""
        last, busy = self.end - 1, 0
        for one in self.dimm.dpa:
            start, end = align_down(one.start, step), align_up(one.end, step) - 1
            if self.start <= start < last:
                if end > last:
                    return 0
                busy += end - start + 1
            elif self.start <= end <= last:
                busy += end - start + 1
            elif start < self.start < end:
                busy += self.size
        return align_down(self.size - busy, step) if busy < self.size else 0

    def longest(self, step: int) -> int:
        """Bytes of its longest free range (Linux: nd_pmem_max_contiguous_dpa)."""
        if not self.dimm.has_labels:
            return 0
        left, longest = self.available(step), 0
        for gap in self._gaps(step):
            taken = min(gap.size, left)
            left -= taken
            longest = max(longest, align_down(gap.start + taken, step) - align_up(gap.start, step))
        return 0 if left else longest

    def _gaps(self, step: int) -> list[Span[Any]]:
        """Its free ranges on the grid of the alignment, ascending; an empty part is not put on it."""
        inside = [one for one in self.dimm.dpa if one.start < self.end and one.end > self.start]
        if not inside:
            return [Span(self.start, self.size)]
        edges = [self.start, *(edge for one in inside for edge in (one.start, one.end)), self.end]
        pairs = [(align_up(a, step), align_down(b, step)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
        return [Span(start, end - start) for start, end in pairs if start < end]

    def shrink(self, uuid: str, less: int) -> None:
        """Let a namespace have fewer bytes of it, from its end."""
        dimm = self.dimm
        while less and (mine := dimm.allocated(uuid)):
            last = mine[-1]
            dimm.dpa.remove(last)
            if less < last.size:
                dimm.allocate(uuid, last.start, last.size - less)
                return
            less -= last.size

    def grow(self, uuid: str, more: int, step: int) -> bool:
        """Let a namespace have more bytes of it, next to those that it has; False: there is no room."""
        dimm = self.dimm
        mine = next(reversed(dimm.allocated(uuid)), None)
        for gap in self._gaps(step):
            if gap.size < more:
                continue
            if mine is None:
                dimm.allocate(uuid, gap.start, more)
                return True
            if gap.start == mine.end or gap.end == mine.start:
                dimm.dpa.remove(mine)
                dimm.allocate(uuid, mine.start if gap.start == mine.end else mine.start - more, mine.size + more)
                return True
        return False
