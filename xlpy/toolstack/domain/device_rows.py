"""What libxl writes to xenstore for a domain's devices: both ends, and its own copy of the back end.

libxl's ``libxl__device_generic_add``: the front end below the domain's ``device``, the back end below Dom0's
``backend``, and a copy of the latter below ``/libxl/<domid>/device``. Then the back end acts, as far as it does before
the guest's driver comes.
"""

from __future__ import annotations

import os

from xlpy.toolstack.domain.build_info import CONSOLE_PFN, CONSOLE_PORT
from xlpy.toolstack.domain.xenstore_rows import FRONT, LISTED, NONE, READ, Row
from xlpy.typing import TYPE_CHECKING, Any
from xlpy.xen_version import numbers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from xlpy.toolstack.config.domain_config import DomainConfig
    from xlpy.toolstack.domain.record import VnvdimmRecord

INITIALISING, INIT_WAIT, CONNECTED = 1, 2, 4  # XenbusState
CONSOLE_LIMIT = 1 << 20  # bytes that xenconsoled keeps for a domain
NO_PID = 1 << 22  # Linux's PID_MAX_LIMIT: no process ever has such a number
DEFAULT_MTU = 1492  # libxl's
SCRIPTS = "/etc/xen/scripts"
_MAC_MASK = (0x7F, 0xFF, 0xFF)  # what libxl leaves of a random address
QEMU_BACKENDS = ("9pfs", "console", "qusb", "vkbd")
NO_CONSOLE_SINCE = (4, 19)  # from which Xen on QEMU, 8.2 or later by then, has consoles in another way


def backend_path(kind: str, domid: int, devid: int, server: int = 0) -> str:
    """Where a back end is."""
    return f"/local/domain/{server}/backend/{kind}/{domid}/{devid}"


def frontend_path(kind: str, domid: int, devid: int) -> str:
    """Where a front end is; console 0 has a place of its own."""
    return f"/local/domain/{domid}/" + ("console" if (kind, devid) == ("console", 0) else f"device/{kind}/{devid}")


def device(
    domid: int,
    kind: str,
    devid: int,
    back: Mapping[str, object],
    front: Mapping[str, object],
    fixed: Mapping[str, object] | None = None,
    *,
    served: str | None = None,
) -> Iterator[Row]:
    """The rows of one device.

    Args:
        domid: whose.
        kind: of the front end.
        devid: its number.
        back: the back end's nodes, beside those that every one has.
        front: nodes that the guest may change.
        fixed: nodes of the front end that it may only read.
        served: the kind of the back end, where it differs.
    """
    there, here = frontend_path(kind, domid, devid), backend_path(served or kind, domid, devid)
    private = f"/libxl/{domid}/device/{kind}/{devid}"
    shared = {"frontend": there, "frontend-id": domid, "online": 1, "state": INITIALISING, **back}
    yield Row(f"/libxl/{domid}/device/{kind}", "", NONE)
    yield Row(private, "", NONE)
    yield Row(f"{private}/backend", here, NONE)
    owner = READ if there.endswith("/console") else FRONT
    yield Row(there, "", owner)
    yield Row(f"{there}/backend", here, owner)
    for leaf, value in {"backend-id": 0, **front}.items():
        yield Row(f"{there}/{leaf}", str(value), FRONT)
    for leaf, value in (fixed or {}).items():
        yield Row(f"{there}/{leaf}", str(value))
    yield Row(here)
    for leaf, value in shared.items():
        yield Row(f"{here}/{leaf}", str(value))
        yield Row(f"{private}/{leaf}", str(value), NONE)


def attached(domid: int, config: DomainConfig, vnvdimms: Iterable[VnvdimmRecord], tty: str) -> Iterator[Row]:
    """The transactions for all devices that a domain starts with, in libxl's order; ``tty``: of its console."""
    for disk in config.disks:
        yield from disk_rows(domid, disk)
    yield from _keyboards(domid, config)
    yield from _console(domid, tty)
    if config.type == "hvm":
        yield from _device_model(domid, config)
    for nic in config.nics:
        yield from nic_rows(domid, config, nic)
    for one in vnvdimms:
        yield from nvdimm(domid, one)


def _console(domid: int, tty: str) -> Iterator[Row]:
    fixed = {"limit": CONSOLE_LIMIT, "type": "xenconsoled", "output": "pty", "tty": tty}
    fixed |= {"port": CONSOLE_PORT, "ring-ref": CONSOLE_PFN}
    yield from device(domid, "console", 0, {"protocol": "vt100"}, {}, fixed)


def _keyboards(domid: int, config: DomainConfig) -> Iterator[Row]:
    """Those that were configured; else an HVM guest has one."""
    keyboards: list[dict[str, Any]] = config.keyboards
    if not keyboards and config.type == "hvm" and config.hvm.get("vkb_device", True):
        keyboards = [{"devid": 0}]
    names = {"unique_id": "unique-id", "feature_disable_keyboard": "feature-disable-keyboard"}
    names |= {"feature_disable_pointer": "feature-disable-pointer", "width": "width", "height": "height"}
    for number, keyboard in enumerate(keyboards):
        devid = keyboard.get("devid", number)
        back = {name: int(v) if isinstance(v, bool) else v for key, name in names.items() if (v := keyboard.get(key))}
        yield from device(domid, "vkbd", devid, back, {"state": INITIALISING})
        if config.type == "hvm":  # QEMU serves it at once
            home = backend_path("vkbd", domid, devid)
            answer = {"feature-abs-pointer": 1, "feature-raw-pointer": 1, "hotplug-status": "connected"}
            for leaf, value in {**answer, "state": INIT_WAIT}.items():
                yield Row(f"{home}/{leaf}", str(value))


