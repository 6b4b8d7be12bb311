"""The machine: its hardware, as records that the whole project reads.

A person writes it in YAML (``xlpy.hw.describe``); a running host keeps it as JSON (``spec_to_json``), so that a command
that only uses the machine never imports YAML. Sizes and addresses are bytes everywhere.
"""

from __future__ import annotations

from xlpy.addr import GIB, KIB, MIB, PAGE, Dpa, Spa, Span
from xlpy.errors import StateError
from xlpy.records import NamedTuple
from xlpy.typing import Any

LABEL_MIN = 128 * KIB  # UEFI 2.7, 13.19: two index blocks and labels; smaller areas break label readers
NAME_MAX = 63  # bytes of a namespace's name; its field in a label has a zero behind it
SECTOR_SIZES = (512, 4096)  # bytes, that a label may give a namespace


class CpuSpec(NamedTuple):
    """All processors of the machine, alike.

    count: processors; physical_bits: width of a host physical address; line: cache line in bytes (CLFLUSH size);
    features: optional instructions on top of the base model, such as ``clwb`` (see ``xlpy.hw.cpu``).
    """

    count: int = 4  # type: ignore[assignment]  # hides tuple.count, which is not needed here
    physical_bits: int = 46
    line: int = 64
    features: tuple[str, ...] = ("clflushopt", "clwb")


class HealthSpec(NamedTuple):
    """What SMART reports of one DIMM. Temperatures in degrees Celsius, spares and used in percent.

    state: ``ok``, ``non-critical``, ``critical`` or ``fatal``; last_shutdown: ``clean`` or ``dirty``.
    """

    state: str = "ok"
    spares: int = 100
    used: int = 0
    media_temperature: float = 35
    controller_temperature: float = 40
    unsafe_shutdowns: int = 0
    last_shutdown: str = "clean"


class DimmSpec(NamedTuple):
    """One NVDIMM.

    handle: NFIT device handle (ACPI 6.2, 5.2.25.3); phys_id: SMBIOS type 17 handle; label_size: bytes outside the
    capacity, or 0; vendor ... serial: raw NFIT control region fields; interface: region format interface code;
    manufactured: (location, date) with the date as the raw little-endian u16 (BCD week << 8 | BCD year), or None;
    flags: NFIT state flags by their driver names (``not_armed``, ``save_fail``, ...); flush_hints: hint addresses;
    number: which of the firmware's control regions and pages of hints it has, from 1, as long as it is there.
    """

    id: str
    handle: int
    phys_id: int
    capacity: int
    label_size: int = LABEL_MIN
    vendor: int = 0x8980
    device: int = 1
    revision: int = 1
    subsystem_vendor: int = 0
    subsystem_device: int = 0
    subsystem_revision: int = 0
    serial: int = 0
    interface: int = 0x0301
    manufactured: tuple[int, int] | None = None
    health: HealthSpec = HealthSpec()
    flags: tuple[str, ...] = ()
    flush_hints: int = 0
    number: int = 1


