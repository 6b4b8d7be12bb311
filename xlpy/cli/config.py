"""``xlpy config``: domain configurations, without a host."""

from __future__ import annotations

from xlpy.cli.declare import argument, command, leave, option
from xlpy.cli.judging import Judge, judge_options
from xlpy.cli.options import json_option
from xlpy.cli.render import json_items
from xlpy.cli.show import err, out
from xlpy.errors import Exit
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from xlpy.cli.env import Env
    from xlpy.toolstack.config.domain_config import DomainConfig
    from xlpy.toolstack.config.lint import Also
    from xlpy.toolstack.config.xlcfg import Problem
    from xlpy.toolstack.export.machine import ExportMachine


def _machines(env: Env) -> list[ExportMachine]:
    """Whose persistent memory is known; a host whose state cannot be used is none, for files alone are checked."""
    from xlpy.cli.export import machines
    from xlpy.errors import XlpyError

    try:
        return machines(env)
    except XlpyError as error:
        env.note(f"note: the emulated host was not asked: {error}")
        return machines(env, "linux")


def _on_this_host(env: Env) -> Also:
    """What to say of a configuration with regard to the machine."""
    iomem = _iomem(env)

    def look(config: DomainConfig) -> Iterator[Problem]:
        yield from iomem(config)
        yield from _sizes(env, config)

    return look


def _sizes(env: Env, config: DomainConfig) -> Iterator[Problem]:
    """vNVDIMMs whose size a Linux guest cannot use again, where there is an emulated host that has them."""
    from xlpy.errors import XlpyError
    from xlpy.toolstack.backing.usable import odd, sizes
    from xlpy.toolstack.config.xlcfg import Problem

    if not config.vnvdimms:
        return
    try:
        host = env.existing_host
        found = list(sizes(host.dom0, config.vnvdimms)) if host else []
    except XlpyError:  # reported where the value is used
        return
    for path, size, labels in found:
        told = odd(size, bool(labels))
        if told:
            yield Problem(config.settings.where("vnvdimm"), f"vnvdimm: {path}: {told[0]}", "warning", told[1])


def _iomem(env: Env) -> Also:
    """What to say of iomem entries and of tables passed; costs nothing until a configuration has one."""
    watch: Also | None = None

    def look(config: DomainConfig) -> Iterable[Problem]:
        nonlocal watch
        if not (config.tree["b_info"].get("iomem") or config.acpi_firmware):
            return ()
        if watch is None:
            from xlpy.toolstack.export.watch import ExportWatch

            watch = ExportWatch(lambda: _machines(env))
        return watch(config)

    return look


@command("""
xlpy config check configs/*.cfg
xlpy config check --xl-strict --json configs/quickstart.cfg
""")
@argument("files", nargs=-1, required=True, metavar="FILE...", shell_complete="configurations")
@option("--xl-strict", is_flag=True, help="Judge exactly as xl does, quirks included.")
@judge_options
@json_option
def check(
    env: Env,
    files: tuple[str, ...],
    xl_strict: bool,
    host_cpus: int | None,
    host_nodes: int | None,
    xen: str | None,
    as_json: bool,
) -> None:
    """Check domain configurations: what is wrong with each, and what it may not mean.

    Unknown keys, ignored values and traps are warnings; the status is 0 when every file can be used, 3 when one
    cannot, 6 when one cannot be read, 4 when one is not there.

    On a host, vNVDIMMs of a size that a Linux guest cannot use again are warned of. Of iomem entries it tells which lie
    on persistent memory of this machine (or of the emulated host) that no export holds, and which two files share.
    """
    from xlpy.toolstack.config.lint import check_files

    judge = Judge(env, host_cpus, host_nodes, xen)
    good, unread = True, set()
    items = []
    for result in check_files(files, strict=xl_strict, host=judge.facts, also=_on_this_host(env), xen=judge.xen):
        good &= result.valid
        unread.add(result.status)
        if as_json:
            items.append(result.to_json())
            continue
        for problem in result.errors if env.quiet else (*result.errors, *result.warnings):
            err(*problem.lines())
        out(f"{result.file}: {'ok' if result.valid else 'cannot be used'}")
    judge.tell()
    if as_json:
        json_items("xlpy.config-check/1", items)
    if not good:
        leave(next((one for one in (Exit.NOT_FOUND, Exit.CONSTRAINT) if one in unread), Exit.CONFIG))
