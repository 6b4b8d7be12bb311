"""Escaping names in markup, so that they are always text.

Of our own, because html.escape and xml.sax.saxutils import more than a page needs otherwise.
"""

from __future__ import annotations

_MARKUP = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})


def text(name: str) -> str:
    """A name as text or as the value of an attribute; characters that XML cannot hold are shown as code points."""
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in name)
    return shown.translate(_MARKUP)
