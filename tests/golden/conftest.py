"""Golden bytes as text that a difference can be read of; ``--regenerate`` writes what is made now."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "bytes"


def as_text(data):
    """Sixteen bytes a line: offset, hexadecimal, ASCII; lines of zeros are left out."""
    lines = []
    for at in range(0, len(data), 16):
        piece = data[at : at + 16]
        if any(piece):
            letters = "".join(chr(one) if 32 <= one < 127 else "." for one in piece)
            lines.append(f"{at:06x}  {piece.hex(' '):<47}  {letters}")
    return "\n".join([f"{len(data)} bytes", *lines, ""])


@pytest.fixture
def golden(request):
    """Compare bytes with those of a name."""

    def compare(name, data):
        path = FOLDER / f"{name}.hex"
        if request.config.getoption("--regenerate"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(as_text(data))
        assert path.is_file(), f"no golden bytes: pytest --regenerate {request.path}"
        assert as_text(data).splitlines() == path.read_text().splitlines(), (
            f"{name}: read the difference; if it is meant, pytest --regenerate {request.path}"
        )

    return compare
