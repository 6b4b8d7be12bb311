"""``xlpy host mount`` and ``umount``: file systems of Dom0 while the host runs."""

from __future__ import annotations

from xlpy.cli.changing import changing
from xlpy.cli.declare import argument, command, option
from xlpy.cli.options import dry_run_option, json_option
from xlpy.cli.render import json_document
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.cli.env import Env


@command("""
xlpy destroy quickstart && xlpy host umount /mnt/pmem0
xlpy host mount /dev/pmem0 /mnt/elsewhere
""")
@argument("device", shell_complete="backings")
@argument("directory")
@option("--no-dax", is_flag=True, help="Without -o dax: no domain can have its files.")
@option("--read-only", is_flag=True, help="With -o ro.")
@dry_run_option
@json_option
def mount(env: Env, device: str, directory: str, no_dax: bool, read_only: bool, as_json: bool) -> None:
    """Mount the file system on DEVICE on DIRECTORY, in Dom0, with DAX. It lasts until Dom0 boots.

    DEVICE holds an ext4 or XFS: from the machine description, from a guest, or that of a DIMM that was plugged in.
    """
    from xlpy.events.mounting import mount as mount_it

    with changing(env, f"mounting {device}") as dry:
        done = mount_it(env.host, device, directory, not no_dax, read_only, dry)
    if as_json:
        json_document("xlpy.host-mount/1", **done._asdict(), dry_run=dry)
    else:
        env.note(f"{done.device} on {done.mountpoint}: {done.fstype} ({','.join(done.options)})")


@command("""
xlpy destroy quickstart && xlpy host umount /mnt/pmem0
""")
@argument("directory", metavar="DIRECTORY|DEVICE")
@dry_run_option
@json_option
def umount(env: Env, directory: str, as_json: bool) -> None:
    """Unmount a file system in Dom0 that is not used."""
    from xlpy.events.mounting import unmount

    with changing(env, f"unmounting {directory}") as dry:
        done = unmount(env.host, directory, dry)
    if as_json:
        json_document("xlpy.host-umount/1", **done._asdict(), dry_run=dry)
    else:
        env.note(f"{done.device} {'is' if dry else 'was'} on {done.mountpoint}")
