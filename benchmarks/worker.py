"""What is measured inside one process of one version of xlpy: this file is run by that version's interpreter.

    PYTHON worker.py JOB ROOT [ARGUMENT...]      # prints one JSON object; times in seconds

It uses what both versions have: the public API.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from xlpy.host import Host

try:
    from xlpy.toolstack.config import load_config
except ImportError:
    from xlpy.toolstack.config.domain_config import load_config

QUICK = """
name = "quickstart"
type = "hvm"
memory = 512
vcpus = 2
vnvdimm = [ "file=/mnt/pmem0/vm1.img" ]
"""
SMALL = 'name = "d{0}"\ntype = "hvm"\nmemory = 16\nvcpus = 1\n'
BACKED = SMALL + 'vnvdimm = [ "file=/mnt/pmem0/{0}.img" ]\n'


def resident() -> int:
    """KiB of memory that this process has."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def config(text: str, number: object = 0) -> object:
    """A configuration that was just read."""
    return load_config(text.format(number), "bench.cfg")


def timed(act) -> tuple[float, float]:
    """CPU time and time by the clock of one call."""
    cpu, wall = time.process_time(), time.perf_counter()
    act()
    return time.process_time() - cpu, time.perf_counter() - wall


def cycles(root: str, count: str, marks: str = "") -> dict[str, object]:
    """Create and destroy a domain, over and over; what each took, and the resident memory at each of the marks."""
    host = Host.make(root, None)
    wanted, memory, times = set(map(int, filter(None, marks.split(",")))), {}, []

    def cycle() -> None:
        host.create(config(QUICK))
        host.destroy("quickstart")

    for done in range(1, int(count) + 1):
        times.append(timed(cycle))
        if done in wanted:
            memory[done] = resident()
    return {"times": times, "resident": memory}


def fill(root: str, count: str, first: str = "0", text: str = SMALL) -> dict[str, object]:
    """So many domains on a host that is there; what each create took."""
    host = Host.open(root)
    return {"times": [timed(lambda at=at: host.create(config(text, at))) for at in _range(first, count)]}


def backed(root: str, count: str) -> dict[str, object]:
    """Domains on a host whose file system has their files; what each create took."""
    return fill(root, count, text=BACKED)


def alone(root: str, count: str) -> dict[str, object]:
    """Create the only domain and destroy it, so many times; what each destroy took."""
    host, times = Host.open(root), []
    for _ in range(int(count)):
        host.create(config(SMALL))
        times.append(timed(lambda: host.destroy("d0")))
    return {"times": times}


def end(root: str, first: str, count: str) -> dict[str, object]:
    """Destroy so many domains, one after the other."""
    host = Host.open(root)
    return {"times": [timed(lambda at=at: host.destroy(f"d{at}")) for at in _range(first, count)]}


def _range(first: str, count: str) -> range:
    return range(int(first), int(first) + int(count))


def check(folder: str) -> dict[str, object]:
    """Check every configuration of a folder."""
    try:
        from xlpy.toolstack.config.lint import check_files
    except ImportError:
        from xlpy.toolstack.lint import check_files
    files = sorted(Path(folder).glob("*.cfg"))
    return {"times": [timed(lambda: list(check_files(files)))]}


if __name__ == "__main__":
    jobs = {act.__name__: act for act in (cycles, fill, backed, alone, end, check)}
    print(json.dumps(jobs[sys.argv[1]](*sys.argv[2:])))
