"""What a command of ndctl works with: its streams, its messages, and the nd bus."""

from __future__ import annotations

import os
import sys

from xlpy.cli.ndctl import sizes
from xlpy.cli.show import err, exact
from xlpy.functions import cached_property
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from xlpy.cli.env import Env
    from xlpy.dom0.nvdimm.nd.bus import Nd
    from xlpy.host import Host


class NdctlRelease(NamedTuple):
    """A version of ndctl with the libraries and the kernel of its Debian, as far as they differ in what is seen.

    version: what ``--version`` prints.
    wide: hexadecimal numbers with ``-u`` have 64 bits, not 63 (ndctl 79).
    compact: an array without elements has one line (json-c 0.19).
    binary: sizes may be written in binary, as 0b101 (strtoull of C23, glibc 2.38).
    checked: offsets whose sums exceed 64 bits are refused (ndctl 81).
    famfs: daxctl knows the mode famfs, says nothing when a device is in its mode already, and takes devices that are
        not there for no failure (ndctl 79 to 85).
    nfit_device: where the kernel has the device of the NFIT, below /sys/devices (a platform device in Linux 7.2).
    """

    version: str
    wide: bool
    compact: bool
    binary: bool
    checked: bool
    famfs: bool
    nfit_device: str


RELEASES = {  # what --like takes
    "76": NdctlRelease("76.1", False, False, False, False, False, "LNXSYSTM:00/LNXSYBUS:00/ACPI0012:00"),
    "85": NdctlRelease("85", True, True, True, True, True, "platform/ACPI0012:00"),
}


class NdctlSession:
    """One run of ndctl or daxctl.

    Args:
        env: the command group's options.
        program: ``ndctl`` or ``daxctl``.
        like: which version to answer as, one of RELEASES.

    Attributes:
        release: the version that it answers as.
        errors: how many messages have given the reason of a failure (its ``err_count``).
        subject: what such a message begins with.
    """

    def __init__(self, env: Env, program: str, like: str) -> None:
        self.env = env
        self.program = program
        self.release = RELEASES[like]
        self.errors = 0
        self.subject = "namespace"

    @property
    def host(self) -> Host:
        """The emulated host."""
        return self.env.host

    @cached_property
    def nd(self) -> Nd:
        """The nd bus, to look at."""
        return self.host.buses.nd

    def looking(self) -> AbstractContextManager[None]:
        """Around what only looks: all of it is of one instant."""
        return self.host.store.reading()

    def change(self, what: str) -> AbstractContextManager[Nd]:
        """The nd bus, to change something: all of it, or in a dry run nothing, is kept at the end."""
        return self.host.manage(what, dry_run=self.env.dry_run)

    def size(self, word: str | None) -> int:
        """Bytes of a size as ``sizes.size``, written as this version reads it."""
        return sizes.size(word, self.release.binary)

    @property
    def terminal(self) -> bool:
        """Whether standard output is a terminal: some commands print sizes for people then."""
        return sys.stdout.isatty()

    # --- messages --------------------------------------------------------------------------------------------------

    def out(self, *texts: str) -> None:
        """Print on standard output, as it is."""
        exact(texts)

    def err(self, *lines: str) -> None:
        """Print lines on standard error."""
        for text in lines:
            err(*text.split("\n"))

    def error(self, text: str) -> None:
        """A message as its parser gives it. Most of ndctl's own texts end with a line end: a blank line follows."""
        self.err(f"  Error: {text}")

    def warning(self, text: str) -> None:
        """A warning."""
        self.err(f"  Warning: {text}")

    def failed(self, text: str) -> None:
        """A message with the reason why the command fails, so that it is not reported again (its ``err``)."""
        self.errors += 1
        self.error(f"{self.subject}: {text}\n")

    def library(self, function: str, text: str) -> None:
        """A message of libndctl itself."""
        self.err(f"lib{self.program}: {function}: {text}")


def strerror(number: int) -> str:
    """The text of an errno, positive or negative."""
    return os.strerror(abs(number))


def status(result: int) -> int:
    """The exit status of what a command returned: 0, or a negative errno."""
    return result & 0xFF
