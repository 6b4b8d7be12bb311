"""What libxl writes to xenstore for a new domain: the paths, values and permissions of its transactions."""

from __future__ import annotations

from xlpy.records import NamedTuple
from xlpy.toolstack.domain.build_info import STORE_PFN, STORE_PORT
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.toolstack.config.domain_config import DomainConfig

READ, WRITE, NONE, FRONT, LISTED = "r", "w", "n", "f", "l"


class Row(NamedTuple):
    """One node.

    path: absolute. perm: ``r`` owned by Dom0 and readable by the guest, ``w`` owned by the guest, ``n`` Dom0 only,
    ``f`` a front end (owned by the guest, readable by Dom0), ``l`` Dom0's, with an entry that gives the guest nothing.
    """

    path: str
    value: str = ""
    perm: str = READ


def skeleton(domid: int, config: DomainConfig, name: str, uuid: str) -> Iterator[Row]:
    """The first transaction: the domain's directories and identity."""
    home, vm, private = f"/local/domain/{domid}", f"/vm/{uuid}", f"/libxl/{domid}"
    hvm = config.type == "hvm"
    yield Row("/libxl", "", NONE)
    yield Row("/vm", "", NONE)
    yield Row(home)
    yield Row(vm)
    yield Row(private, "", NONE)
    yield Row(f"{private}/device", "", NONE)
    yield Row(f"{home}/vm", vm)
    yield Row(f"{home}/name", name)
    yield Row(f"{vm}/name", name)
    yield Row(f"{vm}/uuid", uuid)
    for folder in ("cpu", "memory", "control", *(("hvmloader",) if hvm else ())):
        yield Row(f"{home}/{folder}")
    compatible = config.suspend_channel_compat
    yield Row(f"{home}/device", "", WRITE if compatible else READ)
    features = ("poweroff", "reboot", "suspend", *(("s3", "s4") if hvm else ()))
    for leaf in (
        *(() if compatible else ("device/suspend/event-channel",)),
        "control/shutdown",
        *(f"control/feature-{feature}" for feature in features),
        "control/sysrq",
        *("data", "drivers", "feature", "attr", "error"),
        *(("libxl", "device-model") if config.driver_domain else ()),
    ):
        yield Row(f"{home}/{leaf}", "", WRITE)
    yield Row(f"{home}/control/platform-feature-multiprocessor-suspend", "1")
    yield Row(f"{home}/control/platform-feature-xs_reset_watches", "1")
    yield Row(f"{private}/type", config.type, NONE)
    yield Row(f"{private}/dm-version", config.device_model_version, NONE)


def built(domid: int, uuid: str, config: DomainConfig, started: str) -> Iterator[Row]:
    """The second transaction: memory, vCPUs, platform. ``started``: seconds since the epoch with hundredths."""
    home, vm = f"/local/domain/{domid}", f"/vm/{uuid}"
    slack = 1024 if config.max_kib > config.memory_kib else 0
    yield Row(f"{home}/memory/static-max", str(config.max_kib))
    yield Row(f"{home}/memory/target", str(config.memory_kib - config.videoram_kib - slack))
    yield Row(f"{home}/memory/videoram", str(config.videoram_kib))
    yield Row(f"{home}/domid", str(domid))
    yield Row(f"{home}/store/port", str(STORE_PORT))
    yield Row(f"{home}/store/ring-ref", str(STORE_PFN))
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
        yield Row(f"{home}/platform/device-model", config.device_model_version)
        if config.generation_id:
            parts = (config.generation_id[:8], config.generation_id[8:])
            numbers = ":".join(str(int.from_bytes(part, "little")) for part in parts)
            yield Row(f"{home}/platform/generation-id", numbers)
        oem = 0
        for key, string in config.smbios:
            oem += key == "oem"
            yield Row(f"{home}/bios-strings/{f'oem-{oem}' if key == 'oem' else key.replace('_', '-')}", string)
        yield Row(f"{home}/hvmloader/bios", config.bios)
        yield Row(f"{home}/hvmloader/allow-memory-relocate", "0")
        yield Row(f"{vm}/image/ostype", "hvm")
        yield Row(f"{vm}/rtc/timeoffset")  # a field of libxl that no xl.cfg key sets
    elif config.type == "pv":
        yield Row(f"{vm}/image/ostype", "linux")
        for leaf, text in (("kernel", config.kernel), ("ramdisk", config.ramdisk), ("cmdline", config.cmdline)):
            if text is not None:
                yield Row(f"{vm}/image/{leaf}", text)
    yield Row(f"{vm}/start_time", started)


def homes(domid: int) -> tuple[str, ...]:
    """Everything that goes when a domain goes, but for ``/vm/<uuid>`` and its back ends."""
    return (f"/local/domain/{domid}", f"/libxl/{domid}", f"/local/domain/0/device-model/{domid}")
