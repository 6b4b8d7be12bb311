"""Codes about the DAX file systems of the emulated Dom0."""

from __future__ import annotations

from xlpy.views.explained.record import Explanation as E  # noqa: N817 - a table of them

TITLE = "DAX file systems"

_COPY = "Copy the content into a file made by: xlpy pmem mkfile SIZE PATH."

CODES = (
    E(
        "XLPY-EXT4-NONE",
        6,
        "There is no ext4 file system where one is mounted: its superblock has no magic number.",
        "Make one: mke2fs -t ext4 -b 4096; or start from a copy of the media.",
        ("# a superblock of zeros",),
        "4.2.3",
    ),
    E(
        "XLPY-EXT4-DAMAGED",
        6,
        "Metadata of the file system is damaged; the message names structure and field.",
        "Look at it with e2fsck -fn, and repair a copy of the media.",
        ("# a group descriptor whose checksum is wrong",),
        "4.2.3",
    ),
    E(
        "XLPY-EXT4-ERRORS",
        7,
        "The file system is marked as having errors.",
        "Repair it with e2fsck -f.",
        ("# EXT4_ERROR_FS in s_state",),
        "4.2.3",
    ),
    E(
        "XLPY-EXT4-JOURNAL",
        7,
        "The file system was not unmounted cleanly: newer metadata waits in its journal.",
        "Mount it once, or run e2fsck, so that the journal is replayed.",
        ("# the feature needs_recovery",),
        "4.2.3",
    ),
    E(
        "XLPY-EXT4-FEATURE",
        7,
        "The file system has a feature that cannot be read safely, such as one that shares blocks.",
        "Make it without: mke2fs -t ext4 -b 4096.",
        ("# mke2fs -O bigalloc",),
        "4.2.3",
    ),
    E(
        "XLPY-EXT4-METADATA",
        7,
        "An extent of the file lies on metadata of the file system: a guest's stores would destroy it.",
        "Check the file system: e2fsck -fn. Linux refuses such a file too.",
        ("# an extent that covers an inode table",),
        "4.2.3",
    ),
    E(
        "XLPY-EXT4-NO-EXTENTS",
        7,
        "The file is mapped by indirect blocks, as ext2 does, not by extents.",
        "Convert it with chattr +e, or copy it into a new file.",
        ("# a file that was made on ext3",),
        "4.2.3",
    ),
    E(
        "XLPY-EXT4-INLINE",
        7,
        "The file's data lies inside its inode.",
        _COPY,
        ("# mke2fs -O inline_data",),
        "4.2.3",
    ),
    E(
        "XLPY-EXT4-ENCRYPTED",
        7,
        "The file is encrypted: the bytes on the media are not the bytes of the file.",
        _COPY,
        ("# a file in a directory that fscrypt encrypts",),
        "4.2.3",
    ),
    E("XLPY-EXT4-ENCODED", 7, "The file is compressed.", _COPY, ("# the inode flag EXT4_COMPR_FL",), "4.2.3"),
    E(
        "XLPY-EXT4-EA-INODE",
        7,
        "The inode holds the extended attribute of another file.",
        "Name a file that has data of its own.",
        ("# mke2fs -O ea_inode",),
        "4.2.3",
    ),
    E("XLPY-EXT4-VERITY", 7, "The file is sealed by fs-verity.", _COPY, ("# mke2fs -O verity",), "4.2.3"),
    E(
        "XLPY-EXT4-SYMLINK",
        7,
        "The path leads through too many symbolic links, or through one that leaves its file system.",
        "Write the path of the file itself.",
        ("# a link to an absolute path",),
        "4.2.3",
    ),
    E(
        "XLPY-EXT4-READ-ONLY",
        6,
        "The file system is mounted read-only.",
        "Mount it writable, or choose another.",
        ("xlpy host init --machine configs/machines/refusals.yaml", "xlpy pmem mkfile 4K /mnt/archive/new.img"),
        "4.2.3",
    ),
    E(
        "XLPY-EXT4-NO-SPACE",
        6,
        "The DAX file system has not enough free blocks.",
        "Make a smaller file, or remove others.",
        ("xlpy pmem mkfile 100G /mnt/pmem0/large.img",),
        "4.2.3",
    ),
    E(
        "XLPY-EXT4-DEBUGFS",
        6,
        "debugfs could not change the file system, or changed what it was not given. Nothing was changed on the media.",
        "Check the file system: e2fsck -fn.",
        ("# a debugfs that fails",),
        "failures.md",
    ),
    E(
        "XLPY-EXT4-INTERRUPTED",
        6,
        "The program that was changing a file system was killed. Nothing was changed on the media.",
        "Run the command again.",
        ("# debugfs that meets a limit",),
        "failures.md",
    ),
    E(
        "XLPY-EXT4-MKE2FS",
        6,
        "mke2fs could not make a file system; the details are its words.",
        "Look at the filesystem entry of the machine description.",
        ("# a mke2fs that fails",),
        "4.2.3",
    ),
)
