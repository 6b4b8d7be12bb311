"""The host memory of running domains, as the stock ``xl`` reports it."""

from __future__ import annotations

import json
import shutil
import subprocess

from xlpy.addr import PAGE, Mfn, Span, spa_of
from xlpy.errors import Constraint
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xlpy.addr import Spa

SECONDS = 30


def users(spans: Sequence[Span[Spa]]) -> list[str]:
    """Running domains whose ``iomem`` has any of this memory, such as ``domain 3 (vm1)``.

    Raises:
        Constraint: there is an ``xl`` and it fails, so that is unknown.
    """
    if shutil.which("xl") is None:
        return []  # without xl nothing starts domains here
    found = []
    for domain in domains():
        config = domain.get("config", {})
        name = config.get("c_info", {}).get("name", "?")
        if any(one.overlaps(span) for one in iomem(config) for span in spans):
            found.append(f"domain {domain.get('domid', '?')} ({name})")
    return found


def domains() -> list[dict[str, Any]]:
    """What ``xl list -l`` prints."""
    try:
        done = subprocess.run(
            ["xl", "list", "-l"], capture_output=True, text=True, timeout=SECONDS, check=False, errors="replace"
        )
        if done.returncode == 0:
            listed: list[dict[str, Any]] = json.loads(done.stdout or "[]")
            return listed
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        reason = str(error)
    raise Constraint(
        f"which domains run cannot be told: xl list -l: {reason}",
        code="XLPY-EXPORT-XL",
        hint="run as root in Dom0; is xenstored running?",
    )


def iomem(config: dict[str, Any]) -> Iterator[Span[Spa]]:
    """The host memory that a configuration in libxl's shape maps."""
    for one in config.get("b_info", {}).get("iomem", ()):
        yield Span(spa_of(Mfn(one["start"])), one["number"] * PAGE)
