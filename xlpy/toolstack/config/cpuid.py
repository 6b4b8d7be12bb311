"""CPU features of ``cpuid``: both ways to write them, and the form in which libxl stores them.

Names and positions are those of Xen's public header ``arch-x86/cpufeatureset.h`` and of libxl 4.17. libxl keeps, for
each leaf and sub-leaf, up to four texts of 32 characters, bit 31 first: ``0`` and ``1`` force a bit, ``x`` leaves the
default, ``k`` and ``s`` take the host's; and for each MSR one text of 64.
"""

from __future__ import annotations

from xlpy.functions import cache
from xlpy.toolstack.config.cnumbers import strtoul
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xlpy.toolstack.config.reading.reader import Reader

# Fields and older names: name, leaf, sub-leaf, register, lowest bit, width.
FIELDS = (
    ("maxleaf", 0x0, None, "eax", 0, 32),
    ("stepping", 0x1, None, "eax", 0, 4),
    ("model", 0x1, None, "eax", 4, 8),
    ("family", 0x1, None, "eax", 8, 8),
    ("brandid", 0x1, None, "ebx", 0, 8),
    ("clflush", 0x1, None, "ebx", 8, 8),
    ("proccount", 0x1, None, "ebx", 16, 8),
    ("localapicid", 0x1, None, "ebx", 24, 8),
    ("est", 0x1, None, "ecx", 7, 1),
    ("cntxid", 0x1, None, "ecx", 10, 1),
    ("cmpxchg16", 0x1, None, "ecx", 13, 1),
    ("sse4_1", 0x1, None, "ecx", 19, 1),
    ("sse4.1", 0x1, None, "ecx", 19, 1),
    ("sse4_2", 0x1, None, "ecx", 20, 1),
    ("sse4.2", 0x1, None, "ecx", 20, 1),
    ("aes", 0x1, None, "ecx", 25, 1),
    ("cmpxchg8", 0x1, None, "edx", 8, 1),
    ("sysenter", 0x1, None, "edx", 11, 1),
    ("psn", 0x1, None, "edx", 18, 1),
    ("clfsh", 0x1, None, "edx", 19, 1),
    ("tm", 0x1, None, "edx", 29, 1),
    ("ia64", 0x1, None, "edx", 30, 1),
    ("pbe", 0x1, None, "edx", 31, 1),
    ("procpkg", 0x4, 0, "eax", 26, 6),
    ("arat", 0x6, None, "eax", 2, 1),
    ("tsc_adjust", 0x7, 0, "ebx", 1, 1),
    ("cmt", 0x7, 0, "ebx", 12, 1),
    ("maxhvleaf", 0x40000000, None, "eax", 0, 8),
    ("lahfsahf", 0x80000001, None, "ecx", 0, 1),
    ("cmplegacy", 0x80000001, None, "ecx", 1, 1),
    ("altmovcr8", 0x80000001, None, "ecx", 4, 1),
    ("nodeid", 0x80000001, None, "ecx", 19, 1),
    ("perfctr_core", 0x80000001, None, "ecx", 23, 1),
    ("perfctr_nb", 0x80000001, None, "ecx", 24, 1),
    ("invtsc", 0x80000007, None, "edx", 8, 1),
    ("ppin", 0x80000008, None, "ebx", 23, 1),
    ("btc-no", 0x80000008, None, "ebx", 29, 1),
    ("nc", 0x80000008, None, "ecx", 0, 8),
    ("apicidsize", 0x80000008, None, "ecx", 12, 4),
    ("svm_npt", 0x8000000A, None, "edx", 0, 1),
    ("svm_lbrv", 0x8000000A, None, "edx", 1, 1),
    ("svm_nrips", 0x8000000A, None, "edx", 3, 1),
    ("svm_tscrate", 0x8000000A, None, "edx", 4, 1),
    ("svm_vmcbclean", 0x8000000A, None, "edx", 5, 1),
    ("svm_decode", 0x8000000A, None, "edx", 7, 1),
    ("svm_pausefilt", 0x8000000A, None, "edx", 10, 1),
    ("lfence+", 0x80000021, None, "eax", 2, 1),
)
# Feature bits: leaf, sub-leaf, register, and each bit with its name.
FEATURES = (
    (
        0x1,
        None,
        "edx",
        "0 fpu 1 vme 2 de 3 pse 4 tsc 5 msr 6 pae 7 mce 8 cx8 9 apic 11 sep 12 mtrr 13 pge 14 mca 15 cmov 16 pat "
        "17 pse36 19 clflush 21 ds 22 acpi 23 mmx 24 fxsr 25 sse 26 sse2 27 ss 28 htt 29 tm1 31 pbe",
    ),
    (
        0x1,
        None,
        "ecx",
        "0 sse3 1 pclmulqdq 2 dtes64 3 monitor 4 dscpl 5 vmx 6 smx 7 eist 8 tm2 9 ssse3 12 fma 13 cx16 14 xtpr 15 "
        "pdcm 17 pcid 18 dca 19 sse4-1 20 sse4-2 21 x2apic 22 movbe 23 popcnt 24 tsc-deadline 25 aesni 26 xsave "
        "27 osxsave 28 avx 29 f16c 30 rdrand 31 hypervisor",
    ),
    (
        0x80000001,
        None,
        "edx",
        "11 syscall 20 nx 22 mmxext 25 ffxsr 26 page1gb 27 rdtscp 29 lm 30 3dnowext 31 3dnow",
    ),
    (
        0x80000001,
        None,
        "ecx",
        "0 lahf-lm 1 cmp-legacy 2 svm 3 extapic 4 cr8-legacy 5 abm 6 sse4a 7 misalignsse 8 3dnowprefetch 9 osvw "
        "10 ibs 11 xop 12 skinit 13 wdt 15 lwp 16 fma4 19 nodeid-msr 21 tbm 22 topoext 26 dbext 29 monitorx",
    ),
    (
        0xD,
        1,
        "eax",
        "0 xsaveopt 1 xsavec 2 xgetbv1 3 xsaves",
    ),
    (
        0x7,
        0,
        "ebx",
        "0 fsgsbase 1 tsc-adjust 2 sgx 3 bmi1 4 hle 5 avx2 6 fdp-excp-only 7 smep 8 bmi2 9 erms 10 invpcid 11 rtm "
        "12 pqm 13 no-fpu-sel 14 mpx 15 pqe 16 avx512f 17 avx512dq 18 rdseed 19 adx 20 smap 21 avx512-ifma 23 "
        "clflushopt 24 clwb 25 proc-trace 26 avx512pf 27 avx512er 28 avx512cd 29 sha 30 avx512bw 31 avx512vl",
    ),
    (
        0x7,
        0,
        "ecx",
        "0 prefetchwt1 1 avx512-vbmi 2 umip 3 pku 4 ospke 6 avx512-vbmi2 7 cet-ss 8 gfni 9 vaes 10 vpclmulqdq 11 "
        "avx512-vnni 12 avx512-bitalg 14 avx512-vpopcntdq 22 rdpid 25 cldemote 27 movdiri 28 movdir64b 29 enqcmd",
    ),
    (
        0x80000007,
        None,
        "edx",
        "7 hw-pstate 8 itsc 9 cpb 10 efro",
    ),
    (
        0x80000008,
        None,
        "ebx",
        "0 clzero 2 rstr-fp-err-ptrs 9 wbnoinvd 12 ibpb 14 ibrs 15 amd-stibp 16 ibrs-always 17 stibp-always 18 "
        "ibrs-fast 19 ibrs-same-mode 20 no-lmsl 23 amd-ppin 24 amd-ssbd 25 virt-ssbd 26 ssb-no 28 psfd 29 btc-no "
        "30 ibpb-ret",
    ),
    (
        0x7,
        0,
        "edx",
        "2 avx512-4vnniw 3 avx512-4fmaps 4 fsrm 8 avx512-vp2intersect 9 srbds-ctrl 10 md-clear 11 "
        "rtm-always-abort 13 tsx-force-abort 14 serialize 15 hybrid 16 tsxldtrk 20 cet-ibt 23 avx512-fp16 26 "
        "ibrsb 27 stibp 28 l1d-flush 29 arch-caps 30 core-caps 31 ssbd",
    ),
    (
        0x7,
        1,
        "eax",
        "4 avx-vnni 5 avx512-bf16 10 fzrm 11 fsrs 12 fsrcs",
    ),
    (
        0x80000021,
        None,
        "eax",
        "2 lfence-dispatch 5 verw-clear 6 nscb 8 auto-ibrs 27 sbpb 28 ibpb-brtype 29 srso-no 30 srso-us-no 31 "
        "srso-msr-fix",
    ),
    (
        0x7,
        1,
        "ebx",
        "0 intel-ppin",
    ),
    (
        0x7,
        2,
        "edx",
        "0 intel-psfd 1 ipred-ctrl 2 rrsba-ctrl 4 bhi-ctrl 5 mcdt-no",
    ),
    (
        0x7,
        1,
        "edx",
        "18 cet-sss",
    ),
    (
        0x80000021,
        None,
        "ecx",
        "1 tsa-sq-no 2 tsa-l1-no",
    ),
)
# Names that came later: since which Xen, leaf, sub-leaf, register, and each bit with its name.
LATER = (
    ((4, 18), 0x7, 0, "ecx", "24 bld 31 pks"),
    ((4, 18), 0x7, 1, "eax", "19 wrmsrns 23 avx-ifma"),
    ((4, 18), 0x80000021, None, "eax", "17 cpuid-user-dis"),
    ((4, 18), 0x7, 2, "edx", "3 ddp-ctrl"),
    ((4, 18), 0x7, 1, "edx", "4 avx-vnni-int8 5 avx-ne-convert"),
    ((4, 19), 0x80000001, None, "ecx", "30 addr-msk-ext"),
    ((4, 19), 0x7, 0, "edx", "5 uintr 19 arch-lbr 24 amx-tile"),
    ((4, 19), 0x7, 1, "eax", "0 sha512 1 sm3 2 sm4 17 fred"),
    ((4, 19), 0x80000021, None, "eax", "0 no-nest-bp 1 fs-gs-ns 10 amd-fsrs 11 amd-fsrc 18 epsf 19 fsrsc"),
    ((4, 19), 0x80000021, None, "eax", "20 amd-prefetchi"),
    ((4, 19), 0x7, 1, "edx", "10 avx-vnni-int16 14 prefetchi"),
    ((4, 20), 0x1, None, "ecx", "11 sdbg"),
    ((4, 20), 0xD, 1, "eax", "4 xfd"),
    ((4, 20), 0x7, 0, "ecx", "5 waitpkg 13 tme 16 la57 30 sgx-lc"),
    ((4, 20), 0x7, 0, "edx", "1 sgx-keys 18 pconfig 22 amx-bf16 25 amx-int8"),
    ((4, 20), 0x7, 1, "eax", "7 cmpccxadd 21 amx-fp16"),
    ((4, 20), 0x7, 1, "edx", "8 amx-complex"),
)
# Bits of MSR_ARCH_CAPABILITIES.
MSR_FEATURES = (
    0x10A,
    "0 rdcl-no 1 eibrs 2 rsba 3 skip-l1dfl 4 intel-ssb-no 5 mds-no 6 if-pschange-mc-no 7 tsx-ctrl 8 taa-no 9 "
    "mcu-ctrl 10 misc-pkg-ctrl 11 energy-filtering 12 doitm 13 sbdr-ssdp-no 14 fbsdp-no 15 psdp-no 17 "
    "fb-clear 18 fb-clear-ctrl 19 rrsba 20 bhi-no 21 xapic-status 23 ovrclk-status 24 pbrsb-no 25 gds-ctrl 26 "
    "gds-no 27 rfds-no 28 rfds-clear 62 its-no",
)
MSR_LATER = " 32 pb-opt-ctrl"  # since 4.18
REGISTERS = ("eax", "ebx", "ecx", "edx")
_NO_LEAF = 0xFFFFFFFF
_FIELD_ERRORS = {
    1: "it has no =",
    2: "there is no feature of this name",
    3: "the value must be 0, 1, x, k or s",
}
_LINE_ERRORS = {
    1: "the leaf is not a number",
    2: "the sub-leaf is not a number",
    3: "there is no colon behind the leaf",
    4: "the register must be eax, ebx, ecx or edx, with = behind it",
    5: "a register needs exactly 32 characters",
}

