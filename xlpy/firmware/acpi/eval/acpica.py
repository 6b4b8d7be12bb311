"""What depends on the version of ACPICA: everything here is as in 20260408.

| subject | 20200925 | 20260408 |
|---|---|---|
| ``Revision`` | 0x20200925 | 0x20260408 |
| ToHexString of an Integer | all its digits, no prefix | 0x, and the digits it needs |
| a resource descriptor longer than its buffer | AE_AML_NO_RESOURCE_END_TAG | AE_AML_BUFFER_LENGTH |
| ``_OSI`` | up to Windows 2019 | Windows 2020, 2021 and 2022 as well |
| the target of Load | any place; it takes a handle | any target; Ones is stored there |
"""

from __future__ import annotations

VERSION = 0x20260408

_WINDOWS = (
    "2000",
    "2001",
    "2001 SP1",
    "2001.1",
    "2001 SP2",
    "2001.1 SP1",
    "2006",
    "2006.1",
    "2006 SP1",
    "2006 SP2",
    "2009",
    "2012",
    "2013",
    "2015",
    "2016",
    "2017",
    "2017.2",
    "2018",
    "2018.2",
    "2019",
    "2020",
    "2021",
    "2022",
)
_INTERFACES = {f"Windows {version}" for version in _WINDOWS} | {"Extended Address Space Descriptor"}


def supported(interface: str) -> bool:
    """What ``_OSI`` answers before an operating system adds to it: yes to Windows, no to itself (ACPI 6.5, 5.7.2)."""
    return interface in _INTERFACES


def hex_integer(value: int) -> bytes:
    """ToHexString of an Integer."""
    return b"0x%X" % value
