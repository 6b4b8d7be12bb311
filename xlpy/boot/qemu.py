"""QEMU as the processor: finding it, and its command line.

RAM content, memory map, ACPI tables, SMBIOS and persistent memory are the domain's; QEMU brings CPUs, timers, a serial
port and the PIIX4 chipset, whose power management block SeaBIOS puts at I/O port 0x600.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from xlpy.addr import GIB, KIB
from xlpy.boot.plan import BELL_SIZE
from xlpy.contexts import suppress
from xlpy.errors import Constraint, MissingTool, NotFound
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xlpy.boot.plan import Backend, MemoryPlan
    from xlpy.firmware.e820 import E820Entry

PROGRAM = "qemu-system-x86_64"
VARIABLE = "XLPY_QEMU"  # names another one
KIT = "xlpy-guest-kit"  # cache of guest/kit.py
BELL = "bell"  # the module that is asked to leave when the guest is to look for notifications
PM_BASE = 0x600  # where SeaBIOS puts the PIIX4's power management ports
WAKE_PORT = 0x5C0  # a byte written here reports that the mailbox's doorbell was rung; unused by the board
COMMAND_LINE = 2048  # the longest kernel command line on x86
LOW_RAM = 3 * GIB  # the most that its i440FX board has below 4 GiB
POLICY_BITS = {"clflushopt": 23, "clwb": 24}  # CPUID leaf 7, EBX: what a domain's policy may take away
_MEMMAP = {1: "@", 2: "$", 3: "#"}  # Linux's memmap= operator for an E820 type; any other goes by number


class Qemu(NamedTuple):
    """An installed emulator: its path and (major, minor) version."""

    path: str
    version: tuple[int, int]

    @property
    def has_offset(self) -> bool:
        """Whether memory-backend-file can map part of a file (``offset=``, from 8.1 on)."""
        return self.version >= (8, 1)


def find_qemu(wanted: str = "", least: tuple[int, int] = (0, 0)) -> Qemu:
    """Look QEMU up.

    Args:
        wanted: its path, or its name on PATH; empty: what ``XLPY_QEMU`` says, else ``qemu-system-x86_64``.
        least: the version that is needed. When none is named, and the one on PATH is absent or older, it is one
            that the guest kit has unpacked.

    Raises:
        MissingTool: it is not installed. NotFound: nothing of the given name can be run. Constraint: it does not say
        its version.
    """
    named = wanted or os.environ.get(VARIABLE, "")
    path = shutil.which(named or PROGRAM)
    if path is None and named:
        raise NotFound(
            f"{named}: no such program",
            hint=f"{'--qemu' if wanted else VARIABLE} names a qemu-system-x86_64; guest/kit.py --qemu unpacks one",
        )
    found = _asked(path) if path else None
    if not named and (found is None or found.version < least):
        found = next((one for one in _unpacked() if one.version >= least), found)
    if found is None:
        raise MissingTool(PROGRAM, "qemu-system-x86")
    return found


def _unpacked() -> Iterator[Qemu]:
    """Those that the guest kit has unpacked in its cache, of whatever suite."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / KIT
    for path in sorted((*cache.glob(f"bin/{PROGRAM}"), *cache.glob(f"*/bin/{PROGRAM}"))):
        with suppress(Constraint):  # what it needs is no longer there
            yield _asked(str(path))


