"""``ioports``, ``irqs`` and ``iomem``: the host hardware that the guest may access."""

from __future__ import annotations

import re

from xlpy.toolstack.config.cnumbers import HEX_PATTERN, UINT32_MAX, strtoul, u32
from xlpy.toolstack.config.libxl_json import INVALID_GFN
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.toolstack.config.reading.reader import Node, Reader
    from xlpy.toolstack.config.xlcfg import Text

_IOMEM = re.compile(rf"{HEX_PATTERN},{HEX_PATTERN}(?:@{HEX_PATTERN})?")


def _texts(reader: Reader, key: str) -> list[Text]:
    reader.items(key)  # complains of what is no list
    return reader.flat(key, 1)


def read_ioports(reader: Reader) -> None:
    """``ioports``: hexadecimal ``N`` or ``N-M``."""
    ports: list[Node] = []
    for text in _texts(reader, "ioports"):
        first, end = strtoul(text, 16)
        last = first
        good = end > 0 and first < UINT32_MAX
        if good and text.startswith("-", end):
            start = end + 1
            last, end = strtoul(text, 16, start)
            # xl compares the start with itself here, so a range that runs backwards passes.
            good = end > start and end == len(text) and last < UINT32_MAX
            if good and last < first:
                reader.warn(
                    text, f"ioports: {str(text)!r} runs backwards; xl takes it for {u32(last - first + 1)} ports"
                )
        elif good and end < len(text):
            reader.warn(text, f"ioports: xl complains of {str(text)!r} and takes its beginning")
        if not good:
            reader.error(text, f"ioports: {str(text)!r} is not a port N or a range N-M in hexadecimal")
        ports.append({"first": first, "number": u32(last - first + 1)})
    reader.put("b_info.ioports", ports)


def read_irqs(reader: Reader) -> None:
    """``irqs``: decimal."""
    irqs = []
    for text in _texts(reader, "irqs"):
        number, end = strtoul(text)
        if end == 0 or end < len(text) or number >= UINT32_MAX:
            reader.error(text, f"irqs: {str(text)!r} is not a decimal number")
        irqs.append(number)
    reader.put("b_info.irqs", irqs)


def read_iomem(reader: Reader) -> None:
    """``iomem``: hexadecimal ``START,COUNT[@GFN]`` in pages."""
    ranges: list[Node] = []
    for text in _texts(reader, "iomem"):
        found = _IOMEM.fullmatch(text)
        if not found:
            reader.error(text, f"iomem: {str(text)!r} is not START,COUNT or START,COUNT@GFN in hexadecimal pages")
            continue
        start, count, gfn = (strtoul(number, 16)[0] if number else INVALID_GFN for number in found.groups())
        ranges.append({"start": start, "number": count, "gfn": gfn})
    reader.put("b_info.iomem", ranges)
