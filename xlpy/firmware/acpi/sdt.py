"""The system description table header, and what all tables share (ACPI 6.5, 5.2.6).

A ``TableFormat`` is a signature and the construct of everything behind the 36-byte header; the header itself, its
length and its checksum are handled here.
"""

from __future__ import annotations

from io import SEEK_CUR, BytesIO
from typing import IO, Unpack

from construct import (
    Bytes,
    ConstError,
    Construct,
    ConstructError,
    Container,
    ExprAdapter,
    ListContainer,
    StreamError,
    Subconstruct,
    TerminatedError,
)

from xlpy.errors import FormatError
from xlpy.firmware.acpi.header import (
    HEADER_SIZE,
    Header,
    build_table,
    check_header,
    checksum,
    set_checksum,
    verify,
)
from xlpy.typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from construct.core import Context

    from xlpy.firmware.acpi.header import Identity

__all__ = [
    "HEADER_SIZE",
    "Header",
    "Plain",
    "TableFormat",
    "build_table",
    "check_header",
    "checksum",
    "set_checksum",
    "text",
    "verify",
]

P = TypeVar("P")


def text(size: int) -> Construct[str, str]:
    """A construct of ``size`` characters, padded with NUL; other bytes than ASCII survive as Latin-1."""
    return ExprAdapter(
        Bytes(size),
        lambda data, _: data.rstrip(b"\0").decode("latin-1"),
        lambda words, _: words.encode("latin-1").ljust(size, b"\0"),
    )


class ToEnd(Subconstruct):  # type: ignore[type-arg]
    """As many items as the stream holds. Unlike ``GreedyRange`` it lets the error of a malformed item out."""

    def _parse(self, stream: IO[bytes], context: Context, path: str) -> ListContainer[Any]:
        items: ListContainer[Any] = ListContainer()
        while stream.read(1):
            stream.seek(-1, SEEK_CUR)
            items.append(self.subcon._parsereport(stream, context, f"{path}[{len(items)}]"))
        return items

    def _build(self, obj: Iterable[Any], stream: IO[bytes], context: Context, path: str) -> int:
        for number, item in enumerate(obj):
            self.subcon._build(item, stream, context, f"{path}[{number}]")
        return obj  # type: ignore[return-value]  # what was built, whatever the stubs say


def parse(form: Construct[P, Any], data: bytes, path: str, offset: int = 0, **params: int | None) -> P:
    """Parse all of ``data``.

    Args:
        form: the construct.
        data: the bytes; every one of them must be consumed.
        path: what is being parsed, for the error.
        offset: where ``data`` starts in the blob that the user knows, for the error.
        params: values that the construct finds as ``this._params``.

    Raises:
        FormatError: with the byte offset and the path of the field.
    """
    stream = BytesIO(data)
    try:
        value = form.parse_stream(stream, **params)
    except (ConstructError, UnicodeError) as error:
        where = getattr(error, "path", None) or ""
        fields = where.removeprefix("(parsing)").replace(" -> ", ".").strip(". ")
        raise FormatError(
            f"{path}: {_reason(error, fields, stream.tell() < len(data), len(data))}",
            offset=offset + stream.tell(),
            path=f"{path}.{fields}" if fields else path,
        ) from error
    if stream.tell() != len(data):
        raise FormatError(
            f"{path}: {len(data) - stream.tell()} bytes follow its last field", offset=offset + stream.tell(), path=path
        )
    return value


def _reason(error: Exception, field: str, more: bool, size: int) -> str:
    """What went wrong, in words that need no knowledge of the library.

    Args:
        error: the library's.
        field: at which field, or empty.
        more: whether there were bytes left to read.
        size: how many bytes there were in all.
    """
    what = field or "a field"
    if isinstance(error, StreamError):
        return f"{what} has a length that is too small" if more else f"it ends inside {what}, after {size} bytes"
    if isinstance(error, TerminatedError):
        return f"{what} is longer than its fields"
    if isinstance(error, ConstError):
        return f"{what} has not the value that it must have"
    return f"{what} does not fit what was said before it"


def build(form: Construct[Any, Any], value: object, path: str, **params: int | None) -> bytes:
    """The bytes of ``value``; FormatError when a field does not fit its width."""
    try:
        return form.build(value, **params)
    except (ConstructError, UnicodeError, KeyError, TypeError) as error:
        raise FormatError(f"{path}: {str(error).splitlines()[-1].strip()}", path=path) from error


class Plain:
    """A structure without the common header, such as FACS.

    Args:
        name: what to call it in errors.
        form: its construct.
    """

    def __init__(self, name: str, form: Construct[Container[Any], Any]) -> None:
        self.name, self.form = name, form

    def parse(self, data: bytes) -> Container[Any]:
        """The fields of ``data``; FormatError when it is too short, too long or not this structure."""
        return parse(self.form, data, self.name.lower())

    def build(self, fields: Mapping[str, Any]) -> bytes:
        """The bytes of ``fields``; FormatError when one does not fit."""
        return build(self.form, fields, self.name.lower())


class TableFormat:
    """A table with the common header.

    Args:
        signature: its four letters.
        form: the construct of all that follows the header; it finds the table's length as ``this._params.length``.
    """

    def __init__(self, signature: str, form: Construct[Container[Any], Any]) -> None:
        self.signature, self.form = signature, form

    def parse(self, table: bytes) -> Container[Any]:
        """The fields behind the header.

        Raises:
            FormatError: wrong signature, a length other than that of ``table``, a bad checksum, or a malformed body.
        """
        head = check_header(table, self.signature)
        return parse(self.form, table[HEADER_SIZE:], self.signature.lower(), HEADER_SIZE, length=head.length)

    def build(
        self, fields: Mapping[str, Any], revision: int = 1, *, length: int | None = None, **identity: Unpack[Identity]
    ) -> bytes:
        """A whole table.

        Args:
            fields: as ``parse`` gives them.
            revision: of the table.
            length: for tables that grew with their revisions, the length to build, in bytes, header included.
            identity: ``oem_id`` and so on, as for ``build_table``.
        """
        body = build(self.form, fields, self.signature.lower(), length=length)
        return build_table(self.signature, body, revision, **identity)
