"""What a boot's process does when other commands have changed the state: its guest's memory and notifications follow.

Another process's commit is noticed at the next look at the mailbox, by a number that SQLite keeps.
"""

from __future__ import annotations

import time

from xlpy.boot.devices import guest_nvdimms
from xlpy.boot.session import OUT, runs, take_machine_check
from xlpy.errors import XlpyError
from xlpy.toolstack.domain.model import device_model
from xlpy.toolstack.domain.record import load
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from xlpy.boot.emulator import Emulator
    from xlpy.boot.modules import Modules
    from xlpy.boot.plan import GuestNvdimm
    from xlpy.dom0.xenstore.daemon import XenStore
    from xlpy.hypervisor.xen import Xen
    from xlpy.store import Store

LOOK_SECONDS = 0.02  # between looks at the state


class Follower:
    """The device model of a guest that runs, up to date with what other commands do.

    Args:
        xen, xenstore, store: the actors.
        domid: the domain.
        folder: of the boot.
        page: the mailbox, shared with the guest.
        emulator, modules: what follows.
        note: called with what the user should know.
    """

    def __init__(
        self,
        xen: Xen,
        xenstore: XenStore,
        store: Store,
        domid: int,
        folder: Path,
        page: memoryview,
        emulator: Emulator,
        modules: Modules,
        note: Callable[[str], None],
    ) -> None:
        self._xen, self._xenstore, self._store, self._domid = xen, xenstore, store, domid
        self._folder, self._page, self._emulator, self._modules = folder, page, emulator, modules
        self._note = note
        self._model = device_model(xen, xenstore, store, domid)
        with store.transaction(f"domain {domid} is powered on"):
            self._model.power_on()
        self._rung = self._model.raised
        self._seen, self._out, self._due = store.commits_of_others(), frozenset[str](), 0.0

    @property
    def staged(self) -> tuple[GuestNvdimm, ...]:
        """The vNVDIMMs that are staged by now."""
        return self._modules.staged

    def doorbell(self) -> bool:
        """Answer the request that waits in the mailbox; whether there was one."""
        now = time.monotonic()
        if now >= self._due or self._page[0]:
            self._due = now + LOOK_SECONDS
            self._look()
        return self._model.serve(self._page)

    def _look(self) -> None:
        check = take_machine_check(self._folder)
        if check is not None:
            self._emulator.machine_check(check)
        seen, out = self._store.commits_of_others(), self._requests()
        if (seen, out) != (self._seen, self._out):
            self._seen, self._out = seen, out
            try:
                self._follow()
            except XlpyError as error:
                self._note(f"what other commands have changed does not reach the guest: {error}")

    def _requests(self) -> frozenset[str]:
        """The names of vNVDIMMs that commands want out while they detach them."""
        return frozenset(
            path.name.removeprefix(OUT) for path in self._folder.iterdir() if path.name.startswith(OUT) and _lives(path)
        )

    def _follow(self) -> None:
        with self._store.reading():
            xen = self._xen.afresh()
            if xen.find(self._domid) is None:
                return  # it is being destroyed, which ends this boot
            devices = guest_nvdimms(xen.hw, load(self._store, self._domid))
            self._model = device_model(xen, self._xenstore, self._store, self._domid)
        self._modules.follow([device for device in devices if device.name not in self._out])
        if self._model.raised > self._rung:
            self._rung = self._model.raised
            if self._model.untold:
                self._emulator.ring()


def _lives(path: Path) -> bool:
    """Whether the process whose number a file has still runs."""
    try:
        return runs(int(path.read_text()))
    except (OSError, ValueError):
        return False
