"""``bttR.N``: sector mode, blocks that are written as a whole or not at all."""

from __future__ import annotations

from errno import EINVAL, ENODEV

from xlpy.addr import PAGE
from xlpy.dom0.nvdimm.nd.claim import CLAIM_MIN, Claim
from xlpy.dom0.nvdimm.nd.error import no_value, refuse
from xlpy.dom0.nvdimm.nd.names import lowest
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Self

    from xlpy.dom0.nvdimm.nd.above import AboveClaim, AboveNamespace

BTT_SECTOR_SIZES = (512, 520, 528, 4096, 4104, 4160, 4224)


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
        made = cls(region, lowest(cls.siblings(region)))
        made.lbasize, made.raw_uuid = first.external_lbasize, first.uuid
        made._appear(namespace)
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
