"""``ndctl check-namespace``: checks the BTT of a sector-mode namespace, and repairs it on request."""

from __future__ import annotations

from _struct import Struct
from errno import EBUSY, EINVAL, EIO, ENXIO

from xlpy.addr import Spa, align_down
from xlpy.cli.ndctl import device
from xlpy.cli.ndctl.namespaces import BASE, one_name, summary, walk
from xlpy.cli.ndctl.options import flag
from xlpy.cli.ndctl.session import strerror
from xlpy.cli.ndctl.sizes import hexadecimal
from xlpy.dom0.nvdimm.btt import ARENA_MAX, ARENA_MIN, BttBlock, parse_btt
from xlpy.dom0.nvdimm.infoblock import BLOCK, InfoBlockError
from xlpy.typing import TYPE_CHECKING
from xlpy.uuids import ZERO

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xlpy.cli.ndctl.options import Values
    from xlpy.cli.ndctl.session import NdctlSession
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


def run(session: NdctlSession, words: Sequence[str]) -> int:
    """Check namespaces."""
    values, name = one_name(session, OPTIONS, USAGE, words, "check")
    session.subject = "check namespace"
    with session.change(f"ndctl check-namespace {name}") as nd:
        result, done = walk(nd, values, name, lambda one: NamespaceCheck(session, values, one).run())
    return summary(session, "checking namespaces", "checked", result, done)


class Failed(Exception):
    """The check cannot go on; ``result`` is the negative errno."""

    def __init__(self, result: int) -> None:
        super().__init__(result)
        self.result = result


