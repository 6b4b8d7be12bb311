"""One explanation of an error code."""

from __future__ import annotations

from xlpy.records import NamedTuple


class Explanation(NamedTuple):
    """What one error code means.

    status: the exit status. meaning, remedy: sentences. example: lines of a shell of which the last gives it; a line
    that begins with ``#`` describes what cannot be typed. section: of the design, such as ``4.2.3``, or a page of docs.
    """

    code: str
    status: int
    meaning: str
    remedy: str
    example: tuple[str, ...]
    section: str

    def where(self, link: bool = False) -> str:
        """Where to read more."""
        if self.section[0].isdigit():
            page = "[section " + self.section + "](design.md#from-the-designs-sections-to-modules)"
            return page if link else f"section {self.section} of the design"
        return f"[{self.section}]({self.section})" if link else f"docs/{self.section}"
