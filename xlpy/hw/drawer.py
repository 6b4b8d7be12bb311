"""Unplugged DIMMs: each is a folder with its content by device address, its labels and bad lines.

A set keeps its bytes in the order of host addresses; a DIMM that is taken out takes its own lines with it. So the same
DIMMs in another order, or in another machine, give what they would give there.
"""

from __future__ import annotations

import os

from xlpy.addr import Dpa, Spa, Span
from xlpy.errors import ConfigError, Conflict, StateError
from xlpy.hw.machine import DimmSpec, HealthSpec
from xlpy.hw.media import Media, trouble
from xlpy.hw.sparse import written
from xlpy.jsontext import decode, encode
from xlpy.private import folder, private
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from xlpy.hw.hardware import Hardware
    from xlpy.hw.machine import SetSpec
    from xlpy.hw.region import Region
    from xlpy.hw.undo import Undo

IDENTITY, MEDIA, LABELS, POISON = "dimm.json", "media", "labels", "poison.json"
UNMAPPED = "dimms"  # in the machine's directory: what DIMMs hold that belongs to no set, as it lay in their folders


def take_out(hw: Hardware, dimm: DimmSpec, region: Region | None, where: str) -> None:
    """Put a copy of a DIMM into a folder, which is made; the machine keeps what it has.

    Raises:
        Conflict: the folder is there already. Constraint: there is no space.
    """
    if os.path.exists(where):
        raise Conflict(f"{where}: File exists", hint="it holds another DIMM; choose another folder with --to")
    hw.undo.made(where)
    try:
        folder(where)
        _write(where, IDENTITY, encode(dimm._replace(health=HealthSpec())._asdict() | {"health": None}))
        with open(os.path.join(where, MEDIA), "xb", opener=private) as file:
            file.truncate(dimm.capacity)
            bad = _unmapped_out(hw, dimm, file.fileno())
            if region is not None:
                _copy_out(dimm, region, file.fileno())
        if dimm.label_size:
            with open(os.path.join(where, LABELS), "xb", opener=private) as file:
                file.write(hw.labels_read(dimm.id, 0, dimm.label_size))
    except OSError as error:
        raise trouble(where, error) from error
    if region is not None:
        bad += _bad_lines(hw, dimm, region)
    _write(where, POISON, encode([[span.start, span.end] for span in bad]))


