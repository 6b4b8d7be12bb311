"""A failing state made small: the fewest lines whose loss still makes the check fail. It can be replayed."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from xlpy.errors import FormatError
from xlpy.inputs import read_file
from xlpy.limits import COUNTEREXAMPLE
from xlpy.outputs import replaced, replacing
from xlpy.powercut.bench import close
from xlpy.powercut.check import Check
from xlpy.powercut.explore import Exploration, ExploreOptions
from xlpy.powercut.image import Image
from xlpy.powercut.states import high
from xlpy.powercut.subject import Subject
from xlpy.powercut.trace import Trace
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.powercut.check import Verdict
    from xlpy.powercut.explore import StateResult

SCHEMA = "xlpy.powercut/1"
MOST_CHECKS = 200  # of one reduction


class Counterexample(NamedTuple):
    """A state in which a check fails. device: in the trace. state: by line, how many of its stores are left; lost: the
    places of lines that lack a store; open_lines: how many lines might have. command, timeout, guest: the check."""

    trace: str
    device: str | None
    epoch: int
    state: dict[int, int]
    lost: list[str]
    open_lines: int
    command: list[str]
    timeout: float
    guest: bool
    status: int | None
    output: str


def reduced(trace: Trace, options: ExploreOptions, failing: StateResult) -> Counterexample:
    """Give lost lines back, half of them at a time and then fewer, as long as the check still fails (ddmin).

    Args:
        trace, options: of the exploration. failing: one of its results.
    """
    check = options.check._replace(prune=False)
    exploration = Exploration(trace, options._replace(check=check), lambda _result: None)
    lines, durable = exploration.at(failing.epoch)
    full = high(lines)
    state = {a: failing.state.get(a, lines[a].durable) for a in lines}
    verdict, checks = failing.verdict, 0
    lost = [a for a, most in full.items() if state[a] < most]
    share = 2
    try:
        while len(lost) > 1 and checks < MOST_CHECKS:
            size = -(-len(lost) // share)
            for at in range(0, len(lost), size):
                back = lost[at : at + size]
                tried = {**state, **{a: full[a] for a in back}}
                checks += 1
                found = exploration.check(lines, durable, tried)
                if not found.passed:
                    state, verdict = tried, found
                    lost = [a for a in lost if a not in back]
                    share = max(share - 1, 2)
                    break
            else:
                if size == 1:
                    break
                share = min(share * 2, len(lost))
    finally:
        close(exploration.bench)
    places = [f"{trace.place(a)}: {full[a] - state[a]} of {full[a]} stores lost" for a in sorted(lost)]
    return Counterexample(
        str(trace.path.absolute()),
        options.device,
        failing.epoch,
        state,
        places,
        len(full),
        list(check.command),
        check.timeout,
        check.guest,
        verdict.status,
        verdict.output,
    )


def save(path: Path, found: Counterexample) -> None:
    """Write a counterexample."""
    fields: dict[str, Any] = {"schema": SCHEMA, **found._asdict()}
    fields["state"] = {f"{address:#x}": left for address, left in found.state.items()}
    with replacing(path) as file:
        file.write(json.dumps(fields, indent=1).encode())


def load(path: Path) -> Counterexample:
    """Read a counterexample. FormatError: it is none, or damaged. Others as ``read_file``."""
    try:
        fields = json.loads(read_file(path, COUNTEREXAMPLE, nonempty=True))
        if fields.pop("schema") != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        fields["state"] = {int(address, 16): int(left) for address, left in fields["state"].items()}
        return Counterexample(**fields)
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise FormatError(
            f"{path} is no counterexample: it is not JSON", hint="xlpy trace cut writes one for each failure"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FormatError(f"{path} is no counterexample: {error}") from error


def replay(found: Counterexample, image: Path, say: Callable[[str], None], subject: type[Subject] = Subject) -> Verdict:
    """Build the state again and run its check on it.

    Args:
        image: where the image goes; it stays. say: told what is done. subject: what makes ``{domain}``.

    Raises:
        NotFound: the trace is not there any more. FormatError: it has changed.
    """
    trace = Trace(Path(found.trace))
    check = Check(tuple(found.command), found.timeout, found.guest)
    exploration = Exploration(trace, ExploreOptions(check, found.device, subject=subject), lambda _result: None)
    lines, durable = exploration.at(found.epoch)
    if not all(a in lines and lines[a].durable <= left <= len(lines[a].stores) for a, left in found.state.items()):
        raise FormatError(f"{found.trace} is not the trace that the counterexample is of", hint="explore it anew")
    what = "the vNVDIMMs, one after the other" if check.domain else f"/dev/{trace.device(found.device).dev}"
    say(f"{image}: {what} after a failure at the end of epoch {found.epoch}")
    say(f"running its check: {shlex.join(found.command)}")
    try:
        verdict = exploration.check(lines, durable, found.state)
    finally:
        close(exploration.bench)
    source = exploration.source
    with replaced(image) as fresh:
        made = Image(Path(fresh), trace.base, source.start, source.size, str(image))
        made.set(durable, exploration.kept(lines, found.state))
        made.close()
    return verdict
