"""The body of the NVDIMM root device, as the device model passes it: taken from a compiled file in the usual case.

``aml`` is the source; ``python -m tools.compile_aml`` makes ``nvdr.aml`` anew, and a test holds it against its source.
"""

from __future__ import annotations

import os

from xlpy.errors import Constraint
from xlpy.firmware.layout import XEN_HVM
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.addr import Gpa

DEVICE = "NVDR"
SLOTS = 8  # children of the root device: how many vNVDIMMs a domain can ever have, unless it starts with more
MAX_SLOTS = 256
COMPILED = os.path.join(os.path.dirname(__file__), "nvdr.aml")
_IN_FRONT = 52  # bytes of the table that firmware makes of the body: header, Scope (\_SB), Device (NVDR)


def check_slots(count: int) -> None:
    """Constraint: more vNVDIMMs than a domain can have."""
    if count > MAX_SLOTS:
        raise Constraint(f"{count} vNVDIMMs, a domain can have {MAX_SLOTS}")


def shipped(table: bytes) -> bool:
    """Whether a table in a guest is what firmware makes of the compiled file."""
    with open(COMPILED, "rb") as file:
        content = file.read()
    return len(table) == _IN_FRONT + len(content) and table.endswith(content)


def body(mailbox: Gpa, slots: int, wake: int | None = None) -> bytes:
    """As ``aml.root_body``."""
    if (mailbox, slots, wake) == (XEN_HVM.mailbox, SLOTS, None):
        with open(COMPILED, "rb") as file:
            return file.read()
    from xlpy.devicemodel.aml import root_body

    return root_body(mailbox, slots, wake)
