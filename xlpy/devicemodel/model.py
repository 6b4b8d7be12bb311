"""The device model of one domain: it answers for the domain's vNVDIMMs as long as the domain lives.

Every command is a process of its own: what must be remembered is in a table, and is read when it is needed.
"""

from __future__ import annotations

from xlpy import abi
from xlpy.addr import PAGE, Gfn, Gpa, Spa, Span, gfn_of
from xlpy.contexts import ExitStack, suppress
from xlpy.devicemodel import dmacpi
from xlpy.devicemodel.backing import Vnvdimm
from xlpy.devicemodel.placement import GuestRam
from xlpy.errors import Conflict, HypercallError, XlpyError
from xlpy.firmware.e820 import E820_RAM
from xlpy.firmware.layout import FOUR_GIB, XEN_HVM
from xlpy.functions import cached_property
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xlpy.devicemodel.ars import Ars, Scan
    from xlpy.devicemodel.labels import LabelStore
    from xlpy.devicemodel.mailbox import Port, Request
    from xlpy.devicemodel.smart import Smart
    from xlpy.dom0.xenstore.daemon import Connection
    from xlpy.firmware.dm_acpi import DmAcpiEntry
    from xlpy.firmware.layout import GuestLayout
    from xlpy.firmware.platform import Vnuma
    from xlpy.hw.health import Thresholds
    from xlpy.hypervisor.domain import Domain
    from xlpy.hypervisor.hypercalls import Hypercalls
    from xlpy.hypervisor.mmio import IoRequest
    from xlpy.hypervisor.xen import Xen
    from xlpy.table import Table

ROOT_PATH = "\\_SB.NVDR"
NOTIFY_FIT = 0x80  # to the root device: evaluate _FIT again (ACPI 6.5, 5.6.6)
NOTIFY_ERROR = 0x81  # to the root device: memory has gone bad, scrub
NOTIFY_HEALTH = 0x81  # to a child of it: its health has changed, ask for it


