"""What libxl writes to xenstore for a new domain: the paths, values and permissions of its transactions."""

from __future__ import annotations

from xlpy.records import NamedTuple
from xlpy.toolstack.settings import CONSOLE_PFN, CONSOLE_PORT
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from xlpy.toolstack.config import DomainConfig
    from xlpy.toolstack.record import VnvdimmRecord

CONSOLE_LIMIT = 1 << 20  # bytes that xenconsoled keeps for a domain

READ, WRITE, NONE = "r", "w", "n"


class Row(NamedTuple):
    """One node. path: absolute; perm: ``r`` owned by Dom0 and readable by the guest, ``w`` owned by the guest,
    ``n`` Dom0 only."""

    path: str
    value: str = ""
    perm: str = READ


def skeleton(domid: int, name: str, uuid: str, hvm: bool) -> Iterator[Row]:
    """The first transaction: the domain's directories and identity."""
    home, vm, private = f"/local/domain/{domid}", f"/vm/{uuid}", f"/libxl/{domid}"
    yield Row(home)
    yield Row(vm)
    yield Row(private, "", NONE)
    yield Row(f"{private}/device", "", NONE)
    yield Row(f"{home}/vm", vm)
    yield Row(f"{home}/name", name)
    yield Row(f"{vm}/name", name)
    yield Row(f"{vm}/uuid", uuid)
    for folder in ("cpu", "memory", "device", "control", *(("hvmloader",) if hvm else ())):
        yield Row(f"{home}/{folder}")
    features = ("poweroff", "reboot", "suspend", *(("s3", "s4") if hvm else ()))
    for leaf in (
        "device/suspend/event-channel",
        "control/shutdown",
        *(f"control/feature-{feature}" for feature in features),
        "control/sysrq",
        *("data", "drivers", "feature", "attr", "error"),
    ):
        yield Row(f"{home}/{leaf}", "", WRITE)
    yield Row(f"{home}/control/platform-feature-multiprocessor-suspend", "1")
    yield Row(f"{home}/control/platform-feature-xs_reset_watches", "1")
    yield Row(f"{private}/type", "hvm" if hvm else "pv", NONE)
    if hvm:
        yield Row(f"{private}/dm-version", "qemu_xen", NONE)


def built(domid: int, uuid: str, config: DomainConfig, started: str) -> Iterator[Row]:
    """The second transaction: memory, vCPUs, platform. ``started``: seconds since the epoch with hundredths."""
    home, vm = f"/local/domain/{domid}", f"/vm/{uuid}"
    slack = 1024 if config.max_kib > config.memory_kib else 0
    yield Row(f"{home}/memory/static-max", str(config.max_kib))
    yield Row(f"{home}/memory/target", str(config.memory_kib - config.videoram_kib - slack))
    yield Row(f"{home}/memory/videoram", str(config.videoram_kib))
    yield Row(f"{home}/domid", str(domid))
    yield Row(f"{home}/store/port", "1")
    yield Row(f"{home}/store/ring-ref", str(0xFEFFC))
    for cpu in range(config.max_vcpus):
        yield Row(f"{home}/cpu/{cpu}/availability", "online" if cpu < config.vcpus else "offline")
    if config.type == "hvm":
        flags = {
            "acpi": config.acpi,
            "acpi_s3": config.acpi_s3,
            "acpi_s4": config.acpi_s4,
            "acpi_laptop_slate": config.acpi_laptop_slate,
        }
        for key, value in flags.items():
            yield Row(f"{home}/platform/{key}", "1" if value else "0")
        if config.mmio_hole:
            yield Row(f"{home}/platform/mmio_hole_size", str(config.mmio_hole << 20))
        yield Row(f"{home}/platform/device-model", "qemu_xen")
        if config.generation_id:
            parts = (config.generation_id[:8], config.generation_id[8:])
            numbers = ":".join(str(int.from_bytes(part, "little")) for part in parts)
            yield Row(f"{home}/platform/generation-id", numbers)
        yield Row(f"{home}/hvmloader/bios", config.bios)
        yield Row(f"{home}/hvmloader/allow-memory-relocate", "0")
        yield Row(f"{vm}/image/ostype", "hvm")
    yield Row(f"{vm}/rtc/timeoffset", str(config.rtc_timeoffset))
    yield Row(f"{vm}/start_time", started)


def attached(domid: int, hvm: bool, devices: Iterable[VnvdimmRecord]) -> Iterator[Row]:
    """The transactions for devices: the console, the state of the device model, the vNVDIMMs."""
    front, back = f"/local/domain/{domid}/console", f"/local/domain/0/backend/console/{domid}/0"
    private = f"/libxl/{domid}/device/console/0"
    shared = {"frontend-id": domid, "online": 1, "state": 1, "protocol": "vt100"}
    yield Row(private, "", NONE)
    yield Row(f"{private}/frontend", front, NONE)
    yield Row(f"{private}/backend", back, NONE)
    yield Row(front)
    ends = {"backend": back, "backend-id": 0, "limit": CONSOLE_LIMIT, "type": "xenconsoled", "output": "pty", "tty": ""}
    for leaf, value in {**ends, "port": CONSOLE_PORT, "ring-ref": CONSOLE_PFN}.items():
        yield Row(f"{front}/{leaf}", str(value))
    for leaf, value in {"frontend": front, **shared}.items():
        yield Row(f"{back}/{leaf}", str(value))
        yield Row(f"{private}/{leaf}", str(value), NONE)
    if hvm:
        yield Row(f"/local/domain/0/device-model/{domid}/state", "running")
    for device in devices:
        yield from nvdimm(domid, device)


def nvdimm(domid: int, device: VnvdimmRecord) -> Iterator[Row]:
    """One vNVDIMM: it has no backend in another domain, so it is known to libxl alone."""
    home = nvdimm_home(domid, device.slot)
    yield Row(home, "", NONE)
    for leaf, value in {
        "frontend-id": domid,
        "online": 1,
        "state": 4,
        "file": device.path,
        "size": device.size,
        "gpa": f"{device.gpa:#x}",
        "label-size": device.label_size,
        "unarmed": int(device.unarmed),
    }.items():
        yield Row(f"{home}/{leaf}", str(value), NONE)


def nvdimm_home(domid: int, slot: int) -> str:
    """Where a vNVDIMM is in libxl's own part of xenstore."""
    return f"/libxl/{domid}/device/nvdimm/{slot}"


def homes(domid: int) -> tuple[str, ...]:
    """Everything that goes when a domain goes, but for ``/vm/<uuid>``."""
    return (
        f"/local/domain/{domid}",
        f"/libxl/{domid}",
        f"/local/domain/0/backend/console/{domid}",
        f"/local/domain/0/device-model/{domid}",
    )
