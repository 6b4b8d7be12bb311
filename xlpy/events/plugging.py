"""DIMMs and sets that are plugged in, and pulled out, while the host runs (design, section 4.2.6).

The firmware's ``_FIT`` changes and it raises notification 0x80; Dom0 evaluates ``_FIT``, attaches its driver to what is
new and reports it to Xen, which checks overlap and reserve. A DIMM that is out lies in a folder, with its content,
labels and bad lines; plugged into another slot or host it is found again by what its labels say.
"""

from __future__ import annotations

from pathlib import Path

from xlpy.addr import Spa, Span
from xlpy.errors import ConfigError, Conflict, NotFound
from xlpy.events import media_errors
from xlpy.events.users import named_users, what_ends
from xlpy.firmware.bios import refit
from xlpy.hw import drawer
from xlpy.hw.fragment import parse_fragment
from xlpy.private import folder
from xlpy.records import NamedTuple
from xlpy.statedir import UNPLUGGED
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.host import Host
    from xlpy.hw.fragment import Fragment
    from xlpy.hw.machine import DimmSpec, MachineSpec
    from xlpy.hw.region import Region
    from xlpy.hypervisor.mca import MachineCheckOutcome


class Plugged(NamedTuple):
    """What came. regions: their names in Dom0; log: lines of its kernel."""

    dimms: list[str]
    sets: list[str]
    regions: list[str]
    log: list[str]


class Pulled(NamedTuple):
    """What went. fragment: the file with which it is plugged in again; outcomes: machine checks, of a surprise."""

    dimms: list[str]
    sets: list[str]
    fragment: str
    outcomes: list[MachineCheckOutcome]


def plug(host: Host, text: str, source: str, dry_run: bool = False) -> Plugged:
    """Plug DIMMs and sets in.

    Args:
        host: where.
        text: a fragment of a machine description; ``source``: its file, beside which ``media:`` folders are looked for.
        dry_run: check only.

    Raises:
        ConfigError: it does not fit the machine, or a folder holds no such DIMM. Constraint: no space.
    """
    spec = host.spec
    try:
        fragment = parse_fragment(text, source, spec)
    except ConfigError as error:
        gone = [one.name for one in spec.sets if one.out and any(id_ in text for id_, _ in one.out)]
        if gone:
            error.hint = (
                f"{gone[0]} was pulled out by surprise; take away what is left of it: xlpy host unplug {gone[0]}"
            )
        raise
    places = _places(fragment, source)
    ids, names = [one.id for one in fragment.dimms], [one.name for one in fragment.sets]
    if dry_run:
        return Plugged(ids, names, [], [])
    whole = spec._replace(
        dimms=(*spec.dimms, *fragment.dimms),
        sets=tuple(sorted((*spec.sets, *fragment.sets), key=lambda one: not one.dimms)),
        namespaces=(*spec.namespaces, *fragment.namespaces),
    )
    try:
        with host.change(f"plugging in {', '.join(ids)}"):
            drawer.make_files(host.hw.undo, host.hw.beside("hw"), fragment.sets, fragment.dimms)
            host.replace_machine(whole)
            _fill(host, fragment, places)
            refit(host.hw)
            calls = host.xen.hypercalls(0)
            dom0 = host.dom0
            regions = dom0.rescan(calls, fragment.sets, fragment.namespaces)
            log = list(dom0.nd.messages)
            media_errors.raise_notification(host)
            for where in places.values():
                host.hw.undo.goes(where)  # a DIMM lies in one place only
    except BaseException:
        host.forget()
        raise
    return Plugged(ids, names, regions, log)


