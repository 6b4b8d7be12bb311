"""``xlpy host event``: what Dom0 does, or may not do, to a file that a guest has mapped."""

from __future__ import annotations

from xlpy.addr import format_size
from xlpy.cli.changing import changing
from xlpy.cli.declare import argument, command, option
from xlpy.cli.options import SIZE, dry_run_option, json_option
from xlpy.cli.render import json_document, table
from xlpy.cli.types import Choice
from xlpy.events.host_events import EVENTS
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.cli.env import Env


@command("""
xlpy pmem mkfile 1M /mnt/pmem0/spare.img
xlpy host event truncate /mnt/pmem0/spare.img
xlpy host event punch /mnt/pmem0/vm1.img --offset 4K --length 64K --force
""")
@argument("kind", type=Choice(EVENTS), metavar="|".join(EVENTS))
@argument("file", shell_complete="backings")
@option("--size", type=SIZE, default=0, help="For truncate: the size that it gets.")
@option("--offset", type=SIZE, default=0, help="For punch: where the hole begins.")
@option("--length", type=SIZE, help="For punch: its length; else to the end.")
@option("--force", is_flag=True, help="Tell what it would have cost had it not been refused; nothing is done.")
@dry_run_option
@json_option
def event(
    env: Env, kind: str, file: str, size: int, offset: int, length: int | None, force: bool, as_json: bool
) -> None:
    """Do something to a file in Dom0 that moves or frees its blocks: a real kernel allows it only while no domain has
    the file.

    remount takes DAX from its file system. With --force nothing is done, and the pages of guests are listed that would
    have come to belong to somebody else.
    """
    from xlpy.events.host_events import HostEvent, carry_out, cost

    wanted = HostEvent(kind, file, size, offset, length)
    if force:
        rows = cost(env.host, wanted)
        if as_json:
            json_document("xlpy.host-event/1", event=kind, path=file, done=False, cost=[row._asdict() for row in rows])
            return
        cells = [
            (row.domid, f"{row.gpa:#x}", format_size(row.length), f"{row.offset:#x}", f"{row.spa:#x}", row.now)
            for row in rows
        ]
        table(env, ("DOMAIN", "GUEST ADDRESS", "SIZE", "IN THE FILE", "SPA", "WOULD BE"), cells)
        return
    with changing(env, f"{kind} of {file}") as dry:
        done = carry_out(env.host, wanted, dry)
    if as_json:
        json_document("xlpy.host-event/1", event=kind, path=file, done=not dry, what=done, cost=[])
    else:
        env.note(f"{file}: {done}{' (dry run)' if dry else ''}")
