"""``pfnR.N`` and ``daxR.N``: fsdax and devdax, whose pages have page structs, in RAM or in front of the data."""

from __future__ import annotations

from errno import EINVAL, ENODEV, ENOMEM, EOPNOTSUPP

from xlpy.addr import MIB, Spa, Span
from xlpy.dom0.nvdimm.nd.claim import Claim
from xlpy.dom0.nvdimm.nd.error import NdError, no_value, refuse
from xlpy.dom0.nvdimm.nd.names import lowest
from xlpy.typing import TYPE_CHECKING, Any
from xlpy.uuids import uuid_text

if TYPE_CHECKING:
    from typing import Self

    from xlpy.dom0.nvdimm.infoblock import PfnBlock
    from xlpy.dom0.nvdimm.nd.above import AboveClaim, AboveNamespace

PFN_MODES = ("none", "ram", "pmem")  # by their numbers in info blocks


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
        made = cls(region, lowest(cls.siblings(region)))
        try:
            made.validate(namespace)
        except NdError as error:
            if error.errno == EOPNOTSUPP:
                raise
            return None
        made._appear(namespace)
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
