"""Removing from xenstore what libxl wrote for a domain and its devices."""

from __future__ import annotations

from xlpy.toolstack.domain.xenstore_rows import homes
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.dom0.xenstore.daemon import Connection, XenStore


def clear_rows(xenstore: XenStore, domid: int, vm: str | None) -> None:
    """Remove what libxl wrote for a domain."""
    connection = xenstore.connection(0)
    for kind, devid in _devices_of(connection, domid):
        back = connection.read_or_none(f"/libxl/{domid}/device/{kind}/{devid}/backend")
        if back is not None and back.startswith("/local/domain/0/backend/"):
            remove_with_parents(connection, back)
    for path in (vm, *homes(domid)):
        if path is not None and connection.read_or_none(path) is not None:
            connection.rm(path)


def _devices_of(connection: Connection, domid: int) -> list[tuple[str, str]]:
    """Kind and number of every device that libxl knows of."""
    home = f"/libxl/{domid}/device"
    if connection.read_or_none(home) is None:
        return []
    return [(kind, devid) for kind in connection.directory(home) for devid in connection.directory(f"{home}/{kind}")]


def remove_with_parents(connection: Connection, path: str) -> None:
    """Remove a node, and those above it that it leaves empty (``libxl__xs_path_cleanup``)."""
    if connection.read_or_none(path) is not None:
        connection.rm(path)
    above = path.rpartition("/")[0]
    while above.count("/") > 3 and connection.read_or_none(above) is not None and connection.childless(above):
        connection.rm(above)
        above = above.rpartition("/")[0]
