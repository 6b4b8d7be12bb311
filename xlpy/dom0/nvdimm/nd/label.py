"""The labels of a namespace, written anew on each DIMM of its set.

Order and flags are those of Linux 6.1, ``drivers/nvdimm/label.c``.
"""

from __future__ import annotations

from errno import EBUSY, ENXIO

from xlpy.dom0.nvdimm.labels import ABSTRACTIONS, TYPE_PMEM, Label
from xlpy.dom0.nvdimm.nd.error import refuse
from xlpy.typing import TYPE_CHECKING, Protocol
from xlpy.uuids import ZERO, uuid_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xlpy.dom0.nvdimm.nd.above import AboveNamespace
    from xlpy.dom0.nvdimm.nd.dimm import NdMapping

UPDATING = 8  # Label.flags
_GUID = {name: guid for guid, name in ABSTRACTIONS.items()}


class Labelled(Protocol):
    """A namespace, as far as its labels describe it."""

    alt_name: str
    lbasize: int
    kind: str

    @property
    def dev(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def uuid(self) -> str: ...
    @property
    def region(self) -> AboveNamespace: ...


def slots(mapping: NdMapping, uuid: bytes) -> list[int]:
    """The slots of this mapping's DIMM that hold a namespace's labels."""
    mine = {label.slot for label in mapping.dimm.storage.area.labels if label.uuid == uuid}
    return [slot for slot in mapping.slots if slot in mine]


def rename(namespace: Labelled, old: bytes, new: bytes) -> dict[int, list[int]]:
    """Let the ranges of a namespace have another uuid; the slots of its old labels, by mapping.

    Raises:
        NdError: EBUSY: it has a uuid that no label has yet.
    """
    mappings = namespace.region.mappings
    if any(not mapping.slots for mapping in mappings):
        refuse(EBUSY, f"{namespace.dev} has a uuid that no label has yet")
    before, after, found = uuid_text(old), uuid_text(new), {}
    for at, mapping in enumerate(mappings):
        mapping.dimm.dpa = [one._replace(uuid=after) if one.uuid == before else one for one in mapping.dimm.dpa]
        found[at] = slots(mapping, old)
    return found


def update(namespace: Labelled, uuid: bytes, reap: Mapping[int, list[int]]) -> None:
    """Write the labels anew: on every DIMM first one that says it is being updated, then the final one.

    Args:
        namespace: whose; without a size its labels are freed.
        uuid: 16 bytes, what they have.
        reap: slots of labels under another uuid that go with the first write, by mapping.

    Raises:
        NdError: ENXIO: it has nothing on one of the DIMMs, or an area takes no labels.
    """
    mappings = namespace.region.mappings
    if not namespace.size:
        for mapping in mappings:
            gone = slots(mapping, uuid) if mapping.slots else []
            mapping.dimm.storage.free(gone)
            mapping.slots = [slot for slot in mapping.slots if slot not in gone]
        return
    for at, mapping in enumerate(mappings):
        mapping.dimm.storage.initialise()
        _write(namespace, uuid, at, UPDATING, reap.get(at, []))
    for at in range(len(mappings)):
        _write(namespace, uuid, at, 0, [])


def _write(namespace: Labelled, uuid: bytes, position: int, flags: int, reap: list[int]) -> None:
    """Put a label into a free slot of one DIMM, and let the old ones go."""
    region = namespace.region
    mapping = region.mappings[position]
    mine = mapping.dimm.allocated(namespace.uuid)
    if not mine:
        refuse(ENXIO, f"{namespace.dev} has nothing on {mapping.dimm.dev}")
    old = [*slots(mapping, uuid), *reap]
    label = Label(
        uuid=uuid,
        name=namespace.alt_name,
        flags=flags,
        nlabel=len(region.mappings),
        position=position,
        isetcookie=region.label_cookie(mapping.dimm),
        lbasize=namespace.lbasize,
        dpa=mine[0].start,
        rawsize=mine[0].size,
        slot=0,
        type=TYPE_PMEM,
        abstraction=_GUID.get(namespace.kind, ZERO),
    )
    slot = mapping.dimm.storage.update(label, old)
    mapping.slots = [*(one for one in mapping.slots if one not in old), slot]
