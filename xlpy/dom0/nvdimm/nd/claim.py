"""``bttR.N``, ``pfnR.N`` and ``daxR.N``: what makes something else of a namespace than a raw block device.

Each claims one namespace. Enabling it reads the info block that the namespace has, or writes one when it has none.
"""

from __future__ import annotations

from errno import EBUSY, EINVAL, ENODEV, ENOMEM, ENXIO, EOPNOTSUPP

from xlpy.addr import MIB, PAGE, Spa, Span
from xlpy.dom0.nvdimm.nd.error import NdError, no_value, refuse
from xlpy.dom0.nvdimm.nd.names import lowest, uuid_bytes
from xlpy.typing import TYPE_CHECKING, Any
from xlpy.uuids import uuid_text

if TYPE_CHECKING:
    from typing import Self

    from xlpy.dom0.nvdimm.infoblock import PfnBlock
    from xlpy.dom0.nvdimm.nd.above import AboveClaim, AboveNamespace

CLAIM_MIN = 16 * MIB  # bytes of a namespace that can be claimed
BTT_SECTOR_SIZES = (512, 520, 528, 4096, 4104, 4160, 4224)
PFN_MODES = ("none", "ram", "pmem")  # by their numbers in info blocks


class Claim:
    """What btt, pfn and dax devices have in common.

    Attributes:
        region: that it is in.
        id: N of its name.
        raw_uuid: 16 bytes of its info block's uuid in text order, None while it has none.
        namespace: that it has claimed, or None.
        bound: whether its driver is bound (``enabled``, as ndctl has it).
    """

    kind: str  # the first part of its name
    kinds: tuple[str, ...]  # what a label may say of a namespace that this can claim
    mode_word: str  # what sysfs says of a namespace that it has claimed

    def __init__(self, region: AboveNamespace, number: int) -> None:
        self.region = region
        self.id = number
        self.raw_uuid: bytes | None = None
        self.namespace: AboveClaim | None = None
        self.bound = False

    @property
    def dev(self) -> str:
        """Its name, such as ``pfn0.0``."""
        return f"{self.kind}{self.region.number}.{self.id}"

    @property
    def uuid(self) -> str:
        """Of its info block, empty for none."""
        return uuid_text(self.raw_uuid) if self.raw_uuid else ""

    @property
    def namespace_name(self) -> str:
        """The attribute ``namespace``: the name of the namespace that it has claimed, or empty."""
        return self.namespace.dev if self.namespace else ""

    def store_uuid(self, text: str) -> None:
        """Set the uuid of the info block that is to be written. NdError: EBUSY: enabled. EINVAL: it is none."""
        self._require_idle()
        self.raw_uuid = uuid_bytes(text)
        self.region.bus.changed(self.region)

    def store_namespace(self, name: str) -> None:
        """Claim a namespace by name; with an empty name give it up: then the device is reset, or goes.

        Raises:
            NdError: EBUSY: enabled, it has one already, or the namespace is claimed or is for another use. EINVAL: no
                such name can be. ENODEV: no such namespace. ENXIO: it has less than 16 MiB.
        """
        self._require_idle()
        name = name.strip()
        if not name:
            self._give_up()
            return
        if not name.startswith("namespace"):
            refuse(EINVAL, f"{name!r} is not the name of a namespace")
        if self.namespace:
            refuse(EBUSY, f"{self.dev} has {self.namespace.dev} already")
        found = next((one for one in self.region.namespaces if one.dev == name), None)
        if found is None:
            refuse(ENODEV, f"there is no {name} below {self.region.dev}")
        if found.kind not in ("none", *self.kinds):
            refuse(EBUSY, f"{name} is for {found.holder_class}")
        if found.size < CLAIM_MIN:
            refuse(ENXIO, f"{name} has {found.size} bytes, at least {CLAIM_MIN} are required")
        if found.claim:
            refuse(EBUSY, f"{name} is claimed by {found.claim.dev}")
        self.take(found)
        self.region.bus.changed(self.region)

    def take(self, namespace: AboveClaim) -> None:
        """Claim a namespace."""
        self.namespace, namespace.claim = namespace, self

    def _give_up(self) -> None:
        if self.namespace:
            self.namespace.claim = None
            self.namespace = None
        if self is self._seed:
            self.raw_uuid = None
            self.reset()
        else:
            self._siblings.remove(self)
        self.region.bus.changed(self.region)

    def reset(self) -> None:
        """Forget what the next info block is to be like."""

    @property
    def _siblings(self) -> list[Any]:
        groups: tuple[list[Any], ...] = (self.region.btts, self.region.pfns, self.region.daxs)
        return next(group for group in groups if self in group)

    @property
    def _seed(self) -> Claim | None:
        region = self.region
        seeds: dict[str, Claim | None] = {"btt": region.btt_seed, "pfn": region.pfn_seed, "dax": region.dax_seed}
        return seeds[self.kind]

    def _require_idle(self) -> None:
        if self.bound:
            refuse(EBUSY, f"{self.dev} is enabled")

    def bind(self) -> None:
        """Bind its driver.

        Raises:
            NdError: ENODEV: no namespace, no uuid, or something else that an info block needs is not set. EBUSY: the
                namespace is enabled as a raw device, or this one is already. ENXIO: the region can only be read, or
                the namespace is too small. EINVAL: it does not start on a 2 MiB boundary. EOPNOTSUPP: its info block
                says something else, or cannot be used here. ENOMEM: (btt) the arenas contradict each other, (dax) the
                data are not aligned.
        """
        self._require_idle()
        try:
            if self.namespace is None:
                refuse(ENODEV, f"{self.dev} has no namespace")
            if self.namespace.bound:
                refuse(EBUSY, f"{self.namespace.dev} is active, can't bind {self.dev}")
            self.namespace.probe_common()
            self.probe_media(self.namespace)
        except OSError as error:
            if error.errno == EOPNOTSUPP:
                self.region.advance_seeds(self)
            raise
        finally:
            self.region.bus.changed(self.region)
        self.bound = True
        self.region.advance_seeds(self)

    def probe_media(self, namespace: AboveClaim) -> None:
        """Read or write what is on media; errors as ``bind``."""
        raise NotImplementedError

    @classmethod
    def probe(cls, namespace: AboveClaim) -> Self | None:
        """A new device for an info block of this kind, if the namespace has one. NdError EOPNOTSUPP: unusable."""
        raise NotImplementedError

    def unbind(self) -> None:
        """Unbind its driver. NdError: ENODEV: not bound. EBUSY: a domain, a mount or another device uses it."""
        if not self.bound:
            refuse(ENODEV, f"{self.dev} is not enabled")
        if self.namespace:
            self.region.bus.require_idle(self.namespace)
        self.bound = False
        self.region.bus.changed(self.region)

    def log(self, text: str) -> None:
        """Write to the kernel's log."""
        self.region.bus.log(f"nd_pmem {self.dev}: {text}")

    def _dump(self) -> list[Any]:
        uuid = self.raw_uuid.hex() if self.raw_uuid else None
        return [self.id, uuid, self.namespace.id if self.namespace else None, self.bound]

    def _load(self, values: list[Any]) -> None:
        _, uuid, number, self.bound = values
        self.raw_uuid = bytes.fromhex(uuid) if uuid else None
        namespace = next((one for one in self.region.namespaces if one.id == number), None)
        if namespace:
            self.take(namespace)


