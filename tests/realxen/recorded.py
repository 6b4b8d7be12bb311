"""Answers of the real Xen in a file: made by `python -m realxen.record`, read where no real Xen can be had.

Text, so that a change can be read in a diff: ``$`` the command, ``=`` its status, ``>`` and ``!`` lines of its two
outputs, ``~`` that a listing of the store follows as what it has more (``+``) and less (``-``) than the last one. A
backslash ends the last line of an output that has no line end.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from realxen.scene import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from realxen.steps import Step

FOLDER = Path(__file__).parent / "recorded"


def file(xen: str) -> Path:
    """Where the answers of a version of Xen are."""
    return FOLDER / f"{xen}.txt"


def _marked(mark: str, text: str) -> Iterator[str]:
    lines = text.split("\n")
    yield from (f"{mark}{line}" for line in lines[:-1])
    if lines[-1]:
        yield f"{mark}{lines[-1]}\\"


def dump(steps: Iterable[Step], answers: Iterable[Answer]) -> str:
    """The text of a file."""
    lines: list[str] = []
    last: list[str] = []
    for step, answer in zip(steps, answers, strict=True):
        lines += [f"${step.text}", f"={answer.status}", *_marked(">", answer.out), *_marked("!", answer.err)]
        if answer.tree:
            tree = answer.tree.splitlines()
            before, after = set(last), set(tree)
            lines += ["~", *(f"-{line}" for line in last if line not in after)]
            lines += [f"+{line}" for line in tree if line not in before]
            last = tree
    return "\n".join(lines) + "\n"


def load(text: str) -> tuple[list[str], list[Answer]]:
    """The commands and the answers of a file."""
    commands: list[str] = []
    rows: list[dict[str, str]] = []
    tree: set[str] = set()
    for line in text.split("\n")[:-1]:
        mark, rest = line[:1], line[1:]
        if mark == "$":
            commands.append(rest)
            rows.append({"=": "0", ">": "", "!": "", "~": ""})
        elif mark in ">!":
            rows[-1][mark] += rest.removesuffix("\\") if rest.endswith("\\") else f"{rest}\n"
        elif mark == "=":
            rows[-1]["="] = rest
        elif mark in "+-":
            (tree.add if mark == "+" else tree.discard)(rest)
        if mark in "~+-":
            rows[-1]["~"] = "tree"
            rows[-1]["tree"] = "\n".join(sorted(tree)) + "\n"
    return commands, [Answer(int(row["="]), row[">"], row["!"], row.get("tree", "")) for row in rows]
