"""Takes out of answers what every run has anew, and no more.

- A UUID becomes ``U1``, ``U2``, ... in the order in which a sequence shows them; those in the command lines come first.
  GUIDs that mean something, and the UUID of zeros, stay.
- ``phys_id`` is ``P``: QEMU gives all NVDIMMs the SMBIOS handle 0, which no firmware may do and xlpy refuses.
- An output that is no text is told by its length, and as a label area or an info block if it is one.
"""

from __future__ import annotations

import re

from ndctl import media

UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
MEANING = {  # as read-labels prints them, in the order of the bytes
    "00000000-0000-0000-0000-000000000000",
    "79d3f066-f3b4-7440-ac43-0d3318b78cdb",
    "ba006426-9ffb-7746-bcb0-968f11d0d225",
    "fc3b6318-3517-1742-8ac9-17239282d3f8",
    "a263ed8a-a229-664c-8b12-f05d15d3922a",
    "9c6da897-dd3c-da4e-986f-5068b4f80088",
}


PHYS_ID = re.compile(r'("phys_id": ?)("?)(?:0x)?[0-9a-f]+')


class Names:
    """The names of the UUIDs of one sequence."""

    def __init__(self, commands: tuple[str, ...]) -> None:
        self._known: dict[str, str] = {}
        for command in commands:
            self(command)

    def __call__(self, text: str) -> str:
        """The text with names in it."""
        return PHYS_ID.sub(r"\1\2P", UUID.sub(self._name, text))

    def _name(self, found: re.Match[str]) -> str:
        if found[0] in MEANING:
            return found[0]
        return self._known.setdefault(found[0], f"U{len(self._known) + 1}")


def output(data: bytes) -> str:
    """An output as text."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" not in text:
        return text
    if len(data) == 2 * media.BLOCK:
        told = [f"{at:#x}: {said}" for at in (0, media.BLOCK) if (said := media.info_block(data[at:][: media.BLOCK]))]
    else:
        told = list(media.label_area(data))
    return "".join(f"{line}\n" for line in (f"({len(data)} bytes)", *told))
