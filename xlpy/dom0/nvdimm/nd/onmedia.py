"""Info blocks of btt, pfn and dax devices: found on media, or made for a namespace that has none."""

from __future__ import annotations

from errno import EINVAL, ENODEV, ENOMEM, ENXIO, EOPNOTSUPP

from xlpy.addr import Spa, Span
from xlpy.dom0.nvdimm import DAX_SIGNATURE, PFN_SIGNATURE
from xlpy.dom0.nvdimm.infoblock import BLOCK, PFN_AT, SUBSECTION, InfoBlockError, PfnBlock, parse_pfn, validate_pfn
from xlpy.dom0.nvdimm.nd.error import NdError, refuse
from xlpy.typing import TYPE_CHECKING, Protocol
from xlpy.uuids import ZERO

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.dom0.nvdimm.btt import BttBlock
    from xlpy.dom0.nvdimm.nd.above import AboveClaim, AboveNamespace

SIGNATURES = {"pfn": PFN_SIGNATURE, "dax": DAX_SIGNATURE}


class Wanted(Protocol):
    """A device whose info block is to be made."""

    kind: str
    region: AboveNamespace

    @property
    def dev(self) -> str: ...
    def log(self, text: str, /) -> None: ...


class WantedPfn(Wanted, Protocol):
    """The same with page structs."""

    mode: str
    align: int
    costs: tuple[int, ...]


class WantedBtt(Wanted, Protocol):
    """The same with blocks."""

    lbasize: int


def find_pfn(namespace: AboveClaim, kind: str, log: Callable[[str], None]) -> PfnBlock:
    """The info block of a pfn or dax device.

    Args:
        namespace: where it lies. kind: ``pfn`` or ``dax``. log: called with the reason why it is unusable.

    Raises:
        NdError: ENODEV: there is none, or it is another one. ENXIO: it cannot be read. EOPNOTSUPP: it cannot be used.
    """
    try:
        data = namespace.region.bus.memory.read(Spa(namespace.span.start + PFN_AT), BLOCK)
    except InfoBlockError as error:
        raise NdError(ENXIO, error.message) from error
    try:
        block = parse_pfn(data)
        if block.signature != SIGNATURES[kind]:
            refuse(ENODEV, f"{namespace.dev} has an info block of another kind")
        validate_pfn(block, namespace.span.start, namespace.size, namespace.raw_uuid or ZERO)
    except InfoBlockError as error:
        if error.errno == EOPNOTSUPP:
            log(error.message)
        raise NdError(error.errno, error.message) from error
    return block


def new_pfn(namespace: AboveClaim, wanted: WantedPfn, uuid: bytes) -> PfnBlock:
    """An info block as a device wants it. NdError: ENXIO: read-only, no mode, or no room. EINVAL: misaligned."""
    from xlpy.dom0.nvdimm.fsdax import pfn_block

    region = wanted.region
    if region.ro:
        wanted.log(f"{region.dev} is read-only, unable to init metadata")
        refuse(ENXIO, f"{region.dev} is read-only, unable to init metadata")
    start = namespace.span.start
    if start % SUBSECTION:
        why = f"{namespace.dev}: start {start:#018x} misaligned to {SUBSECTION:#x}"
        wanted.log(why)
        refuse(EINVAL, why)
    if wanted.mode == "none":
        refuse(ENXIO, f"{wanted.dev} has no mode")
    on_media = wanted.mode == "pmem"
    block = pfn_block(namespace.span, uuid, on_media=on_media, align=wanted.align, costs=wanted.costs)
    if block.dataoff >= namespace.size:
        wanted.log(f"{namespace.dev} unable to satisfy requested alignment")
        refuse(ENXIO, f"{namespace.dev} unable to satisfy requested alignment")
    return block._replace(signature=SIGNATURES[wanted.kind], parent=namespace.raw_uuid or ZERO)


def find_btt(namespace: AboveClaim, version: tuple[int, int], at: int) -> BttBlock | None:
    """The info block of the first arena, ``at`` bytes into its namespace; None when there is none of a version."""
    from xlpy.dom0.nvdimm.btt import parse_btt

    try:
        data = namespace.region.bus.memory.read(Spa(namespace.span.start + at), BLOCK)
        block = parse_btt(data, namespace.raw_uuid or ZERO)
    except InfoBlockError:
        return None
    return block if (block.major, block.minor) == version else None


def arenas(namespace: AboveClaim, wanted: WantedBtt, uuid: bytes, version: tuple[int, int], at: int) -> list[BttBlock]:
    """The info blocks of the arenas, which are made when there are none; ``version`` and ``at`` as for ``find_btt``.

    Raises:
        NdError: ENXIO: the namespace is too small. ENOMEM: they contradict each other, or the region is read-only.
    """
    from xlpy.dom0.nvdimm.btt import ARENA_MIN
    from xlpy.dom0.nvdimm.nd.arenas import create, discover

    span = Span(Spa(namespace.span.start + at), namespace.size - at)
    if span.size < ARENA_MIN:
        refuse(ENXIO, f"{namespace.dev} has {namespace.size} bytes, too few for a BTT")
    region, parent = wanted.region, namespace.raw_uuid or ZERO
    try:
        found = discover(region.bus.memory, span, parent)
    except InfoBlockError as error:
        wanted.log(f"init: error in arena_discover: {error.message}")
        raise NdError(ENOMEM, f"{wanted.dev}: {error.message}") from error
    if found:
        return found
    if region.ro:
        wanted.log(f"{region.dev} is read-only, unable to init btt metadata")
        refuse(ENOMEM, f"{region.dev} is read-only, unable to init btt metadata")
    return create(region.bus.memory, span, wanted.lbasize, uuid, parent, version)
