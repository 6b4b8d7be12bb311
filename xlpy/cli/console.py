"""Output of domains and Xen: ``xlpy console``, ``debug-keys``, and ``top``, which is refused."""

from __future__ import annotations

import time

from xlpy.cli.changing import changing
from xlpy.cli.declare import argument, command, option
from xlpy.cli.options import domain_argument, dry_run_option, json_option
from xlpy.cli.render import json_document
from xlpy.cli.show import binary, out
from xlpy.cli.types import Choice, IntRange
from xlpy.errors import NotFound, UsageError
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from xlpy.cli.env import Env

POLL_SECONDS = 0.05
TYPES = ("pv", "serial", "vuart")


@command("""
xlpy console quickstart
xlpy console -t serial quickstart
""")
@option("-t", "kind", type=Choice(TYPES), help="Which console: serial is an HVM guest's, pv the others'.")
@option("-n", "number", type=IntRange(0), default=0, metavar="NUM", help="Console number; there is only 0.")
@option("-e", "escape", metavar="CHAR", help="Accepted as in xl: there is no session to escape from.")
@domain_argument
@json_option
def console(env: Env, domain: str, kind: str | None, number: int, escape: str | None, as_json: bool) -> None:
    """Print what a domain has said: hvmloader on Xen's debug port, then the guest on its serial port.

    While `xlpy boot` runs the domain, go on until it ends or Ctrl-C; the keyboard belongs to xlpy boot.
    """
    del escape
    host = env.host
    domid = host.domid(domain)
    show(env, domid, kind, number, as_json)


def show(env: Env, domid: int, kind: str | None = None, number: int = 0, as_json: bool = False) -> None:
    """Print the console of a domain. NotFound: it has no such console."""
    host = env.host
    guest = host.lifecycle.guest(domid)
    primary = "serial" if guest.part("xen.chipset") else "pv"
    if kind == "vuart":
        raise NotFound("a vuart is for Arm guests", hint="xlpy console DOMAIN")
    if number:
        raise NotFound(f"domain {domid} has no console {number}", hint="there is only console 0")
    said = firmware_log(env, domid) if kind in (None, "serial") else []
    log = host.hw.root / "domains" / str(domid) / "serial.log"
    serial = _read(log) if kind in (None, primary) else b""
    if as_json:
        text = serial.decode(errors="replace")
        json_document("xlpy.console/1", domid=domid, type=kind or primary, firmware=said, serial=text)
        return
    for line in said:
        out(line)
    binary().write(serial)
    if kind in (None, primary):
        _follow(env, domid, log, len(serial))


def firmware_log(env: Env, domid: int) -> list[str]:
    """What the domain's firmware wrote to the debug port, as far as Xen's log still has it."""
    prefix = f"(d{domid}) "
    return [line.removeprefix(prefix) for line in env.host.xen.console.lines() if line.startswith(prefix)]


def _read(log: Path, start: int = 0) -> bytes:
    try:
        with log.open("rb") as file:
            file.seek(start)
            return file.read()
    except OSError:
        return b""


def _follow(env: Env, domid: int, log: Path, at: int) -> None:
    """Print what comes while the domain is booted."""
    if env.host.store.table("boot").get(str(domid)) is None:
        return
    from xlpy.boot.session import booted

    while True:
        alive = booted(env.host.store, domid) is not None
        more = _read(log, at)
        binary().write(more)
        binary().flush()
        at += len(more)
        if not alive:
            return
        time.sleep(POLL_SECONDS)


@command("""
xlpy debug-keys q
xlpy dmesg
""")
@argument("keys")
@dry_run_option
@json_option
def debug_keys(env: Env, keys: str, as_json: bool) -> None:
    """Press keys on Xen's console: h lists them, q shows the domains, m memory, r the scheduler. xlpy dmesg shows it.

    Xen ignores what it has no handler for, and so does this.
    """
    with changing(env, f"debug-keys {keys}") as dry:
        if not dry:
            env.host.xen.hypercalls(0).sysctl_debug_keys(keys)
    if as_json:
        json_document("xlpy.debug-keys/1", keys=keys, dry_run=dry)


@command("""
xlpy top
""")
@json_option
def top(env: Env, as_json: bool) -> None:
    """Refused: it would show what the domains use of the CPUs, and nothing is scheduled here."""
    del env, as_json
    raise UsageError(
        "top has nothing to show: no CPU time passes in a model", hint="xlpy list, xlpy vcpu-list; watch xlpy list"
    )
