"""``xlpy explain``: what an error code means, and what to do."""

from __future__ import annotations

from xlpy.cli.declare import argument, command
from xlpy.cli.options import json_option
from xlpy.cli.render import json_document, json_items, table
from xlpy.cli.show import out
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.cli.env import Env


@command("""
xlpy explain XLPY-PMEM-HOLE
xlpy explain pmem-hole
xlpy explain
""")
@argument("code", required=False, shell_complete="codes")
@json_option
def explain(env: Env, code: str | None, as_json: bool) -> None:
    """Explain an error code: what it means, an example that gives it, what to do; without one, list all codes.

    Errors tell their code with --json. docs/errors.md has all of them on one page.
    """
    from xlpy.views.explained import explanations, find

    if code is None:
        known = explanations().values()
        if as_json:
            json_items("xlpy.explain/1", [one._asdict() for one in known])
        else:
            table(env, ("CODE", "STATUS", "MEANING"), [(one.code, one.status, one.meaning) for one in known])
        return
    found = find(code)
    if as_json:
        json_document("xlpy.explain/1", items=[found._asdict()])
        return
    out(
        f"{found.code} (exit status {found.status}; {found.where()})",
        "",
        found.meaning,
        "",
        f"what to do: {found.remedy}",
        "",
        "an example that gives it:",
        *(f"  {line}" for line in found.example),
    )
