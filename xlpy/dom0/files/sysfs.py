"""The part of ``/sys`` that describes persistent memory: the nd bus, and block devices on it.

Paths, values and their spelling are Linux' (``Documentation/ABI/testing/sysfs-bus-nd`` and ``sysfs-block``): text that
ends in a newline, ``size`` of disks and partitions always in 512-byte sectors. What has no value does not exist here.
"""

from __future__ import annotations

from xlpy.addr import SECTOR
from xlpy.dom0.nvdimm.namespace import MODES
from xlpy.errors import NotFound
from xlpy.hw.machine import SECTOR_SIZES
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from xlpy.addr import Spa, Span
    from xlpy.dom0.files.block import BlockDevice
    from xlpy.dom0.files.usage import Use
    from xlpy.dom0.nvdimm.badrange import BadRanges
    from xlpy.dom0.nvdimm.driver import Bus, Dimm, RegionDesc
    from xlpy.dom0.nvdimm.namespace import Namespace
    from xlpy.dom0.nvdimm.nd.bus import Nd
    from xlpy.dom0.nvdimm.nd.region import NdRegion

BUS = "/sys/devices/LNXSYSTM:00/LNXSYBUS:00/ACPI0012:00/ndbus0"
E820_BUS = "/sys/devices/platform/e820_pmem/ndbus1"  # of ranges that no NFIT has
_MAX_LINKS = 40


