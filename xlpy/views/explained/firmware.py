"""Codes about ACPI tables passed to the guest, and about its firmware."""

from __future__ import annotations

from xlpy.views.explained.record import Explanation as E  # noqa: N817 - a table of them

TITLE = "Tables and firmware"

_STREAM = "Correct the device model that writes the area; the message has the number of the entry and the offset."

CODES = (
    E(
        "XLPY-DMACPI-SPACE",
        6,
        "The tables of the device model do not fit into the guest's RAM below 4 GiB.",
        "Give the domain more memory.",
        ("# 100 MiB of tables for a guest of 64 MiB",),
        "4.3.1",
    ),
    E(
        "XLPY-DMACPI-KEYS",
        9,
        "hvmloader/dm-acpi/address and /length in xenstore are no numbers, or do not name RAM of the guest.",
        "Write both, in decimal or hexadecimal, before the domain starts.",
        ("# a length without an address",),
        "4.3.1",
    ),
    E(
        "XLPY-DMACPI-LENGTH",
        6,
        "The dm-acpi stream is empty, or an entry of it has length 0.",
        _STREAM,
        ("# a stream of no bytes",),
        "4.3.1",
    ),
    E(
        "XLPY-DMACPI-TRUNCATED",
        6,
        "The dm-acpi stream ends inside an entry.",
        _STREAM,
        ("# an entry that is longer than the rest of the stream",),
        "4.3.1",
    ),
    E(
        "XLPY-DMACPI-TYPE",
        6,
        "An entry of the dm-acpi stream is neither a table (0) nor a device (1).",
        _STREAM,
        ("# an entry of type 2",),
        "4.3.1",
    ),
    E(
        "XLPY-DMACPI-TABLE",
        6,
        "A table of the dm-acpi stream is shorter than its header, has another length than it says, or no signature.",
        _STREAM,
        ("# a table of 35 bytes",),
        "4.3.1",
    ),
    E(
        "XLPY-DMACPI-CHECKSUM",
        6,
        "A table of the dm-acpi stream has a bad checksum, which hvmloader does not repair.",
        "Set the checksum in the device model.",
        ("# a table whose bytes do not sum to 0",),
        "4.3.1",
    ),
    E(
        "XLPY-DMACPI-NAME",
        6,
        "A device of the dm-acpi stream has a name that ACPI does not allow.",
        "Use four characters: A-Z, 0-9 and _, no leading digit.",
        ("# a device named 9BAD",),
        "4.3.1",
    ),
    E(
        "XLPY-DMACPI-DUPLICATE",
        6,
        "The dm-acpi stream has a table or a device twice.",
        "Pass each once; only SSDTs may be several.",
        ("# two tables with the signature NFIT",),
        "4.3.1",
    ),
    E(
        "XLPY-DMACPI-COLLISION",
        9,
        "A table or device of the device model has the name of one that hvmloader makes.",
        "Give it another name; the design leaves the rest of the namespace to hvmloader.",
        ("# a device named PCI0",),
        "4.3.1",
    ),
    E(
        "XLPY-DMACPI-TOO-MANY",
        9,
        "There is no room in the RSDT for another table of the device model.",
        "Pass fewer tables, or put several SSDTs into one.",
        ("# more tables than hvmloader has room for",),
        "4.3.1",
    ),
    E(
        "XLPY-DMACPI-NFIT",
        9,
        "The NFIT that the device model passes is malformed, so that its persistent memory cannot go into the E820.",
        "xlpy acpi check tells what is wrong with it.",
        ("# an NFIT whose first structure has length 0",),
        "4.3.1",
    ),
    E(
        "XLPY-FIRMWARE",
        9,
        "hvmloader stopped the boot.",
        'xlpy dmesg has its words; `on_crash="preserve"` keeps the domain for a look at its memory.',
        ("# a processor without the signature of Xen in CPUID",),
        "4.3.1",
    ),
    E(
        "XLPY-FIRMWARE-BIOS",
        9,
        "hvmloader/bios in xenstore names a BIOS that hvmloader does not have.",
        "Write bios = rombios, seabios or ovmf.",
        ("# a device model that writes another word",),
        "4.3.1",
    ),
    E(
        "XLPY-FIRMWARE-E820",
        9,
        "The guest's memory map has too many entries, or its persistent memory overlaps with something.",
        "Give the domain fewer vNVDIMMs, or other places.",
        ("# an NFIT whose range is in RAM",),
        "4.3.1",
    ),
    E(
        "XLPY-FIRMWARE-MEMORY",
        9,
        "What hvmloader makes does not fit into the area that it has for it.",
        "Pass smaller tables.",
        ("# tables of several MiB",),
        "4.3.1",
    ),
    E(
        "XLPY-FIRMWARE-PASSTHROUGH",
        9,
        "What acpi_firmware or smbios_firmware passes is not what hvmloader reads.",
        "The hint describes the content that is required.",
        (
            "head -c 100 /dev/zero > tables.bin",
            "xlpy create configs/quickstart.cfg 'acpi_firmware=\"tables.bin\"'",
        ),
        "4.3.1",
    ),
)
