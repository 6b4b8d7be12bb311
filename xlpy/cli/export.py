"""``xlpy export``: a configuration of the design as files for the stock xl, and checking and releasing them."""

from __future__ import annotations

from xlpy.addr import format_size
from xlpy.cli.declare import argument, command, leave, option
from xlpy.cli.domain import read_config
from xlpy.cli.options import dry_run_option, json_option
from xlpy.cli.render import json_document, json_items
from xlpy.cli.show import err, out
from xlpy.cli.types import Choice, FilePath
from xlpy.errors import Exit
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from xlpy.cli.env import Env
    from xlpy.toolstack.export.check import ManifestFinding
    from xlpy.toolstack.export.exporter import PreparedExport
    from xlpy.toolstack.export.machine import ExportMachine
    from xlpy.toolstack.export.manifest import Manifest

NOTES = (
    "the guest reaches it uncached (Xen maps iomem so): what it writes is on the DIMM at once, and it is slow",
    "no save, migration or snapshot of the domain, and nothing in Dom0 may touch the file until it has ended",
)

dom0_option = option(
    "--dom0",
    "kernel",
    type=Choice(["linux", "emulated"]),
    help="Whose persistent memory: this machine's (the default where it has NVDIMMs), or the emulated host's.",
)


@command("""
xlpy export -n configs/device.cfg -o exported
xlpy export configs/device.cfg -o exported --dom0 emulated 'memory=2048'
""")
@argument("config", metavar="CONFIG", shell_complete="configurations")
@argument("settings", nargs=-1, metavar="[KEY=VALUE]...")
@option(
    "-o",
    "--output",
    "folder",
    type=FilePath(out="folder"),
    metavar="DIR",
    required=True,
    help="Where the files go; made when it is missing.",
)
@dom0_option
@option("--xen", type=Choice(["4.17", "4.20"]), help="For which Xen; the default is the one that runs, else 4.17.")
@dry_run_option
@json_option
def export(
    env: Env,
    config: str,
    settings: tuple[str, ...],
    folder: Path,
    kernel: str | None,
    xen: str | None,
    as_json: bool,
) -> None:
    """Make files with which the stock xl of an unmodified Xen starts a domain with vNVDIMMs.

    Writes NAME.cfg (all of the original but vnvdimm, with iomem and acpi_firmware in its place), NAME.acpi (NFIT and
    SSDT) and NAME.json (what was exported). The files behind the vNVDIMMs are pinned until `xlpy export release`; run
    `xlpy export check` before every start. See docs/real-xen.md.
    """
    from xlpy.errors import UsageError
    from xlpy.toolstack.config.domain_config import ANY_MACHINE, load_config
    from xlpy.toolstack.export.exporter import Exporter

    wrong = next((word for word in settings if "=" not in word), None)
    if wrong is not None:
        raise UsageError(f"export takes one configuration file, found {config!r} and {wrong!r}")
    loaded = load_config(read_config(config), config, settings, host=ANY_MACHINE)
    for warning in loaded.warnings:
        env.note("\n".join(warning.lines()))
    machine = machine_of(env, kernel)
    exporter = Exporter(machine, env.step)
    prepared = exporter.prepare(loaded, str(folder), xen or _version(env, machine))
    manifest = prepared.manifest if env.dry_run else exporter.export(prepared)
    if as_json:
        fields = manifest.to_json()
        del fields["schema"]
        json_document(
            "xlpy.export/1", **fields, iomem=prepared.entries, shadow_memory=prepared.shadow, dry_run=env.dry_run
        )
        return
    _tell(env, manifest, prepared)


def machine_of(env: Env, kernel: str | None) -> ExportMachine:
    """The machine whose memory is meant. NotFound: Linux is asked for, and has no NVDIMM."""
    from xlpy.errors import NotFound
    from xlpy.toolstack.export.machine import has_nvdimms

    has_bus = has_nvdimms()
    if kernel == "linux" and not has_bus:
        raise NotFound(
            "this machine has no NVDIMM: there is nothing in /sys/bus/nd/devices",
            code="XLPY-EXPORT-NO-NVDIMM",
            hint="modprobe nfit; or try it on the emulated host: --dom0 emulated",
        )
    if kernel == "linux" or (kernel is None and has_bus):
        from xlpy.toolstack.export.linux import LinuxMachine

        return LinuxMachine()
    from xlpy.toolstack.export.emulated import EmulatedMachine

    host = env.host
    return EmulatedMachine(host, f"{host.root}/labels")


def _version(env: Env, machine: ExportMachine) -> str:
    """The version of Xen that is exported for."""
    from xlpy.toolstack.export.exporter import VERSIONS

    runs = machine.xen()
    if runs in VERSIONS:
        return runs
    if machine.kind == "linux":
        what = f"Xen {runs} runs here, which was not tried" if runs else "no Xen runs here"
        env.note(f"note: {what}; the files are for Xen {VERSIONS[0]}")
    return VERSIONS[0]


