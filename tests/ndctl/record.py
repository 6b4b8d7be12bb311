"""Make the recorded answers anew: `python tests/ndctl/record.py [--suite SUITE] [NAME]...` boots a real Linux once.

NAME chooses sequences by a part of their names; the others keep their answers. The kernel, ndctl and QEMU are Debian's,
of this machine's release (ndctl 76 and Linux 6.1 on Debian 12), or of another suite with --suite: then the file has
only what differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from ndctl import media, recorded
from ndctl.machine import DIMMS, REGIONS
from ndctl.real import Machine
from ndctl.recorded import BASE, FINISH, Result, answers, dump, file
from ndctl.sequences import STATES, Answer, Sequence, table

from xlpy.dom0.nvdimm.labels import empty_index


def fresh(machine: Machine, state: str) -> None:
    """Bring the machine into the state that a sequence begins with."""
    machine("@unbind")
    machine.clear()
    if state in ("1.1", "1.2"):
        for slot, one in enumerate(DIMMS):
            if one.label:
                blocks = [empty_index(one.label, block, int(state[2:])) for block in (0, 1)]
                machine.put(slot, one.size, b"".join(block.build() for block in blocks))
    machine("@bind")
    if state == "legacy":
        machine("@legacy")


def command(machine: Machine, line: str) -> Answer:
    """One line of a sequence."""
    word, *rest = line.split()
    if word == "poke":
        at, data = int(rest[1], 0), bytes.fromhex(rest[2])
        number = int(rest[0][-1])
        slot = number if rest[0].startswith("nmem") else REGIONS[number]
        machine.put(slot, at + (DIMMS[slot].size if rest[0].startswith("nmem") else 0), data)
        return Answer(0, b"", b"")
    if word == "mount":
        line = f"/usr/sbin/mke2fs -q -F -b 4096 -O ^has_journal {rest[0]} >/dev/null 2>&1; mount -t ext4 {rest[0]} /mnt"
    elif word == "umount":
        line = f"umount /mnt && dd if=/dev/zero of={rest[0]} bs=1M 2>/dev/null; sync"  # the file system is our affair
    return machine(line)


def left(machine: Machine) -> list[str]:
    """What label areas and media hold, in lines."""
    lines = []
    for slot, one in enumerate(DIMMS):
        lines += [f"nmem{slot}: {line}" for line in media.label_area(machine.read(slot, one.size, one.label))]
    for number, slot in enumerate(REGIONS):
        one = DIMMS[slot]

        def read(offset: int, length: int, slot: int = slot) -> bytes:
            return machine.read(slot, offset, length)

        extents = machine.extents(slot, one.size)
        lines += [f"region{number}: {line}" for line in media.media(read, extents)]
    return lines


def play(machine: Machine, sequence: Sequence) -> Result:
    """Run one sequence on the real machine."""
    fresh(machine, sequence.state)
    answers = [command(machine, line) for line in sequence.commands]
    finish = [machine(line) for line in FINISH]
    return recorded.result(sequence, answers, finish, left(machine))


def record(machine: Machine, chosen: list[Sequence], version: str) -> None:
    """Write the file, with new answers for the chosen sequences."""
    before, known = answers(version)
    base = answers(BASE) if version != BASE else None
    states = {state: play(machine, Sequence(f"state {state}", state, ())).left for state in STATES}
    results = {one.name: (one.state, known[one.name].over(before[one.state])) for one in table() if one.name in known}
    file(version).parent.mkdir(exist_ok=True)
    for number, sequence in enumerate(chosen, 1):
        print(f"{number} of {len(chosen)}: {sequence.name}", file=sys.stderr)
        results[sequence.name] = (sequence.state, play(machine, sequence))
        ordered = {one.name: results[one.name] for one in table() if one.name in results}
        file(version).write_text(dump(states, ordered, base))  # what has been asked stays when the rest does not come


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="", help="of Debian, such as sid")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    chosen = [one for one in table() if not options.names or any(name in one.name for name in options.names)]
    with tempfile.TemporaryDirectory() as folder, Machine(Path(folder), options.suite) as machine:
        version = machine("ndctl --version").out.decode().split(".")[0].strip()
        record(machine, chosen, version)
    print(f"{file(version)}: {len(chosen)} sequences")


if __name__ == "__main__":
    main()
