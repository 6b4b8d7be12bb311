"""Where the program starts: until it reads its command line, and after it has run it, Ctrl-C ends it silently.

Python would print a traceback of whatever import was under way.
"""

from __future__ import annotations

import gc

from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from signal import SIG_DFL, SIGINT, default_int_handler, getsignal, signal

    from xlpy.typing import NoReturn
else:
    from _signal import SIG_DFL, SIGINT, default_int_handler, getsignal, signal  # the module itself imports enum

COLLECT_AFTER = 200_000  # objects; a command is short, and looking for circles among its extents doubles their time


def main() -> NoReturn:
    """Console script ``xlpy``."""
    ignored = getsignal(SIGINT) is not default_int_handler  # by the caller
    if not ignored:
        signal(SIGINT, SIG_DFL)
    gc.set_threshold(COLLECT_AFTER)
    from xlpy import bundle, direct

    bundle.install()
    direct.install("xlpy")
    from xlpy.cli.main import main as run

    if ignored:
        run()
    run(lambda on: signal(SIGINT, default_int_handler if on else SIG_DFL))
