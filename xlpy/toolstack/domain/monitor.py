"""The actions after a domain has shut down: the part of xl that stays behind as a daemon after ``xl create``.

The reason of the shutdown chooses ``on_poweroff``, ``on_reboot``, ``on_crash``, ``on_watchdog`` or ``on_soft_reset``,
and that names the action (xl.cfg(5)). Here the command in which a domain shuts down carries the action out before it
ends. Persistent memory belongs to one domain at a time: a domain that is renamed and kept lets go of its vNVDIMMs, so
that its successor has them.
"""

from __future__ import annotations

import time

from xlpy import abi
from xlpy.errors import FirmwareStopped, XlpyError
from xlpy.private import folder
from xlpy.records import NamedTuple
from xlpy.toolstack.domain.record import DomainRecord, load, named, save
from xlpy.toolstack.domain.stored_config import current, reload
from xlpy.typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from xlpy.dom0.xenstore.daemon import XenStore
    from xlpy.hypervisor.xen import Xen
    from xlpy.store import Store
    from xlpy.toolstack.config.domain_config import DomainConfig
    from xlpy.toolstack.domain.build import Builder

STARTS = 3  # in a row that end with a crash of the firmware; then restarting stops
EVENTS = {
    abi.SHUTDOWN_POWEROFF: "on_poweroff",
    abi.SHUTDOWN_REBOOT: "on_reboot",
    abi.SHUTDOWN_CRASH: "on_crash",
    abi.SHUTDOWN_WATCHDOG: "on_watchdog",
    abi.SHUTDOWN_SOFT_RESET: "on_soft_reset",
}


class Outcome(NamedTuple):
    """What followed a shutdown.

    domid, name: who it was. reason: as in Xen's headers, lower case. action: as in xl.cfg. successor: domid of the
    domain that was started in its place. kept_as: its new name, when it was renamed. core: path of the core dump.
    error: why the action failed.
    """

    domid: int
    name: str
    reason: str
    action: str
    successor: int | None = None
    kept_as: str | None = None
    core: str | None = None
    error: XlpyError | None = None


class Toolstack(Protocol):
    """With what the daemon acts: ``Lifecycle``."""

    xen: Xen
    xenstore: XenStore
    store: Store
    dumps: str

    def builder(self, step: Callable[[str], None]) -> Builder:
        """A builder that reports its steps."""

    def create(self, config: DomainConfig, *, step: Callable[[str], None]) -> int:
        """Build a domain and start it; its domid."""

    def destroy(self, domid: int) -> None:
        """End a domain at once."""

    def unpin(self, domid: int) -> None:
        """Give the backings of a domain back to Dom0."""


