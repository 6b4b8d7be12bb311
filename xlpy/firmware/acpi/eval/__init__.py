"""The AML evaluator: tables in, values out.

    interpreter = load([dsdt, ssdt], memory)
    interpreter.evaluate("\\\\_SB.NVDR._DSM", uuid, 1, 0, [])

It is a compiler from AML to a small stack machine, driven by one table of opcodes. Nothing recurses with the AML, every
evaluation is bounded in steps, depth and time, and whatever is malformed ends as an ``AmlError`` with the offset.
"""

from xlpy.firmware.acpi.eval.access import BusAccess, BusTransaction, RegionAccess, RunAccess, ScratchMemory
from xlpy.firmware.acpi.eval.errors import AmlError
from xlpy.firmware.acpi.eval.interpreter import Entry, Interpreter
from xlpy.firmware.acpi.eval.interpreter import load_tables as load
from xlpy.firmware.acpi.eval.machine import Limits, Notification
from xlpy.firmware.acpi.eval.results import ObjectPath
from xlpy.firmware.acpi.eval.values import ObjectType

__all__ = [
    "AmlError",
    "BusAccess",
    "BusTransaction",
    "Entry",
    "Interpreter",
    "Limits",
    "Notification",
    "ObjectPath",
    "ObjectType",
    "RegionAccess",
    "RunAccess",
    "ScratchMemory",
    "load",
]
