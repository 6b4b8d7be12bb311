"""How hvmloader fails: always in the same way, which ends the domain.

A BUG prints its place and ``*** HVMLoader crashed.``, shuts the domain down with reason crash, and does not return.
This is the design's "report an error and stop" too.
"""

from __future__ import annotations

from xlpy.abi import SHUTDOWN_CRASH
from xlpy.errors import FirmwareStopped, XlpyError
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.firmware.platform import Platform


def stop(message: str, *, code: str | None = None, hint: str | None = None) -> FirmwareStopped:
    """The error to raise where firmware cannot go on.

    Args:
        message: what was found and what is required.
        code: stable identifier; XLPY-FIRMWARE by default.
        hint: what to change, in the configuration or in the device model.
    """
    return FirmwareStopped(f"hvmloader stopped: {message}", code=code, hint=hint)


def report(platform: Platform, error: XlpyError) -> FirmwareStopped:
    """Print the error as a BUG, crash the domain, and give what to raise.

    Args:
        platform: where to print and what to shut down.
        error: what went wrong, be it found by firmware, by a format or by a hypercall.
    """
    stopped = error if isinstance(error, FirmwareStopped) else _wrap(error)
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    platform.log(stopped.message)
    if trace is not None:
        source = trace.tb_frame.f_code.co_filename.rpartition("/")[2]
        platform.log(f"*** HVMLoader bug at {source}:{trace.tb_lineno}")
    platform.log("*** HVMLoader crashed.")
    platform.shutdown(SHUTDOWN_CRASH)
    return stopped


def _wrap(error: XlpyError) -> FirmwareStopped:
    stopped = stop(str(error), code=error.code, hint=error.hint)
    stopped.details = error.details
    stopped.__cause__ = error
    return stopped
