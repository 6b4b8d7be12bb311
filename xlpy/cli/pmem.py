"""``xlpy pmem``: what the host's Dom0 knows of persistent memory."""

from __future__ import annotations

from xlpy.addr import PAGE, format_size
from xlpy.cli.declare import argument, command, leave, option
from xlpy.cli.options import SIZE, dry_run_option, json_option
from xlpy.cli.render import NumberRows, json_document, json_items, table
from xlpy.cli.show import out
from xlpy.cli.types import Choice
from xlpy.errors import Exit, NotFound
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.cli.env import Env
    from xlpy.dom0.kernel import Dom0
    from xlpy.toolstack.export.lint import BackingReport


@command("""
xlpy pmem list
xlpy pmem list --json
""")
@json_option
def list_pmem(env: Env, as_json: bool) -> None:
    """List persistent memory devices, in ndctl's words.

    Beside ndctl's keys, those of bad blocks in sectors of 512 bytes included: where the data lies in host physical
    memory (resource), what is set aside for Xen's frame table (reserved), whether Xen knows the device (registered),
    which domains use it (users), and which partitions and files have bad blocks (bad_partitions, bad_files).
    """
    from xlpy.addr import SECTOR
    from xlpy.views.pmem import pmem

    items = pmem(env.host)
    if as_json:
        json_items("xlpy.pmem-list/1", [one.words for one in items])
        return
    if not items:
        env.note("the host has no persistent memory")
        return
    rows = [
        (
            one.device or one.dev,
            one.dev,
            one.mode,
            f"{one.resource:#x}" if one.resource is not None else "-",
            format_size(one.size),
            format_size(one.reserved),
            "yes" if one.registered else "no",
            ",".join([*one.users, *one.uses]) or one.words.get("state", "-"),
        )
        for one in items
    ]
    table(env, ("BLOCKDEV", "NAMESPACE", "MODE", "RESOURCE", "SIZE", "RESERVED", "XEN", "USED BY"), rows)
    for one in items:
        if one.words.get("badblock_count"):
            first = one.words["badblocks"][0]["offset"] * SECTOR
            env.warn(
                f"{one.device} has {one.words['badblock_count']} bad blocks of {SECTOR} bytes, from {first:#x} on: "
                "create refuses what lies on them"
            )
            for part in (*one.words.get("bad_partitions", ()), *one.words.get("bad_files", ())):
                first = part["badblocks"][0]["offset"] * SECTOR
                env.warn(f"{part['path']} has {part['badblock_count']} of them, from {first:#x} on")
        if not one.registered and one.reason:
            env.note(f"note: Xen does not know {one.device or one.dev}: {one.reason}")


@command("""
xlpy pmem resolve /dev/pmem1
xlpy pmem resolve /mnt/pmem0/vm1.img --json
xlpy pmem resolve /dev/dax0.0 --dom0 linux
""")
@argument("path")
@option(
    "--dom0",
    "kernel",
    type=Choice(["emulated", "linux"]),
    default="emulated",
    help="Which kernel to ask: the emulated host's, or the one of this machine.",
)
@option(
    "--mode",
    type=Choice(["rw", "ro"]),
    default="rw",
    help="As in a vnvdimm entry: with ro, what is read-only is accepted.",
)
@json_option
def resolve_path(env: Env, path: str, kernel: str, mode: str, as_json: bool) -> None:
    """Show the host physical extents behind a device or file.

    What could not be given to a domain is refused with the reason, as `create` would; only whether a domain has it now
    does not matter.
    """
    from xlpy.dom0.extents import flag_names
    from xlpy.toolstack.backing import devdax, poison
    from xlpy.toolstack.backing.resolve import resolve

    dom0: Dom0
    if kernel == "linux":
        from pathlib import Path

        from xlpy.dom0.linux import LinuxDom0

        dom0, path = LinuxDom0(), str(Path(path).absolute())
    else:
        dom0 = env.host.dom0
    found = resolve(dom0, path, read_only=mode == "ro")
    if kernel == "linux":
        poison.refuse(found, poison.poisoned(dom0, found))
    else:
        poison.refuse_unmappable(env.host.xen, env.host.dom0, path, found)
    provider = devdax.provider(dom0, found.kind, found.device)
    if provider in devdax.NOTES:
        env.note(f"note: {found.device} is {devdax.NOTES[provider]}")
    if as_json:
        pieces = NumberRows(("logical", "spa", "length", "flags"), found.parts)
        json_document(
            "xlpy.pmem-resolve/1",
            path=path,
            kind=found.kind,
            device=found.device,
            provider=provider,
            size=found.size,
            extents=pieces,
        )
        return
    count = len(found.extents)
    env.note(f"{path}: {format_size(found.size)} on {found.device}, {count} extent{'s' * (count != 1)}")
    rows = [
        (f"{p.logical:#x}", f"{p.spa:#x}", format_size(p.length), ",".join(flag_names(p.flags)) or "-")
        for p in found.extents
    ]
    table(env, ("LOGICAL", "SPA", "LENGTH", "FLAGS"), rows)


