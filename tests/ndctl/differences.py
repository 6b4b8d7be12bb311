"""Where xlpy answers otherwise than the recorded ndctl on purpose: which machine it is, and what xlpy adds.

Each row says in which sequences and commands it holds, what is taken out of both answers, and why. A row that nothing
needs any more is an error.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Difference(NamedTuple):
    """What a pattern finds in an answer to such a command does not count."""

    command: str
    pattern: str
    reason: str


DIFFERENCES = (
    Difference("ndctl create-namespace", r"(?m)^ +--reserve <size>.*\n", "xlpy's own option (design, 4.2.1)"),
    Difference("ndctl create-namespace", r"--reserve (?=$)", "xlpy's own option (design, 4.2.1)"),
)


def plain(command: str, text: str) -> str:
    """An answer without what does not count."""
    for one in DIFFERENCES:
        if re.match(one.command, command):
            text = re.sub(one.pattern, "", text)
    return text
