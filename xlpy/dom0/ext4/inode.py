"""Inodes of ext4: identity, size, flags, and the 60 bytes that hold the root of the extent tree."""

from __future__ import annotations

import _struct as struct

from xlpy.dom0.ext4 import MAX_SYMLINKS
from xlpy.dom0.ext4.checksum import crc32c
from xlpy.dom0.ext4.superblock import damaged
from xlpy.errors import NotFound, Unsafe
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xlpy.dom0.ext4.superblock import Superblock
    from xlpy.errors import FormatError

ROOT = 2

COMPR_FL = 0x4
IMMUTABLE_FL = 0x10
ENCRYPT_FL = 0x800
INDEX_FL = 0x1000
JOURNAL_DATA_FL = 0x4000
HUGE_FILE_FL = 0x40000
EXTENTS_FL = 0x80000
VERITY_FL = 0x100000
EA_INODE_FL = 0x200000
DAX_FL = 0x2000000
INLINE_DATA_FL = 0x10000000
CASEFOLD_FL = 0x40000000

_KINDS = {
    0x1000: "fifo",
    0x2000: "char",
    0x4000: "dir",
    0x6000: "block",
    0x8000: "file",
    0xA000: "symlink",
    0xC000: "socket",
}

_REFUSED = (
    (INLINE_DATA_FL, "INLINE", "has its data inside the inode (inline_data)"),
    (ENCRYPT_FL, "ENCRYPTED", "is encrypted: the bytes on the media are not the bytes of the file"),
    (COMPR_FL, "ENCODED", "is compressed: the bytes on the media are not the bytes of the file"),
    (EA_INODE_FL, "EA-INODE", "holds the extended attribute of another file"),
    (VERITY_FL, "VERITY", "is sealed by fs-verity: its bytes must never change"),
)

_INODE = struct.Struct("<H2xI18xHII4x60s3I4xHH")
_FLAGS, _CHECKSUM_LOW, _EXTRA_SIZE, _CHECKSUM_HIGH = 0x20, 0x7C, 0x80, 0x82


class Inode(NamedTuple):
    """One inode.

    size: bytes. sectors: 512-byte units allocated, extent tree included. flags: ``*_FL`` bits. root: the 60 bytes
    of i_block. attributes: the block of extended attributes, 0 for none. seed: CRC-32C register with which the
    checksums of this inode's blocks start.
    """

    number: int
    kind: str
    mode: int
    size: int
    links: int
    flags: int
    generation: int
    sectors: int
    root: bytes
    attributes: int
    seed: int

    @property
    def immutable(self) -> bool:
        """Whether the kernel refuses to change, truncate, rename or unlink the file (chattr +i)."""
        return bool(self.flags & IMMUTABLE_FL)


def parse_inode(superblock: Superblock, number: int, raw: bytes, offset: int, *, in_use: bool = True) -> Inode:
    """Check the bytes of inode ``number``, found at byte ``offset`` of the device.

    Args:
        in_use: whether it must be one that a directory can name.

    Raises:
        FormatError: its checksum is wrong, or it is no inode in use.
    """
    where = f"inode {number}"
    (mode, size_low, links, sectors, flags, root, generation, attributes, size_high, sectors_high, attributes_high) = (
        _INODE.unpack_from(raw)
    )
    seed = crc32c(superblock.seed, struct.pack("<II", number, generation))
    if superblock.checksums and (in_use or any(root)):
        _check(where, seed, raw, offset)
    kind = _KINDS.get(mode & 0xF000, "")
    if in_use and not (kind and links):
        raise damaged(where, f"in no use, though a directory names it (mode {mode:#o}, {links} links)", offset)
    allocated = sectors | sectors_high << 32
    if flags & HUGE_FILE_FL:
        allocated *= superblock.block_size // 512
    return Inode(
        number=number,
        kind=kind,
        mode=mode,
        size=size_low | size_high << 32,
        links=links,
        flags=flags,
        generation=generation,
        sectors=allocated,
        root=root,
        attributes=attributes | attributes_high << 32,
        seed=seed,
    )


def _check(where: str, seed: int, raw: bytes, offset: int) -> None:
    right = _with_checksum(seed, raw)
    if raw != right:
        stored, computed = (_half(data, _CHECKSUM_LOW) | _half(data, _CHECKSUM_HIGH) << 16 for data in (raw, right))
        raise damaged(f"{where}.i_checksum", f"{stored:#x}, the bytes give {computed:#x}", offset + _CHECKSUM_LOW)


def _half(raw: bytes | bytearray, at: int) -> int:
    return int.from_bytes(raw[at : at + 2], "little")