Entry = dict[str, Any]


@cache
def names(xen: tuple[int, int] = (4, 17)) -> dict[str, tuple[int, int | None, str, int, int]]:
    """Where each CPUID name of a version of Xen lies: leaf, sub-leaf, register, lowest bit, width. The older names come
    first."""
    found = {name: (leaf, sub, register, bit, width) for name, leaf, sub, register, bit, width in FIELDS}
    for leaf, subleaf, register, text in (*FEATURES, *(row[1:] for row in LATER if row[0] <= xen)):
        words = text.split()
        for bit, name in zip(words[::2], words[1::2], strict=True):
            found.setdefault(name, (leaf, subleaf, register, int(bit), 1))
    return found


@cache
def msr_names(xen: tuple[int, int] = (4, 17)) -> dict[str, tuple[int, int]]:
    """Where each feature that an MSR shows lies: MSR index and bit."""
    index, text = MSR_FEATURES
    words = (text + (MSR_LATER if xen >= (4, 18) else "")).split()
    return {name: (index, int(bit)) for bit, name in zip(words[::2], words[1::2], strict=True)}


class CpuidPolicy:
    """The overrides so far, in the order in which leaves and MSRs were first named.

    Args:
        xen: which names there are.
    """

    def __init__(self, xen: tuple[int, int] = (4, 17)) -> None:
        self._names, self._msr_names = names(xen), msr_names(xen)
        self.cpuid: list[Entry] = []
        self.msr: list[Entry] = []

    def to_tree(self) -> dict[str, list[Entry]] | None:
        """libxl's structure, or None when nothing is overridden."""
        if not self.cpuid and not self.msr:
            return None
        order = ("leaf", "subleaf", *REGISTERS)
        return {"cpuid": [{k: entry[k] for k in order if k in entry} for entry in self.cpuid], "msr": self.msr}

    def leaf(self, leaf: int, subleaf: int | None) -> Entry:
        """The entry of a leaf, made when it is new. The number that ends libxl's array leaves nothing behind."""
        for entry in self.cpuid:
            if entry["leaf"] == leaf and entry.get("subleaf") == subleaf:
                return entry
        entry = {"leaf": leaf} if subleaf is None else {"leaf": leaf, "subleaf": subleaf}
        if leaf != _NO_LEAF:
            self.cpuid.append(entry)
        return entry

    def add(self, setting: str) -> int:
        """Apply one ``NAME=VALUE``; return 0 or libxl's error number."""
        name, equals, value = setting.partition("=")
        if not equals:
            return 1
        if name in self._names:
            return self._field(name, value)
        if name in self._msr_names:
            return self._msr(*self._msr_names[name], value)
        return 2

    def _field(self, name: str, value: str) -> int:
        leaf, subleaf, register, bit, width = self._names[name]
        entry = self.leaf(leaf, subleaf)
        number, end = strtoul(value, 0)
        if end:
            flags = format(number & (1 << width) - 1, f"0{width}b")
        elif value[:1] and value[0] in "xks":
            flags = value[0] * width
        else:
            return 3
        bits = entry.get(register, "x" * 32)
        if name == "family":
            # Beyond 15 the family field is full, and the rest goes to the extended field.
            if number < 16:
                bits = _insert(_insert(bits, bit, flags[4:]), 20, "0" * 8)
            else:
                extended = flags[0] + format(number - 15 & 0x7F, "07b")
                bits = _insert(_insert(bits, bit, "1111"), 20, extended)
        elif name == "model":
            bits = _insert(_insert(bits, 16, flags[:4]), bit, flags[4:])
        else:
            bits = _insert(bits, bit, flags)
        entry[register] = bits
        return 0

    def _msr(self, index: int, bit: int, value: str) -> int:
        entry = next((entry for entry in self.msr if entry["index"] == index), None)
        if entry is None:
            entry = {"index": index, "policy": "x" * 64}
            self.msr.append(entry)
        if value not in ("0", "1", "x", "k", "s"):
            return 3
        entry["policy"] = _insert(entry["policy"], bit, "k" if value == "s" else value)
        return 0

    def add_line(self, line: str) -> int:
        """Apply one ``LEAF[,SUBLEAF]:REG=BITS,...``; return 0 or libxl's error number."""
        number, at = strtoul(line, 0)
        if at == 0:
            return 1
        leaf, subleaf = number & _NO_LEAF, None
        if line.startswith(",", at):
            start = at + 1
            number, at = strtoul(line, 0, start)
            if at == start:
                return 2
            subleaf = None if number & _NO_LEAF == _NO_LEAF else number & _NO_LEAF
        if not line.startswith(":", at):
            return 3
        entry = self.leaf(leaf, subleaf)
        at += 1
        while at < len(line):
            equals = line.find("=", at)
            if line[at] != "e" or line[at + 2 : at + 3] != "x" or line[at + 1] not in "abcd" or equals < 0:
                return 4
            register, start = f"e{line[at + 1]}x", equals + 1
            end = line.find(",", start)
            end = end if end >= 0 else len(line)
            if len(line[start:end].encode("utf-8", "surrogateescape")) != 32:
                return 5
            entry[register] = line[start:end]
            at = end + 1
            while line[at : at + 1] in (" ", "\n"):
                at += 1
        return 0