def identity(where: str) -> DimmSpec:
    """The DIMM stored in a folder. ConfigError: there is none."""
    try:
        with open(os.path.join(where, IDENTITY), "rb") as file:
            fields = decode(file.read().decode())
        made = fields.pop("manufactured")
        fields.pop("health")
        flags = tuple(fields.pop("flags"))
        return DimmSpec(**fields, manufactured=made and (made[0], made[1]), flags=flags)
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(
            f"{where}: there is no DIMM in it", hint="media: names a folder that host unplug has made"
        ) from None
    except (OSError, ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        raise StateError(f"{where}: {IDENTITY} cannot be read: {error}") from error


def put_in(hw: Hardware, region: Region, places: Mapping[str, str]) -> list[Span[Spa]]:
    """Fill a new set with what its DIMMs hold; the labels too.

    Args:
        hw: the machine, which has the set already, its files made and empty.
        region: the set. places: folders of the DIMMs that have content, by id.

    Returns:
        the lines that are bad.
    """
    bad: list[Span[Spa]] = []
    unmapped = {name: _unmapped(hw, name) for name in region.set.dimms if os.path.exists(_unmapped(hw, name))}
    for name, where in {**unmapped, **places}.items():
        if name not in region.set.dimms:
            continue
        way = region.set.dimms.index(name)
        try:
            _copy_in(hw, region, way, os.path.join(where, MEDIA))
        except OSError as error:
            raise trouble(where, error) from error
        rows = _poison_in(where)
        table, part = region.table, region.set.part(name)
        for start, end in rows:
            for dpa in range(max(start, part.start), min(end, part.end), 64):
                spa = Spa(region.span.start + table.to_region(way, dpa - part.start))
                bad.append(Span(spa, 64))
    return bad


def keep_unmapped(hw: Hardware, dimm: DimmSpec, where: str) -> None:
    """A DIMM has come: what it holds outside of all sets stays with it, so that it goes with it too."""
    parts = _parts(hw, dimm)
    if sum(part.size for part in parts) == dimm.capacity:
        return
    home = _unmapped(hw, dimm.id)
    hw.undo.made(home)
    try:
        folder(os.path.dirname(home))
        folder(home)
        with open(os.path.join(home, MEDIA), "xb", opener=private) as file:
            file.truncate(dimm.capacity)
            for at, data in _stored(os.path.join(where, MEDIA)):
                _outside(file.fileno(), at, data, parts)
        _write(home, POISON, encode(_poison_outside(where, parts)))
    except OSError as error:
        raise trouble(home, error) from error


def drop_unmapped(hw: Hardware, dimm: DimmSpec) -> None:
    """A DIMM has gone: and what it held outside of all sets."""
    if os.path.exists(_unmapped(hw, dimm.id)):
        hw.undo.drop(os.path.join(UNMAPPED, dimm.id))


def erase(hw: Hardware, dimm: DimmSpec, region: Region) -> None:
    """A DIMM is gone, its set is not: its lines read as zeros, were they readable. Costs by what is stored."""
    way, table = region.set.dimms.index(dimm.id), region.table
    for at, data in list(_stored(region.file)) if len(region.set.dimms) > 1 else ():
        for step, first, last in _lines(region, at, len(data)):
            if table.to_device(step)[0] == way:
                hw.zero(Span(Spa(region.span.start + first), last - first))
    if len(region.set.dimms) == 1:
        hw.zero(region.span)


def labels_in(hw: Hardware, dimm: DimmSpec, where: str) -> None:
    """Give a DIMM the labels in its folder."""
    if dimm.label_size:
        try:
            with open(os.path.join(where, LABELS), "rb") as file:
                hw.labels_write(dimm.id, 0, file.read(dimm.label_size))
        except OSError as error:
            raise trouble(where, error) from error


def make_files(undo: Undo, home: str, sets: tuple[SetSpec, ...], dimms: tuple[DimmSpec, ...]) -> None:
    """Empty media and label areas for what is new."""
    wanted = [(os.path.join("media", one.name), one.size) for one in sets]
    wanted += [(os.path.join("labels", one.id), one.label_size) for one in dimms if one.label_size]
    for name, size in wanted:
        undo.made(name)
        Media.create(os.path.join(home, name), size)


def write_fragment(path: str, dimms: list[DimmSpec], region: Region | None) -> None:
    """The file with which DIMMs are plugged in again as they were; it lies beside their folders.

    The folder of one that was pulled by surprise may be elsewhere.
    """
    elsewhere = {} if region is None else dict(region.set.out)
    lines = ["# made by xlpy host unplug; id, handle and phys_id are the slot's, the rest is the DIMM's", "dimms:"]
    for one in dimms:
        made = one.manufactured
        fields = {
            "id": one.id,
            "handle": f"{one.handle:#x}",
            "phys_id": f"{one.phys_id:#x}",
            "capacity": one.capacity,
            "label_size": one.label_size,
            "vendor": f"{one.vendor:#x}",
            "device": f"{one.device:#x}",
            "revision": one.revision,
            "subsystem_vendor": one.subsystem_vendor,
            "subsystem_device": one.subsystem_device,
            "subsystem_revision": one.subsystem_revision,
            "serial": f"{one.serial:#x}",
            "interface": f"{one.interface:#06x}",
            "flags": f"[{', '.join(one.flags)}]",
            "flush_hints": one.flush_hints,
            "media": _beside(path, elsewhere[one.id]) if one.id in elsewhere else one.id,
        }
        if made:
            date = f"20{made[1] & 0xFF:02x}-{made[1] >> 8:02x}"
            fields["manufactured"] = f"{{location: {made[0]}, date: {date}}}"
        lines.append("  - " + "\n    ".join(f"{key}: {value}" for key, value in fields.items()))
    if region is not None:
        one_set = region.set
        names = ", ".join(one_set.dimms)
        lines += ["sets:", f"  - {{name: {one_set.name}, dimms: [{names}], line: {one_set.line}}}"]
        more: dict[str, object] = {"proximity": one_set.proximity, "location_cookie": one_set.location_cookie}
        more |= {"size": one_set.size, "labels": f"'{one_set.labels}'" if one_set.labels else None}
        lines[-1] = lines[-1][:-1] + "".join(f", {key}: {value}" for key, value in more.items() if value) + "}"
    folder_of = os.path.dirname(path)
    try:
        folder(folder_of)
        _write(folder_of, os.path.basename(path), "\n".join(lines) + "\n")
    except OSError as error:
        raise trouble(path, error) from error


def _beside(path: str, folder_of: str) -> str:
    """How a folder is named in a file."""
    return os.path.basename(folder_of) if os.path.dirname(path) == os.path.dirname(folder_of) else encode(folder_of)


def _unmapped(hw: Hardware, dimm: str) -> str:
    return hw.beside("hw", UNMAPPED, dimm)


def _unmapped_out(hw: Hardware, dimm: DimmSpec, to: int) -> list[Span[Dpa]]:
    """Copy what a DIMM holds outside of all sets; its bad lines."""
    home = _unmapped(hw, dimm.id)
    if not os.path.exists(home):
        return []
    parts = _parts(hw, dimm)
    for at, data in _stored(os.path.join(home, MEDIA)):
        _outside(to, at, data, parts)
    return [Span.between(Dpa(a), Dpa(b)) for a, b in _poison_outside(home, parts)]


def _outside(to: int, at: int, data: bytes, parts: list[Span[Dpa]]) -> None:
    """Write the pieces of ``data`` that lie in none of the parts."""
    start, end = at, at + len(data)
    for part in sorted(parts):
        if start < part.start:
            os.pwrite(to, data[start - at : max(0, min(end, part.start) - at)], start)
        start = max(start, part.end)
    if start < end:
        os.pwrite(to, data[start - at :], start)


def _poison_in(where: str) -> list[tuple[int, int]]:
    """The bad lines of a DIMM stored in a folder, by device address."""
    try:
        with open(os.path.join(where, POISON), "rb") as file:
            return [(int(start), int(end)) for start, end in decode(file.read().decode())]
    except OSError as error:
        raise trouble(where, error) from error
    except (ValueError, TypeError) as error:
        raise StateError(f"{where}: {POISON} cannot be read: {error}") from error


def _copy_out(dimm: DimmSpec, region: Region, to: int) -> None:
    """A DIMM's lines of a region; what is a hole stays one. Costs by what is stored, not by size."""
    way, table = region.set.dimms.index(dimm.id), region.table
    start = region.set.part(dimm.id).start
    for at, data in _stored(region.file):
        if len(region.set.dimms) == 1:
            os.pwrite(to, data, start + at)
            continue
        for step, first, last in _lines(region, at, len(data)):
            owner, place = table.to_device(step)
            if owner == way and any(data[first - at : last - at]):
                os.pwrite(to, data[first - at : last - at], start + place + first - step)


def _copy_in(hw: Hardware, region: Region, way: int, source: str) -> None:
    table, part = region.table, region.set.part(region.set.dimms[way])
    for dpa, raw in _stored(source):
        low, high = max(dpa, part.start), min(dpa + len(raw), part.end)
        if low >= high:
            continue
        data, at = raw[low - dpa : high - dpa], low - part.start
        if len(region.set.dimms) == 1:
            hw.write(Spa(region.span.start + at), data)
            continue
        for _, first, last in _lines(region, at, len(data)):
            if any(data[first - at : last - at]):
                place = table.to_region(way, first)
                hw.write(Spa(region.span.start + place), data[first - at : last - at])


def _stored(source: str) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of what a sparse file has, in pieces."""
    with open(source, "rb") as file:
        yield from written(file.fileno(), 0, os.fstat(file.fileno()).st_size)


def _lines(region: Region, at: int, length: int) -> Iterator[tuple[int, int, int]]:
    """A stretch cut at the boundaries of lines: (where the line begins, first byte, behind the last byte)."""
    line = region.set.line
    for step in range(at // line * line, at + length, line):
        yield step, max(step, at), min(step + line, at + length)


def _parts(hw: Hardware, dimm: DimmSpec) -> list[Span[Dpa]]:
    """What of a DIMM belongs to sets."""
    return [one.part(dimm.id) for one in hw.spec.sets if dimm.id in one.dimms]


def _poison_outside(where: str, parts: list[Span[Dpa]]) -> list[tuple[int, int]]:
    """The bad lines of a DIMM stored in a folder that lie in none of the parts."""
    return [(a, b) for a, b in _poison_in(where) if not any(part.start <= a < part.end for part in parts)]


def _bad_lines(hw: Hardware, dimm: DimmSpec, region: Region) -> Iterator[Span[Dpa]]:
    way = region.set.dimms.index(dimm.id)
    known = [(bad.start - region.span.start, bad.end - region.span.start) for bad in hw.poison.overlapping(region.span)]
    for start, end in region.set.spoiled if region.set.out else known:
        for offset in range(start, end, 64):
            owner, dpa = region.table.to_device(offset)
            if owner == way:
                yield Span(Dpa(region.set.part(dimm.id).start + dpa), 64)


def _write(where: str, name: str, text: str) -> None:
    with open(os.path.join(where, name), "w", encoding="utf-8", opener=private) as file:
        file.write(text)
