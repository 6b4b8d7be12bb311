"""``xlpy mceinj``: machine checks, with the arguments of Xen's ``xen-mceinj``."""

from __future__ import annotations

from xlpy.cli.changing import changing, outcome_json, tell
from xlpy.cli.declare import command, option
from xlpy.cli.options import SIZE, dry_run_option, json_option
from xlpy.cli.render import json_document
from xlpy.cli.show import out
from xlpy.cli.types import IntRange
from xlpy.events.machine_checks import DEFAULT_ADDRESS
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.cli.env import Env
    from xlpy.events.machine_checks import Effect, MachineCheckInjection


@command("""
xlpy mceinj -p 0x443df7000
xlpy mceinj -t 1 -d quickstart -p 0x500001000
""")
@option("-D", "--dump", is_flag=True, help="Print the address and inject nothing.")
@option("-c", "--cpu", type=IntRange(0), default=0, metavar="CPU", help="The CPU that reports it.")
@option("-d", "--domain", metavar="DOMAIN", shell_complete="domains", help="ADDR is guest physical, of this domain.")
@option("-p", "--page", type=SIZE, default=DEFAULT_ADDRESS, metavar="ADDR", help="The address to report.")
@option("-l", "--lmce", is_flag=True, help="As a local machine check, to that CPU alone.")
@option(
    "-t",
    "--type",
    "kind",
    type=IntRange(0),
    default=0,
    metavar="TYPE",
    help="0 MCE_SRAO_MEM, 1 MCE_SRAO_LLC, 2 CMCI_UCNA_LLC, 3 AMD L1 icache parity, 4 MCE_SRAO_MEM (Fatal).",
)
@dry_run_option
@json_option
def mceinj(env: Env, dump: bool, cpu: int, domain: str | None, page: int, lmce: bool, kind: int, as_json: bool) -> None:
    """Inject a machine check, as Xen's xen-mceinj does: the line at ADDR, host physical by default, is bad from then.

    What Xen's console says of it is shown. The guest that has the page loses it and gets a virtual
    machine check; under `xlpy boot` its emulator raises one. Dom0 finds the bad block. A check that cannot be handled
    brings the host down.
    """
    from xlpy.events.machine_checks import MachineCheckInjection, bring_down, inject

    host = env.host
    domid = None if domain is None else host.domid(domain)
    wanted = MachineCheckInjection(kind, page, domid, cpu, lmce)
    if dump:
        inject(host, wanted, dry_run=True)
        _print_address(wanted, as_json)
        return
    before = len(host.dmesg())
    with changing(env, "injecting a machine check") as dry:
        effect = inject(host, wanted, dry)
        said = host.dmesg()[before:]
        outcomes = [] if dry else host.lifecycle.settle(env.step)
    if effect.outcome is not None and effect.outcome.verdict == "reset":
        bring_down(host)
    if as_json:
        found = effect.outcome
        json_document(
            "xlpy.mceinj/1",
            spa=effect.spa,
            verdict=found and found.verdict,
            why=found and found.why,
            domid=found and found.domid,
            gpa=found and found.gpa,
            path=effect.path,
            offset=effect.offset if effect.path else None,
            console=said,
            notified=effect.notified,
            booted=effect.booted,
            shut_down=[outcome_json(one) for one in outcomes],
            dry_run=dry,
        )
        return
    out(f"get gaddr of error inject is: {page:#x}")
    env.note(*said)
    _tell(env, effect)
    tell(env, outcomes)


def _print_address(wanted: MachineCheckInjection, as_json: bool) -> None:
    """What xen-mceinj prints with -D."""
    if as_json:
        json_document("xlpy.mceinj/1", domid=wanted.domid, address=wanted.address, dry_run=True)
        return
    who = "Xen" if wanted.domid is None else f"Dom{wanted.domid}"
    out(f"get gaddr of error inject is: {wanted.address:#x}", f"{who}: gaddr={wanted.address:#x}")


def _tell(env: Env, effect: Effect) -> None:
    found = effect.outcome
    if effect.path:
        is_bad = "would be" if env.dry_run else "is"
        env.note(f"{effect.path}: the line at {effect.offset:#x} {is_bad} bad (host address {effect.spa:#x})")
    if found is None:
        return
    env.note(f"{found.verdict}: {found.why}")
    if found.gpa is not None:
        how = ", its emulator raised it" if effect.booted else ""
        env.note(f"domain {found.domid} got a virtual machine check at {found.gpa:#x}{how}")
    if found.verdict == "reset":
        env.warn("Xen has panicked, the host is down: xlpy host power on")
