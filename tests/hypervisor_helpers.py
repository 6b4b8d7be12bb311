"""A reportable device and hypercall transcripts, for the hypervisor's tests."""

from xlpy.addr import Mfn, Span
from xlpy.errors import HypercallError
from xlpy.hw.hardware import Hardware
from xlpy.hypervisor.frametable import metadata_pages
from xlpy.hypervisor.hypercalls import Hypercalls
from xlpy.hypervisor.pmem_batch import PmemExtent
from xlpy.hypervisor.xen import Xen


class Refused(int):
    """The errno with which a hypercall is expected to fail, in a transcript."""


def play(xen: Xen, transcript: list) -> None:
    """Make hypercalls one after another.

    Each line is ``(caller, method, arguments, expected)``: a result, ``Refused(errno)``, or ``...`` for any result.
    """
    for number, (caller, method, arguments, expected) in enumerate(transcript, 1):
        where = f"line {number}: d{caller} {method}{arguments}"
        try:
            result, text = getattr(xen.hypercalls(caller), method)(*arguments), ""
        except HypercallError as error:
            result, text = Refused(error.errno), str(error)
        assert isinstance(result, Refused) == isinstance(expected, Refused), f"{where}: {text or result}"
        assert expected is ... or result == expected, f"{where}: {text or result}"


class Device:
    """A device as Dom0 reports it: the reserve behind ``lead`` pages that Dom0 keeps, then the data."""

    def __init__(self, hw: Hardware, index: int, lead: int = 16) -> None:
        span = hw.regions[index].span
        self.span = span
        self.region = Span(Mfn(span.start >> 12), span.size >> 12)
        self.reserved = Span(Mfn(self.region.start + lead), metadata_pages(self.region.size))
        self.data = Span.between(self.reserved.end, self.region.end)

    @property
    def first(self) -> int:
        return self.data.start

    def report(self, calls: Hypercalls) -> "Device":
        calls.platform_pmem_add(self.region, self.reserved, self.data)
        return self


def extent(gfn: int, mfn: int, count: int) -> PmemExtent:
    """One entry of a batch for the pmem map hypercall."""
    return PmemExtent(gfn, mfn, count)
