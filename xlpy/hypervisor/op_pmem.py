"""Operations that the vNVDIMM design adds to platform_op and memory_op: reporting and mapping persistent memory.

The pages belong to one domain at a time. They are mapped as RAM (write-back), are not counted against the domain's
allowance, and never see the heap.
"""

from __future__ import annotations

from itertools import pairwise

from xlpy import abi
from xlpy.abi import refuse
from xlpy.addr import PAGE, PAGE_SHIFT, Gfn, Gpa, Mfn, Spa, Span
from xlpy.errors import HypercallError, XlpyError
from xlpy.hypervisor.gate import Gate, hypercall
from xlpy.hypervisor.p2m import as_broken
from xlpy.hypervisor.pmem_batch import PmemExtent, check_batch, poisoned
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.hypervisor.domain import Domain

__all__ = ["PmemExtent", "PmemOps", "PmemReportOps"]


class PmemReportOps(Gate):
    """platform_op: Dom0's driver says where persistent memory is, and which of it is bad."""

    @hypercall("XENPF_pmem_add")
    def platform_pmem_add(
        self,
        region: Span[Mfn],
        reserved: Span[Mfn],
        data: Span[Mfn],
        interface_version: int = abi.XENPF_INTERFACE_VERSION,
    ) -> None:
        """Dom0 reports a pmem device. Whichever check fails, the device is ignored and nothing is left behind.

        Args:
            region: machine frames of the whole device.
            reserved: the part in which Xen may keep its metadata; Dom0 loses the right to map it.
            data: the part that guests may get.
            interface_version: of the caller.

        Raises:
            HypercallError: in this order: EPERM the caller is not the control domain; EACCES another interface version;
                EINVAL an empty area, a frame beyond the physical width or the frame table; EINVAL an area that leaves
                the device, or areas that overlap; ENOSPC the reserved area is too small (``metadata_pages``);
                EEXIST overlap with a registered device, or the same report again; EINVAL no persistent memory there in
                the host's map; ENOMEM the metadata cannot be written.
        """
        self._control("XENPF_pmem_add")
        if interface_version != abi.XENPF_INTERFACE_VERSION:
            refuse(abi.EACCES, f"interface version {interface_version:#x}, required {abi.XENPF_INTERFACE_VERSION:#x}")
        self.xen.pmem.add(region, reserved, data)

    @hypercall("XENPF_pmem_remove")
    def platform_pmem_remove(self, region: Span[Mfn]) -> None:
        """Dom0 takes a report back, before it uses the device otherwise.

        Args:
            region: machine frames of the whole device, as they were reported.

        Raises:
            HypercallError: EPERM the caller is not the control domain; ENOENT no such device is registered; EBUSY a
                domain has pages of it mapped.
        """
        self._control("XENPF_pmem_remove")
        self.xen.pmem.remove(region)

    @hypercall("XENPF_pmem_bad")
    def platform_pmem_bad(self, spans: Sequence[Span[Spa]]) -> None:
        """Dom0's driver knows of memory errors: pages that hold one are not mapped any more; what is mapped stays.

        Raises:
            HypercallError: EPERM the caller is not the control domain; EINVAL a range without persistent memory.
        """
        self._control("XENPF_pmem_bad")
        for span in spans:
            self._require_pmem("XENPF_pmem_bad", span)
        self.xen.pmem.note_bad(spans)

    @hypercall("XENPF_pmem_clear")
    def platform_pmem_clear(self, span: Span[Spa]) -> int:
        """Dom0 has rewritten a range, which is good again: its pages may be mapped, broken ones become ordinary.

        Returns:
            bytes that were poisoned and are not any more.

        Raises:
            HypercallError: as for ``platform_pmem_bad``.
        """
        self._control("XENPF_pmem_clear")
        self._require_pmem("XENPF_pmem_clear", span)
        return self.xen.clear_poison(span)

    def _require_pmem(self, what: str, span: Span[Spa]) -> None:
        if not any(region.span.covers(span) for region in self.xen.hw.regions):
            refuse(abi.EINVAL, f"{what}: {span} is not persistent memory of one region")


