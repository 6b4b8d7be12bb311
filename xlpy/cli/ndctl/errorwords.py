"""The commands on errors of media: ``clear-errors``, ``inject-error``, ``start-scrub``, ``wait-scrub``."""

from __future__ import annotations

from errno import EINVAL, ENOENT, ENXIO, EOPNOTSUPP

from xlpy.addr import LINE, SECTOR, Spa, Span
from xlpy.cli.ndctl import device, filters
from xlpy.cli.ndctl.jsonc import show, show_array
from xlpy.cli.ndctl.namespaces import BASE, chosen_regions, one_name, summary, walk
from xlpy.cli.ndctl.objects import Detail, bus_object, namespace_object, region_errors
from xlpy.cli.ndctl.options import NdctlOption, Parser, Values, flag, text
from xlpy.cli.ndctl.session import strerror
from xlpy.cli.ndctl.sizes import NONE
from xlpy.errors import XlpyError
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xlpy.cli.ndctl.session import NdctlSession
    from xlpy.dom0.nvdimm.nd.bus import Nd, NdBus
    from xlpy.dom0.nvdimm.nd.namespace import NdNamespace

CLEAR = (*BASE, flag("s", "scrub", "run a scrub to find latent errors"))
INJECT = (
    *BASE,
    text("B", "block", "namespace block offset (512B)", "specify the block at which to (un)inject the error"),
    text("n", "count", "count", "specify the number of blocks of errors to (un)inject"),
    flag("d", "uninject", "un-inject a previously injected error"),
    flag("t", "status", "get error injection status"),
    flag("N", "no-notify", "firmware should not notify OS"),
    flag("S", "saturate", "inject full sector, not just 'ars_unit' bytes"),
    flag("u", "human", "use human friendly number formats "),
)
SCRUB = (flag("v", "verbose", "turn on debug"),)
WAIT = (*SCRUB, NdctlOption("p", "poll", "poll interval (seconds)", kind="number"))
KEPT = (
    "Warning: Un-injecting previously injected errors here will\n"
    "not cause the kernel to 'forget' its badblock entries. Those\n"
    "have to be cleared through the normal process of writing\n"
    "the affected blocks\n\n"
)


def data_span(one: NdNamespace) -> Span[Spa] | None:
    """Where the data of a namespace are; None in sector mode, where they have no place."""
    if one.claim is None:
        return Span(one.resource, one.size)
    return None if one.mode == "safe" else one.claim.data  # type: ignore[attr-defined]


# --- clear-errors ----------------------------------------------------------------------------------------------------


def clear(session: NdctlSession, words: Sequence[str]) -> int:
    """``clear-errors``."""
    usage = "ndctl clear_errors <namespace> [<options>]"
    values, name = one_name(session, CLEAR, usage, words, "clear errors for")
    session.subject = "clear errors namespace"
    scrubbed: set[str] = set()

    def act(one: NdNamespace) -> int:
        bus = one.region.bus
        if one.mode == "safe":
            return 1
        if bus.scrub_state is None:
            session.error(f"{one.dev}: Unable to determine scrub state: {strerror(EOPNOTSUPP)}\n")
            return -EOPNOTSUPP
        if values.scrub and bus.dev not in scrubbed:
            scrubbed.add(bus.dev)
            start(session)
        return _clear(session, one)

    with session.change(f"ndctl clear-errors {name}") as nd:
        result, done = walk(nd, values, name, act)
    return summary(session, "clearing namespaces", "cleared", result, done)


def _clear(session: NdctlSession, one: NdNamespace) -> int:
    from xlpy.events import media_errors

    span = data_span(one)
    who = one.claim.dev if one.claim else one.dev
    assert span is not None
    result = device.disable_unused(session, one)
    if result:
        if one.claim:
            session.error(f"{who}: unable to disable namespace: {strerror(result)}\n")
        return result
    for sector, number in region_errors(one.region):
        bad = Span(Spa(one.region.resource + sector * SECTOR), number * SECTOR)
        if not span.covers(bad):
            continue
        try:
            media_errors.clear(session.host, bad)
        except XlpyError:
            session.error(f"{who}: failed to clear badblock at {{{sector}, {number}}}\n")
            break
    result = device.enable_namespace(session, one)
    if result < 0:
        return result
    show(session, namespace_object(one, Detail(media=True)))
    return 0


# --- inject-error ----------------------------------------------------------------------------------------------------


def inject(session: NdctlSession, words: Sequence[str]) -> int:
    """``inject-error``."""
    parser = Parser(session, INJECT, "ndctl inject-error <namespace> [<options>]")
    values, rest = parser.parse(words)
    places = _places(session, values)
    if places is None:
        return -EINVAL
    if not rest:
        session.error("specify a namespace to inject error to\n")
    for word in rest[1:]:
        session.error(f'unknown extra parameter "{word}"\n')
    if len(rest) != 1:
        parser.usage()
    with session.change(f"ndctl inject-error {rest[0]}") as nd:
        for one in _named(nd, values, rest[0]):
            if one.region.bus.scrub_state is None:
                session.err(f"{one.dev}: error injection not supported")
                return -EOPNOTSUPP
            return ErrorInjection(session, values, one).run(*places)
    session.error(f"{rest[0]}: no such namespace\n")
    return -ENXIO


def _named(nd: Nd, values: Values, name: str) -> Iterator[NdNamespace]:
    for region in chosen_regions(nd, values):
        yield from (one for one in filters.namespaces(region) if one.dev == name)


