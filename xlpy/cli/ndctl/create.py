"""``ndctl create-namespace``: a namespace made, or made into something else."""

from __future__ import annotations

from errno import EAGAIN, EBUSY, EINVAL, ENODEV, ENOSPC, ENXIO

from xlpy.cli.ndctl import device, filters
from xlpy.cli.ndctl.jsonc import show
from xlpy.cli.ndctl.namespaces import BASE, CheckedOptions, chosen_regions, mode_of
from xlpy.cli.ndctl.objects import Detail, namespace_object
from xlpy.cli.ndctl.options import Parser, Values, flag, text
from xlpy.cli.ndctl.session import strerror
from xlpy.cli.ndctl.sizes import NONE
from xlpy.cli.ndctl.wanted import ANY_SECTOR, MIB16, NamespaceRefused, Resolver, WantedNamespace
from xlpy.typing import TYPE_CHECKING
from xlpy.uuids import random_uuid, uuid_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xlpy.cli.ndctl.order import NdDevice
    from xlpy.cli.ndctl.session import NdctlSession
    from xlpy.dom0.nvdimm.nd.bus import Nd
    from xlpy.dom0.nvdimm.nd.namespace import NdNamespace
    from xlpy.dom0.nvdimm.nd.region import NdRegion

USAGE = "ndctl create-namespace [<options>]"
OPTIONS = (
    *BASE,
    text("e", "reconfig", "reconfig namespace", "reconfigure existing namespace"),
    text("u", "uuid", "uuid", "specify the uuid for the namespace (default: autogenerate)"),
    text("n", "name", "name", "specify an optional free form name for the namespace"),
    text("s", "size", "size", "specify the namespace size in bytes (default: available capacity)"),
    text("m", "mode", "operation-mode", "specify a mode for the namespace, 'sector', 'fsdax', 'devdax' or 'raw'"),
    text("M", "map", "memmap-location", "specify 'mem' or 'dev' for the location of the memmap"),
    text("l", "sector-size", "lba-size", "specify the logical sector size in bytes"),
    text("t", "type", "type", "specify the type of namespace to create 'pmem' or 'blk'"),
    text("a", "align", "align", "specify the namespace alignment in bytes (default: 2M)"),
    flag("f", "force", "reconfigure namespace even if currently active"),
    flag("L", "autolabel", "automatically initialize labels", default=True),
    flag("c", "continue", "continue creating namespaces as long as the filter criteria are met"),
    flag("R", "autorecover", "automatically cleanup on failure", default=True),
    # ours (design, 4.2.1)
    text("", "reserve", "size", "xlpy: keep room for another owner's structures; 'xen' for what Xen needs, 0 for none"),
)


def run(session: NdctlSession, words: Sequence[str]) -> int:
    """Make namespaces, or make something else of one."""
    parser = Parser(session, OPTIONS, USAGE)
    values, rest = parser.parse(words)
    if not _defaults(session, values, rest):
        parser.usage()
    name = values.reconfig
    with session.change(f"ndctl create-namespace {name or ''}".rstrip()) as nd:
        maker = Maker(session, nd, values)
        result, made = maker.reconfigure(name) if name is not None else maker.create()
    if result < 0 and made < 1 and not words:
        result = -ENXIO  # it tries again with a type of region that no longer exists
    if values["continue"]:
        session.err(f"created {made} namespace{'' if made == 1 else 's'}")
    if (result < 0 or (name is None and made < 1)) and not session.errors:
        session.err(f"failed to {'reconfigure' if name is not None else 'create'} namespace: {strerror(result)}")
        if name is None:
            result = -ENODEV
    return result


def _defaults(session: NdctlSession, values: Values, rest: Sequence[str]) -> bool:
    """Check the values and fill in defaults; False: something is wrong, which has been reported."""
    checked = CheckedOptions(session, values)
    fresh = values.reconfig is None
    if values.type is not None:
        if values.type not in ("pmem", "blk"):
            checked.fault(f"invalid type '{values.type}', must be either 'pmem' or 'blk'")
    elif fresh:
        values["type"] = "pmem"
    if values.mode is not None:
        if mode_of(values.mode) is None:
            checked.fault(f"invalid mode '{values.mode}'")
    elif fresh and values.type is not None:
        values["mode"] = "fsdax" if values.type == "pmem" else "sector"
    if values.map is not None:
        checked.map(values.mode if fresh else None)
    elif fresh:
        values["map"] = "dev"
    if values.type == "blk" and values.mode in ("fsdax", "devdax"):
        checked.fault("only 'pmem' namespaces support dax operation")
    checked.sizes()
    checked.uuids()
    if values.sector_size is not None:
        if session.size(values.sector_size) == NONE:
            session.error(f"invalid sector size: {values.sector_size}\n")
            checked.sound = False
    elif values.type == "blk" or mode_of(values.mode) == "sector":
        values["sector_size"] = "4096"
    if values.reserve != "xen" and session.size(values.reserve) == NONE:
        checked.fault(f"failed to parse reserve '{values.reserve}'")
    if values.reserve is not None and values.mode is not None and mode_of(values.mode) not in ("fsdax", "devdax"):
        checked.fault("--reserve only valid for fsdax and devdax mode")
    for word in rest:
        checked.fault(f'unknown extra parameter "{word}"')
    return checked.sound


