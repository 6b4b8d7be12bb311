"""The emulator as a child process, and how it ends.

It dies with xlpy (PR_SET_PDEATHSIG), holds the boot's lock file open, and says on a monitor socket why it stops: a
guest that powers off and one that resets itself look the same from outside.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import time

from xlpy.boot.qemu import BELL, WAKE_PORT, backend, memory, module, module_name
from xlpy.errors import Constraint
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from xlpy.boot.plan import Backend

LOCAL = 1 << 3  # LMCE_S of IA32_MCG_STATUS
_PR_SET_PDEATHSIG = 1
_END_SECONDS = 5.0
_CALL_SECONDS = 10.0  # how long it may take to answer its monitor
_SELECT, _CONTROL, _EJECT = 0xA00, 0xA14, 8  # ports of QEMU's memory hot plug, and a bit (docs/specs/acpi_mem_hotplug)
_TAIL = 4096  # bytes of its stderr that are kept


class Emulator:
    """A running QEMU; leaving the ``with`` block kills it.

    Args:
        words: its command line, from ``qemu.command``.
        lock: descriptor that it inherits.

    Attributes:
        console_in, console_out: descriptors of the serial port: what the guest reads, and what it writes.
        monitor: the monitor socket. wake: a socket that tells of each write to ``WAKE_PORT``. errors: descriptor of
            its stderr.
        reason: QEMU's word for why the guest stopped (``guest-shutdown``, ``guest-reset``, ...), when it said so.
        complaints: the end of its stderr.
    """

    def __init__(self, words: Sequence[str], lock: int) -> None:
        self.monitor, theirs = socket.socketpair()
        self.wake, waker = socket.socketpair()
        self.reason: str | None = None
        self._line = b""
        self._calls = 0
        self._replies: dict[int, dict[str, Any]] = {}
        self._stderr = b""
        control, bell = (f"socket,id={name},fd={end.fileno()}" for name, end in (("monitor", theirs), ("wake", waker)))
        port = f"isa-debugcon,chardev=wake,iobase={WAKE_PORT:#x}"
        try:
            self._process = subprocess.Popen(
                [
                    *words,
                    "-chardev",
                    control,
                    "-mon",
                    "chardev=monitor,mode=control",
                    "-chardev",
                    bell,
                    "-device",
                    port,
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                pass_fds=(theirs.fileno(), waker.fileno(), lock),
                start_new_session=True,  # Ctrl-C is for xlpy
                preexec_fn=_die_with_parent(),
            )
        except OSError as error:
            self.monitor.close()
            self.wake.close()
            raise Constraint(f"{words[0]} cannot be started: {error.strerror}", hint="check the installation") from None
        finally:
            theirs.close()
            waker.close()
        stdin, stdout, stderr = self._process.stdin, self._process.stdout, self._process.stderr
        assert stdin is not None
        assert stdout is not None
        assert stderr is not None
        self._pipes = (stdin, stdout, stderr)
        self.console_in, self.console_out, self.errors = (pipe.fileno() for pipe in self._pipes)
        os.set_blocking(self.console_in, False)
        self.monitor.setblocking(False)
        self.wake.setblocking(False)
        self._send("qmp_capabilities")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in self._pipes:
            pipe.close()
        self.monitor.close()
        self.wake.close()

    @property
    def complaints(self) -> str:
        """The end of what it wrote to stderr."""
        return self._stderr.decode(errors="replace").strip()

    def finish(self) -> int:
        """Wait for its end, which its closed console has announced; its exit status, negative for a signal."""
        try:
            status = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self.read_monitor()
        self.read_errors()
        return status

    def read_monitor(self) -> bool:
        """Take in what the monitor says; False at its end."""
        try:
            data = self.monitor.recv(1 << 16)
        except BlockingIOError:
            return True
        except OSError:
            return False
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            event = json.loads(line)
            if event.get("event") == "SHUTDOWN":
                self.reason = event["data"]["reason"]
            elif "id" in event:
                self._replies[event["id"]] = event
        return bool(data)

    def machine_check(self, check: Mapping[str, int]) -> None:
        """Raise a machine check in bank 1 of the first processor (QEMU's monitor, ``mce``).

        As a local one: QEMU resets the machine when it broadcasts to a processor that was never started.
        """
        words = (check["status"], check["mcg_status"] | LOCAL, check["addr"], check["misc"])
        self._command(f"mce 0 1 {' '.join(map(hex, words))}")

    def plug(self, slot: int, one: Backend) -> None:
        """Plug a memory module in. Constraint: the emulator refuses it; nothing is left of it then."""
        name = module_name(slot)
        self._call("object-add", backend(one, memory(name)))
        try:
            self._call("device_add", module(name, slot, one.gpa))
        except Constraint:
            self._call("object-del", {"id": memory(name)})
            raise

    def unplug(self, slot: int) -> None:
        """Take a memory module out, whatever the guest thinks of it: as its own firmware does, through the ports.

        Raises:
            Constraint: it is still there.
        """
        self._command(f"o /w {_SELECT:#x} {slot}")
        self._command(f"o /b {_CONTROL:#x} {_EJECT}")
        self._call("object-del", {"id": memory(module_name(slot))})

    def ring(self) -> None:
        """Raise the event in the guest that makes it look for notifications."""
        self._call("device_del", {"id": BELL})

    def read_wake(self) -> bool:
        """Take in what came through the port; False at its end."""
        try:
            return bool(self.wake.recv(1 << 10))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def read_errors(self) -> bool:
        """Take in what it says on stderr; False at its end."""
        data = os.read(self.errors, 1 << 16)
        self._stderr = (self._stderr + data)[-_TAIL:]
        return bool(data)

    def _command(self, line: str) -> None:
        """Give a line to the human monitor."""
        self._send("human-monitor-command", {"command-line": line})

    def _call(self, command: str, arguments: Mapping[str, Any]) -> None:
        """Give a command and wait until it is done. Constraint: it is refused, or there is no answer."""
        self._calls += 1
        self._send(command, arguments, self._calls)
        deadline = time.monotonic() + _CALL_SECONDS
        while self._calls not in self._replies:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.monitor], [], [], left)[0] or not self.read_monitor():
                raise Constraint(f"the emulator does not answer {command}", code="XLPY-BOOT-QEMU", hint="boot it again")
        reply = self._replies.pop(self._calls)
        if "error" in reply:
            raise Constraint(
                f"the emulator refuses {command}: {reply['error']['desc']}",
                code="XLPY-BOOT-QEMU",
                hint="end the guest first",
            )

    def _send(self, command: str, arguments: Mapping[str, Any] | None = None, number: int | None = None) -> None:
        request: dict[str, Any] = {"execute": command}
        if arguments:
            request["arguments"] = arguments
        if number is not None:
            request["id"] = number
        try:
            self.monitor.sendall(json.dumps(request).encode() + b"\n")
        except OSError:
            return  # it has died at once; its stderr says why


def _die_with_parent() -> Callable[[], None]:
    """What a child runs before it becomes the emulator: from then on it is killed when its parent dies."""
    import ctypes

    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def arrange() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return arrange