def unplug(host: Host, name: str, to: str | None = None, surprise: bool = False, dry_run: bool = False) -> Pulled:
    """Take a DIMM or a set out.

    Args:
        host: whose.
        name: of a set, or of a DIMM that is one alone or belongs to none.
        to: the folder for the DIMMs; else ``unplugged`` in the state directory.
        surprise: although it is used: an access to it causes a machine check. The set stays, and none of it can be
            read; what is left of it is taken out by another call.
        dry_run: check only.

    Raises:
        NotFound: no such DIMM or set. Conflict: it is used, or a DIMM is one of several of a set.
        Constraint: a folder is there already, or no space.
    """
    region, dimms = _find(host, name, surprise)
    out = {} if region is None else dict(region.set.out)
    where = Path(to or host.hw.beside(UNPLUGGED)).absolute()
    users = _users(host, region) if region is not None else []
    if out:
        users = [one for one in users if not one.startswith("mount ")]  # file systems without a disk go lazily
    if users and not surprise:
        raise Conflict(
            f"{name} is in use by {named_users(host, users)}",
            code="XLPY-PMEM-PLUGGED",
            hint=f"end that first ({what_ends(users[0])}); --surprise pulls it all the same",
        )
    title = region.name if region is not None else name
    fragment = str(where / f"{title}.yaml")
    sets = [region.name] if region is not None else []
    going = [one for one in dimms if one.id not in out]
    if surprise and not going:
        raise Conflict(
            f"{', '.join(one.id for one in dimms)} of {title} is out already",
            code="XLPY-PMEM-PLUGGED",
            hint=f"take away what is left: xlpy host unplug {title}",
        )
    if dry_run:
        return Pulled([one.id for one in going], sets, fragment, [])
    outcomes: list[MachineCheckOutcome] = []
    try:
        with host.change(f"unplugging {name}"):
            if not where.exists():
                host.hw.undo.made(str(where))
                folder(str(where))
            for one in going:
                drawer.take_out(host.hw, one, region, str(where / one.id))
            if surprise and region is not None:
                outcomes = _pull(host, region, going, where)
            else:
                host.hw.undo.keep(fragment)
                drawer.write_fragment(fragment, dimms, region)
                if region is not None and out:
                    host.dom0.unmount(region.span)
                _remove(host, region, dimms)
    except BaseException:
        host.forget()
        raise
    return Pulled([one.id for one in dimms], sets, fragment, outcomes)


def _remove(host: Host, region: Region | None, dimms: list[DimmSpec]) -> None:
    """In order: Dom0 lets the region go, Xen forgets it, firmware takes it off ``_FIT``."""
    calls, spec = host.xen.hypercalls(0), host.spec
    gone = {one.id for one in dimms}
    if region is not None:
        with host.dom0.managing(calls) as nd:
            for there in nd.regions:
                if there.resource == region.span.start and there.bound:
                    there.unbind()
        host.dom0.bad.forget(region.span)
        host.xen.pmem.forget_bad(region.span)
        host.hw.undo.drop(f"media/{region.name}")
    for one in dimms:
        if one.label_size:
            host.hw.undo.drop(f"labels/{one.id}")
        drawer.drop_unmapped(host.hw, one)
    host.replace_machine(_without(spec, region, gone))
    if region is not None:
        host.hw.clear_poison(region.span)
    refit(host.hw)
    host.dom0.rescan(host.xen.hypercalls(0))


def _without(spec: MachineSpec, region: Region | None, dimms: set[str]) -> MachineSpec:
    name = region.name if region is not None else None
    return spec._replace(
        dimms=tuple(one for one in spec.dimms if one.id not in dimms),
        sets=tuple(one for one in spec.sets if one.name != name),
        namespaces=tuple(one for one in spec.namespaces if one.region != name),
    )


