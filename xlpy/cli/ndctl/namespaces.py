"""What all commands on namespaces have in common: their options, the checks of values, and the walk over namespaces."""

from __future__ import annotations

from errno import ENXIO

from xlpy.addr import PAGE
from xlpy.cli.ndctl import filters
from xlpy.cli.ndctl.device import disable_unused, enable_namespace
from xlpy.cli.ndctl.options import NdctlOption, Parser, Values, flag, text
from xlpy.cli.ndctl.session import strerror
from xlpy.cli.ndctl.sizes import NONE
from xlpy.typing import TYPE_CHECKING
from xlpy.uuids import uuid_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from xlpy.cli.ndctl.session import NdctlSession
    from xlpy.dom0.nvdimm.nd.bus import Nd
    from xlpy.dom0.nvdimm.nd.namespace import NdNamespace
    from xlpy.dom0.nvdimm.nd.region import NdRegion

BASE = (
    text("b", "bus", "bus-id", "limit namespace to a bus with an id or provider of <bus-id>"),
    text("r", "region", "region-id", "limit namespace to a region with an id or name of <region-id>"),
    flag("v", "verbose", "emit extra debug messages to stderr"),
)
DESTROY = (*BASE, flag("f", "force", "destroy namespace even if currently active"))


def mode_of(word: str | None) -> str | None:
    """The mode that a word means; None for none, or an unknown one."""
    from xlpy.cli.ndctl.objects import MODE_WORDS
    from xlpy.dom0.nvdimm.namespace import MODE_OF

    return MODE_OF.get(MODE_WORDS.get((word or "").lower(), ""))


class CheckedOptions:
    """Values of options, checked one by one; every fault is reported before the command ends.

    Args:
        session: for messages.
        values: that may be changed: defaults are filled in.
    """

    def __init__(self, session: NdctlSession, values: Values) -> None:
        self._session = session
        self._values = values
        self.sound = True

    def fault(self, message: str) -> None:
        """Something is wrong."""
        self._session.error(f"{message}\n")
        self.sound = False

    def sizes(self) -> None:
        """``--size``, ``--offset`` and ``--align``, as far as the command has them."""
        values = self._values
        if self._session.size(values.get("size")) == NONE:
            self.fault(f"failed to parse namespace size '{values.size}'")
        if self._session.size(values.get("offset")) == NONE:
            self.fault(f"failed to parse physical offset'{values.offset}'")
        if values.get("align") is not None:
            align = self._session.size(values.align)
            if align == NONE:
                self.fault(f"failed to parse namespace alignment '{values.align}'")
            elif align & (align - 1) or align < PAGE:
                self.fault(f"align must be a power-of-2 greater than {PAGE}")
        if self._session.size(values.get("size")) == NONE:
            self.fault(f"failed to parse namespace size '{values.size}'")

    def uuids(self) -> None:
        """``--uuid`` and ``--parent-uuid``."""
        for key in ("uuid", "parent_uuid"):
            word = self._values.get(key)
            if word is not None and not is_uuid(word):
                self.fault(f"failed to parse uuid: '{word}'")

    def map(self, mode: str | None) -> None:
        """``--map``, which is valid with some modes only; ``mode``: the word given, when the mode is known by then."""
        word = self._values.map
        if word is None:
            return
        if word not in ("mem", "dev"):
            self.fault(f"invalid map location '{word}'")
        if mode is not None and mode not in ("fsdax", "devdax"):
            self.fault("--map only valid for an devdax mode pmem namespace")


def is_uuid(word: str) -> bool:
    """Whether libuuid takes a text for a UUID."""
    try:
        uuid_bytes(word)
    except ValueError:
        return False
    return len(word) == 36


def one_name(
    session: NdctlSession, options: Sequence[NdctlOption], usage: str, words: Sequence[str], action: str
) -> tuple[Values, str]:
    """The values of a command's options, and the one namespace that it is about."""
    parser = Parser(session, options, usage)
    values, rest = parser.parse(words)
    checked = CheckedOptions(session, values)
    extra(checked, rest, action)
    if not checked.sound:
        parser.usage()
    return values, rest[0]


def extra(checked: CheckedOptions, rest: Sequence[str], action: str) -> None:
    """Words that are no options: the first is a namespace, there are no more."""
    if not rest:
        checked.fault(f'specify a namespace to {action}, or "all"')
    for word in rest[1:]:
        checked.fault(f'unknown extra parameter "{word}"')


def chosen_regions(nd: Nd, values: Values) -> Iterator[NdRegion]:
    """The regions that ``-b`` and ``-r`` leave."""
    for bus in filters.buses(nd):
        if filters.wants_bus(bus, values.bus):
            yield from (one for one in filters.regions(bus) if filters.wants_region(one, values.region))


def walk(nd: Nd, values: Values, name: str, act: Callable[[NdNamespace], int]) -> tuple[int, int]:
    """Do something with each namespace of a name, or with all that are something.

    Args:
        act: returns 0: done; positive: skipped; negative: the errno of a failure.

    Returns:
        (what the last one returned, how many were done); -ENXIO when a name fits none.
    """
    result, done = (0 if name == "all" else -ENXIO), 0
    for region in chosen_regions(nd, values):
        for one in filters.namespaces(region):
            if one.dev != name and (name != "all" or not (one.size or (one.has_label and one.uuid))):
                continue
            result = act(one)
            done += result == 0
            result = min(result, 0)
    return result, done


def summary(session: NdctlSession, doing: str, did: str, result: int, done: int, what: str = "namespace") -> int:
    """Say how it went; the result is the command's."""
    if result < 0 and not session.errors:
        session.err(f"error {doing}: {strerror(result)}")
    session.err(f"{did} {done} {what}{'' if done == 1 else 's'}")
    return result


def disable(session: NdctlSession, words: Sequence[str]) -> int:
    """``disable-namespace``."""
    usage = "ndctl disable-namespace <namespace> [<options>]"
    values, name = one_name(session, BASE, usage, words, "disable")
    session.subject = "disable namespace"
    with session.change(f"ndctl disable-namespace {name}") as nd:
        found = walk(nd, values, name, lambda one: disable_unused(session, one))
    return summary(session, "disabling namespaces", "disabled", *found)


def enable(session: NdctlSession, words: Sequence[str]) -> int:
    """``enable-namespace``."""
    usage = "ndctl enable-namespace <namespace> [<options>]"
    values, name = one_name(session, BASE, usage, words, "enable")
    session.subject = "enable namespace"
    with session.change(f"ndctl enable-namespace {name}") as nd:
        found = walk(nd, values, name, lambda one: min(enable_namespace(session, one), 0))
    return summary(session, "enabling namespaces", "enabled", *found)


def destroy(session: NdctlSession, words: Sequence[str]) -> int:
    """``destroy-namespace``."""
    from xlpy.cli.ndctl.apart import take_apart

    usage = "ndctl destroy-namespace <namespace> [<options>]"
    values, name = one_name(session, DESTROY, usage, words, "destroy")
    session.subject = "destroy namespace"
    with session.change(f"ndctl destroy-namespace {name}") as nd:
        found = walk(nd, values, name, lambda one: take_apart(session, one, values.force, delete=True))
    return summary(session, "destroying namespaces", "destroyed", *found)
