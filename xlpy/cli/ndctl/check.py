"""``ndctl check-namespace``: the BTT of a sector-mode namespace is looked at, and repaired if that is asked for."""

from __future__ import annotations

from errno import EBUSY, EINVAL, EIO, ENXIO
from struct import Struct

from xlpy.addr import Spa, align_down
from xlpy.cli.ndctl import device
from xlpy.cli.ndctl.namespaces import BASE, one_name, summary, walk
from xlpy.cli.ndctl.options import flag
from xlpy.cli.ndctl.session import strerror
from xlpy.dom0.nvdimm.btt import ARENA_MAX, ARENA_MIN, BttBlock, parse_btt
from xlpy.dom0.nvdimm.infoblock import BLOCK, InfoBlockError
from xlpy.dom0.nvdimm.uuids import ZERO
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xlpy.cli.ndctl.options import Values
    from xlpy.cli.ndctl.session import Session
    from xlpy.dom0.nvdimm.nd.namespace import NdNamespace

USAGE = "ndctl check-namespace <namespace> [<options>]"
OPTIONS = (
    *BASE,
    flag("R", "repair", "perform metadata repairs"),
    flag("L", "rewrite-log", "regenerate the log"),
    flag("f", "force", "check namespace even if currently active"),
)
STARTS = (4096, 0)  # of the first arena: BTT 1.1, BTT 2.0
VERSIONS = {(1, 1): 4096, (2, 0): 0}
INFO2 = 112  # where an info block says where its copy is
LANE = Struct("<16I")  # four entries of (lba, old, new, sequence)
CHUNK = 1 << 20  # bytes of a map that are read at once
LBA, NORMAL = (1 << 30) - 1, 3 << 30  # of a map entry
FAULTS = {  # what is said of an arena, and whether only with -v
    "equal": "found a pair of log entries with the same sequence number",
    "sequence": "found a log entry with an out of bounds sequence number",
    "lba": "found a log entry with an out of bounds LBA",
    "old": "found a log entry with an out of bounds 'old' mapping",
    "new": "found a log entry with an out of bounds 'new' mapping",
    "map": "found a map entry that is out of bounds",
    "bitmap": "bitmap error: internal blocks are incorrectly referenced",
}


def run(session: Session, words: Sequence[str]) -> int:
    """Check namespaces."""
    values, name = one_name(session, OPTIONS, USAGE, words, "check")
    session.subject = "check namespace"
    with session.change(f"ndctl check-namespace {name}") as nd:
        result, done = walk(nd, values, name, lambda one: Check(session, values, one).run())
    return summary(session, "checking namespaces", "checked", result, done)


class Failed(Exception):
    """The check cannot go on; ``result`` is the negative errno."""

    def __init__(self, result: int) -> None:
        super().__init__(result)
        self.result = result


