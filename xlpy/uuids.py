"""UUIDs: 16 bytes in text order (RFC 9562), as info blocks, labels and libxl have them, and as text."""

from __future__ import annotations

ZERO = bytes(16)
_GROUPS = [8, 4, 4, 4, 12]
_DIGITS = frozenset("0123456789abcdefABCDEF")


def uuid_text(raw: bytes) -> str:
    """The usual form of 16 bytes."""
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def uuid_if_any(raw: bytes | None) -> str:
    """As ``uuid_text``; empty for zeros and for None."""
    return uuid_text(raw) if raw and any(raw) else ""


def uuid_bytes(text: str) -> bytes:
    """The bytes of a UUID. ValueError: the text is none."""
    groups = text.split("-")
    if list(map(len, groups)) != _GROUPS or not all(map(_DIGITS.issuperset, groups)):
        raise ValueError(f"{text[:60]!r} is not a uuid such as 0d50f988-4674-48ee-b4a9-5ee17be61703")
    return bytes.fromhex(text.replace("-", ""))


def random_uuid() -> bytes:
    """A random UUID of version 4."""
    import os

    return _stamped(os.urandom(16), 4)


def derived(name: str) -> bytes:
    """A version 5 UUID made from a name, so that equal descriptions give equal hosts."""
    from hashlib import sha1

    return _stamped(sha1(f"xlpy:{name}".encode()).digest()[:16], 5)


def _stamped(raw: bytes, version: int) -> bytes:
    """With the bits of version and variant."""
    return bytes((*raw[:6], raw[6] & 0x0F | version << 4, raw[7], raw[8] & 0x3F | 0x80, *raw[9:]))
