"""Domains in files and on other hosts: ``xlpy save``, ``restore``, ``migrate``."""

from __future__ import annotations

import os

from xlpy.cli.changing import changing, target
from xlpy.cli.declare import argument, command, option
from xlpy.cli.options import domain_argument, dry_run_option, json_option
from xlpy.cli.render import json_document
from xlpy.errors import Conflict, NotFound, UsageError, XlpyError
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.cli.env import Env
    from xlpy.host import Host
    from xlpy.toolstack.config.domain_config import DomainConfig


@command("""
xlpy save -c quickstart checkpoint.save
xlpy save quickstart quickstart.save
""")
@option("-c", "--checkpoint", is_flag=True, help="Let the domain go on afterwards.")
@option("-p", "--paused", is_flag=True, help="Leave the domain paused afterwards.")
@option("-D", "ignored", is_flag=True, help="Accepted as in xl.")
@domain_argument
@argument("path", metavar="FILE")
@argument("config", metavar="[CONFIG]", required=False)
@dry_run_option
@json_option
def save(
    env: Env,
    checkpoint: bool,
    paused: bool,
    ignored: bool,
    domain: str,
    path: str,
    config: str | None,
    as_json: bool,
) -> None:
    """Save a domain's configuration, state and RAM to a file, and end it.

    Its guest is asked to suspend first. Persistent memory is not in the file: it stays where it is, and restore checks
    that content, size and extents are the same. With CONFIG, that is the configuration with which it is restored.
    """
    from xlpy.toolstack.domain.saving import resume, save_domain, suspend

    del ignored
    stored = None if config is None else _config(env, config)
    with changing(env, f"saving {domain}") as dry:
        domid = target(env, domain)
        life = env.host.lifecycle
        life.guest(domid)
        env.note(f"Saving to {path}")
        if not dry:
            suspend(life, domid)
            try:
                save_domain(life, domid, path, stored)
            except XlpyError:
                resume(life, domid)
                raise
            if checkpoint or paused:
                if paused:
                    life.pause(domid)
                resume(life, domid)
            else:
                life.destroy(domid)
    if as_json:
        json_document("xlpy.save/1", domid=domid, path=path, kept=checkpoint or paused, dry_run=dry)


@command("""
xlpy save quickstart quickstart.save && xlpy restore quickstart.save
xlpy destroy quickstart && xlpy pmem mkfile 64M /mnt/pmem0/copy.img
xlpy restore -p --rebase /mnt/pmem0/vm1.img=/mnt/pmem0/copy.img quickstart.save
""")
@option("-p", "--paused", is_flag=True, help="Leave the domain paused.")
@option("-e", "no_monitor", is_flag=True, help="Do nothing when the domain shuts down: no on_* actions.")
@option("-d", "debug", is_flag=True, help="Accepted as in xl.")
@option("-V", "--vncviewer", "viewer", is_flag=True, help="Accepted: there is no screen.")
@option("-A", "--vncviewer-autopass", "autopass", is_flag=True, help="Accepted: there is no screen.")
@option("--any-pmem", is_flag=True, help="Although its persistent memory has other content or extents than it had.")
@option("--rebase", "rebased", multiple=True, metavar="OLD=NEW", help="Path of a vNVDIMM now; NEW may be OLD.")
@argument("words", nargs=-1, metavar="[CONFIG] FILE")
@dry_run_option
@json_option
def restore(
    env: Env,
    paused: bool,
    no_monitor: bool,
    debug: bool,
    viewer: bool,
    autopass: bool,
    any_pmem: bool,
    rebased: tuple[str, ...],
    words: tuple[str, ...],
    as_json: bool,
) -> None:
    """Bring a saved domain back: with another domid, the same name, UUID, RAM and vNVDIMMs.

    Refused while a domain has its name, or its UUID, and when its persistent memory is not what its guest left: content
    (by its hash), size and extents are compared. --rebase names the file where that content is now; labels follow it.
    """
    from xlpy.toolstack.domain import savefile
    from xlpy.toolstack.domain.record import load
    from xlpy.toolstack.domain.record import save as keep
    from xlpy.toolstack.domain.restoring import rehearse
    from xlpy.toolstack.domain.restoring import restore as bring_back

    del debug, viewer, autopass
    if not 1 <= len(words) <= 2:
        raise UsageError("restore takes a file, or a configuration and a file", hint="xlpy restore quickstart.save")
    path = words[-1]
    config = _config(env, words[0]) if len(words) == 2 else None
    paths = dict(map(_pair, rebased))
    saved = savefile.read(path)
    name = config.name if config else str(saved.header["record"].get("name"))
    env.note(f"Loading new save file {path}")
    domid = None
    with changing(env, f"restoring {name}") as dry:
        life = env.host.lifecycle
        if dry:
            rehearse(life, saved, check_content=not any_pmem, rebase=paths, config=config)
        else:
            domid = bring_back(life, saved, paused, check_content=not any_pmem, rebase=paths, config=config)
            if no_monitor:
                keep(env.host.store, load(env.host.store, domid)._replace(monitored=False))
    if as_json:
        json_document("xlpy.restore/1", domid=domid, name=name, path=path, dry_run=dry)