class NdPfn(Claim):
    """fsdax: page structs in RAM or in front of the data.

    Attributes:
        mode: ``none``, ``ram`` (page structs in RAM) or ``pmem`` (on media).
        align: of the data, in bytes.
        costs: what another owner than Linux keeps in front of the data, in bytes per page for each of its tables
            (an extension of the vNVDIMM design, 4.2.1; stock Linux has no such attribute).
    """

    kind, kinds, mode_word = "pfn", ("pfn",), "memory"

    def __init__(self, region: AboveNamespace, number: int) -> None:
        super().__init__(region, number)
        self.align = 2 * MIB
        self._block: PfnBlock | list[Any] | None = None  # a list: as ``dump`` wrote it
        self.reset()

    def reset(self) -> None:
        self.mode = "none"
        self.costs: tuple[int, ...] = ()

    @property
    def block(self) -> PfnBlock | None:
        """Its info block while it is enabled."""
        if self._block and isinstance(self._block, list):
            from xlpy.dom0.nvdimm.infoblock import PfnBlock

            fields: list[Any] = [bytes.fromhex(one) if isinstance(one, str) else one for one in self._block]
            self._block = PfnBlock(*fields)
        return self._block or None  # type: ignore[return-value]

    @block.setter
    def block(self, block: PfnBlock | None) -> None:
        self._block = block

    @property
    def supported_alignments(self) -> tuple[int, ...]:
        """What ``store_align`` takes."""
        from xlpy.dom0.nvdimm.infoblock import ALIGNMENTS

        return ALIGNMENTS

    @property
    def resource(self) -> Spa:
        """First address of the data. ENXIO: not enabled."""
        return self.data.start

    @property
    def size(self) -> int:
        """Bytes of the data. ENXIO: not enabled."""
        return self.data.size

    @property
    def data(self) -> Span[Spa]:
        """Where the data are. ENXIO: not enabled."""
        if not self.bound or self.block is None or self.namespace is None:
            no_value(f"{self.dev}/resource")
        whole, block = self.namespace.span, self.block
        start = Spa(whole.start + block.start_pad + block.dataoff)
        return Span(start, whole.end - block.end_trunc - start)

    def store_mode(self, mode: str) -> None:
        """Say where page structs are to be. NdError: EBUSY: enabled. EINVAL: not one of none, ram, pmem."""
        self._require_idle()
        if mode not in PFN_MODES:
            refuse(EINVAL, f"{mode!r} is not one of none, ram, pmem")
        self.mode = mode
        self.region.bus.changed(self.region)

    def store_align(self, align: int) -> None:
        """Set the alignment of the data. NdError: EBUSY: enabled. EINVAL: not one of ``supported_alignments``."""
        self._require_idle()
        if align not in self.supported_alignments:
            refuse(EINVAL, f"{align:#x} is not one of {', '.join(map(str, self.supported_alignments))}")
        self.align = align
        self.region.bus.changed(self.region)

    def store_reserve(self, costs: tuple[int, ...]) -> None:
        """Keep room for another owner's tables, in bytes per page. NdError EBUSY: enabled."""
        self._require_idle()
        self.costs = costs
        self.region.bus.changed(self.region)

    def validate(self, namespace: AboveClaim) -> None:
        """Take over the info block on media.

        Raises:
            NdError: ENODEV: there is none, or it is another one. ENXIO: it cannot be read. EOPNOTSUPP: it cannot be
                used here, or says something else than was set.
        """
        from xlpy.dom0.nvdimm.nd.onmedia import find_pfn

        block = find_pfn(namespace, self.kind, self.log)
        mode = PFN_MODES[block.mode]
        if self.raw_uuid is None:
            self.raw_uuid, self.align, self.mode = block.uuid, block.align, mode
        elif self.raw_uuid != block.uuid:
            refuse(ENODEV, f"{namespace.dev} has the info block {uuid_text(block.uuid)}")
        elif (self.align, self.mode) != (block.align, mode):
            self.log("init failed, settings mismatch")
            refuse(EOPNOTSUPP, f"the info block of {namespace.dev} has align {block.align:#x} and mode {mode}")
        self.block = block

    def probe_media(self, namespace: AboveClaim) -> None:
        if self.raw_uuid is None:
            refuse(ENODEV, f"{self.dev} has no uuid")
        try:
            self.validate(namespace)
        except NdError as error:
            if error.errno != ENODEV:
                raise
            self._initialise(namespace, self.raw_uuid)
        self._clear_memmap_errors(namespace)

    def _initialise(self, namespace: AboveClaim, uuid: bytes) -> None:
        """Write the info block of a namespace that has none."""
        from xlpy.dom0.nvdimm.infoblock import PFN_AT
        from xlpy.dom0.nvdimm.nd.onmedia import new_pfn

        self.block = new_pfn(namespace, self, uuid)
        self._clear_memmap_errors(namespace)
        self.region.bus.memory.write(Spa(namespace.span.start + PFN_AT), self.block.build())

    def _clear_memmap_errors(self, namespace: AboveClaim) -> None:
        """Page structs are written anew each time, so bad places among them are no loss."""
        if self.block is not None and self.mode == "pmem":
            from xlpy.dom0.nvdimm.infoblock import BLOCK

            start = namespace.span.start
            self.region.bus.clear_poison(Span(Spa(start + 2 * BLOCK), self.block.dataoff - 2 * BLOCK))

    @classmethod
    def probe(cls, namespace: AboveClaim) -> Self | None:
        if namespace.kind not in ("none", *cls.kinds):
            return None
        region = namespace.region
        among: list[Any] = region.daxs if cls.kind == "dax" else region.pfns
        made = cls(region, lowest(among))
        try:
            made.validate(namespace)
        except NdError as error:
            if error.errno == EOPNOTSUPP:
                raise
            return None
        made.take(namespace)
        among.append(made)
        among.sort(key=lambda one: one.id)
        return made

    def dump(self) -> list[Any]:
        """As JSON values."""
        fields = self._block or []
        if not isinstance(fields, list):
            fields = [value.hex() if isinstance(value, bytes) else value for value in fields]
        return [*self._dump(), self.mode, self.align, list(self.costs), fields]

    @classmethod
    def load(cls, region: AboveNamespace, values: list[Any]) -> Self:
        """What ``dump`` wrote."""
        made = cls(region, values[0])
        made._load(values[:4])
        made.mode, made.align, costs, made._block = values[4:]
        made.costs = tuple(costs)
        return made


