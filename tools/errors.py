"""docs/errors.md, made from what ``xlpy explain`` says: ``python -m tools.errors`` writes it anew."""

from __future__ import annotations

from pathlib import Path

from xlpy.views.explained import page

PAGE = Path(__file__).parents[1] / "docs" / "errors.md"

if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
