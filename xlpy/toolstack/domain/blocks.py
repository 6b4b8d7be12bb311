"""Disks and network cards of a running domain: ``block-attach``, ``block-list``, ``block-detach``, ``network-list``.

They are what xenstore says of them. No disk moves data here; a guest without a driver never connects to one.
"""

from __future__ import annotations

from xlpy.errors import ConfigError, Conflict, NotFound
from xlpy.records import NamedTuple
from xlpy.toolstack.config.devices.disk import BadDisk, parse_disk
from xlpy.toolstack.domain.clearing import remove_with_parents
from xlpy.toolstack.domain.device_rows import backend_path, disk_rows, frontend_path
from xlpy.toolstack.domain.disks import number_of, vdev_number
from xlpy.toolstack.domain.record import load, save
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.dom0.xenstore.daemon import Connection
    from xlpy.toolstack.domain.lifecycle import Lifecycle

ABSENT = -1  # what xl shows for a node that is not there
CONNECTED = 4


class BlockRow(NamedTuple):
    """One line of ``xl block-list``. handle: xl shows the domid of the front end there; a number is -1 when absent."""

    vdev: int
    backend: int
    handle: int
    state: int
    event_channel: int
    ring_ref: int
    path: str


class Nic(NamedTuple):
    """One line of ``xl network-list``."""

    devid: int
    backend: int
    mac: str
    handle: int
    state: int
    event_channel: int
    tx_ring: int
    rx_ring: int
    path: str


def blocks(life: Lifecycle, domid: int) -> list[BlockRow]:
    """The disks of a domain, in the order of xenstore."""
    connection, found = life.xenstore.connection(0), []
    for vdev in _devices(connection, domid, "vbd"):
        back = connection.read(f"/libxl/{domid}/device/vbd/{vdev}/backend")
        front = frontend_path("vbd", domid, vdev)
        state, channel, ring = (
            _number(connection, f"{front}/{leaf}") for leaf in ("state", "event-channel", "ring-ref")
        )
        found.append(BlockRow(vdev, 0, domid, state, channel, ring, back))
    return found


def nics(life: Lifecycle, domid: int) -> list[Nic]:
    """The network interfaces of a domain."""
    connection, found = life.xenstore.connection(0), []
    leaves = ("state", "event-channel", "tx-ring-ref", "rx-ring-ref")
    for devid in _devices(connection, domid, "vif"):
        home, front = f"/libxl/{domid}/device/vif/{devid}", frontend_path("vif", domid, devid)
        mac = connection.read_or_none(f"{home}/mac") or "00:00:00:00:00:00"
        state, channel, tx_ring, rx_ring = (_number(connection, f"{front}/{leaf}") for leaf in leaves)
        found.append(Nic(devid, 0, mac, devid, state, channel, tx_ring, rx_ring, connection.read(f"{home}/backend")))
    return found


def parse_disk_words(words: Sequence[str]) -> dict[str, Any]:
    """A disk from the command line: the words together describe one. ConfigError: as in a configuration."""
    try:
        return parse_disk(list(words), [])
    except BadDisk as bad:
        raise ConfigError(
            f"command line: config parsing error in disk specification: {bad.message}",
            hint="for example: /path/to/disk.img,raw,xvdb,rw",
        ) from None


def attach(life: Lifecycle, domid: int, disk: dict[str, Any], dry_run: bool = False) -> int:
    """Give a running domain a disk; the number of its virtual device.

    Raises:
        Conflict: Dom0, a domain that has shut down, or a device that is there. ConfigError: its file is not there.
    """
    domain = life.guest(domid)
    if domain.shutdown_code is not None:
        raise Conflict(f"domain {domid} has shut down", code="XLPY-DOMAIN-ENDED", hint=f"xlpy destroy {domid}")
    life.builder().check_disks([disk])
    vdev = number_of(disk)
    if vdev in _devices(life.xenstore.connection(0), domid, "vbd"):
        raise Conflict(
            f"device {disk['vdev']} of domain {domid} already exists in xenstore", hint=f"xlpy block-list {domid}"
        )
    if not dry_run:
        record = load(life.store, domid)
        save(life.store, record.with_disks([*record.disks, disk]))  # the configuration first, as in libxl
        life.builder().write(disk_rows(domid, disk), domid)
    return vdev


def detach(life: Lifecycle, domid: int, device: str, force: bool = False, dry_run: bool = False) -> int:
    """Take a disk from a running domain.

    Args:
        life: the toolstack.
        domid: the domain.
        device: ``xvda``, ``hdc``, ``d0p0`` or a number.
        force: although the guest has it.
        dry_run: check only.

    Returns:
        the number of its virtual device.

    Raises:
        NotFound: no such disk. Conflict: Dom0, or the guest is connected to it and has not let go.
    """
    life.guest(domid)
    connection, vdev = life.xenstore.connection(0), vdev_number(device)
    if vdev is None or vdev not in _devices(connection, domid, "vbd"):
        raise NotFound(f"Error: Device {device} not connected.", hint=f"xlpy block-list {domid}")
    home, front = f"/libxl/{domid}/device/vbd/{vdev}", frontend_path("vbd", domid, vdev)
    back = connection.read_or_none(f"{home}/backend") or backend_path("vbd", domid, vdev)
    if _number(connection, f"{front}/state") == CONNECTED and not force:
        raise Conflict(f"the guest of domain {domid} has {device} open", hint="-f takes it away at once")
    if not dry_run:
        record = load(life.store, domid)
        left = [disk for disk in record.disks if vdev_number(disk["vdev"]) != vdev]
        save(life.store, record.with_disks(left))
        remove_with_parents(connection, back)
        for path in (front, home):
            if connection.read_or_none(path) is not None:
                connection.rm(path)
    return vdev


def _devices(connection: Connection, domid: int, kind: str) -> list[int]:
    home = f"/libxl/{domid}/device/{kind}"
    if connection.read_or_none(home) is None:
        return []
    return sorted(map(int, filter(str.isdecimal, connection.directory(home))))


def _number(connection: Connection, path: str) -> int:
    text = connection.read_or_none(path) or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else ABSENT
