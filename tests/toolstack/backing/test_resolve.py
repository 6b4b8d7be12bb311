"""From paths to host physical extents: every case of the vNVDIMM design's section 4.2.3."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xlpy.addr import MIB, Span
from xlpy.dom0 import extents as extents_module
from xlpy.dom0.extents import Extent, Extents
from xlpy.dom0.kernel import FileStat, FileState, Mount
from xlpy.errors import Conflict, Constraint, NotFound, Unsafe
from xlpy.toolstack.backing.resolve import Piece, resolve

BASE = 0x4_0020_0000  # data start of pmem0 in host physical memory
SIZE = 64 * MIB

SYSFS = {
    "/sys/block/pmem0/device/resource": f"{BASE:#x}",
    "/sys/block/pmem0/device/size": str(SIZE),
    "/sys/block/pmem0/pmem0p1/start": "2048",
    "/sys/block/pmem0/pmem0p1/size": str(32 * MIB // 512),
    "/sys/block/pmem0/pmem0p2/start": "100001",
    "/sys/block/pmem0/pmem0p2/size": "8",
    "/sys/block/pmem1/device/resource": "0x800000000",
    "/sys/block/pmem1/device/size": str(6 << 40),
    **{f"/sys/class/block/{name}/ro": "0" for name in ("pmem0", "pmem0p1", "pmem0p2", "pmem1")},
    "/sys/block/pmem3/device/resource": "0x900000000",
    "/sys/block/pmem3/device/size": str(SIZE),
    "/sys/class/block/pmem3/ro": "1",
}
BLOCK = {
    (259, 0): "pmem0",
    (259, 1): "pmem0p1",
    (259, 2): "pmem0p2",
    (259, 3): "pmem1",
    (259, 4): "pmem2s",
    (259, 5): "pmem3",
    (8, 0): "sda",
}
LAST, UNWRITTEN = 1, 0x800


class Kernel:
    """A Dom0 of tables.

    state: of files; None: as the mount says. users: of devices and files, by path.
    """

    def __init__(self, files=None, mounts=(), state=None, users=None):
        self.files = files or {}
        self.table = list(mounts)
        self.state, self.users = state, users or {}

    def stat(self, path):
        names = {f"/dev/{name}": number for number, name in BLOCK.items()}
        if path in names:
            return FileStat("block", 0, names[path], 1, 1)
        if path in self.files:
            size, _ = self.files[path]
            return FileStat("file", size, (259, 0), 12, 1)
        if path in ("/mnt", "/run/fifo"):
            return FileStat({"/mnt": "dir", "/run/fifo": "fifo"}[path], 0, (0, 1), 2, 1)
        raise NotFound(path)

    def mounts(self):
        return self.table

    def mount_of(self, path):
        return next(m for m in self.table if path.startswith(m.mountpoint))

    def sysfs(self, path):
        if path not in SYSFS:
            raise NotFound(path)
        return SYSFS[path]

    def block_device_name(self, major, minor):
        return BLOCK[major, minor]

    def file_state(self, path):
        return self.state or FileState("dax=always" in self.mount_of(path).options)

    def device_users(self, path, name):
        assert path == f"/dev/{name}"
        return self.users.get(path, [])

    def file_users(self, path):
        return self.users.get(path, [])

    def fiemap(self, path, sync=True):
        return Extents.of([Extent(*e) for e in self.files[path][1]])


def on_dax(*extents, size=3 * 4096, device="/dev/pmem0", options=("rw", "dax=always"), **more):
    return Kernel({"/mnt/a": (size, extents)}, [Mount(device, "/mnt", "ext4", options)], **more)


class TestDevices:
    def test_a_whole_device_is_one_extent(self):
        found = resolve(Kernel(), "/dev/pmem0")
        assert found.extents == (Piece(0, BASE, SIZE, LAST),)
        assert (found.kind, found.device, found.size) == ("device", "pmem0", SIZE)

    def test_a_terabyte_device_is_one_extent_too(self):
        assert resolve(Kernel(), "/dev/pmem1").spans == (Span(0x800000000, 6 << 40),)

    def test_a_partition_adds_its_start(self):
        found = resolve(Kernel(), "/dev/pmem0p1")
        assert found.spans == (Span(BASE + 2048 * 512, 32 * MIB),)
        assert found.kind == "partition"

    @pytest.mark.parametrize(
        ("first", "count", "fits"),
        [(SIZE // 512 - 8, 8, True), (SIZE // 512 - 8, 16, False), (SIZE // 512, 8, False), (0, SIZE // 512, True)],
    )
    def test_a_partition_ends_where_its_disk_does(self, first, count, fits, monkeypatch):
        monkeypatch.setitem(SYSFS, "/sys/block/pmem0/pmem0p1/start", str(first))
        monkeypatch.setitem(SYSFS, "/sys/block/pmem0/pmem0p1/size", str(count))
        if fits:
            assert resolve(Kernel(), "/dev/pmem0p1").spans == (Span(BASE + first * 512, count * 512),)
        else:
            with pytest.raises(Unsafe) as caught:
                resolve(Kernel(), "/dev/pmem0p1")
            assert caught.value.code == "XLPY-PMEM-RANGE"

    @pytest.mark.parametrize(
        ("path", "error", "code"),
        [
            ("/dev/pmem0p2", Unsafe, "XLPY-PMEM-UNALIGNED"),
            ("/dev/pmem2s", Unsafe, "XLPY-PMEM-SECTOR"),
            ("/dev/sda", Unsafe, "XLPY-PMEM-NOT-PMEM"),
            ("/dev/none", NotFound, "XLPY-NOT-FOUND"),
            ("/mnt", Unsafe, "XLPY-PMEM-KIND"),
            ("/run/fifo", Unsafe, "XLPY-PMEM-KIND"),
            ("pmem0", NotFound, "XLPY-NOT-FOUND"),
        ],
    )
    def test_refused(self, path, error, code):
        with pytest.raises(error) as caught:
            resolve(Kernel(), path)
        assert caught.value.code == code

    @pytest.mark.parametrize(
        ("path", "mounted"),
        [("/dev/pmem0", "/dev/pmem0"), ("/dev/pmem0", "/dev/pmem0p1"), ("/dev/pmem0p1", "/dev/pmem0p1")],
    )
    def test_what_dom0_has_mounted_is_not_given_away(self, path, mounted):
        kernel = Kernel(mounts=[Mount(mounted, "/mnt", "ext4", ("dax",))])
        with pytest.raises(Conflict, match="mounted on /mnt"):
            resolve(kernel, path)

    def test_another_mounted_partition_does_not_matter(self):
        kernel = Kernel(mounts=[Mount("/dev/pmem0p2", "/mnt", "ext4", ("dax",))])
        assert resolve(kernel, "/dev/pmem0p1").size == 32 * MIB

    def test_a_device_in_use_is_refused_with_who_uses_it(self):
        users = {"/dev/pmem0": ["held by dm-0 (device mapper: vg0-root)", "active swap space (/dev/pmem0p1)"]}
        with pytest.raises(Conflict, match=r"in use in Dom0: it is held by dm-0 \(device mapper: vg0-root\)") as caught:
            resolve(Kernel(users=users), "/dev/pmem0")
        assert (caught.value.code, caught.value.exit) == ("XLPY-PMEM-IN-USE", 5)
        assert caught.value.details == ("it is active swap space (/dev/pmem0p1)",)
        assert resolve(Kernel(users=users), "/dev/pmem1").kind == "device"

    def test_a_read_only_device_is_for_readers(self):
        with pytest.raises(Unsafe, match="read-only device") as caught:
            resolve(Kernel(), "/dev/pmem3")
        assert (caught.value.code, caught.value.exit) == ("XLPY-PMEM-READ-ONLY", 7)
        assert "mode=ro" in caught.value.hint
        assert resolve(Kernel(), "/dev/pmem3", read_only=True).size == SIZE
        assert resolve(Kernel(), "/dev/pmem0", read_only=True).size == SIZE


class TestFiles:
    @pytest.mark.parametrize("options", [("rw",), ("rw", "dax=inode"), ("rw", "dax=always")])
    def test_dax_is_a_property_of_the_file(self, options):
        extents = (0, 0x5000, 0x3000, LAST)
        assert resolve(on_dax(extents, options=options, state=FileState(True)), "/mnt/a").size == 0x3000
        with pytest.raises(Unsafe) as caught:
            resolve(on_dax(extents, options=options, state=FileState(False)), "/mnt/a")
        assert caught.value.code == "XLPY-PMEM-NOT-DAX"
        assert ("although" in caught.value.message) == ("dax=always" in options)

    @pytest.mark.parametrize(
        ("state", "code", "reason"),
        [
            (FileState(False, "verity"), "VERITY", "sealed by fs-verity"),
            (FileState(False, "encrypted"), "ENCODED", "encrypted"),
            (FileState(False, "journal"), "JOURNAL", "through the journal"),
            (FileState(None), "DAX-UNKNOWN", "does not tell"),
        ],
    )
    def test_files_that_stay_in_the_page_cache(self, state, code, reason):
        with pytest.raises(Unsafe, match=reason) as caught:
            resolve(on_dax((0, 0x5000, 0x3000, LAST), state=state), "/mnt/a")
        assert (caught.value.code, caught.value.exit) == (f"XLPY-PMEM-{code}", 7)

    def test_a_file_that_is_a_device_to_somebody(self):
        kernel = on_dax((0, 0x5000, 0x3000, LAST), users={"/mnt/a": ["used by the loop device loop0"]})
        with pytest.raises(Conflict, match="used by the loop device loop0") as caught:
            resolve(kernel, "/mnt/a")
        assert caught.value.code == "XLPY-PMEM-IN-USE"

    def test_a_read_only_mount_is_for_readers(self):
        kernel = on_dax((0, 0x5000, 0x3000, LAST), options=("ro", "dax=always"))
        with pytest.raises(Unsafe, match="/mnt is mounted read-only") as caught:
            resolve(kernel, "/mnt/a")
        assert caught.value.code == "XLPY-PMEM-READ-ONLY"
        assert resolve(kernel, "/mnt/a", read_only=True).size == 0x3000

    def test_extents_are_shifted_by_the_data_start(self):
        found = resolve(on_dax((0, 0x5000, 0x1000, 0), (0x1000, 0x9000, 0x2000, LAST)), "/mnt/a")
        assert found.extents == (Piece(0, BASE + 0x5000, 0x1000, 0), Piece(0x1000, BASE + 0x9000, 0x2000, LAST))

    def test_on_a_partition_its_start_is_added(self):
        found = resolve(on_dax((0, 0x5000, 0x3000, LAST), device="/dev/pmem0p1"), "/mnt/a")
        assert found.extents[0].spa == BASE + 0x100000 + 0x5000

    def test_neighbours_become_one_span(self):
        found = resolve(on_dax((0, 0x5000, 0x1000, 0), (0x1000, 0x6000, 0x2000, LAST)), "/mnt/a")
        assert len(found.extents) == 2
        assert found.spans == (Span(BASE + 0x5000, 0x3000),)

    def test_blocks_beyond_the_end_are_clipped(self):
        found = resolve(
            on_dax((0, 0x5000, 0x8000, 0), (0x8000, 0xF000, 0x1000, LAST | UNWRITTEN), size=0x3000), "/mnt/a"
        )
        assert found.spans == (Span(BASE + 0x5000, 0x3000),)

    @pytest.mark.parametrize(
        ("flag", "code"),
        [
            (0x2, "UNKNOWN"),
            (0x6, "DELALLOC"),
            (0x8, "ENCODED"),
            (0x88, "ENCODED"),
            (0x100, "UNALIGNED"),
            (0x300, "INLINE"),
            (0x500, "TAIL"),
            (UNWRITTEN, "UNWRITTEN"),
            (0x2000, "SHARED"),
            (0x40000, "UNKNOWN"),
        ],
    )
    def test_extents_that_cannot_be_mapped(self, flag, code):
        with pytest.raises(Unsafe) as caught:
            resolve(on_dax((0, 0x5000, 0x3000, LAST | flag)), "/mnt/a")
        assert caught.value.code == f"XLPY-PMEM-{code}"
        assert caught.value.exit == 7

    def test_merged_is_harmless(self):
        assert resolve(on_dax((0, 0x5000, 0x3000, LAST | 0x1000)), "/mnt/a").size == 0x3000

    @pytest.mark.parametrize(
        ("extents", "code"),
        [
            ([], "HOLE"),
            ([(0x1000, 0x5000, 0x2000, LAST)], "HOLE"),
            ([(0, 0x5000, 0x1000, 0), (0x2000, 0x9000, 0x1000, LAST)], "HOLE"),
            ([(0, 0x5000, 0x2000, LAST)], "HOLE"),
            ([(0, 0x5000, 0x2000, 0), (0x1000, 0x9000, 0x2000, LAST)], "ORDER"),
            ([(0, 0x5200, 0x3000, LAST)], "UNALIGNED"),
            ([(0, SIZE - 0x1000, 0x3000, LAST)], "RANGE"),
            ([(0, SIZE - 0x2000, 0x3000, LAST)], "RANGE"),
            ([(0, 0x5000, 0x2000, 0), (0x2000, 0x6000, 0x1000, LAST)], "SHARED"),
        ],
        ids=[
            "empty",
            "start",
            "middle",
            "end",
            "overlap",
            "unaligned",
            "beyond the device",
            "one page beyond",
            "same block twice",
        ],
    )
    def test_maps_that_do_not_hold_together(self, extents, code):
        with pytest.raises(Unsafe) as caught:
            resolve(on_dax(*extents), "/mnt/a")
        assert caught.value.code == f"XLPY-PMEM-{code}"

    def test_the_last_pages_of_the_device(self):
        found = resolve(on_dax((0, SIZE - 0x3000, 0x3000, LAST)), "/mnt/a")
        assert found.spans == (Span(BASE + SIZE - 0x3000, 0x3000),)

    def test_unwritten_names_the_mend(self):
        with pytest.raises(Unsafe) as caught:
            resolve(on_dax((0, 0x5000, 0x3000, LAST | UNWRITTEN)), "/mnt/a")
        assert caught.value.hint == "xlpy pmem prepare /mnt/a"

    @pytest.mark.parametrize("size", [0, 1, 4095, 4097])
    def test_only_whole_pages(self, size):
        with pytest.raises(Constraint, match="whole number of 4096-byte pages"):
            resolve(on_dax((0, 0x5000, 0x3000, LAST), size=size), "/mnt/a")

    def test_without_dax_the_pages_are_in_the_page_cache(self):
        with pytest.raises(Unsafe) as caught:
            resolve(on_dax((0, 0x5000, 0x3000, LAST), options=("rw",)), "/mnt/a")
        assert caught.value.code == "XLPY-PMEM-NOT-DAX"

    @pytest.mark.parametrize("device", ["/dev/mapper/vg-lv", "/dev/sda", "/dev/loop0"])
    def test_layers_between_file_system_and_pmem(self, device):
        with pytest.raises(Unsafe) as caught:
            resolve(on_dax((0, 0x5000, 0x3000, LAST), device=device), "/mnt/a")
        assert caught.value.code == "XLPY-PMEM-NOT-PMEM"


def pages_of(extents, size, limit):
    """The device page behind each page of a file, in pages; None when the extents do not hold together."""
    pages = []
    for logical, physical, length, _ in extents:
        if logical >= size:
            if len(pages) < size:
                return None
            continue
        if logical != len(pages) or not length:
            return None
        pages += range(physical, physical + length)
    del pages[size:]
    sound = len(pages) == size and len(set(pages)) == size and max(pages) < limit
    return pages if sound else None


@st.composite
def extent_maps(draw):
    """Maps that are right, or nearly so."""
    lengths = draw(st.lists(st.integers(0, 3), min_size=1, max_size=5))
    starts = accumulate(lengths, initial=0)
    rows = [(start, draw(st.integers(0, 20)), length, 0) for start, length in zip(starts, lengths, strict=False)]
    if draw(st.booleans()):
        rows.insert(draw(st.integers(0, len(rows))), (draw(st.integers(0, 12)), draw(st.integers(0, 20)), 1, 0))
    return rows


@settings(max_examples=200, deadline=None)
@given(extent_maps(), st.integers(1, 12), st.integers(1, 3) | st.just(extents_module.PART))
@example([(0, 0, 1, 0), (1, 0, 1, 0), (0, 0, 1, 0)], 1, 9)  # back inside after an extent beyond the end
@example([(0, 0, 1, 0), (1, 0, 1, 0), (0, 0, 1, 0)], 1, 1)
@example([(0, 0, 1, 0), (1, 0, 0, 0), (0, 0, 1, 0)], 1, 9)
@example([(0, 0, 1, 0), (1, 0, 1, 0), (0, 0, 1, 0), (2, 0, 0, 0)], 1, 9)
@example([(0, 0, 1, 0), (2, 0, 1, 0), (1, 1, 1, 0)], 2, 2)
@example([(0, 0, 1, 0), (1, 0, 0, 0)], 1, 9)  # an empty one beyond the end
@example([(0, 0, 1, 0), (5, 5, 1, 0), (1, 1, 1, 0)], 2, 9)
def test_any_map_is_right_to_the_page_or_refused(extents, size, part):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extents_module, "PART", part)  # of extents, as if there were thousands
        check(extents, size)


def check(extents, size):
    shift = SIZE // 4096 - 16  # so that page 16 lies beyond the end of the device
    kernel = on_dax(*((a * 4096, (b + shift) * 4096, n * 4096, f) for a, b, n, f in extents), size=size * 4096)
    expected = pages_of(extents, size, 16)
    if expected is None:
        with pytest.raises(Unsafe):
            resolve(kernel, "/mnt/a")
        return
    found = resolve(kernel, "/mnt/a")
    pages = [page for p in found.extents for page in range(p.spa // 4096, (p.spa + p.length) // 4096)]
    assert pages == [BASE // 4096 + shift + page for page in expected]
    assert [p.logical for p in found.extents] == [row[0] * 4096 for row in extents if row[0] < size]
