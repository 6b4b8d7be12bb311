"""What a host's toolstack does with its domains: their life, and access to those that run."""

from __future__ import annotations

import os

from xlpy.actors import Actors, silent
from xlpy.addr import Gpa
from xlpy.contexts import contextmanager
from xlpy.errors import Conflict, XlpyError
from xlpy.hw import power
from xlpy.table import BOOTS
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xlpy.boot.session import Record
    from xlpy.toolstack.config.devices.vnvdimm import VnvdimmEntry
    from xlpy.toolstack.config.domain_config import DomainConfig
    from xlpy.toolstack.domain.monitor import Outcome
    from xlpy.toolstack.domain.record import VnvdimmRecord
    from xlpy.toolstack.domain.running import Running


class Domains(Actors):
    """A host as far as its domains are concerned. A domain is given by its name or its domid."""

    def create(
        self,
        config: DomainConfig,
        paused: bool = False,
        step: Callable[[str], None] = silent,
        monitored: bool = True,
    ) -> int:
        """Build a domain and start it.

        Args:
            config: from ``xlpy.toolstack.config.domain_config.load_config``.
            paused: leave it paused.
            step: called with each step as it begins.
            monitored: ``on_poweroff``, ``on_crash``, ... are carried out when it shuts down.

        Returns:
            its domid.

        Raises:
            XlpyError: why not; the host is then as it was before.
        """
        with self.change(f"creating {config.name}"):
            return self.lifecycle.create(config, paused, step, monitored)

    def check(self, config: DomainConfig) -> None:
        """Everything that ``create`` would find wrong before it makes anything."""
        self.lifecycle.check(config)

    def destroy(self, domain: str | int, dry_run: bool = False) -> int:
        """End a domain at once, by name or domid. Returns its domid; NotFound when there is none."""
        domid = self.domid(domain)
        if domid == 0:
            raise Conflict("domain 0 runs the host and is never destroyed", hint="xlpy host reset starts the host anew")
        if not dry_run:
            self.end_boot(domid)
            with self.change(f"destroying {domain}", frees=True):
                self.lifecycle.destroy(domid)
        return domid

    def pause(self, domain: str | int) -> int:
        """Keep a domain from running; pauses are counted. Returns the count. Conflict: Dom0, or it is booted."""
        with self.change(f"pausing {domain}"):
            return self.lifecycle.pause(self._idle(domain))

    def unpause(self, domain: str | int) -> list[Outcome]:
        """Take one pause back; the guest acts on what it was asked meanwhile. Returns what followed."""
        with self.change(f"unpausing {domain}"):
            self.lifecycle.unpause(self._idle(domain))
            return self.lifecycle.settle()

    def shutdown(self, domain: str | int) -> list[Outcome]:
        """Ask a domain to power off. Returns what its ``on_poweroff`` did. Conflict: it cannot answer."""
        return self._asked(domain, "poweroff")

    def reboot(self, domain: str | int) -> list[Outcome]:
        """Ask a domain to reboot. Returns what its ``on_reboot`` did, such as its successor. Conflict: as above."""
        return self._asked(domain, "reboot")

    def _asked(self, domain: str | int, word: str) -> list[Outcome]:
        from xlpy.toolstack.domain import power

        with self.change(f"{word} of {domain}", frees=word == "poweroff"):
            power.ask(self.lifecycle, self._idle(domain), word)
            outcomes = self.lifecycle.settle()
            for one in outcomes:
                if one.error:
                    raise one.error
            return outcomes

    def rename(self, domain: str | int, name: str) -> str:
        """Give a domain another name. Returns the old one. Conflict: the name is taken."""
        with self.change(f"renaming {domain}"):
            return self.lifecycle.rename(self.domid(domain), name)

    def save(self, domain: str | int, path: str | os.PathLike[str], keep: bool = False) -> None:
        """Save a domain to a file and end it; with ``keep`` it goes on. Conflict: it cannot suspend."""
        from xlpy.toolstack.domain.saving import resume, save_domain, suspend

        with self.change(f"saving {domain}"):
            domid = self._idle(domain)
            suspend(self.lifecycle, domid)
            save_domain(self.lifecycle, domid, os.fspath(path))
            if keep:
                resume(self.lifecycle, domid)
            else:
                self.lifecycle.destroy(domid)

    def restore(
        self,
        path: str | os.PathLike[str],
        paused: bool = False,
        check_content: bool = True,
        rebase: dict[str, str] | None = None,
    ) -> int:
        """Bring a saved domain back.

        Args:
            path: of the file. paused: leave it paused.
            check_content: refuse when its persistent memory is not what its guest left.
            rebase: paths of its vNVDIMMs now, by those that they had.

        Returns:
            its domid.

        Raises:
            ConfigError, StateError: the file is none, damaged, or of another version. Conflict: a name, UUID or
            backing is taken, or has changed. XlpyError: as ``create``.
        """
        from xlpy.toolstack.domain import restoring, savefile

        saved = savefile.read(os.fspath(path))
        with self.change(f"restoring {path}"):
            return restoring.restore(self.lifecycle, saved, paused, check_content=check_content, rebase=rebase)

    def attach(self, domain: str | int, entry: str) -> VnvdimmRecord:
        """Attach a vNVDIMM to a running domain.

        Args:
            entry: as in ``vnvdimm``, such as ``file=/dev/pmem1``.

        Raises:
            Conflict: the backing is taken, or the domain was started without vNVDIMMs. XlpyError: as ``create``.
        """
        from xlpy.toolstack.domain.hotplug import parse_spec

        made = self.attach_entry(domain, parse_spec([entry]))
        assert made is not None
        return made

    def attach_entry(self, domain: str | int, entry: VnvdimmEntry, dry_run: bool = False) -> VnvdimmRecord | None:
        """As ``attach``; None for a dry run. The emulator of a booted domain has the memory when it returns."""
        from xlpy.addr import Span
        from xlpy.toolstack.domain import hotplug

        domid = self.domid(domain)
        boot = self._boot(domid)
        busy = [Span.between(Gpa(start), Gpa(end)) for start, end in boot.busy] if boot else []
        if dry_run:
            return hotplug.attach(self.lifecycle, domid, entry, dry_run=True)
        with self.change(f"attaching to {domain}"):
            made = hotplug.attach(self.lifecycle, domid, entry, busy=busy)
        if boot is not None and made is not None:
            from xlpy.boot.attaching import wait_plugged

            try:
                wait_plugged(boot, made.slot, made.gpa)
            except XlpyError:
                with self.change(f"taking back what was attached to {domain}", frees=True):
                    hotplug.detach(self.lifecycle, domid, str(made.slot), force=True)
                raise
        return made

    def detach(self, domain: str | int, device: str | int, force: bool = False, dry_run: bool = False) -> VnvdimmRecord:
        """Take a vNVDIMM from a running domain, by its slot, file or ACPI name. Conflict: its guest still has it."""
        from xlpy.toolstack.domain import hotplug

        domid = self.domid(domain)
        boot, name = self._boot(domid), str(device)
        if dry_run:
            return hotplug.detach(self.lifecycle, domid, name, force, dry_run=True)
        with self._without(boot, domid, name, force), self.change(f"detaching from {domain}", frees=True):
            return hotplug.detach(self.lifecycle, domid, name, force)

    @contextmanager
    def _without(self, boot: Record | None, domid: int, device: str, force: bool) -> Iterator[None]:
        """Inside, the emulator of a booted domain does not have a vNVDIMM, if it is to be detached."""
        from xlpy.toolstack.domain import hotplug

        if boot is None:
            yield
            return
        from xlpy.boot.attaching import withdrawn

        try:
            slot = hotplug.detach(self.lifecycle, domid, device, force, dry_run=True).slot
        except Conflict:  # it stays: its guest is only asked
            yield
            return
        with withdrawn(boot, slot):
            yield

    def _boot(self, domid: int) -> Record | None:
        """The boot that runs a domain, or None. Conflict: one whose vNVDIMMs cannot change."""
        if self.store.table(BOOTS).get(str(domid)) is None:
            return None
        from xlpy.boot.attaching import running

        return running(self.store, domid)

    def _idle(self, domain: str | int) -> int:
        """The domid of a domain that no emulator runs. Conflict: one does."""
        domid = self.domid(domain)
        if self.store.table(BOOTS).get(str(domid)) is not None:
            from xlpy.boot.session import refuse_booted

            refuse_booted(self.store, domid)
        return domid

    def end_boot(self, domid: int) -> None:
        """Stop the emulator that runs a domain, if one does, and wait until its data is back. Conflict: it hangs."""
        if self.store.table(BOOTS).get(str(domid)) is not None:
            from xlpy.boot.session import end

            end(self.store, domid)

    def domid(self, domain: str | int) -> int:
        """The domid of a domain given by name or number. NotFound when there is none."""
        return self.lifecycle.domid(str(domain))

    def domain(self, domain: str | int) -> Running:
        """A running domain, by name or domid, with its device model connected."""
        return self.lifecycle.running(self.domid(domain))

    def domains(self) -> list[Running]:
        """Every domain but Dom0, by domid."""
        return [self.domain(domain.domid) for domain in self.xen.domains()]

    def write_memory(self, domain: str | int, gpa: Gpa, data: bytes, dry_run: bool = False) -> None:
        """Write guest memory.

        Raises:
            Constraint: not every byte is RAM, pmem or a device. Unsafe: a file behind the domain has moved since.
        """
        target = self.domain(domain)
        target.require_mapped(gpa, len(data))
        self.check_backings(target)
        if not dry_run:
            with self.store.transaction(f"writing to {domain}"):
                target.memory.write(gpa, data)
                if os.path.exists(self._file(power.CACHES)):  # else every store is safe at once
                    from xlpy.toolstack.domain.durable import make_durable

                    make_durable(self.hw, target, gpa, data)

    def check_backings(self, running: Running) -> None:
        """Unsafe when a file that a domain was given has other blocks by now: stores would land in foreign data."""
        for device in running.record.vnvdimms:
            if device.kind == "file":
                self.dom0.check_pinned(device.path)