class Monitor:
    """xl's daemon.

    Args:
        life: the toolstack.
        step: told what the daemon would write to its log.
    """

    def __init__(self, life: Toolstack, step: Callable[[str], None]) -> None:
        self._life = life
        self._step = step

    def settle(self, domids: Iterable[int]) -> list[Outcome]:
        """Carry out what is to follow for each of the domains that has shut down; no error stops the others."""
        outcomes = []
        for domid in domids:
            domain = self._life.xen.find(domid)
            if domain is None or domain.shutdown_code in (None, abi.SHUTDOWN_SUSPEND):
                continue  # gone or resumed meanwhile; a suspended guest is waited for
            record = load(self._life.store, domid)
            if record.monitored and not record.settled:
                outcomes.append(self._act(record, domain.shutdown_code))
        return outcomes

    def _act(self, record: DomainRecord, reason: int) -> Outcome:
        action = _action(record, EVENTS.get(reason))
        self._step(f"Domain {record.domid} has shut down, reason code {reason} {reason:#x}")
        self._step(f"Action for shutdown reason code {reason} is {action}")
        outcome = Outcome(record.domid, record.name, abi.SHUTDOWN_NAMES[reason], action)
        if action.startswith("coredump"):
            outcome = outcome._replace(core=self._dump(record))
        try:
            with self._life.store.savepoint():
                if action == "preserve":
                    save(self._life.store, record._replace(settled=True))
                elif action == "soft-reset":
                    self._soft_reset(record)
                elif action.endswith("restart"):
                    outcome = self._restart(outcome, record)
                else:
                    self._life.destroy(record.domid)
        except XlpyError as error:
            return outcome._replace(error=error)
        self._step("Done. Rebooting now" if outcome.successor else "Done. Exiting now")
        return outcome

    def crashed_at_start(self, domid: int, action: str, crashes: int, stopped: FirmwareStopped) -> DomainConfig | None:
        """A domain's firmware crashed: do what ``on_crash`` says.

        Args:
            domid: the domain.
            action: its ``on_crash``.
            crashes: how many starts in a row ended so.
            stopped: the error, which gets details of what became of the domain.

        Returns:
            the configuration with which to try again, or None.
        """
        record = load(self._life.store, domid)
        self._step(f"Domain {domid} has shut down, reason code {abi.SHUTDOWN_CRASH} {abi.SHUTDOWN_CRASH:#x}")
        self._step(f"Action for shutdown reason code {abi.SHUTDOWN_CRASH} is {action}")
        if action.startswith("coredump"):
            core = self._dump(record)
            if core is not None:
                stopped.details += (f"core dump: {core}",)
        if action.endswith("restart") and crashes < STARTS:
            config = reload(record, self._life.xen)
            if action == "rename-restart":
                self._keep(record)
            else:
                self._life.destroy(domid)
            return config
        if action.endswith("restart"):
            stopped.details += (f"the firmware crashed {crashes} times in a row: no further restart",)
        if action in ("preserve", "rename-restart"):
            save(self._life.store, record._replace(settled=True))
            stopped.details += (f"the domain is kept: domain {domid}, {record.name}",)
            stopped.hint = stopped.hint or f"xlpy dmesg shows why; xlpy destroy {record.name} removes it"
        else:
            self._life.destroy(domid)
        return None

    # -- actions --------------------------------------------------------------------------------------------------

    def _restart(self, outcome: Outcome, record: DomainRecord) -> Outcome:
        """Start the domain anew: another domid, the same name, UUID and vNVDIMMs."""
        config = reload(record, self._life.xen)
        if outcome.action == "rename-restart":
            outcome = outcome._replace(kept_as=self._keep(record))
            ended = f"domain {record.domid} is kept as {outcome.kept_as}"
        else:
            self._life.destroy(record.domid)
            ended = f"domain {record.domid} was ended for its restart and is gone"
        try:
            return outcome._replace(successor=self._life.create(config, step=self._step))
        except FirmwareStopped as error:
            error.details = (ended, *error.details)
            raise

    def _keep(self, record: DomainRecord) -> str:
        """Leave a dead domain under another name, without its vNVDIMMs; the new name.

        As in libxl, its ``/vm`` node is a new one that has nothing but its own UUID; Xen goes on to know it by the old.
        """
        from xlpy.dom0.xenstore.daemon import Perm
        from xlpy.toolstack.domain.model import device_model
        from xlpy.toolstack.domain.record import dashed

        life, domid = self._life, record.domid
        name = self._free_name(f"{record.name}-{time.strftime('%Y%m%dT%H%MZ', time.gmtime())}")
        from xlpy.uuids import random_uuid

        uuid = random_uuid()
        device_model(life.xen, life.xenstore, life.store, domid).destroy()
        life.unpin(domid)
        new = f"/vm/{dashed(uuid.hex())}"
        with life.xenstore.connection(0).transaction() as tree:
            for path, value in (
                (f"{new}/uuid", dashed(uuid.hex())),
                (f"/local/domain/{domid}/name", name),
                (f"/local/domain/{domid}/vm", new),
            ):
                tree.write(path, value)
            for path in (new, f"{new}/uuid"):
                tree.set_perms(path, (Perm(0, "n"), Perm(domid, "r")))
            tree.rm(f"/libxl/{domid}/device/nvdimm")
        kept = record._replace(name=name, vnvdimms=[], settled=True)
        save(life.store, kept._replace(config=current(kept)))
        return name

    def _free_name(self, wanted: str) -> str:
        """The name itself, or with a number behind it when a domain has it: xl knows minutes only."""
        name, number = wanted, 1
        while named(self._life.xenstore, name) is not None:
            number += 1
            name = f"{wanted}-{number}"
        return name

    def _dump(self, record: DomainRecord) -> str | None:
        """Write a core dump; xl goes on when that fails, and so does this."""
        from xlpy.toolstack.domain.coredump import dump_core, dump_path

        path = dump_path(self._life.dumps, record.name)
        try:
            folder(self._life.dumps)
            dump_core(self._life.xen.domain(record.domid), path)
        except (OSError, XlpyError) as error:
            self._step(f"core dump of domain {record.domid} to {path} failed: {error}")
            return None
        self._step(f"core dump of domain {record.domid} is {path}")
        return str(path)

    def _soft_reset(self, record: DomainRecord) -> None:
        """A new device model and a new xenstore tree for the same domain; its memory stays, and it goes on."""
        from xlpy.toolstack.domain.clearing import clear_rows
        from xlpy.toolstack.domain.device_rows import attached
        from xlpy.toolstack.domain.model import attaching
        from xlpy.toolstack.domain.xenstore_rows import built, skeleton

        life, domid = self._life, record.domid
        tty = life.xenstore.connection(0).read_or_none(f"/local/domain/{domid}/console/tty")
        config = reload(record._replace(update=None), life.xen)
        attaching(life.xen, life.xenstore, life.store, domid).restart()
        clear_rows(life.xenstore, domid, f"/vm/{record.uuid}")
        builder = life.builder(self._step)
        builder.write(skeleton(domid, config, record.name, record.uuid), domid)
        builder.write(built(domid, record.uuid, config, f"{record.started:.2f}"), domid)
        builder.write(attached(domid, config, record.vnvdimms, tty or ""), domid)
        life.xen.hypercalls(0).domctl_resumedomain(domid)


def _action(record: DomainRecord, event: str | None) -> str:
    """The action in xl's words; what the stored JSON leaves out is to destroy."""
    chosen: str = record.config.get(event, "destroy") if event else "destroy"
    return "rename-restart" if chosen == "restart_rename" else chosen.replace("_", "-")
