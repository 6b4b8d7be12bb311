"""What `acpi eval` takes for arguments: packages in packages, and no deeper than is documented."""

from __future__ import annotations

import pytest

from xlpy.cli.aml import _argument
from xlpy.errors import UsageError
from xlpy.limits import AML_NESTING


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("[]", []),
        ("[1,0x2]", [1, 2]),
        ("[ 1 , [2,[3,str:x]], hex:00ff ]", [1, [2, [3, "x"]], b"\0\xff"]),
        ("[[],[]]", [[], []]),
    ],
)
def test_packages(word, value):
    assert _argument(word) == value


def nested(depth):
    return "[" * depth + "]" * depth


def test_both_sides_of_the_limit(xlpy):
    value = _argument(nested(AML_NESTING))
    for _ in range(AML_NESTING - 1):
        (value,) = value
    assert value == []
    for depth in (AML_NESTING + 1, 100_000):
        with pytest.raises(UsageError, match=f"nested deeper than {AML_NESTING} levels"):
            _argument(nested(depth))
    assert "nested deeper" in xlpy("acpi", "eval", "none", "\\X", nested(3000), status=2).err


@pytest.mark.parametrize("word", ["[", "]", "[1", "[1,]", "[,]", "[[]", "[]]", "x", "uuid:1", "hex:0"])
def test_what_is_none(word):
    with pytest.raises(UsageError, match="not an AML argument"):
        _argument(word)
