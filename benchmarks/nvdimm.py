"""The host's NVDIMMs: ndctl's words on a large bank."""

from __future__ import annotations

import json
import shutil
from functools import partial
from typing import TYPE_CHECKING

from case import AFTER, Case, Sample, Skip, sample
from commands import click

if TYPE_CHECKING:
    from pathlib import Path

    from case import Act
    from version import Version

DIMMS, SETS, NAMESPACES = 24, 8, 64


def machine() -> str:
    """The description of the bank: sets of three DIMMs each."""
    dimms = "".join(
        f"  - {{id: d{n}, capacity: 1G, handle: {n // 4 * 16 + n % 4 + 1}, label_size: 128K}}\n" for n in range(DIMMS)
    )
    ways = DIMMS // SETS
    sets = "".join(
        f"  - {{name: s{n}, dimms: [{', '.join(f'd{ways * n + way}' for way in range(ways))}], line: 4K}}\n"
        for n in range(SETS)
    )
    return f"name: bank\nram: 8G\ncpu: {{count: 2, physical_bits: 44}}\ndimms:\n{dimms}sets:\n{sets}"


def bank(version: Version) -> Path:
    """A host with the bank, in labelled namespaces."""
    if version.older:
        raise Skip("the older version has no ndctl")
    description = version.folder / "bank.yaml"
    if not description.exists():
        description.write_text(machine())
        root = version.host("bank", str(description))
        lines = ["ndctl disable-region all", "ndctl init-labels -V 1.2 all", "ndctl enable-region all"]
        for _ in range(NAMESPACES // SETS):
            lines += [f"ndctl create-namespace -r region{n} -s 336M -M mem" for n in range(SETS)]
        script = version.folder / "bank.txt"
        script.write_text("\n".join(lines))
        version.run("run", str(script), root=root)
    return version.host("bank", str(description))


def listing(version: Version) -> tuple[Act, Act]:
    """`ndctl list` of the whole bank."""
    root = bank(version)
    return lambda: version.run("ndctl", "list", root=root), click(version)


def pair(version: Version) -> tuple[Act, Act]:
    """A namespace made and destroyed again: two processes."""
    root = bank(version)

    def act() -> None:
        made = version.run("ndctl", "create-namespace", "-r", "region0", "-s", "48M", "-m", "raw", root=root)
        version.run("ndctl", "destroy-namespace", "-f", json.loads(made)["dev"], root=root)

    return act, lambda: version.run("list", root=root)


def further(version: Version) -> tuple[Act, Act]:
    """One more such pair in a process that goes on: `xlpy run` with more of them, less one with few."""
    root, few, many = bank(version), 2, 4 if version.quick else 22
    first, second = NAMESPACES // SETS, NAMESPACES // SETS + 1  # numbers that new ones get in turn

    def script(pairs: int) -> str:
        listed = json.loads(version.run("ndctl", "list", "-N", "-i", "-r", "region0", root=root))
        seed = next(one["dev"] for one in listed if not one["size"])
        names = [f"namespace0.{first}", f"namespace0.{second}"]
        names.sort(key=lambda name: name != seed)
        lines = (
            f"ndctl create-namespace -r region0 -s 48M -m raw\nndctl destroy-namespace -f {names[at % 2]}"
            for at in range(pairs)
        )
        file = version.folder / f"{pairs}-pairs.txt"
        file.write_text("\n".join(lines))
        return str(file)

    def act() -> Sample:
        taken = [sample(partial(version.run, "run", script(pairs), root=root)) for pairs in (few, many)]
        return Sample(*((b - a) / (many - few) for a, b in zip(*taken, strict=True)))

    return act, lambda: version.run("list", root=root)


def plugging(version: Version) -> tuple[Act, Act]:
    """A set's size costs nothing when it is plugged in: 6 TiB, held against 64 MiB."""
    if version.older:
        raise Skip("the older version has no plugging")
    root = version.host("plug")

    def act(size: str) -> Act:
        file = version.folder / f"plug-{size}.yaml"
        file.write_text(
            f"dimms: [{{id: new, capacity: {size}}}]\nsets: [{{name: new, dimms: [new]}}]\n"
            "namespaces: [{region: new, mode: fsdax, reserve: true}]\n"
        )

        def plug() -> None:
            version.run("host", "plug", str(file), root=root)
            AFTER.append(unplug)

        def unplug() -> None:
            drawer = version.folder / "drawer"
            version.run("host", "unplug", "new", "--to", str(drawer), root=root)
            shutil.rmtree(drawer)

        return plug

    return act("6T"), act("64M")


CASES = [
    Case(f"ndctl list, {DIMMS} DIMMs and {NAMESPACES} namespaces", "import click", 1.0, listing),
    Case("ndctl create-namespace and destroy-namespace", "list", 2, pair),
    Case("ndctl: one more such pair in a process that goes on", "list", 2, further),
    Case("host plug of a 6 TiB set", "host plug of a 64 MiB set", 1.1, plugging),
]
