"""The options in front of the command, which all commands share."""

from __future__ import annotations

from xlpy.cli.declare import command, option
from xlpy.cli.env import Env
from xlpy.cli.types import Choice
from xlpy.xen_version import VERSIONS


@command("""
xlpy create configs/quickstart.cfg
xlpy map quickstart
""")
@option("--root", metavar="DIR", help="State directory of the host (else XLPY_ROOT, else the XDG state directory).")
@option("-v", "--verbose", count=True, help="Tell each step; twice: Xen's console too.")
@option("-q", "--quiet", is_flag=True, help="No warnings or notes, only errors.")
@option("-N", "dry_run", is_flag=True, help="Dry run: check everything, change nothing.")
@option(
    "--xen",
    type=Choice(VERSIONS),
    help="Which Xen: of a host that is made, and by which configurations are judged (else XLPY_XEN, the host's, 4.17).",
)
@option("--color", type=Choice(["auto", "always", "never"]), default="auto", help="Colour and pictures.")
@option("--debug", is_flag=True, help="Show a traceback for unexpected errors.")
def shared(root: str | None, verbose: int, quiet: bool, dry_run: bool, xen: str | None, color: str, debug: bool) -> Env:
    """Xen's vNVDIMM design on any machine: an xl-style command over an emulated NVDIMM host."""
    return Env(root=root, verbose=verbose, quiet=quiet, dry_run=dry_run, color=color, debug=debug, xen=xen)
