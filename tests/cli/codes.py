"""What gives each error code that no command line can give alone: a real situation, made small."""

from __future__ import annotations

import errno
import os
import re
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

from dom0.ext4.images import MIB, Image
from export.linux_machine import Box
from hvmloader.fake_platform import FakePlatform

import xlpy
from xlpy.addr import Gpa, Spa, Span
from xlpy.errors import XlpyError
from xlpy.toolstack.config.domain_config import load_config

PACKAGE = Path(xlpy.__file__).parent
QUICK = Path(__file__).parents[2] / "configs" / "quickstart.cfg"
UNUSED = {"XLPY-ERROR"}  # of the base class, which is never raised as it is


def codes_of_sources() -> set[str]:
    """Every stable code that the sources can give."""
    texts = {path: path.read_text() for path in PACKAGE.rglob("*.py") if "explained" not in path.parts}
    found = set(re.findall(r"\"(XLPY-[A-Z0-9-]*[A-Z0-9])\"", "\n".join(texts.values())))
    return (found | set(_composed(texts))) - UNUSED


def _composed(texts):
    """Codes whose last part comes from a table, or from an argument."""
    from xlpy.dom0.ext4 import inode
    from xlpy.toolstack.backing import faults, refusals

    yield from (f"XLPY-EXT4-{code}" for _, code, _ in inode._REFUSED)
    yield from (f"XLPY-PMEM-{code}" for _, code, *_ in faults._REFUSED)
    yield from (f"XLPY-PMEM-{code}" for code, *_ in refusals._CACHED.values())
    for path, text in texts.items():
        if path.name == "faults.py":
            yield from (f"XLPY-PMEM-{code}" for code in re.findall(r"_unsafe\(\s*path, extent, \"([A-Z]+)\"", text))
        if path.name == "dm_acpi.py" and path.parent.name == "firmware":
            yield from (f"XLPY-DMACPI-{code}" for code in re.findall(r"_error\(.*\"([A-Z]+)\", ", text))


def raised(act, *arguments, **options):
    """The error with which a call fails."""
    try:
        act(*arguments, **options)
    except XlpyError as error:
        return error
    raise AssertionError("nothing was raised")


# -- the host ---------------------------------------------------------------------------------------------------------


def xenstore(get):
    """A guest writes where Dom0's nodes are."""
    return raised(get("host").xenstore.connection(5).write, "/tool/x", "1")


def hypercall(get):
    """A guest that is none asks for a mapping."""
    return raised(get("host").xen.hypercalls(0).domctl_pausedomain, 77)


def format_of_a_reply(get):
    from xlpy.dom0.extents import decode_reply

    return raised(decode_reply, b"123")


def unsafe(get):
    from xlpy.errors import Unsafe

    return Unsafe("the file system cannot hold it")


def no_space(get):
    from xlpy.hw.media import trouble

    return trouble("/host/hw/set0.media", OSError(errno.ENOSPC, "No space left on device"))


def foreign_root(get):
    from xlpy.statedir import refuse_foreign

    monkeypatch, where = get("monkeypatch"), get("tmp_path")
    real = os.stat
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "stat", lambda path, **more: _owned(real(path, **more), 1001))
    return raised(refuse_foreign, where)


def _owned(found, uid):
    return os.stat_result((*found[:4], uid, *found[5:]))


