"""``xlpy create`` and ``destroy``."""

from __future__ import annotations

from xlpy.addr import format_size
from xlpy.cli.declare import argument, command, leave, option
from xlpy.cli.judging import Judge, judge_options
from xlpy.cli.options import dry_run_option, json_option
from xlpy.cli.show import binary, err
from xlpy.errors import Exit, UsageError, XlpyError
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from xlpy.cli.env import Env
    from xlpy.host import Host
    from xlpy.toolstack.config.domain_config import DomainConfig


@command("""
xlpy create -n configs/quickstart.cfg
xlpy create configs/quickstart.cfg
xlpy create configs/device.cfg 'name="second"' memory=1024
""")
@argument("words", nargs=-1, metavar="CONFIG [KEY=VALUE]...", shell_complete="configurations")
@option("-f", "--defconfig", "config", metavar="FILE", help="Configuration file.")
@option("-p", "--paused", is_flag=True, help="Leave the domain paused.")
@option("-q", "--quiet", is_flag=True, help='Do not print "Parsing config from FILE".')
@option("-d", "--debug-config", is_flag=True, help="Print the parsed configuration on stderr as well.")
@option("-e", "no_monitor", is_flag=True, help="Do nothing when the domain shuts down: no on_* actions.")
@option("-c", "with_console", is_flag=True, help="Print the domain's console afterwards, as xlpy console does.")
@option("-F", "foreground", is_flag=True, help="Accepted as in xl: what follows a shutdown needs no daemon here.")
@option("-V", "--vncviewer", "viewer", is_flag=True, help="Accepted as in xl: there is no screen to view.")
@option("-A", "--vncviewer-autopass", "autopass", is_flag=True, help="Accepted as in xl: there is no screen to view.")
@option(
    "-i",
    "--ignore-global-affinity-masks",
    "ignore_masks",
    is_flag=True,
    help="Accepted as in xl: there is no xl.conf with masks.",
)
@option("--xl-strict", is_flag=True, help="Read exactly as xl does, quirks included.")
@option("--explain", is_flag=True, help="Show for each key what was read and which default is in force.")
@judge_options
@dry_run_option
@json_option
def create(
    env: Env,
    words: tuple[str, ...],
    config: str | None,
    paused: bool,
    quiet: bool,
    debug_config: bool,
    no_monitor: bool,
    with_console: bool,
    foreground: bool,
    viewer: bool,
    autopass: bool,
    ignore_masks: bool,
    xl_strict: bool,
    explain: bool,
    host_cpus: int | None,
    host_nodes: int | None,
    xen: str | None,
    as_json: bool,
) -> None:
    """Create a domain from a configuration file.

    KEY=VALUE words are added to the end of the configuration, as xl does. With -n the configuration is printed as JSON
    in libxl's shape (with --json, under "config"), its backings are checked on an existing host, and nothing is
    changed.
    """
    from xlpy.toolstack.config.domain_config import load_config

    del ignore_masks
    source, extra = choose_config(words, config, "create")
    if not (quiet or env.quiet):
        err(f"Parsing config from {source}")
    judge = Judge(env, host_cpus, host_nodes, xen)
    try:
        loaded = load_config(read_config(source), source, extra, xl_strict, judge.facts, judge.xen)
    finally:
        judge.tell()
    for warning in loaded.warnings:
        env.note(*warning.lines())
    if any(device.label_file for device in loaded.vnvdimms):
        env.note("note: label_file is for a real Xen (xlpy export); this host keeps the labels itself")
    if explain:
        _explain(env, loaded, as_json)
        return
    if env.dry_run:
        _dry_run(env, loaded, xl_strict, as_json)
        return
    if debug_config:
        import json

        err(*json.dumps(loaded.to_json(), indent=4).split("\n"))
    host = env.host
    domid = host.create(loaded, paused=paused, step=env.step, monitored=not no_monitor)
    if viewer or autopass:
        env.note("note: -V and -A have no effect: the device model has no screen")
    if foreground:
        env.note("note: -F has no effect: the command in which the domain shuts down does what follows")
    if with_console and not as_json:
        from xlpy.cli.console import show

        show(env, domid)
    _report_created(env, host, domid, loaded, as_json=as_json, quiet=quiet or env.quiet)


