"""``save``: a domain in a file, for ``restore`` here or on another host.

The file holds the configuration, Xen's and the device model's state, and the RAM that was ever written. Persistent
memory is not in it: it stays where it is, and what is kept of it (``contents``) tells whether it is the same when the
domain comes back.
"""

from __future__ import annotations

import os

from xlpy import abi
from xlpy.addr import PAGE_SHIFT
from xlpy.errors import Conflict
from xlpy.hypervisor.tables import PARTS
from xlpy.toolstack.domain import savefile
from xlpy.toolstack.domain.contents import data_runs, look
from xlpy.toolstack.domain.coredump import files_of
from xlpy.toolstack.domain.record import load
from xlpy.toolstack.domain.savefile import RamRun
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.hypervisor.domain import Domain
    from xlpy.toolstack.config.domain_config import DomainConfig
    from xlpy.toolstack.domain.lifecycle import Lifecycle

KEPT_PARTS = tuple(part for part in PARTS if part not in ("xen.ram", "xen.pmem", "xen.files", "xen.ioreq"))


def suspend(life: Lifecycle, domid: int) -> None:
    """Ask the guest to suspend, as for ``save``. Conflict: it cannot answer."""
    from xlpy.toolstack.domain.power import ask

    ask(life, domid, "suspend")
    if life.xen.domain(domid).shutdown_code != abi.SHUTDOWN_SUSPEND:
        raise Conflict(f"domain {domid} did not suspend", hint="it goes on")


def resume(life: Lifecycle, domid: int) -> None:
    """Let a suspended guest go on."""
    life.xen.hypercalls(0).domctl_resumedomain(domid)


def save_domain(life: Lifecycle, domid: int, path: str, config: DomainConfig | None = None) -> None:
    """Write a domain that does not run to a file; nothing is left when that fails.

    The header: ``record`` (libxl's), ``domain`` (Xen's record), ``parts``, ``ram`` (frames ``[start, end)``),
    ``devices`` (slot, address, serial of each vNVDIMM), ``slots``, ``contents`` (of vNVDIMMs), ``features`` of the
    CPU, ``type``.

    Args:
        life: the toolstack.
        domid: of the domain.
        path: of the file.
        config: with which it is to be restored, in place of its own.

    Raises:
        Constraint: the file cannot be written.
    """
    domain, record = life.xen.domain(domid), load(life.store, domid)
    model = life.device_model(domid)
    devices = model.devices if record.vnvdimms else []
    fields = record._asdict()
    fields["vnvdimms"] = [list(device) for device in record.vnvdimms]
    if config is not None:
        fields |= {"text": config.text, "source": config.source, "extra": [], "update": None}
    labels = [f"{life.labels}/{one.label}" if one.label else "" for one in record.vnvdimms]
    header = {
        "record": fields,
        "domain": domain.record(),
        "parts": {part: saved for part in KEPT_PARTS if (saved := domain.part(part)) is not None},
        "ram": [[piece.start, piece.end] for piece in domain.p2m.ram],
        "devices": [[device.slot, device.gpa, device.serial] for device in devices],
        "slots": model.slots if devices else 0,
        "contents": [
            look(life.xen.hw, one.path, one.extents, label)._asdict()
            for one, label in zip(record.vnvdimms, labels, strict=True)
        ],
        "features": list(life.xen.hw.spec.cpu.features),
        "type": life.xenstore.connection(0).read(f"/libxl/{domid}/type"),
    }
    savefile.write(path, header, ram_runs(domain))


def ram_runs(domain: Domain) -> Iterator[RamRun]:
    """RAM that was ever written."""
    for piece in domain.p2m.ram:
        for path, offset, length, skip in files_of(domain, piece, pmem=False):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                for start, size in data_runs(fd, offset, length):
                    yield RamRun((piece.start << PAGE_SHIFT) + skip + start - offset, fd, start, size)
            finally:
                os.close(fd)
