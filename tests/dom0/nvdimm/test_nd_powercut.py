"""Power fails while labels are written: after each byte of each write there is the old state or the new one.

A write may also be torn in units of 8 bytes, any of which are old or new. In a set of several DIMMs Linux writes one
after the other: a namespace that not all of them have yet, or have no longer, keeps the region from being enabled, as
the kernel's source and real damage have it; half a namespace is never shown.
"""

from __future__ import annotations

import random

import pytest
from dom0.nvdimm.nd_bank import Labels, Platform, create, destroy, init_labels, other, pair, powered, single

from xlpy.addr import MIB

ONE = "11111111-2222-3333-4444-555555555555"
TWO = "22222222-2222-3333-4444-555555555555"
NEW = "33333333-2222-3333-4444-555555555555"


class Recorder:
    """All writes to label areas, in order, over all DIMMs."""

    def __init__(self, platform: Platform) -> None:
        self.before = {handle: bytes(one.data) for handle, one in platform.labels.items()}
        self.writes: list[tuple[int, int, bytes]] = []
        for handle, one in platform.labels.items():
            one.write = self._recording(handle, one)

    def _recording(self, handle, one):
        def write(offset, data):
            self.writes.append((handle, offset, bytes(data)))
            Labels.write(one, offset, data)

        return write

    def upto(self, number, last):
        """The areas after ``number`` whole writes, and one of which only some bytes are new."""
        areas = {handle: bytearray(raw) for handle, raw in self.before.items()}
        for handle, offset, data in self.writes[:number]:
            areas[handle][offset : offset + len(data)] = data
        if number < len(self.writes):
            handle, offset, data = self.writes[number]
            old = areas[handle][offset : offset + len(data)]
            areas[handle][offset : offset + len(data)] = last(bytes(old), data)
        return areas


def seen(bus, areas):
    """The namespaces after a boot: (uuid, name, first address, size); None when the region is not enabled."""
    platform = Platform()
    for handle, raw in areas.items():
        platform.labels[handle] = Labels()
        platform.labels[handle].data[:] = raw
    region = powered(bus, platform).region("region0")
    if not region.bound:
        return None
    return sorted((one.uuid, one.alt_name, one.resource, one.size) for one in region.namespaces if one.size)


def prefix(length):
    return lambda old, new: new[:length] + old[length:]


def units(seed):
    chosen = random.Random(seed)

    def mix(old, new):
        parts = zip((old[at : at + 8] for at in range(0, len(old), 8)), range(0, len(new), 8), strict=True)
        return b"".join(chosen.choice((part, new[at : at + 8])) for part, at in parts)

    return mix


def rename(region):
    namespace = region.namespaces[0]
    namespace.claim.unbind()
    namespace.claim.store_namespace("")
    namespace.store_alt_name("renamed")


def renumber(region):
    namespace = region.namespaces[0]
    namespace.claim.unbind()
    namespace.claim.store_namespace("")
    namespace.store_uuid(NEW)


STEPS = {
    "create": lambda region: create(region, TWO, 32 * MIB, name="second"),
    "destroy": lambda region: destroy(region.namespaces[0]),
    "rename": rename,
    "another uuid": renumber,
}


def recorded(bus, step, minor=2):
    """What a step writes on media that have one namespace."""
    platform = Platform()
    nd = powered(bus, platform)
    init_labels(nd, minor)
    create(nd.region("region0"), ONE, 64 * MIB, name="first", info=other(TWO))
    record = Recorder(platform)
    STEPS[step](nd.region("region0"))
    return record


@pytest.mark.parametrize("minor", [1, 2])
@pytest.mark.parametrize("step", STEPS)
def test_one_dimm(step, minor):
    bus = single(256 * MIB)
    record = recorded(bus, step, minor)
    whole = [seen(bus, record.upto(n, prefix(0))) for n in range(len(record.writes) + 1)]
    assert whole[0] != whole[-1]
    assert None not in whole
    for number, (_, _, data) in enumerate(record.writes):
        allowed = (whole[number], whole[number + 1])
        for cut in [*range(0, len(data), 5), *range(8), *range(len(data) - 8, len(data))]:
            assert seen(bus, record.upto(number, prefix(cut))) in allowed, (number, cut)
        for seed in range(6):
            assert seen(bus, record.upto(number, units(seed))) in allowed, (number, seed)
    assert len({str(state) for state in whole}) == 2  # old until some write, and new from then on


@pytest.mark.parametrize("step", STEPS)
def test_two_dimms(step):
    bus = pair()
    record = recorded(bus, step)
    old, new = (seen(bus, record.upto(n, prefix(0))) for n in (0, len(record.writes)))
    for number, (_, _, data) in enumerate(record.writes):
        for cut in (0, 1, 100, len(data) - 1, len(data)):
            found = seen(bus, record.upto(number, prefix(cut)))
            assert found in (old, new, None), (number, cut)
            assert found is not None or step != "rename"  # all DIMMs have a label of it throughout


@pytest.mark.parametrize("mode", ["fsdax", "devdax", "sector"])
def test_info_blocks(mode):
    """Torn, they leave a raw namespace; whole, the one that was asked for."""
    bus, platform = single(64 * MIB), Platform()
    nd = powered(bus, platform)
    init_labels(nd)
    writes, store = [], platform.memory.write

    def write(spa, data):
        writes.append((spa, platform.memory.read(spa, len(data)), bytes(data)))
        store(spa, data)

    platform.memory.write = write
    create(nd.region("region0"), ONE, 32 * MIB, mode=mode)
    assert len(writes) == (3 if mode == "sector" else 1)
    found = []
    for number in range(len(writes), -1, -1):
        last = writes[number] if number < len(writes) else None
        lengths = [0, *range(1, 100, 7), 4087, *range(4088, 4096)] if last else [0]
        for length in lengths:
            if last:
                store(last[0], prefix(min(length, len(last[2])))(last[1], last[2]))
            (namespace,) = (one for one in powered(bus, platform).namespaces if one.size)
            assert namespace.enabled
            found.append((number, length, namespace.mode))
        if last:
            store(last[0], last[1])
    whole = {"fsdax": "memory", "devdax": "dax", "sector": "safe"}[mode]
    assert {mode for number, _, mode in found if number == len(writes)} == {whole}
    assert {mode for number, _, mode in found if number < len(writes)} == {"raw"}
