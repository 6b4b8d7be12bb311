"""Xen's own hvmloader, unmodified, as the firmware of a domain: a stand-in for ``xlpy.firmware.hvmloader.main.run``."""

from pathlib import Path
from struct import pack, pack_into, unpack, unpack_from

from hvmloader.real.apic import IOAPIC, LAPIC, IoApic, LocalApic, Page
from hvmloader.real.hypercalls import STUB, VMCALL_AT, Hypercalls, hypercall_page
from hvmloader.real.processor import Processor
from hvmloader.real.ring import Ring

from xlpy.addr import MIB, PAGE, PAGE_SHIFT, Gpa, Span
from xlpy.firmware.hvm_info import SIZE, parse_hvm_info
from xlpy.firmware.layout import HVM_INFO

HVMLOADER = Path("/usr/lib/xen-4.17/boot/hvmloader")  # package xen-utils-4.17
SEABIOS = Path("/usr/share/seabios/bios-256k.bin")  # package seabios

HYPERCALL_PAGE = 0x80000
START_INFO, BIOS = 0x400000, 0x410000  # where this domain builder puts them: above hvmloader and its modules
RESET_VECTOR = 0xFFFF0
SIGNATURE = unpack("<III", b"XenVMMXenVMM")
HALT = b"\xf4"  # in place of OVMF, of which only the place matters
WRMSR = b"\x0f\x30"
VCPU_TIME = 32  # vcpu_time_info in the shared info page: version, TSC, system time, multiplier, shift


def load_elf(path, write):
    """Copy the segments of a 32-bit ELF; its entry point."""
    data = path.read_bytes()
    entry, table = unpack_from("<II", data, 24)
    size, count = unpack_from("<HH", data, 42)
    for at in range(table, table + size * count, size):
        kind, offset, address, _, length, room = unpack_from("<IIIIII", data, at)
        if kind == 1:
            write(address, data[offset : offset + length].ljust(room, b"\0"))
    return entry


def start_info(write, image):
    """``hvm_start_info`` with the BIOS as the only module (Xen ``arch-x86/hvm/start_info.h``)."""
    write(BIOS, image)
    name, modules = START_INFO + 0x100, START_INFO + 0x80
    write(name, b"firmware\0")
    write(modules, pack("<QQQQ", BIOS, len(image), name, 0))
    write(START_INFO, pack("<IIIIQQQQII", 0x336EC578, 1, 0, 1, modules, 0, 0, 0, 0, 0))


class Loader:
    """hvmloader at work in one domain.

    Attributes:
        asked: xenstore keys in the order they were read.
        started: APIC ids of the secondary vCPUs that ran.
        cpu: the processor, when it is over.
    """

    def __init__(self, platform, domain, binary=HVMLOADER, version=(4, 17)):
        self.platform, self._domain = platform, domain
        self.asked, self.started = [], []
        xen = (base for base in range(0x40000000, 0x40010000, 0x100) if platform.cpuid(base, 0)[1:] == SIGNATURE)
        self._leaf = next(xen)
        self.lapic = LocalApic(self._start)
        self._devices = {LAPIC: self.lapic, IOAPIC: IoApic()}
        self.cpu = cpu = Processor(platform, domain.memory, self._devices)
        info = parse_hvm_info(platform.read(HVM_INFO, SIZE))
        self._low = Span(Gpa(0), 0xA0000), Span.between(Gpa(0xC0000), Gpa(info.low_mem_pgend << PAGE_SHIFT))
        self._map(cpu)
        page = platform.get_param(1) << PAGE_SHIFT
        self._ring = Ring(
            lambda at, length: cpu.read(page + at, length),
            lambda at, data: cpu.write(page + at, data),
            platform.xenstore,
            self.asked,
        )
        self._calls = Hypercalls(
            cpu,
            platform,
            version=version,
            uuid=domain.uuid,
            kick=self._kick,
            shared_info=self._shared_info,
            start=self._up,
        )
        entry = load_elf(binary, cpu.write)
        ovmf = platform.xenstore("hvmloader/bios") == "ovmf"
        start_info(cpu.write, HALT * (2 * MIB) if ovmf else SEABIOS.read_bytes())
        code = cpu.read(entry, MIB)
        at = code.find(WRMSR)
        while at >= 0:
            cpu.at(entry + at, entry + at, self._wrmsr)
            at = code.find(WRMSR, at + 1)
        cpu.at(HYPERCALL_PAGE, HYPERCALL_PAGE + PAGE - 1, self._hypercall)
        cpu.at(RESET_VECTOR, RESET_VECTOR, lambda _: cpu.stop())
        cpu["ebx"], cpu["eip"] = START_INFO, entry

    def run(self):
        """Run until it starts the BIOS, or crashes."""
        self.cpu.run()

    def _wrmsr(self, _address):
        if self.cpu["ecx"] == self.platform.cpuid(self._leaf + 2, 0)[1]:
            self.cpu.write(self.cpu["eax"] & -PAGE, hypercall_page())

    def _hypercall(self, address):
        if address % STUB == VMCALL_AT:
            self._calls.call(self.cpu["eax"])
            self.cpu["eip"] = address + 3

    def _kick(self, port):
        assert port == self.platform.get_param(2)
        self._ring.serve()

    def _shared_info(self, page):
        """The time of vCPU 0 is all that firmware wants: nanoseconds = (ticks >> 1) * multiplier >> 32."""
        khz = self.platform.cpuid(self._leaf + 3, 0)[2]
        content = bytearray(PAGE)
        pack_into("<I4xQQIb", content, VCPU_TIME, 2, 0, 0, (10**6 << 33) // khz, -1)
        self._devices[page] = Page(content)

    def _start(self, apic_id, address):
        """A secondary processor runs until it halts, while the first waits."""
        second = Processor(self.platform, self._domain.memory, self._devices, address)
        self._map(second)
        second.run()
        self.started.append(apic_id)

    def _up(self, number, registers):
        """The same, asked for by number, with registers given."""
        second = Processor(self.platform, self._domain.memory, self._devices)
        self._map(second)
        for name, value in registers.items():
            second[name] = value
        second.run()
        self.started.append(2 * number)

    def _map(self, cpu):
        for span in self._low:
            cpu.map_stretch(span)
