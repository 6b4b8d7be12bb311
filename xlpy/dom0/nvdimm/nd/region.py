"""``regionN``: a persistent memory range, the parts that DIMMs have in it, and the devices below it."""

from __future__ import annotations

from errno import EBUSY, EINVAL, ENODEV, ENOSPC, ENXIO, EOPNOTSUPP

from xlpy.addr import PAGE, Spa
from xlpy.dom0.nvdimm.nd.btt import NdBtt
from xlpy.dom0.nvdimm.nd.error import no_value, refuse
from xlpy.dom0.nvdimm.nd.names import lowest
from xlpy.dom0.nvdimm.nd.namespace import NdNamespace
from xlpy.dom0.nvdimm.nd.pfn import NdDax, NdPfn
from xlpy.typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.dom0.nvdimm.driver import RegionDesc
    from xlpy.dom0.nvdimm.nd.above import AboveRegion
    from xlpy.dom0.nvdimm.nd.claim import Claim
    from xlpy.dom0.nvdimm.nd.dimm import NdMapping, Nvdimm
    from xlpy.table import Table

C = TypeVar("C", NdBtt, NdPfn, NdDax)
D = TypeVar("D", NdNamespace, NdBtt, NdPfn, NdDax)

NSTYPE_IO, NSTYPE_PMEM = 4, 5  # ND_DEVICE_NAMESPACE_*
DEFERRED = (  # attributes that are read from the state
    *("bound", "align", "ro", "namespaces", "btts", "pfns", "daxs", "_counted"),
    *("namespace_seed", "btt_seed", "pfn_seed", "dax_seed"),
)