class NdDax(NdPfn):
    """devdax: a character device."""

    kind, kinds, mode_word = "dax", ("dax",), "dax"

    def probe_media(self, namespace: AboveClaim) -> None:
        super().probe_media(namespace)
        assert self.block is not None
        start = namespace.span.start + self.block.start_pad + self.block.dataoff
        if start % self.align or (namespace.span.end - self.block.end_trunc - start) % self.align:
            refuse(ENOMEM, f"{self.dev}: its data are not aligned to {self.align:#x}")


class NdBtt(Claim):
    """sector: blocks that are written as a whole or not at all.

    Attributes:
        lbasize: bytes of a block, one of ``sector_sizes``; 0 while not set. What exceeds 512 or 4096 is for integrity.
    """

    kind, kinds, mode_word = "btt", ("btt", "btt2"), "safe"

    def __init__(self, region: AboveNamespace, number: int) -> None:
        super().__init__(region, number)
        self.lbasize = 0
        self._size = 0

    def reset(self) -> None:
        self.lbasize = 0

    @property
    def sector_sizes(self) -> tuple[int, ...]:
        """What ``store_sector_size`` takes."""
        return BTT_SECTOR_SIZES

    @property
    def log_zero_flags(self) -> str:
        """Maps take the flags of the log as zero: ``Y`` since Linux 4.15."""
        return "Y"

    @property
    def size(self) -> int:
        """Bytes of its block device. ENXIO: not enabled."""
        if not self.bound:
            no_value(f"{self.dev}/size")
        return self._size

    def store_sector_size(self, size: int) -> None:
        """Set the block size. NdError: EBUSY: enabled. EINVAL: not one of ``sector_sizes``."""
        self._require_idle()
        if size not in BTT_SECTOR_SIZES:
            refuse(EINVAL, f"{size} is not one of {', '.join(map(str, BTT_SECTOR_SIZES))}")
        self.lbasize = size
        self.region.bus.changed(self.region)

    @staticmethod
    def version(namespace: AboveClaim) -> tuple[tuple[int, int], int]:
        """((major, minor), offset of the first arena) of a BTT in a namespace."""
        return ((2, 0), 0) if namespace.kind == "btt2" else ((1, 1), PAGE)

    @classmethod
    def probe(cls, namespace: AboveClaim) -> Self | None:
        if namespace.kind not in ("none", *cls.kinds) or namespace.size < CLAIM_MIN:
            return None
        from xlpy.dom0.nvdimm.nd.onmedia import find_btt

        first = find_btt(namespace, *cls.version(namespace))
        if first is None:
            return None
        region = namespace.region
        made = cls(region, lowest(region.btts))
        made.lbasize, made.raw_uuid = first.external_lbasize, first.uuid
        made.take(namespace)
        region.btts.append(made)
        region.btts.sort(key=lambda one: one.id)
        return made

    def probe_media(self, namespace: AboveClaim) -> None:
        from xlpy.dom0.nvdimm.nd.onmedia import arenas

        if self.raw_uuid is None or not self.lbasize:
            refuse(ENODEV, f"{self.dev} has no uuid or no sector size")
        found = arenas(namespace, self, self.raw_uuid, *self.version(namespace))
        self._size = sum(one.external_nlba for one in found) * (4096 if self.lbasize >= 4096 else 512)

    def dump(self) -> list[Any]:
        """As JSON values."""
        return [*self._dump(), self.lbasize, self._size]

    @classmethod
    def load(cls, region: AboveNamespace, values: list[Any]) -> Self:
        """What ``dump`` wrote."""
        made = cls(region, values[0])
        made._load(values[:4])
        made.lbasize, made._size = values[4:]
        return made


PROBES: tuple[type[Claim], ...] = (NdBtt, NdPfn, NdDax)  # in the order in which info blocks are looked for
