"""CPUID policies: CLWB and CLFLUSHOPT as host and ``cpuid=`` allow; nothing that the host or Xen does not have."""

import re
from pathlib import Path

import pytest
from hypervisor_helpers import Refused, play
from programs import needs_other

from xlpy import abi
from xlpy.hw.cpu import cpuid as processor
from xlpy.hw.machine import CpuSpec
from xlpy.hypervisor.cpuid import EAX, EBX, ECX, EDX, FEATURES, default_policy, guest_policy, host_policy, max_policy
from xlpy.hypervisor.xen import Xen

HEADER = Path("/usr/include/xen/arch-x86/cpufeatureset.h")
WORDS = {  # Xen's numbering of the feature words
    0: (0x1, 0, EDX), 1: (0x1, 0, ECX), 2: (0x80000001, 0, EDX), 3: (0x80000001, 0, ECX), 4: (0xD, 1, EAX),
    5: (0x7, 0, EBX), 6: (0x7, 0, ECX), 7: (0x80000007, 0, EDX), 8: (0x80000008, 0, EBX), 9: (0x7, 0, EDX),
    10: (0x7, 1, EAX), 11: (0x80000021, 0, EAX), 13: (0x7, 2, EDX),
}  # fmt: skip
PCOMMIT, CLFLUSHOPT, CLWB = 22, 23, 24
VMX, OSXSAVE = 5, 27


def host(*features, line=64):
    spec = CpuSpec(count=2, physical_bits=46, line=line, features=features)
    return lambda leaf, subleaf: processor(spec, leaf, subleaf)


def ebx7(cpuid, *overrides):
    return guest_policy(cpuid, overrides, hvm=True).read(7, 0)[EBX]


def bits(**at):
    """A 32-character override: x except at the named places, bit31 first."""
    text = ["x"] * 32
    for name, letter in at.items():
        text[31 - int(name[1:])] = letter
    return "".join(text)


@needs_other("Xen's headers", HEADER.exists(), "libxen-dev")
def test_masks_are_xens():
    default, most = dict.fromkeys(WORDS, 0), dict.fromkeys(WORDS, 0)
    pattern = r"XEN_CPUFEATURE\(\w+,\s*(\d+)\*32\+\s*(\d+)\)\s*/\*([!ASHash]*)\s"
    for word, bit, marks in re.findall(pattern, HEADER.read_text()):
        marks, word = marks.replace("!", ""), int(word)
        if word in WORDS:
            most[word] |= bool(marks) << int(bit)
            default[word] |= (marks in ("A", "S", "H")) << int(bit)
    ours = {(one.leaf, one.subleaf, one.register): (one.default, one.most) for one in FEATURES}
    assert ours == {where: (default[word], most[word]) for word, where in WORDS.items()}


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ((), 0),
        (("clwb",), 1 << CLWB),
        (("clflushopt",), 1 << CLFLUSHOPT),
        (("clwb", "clflushopt"), 1 << CLWB | 1 << CLFLUSHOPT),
    ],
)
def test_flush_instructions_follow_the_host(features, expected):
    assert ebx7(host(*features)) & 7 << PCOMMIT == expected


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        (bits(b24="0"), 1 << CLFLUSHOPT),
        (bits(b24="0", b23="0"), 0),
        (bits(b24="1", b23="x"), 1 << CLWB | 1 << CLFLUSHOPT),
        (bits(b24="k", b23="s"), 1 << CLWB | 1 << CLFLUSHOPT),
        (bits(b22="1"), 1 << CLWB | 1 << CLFLUSHOPT),  # PCOMMIT: nobody has it
        ("1" * 32, 1 << CLWB | 1 << CLFLUSHOPT),
        ("k" * 32, 1 << CLWB | 1 << CLFLUSHOPT),
        ("0" * 32, 0),
    ],
)
def test_overrides(text, flags):
    assert ebx7(host("clwb", "clflushopt"), {"leaf": 7, "subleaf": 0, "ebx": text}) & 7 << PCOMMIT == flags


def test_what_the_host_lacks_cannot_be_asked_for():
    for text in ("1" * 32, "k" * 32, bits(b24="1", b23="1", b22="1")):
        assert ebx7(host(), {"leaf": 7, "subleaf": 0, "ebx": text}) & 7 << PCOMMIT == 0


def test_without_clflush_no_clwb():
    """A feature whose prerequisite is switched off goes too."""
    policy = guest_policy(host("clwb", "clflushopt"), [{"leaf": 1, "edx": bits(b19="0")}], hvm=True)
    assert policy.read(7, 0)[EBX] & 7 << PCOMMIT == 0
    policy = guest_policy(host(), [{"leaf": 1, "edx": bits(b24="0")}], hvm=True)  # FXSR carries SSE to SSE4.2 and LM
    assert policy.read(1, 0)[ECX] & (1 << 0 | 1 << 9 | 1 << 19 | 1 << 20) == 0
    assert not policy.has(0x80000001, 0, EDX, 29)


def test_reserved_bits_are_never_shown():
    for word in FEATURES:
        row = {"leaf": word.leaf, "subleaf": word.subleaf, ("eax", "ebx", "ecx", "edx")[word.register]: "1" * 32}
        cpuid = host("clwb", "clflushopt")
        if (word.leaf, word.subleaf) not in host_policy(cpuid).leaves:
            continue
        policy = guest_policy(cpuid, [row], hvm=True)
        shown = policy.read(word.leaf, word.subleaf)[word.register]
        most = max_policy(cpuid, hvm=True).read(word.leaf, word.subleaf)[word.register]
        assert shown & ~most == 0
        assert shown == most  # and all that may be asked for is given