class NdRegion:
    """A region on the nd bus.

    Attributes:
        bus: that it is on.
        info: what the NFIT says of it: ``dev``, ``number``, ``span``, ``node``, cookies.
        bound: whether its driver is bound (``enabled``, as ndctl has it); without it there is nothing below it.
        align: granularity of namespaces, in bytes.
        ro: nothing may be written to it.
        mappings: in the order of the NFIT, which is the order of label positions.
        namespaces, btts, pfns, daxs: the devices below it, seeds included, by ascending number.
        namespace_seed, btt_seed, pfn_seed, dax_seed: the devices that the next namespace is made of; None while it is
            not enabled.
        published: what it was like when block devices and Xen were last in line with it, as ``dump`` has it; None:
            they never were.
    """

    def __init__(self, bus: AboveRegion, info: RegionDesc, mappings: list[NdMapping]) -> None:
        self.bus = bus
        self.info = info
        self.mappings = mappings
        self.published: list[Any] | None = None
        self._record: tuple[Table, str] | None = None  # what it is still to be read from
        self._begin()

    def _begin(self) -> None:
        """As the NFIT has it, not enabled."""
        self.align = self.info.align
        self.ro = self.info.read_only
        self._idle()

    def _idle(self) -> None:
        """As it is while its driver is not bound."""
        self.bound = False
        self.namespaces: list[NdNamespace] = []
        self.btts: list[NdBtt] = []
        self.pfns: list[NdPfn] = []
        self.daxs: list[NdDax] = []
        self.namespace_seed: NdNamespace | None = None
        self.btt_seed: NdBtt | None = None
        self.pfn_seed: NdPfn | None = None
        self.dax_seed: NdDax | None = None
        self._counted = (0, 0)
        for mapping in self.mappings:
            mapping.labelled = False
            mapping.slots = []

    # --- what sysfs shows ------------------------------------------------------------------------------------------

    @property
    def dev(self) -> str:
        """Its name, such as ``region0``."""
        return self.info.dev

    @property
    def number(self) -> int:
        """N of ``regionN``."""
        return self.info.number

    @property
    def size(self) -> int:
        """Bytes."""
        return self.info.span.size

    @property
    def resource(self) -> Spa:
        """Its first address."""
        return self.info.span.start

    @property
    def nstype(self) -> int:
        """Kind of its namespaces: 4 without labels (one of full size), 5 with labels on one of its DIMMs at least."""
        return NSTYPE_PMEM if any(mapping.dimm.labeling for mapping in self.mappings) else NSTYPE_IO

    @property
    def set_cookie(self) -> int | None:
        """The interleave-set cookie that labels in it carry; None without DIMMs."""
        if not self.mappings:
            return None
        first = self.mappings[0].dimm
        return self.label_cookie(first) if first.has_labels else self.info.cookie1

    def label_cookie(self, dimm: Nvdimm) -> int:
        """What labels on a DIMM carry: by format 1.1 when its index block has it, else by 1.2."""
        return self.info.cookie1 if dimm.storage.minor < 2 else self.info.cookie2

    @property
    def available_size(self) -> int:
        """Bytes that no namespace has; 0 while a DIMM of it is disabled or has no label area."""
        if not all(mapping.dimm.has_labels for mapping in self.mappings):
            return 0
        return sum(mapping.available(self._step()) for mapping in self.mappings)

    @property
    def max_available_extent(self) -> int:
        """Bytes of the largest namespace that can be made."""
        extents = [mapping.longest(self._step()) for mapping in self.mappings]
        return min((one for one in extents if one), default=0) * len(self.mappings)

    @property
    def init_namespaces(self) -> tuple[int, int]:
        """(namespaces that were found when it was enabled, those and the ones that failed). ENXIO: not enabled."""
        if not self.bound:
            no_value(f"{self.dev}/init_namespaces")
        return self._counted

    @property
    def numa_node(self) -> int:
        """NUMA node of the nearest processors."""
        return self.info.node

    @property
    def target_node(self) -> int:
        """NUMA node that its memory would be."""
        return self.info.node

    @property
    def persistence_domain(self) -> str | None:
        """``cpu_cache`` or ``memory_controller``; None: the platform does not report it."""
        return self.bus.persistence if self.mappings else None

    @property
    def deep_flush(self) -> int | None:
        """1: flush hint addresses exist; 0: none are needed; None: nothing is known, as without DIMMs."""
        if not self.mappings:
            return None
        return int(any(self.bus.has_flush(mapping.dimm) for mapping in self.mappings))

    @property
    def badblocks(self) -> list[tuple[int, int]]:
        """(first 512-byte sector, number of sectors) of unreadable places, from its start. ENXIO: not enabled."""
        if not self.bound:
            no_value(f"{self.dev}/badblocks")
        return self.bus.badblocks(self.info.span)

    @property
    def children(self) -> list[NdNamespace | Claim]:
        """All devices below it."""
        return [*self.namespaces, *self.btts, *self.pfns, *self.daxs]

    # --- what may be written ---------------------------------------------------------------------------------------

    def store_align(self, align: int) -> None:
        """Set the granularity of namespaces.

        Raises:
            NdError: EINVAL: for each DIMM it is not a power of two from 4 KiB on, or it is larger than the region.
        """
        ways = len(self.mappings) or 1
        share = align // ways
        if align % ways or share < PAGE or share & (share - 1) or align > self.size:
            refuse(EINVAL, f"{self.dev}: {align:#x} is not {ways} times a power of two from {PAGE} on")
        self.align = align
        self.bus.changed(self)

    def store_read_only(self, ro: bool) -> None:
        """Allow or forbid writes to the block devices below it."""
        self.ro = ro
        self.bus.changed(self)

    # --- free space ------------------------------------------------------------------------------------------------

    def _step(self) -> int:
        """What ranges on each DIMM are aligned to."""
        return self.align // len(self.mappings)

    def resize(self, uuid: str, old: int, new: int) -> None:
        """Let a namespace have ``new`` bytes of each DIMM instead of ``old``; its range stays in one piece.

        Raises:
            NdError: ENXIO: there is no room where it is.
        """
        for mapping in self.mappings:
            if new < old:
                mapping.shrink(uuid, old - new)
            elif not mapping.grow(uuid, new - old, self._step()):
                refuse(ENXIO, f"{self.dev}: {mapping.dimm.dev} has no {new - old:#x} free bytes in one piece")

    def require_room(self, wanted: int, allocated: int) -> None:
        """NdError ENOSPC when a namespace of ``wanted`` bytes does not fit in what it has and what is free."""
        free = self.max_available_extent
        if wanted > free + allocated:
            refuse(ENOSPC, f"{self.dev}: {wanted:#x} bytes are wanted, {free + allocated:#x} can be had")

    # --- the driver ------------------------------------------------------------------------------------------------

    def bind(self) -> None:
        """Bind the ``nd_region`` driver: find the namespaces and enable each that can be.

        Raises:
            NdError: EBUSY: bound already. ENXIO: one of its DIMMs is disabled or locked. ENODEV: labels contradict
                each other, or one is missing. The reason is in the log.
        """
        if self.bound:
            refuse(EBUSY, f"{self.dev} is enabled already")
        try:
            self._activate_labels()
            self.namespaces = self._scan() if self.nstype == NSTYPE_PMEM else [NdNamespace.whole(self)]
        except OSError:
            self._idle()
            raise
        self.bound = True
        found = list(self.namespaces)
        self._counted = (len(found), len(found))
        self.namespace_seed = found[0]
        self.btt_seed = self.create(NdBtt, self.btts)
        self.pfn_seed = self.create(NdPfn, self.pfns)
        self.dax_seed = self.create(NdDax, self.daxs)
        for one in found:
            one.attach()
        self.bus.changed(self)

    def unbind(self) -> None:
        """Unbind the driver: everything below it goes. NdError: ENODEV: not bound. EBUSY: something of it is used."""
        if not self.bound:
            refuse(ENODEV, f"{self.dev} is not enabled")
        for one in self.namespaces:
            self.bus.require_idle(one)
        self._idle()
        self.bus.changed(self)

    def _activate_labels(self) -> None:
        for mapping in self.mappings:
            dimm = mapping.dimm
            if not dimm.has_labels:
                if dimm.locked or dimm.labeling:
                    why = f"{dimm.dev}: is {'locked' if dimm.locked else 'disabled'}, failing probe"
                    self.bus.log(f"nd_region {self.dev}: {why}")
                    refuse(ENXIO, why)
                continue
            mapping.labelled = True

    def _scan(self) -> list[NdNamespace]:
        """The namespaces that labels describe, or an empty one to begin with."""
        from xlpy.addr import Dpa
        from xlpy.dom0.nvdimm.labelset import Cookies, LabelledMapping, assemble

        parts = [
            LabelledMapping(m.dimm.dev, m.dimm.storage.area if m.labelled else None, Dpa(m.start), m.size)
            for m in self.mappings
        ]
        known = Cookies(self.info.cookie1, self.info.cookie2, self.info.altcookie)
        made = assemble(self.resource, parts, known)
        if made.error:
            self.bus.log(f"nd_region {self.dev}: {made.error}")
            refuse(ENODEV, f"{self.dev}: {made.error}")
        for line in made.skipped:
            self.bus.log(f"nd_region {self.dev}: {line}")
        for at, mapping in enumerate(self.mappings):
            if made.namespaces:
                mapping.slots = [one.slots[at] for one in made.namespaces]
            elif at and (area := parts[at].area) is not None:
                mapping.slots = [label.slot for label in area.labels]
        return [NdNamespace.labelled(self, at, one) for at, one in enumerate(made.namespaces)] or [
            NdNamespace.seed(self, 0)
        ]

    # --- seeds -----------------------------------------------------------------------------------------------------

    def create(self, kind: type[C], among: list[C]) -> C:
        """A new device of a kind, with the lowest free number."""
        made = kind(self, lowest(among))
        among.append(made)
        among.sort(key=lambda one: one.id)
        return made

    def probe(self, dev: NdNamespace | Claim, driver: Callable[[], None]) -> None:
        """Bind a device: ``driver`` probes it and raises NdError. EOPNOTSUPP uses up a seed as success does."""
        try:
            driver()
        except OSError as error:
            if error.errno == EOPNOTSUPP:
                self._advance_seeds(dev)
            raise
        finally:
            self.bus.changed(self)
        dev.bound = True
        self._advance_seeds(dev)

    def _advance_seeds(self, dev: NdNamespace | Claim) -> None:
        """A device came up: if it was a seed, or took the namespace that was one, there is a new seed."""
        if dev is self.btt_seed:
            self.btt_seed = self.create(NdBtt, self.btts)
        elif dev is self.pfn_seed:
            self.pfn_seed = self.create(NdPfn, self.pfns)
        elif dev is self.dax_seed:
            self.dax_seed = self.create(NdDax, self.daxs)
        namespace = dev if isinstance(dev, NdNamespace) else dev.namespace
        if namespace is self.namespace_seed and self.nstype == NSTYPE_PMEM:
            self.namespace_seed = NdNamespace.seed(self, lowest(self.namespaces))
            self.namespaces.append(self.namespace_seed)
            self.namespaces.sort(key=lambda one: one.id)

    # --- between two commands --------------------------------------------------------------------------------------

    def dump(self) -> list[Any]:
        """What the driver knows, as JSON values."""
        seeds = (self.namespace_seed, self.btt_seed, self.pfn_seed, self.dax_seed)
        return [
            self.bound,
            self.align,
            self.ro,
            list(self._counted),
            [[m.labelled, m.slots] for m in self.mappings],
            [one.id if one else None for one in seeds],
            *([one.dump() for one in group] for group in (self.namespaces, self.btts, self.pfns, self.daxs)),
        ]

    def defer(self, table: Table, key: str) -> None:
        """Take over what ``dump`` wrote when something of it is asked for: most commands are about one region."""
        self._record = table, key
        for name in DEFERRED:
            del self.__dict__[name]

    if not TYPE_CHECKING:  # a checker knows the attributes

        def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - only for what ``defer`` has left out
            if name not in DEFERRED:
                raise AttributeError(name)
            self._load_deferred()
            return self.__dict__[name]

    def _load_deferred(self) -> None:
        if self._record is not None:
            (table, key), self._record = self._record, None
            self._begin()
            self.published = table.get(key)
            if self.published is not None:
                self.load(self.published)

    def publish_anew(self) -> None:
        """What the state has of it was not published yet."""
        self._load_deferred()
        self.published = None

    def may_have(self, uuid: bytes) -> bool:
        """Whether a device below it may have a uuid; False costs little while it is not loaded."""
        return self._record is None or uuid.hex() in self._record[0].text(self._record[1])

    def load(self, values: list[Any]) -> None:
        """Take over what ``dump`` wrote."""
        self.bound, self.align, self.ro, counted, mappings, seeds, namespaces, btts, pfns, daxs = values
        self._counted = (counted[0], counted[1])
        for mapping, (labelled, slots) in zip(self.mappings, mappings, strict=True):
            mapping.labelled, mapping.slots = labelled, slots
        self.namespaces = [NdNamespace.load(self, row) for row in namespaces]
        self.btts = [NdBtt.load(self, row) for row in btts]
        self.pfns = [NdPfn.load(self, row) for row in pfns]
        self.daxs = [NdDax.load(self, row) for row in daxs]
        self.namespace_seed = _numbered(self.namespaces, seeds[0])
        self.btt_seed = _numbered(self.btts, seeds[1])
        self.pfn_seed = _numbered(self.pfns, seeds[2])
        self.dax_seed = _numbered(self.daxs, seeds[3])


def _numbered(among: list[D], number: int | None) -> D | None:
    return next((one for one in among if one.id == number), None)