def _tell(env: Env, manifest: Manifest, prepared: PreparedExport) -> None:
    verb = "would be " if env.dry_run else ""
    for name in (manifest.config, manifest.firmware, manifest.path):
        out(name)
    env.note(f"{manifest.name}: {verb}exported for Xen {manifest.xen}, {prepared.entries} iomem entries")
    for device in manifest.devices:
        for area, what in zip(device.areas, ("persistent memory", "labels"), strict=False):
            env.note(f"  {area.path}: {format_size(area.size)} of {what} at {area.gpa:#x}")
            if area.pinned == "no":
                env.warn(f"{area.path}: its file system has no immutable flag: nothing keeps its blocks in place")
    for text in (*prepared.notes, *NOTES):
        env.note(f"note: {text}")
    if not env.dry_run:
        from shlex import quote

        made, config = quote(manifest.path), quote(manifest.config)
        env.note(f"start: xlpy export check {made} && xl create {config}")
        env.note(f"release: xlpy export release {made}")


@command("""
xlpy export configs/device.cfg -o exported
xlpy export check exported/device.json
xlpy export check
""")
@argument("records", nargs=-1, metavar="[NAME.json]...", shell_complete="configurations")
@dom0_option
@json_option
def check(env: Env, records: tuple[str, ...], kernel: str | None, as_json: bool) -> None:
    """Check exports: are files, host memory and pins as they were? Syncs the files, changes nothing.

    Without a name, every export of the machine. The status is 0 when the domain may be started, 10 when not.
    """
    from xlpy.toolstack.export.check import examine, read

    items: list[dict[str, Any]] = []
    for machine, name in _named(env, kernel, records) if records else _all(env, kernel):
        manifest = read(machine, name)
        findings = list(examine(machine, manifest))
        items.append({"path": manifest.path, "name": manifest.name, "valid": not findings, "findings": _rows(findings)})
        if as_json:
            continue
        for one in findings:
            err(f"error: {one.path}: {one.message}", f"  hint: {one.hint}")
        out(f"{manifest.path}: {'ok' if not findings else 'do not start it'}")
    if not items:
        env.note("nothing is exported from this machine")
    if as_json:
        json_items("xlpy.export-check/1", items)
    if not all(item["valid"] for item in items):
        leave(Exit.FINDINGS)


def _named(env: Env, kernel: str | None, records: Iterable[str]) -> Iterator[tuple[ExportMachine, str]]:
    """Each record with the machine that it is of: it says so itself."""
    from xlpy.toolstack.export.check import origin

    for name in records:
        yield machine_of(env, kernel or origin(name)), name


def _all(env: Env, kernel: str | None) -> Iterator[tuple[ExportMachine, str]]:
    """Every export of this machine, and of the emulated host where there is one."""
    for machine in machines(env, kernel):
        yield from ((machine, path) for path in sorted(machine.register.keys()))


def machines(env: Env, kernel: str | None = None) -> list[ExportMachine]:
    """This machine, and the emulated host where there is one; or the one that ``--dom0`` names."""
    from xlpy.host import Host
    from xlpy.toolstack.export import linux

    found: list[ExportMachine] = [] if kernel == "emulated" else [linux.LinuxMachine()]
    if kernel == "emulated" or (kernel is None and Host.exists(env.root)):
        found.append(machine_of(env, "emulated"))
    return found


def _rows(findings: list[ManifestFinding]) -> list[dict[str, str]]:
    return [one._asdict() for one in findings]


@command("""
xlpy export configs/device.cfg -o exported
xlpy export release exported/device.json
""")
@argument("records", nargs=-1, required=True, metavar="NAME.json...", shell_complete="configurations")
@dom0_option
@dry_run_option
@json_option
def release(env: Env, records: tuple[str, ...], kernel: str | None, as_json: bool) -> None:
    """Unpin what an export holds, and remove its files: with them the domain would use memory that is not its own.

    Refused while a domain has the memory. The content of the vNVDIMMs and the original configuration stay.
    """
    from xlpy.toolstack.export.check import read
    from xlpy.toolstack.export.check import release as let_go

    done = []
    for machine, name in _named(env, kernel, records):
        manifest = read(machine, name)
        kept = let_go(machine, manifest, dry_run=env.dry_run)
        done.append({"path": manifest.path, "name": manifest.name, "kept": kept})
        env.note(f"{manifest.name}: {'would be ' if env.dry_run else ''}released")
        for one in kept:
            env.note(f"note: {one} was edited after the export, so it is kept under this name")
    if as_json:
        json_document("xlpy.export-release/1", items=done, dry_run=env.dry_run)
