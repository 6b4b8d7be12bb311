"""Races: several processes change one host at once, and some are killed; in the end the host is whole."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from campaign.figures import CONFIGS, Done
from campaign.states import whole

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from campaign.figures import Figures

PROCESSES, ROUND = 4, 60  # commands in one round, after which the host is looked at


def _command(rng: random.Random) -> tuple[str, ...]:
    name = f"vm{rng.randrange(3)}"
    device = rng.choice(["/mnt/pmem0/vm1.img", "/dev/pmem1", "/mnt/pmem0/vm2.img"])
    return rng.choice(
        [
            ("create", "-q", "quickstart.cfg", f'name="{name}"', f'vnvdimm=["{device}"]'),
            ("create", "-q", "quickstart.cfg", f'name="{name}"', f'vnvdimm=["{device}"]'),
            ("destroy", name),
            ("destroy", name),
            ("reboot", name),
            ("rename", name, f"vm{rng.randrange(3)}"),
            ("nvdimm-attach", name, f"file={device}"),
            ("nvdimm-detach", "-f", name, "1"),
            ("pmem", "mkfile", "64K", f"/mnt/pmem0/race{rng.randrange(40)}.img"),
            ("pmem", "prepare", f"/mnt/pmem0/race{rng.randrange(40)}.img"),
            ("list", "--json"),
            ("pmem", "list", "--json"),
            ("guest", "probe", name),
            ("xenstore", "ls"),
            ("host", "reset", "--keep-media"),
        ]
    )


def run(rng: random.Random, folder: Path, figures: Figures) -> None:
    """Rounds of commands in parallel, a tenth of which are killed after a while."""
    root = folder / "host"
    figures.xlpy(root, "pmem", "mkfile", "1M", "/mnt/pmem0/vm2.img")
    env = {**os.environ, "XLPY_ROOT": str(root)}
    while figures.time_left:
        running: list[tuple[tuple[str, ...], subprocess.Popen[str], float | None]] = []
        for _ in range(ROUND):
            while len(running) >= PROCESSES:
                running = [one for one in running if not _ended(one, figures)]
                time.sleep(0.005)
            words = _command(rng)
            dies = time.monotonic() + rng.random() * 0.3 if rng.randrange(10) == 0 else None
            child = subprocess.Popen(
                [sys.executable, "-m", "xlpy", *words],
                cwd=CONFIGS, env=env, text=True, errors="replace",
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            )  # fmt: skip
            running.append((words, child, dies))
        while running:
            running = [one for one in running if not _ended(one, figures)]
            time.sleep(0.005)
        figures.count("rounds")
        _judge(root, figures)


def _ended(one: tuple[tuple[str, ...], subprocess.Popen[str], float | None], figures: Figures) -> bool:
    words, child, dies = one
    if dies is not None and time.monotonic() > dies and child.poll() is None:
        child.send_signal(signal.SIGKILL)
        child.wait()
    if child.poll() is None:
        return False
    err = child.stderr.read() if child.stderr else ""
    status = child.returncode if child.returncode >= 0 else 128 - child.returncode
    if status == 128 + signal.SIGKILL and dies is not None:
        figures.count("killed")
        figures.statuses[status] += 1
    else:
        figures.note(Done(words, status, "", err))
    return True


def _judge(root: Path, figures: Figures) -> None:
    found = figures.xlpy(root, "list")
    if found.status:
        figures.find(f"after a race list ended with {found.status}: {found.err}")
        return
    for wrong in whole(root):
        figures.find(f"after a race: {wrong}")
    with sqlite3.connect(root / "state.db") as db:
        rows = db.execute("SELECT room, key FROM records").fetchall()
    db.close()
    domains = {key for room, key in rows if room == "xen.domain"} - {"0"}
    for room in ("xen.ram", "libxl", "xen.chipset"):
        others = {key for where, key in rows if where == room and key.isdigit()}
        if not others <= domains:
            figures.find(f"after a race: {room} knows domains {sorted(others - domains)} that are not there")
    folders = {path.name for path in (root / "domains").glob("[0-9]*")}
    if folders != domains:
        figures.find(f"after a race: RAM of domains {sorted(folders)}, and there are {sorted(domains)}")
