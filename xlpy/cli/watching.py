"""``xlpy watch``: a live picture of a host for a terminal, plain lines in a pipe."""

from __future__ import annotations

import signal
import time

from xlpy.addr import format_size
from xlpy.cli.declare import command, option
from xlpy.cli.options import json_option
from xlpy.cli.render import console, json_items
from xlpy.cli.show import flush, out, visible
from xlpy.cli.types import IntRange, Seconds
from xlpy.contexts import contextmanager
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.cli.env import Env
    from xlpy.views.watching import Look

KEPT = 12  # lines of stores and of the log that the picture shows


@command("""
xlpy watch
xlpy watch -T 60 | tee watched.txt
""")
@option("-i", "--interval", type=Seconds(some=True), default=0.5, metavar="S", help="Seconds between two looks.")
@option("-n", "--looks", type=IntRange(1), metavar="N", help="End after N looks.")
@option("-T", "--timeout", type=Seconds(), metavar="S", help="End after S seconds.")
@json_option
def watch(env: Env, interval: float, looks: int | None, timeout: float | None, as_json: bool) -> None:
    """Watch the host: domains, vNVDIMMs, what was stored where since the last look, poison, hypercalls.

    On a terminal it is a picture that changes; in a pipe each change is a line. It ends with Ctrl-C, or after -n or -T.
    Stores are found by comparing pages: one that writes what was there already is not seen.
    """
    if as_json:
        json_items("xlpy.watch/1", [_json(look) for look in _looks(env, interval, looks, timeout)])
    elif env.picture:
        _picture(env, _looks(env, interval, looks, timeout))
    else:
        _lines(_looks(env, interval, looks, timeout))


def _looks(env: Env, interval: float, most: int | None, timeout: float | None) -> Iterator[Look]:
    from xlpy.views.watching import Watch

    deadline = None if timeout is None else time.monotonic() + timeout
    watching, count = Watch(str(env.host.root)), 0
    with _stopping() as stopped:
        try:
            while not stopped:
                yield watching.look()
                count += 1
                if count == most or (deadline is not None and time.monotonic() + interval > deadline):
                    return
                time.sleep(0 if stopped else interval)
        finally:
            watching.close()
    raise KeyboardInterrupt


@contextmanager
def _stopping() -> Iterator[list[int]]:
    """A list that is not empty once Ctrl-C was pressed: an exception alone may be lost where nothing can be raised."""
    stopped: list[int] = []

    def stop(number: int, _frame: object) -> None:
        stopped.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)


def _json(look: Look) -> dict[str, Any]:
    domains = [one._asdict() | {"devices": [device._asdict() for device in one.devices]} for one in look.domains]
    return look._asdict() | {"domains": domains, "stored": [one._asdict() for one in look.stored]}


def _lines(looks: Iterator[Look]) -> None:
    from xlpy.views.watching import lines

    poison: tuple[tuple[int, int], ...] = ()
    states: dict[int, str] = {}
    blind = False
    for look in looks:
        out(*lines(look))
        for one in look.domains:
            if states.get(one.domid, one.state) != one.state:
                out(f"domain {one.domid} ({one.name}) {one.state}")
            states[one.domid] = one.state
        for span in sorted(set(look.poison) ^ set(poison)):
            out(f"poison: {span[0]:#x}-{span[1]:#x}{'' if span in look.poison else ' is gone'}")
        if look.blind and not blind:
            out("stores are not looked for: there is more than 1G of data on the media")
        poison, blind = look.poison, look.blind
        flush()


def _picture(env: Env, looks: Iterator[Look]) -> None:
    from rich.console import Console
    from rich.live import Live

    screen = console(env, Console)
    stored: list[str] = []
    log: list[str] = []
    calls = 0
    with Live(console=screen, screen=False, auto_refresh=False, transient=False) as live:
        for look in looks:
            calls += look.calls
            stored = [*stored, *(_stored(one) for one in look.stored)][-KEPT:]
            log = [*log, *look.log][-KEPT:]
            live.update(_drawn(look, stored, log, calls), refresh=True)


def _stored(one: Any) -> str:  # noqa: ANN401 - a Stored
    return f"{one.domain}  {one.gpa:#x}  {one.path}+{one.offset:#x}  {format_size(one.size)}"


def _drawn(look: Look, stored: list[str], log: list[str], calls: int) -> Any:  # noqa: ANN401 - a rich renderable
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("ID", "DOMAIN", "STATE", "vNVDIMM", "GUEST ADDRESS", "SIZE"):
        grid.add_column(column, justify="right" if column in ("ID", "SIZE") else "left", overflow="fold")
    for one in look.domains:
        name, letters = escape(visible(one.name)), f"{one.state}{' (booted)' if one.booted else ''}"
        rows = [(escape(visible(d.path)), f"{d.gpa:#x}", format_size(d.size)) for d in one.devices] or [("-", "-", "-")]
        for number, row in enumerate(rows):
            grid.add_row(*((str(one.domid), name, letters) if not number else ("", "", "")), *row)
    poison = ", ".join(f"{start:#x}-{end:#x}" for start, end in look.poison) or "none"
    parts: list[Any] = [grid, Text(f"poison: {poison}", style="red" if look.poison else "")]
    if look.blind:
        parts.append(Text("stores are not looked for: there is more than 1G of data on the media"))
    for title, rows_ in (("stored", stored), (f"Xen's log ({calls} hypercalls)", log)):
        parts.append(Text(f"\n{title}", style="bold"))
        parts += [Text(visible(row), no_wrap=True, overflow="ellipsis") for row in rows_] or [Text("-")]
    return Group(*parts)
