"""The actors of one host, started on first use; and atomic changes.

A change covers what no single actor can: the state, the media, and files beside them.
"""

from __future__ import annotations

import os

from xlpy import statedir
from xlpy.contexts import contextmanager, suppress
from xlpy.errors import StateError, XlpyError
from xlpy.functions import cached_property
from xlpy.private import private
from xlpy.statedir import STATE, UNCLEAN
from xlpy.store import Store
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from xlpy.dom0.emulated import EmulatedDom0
    from xlpy.dom0.files.buses import Buses
    from xlpy.dom0.xenstore.daemon import XenStore
    from xlpy.hw.hardware import Hardware
    from xlpy.hw.machine import MachineSpec
    from xlpy.hypervisor.xen import Xen
    from xlpy.toolstack.domain.lifecycle import Lifecycle

UNDO = "hw.undo"  # the table of changes to the machine's own files that stay


def silent(_text: str) -> None:
    """The default callback: discard."""


class Actors:
    """What a state directory holds, put together.

    Args:
        root: the state directory.
        note: told what happens, one line at a time.
        xen: the version of Xen that it boots, when it is powered on by this object (``xen_version.VERSIONS``).

    Attributes:
        on_console_line: called with each line of the hypervisor's console as it is written; set it before the host is
            used.
    """

    on_console_line: Callable[[str], None] | None = None

    def __init__(
        self, root: str | os.PathLike[str], note: Callable[[str], None] = silent, xen: str | None = None
    ) -> None:
        self._home = os.fspath(root)
        self._wanted = xen
        self.note = note
        self.store = Store(self._file(STATE), self._forget, self._take_back)
        self._table = self.store.table("host")
        self._changing = False  # inside of a change
        self._entered = False  # in it, the machine's own files have changed

    def _file(self, name: str) -> str:
        return os.path.join(self._home, name)

    @cached_property
    def root(self) -> Path:
        """The state directory."""
        from pathlib import Path

        return Path(self._home)

    # -- the actors ---------------------------------------------------------------------------------------------

    @cached_property
    def spec(self) -> MachineSpec:
        """The machine as it was described."""
        from xlpy.hw.machine import spec_from_json

        stored = self._table.get("machine")
        if stored is None:
            raise StateError(f"{self.root}: no machine is recorded", hint="xlpy host reset")
        return spec_from_json(stored)

    @cached_property
    def hw(self) -> Hardware:
        """The powered machine."""
        from xlpy.hw.hardware import Hardware

        made = Hardware.open(self._home, self.spec)
        if self._changing:
            made.undo.enter = self._enter
        return made

    @cached_property
    def xen(self) -> Xen:
        """The hypervisor."""
        from xlpy.hypervisor.xen import Xen

        return Xen(lambda: self.hw, self.store, self.on_console_line)

    @cached_property
    def dom0(self) -> EmulatedDom0:
        """The emulated Dom0 kernel."""
        from xlpy.dom0.emulated import EmulatedDom0

        made = EmulatedDom0.open(self.hw, self.store)
        if "_buses" in self.__dict__:
            self.__dict__.pop("_buses").hand_over(made)
        return made

    @property
    def buses(self) -> Buses:
        """Dom0's nd buses: a part of ``dom0`` that can be used without loading the rest."""
        return self.__dict__.get("dom0") or self._buses

    @cached_property
    def _buses(self) -> Buses:
        from xlpy.dom0.files.buses import Buses

        return Buses(self.hw, self.store)

    @cached_property
    def xenstore(self) -> XenStore:
        """The store that toolstack, device model and firmware meet in."""
        from xlpy.dom0.xenstore.daemon import XenStore

        return XenStore(self.store)

    @cached_property
    def lifecycle(self) -> Lifecycle:
        """The toolstack: making and ending domains."""
        from xlpy.toolstack.domain.lifecycle import Lifecycle

        return Lifecycle(
            self.xen, lambda: self.dom0, self.xenstore, self.store, self._file("labels"), self._file("dump")
        )

    @property
    def shut_down(self) -> list[int]:
        """Domains that shut down in this process, and for which ``lifecycle.settle`` has done nothing yet."""
        return self.xen.ended if "xen" in self.__dict__ else []

    # -- all or nothing -----------------------------------------------------------------------------------------

    @contextmanager
    def change(self, what: str, frees: bool = False) -> Iterator[None]:
        """Everything that a command changes happens inside: all of it stays or, when an error leaves it, nothing.

        State, media and files are then as before, but for what was written under ``Store.surviving`` (the log of what
        happened, requests to a guest) or was there when ``Store.keep`` was called. It is marked, so that a kill is
        noticed and the next command undoes the same.

        Args:
            what: shown to other commands that wait.
            frees: it ends something and must go through on a full disk, if need be with the space that was kept back.
        """
        failure: BaseException | None = None
        begun = False
        try:
            with self.store.transaction(what, self._clean):
                begun = True
                statedir.spend(self._home) if frees else statedir.reserve(self._home)
                self._mend()
                text = f"{what} (pid {os.getpid()})\n".encode(errors="surrogateescape")
                with open(self._file(UNCLEAN), "wb", 0, opener=private) as marker, suppress(OSError):
                    marker.write(text)  # its name is enough
                try:
                    with self.store.savepoint(), self._undoable():
                        yield
                    self._follow()
                except BaseException as error:
                    failure = error
        except BaseException:
            if begun:  # the state itself could not be written, so all of it is as before
                self._forget()
                with suppress(XlpyError):
                    self.repair()
            raise
        if failure is not None:
            raise failure

    @contextmanager
    def _undoable(self) -> Iterator[None]:
        """What the machine keeps in files of its own changes with the state."""
        self._changing, self._entered = True, False
        if "hw" in self.__dict__:
            self.hw.undo.enter = self._enter
        try:
            yield
        finally:
            self._changing = False
            if "hw" in self.__dict__:
                self.hw.undo.enter = None

    def _enter(self, name: str) -> None:
        """An entry of ``hw.undo`` stays when the state has its name."""
        table = self.store.table(UNDO)
        first, self._entered = not self._entered, True
        if first:
            for old in table.keys():  # noqa: SIM118 - a Table is not a dict
                table.delete(old)  # of earlier changes, and final
        table.put(name, True)

    @contextmanager
    def looking(self, what: str) -> Iterator[None]:
        """A context for inspecting a domain as its guest would, which may change the domain.

        On a root without write permission these changes are discarded.

        Args:
            what: shown to other commands that wait.
        """
        with self.store.transaction(what) if os.access(self._home, os.W_OK) else self.store.trial():
            yield

    def _follow(self) -> None:
        """Once more for the frame tables, when the end of a domain has gone on although they could not be written."""
        if "xen" in self.__dict__ and self.xen.behind:
            with suppress(XlpyError), self.store.savepoint():
                self.xen.repair_frames()

    def _take_back(self) -> None:
        """A savepoint was rolled back: actors drop cached state, and data outside the store is rolled back too."""
        if self._entered:
            self._undo()
        if "xen" in self.__dict__:
            self.xen.reread()
            self.xen.repair_frames()
        if "dom0" in self.__dict__:
            self.dom0.reread()
            self.dom0.take_back()
        if "_buses" in self.__dict__:
            self._buses.reread()

    def _undo(self) -> None:
        """Take back what changed in the machine's own files, and the state does not have."""
        names = self.store.table(UNDO)
        if self.hw.undo.take_back(lambda name: names.get(name) is not None):
            self.hw.reread()

    def _clean(self) -> None:
        """The change is committed: nothing is left to be undone."""
        if self._entered:
            self.hw.undo.settle()
            self._entered = False
        if "dom0" in self.__dict__:
            self.dom0.settle()
        if "xen" in self.__dict__:
            self.xen.sweep()
        with suppress(FileNotFoundError):
            os.unlink(self._file(UNCLEAN))
        with suppress(XlpyError):
            statedir.reserve(self._home)

    def forget(self) -> None:
        """Actors are to read the state again when they are asked."""
        self._forget()

    def replace_machine(self, spec: MachineSpec) -> None:
        """Inside of a change: the machine is another from now on, its files being made; actors see it afresh.

        ``hw/machine.json`` follows, and counts from now on when the state is lost.
        """
        from xlpy.hw.machine import spec_to_json

        fields = spec_to_json(spec)
        self.hw.describe_anew(fields)
        self._table.put("machine", fields)
        self._forget()

    def repair(self) -> None:
        """If a command was killed, its transaction is gone; undo what it left on media and in files."""
        if os.path.exists(self._file(UNCLEAN)):
            with self.store.transaction("repairing after a killed command", self._clean):
                statedir.spend(self._home)
                self._mend()

    def release(self) -> None:
        """End all holds of files of Dom0's, of any domain."""
        self.dom0.release()

    def release_lost(self) -> None:
        """End the holds that a state had which is lost."""
        self.dom0.release_lost()

    def _mend(self) -> None:
        """Under the lock: repair, unless the command that set the mark was alive and has ended by now."""
        try:
            with open(self._file(UNCLEAN), "rb") as marker:
                who = marker.read().decode(errors="replace").strip()
        except FileNotFoundError:
            return
        from xlpy.replacing import tidy

        self.note(f"repairing what an interrupted command left: {who or 'it is not known which'}")
        self._undo()
        self.hw.undo.settle()
        self.hw.undo.sweep()
        for line in self.xen.repair():
            self.note(f"repairing: {line}")
        self.dom0.repair()
        tidy(self.root)

    def _forget(self) -> None:
        """Another process has changed the state since the actors read it: they are to read it again."""
        ended = self.shut_down
        for actor in ("lifecycle", "xenstore", "dom0", "_buses", "xen", "hw", "spec"):
            self.__dict__.pop(actor, None)
        if ended:
            self.xen.ended = ended
