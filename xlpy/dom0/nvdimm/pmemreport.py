"""Dom0's Xen driver: telling the hypervisor about persistent memory (vNVDIMM design, section 4.2.2).

Each fsdax or devdax namespace that has a reserve is reported with its whole range, the reserve and the data range.
What Xen refuses it ignores; such a device, like one without a reserve, stays usable for Dom0 and cannot be given to a
domain.
"""

from __future__ import annotations

from xlpy.addr import PAGE, Mfn, Spa, Span, mfn_of
from xlpy.errors import HypercallError
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from xlpy.dom0.nvdimm.driver import Bus
    from xlpy.dom0.nvdimm.namespace import Namespace


class PmemHypercalls(Protocol):
    """The hypercalls of Dom0's driver."""

    def platform_pmem_add(self, region: Span[Mfn], reserved: Span[Mfn], data: Span[Mfn]) -> None:
        """Report a pmem device, as page numbers. HypercallError when Xen ignores it."""
        ...

    def platform_pmem_remove(self, region: Span[Mfn]) -> None:
        """Take a report back. HypercallError when a domain uses the device."""
        ...

    def platform_pmem_bad(self, spans: Sequence[Span[Spa]]) -> None:
        """Tell of memory errors."""
        ...

    def platform_pmem_clear(self, span: Span[Spa]) -> int:
        """Tell that a range was rewritten and is good."""
        ...


class OnDemand:
    """Hypercalls that are looked up when the first one is made: most changes of the nd bus need none.

    Args:
        find: gives them.
    """

    def __init__(self, find: Callable[[], PmemHypercalls]) -> None:
        self._find = find

    def platform_pmem_add(self, region: Span[Mfn], reserved: Span[Mfn], data: Span[Mfn]) -> None:
        """As ``PmemHypercalls``."""
        self._find().platform_pmem_add(region, reserved, data)

    def platform_pmem_remove(self, region: Span[Mfn]) -> None:
        """As ``PmemHypercalls``."""
        self._find().platform_pmem_remove(region)

    def platform_pmem_bad(self, spans: Sequence[Span[Spa]]) -> None:
        """As ``PmemHypercalls``."""
        self._find().platform_pmem_bad(spans)

    def platform_pmem_clear(self, span: Span[Spa]) -> int:
        """As ``PmemHypercalls``."""
        return self._find().platform_pmem_clear(span)


class PmemReport(NamedTuple):
    """What became of one namespace, ``dev``: whether Xen knows it, and if not, why."""

    dev: str
    registered: bool
    reason: str | None = None


def report(bus: Bus, namespaces: Iterable[Namespace], xen: PmemHypercalls) -> list[PmemReport]:
    """Report what can be reported."""
    return [_report(bus, one, xen) for one in namespaces]


def update(
    bus: Bus, before: Sequence[tuple[Namespace, PmemReport]], namespaces: Iterable[Namespace], xen: PmemHypercalls
) -> list[PmemReport]:
    """After namespaces have changed: withdraw the reports of those that changed, and report the new ones.

    Args:
        bus: what the NFIT says.
        before: the namespaces that were there, with what became of them.
        namespaces: those that are there.
        xen: who gets the reports.

    Raises:
        HypercallError: Xen does not let a device go, a domain uses it.
    """
    wanted = list(namespaces)
    same = {_reported(one): verdict for one, verdict in before}
    now = {_reported(one) for one in wanted}
    for one, verdict in before:
        if verdict.registered and _reported(one) not in now:
            xen.platform_pmem_remove(_pages(one.span))
    return [same.get(_reported(one)) or _report(bus, one, xen) for one in wanted]


def _reported(one: Namespace) -> tuple[object, ...]:
    """What a report depends on."""
    return (one.dev, one.span, one.reserve, one.data, one.mode, one.problem)


def _report(bus: Bus, one: Namespace, xen: PmemHypercalls) -> PmemReport:
    reason = _unfit(bus, one)
    if reason is None and one.reserve is not None:
        try:
            xen.platform_pmem_add(_pages(one.span), _pages(one.reserve), _pages(one.data))
        except HypercallError as error:
            reason = f"Xen refused it: {error}"
    return PmemReport(one.dev, reason is None, reason)


def _unfit(bus: Bus, one: Namespace) -> str | None:
    """Why a namespace is not reported at all."""
    from xlpy.dom0.nvdimm.driver import UNUSABLE

    if one.problem:
        return f"the namespace is disabled: {one.problem}"
    if one.mode not in ("fsdax", "devdax"):
        return f"a namespace in {one.mode} mode has no reserve for Xen's frame table"
    if one.reserve is None:
        return "the namespace was made without a reserve for Xen's frame table"
    parts = {mapping.dimm for mapping in bus.region(one.region).mappings}
    bad = [f"{dimm.dev}: {flag}" for dimm in bus.dimms if dimm.dev in parts for flag in dimm.flags if flag in UNUSABLE]
    return f"a DIMM may not keep its content ({', '.join(bad)})" if bad else None


def _pages(span: Span[Spa]) -> Span[Mfn]:
    return Span(mfn_of(span.start), span.size // PAGE)