def _report_created(env: Env, host: Host, domid: int, loaded: DomainConfig, *, as_json: bool, quiet: bool) -> None:
    """What was made, and what a Linux guest cannot use of it."""
    if loaded.vnvdimms:
        from xlpy.toolstack.domain.record import load

        warn_of_sizes(env, ((one.path, one.size, one.label_size) for one in load(host.store, domid).vnvdimms))
    if not as_json and quiet:
        return
    from xlpy.views.listing import summary

    made = summary(host, domid)
    if as_json:
        from xlpy.cli.render import json_document

        json_document("xlpy.create/1", **made.to_json())
    else:
        env.note(f"{made.name}: domain {domid}, {made.memory_mb} MiB, {loaded.vcpus} vCPUs")
        for device in made.vnvdimms:
            env.note(f"  {device.path}: {format_size(device.size)} of persistent memory at {device.gpa:#x}")


def warn_of_sizes(env: Env, found: Iterable[tuple[str, int, int]]) -> None:
    """Warn of vNVDIMMs that a Linux guest cannot use in full: path, size, and size of the label area of each."""
    from xlpy.toolstack.backing.usable import odd

    for path, size, labels in found:
        told = odd(size, bool(labels))
        if told:
            env.note(f"warning: {path}: {told[0]}", f"  hint: {told[1]}")


def choose_config(words: Sequence[str], config: str | None, command: str) -> tuple[str, list[str]]:
    """The configuration file and the ``KEY=VALUE`` words, as xl tells them apart.

    The first word is the file unless it has an equals sign. UsageError: no file, or two.
    """
    first, rest = (words[0], words[1:]) if words and "=" not in words[0] else (None, words)
    if config and first:
        raise UsageError(
            f"{command} takes one configuration file, found {config!r} and {first!r}", hint=f"xlpy {command} --help"
        )
    chosen = config or first
    for word in rest:
        if "=" not in word:
            if chosen is not None:
                raise UsageError(
                    f"{command} takes one configuration file, found {chosen!r} and {word!r}",
                    hint=f"xlpy {command} --help",
                )
            chosen = word
    if chosen is None:
        raise UsageError(
            "Config file not specified", hint=f"xlpy {command} CONFIG, or /dev/null when all is on the command line"
        )
    return chosen, [word for word in rest if "=" in word]


def read_config(source: str) -> bytes:
    """The text of a configuration file. Errors as ``read_file``; /dev/null is an empty one, for xl too."""
    from xlpy import limits
    from xlpy.inputs import read_file

    return b"" if source == "/dev/null" else read_file(source, limits.CONFIG, f"Failed to read config file: {source}")


def _dry_run(env: Env, loaded: DomainConfig, strict: bool, as_json: bool) -> None:
    from xlpy.toolstack.config.libxl_json import dumps

    if not strict:  # xl only reads the file
        host = env.existing_host
        if host is not None:
            host.check(loaded)
            if loaded.vnvdimms:
                from xlpy.toolstack.backing.usable import sizes

                warn_of_sizes(env, sizes(host.dom0, loaded.vnvdimms))
        elif loaded.vnvdimms:
            env.note("note: there is no host yet, so the vnvdimm backings were not checked")
    if as_json:
        from xlpy.cli.render import json_document

        json_document("xlpy.create-plan/1", xen=loaded.xen, config=loaded.to_json())
        return
    binary().write(dumps(loaded.to_json()) + b"\n")  # bytes above 127 as they are in the file


def _explain(env: Env, loaded: DomainConfig, as_json: bool) -> None:
    from xlpy.toolstack.config.explain import explain as rows_of

    rows = rows_of(loaded)
    if as_json:
        from xlpy.cli.render import json_items

        json_items("xlpy.create-explain/1", [row._asdict() for row in rows])
    else:
        cells = [(r.key, r.value if r.value is not None else "-", r.default, r.origin, r.note or "-") for r in rows]
        from xlpy.cli.render import table

        table(env, ("KEY", "READ", "DEFAULT", "FROM", "NOTE"), cells)


@command("""
xlpy destroy quickstart
""")
@argument("domains", nargs=-1, required=True, metavar="DOMAIN...", shell_complete="domains")
@option("-f", "--force", is_flag=True, help="Also domain 0, as in xl (refused here all the same).")
@dry_run_option
@json_option
def destroy(env: Env, domains: tuple[str, ...], force: bool, as_json: bool) -> None:
    """End a domain at once; its persistent memory keeps its content."""
    del force
    done, failed = [], []
    for domain in domains:
        try:
            done.append({"domain": domain, "domid": env.host.destroy(domain, dry_run=env.dry_run)})
        except XlpyError as error:
            if len(domains) == 1:
                raise
            failed.append((domain, error))
            err(f"error: {error}")
    if as_json:
        errors = [{"domain": name, "code": error.code, "message": str(error)} for name, error in failed]
        from xlpy.cli.render import json_document

        json_document("xlpy.destroy/1", items=done, failed=errors, dry_run=env.dry_run)
    if failed:
        leave(Exit.PARTIAL if done else failed[0][1].exit)
