"""``xlpy pmem account``: how the capacity of NVDIMMs is used."""

from __future__ import annotations

from xlpy.addr import format_size
from xlpy.cli.declare import argument, command, option
from xlpy.cli.options import SIZE, json_option
from xlpy.cli.render import json_document, json_items, table
from xlpy.cli.show import out
from xlpy.cli.types import Choice
from xlpy.errors import UsageError
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xlpy.cli.env import Env
    from xlpy.views.ledger import Account
    from xlpy.views.wanted import NamespacePlace, NamespacePlan


@command("""
xlpy pmem account
xlpy pmem account /mnt/pmem0/vm1.img
xlpy pmem account --want 100G
""")
@argument("device", required=False, shell_complete="backings")
@option("--want", type=SIZE, metavar="SIZE", help="The smallest namespace that gives a guest exactly SIZE.")
@option("--map", "where", type=Choice(["mem", "dev"]), help="With --want: where Linux' page structs are to be.")
@option("--mode", type=Choice(["fsdax", "devdax"]), help="With --want: the namespace's mode, fsdax unless given.")
@json_option
def account(env: Env, device: str | None, want: int | None, where: str | None, mode: str | None, as_json: bool) -> None:
    """Account for every byte from the DIMMs to the guest: labels, info block, page structs, Xen's reserve, BTT map and
    log, file system, alignment.

    DEVICE is a namespace, a device, a partition or a file; without it, all namespaces. With --want, DEVICE is a region
    of which what is free counts, or a namespace, whose place in its region counts.
    """
    if want is None and (where or mode):
        raise UsageError(f"--{'map' if where else 'mode'} chooses among the answers to --want", hint="add --want SIZE")
    if want is not None:
        from xlpy.views.wanted import plans

        place = _place(env, device)
        found = plans(want, place, (mode or "fsdax",), (where,) if where else ("mem", "dev"))
        _show_plans(env, want, found, place.region, as_json)
        return
    from xlpy.views.ledger import accounts

    every = accounts(env.host, device)
    if as_json:
        json_items("xlpy.pmem-account/1", [_json(one) for one in every])
        return
    if not every:
        env.note("no namespaces; xlpy ndctl create-namespace --reserve xen makes one")
    for at, one in enumerate(every):
        if at:
            out("")
        _show(env, one)


def _json(one: Account) -> dict[str, Any]:
    return {"name": one.name, "path": one.path, "guest": one.guest, "rows": [row._asdict() for row in one.rows]}


def _show(env: Env, one: Account) -> None:
    rows = [
        (f"{row.size:,}", f"= {row.what}" if row.total else row.what, row.formula or "-", row.source or "-")
        for row in one.rows
    ]
    table(env, ("BYTES", one.name, "FORMULA", "SOURCE"), rows)


def _place(env: Env, device: str | None) -> NamespacePlace:
    from xlpy.dom0.nvdimm.nd.region import NSTYPE_PMEM
    from xlpy.errors import NotFound
    from xlpy.views.wanted import NamespacePlace

    if device is None:
        return NamespacePlace()
    dom0, short = env.host.dom0, device.removeprefix("/dev/")
    for region in dom0.bus.regions:
        names = {region.dev}
        for one in dom0.namespaces:
            if one.region == region.number:
                names |= {one.dev, one.disk or one.dev, one.char or one.dev}
        if short in names:
            held = dom0.nd.region(region.dev)
            free = held.max_available_extent if short == region.dev and held.nstype == NSTYPE_PMEM else region.span.size
            return NamespacePlace(region.span.start, region.align, free, region.dev)
    regions = ", ".join(region.dev for region in dom0.bus.regions)
    raise NotFound(f"{device}: no region, namespace or device", hint=f"regions: {regions}; others: xlpy pmem list")


def _show_plans(env: Env, want: int, found: list[NamespacePlan], region: str, as_json: bool) -> None:
    if as_json:
        items = [{**plan._asdict(), "command": plan.command(region)} for plan in found]
        json_document("xlpy.pmem-want/1", want=want, items=items)
        return
    best = found[0]
    rows = [
        (
            plan.mode,
            plan.map,
            format_size(plan.align),
            format_size(plan.size),
            format_size(plan.device),
            "whole device" if plan.partition is None else f"partition at {format_size(plan.partition[0])}",
            format_size(plan.ram),
        )
        for plan in found
    ]
    table(env, ("MODE", "MAP", "ALIGN", "NAMESPACE", "DEVICE", "GUEST GETS", "DOM0 RAM"), rows)
    out("", best.command(region))
    if best.partition is not None:
        first, sectors = best.partition[0] // 512, best.partition[1] // 512
        out(f"parted: unit s, mkpart {first} {first + sectors - 1}: a partition of exactly {format_size(want)}")
