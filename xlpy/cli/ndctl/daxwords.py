"""``daxctl list`` and ``daxctl reconfigure-device``."""

from __future__ import annotations

from errno import EINVAL, ENXIO, EOPNOTSUPP

from xlpy.cli.ndctl.jsonc import show_array
from xlpy.cli.ndctl.objects import Detail, Object, dax_device, dax_region
from xlpy.cli.ndctl.options import Parser, Values, flag, text
from xlpy.cli.ndctl.order import key
from xlpy.cli.ndctl.session import strerror
from xlpy.cli.ndctl.sizes import NONE, scanned
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.cli.ndctl.session import NdctlSession
    from xlpy.dom0.nvdimm.nd.bus import Nd
    from xlpy.dom0.nvdimm.nd.namespace import NdNamespace

LIST = (
    text("r", "region", "region-id", "filter by region"),
    text("d", "dev", "dev-id", "filter by dax device instance name"),
    flag("D", "devices", "include dax device info"),
    flag("R", "regions", "include dax region info"),
    flag("M", "mappings", "include dax mappings info"),
    flag("i", "idle", "include idle devices"),
    flag("u", "human", "use human friendly number formats "),
)
RECONFIGURE = (
    text("r", "region", "region-id", "filter by region"),
    flag("u", "human", "use human friendly number formats"),
    flag("v", "verbose", "emit more debug messages"),
    text("s", "size", "size", "size to switch the device to"),
    text("a", "align", "align", "alignment to switch the device to"),
    text("", "input", "input", "input device JSON file"),
    text("m", "mode", "mode", "mode to switch the device to"),
    flag("N", "no-online", "don't auto-online memory sections"),
    flag("f", "force", "attempt to offline memory sections before reconfiguration"),
    flag("C", "check-config", "use config files to determine parameters for the operation"),
    flag("", "no-movable", "online memory in ZONE_NORMAL"),
)


def devices(nd: Nd) -> list[NdNamespace]:
    """The devdax namespaces that are enabled, in daxctl's order; each has one device of device-dax."""
    found = [one for one in nd.namespaces if one.char_device]
    return sorted(found, key=lambda one: key(one.char_device or ""), reverse=True)


def wants_region(one: NdNamespace, words: str | None) -> bool:
    """Whether a region of device-dax is meant: by number, or as regionN."""
    if words is None or words == "all":
        return True
    value, _ = scanned(words.removeprefix("region"))
    return value == one.region.number


def wants_device(one: NdNamespace, words: str | None) -> bool:
    """Whether a device is meant: by name, or as REGION.NUMBER."""
    if words in (None, "all", one.char_device):
        return True
    region, rest = scanned(words)
    return rest[:1] == "." and (region, scanned(rest[1:])[0]) == (one.region.number, one.id)


def run_list(session: NdctlSession, words: Sequence[str]) -> int:
    """``daxctl list``."""
    parser = Parser(session, LIST, "daxctl list [<options>]")
    values, rest = parser.parse(words)
    for word in rest:
        session.error(f'unknown parameter "{word}"\n')
    if rest:
        parser.usage()
    regions, devs = values.regions, values.devices
    if not regions and not devs:
        regions, devs = values.region is not None, values.dev is not None
    devs = devs or not regions
    detail = Detail(human=values.human)
    found: list[Object] = []
    for one in devices(session.nd):
        claim = one.claim
        if claim is None or not wants_region(one, values.region):
            continue
        mine = wants_device(one, values.dev)
        device = dax_device(one, claim, detail)
        if values.mappings:
            device["mappings"] = [mapping(one, detail)]
        if regions:
            made: Object = {"path": path(session, one)} | dax_region(one, claim, detail, devices=False)
            if devs and mine:
                made["devices"] = [device]
            found.append(made)
        elif mine:
            found.append(device)
    if found:
        show_array(session, found, values.human)
    return 0


def path(session: NdctlSession, one: NdNamespace) -> str:
    """Where its region of device-dax is below /sys/devices."""
    bus = one.region.bus
    above = session.release.nfit_device if bus.provider != "e820" else "platform/e820_pmem"
    return f"/{above}/{bus.dev}/{one.region.dev}/{one.holder}"


def mapping(one: NdNamespace, detail: Detail) -> Object:
    """The only mapping of a device: all of its data."""
    data = one.claim.data  # type: ignore[union-attr]
    return {
        "page_offset": detail.hex(0),
        "start": detail.hex(data.start),
        "end": detail.hex(data.end - 1),
        "size": detail.size(data.size),
    }


def reconfigure(session: NdctlSession, words: Sequence[str]) -> int:
    """``daxctl reconfigure-device``: a devdax device stays what it is; memory of Dom0 it cannot become here."""
    parser = Parser(session, RECONFIGURE, "daxctl reconfigure-device <device> [<options>]")
    values, rest = parser.parse(words)
    if not rest:
        session.err('specify a device to reconfigure, or "all"')
    for word in rest[1:]:
        session.err(f'unknown extra parameter "{word}"')
    if len(rest) != 1:
        parser.usage()
    if values.size is None and values.align is None and values.mode is None:
        session.err("error: a 'align', 'mode' or 'size' option is required")
        parser.usage()
    mode = values.mode if values.size is None and values.align is None else None
    if values.no_online and mode in ("devdax", *(("famfs",) * session.release.famfs)):
        session.err(f"--no-online is incompatible with --mode={mode}")
        parser.usage()
    result, done, told = 0 if session.release.famfs else -ENXIO, 0, []
    for one in devices(session.nd):
        if not wants_region(one, values.region) or not wants_device(one, rest[0].rpartition("/")[2]):
            continue
        one_result = _reconfigure(session, one, values, mode)
        if one_result or not session.release.famfs:
            result = one_result
        if not one_result:
            done += 1
            assert one.claim is not None
            told = [dax_device(one, one.claim, Detail(human=values.human))]  # of several devices the last
    if told:
        show_array(session, told, values.human)
    if result < 0:
        session.err(f"error reconfiguring devices: {strerror(result)}")
    session.err(f"reconfigured {done} device{'' if done == 1 else 's'}")
    return result


def _reconfigure(session: NdctlSession, one: NdNamespace, values: Values, mode: str | None) -> int:
    """Reconfigure one device: 0, or a negative errno. Its size and alignment are its namespace's, and stay."""
    name, release = one.char_device, session.release
    align, size = session.size(values.align), session.size(values.size)
    what = "align" if align not in (0, NONE) else "size" if values.size is not None and size != NONE else ""
    if what:
        if release.famfs:
            place = f"/sys/devices{path(session, one)}/{name}/{what}"
            why = "Permission denied hint: try running as root or using sudo"
            session.library("write_attr", f"failed to open {place}: {why}")
        session.library(f"daxctl_dev_set_{what}", f"{name}: failed to set {what}")
        return -ENXIO
    if mode == "devdax":
        if not release.famfs:
            session.err(f"{name} was already in devdax mode")
        return 0
    if mode == "system-ram" or (mode == "famfs" and release.famfs):
        session.err(f"{name}: mode {mode} is not emulated: persistent memory does not become memory of Dom0 here")
        return -EOPNOTSUPP
    session.err(f"{name}: unknown mode requested: 0")
    return -EINVAL
