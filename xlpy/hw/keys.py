"""What the keys of ``machine.yaml`` mean: the one table behind docs/machine.md (``python -m tools.machine``).

A key whose value goes into its record as it is has its type and limits here as well, and is read by ``plain``; its
default is the record's. Those of the others are where they are read, in ``describe`` and ``contents``. A test holds
that every key that is read stands here, and no other.
"""

from __future__ import annotations

from xlpy.addr import MIB, PAGE
from xlpy.hw.cpu import OPTIONAL, WITHDRAWN
from xlpy.hw.fields import U16
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xlpy.hw.fields import Section

MAX_CPUS = 255  # local APIC ids are one byte
STATE_FLAGS = ("save_fail", "restore_fail", "flush_fail", "not_armed", "smart_event", "smart_notify", "map_fail")


class Key(NamedTuple):
    """One key.

    default: in words, where it is derived. unit: where the type does not tell. kind: the method of ``Section`` that
    reads it, empty where a function of its own does; limits: the arguments of that method.
    """

    meaning: str
    example: str
    default: str = ""
    unit: str = ""
    kind: str = ""
    limits: Mapping[str, Any] = {}


def plain(section: Section, path: str, default: object) -> dict[str, Any]:
    """The values of the keys of a mapping that go into its record as they are, by name.

    Args:
        section: the mapping. path: as in ``KEYS``, such as ``dimms[]``.
        default: a record whose values stand where a key is not given.
    """
    found = {}
    for name, key in KEYS.items():
        above, _, field = name.rpartition(".")
        if above == path and key.kind:
            found[field] = getattr(section, key.kind)(field, getattr(default, field), **key.limits)
    return found


SECTIONS = {  # path of a mapping -> title of its table
    "": "The machine",
    "cpu": "cpu",
    "dimms[]": "dimms",
    "dimms[].manufactured": "dimms: manufactured",
    "dimms[].health": "dimms: health",
    "sets[]": "sets",
    "sets[].poison[]": "sets: poison",
    "namespaces[]": "namespaces",
    "namespaces[].partitions[]": "namespaces: partitions",
    "namespaces[].filesystem": "namespaces: filesystem, also of a partition",
    "namespaces[].filesystem.files[]": "namespaces: filesystem: files",
    "dm[]": "dm",
}

