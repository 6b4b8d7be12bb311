"""Which commands a replay runs again, and which it does not."""

from __future__ import annotations

from xlpy.cli.tree import TREE
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

VALUED = ("--root", "--xen", "--color")  # options of the command group that take a value
INNER = {"run"}  # its lines are commands of their own
APPLIED = {"boot", "migrate", "export", "import"}  # a processor, another host, this machine: their effect is put back
SKIPPED = {"trace", "acpi check", "acpi diff", "config check", "doctor", "completion", "help", "explain", "watch"}
SKIPPED |= {"xenstore watch", "pmem lint", "console"}  # they concern no host, or this machine, or wait


def name_of(words: Sequence[str]) -> str:
    """The command on a command line, such as ``pmem list``; empty when there is none."""
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] in VALUED else 1
    if at == len(words):
        return ""
    first = words[at]
    if first in TREE and words[at + 1 : at + 2] and words[at + 1] in TREE[first]:
        return f"{first} {words[at + 1]}"
    return first


def is_one_of(words: Sequence[str], kinds: set[str]) -> bool:
    """Whether a command, or its group, is among some."""
    name = name_of(words)
    on_this_machine = "linux" in words and "--dom0" in words
    return name in kinds or name.partition(" ")[0] in kinds or (on_this_machine and kinds is SKIPPED)
