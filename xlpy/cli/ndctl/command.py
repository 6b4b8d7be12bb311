"""``xlpy ndctl`` and ``xlpy daxctl`` as commands of xlpy."""

from __future__ import annotations

from xlpy.cli.declare import argument, command
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.cli.env import Env


@command("""
xlpy ndctl list -DRN
xlpy ndctl --like 85 list -u
xlpy -N ndctl destroy-namespace -f namespace1.0
xlpy ndctl disable-region region1 && xlpy ndctl init-labels -f nmem2 && xlpy ndctl enable-region region1
xlpy ndctl create-namespace -r region1 -m fsdax -s 64M -n data
""")
@argument("words", nargs=-1, raw=True, metavar="COMMAND [ARGS]")
def ndctl(env: Env, words: tuple[str, ...]) -> None:
    """Manage the host's NVDIMMs as the real ndctl does: its words, JSON, messages and exit statuses.

    What follows is read as ndctl 76 reads it (with --like 85 in front, as ndctl 85), so `xlpy ndctl COMMAND -h` shows
    the options of a command. Statuses are ndctl's own: 129 for usage, else the low byte of a negative errno. A dry run
    is `xlpy -N ndctl COMMAND`. docs/nvdimm.md has the commands by what the design does with them.
    """
    from xlpy.cli.ndctl.program import run

    run(env, "ndctl", words)


@command("""
xlpy daxctl list
xlpy daxctl list -RDu
""")
@argument("words", nargs=-1, raw=True, metavar="COMMAND [ARGS]")
def daxctl(env: Env, words: tuple[str, ...]) -> None:
    """List device-dax regions and devices, as the real daxctl does.

    What follows is read as daxctl 76 reads it (with --like 85 in front, as daxctl 85). A device stays a device:
    reconfigure-device knows mode devdax only.
    """
    from xlpy.cli.ndctl.program import run

    run(env, "daxctl", words)
