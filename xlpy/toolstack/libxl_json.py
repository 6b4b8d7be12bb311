"""The configuration as libxl writes it: field order, names, and what is left out because it is the default."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xlpy.toolstack.libxl_types import DEFAULTS, PLAIN_BOOLEANS, STRUCTURES

if TYPE_CHECKING:
    from xlpy.toolstack.reading.reader import Leaf, Node


def document(tree: Node, guest: str) -> Node:
    """The JSON object of a whole configuration.

    Args:
        tree: values in libxl's structure, in any order.
        guest: ``hvm``, ``pv`` or ``pvh``; decides which fields the union in ``b_info`` has.
    """
    return structure("domain_config", tree, guest)


def structure(name: str, values: Node, guest: str = "") -> Node:
    """The JSON object of one structure: every substructure, and each field that differs from its default."""
    written: Node = {}
    for field in STRUCTURES[name]:
        if field[0] == "+":
            field = field[1:]
            if field == "u":
                written[f"type.{guest}"] = structure(guest, values.get("u", {}), guest)
            else:
                written[field] = structure(field, values.get(field, {}), guest)
            continue
        array = field[0] == "*"
        if array:
            field = field[1:]
        value = values.get(field)
        if array:
            if value:
                written[field] = [structure(field, item, guest) for item in value]
        elif isinstance(value, bool):
            if field not in PLAIN_BOOLEANS:
                written[field] = str(value)
            elif value:
                written[field] = True
        elif field.startswith(("connection.", "type.")):
            if field in values:
                written[field] = value
        elif field in DEFAULTS:
            if value is not None and value != DEFAULTS[field]:
                written[field] = value
        elif value or isinstance(value, str):
            written[field] = value
    return written


def dumps(value: Leaf, indent: int = 4) -> bytes:
    """The text of a JSON document as xl prints it; bytes that were not UTF-8 come out as they went in."""
    import json

    return json.dumps(value, indent=indent, ensure_ascii=False).encode("utf-8", "surrogateescape")
