"""What can go wrong in AML, with the status names that ACPICA (and so Linux's kernel log) uses."""

from __future__ import annotations

from xlpy.errors import FormatError


class AmlError(FormatError):
    """AML is malformed, or its evaluation failed.

    Args:
        status: ACPICA's exception name, such as ``AE_NOT_FOUND``.
        message: what was found, and what is required.
        offset: of the opcode, in bytes from the start of its table; the evaluator fills it in.
        path: the table, and the method if there is one; likewise.
    """

    code = "XLPY-AML"

    def __init__(self, status: str, message: str, *, offset: int | None = None, path: str | None = None) -> None:
        super().__init__(message, offset=offset, path=path)
        self.status = status

    def at(self, offset: int, path: str) -> AmlError:
        """Fill in the place, unless it is known already."""
        if self.offset is None:
            self.offset, self.path = offset, path
        return self

    def __str__(self) -> str:
        place = "" if self.offset is None else f" (at {self.offset:#x} in {self.path})"
        return f"{self.status}: {self.message}{place}"
