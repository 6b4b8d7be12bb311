"""Checking whether an export's files, memory and pins are unchanged, and releasing it."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

from xlpy import limits
from xlpy.addr import Gpa
from xlpy.contexts import suppress
from xlpy.errors import Conflict, NotFound, XlpyError
from xlpy.inputs import read_file
from xlpy.records import NamedTuple
from xlpy.toolstack.config.domain_config import ANY_MACHINE, load_config
from xlpy.toolstack.domain.build_info import memory_layout
from xlpy.toolstack.export.manifest import Manifest, MemoryArea
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.toolstack.export.machine import ExportMachine


class ManifestFinding(NamedTuple):
    """One thing that is not as it must be. code: stable; path: the file it is about; message; hint."""

    code: str
    path: str
    message: str
    hint: str


def read(machine: ExportMachine, path: str) -> Manifest:
    """The record of an export: the register's, or the file's where this machine does not know it.

    Raises:
        FormatError: it is not a record. Others as ``read_file``.
    """
    where = str(Path(path).absolute())
    known = machine.register.get(where)
    if known is not None:
        return Manifest.from_json(known, where)
    try:
        fields = json.loads(read_file(where, limits.RECORD, path, nonempty=True))
    except (ValueError, RecursionError):
        fields = None
    return Manifest.from_json(fields, path)


def origin(path: str) -> str | None:
    """Of which machine a record is, ``linux`` or ``emulated``; None: it does not say."""
    try:
        kind = json.loads(read_file(path, limits.RECORD)).get("dom0")
    except (XlpyError, ValueError, AttributeError, RecursionError):
        return None
    return kind if kind in ("linux", "emulated") else None


def examine(machine: ExportMachine, manifest: Manifest) -> Iterator[ManifestFinding]:
    """Everything that speaks against starting the domain now. Nothing is changed, but the files are synced."""
    if machine.register.get(manifest.path) is None:
        yield ManifestFinding(
            "XLPY-EXPORT-RELEASED",
            manifest.path,
            "it was released, or made on another machine: nothing holds its files in place",
            f"xlpy export {manifest.source} -o {Path(manifest.path).parent}",
        )
    for kind in ("config", "firmware"):
        yield from _changed(kind, getattr(manifest, kind), manifest)
    for area in manifest.areas:
        yield from _moved(machine, manifest, area)
    yield from _used(machine, manifest)
    yield from _in_ram(manifest)


def _changed(kind: str, path: str, manifest: Manifest) -> Iterator[ManifestFinding]:
    try:
        content = read_file(path, limits.FIRMWARE if kind == "firmware" else limits.CONFIG)
    except XlpyError as error:
        reason = error.message.removeprefix(f"{path}: ")
        yield ManifestFinding("XLPY-EXPORT-FILE", path, f"cannot be read: {reason}", "export again")
        return
    if sha256(content).hexdigest() != manifest.hashes[kind]:
        yield ManifestFinding(
            "XLPY-EXPORT-CHANGED",
            path,
            "is not as it was exported",
            f"change {manifest.source} and export again: addresses depend on memory and devices",
        )


def _moved(machine: ExportMachine, manifest: Manifest, area: MemoryArea) -> Iterator[ManifestFinding]:
    try:
        found = machine.resolve([area.path])[0]
    except XlpyError as error:
        yield ManifestFinding(error.code, area.path, str(error), error.hint or "export again")
        return
    same_file = area.kind != "file" or machine.inode(area.path) == area.inode
    if found.spans != area.spans or found.size != area.size or not same_file:
        yield ManifestFinding(
            "XLPY-PMEM-MOVED",
            area.path,
            "is not where it was when it was exported: the guest would write into other files' blocks",
            "do not start the domain; export again",
        )
        return
    if area.pinned == "intended":
        yield ManifestFinding("XLPY-EXPORT-INTERRUPTED", area.path, "its export did not come to an end", "export again")
    elif area.pinned != "no" and not machine.pinned(area.path, area.kind):
        yield ManifestFinding(
            "XLPY-PMEM-UNPINNED", area.path, "is no longer held in place (immutable flag)", "export again"
        )
    for bad in machine.poisoned(found)[:1]:
        yield ManifestFinding(
            "XLPY-PMEM-POISON", area.path, f"host memory at {bad} is poisoned", "restore the file from a copy"
        )
    with suppress(OSError):
        machine.sync(area.path)


def _used(machine: ExportMachine, manifest: Manifest) -> Iterator[ManifestFinding]:
    for running in machine.mapping([span for area in manifest.areas for span in area.spans]):
        yield ManifestFinding(
            "XLPY-PMEM-BUSY", manifest.path, f"{running} has its memory mapped", "end that domain first"
        )
    for path, users in machine.users([area.path for area in manifest.areas]).items():
        for user in users:
            yield ManifestFinding("XLPY-EXPORT-OPEN", path, user, "stop it before the domain starts")


def _in_ram(manifest: Manifest) -> Iterator[ManifestFinding]:
    """A configuration that was edited may have RAM where a vNVDIMM lies."""
    try:
        config = load_config(read_file(manifest.config, limits.CONFIG), manifest.config, host=ANY_MACHINE)
        layout = memory_layout(config)
    except XlpyError:
        return
    top = max(layout.high_end, layout.low_end, Gpa(1 << 32))
    for area in manifest.areas:
        if area.gpa < top:
            yield ManifestFinding(
                "XLPY-EXPORT-RAM",
                manifest.config,
                f"RAM ends at {top:#x}, and {area.path} was placed at {area.gpa:#x}",
                f"lower memory =, or change {manifest.source} and export again",
            )


def release(machine: ExportMachine, manifest: Manifest, dry_run: bool = False) -> list[str]:
    """Unpin every file and remove the files of the export, which would be harmful from now on.

    Returns:
        the files that are kept because they were edited, under their new names.

    Raises:
        NotFound: it is not of this machine. Conflict: a domain runs with it.
    """
    if machine.register.get(manifest.path) is None:
        raise NotFound(
            f"{manifest.path} is no export of this machine, or was released",
            code="XLPY-EXPORT-RELEASED",
            hint="xlpy export check lists the exports of this machine",
        )
    for running in machine.mapping([span for area in manifest.areas for span in area.spans]):
        raise Conflict(
            f"{manifest.name} cannot be released: {running} has its memory mapped",
            code="XLPY-PMEM-BUSY",
            hint=f"xl shutdown {manifest.name}, then try again",
        )
    if dry_run:
        return []
    with machine.change(f"releasing {manifest.name}"):
        for area in manifest.areas:
            machine.unpin(area.path, area.pinned, manifest.path)
            with suppress(OSError, XlpyError):
                machine.sync(area.path)
        machine.register.delete(manifest.path)
    return list(_remove(manifest))


def _remove(manifest: Manifest) -> Iterator[str]:
    kept = None
    for kind, name in (("config", manifest.config), ("firmware", manifest.firmware)):
        path = Path(name)
        try:
            same = sha256(read_file(path, limits.FIRMWARE)).hexdigest() == manifest.hashes[kind]
            if same:
                path.unlink()
            else:
                kept = path.rename(f"{name}.released")
                yield str(kept)
        except (OSError, XlpyError):
            continue
    with suppress(OSError):
        Path(manifest.path).unlink()
