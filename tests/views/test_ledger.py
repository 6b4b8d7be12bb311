"""The capacity ledger: it adds up exactly, on every kind of namespace, and its answers are what Linux would lay out."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlpy.addr import GIB, KIB, MIB, PAGE, TIB, Spa, Span
from xlpy.dom0.nvdimm.fsdax import XEN_TABLES, plan_fsdax
from xlpy.errors import Constraint, NotFound
from xlpy.host import Host
from xlpy.toolstack.backing.usable import odd
from xlpy.views.ledger import accounts
from xlpy.views.wanted import BACK, FRONT, NamespacePlace, plans

MACHINES = Path(__file__).parents[2] / "configs" / "machines"


@pytest.fixture(scope="module", params=["default", "refusals", "interleaved"])
def machine(request, tmp_path_factory, made_host):
    if request.param == "default":
        return made_host
    root = tmp_path_factory.mktemp("ledger") / "host"
    Host.make(root, MACHINES / f"{request.param}.yaml").store.close()
    return root


def check(account):
    """Every total is the sum of the rows above it, and the ledger ends with one."""
    for at, row in enumerate(account.rows):
        if row.total:
            assert row.size == sum(one.size for one in account.rows[:at] if not one.total), (account.name, row)
        else:
            assert row.formula, row
            assert row.source, row
    assert account.rows[-1].total


def test_every_namespace_partition_and_file_adds_up(machine):
    host = Host.open(machine)
    for account in accounts(host):
        check(account)
        assert min(row.size for row in account.rows if row.total) >= 0
    for device in host.dom0.devices:
        (account,) = accounts(host, device.name)
        check(account)
        assert account.guest == device.size
    for mount in host.dom0.disk_mounts:
        for path, inode in host.dom0.files(mount):
            (account,) = accounts(host, path)
            check(account)
            assert (account.path, account.guest) == (path, inode.size)
    host.store.close()


def test_formulas_are_numbers(made_host):
    """Where a formula is plain arithmetic, it gives the bytes of its row."""
    host = Host.open(made_host)
    (account,) = accounts(host, "/mnt/pmem0/vm1.img")
    names = {"up": lambda value, unit: -(-value // unit) * unit}
    checked = 0
    for row in account.rows:
        text = row.formula.replace(" x ", " * ").removesuffix(" pages")
        if row.formula and all(c in "0123456789+-*(), up" for c in text):
            assert abs(row.size) == eval(text, names), row
            checked += 1
    assert checked >= 6
    host.store.close()


def test_what_is_not_there(made_host):
    host = Host.open(made_host)
    for name in ("namespace9.9", "/dev/pmem7", "/mnt/pmem0/nothing"):
        with pytest.raises(NotFound):
            accounts(host, name)
    host.store.close()


@given(
    wanted=st.integers(1, 8 * GIB // PAGE).map(lambda n: n * PAGE) | st.sampled_from([16 * MIB, 100 * GIB, 6 * TIB]),
    ways=st.sampled_from([1, 2, 3, 6]),
    start=st.sampled_from([4 * GIB, 4 * GIB + 2 * MIB, 0x440000000]),
)
def test_a_plan_gives_exactly_what_is_wanted_and_nothing_smaller_does(wanted, ways, start):
    place = NamespacePlace(Spa(start), 16 * MIB if 16 % ways == 0 else 16 * MIB * ways)
    for plan in plans(wanted, place, ("fsdax",)):
        step = next(n for n in itertools.count(place.align, place.align) if n % plan.align == 0)
        assert plan.size % step == 0

        def left(size, plan=plan):
            try:
                block = plan_fsdax(
                    Span(Spa(start), size),
                    bytes(16),
                    on_media=plan.map == "dev",
                    align=plan.align,
                    costs=XEN_TABLES,
                )
            except Constraint:
                return 0
            return size - block.dataoff - block.end_trunc

        assert left(plan.size) == plan.device
        need = wanted
        if plan.partition is None:
            assert plan.device == wanted
        else:
            assert plan.partition == (FRONT, wanted)
            assert plan.device >= FRONT + wanted + BACK
            need = FRONT + wanted + BACK
        assert left(plan.size - step) < need


def test_the_smallest_comes_first_and_only_exact_ones_for_devdax():
    found = plans(100 * GIB)
    assert [plan.size for plan in found] == sorted(plan.size for plan in found)
    assert (found[0].size, found[0].device, found[0].partition) == (101 * GIB, 100 * GIB, None)
    assert all(plan.partition is None for plan in plans(100 * GIB, modes=("devdax",)))


@pytest.mark.parametrize("wanted", [0, 1, PAGE - 1, PAGE + 512])
def test_only_whole_pages(wanted):
    with pytest.raises(Constraint, match="it comes in pages of 4096"):
        plans(wanted)


def test_a_region_that_is_too_small():
    with pytest.raises(Constraint, match="no namespace of at most 64M leaves 64M"):
        plans(64 * MIB, NamespacePlace(most=64 * MIB))
    assert plans(60 * MIB, NamespacePlace(most=64 * MIB))


@pytest.mark.parametrize(
    ("size", "labels", "words"),
    [
        (16 * MIB - PAGE, False, None),  # units of 4 KiB below
        (16 * MIB, False, None),
        (16 * MIB + PAGE, False, "cannot reconfigure it"),
        (498 * MIB, False, "498M is not a multiple of 16M"),
        (498 * MIB, True, "with labels ndctl uses 496M of it"),
        (512 * MIB, True, None),
        (64 * KIB, True, None),
    ],
)
def test_sizes_that_linux_cannot_use_again(size, labels, words):
    found = odd(size, labels)
    assert found is None if words is None else words in found[0]
