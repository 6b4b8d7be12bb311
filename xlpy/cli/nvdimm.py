"""vNVDIMMs of a running domain: ``xlpy nvdimm-attach``, ``nvdimm-list``, ``nvdimm-detach``."""

from __future__ import annotations

from xlpy.cli.declare import argument, command, option
from xlpy.cli.domain import warn_of_sizes
from xlpy.cli.options import domain_argument, dry_run_option, json_option
from xlpy.cli.render import json_document
from xlpy.cli.rows import list_each
from xlpy.cli.show import out
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.cli.env import Env


@command("""
xlpy nvdimm-attach quickstart file=/dev/pmem1,label_size=128K
""")
@domain_argument
@argument("spec", nargs=-1, required=True, metavar="SPEC...", shell_complete="backings")
@dry_run_option
@json_option
def attach(env: Env, domain: str, spec: tuple[str, ...], as_json: bool) -> None:
    """Attach a vNVDIMM to a running domain: file=PATH[,label_size=SIZE][,unarmed=0|1][,mode=rw|ro]
    [,node=N].

    It is pinned and mapped, _FIT describes it, and the guest is notified (0x80 on the NVDIMM root device). The domain
    must have been started with a vNVDIMM, else its tables have no root device.
    """
    from xlpy.toolstack.backing.usable import sizes
    from xlpy.toolstack.domain.hotplug import parse_spec

    entry = parse_spec(spec)
    dry, domid = env.dry_run, env.host.domid(domain)
    made = env.host.attach_entry(domid, entry, dry)
    if made is not None:
        warn_of_sizes(env, [(made.path, made.size, made.label_size)])
    else:
        warn_of_sizes(env, sizes(env.host.dom0, [entry]))
    fields: dict[str, Any] = {"domid": domid, "nvdimm": entry.to_json(), "dry_run": dry}
    if made is not None:
        fields |= {"slot": made.slot, "gpa": made.gpa, "size": made.size}
    if as_json:
        json_document("xlpy.nvdimm-attach/1", **fields)
    elif dry:
        import json

        out(*f"nvdimm: {json.dumps(entry.to_json(), indent=4)}".split("\n"))


@command("""
xlpy nvdimm-list quickstart
""")
@argument("domains", nargs=-1, required=True, metavar="DOMAIN...", shell_complete="domains")
@json_option
def list_nvdimms(env: Env, domains: tuple[str, ...], as_json: bool) -> None:
    """List the vNVDIMMs of domains.

    States are those of other devices of Xen: 4 connected, 5 closing (the guest was asked to let go), 6 closed (it has
    let go, nvdimm-detach takes it away). The handle is that of the NFIT.
    """
    from xlpy.toolstack.domain.hotplug import attached

    def rows(domain: str) -> Iterator[tuple[dict[str, Any], str]]:
        domid = env.host.domid(domain)
        for row in attached(env.host.lifecycle, domid):
            yield (
                {"domid": domid, **row._asdict()},
                f"{row.slot:<5d} {0:<3d} {row.handle:<6d} {row.state:<5d} {row.gpa:<#18x} {row.size:<14d} "
                f"{row.file:<30}",
            )

    header = f"{'Slot':<5} {'BE':<3} {'handle':<6} {'state':<5} {'GPA':<18} {'size':<14} {'file':<30}"
    list_each(domains, rows, header, "xlpy.nvdimm-list/1", as_json)


@command(r"""
xlpy nvdimm-attach quickstart file=/dev/pmem1
xlpy acpi eval quickstart '\_SB.NVDR.NV01._EJ0' 1
xlpy nvdimm-detach quickstart 1
xlpy nvdimm-detach -f quickstart /mnt/pmem0/vm1.img
""")
@domain_argument
@argument("device", shell_complete="vnvdimms")
@option("-f", "--force", is_flag=True, help="Although the guest has not let go: what it still writes is lost.")
@dry_run_option
@json_option
def detach(env: Env, domain: str, device: str, force: bool, as_json: bool) -> None:
    r"""Detach a vNVDIMM: DEVICE is its slot, its ACPI name (NV00) or its file.

    A guest that still has it is asked to let go, and the command fails; the guest lets go by evaluating
    \_SB.NVDR.NVnn._EJ0.
    """
    domid = env.host.domid(domain)
    gone = env.host.detach(domid, device, force, env.dry_run)
    if as_json:
        json_document("xlpy.nvdimm-detach/1", domid=domid, slot=gone.slot, file=gone.path, dry_run=env.dry_run)
