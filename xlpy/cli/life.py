"""Pausing, ending and resetting domains: ``xlpy pause``, ``unpause``, ``shutdown``, ``reboot``, ``trigger``, ``sysrq``,
``dump-core``."""

from __future__ import annotations

from xlpy.cli.changing import changing, outcome_json, refuse_failed, target, tell
from xlpy.cli.declare import argument, command, leave, option
from xlpy.cli.options import domain_argument, dry_run_option, json_option
from xlpy.cli.render import json_document
from xlpy.cli.report import report
from xlpy.cli.types import FilePath, IntRange
from xlpy.contexts import nullcontext
from xlpy.errors import Exit, UsageError, XlpyError
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from xlpy.cli.env import Env
    from xlpy.toolstack.domain.lifecycle import Lifecycle
    from xlpy.toolstack.domain.monitor import Outcome


@command("""
xlpy pause quickstart
""")
@domain_argument
@dry_run_option
@json_option
def pause(env: Env, domain: str, as_json: bool) -> None:
    """Pause a domain: its vCPUs stop, its memory stays. Pauses are counted, each needs an unpause."""
    with changing(env, f"pausing {domain}") as dry:
        domid = target(env, domain)
        count = env.host.lifecycle.pause(domid, dry)
    if as_json:
        json_document("xlpy.pause/1", domid=domid, pauses=count, dry_run=dry)
    elif count > 1:
        env.note(f"domain {domid} is paused {count} times")


@command("""
xlpy unpause quickstart
""")
@domain_argument
@dry_run_option
@json_option
def unpause(env: Env, domain: str, as_json: bool) -> None:
    """Take one pause back. The guest then acts on what it was asked meanwhile."""
    outcomes: list[Outcome] = []
    with changing(env, f"unpausing {domain}") as dry:
        domid = target(env, domain)
        left = env.host.lifecycle.unpause(domid, dry)
        outcomes = env.host.lifecycle.settle(env.step)
        refuse_failed(outcomes)
    if as_json:
        followed = [outcome_json(outcome) for outcome in outcomes]
        json_document("xlpy.unpause/1", domid=domid, pauses=left or 0, followed=followed, dry_run=dry)
    elif left is None:
        env.note(f"domain {domid} is not paused: nothing to do")
    elif left:
        env.note(f"domain {domid} is still paused, {left} times")
    _raise(env, outcomes, as_json)


def _power_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for add in (
        option("-F", "force", is_flag=True, help="Accepted as in xl; guests here always have PV drivers."),
        option("-w", "--wait", count=True, help="Say how it ended; twice, also that it is gone."),
        option("-a", "--all", "everyone", is_flag=True, help="Every domain but 0."),
    ):
        function = add(function)
    return function


@command("""
xlpy shutdown -w quickstart
xlpy shutdown -a
""")
@argument("domain", required=False, shell_complete="domains")
@_power_options
@dry_run_option
@json_option
def shutdown(env: Env, domain: str | None, everyone: bool, wait: int, force: bool, as_json: bool) -> None:
    """Ask a domain to power off, and carry out its on_poweroff.

    The guest answers at once, as one with PV drivers does; a paused domain cannot answer.
    """
    del force
    _ask(env, "poweroff", domain, everyone, wait, as_json)


@command("""
xlpy reboot quickstart
""")
@argument("domain", required=False, shell_complete="domains")
@_power_options
@dry_run_option
@json_option
def reboot(env: Env, domain: str | None, everyone: bool, wait: int, force: bool, as_json: bool) -> None:
    """Ask a domain to reboot, and carry out its on_reboot: by default it is built anew.

    The new domain has another domid, the same name and UUID, and the same vNVDIMMs with their content.
    """
    del force
    _ask(env, "reboot", domain, everyone, wait, as_json)


WORDS = {"poweroff": ("Shutting down", "xlpy.shutdown/1"), "reboot": ("Rebooting", "xlpy.reboot/1")}


def _ask(env: Env, word: str, domain: str | None, everyone: bool, wait: int, as_json: bool) -> None:
    from xlpy.toolstack.domain import power

    if not everyone and domain is None:
        raise UsageError("You must specify -a or a domain id.", hint="xlpy shutdown DOMAIN, or xlpy shutdown -a")
    doing, schema = WORDS[word]
    outcomes: list[Outcome] = []
    failed: list[tuple[str, XlpyError]] = []
    with changing(env, f"{word} of {domain or 'all domains'}", frees=word == "poweroff") as dry:
        life = env.host.lifecycle
        everybody = [str(one.domid) for one in env.host.xen.domains()] if everyone else [domain or ""]
        for one in everybody:
            try:
                domid = target(env, one)
                env.note(f"{doing} domain {domid}")
                with env.host.store.savepoint() if everyone and not dry else nullcontext():
                    power.ask(life, domid, word, dry)
                    followed = life.settle(env.step)
                    refuse_failed(followed)
                outcomes += followed
            except XlpyError as error:
                if not everyone:
                    raise
                report(error, as_json=False)
                failed.append((one, error))
    if not everybody:
        env.note("there are no domains: nothing to do")
    if wait and not dry and not as_json:
        _tell_ends(env, everybody, failed, outcomes, wait)
    failed += [(outcome.name, outcome.error) for outcome in outcomes if outcome.error]
    if as_json:
        errors = [{"domain": name, "code": error.code, "message": str(error)} for name, error in failed]
        items = [outcome_json(outcome) for outcome in outcomes]
        json_document(schema, items=items, failed=errors, dry_run=dry)
    _raise(env, outcomes, as_json, everyone)
    if failed:
        leave(Exit.PARTIAL if len(failed) < len(everybody) else failed[0][1].exit)


