"""How much work something is, counted and not timed: a busy machine counts the same."""

from __future__ import annotations

import sys


def calls(act) -> int:
    """How many functions are called, those of C included, while ``act`` runs."""
    count = 0

    def profile(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        act()
    finally:
        sys.setprofile(before)
    return count
