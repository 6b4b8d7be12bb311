"""The environment of every command: the options of the command group, the host, and the way messages go to stderr."""

from __future__ import annotations

import os
import sys

from xlpy.cli.show import err
from xlpy.typing import TYPE_CHECKING, Any
from xlpy.xen_version import chosen

if TYPE_CHECKING:
    from xlpy.cli.kept import Kept
    from xlpy.cli.scratch import ScratchFolder
    from xlpy.host import Host


class Env:
    """The command group's options and what follows from them.

    Args:
        root: ``--root`` as given, or None.
        verbose: how often ``-v`` was given.
        quiet: whether ``-q`` was given.
        dry_run: whether ``-N`` was given to the group, or ``-n`` to the command.
        color: ``auto``, ``always`` or ``never``.
        debug: whether unexpected errors show a traceback.
        xen: ``--xen`` as given, or None.

    Attributes:
        kept: what the script that this line stands in keeps from line to line, or None.
    """

    def __init__(
        self,
        root: str | None = None,
        verbose: int = 0,
        quiet: bool = False,
        dry_run: bool = False,
        color: str = "auto",
        debug: bool = False,
        xen: str | None = None,
    ) -> None:
        self.root = root
        self.verbose = verbose
        self.quiet = quiet
        self.dry_run = dry_run
        self.color = color
        self.debug = debug
        self.xen = xen
        self.kept: Kept | None = None
        self._host: Host | None = None
        self._scratch: ScratchFolder | None = None

    @property
    def host(self) -> Host:
        """The emulated host, made on first use. A dry run without one makes one that is thrown away.

        Raises:
            Conflict: it runs another Xen than ``--xen`` or ``XLPY_XEN`` says.
        """
        host = self._opened()
        wanted = chosen(self.xen)
        if wanted is not None and wanted != host.xen.version:
            from xlpy.errors import Conflict

            raise Conflict(
                f"the host runs Xen {host.xen.version}, and {wanted} is asked for",
                code="XLPY-XEN-VERSION",
                hint=f"xlpy --xen {wanted} host reset --keep-media starts it anew with that",
            )
        return host

    def _opened(self) -> Host:
        if self._host is None:
            from xlpy.host import Host

            if self.dry_run and not Host.exists(self.root):
                self._host = Host.open(self._try_on(), note=self.step, xen=self.xen)
            elif self.kept:
                self._host = self.kept.host(self.root, self.note, self.xen)
            else:
                self._host = Host.open(self.root, note=self.note, xen=self.xen)
            if self.verbose > 1:
                self._host.on_console_line = self.note
        return self._host

    def _try_on(self) -> str:
        """A place for a host that is gone after the command."""
        from xlpy.cli.scratch import ScratchFolder

        self.note("note: there is no host yet, so this is tried on a new one that is thrown away")
        self._scratch = ScratchFolder()
        return self._scratch.path

    def options(self) -> dict[str, Any]:
        """What stood before the command, for the lines of a script."""
        return {name: getattr(self, name) for name in ("root", "verbose", "quiet", "dry_run", "color", "xen")}

    def adopt(self, kept: Kept) -> None:
        """Stand in a script: take its options where this line does not say, and the host that it has open."""
        self.kept = kept
        script = kept.options
        self.root = script["root"] if self.root is None else self.root
        self.verbose = max(self.verbose, script["verbose"])
        self.quiet |= script["quiet"]
        self.dry_run |= script["dry_run"]
        self.xen = self.xen or script["xen"]
        self.color = script["color"] if self.color == "auto" else self.color

    @property
    def existing_host(self) -> Host | None:
        """The emulated host if it has been made already, whichever Xen it runs."""
        from xlpy.host import Host

        return self._opened() if Host.exists(self.root) else None

    def settle(self) -> None:
        """Carry out what follows for domains that shut down during the command without its being about that.

        A guest that read poison, for example: Xen has crashed it. What the toolstack then cannot do is a warning.
        """
        if self._scratch:
            self._scratch.remove()
        elif self._host is not None:
            self._end_domains(self._host)
            if not self.kept:
                self._host.store.rest()

    def _end_domains(self, host: Host) -> None:
        if not host.shut_down:
            return
        from xlpy.errors import XlpyError

        try:
            with host.change("what follows a shutdown"):
                for outcome in host.lifecycle.settle(self.step):
                    self.note(f"domain {outcome.domid} ({outcome.name}): {outcome.reason}; action: {outcome.action}")
                    if outcome.error:
                        self.warn(f"{outcome.action} failed: {outcome.error}")
        except XlpyError as error:
            self.warn(str(error))

    def note(self, *lines: str) -> None:
        """Tell what happens, unless ``-q``."""
        if not self.quiet:
            err(*lines)

    def step(self, text: str) -> None:
        """Tell one step of the work, with ``-v``."""
        if self.verbose and not self.quiet:
            err(text)

    def warn(self, text: str) -> None:
        """Warn, unless ``-q``."""
        self.note(f"warning: {text}")

    @property
    def picture(self) -> bool:
        """Whether a person looks at a terminal, so that tables and colour help."""
        if self.color != "auto":
            return self.color == "always"
        if os.environ.get("TERM") == "dumb":
            return False
        return sys.stdout.isatty()

    @property
    def coloured(self) -> bool:
        """Whether to colour: ``--color`` > ``NO_COLOR`` > ``FORCE_COLOR`` > whether it is a terminal."""
        if self.color != "auto":
            return self.color == "always"
        if os.environ.get("NO_COLOR"):
            return False
        return bool(os.environ.get("FORCE_COLOR")) or self.picture