KEYS = {
    "name": Key("name of the machine, from which uuids and serial numbers are derived", "name: lab"),
    "ram": Key("RAM; it fills the addresses from 0 on, around devices and sets", "ram: 16G"),
    "cpu": Key("the processors, all alike", "cpu: {count: 8}"),
    "persistence": Key("what survives a power failure, in Linux' words", "persistence: cpu_cache"),
    "dimms": Key("the NVDIMMs", "dimms: [{id: d0, capacity: 1G}]"),
    "sets": Key("how DIMMs form ranges of host physical addresses", "sets: [{name: s0, dimms: [d0]}]"),
    "namespaces": Key("what Dom0's administrator makes at first boot", "namespaces: [{region: s0, mode: fsdax}]"),
    "dm": Key("devices that Dom0's device mapper makes of others", "dm: [{name: vg0-root, devices: [/dev/pmem0p3]}]"),
    "swap": Key("devices and files that Dom0 swaps to", "swap: [/dev/pmem1]"),
    "loop": Key("files behind loop devices of Dom0", "loop: [/mnt/pmem0/disk.img]"),
    "cpu.count": Key(
        "processors; split evenly among NUMA nodes", "count: 8", kind="number", limits={"least": 1, "most": MAX_CPUS}
    ),
    "cpu.physical_bits": Key(
        "width of a host physical address",
        "physical_bits: 46",
        unit="bits",
        kind="number",
        limits={"least": 36, "most": 52},
    ),
    "cpu.line": Key(
        "cache line, the CLFLUSH size; a power of two", "line: 64", kind="size", limits={"least": 16, "most": 1024}
    ),
    "cpu.features": Key(
        "optional instructions",
        "features: [clflushopt, clwb]",
        kind="words",
        limits={"choices": (*OPTIONAL, *WITHDRAWN)},
    ),
    "dimms[].id": Key("name of the DIMM, anywhere in xlpy", "id: dimm0"),
    "dimms[].handle": Key("NFIT device handle: socket, controller, channel, DIMM", "handle: 0x11", "place + 1"),
    "dimms[].phys_id": Key("SMBIOS type 17 handle", "phys_id: 0x1100", "0x1100 + place"),
    "dimms[].capacity": Key("bytes that can be mapped", "capacity: 512G"),
    "dimms[].label_size": Key(
        "label area, beside the capacity; 0 for none, else at least 128K",
        "label_size: 128K",
        kind="size",
        limits={"most": 64 * MIB, "unit": PAGE},
    ),
    "dimms[].vendor": Key(
        "of the NFIT control region", "vendor: 0x8980", "`0x8980`", kind="number", limits={"most": U16}
    ),
    "dimms[].device": Key("of the NFIT control region", "device: 1", kind="number", limits={"most": U16}),
    "dimms[].revision": Key("of the NFIT control region", "revision: 1", kind="number", limits={"most": U16}),
    "dimms[].subsystem_vendor": Key(
        "of the NFIT control region", "subsystem_vendor: 0x8086", kind="number", limits={"most": U16}
    ),
    "dimms[].subsystem_device": Key(
        "of the NFIT control region", "subsystem_device: 0x97a", kind="number", limits={"most": U16}
    ),
    "dimms[].subsystem_revision": Key(
        "of the NFIT control region", "subsystem_revision: 0x18", kind="number", limits={"most": U16}
    ),
    "dimms[].serial": Key("serial number, a part of its sets' cookies", "serial: 0x1234", "derived"),
    "dimms[].interface": Key(
        "region format interface code: 0x0101 or 0x0301",
        "interface: 0x0301",
        "`0x0301`",
        kind="number",
        limits={"most": U16},
    ),
    "dimms[].manufactured": Key("where and when", "manufactured: {location: 0xa2, date: 2017-49}"),
    "dimms[].health": Key("what SMART reports", "health: {spares: 90}"),
    "dimms[].flags": Key("NFIT state flags", "flags: [not_armed]", kind="words", limits={"choices": STATE_FLAGS}),
    "dimms[].flush_hints": Key("flush hint addresses", "flush_hints: 2", kind="number", limits={"most": PAGE // 64}),
    "dimms[].manufactured.location": Key("code of the place", "location: 0xa2"),
    "dimms[].manufactured.date": Key("year and week", "date: 2017-49"),
    "dimms[].health.state": Key(
        "summary", "state: non-critical", kind="word", limits={"choices": ("ok", "non-critical", "critical", "fatal")}
    ),
    "dimms[].health.spares": Key(
        "spare capacity that is left", "spares: 90", unit="percent", kind="number", limits={"most": 100}
    ),
    "dimms[].health.used": Key("of the device's life", "used: 12", unit="percent", kind="number", limits={"most": 255}),
    "dimms[].health.media_temperature": Key(
        "of the media",
        "media_temperature: 40",
        unit="degrees Celsius",
        kind="number",
        limits={"least": -200, "most": 200},
    ),
    "dimms[].health.controller_temperature": Key(
        "of the controller",
        "controller_temperature: 45",
        unit="degrees Celsius",
        kind="number",
        limits={"least": -200, "most": 200},
    ),
    "dimms[].health.unsafe_shutdowns": Key("shutdowns in which data was lost", "unsafe_shutdowns: 2", kind="number"),
    "dimms[].health.last_shutdown": Key(
        "how the last one was", "last_shutdown: dirty", kind="word", limits={"choices": ("clean", "dirty")}
    ),
    "sets[].name": Key("name of the set, and of its file of media", "name: set0"),
    "sets[].dimms": Key(
        "DIMMs in interleave order; none: a range that only the memory map has (memmap=)", "dimms: [dimm0, dimm1]"
    ),
    "sets[].line": Key("bytes on one DIMM before the next one's turn; a power of two", "line: 4K"),
    "sets[].base": Key("first address", "base: 0x500000000", "the lowest free GiB above RAM"),
    "sets[].size": Key(
        "bytes of the set, so that a DIMM can be in several", "size: 2G", "all that is left of its DIMMs"
    ),
    "sets[].proximity": Key("SRAT proximity domain, which makes a NUMA node", "proximity: 1"),
    "sets[].labels": Key("format of the labels that its DIMMs get at first boot", "labels: '1.2'"),
    "sets[].location_cookie": Key("SPA location cookie of the NFIT (ACPI 6.4)", "location_cookie: 0x1234", "none"),
    "sets[].poison": Key("lines that are bad from the start", "poison: [{offset: 32M, size: 64}]"),
    "sets[].poison[].offset": Key("from the start of the region", "offset: 32M"),
    "sets[].poison[].size": Key("grows to whole lines of 64 bytes", "size: 4K"),
    "namespaces[].region": Key("the set that it is on", "region: set0"),
    "namespaces[].mode": Key("ndctl's mode", "mode: fsdax"),
    "namespaces[].map": Key("where Linux keeps its page structs: here or in RAM", "map: mem"),
    "namespaces[].reserve": Key("room for Xen's frame table, without which no domain can have it", "reserve: true"),
    "namespaces[].uuid": Key(
        "of the info block", "uuid: 0d50f988-4674-48ee-b4a9-5ee17be61703", "derived from the names"
    ),
    "namespaces[].align": Key("of the start of the data: 4K, 2M or 1G", "align: 2M"),
    "namespaces[].sector_size": Key("of a BTT: 512 or 4096", "sector_size: 512"),
    "namespaces[].size": Key("bytes; only with labels", "size: 1G", "what is free; without labels the whole region"),
    "namespaces[].name": Key("in its labels, up to 63 bytes", "name: data"),
    "namespaces[].partitions": Key("a GPT", "partitions: [{start: 1M, size: 512M}]"),
    "namespaces[].filesystem": Key("on the whole device", "filesystem: {type: ext4, mount: /mnt/pmem0}"),
    "namespaces[].partitions[].start": Key("from the start of the device", "start: 1M"),
    "namespaces[].partitions[].size": Key("bytes", "size: 512M"),
    "namespaces[].partitions[].filesystem": Key("on the partition", "filesystem: {mount: /mnt/part}"),
    "namespaces[].filesystem.type": Key(
        "its type; `xfs` needs mkfs.xfs (package xfsprogs), see [XFS](machine.md#xfs)", "type: ext4"
    ),
    "namespaces[].filesystem.mount": Key("where it is mounted in Dom0", "mount: /mnt/pmem0"),
    "namespaces[].filesystem.dax": Key("mounted with `-o dax`", "dax: false", "`true` in fsdax mode"),
    "namespaces[].filesystem.block_size": Key("4096 for DAX", "block_size: 4096"),
    "namespaces[].filesystem.read_only": Key("mounted with `-o ro`", "read_only: true"),
    "namespaces[].filesystem.files": Key("files to start with", "files: [{path: vm1.img, size: 64M}]"),
    "namespaces[].filesystem.files[].path": Key("below the mount point, or absolute", "path: vm1.img"),
    "namespaces[].filesystem.files[].size": Key("bytes", "size: 64M", "the length of `content`; else required"),
    "namespaces[].filesystem.files[].content": Key(
        "a file of yours that it is filled with, relative to the description; what `size` has beyond it is zeros",
        "content: disk.img",
    ),
    "namespaces[].filesystem.files[].align": Key(
        "of its place in host memory, so that large pages can map it: 4K, 2M or 1G", "align: 2M"
    ),
    "namespaces[].filesystem.files[].state": Key("how its extents lie on the media", "state: fragmented"),
    "dm[].name": Key("below /dev/mapper", "name: vg0-root"),
    "dm[].devices": Key("what it is made of", "devices: [/dev/pmem0p3]"),
}

EXAMPLE = """\
name: lab
ram: 8G
cpu: {count: 4, physical_bits: 46, line: 64, features: [clflushopt, clwb]}
persistence: memory_controller

dimms:
  - id: dimm0
    capacity: 526M
    handle: 0x01
    manufactured: {location: 0xa2, date: 2017-49}
    health: {state: ok, spares: 98, used: 3, media_temperature: 36, unsafe_shutdowns: 1}
  - {id: dimm1, capacity: 256M, handle: 0x11, flush_hints: 2}

sets:
  - {name: set0, dimms: [dimm0], poison: [{offset: 300M, size: 64}]}
  - {name: set1, dimms: [dimm1], labels: '1.2', location_cookie: 0x1234}

namespaces:
  - region: set0
    mode: fsdax
    map: dev
    reserve: true
    partitions:
      - {start: 1M, size: 128M, filesystem: {type: ext4, mount: /mnt/part, files: [{path: vm1.img, size: 64M}]}}
      - {start: 192M, size: 64M}
  - region: set1
    mode: fsdax
    map: mem
    reserve: true
    size: 128M
    name: data
    filesystem: {type: ext4, mount: /mnt/data, files: [{path: vm2.img, size: 32M, state: fragmented}]}

dm:
  - {name: vg0-root, devices: [/dev/pmem0p2]}
swap: []
loop: [/mnt/data/vm2.img]
"""
