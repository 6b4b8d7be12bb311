"""Runs a list of xl's commands in Dom0, and tells what each did: one JSON object on each line of /out/steps.told.

/out/steps.json holds the steps: ``words`` of the command; ``until``, a text that `xl list` must show before it (with a
minus sign before it: must not); ``tree``, whether to add what `xenstore-ls -fp` prints after it.
"""

import json
import os
import subprocess
import time
from pathlib import Path

SECONDS = 150  # a loaded machine emulates slowly


def run(words):
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return -1, "", f"no answer in {SECONDS} s"
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def wait(text):
    """Until `xl list` shows a text, or shows it no longer; the state of a domain, for example."""
    end = time.monotonic() + SECONDS
    while (text.removeprefix("-") in run(["xl", "list"])[1]) == text.startswith("-") and time.monotonic() < end:
        time.sleep(0.2)


os.chdir("/out/work")
with Path("/out/steps.told").open("w") as told:
    for step in json.loads(Path("/out/steps.json").read_text()):
        if step["until"]:
            wait(step["until"])
        status, out, err = run(step["words"])
        tree = run(["xenstore-ls", "-fp"])[1] if step["tree"] else ""
        told.write(json.dumps({"status": status, "out": out, "err": err, "tree": tree}) + "\n")
        told.flush()
