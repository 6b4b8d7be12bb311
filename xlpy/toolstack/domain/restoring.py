"""``restore`` and ``migrate``: a saved domain comes back, with the persistent memory that it had."""

from __future__ import annotations

import os

from xlpy.addr import PAGE_SHIFT, Gfn, Gpa, Span
from xlpy.contexts import ExitStack, suppress
from xlpy.errors import Conflict, Constraint, UsageError
from xlpy.private import folder
from xlpy.toolstack.domain import contents
from xlpy.toolstack.domain.backings import Backings
from xlpy.toolstack.domain.build import Builder
from xlpy.toolstack.domain.model import attaching
from xlpy.toolstack.domain.record import DomainRecord, VnvdimmRecord, load, save
from xlpy.toolstack.domain.savefile import pieces, well_formed
from xlpy.toolstack.domain.saving import KEPT_PARTS
from xlpy.toolstack.domain.stored_config import reload
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.hypervisor.board import BoardDevice
    from xlpy.toolstack.backing.resolve import Resolved
    from xlpy.toolstack.config.domain_config import DomainConfig, VnvdimmEntry
    from xlpy.toolstack.domain.build_info import MemoryLayout
    from xlpy.toolstack.domain.lifecycle import Lifecycle
    from xlpy.toolstack.domain.savefile import Saved

    Labels = tuple[str, int, dict[str, str]]  # file, size and pages of a label area


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

    def _board(self, domid: int, board: list[BoardDevice], layout: MemoryLayout) -> None:
        """The board is among the parts."""

    def _attach(
        self, config: DomainConfig, domid: int, backings: list[tuple[VnvdimmEntry, Resolved]]
    ) -> list[VnvdimmRecord]:
        del config
        if not backings:
            return []
        devices = [self.backings.pin(domid, entry, resolved) for entry, resolved in backings]
        model = attaching(self.xen, self.xenstore, self.store, domid)
        places = [(slot, Gpa(gpa), serial) for slot, gpa, serial in self.saved.header["devices"]]
        persistence, slots = self.xen.hw.spec.persistence, self.saved.header["slots"]
        placed = model.attach(devices, persistence=persistence, slots=slots, places=places)
        pairs = zip(backings, placed, strict=True)
        return [self.backings.record(entry, resolved, device) for (entry, resolved), device in pairs]

    def _start(self, config: DomainConfig, domid: int) -> None:
        """The guest's RAM, with whatever was in it: tables that the device model has just written included."""
        del config
        domain = self.xen.domain(domid)
        for gpa, data in pieces(self.saved):
            first, last = gpa >> PAGE_SHIFT, (gpa + len(data) - 1 >> PAGE_SHIFT) + 1
            if sum(piece.size for piece in domain.p2m.ram.clip(first, last)) != last - first:
                raise ValueError(gpa)  # a forged file shall not reach persistent memory or registers
            domain.memory.write(Gpa(gpa), data)


def restore(
    life: Lifecycle,
    saved: Saved,
    paused: bool = False,
    *,
    check_content: bool = True,
    rebase: dict[str, str] | None = None,
    elsewhere: bool = False,
    config: DomainConfig | None = None,
) -> int:
    """Bring a saved domain back.

    Args:
        life: the toolstack.
        saved: from ``savefile.read``.
        paused: leave it paused.
        check_content: refuse when its persistent memory is not what its guest left; its size must be the same anyway.
        rebase: other paths for its vNVDIMMs, by those that they had. They may lie elsewhere on the media.
        elsewhere: it comes to another host, where everything lies elsewhere.
        config: in place of the one that was saved; it has as many vNVDIMMs.

    Returns:
        its domid.

    Raises:
        Conflict: its name or UUID is taken, or a backing has changed since. Constraint: the CPU lacks what the guest
            has. UsageError: ``rebase`` names a path that it does not have. XlpyError: as ``create``.
    """
    with well_formed(saved.path), ExitStack() as undo:
        config, labels = _prepared(life, saved, check_content, rebase or {}, elsewhere, config)
        for path, size, pages in labels:
            undo.callback(_remove, path)
            folder(life.labels)
            contents.write_labels(path, size, pages)
        domid = _build(life, saved, config)
        undo.pop_all()
    if not paused:
        life.xen.hypercalls(0).domctl_unpausedomain(domid)
    return domid


def rehearse(
    life: Lifecycle,
    saved: Saved,
    *,
    check_content: bool = True,
    rebase: dict[str, str] | None = None,
    config: DomainConfig | None = None,
) -> None:
    """For a dry run: everything that ``restore`` would find wrong; raises as that."""
    with well_formed(saved.path):
        _prepared(life, saved, check_content, rebase or {}, False, config)
        for _ in pieces(saved):
            pass


