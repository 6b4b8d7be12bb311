"""``xlpy record`` and ``replay``: a bug report in one file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from xlpy.cli.declare import argument, command, leave, option
from xlpy.cli.options import json_option
from xlpy.cli.render import json_document
from xlpy.cli.show import out
from xlpy.errors import Conflict, Exit, UsageError
from xlpy.outputs import require_place
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.cli.env import Env

NOT_FOUND, NOT_RUN = 127, 126  # as a shell says it


@command("""
xlpy record bug.xlpyrec -- xlpy create configs/device.cfg
xlpy record again.xlpyrec -- sh -c 'xlpy list; xlpy map quickstart'
""")
@argument("file", metavar="FILE")
@argument("words", nargs=-1, metavar="-- COMMAND...", required=True)
@json_option
def record(env: Env, file: str, words: tuple[str, ...], as_json: bool) -> None:
    """Run a command, and record every xlpy command that it runs: a bug report in one file.

    FILE gets the host as it was (media and memory without their holes), configurations and other files that were read,
    the command lines, clocks and random numbers, what programs changed on media, and the state after each command.
    `xlpy replay FILE` does it again, on another machine too. The exit status is that of COMMAND. Look before you give
    the file away: it holds what guests have stored.
    """
    from xlpy.cli.main import RECORDING
    from xlpy.cli.recording import archive
    from xlpy.statedir import locate
    from xlpy.views.doctor import examine

    if RECORDING in os.environ:
        raise UsageError("this is recorded already", hint="xlpy record FILE -- COMMAND, once")
    require_place(file)
    folder = Path(tempfile.mkdtemp(prefix="xlpy-record-"))
    variables = os.environ | {RECORDING: str(folder)}
    if env.root is not None:
        variables["XLPY_ROOT"] = locate(env.root)
    line = [sys.executable, "-m", "xlpy", *words[1:]] if words[0] == "xlpy" else list(words)
    try:
        about = examine(locate(env.root), None)
        try:
            status = subprocess.call(line, env=variables)
        except FileNotFoundError:
            env.warn(f"{words[0]}: no such program")
            status = NOT_FOUND
        except PermissionError as error:
            env.warn(f"{words[0]}: {error.strerror}")
            status = NOT_RUN
        except KeyboardInterrupt:
            status = Exit.INTERRUPTED
        count = archive.write(folder, file, about)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    status = 128 - status if status < 0 else status  # by a signal, as a shell says it
    if as_json:
        json_document("xlpy.record/1", path=file, commands=count, status=status)
    env.note(f"{count} command{'s' * (count != 1)} in {file} ({Path(file).stat().st_size >> 10} KiB)")
    if not count:
        env.warn("nothing was recorded: COMMAND has run no xlpy")
    leave(status)


@command("""
xlpy record bug.xlpyrec -- xlpy create configs/device.cfg
xlpy replay bug.xlpyrec
xlpy replay bug.xlpyrec --keep replayed
""")
@argument("file", metavar="FILE")
@option("--keep", metavar="DIR", help="Replay in this new folder, and leave it for a look.")
@json_option
def replay(env: Env, file: str, keep: str | None, as_json: bool) -> None:
    """Do again what was recorded, in a folder of its own, and compare output and state after each command.

    Nothing outside of that folder is changed, no program is started and no host is touched. `boot`, `migrate`, `export`
    and `import` are not run again: their effect is put back. Exit status 10: a command does not match; it tells which.
    """
    from xlpy.cli.main import run
    from xlpy.cli.recording.archive import opened
    from xlpy.cli.recording.player import Player

    folder = _folder(keep)
    differs, count = None, 0
    try:
        with opened(file) as recording:
            if not as_json:
                _tell_versions(env, recording.index)
            for number, done, difference in Player(recording, folder, run, env.note).play():
                count, differs = number, difference
                if not as_json:
                    how = "differs" if difference else {"done": "the same"}.get(done["kind"], done["kind"])
                    out(f"{number:>4}  {how:<8}  xlpy {' '.join(done['words'])}")
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        json_document("xlpy.replay/1", path=file, commands=count, differs=differs and differs._asdict(), kept=keep)
    elif differs:
        out(
            f"command {differs.number} does not match: xlpy {' '.join(differs.words)}",
            *(f"  {d}" for d in differs.details),
        )
    elif not count:
        env.note("there are no commands in it")
    if keep is not None:
        env.note(f"the folder is kept: {keep}")
    leave(Exit.FINDINGS if differs else 0)


def _folder(keep: str | None) -> str:
    if keep is None:
        return tempfile.mkdtemp(prefix="xlpy-replay-")
    try:
        Path(keep).mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise Conflict(f"{keep}: File exists", hint="--keep names a new folder") from None
    return keep


def _tell_versions(env: Env, index: dict[str, object]) -> None:
    """What is other here than where it was recorded, and may be why something differs."""
    import platform

    from xlpy import __version__

    about = index.get("about")
    then = about.get("python", {}).get("version") if isinstance(about, dict) else None
    for what, was, now in (("xlpy", index.get("xlpy"), __version__), ("Python", then, platform.python_version())):
        if was != now:
            env.note(f"note: recorded with {what} {was}, this is {now}")
