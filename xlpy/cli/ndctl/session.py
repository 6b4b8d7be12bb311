"""What a command of ndctl works with: its streams, its messages, and the nd bus."""

from __future__ import annotations

import os
import sys

from xlpy.cli.show import err, exact
from xlpy.functions import cached_property
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from xlpy.cli.env import Env
    from xlpy.dom0.nvdimm.nd.bus import Nd
    from xlpy.host import Host

VERSIONS = {"76": "76.1", "85": "85"}  # what --like takes -> what --version prints


class NdctlSession:
    """One run of ndctl or daxctl.

    Args:
        env: the command group's options.
        program: ``ndctl`` or ``daxctl``.
        like: which version to answer as, one of VERSIONS.

    Attributes:
        errors: how many messages have given the reason of a failure (its ``err_count``).
        subject: what such a message begins with.
    """

    def __init__(self, env: Env, program: str, like: str) -> None:
        self.env = env
        self.program = program
        self.like = like
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

    def change(self, what: str) -> AbstractContextManager[Nd]:
        """The nd bus, to change something: all of it, or in a dry run nothing, is kept at the end."""
        return self.host.manage(what, dry_run=self.env.dry_run)

    @property
    def wide(self) -> bool:
        """Whether hexadecimal numbers have all of their 64 bits."""
        return self.like != "76"

    @property
    def version(self) -> str:
        """What ``--version`` prints."""
        return VERSIONS[self.like]

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
        """A message that tells why the command fails, so that it need not say so again (its ``err``)."""
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
