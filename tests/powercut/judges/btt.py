"""btt.py IMAGE: each sector of a BTT that was written holds one write, whole. The reader is of this file alone.

UEFI 2.7, 6.3: an info block, data, map, log; a map entry of 32 bits has the internal block, and two bits of state.
"""

import mmap
import os
import struct
import sys

image = mmap.mmap(os.open(sys.argv[1], os.O_RDONLY), 0, access=mmap.ACCESS_READ)
at = next((at for at in (0, 4096) if image[at : at + 16] == b"BTT_ARENA_INFO\0\0"), None)
if at is None:
    sys.exit(0)  # not made yet
head = struct.unpack_from("<16s16s16sIHHIIIIIIQQQQQ", image, at)
external, count, internal, lanes = head[6], head[7], head[8], head[10]
data, table, log = (at + head[n] for n in (13, 14, 15))
if external != 4096 or not any(image[log : log + 64]):
    sys.exit(0)


def block(entry: int, lba: int) -> int:
    return entry & 0x3FFFFFFF if entry >> 30 else lba


entries = {lba: struct.unpack_from("<I", image, table + 4 * lba)[0] for lba in range(count)}
for lane in range(lanes):  # what the log has and the map has not was not finished; Linux finishes it
    both = [struct.unpack_from("<4I", image, log + 64 * lane + 16 * slot) for slot in (0, 1)]
    one, two = both[0][3], both[1][3]
    newer = both[1] if two and (not one or two == one % 3 + 1) else both[0]
    lba, old, new, _ = newer
    if old & 0x3FFFFFFF != new & 0x3FFFFFFF and lba in entries and block(entries[lba], lba) == old & 0x3FFFFFFF:
        entries[lba] = new & 0x3FFFFFFF | 0xC0000000
used = [block(entry, lba) for lba, entry in entries.items()]
if len(set(used)) != len(used):
    sys.exit("two sectors share a block")
for lba in range(4):
    start = data + block(entries[lba], lba) * internal
    sector = set(image[start : start + external])
    if len(sector) != 1 or sector - set(b"\0ABC"):
        sys.exit(f"sector {lba} holds {len(sector)} different bytes")
