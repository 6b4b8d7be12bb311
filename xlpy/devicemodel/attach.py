"""Attaching: vNVDIMMs get guest addresses and host memory, and the guest gets the tables that describe them.

It places each vNVDIMM, maps its host memory, builds the tables, hands them to hvmloader and takes over the mailbox
page; a failure on the way undoes all of it.
"""

from __future__ import annotations

from xlpy import abi
from xlpy.addr import PAGE, Gpa, Span, gfn_of, mfn_of
from xlpy.contexts import ExitStack
from xlpy.devicemodel import dmacpi
from xlpy.devicemodel.backing import Backing, Vnvdimm, check_backing, serial_number
from xlpy.devicemodel.model import DeviceModel
from xlpy.devicemodel.nvdr import SLOTS, check_slots
from xlpy.devicemodel.placement import GuestRam, place
from xlpy.errors import Conflict, Constraint
from xlpy.hypervisor.pmem_batch import PmemExtent
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Attaching(DeviceModel):
    """The device model of a domain that starts, or that gets another vNVDIMM."""

    def attach(
        self,
        backings: Sequence[Backing],
        *,
        persistence: str = "",
        slots: int = SLOTS,
        places: Sequence[tuple[int, Gpa, int]] | None = None,
    ) -> list[Vnvdimm]:
        """Give the domain its vNVDIMMs, before its firmware runs.

        Args:
            backings: what they are made of, in slot order; none: nothing is done.
            persistence: the host's persistence domain (``memory_controller``, ``cpu_cache``) for the guest to know.
            slots: how many vNVDIMMs the domain may come to have.
            places: slot, address and serial number of each, for a domain that had them before; by default they are
                chosen.

        Returns:
            the vNVDIMMs in their places.

        Raises:
            XlpyError: placement, label areas, space for the tables, or a hypercall; nothing is left behind then.
        """
        from xlpy.firmware.dm_acpi import build_stream

        if not backings:
            return []
        if self._record is not None:
            raise Conflict(f"domain {self.domid} has a device model already")
        count = max(slots, len(backings))
        check_slots(count)
        ram = self._ram()
        devices: list[Vnvdimm] = []
        for number, backing in enumerate(backings):
            device = self._place(backing, ram, devices)
            if places is not None:
                slot, gpa, serial = places[number]
                device = device._replace(slot=slot, gpa=gpa, serial=serial)
            devices.append(device)
        self._devices, self._fit = devices, None
        self._record = {
            "slots": count,
            "persistence": persistence,
            "server": None,
            "changed": False,
            "events": [],
            "scan": None,
        }
        with ExitStack() as undo:
            undo.callback(self._forget)
            stream = build_stream(self.entries())
            area = self._area(len(stream), ram)
            for device in devices:
                self._map(device, undo)
            dmacpi.hand_over(stream, area, self.domid, self._domain.memory, self._xenstore, undo)
            if not self._layout.populated:
                self._record["server"] = self._register(undo)
            self._update()
            self._save_devices()
            undo.pop_all()
        return devices

    def restart(self) -> None:
        """The domain was soft-reset: a new device model takes over the same vNVDIMMs, and guest memory stays as it is.

        Raises:
            XlpyError: a hypercall; then the domain has no vNVDIMMs.
        """
        if self._record is None:
            return
        if self._record["server"] is not None:
            self._calls.dm_destroy(self.domid, self._record["server"])
        for device in self.devices:
            self._unmap(device)
        with ExitStack() as undo:
            for device in self.devices:
                self._map(device, undo)
            server = None if self._layout.populated else self._register(undo)
            undo.pop_all()
        self._devices = [device._replace(released=False) for device in self.devices]
        self._port = None
        self._save_devices()
        self._update(server=server, changed=False, events=[], scan=None)

    def check_node(self, path: str, node: int) -> None:
        """Constraint: the domain has no such NUMA node; ``path`` of the backing is for the message."""
        nodes = len(self._nodes().distances)
        if node >= nodes:
            raise Constraint(
                f"{path}: the domain has no NUMA node {node}; its nodes are 0 to {nodes - 1}",
                code="XLPY-NODE",
                hint="leave node out, or write node=0",
            )

    # -- steps --------------------------------------------------------------------------------------------------------

    def _place(
        self,
        backing: Backing,
        ram: GuestRam,
        others: Sequence[Vnvdimm],
        slot: int | None = None,
        busy: Sequence[Span[Gpa]] = (),
    ) -> Vnvdimm:
        """Check a backing and find it a place and an identity."""
        check_backing(backing)
        self.check_node(backing.path, backing.node)
        gpa = place(backing, ram, [*(other.span for other in others), *busy])
        serial = serial_number(backing.identity, [other.serial for other in others])
        device = Vnvdimm(len(others) if slot is None else slot, gpa, backing, serial)
        labels = self.labels(device)
        if labels is not None:
            labels.check()
        return device

    def _map(self, device: Vnvdimm, undo: ExitStack) -> None:
        """Map a vNVDIMM's host memory; when any part fails the hypervisor undoes all of it."""
        batch = [PmemExtent(gfn_of(gpa), mfn_of(span.start), span.size // PAGE) for gpa, span in device.extents()]
        done = 0
        while done < len(batch):
            done = self._calls.memory_pmem_map(self.domid, batch, done, read_only=device.backing.read_only)
        undo.callback(self._unmap, device)

    def _area(self, length: int, ram: GuestRam) -> Span[Gpa]:
        area = dmacpi.area_for(length, ram.low_end)
        firmware = Span.between(self._layout.acpi_info, Gpa(self._layout.mailbox + PAGE))
        if self._layout.populated and area.overlaps(firmware):
            raise Constraint(f"the dm-acpi area {area} overlaps the firmware's own {firmware}")
        return area

    def _register(self, undo: ExitStack) -> int:
        """Become the emulator behind the mailbox page."""
        server = self._calls.dm_create_ioreq_server(self.domid)
        undo.callback(self._calls.dm_destroy, self.domid, server)
        start = self._layout.mailbox
        self._calls.dm_map_io_range(self.domid, server, abi.XEN_DMOP_IO_RANGE_MEMORY, start, start + PAGE - 1)
        self._calls.dm_set_state(self.domid, server, True)
        return server
