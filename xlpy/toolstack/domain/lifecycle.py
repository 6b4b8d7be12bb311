"""Creating, finding, pausing and ending domains."""

from __future__ import annotations

from xlpy.errors import Conflict, FirmwareStopped, NotFound, UsageError
from xlpy.toolstack.domain.record import forget, load, named, save, vm_path
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.devicemodel.model import DeviceModel
    from xlpy.dom0.emulated import EmulatedDom0
    from xlpy.dom0.xenstore.daemon import XenStore
    from xlpy.hypervisor.domain import Domain
    from xlpy.hypervisor.xen import Xen
    from xlpy.store import Store
    from xlpy.toolstack.config.domain_config import DomainConfig
    from xlpy.toolstack.domain.build import Builder
    from xlpy.toolstack.domain.monitor import Outcome
    from xlpy.toolstack.domain.running import Running

BOOTED = "booted"  # in libxl's table: when Dom0 came up, seconds since the epoch


def _quiet(_text: str) -> None:
    """The default callback: discard."""


class Lifecycle:
    """The toolstack of one host. The caller of what changes something holds ``Host.change``.

    Args:
        xen, xenstore, store: the actors, and where libxl keeps its records.
        dom0: gives the kernel when it is asked for something.
        labels: folder of the vNVDIMMs' label areas.
        dumps: folder of core dumps.
    """

    def __init__(
        self,
        xen: Xen,
        dom0: Callable[[], EmulatedDom0],
        xenstore: XenStore,
        store: Store,
        labels: str,
        dumps: str,
    ) -> None:
        self.xen = xen
        self._dom0 = dom0
        self.xenstore = xenstore
        self.store = store
        self.labels = labels
        self.dumps = dumps

    @property
    def dom0(self) -> EmulatedDom0:
        """Dom0's kernel."""
        return self._dom0()

    def start(self, now: float) -> None:
        """Dom0 has come up at ``now`` (seconds since the epoch): it finds itself in xenstore (xen-init-dom0)."""
        connection = self.xenstore.connection(0)
        home = "/local/domain/0"
        for path, value in (
            ("/@introduceDomain", ""),
            ("/@releaseDomain", ""),
            ("/tool/xenstored", f"/usr/lib/xen-{self.xen.version}/bin/oxenstored"),
            (f"{home}/domid", "0"),
            (f"{home}/name", "Domain-0"),
            *((f"{home}/control/feature-{feature}", "1") for feature in ("poweroff", "reboot", "suspend")),
            ("/local/pool/0/name", "Pool-0"),
        ):
            connection.write(path, value)
        self.store.table("libxl").put(BOOTED, now)

    # -- making and ending ----------------------------------------------------------------------------------------

    def builder(self, step: Callable[[str], None] = _quiet) -> Builder:
        """A builder that reports its steps."""
        from xlpy.toolstack.domain.build import Builder

        return Builder(self.xen, self.dom0, self.xenstore, self.store, self.labels, step)

    def check(self, config: DomainConfig) -> None:
        """Everything that can be found wrong with a configuration before anything is made."""
        self.builder().rehearse(config)

    def create(
        self,
        config: DomainConfig,
        paused: bool = False,
        step: Callable[[str], None] = _quiet,
        monitored: bool = True,
    ) -> int:
        """Build a domain and start it; its domid.

        When its firmware crashes, ``on_crash`` is carried out, restarts included, up to ``monitor.STARTS`` starts.
        Nothing follows, now or later, when it is not ``monitored``.

        Raises:
            FirmwareStopped: the firmware crashed; what ``on_crash`` says has been done. XlpyError: as ``Builder``.
        """
        crashes = 0
        while True:
            try:
                domid = self.builder(step).create(config, paused, crashes)
            except FirmwareStopped as stopped:
                if stopped.domid is None:
                    raise
                self._note_monitored(stopped.domid, monitored)
                from xlpy.toolstack.domain.monitor import Monitor

                crashes, paused = crashes + 1, False
                action = config.on_crash if monitored else "preserve"
                again = Monitor(self, step).crashed_at_start(stopped.domid, action, crashes, stopped)
                if again is None:
                    self.store.keep()  # the crash is the guest's, and what on_crash says has been done
                    raise
                config = again
            else:
                self._note_monitored(domid, monitored)
                return domid

    def _note_monitored(self, domid: int, monitored: bool) -> None:
        if not monitored:
            save(self.store, load(self.store, domid)._replace(monitored=False))

    def destroy(self, domid: int) -> None:
        """End a domain at once: device model, xenstore, memory; its persistent memory is left as it is."""
        from xlpy.toolstack.domain.clearing import clear_rows
        from xlpy.toolstack.domain.model import device_model
        from xlpy.toolstack.domain.terminals import Terminals

        calls = self.xen.hypercalls(0)
        self.xen.domain(domid)  # NotFound, before anything is touched
        vm = vm_path(self.xenstore, load(self.store, domid))
        device_model(self.xen, self.xenstore, self.store, domid).destroy()
        self.unpin(domid)
        calls.domctl_destroydomain(domid)
        clear_rows(self.xenstore, domid, vm)
        self.xenstore.release(domid)
        forget(self.store, domid)
        Terminals(self.store).close(domid)

    def device_model(self, domid: int) -> DeviceModel:
        """The device model of a domain, for its vNVDIMMs."""
        from xlpy.toolstack.domain.model import device_model

        return device_model(self.xen, self.xenstore, self.store, domid)

    def unpin(self, domid: int) -> None:
        """Give the backings of a domain back to Dom0."""
        self.dom0.release(f"domain {domid}")

    # -- finding --------------------------------------------------------------------------------------------------

    def domid(self, domain: str) -> int:
        """A domid from what a user wrote: all digits is a domid, anything else an exact name.

        Raises:
            NotFound: no such domain.
        """
        if domain.isascii() and domain.isdigit():
            found = int(domain) if len(domain) < 10 and self.xen.find(int(domain)) is not None else None
            problem = f"Domain '{domain}' does not exist."
        else:
            found = named(self.xenstore, domain) if domain else None
            problem = f"{domain or repr(domain)} is an invalid domain identifier"
        if found is None:
            raise NotFound(problem, hint="xlpy list shows the domains")
        return found

    def guest(self, domid: int) -> Domain:
        """A domain that is not Dom0. Conflict for Dom0."""
        if domid == 0:
            raise Conflict("domain 0 runs the host: this is done to guests only", hint="xlpy list shows the domains")
        return self.xen.domain(domid)

    def running(self, domid: int) -> Running:
        """A running domain with its device model connected. NotFound for Domain-0, which has no firmware here."""
        from xlpy.toolstack.domain.running import Running

        if domid == 0:
            raise NotFound("domain 0 is the host's own", hint="xlpy acpi dump --host shows the host's tables")
        domain = self.xen.domain(domid)
        record = load(self.store, domid)
        if record.vnvdimms:
            from xlpy.toolstack.domain.model import device_model

            device_model(self.xen, self.xenstore, self.store, domid).connect()
        return Running(domain, record, self.xen.hw)

    # -- holding and naming ---------------------------------------------------------------------------------------

    def pause(self, domid: int, dry_run: bool = False) -> int:
        """Keep a domain from running; pauses are counted. Returns the count. Conflict for Dom0."""
        domain = self.guest(domid)
        if dry_run:
            return domain.pause_count + 1
        self.xen.hypercalls(0).domctl_pausedomain(domid)
        return domain.pause_count

    def unpause(self, domid: int, dry_run: bool = False) -> int | None:
        """Take one pause back; then the guest acts on what it was asked meanwhile.

        Returns:
            pauses that are left, or None when it was not paused.

        Raises:
            Conflict: for Dom0.
        """
        domain = self.guest(domid)
        if not domain.paused:
            return None
        if dry_run:
            return domain.pause_count - 1
        self.xen.hypercalls(0).domctl_unpausedomain(domid)
        self.wake(domid)
        return domain.pause_count

    def rename(self, domid: int, name: str, dry_run: bool = False) -> str:
        """Give a domain another name; the old one. As in xl, an empty name is one.

        Raises:
            Conflict: the name is taken, or it is Dom0. UsageError: a name that xenstore cannot hold.
        """
        from xlpy.dom0.xenstore.node import PAYLOAD_MAX
        from xlpy.toolstack.domain.build import refuse_name
        from xlpy.toolstack.domain.stored_config import current

        self.guest(domid)
        if len(name.encode(errors="surrogateescape")) > PAYLOAD_MAX:
            raise UsageError(
                f"a name has at most {PAYLOAD_MAX} bytes, this one {len(name.encode(errors='surrogateescape'))}",
                hint="xlpy rename DOMAIN NAME",
            )
        refuse_name(self.xenstore, name, but=domid)
        record = load(self.store, domid)
        if not dry_run:
            with self.xenstore.connection(0).transaction() as tree:
                tree.write(f"/local/domain/{domid}/name", name)
                tree.write(f"{vm_path(self.xenstore, record)}/name", name)
            renamed = record._replace(name=name)
            save(self.store, renamed._replace(config=current(renamed)))
        return record.name

    # -- what follows ---------------------------------------------------------------------------------------------

    def wake(self, domid: int) -> None:
        """Let the guest of a domain act on what it was asked."""
        from xlpy.toolstack.domain.guest import ModelGuest

        ModelGuest(self.xen.domain(domid), self.xenstore).answer()

    def settle(self, step: Callable[[str], None] = _quiet) -> list[Outcome]:
        """Carry out what is to follow for every domain that has shut down in this process (``on_poweroff``, ...)."""
        if not self.xen.ended:
            return []
        from xlpy.toolstack.domain.monitor import Monitor

        ended, self.xen.ended = self.xen.ended, []
        return Monitor(self, step).settle(ended)
