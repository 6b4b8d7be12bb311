"""Loads a table with one byte changed, for each byte in turn, and runs what the table makes.

    python tests/acpi/mutated.py TABLE STRIDE START

Takes every STRIDE-th byte from START on, with three values each. Memory is limited to 512 MiB; whatever is not an
AmlError, or takes longer than its steps allow, ends it with a traceback. Prints how many tables it loaded, and the
longest time of one in milliseconds.
"""

import contextlib
import resource
import sys
import time
from pathlib import Path

from xlpy.firmware.acpi.eval import AmlError, Interpreter, Limits
from xlpy.firmware.acpi.eval.namespace import Method
from xlpy.firmware.acpi.sdt import set_checksum

STEPS = 60_000
HEADER = 36


def exercise(table, at):
    """Load one, and call the methods whose bodies hold the byte."""
    vm = Interpreter(limits=Limits(steps=STEPS))
    vm.load(table, strict=False)
    vm.namespace()
    for path, node in list(vm.machine.namespace.nodes.items()):
        thing = node.object
        if isinstance(thing, Method) and thing.body and thing.body.start - 8 <= at < thing.body.end:
            with contextlib.suppress(AmlError):
                vm.evaluate("\\" + ".".join(path), *[[b"argument"]] * thing.args)


def main():
    table, stride, start = Path(sys.argv[1]).read_bytes(), int(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29))
    count, longest = 0, 0.0
    for at in range(HEADER + start, len(table), stride):
        for value in (table[at] ^ 1 << at % 8, 0xFF, 0x5B):
            mutated = bytearray(table)
            mutated[at] = value
            before = time.process_time()
            exercise(set_checksum(bytes(mutated), 9), at)
            count, longest = count + 1, max(longest, time.process_time() - before)
    print(count, round(longest * 1000))


if __name__ == "__main__":
    main()
