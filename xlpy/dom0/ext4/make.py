"""Making an ext4 file system for DAX inside an image: 4 KiB blocks, plain extents, the same bytes every time."""

from __future__ import annotations

import os

from xlpy.addr import PAGE
from xlpy.dom0.ext4.guard import editing
from xlpy.dom0.ext4.media import opened, punch
from xlpy.dom0.ext4.tools import device_argument, find_program, run
from xlpy.errors import Constraint, FormatError
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SMALLEST = 1 << 20
EPOCH = 1_483_228_800  # 2017-01-01: the time stamps of a new file system, so that equal hosts have equal bytes
FEATURES = (
    "has_journal,ext_attr,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,dir_nlink,"
    "extra_isize,metadata_csum"
)
_BYTES_PER_INODE = 65536  # few and large files


def make_ext4(
    image: str | os.PathLike[str],
    offset: int,
    size: int,
    *,
    uuid: str,
    label: str = "",
    epoch: int = EPOCH,
    zero: Callable[[int, int], None] | None = None,
) -> None:
    """Make a file system; what was there before is gone.

    Args:
        image: the file that holds the device.
        offset, size: where the device lies in it, in bytes.
        uuid: UUID text of the file system, and the seed of its directory hashes.
        label: volume name, at most 16 bytes.
        epoch: seconds since 1970 for all time stamps.
        zero: zero(offset, length) on the device; by default holes are punched into the image.

    Raises:
        Constraint: the device is too small, or the host file system is full. MissingTool: no mke2fs.
        FormatError: mke2fs failed.
    """
    if size < SMALLEST or offset % PAGE:
        raise Constraint(
            f"an ext4 file system needs {SMALLEST} bytes on a 4096-byte boundary; found {size} bytes at {offset:#x}",
            hint="make the namespace or partition larger",
        )
    find_program("mke2fs")  # before anything is lost
    device = device_argument(image, offset).partition("?")[0]
    extended = f"offset={offset},hash_seed={uuid},root_owner=0:0,nodiscard,lazy_itable_init=0,lazy_journal_init=0"
    args = ["-q", "-F", "-t", "ext4", "-b", str(PAGE), "-I", "256", "-i", str(_BYTES_PER_INODE), "-m", "0"]
    args += ["-O", f"none,{FEATURES}", "-U", uuid, "-L", label]
    # built-in defaults only: the machine's mke2fs.conf must not decide what the emulated host looks like
    environment = {"MKE2FS_CONFIG": os.devnull, "E2FSPROGS_FAKE_TIME": str(epoch)}
    with editing(image, offset) as hold, opened(image) as fd:
        if os.fstat(fd).st_size < offset + size:
            raise Constraint(f"{os.fspath(image)} ends before the device does, at {offset + size:#x}")
        if zero:
            zero(0, size)
        else:
            punch(fd, offset, size)
        # older releases do not know that option and then write the zeros themselves
        for options in (f"{extended},assume_storage_prezeroed=1", extended):
            every = (*args, "-E", options, device, str(size // PAGE))
            status, _, errors = run(hold, "mke2fs", *every, image=device, environment=environment)
            if status == 0:
                return
    found = [line for line in errors.splitlines() if line.strip() and not line.startswith("mke2fs ")]
    if any("no space left" in line.lower() for line in found):
        raise Constraint(f"mke2fs: no space left on the file system of {device}", hint="free some space")
    raise FormatError(f"mke2fs failed with status {status}", details=found[:6], code="XLPY-EXT4-MKE2FS")
