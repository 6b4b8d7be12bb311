"""The explanation of every stable error code: the text of ``xlpy explain`` and of docs/errors.md."""

from __future__ import annotations

from xlpy.errors import NotFound
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.views.explained.record import Explanation

PREFIX = "XLPY-"


def explanations() -> dict[str, Explanation]:
    """All of them by code, in the order of subjects."""
    from xlpy.views.explained import backings, boot, export, ext4, firmware, general, guests

    subjects = (general, backings, ext4, guests, firmware, boot, export)
    return {one.code: one for subject in subjects for one in subject.CODES}


def find(code: str) -> Explanation:
    """What one code means; case and the prefix may be left out.

    Raises:
        NotFound: there is no such code; the nearest ones are named.
    """
    known = explanations()
    wanted = code.upper()
    wanted = wanted if wanted.startswith(PREFIX) else PREFIX + wanted
    if wanted in known:
        return known[wanted]
    from difflib import get_close_matches

    near = get_close_matches(wanted, known, 3, 0.5)
    raise NotFound(
        f"there is no error code {wanted}",
        hint=f"did you mean {', '.join(near)}?" if near else "xlpy explain lists all codes",
    )


def page() -> str:
    """docs/errors.md."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    from xlpy.views.explained import backings, boot, export, ext4, firmware, general, guests

    yield "# Error codes"
    yield ""
    yield "Every error has a stable code, which `--json` tells, and an exit status. `xlpy explain CODE` prints what"
    yield "stands here; this page is made by `python -m tools.errors`. Sections are those of the vNVDIMM design,"
    yield "or pages beside this one. An example that cannot be typed is described, behind a #."
    for subject in (general, backings, ext4, guests, firmware, boot, export):
        yield ""
        yield f"## {subject.TITLE}"
        for one in subject.CODES:
            yield ""
            yield f"### {one.code}"
            yield ""
            yield f"Exit status {one.status}; {one.where(link=True)}. {one.meaning}"
            yield ""
            yield f"What to do: {one.remedy}"
            yield ""
            yield from (f"    {line}" for line in one.example)
