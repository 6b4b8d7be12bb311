"""UUIDs: 16 bytes in text order (RFC 4122), as info blocks and labels have them, and as text."""

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


def derived(name: str) -> bytes:
    """A version 5 UUID made from a name, so that equal descriptions give equal hosts."""
    from hashlib import sha1

    raw = bytearray(sha1(f"xlpy:{name}".encode()).digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x50
    raw[8] = raw[8] & 0x3F | 0x80
    return bytes(raw)
