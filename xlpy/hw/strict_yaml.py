"""YAML without surprises: a tree of values, each with its line.

Stricter than YAML 1.1: only ``true`` and ``false`` are booleans (``no`` is text), only plain decimals and ``0x``
numbers are integers (``010`` and ``12:30`` are text), a key occurs once, and there are no aliases, tags or second
documents. The tree is built from the parser's events without recursion, so no input can exhaust the stack.
"""

from __future__ import annotations

import re

import yaml

from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPTH = 16
LENGTH = 1 << 20

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,30})\Z|0x[0-9a-fA-F]{1,32}\Z")
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}

Scalar = str | int | bool | None


class YamlNode:
    """One value: a scalar, a list of nodes, or a dictionary of nodes.

    ``line`` counts from 1; the value of a key has the line of its key.
    """

    __slots__ = ("line", "value")

    def __init__(self, value: Scalar | list[YamlNode] | dict[str, YamlNode], line: int) -> None:
        self.value = value
        self.line = line

    def kind(self) -> str:
        """What this is, in words for messages."""
        if isinstance(self.value, dict):
            return "a mapping"
        if isinstance(self.value, list):
            return "a list"
        text = repr(self.value)
        return "nothing" if self.value is None else text if len(text) < 60 else text[:57] + "..."


class YamlRefused(Exception):
    """The text is not acceptable YAML; ``line`` counts from 1."""

    def __init__(self, text: str, line: int) -> None:
        super().__init__(text)
        self.text = text
        self.line = line


def load(text: str) -> tuple[YamlNode, list[YamlRefused]]:
    """Read one document.

    Returns:
        the tree, and the faults that do not hinder reading on (duplicate keys: the first one counts).

    Raises:
        Refused: a syntax error, an alias, a tag, too deep or too long.
    """
    if len(text) > LENGTH:
        raise YamlRefused(f"{len(text)} characters are too many, the limit is {LENGTH}", 1)
    faults: list[YamlRefused] = []
    try:
        return _build(yaml.parse(text, Loader=_LOADER), faults), faults
    except yaml.MarkedYAMLError as error:
        what = " ".join(part for part in (error.problem, error.context) if part)
        raise YamlRefused(f"not YAML: {what}", getattr(error.problem_mark, "line", 0) + 1) from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: text that cannot be encoded
        reason = getattr(error, "reason", None) or str(error).splitlines()[0]
        position = getattr(error, "position", 0)
        raise YamlRefused(f"not YAML text: {reason}", text.count("\n", 0, position) + 1) from error


def _build(events: Iterator[yaml.Event], faults: list[YamlRefused]) -> YamlNode:
    root = YamlNode(None, 1)
    open_nodes: list[YamlNode] = []
    keys: list[YamlNode | None] = []  # for each open mapping, the key that waits for its value
    documents = 0
    for event in events:
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise YamlRefused("a second document begins here; one machine is one document", line)
            continue
        if isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            open_nodes.pop()
            keys.pop()
            continue
        if isinstance(event, yaml.AliasEvent):
            raise YamlRefused(f"*{event.anchor}: aliases are not supported, write the value out", line)
        if not isinstance(event, yaml.NodeEvent):
            continue
        if getattr(event, "tag", None) not in (None, "!"):
            raise YamlRefused(f"the tag {event.tag} is not supported", line)  # type: ignore[attr-defined]
        if isinstance(event, yaml.ScalarEvent):
            node = YamlNode(_scalar(event), line)
        else:
            node = YamlNode({} if isinstance(event, yaml.MappingStartEvent) else [], line)
        if not open_nodes:
            root = node
        else:
            _place(open_nodes[-1], keys, node, faults)
        if not isinstance(event, yaml.ScalarEvent):
            if len(open_nodes) == DEPTH:
                raise YamlRefused(f"nested deeper than {DEPTH} levels", line)
            open_nodes.append(node)
            keys.append(None)
    return root


def _place(parent: YamlNode, keys: list[YamlNode | None], node: YamlNode, faults: list[YamlRefused]) -> None:
    if isinstance(parent.value, list):
        parent.value.append(node)
        return
    key, keys[-1] = keys[-1], None
    if key is None:
        if isinstance(node.value, (dict, list)) or node.value is None:
            raise YamlRefused(f"a key must be a word, not {node.kind()}", node.line)
        keys[-1] = node
        return
    name = str(key.value)
    node.line = key.line
    if isinstance(parent.value, dict) and parent.value.setdefault(name, node) is not node:
        faults.append(YamlRefused(f"duplicate key {name!r}, first given in line {parent.value[name].line}", key.line))


def _scalar(event: yaml.ScalarEvent) -> Scalar:
    text = event.value
    if event.style or not event.implicit[0]:  # quoted (plain is empty or None), or forced to be text
        return text
    if text in _WORDS:
        return _WORDS[text]
    return int(text, 0) if _INTEGER.match(text) else text
