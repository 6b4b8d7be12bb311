"""The host's NVDIMMs: ndctl's words on a large bank."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from case import AFTER, Case, Skip
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
    Case("host plug of a 6 TiB set", "host plug of a 64 MiB set", 1.1, plugging),
]
