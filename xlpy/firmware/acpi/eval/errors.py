"""What can go wrong in AML, with the status names that ACPICA (and so Linux's kernel log) uses."""

from __future__ import annotations

from xlpy.errors import FormatError

_CODES = (  # ACPICA's exception codes: a class, and its names from 1 on (20260408)
    (
        0x0000,
        "ERROR NO_ACPI_TABLES NO_NAMESPACE NO_MEMORY NOT_FOUND NOT_EXIST ALREADY_EXISTS TYPE NULL_OBJECT NULL_ENTRY "
        "BUFFER_OVERFLOW STACK_OVERFLOW STACK_UNDERFLOW NOT_IMPLEMENTED SUPPORT LIMIT TIME ACQUIRE_DEADLOCK "
        "RELEASE_DEADLOCK NOT_ACQUIRED ALREADY_ACQUIRED NO_HARDWARE_RESPONSE NO_GLOBAL_LOCK ABORT_METHOD SAME_HANDLER "
        "NO_HANDLER OWNER_ID_LIMIT NOT_CONFIGURED ACCESS IO_ERROR NUMERIC_OVERFLOW HEX_OVERFLOW DECIMAL_OVERFLOW "
        "OCTAL_OVERFLOW END_OF_TABLE",
    ),
    (
        0x1000,
        "BAD_PARAMETER BAD_CHARACTER BAD_PATHNAME BAD_DATA BAD_HEX_CONSTANT BAD_OCTAL_CONSTANT BAD_DECIMAL_CONSTANT "
        "MISSING_ARGUMENTS BAD_ADDRESS",
    ),
    (0x2000, "BAD_SIGNATURE BAD_HEADER BAD_CHECKSUM BAD_VALUE INVALID_TABLE_LENGTH"),
    (
        0x3000,
        "AML_BAD_OPCODE AML_NO_OPERAND AML_OPERAND_TYPE AML_OPERAND_VALUE AML_UNINITIALIZED_LOCAL "
        "AML_UNINITIALIZED_ARG AML_UNINITIALIZED_ELEMENT AML_NUMERIC_OVERFLOW AML_REGION_LIMIT AML_BUFFER_LIMIT "
        "AML_PACKAGE_LIMIT AML_DIVIDE_BY_ZERO AML_BAD_NAME AML_NAME_NOT_FOUND AML_INTERNAL AML_INVALID_SPACE_ID "
        "AML_STRING_LIMIT AML_NO_RETURN_VALUE AML_METHOD_LIMIT AML_NOT_OWNER AML_MUTEX_ORDER "
        "AML_MUTEX_NOT_ACQUIRED AML_INVALID_RESOURCE_TYPE AML_INVALID_INDEX AML_REGISTER_LIMIT AML_NO_WHILE "
        "AML_ALIGNMENT AML_NO_RESOURCE_END_TAG AML_BAD_RESOURCE_VALUE AML_CIRCULAR_REFERENCE "
        "AML_BAD_RESOURCE_LENGTH AML_ILLEGAL_ADDRESS AML_LOOP_TIMEOUT AML_UNINITIALIZED_NODE AML_TARGET_TYPE "
        "AML_PROTOCOL AML_BUFFER_LENGTH AML_TOO_FEW_ARGUMENTS AML_TOO_MANY_ARGUMENTS",
    ),
)


class AmlError(FormatError):
    """AML is malformed, or its evaluation failed.

    Args:
        status: ACPICA's exception name, such as ``AE_NOT_FOUND``.
        message: what was found, and what is required.
        offset: of the opcode, in bytes from the start of its table; the evaluator fills it in.
        path: the table, and the method if there is one; likewise.
    """

    code = "XLPY-AML"
    aborts = False  # it happened in a method that a table's top level called, which ends the table

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


class UnknownName(AmlError):
    """An operand names nothing. In front of a table's end ACPICA then forgets which scopes it has to leave."""


class NoCondition(AmlError):
    """A condition is a call of a method that returns nothing: the evaluation ends, no handler of errors is asked."""


class Exhausted(AmlError):
    """A limit of the evaluation is reached: nothing goes on behind it."""

    aborts = True


def status_code(status: str) -> int:
    """ACPICA's number for an exception name; 1 (AE_ERROR) for one that it does not have."""
    for base, names in _CODES:
        known = names.split()
        if status[3:] in known:
            return base + 1 + known.index(status[3:])
    return 1
