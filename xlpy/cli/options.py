"""Options and arguments that many commands share."""

from __future__ import annotations

from xlpy.cli.declare import argument, option
from xlpy.cli.types import Size

SIZE = Size()

json_option = option("--json", "as_json", is_flag=True, help="Print JSON.")
dry_run_option = option("-n", "--dryrun", "dry_run", is_flag=True, help="Check everything, change nothing.")
domain_argument = argument("domain", shell_complete="domains")
