"""Booting a domain: from what ``create`` left to a kernel that runs on it, and back.

    boot = Boot(xen, xenstore, store, domid, Options(kernel=Path("bzImage")), note=print)
    outcome = boot.run(out=1)

A boot is a power-on. hvmloader runs afresh on a copy of the domain's RAM, so the domain stays what ``create`` made of
it and can be booted again and again; only its persistent memory and label areas, which are the host's, keep what the
guest did. When the guest powers off, the domain is recorded as shut down, with the reason; what follows from that
(``on_poweroff``) is the toolstack's business.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager

from xlpy.addr import Gpa, Spa, Span, format_size
from xlpy.boot import qemu
from xlpy.boot.console import SERIAL_LOG, keyboard
from xlpy.boot.console import run as serve_guest
from xlpy.boot.emulator import Emulator
from xlpy.boot.firmware import check_initrd as check_initrd_room
from xlpy.boot.firmware import place, run_firmware
from xlpy.boot.kernel import check_initrd, check_kernel
from xlpy.boot.memory import EmulatorMemory, RamSize
from xlpy.boot.plan import GuestNvdimm, Plan, Stretch, plan_memory
from xlpy.boot.session import ENDED, Record, refuse_booted, session, take_machine_check
from xlpy.boot.stage import copy_out, copy_stretch
from xlpy.errors import Conflict, Constraint
from xlpy.firmware.hvm_info import SIZE, parse_hvm_info
from xlpy.firmware.layout import HVM_INFO
from xlpy.hypervisor import abi
from xlpy.hypervisor.platform import GuestPlatform
from xlpy.hypervisor.ramfile import RAM_FILE
from xlpy.private import private
from xlpy.records import NamedTuple
from xlpy.toolstack.domain.model import device_model
from xlpy.toolstack.domain.record import load
from xlpy.typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import FrameType

    from xlpy.boot.firmware import Handed
    from xlpy.devicemodel.model import DeviceModel
    from xlpy.dom0.xenstore.daemon import XenStore
    from xlpy.firmware.layout import GuestLayout
    from xlpy.hypervisor.xen import Xen
    from xlpy.powercut.record import Recorder
    from xlpy.store import Store

FOLDER = "boot"  # in the domain's directory

# QEMU's reasons for a stop that the guest asked for, as Xen's reasons for a shutdown
_REASONS = {"guest-shutdown": abi.SHUTDOWN_POWEROFF, "guest-reset": abi.SHUTDOWN_REBOOT}


class Options(NamedTuple):
    """What a boot may be told.

    kernel, initrd: files. append: words for the kernel's command line. timeout: seconds for the whole run, or None.
    stage: give the guest copies of its persistent memory, so that nothing else is within reach.
    folder: where memory files go, and the RAM file stays; None: the domain's directory, and nothing stays.
    extra: further words for the emulator. record: folder for a trace of what the guest does to its vNVDIMMs.
    qemu: the emulator, see ``find_qemu``.
    """

    kernel: Path
    initrd: Path | None = None
    append: str = ""
    timeout: float | None = None
    stage: bool = False
    folder: Path | None = None
    extra: tuple[str, ...] = ()
    record: Path | None = None
    qemu: str = ""


class Outcome(NamedTuple):
    """How a boot ended. reason: ``poweroff``. seconds: of the run. requests: answered through the mailbox."""

    reason: str
    seconds: float
    requests: int


class Boot:
    """A domain about to be booted. Making one checks everything and changes nothing.

    Args:
        xen, xenstore, store: the actors.
        domid: whom.
        options: how.
        note: told what the user should know, one line at a time. step: told each step.

    Raises:
        NotFound: no such domain, kernel, initrd or emulator. MissingTool: no emulator. Conflict: the domain is booted,
        paused or dying. Constraint: it cannot be booted: not an HVM guest, too little RAM, persistent memory out of
        reach.
    """

    def __init__(
        self,
        xen: Xen,
        xenstore: XenStore,
        store: Store,
        domid: int,
        options: Options,
        note: Callable[[str], None],
        step: Callable[[str], None],
    ) -> None:
        self.options = options
        self._xen, self._xenstore, self._store = xen, xenstore, store
        self._note, self._step = note, step
        self._domain = xen.domain(domid)
        self._record = load(store, domid)
        self._refuse_state()
        self._qemu = qemu.find_qemu(options.qemu)
        kernel_end = check_kernel(options.kernel)
        self._platform = GuestPlatform(self._domain, xenstore.connection(domid).read_or_none)
        self._ram = RamSize.of(self._platform.memory_map())
        if self._ram.low > qemu.LOW_RAM:
            raise Constraint(
                f"{self._record.name} has {format_size(self._ram.low)} of RAM below 4 GiB, the emulated board at most "
                f"{format_size(qemu.LOW_RAM)}",
                code="XLPY-BOOT-MEMORY",
                hint="create the domain with mmio_hole = 1024",
            )
        self._layout: GuestLayout = place(self._ram.low, kernel_end)
        if options.initrd is not None:
            check_initrd_room(check_initrd(options.initrd), self._ram.low, self._layout)
        self._info = parse_hvm_info(self._domain.memory.read(HVM_INFO, SIZE))
        self._session = Record(
            domid,
            self._record.name,
            os.getpid(),
            self._domain.home / FOLDER if options.folder is None else options.folder.absolute() / f"domain-{domid}",
            options.folder is not None,
            (),
        )
        self.plan: Plan = self._plan()
        self._session = self._session._replace(staged=self.plan.staged)
        self._model: DeviceModel | None = device_model(xen, xenstore, store, domid) if self._record.vnvdimms else None
        self.recorder = self._make_recorder(options.record) if options.record else None
        self.complaints = ""  # the end of what the emulator wrote to stderr

    def _refuse_state(self) -> None:
        name = self._record.name
        refuse_booted(self._store, self._domain.domid)
        if not self._domain.hvm:
            raise Constraint(f"{name} is not an HVM guest: only hvmloader builds tables", hint='set type = "hvm"')
        if self._domain.dying:
            raise Conflict(f"{name} is being destroyed")
        if self._domain.paused:
            raise Conflict(f"{name} is paused", hint=f"xlpy unpause {name}")

    def _plan(self) -> Plan:
        devices = tuple(self._vnvdimms())
        limit = 1 << qemu.PHYSICAL_BITS
        for device in devices:
            if device.gpa + device.size > limit:
                raise Constraint(
                    f"{device.name} ends at guest address {device.gpa + device.size:#x}, an emulated processor has "
                    f"{qemu.PHYSICAL_BITS} address bits and ends at {limit:#x}",
                    code="XLPY-BOOT-WIDTH",
                    hint="boot a domain with smaller vNVDIMMs",
                )
        return plan_memory(
            self._session.folder / "ram",
            self._ram.low,
            self._ram.high,
            devices,
            self._session.folder,
            self._qemu.has_offset,
            self.options.stage,
        )

    def _make_recorder(self, folder: Path) -> Recorder:
        from xlpy.powercut.record import Recorder, require_version
        from xlpy.powercut.trace import Header, Window

        require_version(self._qemu.version)
        record, options, spec = self._record, self.options, self._xen.hw.spec
        features = self._domain.cpuid(7)[1]
        windows, offset, labels = [], 0, sum(one.size for one in record.vnvdimms)
        serials = {int(device.gpa): device.serial for device in self._model.devices} if self._model else {}
        for made, one in zip(self._vnvdimms(), record.vnvdimms, strict=True):
            keys = {"label_size": one.label_size, "unarmed": int(one.unarmed), "node": one.node}
            words = ",".join([f"{key}={value}" for key, value in keys.items() if value] + ["mode=ro"] * one.read_only)
            window = Window(made.name, made.gpa, made.size, offset, one.path, one.extents, one.slot + 1)
            window = window._replace(serial=serials.get(made.gpa, 0), options=words)
            windows.append(window._replace(label_size=one.label_size, labels=labels))
            offset, labels = offset + made.size, labels + one.label_size
        header = Header(
            record.name,
            windows,
            [],
            caches_survive=spec.persistence == "cpu_cache",
            persistence=spec.persistence,
            cpu_features=[name for name, bit in qemu.POLICY_BITS.items() if features >> bit & 1],
            machine={"ram": spec.ram, "cpus": spec.cpu.count, "physical_bits": spec.cpu.physical_bits},
            config=record.text,
            extra=list(record.extra),
            kernel=str(options.kernel.absolute()),
            initrd=str(options.initrd.absolute()) if options.initrd else "",
            append=options.append,
        )
        return Recorder(folder, header)

    def _vnvdimms(self) -> Iterator[GuestNvdimm]:
        hw = self._xen.hw
        for at, device in enumerate(self._record.vnvdimms):
            stretches: list[Stretch] = []
            for spa, length in device.extents:
                path, offset = hw.backing(Spa(spa))
                last = stretches[-1] if stretches else None
                if last is not None and last.path == path and last.offset + last.length == offset:
                    stretches[-1] = last._replace(length=last.length + length)
                else:
                    stretches.append(Stretch(path, offset, length))
                if hw.poison.overlapping(Span(Spa(spa), length)):
                    self._note(f"{device.path} has poisoned lines: an emulated processor reads them as they are")
            yield GuestNvdimm(f"vnvdimm{at}", device.gpa, device.size, tuple(stretches), device.read_only)

    def _label_areas(self) -> Iterator[bytes]:
        """What is in the vNVDIMMs' label areas, in their order."""
        known = {device.gpa: device for device in self._model.devices} if self._model else {}
        for one in self._record.vnvdimms:
            area = self._model.labels(known[Gpa(one.gpa)]) if self._model and Gpa(one.gpa) in known else None
            yield area.read(0, area.size) if area is not None else b""

    # -- what would be done ---------------------------------------------------------------------------------------

    def command(self) -> list[str]:
        """The emulator's command line, with the firmware run in memory that is thrown away."""
        fd = os.memfd_create("ram")
        try:
            handed = self._firmware(fd)
        finally:
            os.close(fd)
        return self._command(handed)

    def _command(self, handed: Handed) -> list[str]:
        options, domain = self.options, self._domain
        line = qemu.kernel_command_line(handed.rsdp, handed.e820, options.append)
        features = domain.cpuid(7)[1]
        off = [name for name, bit in qemu.POLICY_BITS.items() if not features >> bit & 1]
        online = sum(self._info.online(vcpu) for vcpu in range(self._info.nr_vcpus))
        extra, nodes = options.extra, self._platform.vnuma()
        apart = nodes is not None and len(set(nodes.vcpu_to_node)) > 1
        if self.recorder is not None:
            extra = (*self.recorder.words(self.plan.backends[0].path, self._ram.low, self._layout.mailbox), *extra)
        return qemu.command(
            self._qemu, self.plan, self._ram.low, online, options.kernel, options.initrd, line, off, extra, apart
        )

    def _firmware(self, fd: int) -> Handed:
        """Fill a RAM file and run the firmware in it."""
        os.ftruncate(fd, self._ram.total)
        ram = self._domain.files.path(RAM_FILE)
        copy_stretch(Stretch(ram, 0, min(self._ram.total, ram.stat().st_size)), fd, 0)
        memory = EmulatorMemory(fd, self._ram)
        return run_firmware(self._platform, memory, self._layout, self._ram.low, self._model, self._step)

    # -- doing it -------------------------------------------------------------------------------------------------

    def run(self, out: int) -> Outcome:
        """Boot, and stay until the guest ends.

        Args:
            out: descriptor for the serial console.

        Raises:
            Constraint: another command ended the domain (XLPY-BOOT-ENDED), time was up (XLPY-BOOT-TIMEOUT), the guest
                reset itself (XLPY-BOOT-RESET), the emulator failed
                (XLPY-BOOT-QEMU), or staged data could not be copied back (XLPY-BOOT-STAGE).
            Conflict: the domain is booted already.
        """
        started = time.monotonic()
        deadline = None if self.options.timeout is None else started + self.options.timeout
        for note in self.plan.notes:
            self._note(note)
        with _ending_signals():
            with session(self._store, self._session) as lock, self._ending():
                self._power_on()
                fd, words = self._lay_out()
                try:
                    doorbell = self._doorbell(fd)
                    self._step(f"starting {words[0]}")
                    with Emulator(words, lock) as emulator, keyboard() as source:
                        with self._serial_log() as log:
                            bell = doorbell and self._with_machine_checks(doorbell, emulator)
                            done = serve_guest(emulator, out, source, deadline, bell, log)
                        status = None if done.timed_out else emulator.finish()
                        self.complaints = emulator.complaints
                finally:
                    os.close(fd)
            for device in self.plan.staged:
                if device.read_only:
                    continue
                self._note(f"{device.name}: staged data is back on the media")
            if status is None:
                raise Constraint(
                    f"{self._record.name} did not power off within {self.options.timeout:g} s",
                    code="XLPY-BOOT-TIMEOUT",
                    hint="raise --timeout; the guest's persistent memory has what it wrote so far",
                    details=_last_lines(done.tail),
                )
            reason = _REASONS.get(emulator.reason or "")
            if status or reason is None:
                how = f"ended with status {status}" if status >= 0 else f"was killed by signal {-status}"
                raise Constraint(
                    f"{words[0]} {how}",
                    code="XLPY-BOOT-QEMU",
                    hint="--print-command shows how it was started",
                    details=_last_lines(emulator.complaints),
                )
            self._shut_down(reason)
            if reason != abi.SHUTDOWN_POWEROFF:
                raise Constraint(
                    f"{self._record.name} reset itself instead of powering off: a panic, a triple fault or a reboot",
                    code="XLPY-BOOT-RESET",
                    hint="see the guest's console",
                    details=_last_lines(done.tail),
                )
        return Outcome("poweroff", round(time.monotonic() - started, 3), done.requests)

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """Tell it when another command has asked for the end."""
        try:
            yield
        except SystemExit:
            if not (self._session.folder / ENDED).exists():
                raise
            raise Constraint(
                f"{self._record.name} was ended by another command while its guest ran",
                code="XLPY-BOOT-ENDED",
                hint="the guest's persistent memory has what it wrote so far",
            ) from None

    @contextmanager
    def _serial_log(self) -> Iterator[int | None]:
        """The file that keeps what the guest says on its serial port (``xlpy console``); None without room for it."""
        path = self._domain.home / SERIAL_LOG
        try:
            log = private(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        except OSError:
            yield None
            return
        try:
            yield log
        finally:
            os.close(log)

    def _power_on(self) -> None:
        """A domain that had shut down comes up again."""
        if self._domain.shutdown_code is not None:
            with self._store.transaction(f"booting {self._record.name}"):
                self._xen_now().hypercalls(0).domctl_resumedomain(self._domain.domid)

    def _shut_down(self, reason: int) -> None:
        """Record that the guest has ended, unless the domain was destroyed meanwhile."""
        with self._store.transaction(f"{self._record.name} has ended"):
            now = self._xen_now()
            if now.find(self._domain.domid) is not None:
                now.hypercalls(self._domain.domid).sched_shutdown(abi.DOMID_SELF, reason)

    def _xen_now(self) -> Xen:
        """The hypervisor as other processes have left it; what this one has read may be old."""
        from xlpy.hypervisor.xen import Xen

        return Xen(self._xen.hw, self._store)

    def _lay_out(self) -> tuple[int, list[str]]:
        """Make all files; the RAM file's descriptor, and the emulator's command line."""
        for backend in self.plan.backends:
            if backend.kind == "filler":
                with open(backend.path, "wb", opener=private) as gap:
                    gap.truncate(backend.size)
        for device in self.plan.staged:
            self._step(f"staging {device.name}: {format_size(device.size)}")
            copy_out(device, self._session.stage_file(device))
        if self.recorder is not None:
            self._step("keeping the vNVDIMMs as they are before the run")
            pieces = [piece for device in self._vnvdimms() for piece in device.stretches]
            self.recorder.begin(pieces, self._label_areas())
        fd = self._ram_file()
        try:
            return fd, self._command(self._firmware(fd))
        except BaseException:
            os.close(fd)
            raise

    def _ram_file(self) -> int:
        """A descriptor of the RAM file: on disk when it is to stay, else in memory.

        A page of a file on disk costs its file system at the first store, a tenth of the time of a boot in all.
        """
        ram, *others = self.plan.backends
        if self.options.folder is not None:
            return private(ram.path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        fd = os.memfd_create("ram")
        here = type(ram.path)(f"/proc/{os.getpid()}/fd/{fd}")
        self.plan = self.plan._replace(backends=(ram._replace(path=here), *others))
        return fd

    def _with_machine_checks(self, doorbell: Callable[[], bool], emulator: Emulator) -> Callable[[], bool]:
        """Answers what waits, and passes on machine checks that other commands leave."""

        def look() -> bool:
            check = take_machine_check(self._session.folder)
            if check is not None:
                emulator.machine_check(check)
            return doorbell()

        return look

    def _doorbell(self, fd: int) -> Callable[[], bool] | None:
        """Answers the request that waits in the mailbox."""
        if self._model is None:
            return None
        model, page = self._model, EmulatorMemory(fd, self._ram).page(self._layout.mailbox)
        return lambda: model.serve(page)


@contextmanager
def _ending_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the process as an exception would, so that everything is put in order first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    saved = [(number, signal.signal(number, leave)) for number in (signal.SIGTERM, signal.SIGHUP)]
    try:
        yield
    finally:
        for number, handler in saved:
            signal.signal(number, handler)


def _last_lines(text: str, count: int = 8) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()][-count:]
