"""Nodes of persistent memory as Linux numbers them, and the names of devices."""

from __future__ import annotations

from struct import pack

import pytest

from xlpy.addr import GIB
from xlpy.firmware.acpi.nfit import SpaRange
from xlpy.guest.devices import device_name
from xlpy.guest.numa import Nodes


def cpu(domain, enabled=1):
    return pack("<BBBBIB3sI", 0, 16, domain & 0xFF, 0, enabled, 0, (domain >> 8).to_bytes(3, "little"), 0)


def x2apic(domain, enabled=1):
    return pack("<BB2xIIII4x", 2, 24, domain, 0, enabled, 0)


def memory(domain, base, length, enabled=1):
    return pack("<BBI2xQQ4xI8x", 1, 40, domain, base, length, enabled)


def srat(*entries):
    return b"SRAT".ljust(48, b"\0") + b"".join(entries)


PMEM = SpaRange(2, 20 * GIB, GIB)


def valid(domain):
    return PMEM._replace(flags=2, proximity_domain=domain)


@pytest.mark.parametrize(
    ("table", "spa", "node"),
    [
        (b"", valid(0), None),
        (srat(), valid(0), None),
        (srat(cpu(0)), valid(0), 0),
        (srat(cpu(0)), valid(1), None),
        (srat(cpu(0)), PMEM, None),  # it names no domain, and no memory covers it
        (srat(cpu(7), cpu(3)), valid(3), 1),  # in the order in which they appear
        (srat(memory(3, 0, GIB), cpu(7)), valid(3), 1),  # processors first
        (srat(cpu(7, enabled=0), cpu(3)), valid(3), 0),
        (srat(cpu(300)), valid(300), 0),
        (srat(x2apic(5), x2apic(6)), valid(6), 1),
        (srat(cpu(0), memory(4, 20 * GIB, GIB)), PMEM, 1),  # by address
        (srat(cpu(0), memory(4, 20 * GIB, GIB)), valid(9), 1),
        (srat(cpu(0), memory(4, 20 * GIB, GIB, enabled=0)), PMEM, None),
        (srat(cpu(0), memory(4, 21 * GIB, GIB)), PMEM, None),
        (srat(cpu(0)) + b"\x01", valid(0), 0),  # cut short
        (srat(b"\x01\x00"), valid(0), None),  # an entry without length ends the walk
    ],
)
def test_the_node_of_a_range(table, spa, node):
    assert Nodes(table).of(spa) == node


@pytest.mark.parametrize(
    ("mode", "first", "fourth"),
    [
        ("raw", "pmem1", "pmem1.3"),
        ("fsdax", "pmem1", "pmem1.3"),
        ("sector", "pmem1s", "pmem1.3s"),
        ("devdax", "dax1.0", "dax1.3"),
    ],
)
def test_names(mode, first, fourth):
    assert (device_name(1, 0, mode), device_name(1, 3, mode)) == (first, fourth)