def _asked(path: str) -> Qemu:
    """A QEMU, by what it says of itself."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
        text = done.stdout or done.stderr
    except OSError as error:
        text = str(error)
    found = re.search(r"version (\d+)\.(\d+)", text)
    if not found:
        raise Constraint(f"{path} --version says {text.strip()[:80]!r}, not a version", hint="install qemu-system-x86")
    return Qemu(path, (int(found[1]), int(found[2])))


def memmap_words(entries: Sequence[E820Entry]) -> list[str]:
    """An E820 as Linux command line words: ``memmap=exactmap``, then one per entry; type 7 is persistent memory."""
    words = ["memmap=exactmap"]
    for entry in entries:
        if entry.type in _MEMMAP:
            words.append(f"memmap={entry.size:#x}{_MEMMAP[entry.type]}{entry.start:#x}")
        else:
            words.append(f"memmap={entry.size:#x}%{entry.start:#x}-0+{entry.type}")
    return words


def kernel_command_line(rsdp: int | None, entries: Sequence[E820Entry], append: str) -> str:
    """The kernel's command line: console, our RSDP (None: no ACPI), our memory map, then the user's words.

    A panic resets the machine at once, which ends the emulator; without ``panic=`` the kernel would hang until time is
    up. Its check that timer interrupts come in time would fail on a busy machine, and that is such a panic.

    Raises:
        Constraint: longer than a kernel takes.
    """
    acpi = "acpi=off" if rsdp is None else f"acpi_rsdp={rsdp:#x}"
    words = ["console=ttyS0", "panic=-1", "nokaslr", "no_timer_check", acpi, *memmap_words(entries), append]
    line = " ".join(word for word in words if word)
    if len(line) >= COMMAND_LINE:
        raise Constraint(
            f"the kernel command line has {len(line)} characters, at most {COMMAND_LINE - 1} fit",
            hint="shorten --append, or give the domain fewer vNVDIMMs",
        )
    return line


def command(
    qemu: Qemu,
    plan: MemoryPlan,
    low: int,
    vcpus: int,
    kernel: Path,
    initrd: Path | None,
    line: str,
    cpu_off: Sequence[str] = (),
    extra: Sequence[str] = (),
    apart: bool = False,
    smbios: Sequence[Path] = (),
) -> list[str]:
    """The emulator's command line.

    Args:
        qemu: the emulator.
        plan: the memory.
        low: bytes of RAM below 4 GiB.
        vcpus: processors, with APIC ids 0, 2, 4 ... as the MADT says. Those with odd ids exist as well and are never
            started: QEMU's APIC looks for the target of an interrupt only up to the first id that is missing.
        kernel, initrd: files to boot; initrd may be None.
        line: the kernel command line.
        cpu_off: features that the processor must not have, in QEMU's words.
        extra: further words, last; an ``-accel`` among them replaces software emulation.
        apart: each processor has a socket of its own. Processors of one socket share a cache, and Linux warns when they
            belong to different NUMA nodes.
        smbios: files of one SMBIOS structure each; left out where ``extra`` has its own.
    """
    sockets, cores = (vcpus, 1) if apart else (1, vcpus)
    cpu = ",".join(("max", "vendor=GenuineIntel", *(f"{name}=off" for name in cpu_off)))
    words = [
        qemu.path,
        *(() if "-accel" in extra else ("-accel", "tcg")),
        *("-cpu", cpu),  # AMD models have no threads without topoext
        *("-display", "none", "-monitor", "none"),
        *("-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"),
        *("-no-reboot", "-no-user-config", "-nodefaults", "-net", "none"),
        *("-object", _words(backend(plan.ram, "ram"))),
        *("-machine", f"pc,max-ram-below-4g={low},memory-backend=ram"),
        *("-m", _size(plan)),
        *("-smp", f"cpus={2 * vcpus - 1},sockets={sockets},cores={cores},threads=2,maxcpus={2 * vcpus}"),
    ]
    if plan.bell is not None:
        words += ["-object", f"memory-backend-memfd,id={memory(BELL)},size={BELL_SIZE}"]
        words += ["-device", _words(module(BELL, 0, plan.bell))]
    for slot, one in enumerate(plan.modules, 1):
        name = module_name(slot)
        words += ["-object", _words(backend(one, memory(name))), "-device", _words(module(name, slot, one.gpa))]
    if "-smbios" not in extra:
        words += [word for path in smbios for word in ("-smbios", f"file={_word(path)}")]
    words += ["-kernel", str(kernel)]
    if initrd is not None:
        words += ["-initrd", str(initrd)]
    return [*words, "-append", line, *extra]


def _word(value: object) -> str:
    """A value within an option, where commas stand twice."""
    return str(value).replace(",", ",,")


def _size(plan: MemoryPlan) -> str:
    size = f"{plan.ram.size // KIB}K"
    return f"{size},slots={plan.slots},maxmem={(plan.ram.size + plan.room) // KIB}K" if plan.slots else size


def module_name(slot: int) -> str:
    """The name of the module in a slot other than the bell's."""
    return f"m{slot}"


def memory(name: str) -> str:
    """The name of the memory of a module."""
    return f"{name}-memory"


def backend(one: Backend, name: str) -> dict[str, Any]:
    """The properties of an object that maps a file."""
    words = {"qom-type": "memory-backend-file", "id": name, "share": True, "mem-path": str(one.path), "size": one.size}
    return words | ({"offset": one.offset} if one.offset else {}) | ({"readonly": True} if one.read_only else {})


def module(name: str, slot: int, gpa: int) -> dict[str, Any]:
    """The properties of a memory module, whose memory is ``memory(name)``."""
    return {"driver": "pc-dimm", "id": name, "memdev": memory(name), "slot": slot, "addr": gpa}


def _words(properties: dict[str, Any]) -> str:
    """The same on a command line: the first is the type."""
    kind, *others = properties.items()
    switch = {True: "on", False: "off"}
    texts = ((key, switch[value] if isinstance(value, bool) else _word(value)) for key, value in others)
    return ",".join((str(kind[1]), *(f"{key}={text}" for key, text in texts)))
