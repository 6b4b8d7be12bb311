"""Limits on untrusted input, all in one place (docs/limits.md).

Sizes are bytes. Further limits of a format or of the real program are documented where it is read.
"""

from __future__ import annotations

KIB, MIB = 1 << 10, 1 << 20

SCRIPT = 16 * MIB  # command lines for `run`
CONFIG = 1 * MIB  # a domain configuration
FINDINGS = 10_000  # errors, and warnings, of one configuration; what is beyond is not reported
NUMA_NODES = 1024  # of one guest
MACHINE = 1 * MIB  # a machine description
FIRMWARE = 64 * MIB  # acpi_firmware and smbios_firmware: below the 4 GiB of RAM that a guest can have for them
TABLES = 256 * MIB  # a dump of ACPI tables, all files of a folder together
MEMORY = 1 << 30  # what one `mem write --file` stores
PMEM_IO = 64 * MIB  # what one `pmem read` or `pmem write` moves
SAVED_HEADER = 16 * MIB  # the header in front of the memory of a saved domain
RECORDING = 4096 * MIB  # each part of a recording, unpacked: the file of a host without its holes
RECORDING_INDEX = 256 * MIB  # the records of the commands in a recording
RECORD = 1 * MIB  # the record of an export
EXTENTS = 1 << 20  # of one file
GROUPS = 1 << 18  # of one ext4 file system: 32 TiB with the usual 128 MiB each
DIRECTORIES = 256 * MIB  # bytes of directories that are searched for one path
GUEST_TABLES = 64 * MIB  # all ACPI tables that pointers in one memory lead to
LABEL_AREA = 16 * MIB  # what write-labels reads
GUEST_ENTRIES = 4096  # pointers to tables that are followed
AML_NESTING = 64  # brackets of an AML argument
TRACE_HEADER = 64 * MIB  # the header of a trace; its events are read as a stream
COUNTEREXAMPLE = 64 * MIB  # a failing state that `trace replay` builds again
RECOVERY_SCRIPT = 1 * MIB  # the script of `trace cut --boot`
IMAGE_IN_MEMORY = 256 * MIB  # a crash image that is kept in memory while states are checked
STRACE_LOG = 256 * MIB  # log of a check's accesses to its image; beyond it the check counts as reading everything