def bug(get):
    """A command that fails as no command should."""
    from xlpy.cli import main, plain

    seen = []
    get("monkeypatch").setattr(plain, "read", lambda _words: 1 // 0)
    get("monkeypatch").setattr(main, "_report", lambda error, _json: seen.append(error) or error.exit)
    assert main.run(["list"]) == 1
    return seen[0]


# -- backings ---------------------------------------------------------------------------------------------------------


def mapped_file(*extents, **more):
    """What `resolve` says of a file with these extents: (logical, physical, length, flags)."""
    from toolstack.backing.test_resolve import on_dax

    from xlpy.toolstack.backing.resolve import resolve

    return lambda get: raised(resolve, on_dax(*extents, **more), "/mnt/a")


def state(dax, why="", options=("rw",)):
    from toolstack.backing.test_resolve import on_dax

    from xlpy.dom0.kernel import FileState
    from xlpy.toolstack.backing.resolve import resolve

    return lambda get: raised(resolve, on_dax((0, 0, 12288, 1), state=FileState(dax, why), options=options), "/mnt/a")


def info_block(get):
    """One that is damaged while Dom0 runs."""
    from xlpy.host import Host

    host = get("host")
    host.hw.write(Spa(host.dom0.namespaces[1].seal[0] + 60), b"damage")
    anew = Host.open(host.root)
    try:
        return raised(anew.dom0.stat, "/dev/pmem1")
    finally:
        anew.store.close()


def box(get):
    return Box(get("tmp_path") / "box")


def fiemap(number):
    def act(get):
        machine = box(get)
        path = machine.file("a", (0, 4096))

        def refuses(*_arguments):
            raise OSError(number, os.strerror(number))

        dom0 = machine.dom0()
        dom0._ioctl = refuses
        return raised(dom0.fiemap, str(path))

    return act


def moving(get):
    """Every look finds the file elsewhere."""
    machine = box(get)
    path = machine.file("a", (0, 4096))
    count = iter(range(100))
    real = machine.kernel

    def kernel(fd, request, buffer, mutate):
        real.extents[path.stat().st_ino] = [(0, next(count) << 12, 4096)]
        return real(fd, request, buffer, mutate)

    dom0 = machine.dom0()
    dom0._ioctl = kernel
    return raised(dom0.fiemap, str(path))


def realtime(get):
    machine = box(get)
    path = machine.file("a", (0, 4096))
    dom0 = machine.dom0()
    dom0._ioctl = lambda _fd, _request, buffer, _mutate: struct.pack_into("<I", buffer, 0, 1)
    return raised(dom0.fiemap, str(path))


def no_access(get):
    from xlpy.dom0.linux import _try

    def forbidden():
        raise PermissionError(errno.EACCES, "Permission denied")

    return raised(_try, "/sys/block/pmem0/device/resource", forbidden)


def pinned(get):
    machine = box(get)
    path, dom0 = str(machine.file("a", (0, 4096))), machine.dom0()
    dom0.pin(path, "vm1.json")
    return raised(dom0.pin, path, "vm2.json")


def pin(get):
    machine = box(get)
    machine.kernel.refuses = errno.EPERM
    return raised(machine.dom0().set_immutable, str(machine.file("a", (0, 4096))), True)


def exported(get, code, spoil):
    """A finding of `export check` after something has happened to an export."""
    from xlpy.toolstack.export.check import examine
    from xlpy.toolstack.export.exporter import Exporter

    machine = box(get)
    image = machine.file("vm1.img", (0x2000000, 4 * MIB))
    text = f'name = "vm1"\ntype = "hvm"\nmemory = 512\nvnvdimm = [ "file={image}" ]\n'
    exporter = Exporter(machine.machine, lambda _text: None)
    plan = exporter.prepare(load_config(text, "vm1.cfg"), str(machine.root / "out"), "4.17")
    manifest = exporter.export(plan)
    manifest = spoil(machine, image, manifest) or manifest
    found = {one.code: one for one in examine(machine.machine, manifest)}
    return found[code]


def finding(code, spoil):
    return lambda get: exported(get, code, spoil)


def _move(machine, image, manifest):
    machine.kernel.extents[image.stat().st_ino] = [(0, 0x3000000, 4 * MIB)]


def _unpin(machine, image, manifest):
    machine.kernel.flags[image.stat().st_ino] = 0


def _remove(machine, image, manifest):
    Path(manifest.firmware).unlink()


def _edit(machine, image, manifest):
    path = Path(manifest.config)
    path.write_text(path.read_text() + "memory = 30000\n")


def _interrupt(machine, image, manifest):
    return manifest._replace(devices=tuple(_intended(one) for one in manifest.devices))


def _intended(device):
    return device._replace(data=device.data._replace(pinned="intended"))


def _open(machine, image, manifest):
    machine.machine.users = lambda paths: {path: ["process 7 has it open"] for path in paths}


def label_data(get):
    from xlpy.toolstack.export.plan import _check_labels

    @dataclass
    class Machine:
        def read(self, resolved, length):
            return b"somebody's data".ljust(length, b"\0")

    @dataclass
    class Resolved:
        path: str = "/mnt/dax/labels"
        size: int = 128 << 10

    return raised(_check_labels, Machine(), Resolved())


def shared(get):
    return mapped_file((0, 0, 4096, 0), (4096, 0, 4096, 0), (8192, 8192, 4096, 1))(get)


# -- ext4 -------------------------------------------------------------------------------------------------------------


def ext4(*commands, features=""):
    """What our reader says of a file system after commands of debugfs."""

    def act(get):
        from xlpy.dom0.ext4.reader import Ext4Image

        image = Image(get("tmp_path") / "fs.img", 8 * MIB).mke2fs(features=features)
        source = get("tmp_path") / "source"
        source.write_bytes(b"x" * 8192)
        image.debugfs(f"write {source} f")
        if commands:
            image.debugfs(*commands)

        def read():
            with Ext4Image(image.path) as fs:
                fs.fiemap(fs.lookup("/f"), "/f")

        return raised(read)

    return act


def no_file_system(get):
    from xlpy.dom0.ext4.reader import Ext4Image

    return raised(Ext4Image, Image(get("tmp_path") / "fs.img", MIB).path)


def damaged(get):
    from xlpy.dom0.ext4.reader import Ext4Image

    image = Image(get("tmp_path") / "fs.img", 8 * MIB).mke2fs()
    with Path(image.path).open("r+b") as file:
        file.seek(1024 + 4)
        file.write(b"\xff")

    def read():
        with Ext4Image(image.path):
            pass

    return raised(read)


def on_metadata(get):
    """The root of the tree points at the group descriptors (block 1)."""
    return ext4("set_inode_field f block[5] 1")(get)


def inode_flags(flags):
    from xlpy.dom0.ext4.inode import Inode, refuse_unreadable

    def act(get):
        fields = dict.fromkeys(Inode._fields, 0) | {"flags": flags}
        return raised(refuse_unreadable, Inode(**fields), "/f")

    return act


def program(name, script, act):
    """A program of e2fsprogs that does something else, and what becomes of a call that needs it."""

    def run(get):
        from xlpy.dom0.ext4 import tools

        fake = get("tmp_path") / name
        fake.write_text(f"#!/bin/sh\n{script}\n")
        fake.chmod(0o755)
        get("monkeypatch").setattr(tools, "find_program", lambda _program: str(fake))
        return act(get)

    return run


def edit(get):
    from xlpy.dom0.ext4.tools import debugfs

    fd = os.open(get("tmp_path") / "image", os.O_RDWR | os.O_CREAT)
    try:
        return raised(debugfs, fd, ["stats"])
    finally:
        os.close(fd)


def make(get):
    from xlpy.dom0.ext4 import make as module

    get("monkeypatch").setattr(module, "find_program", lambda _program: "mke2fs")
    path = get("tmp_path") / "image"
    with path.open("wb") as file:
        file.truncate(16 * MIB)
    uuid = "11111111-2222-3333-4444-555555555555"
    return raised(module.make_ext4, path, 0, 16 * MIB, uuid=uuid, label="x", epoch=0)


def xfs(change):
    """What our reader says of a superblock that was changed, its checksum made right."""

    def act(get):
        from xlpy.dom0.xfs.reader import XfsImage
        from xlpy.dom0.xfs.superblock import checksum

        raw = bytearray(512)
        raw[:4], raw[100:104] = b"XFSB", struct.pack(">HH", 5, 512)
        raw = bytearray(change(bytes(raw)).ljust(512, b"\0"))
        raw[224:228] = struct.pack("<I", checksum(bytes(raw), 224))
        path = get("tmp_path") / "image"
        path.write_bytes(raw + bytes(8192))
        return raised(XfsImage, path)

    return act


def xfs_log(_get):
    """A log whose last record is not the one of unmounting."""
    from types import SimpleNamespace

    from xlpy.dom0.xfs.log import require_empty

    record = struct.pack(">II", 0xFEEDBABE, 1).ljust(512, b"\0") + struct.pack(">I", 1).ljust(512, b"\0")
    log = record.ljust(4096, b"\0")
    block = SimpleNamespace(log_start=0, log_blocks=1, block_size=4096, place=lambda _at, _count: 0)
    return raised(require_empty, block, lambda at, length: log[at : at + length])


def xfs_read_only(_get):
    from xlpy.dom0.files.edits import refuse_xfs
    from xlpy.dom0.kernel import Mount

    return raised(refuse_xfs, Mount("/dev/pmem0", "/mnt/pmem0", "xfs", ("rw",)))


def xfs_make(get):
    from xlpy.dom0.xfs import make as module

    get("monkeypatch").setattr(module, "find_program", lambda _program: "mkfs.xfs")
    uuid = "11111111-2222-3333-4444-555555555555"
    nothing = {"zero": lambda _at, _length: None, "write": lambda _at, _data: None}
    return raised(module.make_xfs, 512 * MIB, (), uuid=uuid, epoch=0, base=0, **nothing)


def symbolic_link(get):
    from xlpy.dom0.ext4.reader import Ext4Image

    image = Image(get("tmp_path") / "fs.img", 8 * MIB).mke2fs()
    image.debugfs("symlink f /etc/passwd")

    def read():
        with Ext4Image(image.path) as fs:
            fs.lookup("/f")

    return raised(read)


# -- guests and firmware ----------------------------------------------------------------------------------------------


def width(get):
    from xlpy.devicemodel.placement import GuestRam, place

    @dataclass
    class Backing:
        path = "/dev/pmem1"
        size = 6 << 40
        spans = (Span(Spa(0x800000000), 6 << 40),)

    return raised(place, Backing(), GuestRam(Gpa(1 << 29), Gpa(0), 36))


def broken(get):
    from xlpy.hypervisor.memory import GuestCrashed

    host = get("host")
    domid = host.create(load_config(QUICK.read_bytes(), str(QUICK)))
    host.hw.poison.add(Span(Spa(host.domain(domid).record.vnvdimms[0].extents[0][0]), 64))
    error = raised(host.domain(domid).memory.read, Gpa(host.domain(domid).record.vnvdimms[0].gpa), 8)
    assert isinstance(error, GuestCrashed)
    return error


def area(get):
    from xlpy.devicemodel.dmacpi import area_for

    return raised(area_for, 100 << 20, Gpa(64 << 20))


def stream(data):
    from xlpy.firmware.dm_acpi import parse_stream

    return lambda get: raised(parse_stream, data)


def entry(kind, blob):
    return struct.pack("<BI", kind, len(blob)) + blob


def table(signature=b"TEST", length=36, checksum=None):
    blob = bytearray(struct.pack("<4sI", signature, length).ljust(36, b"\0"))
    blob[9] = -sum(blob) & 0xFF if checksum is None else checksum
    return bytes(blob)


def boots(make_platform):
    """hvmloader on a platform: how it stops."""

    def act(get):
        from xlpy.firmware.hvmloader.main import run

        return raised(run, make_platform())

    return act


def handing(*blobs):
    def platform():
        from hvmloader.test_hvmloader_passed import entries, handing

        return handing(entries(*blobs))

    return platform


def _devices():
    from xlpy.firmware.dm_acpi import device_entry

    return [device_entry(f"NV{n:02}", b"") for n in range(11)]


def _collision():
    from xlpy.firmware.dm_acpi import device_entry

    return [device_entry("PCI0", b"")]


def _bad_nfit():
    from xlpy.firmware.acpi.sdt import build_table
    from xlpy.firmware.dm_acpi import table_entry

    return [table_entry(build_table("NFIT", bytes(4) + bytes(4)))]


def _nfit_in_ram():
    from xlpy.firmware.acpi.nfit import SpaRange
    from xlpy.firmware.acpi.nfit_format import build_nfit
    from xlpy.firmware.dm_acpi import table_entry

    return [table_entry(build_nfit([SpaRange(1, 0x1000000, 64 * MIB)]))]


def _much():
    from xlpy.firmware.dm_acpi import device_entry

    return [device_entry(f"NV{n:02}", bytes(300_000)) for n in range(3)] + [device_entry("NV99", bytes(140_000))]


def _keys():
    platform = FakePlatform()
    platform.keys["hvmloader/dm-acpi/length"] = "100"
    return platform


def _bios():
    return FakePlatform(keys={"hvmloader/bios": "lilo"})


def _bare_metal():
    platform = FakePlatform()
    platform.leaves.clear()
    return platform


# -- booting ----------------------------------------------------------------------------------------------------------


def booting(words, *options, patch=None):
    """`xlpy boot` with a QEMU that does what the words say."""

    def act(get):
        from xlpy.boot.options import BootOptions
        from xlpy.boot.run import Boot

        monkeypatch, root = get("monkeypatch"), get("tmp_path")
        get("bin_folder")
        host, kernel = get("host"), root / "bzImage"
        head = bytearray(4096)
        head[0x202:0x206] = b"HdrS"
        struct.pack_into("<H", head, 0x206, 0x20F)
        head[0x211] = 1
        struct.pack_into("<QI", head, 0x258, 16 << 20, 64 << 20)
        kernel.write_bytes(head)
        monkeypatch.setenv("FAKE_QEMU", words)
        domid = host.create(load_config(QUICK.read_bytes(), str(QUICK)))
        for name, value in (patch or {}).items():
            monkeypatch.setattr(name, value)
        options_ = BootOptions(kernel, None, **dict(options))

        def run():
            boot = Boot(host.xen, host.xenstore, host.store, domid, options_, lambda _t: None, lambda _t: None)
            out = os.open(os.devnull, os.O_WRONLY)
            try:
                boot.run(out)
            finally:
                os.close(out)

        return raised(run)

    return act


def booted(get):
    from xlpy.boot import session

    class Record:
        name, pid = "quickstart", 4711

    get("monkeypatch").setattr(session, "booted", lambda _store, _domid: Record)
    return raised(session.refuse_booted, None, 1)


def staged(get):
    """The copy back meets a full disk."""
    from xlpy.boot import session

    class Device:
        name = "vnvdimm0"

        def stage_file(self, folder):
            path = folder / "vnvdimm0.stage"
            path.touch()
            return path

    class Record:
        staged, folder = (Device(),), get("tmp_path")

    def full(_device, _folder):
        raise OSError(errno.ENOSPC, "No space left on device")

    get("monkeypatch").setattr(session, "bring_back", full)
    return raised(session._bring_back, Record())


def ended(get):
    """Another command asks for the end while the guest runs."""
    from pathlib import Path

    from xlpy.boot.run import Boot
    from xlpy.boot.session import ENDED

    class Session:
        folder = Path(get("tmp_path"))

    class Domain:
        name = "quickstart"

    boot = Boot.__new__(Boot)
    boot._session, boot._record = Session, Domain
    (Session.folder / ENDED).touch()

    def run():
        with boot._ending():
            raise SystemExit(0)

    return raised(run)


def old_qemu(get):
    from xlpy.powercut.record import require_version

    return raised(require_version, (7, 2))


def compiler(get):
    from xlpy.powercut.record import plugin

    get("monkeypatch").setenv("CC", "false")
    get("monkeypatch").setenv("XDG_CACHE_HOME", str(get("tmp_path")))
    return raised(plugin)


# -- export -----------------------------------------------------------------------------------------------------------


def inside_a_guest(get):
    machine = box(get)
    machine.dom0_of_xen(control=False)
    return raised(machine.machine.resolve, ["/dev/pmem0"])


def too_many_entries(get):
    from xlpy.toolstack.export.limits import MOST_ENTRIES, check_entries

    return raised(check_entries, load_config(QUICK.read_bytes(), str(QUICK)), [], MOST_ENTRIES + 1)


def _firmware(get, *tables):
    path = get("tmp_path") / "tables"
    path.write_bytes(b"".join(tables))
    return load_config(QUICK.read_bytes(), str(QUICK), (f'acpi_firmware="{path}"',))


def own_nfit(get):
    from xlpy.toolstack.export.firmware import passed

    return raised(passed, _firmware(get, table(b"NFIT")))


def many_tables(get):
    from xlpy.toolstack.export import firmware

    class Plan:
        config = load_config(QUICK.read_bytes(), str(QUICK))
        stock = ()
        persistence = ""

    get("monkeypatch").setattr(firmware.nfit, "build_table", lambda *_: b"")
    get("monkeypatch").setattr(firmware.stock, "ssdt", lambda *_: b"")
    return raised(firmware.build, Plan, [table()] * 20)


def register(get):
    from xlpy.toolstack.export.linux import LinuxMachine

    (get("tmp_path") / "file").touch()
    return raised(lambda: LinuxMachine(str(get("tmp_path") / "file" / "below"))._store)


def xl(get):
    from xlpy.toolstack.export import live

    (get("tmp_path") / "xl").write_text("#!/bin/sh\necho no xenstored >&2\nexit 1\n")
    (get("tmp_path") / "xl").chmod(stat.S_IRWXU)
    get("monkeypatch").setenv("PATH", f"{get('tmp_path')}:{os.environ['PATH']}")
    return raised(live.domains)


def opened(get):
    """Somebody has the file open when it is to be exported."""
    return exported(get, "XLPY-EXPORT-OPEN", _open)


def no_nfit(get):
    from xlpy.toolstack.export.importing import import_config

    return raised(import_config, load_config(QUICK.read_bytes(), str(QUICK)), None)


def no_file(get):
    from xlpy.toolstack.export.importing import design_config

    class Imported:
        def entry(self):
            return None

    return raised(design_config, load_config(QUICK.read_bytes(), str(QUICK)), [Imported()])


L = 1  # FIEMAP_EXTENT_LAST
PAGES = 12288
GIVEN = {
    "XLPY-HYPERCALL": hypercall,
    "XLPY-XENSTORE": xenstore,
    "XLPY-FORMAT": format_of_a_reply,
    "XLPY-UNSAFE": unsafe,
    "XLPY-NO-SPACE": no_space,
    "XLPY-ROOT-OWNER": foreign_root,
    "XLPY-BUG": bug,
    "XLPY-PMEM-INFOBLOCK": info_block,
    "XLPY-PMEM-NOT-DAX": state(False),
    "XLPY-PMEM-DAX-UNKNOWN": state(None),
    "XLPY-PMEM-VERITY": state(False, "verity"),
    "XLPY-PMEM-JOURNAL": state(False, "journal"),
    "XLPY-PMEM-ENCODED": state(False, "encrypted"),
    "XLPY-PMEM-FIEMAP": fiemap(errno.EOPNOTSUPP),
    "XLPY-PMEM-MOVING": moving,
    "XLPY-PMEM-REALTIME": realtime,
    "XLPY-PMEM-DELALLOC": mapped_file((0, 0, PAGES, 0x4 | L)),
    "XLPY-PMEM-UNKNOWN": mapped_file((0, 0, PAGES, 0x2 | L)),
    "XLPY-PMEM-INLINE": mapped_file((0, 0, PAGES, 0x200 | L)),
    "XLPY-PMEM-TAIL": mapped_file((0, 0, PAGES, 0x400 | L)),
    "XLPY-PMEM-SHARED": shared,
    "XLPY-PMEM-UNALIGNED": mapped_file((0, 1024, PAGES, L)),
    "XLPY-PMEM-ORDER": mapped_file((0, 0, 8192, 0), (0, 8192, PAGES, L)),
    "XLPY-PMEM-RANGE": mapped_file((0, 1 << 40, PAGES, L)),
    "XLPY-PMEM-PIN": pin,
    "XLPY-PMEM-PINNED": pinned,
    "XLPY-PMEM-UNPINNED": finding("XLPY-PMEM-UNPINNED", _unpin),
    "XLPY-PMEM-MOVED": finding("XLPY-PMEM-MOVED", _move),
    "XLPY-LABEL-DATA": label_data,
    "XLPY-LINUX-ACCESS": no_access,
    "XLPY-EXT4-NONE": no_file_system,
    "XLPY-EXT4-DAMAGED": damaged,
    "XLPY-EXT4-ERRORS": ext4("ssv state 2"),
    "XLPY-EXT4-JOURNAL": ext4("feature needs_recovery"),
    "XLPY-EXT4-FEATURE": ext4("feature shared_blocks"),
    "XLPY-EXT4-METADATA": on_metadata,
    "XLPY-EXT4-NO-EXTENTS": inode_flags(0),
    "XLPY-EXT4-INLINE": inode_flags(0x10080000),
    "XLPY-EXT4-ENCRYPTED": inode_flags(0x80800),
    "XLPY-EXT4-ENCODED": inode_flags(0x80004),
    "XLPY-EXT4-EA-INODE": inode_flags(0x280000),
    "XLPY-EXT4-VERITY": inode_flags(0x180000),
    "XLPY-EXT4-SYMLINK": symbolic_link,
    "XLPY-EXT4-DEBUGFS": program("debugfs", "echo 'no such command' >&2", edit),
    "XLPY-EXT4-INTERRUPTED": program("debugfs", "kill -KILL $$", edit),
    "XLPY-EXT4-MKE2FS": program("mke2fs", "echo 'bad blocks' >&2; exit 1", make),
    "XLPY-XFS-DAMAGED": xfs(lambda raw: b"XFSC" + raw[4:]),
    "XLPY-XFS-FEATURE": xfs(lambda raw: raw[:212] + b"\0\0\0\x04" + raw[216:]),
    "XLPY-XFS-LOG": xfs_log,
    "XLPY-XFS-READ-ONLY": xfs_read_only,
    "XLPY-XFS-MKFS": program("mkfs.xfs", "echo 'bad blocks' >&2; exit 1", xfs_make),
    "XLPY-GUEST-WIDTH": width,
    "XLPY-GUEST-BROKEN": broken,
    "XLPY-DMACPI-SPACE": area,
    "XLPY-DMACPI-LENGTH": stream(b""),
    "XLPY-DMACPI-TRUNCATED": stream(b"\0\xff\0\0\0x"),
    "XLPY-DMACPI-TYPE": stream(entry(2, b"x")),
    "XLPY-DMACPI-TABLE": stream(entry(0, bytes(35))),
    "XLPY-DMACPI-CHECKSUM": stream(entry(0, table(checksum=0))),
    "XLPY-DMACPI-NAME": stream(entry(1, b"9BAD")),
    "XLPY-DMACPI-DUPLICATE": stream(entry(0, table()) * 2),
    "XLPY-DMACPI-KEYS": boots(_keys),
    "XLPY-DMACPI-COLLISION": boots(lambda: handing(*_collision())()),
    "XLPY-DMACPI-TOO-MANY": boots(lambda: handing(*_devices())()),
    "XLPY-DMACPI-NFIT": boots(lambda: handing(*_bad_nfit())()),
    "XLPY-FIRMWARE": boots(_bare_metal),
    "XLPY-FIRMWARE-BIOS": boots(_bios),
    "XLPY-FIRMWARE-E820": boots(lambda: handing(*_nfit_in_ram())()),
    "XLPY-FIRMWARE-MEMORY": boots(lambda: handing(*_much())()),
    "XLPY-BOOTED": booted,
    "XLPY-BOOT-MEMORY": booting("off", patch={"xlpy.boot.qemu.LOW_RAM": 64 << 20}),
    "XLPY-BOOT-WIDTH": booting("off", patch={"xlpy.boot.plan.PHYSICAL_BITS": 34}),
    "XLPY-BOOT-TIMEOUT": booting("hang", ("timeout", 2.0)),
    "XLPY-BOOT-RESET": booting("reset"),
    "XLPY-BOOT-ENDED": ended,
    "XLPY-BOOT-QEMU": booting("die"),
    "XLPY-BOOT-STAGE": staged,
    "XLPY-RECORD-QEMU": old_qemu,
    "XLPY-RECORD-COMPILER": compiler,
    "XLPY-EXPORT-GUEST": inside_a_guest,
    "XLPY-EXPORT-EXTENTS": too_many_entries,
    "XLPY-EXPORT-TABLES": many_tables,
    "XLPY-EXPORT-NFIT": own_nfit,
    "XLPY-EXPORT-OPEN": opened,
    "XLPY-EXPORT-REGISTER": register,
    "XLPY-EXPORT-XL": xl,
    "XLPY-EXPORT-FILE": finding("XLPY-EXPORT-FILE", _remove),
    "XLPY-EXPORT-CHANGED": finding("XLPY-EXPORT-CHANGED", _edit),
    "XLPY-EXPORT-RAM": finding("XLPY-EXPORT-RAM", _edit),
    "XLPY-EXPORT-INTERRUPTED": finding("XLPY-EXPORT-INTERRUPTED", _interrupt),
    "XLPY-IMPORT-NFIT": no_nfit,
    "XLPY-IMPORT-FILE": no_file,
}
