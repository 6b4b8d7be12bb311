"""The data of `xlpy pmem list`, as records; rendered in `cli`."""

from __future__ import annotations

from xlpy.addr import Spa, Span
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xlpy.host import Host


class PmemRow(NamedTuple):
    """A namespace of the host and who uses it.

    dev: ``namespace0.0``. device: of Dom0 below ``/dev``, None where it has none. mode: ndctl's. size: bytes of the
    data. resource: where they are in host-physical memory, None in sector mode. reserved: bytes set aside for Xen.
    registered: whether Xen knows it; reason: why not. users: domains, and those that hold files on it. uses: what
    Dom0 does with it. mounts: of file systems on it. problem: why it is disabled. words: all of it in ndctl's words and
    ours, with what ``ndctl list -M`` tells of bad blocks.
    """

    dev: str
    device: str | None
    mode: str
    size: int
    resource: int | None
    reserved: int
    registered: bool
    reason: str | None
    users: tuple[str, ...]
    uses: tuple[str, ...]
    mounts: tuple[str, ...]
    problem: str | None
    words: dict[str, Any]


def pmem(host: Host) -> list[PmemRow]:
    """The host's persistent memory in ndctl's keys, those of ``ndctl list -M`` included, and who uses it."""
    users: dict[str, list[str]] = {}
    for domid in host.xen.domids():
        from xlpy.toolstack.domain.record import load, name_of

        for device in load(host.store, domid).vnvdimms:
            users.setdefault(device.device, []).append(name_of(host.xenstore, domid) or str(domid))
    exports = host.store.table("exports")
    for record in filter(None, map(exports.get, exports.keys())):
        for one in record["vnvdimms"]:
            users.setdefault(one["data"]["device"], []).append(f"{record['name']} (exported)")
    return [_row(host, item, users) for item in host.dom0.list_namespaces()]


def _row(host: Host, item: dict[str, Any], users: dict[str, list[str]]) -> PmemRow:
    device = item.get("blockdev", item.get("chardev"))
    item["users"] = sorted(set(users.get(device or "", [])))
    if device is not None:
        item |= _bad_blocks(host, item)
    return PmemRow(
        dev=item["dev"],
        device=device,
        mode=item["mode"],
        size=item["size"],
        resource=item["resource"],
        reserved=item["reserved"],
        registered=item["registered"],
        reason=item.get("reason"),
        users=tuple(item["users"]),
        uses=tuple(item.get("uses", ())),
        mounts=tuple(item["mounts"]),
        problem=item.get("problem"),
        words=item,
    )


def _bad_blocks(host: Host, item: dict[str, Any]) -> dict[str, Any]:
    """The keys with which ``ndctl list -M`` reports bad sectors, and the device that has them."""
    if item["resource"] is None or not len(host.dom0.bad):
        return {}
    from xlpy.views.bad_blocks import inside

    return inside(host, Span(Spa(item["resource"]), item["size"]), item.get("blockdev"))
