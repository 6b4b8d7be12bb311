"""``xlpy config``: domain configurations, without a host."""

from __future__ import annotations

import sys

from xlpy.cli.declare import argument, command, leave, option
from xlpy.cli.options import json_option
from xlpy.cli.render import json_items
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.cli.env import Env

INVALID = 3


@command("""
xlpy config check *.cfg
xlpy config check --xl-strict --json domain.cfg
""")
@argument("files", nargs=-1, required=True, metavar="FILE...", shell_complete="configurations")
@option("--xl-strict", is_flag=True, help="Judge exactly as xl 4.17 does, quirks included.")
@json_option
def check(env: Env, files: tuple[str, ...], xl_strict: bool, as_json: bool) -> None:
    """Check domain configurations: what is wrong with each, and what it may not mean.

    Unknown keys, ignored values and traps are warnings; the status is 0 when every file can be used, 3 when one cannot.
    """
    from xlpy.toolstack.lint import check_files

    good = True
    items = []
    for result in check_files(files, strict=xl_strict):
        good &= result.valid
        if as_json:
            items.append(result.to_json())
            continue
        for problem in result.errors if env.quiet else (*result.errors, *result.warnings):
            print("\n".join(problem.lines()), file=sys.stderr)
        print(f"{result.file}: {'ok' if result.valid else 'cannot be used'}")
    if as_json:
        json_items("xlpy.config-check/1", items)
    if not good:
        leave(INVALID)