def _insert(bits: str, lowest: int, flags: str) -> str:
    """``bits`` (bit 31 or 63 first) with ``flags`` from bit ``lowest`` up."""
    end = len(bits) - lowest
    return bits[: end - len(flags)] + flags + bits[end:]


def read_cpuid(reader: Reader) -> None:
    """``cpuid``: what cannot be read is complained about and left out, as xl does."""
    if "cpuid" not in reader.settings:
        return
    policy = CpuidPolicy(reader.version)
    if reader.is_list("cpuid"):
        for item in reader.texts("cpuid") or ():
            error = policy.add_line(item)
            if error:
                reader.warn(item, f"cpuid: {_LINE_ERRORS[error]}; xl goes on without the rest of {str(item)[:60]!r}")
    else:
        _read_flags(reader, policy)
    tree = policy.to_tree()
    if tree:
        reader.put("b_info.cpuid", tree)


def _read_flags(reader: Reader, policy: CpuidPolicy) -> None:
    text = reader.string("cpuid")
    if text is None:
        return
    index, first = 0, True
    for part in text.split(","):
        at, index = index, index + len(part) + 1
        if not part:
            continue
        if first and part != "host":
            reader.warn(text, "cpuid: xl ignores it because its first word is not host", 'write "host,NAME=VALUE,..."')
            return
        error = 0 if first else policy.add(part)
        first = False
        if error:
            name = part.partition("=")[0].strip()
            hint = reader.nearest(name, (*names(reader.version), *msr_names(reader.version))) if error == 2 else None
            reader.warn(reader.at(text, at), f"cpuid: {part!r}: {_FIELD_ERRORS[error]}; xl goes on without it", hint)
