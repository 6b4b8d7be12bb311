"""Running a command that is killed where it is about to make its n-th system call that changes something.

Between two such calls nothing that another process could see changes, so these are all instants at which a kill makes
a difference. The command is traced with ptrace(2), as a debugger does; its children are not. x86-64 only.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import subprocess
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

PTRACE_TRACEME, PTRACE_PEEKUSER, PTRACE_KILL, PTRACE_SYSCALL, PTRACE_SETOPTIONS = 0, 3, 8, 24, 0x4200
PTRACE_O_TRACESYSGOOD, PTRACE_O_EXITKILL = 0x1, 0x100000
RDX, RSI, RDI, ORIG_RAX = 12 * 8, 13 * 8, 14 * 8, 15 * 8  # struct user_regs_struct
O_CREAT = 0x40
PUNCH = 0x4030582B  # FS_IOC_UNRESVSP64, the only ioctl that changes anything
# linux/arch/x86/entry/syscalls/syscall_64.tbl
CHANGING = {
    "write": 1, "pwrite64": 18, "writev": 20, "truncate": 76, "ftruncate": 77, "rename": 82, "mkdir": 83, "rmdir": 84,
    "creat": 85, "link": 86, "unlink": 87, "symlink": 88, "openat": 257, "mkdirat": 258, "unlinkat": 263,
    "renameat": 264, "linkat": 265, "symlinkat": 266, "fallocate": 285, "pwritev": 296, "renameat2": 316, "ioctl": 16,
}  # fmt: skip
NUMBERS = {number: name for name, number in CHANGING.items()}


class Run(NamedTuple):
    """What became of a command.

    points: names of the calls that change something, in order, up to its end. status: as ``Popen.returncode``.
    """

    points: list[str]
    status: int
    out: str
    err: str


def can_trace() -> bool:
    """Whether this machine lets us."""
    if platform.machine() != "x86_64":
        return False
    try:
        return run(["/bin/true"], {}).status == 0
    except OSError:
        return False


def run(argv: list[str], env: dict[str, str], kill_at: int | None = None, cwd: Path | None = None) -> Run:
    """Run a command, and kill it at one of its points.

    Args:
        argv, env, cwd: of the command.
        kill_at: index of the point; None lets it end.

    Raises:
        OSError: tracing is not allowed.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long] * 4
    libc.ptrace.restype = ctypes.c_long

    def ptrace(request: int, pid: int, address: int = 0, data: int = 0) -> int:
        ctypes.set_errno(0)
        value: int = libc.ptrace(request, pid, address, data)
        if value == -1 and ctypes.get_errno():
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return value

    out, err = os.memfd_create("out"), os.memfd_create("err")
    child = subprocess.Popen(
        argv,
        env={**os.environ, **env},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        preexec_fn=lambda: libc.ptrace(PTRACE_TRACEME, 0, 0, 0),
        close_fds=True,
    )
    points: list[str] = []
    status = _follow(ptrace, child, points, kill_at)
    child.returncode = status
    return Run(points, status, _text(out), _text(err))


def _follow(ptrace, child: subprocess.Popen[bytes], points: list[str], kill_at: int | None) -> int:
    pid, entering, ready = child.pid, False, False
    deliver = 0
    while True:
        _, status = os.waitpid(pid, 0)
        if os.WIFEXITED(status):
            return os.WEXITSTATUS(status)
        if os.WIFSIGNALED(status):
            return -os.WTERMSIG(status)
        stopped = os.WSTOPSIG(status)
        deliver = 0
        if not ready:  # the first stop comes with exec
            ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)
            ready = True
        elif stopped == signal.SIGTRAP | 0x80:
            entering = not entering
            if entering and (name := _changes(ptrace, pid)):
                points.append(name)
                if len(points) - 1 == kill_at:
                    os.kill(pid, signal.SIGKILL)
                    continue
        elif stopped != signal.SIGTRAP:
            deliver = stopped
        ptrace(PTRACE_SYSCALL, pid, 0, deliver)


def _changes(ptrace, pid: int) -> str | None:
    """The name of the call that is about to be made, when it changes something."""
    name = NUMBERS.get(ptrace(PTRACE_PEEKUSER, pid, ORIG_RAX))
    if name == "openat" and not ptrace(PTRACE_PEEKUSER, pid, RDX) & O_CREAT:
        return None
    if name == "ioctl" and ptrace(PTRACE_PEEKUSER, pid, RSI) != PUNCH:
        return None
    if name == "write" and ptrace(PTRACE_PEEKUSER, pid, RDI) in (1, 2):
        return None
    return name


def _text(fd: int) -> str:
    with open(fd, "rb") as file:
        file.seek(0)
        return file.read().decode(errors="replace")