def _prepared(
    life: Lifecycle,
    saved: Saved,
    check_content: bool,
    rebase: dict[str, str],
    elsewhere: bool,
    config: DomainConfig | None,
) -> tuple[DomainConfig, list[Labels]]:
    """The configuration with which it comes back, and the label areas that are to be made before."""
    _require_cpu(life, saved)
    config = _configured(life, saved, rebase, config)
    life.check(config)
    if not saved.header["contents"]:
        return config, []
    return config, _checked_contents(life, saved, config, check_content, elsewhere, frozenset(rebase))


def _require_cpu(life: Lifecycle, saved: Saved) -> None:
    missing = sorted(set(saved.header["features"]) - set(life.xen.hw.spec.cpu.features))
    if missing:
        raise Constraint(
            f"{saved.path}: the domain was started on a CPU with {', '.join(missing)}, this one has none of that",
            hint="cpuid = in its configuration hides features",
        )


def _record(saved: Saved) -> DomainRecord:
    fields = dict(saved.header["record"])
    fields["vnvdimms"] = [VnvdimmRecord(*device) for device in fields["vnvdimms"]]
    return DomainRecord(**fields)


def _configured(life: Lifecycle, saved: Saved, rebase: dict[str, str], config: DomainConfig | None) -> DomainConfig:
    """The configuration with which it comes back."""
    record = _record(saved)
    paths = [one.path for one in record.vnvdimms]
    for old in rebase:
        if old not in paths:
            raise UsageError(
                f"--rebase: the saved domain has no vNVDIMM {old}", hint=f"it has: {', '.join(paths) or 'none'}"
            )
    if config is None:
        devices = [one._replace(path=rebase.get(one.path, one.path)) for one in record.vnvdimms]
        return reload(record._replace(update=None, vnvdimms=devices), life.xen)
    if len(config.vnvdimms) != len(paths):
        raise Conflict(
            f"{config.source} has {len(config.vnvdimms)} vNVDIMMs, the saved domain {len(paths)}",
            hint="leave the vnvdimm entry as it was; only its paths may change",
        )
    return config


def _checked_contents(
    life: Lifecycle,
    saved: Saved,
    config: DomainConfig,
    check_content: bool,
    elsewhere: bool,
    rebased: frozenset[str],
) -> list[Labels]:
    """Refuse a domain whose persistent memory is not what its guest left: it would work on with what it remembers.

    Returns:
        label areas that follow their content to another file which has none.
    """
    backings = Backings(life.xen, life.dom0, life.labels)
    changed: list[str] = []
    to_make: list[Labels] = []
    found = backings.resolve(config.name, config.vnvdimms)
    for (entry, resolved), fields in zip(found, saved.header["contents"], strict=True):
        then = contents.from_json(fields)
        label = f"{life.labels}/{backings.label_name(entry, resolved)}" if entry.label_size else ""
        moved = elsewhere or then.path in rebased or entry.file != then.path
        if check_content:
            spans = [[span.start, span.size] for span in resolved.spans]
            now = contents.look(life.xen.hw, entry.file, spans, label)
            if moved and label and then.labels and not now.labels:
                to_make.append((label, entry.label_size, then.labels))
                now = now._replace(labels=then.labels)
            changed += [f"{entry.file}: {line}" for line in contents.differences(then, now, moved)]
        elif resolved.size != then.size:
            changed.append(f"{entry.file}: {resolved.size} bytes now, {then.size} then: its guest knows no other size")
    if changed:
        raise Conflict(
            f"persistent memory of {config.name} is not as it was when the domain was saved",
            code="XLPY-PMEM-CHANGED",
            details=changed,
            hint="put it back, or: restore --rebase OLD=NEW takes another path, --any-pmem what is there",
        )
    return to_make


def _remove(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)  # noqa: PTH108


def _build(life: Lifecycle, saved: Saved, config: DomainConfig) -> int:
    record = _record(saved)
    builder = Restorer(life.xen, life.dom0, life.xenstore, life.store, life.labels, lambda _text: None)
    builder.saved = saved
    domid = builder.create(config, paused=True)
    made = load(life.store, domid)
    save(life.store, made._replace(update=record.update, monitored=record.monitored, sizes=record.sizes))
    return domid


def copy_pmem(source: Lifecycle, domid: int, target: Lifecycle) -> None:
    """Copy the content of a domain's vNVDIMMs to the backings of the same names on another host.

    Labels that are there go: they belong to what was overwritten, and ``restore`` writes those of the domain.

    Raises:
        Conflict: a backing is in use there. Constraint: it has another size. XlpyError: it cannot be resolved there.
    """
    from xlpy.addr import Spa
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
            _remove(f"{target.labels}/{theirs.label_name(entry, resolved)}")


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
