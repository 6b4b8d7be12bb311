"""Page-size accounting and the inverse table."""

import pytest

from xlpy.abi import P2M_RAM_BROKEN, P2M_RAM_RW
from xlpy.hypervisor.linear import LinearMap, LinearPiece
from xlpy.hypervisor.p2m import M2P, P2M, entries

G, M2 = 1 << 18, 1 << 9


@pytest.mark.parametrize(
    ("gfn", "mfn", "count", "expected"),
    [
        (0, 0, 1, (1, 0, 0)),
        (0x100000, 0x200000, G, (0, 0, 1)),  # both 1 GiB aligned
        (0x100000, 0x200000 + M2, G, (0, 512, 0)),  # congruent modulo 2 MiB only
        (0x100000, 0x200001, G, (G, 0, 0)),  # not congruent
        (0x100000, 0x200000, G + 1, (1, 0, 1)),
        (0x100000 - M2, 0x200000 - M2, G + M2, (0, 1, 1)),
        (0x100001, 0x200001, G, (512, 511, 0)),  # congruent modulo 1 GiB, but no whole aligned 1 GiB inside
        (0x100000, 0x300000, 6 << 28, (0, 0, 6144)),  # 6 TiB
        (3, 515, 1024, (512, 1, 0)),
    ],
)
def test_entry_counts(gfn: int, mfn: int, count: int, expected: tuple[int, int, int]) -> None:
    assert entries(gfn, mfn, count) == expected
    assert expected[0] + expected[1] * M2 + expected[2] * G == count


def test_counts_are_kept_apart_for_ram_and_pmem() -> None:
    ram, pmem = LinearMap(), LinearMap()
    ram.add(0, 0xA0, 0x1000, P2M_RAM_RW)
    pmem.add(0x100000, 0x100000 + G, 0x40000000, P2M_RAM_RW)
    pmem.add(0x180000, 0x180003, 0x50000000, P2M_RAM_RW)
    table = P2M(ram, pmem)
    assert table.entry_counts(pmem=False) == (0xA0, 0, 0)
    assert table.entry_counts(pmem=True) == (3, 0, 1)
    assert table.lookup(0x10) == (0x1010, P2M_RAM_RW, False)
    assert table.lookup(0x100005) == (0x40000005, P2M_RAM_RW, True)
    assert table.lookup(0xA0) is None
    pmem.retag(0x100005, 0x100006, P2M_RAM_BROKEN)
    mapping = table.lookup(0x100005)
    assert mapping is not None
    assert mapping.broken
    assert table.entry_counts(pmem=True)[2] == 0  # the superpage was split


def test_inverse() -> None:
    one, two = LinearMap(), LinearMap()
    one.add_columns([100, 200], [110, 205], [5000, 4000], [0, 0])
    two.add(100, 103, 4500, 0)
    table = M2P.inverse([(1, one), (2, two)])
    assert list(table) == [
        LinearPiece(4000, 4005, 200, 1),
        LinearPiece(4500, 4503, 100, 2),
        LinearPiece(5000, 5010, 100, 1),
    ]
    assert table.lookup(5003) == (103, 1)
    with pytest.raises(ValueError):  # a page cannot have two owners
        M2P.inverse([(1, one), (2, one)])
