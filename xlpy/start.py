"""Where the program starts: until it reads its command line, and after it has run it, Ctrl-C ends it without a word.

Python would print a traceback of whatever import was under way.
"""

from __future__ import annotations

from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from signal import SIG_DFL, SIGINT, default_int_handler, getsignal, signal

    from xlpy.typing import NoReturn
else:
    from _signal import SIG_DFL, SIGINT, default_int_handler, getsignal, signal  # the module itself imports enum


def main() -> NoReturn:
    """Console script ``xlpy``."""
    if getsignal(SIGINT) is not default_int_handler:  # the caller has it ignored
        from xlpy.cli.main import main as run

        run()
    signal(SIGINT, SIG_DFL)
    from xlpy.cli.main import main as run

    run(lambda on: signal(SIGINT, default_int_handler if on else SIG_DFL))
