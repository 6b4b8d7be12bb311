"""The settings that were read, and libxlutil's functions to look them up.

Each accessor returns the value or raises ``Unusable`` with the errno that libxlutil returns: ``ESRCH`` for an absent
key, ``EINVAL`` for a wrong type or text, ``ERANGE`` for a number beyond a C ``long``.
"""

from __future__ import annotations

import errno

from xlpy.toolstack.config.xlcfg.values import Items, Setting, Text, Value
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.toolstack.config.xlcfg.source import Position, Problem, Source

LONG_MIN, LONG_MAX = -(1 << 63), (1 << 63) - 1


class Unusable(Exception):
    """A key that is absent, or holds what the accessor cannot use.

    Args:
        errno: as libxlutil returns it.
        message: what is wrong; empty for an absent key.
    """

    def __init__(self, errno: int, message: str = "") -> None:
        super().__init__(message)
        self.errno = errno
        self.message = message


class Settings:
    """The newest value of every key, with its place in the source.

    Args:
        source: the text it was read from.
        settings: by key.
        warnings: found while parsing.
        strict: how it was read.
    binary: whether ``0b`` begins a number, as in the C library with which xl 4.20 comes.
    """

    __slots__ = ("binary", "settings", "source", "strict", "warnings")

    def __init__(
        self,
        source: Source,
        settings: dict[str, Setting],
        warnings: list[Problem],
        strict: bool,
    ) -> None:
        self.source = source
        self.settings = settings
        self.warnings = warnings
        self.strict = strict
        self.binary = False

    def __contains__(self, key: object) -> bool:
        return key in self.settings

    def __iter__(self) -> Iterator[str]:
        return iter(self.settings)

    def __len__(self) -> int:
        return len(self.settings)

    def __getitem__(self, key: str) -> Value:
        return self._setting(key).value

    def where(self, key: str) -> Position:
        """Where the value of ``key`` stands."""
        return self.source.position(self._setting(key).value.offset)

    def where_key(self, key: str) -> Position:
        """Where ``key`` itself stands."""
        return self.source.position(self._setting(key).key_offset)

    def where_in(self, text: Text, index: int) -> Position:
        """Where the character at ``index`` of a string read from this source stands."""
        return self.source.position(raw_offset(self.source.text, text, index))

    def string(self, key: str) -> Text:
        """The text of a string or number, as it was written (``xlu_cfg_get_string``)."""
        return _single(self._setting(key))

    def integer(self, key: str, low: int = LONG_MIN, high: int = LONG_MAX) -> int:
        """A number within inclusive bounds (``xlu_cfg_get_bounded_long``)."""
        setting = self._setting(key)
        text = _single(setting)
        if setting.added:
            raise Unusable(errno.EINVAL, f"{key} is a number, and += joins text; write = instead")
        value = to_long(text, key, self.binary)
        if value < low:
            raise Unusable(errno.EINVAL, f"{key}: {value} is smaller than the least value {low}")
        if value > high:
            raise Unusable(errno.EINVAL, f"{key}: {value} is greater than the greatest value {high}")
        return value

    def boolean(self, key: str) -> bool:
        """A number, of which only zero is false (``xlu_cfg_get_defbool``)."""
        return self.integer(key) != 0

    def items(self, key: str) -> Items:
        """A list (``xlu_cfg_get_list``)."""
        setting = self._setting(key)
        if not isinstance(setting.value, Items):
            raise Unusable(errno.EINVAL, f"{key} is a single value but should be a list")
        return setting.value

    def strings(self, key: str) -> list[Text]:
        """The strings of a list up to the first nested list, where a C string list ends."""
        return leading_texts(self.items(key))

    def _setting(self, key: str) -> Setting:
        setting = self.settings.get(key)
        if setting is None:
            raise Unusable(errno.ESRCH)
        return setting


def _single(setting: Setting) -> Text:
    if isinstance(setting.value, Items):
        raise Unusable(errno.EINVAL, f"{setting.key} is a list but should be a single value")
    return setting.value


def leading_texts(items: Items) -> list[Text]:
    """The items before the first nested list: what xl's "next item until NULL" loops see."""
    texts: list[Text] = []
    for item in items:
        if not isinstance(item, Text):
            break
        texts.append(item)
    return texts


_SHORT = 19  # so many digits may not fit in 64 bits
_BLANKS, _HEXADECIMAL = " \t\n\v\f\r", "0123456789abcdefABCDEF"


def to_long(text: str, what: str = "value", binary: bool = False) -> int:
    """What C's ``strtol(text, &end, 0)`` reads, when it reads all of the text.

    Args:
        text: the number.
        what: named in the error.
        binary: whether ``0b`` begins a binary number: the C library of Debian 13 reads C23.

    Raises:
        Unusable: ``ERANGE`` when the number leaves 64 bits (tested first), ``EINVAL`` when something follows it.
    """
    if text.isascii() and text.isdigit() and text[0] != "0" and len(text) < _SHORT:
        return int(text)
    rest = text.lstrip(_BLANKS)
    sign = rest[:1] if rest[:1] in ("+", "-") else ""
    rest = rest[len(sign) :]
    base, allowed = (8, "01234567") if rest[:1] == "0" else (10, "0123456789")
    if rest[:2] in ("0x", "0X") and rest[2:3] and rest[2] in _HEXADECIMAL:
        base, allowed, rest = 16, _HEXADECIMAL, rest[2:]
    elif binary and rest[:2] in ("0b", "0B") and rest[2:3] in ("0", "1"):
        base, allowed, rest = 2, "01", rest[2:]
    behind = rest.lstrip(allowed)
    if behind != rest:
        digits = rest[: len(rest) - len(behind)].lstrip("0")
        value = int(digits, base) if 0 < len(digits) < 30 else 1 << 64 if digits else 0
        value = -value if sign == "-" else value
        if not LONG_MIN <= value <= LONG_MAX:
            raise Unusable(errno.ERANGE, f"{what}: {text[:40]} does not fit in 64 bits")
        if not behind:
            return value
    raise Unusable(errno.EINVAL, f"{what}: {text[:40]!r} is not a valid number")


def raw_offset(source: str, text: Text, index: int) -> int:
    """Where in the source the character at ``index`` of a decoded string stands.

    Exact for strings that were written in one piece; for others it is where the last piece starts.
    """
    quote = source[text.offset : text.offset + 1]
    if quote not in "\"'" or not quote:
        return text.offset + index
    at = text.offset + 1
    if source.startswith(text[: index + 1], at):
        return at + index
    for _ in range(index):
        if source[at] == quote or source[at] == "\n":
            return text.offset
        at += 4 if source.startswith("\\x", at) else 2 if source[at] == "\\" else 1
    return at