class NamespaceCheck:
    """One check.

    Args:
        session: for messages.
        values: of the options.
        namespace: to be checked.
    """

    def __init__(self, session: NdctlSession, values: Values, namespace: NdNamespace) -> None:
        self.session = session
        self.values = values
        self._one = namespace
        self._parent = (namespace.raw_uuid or ZERO) if namespace.has_label else ZERO

    def run(self) -> int:
        """0: nothing is wrong, or it is repaired; else a negative errno."""
        values, one = self.values, self._one
        if values.rewrite_log and not values.repair:
            self.err("namespace_check", "--rewrite-log also requires --repair")
            return -EINVAL
        if values.rewrite_log:
            self.info("namespace_check", "WARNING: interruption may cause unrecoverable metadata corruption")
        self.info("namespace_check", f"checking {one.dev}")
        was_on = one.enabled
        if was_on and not values.force:
            self.err("namespace_check", f"{one.dev}: check aborted, namespace online")
            return -EBUSY
        if was_on:
            result = device.disable_unused(self.session, one)
            if result:
                return result
        device.attempt(lambda: one.store_force_raw(True))
        result = device.enable_namespace(self.session, one)
        if result:
            self.err("namespace_check", f"{one.dev}: failed to enable in raw mode: {strerror(result)} ({result})")
        else:
            try:
                self._look()
            except Failed as failed:
                result = failed.result
            except OSError:
                result = -EIO
        device.attempt(lambda: one.store_force_raw(False))
        device.disable_namespace(self.session, one)
        if was_on and device.enable_namespace(self.session, one) < 0:
            self.err("namespace_check", f"{one.dev}: failed to re-enable namespace")
        return result

    # --- messages and bytes ----------------------------------------------------------------------------------------

    def err(self, function: str, text: str) -> None:
        self.session.err(f"{self._one.dev}: {function}: {text}")

    def info(self, function: str, text: str) -> None:
        if self.values.verbose:
            self.err(function, text)

    def read(self, offset: int, length: int) -> bytes:
        return self._one.region.bus.memory.read(Spa(self._one.resource + offset), length)

    def write(self, offset: int, data: bytes) -> None:
        self._one.region.bus.memory.write(Spa(self._one.resource + offset), data)

    def _block(self, offset: int) -> BttBlock | None:
        """The info block at an offset; None when there is no valid one of this namespace."""
        try:
            return parse_btt(self.read(offset, BLOCK), self._parent)
        except InfoBlockError:
            return None

    # --- info blocks -----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        start = next((at for at in STARTS if self._block(at)), None)
        if start is None:
            start = self._recover()
        arenas = list(self._arenas(start))
        count = len(arenas)
        self.info("btt_discover_arenas", f"found {count} BTT arena{'s' if count > 1 else ''}")
        checks = [CheckedArena(self, number, at, block) for number, (at, block) in enumerate(arenas)]
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
        self.err("namespace_check", "Unable to recover any BTT info blocks")
        self.err("namespace_check", "This may not be a sector mode namespace")
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
        self.info(name, f"estimated arenas: {arenas}, remaining bytes: {hexadecimal(left)}")
        offset = align_down(size - left, BLOCK) - BLOCK if arenas == 1 else ARENA_MAX - BLOCK + start
        self.info(name, f"Attempting recover info-block from end-of-arena offset {hexadecimal(offset)}")
        copy = self._block(offset)
        if copy:
            if VERSIONS.get((copy.major, copy.minor)) != start:
                return -ENXIO
            return self._restore(start, copy)
        damaged = self.read(start, BLOCK)
        place = int.from_bytes(damaged[INFO2 : INFO2 + 4], "little")
        if not place or place > min(size - BLOCK, ARENA_MAX - BLOCK + start):
            return -ENXIO
        self.info(name, f"Attempting to recover info-block from info2 offset {hexadecimal(place)}")
        copy = self._block(place + start)
        return self._restore(start, copy) if copy else -ENXIO

    def _restore(self, offset: int, block: BttBlock) -> int:
        if not self.values.repair:
            self.err("btt_write_info", f"BTT info block at offset {hexadecimal(offset)} needs to be restored")
            self.info("repair_msg", "  Run with --repair to make the changes")
            return -EIO
        self.info("btt_write_info", f"Restoring BTT info block at offset {hexadecimal(offset)}")
        self.write(offset, block.build())
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
                self.info(name, f"Arena {number}: Attempting recover info-block using info2")
                block = self._block(offset)
                if block is None:
                    self.err(name, f"Backup info block (offset {hexadecimal(offset)}) verification failed")
                    raise Failed(-ENXIO)
                result = self._restore(at, block)
                if result:
                    self.err(name, f"Restoration of the info block failed: {strerror(result)} ({result})")
                    raise Failed(result)
            if block.internal_nlba - block.external_nlba != block.nfree or block.flags & 1:
                if block.flags & 1:
                    self.err("btt_parse_meta", "Info block error flag is set, aborting")
                self.err(name, f"Problem parsing arena[{number}] metadata")
                raise Failed(-ENXIO)
            if block.internal_lbasize != block.external_lbasize:
                self.err(name, f"Problem parsing arena[{number}] metadata")
                raise Failed(-ENXIO)
            found.append((at, block))
            size = block.nextoff or block.info2off + BLOCK
            left -= size
            at += size
            if not block.nextoff:
                break
        return found


