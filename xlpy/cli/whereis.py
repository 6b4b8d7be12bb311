"""``xlpy whereis``: every hop between a line of a configuration and a DIMM address."""

from __future__ import annotations

from xlpy.addr import format_size
from xlpy.cli.declare import argument, command, option
from xlpy.cli.options import SIZE, domain_argument, json_option
from xlpy.cli.render import json_document, table
from xlpy.cli.show import out
from xlpy.errors import UsageError
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.cli.env import Env
    from xlpy.views.where.answer import Answer

length_option = option("--length", type=SIZE, default=1, help="Bytes to look at: the stretches that lie together.")


@command("""
xlpy whereis gpa quickstart 0x500001000
xlpy whereis gpa quickstart 0x500000000 --length 64M --json
""")
@domain_argument
@argument("address", type=SIZE)
@length_option
@json_option
def gpa(env: Env, domain: str, address: int, length: int, as_json: bool) -> None:
    """Find what is behind a guest-physical address: host address, DIMM, file, and all that decides it.

    Hops are listed from the configuration down to the media file, each with the table or structure that decides it,
    and where the bytes of that structure are.
    """
    from xlpy.views.where import find

    host = env.host
    after = lambda at: find.after_gpa(host, domain, at)  # noqa: E731 - nothing lies between two stretches
    _show(env, lambda at: find.by_gpa(host, domain, at), address, length, as_json, after)


@command("""
xlpy whereis spa 0x443df8000
""")
@argument("address", type=SIZE)
@length_option
@json_option
def spa(env: Env, address: int, length: int, as_json: bool) -> None:
    """Find what is at a host physical address, and above and below it."""
    from xlpy.views.where import find

    host = env.host
    _show(env, lambda at: find.by_spa(host, at), address, length, as_json, lambda at: find.after_spa(host, at))


@command("""
xlpy whereis dpa dimm0 0x1000
""")
@argument("dimm")
@argument("address", type=SIZE)
@length_option
@json_option
def dpa(env: Env, dimm: str, address: int, length: int, as_json: bool) -> None:
    """Find what a DIMM's cell holds, by the address inside the DIMM."""
    from xlpy.views.where import find

    if length > 1:
        raise UsageError("--length counts bytes that lie together, and those of a DIMM do not", hint="whereis spa")
    _show(env, lambda at: find.by_dpa(env.host, dimm, at), address, length, as_json)


@command("""
xlpy whereis file /mnt/pmem0/vm1.img 0x1000
xlpy whereis file /dev/pmem1 0
""")
@argument("path")
@argument("offset", type=SIZE)
@length_option
@json_option
def file(env: Env, path: str, offset: int, length: int, as_json: bool) -> None:
    """Find where a byte of a file or device of the emulated Dom0 is."""
    from xlpy.views.where import find

    host = env.host
    after = lambda at: find.after_offset(host, path, at)  # noqa: E731 - nothing is stored in a hole
    _show(env, lambda at: find.by_file(host, path, at), offset, length, as_json, after)


def _show(
    env: Env,
    ask: Callable[[int], Answer],
    start: int,
    length: int,
    as_json: bool,
    after: Callable[[int], int | None] | None = None,
) -> None:
    from xlpy.views.where.find import pieces

    if length < 1:
        raise UsageError("--length must be at least 1")
    found = list(pieces(ask, start, length, after)) if length > 1 else [(1, ask(start))]
    first = found[0][1]
    if as_json:
        more = {"pieces": [_fields(size, answer) for size, answer in found]} if length > 1 else {}
        json_document(
            "xlpy.whereis/1",
            **{**first.at.to_json(), "length": length},
            touch=first.touch.to_json(),
            hops=[hop.to_json() for hop in first.hops],
            **more,
        )
        return
    if length > 1:
        rows = [(format_size(size), *_cells(answer)) for size, answer in found]
        table(env, ("SIZE", "GPA", "SPA", "DIMM", "DPA", "PATH", "OFFSET", "MEDIA"), rows)
        return
    rows = [(hop.layer, hop.what, hop.decided_by, str(hop.place or "-")) for hop in first.hops]
    table(env, ("LAYER", "WHERE", "DECIDED BY", "ITS BYTES"), rows)
    touch = first.touch
    flushed = "-" if touch.flushed is None else "yes" if touch.flushed else "no"
    out(
        f"Dom0: {touch.dom0}; domains: {', '.join(touch.domains) or 'none'};"
        f" pinned for: {', '.join(touch.pins) or 'none'}; poison: {'yes' if touch.poison else 'no'};"
        f" persistence domain: {touch.persistence or 'none'}; flushed: {flushed}"
    )


def _fields(size: int, answer: Answer) -> dict[str, Any]:
    return {"length": size, **answer.at.to_json(), "touch": answer.touch.to_json()}


def _cells(answer: Answer) -> tuple[str, ...]:
    at = answer.at
    place = f"{at.media.file.rsplit('/', 1)[-1]}+{at.media.offset:#x}" if at.media else "-"
    return (
        _number(at.gpa),
        _number(at.spa),
        at.dimm or "-",
        _number(at.dpa),
        at.path or "-",
        _number(at.path_offset),
        place,
    )


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:#x}"
