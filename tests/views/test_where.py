"""Where a byte lives, for every kind of backing and every kind of address: held against the bytes themselves."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from copying import copy_tree
from programs import need

from xlpy.api import Constraint, Host, NotFound, load_config, whereis
from xlpy.dom0.ext4.edit import Ext4Editor
from xlpy.dom0.nvdimm.sectors import Sectors
from xlpy.events import plugging

MACHINES = Path(__file__).parents[2] / "configs" / "machines"
LEGACY = """\
name: legacy
ram: 1G
sets: [{name: s0, dimms: [], size: 16M}]
"""


@pytest.fixture(scope="module")
def machines(tmp_path_factory):
    """Hosts by the name of their machine; not to be changed."""
    home, made = tmp_path_factory.mktemp("machines"), {}

    def get(name):
        if name not in made:
            description = MACHINES / f"{name}.yaml"
            if name == "legacy":
                description = home / "legacy.yaml"
                description.write_text(LEGACY)
            need("mke2fs", *(["mkfs.xfs"] if name == "xfs" else []))
            Host.make(home / name, description).close()
            made[name] = home / name
        return made[name]

    return get


@pytest.fixture
def on(machines, tmp_path):
    """Open a copy of a host."""
    opened = []

    def get(name):
        copy_tree(machines(name), tmp_path / name)
        opened.append(Host.open(tmp_path / name))
        return opened[-1]

    yield get
    for host in opened:
        host.close()


def on_media(answer, length=16):
    media = answer.at.media
    with Path(media.file).open("rb") as file:
        file.seek(media.offset)
        return file.read(length)


def decided(answer):
    return [hop.decided_by for hop in answer.hops]


def place(answer, text):
    """The place of the first hop that is decided by something with this text."""
    return next(hop.place for hop in answer.hops if text in hop.decided_by)


KINDS = [
    # machine, path, offset, what must be among the deciding structures
    ("refusals", "/mnt/pmem0/written.img", 0x5004, "PFN info block (fsdax, 4096 bytes)"),
    ("refusals", "/mnt/pmem0/scattered.img", 0x5004, "inode 13, its extent tree, level 1"),
    ("refusals", "/dev/pmem1s", 0x5004, "BTT map, entry 5"),
    ("refusals", "/dev/pmem2", 0x5004, "PFN info block (fsdax, 4096 bytes)"),
    ("refusals", "/dev/pmem3p2", 0x5004, "partition table of pmem3, entry 2"),
    ("refusals", "/dev/dax6.0", 0x5004, "DAX info block (devdax, 4096 bytes)"),
    ("interleaved", "/dev/pmem1p1", 0x5F04, "NFIT, interleave structure"),
    ("interleaved", "/mnt/pmem1p2/vm2.img", 0x5F04, "partition table of pmem1, entry 2"),
    ("xfs", "/mnt/pmem0/guests/vm2.img", 0x5004, "inode table"),
    ("legacy", "/dev/pmem0", 0x5004, "the host's E820, type 12"),
]


@pytest.mark.parametrize(("machine", "path", "offset", "by"), KINDS, ids=[f"{m}:{p}" for m, p, _, _ in KINDS])
def test_every_kind_of_backing_both_ways(on, machine, path, offset, by):
    """From a path down to the media file, and from the cell back up to the path."""
    host = on(machine)
    down = whereis.by_file(host, path, offset)
    assert by in decided(down)
    host.hw.write(down.at.spa, b"where bytes live")
    assert host.dom0.cat(path, offset, 16) == b"where bytes live" == on_media(down)
    assert (down.at.path, down.at.path_offset) == (path, offset)
    assert whereis.by_spa(host, down.at.spa) == down
    if down.at.dimm:
        assert whereis.by_dpa(host, down.at.dimm, down.at.dpa) == down


def test_the_map_of_a_btt_decides(on):
    """Sector 5 was rewritten: it lies in what was the first free block, and its old block is free."""
    host = on("refusals")
    namespace = next(one for one in host.dom0.namespaces if one.mode == "sector")
    sectors = Sectors(host.hw.read, namespace)
    (arena,) = sectors.arenas
    free, old = arena.block.external_nlba, whereis.by_file(host, "/dev/pmem1s", 0x5004)
    host.hw.write(sectors.at(0x5000).place, struct.pack("<I", free | 3 << 30))
    host.hw.write(arena.start + arena.block.logoff, struct.pack("<4I", 5, 5, free, 1))
    new = whereis.by_file(host, "/dev/pmem1s", 0x5004)
    assert new.at.spa == arena.start + arena.block.dataoff + free * 4096 + 4
    assert f"sector 5 in block {free} of the arena" in [hop.what for hop in new.hops]
    assert whereis.by_spa(host, new.at.spa) == new
    assert "block 5, free for the next write of lane 0" in [hop.what for hop in whereis.by_spa(host, old.at.spa).hops]
    host.hw.write(new.at.spa, b"moved")
    assert host.dom0.cat("/dev/pmem1s", 0x5004, 5) == b"moved"


@pytest.mark.parametrize(
    ("offset", "what"),
    [
        (lambda block: 0, "the info block"),
        (lambda block: block.mapoff + 4 * 7, "the map, entry of sector 7"),
        (lambda block: block.logoff + 64 * 3, "the log, lane 3"),
        (lambda block: block.info2off, "the copy of the info block"),
    ],
)
def test_what_a_btt_needs_itself(on, offset, what):
    host = on("refusals")
    namespace = next(one for one in host.dom0.namespaces if one.mode == "sector")
    (arena,) = Sectors(host.hw.read, namespace).arenas
    found = whereis.by_spa(host, arena.start + offset(arena.block))
    assert what in [hop.what for hop in found.hops]
    assert found.at.path is None


def test_bytes_that_lead_to_a_file_of_an_xfs(on):
    """Directory entries in short form, and the record of the extent: each at its place."""
    host = on("xfs")
    answer = whereis.by_file(host, "/mnt/pmem0/guests/vm2.img", 0x3000)
    *_, by = (by for by in decided(answer) if by.startswith("directory entry of inode"))
    entry = host.hw.read(place(answer, by).address, 10)
    assert (entry[0], entry[3:10]) == (7, b"vm2.img")
    assert host.hw.read(place(answer, "inode table").address, 2) == b"IN"
    high, low = struct.unpack(">QQ", host.hw.read(place(answer, "its extent tree").address, 16))
    assert (high >> 9 & (1 << 54) - 1, low & (1 << 21) - 1) == (0, 8192)
    base = host.dom0.device("/dev/pmem0").window.start
    group, within = divmod(
        answer.at.spa - base - 0x3000 >> 12, host.dom0.image(host.dom0.disk_mounts[0]).superblock.ag_blocks
    )
    log = host.dom0.image(host.dom0.disk_mounts[0]).superblock.ag_block_log
    assert (high & 0x1FF) << 43 | low >> 21 == group << log | within


def test_bytes_that_lead_to_a_scattered_file(on):
    """Index entry in the inode, then the leaf's entry, as debugfs shows them."""
    host = on("refusals")
    answer = whereis.by_file(host, "/mnt/pmem0/scattered.img", 100 * 4096)
    window = host.dom0.device("/dev/pmem0").window
    low, leaf = struct.unpack("<II", host.hw.read(place(answer, "level 1").address, 8))
    entry = next(h.place.address for h in answer.hops if h.decided_by == "inode 13, its extent tree")
    assert low == 0
    assert (entry - window.start) // 4096 == leaf
    logical, count, _, block = struct.unpack("<IHHI", host.hw.read(entry, 12))
    assert logical <= 100 < logical + count
    assert window.start + (block + 100 - logical) * 4096 == answer.at.spa
    image, at = host.hw.locate_file(window.start)
    done = subprocess.run(
        [need("debugfs"), "-R", "bmap <13> 100", f"{image}?offset={at}"], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == block + 100 - logical


def test_folders_and_links_are_hops(host):
    """Every name on the way, the symbolic link among them."""
    window = host.dom0.device("/dev/pmem0").window
    image, at = host.hw.locate_file(window.start)
    editor = Ext4Editor(image, at, window.size)
    editor.mkfile("/a/b/c.img", 8192, "written", 1)
    subprocess.run(
        [need("debugfs"), "-w", "-R", "symlink link a/b", f"{image}?offset={at}"], capture_output=True, check=True
    )
    host.dom0.reread()
    hops = [
        hop for hop in whereis.by_file(host, "/mnt/pmem0/a/b/c.img", 4096).hops if "directory entry" in hop.decided_by
    ]
    assert [hop.what for hop in hops] == ["/mnt/pmem0/a", "/mnt/pmem0/a/b", "/mnt/pmem0/a/b/c.img+0x1000"]
    for hop, name in zip(hops, (b"a", b"b", b"c.img"), strict=True):
        length = host.hw.read(hop.place.address + 6, 1)[0]
        assert host.hw.read(hop.place.address + 8, length) == name
    host.create(load_config('name="l"\ntype="hvm"\nmemory=16\nvnvdimm=["file=/mnt/pmem0/link/c.img"]\n', "l.cfg"))
    gpa = host.domain("l").record.vnvdimms[0].gpa
    hops = [hop.what for hop in whereis.by_gpa(host, "l", gpa).hops if "directory entry" in hop.decided_by]
    assert hops == ["/mnt/pmem0/link -> a/b", "/mnt/pmem0/a", "/mnt/pmem0/a/b", "/mnt/pmem0/a/b/c.img+0x0"]


# -- addresses that are no persistent memory


@pytest.mark.parametrize(
    ("spa", "what"),
    [
        (0x0, "machine frame 0x0: Xen's own, the first MiB"),
        (0xA0000, "host address 0xa0000: in no entry (the VGA window)"),
        (0xF0000, "the host's RSDP+0x0"),
        (0x100000, "machine frame 0x100: free"),
        (0x3FFFFFFFF, "host address 0x3ffffffff: RAM"),
        (0xFEC00000, "the I/O APIC: no memory, nothing is stored"),
        (0xFEE00010, "the local APIC: no memory, nothing is stored"),
        (0xFFFFF000, "registers of devices: no memory, nothing is stored"),
    ],
)
def test_host_addresses_that_are_no_pmem(host, spa, what):
    answer = whereis.by_spa(host, spa)
    assert what in [hop.what for hop in answer.hops]
    assert answer.at.mfn == spa >> 12
    assert (answer.at.media is None) == ("no memory" in what)


@pytest.mark.parametrize("page", [0xFEC00000, 0xFEE00000])
def test_registers_end_with_their_page(host, page):
    assert whereis.by_spa(host, page + 0x10).run == 0xFF0
    what = whereis.by_spa(host, page + 0x1000).hops[-1].what
    assert what.startswith("registers of devices")


def test_whose_host_ram_is(host):
    """As Xen has divided it at boot."""
    from xlpy.hypervisor.heap import at_boot

    boot = at_boot(host.hw.memory_map())
    for runs, text, dom0 in (
        (boot.own, "frame table and M2P of RAM", "not mapped: Xen's"),
        (boot.dom0, "Dom0's memory", "its own memory"),
    ):
        first, count = runs[0]
        for frame in (first, first + count - 1):
            answer = whereis.by_spa(host, frame << 12)
            assert f"machine frame {frame:#x}: {text}" in [hop.what for hop in answer.hops]
            assert answer.touch.dom0 == dom0


def test_the_hosts_tables_have_names(host):
    for table in host.acpi_tables():
        answer = whereis.by_spa(host, table.address + 8)
        assert f"the host's {table.signature}+0x8" in [hop.what for hop in answer.hops]
        assert on_media(answer, 4) == table.data[8:12]


@pytest.mark.parametrize("spa", [0xC0000000, 0xF0000000, 0x4E0E00000, 1 << 45, (1 << 64) - 1])
def test_holes(host, spa):
    with pytest.raises(Constraint, match="no memory at host address"):
        whereis.by_spa(host, spa)


@pytest.fixture
def guest(host):
    """The quickstart domain, and the guest address of its vNVDIMM."""
    host.create(load_config(Path("configs/quickstart.cfg").read_text(), "quickstart.cfg"))
    return host, host.domain("quickstart").record.vnvdimms[0].gpa


def test_the_guests_tables_and_pages_have_names(guest):
    host, _ = guest
    running = host.domain("quickstart")
    for table in running.acpi_tables():
        answer = whereis.by_gpa(host, 1, table.address + 8)
        assert f"the guest's {table.signature}+0x8" in [hop.what for hop in answer.hops]
        assert on_media(answer, 4) == table.data[8:12]
    for gpa, what in [
        (0x1000, "the BIOS info block+0x0"),
        (0x9F804, "hvm_info_table+0x4"),
        (running.domain.params[1] << 12, "the xenstore ring+0x0"),
        (running.domain.params[17] << 12, "the console ring+0x0"),
        (0xF0000000, "video RAM of cirrus-vga 03:0+0x0"),
        (0x200000, "load from 0x200000: RAM"),
        (0xFEC00000, "a load from 0xfec00000 traps: the I/O APIC, which Xen emulates"),
        (0xFE000000, "a load from 0xfe000000 traps: ioreq server 0 answers"),
    ]:
        assert what in [hop.what for hop in whereis.by_gpa(host, 1, gpa).hops]
    with pytest.raises(NotFound, match="reads all ones"):
        whereis.by_gpa(host, 1, 0xB0000)


def test_ram_lies_in_few_pieces(guest):
    """A range costs by what is in it, not by its pages."""
    host, _ = guest
    found = list(whereis.pieces(lambda at: whereis.by_gpa(host, 1, at), 0x100000, 256 << 20))
    assert sum(size for size, _ in found) == 256 << 20
    assert len(found) < 20


def pfn(host, gpa, size, signature=None):
    from xlpy.addr import Spa, Span
    from xlpy.dom0.nvdimm.fsdax import pfn_block

    block = pfn_block(Span(Spa(gpa), size), bytes(range(16)), on_media=False, align=2 << 20)
    block = block._replace(signature=signature) if signature else block
    host.domain("quickstart").memory.write(gpa + 4096, block.build())
    return gpa + block.dataoff


def test_the_device_that_the_guests_linux_has(guest):
    """By the info block that the guest has written: raw, fsdax, devdax."""
    host, gpa = guest
    ask = lambda at: whereis.by_gpa(host, 1, at).at  # noqa: E731
    assert (ask(gpa).guest_device, ask(gpa + 5).guest_device_offset) == ("/dev/pmem0", 5)
    data = pfn(host, gpa, 64 << 20)
    assert (ask(data + 5).guest_device, ask(data + 5).guest_device_offset) == ("/dev/pmem0", 5)
    assert ask(gpa + 4096).guest_device is None  # the info block is on no device
    data = pfn(host, gpa, 64 << 20, b"NVDIMM_DAX_INFO\0")
    assert (ask(data + 5).guest_device, ask(data + 5).guest_device_offset) == ("/dev/dax0.0", 5)


def test_who_looks_harms_no_guest(guest):
    """The head of the vNVDIMM is broken: a guest that looked there would get a machine check."""
    from xlpy.events.machine_checks import MachineCheckInjection, inject

    host, gpa = guest
    inject(host, MachineCheckInjection(address=gpa + 4096, domid=1))
    answer = whereis.by_gpa(host, 1, gpa + 4096)
    assert answer.touch.poison
    assert any("broken: an access is a machine check" in text for text in decided(answer))
    assert host.domain("quickstart").domain.shutdown_code is None


def test_a_vnvdimm_that_came_later(guest):
    """It is not in the NFIT of the start, but in what _FIT returns; and the entry is of no configuration."""
    host, _ = guest
    record = host.attach(1, "file=/dev/pmem1")
    answer = whereis.by_gpa(host, 1, record.gpa + 0x3000)
    assert any("_FIT" in text for text in decided(answer))
    assert "nvdimm-attach" in decided(answer)
    assert (answer.at.guest_device, answer.at.guest_device_offset) == ("/dev/pmem1", 0x3000)
    assert (answer.at.path, answer.at.path_offset) == ("/dev/pmem1", 0x3000)


def test_entries_whose_paths_begin_alike(on):
    """The second entry of the configuration is meant, though the first one's path is the start of its path."""
    host = on("refusals")
    text = 'name="two"\ntype="hvm"\nmemory=16\nvnvdimm=["file=/dev/pmem3p1,label_size=0",\n "/dev/dax6.0"]\n'
    host.create(load_config(text, "two.cfg"))
    for device, line in zip(host.domain("two").record.vnvdimms, ("two.cfg:4:10", "two.cfg:5:2"), strict=True):
        hop = whereis.by_gpa(host, "two", device.gpa).hops[0]
        assert hop.place.name == line


def test_dimms_that_come_and_go(on):
    """What was plugged in is in _FIT and not in the table; what was pulled out is named all the same."""
    host = on("bank")
    plug = MACHINES.parent / "plug.yaml"
    plugging.plug(host, plug.read_text(), str(plug))
    answer = whereis.by_file(host, "/dev/pmem2", 0x1000)
    range_at = place(answer, "_FIT, SPA range").address
    base, size = struct.unpack("<QQ", host.hw.read(range_at + 32, 16))
    assert base <= answer.at.spa < base + size
    handle = host.hw.dimm(answer.at.dimm).handle
    assert struct.unpack("<I", host.hw.read(place(answer, "_FIT, region mapping").address + 4, 4)) == (handle,)
    plugging.unplug(host, "dimm1", surprise=True)
    gone = whereis.by_dpa(host, "dimm1", 0x2000)
    assert "dimm1, DPA 0x2000, pulled out" in [hop.what for hop in gone.hops]
    assert gone.touch.poison