def _device_model(domid: int, config: DomainConfig) -> Iterator[Row]:
    home = f"/local/domain/0/device-model/{domid}"
    yield Row("/local/domain/0/device-model", "", NONE)
    yield Row(home, "", NONE)
    yield Row(f"{home}/backends", "", NONE)
    for kind in QEMU_BACKENDS:
        if kind == "console" and numbers(config.xen) >= NO_CONSOLE_SINCE:
            continue
        yield Row(f"{home}/backends/{kind}", "", LISTED)
    yield Row(f"{home}/state", "running", NONE)
    yield Row(f"/local/domain/{domid}/image/device-model-pid", str(NO_PID + domid))


def disk_rows(domid: int, disk: Mapping[str, Any]) -> Iterator[Row]:
    """One disk: its back end has it open, and waits for the guest's driver."""
    from xlpy.toolstack.domain.disks import backend_of, number_of

    devid, backend = number_of(disk), backend_of(disk)
    path, raw = disk.get("pdev_path") or "", disk.get("format") or "raw"
    cdrom = bool(disk.get("is_cdrom"))
    kind = "vbd" if backend == "phy" else "qdisk"
    back = {
        "params": path if backend == "phy" else f"{'aio' if raw == 'raw' else raw}:{path}",
        **({"script": f"{SCRIPTS}/{disk.get('script') or 'block'}"} if backend == "phy" else {}),
        "removable": int(bool(disk.get("removable"))),
        "bootable": 1,
        "dev": disk["vdev"],
        "type": backend,
        "mode": "w" if disk.get("readwrite") else "r",
        "device-type": "cdrom" if cdrom else "disk",
        **({"direct-io-safe": 1} if disk.get("direct_io_safe") else {}),
        "discard-enable": int(bool(disk.get("discard_enable", disk.get("readwrite")))),
        "specification": "xen",
    }
    front = {
        "state": INITIALISING,
        "virtual-device": devid,
        "device-type": back["device-type"],
        "trusted": int(bool(disk.get("trusted", True))),
    }
    yield from device(domid, "vbd", devid, back, front, served=kind)
    home = backend_path(kind, domid, devid)
    yield Row(f"{home}/state", str(INIT_WAIT))
    yield Row(f"{home}/hotplug-status", "connected")


def nic_rows(domid: int, config: DomainConfig, nic: dict[str, Any]) -> Iterator[Row]:
    """One network interface."""
    devid, mac = nic["devid"], _mac(nic)
    emulated = config.type == "hvm" and nic.get("nictype") != "vif"
    back: dict[str, object] = {
        "script": f"{SCRIPTS}/{nic.get('script') or 'vif-bridge'}",
        **({"vifname": nic["ifname"]} if nic.get("ifname") else {}),
        "mac": mac,
        **({"ip": nic["ip"]} if nic.get("ip") else {}),
        **({"gatewaydev": nic["gatewaydev"]} if nic.get("gatewaydev") else {}),
        "bridge": nic.get("bridge") or "xenbr0",
        "handle": devid,
        "type": "vif_ioemu" if emulated else "vif",
        "hotplug-status": "",
    }
    if nic.get("rate_interval_usecs"):
        back["rate"] = f"{nic['rate_bytes_per_interval']},{nic['rate_interval_usecs']}"
    if nic.get("mtu"):
        back["mtu"] = nic["mtu"]
    front = {"state": INITIALISING, "handle": devid, "mac": mac, "trusted": int(bool(nic.get("trusted", True)))}
    yield from device(domid, "vif", devid, back, front, {"mtu": nic.get("mtu") or DEFAULT_MTU})
    home = backend_path("vif", domid, devid)
    yield Row(f"{home}/state", str(INIT_WAIT))
    yield Row(f"{home}/hotplug-status", "connected")


def nvdimm(domid: int, one: VnvdimmRecord) -> Iterator[Row]:
    """One vNVDIMM: it has no backend in another domain, so it is known to libxl alone."""
    home = nvdimm_home(domid, one.slot)
    yield Row(f"/libxl/{domid}/device/nvdimm", "", NONE)
    yield Row(home, "", NONE)
    for leaf, value in {
        "frontend-id": domid,
        "online": 1,
        "state": CONNECTED,
        "file": one.path,
        "size": one.size,
        "gpa": f"{one.gpa:#x}",
        "label-size": one.label_size,
        "unarmed": int(one.unarmed),
        "node": one.node,
        "mode": "r" if one.read_only else "w",
    }.items():
        yield Row(f"{home}/{leaf}", str(value), NONE)


def nvdimm_home(domid: int, slot: int) -> str:
    """Where a vNVDIMM is in libxl's own part of xenstore."""
    return f"/libxl/{domid}/device/nvdimm/{slot}"


def _mac(nic: dict[str, Any]) -> str:
    """The MAC address of a network interface; one of Xen's is chosen once where none is configured."""
    if not nic.get("mac"):
        parts = zip(os.urandom(3), _MAC_MASK, strict=True)
        nic["mac"] = "00:16:3e:" + ":".join(f"{byte & mask:02x}" for byte, mask in parts)
    return str(nic["mac"])