def test_line_size_is_the_hosts():
    for line in (32, 64, 128):
        text = bits(**{f"b{at}": "0" for at in range(8, 16)})
        policy = guest_policy(host(line=line), [{"leaf": 1, "ebx": text}], hvm=True)
        assert (policy.read(1, 0)[EBX] >> 8 & 0xFF) * 8 == line


def test_features_that_only_some_guests_get():
    cpuid = host()
    assert host_policy(cpuid).has(1, 0, ECX, VMX)
    assert not default_policy(cpuid, hvm=True).has(1, 0, ECX, VMX)
    assert guest_policy(cpuid, [{"leaf": 1, "ecx": bits(b5="1")}], hvm=True).has(1, 0, ECX, VMX)
    for hvm in (True, False):
        assert default_policy(cpuid, hvm=hvm).has(1, 0, ECX, 31)  # running under a hypervisor
        assert not default_policy(cpuid, hvm=hvm).has(1, 0, ECX, OSXSAVE)


def test_numbers_can_only_shrink():
    policy = guest_policy(host("clwb"), [{"leaf": 0, "eax": "0" * 29 + "101"}], hvm=True)
    assert policy.read(0, 0)[EAX] == 5
    assert policy.read(7, 0) == (0, 0, 0, 0)  # beyond the last leaf
    policy = guest_policy(host(), [{"leaf": 0, "eax": "0" * 27 + "11111"}], hvm=True)
    assert policy.read(0, 0)[EAX] == 7
    wide = "x" * 24 + format(52, "08b")
    assert guest_policy(host(), [{"leaf": 0x80000008, "eax": wide}], hvm=True).read(0x80000008, 0)[EAX] & 0xFF == 46
    narrow = "x" * 24 + format(40, "08b")
    assert guest_policy(host(), [{"leaf": 0x80000008, "eax": narrow}], hvm=True).read(0x80000008, 0)[EAX] & 0xFF == 40


def test_set_cpu_policy(xen, hw, store, calls, guest):
    off = [{"leaf": 7, "subleaf": 0, "ebx": bits(b24="0")}]
    einval = Refused(abi.EINVAL)
    play(
        xen,
        [
            (guest, "domctl_set_cpu_policy", (guest, off), Refused(abi.EPERM)),
            (0, "domctl_set_cpu_policy", (99, off), Refused(abi.ESRCH)),
            (0, "domctl_set_cpu_policy", (guest, [{"leaf": 7, "subleaf": 0, "ebx": "1"}]), einval),
            (0, "domctl_set_cpu_policy", (guest, [{"leaf": 7, "subleaf": 0, "ebx": "Q" * 32}]), einval),
            (0, "domctl_set_cpu_policy", (guest, [{"leaf": 7, "subleaf": 9, "ebx": bits()}]), einval),
            (0, "domctl_set_cpu_policy", (guest, [{"leaf": 0x55, "eax": bits()}]), einval),
        ],
    )
    assert xen.domain(guest).policy.has(7, 0, EBX, CLWB)  # nothing of it was taken over
    calls.domctl_set_cpu_policy(guest, off)
    again = Xen(hw, store).hypercalls(0).domctl_get_cpu_policy(guest)  # migration compares it
    assert not again.has(7, 0, EBX, CLWB)
    assert again.has(7, 0, EBX, CLFLUSHOPT)
    calls.domctl_unpausedomain(guest)
    play(xen, [(0, "domctl_set_cpu_policy", (guest, off), Refused(abi.EBUSY))])


def test_xens_own_leaves(xen, calls, guest):
    domain = xen.domain(guest)
    assert domain.cpuid(0x40000000) == (0x40000005, 0x566E6558, 0x65584D4D, 0x4D4D566E)
    assert b"".join(word.to_bytes(4, "little") for word in domain.cpuid(0x40000000)[1:]) == b"XenVMMXenVMM"
    assert domain.cpuid(0x40000001)[0] == 4 << 16 | 17
    assert domain.cpuid(0x40000002)[:2] == (1, 0x40000000)
    assert domain.cpuid(0x40000003)[2] == 2_400_000
    assert domain.cpuid(0x40000004)[2] == guest
    calls.hvm_set_param(guest, abi.HVM_PARAM_VIRIDIAN, 1)
    assert domain.cpuid(0x40000000)[1] != 0x566E6558
    assert domain.cpuid(0x40000100)[:2] == (0x40000105, 0x566E6558)


def test_narrow_guests_have_less_room_for_pmem(xen, calls, device, guest):
    from hypervisor_helpers import extent

    calls.domctl_set_cpu_policy(guest, [{"leaf": 0x80000008, "eax": "x" * 24 + format(36, "08b")}])
    assert xen.domain(guest).physical_bits == 36
    last = (1 << 24) - 1
    play(
        xen,
        [
            (0, "memory_pmem_map", (guest, [extent(last, device.first, 2)]), Refused(abi.EINVAL)),
            (0, "memory_pmem_map", (guest, [extent(last, device.first, 1)]), 1),
        ],
    )
