"""``xlpy run``: many command lines in one process, which loads everything once and keeps the host open."""

from __future__ import annotations

import shlex
import sys

from xlpy import limits
from xlpy.cli.declare import argument, command, leave
from xlpy.cli.kept import Kept
from xlpy.cli.show import err, flush
from xlpy.errors import UsageError
from xlpy.inputs import read_file, read_stream
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.cli.env import Env

RENEW = ("host", "boot")  # commands after which a host is not what it was
running = False  # a script that runs scripts has no end that can be foreseen


@command("""
printf 'create configs/device.cfg\\nlist\\n' > commands.txt && xlpy run commands.txt
printf 'pause quickstart\\nlist\\n' | xlpy run -
""")
@argument("script", metavar="FILE|-")
def run_script(env: Env, script: str) -> None:
    """Run the command lines of a file, one after the other, in one process; - is standard input.

    A line is what stands behind `xlpy`, with a shell's quotes; `#` begins a comment. The first line that fails ends the
    run, with its exit status. Options before `run` (such as --root) hold for every line that has none of its own.
    """
    from xlpy.cli.main import run

    global running
    if running:
        raise UsageError("a script cannot run a script", hint="write its lines into this one")
    running = True
    kept = Kept(env.options())
    try:
        for number, words in _lines(_read(script), script):
            status = run(words, kept)
            flush()
            if words[0] in RENEW:
                kept.close()
            if status:
                err(f"  {script}:{number}: xlpy {shlex.join(words)}")
                leave(status)
    finally:
        running = False
        kept.close()


def _read(script: str) -> str:
    try:
        if script == "-":
            data = read_stream(sys.stdin.buffer, "standard input", limits.SCRIPT)
        else:
            data = read_file(script, limits.SCRIPT)
        return data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{script}: byte {error.start} is not UTF-8", hint="save it as UTF-8") from None


def _lines(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """(number from 1, words) of each line that has words."""
    for number, line in enumerate(text.splitlines(), 1):
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise UsageError(f"{name}:{number}: {error}".replace("No ", "no "), hint="close the quotes") from None
        if words[:1] == ["xlpy"]:
            words = words[1:]
        if words:
            yield number, words
