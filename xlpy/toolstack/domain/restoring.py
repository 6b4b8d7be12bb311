"""``restore`` and ``migrate``: a saved domain comes back, with the persistent memory that it had."""

from __future__ import annotations

from xlpy.addr import Gfn, Gpa, Span
from xlpy.errors import Conflict, Constraint
from xlpy.hypervisor import abi
from xlpy.private import folder
from xlpy.toolstack.domain.build import Builder, device_model
from xlpy.toolstack.domain.record import DomainRecord, VnvdimmRecord, load, save
from xlpy.toolstack.domain.saving import KEPT_PARTS, Saved, pmem_digest, runs_of, well_formed
from xlpy.toolstack.domain.stored_config import reload
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextlib import ExitStack

    from xlpy.hypervisor.board import Device
    from xlpy.toolstack.backing.resolve import Resolved
    from xlpy.toolstack.config.domain_config import DomainConfig, Vnvdimm
    from xlpy.toolstack.domain.build_info import MemoryLayout
    from xlpy.toolstack.domain.lifecycle import Lifecycle


class Restorer(Builder):
    """Builds a domain around what a file holds: the steps of ``create`` that would make it new are taken from there."""

    saved: Saved

    def _populate(self, config: DomainConfig, layout: MemoryLayout, domid: int) -> None:
        del layout
        header = self.saved.header
        spans = [Span(Gfn(start), end - start) for start, end in header["ram"]]
        self.step(f"domain {domid}: RAM in {len(spans)} stretches")
        self.calls.domctl_max_mem(domid, sum(span.size for span in spans) * 4 + 1024)
        if self.calls.memory_populate_physmap(domid, spans) < len(spans):
            raise Constraint(
                f"{config.name}: the host has not enough RAM left", code="XLPY-NO-MEMORY", hint="xlpy info free_memory"
            )
        parts = header["parts"]
        if not parts.keys() <= set(KEPT_PARTS):  # such as what says which host memory it has
            raise ValueError(sorted(parts))
        self.xen.domain(domid).restore(header["domain"], parts)

    def _board(self, domid: int, board: list[Device], layout: MemoryLayout) -> None:
        """The board is among the parts."""

    def _attach(
        self, config: DomainConfig, domid: int, backings: list[tuple[Vnvdimm, Resolved]], undo: ExitStack
    ) -> list[VnvdimmRecord]:
        del config
        if not backings:
            return []
        devices = [self.backings.pin(domid, entry, resolved, undo) for entry, resolved in backings]
        model = device_model(self.xen, self.xenstore, self.store, domid)
        places = [(slot, Gpa(gpa), serial) for slot, gpa, serial in self.saved.header["devices"]]
        persistence, slots = self.xen.hw.spec.persistence, self.saved.header["slots"]
        placed = model.attach(devices, persistence=persistence, slots=slots, places=places)
        undo.callback(model.destroy)
        pairs = zip(backings, placed, strict=True)
        return [self.backings.record(entry, resolved, device) for (entry, resolved), device in pairs]

    def _start(self, config: DomainConfig, domid: int) -> None:
        """The guest's RAM, with whatever was in it: tables that the device model has just written included."""
        del config
        memory = self.xen.domain(domid).memory
        for gpa, data in runs_of(self.saved):
            memory.write(Gpa(gpa), data)


def restore(life: Lifecycle, saved: Saved, paused: bool = False, check_content: bool = True) -> int:
    """Bring a saved domain back.

    Args:
        life: the toolstack.
        saved: from ``open_saved``.
        paused: leave it paused.
        check_content: refuse when its persistent memory has not the content that it had.

    Returns:
        its domid.

    Raises:
        Conflict: its name or UUID is taken, or the content of a backing has changed since. Constraint: the CPU lacks
            what the guest has. XlpyError: as ``create``.
    """
    header = saved.header
    with well_formed(saved.path):
        return _restore(life, saved, header, paused, check_content)


