"""``xlpy host plug`` and ``unplug``: plugging and unplugging DIMMs while the host runs."""

from __future__ import annotations

from xlpy import limits
from xlpy.cli.declare import argument, command, option
from xlpy.cli.options import dry_run_option, json_option
from xlpy.cli.render import json_document
from xlpy.cli.types import FilePath
from xlpy.inputs import read_file
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from xlpy.cli.env import Env
    from xlpy.toolstack.domain.monitor import Outcome


@command("""
xlpy host plug configs/plug.yaml
""")
@argument("file", type=FilePath(), metavar="FILE")
@dry_run_option
@json_option
def plug(env: Env, file: Path, as_json: bool) -> None:
    """Plug DIMMs and sets in: FILE is a fragment of machine.yaml with dimms, sets and namespaces.

    _FIT changes, Dom0 is notified (0x80), evaluates it, attaches its driver and reports what has a reserve to Xen. A
    DIMM with `media:`, the folder that `host unplug` made of it, keeps its content, labels and bad lines.
    """
    from xlpy.events.plugging import plug as plug_in

    text = read_file(file, limits.MACHINE).decode("utf-8", "replace")
    done = plug_in(env.host, text, str(file), env.dry_run)
    items = [one for one in env.host.dom0.list_namespaces() if _region(one["dev"]) in done.regions]
    if as_json:
        json_document("xlpy.host-plug/1", **done._asdict(), namespaces=items, dry_run=env.dry_run)
        return
    env.note(f"{', '.join(done.dimms)} {'would be ' if env.dry_run else ''}plugged in", *done.log)
    for item in items:
        name = item.get("blockdev", item.get("chardev", item["dev"]))
        known = "Xen knows it" if item["registered"] else f"Xen does not know it: {item.get('reason')}"
        env.note(f"{name}: {item['mode']}, {item['size']} bytes; {known}")


def _region(namespace: str) -> str:
    """The region of ``namespaceR.N``."""
    return "region" + namespace.removeprefix("namespace").partition(".")[0]


@command("""
xlpy host unplug dimm2 --to drawer
xlpy host plug drawer/set1.yaml
xlpy host unplug set1
xlpy host unplug set0 --surprise
""")
@argument("name", metavar="DIMM|SET")
@option("--to", type=FilePath(out="folder"), metavar="DIR", help="Where the DIMMs go (else ROOT/unplugged).")
@option("--surprise", is_flag=True, help="Although it is used: an access to it causes a machine check.")
@dry_run_option
@json_option
def unplug(env: Env, name: str, to: Path | None, surprise: bool, as_json: bool) -> None:
    """Take a set, or a DIMM that is one alone, out of the host: Dom0 lets it go, Xen forgets it, _FIT lacks it.

    What is used stays, unless with --surprise. The DIMMs lie in DIR afterwards, with content and labels; DIR/SET.yaml
    is what `host plug` needs to have them again, in this host or another.
    """
    from xlpy.cli.changing import tell
    from xlpy.events.plugging import unplug as take_out

    done = take_out(env.host, name, str(to) if to else None, surprise, env.dry_run)
    outcomes = [] if env.dry_run else _settle(env)
    if as_json:
        checks = [one._asdict() for one in done.outcomes]
        fields = {**done._asdict(), "outcomes": checks}
        json_document("xlpy.host-unplug/1", **fields, dry_run=env.dry_run)
        return
    verb = "would be out" if env.dry_run else "out"
    then = f"plug in again with: xlpy host plug {done.fragment}"
    if surprise and done.sets:
        then = f"take away what is left of {done.sets[0]} with: xlpy host unplug {done.sets[0]}"
    env.note(f"{', '.join(done.dimms)} {verb}; {then}")
    for check in done.outcomes:
        env.note(f"machine check: {check.why} ({check.verdict})")
    tell(env, outcomes)


def _settle(env: Env) -> list[Outcome]:
    """What follows for domains that crashed."""
    if not env.host.shut_down:
        return []
    with env.host.change("what follows a machine check"):
        return list(env.host.lifecycle.settle(env.step))
