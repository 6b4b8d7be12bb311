"""Namespaces from labels: cookies, and what each kind of damage leads to (all rows seen on Linux 6.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from xlpy.addr import MIB, Dpa, Spa
from xlpy.dom0.nvdimm.labels import ABSTRACTIONS, TYPE_PMEM, Label, LabelAreaContent, empty_index
from xlpy.dom0.nvdimm.labelset import Assembly, LabelledMapping, Member, assemble, cookies

if TYPE_CHECKING:
    from collections.abc import Callable

COOKIE = 0xBC02EEB8F5432444
PFN = next(guid for guid, name in ABSTRACTIONS.items() if name == "pfn")


FOUR = [Member(1 << 16 + 8 * n, s & 0xFFFFFFFF, 0xABCD, 0xE007, 0x0A) for n, s in enumerate((~0, ~1, ~0x100, ~0x101))]
TWO = [Member(0, 0xB10A0000, 0x8980, 0x4917, 0xA2), Member(0x1000, 0xB20A0000, 0x8980, 0x4917, 0xA2)]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ([Member(0, 0x123456, 0x8086)], (0x002468AC00123456, 0x00BA90120012B4DC)),
        ([Member(0, 0x123457, 0x8086)], (0x002468AE00123457, 0x00BA901C0012B4DD)),
        ([Member(0, 0xB0767681, 0x5853)], (0x60ECED02B0767681, 0xE4A3BBF5B076CED4)),
        (TWO, (0x8A50400063141000, COOKIE)),
        (TWO[::-1], (0x8A50400063141000, COOKIE)),
        (FOUR, (0x0C0FFADB0100FEFB, 0xA76C6907811FAE57)),
    ],
)
def test_cookies(members: list[Member], expected: tuple[int, int]) -> None:
    assert cookies(members)[:2] == expected


def test_the_old_cookie_sorts_by_bytes() -> None:
    assert cookies(FOUR).alt == 0x0803F6D70100FEFB


def share(number: int, position: int, **fields: object) -> Label:
    uuid = bytes([number]) * 16
    dpa = (number - 1) * 16 * MIB
    return Label(uuid, "", 0, 2, position, COOKIE, 512, dpa, 16 * MIB, number, 0, TYPE_PMEM, PFN)._replace(**fields)


Shares = dict[str, list[Label] | None]


def region(shares: Shares, conflict: str | None = None) -> list[LabelledMapping]:
    """Mapping 0 is nmem1 at region offset 0x1000, mapping 1 is nmem0 at 0: order and offset disagree, as seen."""

    def area(name: str) -> LabelAreaContent | None:
        labels = shares[name]
        if labels is None:
            return LabelAreaContent(0, (None, None), None, (), None, ())
        return LabelAreaContent(0, (empty_index(1 << 17, 0), None), 0, tuple(labels), conflict, ())

    return [
        LabelledMapping("nmem1", area("nmem1"), Dpa(0), 64 * MIB),
        LabelledMapping("nmem0", area("nmem0"), Dpa(0), 64 * MIB),
    ]


def seen_at(base: int, shares: Shares, conflict: str | None = None) -> Assembly:
    return assemble(Spa(base), region(shares, conflict), cookies(TWO))


def healthy() -> Shares:
    return {"nmem1": [share(1, 0), share(2, 0)], "nmem0": [share(1, 1), share(2, 1)]}


def changed(*where: str, **fields: object) -> Callable[[Shares], None]:
    """Change namespace 2's label on these devices."""

    def apply(shares: Shares) -> None:
        for name in where:
            labels = shares[name]
            assert labels is not None
            labels[1] = labels[1]._replace(**fields)

    return apply


def lost(*where: str) -> Callable[[Shares], None]:
    def apply(shares: Shares) -> None:
        for name in where:
            shares[name].pop()  # type: ignore[union-attr]

    return apply


def blank(*where: str) -> Callable[[Shares], None]:
    return lambda shares: shares.update(dict.fromkeys(where))