class Sysfs:
    """A read-only tree.

    Args:
        bus: what the driver found.
        namespaces, devices: what it enabled.
        bad: the errors that the driver knows of, for ``badblocks`` and ``scrub``.
        uses: what is built on block devices and files.
        nd: gives the nd bus, for what changes while it runs; None: all is as after the first boot without labels.
    """

    def __init__(
        self,
        bus: Bus,
        namespaces: Iterable[Namespace],
        devices: Iterable[BlockDevice],
        bad: Callable[[], BadRanges],
        uses: Iterable[Use] = (),
        nd: Callable[[], Nd] | None = None,
    ) -> None:
        self._nd = nd
        self._files: dict[str, str | Callable[[], str]] = {}
        self._links: dict[str, str] = {}
        self._bad = bad
        self._folders = {"/sys"}
        self._add_bus(bus)
        if any(region.legacy for region in bus.regions):
            self._put(self._device(f"ndbus{int(bus.revision > 0)}", E820_BUS), provider="e820", wait_probe=1)
        for dimm in bus.dimms:
            self._add_dimm(dimm)
        for region in bus.regions:
            self._add_region(region, bus.persistence)
        shown = {one.dev: (self._add_namespace(one), one) for one in namespaces}
        for device in devices:
            holder, one = shown[device.namespace]
            self._add_block(device, holder, one.mode == "sector", bus.region(one.region).read_only)
        for use in uses:
            if use.dev:
                self._add_use(use)

    def read(self, path: str) -> str:
        """The text of a file. NotFound when there is none."""
        real = self.realpath(path)
        value = self._files.get(real)
        if value is None:
            raise NotFound(f"{path}: {'is a directory' if real in self._folders else 'no such file'} in sysfs")
        try:
            return value if isinstance(value, str) else value()
        except OSError as error:  # ENXIO
            raise NotFound(f"{path}: {error}") from error

    def listdir(self, path: str) -> list[str]:
        """The names in a directory, sorted. NotFound when it is none."""
        real = self.realpath(path)
        if real not in self._folders:
            raise NotFound(f"{path}: no such directory in sysfs")
        prefix = f"{real}/"
        everything = (*self._files, *self._links, *self._folders)
        return sorted({name[len(prefix) :].partition("/")[0] for name in everything if name.startswith(prefix)})

    def realpath(self, path: str) -> str:
        """The path without links, ``.`` and ``..``; parts that do not exist stay as they are."""
        todo, real, links = path.split("/")[::-1], "", 0
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                real = real.rpartition("/")[0]
                continue
            real += f"/{part}"
            if real in self._links:
                links += 1
                if links > _MAX_LINKS:
                    raise NotFound(f"{path}: too many symbolic links")
                todo += self._links[real].split("/")[::-1]
                real = ""
        return real or "/"

    def is_dir(self, path: str) -> bool:
        """Whether a directory is there."""
        return self.realpath(path) in self._folders

    # --- building ----------------------------------------------------------------------------------------------

    def _put(self, folder: str, **values: object) -> None:
        """Files in a folder; ``__`` in a name means a slash, None leaves a file out."""
        self._folder(folder)
        for name, value in values.items():
            if value is not None:
                path = f"{folder}/{name.replace('__', '/')}"
                self._files[path] = value if callable(value) else f"{value}\n"
                if "__" in name:
                    self._folder(path.rpartition("/")[0])

    def _live(self, first: object, get: Callable[[Nd], object]) -> object:
        """A value that changes while the bus runs; ``first`` when it does not."""
        nd = self._nd
        return first if nd is None else lambda: f"{get(nd())}\n"

    def _folder(self, path: str) -> None:
        while path not in self._folders and path:
            self._folders.add(path)
            path = path.rpartition("/")[0]

    def _link(self, path: str, target: str) -> None:
        self._links[path] = target
        self._folder(path.rpartition("/")[0])

    def _device(self, name: str, path: str) -> str:
        self._link(f"/sys/bus/nd/devices/{name}", path)
        return path

    def _add_bus(self, bus: Bus) -> None:
        self._put(
            self._device("ndbus0", BUS),
            provider="ACPI.NFIT",
            wait_probe=1,
            nfit__revision=bus.revision,
            nfit__dsm_mask="0x0",
            nfit__hw_error_scrub=0,
            nfit__scrub=lambda: f"{self._bad().scrubs}\n",
        )

    def _add_dimm(self, dimm: Dimm) -> None:
        def swapped(value: int) -> str:
            """Identity fields are shown in the byte order of the table."""
            return f"0x{value.to_bytes(2, 'little').hex()}"

        self._put(
            self._device(dimm.dev, f"{BUS}/{dimm.dev}"),
            state=self._live("active", lambda nd: nd.dimm(dimm.dev).state),
            flags=self._live("", lambda nd: nd.dimm(dimm.dev).flags),
            available_slots=self._live(None, lambda nd: nd.dimm(dimm.dev).available_slots),
            commands=self._live(None, lambda nd: "".join(f"{word} " for word in nd.dimm(dimm.dev).commands)),
            modalias="nd:t1",
            nfit__handle=f"{dimm.handle:#x}",
            nfit__phys_id=f"{dimm.phys_id:#x}",
            nfit__id=dimm.unique,
            nfit__vendor=swapped(dimm.vendor),
            nfit__device=swapped(dimm.device),
            nfit__rev_id=swapped(dimm.revision),
            nfit__subsystem_vendor=swapped(dimm.subsystem_vendor),
            nfit__subsystem_device=swapped(dimm.subsystem_device),
            nfit__subsystem_rev_id=swapped(dimm.subsystem_revision),
            nfit__serial=f"0x{dimm.serial.to_bytes(4, 'little').hex()}",
            nfit__format=f"0x{dimm.interface:04x}",
            nfit__formats=1,
            nfit__flags=" ".join(dimm.flags),
        )

    def _add_region(self, region: RegionDesc, persistence: str | None) -> None:
        mappings = {
            f"mapping{i}": f"{m.dimm},{m.offset},{m.length},{m.position}" for i, m in enumerate(region.mappings)
        }

        def live(first: object, get: Callable[[NdRegion], object]) -> object:
            return self._live(first, lambda nd: get(nd.region(region.dev)))

        def seed(kind: str) -> object:
            return live(None, lambda one: ((found := getattr(one, f"{kind}_seed")) and found.dev) or "")

        self._put(
            self._device(region.dev, f"{_bus(region.legacy)}/{region.dev}"),
            size=region.span.size,
            resource=f"{region.span.start:#x}",
            align=live(f"{region.align:#x}", lambda one: f"{one.align:#x}"),
            available_size=live(0, lambda one: one.available_size) if region.mappings else None,
            max_available_extent=live(0, lambda one: one.max_available_extent),
            mappings=len(region.mappings),
            set_cookie=live(f"{region.cookie1:#x}", lambda one: f"{one.set_cookie:#x}") if region.mappings else None,
            nstype=live(4, lambda one: one.nstype),
            init_namespaces=live("1/1", lambda one: "{}/{}".format(*one.init_namespaces)),
            namespace_seed=seed("namespace"),
            btt_seed=seed("btt"),
            pfn_seed=seed("pfn"),
            dax_seed=seed("dax"),
            numa_node=region.node,
            target_node=region.node,
            read_only=live(int(region.read_only), lambda one: int(one.ro)),
            deep_flush=None if region.legacy else 0,
            badblocks=lambda: self._badblocks(region.span),
            persistence_domain=None if region.legacy else persistence,
            modalias="nd:t2",
            **mappings,
        )

    def _add_namespace(self, one: Namespace) -> str:
        """Returns the path of the device that holds the disk: the namespace itself, or what claimed it."""
        parent = self._links[f"/sys/bus/nd/devices/region{one.region}"]
        mode, kind = MODES[one.mode]
        holder = "" if one.problem else one.holder or f"{kind}{one.region}.{one.id}" * bool(kind)
        namespace = self._device(one.dev, f"{parent}/{one.dev}")
        self._put(
            namespace,
            nstype=5 if one.label else 4,
            size=one.span.size,
            resource=f"{one.span.start:#x}",
            mode=mode,
            holder=holder,
            holder_class=kind if holder else "",
            force_raw=0,
            modalias="nd:t5" if one.label else "nd:t4",
        )
        if one.label:
            self._put(
                namespace,
                uuid=one.label,
                alt_name=one.name,
                dpa_extents=self._live(1, lambda nd: nd.namespace(one.dev).dpa_extents),
                sector_size=self._live(
                    "[512] 4096 ", lambda nd: _choice(SECTOR_SIZES, nd.namespace(one.dev).sector_size)
                ),
            )
        if not holder:
            return namespace
        path = self._device(holder, f"{parent}/{holder}")
        self._put(path, namespace=one.dev, uuid=one.uuid, size=one.size)
        if kind == "btt":
            from xlpy.dom0.nvdimm.nd.btt import BTT_SECTOR_SIZES

            self._put(path, sector_size=_choice(BTT_SECTOR_SIZES, one.sector_size), log_zero_flags="Y")
        else:
            from xlpy.dom0.nvdimm.infoblock import ALIGNMENTS

            self._put(
                path,
                mode="pmem" if one.map == "dev" else "ram",
                align=one.align,
                supported_alignments=" ".join(map(str, ALIGNMENTS)) + " ",
                resource=f"{one.data.start:#x}",
            )
        if one.char:
            self._add_dax(one, path)
        return path

    def _add_dax(self, one: Namespace, holder: str) -> None:
        """A devdax device: on a bus of its own, below the nd device that claimed the namespace."""
        path = f"{holder}/{one.char}"
        number = f"{one.number[0]}:{one.number[1]}"
        node = self.read(f"{holder}/../target_node").strip()
        uevent = f"MAJOR={one.number[0]}\nMINOR={one.number[1]}\nDEVNAME={one.char}\nDRIVER=device_dax\nMODALIAS=dax:t0"
        self._put(
            path,
            dev=number,
            uevent=uevent,
            resource=f"{one.data.start:#x}",
            size=one.size,
            align=one.align,
            numa_node=node,
            target_node=node,
            mapping0__start=f"{one.data.start:#x}",
            mapping0__end=f"{one.data.end - 1:#x}",
            mapping0__page_offset="0x0",
        )
        self._link(f"/sys/bus/dax/devices/{one.char}", path)
        self._link(f"/sys/dev/char/{number}", path)

    def _add_block(self, device: BlockDevice, holder: str, in_sectors: bool, read_only: bool) -> None:
        disk = f"{holder}/block/{device.disk}"
        path = f"{disk}/{device.name}" if device.partition else disk
        number = f"{device.number[0]}:{device.number[1]}"
        self._put(path, size=device.size // SECTOR, dev=number, ro=int(read_only))
        self._link(f"/sys/dev/block/{number}", path)
        self._link(f"/sys/class/block/{device.name}", path)
        if device.partition:
            self._put(path, partition=device.partition, start=device.offset // SECTOR)
            return
        self._link(f"/sys/block/{device.name}", path)
        self._link(f"{path}/device", holder)
        self._put(
            path,
            removable=0,
            queue__dax=int(device.dax),
            queue__logical_block_size=device.sector,
            queue__physical_block_size=device.sector if in_sectors else 4096,
            badblocks=None if in_sectors else lambda: self._badblocks(device.window),
        )

    def _add_use(self, use: Use) -> None:
        """A device that is built on another one, or on a file."""
        path = f"/sys/devices/virtual/block/{use.dev}"
        number = f"{use.number[0]}:{use.number[1]}"
        self._put(path, dev=number, ro=0)
        for link in (f"/sys/block/{use.dev}", f"/sys/class/block/{use.dev}", f"/sys/dev/block/{number}"):
            self._link(link, path)
        if use.kind == "loop":
            self._put(path, loop__backing_file=use.path)
            return
        self._put(path, dm__name=use.name)
        under = self.realpath(f"/sys/class/block/{use.device}")
        self._link(f"{under}/holders/{use.dev}", path)
        self._link(f"{path}/slaves/{use.device}", under)

    def _badblocks(self, span: Span[Spa]) -> str:
        """Lines of first sector and number of sectors, relative to the span."""
        from xlpy.dom0.nvdimm.badrange import text

        return text(self._bad().overlapping(span), span.start)


def _bus(legacy: bool) -> str:
    return E820_BUS if legacy else BUS


def _choice(values: Iterable[int], chosen: int) -> str:
    """Numbers of which one is chosen, as the kernel lists them."""
    return "".join(f"[{n}] " if n == chosen else f"{n} " for n in values)
