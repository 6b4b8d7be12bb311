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
from xlpy.views import listing, machine
from xlpy.views.listing import DomainRow, DomainSummary, HostExtent, VnvdimmSummary
from xlpy.views.machine import DimmRow, HostInfo, Machine, RegionRow
from xlpy.views.pmem import PmemRow
from xlpy.views.where import find as whereis
from xlpy.views.where.answer import Addresses, Answer, Hop, OnFile, Place, Touch

__all__ = [
    "Addresses",
    "Answer",
    "ConfigError",
    "Conflict",
    "Constraint",
    "DimmRow",
    "DomainConfig",
    "DomainRecord",
    "DomainRow",
    "DomainSummary",
    "FirmwareStopped",
    "FormatError",
    "Found",
    "Hop",
    "Host",
    "HostExtent",
    "HostInfo",
    "HostTrouble",
    "HypercallError",
    "Machine",
    "MapRow",
    "MissingTool",
    "NotFound",
    "OnFile",
    "Outcome",
    "Piece",
    "Place",
    "PmemRow",
    "Prepared",
    "RegionRow",
    "Resolved",
    "Running",
    "StateError",
    "Touch",
    "Unsafe",
    "UsageError",
    "VnvdimmRecord",
    "VnvdimmSummary",
    "XlpyError",
    "listing",
    "load_config",
    "machine",
    "whereis",
]