def swapped(shares: Shares) -> None:
    shares["nmem0"], shares["nmem1"] = shares["nmem1"], shares["nmem0"]


def copied(shares: Shares) -> None:
    shares["nmem1"] = shares["nmem0"]


def test_a_healthy_set() -> None:
    seen = seen_at(1 << 32, healthy())
    assert seen.error is None
    assert [(n.start, n.size, n.abstraction) for n in seen.namespaces] == [
        (1 << 32, 32 * MIB, "pfn"),
        ((1 << 32) + 32 * MIB, 32 * MIB, "pfn"),
    ]


@pytest.mark.parametrize(
    ("damage", "namespaces", "error"),
    [
        pytest.param(lost("nmem0"), 0, "nmem0 missing label", id="label gone on mapping 1"),
        pytest.param(lost("nmem1"), 1, None, id="label gone on mapping 0"),
        pytest.param(blank("nmem0"), 0, "nmem0 missing label", id="no index on mapping 1"),
        pytest.param(blank("nmem1"), 0, None, id="no index on mapping 0"),
        pytest.param(blank("nmem0", "nmem1"), 0, None, id="no index at all"),
        pytest.param(changed("nmem0", "nmem1", isetcookie=1), 1, None, id="cookie wrong on both"),
        pytest.param(changed("nmem1", isetcookie=1), 1, None, id="cookie wrong on mapping 0"),
        pytest.param(changed("nmem0", isetcookie=1), 0, "nmem0 missing label", id="cookie wrong on mapping 1"),
        pytest.param(changed("nmem0", type=bytes(16)), 0, "nmem0 missing label", id="type wrong on mapping 1"),
        pytest.param(changed("nmem0", "nmem1", type=bytes(16)), 0, "nmem1 missing label", id="type wrong on both"),
        pytest.param(changed("nmem0", "nmem1", nlabel=3), 0, "nmem1 missing label", id="nlabel wrong"),
        pytest.param(copied, 0, "nmem1 missing label", id="area copied to the other device"),
        pytest.param(swapped, 2, None, id="areas swapped"),
        pytest.param(changed("nmem1", dpa=64 * MIB), 1, None, id="dpa beyond the mapping"),
        pytest.param(changed("nmem0", rawsize=49 * MIB), 0, "nmem0: namespace", id="tail beyond the mapping"),
        pytest.param(changed("nmem0", rawsize=8 * MIB), 2, None, id="sizes differ"),
        pytest.param(changed("nmem0", "nmem1", flags=9), 2, None, id="flags"),
        pytest.param(changed("nmem0", "nmem1", abstraction=b"\7" * 16), 2, None, id="unknown abstraction"),
        pytest.param(changed("nmem0", "nmem1", isetcookie=0x8A50400063141000), 2, None, id="alternative cookie"),
    ],
)
def test_damage(damage: Callable[[Shares], None], namespaces: int, error: str | None) -> None:
    shares = healthy()
    damage(shares)
    seen = seen_at(1 << 32, shares)
    assert len(seen.namespaces) == namespaces
    assert (seen.error or "").startswith(error or "")
    assert (seen.error is None) == (error is None)


def test_a_device_with_a_conflict_fails_the_region() -> None:
    seen = seen_at(0, healthy(), "slots 0 and 1 overlap")
    assert seen.error == "nmem1: is disabled, failing probe: slots 0 and 1 overlap"


def test_different_sizes_add_up() -> None:
    shares = healthy()
    changed("nmem0", rawsize=8 * MIB)(shares)
    assert seen_at(0, shares).namespaces[1].size == 24 * MIB


def test_an_unknown_abstraction_is_no_use_that_linux_knows() -> None:
    shares = healthy()
    changed("nmem0", "nmem1", abstraction=b"\7" * 16)(shares)
    assert seen_at(0, shares).namespaces[1].abstraction == "unknown"