def _pair(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not (old and equals and new):
        raise UsageError(
            f"--rebase {text}: OLD=NEW is required", hint="--rebase /mnt/pmem0/vm1.img=/mnt/pmem0/copy.img"
        )
    return old, new


def _config(env: Env, path: str) -> DomainConfig:
    from xlpy.cli.domain import read_config
    from xlpy.toolstack.config.domain_config import load_config
    from xlpy.toolstack.config.reading.reader import facts_of

    return load_config(read_config(path), path, host=facts_of(env.host.xen.hw.spec), xen=env.host.xen.version)


@command("""
xlpy --root other host init
xlpy migrate --copy-pmem quickstart other
""")
@domain_argument
@argument("host", metavar="ROOT")
@option("--copy-pmem", is_flag=True, help="Copy the content of its vNVDIMMs, and their labels, to the other host.")
@option("-p", "--paused", is_flag=True, help="Leave the domain paused there.")
@option("-e", "no_monitor", is_flag=True, help="Do nothing there when the domain shuts down.")
@option("-s", "ssh", metavar="COMMAND", help="Accepted as in xl: nothing is sent through a shell.")
@option("--debug", is_flag=True, help="Accepted as in xl.")
@option("--live", is_flag=True, help="Accepted as in xl.")
@dry_run_option
@json_option
def migrate(
    env: Env,
    domain: str,
    host: str,
    copy_pmem: bool,
    paused: bool,
    no_monitor: bool,
    ssh: str | None,
    debug: bool,
    live: bool,
    as_json: bool,
) -> None:
    """Move a domain to another emulated host, given by its state directory.

    The other host must have backings of the same names and sizes with the same content: this is checked, and with
    --copy-pmem made so. When anything fails there, the domain goes on here.
    """
    from xlpy.host import Host as Other
    from xlpy.toolstack.domain.saving import suspend

    del ssh, debug, live
    if not Other.exists(host):
        raise NotFound(f"{host} is no host", hint=f"xlpy --root {host} host init")
    here = env.host
    if os.path.realpath(host) == os.path.realpath(here.root):
        raise Conflict(f"{host} is the host on which {domain} runs", hint="name another one")
    other = Other.open(host, note=env.step)
    made = None
    with changing(env, f"migrating {domain}") as dry:
        domid = target(env, domain)
        here.lifecycle.guest(domid)
        if not dry:
            suspend(here.lifecycle, domid)
            made = _send(here, other, domid, copy_pmem, paused, no_monitor)
            here.lifecycle.destroy(domid)
    env.note(f"domain {domid} ({domain}) is domain {made} of {host}" if made else f"{domain} could go to {host}")
    if as_json:
        json_document("xlpy.migrate/1", domid=domid, host=host, successor=made, dry_run=dry)


def _send(here: Host, other: Host, domid: int, copy: bool, paused: bool, no_monitor: bool) -> int:
    """Restore a suspended domain on another host; when that fails, it goes on here."""
    from shutil import rmtree
    from tempfile import mkdtemp

    from xlpy.toolstack.domain.record import load
    from xlpy.toolstack.domain.record import save as keep
    from xlpy.toolstack.domain.restoring import copy_pmem, restore
    from xlpy.toolstack.domain.savefile import read
    from xlpy.toolstack.domain.saving import resume, save_domain

    folder = mkdtemp(prefix="xlpy-migrate-")
    try:
        save_domain(here.lifecycle, domid, f"{folder}/domain")
        with other.change("receiving a domain"):
            if copy:
                copy_pmem(here.lifecycle, domid, other.lifecycle)
            made = restore(other.lifecycle, read(f"{folder}/domain"), paused, elsewhere=True)
            if no_monitor:
                keep(other.store, load(other.store, made)._replace(monitored=False))
        return made
    except XlpyError as error:
        resume(here.lifecycle, domid)
        error.details = (f"Migration failed: domain {domid} goes on here.", *error.details)
        raise
    finally:
        rmtree(folder, ignore_errors=True)
