"""``namespaceR.S``: a range of a region that has a name, and how it is used."""

from __future__ import annotations

from errno import EACCES, EBUSY, EINVAL, ENODEV, ENXIO, EOPNOTSUPP

from xlpy.addr import MIB, PAGE, Spa, Span
from xlpy.contexts import suppress
from xlpy.dom0.nvdimm.nd.error import no_value, refuse
from xlpy.dom0.nvdimm.nd.names import uuid_bytes
from xlpy.errors import FormatError
from xlpy.hw.machine import NAME_MAX, SECTOR_SIZES
from xlpy.typing import TYPE_CHECKING, Any
from xlpy.uuids import uuid_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xlpy.dom0.nvdimm import labelset
    from xlpy.dom0.nvdimm.nd.above import AboveNamespace
    from xlpy.dom0.nvdimm.nd.claim import Claim

INFO_BYTES = 8192  # from the start of a namespace, where info blocks are
CLASSES = {"": "none", "pfn": "pfn", "dax": "dax"}  # what may be written to holder_class -> kind of claim


class NdNamespace:
    """A namespace on the nd bus; without size it is a seed, or was deleted.

    Attributes:
        region: that it is in.
        id: S of ``namespaceR.S``.
        has_label: it is described by labels (nstype 5); else it is the region as a whole.
        start, size: where it lies, in host physical space; bytes.
        raw_uuid: 16 bytes of its label in text order, None without.
        alt_name: its name; lbasize: sector size in its label, 0 or 512 or 4096.
        kind: what its label says of its use: ``none``, ``btt``, ``btt2``, ``pfn``, ``dax`` or ``unknown``.
        force_raw: info blocks are not looked for.
        bound: its own driver is bound, so it is a raw block device (or one of a region without an NFIT: mode memory).
        claim: the btt, pfn or dax device that has it, or None.
    """

    def __init__(self, region: AboveNamespace, number: int, has_label: bool, span: Span[Spa]) -> None:
        self.region = region
        self.id = number
        self.has_label = has_label
        self.span = span
        self.raw_uuid: bytes | None = None
        self.alt_name = ""
        self.lbasize = 0
        self.kind = "none"
        self.force_raw = False
        self.bound = False
        self.claim: Claim | None = None

    @classmethod
    def whole(cls, region: AboveNamespace) -> NdNamespace:
        """The only namespace of a region without labels."""
        return cls(region, 0, False, region.info.span)

    @classmethod
    def seed(cls, region: AboveNamespace, number: int) -> NdNamespace:
        """An empty one that the next namespace is made of."""
        return cls(region, number, True, Span(region.resource, 0))

    @classmethod
    def labelled(cls, region: AboveNamespace, number: int, found: labelset.LabelledNamespace) -> NdNamespace:
        """What labels describe."""
        made = cls(region, number, True, Span(found.start, found.size))
        made.raw_uuid = uuid_bytes(found.uuid)
        made.alt_name, made.lbasize, made.kind = found.name, found.lbasize, found.abstraction
        return made

    # --- what sysfs shows ------------------------------------------------------------------------------------------

    @property
    def dev(self) -> str:
        """Its name, such as ``namespace0.0``."""
        return f"namespace{self.region.number}.{self.id}"

    @property
    def nstype(self) -> int:
        """4 or 5, as its region."""
        return self.region.nstype

    @property
    def size(self) -> int:
        """Bytes, info block and page structs included."""
        return self.span.size

    @property
    def resource(self) -> Spa:
        """Its first address. ENXIO: it has no size."""
        if not self.span.size:
            no_value(f"{self.dev}/resource")
        return self.span.start

    @property
    def uuid(self) -> str:
        """Of its label; empty for none. ENXIO: it has no label."""
        self._require_label("uuid")
        return uuid_text(self.raw_uuid) if self.raw_uuid else ""

    @property
    def sector_size(self) -> int:
        """Of its block device in bytes, 512 unless its label says 4096."""
        return 4096 if self.lbasize == 4096 else 512

    @property
    def sector_sizes(self) -> tuple[int, ...]:
        """What ``store_sector_size`` takes; empty without a label."""
        return SECTOR_SIZES if self.has_label else ()

    @property
    def dpa_extents(self) -> int:
        """How many ranges of device addresses it has, over all DIMMs. ENXIO: it has no label."""
        self._require_label("dpa_extents")
        return sum(len(mapping.dimm.allocated(self.uuid)) for mapping in self.region.mappings) if self.raw_uuid else 0

    @property
    def holder(self) -> str:
        """The device that has claimed it, or empty."""
        return self.claim.dev if self.claim else ""

    @property
    def holder_class(self) -> str:
        """What its label says of its use: ``btt``, ``pfn``, ``dax``, empty, or ``<unknown>``."""
        words = {"none": "", "btt2": "btt", "unknown": "<unknown>"}
        return words.get(self.kind, self.kind)

    @property
    def mode(self) -> str:
        """``raw``, ``memory`` (fsdax), ``safe`` (sector) or ``dax`` (devdax)."""
        if self.claim:
            return self.claim.mode_word
        return "memory" if self._maps_pages else "raw"

    @property
    def enabled(self) -> bool:
        """Whether it, or the device that has claimed it, has its driver bound."""
        return self.claim.bound if self.claim else self.bound

    @property
    def block_device(self) -> str | None:
        """The name of its disk, such as ``pmem0``, ``pmem0.1`` or ``pmem0.2s``; None when it has none."""
        if not self.enabled or (self.claim and self.claim.mode_word == "dax"):
            return None
        tail = f".{self.id}" * bool(self.id) + "s" * (self.mode == "safe")
        return f"pmem{self.region.number}{tail}"

    @property
    def char_device(self) -> str | None:
        """The name of its devdax device, such as ``dax0.0``; None when it has none."""
        dax = self.claim is not None and self.claim.bound and self.claim.mode_word == "dax"
        return f"dax{self.region.number}.{self.id}" if dax else None

    @property
    def badblocks(self) -> list[tuple[int, int]]:
        """(first 512-byte sector, number) of unreadable places, from its start."""
        return self.region.bus.badblocks(self.span)

    def _require_label(self, what: str) -> None:
        if not self.has_label:
            no_value(f"{self.dev}/{what}")

    @property
    def _maps_pages(self) -> bool:
        """Whether its pages are usable without an info block, as those of a region that no NFIT describes are."""
        return not self.region.mappings and self.region.bus.provider == "e820" and not self.force_raw

    # --- what may be written ---------------------------------------------------------------------------------------

    def store_uuid(self, text: str) -> None:
        """Set the uuid of the label, which is written when the namespace has a size.

        Raises:
            NdError: ENXIO: no label. EBUSY: claimed or enabled. EINVAL: it is none, or is used already.
        """
        self._require_label("uuid")
        if self.claim or self.bound:
            refuse(EBUSY, f"{self.dev} is in use")
        new = uuid_bytes(text)
        if self.region.bus.uuid_taken(new):
            refuse(EINVAL, f"the uuid {uuid_text(new)} is taken")
        reap: dict[int, list[int]] = {}
        if self.raw_uuid is not None:
            from xlpy.dom0.nvdimm.nd.label import rename

            reap = rename(self, self.raw_uuid, new)
        self.raw_uuid = new
        self._update_label(reap)

    def store_alt_name(self, name: str) -> None:
        """Set the name, at most 63 bytes. NdError: ENXIO: no label. EBUSY: in use. EINVAL: too long."""
        self._require_label("alt_name")
        self._require_idle()
        name = name.strip()
        size = len(name.encode(errors="surrogateescape"))
        if size > NAME_MAX:
            refuse(EINVAL, f"a name of {size} bytes is too long, {NAME_MAX} fit")
        self.alt_name = name
        self._update_label()

    def store_sector_size(self, size: int) -> None:
        """Set the sector size of the block device. NdError: ENXIO: no label. EBUSY: in use. EINVAL: not supported."""
        self._require_label("sector_size")
        self._require_idle()
        if size not in SECTOR_SIZES:
            refuse(EINVAL, f"a sector size of {size} is not one of {SECTOR_SIZES}")
        self.lbasize = size
        self._update_label()

    def store_holder_class(self, word: str) -> None:
        """Say how it is to be used: ``btt``, ``pfn``, ``dax`` or empty.

        Raises:
            NdError: EBUSY: in use. EINVAL: another word. ENXIO: the DIMMs' labels differ in format.
        """
        self._require_idle()
        if word not in ("btt", *CLASSES):
            refuse(EINVAL, f"{word!r} is not one of btt, pfn, dax")
        self.kind = self._btt_kind() if word == "btt" else CLASSES[word]
        if not self.has_label:
            refuse(ENXIO, f"{self.dev} has no label")
        self._update_label()

    def _btt_kind(self) -> str:
        """The version of BTT that goes with the labels: 2.0 with format 1.2, or none yet; else 1.1."""
        found = set()
        for mapping in self.region.mappings:
            if not mapping.dimm.has_labels:
                return "btt"
            storage = mapping.dimm.storage
            found.add(1 if storage.index is None else 2 if storage.minor < 2 else 4)
        if len(found) > 1:
            refuse(ENXIO, f"{self.region.dev}: its DIMMs have labels of different formats")
        return "btt2" if found and found != {2} else "btt"

    def store_force_raw(self, on: bool) -> None:
        """Whether info blocks are to be ignored when it is enabled."""
        self.force_raw = on
        self.region.bus.changed(self.region)

    def store_size(self, size: int) -> None:
        """Give it room in its region, or with 0 delete it: then its labels are freed, and its uuid is gone.

        Raises:
            NdError: EBUSY: in use. ENXIO: no uuid, no DIMMs, one of them disabled, or no room next to what it has.
                EINVAL: not a multiple of the region's alignment. ENOSPC: no room.
        """
        self._require_idle()
        region = self.region
        if self.raw_uuid is None or not region.mappings:
            refuse(ENXIO, f"{self.dev} has no uuid, or its region no DIMMs")
        if size % region.align:
            refuse(EINVAL, f"{self.dev}: {size:#x} is not a multiple of {region.align:#x}")
        if not all(mapping.dimm.has_labels for mapping in region.mappings):
            refuse(ENXIO, f"{region.dev}: one of its DIMMs is disabled")
        uuid = self.uuid
        allocated = sum(one.size for mapping in region.mappings for one in mapping.dimm.allocated(uuid))
        region.require_room(size, allocated)
        if size != allocated:
            ways = len(region.mappings)
            region.resize(uuid, allocated // ways, size // ways)
            self._place(size)
        self._update_label()
        if size == 0:
            self.raw_uuid = None
            if allocated and self.id and region.namespace_seed is not self:
                region.namespaces.remove(self)
        region.bus.changed(region)

    def _place(self, size: int) -> None:
        """Where it lies, by the device addresses on the first DIMM."""
        first = self.region.mappings[0]
        mine = first.dimm.allocated(self.uuid) if size else []
        offset = (mine[0].start - first.start) * len(self.region.mappings) if mine else 0
        self.span = Span(Spa(self.region.resource + offset), size if mine else 0)

    def _require_idle(self) -> None:
        if self.bound or self.claim:
            refuse(EBUSY, f"{self.dev} is in use")

    def _update_label(self, reap: Mapping[int, list[int]] | None = None) -> None:
        """Write the labels anew, if there are to be any; ``reap`` are slots of old ones, by mapping."""
        self.region.bus.changed(self.region)
        if self.raw_uuid is not None:
            from xlpy.dom0.nvdimm.nd.label import update

            update(self, self.raw_uuid, reap or {})

    # --- the driver ------------------------------------------------------------------------------------------------

    def bind(self) -> None:
        """Bind the ``nd_pmem`` driver: look for an info block, and be a raw block device when there is none.

        Raises:
            NdError: ENXIO: an info block was found (its device has claimed the namespace and was enabled if it could
                be), or it is claimed already. ENODEV: it has no size or no uuid. EOPNOTSUPP: its info block cannot be
                used here. EBUSY: bound already. EACCES: a DIMM is locked.
        """
        if self.bound:
            refuse(EBUSY, f"{self.dev} is enabled already")
        self.region.probe(self, self._probe)

    def attach(self) -> None:
        """As ``bind`` when the region is enabled: what fails is in the log."""
        with suppress(OSError):
            self.bind()

    def probe_common(self) -> None:
        """What the driver requires of every namespace, claimed or not."""
        if any(mapping.dimm.locked for mapping in self.region.mappings):
            refuse(EACCES, f"{self.dev}: a DIMM is locked")
        if self.size < PAGE:
            refuse(ENODEV, f"{self.dev}: {self.size} bytes are too few")
        if self._maps_pages and not self.span.aligned(2 * MIB):
            why = f"{self.span} misaligned, unable to map"
            self.region.bus.log(f"nd_pmem {self.dev}: {why}")
            refuse(EOPNOTSUPP, f"{self.dev}: {why}")
        if self.has_label and self.raw_uuid is None:
            refuse(ENODEV, f"{self.dev}: uuid not set")

    @property
    def _blank(self) -> bool:
        """Whether there are zeros where info blocks are."""
        try:
            head = self.region.bus.memory.read(self.span.start, INFO_BYTES) if self.size >= INFO_BYTES else b""
        except FormatError:  # it cannot be read
            return False
        return head == bytes(INFO_BYTES)

    def _probe(self) -> None:
        from xlpy.dom0.nvdimm.nd.btt import NdBtt
        from xlpy.dom0.nvdimm.nd.pfn import NdDax, NdPfn

        kinds: tuple[type[Claim], ...] = (NdBtt, NdPfn, NdDax)  # in the order in which info blocks are looked for
        if self.claim:
            refuse(ENXIO, f"{self.dev} is claimed by {self.claim.dev}")
        self.probe_common()
        if self.force_raw or self._blank:
            return
        for kind in kinds:
            found = kind.probe(self)
            if found:
                with suppress(OSError):
                    found.bind()
                refuse(ENXIO, f"{self.dev} is claimed by {found.dev}")

    def unbind(self) -> None:
        """Unbind its own driver. NdError: ENODEV: not bound. EBUSY: a domain, a mount or another device uses it."""
        if not self.bound:
            refuse(ENODEV, f"{self.dev} is not enabled")
        self.region.bus.require_idle(self)
        self.bound = False
        self.region.bus.changed(self.region)

    # --- between two commands --------------------------------------------------------------------------------------

    def dump(self) -> list[Any]:
        """As JSON values."""
        return [
            self.id,
            self.has_label,
            self.span.start,
            self.span.size,
            self.raw_uuid.hex() if self.raw_uuid else None,
            self.alt_name,
            self.lbasize,
            self.kind,
            self.force_raw,
            self.bound,
        ]

    @classmethod
    def load(cls, region: AboveNamespace, values: list[Any]) -> NdNamespace:
        """What ``dump`` wrote; claims are set by those who have them."""
        number, has_label, start, size, uuid, name, lbasize, kind, force_raw, bound = values
        made = cls(region, number, has_label, Span(Spa(start), size))
        made.raw_uuid = bytes.fromhex(uuid) if uuid else None
        made.alt_name, made.lbasize, made.kind, made.force_raw, made.bound = name, lbasize, kind, force_raw, bound
        return made
