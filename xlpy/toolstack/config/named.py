"""Files that a configuration names: what is wrong with one is wrong with the configuration."""

from __future__ import annotations

from xlpy import limits
from xlpy.errors import ConfigError, HostTrouble, NotFound
from xlpy.inputs import open_plain, read_file
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")


def read_named(key: str, path: str) -> bytes:
    """The content of a firmware file that is named under a key. ConfigError: errors of ``read_file``."""
    return _tried(lambda: read_file(path, limits.FIRMWARE, f"{key}: {path}"))


def check_named(key: str, path: str) -> None:
    """ConfigError unless the file that is named under a key can be opened."""
    _tried(lambda: open_plain(path, f"{key}: {path}")).close()


def _tried(read: Callable[[], T]) -> T:
    try:
        return read()
    except (NotFound, HostTrouble) as error:
        raise ConfigError(error.message, hint=error.hint) from None
