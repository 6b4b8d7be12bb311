"""Interrupt controllers as far as firmware programs them: Xen has them inside, and xlpy's model needs none.

Registers keep what is written. A start-up message runs a secondary processor (Intel SDM volume 3, 11.6.1).
"""

LAPIC, IOAPIC = 0xFEE00000, 0xFEC00000
ICR, ICR_HIGH = 0x300, 0x310
BUSY = 1 << 12
MODE, INIT, STARTUP = 7 << 8, 5 << 8, 6 << 8
SELECT, WINDOW = 0x00, 0x10


class LocalApic:
    """The boot processor's.

    Args:
        start: called with the APIC id that a start-up message is for, and the address where it shall begin.
    """

    def __init__(self, start):
        self._start = start
        self._reset = set()
        self.registers = {}

    def read(self, offset, _size):
        return self.registers.get(offset, 0)

    def write(self, offset, _size, value):
        if offset == ICR:
            value &= ~BUSY  # delivered at once
            target = self.registers.get(ICR_HIGH, 0) >> 24
            if value & MODE == INIT:
                self._reset.add(target)
            elif value & MODE == STARTUP and target in self._reset:
                self._reset.remove(target)
                self._start(target, (value & 0xFF) << 12)
        self.registers[offset] = value


class IoApic:
    """Registers behind an index."""

    def __init__(self):
        self.registers = {}
        self._index = 0

    def read(self, offset, _size):
        return self.registers.get(self._index, 0) if offset == WINDOW else self._index

    def write(self, offset, _size, value):
        if offset == WINDOW:
            self.registers[self._index] = value
        else:
            self._index = value


class Page:
    """Plain memory that is not the domain's."""

    def __init__(self, content):
        self.content = bytearray(content)

    def read(self, offset, size):
        return int.from_bytes(self.content[offset : offset + size], "little")

    def write(self, offset, size, value):
        self.content[offset : offset + size] = value.to_bytes(size, "little")
