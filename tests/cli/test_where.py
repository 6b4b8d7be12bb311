"""Where the state is kept."""

from __future__ import annotations

import pytest

from xlpy import statedir
from xlpy.errors import UsageError

HOME = {"HOME": "/home/you"}


@pytest.mark.parametrize(
    ("root", "variables", "where"),
    [
        (None, HOME, "/home/you/.local/state/xlpy"),
        (None, {**HOME, "XDG_STATE_HOME": "/state"}, "/state/xlpy"),
        (None, {**HOME, "XDG_STATE_HOME": "/state", "XLPY_ROOT": "/ci"}, "/ci"),
        ("/mine", {**HOME, "XDG_STATE_HOME": "/state", "XLPY_ROOT": "/ci"}, "/mine"),
        (None, {**HOME, "XDG_STATE_HOME": "", "XLPY_ROOT": ""}, "/home/you/.local/state/xlpy"),
    ],
)
def test_the_nearest_wins(monkeypatch, root, variables, where):
    for name in ("HOME", "XDG_STATE_HOME", "XLPY_ROOT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert statedir.locate(root) == where


def test_nothing_says(monkeypatch):
    for name in ("HOME", "XDG_STATE_HOME", "XLPY_ROOT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="neither HOME nor XDG_STATE_HOME nor XLPY_ROOT"):
        statedir.locate(None)


def test_an_empty_name_is_not_the_usual_place(xlpy):
    """An unset variable of a script must not reach the host at home."""
    found = xlpy("--root", "", "host", "reset", status=2)
    assert "the state directory's name is empty" in found.err
