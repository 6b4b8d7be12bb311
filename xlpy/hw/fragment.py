"""A fragment of a machine description: DIMMs and sets that are added to an existing machine.

It has the keys ``dimms``, ``sets`` and ``namespaces`` of ``machine.yaml``. A DIMM may have one more, ``media``: the
folder in which it lies since it was taken out of a machine, with its content and labels. It is read as a part of a
description of the whole machine, so that every check that holds for one holds for the other.
"""

from __future__ import annotations

import re
from itertools import count

from xlpy.errors import ConfigError
from xlpy.hw import describe
from xlpy.hw.fields import Problems, Section
from xlpy.hw.memmap import PMEM, RAM, SLOTS, host_e820
from xlpy.hw.strict_yaml import YamlNode, YamlRefused, load
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xlpy.hw.machine import DimmSpec, MachineSpec, NamespaceSpec, SetSpec

KEYS = ("dimms", "sets", "namespaces")


class Fragment(NamedTuple):
    """What comes. media: folders of DIMMs that have content, by id, as written."""

    dimms: tuple[DimmSpec, ...]
    sets: tuple[SetSpec, ...]
    namespaces: tuple[NamespaceSpec, ...]
    media: dict[str, str]


def parse_fragment(text: str, source: str, there: MachineSpec) -> Fragment:
    """Read a fragment.

    Args:
        text: YAML. source: its name in messages.
        there: the machine that it is for: nothing may be there twice, and addresses must be free.

    Raises:
        ConfigError: ``details`` lists every problem, each with its line.
    """
    problems, media = Problems(source), dict[str, str]()
    spec = None
    try:
        root, faults = load(text)
        for duplicate in faults:
            problems.add(duplicate.line, duplicate.text)
        spec = describe._machine(Section(_merged(root, there, media, problems), "", problems))
    except YamlRefused as fault:
        problems.add(fault.line, fault.text)
    if spec is not None:
        _refuse_taken(root, spec, there, problems)
        _refuse_without_slot(root, spec, there, problems)
    report = problems.report()
    ours = [line for line in report if not line.startswith(f"{source}:0: ")]  # others follow from them
    report = [_told(line, there) for line in ours or report]
    if report or spec is None:
        raise ConfigError(
            f"{source}: {len(report)} problem{'s' * (len(report) != 1)} in what is to be plugged in",
            details=report,
            hint="a small one: {dimms: [{id: new0, capacity: 1G}], sets: [{name: new, dimms: [new0]}]}",
        )
    old = {one.name for one in there.sets}
    numbers = _free({one.number for one in there.dimms})
    dimms = tuple(one._replace(number=next(numbers)) for one in spec.dimms[len(there.dimms) :])
    numbers = _free({one.number for one in there.sets})
    fresh = tuple(one._replace(number=next(numbers)) for one in spec.sets if one.name not in old)
    return Fragment(dimms, fresh, spec.namespaces, media)


def _free(taken: set[int]) -> Iterator[int]:
    """Numbers from 1 on that are free."""
    return (number for number in count(1) if number not in taken)


def _merged(root: YamlNode, there: MachineSpec, media: dict[str, str], problems: Problems) -> YamlNode:
    """A description of the machine with the fragment in it; what is there already stands in line 0."""
    if not isinstance(root.value, dict):
        return root
    for key in root.value:
        if key not in KEYS:
            problems.add(root.value[key].line, f"{key}: only {', '.join(KEYS)} can be plugged in")
    dimms = root.value.get("dimms")
    if dimms is None or not dimms.value:
        problems.add(root.line, "dimms: at least one DIMM is required")
    for item in _items(root, "dimms"):
        _take_media(item, media, problems)
    whole = {
        "name": YamlNode(there.name, 0),
        "ram": YamlNode(there.ram, 0),
        "cpu": YamlNode(
            {"physical_bits": YamlNode(there.cpu.physical_bits, 0), "count": YamlNode(there.cpu.count, 0)}, 0
        ),
        "dimms": _joined([_dimm(one) for one in there.dimms], dimms),
        "sets": _joined([_set(one) for one in there.sets], root.value.get("sets")),
    }
    if "namespaces" in root.value:
        whole["namespaces"] = root.value["namespaces"]
        _refuse_old_regions(root, there, problems)
    return YamlNode(whole, root.line)