class SetSpec(NamedTuple):
    """DIMMs that form one region of host physical addresses, line by line in turn.

    dimms: ids in interleave order (one id: not interleaved; none: a range that only the memory map has, as
    ``memmap=`` makes it); line: bytes per turn; base: first address; size: bytes of the region; proximity: SRAT domain;
    poison: (offset, length) pairs in the region that are bad from the start; starts: device address of its first byte
    on each DIMM, 0 for all when empty; labels: format of the labels that the DIMMs get, ``1.1`` or ``1.2``, empty for
    none; location_cookie: of the NFIT (ACPI 6.4), or None; number: which of the firmware's ranges it is, from 1, as
    long as it is there; out: (id, folder) of DIMMs that were pulled by surprise, since when none of its lines can be
    read; spoiled: (start, end) in the region of lines that were bad before that.
    """

    name: str
    dimms: tuple[str, ...]
    line: int
    base: Spa
    size: int
    proximity: int = 0
    poison: tuple[tuple[int, int], ...] = ()
    starts: tuple[int, ...] = ()
    labels: str = ""
    location_cookie: int | None = None
    number: int = 1
    out: tuple[tuple[str, str], ...] = ()
    spoiled: tuple[tuple[int, int], ...] = ()

    @property
    def span(self) -> Span[Spa]:
        """All of it."""
        return Span(self.base, self.size)

    def part(self, dimm: str) -> Span[Dpa]:
        """What it has of a DIMM."""
        way = self.dimms.index(dimm)
        return Span(Dpa(self.starts[way] if self.starts else 0), self.size // len(self.dimms))


class FileSpec(NamedTuple):
    """A file to start with. path: absolute, below the mount point; state: how its extents look on disk.

    ``written`` has data blocks; ``unwritten`` is fallocated only; ``sparse`` is one hole; ``fragmented`` is written in
    many extents. content: path of a file of the user's that it is filled with, or empty; align: of its place in host
    memory, in bytes.
    """

    path: str
    size: int
    state: str = "written"
    content: str = ""
    align: int = PAGE


class FilesystemSpec(NamedTuple):
    """A file system to start with. mount: absolute mount point; dax: mounted with ``-o dax``; read_only: and ``ro``."""

    type: str
    mount: str
    files: tuple[FileSpec, ...] = ()
    dax: bool = True
    block_size: int = PAGE
    read_only: bool = False


class PartitionSpec(NamedTuple):
    """A partition; start and size in bytes, relative to the block device."""

    start: int
    size: int
    filesystem: FilesystemSpec | None = None


class NamespaceSpec(NamedTuple):
    """A namespace of one region; of a region without labels the only one.

    region: name of the set; mode: ``raw``, ``fsdax``, ``devdax`` or ``sector``; map: where Linux keeps its page structs
    (``dev`` on the namespace, ``mem`` in RAM, None in other modes); reserve: room for Xen's frame table; uuid: of the
    info block; align: of the data start; sector_size: of the BTT; size: bytes, 0 for what is free; name: in its labels.
    """

    region: str
    mode: str = "raw"
    map: str | None = None
    reserve: bool = False
    uuid: str = ""
    align: int = 2 * MIB
    partitions: tuple[PartitionSpec, ...] = ()
    filesystem: FilesystemSpec | None = None
    sector_size: int = PAGE
    size: int = 0
    name: str = ""


class DmSpec(NamedTuple):
    """A device that device mapper makes of others. name: below ``/dev/mapper``; devices: absolute paths."""

    name: str
    devices: tuple[str, ...]


class MachineSpec(NamedTuple):
    """A whole machine. ram: bytes; persistence: what survives a power failure, in Linux' words (``none``,
    ``memory_controller``, ``cpu_cache``); dm, swap, loop: what Dom0 uses devices and files for (absolute paths);
    controllers: memory controllers that the board has, by the bits of their DIMMs' handles above the lowest 8."""

    name: str = "machine"
    ram: int = 16 * GIB
    cpu: CpuSpec = CpuSpec()
    dimms: tuple[DimmSpec, ...] = ()
    sets: tuple[SetSpec, ...] = ()
    namespaces: tuple[NamespaceSpec, ...] = ()
    persistence: str = "memory_controller"
    dm: tuple[DmSpec, ...] = ()
    swap: tuple[str, ...] = ()
    loop: tuple[str, ...] = ()
    controllers: tuple[int, ...] = (0,)

    @property
    def nodes(self) -> int:
        """NUMA nodes: as many as the interleave sets' proximity domains need. The CPUs are split evenly among them."""
        return 1 + max((one.proximity for one in self.sets), default=0)


# fields that hold records, or tuples of records
_INNER: dict[type, dict[str, type]] = {
    MachineSpec: {"cpu": CpuSpec, "dimms": DimmSpec, "sets": SetSpec, "namespaces": NamespaceSpec, "dm": DmSpec},
    DimmSpec: {"health": HealthSpec},
    NamespaceSpec: {"partitions": PartitionSpec, "filesystem": FilesystemSpec},
    PartitionSpec: {"filesystem": FilesystemSpec},
    FilesystemSpec: {"files": FileSpec},
}


def spec_to_json(spec: MachineSpec) -> dict[str, Any]:
    """The machine as JSON values."""
    data: dict[str, Any] = _dump(spec)
    return data


def spec_from_json(data: dict[str, Any]) -> MachineSpec:
    """The machine that ``spec_to_json`` wrote.

    Raises:
        StateError: keys or types are not those of a machine.
    """
    try:
        spec: MachineSpec = _load(MachineSpec, data)
    except (TypeError, AttributeError, ValueError) as error:
        raise StateError(
            f"the stored machine cannot be read: {error}", hint="start the host anew with: xlpy host reset"
        ) from error
    return spec


def _dump(value: Any) -> Any:  # noqa: ANN401 - any field of a record
    if hasattr(value, "_fields"):
        return {name: _dump(item) for name, item in zip(value._fields, value, strict=True)}
    return [_dump(item) for item in value] if isinstance(value, tuple) else value


def _load(kind: type, data: Any) -> Any:  # noqa: ANN401 - JSON in, record out
    inner = _INNER.get(kind, {})
    fields = {}
    for name, value in data.items():
        if value is None or name not in inner:
            fields[name] = _frozen(value) if isinstance(value, list) else value
        elif isinstance(value, list):
            fields[name] = tuple([_load(inner[name], item) for item in value])
        else:
            fields[name] = _load(inner[name], value)
    return kind(**fields)


def _frozen(value: Any) -> Any:  # noqa: ANN401 - JSON arrays become tuples
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
