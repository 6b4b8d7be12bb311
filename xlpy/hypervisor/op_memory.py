"""memory_op: RAM, and changes that a guest may make to its own address space.

Frames that hold persistent memory are out of bounds for all of it: nothing here may move, free or replace them, because
the pages would end on the heap, and then be scrubbed.
"""

from __future__ import annotations

from xlpy import abi
from xlpy.abi import refuse
from xlpy.addr import LIMIT, PAGE_SHIFT, Gfn, Gpa, Span
from xlpy.firmware.e820 import MAX_ENTRIES, E820Entry
from xlpy.hypervisor.gate import Gate, hypercall
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.firmware.platform import Vnuma
    from xlpy.hypervisor.domain import Domain


class MemoryOps(Gate):
    """memory_op, the part for RAM."""

    @hypercall("XENMEM_populate_physmap")
    def memory_populate_physmap(self, domid: int, extents: Sequence[Span[Gfn]]) -> int:
        """Give a domain RAM.

        Args:
            domid: the domain; a guest may do this to itself, within its allowance.
            extents: guest frames, in pages.

        Returns:
            how many extents were populated: less than all when the allowance or the heap is used up, or memory is there
            already. The reason is on the console.

        Raises:
            HypercallError: ESRCH; EPERM; EINVAL the domain is dying, or frames beyond its physical address width.
        """
        domain = self._alive("XENMEM_populate_physmap", domid)
        limit = 1 << (domain.physical_bits - PAGE_SHIFT)
        for extent in extents:
            if extent.end > limit:
                refuse(
                    abi.EINVAL, f"guest frames {extent} leave the {domain.physical_bits}-bit address space of the guest"
                )
        for done, extent in enumerate(extents):
            reason = domain.populate(extent.start, extent.size) if extent.size else None
            if reason:
                self.xen.console.write(f"(XEN) d{domain.domid}: {done} of {len(extents)} extents populated: {reason}")
                return done
        return len(extents)

    @hypercall("XENMEM_decrease_reservation")
    def memory_decrease_reservation(self, domid: int, extents: Sequence[Span[Gfn]]) -> int:
        """Give RAM back to the heap (ballooning).

        Returns:
            how many extents were given back: it stops at the first that is not RAM throughout.

        Raises:
            HypercallError: ESRCH; EPERM no rights, or an extent holds persistent memory (then nothing is done); EINVAL.
        """
        domain = self._alive("XENMEM_decrease_reservation", domid)
        for extent in extents:
            self._no_pmem(domain, extent.start, extent.end, "it cannot be ballooned out")
        for done, extent in enumerate(extents):
            if sum(piece.size for piece in domain.p2m.ram.clip(extent.start, extent.end)) != extent.size:
                return done
            domain.release(extent.start, extent.end)
        return len(extents)

    @hypercall("XENMEM_add_to_physmap")
    def memory_add_to_physmap(self, domid: int, space: int, index: Gfn, gfn: Gfn, size: int = 1) -> None:
        """Move RAM pages to other guest frames; RAM that was there goes back to the heap.

        Args:
            domid: the domain.
            space: XENMAPSPACE_GMFN (one page) or XENMAPSPACE_GMFN_RANGE.
            index: the first frame to move.
            gfn: where it goes.
            size: pages, 1 to 65535 for a range.

        Raises:
            HypercallError: ESRCH; EPERM no rights, or persistent memory at either end; EINVAL the source is not RAM, or
                the two overlap, or the size; EOPNOTSUPP another space.
        """
        domain = self._alive("XENMEM_add_to_physmap", domid)
        if space not in (abi.XENMAPSPACE_GMFN, abi.XENMAPSPACE_GMFN_RANGE):
            refuse(abi.EOPNOTSUPP, f"space {space}: only pages of the guest itself (2 and 3) can be moved")
        if not 1 <= size <= (1 if space == abi.XENMAPSPACE_GMFN else abi.GMFN_RANGE_MAX):
            refuse(abi.EINVAL, f"{size} pages in space {space}")
        if index < 0 or gfn < 0 or gfn + size > 1 << (domain.physical_bits - PAGE_SHIFT):
            refuse(abi.EINVAL, f"{size} pages from {index:#x} to {gfn:#x} leave the guest's address space")
        if index < gfn + size and gfn < index + size:
            refuse(abi.EINVAL, f"{size} pages from {index:#x} to {gfn:#x}: the two overlap")
        self._no_pmem(domain, index, index + size, "it cannot be moved")
        self._no_pmem(domain, gfn, gfn + size, "it cannot be replaced")
        ram = domain.p2m.ram
        if sum(piece.size for piece in ram.clip(index, index + size) if piece.tag == abi.P2M_RAM_RW) != size:
            refuse(abi.EINVAL, f"guest frames [{index:#x}, {index + size:#x}) of d{domain.domid} are not all RAM")
        if ram.overlaps(gfn, gfn + size):
            domain.release(gfn, gfn + size)
        for piece in ram.take(index, index + size):
            ram.add(piece.start - index + gfn, piece.end - index + gfn, piece.base, piece.tag)
        domain.save_ram()

    @hypercall("XENMEM_set_pod_target")
    def memory_set_pod_target(self, domid: int, pages: int) -> None:
        """How many pages a domain that is populated on demand has; the rest of its map waits for them.

        Here the whole map has memory behind it, in sparse files; what is beyond the target is not counted.

        Raises:
            HypercallError: ESRCH; EPERM; EINVAL a negative number.
        """
        self._control("XENMEM_set_pod_target")
        domain = self._alive("XENMEM_set_pod_target", domid)
        if pages < 0:
            refuse(abi.EINVAL, f"{pages} pages is not a target")
        domain.pod = max(0, domain.tot_pages - pages)
        domain.save()

    @hypercall("XENMEM_remove_from_physmap")
    def memory_remove_from_physmap(self, domid: int, gfn: Gfn) -> None:
        """Free one page of RAM: ESRCH, EPERM no rights or persistent memory, ENOENT a hole."""
        domain = self._alive("XENMEM_remove_from_physmap", domid)
        self._no_pmem(domain, gfn, gfn + 1, "it cannot be removed")
        if domain.release(gfn, gfn + 1) == 0:
            refuse(abi.ENOENT, f"d{domain.domid} has nothing at guest frame {gfn:#x}")

    @hypercall("XENMEM_set_memory_map")
    def memory_set_memory_map(self, domid: int, entries: Sequence[E820Entry]) -> None:
        """Set the memory map that firmware will be given: ESRCH, EPERM, EINVAL over 128 entries or one that wraps."""
        domain = self._target("XENMEM_set_memory_map", domid)
        if len(entries) > MAX_ENTRIES:
            refuse(abi.EINVAL, f"{len(entries)} entries, at most {MAX_ENTRIES} are possible")
        for start, size, _ in entries:
            if start < 0 or size < 0 or start + size > LIMIT:
                refuse(abi.EINVAL, f"the entry at {start:#x} with {size:#x} bytes leaves the 64-bit address space")
        kept = [list(entry) for entry in entries]
        domain.keep("xen.memory_map", lambda: kept)

    @hypercall("XENMEM_memory_map", query=True)
    def memory_memory_map(self, domid: int = abi.DOMID_SELF) -> list[E820Entry]:
        """The memory map that was set: ESRCH, EPERM, ENOSYS none was."""
        domain = self._target("XENMEM_memory_map", domid)
        rows = domain.part("xen.memory_map")
        if rows is None:
            refuse(abi.ENOSYS, f"d{domain.domid} has no memory map", "the toolstack sets it: XENMEM_set_memory_map")
        return [E820Entry(Gpa(start), size, kind) for start, size, kind in rows]

    @hypercall("XENMEM_get_vnumainfo", query=True)
    def memory_get_vnumainfo(self, domid: int = abi.DOMID_SELF) -> Vnuma:
        """The virtual NUMA topology: ESRCH, EPERM, EOPNOTSUPP there is none."""
        from xlpy.firmware.platform import Vnuma, VnumaRange

        domain = self._target("XENMEM_get_vnumainfo", domid)
        saved = domain.part("xen.vnuma")
        if saved is None:
            refuse(abi.EOPNOTSUPP, f"d{domain.domid} has no virtual NUMA topology")
        vcpus, distances, ranges = saved
        return Vnuma(
            tuple(vcpus),
            tuple(map(tuple, distances)),
            tuple(VnumaRange(Gpa(start), Gpa(end), node) for start, end, node in ranges),
        )

    def _alive(self, what: str, domid: int) -> Domain:
        domain = self._target(what, domid)
        if domain.dying:
            refuse(abi.EINVAL, f"{what}: d{domain.domid} is dying")
        return domain

    @staticmethod
    def _no_pmem(domain: Domain, start: int, end: int, what: str) -> None:
        first = next(iter(domain.p2m.pmem.clip(start, end)), None)
        if first is not None:
            refuse(
                abi.EPERM,
                f"guest frame {first.start:#x} of d{domain.domid} is persistent memory (frame {first.base:#x}), {what}",
            )
