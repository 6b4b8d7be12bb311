"""Errors of the kernel, and its log."""

from __future__ import annotations

import os
from errno import ENXIO

from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NoReturn


class NdError(OSError):
    """A write to sysfs, a bind or an ioctl that Linux refuses.

    errno: as the system call sets it; strerror: its text; why: the reason, for people.
    """

    def __init__(self, number: int, why: str = "") -> None:
        super().__init__(number, os.strerror(number))
        self.why = why

    def __str__(self) -> str:
        return f"{self.strerror}: {self.why}" if self.why else str(self.strerror)


def refuse(number: int, why: str) -> NoReturn:
    """Raise the error with this errno."""
    raise NdError(number, why)


def no_value(what: str) -> NoReturn:
    """A read of an attribute that has no value now."""
    raise NdError(ENXIO, f"{what} has no value")
