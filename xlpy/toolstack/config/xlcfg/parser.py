"""From text to settings: simple lines at once, everything else one token at a time."""

from __future__ import annotations

from xlpy.toolstack.config.xlcfg import plain
from xlpy.toolstack.config.xlcfg.reading import Reading
from xlpy.toolstack.config.xlcfg.source import Problem, Refused, Source, printable
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.toolstack.config.xlcfg.machine import TokenMachine
    from xlpy.toolstack.config.xlcfg.settings import Settings


def parse(data: bytes | str, source: str, extra: Sequence[str] = (), *, strict: bool = False) -> Settings:
    """Read a configuration.

    Args:
        data: the file; bytes that are not UTF-8 survive as lone surrogates.
        source: its name in messages.
        extra: ``KEY=VALUE`` settings to append, as on xl's command line.
        strict: read exactly as libxlutil 4.17 does, its quirks included.

    Raises:
        Refused: with every syntax error found.
    """
    text = data if isinstance(data, str) else data.decode("utf-8", "surrogateescape")
    whole = Source(text, source, tuple(extra))
    if isinstance(data, str) or extra:
        _refuse_surrogates(whole)
    reading, at = Reading(whole, strict), 0
    if not strict and whole.text.startswith("\ufeff"):
        reading.warn(0, "the real xl refuses a file that starts with a byte order mark")
        at = 1
    machine: TokenMachine | None = None
    while (at := plain.read(whole.text, at, reading.store)) < len(whole.text):
        if machine is None:
            from xlpy.toolstack.config.xlcfg.machine import TokenMachine

            machine = TokenMachine(reading)
        at = machine.statements(whole.text, at)
    return reading.settled()


def _refuse_surrogates(source: Source) -> None:
    """Refuse a text that no file can hold: half of a character, other than those that stand for single bytes."""
    try:
        source.text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        where = source.position(error.start)
        message = f"U+{ord(source.text[error.start]):04X} is half of a character"
        problem = Problem(where._replace(text=printable(where.text)), message, "error")
        raise Refused(f"{source.name} is not a valid configuration (1 error)", [problem]) from None
