"""Records behave as ``typing.NamedTuple`` does; each case is checked against the real one."""

from __future__ import annotations

import copy
import pickle
import typing
from typing import Generic, TypeVar

import pytest

from xlpy.records import NamedTuple

V = TypeVar("V")


class Ours(NamedTuple):
    """A row."""

    name: str
    size: int = 7
    parts: tuple[str, ...] = ()

    @property
    def doubled(self):
        return self.size * 2


class Real(typing.NamedTuple):
    """A row."""

    name: str
    size: int = 7
    parts: tuple[str, ...] = ()

    @property
    def doubled(self):
        return self.size * 2


class Boxed(NamedTuple, Generic[V]):
    value: V


CALLS = [
    (("a",), {}),
    (("a", 1), {}),
    (("a", 1, ("x",)), {}),
    (("a",), {"parts": ("y",)}),
    ((), {"name": "a", "size": 2}),
    ((), {}),
    (("a", 1, (), 4), {}),
    (("a",), {"name": "b"}),
    (("a",), {"colour": "b"}),
    (("a",), {"_fields": 1}),
]


def outcome(call):
    try:
        return tuple(call())
    except Exception as error:
        return type(error)


@pytest.mark.parametrize(("args", "kwargs"), CALLS)
def test_construction(args, kwargs):
    assert outcome(lambda: Ours(*args, **kwargs)) == outcome(lambda: Real(*args, **kwargs))


@pytest.mark.parametrize("use", [
    lambda kind: repr(kind("a", 1)).partition("(")[2],
    lambda kind: kind("a", 1)._asdict(),
    lambda kind: tuple(kind("a", 1)._replace(size=3)),
    lambda kind: tuple(kind._make(["a", 1, ()])),
    lambda kind: kind._fields,
    lambda kind: kind.__match_args__,
    lambda kind: kind.__doc__,
    lambda kind: kind("a").doubled,
    lambda kind: kind("a")[1:],
    lambda kind: kind("a") == ("a", 7, ()),
    lambda kind: hash(kind("a")),
    lambda kind: sorted([kind("b"), kind("a", 9)])[0].size,
    lambda kind: hasattr(kind("a"), "__dict__"),
])  # fmt: skip
def test_use(use):
    assert use(Ours) == use(Real)


@pytest.mark.parametrize("kind", [Ours, Real])
def test_a_field_that_is_not_there_cannot_be_replaced(kind):
    with pytest.raises((ValueError, TypeError)):  # the standard one's changed with Python 3.13
        kind("a")._replace(colour=1)


@pytest.mark.parametrize("wrong", [
    lambda kind: kind._make(["a", 1, (), 4]),
    lambda kind: setattr(kind("a"), "size", 1),
    lambda kind: kind("a").colour,
])  # fmt: skip
def test_misuse(wrong):
    assert outcome(lambda: wrong(Ours)) == outcome(lambda: wrong(Real))


def test_copies_keep_the_type():
    row = Ours("a", 1, ("x",))
    for other in (copy.copy(row), copy.deepcopy(row), pickle.loads(pickle.dumps(row)), row._replace()):
        assert (type(other), other) == (Ours, row)


def test_patterns_and_generics():
    match Ours("a", 1):
        case Ours(name, size):
            assert (name, size) == ("a", 1)
    boxed: Boxed[int] = Boxed(3)
    assert boxed.value == 3
    assert Boxed[int](4) == (4,)
