"""The values of settings: texts and lists with their positions in the file."""

from __future__ import annotations


class Text(str):
    """A string or number token; numbers are kept as they were written. ``offset`` is where its token starts."""

    __slots__ = ("offset",)

    offset: int


class Items(list["Value"]):
    """A list; ``offset`` is where its ``[`` stands."""

    __slots__ = ("offset",)

    offset: int


Value = Text | Items


class Setting:
    """The newest assignment to a key.

    Args:
        key: its name.
        value: what it was given; for ``+=`` the sum.
        key_offset: where the key stands.
        added: whether ``+=`` made it; numbers then can't be read.
    """

    __slots__ = ("added", "key", "key_offset", "value")

    def __init__(self, key: str, value: Value, key_offset: int, added: bool) -> None:
        self.key = key
        self.value = value
        self.key_offset = key_offset
        self.added = added
