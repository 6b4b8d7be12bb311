"""``xlpy xenstore``: what xenstore-ls, -read, -write and -watch do."""

from __future__ import annotations

import errno
import re
import time

from xlpy.cli.changing import changing, outcome_json, refuse_failed, tell
from xlpy.cli.declare import argument, command, option
from xlpy.cli.options import dry_run_option, json_option
from xlpy.cli.render import json_document, json_items
from xlpy.cli.show import flush, out, visible
from xlpy.cli.types import IntRange, Seconds
from xlpy.contexts import contextmanager
from xlpy.errors import NotFound, UsageError
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.cli.env import Env
    from xlpy.dom0.xenstore.daemon import Connection

POLL_SECONDS = 0.05
_CONTROL = re.compile(r"/local/domain/([0-9]{1,5})/control/(?:shutdown|sysrq)")

as_domain = option(
    "--domid",
    type=IntRange(0, 0x7FEF),
    default=0,
    metavar="N",
    help="Speak as this domain, with its rights; a relative path starts at its home.",
)


@contextmanager
def _clear_errors() -> Iterator[None]:
    """xenstored's errors as the conventions want them: a missing node, a path that is none."""
    from xlpy.dom0.xenstore.daemon import XenstoreError

    try:
        yield
    except XenstoreError as error:
        if error.errno == errno.ENOENT:
            raise NotFound(str(error), hint="xlpy xenstore ls shows the tree") from None
        if error.errno == errno.EINVAL:
            raise UsageError(str(error), hint="a path is for example /local/domain/1/name") from None
        raise


@command("""
xlpy xenstore ls -f /local/domain/1
xlpy xenstore ls -p /libxl
""")
@argument("path", default="/")
@option("-f", "--full", is_flag=True, help="Print whole paths instead of a tree.")
@option("-p", "--perms", is_flag=True, help="Print permissions: owner first, then n, r, w or b with domids.")
@as_domain
@json_option
def list_nodes(env: Env, path: str, full: bool, perms: bool, domid: int, as_json: bool) -> None:
    """List the nodes below PATH, with their values."""
    from xlpy.dom0.xenstore.node import READ, absolute_path

    store = env.host.xenstore
    connection = store.connection(domid)
    with _clear_errors():
        top = absolute_path(path, domid)
        connection.directory(top)
    nodes = {
        key: node
        for key, node in store.tree(top).items()
        if key not in (top, "/") and connection.rights(node.perms) & READ
    }
    if as_json:
        rows = [
            {"path": key, "value": _text(node.value), "perms": [str(perm) for perm in node.perms]}
            for key, node in nodes.items()
        ]
        json_items("xlpy.xenstore-ls/1", rows)
        return
    above = 1 if top == "/" else top.count("/") + 1
    for key, node in sorted(nodes.items(), key=lambda item: item[0].split("/")):
        shown = key if full else " " * (key.count("/") - above) + key.rpartition("/")[2]
        rights = f"   ({','.join(map(str, node.perms))})" if perms else ""
        out(f'{shown} = "{_escaped(_text(node.value))}"{rights}')


@command("""
xlpy xenstore read /local/domain/1/name
xlpy xenstore read --domid 1 control/shutdown
""")
@argument("paths", nargs=-1, required=True, metavar="PATH...")
@option("-p", "--prefix", is_flag=True, help="Print the path in front of the value.")
@as_domain
@json_option
def read(env: Env, paths: tuple[str, ...], prefix: bool, domid: int, as_json: bool) -> None:
    """Print the values of nodes."""
    connection = env.host.xenstore.connection(domid)
    with _clear_errors():
        values = [connection.read(path) for path in paths]
    if as_json:
        rows = [{"path": path, "value": value} for path, value in zip(paths, values, strict=True)]
        json_items("xlpy.xenstore-read/1", rows)
        return
    for path, value in zip(paths, values, strict=True):
        out(f"{path}: {value}" if prefix else value)


@command("""
xlpy xenstore write /local/domain/1/data/note hello
xlpy xenstore write /local/domain/1/control/shutdown reboot
""")
@argument("words", nargs=-1, required=True, metavar="PATH VALUE...")
@as_domain
@dry_run_option
@json_option
def write(env: Env, words: tuple[str, ...], domid: int, as_json: bool) -> None:
    """Set the values of nodes, all or none; missing nodes on the way are made.

    A guest watches its control/shutdown and control/sysrq, and acts on what is written there.
    """
    if len(words) % 2:
        raise UsageError(f"{words[-1]} has no value", hint="xlpy xenstore write PATH VALUE")
    pairs = list(zip(words[::2], words[1::2], strict=True))
    with changing(env, "xenstore write") as dry:
        life = env.host.lifecycle
        connection = env.host.xenstore.connection(domid)
        with _clear_errors():
            tree = connection.transaction()
            for path, value in pairs:
                tree.write(path, value)
            tree.abort() if dry else tree.commit()
        if not dry:
            for guest in _asked(connection, pairs):
                if env.host.xen.find(guest) is not None:
                    life.wake(guest)
        outcomes = life.settle(env.step)
        refuse_failed(outcomes)
    if as_json:
        rows: list[dict[str, Any]] = [{"path": path, "value": value} for path, value in pairs]
        followed = [outcome_json(outcome) for outcome in outcomes]
        json_document("xlpy.xenstore-write/1", items=rows, followed=followed, dry_run=dry)
    tell(env, outcomes)


def _asked(connection: Connection, pairs: list[tuple[str, str]]) -> list[int]:
    """The guests that have been asked something by what was written."""
    from xlpy.dom0.xenstore.node import absolute_path

    found = (_CONTROL.fullmatch(absolute_path(path, connection.domid)) for path, _ in pairs)
    return sorted({int(match[1]) for match in found if match and int(match[1])})


@command("""
xlpy xenstore watch -n 1 -T 10 /local/domain/1/control/shutdown
""")
@argument("paths", nargs=-1, required=True, metavar="PATH...")
@option("-n", "--events", "count", type=IntRange(1), metavar="N", help="End after N events.")
@option("-T", "--timeout", type=Seconds(), metavar="S", help="End after S seconds.")
@as_domain
@json_option
def watch(
    env: Env, paths: tuple[str, ...], count: int | None, timeout: float | None, domid: int, as_json: bool
) -> None:
    """Print the path of every node that changes at or below PATH, by any command or domain.

    As with every watch of xenstore, one event for each PATH comes at once. Without -n and -T it ends with Ctrl-C.
    """
    from xlpy.toolstack.domain.watching import Watcher

    if timeout is not None and timeout != timeout:
        raise UsageError("the timeout is not a number", hint="seconds, such as 2.5")
    deadline = None if timeout is None else time.monotonic() + timeout
    xenstore = env.host.xenstore
    with _clear_errors():
        watcher = Watcher(xenstore, xenstore.connection(domid), paths)
    events, shown, items = list(paths), 0, []
    while True:
        for path in events[: None if count is None else count - shown]:
            shown += 1
            if as_json:
                items.append({"path": path})
            else:
                out(path)
                flush()
        if shown == count or (deadline is not None and time.monotonic() >= deadline):
            break
        time.sleep(POLL_SECONDS)
        events = watcher.poll()
    if as_json:
        json_items("xlpy.xenstore-watch/1", items)


def _text(value: str) -> str:
    return value.encode("latin-1").decode(errors="surrogateescape")


def _escaped(value: str) -> str:
    return visible(value.replace("\\", "\\\\").replace('"', '\\"'))