class Check:
    """One check.

    Args:
        session: for messages.
        values: of the options.
        namespace: to be checked.
    """

    def __init__(self, session: Session, values: Values, namespace: NdNamespace) -> None:
        self._session = session
        self._values = values
        self._one = namespace
        self._parent = (namespace.raw_uuid or ZERO) if namespace.has_label else ZERO

    def run(self) -> int:
        """0: nothing is wrong, or it is repaired; else a negative errno."""
        values, one = self._values, self._one
        if values.rewrite_log and not values.repair:
            self._err("namespace_check", "--rewrite-log also requires --repair")
            return -EINVAL
        if values.rewrite_log:
            self._info("namespace_check", "WARNING: interruption may cause unrecoverable metadata corruption")
        self._info("namespace_check", f"checking {one.dev}")
        was_on = one.enabled
        if was_on and not values.force:
            self._err("namespace_check", f"{one.dev}: check aborted, namespace online")
            return -EBUSY
        if was_on:
            result = device.disable_unused(self._session, one)
            if result:
                return result
        device.attempt(lambda: one.store_force_raw(True))
        result = device.enable_namespace(self._session, one)
        if result:
            self._err("namespace_check", f"{one.dev}: failed to enable in raw mode: {strerror(result)} ({result})")
        else:
            try:
                self._look()
            except Failed as failed:
                result = failed.result
            except OSError:
                result = -EIO
        device.attempt(lambda: one.store_force_raw(False))
        device.disable_namespace(self._session, one)
        if was_on and device.enable_namespace(self._session, one) < 0:
            self._err("namespace_check", f"{one.dev}: failed to re-enable namespace")
        return result

    # --- messages and bytes ----------------------------------------------------------------------------------------

    def _err(self, function: str, text: str) -> None:
        self._session.err(f"{self._one.dev}: {function}: {text}")

    def _info(self, function: str, text: str) -> None:
        if self._values.verbose:
            self._err(function, text)

    def _read(self, offset: int, length: int) -> bytes:
        return self._one.region.bus.memory.read(Spa(self._one.resource + offset), length)

    def _write(self, offset: int, data: bytes) -> None:
        self._one.region.bus.memory.write(Spa(self._one.resource + offset), data)

    def _block(self, offset: int) -> BttBlock | None:
        """The info block at an offset; None when there is no valid one of this namespace."""
        try:
            return parse_btt(self._read(offset, BLOCK), self._parent)
        except InfoBlockError:
            return None

    # --- info blocks -----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        start = next((at for at in STARTS if self._block(at)), None)
        if start is None:
            start = self._recover()
        arenas = list(self._arenas(start))
        count = len(arenas)
        self._info("btt_discover_arenas", f"found {count} BTT arena{'s' if count > 1 else ''}")
        checks = [Arena(self, number, at, block) for number, (at, block) in enumerate(arenas)]
        for one in checks:
            one.find_log_entries()
        for one in checks:
            one.check()

    def _recover(self) -> int:
        """Find the copy of the first info block, and restore it; where the first arena is to be."""
        result = -ENXIO
        for start in STARTS:
            result = self._recover_at(start)
            if result == 0:
                return start
        self._err("namespace_check", "Unable to recover any BTT info blocks")
        self._err("namespace_check", "This may not be a sector mode namespace")
        raise Failed(result)

    def _recover_at(self, start: int) -> int:
        size = self._one.size
        left, arenas = size - start, 0
        if left < ARENA_MIN:
            return -EINVAL
        while left > ARENA_MAX:
            left -= ARENA_MAX
            arenas += 1
        if left >= ARENA_MIN:
            left, arenas = 0, arenas + 1
        name = "__btt_recover_first_sb"
        self._info(name, f"estimated arenas: {arenas}, remaining bytes: {left:#x}")
        offset = align_down(size - left, BLOCK) - BLOCK if arenas == 1 else ARENA_MAX - BLOCK + start
        self._info(name, f"Attempting recover info-block from end-of-arena offset {offset:#x}")
        copy = self._block(offset)
        if copy:
            if VERSIONS.get((copy.major, copy.minor)) != start:
                return -ENXIO
            return self._restore(start, copy)
        damaged = self._read(start, BLOCK)
        place = int.from_bytes(damaged[INFO2 : INFO2 + 4], "little")
        if not place or place > min(size - BLOCK, ARENA_MAX - BLOCK + start):
            return -ENXIO
        self._info(name, f"Attempting to recover info-block from info2 offset {place:#x}")
        copy = self._block(place + start)
        return self._restore(start, copy) if copy else -ENXIO

    def _restore(self, offset: int, block: BttBlock) -> int:
        if not self._values.repair:
            self._err("btt_write_info", f"BTT info block at offset {offset:#x} needs to be restored")
            self._info("repair_msg", "  Run with --repair to make the changes")
            return -EIO
        self._info("btt_write_info", f"Restoring BTT info block at offset {offset:#x}")
        self._write(offset, block.build())
        return 0

    def _arenas(self, start: int) -> list[tuple[int, BttBlock]]:
        name, at = "btt_discover_arenas", start
        found: list[tuple[int, BttBlock]] = []
        left = self._one.size
        while left > 0:
            block = self._block(at)
            number = len(found)
            if block is None:
                last = left <= ARENA_MAX
                offset = align_down(self._one.size, BLOCK) - BLOCK if last else at + ARENA_MAX - BLOCK
                self._info(name, f"Arena {number}: Attempting recover info-block using info2")
                block = self._block(offset)
                if block is None:
                    self._err(name, f"Backup info block (offset {offset:#x}) verification failed")
                    raise Failed(-ENXIO)
                result = self._restore(at, block)
                if result:
                    self._err(name, f"Restoration of the info block failed: {strerror(result)} ({result})")
                    raise Failed(result)
            if block.internal_nlba - block.external_nlba != block.nfree or block.flags & 1:
                if block.flags & 1:
                    self._err("btt_parse_meta", "Info block error flag is set, aborting")
                self._err(name, f"Problem parsing arena[{number}] metadata")
                raise Failed(-ENXIO)
            if block.internal_lbasize != block.external_lbasize:
                self._err(name, f"Problem parsing arena[{number}] metadata")
                raise Failed(-ENXIO)
            found.append((at, block))
            size = block.nextoff or block.info2off + BLOCK
            left -= size
            at += size
            if not block.nextoff:
                break
        return found


