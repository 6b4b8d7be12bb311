"""Names, numbers and settings of domains: ``xlpy rename``, ``domid``, ``domname``, ``config-update``, ``mem-set``,
``mem-max``."""

from __future__ import annotations

from xlpy.cli.changing import changing
from xlpy.cli.declare import argument, command, option
from xlpy.cli.options import domain_argument, dry_run_option, json_option
from xlpy.cli.render import json_document
from xlpy.cli.show import binary, out
from xlpy.errors import NotFound, UsageError, XlpyError
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.cli.env import Env


@command("""
xlpy rename quickstart web1
""")
@domain_argument
@argument("name", metavar="NEW-NAME")
@dry_run_option
@json_option
def rename(env: Env, domain: str, name: str, as_json: bool) -> None:
    """Give a domain another name."""
    with changing(env, f"renaming {domain}") as dry:
        domid = env.host.domid(domain)
        try:
            old = env.host.lifecycle.rename(domid, name, dry)
        except XlpyError as error:
            error.details = (f"Can't rename domain '{domain}'.", *error.details)
            raise
    if name.isdigit():
        env.warn(f"{name!r} is all digits: wherever a domain is named it means a domid, so use domid {domid}")
    if as_json:
        json_document("xlpy.rename/1", domid=domid, old=old, name=name, dry_run=dry)


@command("""
xlpy domid quickstart
""")
@argument("name", shell_complete="domains")
@json_option
def domid_of(env: Env, name: str, as_json: bool) -> None:
    """Print a domain's id; digits count as a name here, as in xl."""
    from xlpy.toolstack.domain.record import named

    found = named(env.host.xenstore, name)
    if found is None:
        raise NotFound(
            f"Can't get domid of domain name '{name}', maybe this domain does not exist.",
            hint="xlpy list shows the domains",
        )
    if as_json:
        json_document("xlpy.domid/1", name=name, domid=found)
    else:
        out(found)


@command("""
xlpy domname 1
""")
@argument("domid")
@json_option
def domname(env: Env, domid: str, as_json: bool) -> None:
    """Print the name of the domain with an id."""
    from xlpy.toolstack.domain.record import name_of

    if not (domid.isascii() and domid.isdigit()):
        raise UsageError("Invalid domain id.", hint=f"a domid is a number, {domid!r} is not")
    name = name_of(env.host.xenstore, int(domid)) if len(domid) < 10 else None
    if name is None:
        raise NotFound(
            f"Can't get domain name of domain id '{domid}', maybe this domain does not exist.",
            hint="xlpy list shows the domains",
        )
    if as_json:
        json_document("xlpy.domname/1", domid=int(domid), name=name)
    else:
        out(name)


@command("""
xlpy config-update quickstart configs/quickstart.cfg memory=1024
""")
@domain_argument
@argument("words", nargs=-1, metavar="[CONFIG] [KEY=VALUE]...", shell_complete="configurations")
@option("-f", "--defconfig", "config", metavar="FILE", help="Configuration file.")
@option("-d", "--debug", "show", is_flag=True, help="Print the parsed configuration.")
@dry_run_option
@json_option
def config_update(env: Env, domain: str, words: tuple[str, ...], config: str | None, show: bool, as_json: bool) -> None:
    """Store a configuration for the next restart of a domain. It is used once, and alone: name and UUID included.

    The running domain stays as it is. A configuration file and `create` are the better way where there is a choice.
    """
    from xlpy.cli.domain import choose_config, read_config
    from xlpy.toolstack.config.domain_config import load_config
    from xlpy.toolstack.config.reading.reader import facts_of
    from xlpy.toolstack.domain.stored_config import update

    source, extra = choose_config(words, config, "config-update")
    domid = env.host.domid(domain)
    env.host.lifecycle.guest(domid)
    env.warn("prefer to change the file and create the domain anew: this is used once, at the next restart")
    facts = facts_of(env.host.spec)
    loaded = load_config(read_config(source), source, extra, host=facts, xen=env.host.xen.version)
    for warning in loaded.warnings:
        env.note("\n".join(warning.lines()))
    with changing(env, f"config-update of {domain}") as dry:
        env.note(f"setting dom{domid} configuration")
        if not dry:
            update(env.host.store, domid, loaded)
    if as_json:
        json_document("xlpy.config-update/1", domid=domid, config=loaded.to_json(), dry_run=dry)
    elif show or dry:
        from xlpy.toolstack.config.libxl_json import dumps

        binary().write(dumps({"domid": None, "config": loaded.to_json()}) + b"\n")


@command("""
xlpy mem-set quickstart 384
xlpy mem-set quickstart 384m
""")
@domain_argument
@argument("size")
@dry_run_option
@json_option
def mem_set(env: Env, domain: str, size: str, as_json: bool) -> None:
    """Set how much memory a domain is to use: a number with t, g, m, k or b; without a letter it is MiB.

    The target is for the guest's balloon driver, and the domain's next start; a guest without one keeps what it has.
    """
    from xlpy.toolstack.domain.memory_target import parse_kib, set_target

    kib = parse_kib(size)
    with changing(env, f"mem-set of {domain}") as dry:
        domid = env.host.domid(domain)
        allowance = set_target(env.host.lifecycle, domid, kib, dry)
    if as_json:
        json_document("xlpy.mem-set/1", domid=domid, target_kib=kib, allowance_kib=allowance, dry_run=dry)


@command("""
xlpy mem-max quickstart 1g
""")
@domain_argument
@argument("size")
@dry_run_option
@json_option
def mem_max(env: Env, domain: str, size: str, as_json: bool) -> None:
    """Set how much memory a domain may have: a number with t, g, m, k or b; without a letter it is MiB."""
    from xlpy.toolstack.domain.memory_target import parse_kib, set_maximum

    kib = parse_kib(size)
    with changing(env, f"mem-max of {domain}") as dry:
        domid = env.host.domid(domain)
        allowance = set_maximum(env.host.lifecycle, domid, kib, dry)
    if as_json:
        json_document("xlpy.mem-max/1", domid=domid, maximum_kib=kib, allowance_kib=allowance, dry_run=dry)
