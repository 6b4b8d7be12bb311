"""ndctl's words on a bank of NVDIMMs in memory: a host without a state directory, so that thousands cost little."""

from __future__ import annotations

import contextlib
import io
import shlex
import sys
from typing import TYPE_CHECKING

from dom0.nvdimm.nd_bank import Platform, powered

from xlpy.cli.declare import Leave
from xlpy.cli.ndctl import program
from xlpy.dom0.nvdimm.labels import empty_index
from xlpy.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.dom0.nvdimm.driver import Bus
    from xlpy.dom0.nvdimm.nd.bus import Nd


class Bank:
    """Stands for the environment, the host and its Dom0, as far as ndctl's words need them.

    Args:
        info: what firmware says.
        platform: memory and label areas.
        minor: of the format in which empty label areas are initialised first; 0 for none.
    """

    dry_run = False

    def __init__(self, info: Bus, platform: Platform | None = None, minor: int = 0) -> None:
        self.info = info
        self.platform = platform or Platform()
        self.host = self.buses = self
        self.store = Store(None)
        if minor:
            for dimm in info.dimms:
                area = self.platform.config(dimm)
                for block in (0, 1):
                    made = empty_index(area.size, block, minor)
                    area.write(made.own, made.build())
        self.nd: Nd = powered(info, self.platform)

    @contextlib.contextmanager
    def manage(self, what: str, dry_run: bool = False) -> Iterator[Nd]:
        """As ``Host.manage``, without taking anything back."""
        del what, dry_run
        yield self.nd

    def reboot(self) -> None:
        """The kernel forgets what it knows; media and label areas stay."""
        self.nd = powered(self.info, self.platform)

    def __call__(self, line: str) -> tuple[int, str, str]:
        """Run one command: (status, standard output, standard error)."""
        words = shlex.split(line)
        streams = [io.TextIOWrapper(io.BytesIO(), write_through=True) for _ in range(2)]
        status, before = 0, sys.stdin
        with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
            try:
                program.run(self, words[0], words[1:])  # type: ignore[arg-type]
            except Leave as stop:
                status = stop.status
            finally:
                sys.stdin = before
        out, err = (one.buffer.getvalue().decode() for one in streams)
        return status, out, err
