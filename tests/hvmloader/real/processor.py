"""A domain's processors, played by an emulator: memory, ports and CPUID are the domain's own.

Guest RAM is not copied: the emulator works on the very bytes that the hypervisor model maps at each guest address.
What nothing backs is handed to the platform, access by access.
"""

import ctypes
from threading import Timer

import unicorn
from unicorn import x86_const as x86

from xlpy.addr import PAGE, Gpa, Span

FOUR_GIB = 1 << 32
GENERAL = {
    name: getattr(x86, f"UC_X86_REG_{name.upper()}")
    for name in ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip", "eflags", "cr0", "cr3", "cr4")
}
SECONDS = 100  # that a run may take; it takes less than one


class Processor:
    """One processor.

    Args:
        platform: the guest's view (``xlpy.firmware.platform.Platform``).
        memory: the domain's memory.
        devices: page address -> what answers there instead: ``read(offset, size)``, ``write(offset, size, value)``.
        start: where it begins in real mode, as after a start-up message; None: protected mode, flat segments.
    """

    def __init__(self, platform, memory, devices, start=None):
        self.platform = platform
        self._memory = memory
        self._devices = devices
        self._mapped = {}  # page-aligned start -> (size, whether it is memory)
        self._failure = None
        self._begin = start
        self.uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_32 if start is None else unicorn.UC_MODE_16)
        if start is not None:
            self.uc.reg_write(x86.UC_X86_REG_CS, start >> 4)
        self.uc.hook_add(unicorn.UC_HOOK_MEM_UNMAPPED, self._missing)
        self.uc.hook_add(unicorn.UC_HOOK_INSN, self._cpuid, None, 1, 0, x86.UC_X86_INS_CPUID)
        self.uc.hook_add(unicorn.UC_HOOK_INSN, self._in, None, 1, 0, x86.UC_X86_INS_IN)
        self.uc.hook_add(unicorn.UC_HOOK_INSN, self._out, None, 1, 0, x86.UC_X86_INS_OUT)

    # registers and memory, as hooks want them

    def __getitem__(self, name):
        return self.uc.reg_read(GENERAL[name])

    def __setitem__(self, name, value):
        self.uc.reg_write(GENERAL[name], value & 0xFFFFFFFF)

    def read(self, address, length):
        return self.platform.read(Gpa(address), length)

    def write(self, address, data):
        self.platform.write(Gpa(address), data)

    # running

    def at(self, first, last, call):
        """Call ``call(address)`` before each instruction that begins in ``[first, last]``."""

        def hook(_uc, address, _size, _data):
            self._guard(call, address)

        self.uc.hook_add(unicorn.UC_HOOK_CODE, hook, None, first, last)

    def stop(self):
        """End ``run`` before the next instruction."""
        self.uc.emu_stop()

    def run(self):
        """Run until ``stop``, or until the processor halts."""
        begin = self["eip"] if self._begin is None else self._begin
        watch = Timer(SECONDS, self._guard, (self._late,))  # the emulator's own goes off at once on a busy machine
        watch.start()
        try:
            self.uc.emu_start(begin, FOUR_GIB)
        except unicorn.UcError as error:
            if self._failure is None:
                raise AssertionError(f"{error} at {self['eip']:#x}") from None
        finally:
            watch.cancel()
        if self._failure is not None:
            raise self._failure

    @staticmethod
    def _late():
        raise AssertionError(f"it still runs after {SECONDS} seconds")

    def _guard(self, call, *words):
        """Exceptions cannot pass through the emulator: kept, and raised by ``run``."""
        try:
            return call(*words)
        except Exception as error:
            self._failure = self._failure or error
            self.uc.emu_stop()
            return 0

    # the address space

    def map_stretch(self, span):
        """Let the emulator work on RAM that lies together."""
        view = self._memory.view(span)
        place = ctypes.addressof(ctypes.c_char.from_buffer(view))
        self.uc.mem_map_ptr(span.start, span.size, unicorn.UC_PROT_ALL, place)
        self._mapped[int(span.start)] = (span.size, True)

    def forget(self, start, count=1):
        """What is mapped at ``count`` pages from ``start`` has changed."""
        for page in range(start, start + count * PAGE, PAGE):
            if page in self._mapped:
                self.uc.mem_unmap(page, self._mapped.pop(page)[0])

    def _missing(self, _uc, _access, address, _size, _value, _data):
        self._guard(self._fill, address & -PAGE)
        return self._failure is None

    def _fill(self, page):
        """A device, memory if there is some now, else whoever answers."""
        try:
            if page in self._devices:
                raise LookupError
            self.map_stretch(Span(Gpa(page), PAGE))
        except Exception:
            self.uc.mmio_map(page, PAGE, self._load, page, self._store, page)
            self._mapped[page] = (PAGE, False)

    def _load(self, _uc, offset, size, page):
        if page in self._devices:
            return self._guard(self._devices[page].read, offset, size)
        return int.from_bytes(self._guard(self.read, page + offset, size) or b"", "little")

    def _store(self, _uc, offset, size, value, page):
        value &= (1 << 8 * size) - 1
        if page in self._devices:
            self._guard(self._devices[page].write, offset, size, value)
        else:
            self._guard(self.write, page + offset, value.to_bytes(size, "little"))

    # instructions

    def _cpuid(self, _uc, _data):
        answer = self._guard(self.platform.cpuid, self["eax"], self["ecx"])
        if answer:
            self["eax"], self["ebx"], self["ecx"], self["edx"] = answer
        return 1

    def _in(self, _uc, port, size, _data):
        return self._guard(self.platform.io_in, port, size)

    def _out(self, _uc, port, size, value, _data):
        self._guard(self.platform.io_out, port, size, value)
