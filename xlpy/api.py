"""The public names of xlpy, for programs that call it: everything else may change without notice. See docs/python.md.

from xlpy.api import Host, load_config

with Host.open("/tmp/host") as host:
    domid = host.create(load_config(open("vm1.cfg").read(), "vm1.cfg"))
    host.domain(domid).memory.write(0x5_0000_0000, b"persistent")
"""

from __future__ import annotations

from xlpy.dom0.files.changes import Prepared
from xlpy.errors import (
    ConfigError,
    Conflict,
    Constraint,
    FirmwareStopped,
    FormatError,
    HostTrouble,
    HypercallError,
    MissingTool,
    NotFound,
    StateError,
    Unsafe,
    UsageError,
    XlpyError,
)
from xlpy.firmware.acpi.walk import Found
from xlpy.host import Host
from xlpy.toolstack.backing.resolve import Piece, Resolved
from xlpy.toolstack.config.domain_config import DomainConfig, load_config
from xlpy.toolstack.domain.monitor import Outcome
from xlpy.toolstack.domain.record import DomainRecord, VnvdimmRecord
from xlpy.toolstack.domain.running import MapRow, Running
from xlpy.views.where import find as whereis
from xlpy.views.where.answer import Answer, Hop, Place

__all__ = [
    "Answer",
    "ConfigError",
    "Conflict",
    "Constraint",
    "DomainConfig",
    "DomainRecord",
    "FirmwareStopped",
    "FormatError",
    "Found",
    "Hop",
    "Host",
    "HostTrouble",
    "HypercallError",
    "MapRow",
    "MissingTool",
    "NotFound",
    "Outcome",
    "Piece",
    "Place",
    "Prepared",
    "Resolved",
    "Running",
    "StateError",
    "Unsafe",
    "UsageError",
    "VnvdimmRecord",
    "XlpyError",
    "load_config",
    "whereis",
]