class PmemOps(Gate):
    """Mapping persistent memory: for a domain's device model and the control domain, never for the domain itself."""

    @hypercall("XENMEM_pmem_map")
    def memory_pmem_map(
        self,
        domid: int,
        batch: Sequence[PmemExtent],
        start: int = 0,
        *,
        map_broken: bool = False,
        read_only: bool = False,
    ) -> int:
        """Map pmem frames into a guest.

        Everything is checked before anything is done; when a call or its continuation fails, all that it and its
        predecessors did is undone.

        Args:
            domid: the guest.
            batch: ``(gfn, mfn, count)``; an empty batch succeeds without effect.
            start: extents that earlier calls with this batch did: 0, or what the last one returned.
            map_broken: map pages that hold poison too, as broken ones; an access to them crashes the guest.
            read_only: the guest may only read; a store faults and changes nothing.

        Returns:
            how many extents are done; when less than all, call again with it as ``start``.

        Raises:
            HypercallError: in this order: EINVAL DOMID_SELF; ESRCH no such domain; EPERM neither its device model nor
                the control domain; EINVAL dying, or not HVM; EINVAL a start that no call has reached; EINVAL an empty
                or negative extent; EOVERFLOW sums that wrap; EINVAL beyond the guest's physical width; ENXIO frames
                outside all registered data areas; EBUSY frames that a domain has, or twice in the batch; EIO poisoned
                frames; EPERM guest frames that are special; EEXIST guest frames that hold memory, or twice in the
                batch; ENOMEM the frame table cannot be written.
        """
        if domid == abi.DOMID_SELF:
            refuse(abi.EINVAL, "XENMEM_pmem_map: DOMID_SELF, required the guest's own id")
        domain = self._device_model("XENMEM_pmem_map", domid)
        if domain.dying or not domain.hvm:
            refuse(abi.EINVAL, f"XENMEM_pmem_map: d{domid} is {'dying' if domain.dying else 'not an HVM domain'}")
        key = (self.caller, domain.domid)
        extents = tuple(batch)
        if start and self.xen.continuations.get(key) != (start, extents):
            refuse(abi.EINVAL, f"start {start} of {len(extents)} extents: no call with this batch has come that far")
        self.xen.continuations.pop(key, None)
        if not extents:
            return 0
        step = self.xen.preempt_after or len(extents)
        try:
            self._map(domain, extents[start : start + step], start, map_broken=map_broken, read_only=read_only)
        except HypercallError:
            if start:
                self._unmap(domain, [Span(Gfn(gfn), count) for gfn, _, count in extents[:start]])
            raise
        done = min(start + step, len(extents))
        if done < len(extents):
            self.xen.continuations[key] = (done, extents)
        return done

    @hypercall("XENMEM_pmem_unmap")
    def memory_pmem_unmap(self, domid: int, extents: Sequence[Span[Gfn]]) -> None:
        """Take pmem out of a guest. Its content stays; the pages are free for another domain.

        Args:
            domid: the guest.
            extents: guest frames, in pages.

        Raises:
            HypercallError: EINVAL, ESRCH, EPERM as for mapping; EINVAL two extents overlap; ENOENT a guest frame
                without persistent memory (nothing is done).
        """
        if domid == abi.DOMID_SELF:
            refuse(abi.EINVAL, "XENMEM_pmem_unmap: DOMID_SELF, required the guest's own id")
        domain = self._device_model("XENMEM_pmem_unmap", domid)
        ordered = sorted(extents)
        for one, other in pairwise(ordered):
            if one.overlaps(other):
                refuse(abi.EINVAL, f"the extents {one} and {other} overlap")
        for extent in ordered:
            at = int(extent.start)
            for piece in domain.p2m.pmem.clip(extent.start, extent.end):
                if piece.start > at:
                    break
                at = piece.end
            if at < extent.end:
                refuse(abi.ENOENT, f"guest frame {at:#x} of d{domain.domid} holds no persistent memory")
        self._unmap(domain, ordered)

    @hypercall("XENMEM_pmem_clear_error")
    def memory_pmem_clear_error(self, domid: int, span: Span[Gpa]) -> int:
        """Forget the poison under a guest range whose data the device model has rewritten (``_DSM`` Clear Error).

        Returns:
            bytes that were poisoned and are not any more.

        Raises:
            HypercallError: ESRCH; EPERM; ENXIO the range is not persistent memory of the guest throughout.
        """
        domain = self._device_model("XENMEM_pmem_clear_error", domid)
        first, last = span.start >> PAGE_SHIFT, -(-span.end // PAGE)
        pieces = domain.p2m.pmem.clip(first, last)
        if sum(piece.size for piece in pieces) != last - first:
            refuse(abi.ENXIO, f"{span} is not persistent memory of d{domain.domid} throughout")
        cleared = 0
        for piece in pieces:
            low = max(span.start, piece.start << PAGE_SHIFT)
            high = min(span.end, piece.end << PAGE_SHIFT)
            spa = Spa((piece.base << PAGE_SHIFT) + low - (piece.start << PAGE_SHIFT))
            cleared += self.xen.clear_poison(Span(spa, high - low))
        return cleared

    def _map(
        self, domain: Domain, extents: Sequence[PmemExtent], first: int, *, map_broken: bool, read_only: bool
    ) -> None:
        pmem, p2m = self.xen.pmem, domain.p2m.pmem
        columns = check_batch(self.xen, domain, extents, first, map_broken=map_broken)

        kind = abi.P2M_RAM_RO if read_only else abi.P2M_RAM_RW

        def change() -> None:
            pmem.m2p.add_columns(columns.mfns, columns.mfn_ends, columns.gfns, [domain.domid] * len(extents))

        p2m.add_columns(columns.gfns, columns.gfn_ends, columns.mfns, [kind] * len(extents))
        try:
            pmem.change(min(columns.mfns), max(columns.mfn_ends), change)
        except XlpyError as error:
            for gfn, end in zip(columns.gfns, columns.gfn_ends, strict=True):
                p2m.take(gfn, end)
            pmem.m2p.remove_columns(columns.mfns, columns.mfn_ends)
            pmem.save()
            refuse(abi.ENOMEM, f"the frame table cannot be written: {error.message}", error.hint)
        for mfn in poisoned(self.xen, columns):
            owner = pmem.m2p.lookup(mfn)
            pmem.mark_broken(mfn, broken=True)
            if owner is not None:
                p2m.retag(owner[0], owner[0] + 1, as_broken(kind))
        domain.save_pmem()

    def _unmap(self, domain: Domain, extents: Sequence[Span[Gfn]]) -> None:
        pmem, p2m = self.xen.pmem, domain.p2m.pmem
        taken = [piece for extent in extents for piece in p2m.take(extent.start, extent.end)]
        if not taken:
            return

        starts, ends = [p.base for p in taken], [p.base + p.size for p in taken]

        def change() -> None:
            pmem.m2p.remove_columns(starts, ends)

        try:
            pmem.change(min(starts), max(ends), change)
        except XlpyError as error:
            self.xen.console.write(f"(XEN) the frame table cannot be written, it needs repair: {error.message}")
            change()
            pmem.save()
        domain.save_pmem()