@command("""
xlpy pmem prepare /mnt/pmem0/vm1.img
""")
@argument("path")
@dry_run_option
@json_option
def prepare(env: Env, path: str, as_json: bool) -> None:
    """Make a file mappable: allocate every block and write zeros where nothing is.

    Existing data is kept. A file made by fallocate or truncate needs this before a domain can have it.
    """
    found = env.host.prepare(path, dry_run=env.dry_run)
    if as_json:
        json_document("xlpy.pmem-prepare/1", path=path, **found._asdict(), dry_run=env.dry_run)
    elif not found.zeroed:
        env.note(f"{path}: nothing to do, every block is written")
    else:
        verb = "would be" if env.dry_run else "have been"
        out(f"{path}: {found.zeroed} bytes {verb} allocated and zeroed, {found.size - found.zeroed} kept")


@command("""
xlpy pmem lint --dom0 emulated /mnt/pmem0/vm1.img
xlpy pmem lint /mnt/dax/vm1.img /dev/pmem1
mke2fs -q -t ext4 -b 4096 -E offset=1048576 disk.img 16M && xlpy pmem lint 'disk.img?offset=1048576'
""")
@argument("paths", nargs=-1, required=True, metavar="PATH...")
@option(
    "--dom0",
    "kernel",
    type=Choice(["emulated", "linux"]),
    default="linux",
    help="Which kernel to ask: the one of this machine, or the emulated host's.",
)
@option("--mode", type=Choice(["rw", "ro"]), default="rw", help="With ro, what is read-only is accepted.")
@json_option
def lint(env: Env, paths: tuple[str, ...], kernel: str, mode: str, as_json: bool) -> None:
    """Tell whether devices and files of this machine are fit to be mapped into a guest, and what would make them so.

    Every reason against it is told: no DAX, holes, unwritten or shared extents, alignment, use by device mapper, swap,
    a loop device, a log or realtime device of XFS, a journal, read-only. So are the page sizes that it allows. It needs
    no root; what only root may see is named. IMAGE?offset=N is an ext4 or XFS inside a file: all its files, or the one
    behind :/PATH. Exit status 10 when there are findings, 4 when a path
    does not exist.
    """
    from pathlib import Path

    from xlpy.dom0.linux import LinuxDom0
    from xlpy.toolstack.export.lint import OFFSET
    from xlpy.toolstack.export.lint import lint as examine

    dom0: Dom0 = env.host.dom0 if kernel == "emulated" else LinuxDom0()
    reports = []
    for path in paths:
        where = path if kernel == "emulated" or OFFSET in path else str(Path(path).absolute())
        reports += examine(dom0, where, mode == "ro", kernel == "linux")
    if as_json:
        json_items(
            "xlpy.pmem-lint/1",
            [one._asdict() | {"findings": [found._asdict() for found in one.findings]} for one in reports],
        )
    else:
        for one in reports:
            out(*_report_lines(one))
    codes = {found.code for one in reports for found in one.findings}
    leave(Exit.NOT_FOUND if NotFound.code in codes else Exit.FINDINGS if codes else 0)


def _report_lines(one: BackingReport) -> Iterator[str]:
    facts = [one.kind] if one.kind else []
    facts += [format_size(one.size)] if one.size is not None else []
    facts += [f"{one.extents} extent{'s' * (one.extents != 1)}"] if one.extents is not None else []
    if one.pages:
        facts.append("pages " + ", ".join(f"{count} x {size}" for size, count in one.pages.items() if count))
    verdict = "not fit" if one.findings else "fit, as far as this user can see" if one.unknown else "fit"
    yield f"{one.path}: {verdict}" + (f" ({'; '.join(facts)})" if facts else "")
    for found in one.findings:
        yield f"  {found.code}: {found.message}"
        if found.hint:
            yield f"    to do: {found.hint}"
    yield from (f"  better: {text}" for text in one.advice)
    yield from (f"  not seen: {text}" for text in one.unknown)


@command("""
xlpy pmem mkfile 64M /mnt/pmem0/vm2.img
""")
@argument("size", type=SIZE)
@argument("path")
@dry_run_option
@json_option
def mkfile(env: Env, size: int, path: str, as_json: bool) -> None:
    """Make a new file of SIZE bytes on a DAX file system, every block written with zeros."""
    env.host.mkfile(path, size, dry_run=env.dry_run)
    if as_json:
        json_document("xlpy.pmem-mkfile/1", path=path, size=size, dry_run=env.dry_run)
    else:
        env.note(f"{path}: {format_size(size)}{' would be made' if env.dry_run else ''}")
        if size % PAGE:
            env.note(f"note: a domain cannot be given the file: {size} bytes are not whole pages of {PAGE}")
