"""Resource templates, as far as ConcatenateResTemplate looks at them (ACPI 6.5, 6.4): which descriptors there are."""

from __future__ import annotations

from xlpy.firmware.acpi.eval.errors import AmlError

# bytes behind the header, by type: those of a fixed length, and the least of others
_SMALL = {0x4: (2, 3), 0x5: (2, 2), 0x6: (0, 1), 0x7: (0, 0), 0x8: (7, 7), 0x9: (3, 3), 0xA: (5, 5), 0xF: (1, 1)}
_LARGE_FIXED = {0x01: 9, 0x02: 12, 0x05: 17, 0x06: 9, 0x0B: 53}
_LARGE_LEAST = {
    0x04: 0,
    0x07: 23,
    0x08: 13,
    0x09: 6,
    0x0A: 43,
    0x0C: 20,
    0x0D: 15,
    0x0E: 9,
    0x0F: 17,
    0x10: 11,
    0x11: 14,
    0x12: 17,
    0x13: 9,
}
_LEAST_LARGE = 6  # bytes that a large descriptor must have left to be looked at
_VENDOR, _END, _SERIAL_BUS, _SERIAL_BUSES = 0xE, 0xF, 0x0E, 4


def without_end_tag(data: bytes) -> bytes:
    """The descriptors in front of the end tag; none for no data at all.

    Raises:
        AmlError: an unknown descriptor, one of a wrong length, or no end tag.
    """
    if not data:
        return data
    if len(data) < 2:
        raise AmlError("AE_AML_NO_RESOURCE_END_TAG", "a resource template of one byte")
    at = 0
    while at < len(data):
        left = len(data) - at
        lead = data[at]
        if left < 2 or (lead & 0x80 and left < _LEAST_LARGE):
            raise AmlError("AE_AML_BUFFER_LENGTH", f"a resource descriptor has {left} bytes left")
        size = _large(data, at) if lead & 0x80 else _small(lead)
        if size > left:
            raise AmlError("AE_AML_BUFFER_LENGTH", f"a resource descriptor of {size} bytes has {left} left")
        if lead >> 3 == _END:
            return data[:at]
        at += size
    raise AmlError("AE_AML_NO_RESOURCE_END_TAG", "a resource template without an end tag")


def _small(lead: int) -> int:
    kind, length = lead >> 3, lead & 7
    if kind != _VENDOR:
        if kind not in _SMALL:
            raise AmlError("AE_AML_INVALID_RESOURCE_TYPE", f"no resource descriptor begins with {lead:#04x}")
        least, most = _SMALL[kind]
        if not least <= length <= most:
            raise AmlError("AE_AML_BAD_RESOURCE_LENGTH", f"resource descriptor {lead:#04x} has {length} bytes")
    return 1 + length


def _large(data: bytes, at: int) -> int:
    kind, length = data[at] & 0x7F, int.from_bytes(data[at + 1 : at + 3], "little")
    if kind not in _LARGE_FIXED and kind not in _LARGE_LEAST:
        raise AmlError("AE_AML_INVALID_RESOURCE_TYPE", f"no resource descriptor begins with {data[at]:#04x}")
    if length != _LARGE_FIXED.get(kind, length) or length < _LARGE_LEAST.get(kind, 0):
        raise AmlError("AE_AML_BAD_RESOURCE_LENGTH", f"resource descriptor {data[at]:#04x} has {length} bytes")
    if kind == _SERIAL_BUS and not 0 < data[at + 5] <= _SERIAL_BUSES:
        raise AmlError("AE_AML_INVALID_RESOURCE_TYPE", f"serial bus of type {data[at + 5]}")
    return 3 + length