def _pull(host: Host, region: Region, dimms: list[DimmSpec], where: Path) -> list[MachineCheckOutcome]:
    """Without asking: no line of the set can be read from now on, and each domain that has some of it reads one."""
    base, bad = region.span.start, host.hw.poison.overlapping(region.span)
    spoiled = region.set.spoiled if region.set.out else tuple((one.start - base, one.end - base) for one in bad)
    host.hw.keep(region.span)
    for one in dimms:
        drawer.erase(host.hw, one, region)
    out = (*region.set.out, *((one.id, str(where / one.id)) for one in dimms))
    sets = [one._replace(out=out, spoiled=spoiled) if one.name == region.name else one for one in host.spec.sets]
    host.hw.poison.add(region.span)
    host.replace_machine(host.spec._replace(sets=tuple(sets)))
    hit: dict[int, Spa] = {}
    for piece in host.xen.pmem.owned(region.span):
        hit.setdefault(piece.tag, Spa(piece.start << 12))
    outcomes = [host.xen.mca.report(spa, action_required=True) for spa in hit.values()]
    media_errors.raise_notification(host)
    return outcomes


def _find(host: Host, name: str, surprise: bool) -> tuple[Region | None, list[DimmSpec]]:
    """The set that goes, and its DIMMs; a DIMM of no set goes alone."""
    hw = host.hw
    region = next((one for one in hw.regions if one.name == name), None)
    if region is None:
        if all(one.id != name for one in hw.spec.dimms):
            known = ", ".join([*(one.name for one in hw.regions), *(one.id for one in hw.spec.dimms)])
            raise NotFound(f"no DIMM or set {name!r}", hint=f"there are: {known}")
        homes = [one for one in hw.regions if name in one.set.dimms]
        if not homes:
            return None, [hw.dimm(name)]
        region = homes[0]
        others = [one for one in region.set.dimms if one != name]
        if others and not surprise:
            raise Conflict(
                f"{name} is interleaved with {', '.join(others)} in {region.name}",
                code="XLPY-PMEM-PLUGGED",
                hint=f"take the set out: xlpy host unplug {region.name}",
            )
        alone = [hw.dimm(name)]
    else:
        others, alone = [], []
    shared = [one.name for one in hw.regions if one is not region and set(one.set.dimms) & set(region.set.dimms)]
    if shared:
        raise Conflict(
            f"DIMMs of {region.name} belong to {', '.join(shared)} too",
            hint="DIMMs of several sets stay where they are",
        )
    return region, alone if others else [hw.dimm(one) for one in region.set.dimms]


def _users(host: Host, region: Region) -> list[str]:
    found = list(host.dom0.users_of(region.span))
    found += [f"domain {piece.tag}" for piece in host.xen.pmem.owned(region.span)]
    exports = host.store.table("exports")
    for record in filter(None, map(exports.get, exports.keys())):
        for one in record["vnvdimms"]:
            spans = [Span(Spa(start), size) for start, size in one["data"].get("spans", ())]
            if any(span.overlaps(region.span) for span in spans):
                found.append(f"the export {record['name']}")
    return list(dict.fromkeys(found))


def _places(fragment: Fragment, source: str) -> dict[str, str]:
    """The folders of DIMMs that have content; each must be the DIMM that it is said to be."""
    beside = Path(source).absolute().parent
    found = {}
    for one in fragment.dimms:
        if one.id not in fragment.media:
            continue
        where = str(beside / fragment.media[one.id])
        was = drawer.identity(where)
        for field in ("serial", "capacity", "label_size", "vendor", "device", "manufactured"):
            mine, its = getattr(one, field), getattr(was, field)
            if mine != its:
                raise ConfigError(
                    f"{source}: {one.id}: {field} is {mine}, the DIMM in {where} has {its}",
                    hint="identity and size are the DIMM's own; id, handle and phys_id are the slot's",
                )
        found[one.id] = where
    return found


def _fill(host: Host, fragment: Fragment, places: dict[str, str]) -> None:
    bad: list[Span[Spa]] = []
    names = {one.name for one in fragment.sets}
    for region in host.hw.regions:
        if region.name in names:
            bad += drawer.put_in(host.hw, region, places)
    for one in fragment.dimms:
        if one.id in places:
            drawer.labels_in(host.hw, one, places[one.id])
            drawer.keep_unmapped(host.hw, one, places[one.id])
    if bad:
        host.hw.poison.add(*bad)
