"""The exceptions of xlpy, in one class hierarchy.

Each error has a stable code (for scripts and documentation), the exit status of the command that meets it, an errno
where it comes from a hypercall, and a hint: what to do next. The first line of the text says what was found and what is
required; ``details`` follow one per line.
"""

from __future__ import annotations

import errno as _errno
import os as _os


class Exit:
    """Exit statuses of commands (``xlpy help exit-codes``). Names for numbers: an enum would take longer to import."""

    DONE = 0
    INTERNAL = 1
    USAGE = 2
    CONFIG = 3
    NOT_FOUND = 4
    CONFLICT = 5
    CONSTRAINT = 6
    UNSAFE = 7
    HYPERCALL = 8
    FIRMWARE = 9
    FINDINGS = 10
    PARTIAL = 11
    INTERRUPTED = 130
    PIPE_CLOSED = 141


class XlpyError(Exception):
    """Base of all expected failures.

    Args:
        message: one line: what was found, what is required, with the values.
        code: stable identifier such as ``XLPY-PMEM-UNWRITTEN``; each class has a default.
        hint: what to do next, ideally a command or a configuration line.
        details: further lines for the report.
    """

    code = "XLPY-ERROR"
    exit = Exit.INTERNAL

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        details: tuple[str, ...] | list[str] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        self.hint = hint
        self.details = tuple(details)


class UsageError(XlpyError):
    """The command line is wrong."""

    code, exit = "XLPY-USAGE", Exit.USAGE


class ConfigError(XlpyError):
    """A configuration or machine description is invalid. ``details`` holds one line per problem."""

    code, exit = "XLPY-CONFIG", Exit.CONFIG


class NotFound(XlpyError):
    """A named thing, a file that is to be read, or the folder of one that is to be written, does not exist."""

    code, exit = "XLPY-NOT-FOUND", Exit.NOT_FOUND


class Conflict(XlpyError):
    """Already exists, busy, locked, overlapping, or owned by another domain."""

    code, exit = "XLPY-CONFLICT", Exit.CONFLICT


class Constraint(XlpyError):
    """Alignment, size, space or slots do not fit."""

    code, exit = "XLPY-CONSTRAINT", Exit.CONSTRAINT


class HostTrouble(Constraint):
    """A file cannot be used as needed: a directory, a device, too large; no space, no permission, a limit."""

    code = "XLPY-HOST-FILE"


def file_error(error: OSError, name: object = None, hint: str | None = None) -> XlpyError:
    """What the operating system says of a file or folder: one status and one text in all commands.

    Args:
        error: what it said. name: what the message calls the file; None takes the path in ``error``.
        hint: what to do, where that is not the same for all files.

    Returns:
        NotFound: there is none, or no folder to make it in. Conflict: what was to be made is there. HostTrouble: a
        directory where a file is needed or the other way round, a permission, a limit, a full disk.
    """
    path = error.filename
    called = path if name is None else name
    reason = error.strerror or str(error)
    text = reason if called is None else f"{called}: {reason}"
    number = error.errno
    if number == _errno.ENOENT or (number == _errno.ENOTDIR and not (path and _os.path.lexists(path))):
        return NotFound(text, hint=hint or "check the path")
    if number == _errno.EEXIST:
        return Conflict(text, hint=hint or "choose another name")
    if number in (_errno.ENOSPC, _errno.EDQUOT):
        return HostTrouble(text, code="XLPY-NO-SPACE", hint="free some space and run the command again")
    hints = {_errno.EISDIR: "name a file", _errno.ENOTDIR: "name a folder", _errno.EROFS: "choose another file system"}
    return HostTrouble(text, hint=hint or hints.get(number or 0, "check the path and its permissions"))


class Unsafe(XlpyError):
    """A backing store that cannot be mapped into a guest without losing data."""

    code, exit = "XLPY-UNSAFE", Exit.UNSAFE


class HypercallError(XlpyError):
    """The hypervisor model refused.

    Args:
        message: what was asked, and why it was refused.
        errno: positive errno, as in ``errno.EBUSY``.
    """

    code, exit = "XLPY-HYPERCALL", Exit.HYPERCALL

    def __init__(
        self,
        message: str,
        errno: int,
        *,
        code: str | None = None,
        hint: str | None = None,
        details: tuple[str, ...] | list[str] = (),
    ) -> None:
        super().__init__(message, code=code, hint=hint, details=details)
        self.errno = errno

    def __str__(self) -> str:
        return f"{self.message} (-{_errno.errorcode.get(self.errno, self.errno)})"


class FirmwareStopped(XlpyError):
    """hvmloader reported an error and stopped the boot.

    Attributes:
        domid: of the domain that was being made, which is there and has crashed; None outside that.
    """

    domid: int | None = None
    code, exit = "XLPY-FIRMWARE", Exit.FIRMWARE


class FormatError(XlpyError):
    """Bytes do not have the layout that their format requires.

    Args:
        message: which field or structure, what was found, what is required.
        offset: byte offset of the trouble inside the parsed blob, when known.
        path: where in the nested structure, such as ``nfit.structures[2].length``.
    """

    code, exit = "XLPY-FORMAT", Exit.CONSTRAINT

    def __init__(
        self,
        message: str,
        *,
        offset: int | None = None,
        path: str | None = None,
        code: str | None = None,
        hint: str | None = None,
        details: tuple[str, ...] | list[str] = (),
    ) -> None:
        super().__init__(message, code=code, hint=hint, details=details)
        self.offset = offset
        self.path = path


class MissingTool(XlpyError):
    """An optional outside program is not installed.

    Args:
        program: what was looked up, such as ``mke2fs``.
        package: the Debian package that has it.
    """

    code, exit = "XLPY-MISSING-TOOL", Exit.NOT_FOUND

    def __init__(self, program: str, package: str) -> None:
        super().__init__(
            f"{program} is needed and not installed", hint=f"install it, for example: apt-get install {package}"
        )
        self.program = program


class StateError(XlpyError):
    """The state directory is damaged or of another version."""

    code, exit = "XLPY-STATE", Exit.CONSTRAINT
