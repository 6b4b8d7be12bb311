"""A real Linux in every situation that a backing can be in: what xlpy says of it there, byte for byte."""

from __future__ import annotations

import pytest
from realhost.conftest import FAST
from realhost.guest import Told, wrong
from realhost.situations import RACES, SITUATIONS
from realhost.table import PAGE, rows

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("situation", [s for s in SITUATIONS if s.group in FAST], ids=lambda s: s.name)
def test_verdict(told, situation):
    assert wrong(told, situation) == ""


@pytest.mark.parametrize("race", RACES, ids=lambda race: race.name)
def test_race(told, race):
    """(what happened did happen, the extents are the same) while nobody holds the file, and while it is held."""
    if race.group in FAST:
        assert [race.free, race.held] == [
            next((answer[1:] for answer in told.told(word) if answer[0] == race.name), None)
            for word in ("race", "held")
        ]


def test_the_guest_was_put_into_every_situation(told):
    assert told.told("failed") == []
    assert told.words.get("dmesg", []) == []


@pytest.mark.parametrize(("start", "found"), [(0x4000_0000, "ram.img"), (0x1_0000_0000, "nv.img")])
def test_addresses_lead_to_images(tmp_path, start, found):
    """The judge itself: it looks where it says."""
    (tmp_path / "told").write_text('region ["ACPI.NFIT", "0x100000000"]\ncomplete\n')
    for name in ("ram.img", "nv.img"):
        with (tmp_path / name).open("wb") as file:
            file.seek(0x4000_0000 if name == "ram.img" else 0)
            file.write(name.encode())
    assert Told(tmp_path).read(start, len(found)) == found.encode()


def test_the_table_in_the_documentation_is_current():
    """`python -m realhost.table` (in tests/) makes it."""
    assert PAGE.read_text().partition("<!-- table -->\n")[2] == "\n".join(rows()) + "\n"