def _restore(life: Lifecycle, saved: Saved, header: dict[str, Any], paused: bool, check_content: bool) -> int:
    missing = sorted(set(header["features"]) - set(life.xen.hw.spec.cpu.features))
    if missing:
        raise Constraint(
            f"{saved.path}: the domain was started on a CPU with {', '.join(missing)}, this one has none of that",
            hint="cpuid = in its configuration hides features",
        )
    fields = dict(header["record"])
    fields["vnvdimms"] = [VnvdimmRecord(*device) for device in fields["vnvdimms"]]
    record = DomainRecord(**fields)
    config = reload(record._replace(update=None), life.xen)
    life.check(config)
    builder = Restorer(life.xen, life.dom0, life.xenstore, life.store, life.labels, lambda _text: None)
    builder.saved = saved
    domid, _ = builder.create(config, paused=True)
    made = load(life.store, domid)
    save(life.store, made._replace(update=record.update, monitored=record.monitored, sizes=record.sizes))
    if check_content:
        _check_content(life, domid, made, header["digests"])
    if not paused:
        life.xen.hypercalls(0).domctl_unpausedomain(domid)
    return domid


def _check_content(life: Lifecycle, domid: int, record: DomainRecord, digests: list[str]) -> None:
    """Refuse a domain whose persistent memory is not what its guest left: it would work on with what it remembers."""
    for one, expected in zip(record.vnvdimms, digests, strict=True):
        if pmem_digest(life, domid, one.extents, one.label) != expected:
            life.destroy(domid)
            raise Conflict(
                f"{one.path} has not the content that it had when the domain was saved",
                code="XLPY-PMEM-CHANGED",
                hint="xlpy migrate --copy-pmem copies it; restore --any-pmem takes it as it is",
            )


def suspend(life: Lifecycle, domid: int) -> None:
    """Ask the guest to suspend, as for ``save``. Conflict: it cannot answer."""
    from xlpy.toolstack.domain.power import ask

    ask(life, domid, "suspend")
    if life.xen.domain(domid).shutdown_code != abi.SHUTDOWN_SUSPEND:
        raise Conflict(f"domain {domid} did not suspend", hint="it goes on")


def resume(life: Lifecycle, domid: int) -> None:
    """Let a suspended guest go on."""
    life.xen.hypercalls(0).domctl_resumedomain(domid)


def copy_pmem(source: Lifecycle, domid: int, target: Lifecycle) -> None:
    """Copy the content of a domain's vNVDIMMs, labels too, to the backings of the same names on another host.

    Raises:
        Conflict: a backing is in use there. Constraint: it has another size. XlpyError: it cannot be resolved there.
    """
    import shutil

    from xlpy.addr import Spa
    from xlpy.toolstack.domain.backings import Backings
    from xlpy.toolstack.domain.stored_config import entries

    record = load(source.store, domid)
    theirs = Backings(target.xen, target.dom0, target.labels)
    for one, (entry, resolved) in zip(record.vnvdimms, theirs.resolve(record.name, entries(record)), strict=True):
        if resolved.size != one.size:
            raise Constraint(f"{one.path} has {resolved.size} bytes there, {one.size} here", hint="make it as large")
        there = [[span.start, span.size] for span in resolved.spans]
        for here_at, there_at, size in _pairs(one.extents, there):
            for at in range(0, size, 1 << 20):
                length = min(1 << 20, size - at)
                target.xen.hw.write(Spa(there_at + at), source.xen.hw.read(Spa(here_at + at), length))
        if one.label:
            name = theirs.label_name(entry, resolved)
            folder(target.labels)
            shutil.copyfile(f"{source.labels}/{one.label}", f"{target.labels}/{name}")


def _pairs(ours: list[list[int]], theirs: list[list[int]]) -> list[tuple[int, int, int]]:
    """Host addresses here and there, and lengths, of the same bytes of a vNVDIMM."""
    found, a, b = [], [list(one) for one in ours], [list(one) for one in theirs]
    while a and b:
        size = min(a[0][1], b[0][1])
        found.append((a[0][0], b[0][0], size))
        for rows in (a, b):
            rows[0] = [rows[0][0] + size, rows[0][1] - size]
            if not rows[0][1]:
                rows.pop(0)
    return found
