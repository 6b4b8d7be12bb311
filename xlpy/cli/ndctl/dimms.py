"""What all commands on DIMMs have in common, and those that switch them on and off."""

from __future__ import annotations

from errno import EBUSY

from xlpy.cli.ndctl import filters
from xlpy.cli.ndctl.device import disable_dimm, enable_dimm
from xlpy.cli.ndctl.options import Parser, Values, flag, text
from xlpy.cli.ndctl.sizes import BLANKS
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from xlpy.cli.ndctl.session import NdctlSession
    from xlpy.dom0.nvdimm.nd.bus import Nd
    from xlpy.dom0.nvdimm.nd.dimm import Nvdimm

BASE = (
    text("b", "bus", "bus-id", "<nmem> must be on a bus with an id/provider of <bus-id>"),
    flag("v", "verbose", "turn on debug"),
)
MANY = "<nmem0> [<nmem1>..<nmemN>] [<options>]"
FAILURE = 1


def is_name(word: str) -> bool:
    """Whether a word can be the name of a DIMM: only its beginning is looked at."""
    return word.startswith("nmem") and word[4:].lstrip(BLANKS).lstrip("+-")[:1].isdigit()


def names(session: NdctlSession, parser: Parser, rest: Sequence[str]) -> list[str]:
    """The names of DIMMs on a command line; ``all`` means all of them, wherever it is."""
    if not rest:
        parser.usage()
    if "all" in rest:
        before = rest[: rest.index("all")]
        wrong = [word for word in before if not is_name(word)]
        for word in wrong:
            session.err(f"'{word}' is not a valid dimm name")
        if len(wrong) == 1:
            parser.usage()
        return ["all"]
    wrong = [word for word in rest if not is_name(word)]
    for word in wrong:
        session.err(f"'{word}' is not a valid dimm name")
    if len(wrong) == len(rest):
        parser.usage()
    return [word for word in rest if word not in wrong]


def chosen(nd: Nd, values: Values, wanted: Sequence[str]) -> Iterator[Nvdimm]:
    """The DIMMs that are meant, name by name."""
    for name in wanted:
        for bus in filters.buses(nd):
            if filters.wants_bus(bus, values.bus):
                yield from (one for one in filters.dimms(bus) if filters.wants_dimm(one, name))


def each(dimms: Iterator[Nvdimm], act: Callable[[Nvdimm], int]) -> int:
    """Do something with each DIMM: how many it was done with, or the first failure when with none."""
    done, failed = 0, 0
    for dimm in dimms:
        result = act(dimm)
        done += result == 0
        failed = failed or result
    return done or failed


def summary(session: NdctlSession, told: str, count: int, end: str = "") -> int:
    """Say with how many DIMMs it was done; ``told``: what was done, and the word for a DIMM."""
    session.err(f"{told.format(max(count, 0))}{'s' * (count > 1)}{end}")
    return 0 if count >= 0 else FAILURE


def switch(session: NdctlSession, words: Sequence[str], verb: str, act: Callable[[NdctlSession, Nvdimm], int]) -> int:
    """``enable-dimm`` and ``disable-dimm``."""
    parser = Parser(session, BASE, f"ndctl {verb}-dimm {MANY}")
    values, rest = parser.parse(words)
    wanted = names(session, parser, rest)
    with session.change(f"ndctl {verb}-dimm {' '.join(wanted)}") as nd:
        count = each(chosen(nd, values, wanted), lambda dimm: act(session, dimm))
    return summary(session, f"{verb}d {{}} nmem", count)


def enable(session: NdctlSession, words: Sequence[str]) -> int:
    """``enable-dimm``."""
    return switch(session, words, "enable", enable_dimm)


def disable(session: NdctlSession, words: Sequence[str]) -> int:
    """``disable-dimm``."""

    def act(session: NdctlSession, dimm: Nvdimm) -> int:
        if dimm.state == "active":
            session.err(f"{dimm.dev} is active, skipping...")
            return -EBUSY
        return disable_dimm(session, dimm)

    return switch(session, words, "disable", act)
