"""Domains in files and on other hosts: ``xlpy save``, ``restore``, ``migrate``."""

from __future__ import annotations

import os
from tempfile import mkdtemp

from xlpy.cli.changing import changing, target
from xlpy.cli.declare import argument, command, option
from xlpy.cli.options import domain_argument, dry_run_option, json_option
from xlpy.cli.render import json_document
from xlpy.errors import Conflict, NotFound, XlpyError
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.cli.env import Env
    from xlpy.host import Host


@command("""
xlpy save quickstart quickstart.save
xlpy restore quickstart.save
""")
@option("-c", "--checkpoint", is_flag=True, help="Let the domain go on afterwards.")
@option("-p", "--paused", is_flag=True, help="Leave the domain paused afterwards.")
@option("-D", "ignored", is_flag=True, help="Accepted as in xl.")
@domain_argument
@argument("path", metavar="FILE")
@dry_run_option
@json_option
def save(env: Env, checkpoint: bool, paused: bool, ignored: bool, domain: str, path: str, as_json: bool) -> None:
    """Save a domain's configuration, state and RAM to a file, and end it.

    Its guest is asked to suspend first. Persistent memory is not in the file: it stays where it is, and restore checks
    that its content is the same.
    """
    from xlpy.toolstack.domain.restoring import resume, suspend
    from xlpy.toolstack.domain.saving import save_domain

    del ignored
    with changing(env, f"saving {domain}") as dry:
        domid = target(env, domain)
        life = env.host.lifecycle
        life.guest(domid)
        env.note(f"Saving to {path}")
        if not dry:
            suspend(life, domid)
            try:
                save_domain(life, domid, path)
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
xlpy restore quickstart.save
xlpy restore -p quickstart.save
""")
@option("-p", "--paused", is_flag=True, help="Leave the domain paused.")
@option("-e", "no_monitor", is_flag=True, help="Do nothing when the domain shuts down: no on_* actions.")
@option("-d", "debug", is_flag=True, help="Accepted as in xl.")
@option("-V", "--vncviewer", "viewer", is_flag=True, help="Accepted: there is no screen.")
@option("-A", "--vncviewer-autopass", "autopass", is_flag=True, help="Accepted: there is no screen.")
@option("--any-pmem", is_flag=True, help="Although its persistent memory has other content than it had.")
@argument("path", metavar="FILE")
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
    path: str,
    as_json: bool,
) -> None:
    """Bring a saved domain back: with another domid, the same name, UUID, RAM and vNVDIMMs.

    Refused while a domain has its name, or its UUID, and when the content of its persistent memory is not what its
    guest left there.
    """
    from xlpy.toolstack.domain.record import load
    from xlpy.toolstack.domain.record import save as keep
    from xlpy.toolstack.domain.restoring import restore as bring_back
    from xlpy.toolstack.domain.saving import open_saved

    del debug, viewer, autopass
    saved = open_saved(path)
    name = str(saved.header["record"].get("name"))
    env.note(f"Loading new save file {path}")
    domid = None
    with changing(env, f"restoring {name}") as dry:
        life = env.host.lifecycle
        if not dry:
            domid = bring_back(life, saved, paused, check_content=not any_pmem)
            if no_monitor:
                keep(env.host.store, load(env.host.store, domid)._replace(monitored=False))
    if as_json:
        json_document("xlpy.restore/1", domid=domid, name=name, path=path, dry_run=dry)


@command("""
xlpy --root /tmp/other host init
xlpy migrate --copy-pmem quickstart /tmp/other
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
    from xlpy.toolstack.domain.restoring import suspend

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

    from xlpy.toolstack.domain.record import load
    from xlpy.toolstack.domain.record import save as keep
    from xlpy.toolstack.domain.restoring import copy_pmem, restore, resume
    from xlpy.toolstack.domain.saving import open_saved, save_domain

    folder = mkdtemp(prefix="xlpy-migrate-")
    try:
        save_domain(here.lifecycle, domid, f"{folder}/domain")
        with other.change("receiving a domain"):
            if copy:
                copy_pmem(here.lifecycle, domid, other.lifecycle)
            made = restore(other.lifecycle, open_saved(f"{folder}/domain"), paused)
            if no_monitor:
                keep(other.store, load(other.store, made)._replace(monitored=False))
        return made
    except XlpyError as error:
        resume(here.lifecycle, domid)
        error.details = (f"Migration failed: domain {domid} goes on here.", *error.details)
        raise
    finally:
        rmtree(folder, ignore_errors=True)
