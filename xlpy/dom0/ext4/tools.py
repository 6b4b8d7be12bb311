"""Running the programs of e2fsprogs and xfsprogs on file systems inside files, without root."""

from __future__ import annotations

import os

from xlpy.dom0.ext4 import MAX_NAME
from xlpy.errors import Constraint, FormatError, HostTrouble, MissingTool, UsageError
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import BinaryIO

    Act = Callable[[], tuple[int, str, str]]
    Observer = Callable[[str, str, Act], tuple[int, str, str]]

_SYSTEM_FOLDERS = ("/sbin", "/usr/sbin", "/usr/local/sbin")  # not in the PATH of ordinary users
_PACKAGES = {"mkfs.xfs": "xfsprogs"}  # of others than e2fsprogs
_NO_SPACE = ("could not allocate", "no free space", "no space")

observer: Observer | None = None  # runs programs in our place: called with the program, the image, and what runs it


def find_program(program: str) -> str:
    """The path of a program; MissingTool when it is not installed."""
    for folder in (*os.environ.get("PATH", "").split(os.pathsep), *_SYSTEM_FOLDERS):
        candidate = os.path.join(folder or ".", program)  # noqa: PTH118 - pathlib would double the start-up time
        if os.access(candidate, os.X_OK) and not os.path.isdir(candidate):  # noqa: PTH112
            return candidate
    raise MissingTool(program, _PACKAGES.get(program, "e2fsprogs"))


class Interrupted(HostTrouble):
    """A program that was changing a file system was killed."""

    code = "XLPY-EXT4-INTERRUPTED"


def run(
    hold: int,
    program: str,
    *args: str,
    image: str,
    script: str = "",
    environment: Mapping[str, str] | None = None,
    inherited: Sequence[int] = (),
) -> tuple[int, str, str]:
    """Run a program that changes an image.

    Its streams are memory files, not pipes: should this process be killed, the program neither reads half a command nor
    dies of a broken pipe, but ends its work.

    Args:
        hold: descriptor that the program inherits: of a lock that it keeps even when this process is killed, or of
            what it works on.
        image: path of what it changes.
        script: standard input.
        environment: variables in addition to those of this process.
        inherited: other descriptors that the program gets.

    Returns:
        exit status, standard output, standard error; messages are English.

    Raises:
        MissingTool: it is not installed. Interrupted: it was killed.
    """

    def act() -> tuple[int, str, str]:
        return _run((hold, *inherited), [program, *args], script, environment)

    return act() if observer is None else observer(program, image, act)


def _run(
    kept: Sequence[int], words: Sequence[str], script: str, environment: Mapping[str, str] | None
) -> tuple[int, str, str]:
    import signal
    import subprocess

    program = words[0]
    command = [find_program(program), *words[1:]]
    with _memory(script) as source, _memory() as output, _memory() as errors:
        status = subprocess.call(
            command,
            stdin=source,
            stdout=output,
            stderr=errors,
            env={**os.environ, "LC_ALL": "C", **(environment or {})},
            pass_fds=kept,
        )
        if status < 0:
            limit = " (the limit on file sizes, ulimit -f)" if -status == signal.SIGXFSZ else ""
            raise Interrupted(
                f"{program} was killed by signal {-status}{limit}", hint="nothing was changed; run the command again"
            )
        return status, _text(output), _text(errors)


def _memory(text: str = "") -> BinaryIO:
    file = open(os.memfd_create("e2fsprogs"), "w+b")  # noqa: PTH123, SIM115 - a descriptor; closed by the caller
    file.write(os.fsencode(text))
    file.seek(0)
    return file


def _text(file: BinaryIO) -> str:
    file.seek(0)
    return os.fsdecode(file.read())


def device_argument(image: str | os.PathLike[str], offset: int) -> str:
    """How programs find where a file system begins: ``IMAGE?offset=N``."""
    path = os.path.abspath(image)  # noqa: PTH100
    if "?" in path:
        raise Constraint(
            f"{path}: e2fsprogs takes what follows a question mark for options",
            hint="move the state directory to a path without '?': --root or XLPY_ROOT",
        )
    return f"{path}?offset={offset}"


def debugfs(fd: int, commands: Sequence[str]) -> None:
    """Let debugfs change a file system.

    Its exit status says nothing: any line on standard error but the first, its version, is a failure.

    Args:
        fd: descriptor of a file that begins with the file system.
        commands: lines for debugfs.

    Raises:
        Constraint: no space. FormatError: debugfs refused. MissingTool: it is not installed. Interrupted: it was
            killed.
    """
    script = "\n".join(commands) + "\n"
    image = f"/proc/self/fd/{fd}"
    _, _, errors = run(fd, "debugfs", "-w", "-f", "-", image, image=image, script=script)
    problems = [line.strip() for line in errors.splitlines() if line.strip() and not line.startswith("debugfs ")]
    if problems:
        text = " ".join(problems).lower()
        if any(words in text for words in _NO_SPACE):
            raise no_space(problems[0])
        raise FormatError(
            f"debugfs could not change the file system: {problems[0]}",
            code="XLPY-EXT4-DEBUGFS",
            details=problems[1:6],
            hint="check it with e2fsck -fn",
        )


def no_space(found: str) -> Constraint:
    """The error for a file system that is full."""
    return Constraint(
        f"no space left in the file system: {found}",
        code="XLPY-EXT4-NO-SPACE",
        hint="remove files from it, or make the namespace larger",
    )


def quote(name: str) -> str:
    """A file name as one word of a debugfs command.

    Raises:
        UsageError: empty, too long, a dot directory, or with a slash or control character.
    """
    odd = any(ord(c) < 32 or ord(c) == 127 for c in name)
    if name in ("", ".", "..") or "/" in name or odd or len(os.fsencode(name)) > MAX_NAME:
        raise UsageError(
            f"not a file name: {name!r}", hint=f"1 to {MAX_NAME} bytes without slashes and control characters"
        )
    return '"' + name.replace('"', '""') + '"'
