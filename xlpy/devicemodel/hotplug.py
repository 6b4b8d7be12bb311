"""Hot plug: vNVDIMMs that are attached to a running domain, and detached when the guest has ejected them."""

from __future__ import annotations

from xlpy.contexts import ExitStack
from xlpy.devicemodel.attach import Attaching
from xlpy.devicemodel.model import NOTIFY_FIT, ROOT_PATH
from xlpy.errors import Conflict, Constraint, NotFound
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.addr import Gpa, Span
    from xlpy.devicemodel.backing import Backing, Vnvdimm

NOTIFY_EJECT = 3  # to a child of the root device: please let go


class HotPlug(Attaching):
    """The device model of a running domain, whose vNVDIMMs change."""

    def free_slot(self) -> int:
        """The slot that the next ``plug`` takes. Conflict: no NVDIMM root device. Constraint: no slot is free."""
        record = self._started()
        used = {device.slot for device in self.devices}
        slot = next((slot for slot in range(record["slots"]) if slot not in used), None)
        if slot is None:
            raise Constraint(
                f"domain {self.domid} has {record['slots']} vNVDIMM slots, all in use",
                hint="detach one first, or restart the domain with this one in its configuration",
            )
        return slot

    def plug(self, backing: Backing, busy: Sequence[Span[Gpa]] = ()) -> Vnvdimm:
        """Attach another vNVDIMM to the running domain, and notify the guest to evaluate ``_FIT`` again.

        Args:
            backing: what it is made of.
            busy: guest addresses that are not free beside those of the vNVDIMMs.

        Raises:
            Conflict: the domain was started without vNVDIMMs, so its tables have no NVDIMM root device.
            Constraint: no slot is free. XlpyError: as for ``attach``; nothing is left behind then.
        """
        slot = self.free_slot()
        device = self._place(backing, self._ram(), self.devices, slot, busy)
        with ExitStack() as undo:
            self._map(device, undo)
            self._change_devices([*self.devices, device])
            undo.pop_all()
        return device

    def request_eject(self, slot: int) -> None:
        """Ask the guest to let go of a vNVDIMM. NotFound: there is none."""
        self._notify(f"{ROOT_PATH}.{self._at(slot).name}", NOTIFY_EJECT)

    def unplug(self, slot: int) -> Vnvdimm:
        """Detach a vNVDIMM that the guest has let go of.

        Raises:
            NotFound: no such vNVDIMM. Conflict: the guest still has it.
        """
        device = self._at(slot)
        if not device.released:
            raise Conflict(
                f"domain {self.domid} has not let go of vNVDIMM {slot} ({device.backing.path})",
                code="XLPY-PMEM-IN-GUEST",
                hint=f"the guest was asked to; it answers by evaluating {ROOT_PATH}.{device.name}._EJ0",
            )
        self._unmap(device)
        self._change_devices([other for other in self.devices if other.slot != slot])
        return device

    def _at(self, slot: int) -> Vnvdimm:
        self._started()
        device = next((device for device in self.devices if device.slot == slot), None)
        if device is None:
            raise NotFound(f"domain {self.domid} has no vNVDIMM in slot {slot}", hint="xlpy nvdimm-list shows them")
        return device

    def _change_devices(self, devices: list[Vnvdimm]) -> None:
        self._devices = sorted(devices, key=lambda device: device.slot)
        self._save_devices()
        known = {ROOT_PATH, *(f"{ROOT_PATH}.{device.name}" for device in devices)}
        self._update(changed=True, events=[event for event in self._started()["events"] if event[0] in known])
        self._notify(ROOT_PATH, NOTIFY_FIT)
