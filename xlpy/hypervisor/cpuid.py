"""CPUID policies: the host's policy, the maximum for a guest, and a guest's own.

A guest's policy is what the toolstack asks for, cut down to the maximum policy: features that the processor has, that
Xen knows (``arch-x86/cpufeatureset.h``, the masks below) and whose prerequisites are there. So CLFLUSHOPT and CLWB
appear exactly when the host has them and they are not switched off; PCOMMIT, which no processor ever had, is no feature
that Xen knows and always reads 0.
"""

from __future__ import annotations

from xlpy import abi
from xlpy.abi import refuse
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any
from xlpy.xen_version import numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

EAX, EBX, ECX, EDX = range(4)
WORD = 0xFFFFFFFF
TSC_KHZ = 2_400_000  # the emulated host's time stamp counter

Registers = tuple[int, int, int, int]


class Features(NamedTuple):
    """One word of feature bits.

    default: what guests get by themselves. most: what they may get when the toolstack asks.
    """

    leaf: int
    subleaf: int
    register: int
    default: int
    most: int


FEATURES = (
    Features(0x00000001, 0, EDX, 0x1FCBFBFF, 0x1FCBFBFF),
    Features(0x00000001, 0, ECX, 0xF7FA3203, 0xF7FA3223),
    Features(0x80000001, 0, EDX, 0xEE500800, 0xEE500800),
    Features(0x80000001, 0, ECX, 0x042109F3, 0x042109F7),
    Features(0x0000000D, 1, EAX, 0x0000000F, 0x0000000F),
    Features(0x00000007, 0, EBX, 0xFDBF0FAB, 0xFDBF4FBB),
    Features(0x00000007, 0, ECX, 0x02405F4F, 0x1A405F4F),
    Features(0x80000007, 0, EDX, 0x00000000, 0x00000100),
    Features(0x80000008, 0, EBX, 0x751FD005, 0x751FD005),
    Features(0x00000007, 0, EDX, 0xBC00441C, 0xBC01451C),
    Features(0x00000007, 1, EAX, 0x00001C30, 0x00001C30),
    Features(0x80000021, 0, EAX, 0x78000064, 0x78000064),
    Features(0x00000007, 2, EDX, 0x00000037, 0x00000037),
)
_WORDS = {(word.leaf, word.subleaf, word.register): word for word in FEATURES}

# Seen by HVM guests whatever the hardware says: the APIC is emulated, and this is a hypervisor.
APIC = (1, 0, EDX, 9)
X2APIC = (1, 0, ECX, 21)
HYPERVISOR = (1, 0, ECX, 31)

# A feature without its prerequisite is cleared, and so are those that need it (Xen ``tools/gen-cpuid.py``, the part
# that concerns the emulated processors).
NEEDS = (
    ((1, 0, EDX, 19), ((7, 0, EBX, 23), (7, 0, EBX, 24))),  # CLFLUSH: CLFLUSHOPT, CLWB
    ((1, 0, EDX, 24), ((1, 0, EDX, 25),)),  # FXSR: SSE
    ((1, 0, EDX, 25), ((1, 0, EDX, 26),)),  # SSE: SSE2
    ((1, 0, EDX, 26), ((1, 0, ECX, 0), (1, 0, ECX, 1), (1, 0, ECX, 25), (0x80000001, 0, EDX, 29))),  # SSE3 ... LM
    ((1, 0, ECX, 0), ((1, 0, ECX, 9),)),  # SSE3: SSSE3
    ((1, 0, ECX, 9), ((1, 0, ECX, 19),)),  # SSSE3: SSE4.1
    ((1, 0, ECX, 19), ((1, 0, ECX, 20),)),  # SSE4.1: SSE4.2
    ((1, 0, EDX, 6), ((0x80000001, 0, EDX, 29), (0x80000001, 0, EDX, 20))),  # PAE: LM, NX
    ((0x80000001, 0, EDX, 29), ((0x80000001, 0, EDX, 26), (0x80000001, 0, ECX, 0), (7, 0, ECX, 3))),  # LM: 1 GiB pages
)

