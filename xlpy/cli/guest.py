"""``xlpy guest``: inspect a domain as its operating system would."""

from __future__ import annotations

from xlpy.cli.declare import command, leave
from xlpy.cli.options import domain_argument, json_option
from xlpy.cli.show import out
from xlpy.errors import Exit
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.cli.env import Env


@command("""
xlpy guest probe quickstart
""")
@domain_argument
@json_option
def probe(env: Env, domain: str, as_json: bool) -> None:
    """Tell what an operating system would find in the domain: tables, memory map, NVDIMMs, labels, pmem devices.

    Everything is read from guest memory, beginning at the RSDP, and through the guest's own AML. What does not fit
    together is listed, and makes the exit status 10.
    """
    from xlpy.guest.probe import probe as look
    from xlpy.guest.probe import summary

    host = env.host
    with host.looking(f"probing {domain}"):
        report = look(host.domain(domain))
    if as_json:
        from xlpy.cli.render import json_document

        json_document("xlpy.guest-probe/1", **report.to_json())
    else:
        out(*summary(report))
    if report.problems:
        leave(Exit.FINDINGS)
