"""Completing ``KEY=VALUE`` on a command line, from the table of keys."""

from __future__ import annotations

from xlpy.toolstack.config.options import OPTIONS
from xlpy.toolstack.config.options.option import BOOLEAN, BOOLEAN_OR_LIST, LIST, LISTS
from xlpy.xen_version import DEFAULT, chosen


def complete(text: str) -> list[tuple[str, str]]:
    """What ``text`` may become: (whole word, help).

    Before the ``=`` these are the keys, with their ``=``, of the version of Xen that is asked for; behind it the legal
    values, quoted for the configuration language.
    """
    key, equals, value = text.partition("=")
    key = key.removesuffix("+")
    if not equals:
        return [
            (f"{option.key}=", option.help.partition(".")[0])
            for option in OPTIONS.values()
            if option.key.startswith(key) and option.known_to(chosen() or DEFAULT)
        ]
    option = OPTIONS.get(key)
    if option is None:
        return []
    values = [f'"{legal}"' for legal in option.legal]
    if option.type in (BOOLEAN, BOOLEAN_OR_LIST):
        values += ["0", "1"]
    elif option.type in (LIST, LISTS):
        values = ["["]
    return [(f"{text[: len(text) - len(value)]}{legal}", "") for legal in values if legal.startswith(value)]