class Arena:
    """One arena.

    Args:
        check: that it is part of.
        number: from 0.
        at: its offset in the namespace.
        block: its info block.
    """

    def __init__(self, check: Check, number: int, at: int, block: BttBlock) -> None:
        self._check = check
        self._number = number
        self._at = at
        self._block = block
        self._slots = (0, 1)
        raw = check._read(at + block.logoff, block.nfree * LANE.size)
        self._lanes = [[lane[slot : slot + 4] for slot in range(0, 16, 4)] for lane in LANE.iter_unpack(raw)]
        self._map = dict(self._written())  # entries that are not as they were made: 0, a block that leads to itself

    def _written(self) -> Iterator[tuple[int, int]]:
        """(block, entry) of the map where it says anything."""
        start, length = self._at + self._block.mapoff, 4 * self._block.external_nlba
        for offset in range(0, length, CHUNK):
            chunk = self._check._read(start + offset, min(CHUNK, length - offset))
            if any(chunk):
                entries = memoryview(chunk).cast("I")
                yield from ((offset // 4 + n, entry) for n, entry in enumerate(entries) if entry)

    def find_log_entries(self) -> None:
        """Which two of the four entries of a lane are used: 0 and 1, or 0 and 2."""
        used = {slot for lane in self._lanes for slot, entry in enumerate(lane) if any(entry)}
        first_used = all(any(lane[0]) for lane in self._lanes)
        if not first_used or len(used) > 2 or 3 in used:
            if first_used and used == {0, 3}:
                self._check._err("log_set_indices", "Found an unknown padding scheme")
            self._check._err("namespace_check", "Unable to deduce log/padding indices")
            raise Failed(-ENXIO)
        self._slots = (0, max(used) or 1)
        for index, slot in enumerate(self._slots):
            self._check._info("log_set_indices", f"arena[{self._number}]: log_index_{index} = {slot}")

    def check(self) -> None:
        """Check it, and repair what can be."""
        self._check._info("btt_check_arenas", f"checking arena {self._number}")
        fault = self._bad_log() or self._bad_map()
        if not fault and self._unfinished():
            text = "found a log entry that does not match with a map entry"
            self._check._info("btt_xlat_status", f"arena {self._number}: {text}")
            raise Failed(-ENXIO)
        if not fault:
            self._copy()
            fault = self._bad_blocks()
        if fault:
            self._check._err("btt_xlat_status", f"arena {self._number}: {FAULTS[fault]}")
            raise Failed(-ENXIO)
        if self._check._values.rewrite_log:
            self._rewrite_log()

    def _newest(self, lane: list[tuple[int, ...]]) -> tuple[int, ...]:
        """The entry of a lane that counts."""
        first, second = (lane[slot] for slot in self._slots)
        if first[3] == 0:
            old = 0
        elif first[3] < second[3]:
            old = 0 if second[3] - first[3] == 1 else 1
        else:
            old = 1 if first[3] - second[3] == 1 else 0
        return (first, second)[1 - old]

    def _bad_log(self) -> str | None:
        for lane in self._lanes:
            first, second = (lane[slot][3] for slot in self._slots)
            if first == second:
                return "equal"
            if first > 3 or second > 3:
                return "sequence"
        for lane in self._lanes:
            lba, old, new, _ = self._newest(lane)
            if lba >= self._block.external_nlba:
                return "lba"
            if old >= self._block.internal_nlba:
                return "old"
            if new >= self._block.internal_nlba:
                return "new"
        return None

    def _mapped(self, lba: int) -> int:
        entry = self._map.get(lba, 0)
        return entry & LBA if entry & NORMAL else lba

    def _bad_map(self) -> str | None:
        limit = self._block.internal_nlba
        return "map" if any(self._mapped(lba) >= limit for lba in self._map) else None

    def _unfinished(self) -> bool:
        """Let the map have what the log says it is to have; whether that failed, which nobody can see happen."""
        check = self._check
        for number, lane in enumerate(self._lanes):
            lba, old, new, _ = self._newest(lane)
            mapped = self._mapped(lba)
            if new == mapped or old != mapped:
                continue
            text = f"arena {self._number}: log[{number}].new_map ({new:#x}) doesn't match map[{lba:#x}] ({mapped:#x})"
            check._info("btt_check_log_map", text)
            if not check._values.repair:
                check._err("btt_map_write", f"Arena {self._number}: map[{lba:#x}] needs to be updated to {new:#x}")
                check._info("repair_msg", "  Run with --repair to make the changes")
                continue
            check._info("btt_map_write", f"Arena {self._number}: Updating map[{lba:#x}] to {new:#x}")
            self._map[lba] = new | NORMAL
            check._write(self._at + self._block.mapoff + 4 * lba, (new | NORMAL).to_bytes(4, "little"))
        return False

    def _copy(self) -> None:
        """Let the copy of the info block be like the block."""
        check, place = self._check, self._at + self._block.info2off
        block = check._read(self._at, BLOCK)
        if check._read(place, BLOCK) == block:
            return
        if not check._values.repair:
            check._err("btt_copy_to_info2", f"Arena {self._number}: BTT info2 needs to be restored")
            check._info("repair_msg", "  Run with --repair to make the changes")
            return
        check._session.out(f"Arena {self._number}: Restoring BTT info2\n")
        check._write(place, block)

    def _bad_blocks(self) -> str | None:
        """Each internal block is in the map or free, once.

        Blocks that lead to themselves need no look at: what the others lead to, and what is free, must be just the
        blocks that no block of that number leads to.
        """
        told, name = self._check._info, f"arena {self._number}: internal block"
        left = {lba for lba in self._map if self._mapped(lba) != lba}
        left |= set(range(self._block.external_nlba, self._block.internal_nlba))
        for lba in sorted(self._map):
            block = self._mapped(lba)
            if block == lba:
                continue
            if block not in left:
                told("btt_check_bitmap", f"{name} {block:#x} is referenced by two map entries")
                return "bitmap"
            left.remove(block)
        for lane in self._lanes:
            block = self._newest(lane)[1]
            if block not in left:
                told("btt_check_bitmap", f"{name} {block:#x} is referenced by two map/log entries")
                return "bitmap"
            left.remove(block)
        return "bitmap" if left else None

    def _rewrite_log(self) -> None:
        self._check._info("btt_rewrite_log", f"arena {self._number}: rewriting log")
        raw = b"".join(LANE.pack(*self._newest(lane)[:3], 1, *([0] * 12)) for lane in self._lanes)
        self._check._write(self._at + self._block.logoff, raw)
