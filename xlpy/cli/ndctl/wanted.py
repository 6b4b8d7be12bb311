"""The parameters of a new namespace: from the options, or else from the region and the kernel."""

from __future__ import annotations

from errno import EAGAIN, EINVAL, ENXIO

from xlpy.addr import PAGE, align_up
from xlpy.cli.ndctl.namespaces import mode_of
from xlpy.cli.ndctl.sizes import NONE, size_and_unit
from xlpy.hw.machine import NAME_MAX
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING
from xlpy.uuids import random_uuid, uuid_text

if TYPE_CHECKING:
    from xlpy.cli.ndctl.options import Values
    from xlpy.cli.ndctl.session import NdctlSession
    from xlpy.dom0.nvdimm.nd.namespace import NdNamespace
    from xlpy.dom0.nvdimm.nd.region import NdRegion

SUFFIXES = {1 << 10: "K", 1 << 20: "M", 1 << 30: "G", 1 << 40: "T"}
MIB16, MIB2 = 16 << 20, 2 << 20
ANY_SECTOR = 0xFFFFFFFF  # UINT_MAX: the kernel has no sector size for the namespace
COST_MAX = 0xFFFF - 64  # bytes per page: what the info block has a field for, without Linux's own


class NamespaceRefused(Exception):
    """It cannot be done in this region; ``result`` is the negative errno."""

    def __init__(self, result: int) -> None:
        super().__init__(result)
        self.result = result


class WantedNamespace(NamedTuple):
    """What a namespace is to be, when nothing is left open."""

    uuid: str
    name: str
    mode: str
    size: int
    align: int
    sector: int
    place: str  # of page structs: ram, pmem, or none
    reserve: tuple[int, ...]  # bytes per page of each table of another owner