def _refuse_old_regions(root: YamlNode, there: MachineSpec, problems: Problems) -> None:
    """Namespaces of sets that are there are made by ndctl."""
    names = {one.name for one in there.sets}
    for item in _items(root, "namespaces"):
        region = item.get("region")
        if region is not None and region.value in names:
            problems.add(region.line, f"namespaces: region: {region.value} is in the machine already, use xlpy ndctl")


def _joined(old: Sequence[YamlNode], new: YamlNode | None) -> YamlNode:
    if new is None:
        return YamlNode([*old], 0)
    return YamlNode([*old, *new.value], new.line) if isinstance(new.value, list) else new


def _take_media(dimm: dict[str, YamlNode], media: dict[str, str], problems: Problems) -> None:
    node = dimm.pop("media", None)
    if node is None:
        return
    name = dimm.get("id")
    if not isinstance(node.value, str) or not node.value or "\0" in node.value:
        problems.add(node.line, f"media: a folder is required, not {node.kind()}")
    elif name is not None and isinstance(name.value, str):
        media[name.value] = node.value


def _refuse_taken(root: YamlNode, spec: MachineSpec, there: MachineSpec, problems: Problems) -> None:
    """A set that comes lies where nothing is: RAM does not move while the machine runs."""
    lines = {}
    for item in _items(root, "sets"):
        if "name" in item:
            lines[item["name"].value] = (item.get("base", item["name"]).line, "dimms" in item)
    for one in spec.sets:
        line, has_dimms = lines.get(one.name, (0, True))
        if not line:
            continue
        if not has_dimms:
            problems.add(line, f"sets: {one.name}: a range without DIMMs cannot be plugged in")
        if problems.known(line, ".base: "):
            continue
        for entry in host_e820(there):
            if entry.type != PMEM and max(entry.start, one.base) < min(entry.start + entry.size, one.base + one.size):
                what = "RAM" if entry.type == RAM else "what firmware keeps"
                problems.add(
                    line,
                    f"sets: {one.name}: base: [{one.base:#x}, {one.base + one.size:#x}) overlaps {what} at"
                    f" [{entry.start:#x}, {entry.start + entry.size:#x})",
                )
                break


def _refuse_without_slot(root: YamlNode, spec: MachineSpec, there: MachineSpec, problems: Problems) -> None:
    """Slots are soldered on: firmware has an ACPI device for each, at power-on; none can come later."""
    lines = {item["id"].value: item["handle"].line for item in _items(root, "dimms") if {"id", "handle"} <= item.keys()}
    ranges = ", ".join(f"{n * SLOTS:#x}-{n * SLOTS + SLOTS - 1:#x}" for n in there.controllers)
    for one in spec.dimms[len(there.dimms) :]:
        if one.handle // SLOTS not in there.controllers and one.id in lines:
            problems.add(
                lines[one.id],
                f"dimms: {one.id}: handle {one.handle:#x}: the board has no slot for it, it has {ranges}",
            )


def _items(root: YamlNode, key: str) -> list[dict[str, YamlNode]]:
    """The mappings of one of the lists."""
    node = root.value.get(key) if isinstance(root.value, dict) else None
    items = node.value if node is not None and isinstance(node.value, list) else []
    return [item.value for item in items if isinstance(item.value, dict)]


def _dimm(one: DimmSpec) -> YamlNode:
    keys = ("id", "handle", "phys_id", "capacity", "label_size", "serial")
    return YamlNode({key: YamlNode(getattr(one, key), 0) for key in keys}, 0)


def _set(one: SetSpec) -> YamlNode:
    fields = {
        "name": YamlNode(one.name, 0),
        "dimms": YamlNode([YamlNode(dimm, 0) for dimm in one.dimms], 0),
        "line": YamlNode(one.line, 0),
        "base": YamlNode(int(one.base), 0),
        "size": YamlNode(one.size, 0),
    }
    if one.labels:
        fields["labels"] = YamlNode(one.labels, 0)
    if not one.dimms:
        del fields["line"]
    return YamlNode(fields, 0)


def _told(line: str, there: MachineSpec) -> str:
    """A message in the terms of the fragment: its own numbers, and names of what is there."""

    def number(match: re.Match[str]) -> str:
        at, of = int(match[2]), there.dimms if match[1] == "dimms" else there.sets
        if at >= len(of):
            return f"{match[1]}[{at - len(of)}]"
        one = of[at]
        return f"{getattr(one, 'id', None) or getattr(one, 'name', '')} in the machine"

    return re.sub(r"\b(dimms|sets)\[(\d+)\]", number, line).replace(" in line 0", "")