def _with_checksum(seed: int, raw: bytes | bytearray) -> bytes:
    """The inode with the checksum that its bytes give; the upper half is there when the inode is large enough."""
    halves = [_CHECKSUM_LOW]
    if len(raw) > 128 and _half(raw, _EXTRA_SIZE) >= 4:
        halves.append(_CHECKSUM_HIGH)
    changed = bytearray(raw)
    for at in halves:
        changed[at : at + 2] = bytes(2)
    computed = crc32c(seed, changed)
    for shift, at in enumerate(halves):
        struct.pack_into("<H", changed, at, computed >> 16 * shift & 0xFFFF)
    return bytes(changed)


def with_flags(superblock: Superblock, inode: Inode, raw: bytes, flags: int) -> bytes:
    """The bytes of an inode, with other flags and the checksum that belongs to them."""
    changed = bytearray(raw)
    struct.pack_into("<I", changed, _FLAGS, flags)
    return _with_checksum(inode.seed, changed) if superblock.checksums else bytes(changed)


def refuse_unreadable(inode: Inode, path: str) -> None:
    """Refuse content that does not lie in blocks of its own, as plain bytes, under an extent tree.

    Raises:
        Unsafe: with the reason.
    """
    for flag, code, why in _REFUSED:
        if inode.flags & flag:
            raise Unsafe(
                f"{path} {why}",
                code=f"XLPY-EXT4-{code}",
                hint="copy it into a file made by: xlpy pmem mkfile SIZE PATH",
            )
    if not inode.flags & EXTENTS_FL:
        raise Unsafe(
            f"{path} is mapped by indirect blocks, not by extents",
            code="XLPY-EXT4-NO-EXTENTS",
            hint="convert it with chattr +e, or copy it into a new file",
        )


def lookup(
    path: str,
    trail: list[Inode],
    child: Callable[[Inode, str], int | None],
    load: Callable[[int], Inode],
    readlink: Callable[[Inode], str],
    *,
    follow: bool,
) -> Inode:
    """The inode behind a path, through relative symbolic links; the same for every file system in an image.

    Args:
        path: such as ``/vm1.img``.
        trail: the root's inode alone.
        child: the number that a directory gives a name, or None. load: the inode of a number.
        readlink: what a symbolic link says.
        follow: whether a link at the very end is followed too.

    Raises:
        NotFound: no such path. Unsafe: a symbolic link that leaves the file system, or a loop of them.
    """
    todo, links = path.split("/")[::-1], 0
    while todo:
        name = todo.pop()
        if name in ("", "."):
            continue
        if trail[-1].kind != "dir":
            raise NotFound(f"{path}: no such file: inode {trail[-1].number} before {name!r} is not a directory")
        if name == "..":
            if len(trail) == 1:
                raise Unsafe(f"{path} leaves the file system upwards", code="XLPY-EXT4-SYMLINK")
            trail.pop()
            continue
        number = child(trail[-1], name)
        if number is None:
            raise NotFound(f"{path}: no such file", hint="the path is taken from the root of the file system")
        inode = load(number)
        if inode.kind != "symlink" or (not follow and not any(todo)):
            trail.append(inode)
            continue
        links += 1
        target = readlink(inode)
        if links > MAX_SYMLINKS or target.startswith("/"):
            why = f"more than {MAX_SYMLINKS} symbolic links" if links > MAX_SYMLINKS else f"a link to {target}"
            raise Unsafe(
                f"{path} leads through {why}", code="XLPY-EXT4-SYMLINK", hint="give the path of the file itself"
            )
        todo += target.split("/")[::-1]
    return trail[-1]


def walk(
    root: Inode,
    listdir: Callable[[Inode, str], dict[str, int]],
    load: Callable[[int], Inode],
    error: Callable[[str, str], FormatError],
) -> Iterator[tuple[str, Inode]]:
    """Path and inode of every regular file; the same for every file system in an image.

    Args:
        root: the inode of its root.
        listdir: names and numbers in a directory, which is given with its path. load: the inode of a number.
        error: makes the error for a structure that is damaged, of what it is and how it was found.

    Raises:
        FormatError: a directory is in two places: such a tree may have no end.
    """
    todo, seen = [("", root)], set[int]()
    while todo:
        path, folder = todo.pop()
        if folder.number in seen:
            raise error(f"directory {folder.number}", "in two places")
        seen.add(folder.number)
        for name, number in sorted(listdir(folder, path or "/").items()):
            inode = load(number)
            if inode.kind == "dir":
                todo.append((f"{path}/{name}", inode))
            elif inode.kind == "file":
                yield f"{path}/{name}", inode