_MAX_BASIC, _MAX_EXTENDED = (0, 0), (0x80000000, 0)
_SUBLEAVES = {4: 4, 7: 3, 0xD: 2}


class Policy:
    """What CPUID gives: registers by (leaf, subleaf)."""

    def __init__(self, leaves: dict[tuple[int, int], Registers]) -> None:
        self.leaves = leaves

    def read(self, leaf: int, subleaf: int = 0) -> Registers:
        """EAX, EBX, ECX, EDX; zeros beyond the last leaf."""
        key = (leaf, subleaf if leaf in _SUBLEAVES else 0)
        top = self.leaves[_MAX_EXTENDED if leaf >> 31 else _MAX_BASIC][EAX]
        return self.leaves.get(key, (0, 0, 0, 0)) if leaf <= top else (0, 0, 0, 0)

    def has(self, leaf: int, subleaf: int, register: int, bit: int) -> bool:
        """Whether one bit is set."""
        return bool(self.read(leaf, subleaf)[register] >> bit & 1)

    def to_json(self) -> list[list[int]]:
        """The leaves, for ``from_json``."""
        return [[*key, *value] for key, value in self.leaves.items()]


def from_json(rows: list[list[int]]) -> Policy:
    """The policy that ``to_json`` described."""
    return Policy({(row[0], row[1]): (row[2], row[3], row[4], row[5]) for row in rows})


def host_policy(cpuid: Callable[[int, int], Registers]) -> Policy:
    """Everything that the processor says of itself."""
    leaves = {}
    for first in (0, 0x80000000):
        for leaf in range(first, cpuid(first, 0)[EAX] + 1):
            for subleaf in range(_SUBLEAVES.get(leaf, 1)):
                leaves[leaf, subleaf] = cpuid(leaf, subleaf)
    return Policy(leaves)


def max_policy(cpuid: Callable[[int, int], Registers], *, hvm: bool) -> Policy:
    """The most that a guest may see."""
    return _masked(cpuid, [word.most for word in FEATURES], hvm=hvm)


def default_policy(cpuid: Callable[[int, int], Registers], *, hvm: bool) -> Policy:
    """What a guest sees when the toolstack asks for nothing."""
    return _masked(cpuid, [word.default for word in FEATURES], hvm=hvm)


def guest_policy(
    cpuid: Callable[[int, int], Registers], overrides: Sequence[Mapping[str, Any]], *, hvm: bool
) -> Policy:
    """The policy of a guest with overrides in libxl's shape.

    Args:
        cpuid: the processor.
        overrides: rows ``{"leaf": 7, "subleaf": 0, "ebx": "xxxxxxx1..."}``; a register is 32 characters, bit 31 first:
            ``1`` and ``0`` force the bit, ``x`` takes the default, ``k`` and ``s`` the host's.
        hvm: whether the guest is fully virtualised.

    Raises:
        HypercallError: EINVAL for another character, another length, or a leaf that the host does not have.
    """
    host, most = host_policy(cpuid), max_policy(cpuid, hvm=hvm)
    policy = default_policy(cpuid, hvm=hvm)
    for row in overrides:
        leaf, subleaf = row["leaf"], row.get("subleaf") or 0
        if (leaf, subleaf) not in policy.leaves:
            refuse(abi.EINVAL, f"CPUID leaf {leaf:#x}:{subleaf} is not in the host's policy")
        values = list(policy.leaves[leaf, subleaf])
        for register, name in enumerate(("eax", "ebx", "ecx", "edx")):
            text = row.get(name)
            if text is not None:
                where = f"CPUID {leaf:#x}:{subleaf}.{name}"
                wanted = _apply(where, text, values[register], host.leaves[leaf, subleaf][register])
                limit = most.leaves[leaf, subleaf][register]
                values[register] = _allowed(leaf, subleaf, register, wanted, limit)
        policy.leaves[leaf, subleaf] = (values[0], values[1], values[2], values[3])
    _clear_dependents(policy)
    return policy