class CheckedArena:
    """One arena.

    Args:
        check: that it is part of.
        number: from 0.
        at: its offset in the namespace.
        block: its info block.
    """

    def __init__(self, check: NamespaceCheck, number: int, at: int, block: BttBlock) -> None:
        self._check = check
        self._number = number
        self._at = at
        self._block = block
        self._slots = (0, 1)
        raw = check.read(at + block.logoff, block.nfree * LANE.size)
        self._lanes = [[lane[slot : slot + 4] for slot in range(0, 16, 4)] for lane in LANE.iter_unpack(raw)]
        self._map = dict(self._written())  # entries that are not as they were made: 0, a block that leads to itself

    def _written(self) -> Iterator[tuple[int, int]]:
        """(block, entry) of the map where it says anything."""
        start, length = self._at + self._block.mapoff, 4 * self._block.external_nlba
        for offset in range(0, length, CHUNK):
            chunk = self._check.read(start + offset, min(CHUNK, length - offset))
            if any(chunk):
                entries = memoryview(chunk).cast("I")
                yield from ((offset // 4 + n, entry) for n, entry in enumerate(entries) if entry)

    def find_log_entries(self) -> None:
        """Which two of the four entries of a lane are used: 0 and 1, or 0 and 2."""
        used = {slot for lane in self._lanes for slot, entry in enumerate(lane) if any(entry)}
        first_used = all(any(lane[0]) for lane in self._lanes)
        if not first_used or len(used) > 2 or 3 in used:
            if first_used and used == {0, 3}:
                self._check.err("log_set_indices", "Found an unknown padding scheme")
            self._check.err("namespace_check", "Unable to deduce log/padding indices")
            raise Failed(-ENXIO)
        self._slots = (0, max(used) or 1)
        for index, slot in enumerate(self._slots):
            self._check.info("log_set_indices", f"arena[{self._number}]: log_index_{index} = {slot}")

    def check(self) -> None:
        """Check it, and repair what can be."""
        self._check.info("btt_check_arenas", f"checking arena {self._number}")
        fault = self._bad_log() or self._bad_map()
        if not fault:
            self._finish()
            self._copy()
            fault = self._bad_blocks()
        if fault:
            self._check.err("btt_xlat_status", f"arena {self._number}: {FAULTS[fault]}")
            raise Failed(-ENXIO)
        if self._check.values.rewrite_log:
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

    def _finish(self) -> None:
        """Let the map have what the log says it is to have."""
        check, name = self._check, f"rena {self._number}"
        for number, lane in enumerate(self._lanes):
            lba, old, new, _ = self._newest(lane)
            mapped = self._mapped(lba)
            if new == mapped or old != mapped:
                continue
            place, wanted, found = f"map[{hexadecimal(lba)}]", hexadecimal(new), hexadecimal(mapped)
            check.info(
                "btt_check_log_map", f"a{name}: log[{number}].new_map ({wanted}) doesn't match {place} ({found})"
            )
            if not check.values.repair:
                check.err("btt_map_write", f"A{name}: {place} needs to be updated to {wanted}")
                check.info("repair_msg", "  Run with --repair to make the changes")
                continue
            check.info("btt_map_write", f"A{name}: Updating {place} to {wanted}")
            self._map[lba] = new | NORMAL
            check.write(self._at + self._block.mapoff + 4 * lba, (new | NORMAL).to_bytes(4, "little"))

    def _copy(self) -> None:
        """Let the copy of the info block be like the block."""
        check, place = self._check, self._at + self._block.info2off
        block = check.read(self._at, BLOCK)
        if check.read(place, BLOCK) == block:
            return
        if not check.values.repair:
            check.err("btt_copy_to_info2", f"Arena {self._number}: BTT info2 needs to be restored")
            check.info("repair_msg", "  Run with --repair to make the changes")
            return
        check.session.out(f"Arena {self._number}: Restoring BTT info2\n")
        check.write(place, block)

    def _bad_blocks(self) -> str | None:
        """Each internal block is in the map or free, once.

        Blocks that lead to themselves need no look at: what the others lead to, and what is free, must be just the
        blocks that no block of that number leads to.
        """
        told, name = self._check.info, f"arena {self._number}: internal block"
        left = {lba for lba in self._map if self._mapped(lba) != lba}
        left |= set(range(self._block.external_nlba, self._block.internal_nlba))
        for lba in sorted(self._map):
            block = self._mapped(lba)
            if block == lba:
                continue
            if block not in left:
                told("btt_check_bitmap", f"{name} {hexadecimal(block)} is referenced by two map entries")
                return "bitmap"
            left.remove(block)
        for lane in self._lanes:
            block = self._newest(lane)[1]
            if block not in left:
                told("btt_check_bitmap", f"{name} {hexadecimal(block)} is referenced by two map/log entries")
                return "bitmap"
            left.remove(block)
        return "bitmap" if left else None

    def _rewrite_log(self) -> None:
        self._check.info("btt_rewrite_log", f"arena {self._number}: rewriting log")
        raw = b"".join(LANE.pack(*self._newest(lane)[:3], 1, *([0] * 12)) for lane in self._lanes)
        self._check.write(self._at + self._block.logoff, raw)
