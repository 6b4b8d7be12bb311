"""What differs between a real xl and xlpy on purpose, and what still does although it should not.

A departure names the row of docs/departures.md that explains it; a test holds that the row is there. What is known has
a reason of its own and goes when xlpy agrees. A row that nothing needs any more is an error in either table.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from realxen.compare import Finding
    from realxen.steps import Step


class Difference(NamedTuple):
    """A kind of finding that is expected.

    command, place: patterns for the step's command and for what `Finding.place` says, each matched from its start;
    kind: of the finding; row: beginning of a row of docs/departures.md, or why it is known and not yet right; xen: the
    only version that it holds for, if not for all.
    """

    command: str
    kind: str
    place: str
    row: str
    xen: str = ""

    def explains(self, step: Step, finding: Finding, xen: str) -> bool:
        """Whether this row is about that finding beside that version of Xen."""
        return (
            self.xen in ("", xen)
            and self.kind == finding.kind
            and re.match(self.command, step.text) is not None
            and re.match(self.place, finding.place) is not None
        )


STATUS = "exit status of every command"
DEPARTURES: tuple[Difference, ...] = (
    Difference("xl (pause|unpause|uptime|vcpu-list) 99", "status", "", STATUS),
    Difference("xl trigger h nmi 7", "status", "", STATUS),
    Difference("xl block-list nosuch", "status", "", STATUS),
    Difference("xl info bogus", "status", "", STATUS),
    Difference("xl info$", "output", "", "`info`"),
    Difference("xl list -l", "output", "", "`list -l`"),
)

KNOWN: tuple[Difference, ...] = ()


def unexplained(findings: Iterable[tuple[Step, Finding]], xen: str) -> list[str]:
    """The findings that no row is about, as text."""
    rows = (*DEPARTURES, *KNOWN)
    return [
        f"after {step.text}: {one}" for step, one in findings if not any(row.explains(step, one, xen) for row in rows)
    ]