def _tell_ends(
    env: Env, asked: list[str], failed: list[tuple[str, XlpyError]], outcomes: list[Outcome], wait: int
) -> None:
    """What xl says while it waits: for a shutdown with one -w, for the end of the domain with two."""
    from xlpy.abi import SHUTDOWN_NAMES

    env.note(f"Waiting for {len(asked) - len(failed)} domains")
    for outcome in outcomes:
        code = SHUTDOWN_NAMES.index(outcome.reason)
        env.note(f"Domain {outcome.domid} has been shut down, reason code {code}")
        if wait > 1 and env.host.xen.find(outcome.domid) is None:
            env.note(f"Domain {outcome.domid} has been destroyed")


def _raise(env: Env, outcomes: list[Outcome], as_json: bool, several: bool = False) -> None:
    """Tell what followed; fail when an action failed."""
    tell(env, outcomes)
    for outcome in outcomes:
        if outcome.error and (several or as_json):
            report(outcome.error, as_json=False)
            if not several:
                leave(outcome.error.exit)
        elif outcome.error:
            raise outcome.error


@command("""
xlpy trigger quickstart sleep
xlpy trigger quickstart s3resume
xlpy trigger quickstart power
""")
@domain_argument
@argument("name", metavar="TRIGGER", shell_complete="triggers")
@argument("vcpu", type=IntRange(0), default=0, metavar="[VCPU]")
@dry_run_option
@json_option
def trigger(env: Env, domain: str, name: str, vcpu: int, as_json: bool) -> None:
    """Press a button or pull a line of a domain: nmi, reset, init, power, sleep or s3resume.

    The guest answers power with S5 (it powers off) and sleep with S3, from which s3resume wakes it. reset needs no
    guest. A paused domain finds what was pressed when it runs again.
    """
    from xlpy.toolstack.domain import power

    _prod(
        env,
        domain,
        "trigger",
        as_json,
        lambda life, domid, dry: power.trigger(life, domid, name, vcpu, dry),
        trigger=name.lower(),
        vcpu=vcpu,
    )


@command("""
xlpy sysrq quickstart c
""")
@domain_argument
@argument("letter")
@dry_run_option
@json_option
def sysrq(env: Env, domain: str, letter: str, as_json: bool) -> None:
    """Send a Magic System Request: the guest acts on o (power off), b (reboot) and c (crash)."""
    from xlpy.toolstack.domain import power

    _prod(
        env,
        domain,
        "sysrq",
        as_json,
        lambda life, domid, dry: power.sysrq(life, domid, letter, dry),
        letter=letter,
    )


def _prod(
    env: Env,
    domain: str,
    what: str,
    as_json: bool,
    act: Callable[[Lifecycle, int, bool], None],
    **fields: object,
) -> None:
    """Do something to a guest, and what follows."""
    with changing(env, f"{what} for {domain}") as dry:
        domid = target(env, domain)
        act(env.host.lifecycle, domid, dry)
        outcomes = env.host.lifecycle.settle(env.step)
        refuse_failed(outcomes)
    if as_json:
        followed = [outcome_json(outcome) for outcome in outcomes]
        json_document(f"xlpy.{what}/1", domid=domid, **fields, followed=followed, dry_run=dry)
    _raise(env, outcomes, as_json)


@command("""
xlpy dump-core quickstart quickstart.core
readelf -l quickstart.core
""")
@domain_argument
@argument("path", metavar="FILE", type=FilePath(out="file"))
@dry_run_option
@json_option
def dump_core(env: Env, domain: str, path: Path, as_json: bool) -> None:
    """Write a domain's memory to an ELF core file, one segment a stretch of RAM or persistent memory.

    The file is sparse: what was never written takes no space.
    """
    from xlpy.toolstack.domain.coredump import dump_core as dump
    from xlpy.toolstack.domain.coredump import segments

    host = env.host
    guest = host.lifecycle.guest(host.domid(domain))
    if not env.dry_run:
        with host.looking(f"dumping {domain}"):
            dump(guest, path)
    if as_json:
        rows = [
            {"gpa": one.start << 12, "size": one.size, "kind": "pmem" if one.pmem else "ram"} for one in segments(guest)
        ]
        json_document("xlpy.dump-core/1", domid=guest.domid, path=str(path), items=rows, dry_run=env.dry_run)
