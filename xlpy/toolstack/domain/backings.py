"""From ``vnvdimm`` entries to backings for the device model: resolved, not in use, pinned, with a label area."""

from __future__ import annotations

import itertools
import os

from xlpy.errors import Conflict
from xlpy.private import folder
from xlpy.toolstack.backing.refusals import refuse_unregistered
from xlpy.toolstack.backing.resolve import resolve
from xlpy.toolstack.domain.record import VnvdimmRecord
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.devicemodel.backing import Backing, Vnvdimm
    from xlpy.dom0.emulated import EmulatedDom0
    from xlpy.hypervisor.xen import Xen
    from xlpy.toolstack.backing.resolve import Resolved
    from xlpy.toolstack.config.devices.vnvdimm import VnvdimmEntry


class Backings:
    """Dom0's side of vNVDIMMs.

    Args:
        xen, dom0: who knows what is taken, and where files lie.
        labels: folder of the label areas, one file per backing.
    """

    def __init__(self, xen: Xen, dom0: EmulatedDom0, labels: str) -> None:
        self.xen = xen
        self.dom0 = dom0
        self.labels = labels

    def resolve(self, name: str, entries: Sequence[VnvdimmEntry]) -> list[tuple[VnvdimmEntry, Resolved]]:
        """Find each entry's host memory, and refuse what is taken.

        Args:
            name: of the domain, for messages.
            entries: as configured.

        Raises:
            Conflict: two entries share memory, or a domain has it. HypercallError: Xen does not know the device, and
                would not map it. Constraint, NotFound, Unsafe: see ``resolve``.
        """
        found = [(entry, resolve(self.dom0, entry.file, entry.read_only)) for entry in entries]
        self.refuse_taken(name, found)
        return found

    def refuse_taken(self, name: str, found: list[tuple[VnvdimmEntry, Resolved]]) -> None:
        """Of what was found, refuse what another entry or a domain has, or Xen would not map. Raises as ``resolve``."""
        _refuse_overlaps(name, found)
        for entry, resolved in found:
            self._refuse_taken(entry, resolved)
            refuse_unregistered(self.xen, self.dom0, entry.file, resolved.device, resolved.first)

    def _refuse_taken(self, entry: VnvdimmEntry, resolved: Resolved) -> None:
        for span in resolved.spans:
            owner = self.xen.pmem.owner_of(span)
            if owner is not None:
                raise Conflict(
                    f"{entry.file} is in use by domain {owner}: its memory at {span.start:#x} is mapped there",
                    code="XLPY-PMEM-BUSY",
                    hint=f"xlpy destroy {owner}, or choose another backing",
                )

    def pin(self, domid: int, entry: VnvdimmEntry, resolved: Resolved) -> Backing:
        """Hold a backing for a domain, so that its blocks stay where they are.

        Raises:
            Conflict: another owner holds it, or it moved since it was resolved.
        """
        from xlpy.devicemodel.backing import Backing
        from xlpy.digest import blake2b

        owner = f"domain {domid}"
        self.dom0.pin(entry.file, owner)
        if resolve(self.dom0, entry.file, entry.read_only).extents != resolved.extents:
            raise Conflict(f"{entry.file} moved on the media while it was being resolved", hint="run the command again")
        name = self.label_name(entry, resolved)
        if entry.label_size:
            folder(self.labels)
        return Backing(
            path=entry.file,
            spans=resolved.spans,
            label_path=f"{self.labels}/{name}" if entry.label_size else None,
            label_size=entry.label_size,
            unarmed=entry.unarmed or entry.read_only,
            read_only=entry.read_only,
            node=entry.node,
            uuid=blake2b(name.encode(), digest_size=16).digest(),
            smart=any(self.xen.hw.region_at(span.start).set.dimms for span in resolved.spans),
        )

    def check_labels(self, entry: VnvdimmEntry, resolved: Resolved) -> None:
        """Conflict: the backing has a label area of another size already."""
        from xlpy.devicemodel.labels import LabelStore

        path = f"{self.labels}/{self.label_name(entry, resolved)}"
        if entry.label_size and os.path.exists(path):  # noqa: PTH110
            LabelStore(path, entry.label_size).check()

    def unpin(self, domid: int, path: str) -> None:
        """Give a backing back to Dom0."""
        self.dom0.unpin(path, f"domain {domid}")

    def record(self, entry: VnvdimmEntry, resolved: Resolved, placed: Vnvdimm) -> VnvdimmRecord:
        """What the toolstack remembers of a vNVDIMM."""
        return VnvdimmRecord(
            entry.file,
            resolved.kind,
            resolved.device,
            placed.gpa,
            resolved.size,
            [[span.start, span.size] for span in resolved.spans],
            self.label_name(entry, resolved) if entry.label_size else "",
            placed.slot,
            entry.label_size,
            entry.unarmed,
            entry.read_only,
            entry.node,
        )

    def label_name(self, entry: VnvdimmEntry, resolved: Resolved) -> str:
        """The name under which a backing's labels are kept: they belong to the backing, not to a domain."""
        if resolved.kind == "file":
            return f"{resolved.device}-inode{self.dom0.stat(entry.file).inode}"
        return entry.file.rpartition("/")[2]


def _refuse_overlaps(name: str, found: list[tuple[VnvdimmEntry, Resolved]]) -> None:
    pieces = sorted((piece.spa, piece.spa + piece.length, at) for at, (_, r) in enumerate(found) for piece in r.extents)
    for (_, end, one), (start, _, other) in itertools.pairwise(pieces):
        if start < end:
            first, second = sorted((one, other))
            raise Conflict(
                f"{name}: vnvdimm entries {first + 1} ({found[first][0].file}) and {second + 1} "
                f"({found[second][0].file}) use the same host memory at {start:#x}",
                code="XLPY-PMEM-TWICE",
                hint="give each vNVDIMM a backing of its own",
            )
