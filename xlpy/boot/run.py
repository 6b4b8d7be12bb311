"""Booting a domain: from what ``create`` left to a kernel that runs on it, and back.

    boot = Boot(xen, xenstore, store, domid, BootOptions(kernel=Path("bzImage")), note=print)
    outcome = boot.run(out=1)

A boot is a power-on. hvmloader runs afresh on a copy of the domain's RAM, so the domain stays what ``create`` made of
it and can be booted again and again; only its persistent memory and label areas, which are the host's, keep what the
guest did. When the guest powers off, the domain is recorded as shut down, with the reason; what follows from that
(``on_poweroff``) is the toolstack's business.
"""

from __future__ import annotations

import os
import time

from xlpy import abi
from xlpy.addr import Spa, Span, format_size
from xlpy.boot import qemu
from xlpy.boot.console import SERIAL_LOG, GuestRun, keyboard
from xlpy.boot.devices import guest_nvdimms
from xlpy.boot.emulator import Emulator
from xlpy.boot.firmware import check_initrd_fits, place, run_firmware
from xlpy.boot.following import Follower
from xlpy.boot.kernel import check_initrd, check_kernel
from xlpy.boot.memory import EmulatorMemory, RamSize
from xlpy.boot.modules import Modules
from xlpy.boot.plan import Means, MemoryPlan, Stretch, plan_memory
from xlpy.boot.session import ENDED, Record, refuse_booted, remember, session
from xlpy.boot.signals import ending_signals
from xlpy.boot.smbios import files, write
from xlpy.boot.stage import copy_out, copy_stretch
from xlpy.contexts import contextmanager
from xlpy.errors import Conflict, Constraint
from xlpy.firmware.hvm_info import SIZE, parse_hvm_info
from xlpy.firmware.layout import HVM_INFO
from xlpy.functions import partial
from xlpy.hypervisor.platform import GuestPlatform
from xlpy.hypervisor.ramfile import RAM_FILE
from xlpy.private import private
from xlpy.records import NamedTuple
from xlpy.toolstack.domain.model import device_model
from xlpy.toolstack.domain.record import load
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xlpy.boot.firmware import Handed
    from xlpy.boot.options import BootOptions
    from xlpy.devicemodel.model import DeviceModel
    from xlpy.dom0.xenstore.daemon import XenStore
    from xlpy.firmware.layout import GuestLayout
    from xlpy.hypervisor.xen import Xen
    from xlpy.powercut.record import Recorder
    from xlpy.store import Store

FOLDER = "boot"  # in the domain's directory

# QEMU's reasons for a stop that the guest asked for, as Xen's reasons for a shutdown
_REASONS = {"guest-shutdown": abi.SHUTDOWN_POWEROFF, "guest-reset": abi.SHUTDOWN_REBOOT}


class BootOutcome(NamedTuple):
    """How a boot ended. reason: ``poweroff``. seconds: of the run. requests: answered through the mailbox."""

    reason: str
    seconds: float
    requests: int


