"""Small PVH kernels that do one thing at once, so that what becomes of a guest can be watched without booting one.

Sources: Xen's public headers elfnote.h (PHYS32_ENTRY), arch-x86/cpuid.h (leaf 0x40000002: MSR of the hypercall page),
sched.h (SCHEDOP_shutdown and its reasons); xen/arch/x86/hvm (a vCPU that halts with interrupts off is down).
"""

from struct import pack

AT = 0x10_0000  # where the code is loaded; the hypercall page follows it
PAGE = AT + 0x1000
SCHED_OP, SHUTDOWN = 29, 2
REASONS = {"again": 1, "crash": 3}


def idle() -> bytes:
    """Halt with interrupts on, for ever."""
    return b"\xfb\xf4\xeb\xfc"


def off() -> bytes:
    """Halt with interrupts off: as after Linux has taken its processors down, none is left, and Xen ends the domain."""
    return b"\xfa\xf4"


def shut_down(reason: int) -> bytes:
    """Ask the hypervisor to shut this domain down."""
    code = b"\xb8" + pack("<I", 0x4000_0002) + b"\x0f\xa2\x89\xd9"  # mov eax, leaf; cpuid; mov ecx, ebx
    code += b"\xb8" + pack("<I", PAGE) + b"\x31\xd2\x0f\x30"  # mov eax, page; xor edx, edx; wrmsr
    code += b"\x68" + pack("<I", reason) + b"\x89\xe1\xbb" + pack("<I", SHUTDOWN)  # push reason; mov ecx, esp; mov ebx
    return code + b"\xb8" + pack("<I", PAGE + 32 * SCHED_OP) + b"\xff\xd0" + idle()  # mov eax, entry; call eax


def kernel(code: bytes) -> bytes:
    """An ELF image that libxl takes for a PVH guest, with a stack of its own behind the hypercall page."""
    code = b"\xbc" + pack("<I", PAGE + 0x2000) + code  # mov esp, top of the stack
    note = pack("<III", 4, 4, 18) + b"Xen\0" + pack("<I", AT)
    head = 52 + 2 * 32
    elf = b"\x7fELF\x01\x01\x01" + bytes(9)
    elf += pack("<HHIIIIIHHHHHH", 2, 3, 1, AT, 52, 0, 0, 52, 32, 2, 40, 0, 0)
    elf += pack("<IIIIIIII", 1, head + len(note), AT, AT, len(code), 0x4000, 7, 1)
    elf += pack("<IIIIIIII", 4, head, 0, 0, len(note), len(note), 4, 4)
    return elf + note + code


KERNELS = {"idle": kernel(idle()), "off": kernel(off())}
KERNELS |= {name: kernel(shut_down(reason)) for name, reason in REASONS.items()}
