"""A domain's configuration after it was built: kept in line with what happens to it, read again for a restart."""

from __future__ import annotations

from xlpy.toolstack.domain.record import load, save
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xlpy.hypervisor.xen import Xen
    from xlpy.store import Store
    from xlpy.toolstack.config.devices.vnvdimm import VnvdimmEntry
    from xlpy.toolstack.config.domain_config import DomainConfig
    from xlpy.toolstack.domain.record import DomainRecord

UPDATED = "<updated>"  # xl's name for a text from config-update


def reload(record: DomainRecord, xen: Xen) -> DomainConfig:
    """The configuration with which a domain is started again.

    What ``config-update`` left counts alone, as in xl: name and UUID too are what it says. Otherwise it is what the
    domain was made from, with what has changed since: name, memory, vNVDIMMs; the UUID stays.

    Args:
        record: of the domain.
        xen: on which it will run.

    Raises:
        ConfigError: the text no longer reads.
    """
    from xlpy.toolstack.config.domain_config import load_config
    from xlpy.toolstack.config.reading.reader import facts_of

    facts = facts_of(xen.hw.spec)
    if record.update is not None:
        return load_config(record.update, UPDATED, host=facts, xen=xen.version)
    config = load_config(record.text, record.source, record.extra, host=facts, xen=xen.version)
    config.tree["c_info"] |= {"name": record.name, "uuid": record.uuid}
    for size in ("target_memkb", "max_memkb"):
        kib = record.sizes.get(size, record.config["b_info"].get(size))
        if kib is not None:
            config.tree["b_info"][size] = kib
    config.tree["disks"] = record.disks
    config.vnvdimms = tuple(entries(record))
    return config


def entries(record: DomainRecord) -> list[VnvdimmEntry]:
    """The vNVDIMMs that a domain has, as a configuration would name them."""
    from xlpy.toolstack.config.devices.vnvdimm import VnvdimmEntry

    return [
        VnvdimmEntry(device.path, device.label_size, device.unarmed, read_only=device.read_only, node=device.node)
        for device in record.vnvdimms
    ]


def current(record: DomainRecord) -> dict[str, Any]:
    """The stored JSON of a configuration, brought in line with the record."""
    config = dict(record.config)
    config["c_info"] = {**config["c_info"], "name": record.name, "uuid": record.uuid}
    config.pop("vnvdimms", None)
    if record.vnvdimms:
        config["vnvdimms"] = [entry.to_json() for entry in entries(record)]
    return config


def update(store: Store, domid: int, config: DomainConfig) -> None:
    """Keep a configuration's text for the next restart of a domain (``config-update``)."""
    save(store, load(store, domid)._replace(update=config.settings.source.text))
