"""Fuzzing: inputs from users and guests, mutated; every one is read or refused in order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from campaign.damage import inside
from campaign.figures import CONFIGS

if TYPE_CHECKING:
    import random

    from campaign.figures import Figures

WORDS = [
    *b"vnvdimm memory maxmem name type hvm pv vcpus disk vif".split(),
    *b"dimms sets namespaces region mode fsdax sector size".split(),
    *b"""= [ ] " ' , 0 -1 4096 18446744073709551616 0x \\ # { } : 1T 2M""".split(),
    *(b"\n", b"- ", b"\t", b"\xc3\xa9", b"\x1b[31m"),
]


def mutate(rng: random.Random, text: bytes) -> bytes:
    """A text that is a little different."""
    data = bytearray(text)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(6):
            case 0:
                data[at:at] = rng.choice(WORDS)
            case 1:
                del data[at : at + rng.choice([1, 1, 4, 40])]
            case 2 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 3:
                start = rng.randrange(len(data) + 1)
                data[at:at] = data[start : start + rng.choice([1, 8, 80])]
            case 4:
                data[at : at + 1] = rng.choice(WORDS)
            case _:
                data[at:at] = rng.randbytes(rng.choice([1, 4]))
    return bytes(data)


def run(rng: random.Random, folder: Path, figures: Figures) -> None:
    """Configurations, machine descriptions, ACPI tables, specifications on the command line, label areas."""
    root, source = folder / "host", folder / "input"
    figures.xlpy(root, "create", "-q", "quickstart.cfg")
    figures.xlpy(root, "acpi", "eval", "quickstart", r"\_SB.NVDR.NV00._LSW", "0", "4", "str:kept")
    tables = folder / "tables"
    figures.xlpy(root, "acpi", "dump", "quickstart", "--format", "bin", "-o", str(tables))
    configs = [path.read_bytes() for path in sorted(Path(CONFIGS).glob("*.cfg"))]
    machines = [path.read_bytes() for path in sorted(Path(CONFIGS, "machines").glob("*.yaml"))]
    dumped = [path.read_bytes() for path in sorted(tables.glob("*"))] if tables.is_dir() else []
    labels = sorted((root / "labels").glob("*"))
    kinds = ["configuration", "machine", "specification", "labels", *(["table"] if dumped else [])]
    while figures.time_left:
        kind = rng.choice(kinds)
        figures.count(kind)
        if kind == "configuration":
            source.write_bytes(mutate(rng, rng.choice(configs)))
            inside(figures, root, "create", "-n", *rng.choice([(), ("--xl-strict",)]), str(source))
        elif kind == "machine":
            source.write_bytes(mutate(rng, rng.choice(machines)))
            inside(figures, root, "--root", str(folder / "other"), "host", "init", "-n", "--machine", str(source))
        elif kind == "table":
            source.write_bytes(mutate(rng, rng.choice(dumped)))
            inside(figures, root, "acpi", "check", str(source))
        elif kind == "specification":
            text = mutate(rng, b"file=/dev/pmem1,label_size=128K").replace(b"\0", b"").decode(errors="surrogateescape")
            inside(figures, root, "nvdimm-attach", "-n", "quickstart", text)
        elif labels:
            path = rng.choice(labels)
            data = bytearray(path.read_bytes())
            at = rng.randrange(4096)
            data[at : at + 4] = rng.randbytes(4)
            path.write_bytes(data)
            inside(figures, root, "guest", "probe", "quickstart")
