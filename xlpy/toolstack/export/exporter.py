"""Making an export: everything is checked, then files are pinned and written, and a failure rolls everything back."""

from __future__ import annotations

import os
from pathlib import Path

from xlpy.contexts import ExitStack, suppress
from xlpy.errors import Conflict, HostTrouble
from xlpy.records import NamedTuple
from xlpy.toolstack.export.manifest import ExportedNvdimm, Manifest, MemoryArea
from xlpy.toolstack.export.plan import plan
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from xlpy.toolstack.config.domain_config import DomainConfig
    from xlpy.toolstack.export.machine import ExportMachine
    from xlpy.toolstack.export.plan import ExportPlan

VERSIONS = ("4.17", "4.20")
INTENDED = "intended"


class PreparedExport(NamedTuple):
    """An export that nothing speaks against: its record, and the content of the other two files."""

    manifest: Manifest
    config: bytes
    firmware: bytes
    entries: int
    shadow: int | None
    notes: tuple[str, ...]


class Exporter:
    """Exports of one machine.

    Args:
        machine: whose memory it is.
        step: called with each step as it begins.
    """

    def __init__(self, machine: ExportMachine, step: Callable[[str], None]) -> None:
        self.machine = machine
        self.step = step

    def prepare(self, config: DomainConfig, folder: str, xen: str) -> PreparedExport:
        """Check everything and make the content of the files, without changing anything.

        Args:
            config: the configuration of the design.
            folder: where the files go.
            xen: the version of Xen, of ``VERSIONS``.

        Raises:
            XlpyError: why it cannot be exported.
        """
        where = Path(folder).absolute()
        found = plan(config, self.machine)
        from xlpy.toolstack.export import firmware, limits, text  # only for what is not refused

        files = {kind: str(where / f"{config.name}.{kind}") for kind in ("cfg", "acpi", "json")}
        self._refuse_foreign(files)
        self._refuse_exported(found.areas, files["json"])
        self._refuse_used(list(found.areas))
        blob = firmware.build(found, firmware.passed(config))
        shadow = limits.shadow_mib(config, found.areas)
        made = text.stock_config(found, files["acpi"], files["json"], xen, shadow).encode(errors="surrogateescape")
        entries = len(found.iomem) + sum(len(area.spans) for area in found.areas)
        return PreparedExport(self._manifest(found, files, xen, made, blob), made, blob, entries, shadow, found.notes)

    def _manifest(self, found: ExportPlan, files: dict[str, str], xen: str, made: bytes, blob: bytes) -> Manifest:
        from hashlib import sha256

        from xlpy import __version__

        config = found.config
        source = config.text.encode(errors="surrogateescape")
        hashes = {"source": source, "config": made, "firmware": blob}
        return Manifest(
            files["json"],
            config.name,
            self.machine.kind,
            xen,
            __version__,
            str(Path(config.source).absolute()),
            files["cfg"],
            files["acpi"],
            {name: sha256(content).hexdigest() for name, content in hashes.items()},
            (found.ram.low_end, found.ram.high_end),
            found.ram.physical_bits,
            found.devices,
        )

    def export(self, prepared: PreparedExport) -> Manifest:
        """Pin, sync, write; all of it or nothing.

        Returns:
            the record, with how each file is pinned.

        Raises:
            XlpyError: a pin or a file; what was done before is rolled back.
        """
        manifest, what = prepared.manifest, f"exporting {prepared.manifest.name}"
        # what is about to be pinned is known first: the pins of a command that is killed can be taken off again
        with self.machine.change(what):
            self._refuse_exported(manifest.areas, manifest.path)
            before = self.machine.register.get(manifest.path)
            self.machine.register.put(manifest.path, _intended(manifest, before).to_json())
        try:
            with self.machine.change(what), ExitStack() as undo:
                pinned = self._pin(manifest, before, undo)
                self._write(pinned, prepared, undo)
                self.machine.register.put(manifest.path, pinned.to_json())
                undo.pop_all()
                if before is not None:
                    self._let_go_of_the_rest(Manifest.from_json(before, manifest.path), pinned)
        except BaseException:
            with self.machine.change(f"rolling back: {what}"):
                if before is None:
                    self.machine.register.delete(manifest.path)
                else:
                    self.machine.register.put(manifest.path, before)
            raise
        return pinned

    def _pin(self, manifest: Manifest, before: Any, undo: ExitStack) -> Manifest:  # noqa: ANN401 - JSON
        owner = manifest.path
        known = set() if before is None else {area.path for area in Manifest.from_json(before, owner).areas}

        def hold(area: MemoryArea) -> MemoryArea:
            self.step(f"pinning {area.path}")
            how = self.machine.pin(area.path, area.kind, owner, renew=area.path in known)
            if area.path not in known:
                undo.callback(self.machine.unpin, area.path, how, owner)
            self.machine.sync(area.path)
            again = self.machine.resolve([area.path])[0]
            if again.spans != area.spans:
                raise Conflict(f"{area.path} moved on the media while it was exported", hint="run the command again")
            return area._replace(pinned=how)

        devices = []
        for one in manifest.devices:
            labels = None if one.labels is None else hold(one.labels)
            devices.append(ExportedNvdimm(one.slot, one.serial, one.unarmed, hold(one.data), labels))
        return manifest._replace(devices=tuple(devices))

    def _let_go_of_the_rest(self, old: Manifest, new: Manifest) -> None:
        """Backings that a renewed export no longer has."""
        kept = {area.path for area in new.areas}
        for area in old.areas:
            if area.path not in kept:
                self.machine.unpin(area.path, area.pinned, old.path)

    def _write(self, manifest: Manifest, prepared: PreparedExport, undo: ExitStack) -> None:
        import json

        record = json.dumps(manifest.to_json(), indent=1).encode(errors="surrogateescape") + b"\n"
        folder = Path(manifest.path).parent
        try:
            for missing in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
                missing.mkdir()
                undo.callback(_without_error, missing.rmdir)
            for name, content in (
                (manifest.firmware, prepared.firmware),
                (manifest.config, prepared.config),
                (manifest.path, record),
            ):
                self.step(f"writing {name}")
                replace(Path(name), content, undo)
        except OSError as error:
            raise HostTrouble(
                f"{error.filename or folder}: {error.strerror}", hint="free some space, or name another folder with -o"
            ) from error

    # --- who else has the memory -----------------------------------------------------------------------------------

    def _refuse_foreign(self, files: dict[str, str]) -> None:
        """A file of one of the three names stays as it is, unless an export of this machine made it."""
        if self.machine.register.get(files["json"]) is not None:
            return
        for name in files.values():
            if os.path.lexists(name):
                raise Conflict(
                    f"{name} exists, and is not of an export of this machine",
                    code="XLPY-EXPORT-EXISTS",
                    hint="name another folder with -o, or remove it",
                )

    def _refuse_exported(self, areas: Iterable[MemoryArea], own: str) -> None:
        wanted = [(area, span) for area in areas for span in area.spans]
        for path, record in self.machine.register.items():
            if path == own:
                continue
            taken = [span for area in Manifest.from_json(record, path).areas for span in area.spans]
            for area, span in wanted:
                if any(span.overlaps(other) for other in taken):
                    raise Conflict(
                        f"{area.path} is exported already, to {record['name']} ({path})",
                        code="XLPY-EXPORT-TWICE",
                        hint=f"xlpy export release {path}, after that domain has ended",
                    )

    def _refuse_used(self, areas: Sequence[MemoryArea]) -> None:
        running = self.machine.mapping([span for area in areas for span in area.spans])
        if running:
            raise Conflict(
                f"{', '.join(area.path for area in areas)}: in use: {running[0]} has memory of it mapped",
                code="XLPY-PMEM-BUSY",
                hint="end that domain first",
            )
        for path, users in self.machine.users([area.path for area in areas]).items():
            if users:
                raise Conflict(
                    f"{path} is in use: {users[0]}",
                    code="XLPY-EXPORT-OPEN",
                    details=users[1:],
                    hint="stop it: while a guest has the memory, uncached, nothing in Dom0 may touch it through its "
                    "caches",
                )


def _intended(manifest: Manifest, before: Any) -> Manifest:  # noqa: ANN401 - JSON
    """The record of an export that has begun: its files may be pinned already, those of the one it renews still are."""
    devices = []
    for one in manifest.devices:
        labels = one.labels and one.labels._replace(pinned=INTENDED)
        devices.append(one._replace(data=one.data._replace(pinned=INTENDED), labels=labels))
    old = () if before is None else Manifest.from_json(before, manifest.path).devices
    paths = {area.path for area in manifest.areas}
    return manifest._replace(devices=(*devices, *(one for one in old if one.data.path not in paths)))


def replace(path: Path, content: bytes, undo: ExitStack) -> None:
    """Write a file whole or not at all, and durably; the undo brings back what was there."""
    before = path.read_bytes() if path.exists() else None
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)  # left by a killed run, or by another program
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink()
        raise
    if before is None:
        undo.callback(_without_error, path.unlink)
    else:
        undo.callback(_without_error, lambda: path.write_bytes(before))


def _without_error(act: Callable[[], object]) -> None:
    with suppress(OSError):
        act()
