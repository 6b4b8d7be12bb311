"""Disks, network interfaces and PCI devices: ``xlpy block-attach``, ``block-list``, ``block-detach``, ``network-list``,
``pci-assignable-list``."""

from __future__ import annotations

from xlpy.cli.changing import changing, target
from xlpy.cli.declare import argument, command, option
from xlpy.cli.options import domain_argument, dry_run_option, json_option
from xlpy.cli.render import json_document, json_items
from xlpy.cli.rows import list_each
from xlpy.cli.show import exact
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.cli.env import Env

domains_argument = argument("domains", nargs=-1, required=True, metavar="DOMAIN...", shell_complete="domains")


@command("""
truncate -s 1M disk.img
xlpy block-attach quickstart $PWD/disk.img,raw,xvdb,rw
""")
@domain_argument
@argument("spec", nargs=-1, required=True, metavar="SPEC...")
@dry_run_option
@json_option
def block_attach(env: Env, domain: str, spec: tuple[str, ...], as_json: bool) -> None:
    """Attach a disk to a running domain: target,format,vdev,access, or by name.

    It is in xenstore, for a driver to connect to, and in the stored configuration. No data moves.
    """
    from xlpy.toolstack.config.libxl_json import structure
    from xlpy.toolstack.domain.blocks import attach, parse_disk_words

    disk = parse_disk_words(spec)
    with changing(env, f"block-attach to {domain}") as dry:
        domid = target(env, domain)
        vdev = attach(env.host.lifecycle, domid, disk, dry)
    shown = structure("disks", disk)
    if as_json:
        json_document("xlpy.block-attach/1", domid=domid, vdev=vdev, disk=shown, dry_run=dry)
    elif dry:
        import json

        exact([f"disk: {json.dumps(shown, indent=4)}\n"])


@command("""
xlpy block-list quickstart
""")
@domains_argument
@json_option
def block_list(env: Env, domains: tuple[str, ...], as_json: bool) -> None:
    """List the disks of domains; what the guest has not set yet is -1."""
    from xlpy.toolstack.domain.blocks import blocks

    def rows(domain: str) -> Iterator[tuple[dict[str, Any], str]]:
        for row in blocks(env.host.lifecycle, env.host.domid(domain)):
            yield (
                row._asdict(),
                f"{row.vdev:<5d} {row.backend:<3d} {row.handle:<6d} {row.state:<5d} {row.event_channel:<6d} "
                f"{row.ring_ref:<8d} {row.path:<30}",
            )

    header = f"{'Vdev':<5} {'BE':<3} {'handle':<6} {'state':<5} {'evt-ch':<6} {'ring-ref':<8} {'BE-path':<30}"
    list_each(domains, rows, header, "xlpy.block-list/1", as_json)


@command("""
truncate -s 1M disk.img
xlpy block-attach quickstart $PWD/disk.img,raw,xvdb,rw
xlpy block-detach quickstart xvdb
""")
@domain_argument
@argument("device")
@option("-f", "--force", is_flag=True, help="Although the guest has it open.")
@dry_run_option
@json_option
def block_detach(env: Env, domain: str, device: str, force: bool, as_json: bool) -> None:
    """Detach a disk: DEVICE is xvda, hdc, sdb1, d0p0, or its number."""
    from xlpy.toolstack.domain.blocks import detach

    with changing(env, f"block-detach from {domain}") as dry:
        domid = target(env, domain)
        vdev = detach(env.host.lifecycle, domid, device, force, dry)
    if as_json:
        json_document("xlpy.block-detach/1", domid=domid, vdev=vdev, dry_run=dry)


@command("""
xlpy network-list quickstart
""")
@domains_argument
@json_option
def network_list(env: Env, domains: tuple[str, ...], as_json: bool) -> None:
    """List the network interfaces of domains; what the guest has not set yet is -1."""
    from xlpy.toolstack.domain.blocks import nics

    def rows(domain: str) -> Iterator[tuple[dict[str, Any], str]]:
        for row in nics(env.host.lifecycle, env.host.domid(domain)):
            yield (
                row._asdict(),
                f"{row.devid:<3d} {row.backend:<2d} {row.mac}{row.handle:6d} {row.state:5d} {row.event_channel:6d} "
                f"{row.tx_ring:5d}/{row.rx_ring:<11d} {row.path:<30}",
            )

    header = "Idx BE Mac Addr.         handle state evt-ch   tx-/rx-ring-ref BE-path                       "
    list_each(domains, rows, header, "xlpy.network-list/1", as_json)


@command("""
xlpy pci-assignable-list
""")
@json_option
def pci_assignable_list(env: Env, as_json: bool) -> None:
    """List the host's PCI devices that can be given to domains: the emulated host has none."""
    del env
    if as_json:
        json_items("xlpy.pci-assignable-list/1", [])