class Maker:
    """Makes namespaces with the values of the options.

    Args:
        session: for messages.
        nd: the bus.
        values: of the options, defaults included.
    """

    def __init__(self, session: NdctlSession, nd: Nd, values: Values) -> None:
        self._session = session
        self._nd = nd
        self._values = values
        self._resolver = Resolver(session, values)
        session.subject = "create namespace"

    # --- which -----------------------------------------------------------------------------------------------------

    def create(self) -> tuple[int, int]:
        """Make one namespace in the first region that has room, or with ``--continue`` as many as there is room for.

        Returns:
            (the result, how many were made).
        """
        values, result, made, kept = self._values, -ENXIO, 0, 0
        for region in chosen_regions(self._nd, values):
            if values.type == "blk":
                continue
            result = self._in(region)
            if result == -EAGAIN:
                continue
            if result == 0:
                made += 1
                if values["continue"]:
                    continue
            elif values["continue"] and values.force:
                kept = result
                continue
            return result, made
        if result == -EAGAIN:
            result = 0 if values["continue"] and made else -ENOSPC
        return kept or result, made

    def _in(self, region: NdRegion) -> int:
        """Make one in a region."""
        try:
            wanted = self._resolver.resolve(region, None)
            if region.ro:
                return -EAGAIN
            found = self._seed(region)
            if found is None or not device.idle(found):
                return -EAGAIN
        except NamespaceRefused as refused:
            return refused.result
        result = self._set_up(region, found, wanted)
        if result and self._values.autorecover:
            device.set_class(found, "raw")
            device.delete_namespace(found)
        return result

    def reconfigure(self, name: str) -> tuple[int, int]:
        """Make something else of a namespace; (the result, 1 when it is done)."""
        result = 0 if name == "all" else -ENXIO
        for region in chosen_regions(self._nd, self._values):
            if self._values.type == "blk":
                continue
            for one in filters.namespaces(region):
                if one.dev == name or (name == "all" and (one.size or (one.has_label and one.uuid))):
                    try:
                        result = self._again(region, one)
                    except NamespaceRefused as refused:
                        result = refused.result
                    return result, int(result == 0)
        return result, 0

    def _again(self, region: NdRegion, one: NdNamespace) -> int:
        from xlpy.cli.ndctl.apart import take_apart

        wanted = self._resolver.resolve(region, one)
        result = take_apart(self._session, one, self._values.force, delete=False)
        if result < 0:
            return result
        found: NdNamespace | None = one
        if region.nstype == 4 and self._values.autolabel:
            result = self._enable_labels(region)
            if result != -ENODEV:
                found = self._seed(region)
            if found is None or (result != -ENODEV and not device.idle(found)):
                return -ENODEV
        assert found is not None
        return self._set_up(region, found, wanted)

    @staticmethod
    def _seed(region: NdRegion) -> NdNamespace | None:
        """The namespace that is to become something: number 0 when it is idle, else the seed."""
        first = next((one for one in filters.namespaces(region) if one.id == 0 and device.idle(one)), None)
        return first or region.namespace_seed

    def _enable_labels(self, region: NdRegion) -> int:
        """Let a region have labels, if all its DIMMs can; ENODEV: they cannot, and nothing has changed."""
        if not region.mappings or any("set_data" not in one.dimm.commands for one in region.mappings):
            return -ENODEV
        session, dimms = self._session, [one.dimm for one in region.mappings]
        device.disable_region(session, region)
        active = [dimm for dimm in dimms if dimm.state == "active"]
        for dimm in active:
            session.warning(f"{dimm.dev} is active in {region.dev}, failing autolabel\n")
        if not active:
            from xlpy.cli.ndctl.labelwords import write_index

            for dimm in dimms:
                if device.attempt(lambda dimm=dimm: write_index(dimm, 2)) == 0:  # type: ignore[misc]
                    device.disable_dimm(session, dimm)
                    device.enable_dimm(session, dimm)
        device.enable_region(session, region)
        if region.nstype != 5:
            session.failed(f"{region.dev}: failed to initialize labels")
            return -EBUSY
        return 0

    # --- doing it --------------------------------------------------------------------------------------------------

    def _set_up(self, region: NdRegion, one: NdNamespace, wanted: WantedNamespace) -> int:
        """Give a namespace what is wanted, and print what has come of it; 0 or a negative errno."""
        try:
            return self._give(region, one, wanted)
        except NamespaceRefused as refused:
            return refused.result

    def _give(self, region: NdRegion, one: NdNamespace, wanted: WantedNamespace) -> int:
        if one.has_label:
            self._try(one, "set_uuid", lambda: one.store_uuid(wanted.uuid))
            self._try(one, "set_alt_name", lambda: one.store_alt_name(wanted.name))
            self._try(one, "set_size", lambda: device.set_size(one, wanted.size))
        if wanted.sector and wanted.sector != ANY_SECTOR:
            self._set_sector(one, wanted)
        info = uuid_text(random_uuid())
        device.set_class(one, wanted.mode)
        if wanted.mode in ("fsdax", "devdax") and not self._is_so_already(one, wanted):
            result = self._set_up_pages(region, one, wanted, info)
        elif wanted.mode == "sector":
            result = self._set_up_blocks(region, one, wanted, info)
        else:
            result = device.enable_namespace(self._session, one)
        if result:
            self._session.error(f"{one.dev}: failed to enable\n")
        else:
            show(self._session, namespace_object(one, Detail(human=self._session.terminal, dax=True)))
        return result

    def _set_sector(self, one: NdNamespace, wanted: WantedNamespace) -> None:
        if wanted.sector in one.sector_sizes:
            self._try(one, "set_sector_size", lambda: one.store_sector_size(wanted.sector))
        elif wanted.mode != "sector" and wanted.sector != 512:
            self._session.error(f"{one.dev}: sector_size: {wanted.sector} not supported\n")
            raise NamespaceRefused(-EINVAL)

    @staticmethod
    def _is_so_already(one: NdNamespace, wanted: WantedNamespace) -> bool:
        """A namespace whose pages are usable without an info block needs none for page structs in RAM."""
        return wanted.mode == "fsdax" and one.mode == "memory" and wanted.place != "pmem"

    def _set_up_pages(self, region: NdRegion, one: NdNamespace, wanted: WantedNamespace, info: str) -> int:
        fsdax = wanted.mode == "fsdax"
        seed, prefix = (region.pfn_seed, "ndctl_pfn") if fsdax else (region.dax_seed, "ndctl_dax")
        if seed is None:
            raise NamespaceRefused(-ENXIO)
        if one.resource % MIB16 and not self._values.force:
            self._session.error(f"{one.dev} misaligned to 16M, adjust region alignment and retry\n")
            raise NamespaceRefused(-EINVAL)
        self._try(seed, "set_uuid", lambda: seed.store_uuid(info))
        self._try(seed, "set_location", lambda: seed.store_mode(wanted.place))
        self._try(seed, "set_align", lambda: seed.store_align(wanted.align))
        self._try(seed, "set_reserve", lambda: seed.store_reserve(wanted.reserve))
        self._try(seed, "set_namespace", lambda: seed.store_namespace(one.dev))
        result = device.enable(self._session, seed, f"{prefix}_enable")
        if result and self._values.autorecover:
            device.attempt(lambda: seed.store_namespace(""))
        return result

    def _set_up_blocks(self, region: NdRegion, one: NdNamespace, wanted: WantedNamespace, info: str) -> int:
        seed = region.btt_seed
        if seed is None:
            raise NamespaceRefused(-ENXIO)
        sector = 4096 if wanted.sector == ANY_SECTOR else wanted.sector
        self._try(seed, "set_uuid", lambda: seed.store_uuid(info))
        self._try(seed, "set_sector_size", lambda: seed.store_sector_size(sector))
        self._try(seed, "set_namespace", lambda: seed.store_namespace(one.dev))
        return device.enable(self._session, seed, "ndctl_btt_enable")

    def _try(self, one: NdDevice, step: str, act: Callable[[], object]) -> None:
        """One write to sysfs, which must succeed."""
        result = device.attempt(act)
        if result:
            self._session.failed(f"{one.dev}: {step} failed: {strerror(result)}")
            raise NamespaceRefused(result)
