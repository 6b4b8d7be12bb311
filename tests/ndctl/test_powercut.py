"""Power fails at every write of every command that changes labels or info blocks.

Whatever the write had stored by then: after the next boot each namespace is one that there was before or is afterwards,
or one whose label is there and whose info block is not. When the labels of a set differ from DIMM to DIMM, Linux has no
region at all until they are repaired: nothing of it is half there.
"""

from __future__ import annotations

import copy
import json

import pytest
from dom0.nvdimm.nd_bank import pair, single
from ndctl.bank import Bank

from xlpy.addr import MIB

ONE, TWO = "11111111-2222-3333-4444-555555555555", "22222222-2222-3333-4444-555555555555"
COMMANDS = (
    (1, "", f"ndctl create-namespace -r region0 -s 32M -m raw -u {TWO}"),
    (2, "", f"ndctl create-namespace -r region0 -s 32M -u {TWO}"),
    (2, "", f"ndctl create-namespace -r region0 -s 32M -m devdax -u {TWO}"),
    (2, "", f"ndctl create-namespace -r region0 -s 32M -m sector -u {TWO}"),
    (1, "", f"ndctl create-namespace -r region0 -s 32M -m sector -u {TWO}"),
    (2, "", "ndctl destroy-namespace -f namespace0.0"),
    (1, "", "ndctl destroy-namespace -f namespace0.0"),
    (2, "", f"ndctl create-namespace -f -e namespace0.0 -m raw -u {TWO}"),
    (2, "", f"ndctl create-namespace -f -e namespace0.0 -m sector -n new -u {TWO}"),
    (2, "", f"ndctl create-namespace -f -e namespace0.0 -s 16M -u {TWO}"),
    (2, "ndctl disable-namespace namespace0.0", f"ndctl write-infoblock namespace0.0 -a 2M -u {TWO}"),
    (2, "ndctl disable-region region0", "ndctl init-labels -f -V 1.2 nmem0"),
    (0, "ndctl disable-region region0", "ndctl init-labels -f nmem0"),
    (2, "ndctl disable-region region0", "ndctl zero-labels nmem0"),
    (0, "", f"ndctl create-namespace -f -e namespace0.0 -m fsdax -u {TWO}"),
)


class PowerCut(Exception):
    """The power has failed."""


class Fuse:
    """Counts writes, and lets one of them store only a part before everything ends.

    Args:
        bank: whose writes.
        at: which write, from 0; beyond the last one nothing happens.
        part: how much of it is stored, from 0 to 1.
    """

    def __init__(self, bank: Bank, at: int, part: float) -> None:
        self.count = 0
        self._at, self._part = at, part
        for target in (bank.platform.memory, *bank.platform.labels.values()):
            self._tap(target)

    def _tap(self, target) -> None:
        write = target.write

        def tapped(place, data):
            self.count += 1
            if self.count == self._at + 1:
                write(place, bytes(data)[: int(len(data) * self._part) // 8 * 8])
                raise PowerCut
            write(place, data)

        target.write = tapped


def prepare(minor: int, before: str, ways: int) -> Bank:
    """A bank with one namespace, unless it has no labels."""
    bank = Bank(pair(32 * MIB) if ways == 2 else single(64 * MIB), minor=minor)
    if minor:
        assert bank(f"ndctl create-namespace -r region0 -s 32M -n first -u {ONE}")[0] == 0
    if before:
        assert bank(before)[0] == 0
    return bank


def told(bank: Bank) -> dict[str, dict]:
    """Namespaces by the uuid of their labels, without what is new each time."""
    bank.reboot()
    rows = json.loads(bank("ndctl list -v")[1] or "[]")
    return {
        row.get("raw_uuid", row.get("uuid", row["dev"])): {key: row.get(key) for key in ("mode", "size", "name", "map")}
        for row in rows
    }


CASES = [(*one, 1) for one in COMMANDS] + [(*COMMANDS[at], 2) for at in (1, 4, 5, 7)]


@pytest.mark.parametrize(("minor", "before", "command", "ways"), CASES)
def test_each_write(minor, before, command, ways):
    start = prepare(minor, before, ways)
    done = copy.deepcopy(start.platform)
    finished = Bank(start.info, done)
    if before:
        finished(before)
    fuse = Fuse(finished, 10**9, 0)
    assert finished(command)[0] == 0
    writes = fuse.count
    assert writes
    old, new = (told(Bank(start.info, copy.deepcopy(one))) for one in (start.platform, pristine(finished)))
    for at in range(writes):
        for part in (0, 0.5):  # all of it is nothing of the next one
            bank = Bank(start.info, copy.deepcopy(start.platform))
            if before:
                bank(before)
            Fuse(bank, at, part)
            with pytest.raises(PowerCut):
                bank(command)
            left = Bank(start.info, pristine(bank))
            found = told(left)
            if ways == 2 and not found and not left.nd.region("region0").bound:
                assert any("missing label" in line for line in left.nd.messages)
                continue
            check(found, old, new, (at, part))


def pristine(bank: Bank):
    """The platform without the taps."""
    for target in (bank.platform.memory, *bank.platform.labels.values()):
        target.__dict__.pop("write", None)
    return copy.deepcopy(bank.platform)


def check(found: dict[str, dict], old: dict[str, dict], new: dict[str, dict], where: object) -> None:
    """Each namespace is an old or a new one, or a new one before its info block, or an old one after it."""
    for uuid, row in found.items():
        known = [one[uuid] for one in (old, new) if uuid in one]
        assert known, (where, uuid, row)
        whole = {one["size"] for one in known}
        assert row in known or row["mode"] == "raw", (where, row, known, whole)
    for uuid in old.keys() & new.keys():
        assert uuid in found, (where, "neither old nor new", uuid)
