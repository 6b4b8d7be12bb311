"""The memory modules of a running emulator: they follow the vNVDIMMs that the domain has.

What is plugged in stands in a file of the boot's folder, for commands that wait for it.
"""

from __future__ import annotations

from xlpy.boot.plan import BELL_SIZE, MemoryPlan, map_device
from xlpy.boot.session import BOARD, leave
from xlpy.boot.stage import bring_back, copy_out
from xlpy.errors import Constraint, XlpyError
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xlpy.boot.emulator import Emulator
    from xlpy.boot.plan import GuestNvdimm, Means


class Modules:
    """The modules of one run.

    Args:
        plan: what the emulator was started with.
        devices: the vNVDIMMs of the plan.
        means: how others are mapped.
        emulator: it runs.
        remember: called before a vNVDIMM is staged, and after each change, with those that are staged, and with the
            ranges, (start, end), in which modules are.
        note: called with what the user should know.
    """

    def __init__(
        self,
        plan: MemoryPlan,
        devices: Sequence[GuestNvdimm],
        means: Means,
        emulator: Emulator,
        remember: Callable[[tuple[GuestNvdimm, ...], tuple[tuple[int, int], ...]], None],
        note: Callable[[str], None],
    ) -> None:
        self._means, self._emulator, self._remember, self._note = means, emulator, remember, note
        self._lowest = (plan.bell or 0) + BELL_SIZE
        self._slots = plan.slots
        self._devices = {device.name: device for device in devices}
        self._failed: dict[GuestNvdimm, str] = {}
        self._staged = plan.staged
        self._modules = dict(enumerate(plan.modules, 1))  # by slot
        self._report()

    @property
    def staged(self) -> tuple[GuestNvdimm, ...]:
        """The vNVDIMMs that are staged by now."""
        return self._staged

    def follow(self, wanted: Sequence[GuestNvdimm]) -> None:
        """Take out what is not wanted, then plug in what is new; what could not be done is not tried again."""
        self._failed = {device: why for device, why in self._failed.items() if device in wanted}
        for device in list(self._devices.values()):
            if device not in wanted:
                self._attempt(device, self._take_out)
        for device in wanted:
            if device.name not in self._devices and device not in self._failed:
                self._attempt(device, self._plug)
        self._report()

    def _attempt(self, device: GuestNvdimm, act: Callable[[GuestNvdimm], None]) -> None:
        try:
            act(device)
        except (XlpyError, OSError) as error:
            self._failed[device] = str(error)
            self._note(f"{device.name}: {error}")

    def _plug(self, device: GuestNvdimm) -> None:
        free = [slot for slot in range(1, self._slots) if slot not in self._modules]
        if not free:
            raise Constraint(f"the emulator has {self._slots} memory slots, all in use", hint="boot it again")
        notes: list[str] = []
        others = list(self._modules.values())
        pieces = map_device(device, self._means, self._lowest, others, len(free), notes)
        staged = pieces[0].kind == "stage"
        if staged:
            self._staged = (*self._staged, device)
            self._keep()
        try:
            if staged:
                copy_out(device, pieces[0].path)
            for slot, piece in zip(free, pieces, strict=False):
                self._emulator.plug(slot, piece)
                self._modules[slot] = piece
        except (XlpyError, OSError):
            self._pull(device)
            if staged:
                pieces[0].path.unlink(missing_ok=True)
                self._unstage(device)
            raise
        self._devices[device.name] = device
        self._keep()
        for note in notes:
            self._note(note)

    def _take_out(self, device: GuestNvdimm) -> None:
        self._pull(device)
        del self._devices[device.name]
        if device in self._staged:
            bring_back(device, self._means.folder)
        self._unstage(device)

    def _pull(self, device: GuestNvdimm) -> None:
        for slot in [slot for slot, one in self._modules.items() if one.owner == device.name]:
            self._emulator.unplug(slot)
            del self._modules[slot]

    def _unstage(self, device: GuestNvdimm) -> None:
        self._staged = tuple(one for one in self._staged if one != device)
        self._keep()

    def _keep(self) -> None:
        self._remember(self._staged, tuple((one.gpa, one.end) for one in self._modules.values()))

    def _report(self) -> None:
        fields = {
            "plugged": {name: [device.gpa, device.size] for name, device in self._devices.items()},
            "failed": {device.name: why for device, why in self._failed.items()},
        }
        leave(self._means.folder / BOARD, fields)
