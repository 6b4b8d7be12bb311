"""Attaching and detaching vNVDIMMs of a running domain, as block-attach, block-list and block-detach do with disks."""

from __future__ import annotations

from xlpy.devicemodel.hotplug import HotPlug
from xlpy.devicemodel.model import ROOT_PATH
from xlpy.errors import Conflict, NotFound
from xlpy.records import NamedTuple
from xlpy.toolstack.config.devices.vnvdimm import VnvdimmEntry, read_vnvdimm
from xlpy.toolstack.domain.backings import Backings
from xlpy.toolstack.domain.device_rows import nvdimm, nvdimm_home
from xlpy.toolstack.domain.record import VnvdimmRecord, load, save
from xlpy.toolstack.domain.stored_config import current
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.addr import Gpa, Span
    from xlpy.toolstack.domain.lifecycle import Lifecycle

CONNECTED, CLOSING, CLOSED = 4, 5, 6  # XenbusState (Xen public header io/xenbus.h)


class Attached(NamedTuple):
    """One vNVDIMM for ``nvdimm-list``.

    state: connected; closing: the guest was asked to let go; closed: it has. pending: notifications, to it or to the
    root device, that the guest has not answered, as (object, value).
    """

    slot: int
    handle: int
    acpi: str
    state: int
    gpa: int
    size: int
    file: str
    label_size: int
    unarmed: bool
    node: int
    pending: list[tuple[str, int]]


def parse_spec(words: Sequence[str]) -> VnvdimmEntry:
    """Read a specification from the command line: the words together describe one device.

    Raises:
        ConfigError: as in a configuration.
    """
    from xlpy.toolstack.config.reading.reader import HostFacts, Reader
    from xlpy.toolstack.config.xlcfg import Settings, Text
    from xlpy.toolstack.config.xlcfg.source import Refused, Source

    text = Text(",".join(words))
    text.offset = 0
    reader = Reader(Settings(Source(text, "command line"), {}, [], strict=False), HostFacts())
    entry = read_vnvdimm(reader, text)
    if entry is None or reader.problems:
        raise Refused(
            f"command line: config parsing error in nvdimm specification `{text}'",
            reader.problems,
            hint="write for example: file=/dev/pmem1,label_size=128K",
        )
    return entry


def attach(
    life: Lifecycle, domid: int, entry: VnvdimmEntry, dry_run: bool = False, busy: Sequence[Span[Gpa]] = ()
) -> VnvdimmRecord | None:
    """Give a running domain one more vNVDIMM: pinned, mapped, described by ``_FIT``, and announced to the guest.

    Args:
        life: the toolstack.
        domid: the domain.
        entry: what it is to be.
        dry_run: check only.
        busy: guest addresses that are not free beside those of its vNVDIMMs.

    Returns:
        what it became; None for a dry run.

    Raises:
        Conflict: Dom0, a domain that has shut down or was started without vNVDIMMs, or a backing that a domain has.
        Constraint: no slot is free. XlpyError: as for ``create``; nothing is left behind.
    """
    domain = life.guest(domid)
    if domain.shutdown_code is not None:
        raise Conflict(f"domain {domid} has shut down", code="XLPY-DOMAIN-ENDED", hint=f"xlpy destroy {domid}")
    record = load(life.store, domid)
    backings = Backings(life.xen, life.dom0, life.labels)
    ((_, resolved),) = backings.resolve(record.name, [entry])
    model = _device_model(life, domid)
    model.free_slot()
    model.check_node(entry.file, entry.node)
    if dry_run:
        return None
    placed = model.plug(backings.pin(domid, entry, resolved), busy)
    made = backings.record(entry, resolved, placed)
    _remember(life, domid, [*record.vnvdimms, made])
    life.builder().write(nvdimm(domid, made), domid)
    return made


def detach(life: Lifecycle, domid: int, device: str, force: bool = False, dry_run: bool = False) -> VnvdimmRecord:
    """Take a vNVDIMM from a running domain.

    Args:
        life: the toolstack.
        domid: the domain.
        device: its slot, the name of its ACPI object (``NV00``), or its file.
        force: although the guest has not let go of it.
        dry_run: check only.

    Returns:
        what it was.

    Raises:
        NotFound: no such vNVDIMM. Conflict: Dom0, or the guest has not let go: it has been asked to.
    """
    life.guest(domid)
    record = load(life.store, domid)
    model = _device_model(life, domid)
    gone = _find(record.vnvdimms, device)
    placed = next(one for one in model.devices if one.slot == gone.slot)
    if dry_run and (force or placed.released):
        return gone
    if dry_run:
        raise Conflict(
            f"domain {domid} has not let go of vNVDIMM {gone.slot} ({gone.path})",
            code="XLPY-PMEM-IN-GUEST",
            hint="without -n it is asked to; -f takes it away at once",
        )
    if force:
        model.release(placed)
    if not (force or placed.released):
        with life.store.surviving():  # the detach fails, the request stays
            life.xenstore.connection(0).write(f"{nvdimm_home(domid, gone.slot)}/state", str(CLOSING))
            model.request_eject(gone.slot)
    model.unplug(gone.slot)
    Backings(life.xen, life.dom0, life.labels).unpin(domid, gone.path)
    life.xenstore.connection(0).rm(nvdimm_home(domid, gone.slot))
    _remember(life, domid, [one for one in record.vnvdimms if one.slot != gone.slot])
    return gone


def attached(life: Lifecycle, domid: int) -> list[Attached]:
    """The vNVDIMMs of a domain, by slot."""
    life.guest(domid)
    model = _device_model(life, domid)
    placed = {one.slot: one for one in model.devices}
    rows: list[Attached] = []
    events = model.events if placed else []
    for device in sorted(load(life.store, domid).vnvdimms, key=lambda one: one.slot):
        one = placed[device.slot]
        state = life.xenstore.connection(0).read_or_none(f"{nvdimm_home(domid, device.slot)}/state")
        rows.append(
            Attached(
                device.slot,
                one.handle,
                one.name,
                CLOSED if one.released else CLOSING if state == str(CLOSING) else CONNECTED,
                device.gpa,
                device.size,
                device.path,
                device.label_size,
                device.unarmed,
                device.node,
                [event for event in events if event[0] in (ROOT_PATH, f"{ROOT_PATH}.{one.name}")],
            )
        )
    return rows


def _device_model(life: Lifecycle, domid: int) -> HotPlug:
    return HotPlug(life.xen, life.xen.domain(domid), life.xenstore.connection(0), life.store.table("dm"))


def _find(devices: Sequence[VnvdimmRecord], wanted: str) -> VnvdimmRecord:
    for device in devices:
        if wanted in (str(device.slot), f"NV{device.slot:02X}", device.path):
            return device
    raise NotFound(f"Error: Device {wanted} not connected.", hint="xlpy nvdimm-list DOMAIN shows slots and files")


def _remember(life: Lifecycle, domid: int, devices: list[VnvdimmRecord]) -> None:
    """Configuration first, then the nodes: every device in xenstore has an entry in the stored JSON."""
    record = load(life.store, domid)._replace(vnvdimms=devices)
    save(life.store, record._replace(config=current(record)))
