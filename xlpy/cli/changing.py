"""What commands that change a running domain have in common."""

from __future__ import annotations

from xlpy.contexts import contextmanager
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xlpy.cli.env import Env
    from xlpy.toolstack.domain.monitor import Outcome


@contextmanager
def changing(env: Env, what: str, frees: bool = False) -> Iterator[bool]:
    """The host's transaction around a change (see ``Host.change``), or none for a dry run; whether it is one."""
    if env.dry_run:
        yield True
    else:
        with env.host.change(what, frees):
            yield False


def target(env: Env, domain: str) -> int:
    """The domid of a domain whose guest is to be changed. Conflict while `xlpy boot` runs it."""
    domid = env.host.domid(domain)
    if env.host.store.table("boot").get(str(domid)) is not None:
        from xlpy.boot.session import refuse_booted

        refuse_booted(env.host.store, domid)
    return domid


def refuse_failed(outcomes: Sequence[Outcome]) -> None:
    """Fail inside the change when the action after a shutdown has failed, so that all of it is rolled back.

    A crash of the firmware is the guest's, and what ``on_crash`` says has followed it: that stays.
    """
    from xlpy.errors import FirmwareStopped

    for one in outcomes:
        if one.error and not isinstance(one.error, FirmwareStopped):
            one.error.details += (f"nothing has changed: domain {one.domid} ({one.name}) is as it was",)
            raise one.error


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """What followed a shutdown, for ``--json``."""
    fields = outcome._asdict()
    error = fields.pop("error")
    return {**fields, "error": None if error is None else {"code": error.code, "message": str(error)}}


def tell(env: Env, outcomes: Sequence[Outcome]) -> None:
    """Say on stderr what followed, where it is more than the end of a domain."""
    for outcome in outcomes:
        who = f"domain {outcome.domid} ({outcome.name})"
        if outcome.core:
            env.note(f"{who}: core dump in {outcome.core}")
        if outcome.kept_as:
            env.note(f"{who} is kept as {outcome.kept_as}, without its vNVDIMMs")
        if outcome.successor:
            env.note(f"{who} was started again as domain {outcome.successor}")
        elif outcome.action == "preserve":
            env.note(f"{who} has shut down ({outcome.reason}) and is kept: xlpy destroy {outcome.domid} removes it")
        elif outcome.action == "soft-reset" and outcome.error is None:
            env.note(f"{who} was reset and goes on")