def xen_leaf(index: int, subleaf: int, base: int, domid: int, version: str) -> Registers:
    """Xen's own leaves, ``index`` counted from ``base`` (0x40000000, or 0x40000100 behind Viridian's).

    0: highest leaf and signature. 1: version. 2: hypercall pages and the MSR that installs them. 3: time; sub-leaf 0
    has the TSC frequency in kHz in ECX. 4: what HVM guests have; vCPU id in EBX, domid in ECX.
    """
    if index == 0:
        return (base + abi.CPUID_XEN_LEAVES, *abi.CPUID_XEN_SIGNATURE)
    if index == 1:
        major, minor = numbers(version)
        return (major << 16 | minor, 0, 0, 0)
    if index == 2:
        return (1, 0x40000000 if base == abi.CPUID_XEN_BASE else 0x40000200, 0, 0)
    if index == 3 and subleaf == 0:
        return (0, 0, TSC_KHZ, 0)
    if index == 4:
        return (abi.CPUID_HVM_VCPU_ID_PRESENT | abi.CPUID_HVM_DOMID_PRESENT, 0, domid, 0)
    return (0, 0, 0, 0)


def _masked(cpuid: Callable[[int, int], Registers], masks: Sequence[int], *, hvm: bool) -> Policy:
    policy = host_policy(cpuid)
    for word, mask in zip(FEATURES, masks, strict=True):
        key = (word.leaf, word.subleaf)
        if key in policy.leaves:
            _set(policy, key, word.register, policy.leaves[key][word.register] & mask)
    for leaf, subleaf, register, bit in (APIC, X2APIC, HYPERVISOR) if hvm else (HYPERVISOR,):
        _set(policy, (leaf, subleaf), register, policy.leaves[leaf, subleaf][register] | 1 << bit)
    _clear_dependents(policy)
    return policy


def _set(policy: Policy, key: tuple[int, int], register: int, value: int) -> None:
    values = list(policy.leaves[key])
    values[register] = value
    policy.leaves[key] = (values[0], values[1], values[2], values[3])


def _clear_dependents(policy: Policy) -> None:
    for need, dependents in NEEDS:  # ordered so that one pass reaches everything
        if not policy.has(*need):
            for leaf, subleaf, register, bit in dependents:
                if (leaf, subleaf) in policy.leaves:
                    _set(policy, (leaf, subleaf), register, policy.leaves[leaf, subleaf][register] & ~(1 << bit))


def _apply(where: str, text: str, default: int, host: int) -> int:
    if len(text) != 32:
        refuse(abi.EINVAL, f"{where}: {len(text)} characters, required 32, one for each bit")
    value = 0
    for at, letter in enumerate(text):
        bit = 1 << (31 - at)
        if letter == "1":
            value |= bit
        elif letter == "x":
            value |= default & bit
        elif letter in "ks":
            value |= host & bit
        elif letter != "0":
            refuse(abi.EINVAL, f"{where}: bit {31 - at} is {letter!r}, required one of 0 1 x k s")
    return value


def _allowed(leaf: int, subleaf: int, register: int, wanted: int, limit: int) -> int:
    """Cut a wish down: feature words by bits, the largest leaf and the address widths by value, the line size not at
    all (it is the hardware's)."""
    if (leaf, subleaf, register) in _WORDS:
        return wanted & limit
    if register == EAX and (leaf, subleaf) in (_MAX_BASIC, _MAX_EXTENDED):
        return min(wanted, limit)
    if (leaf, register) == (0x80000008, EAX):
        return min(wanted & 0xFF, limit & 0xFF) | min(wanted >> 8 & 0xFF, limit >> 8 & 0xFF) << 8 | wanted & ~0xFFFF
    if (leaf, register) == (1, EBX):
        return wanted & ~0xFF00 | limit & 0xFF00
    return wanted