class Resolver:
    """Finds out what is wanted in a region.

    Args:
        session: for messages.
        values: of the options, defaults included.
    """

    def __init__(self, session: NdctlSession, values: Values) -> None:
        self._session = session
        self._values = values
        self._whole = False  # the size is what is free

    def resolve(self, region: NdRegion, old: NdNamespace | None) -> WantedNamespace:
        """What is to be made; Refused with EAGAIN: another region may do."""
        values = self._values
        if not region.bound:
            raise NamespaceRefused(-EAGAIN)
        wanted, unit = self._size(region, old)
        if region.nstype == 4 and wanted != region.size:
            self._session.error("Legacy / label-less namespaces do not support sub-dividing a region\n")
            self._session.error("Retry without -s/--size=\n")
            raise NamespaceRefused(-EINVAL)
        name = values.name if values.name is not None else old.alt_name if old and old.has_label else ""
        if len(name.encode(errors="surrogateescape")) > NAME_MAX:
            self._session.failed("validate_namespace_options: alt name overflow")
            raise NamespaceRefused(-EINVAL)
        mode = mode_of(values.mode) or mode_of(_mode(old)) or "raw"
        align = self._align(region, old, mode)
        self._check_size(region, mode, wanted, unit, align)
        sector = self._sector(region, old, mode)
        place = "none"
        if mode in ("fsdax", "devdax"):
            place = "ram" if values.map == "mem" else "pmem"
        elif values.map is not None and old is not None:
            self._session.failed(f"{old.dev}: --map= only valid for fsdax mode namespace")
            raise NamespaceRefused(-EINVAL)
        reserve = self._reserve(wanted, align, place, old) if place != "none" else ()
        return WantedNamespace(
            values.uuid or uuid_text(random_uuid()), name, mode, wanted, align, sector, place, reserve
        )

    def _reserve(self, wanted: int, align: int, place: str, old: NdNamespace | None) -> tuple[int, ...]:
        """What another owner's tables cost per page: Xen's two, or one of at least the size that is asked for.

        What a namespace has it keeps when nothing is said.
        """
        word, block = self._values.reserve, getattr(old.claim, "block", None) if old else None
        if word is None and block is None:
            return ()
        from xlpy.dom0.nvdimm.fsdax import XEN_TABLES, costs_of
        from xlpy.dom0.nvdimm.infoblock import PAGE_STRUCT

        if word is None:
            return costs_of(block) if block else ()
        pages, size = wanted // PAGE, self._session.size(word) if word != "xen" else 0
        costs = XEN_TABLES if word == "xen" else (-(-size // pages),) if size else ()
        if sum(costs) > COST_MAX:
            self._session.error(f"--reserve={word} is more than {COST_MAX} bytes for each page of the namespace\n")
            raise NamespaceRefused(-EINVAL)
        front = 2 * PAGE + pages * (sum(costs) + PAGE_STRUCT * (place == "pmem"))
        if costs and align_up(front, max(align, MIB2)) >= wanted:
            self._session.error(f"--reserve={word} leaves no room for data in {wanted} bytes\n")
            raise NamespaceRefused(-EINVAL)
        return costs

    def _size(self, region: NdRegion, old: NdNamespace | None) -> tuple[int, int]:
        """(bytes, unit in which they were given)."""
        values = self._values
        wanted, unit = size_and_unit(values.size, self._session.release.binary)
        self._whole = values.size is None and old is None
        if old is not None:
            return (wanted if values.size is not None else old.size), unit
        free = region.size if region.nstype == 4 else region.max_available_extent
        if not free or wanted > free:
            raise NamespaceRefused(-EAGAIN)
        return wanted or free, unit

    def _align(self, region: NdRegion, old: NdNamespace | None, mode: str) -> int:
        values, seed = self._values, region.pfn_seed if mode == "fsdax" else region.dax_seed
        if values.align is not None:
            if mode not in ("fsdax", "devdax"):
                self._session.error(f"{mode} mode does not support setting an alignment\n")
                raise NamespaceRefused(-ENXIO)
            align = self._session.size(values.align)
            if seed is None or align not in seed.supported_alignments:
                self._session.error(f"unsupported align: {values.align}\n")
                raise NamespaceRefused(-ENXIO)
            return align
        if old is not None and mode == mode_of(_mode(old)):
            align = getattr(old.claim, "align", PAGE)
        elif mode in ("fsdax", "devdax"):
            align = seed.align if seed else MIB2
        else:
            align = PAGE
        return PAGE if region.resource & (align - 1) else align

    def _check_size(self, region: NdRegion, mode: str, wanted: int, unit: int, align: int) -> None:
        if wanted % region.align:
            self._session.failed(f"{region.dev}: align setting is {region.align:#x} size {wanted:#x} is misaligned")
            raise NamespaceRefused(-EINVAL)
        ways = len(region.mappings) or 1
        if wanted % (align * ways):
            step = max(unit, align) * ways
            whole = (wanted // step + 1) * step
            if whole > NONE and self._session.release.checked:
                self._session.failed(f"size overflow: {whole // step} * {step} exceeds ULLONG_MAX")
                raise NamespaceRefused(-EINVAL)
            proposal = (whole & NONE) // unit
            self._session.failed(
                f"'--size=' must align to interleave-width: {ways} and alignment: {align}\n"
                f"did you intend --size={proposal}{SUFFIXES.get(unit, '')}?"
            )
            raise NamespaceRefused(-EINVAL)
        if wanted < MIB16 and mode != "raw":
            if self._whole:
                raise NamespaceRefused(-EAGAIN)
            self._session.error(f"'--size=' must be >= 16MiB for '{mode}' mode\n")
            raise NamespaceRefused(-EINVAL)

    def _sector(self, region: NdRegion, old: NdNamespace | None, mode: str) -> int:
        values, seed = self._values, old or region.namespace_seed
        if values.sector_size is not None:
            sector = self._session.size(values.sector_size)
            if mode == "sector":
                sizes: tuple[int, ...] = region.btt_seed.sector_sizes if region.btt_seed else ()
                kind = "btt"
            else:
                sizes, kind = seed.sector_sizes if seed else (), "namespace"
            if sector not in sizes:
                self._session.failed(f"{region.dev}: does not support {kind} sector_size {sector}")
                raise NamespaceRefused(-EINVAL)
            return sector
        if old is not None:
            if old.mode == "safe" and mode == "sector":
                return int(old.claim.lbasize)  # type: ignore[union-attr]
            return old.lbasize or ANY_SECTOR if old.has_label else 0
        if seed is None:
            self._session.failed(f"{region.dev}: failed to get seed")
            raise NamespaceRefused(-ENXIO)
        return 512 if seed.sector_sizes else ANY_SECTOR


def _mode(one: NdNamespace | None) -> str | None:
    return None if one is None else one.mode
