"""Terminals: the lowest free number, whatever came and went before; nothing is left when all are closed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xlpy.store import Store
from xlpy.toolstack.domain.terminals import TTY, Terminals


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 12)), max_size=60))
def test_the_lowest_number_that_is_free(steps):
    store = Store(None)
    terminals, taken = Terminals(store), {}
    for opens, domid in steps:
        if opens and domid not in taken:
            number = next(n for n in range(99) if n not in taken.values())
            assert terminals.open(domid) == f"{TTY}{number}"
            taken[domid] = number
        elif not opens:
            terminals.close(domid)
            taken.pop(domid, None)
    for domid in sorted(taken, reverse=True):
        terminals.close(domid)
    rows = store.table("dom0.pts").keys()
    assert len(rows) <= 13  # no more than were ever open, and how many that were
    store.close()


def test_nothing_is_left_in_the_end():
    store = Store(None)
    terminals = Terminals(store)
    for _ in range(2):
        for domid in range(1, 9):
            terminals.open(domid)
        for domid in (3, 1, 8, 2, 4, 7, 6, 5):
            terminals.close(domid)
        for _ in range(8):
            terminals.open(1)
            terminals.close(1)
        assert store.table("dom0.pts").keys() == []
    store.close()
