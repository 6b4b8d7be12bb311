"""Running commands in this process, against a host of the test's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from xlpy.cli.main import run

CONFIGS = Path(__file__).parents[2] / "configs"


class Result(NamedTuple):
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def xlpy(host_root, monkeypatch, capsys):
    """Run one command line; the test fails when the status is not the expected one."""
    monkeypatch.setenv("XLPY_ROOT", str(host_root))

    def call(*words, status=0):
        capsys.readouterr()
        got = run([str(word) for word in words])
        shown = capsys.readouterr()
        assert got == status, shown.err
        return Result(got, shown.out, shown.err)

    return call


@pytest.fixture
def configs():
    """The folder of example configurations."""
    return CONFIGS
