"""One NVDIMM as its driver sees it: only through ``_DSM`` of its ACPI object."""

from __future__ import annotations

from _struct import Struct

from xlpy.dom0.nvdimm.labels import LabelAreaContent, read_area
from xlpy.firmware.acpi.eval import AmlError
from xlpy.firmware.acpi.guid import NVDIMM_DEVICE, guid_bytes
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.firmware.acpi.eval import Interpreter

DEVICE_UUID = guid_bytes(NVDIMM_DEVICE)
REVISION = 1
QUERY, SMART, LABEL_SIZE, LABEL_READ = 0, 1, 4, 5
HEALTH = {0: "ok", 1: "non-critical", 2: "critical", 4: "fatal"}

_SMART = Struct("<II4xBBB")  # status, validity flags; then health, spares and used of the record
_SIZES = Struct("<III")
_RANGE = Struct("<II")


class ProbedNvdimm(NamedTuple):
    """What ``_DSM`` reports.

    path: the ACPI object. functions: bit n for function n. label_size, max_transfer: bytes, or None without labels.
    health: SMART's word, or None. area: the decoded label area, or None. problems: one line each.
    """

    path: str
    functions: int
    label_size: int | None
    max_transfer: int | None
    health: str | None
    spares: int | None
    area: LabelAreaContent | None
    problems: tuple[str, ...]


class _Refused(Exception):
    """A function answered with a status."""


def ask(aml: Interpreter, path: str) -> ProbedNvdimm:
    """Ask one NVDIMM everything that matters at probe time: functions, label area, health.

    Args:
        aml: the guest's AML.
        path: the device below the NVDIMM root.
    """
    problems: list[str] = []

    def call(function: int, payload: bytes = b"") -> bytes:
        argument = [payload] if payload else []
        answer = aml.evaluate(f"{path}._DSM", DEVICE_UUID, REVISION, function, argument)
        if not isinstance(answer, bytes):
            raise _Refused(f"{path}._DSM function {function} returned {type(answer).__name__}, a buffer is required")
        return answer

    def done(function: int, payload: bytes = b"") -> bytes:
        answer = call(function, payload)
        status = int.from_bytes(answer[:4], "little")
        if len(answer) < 4 or status:
            raise _Refused(f"{path}._DSM function {function} failed with status {status:#x}")
        return answer

    functions, label_size, most, health, spares, area = 0, None, None, None, None, None
    try:
        functions = int.from_bytes(call(QUERY)[:8], "little")
        if functions >> LABEL_SIZE & 1:
            _, label_size, most = _SIZES.unpack_from(done(LABEL_SIZE))
            area = _labels(label_size, most, done)
            problems += [f"{path}: {problem}" for problem in area.problems if area.current is not None]
        if functions >> SMART & 1:
            _, valid, state, left, _ = _SMART.unpack_from(_record(done(SMART)))
            health = HEALTH.get(state, f"{state:#x}") if valid & 1 else None
            spares = left if valid & 2 else None
    except (_Refused, AmlError) as error:
        problems.append(str(error))
    return ProbedNvdimm(path, functions, label_size, most, health, spares, area, tuple(problems))


def _record(answer: bytes) -> bytes:
    """Status and record; Refused when it is shorter than what is read of it."""
    if len(answer) < _SMART.size:
        raise _Refused(f"SMART data has {len(answer)} bytes")
    return answer


def _labels(size: int, most: int, done: Callable[[int, bytes], bytes]) -> LabelAreaContent:
    """Decode the label area, reading no more than is needed and at most ``most`` bytes a time."""
    if most <= 0:
        raise _Refused(f"the largest label transfer is {most} bytes")

    def read(offset: int, length: int) -> bytes:
        data = b""
        while len(data) < length:
            step = min(most, length - len(data))
            got = done(LABEL_READ, _RANGE.pack(offset + len(data), step))[4:]
            if len(got) != step:
                raise _Refused(f"label data of {step} bytes wanted, {len(got)} given")
            data += got
        return data

    return read_area(size, read)
