"""The buses that acpiexec simulates: each transaction succeeds, and brings bytes that count up."""

from xlpy.firmware.acpi.eval import ScratchMemory
from xlpy.firmware.acpi.eval.access import FIXED_HARDWARE, GPIO, IPMI, PCC, PRM, SMBUS

MOST = {SMBUS: 32}  # bytes that follow status and length; 255 of which 32 are valid for GenericSerialBus


class Buses(ScratchMemory):
    """Scratch memory and buses; ``log`` has every transaction with the bytes that were sent."""

    def __init__(self):
        super().__init__()
        self.log = []

    def transact(self, transaction, data):
        space, size = transaction.space, len(data)
        self.log.append((transaction, bytes(data)))
        if space == PCC:
            data[:] = bytes(at & 0xFF for at in range(size))
        elif space == IPMI:
            data[:] = bytes((0, size - 2, 0, 0, *range(4, size)))
        elif space in (GPIO, PRM, FIXED_HARDWARE):
            self._memory(transaction, data)
        else:
            self._serial(transaction, data)

    def _serial(self, transaction, data):
        most = {2: 0, 4: 1, 6: 1, 8: 2, 12: 2}.get(transaction.protocol, MOST.get(transaction.space, 255))
        data[:2] = 0, 32 if most == 255 else most
        for at in range(most):
            data[2 + at] = 0xA0 + at & 0xFF

    def _memory(self, transaction, data):
        first = transaction.offset + (0 if transaction.space == GPIO else transaction.base)
        if transaction.write:
            for at, byte in enumerate(data):
                self.write(transaction.space, first + at, 1, byte)
        else:
            data[:] = bytes(self.read(transaction.space, first + at, 1) for at in range(len(data)))
