"""The checksum of every ACPI structure: all its bytes sum to 0 modulo 256 (ACPI 6.5, 5.2.3)."""

from __future__ import annotations


def checksum(data: bytes) -> int:
    """The byte that brings ``data`` to a sum of 0, when ``data`` holds 0 in its place."""
    return -sum(data) & 0xFF


def verify(data: bytes) -> bool:
    """Whether all bytes of ``data`` sum to 0 modulo 256."""
    return sum(data) & 0xFF == 0
