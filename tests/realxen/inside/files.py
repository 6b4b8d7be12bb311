"""Leave room on the file system in pieces only, so that a new file of 32 MiB lies in several extents out of order.

The allocator takes the larger pieces first, and they lie behind the smaller ones.
"""

import os
from pathlib import Path

MIB = 1 << 20
PLACE = "/mnt/dax"
PIECES = (3, 5, 9, 17)  # MiB of each free piece, from the front to the back


def write(name: str, size: int) -> None:
    """A file with every block written."""
    with Path(PLACE, name).open("wb") as file:
        for at in range(0, size, MIB):
            file.write(bytes(min(MIB, size - at)))
        file.flush()
        os.fsync(file.fileno())


for number, size in enumerate(PIECES):
    write(f"piece{number}", size * MIB)
    write(f"between{number}", 16 << 10)
room = os.statvfs(PLACE)
write("rest", (room.f_bavail - 64) * room.f_bsize)
for number in range(len(PIECES)):
    Path(PLACE, f"piece{number}").unlink()
os.sync()