def _places(session: NdctlSession, values: Values) -> tuple[int, int] | None:
    """(first block, how many); None: the options exclude each other, which has been reported."""
    if values.status and (values.uninject or values.block is not None or values.count is not None or values.saturate):
        session.error("status is invalid with inject or uninject\n")
        return None
    found = []
    for key in ("block", "count"):
        found.append(session.size(values[key]))
        if found[-1] == NONE:
            session.error(f"Invalid {key}: {values[key]}\n")
            return None
    if not values.status and (values.block is None or values.count is None):
        session.error("block and count required for inject/uninject\n")
        return None
    return found[0], found[1]


class ErrorInjection:
    """Errors injected into a namespace, withdrawn, or listed.

    Args:
        session: for messages.
        values: of the options.
        namespace: in which.
    """

    def __init__(self, session: NdctlSession, values: Values, namespace: NdNamespace) -> None:
        self._session = session
        self._values = values
        self._one = namespace

    def run(self, block: int, count: int) -> int:
        """Do what the options say with ``count`` blocks from ``block`` on."""
        values = self._values
        if values.status:
            return self._status()
        doing = "uninject" if values.uninject else "inject"
        spans = self._spans(block, count)
        result = spans if isinstance(spans, int) else self._do(spans)
        if result:
            self._session.err(f"Unable to {doing} error: {strerror(result)} ({result})")
            return result
        if values.uninject:
            self._session.out(KEPT)
        show(self._session, namespace_object(self._one, Detail(human=values.human, media=True)))
        return 0

    def _spans(self, block: int, count: int) -> list[Span[Spa]] | int:
        """Where errors are to be, one for each block; a negative errno when that cannot be."""
        data = data_span(self._one)
        if data is None:
            return -EOPNOTSUPP
        length = SECTOR if self._values.saturate else LINE
        if not count:
            return -EINVAL
        if (block + count) * SECTOR > data.size:
            return -EINVAL
        if self._values.saturate:
            return [Span(Spa(data.start + block * SECTOR), count * SECTOR)]
        return [Span(Spa(data.start + at * SECTOR), length) for at in range(block, block + count)]

    def _do(self, spans: list[Span[Spa]]) -> int:
        from xlpy.events import media_errors

        try:
            if self._values.uninject:
                media_errors.uninject(self._session.host, spans)
            else:
                media_errors.inject(self._session.host, spans, notify=not self._values.no_notify)
        except XlpyError:
            return -EINVAL
        return 0

    def _status(self) -> int:
        from xlpy.events import media_errors

        data = data_span(self._one)
        if data is None:
            self._session.err(f"Unable to get injection status: {strerror(EOPNOTSUPP)} ({-EOPNOTSUPP})")
            return -EOPNOTSUPP
        detail = Detail(human=self._values.human)
        blocks: list[tuple[int, int]] = []
        for bad in media_errors.injected(self._session.host):
            inside = bad.intersect(data)
            if not inside:
                continue
            first = (inside.start - data.start) // SECTOR
            last = (inside.end - 1 - data.start) // SECTOR
            if blocks and blocks[-1][0] + blocks[-1][1] >= first:
                blocks[-1] = (blocks[-1][0], max(blocks[-1][1], last + 1 - blocks[-1][0]))
            else:
                blocks.append((first, last + 1 - first))
        if blocks:
            rows = [{"block": detail.hex(block), "count": detail.hex(count)} for block, count in blocks]
            show(self._session, {"badblocks": rows})
        return 0


# --- scrubs ----------------------------------------------------------------------------------------------------------


def start(session: NdctlSession) -> None:
    """Scrub all persistent memory; it is done at once."""
    from xlpy.events import media_errors

    media_errors.scrub(session.host)


def start_scrub(session: NdctlSession, words: Sequence[str]) -> int:
    """``start-scrub``."""
    usage = "ndctl start-scrub [<bus-id> <bus-id2> ... <bus-idN>] [<options>]"
    return _scrub(session, words, usage, SCRUB, "starting scrub")


def wait_scrub(session: NdctlSession, words: Sequence[str]) -> int:
    """``wait-scrub``: there is none to be waited for."""
    usage = "ndctl wait-scrub [<bus-id> <bus-id2> ... <bus-idN>] [<options>]"
    return _scrub(session, words, usage, WAIT, "waiting for scrub completion")


def _scrub(session: NdctlSession, words: Sequence[str], usage: str, options: Sequence[NdctlOption], doing: str) -> int:
    parser = Parser(session, options, usage)
    values, rest = parser.parse(words)
    wanted = ["all"] if "all" in rest or not rest else rest
    told: list[dict[str, Any]] = []
    failed = 0

    def act(bus: NdBus) -> int:
        if bus.scrub_state is None:
            return -EOPNOTSUPP if bus.provider == "e820" else -ENOENT
        if options is SCRUB:
            start(session)
        return 0

    with session.change(f"ndctl {'start' if options is SCRUB else 'wait'}-scrub") as nd:
        for name in wanted:
            found = [bus for bus in filters.buses(nd) if filters.wants_bus(bus, name)]
            for bus in found:
                result = act(bus)
                failed = failed or result
                if not result:
                    told.append(bus_object(bus))
            if not found and values.verbose:
                session.err(f"no bus matches id: {name}")
    if told:
        show_array(session, told, human=False)
        return 0
    result = failed or -ENXIO
    session.err(f"error {doing}: {strerror(result)}")
    return result
