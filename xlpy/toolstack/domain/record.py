"""The toolstack's record of a running domain: libxl's userdata, and names through xenstore."""

from __future__ import annotations

from xlpy.errors import NotFound, StateError
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xlpy.dom0.xenstore.daemon import Connection, XenStore
    from xlpy.store import Store

TABLE = "libxl"


class VnvdimmRecord(NamedTuple):
    """One vNVDIMM of a running domain.

    path: as configured; kind, device: see ``Resolved``; gpa: first guest physical address; size: bytes;
    extents: ``[spa, length]`` pairs in guest order; label: file name of its label area, or empty.
    slot: from 0, its number for users; label_size, unarmed, read_only, node: as configured.
    """

    path: str
    kind: str
    device: str
    gpa: int
    size: int
    extents: list[list[int]]
    label: str
    slot: int = 0
    label_size: int = 0
    unarmed: bool = False
    read_only: bool = False
    node: int = 0


class DomainRecord(NamedTuple):
    """One domain.

    text, source: the configuration as read, so that a restart can read it again; extra: its ``key=value`` additions;
    config: libxl-shaped JSON; crashes: starts in a row that ended with a crash of the firmware; update: the text that
    ``config-update`` left for the next restart; settled: it has shut down, and what was to follow has been done;
    monitored: something is to follow at all (``xl create -e`` says no). sizes: target_memkb and max_memkb, where
    mem-set and mem-max have changed them. disks: as libxl has them, with those that came and went since.
    """

    domid: int
    name: str
    uuid: str
    text: str
    source: str
    extra: list[str]
    config: dict[str, Any]
    vnvdimms: list[VnvdimmRecord]
    started: float
    crashes: int = 0
    update: str | None = None
    settled: bool = False
    monitored: bool = True
    sizes: dict[str, int] = {}  # noqa: RUF012 - never changed in place
    disks: list[dict[str, Any]] = []  # noqa: RUF012

    def with_disks(self, disks: list[dict[str, Any]]) -> DomainRecord:
        """The record with other disks, in its stored JSON too."""
        from xlpy.toolstack.config.libxl_json import structure

        config = {key: value for key, value in self.config.items() if key != "disks"}
        shown = {"disks": [structure("disks", disk) for disk in disks]} if disks else {}
        head = {key: config.pop(key) for key in ("c_info", "b_info")}
        return self._replace(config={**head, **shown, **config}, disks=disks)


def save(store: Store, record: DomainRecord) -> None:
    """Remember a domain."""
    fields = record._asdict()
    fields["vnvdimms"] = [list(device) for device in record.vnvdimms]
    store.table(TABLE).put(str(record.domid), fields)


def load(store: Store, domid: int) -> DomainRecord:
    """What is remembered of a domain. NotFound when nothing is."""
    fields = store.table(TABLE).get(str(domid))
    if fields is None:
        raise NotFound(f"no configuration is stored for domain {domid}")
    fields["vnvdimms"] = [VnvdimmRecord(*device) for device in fields["vnvdimms"]]
    return DomainRecord(**fields)


def forget(store: Store, domid: int) -> None:
    """Drop what is remembered of a domain."""
    store.table(TABLE).delete(str(domid))


def number(connection: Connection, path: str) -> int:
    """A node of xenstore that libxl has made, and that holds a number. StateError when it was changed."""
    text = connection.read(path)
    if not (text.isascii() and text.isdigit()):
        raise StateError(
            f"{path} in xenstore is {text[:40]!r}, a number is required", hint="correct it with: xlpy xenstore write"
        )
    return int(text)


def vm_path(xenstore: XenStore, record: DomainRecord) -> str:
    """The domain's node below ``/vm``: as in xenstore, unless it was overwritten with something else."""
    found = xenstore.connection(0).read_or_none(f"/local/domain/{record.domid}/vm") or ""
    return found if found.startswith("/vm/") and found.count("/") == 2 else f"/vm/{record.uuid}"


def name_of(xenstore: XenStore, domid: int) -> str | None:
    """A domain's name, as xenstore has it."""
    return xenstore.connection(0).read_or_none(f"/local/domain/{domid}/name")


def named(xenstore: XenStore, name: str) -> int | None:
    """The domid of a live domain by its exact name."""
    return next(iter(xenstore.named(name)), None)


def dashed(digits: str) -> str:
    """A UUID's 32 hex digits with its hyphens."""
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