class DeviceModel:
    """The device model of a domain.

    Args:
        xen: the hypervisor; the device model runs in Dom0.
        domain: whose device model it is.
        xenstore: a connection that may write below the domain's ``hvmloader``.
        table: where the device models keep their state. The caller holds a ``Store.transaction`` around what changes
            something; what a guest's request changes is kept at once.
        layout: where the mailbox is.
    """

    def __init__(
        self, xen: Xen, domain: Domain, xenstore: Connection, table: Table, layout: GuestLayout = XEN_HVM
    ) -> None:
        self.domid = domain.domid
        self._xen = xen
        self._domain = domain
        self._xenstore = xenstore
        self._table = table
        self._layout = layout
        self._port: Port | None = None
        self._record: dict[str, Any] | None = table.get(self._key("state"))
        self._devices: list[Vnvdimm] | None = None
        self._fit: bytes | None = None

    @cached_property
    def _calls(self) -> Hypercalls:
        return self._xen.hypercalls(0)

    # -- ending -------------------------------------------------------------------------------------------------------

    def destroy(self) -> None:
        """Take everything back: mailbox, mappings, xenstore keys, state. Labels and data stay. Never fails half-way."""
        if self._record is None:
            return
        with ExitStack() as undo:
            undo.callback(self._forget)
            undo.callback(_tolerate, self._xenstore.rm, dmacpi.key(self.domid))
            for device in self.devices:
                undo.callback(_tolerate, self._unmap, device)
            if self._record["server"] is not None:
                undo.callback(_tolerate, self._calls.dm_destroy, self.domid, self._record["server"])

    # -- what the guest and its tables see ----------------------------------------------------------------------------

    @property
    def devices(self) -> list[Vnvdimm]:
        """The vNVDIMMs by slot."""
        if self._devices is None:
            rows = self._table.items(self._key("device/"))
            self._devices = sorted((Vnvdimm.from_json(row) for _, row in rows), key=lambda device: device.slot)
        return self._devices

    @property
    def slots(self) -> int:
        """How many vNVDIMMs the domain may come to have."""
        return int(self._started()["slots"])

    def entries(self, mailbox: Gpa | None = None, wake: int | None = None) -> list[DmAcpiEntry]:
        """What hvmloader is given: the NFIT, the SRAT that covers it, and the NVDIMM root device.

        Args:
            mailbox: another place for the mailbox than the layout's.
            wake: the I/O port through which a device model in another process hears of a request.
        """
        from xlpy.devicemodel import nfit, nvdr
        from xlpy.firmware.affinity import build_srat
        from xlpy.firmware.dm_acpi import device_entry, table_entry

        record = self._started()
        body = nvdr.body(self._layout.mailbox if mailbox is None else mailbox, record["slots"], wake)
        table = nfit.build_table(self.devices, record["persistence"])
        srat = build_srat(
            self._nodes(), [(device.span, device.backing.node) for device in self.devices], oem_table_id="vNVDIMM"
        )
        return [table_entry(table), device_entry(nvdr.DEVICE, body), table_entry(srat)]

    def connect(self) -> None:
        """Answer the guest's accesses in this process."""
        if self._record is not None and self._record["server"] is not None:
            self._xen.connect_emulator(self.domid, self._record["server"], self.handle)

    def handle(self, access: IoRequest) -> int:
        """One trapped access to the mailbox page."""
        if self._port is None:
            from xlpy.devicemodel.mailbox import Port, kept_page

            self._port = Port(kept_page(self._domain.folder), self.answer)
        offset = access.address - self._layout.mailbox
        if access.write:
            self._port.write(offset, access.size, access.value)
            return 0
        return self._port.read(offset, access.length)

    def serve(self, page: memoryview) -> bool:
        """Answer the request that waits in a mailbox page of shared RAM; whether there was one."""
        from xlpy.devicemodel.mailbox import serve

        return serve(page, self.answer)

    def answer(self, request: Request) -> bytes:
        """The output for one ``_DSM`` request; an error of ours is a hardware error to the guest."""
        from xlpy.devicemodel import dsm

        try:
            return dsm.answer(self, request)
        except XlpyError as error:
            what = f"_DSM function {request.function} of handle {request.handle:#x}"
            self._xen.console.write(f"(DM) d{self.domid} {what}: {error.message}", keep=False)
            return dsm.status(dsm.HARDWARE_ERROR)

    @property
    def events(self) -> list[tuple[str, int]]:
        """Notifications that the guest has not answered yet, oldest first, as (object, value).

        A changed FIT is answered when the guest begins to read it, an error when it starts a scrub, news of health
        when it asks for it, an eject request when it lets go.
        """
        released = {f"{ROOT_PATH}.{device.name}" for device in self.devices if device.released}
        return [
            (path, value)
            for path, value, *_ in self._started()["events"]
            if path not in released and (value != NOTIFY_FIT or self.fit_changed)
        ]

    @property
    def raised(self) -> int:
        """How many notifications there were."""
        return int(self._started().get("raised", 0))

    @property
    def untold(self) -> bool:
        """Whether there is a notification that the guest's AML has not fetched."""
        return bool(self._waiting())

    def next_event(self) -> tuple[int, int] | None:
        """The guest's AML fetches the oldest notification that it has not fetched yet, as (handle, value); or None."""
        from xlpy.devicemodel import dsm

        handles = {ROOT_PATH: dsm.ROOT_HANDLE} | {f"{ROOT_PATH}.{one.name}": one.handle for one in self.devices}
        waiting = [event for event in self._waiting() if event[1] in handles]
        if not waiting:
            return None
        number, path, value = waiting[0]
        self._edit(lambda _: {"told": number})
        return handles[path], value

    def _waiting(self) -> list[tuple[int, str, int]]:
        """Notifications that the guest's AML has not fetched, oldest first, as (number, object, value)."""
        record = self._started()
        every = ((number, path, value) for path, value, *numbers in record["events"] for number in numbers)
        return sorted(event for event in every if event[0] > record.get("told", 0))

    def power_on(self) -> None:
        """A guest that starts finds out for itself what was notified before."""
        self._edit(lambda record: {"told": record.get("raised", 0)})

    def media_error(self) -> None:
        """Memory of a vNVDIMM has gone bad: notify the guest that a scrub will find an error."""
        self._notify(ROOT_PATH, NOTIFY_ERROR)

    def health_changed(self, spans: Sequence[Span[Spa]], alarming: bool) -> list[str]:
        """The health of DIMMs under ``spans`` has changed: notify the guest for each affected vNVDIMM; their names.

        Args:
            spans: host physical.
            alarming: whether it is worth that by the host's thresholds; a guest may have set its own.
        """
        concerned = [
            device
            for device in self.devices
            if device.backing.smart
            and any(mine.overlaps(span) for mine in device.backing.spans for span in spans)
            and (self._alarming(device) if self._limits(device) else alarming)
        ]
        for device in concerned:
            self._notify(f"{ROOT_PATH}.{device.name}", NOTIFY_HEALTH)
        return [device.name for device in concerned]

    # -- what the functions of _DSM work on ---------------------------------------------------------------------------

    @property
    def ars(self) -> Ars:
        """Scrub functions over the host's poison list."""
        from xlpy.devicemodel.ars import Ars, HostMedia, Scan

        scan = self._started()["scan"]
        return Ars(HostMedia(self._xen, self.domid), self.devices, None if scan is None else Scan(*scan), self._scanned)

    def labels(self, device: Vnvdimm) -> LabelStore | None:
        """The label area of a vNVDIMM."""
        from xlpy.devicemodel.labels import LabelStore

        backing = device.backing
        return None if backing.label_path is None else LabelStore(backing.label_path, backing.label_size)

    def smart(self, device: Vnvdimm) -> Smart | None:
        """The current health of the DIMMs under a vNVDIMM: other commands change it while a guest runs."""
        from xlpy.devicemodel.smart import told

        self._xen.hw.reread_health()
        found, limits = told(self._xen.hw, device.backing.spans), self._limits(device)
        if found is None or limits is None:
            return found
        return found._replace(limits=limits, alarms=limits.alarms(found.health))

    def set_limits(self, device: Vnvdimm, limits: Thresholds) -> None:
        """The guest chooses when it is alarmed; the DIMMs keep their own thresholds."""
        chosen = {str(device.slot): [device.serial, limits._asdict()]}
        self._edit(lambda record: {"limits": record.get("limits", {}) | chosen})

    def _limits(self, device: Vnvdimm) -> Thresholds | None:
        """What the guest has set for a vNVDIMM, not for one that was in its slot before."""
        from xlpy.hw.health import Thresholds

        serial, fields = self._started().get("limits", {}).get(str(device.slot), (None, {}))
        return Thresholds.from_json(fields) if serial == device.serial else None

    def _alarming(self, device: Vnvdimm) -> bool:
        found = self.smart(device)
        return found is not None and found.limits.worth_telling(found.health)

    def health_begun(self, device: Vnvdimm) -> None:
        """The guest asks how a vNVDIMM is."""
        self._answered(f"{ROOT_PATH}.{device.name}", NOTIFY_HEALTH)

    @property
    def fit(self) -> bytes:
        """What ``_FIT`` returns."""
        if self._fit is None:
            self._fit = bytes.fromhex(self._table.get(self._key("fit"), ""))
        return self._fit

    @property
    def fit_changed(self) -> bool:
        """Whether the guest has not begun to read the FIT since it changed last."""
        return bool(self._started()["changed"])

    def fit_begun(self) -> None:
        """The guest reads the FIT from its start."""
        if self.fit_changed:
            self._edit(lambda _: {"changed": False})

    def release(self, device: Vnvdimm) -> None:
        """The guest has let go of a vNVDIMM (``_EJ0``); from now on ``unplug`` takes it away."""
        with self._table.transaction("releasing a vNVDIMM"):
            self.reread()
            self._devices = [one._replace(released=True) if one.slot == device.slot else one for one in self.devices]
            self._save_devices()

    # -- steps --------------------------------------------------------------------------------------------------------

    def _ram(self) -> GuestRam:
        rows = [row for row in self._calls.memory_memory_map(self.domid) if row.type == E820_RAM]
        low = max((row.end for row in rows if row.start < FOUR_GIB), default=Gpa(0))
        high = max((row.end for row in rows), default=Gpa(0))
        return GuestRam(Gpa(min(low, FOUR_GIB)), high, self._domain.physical_bits)

    def _nodes(self) -> Vnuma:
        """The domain's virtual NUMA nodes; one that has everything when it was given none."""
        from xlpy.firmware.platform import Vnuma, VnumaRange

        try:
            return self._calls.memory_get_vnumainfo(self.domid)
        except HypercallError as error:
            if error.errno != abi.EOPNOTSUPP:
                raise
        ram = self._ram()
        spans = [VnumaRange(Gpa(0), ram.low_end, 0)]
        if ram.high_end > FOUR_GIB:
            spans.append(VnumaRange(Gpa(FOUR_GIB), ram.high_end, 0))
        return Vnuma((0,) * self._domain.max_vcpus, ((10,),), tuple(spans))

    def _unmap(self, device: Vnvdimm) -> None:
        frames: Span[Gfn] = Span(gfn_of(device.gpa), device.backing.size // PAGE)
        self._calls.memory_pmem_unmap(self.domid, [frames])

    # -- state --------------------------------------------------------------------------------------------------------

    def _key(self, what: str) -> str:
        return f"{self.domid}/{what}"

    def _started(self) -> dict[str, Any]:
        if self._record is None:
            raise Conflict(
                f"domain {self.domid} was started without vNVDIMMs: its tables have no NVDIMM root device",
                code="XLPY-NO-NVDR",
                hint="put a vnvdimm entry in its configuration and start it again",
            )
        return self._record

    def _update(self, **fields: Any) -> None:  # noqa: ANN401 - JSON
        record = self._started()
        record.update(fields)
        self._table.put(self._key("state"), record)

    def reread(self) -> None:
        """Forget what was read of the state: another process may have changed it."""
        if self._record is not None:
            self._record = self._table.get(self._key("state"))
        self._devices = self._fit = None

    def _edit(self, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Set the fields that ``edit`` makes of the state as it is now, whoever has changed it."""
        with self._table.transaction(f"the device model of domain {self.domid}"):
            self.reread()
            self._update(**edit(self._started()))

    def _notify(self, path: str, value: int) -> None:
        def edit(record: dict[str, Any]) -> dict[str, Any]:
            number = record.get("raised", 0) + 1
            others = [event for event in record["events"] if event[:2] != [path, value]]
            return {"events": [*others, [path, value, number]], "raised": number}

        self._edit(edit)

    def _answered(self, path: str, value: int) -> None:
        if any(event[:2] == [path, value] for event in self._started()["events"]):
            self._edit(lambda now: {"events": [event for event in now["events"] if event[:2] != [path, value]]})

    def _scanned(self, scan: Scan) -> None:
        self._edit(lambda _: {"scan": list(scan)})
        self._answered(ROOT_PATH, NOTIFY_ERROR)

    def _save_devices(self) -> None:
        from xlpy.devicemodel.nfit import build_fit

        rows = {self._key(f"device/{device.slot:03}"): device.to_json() for device in self.devices}
        for key in self._table.keys(self._key("device/")):
            if key not in rows:
                self._table.delete(key)
        for key, row in rows.items():
            self._table.put(key, row)
        self._fit = build_fit(self.devices, self._started()["persistence"])
        self._table.put(self._key("fit"), self._fit.hex())

    def _forget(self) -> None:
        for key in self._table.keys(self._key("")):
            self._table.delete(key)
        self._record = self._devices = self._fit = self._port = None


def _tolerate(act: Callable[..., object], *args: object) -> None:
    """Undo a step of something that may be half gone."""
    with suppress(XlpyError):
        act(*args)
