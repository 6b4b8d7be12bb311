"""Codes about starting a real operating system."""

from __future__ import annotations

from xlpy.views.explained.record import Explanation as E  # noqa: N817 - a table of them

TITLE = "Booting a guest"

CODES = (
    E(
        "XLPY-BOOTED",
        5,
        "An emulator runs the domain, and what is asked would change it below that.",
        "Wait until its guest powers off; xlpy destroy ends both.",
        ("# a second xlpy boot of a domain",),
        "life.md",
    ),
    E(
        "XLPY-BOOT-KERNEL",
        6,
        "The kernel is not a bzImage, or one of a boot protocol before 2.10.",
        "Give the vmlinuz of a Linux for x86_64; guest/kit.py unpacks Debian's.",
        (
            "xlpy create configs/quickstart.cfg",
            "xlpy boot quickstart --kernel README.md --initrd README.md",
        ),
        "life.md",
    ),
    E(
        "XLPY-BOOT-MEMORY",
        6,
        "The domain's RAM is too small for kernel and initrd, or larger below 4 GiB than the emulated board has.",
        "Give the domain other memory; the message has both numbers.",
        ("# an initrd that is larger than the domain",),
        "life.md",
    ),
    E(
        "XLPY-BOOT-WIDTH",
        6,
        "A vNVDIMM ends beyond the 40 address bits of an emulated processor.",
        "Boot it with a smaller backing.",
        ("# a device of 6 TiB",),
        "life.md",
    ),
    E(
        "XLPY-BOOT-TIMEOUT",
        6,
        "The guest did not power off in time.",
        "Give it more: --timeout SECONDS; the console shows where it stands.",
        ("# a guest that waits forever",),
        "life.md",
    ),
    E(
        "XLPY-BOOT-RESET",
        6,
        "The guest reset itself instead of powering off: a panic, a triple fault, or a reboot.",
        "Look at its console; --append panic=0 makes it stay.",
        ("# a kernel that finds no /init",),
        "life.md",
    ),
    E(
        "XLPY-BOOT-ENDED",
        6,
        "Another command ended the domain while its guest ran.",
        "Its persistent memory has what it wrote so far.",
        ("# xlpy destroy during xlpy boot",),
        "life.md",
    ),
    E(
        "XLPY-BOOT-QEMU",
        6,
        "QEMU failed; its own words are the details.",
        "Try another QEMU: --qemu, or XLPY_QEMU.",
        ("# a QEMU that dies",),
        "life.md",
    ),
    E(
        "XLPY-BOOT-STAGE",
        6,
        "What the guest wrote to a staged vNVDIMM cannot be copied back to the media. It is kept in the file named.",
        "Free some space, or copy it yourself.",
        ("# a full disk at the end of a boot",),
        "life.md",
    ),
    E(
        "XLPY-RECORD-QEMU",
        6,
        "The QEMU does not report to a plugin what is stored.",
        "Use 9.2 or newer: guest/kit.py --suite trixie --qemu.",
        ("# xlpy boot --record with QEMU 7.2",),
        "powercut.md",
    ),
    E(
        "XLPY-RECORD-COMPILER",
        6,
        "The plugin that records could not be compiled; the details are the compiler's words.",
        "Install gcc and libc6-dev.",
        ("# a compiler that fails",),
        "powercut.md",
    ),
)
