"""Stands in for QEMU: takes its command line and plays the guest that the words in FAKE_QEMU describe:

say TEXT       a line on the serial console
stage TEXT     write TEXT at the start of every staged vNVDIMM
ask HANDLE     put the question for the label size of a device into the mailbox, and print status and sizes
hammer COUNT   ring without waiting for an answer, a line on the console every hundred times
monitor        wait for a command of the human monitor, and say it
obey NAME      do the monitor's commands and say them, until one of that name comes
refuse NAME    from now on, do not do those of that name
fetch          fetch the notifications that wait in the device model, and say them
echo           read a line from the console and say it
off            power off
reset          reset the machine
die            complain and fail
crash          die of a signal
hang           never end; SIGUSR1 makes it say something
"""

from __future__ import annotations

import json
import mmap
import os
import re
import signal
import socket
import struct
import sys
import time
import uuid
from pathlib import Path

from xlpy.devicemodel.mailbox import DATA, LENGTH

DEVICE = uuid.UUID("4309ac30-0d11-11e4-9191-0800200c9a66").bytes_le
PRIVATE = uuid.UUID("648b9cf2-cda1-4312-8ad9-49c4af32bd62").bytes_le


class Machine:
    def __init__(self, words):
        line = words[words.index("-append") + 1]
        files = [word for word in words if word.startswith("memory-backend-file")]
        self.files = [re.search(r"mem-path=([^,]*)", word)[1] for word in files]
        control = next(word for word in words if word.startswith("socket,id=monitor"))
        self.monitor = socket.socket(fileno=int(control.rpartition("=")[2]))
        self.mailbox, self.refused, self.requests = None, "", self.commands()
        rsdp = re.search(r"acpi_rsdp=(\w+)", line)
        if rsdp:
            with Path(self.files[0]).open("r+b") as file:
                self.ram = mmap.mmap(file.fileno(), 0)
            assert self.ram[int(rsdp[1], 0) :][:8] == b"RSD PTR "
            self.mailbox = int(rsdp[1], 0) + 0x1000  # the page behind the one that keeps the RSDP

    def stop(self, reason, status=0):
        event = {"event": "SHUTDOWN", "data": {"guest": True, "reason": reason}}
        self.monitor.sendall(json.dumps(event).encode() + b"\n")
        sys.exit(status)

    def monitor_command(self):
        """Say the first command line that comes for the human monitor."""
        print("ready", flush=True)
        text = b""
        while b"command-line" not in text or not text.endswith(b"\n"):
            text += self.monitor.recv(4096)
        for line in text.splitlines():
            request = json.loads(line)
            if request["execute"] == "human-monitor-command":
                print("monitor:", request["arguments"]["command-line"], flush=True)

    def commands(self):
        """The monitor's commands, as they come."""
        text = b""
        while True:
            *lines, text = (text + self.monitor.recv(4096)).split(b"\n")
            yield from map(json.loads, lines)

    def obey(self, last):
        for request in self.requests:
            name, words = request["execute"], request.get("arguments", {})
            print("monitor:", name, *(f"{key}={value}" for key, value in words.items()), flush=True)
            if "id" in request:
                said = {"error": {"desc": "not today"}} if name == self.refused else {"return": {}}
                self.monitor.sendall(json.dumps({**said, "id": request["id"]}).encode() + b"\n")
            if "mem-path" in words and name != self.refused:
                self.files.append(words["mem-path"])
            if name == last:
                return

    def fetch(self):
        while True:
            status, *event = self.ask(0x10000, 3, PRIVATE)
            if status:
                return
            print("notified:", *map(hex, event), flush=True)

    def ring(self, handle, function=4, uuid=DEVICE):
        request = struct.pack("<5I16s", 0, handle, 1, function, 0, uuid)
        self.ram[self.mailbox : self.mailbox + len(request)] = request
        self.ram[self.mailbox] = 1

    def ask(self, *request):
        self.ring(*request)
        while self.ram[self.mailbox]:
            time.sleep(0.0002)
        (length,) = struct.unpack_from("<I", self.ram, self.mailbox + LENGTH)
        return struct.unpack_from(f"<{length // 4}I", self.ram, self.mailbox + DATA)


def play(machine, words):
    words = iter(words)
    for word in words:
        if word == "say":
            print(next(words), flush=True)
        elif word == "stage":
            text = next(words).encode()
            for path in machine.files:
                if path.endswith(".stage"):
                    with Path(path).open("r+b") as file:
                        file.write(text)
            print("staged", flush=True)
        elif word == "ask":
            print(*machine.ask(int(next(words))), flush=True)
        elif word == "hammer":
            for number in range(int(next(words))):
                machine.ring(1)
                if number % 100 == 0:
                    print("hammering", number, flush=True)
        elif word == "echo":
            print("read", sys.stdin.readline().strip(), flush=True)
        elif word == "monitor":
            machine.monitor_command()
        elif word == "obey":
            machine.obey(next(words))
        elif word == "refuse":
            machine.refused = next(words)
        elif word == "fetch":
            machine.fetch()
        elif word == "off":
            machine.stop("guest-shutdown")
        elif word == "reset":
            machine.stop("guest-reset")
        elif word == "die":
            print("qemu: cannot allocate the moon", file=sys.stderr)
            sys.exit(1)
        elif word == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif word == "hang":
            signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b"nudged\n"))  # print is not for handlers
            print("hanging", os.getpid(), flush=True)
            while True:
                time.sleep(60)


if __name__ == "__main__":
    if "--version" in sys.argv:
        print(f"QEMU emulator version {os.environ.get('FAKE_QEMU_VERSION', '7.2.22')} (made up)")
    else:
        play(Machine(sys.argv[1:]), os.environ["FAKE_QEMU"].split())