class Boot:
    """A domain about to be booted. Making one checks everything and changes nothing.

    Args:
        xen, xenstore, store: the actors.
        domid: the domain.
        options: how.
        note: called with what the user should know, one line at a time. step: called with each step.

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
        options: BootOptions,
        note: Callable[[str], None],
        step: Callable[[str], None],
    ) -> None:
        self.options = options
        self._xen, self._xenstore, self._store = xen, xenstore, store
        self._note, self._step = note, step
        self._domain = xen.domain(domid)
        self._record = load(store, domid)
        self._refuse_state()
        self._qemu = qemu.find_qemu(options.qemu, _least(options))
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
            check_initrd_fits(check_initrd(options.initrd), self._ram.low, self._layout)
        self._info = parse_hvm_info(self._domain.memory.read(HVM_INFO, SIZE))
        self._devices = guest_nvdimms(xen.hw, self._record)
        self._note_poison()
        keep, home = options.folder is not None, self._domain.home
        folder = home / FOLDER if options.folder is None else options.folder.absolute() / f"domain-{domid}"
        self._means = Means(folder, self._qemu.has_offset, options.stage)
        self.plan: MemoryPlan = plan_memory(folder / "ram", self._ram.low, self._ram.high, self._devices, self._means)
        busy = tuple((one.gpa, one.end) for one in self.plan.modules)
        self._session = Record(
            domid, self._record.name, os.getpid(), folder, keep, self.plan.staged, busy, recorded=bool(options.record)
        )
        self._model: DeviceModel | None = device_model(xen, xenstore, store, domid) if self._record.vnvdimms else None
        self.recorder: Recorder | None = None
        if options.record:
            from xlpy.boot.recording import make_recorder

            self.recorder = make_recorder(
                options.record, options, self._qemu, self._domain, self._record, self._devices, self._model
            )
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

    def _note_poison(self) -> None:
        for one in self._record.vnvdimms:
            spans = [Span(Spa(spa), length) for spa, length in one.extents]
            if any(self._xen.hw.poison.overlapping(span) for span in spans):
                self._note(f"{one.path} has poisoned lines: an emulated processor reads them as they are")

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
            extra = (*self.recorder.words(self.plan.ram.path, self._ram.low, self._layout.mailbox), *extra)
        smbios = files(self._session.folder, handed.smbios)
        return qemu.command(
            self._qemu,
            self.plan,
            self._ram.low,
            online,
            options.kernel,
            options.initrd,
            line,
            off,
            extra,
            apart,
            smbios,
        )

    def _firmware(self, fd: int) -> Handed:
        """Fill a RAM file and run the firmware in it."""
        os.ftruncate(fd, self.plan.ram.size)
        ram = self._domain.files.path(RAM_FILE)
        copy_stretch(Stretch(ram, 0, min(self._ram.total, ram.stat().st_size)), fd, 0)
        memory = EmulatorMemory(fd, self._ram)
        return run_firmware(self._platform, memory, self._layout, self._ram.low, self._model, self._step)

    # -- doing it -------------------------------------------------------------------------------------------------

    def run(self, out: int) -> BootOutcome:
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
        with ending_signals():
            with session(self._store, self._session) as lock, self._ending():
                self._power_on()
                fd, words = self._lay_out()
                try:
                    self._step(f"starting {words[0]}")
                    with Emulator(words, lock) as emulator, keyboard() as source:
                        follower = self._follower(fd, emulator)
                        with self._serial_log() as log:
                            bell = follower.doorbell if follower else None
                            done = GuestRun(emulator, out, source, deadline, bell, log).serve()
                        status = None if done.timed_out else emulator.finish()
                        self.complaints = emulator.complaints
                finally:
                    os.close(fd)
            for device in follower.staged if follower else ():
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
        return BootOutcome("poweroff", round(time.monotonic() - started, 3), done.requests)

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """Raise when another command has asked for the end."""
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
                self._xen.afresh().hypercalls(0).domctl_resumedomain(self._domain.domid)

    def _shut_down(self, reason: int) -> None:
        """Record that the guest has ended, unless the domain was destroyed meanwhile."""
        with self._store.transaction(f"{self._record.name} has ended"):
            now = self._xen.afresh()
            if now.find(self._domain.domid) is not None:
                now.hypercalls(self._domain.domid).sched_shutdown(abi.DOMID_SELF, reason)

    def _lay_out(self) -> tuple[int, list[str]]:
        """Make all files; the RAM file's descriptor, and the emulator's command line."""
        for device in self.plan.staged:
            self._step(f"staging {device.name}: {format_size(device.size)}")
            copy_out(device, device.stage_file(self._session.folder))
        if self.recorder is not None:
            from xlpy.boot.recording import label_areas

            self._step("keeping the vNVDIMMs as they are before the run")
            pieces = [piece for device in self._devices for piece in device.stretches]
            self.recorder.begin(pieces, label_areas(self._record, self._model))
        fd = self._ram_file()
        try:
            handed = self._firmware(fd)
            write(self._session.folder, handed.smbios)
            return fd, self._command(handed)
        except BaseException:
            os.close(fd)
            raise

    def _ram_file(self) -> int:
        """A descriptor of the RAM file: on disk when it is to stay, else in memory.

        A page of a file on disk costs its file system at the first store, a tenth of the time of a boot in all.
        """
        ram = self.plan.ram
        if self.options.folder is not None:
            return private(ram.path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        fd = os.memfd_create("ram")
        here = type(ram.path)(f"/proc/{os.getpid()}/fd/{fd}")
        self.plan = self.plan._replace(ram=ram._replace(path=here))
        return fd

    def _follower(self, fd: int, emulator: Emulator) -> Follower | None:
        """The device model while the guest runs; None without vNVDIMMs."""
        if self._model is None:
            return None
        store, domid, folder = self._store, self._domain.domid, self._session.folder
        keep = partial(remember, store, domid)
        modules = Modules(self.plan, self._devices, self._means, emulator, keep, self._note)
        page = EmulatorMemory(fd, self._ram).page(self._layout.mailbox)
        return Follower(self._xen, self._xenstore, store, domid, folder, page, emulator, modules, self._note)


def _least(options: BootOptions) -> tuple[int, int]:
    """The version of QEMU that a boot needs."""
    if options.record is None:
        return (0, 0)
    from xlpy.powercut.record import OLDEST

    return OLDEST


def _last_lines(text: str, count: int = 8) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()][-count:]
