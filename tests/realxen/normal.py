"""Takes out of two answers what cannot be the same in two runs: clocks, process ids, random numbers, and no more.

Each rule carries its reason, so that nothing is left out silently.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
NOBODY = "00000000-0000-0000-0000-000000000000"


class Rule(NamedTuple):
    """In the output of commands that begin so, what the pattern finds becomes the text."""

    command: str
    pattern: str
    text: str
    reason: str


RULES = (
    Rule("", UUID.pattern, "UUID", "drawn at random unless the configuration names one"),
    Rule("xl list", r"(?m) ([r-][b-][p-][s-][a-z-][d-]) +\d+\.\d", r" \1 TIME", "processor time"),
    Rule("xl list", r" [r-][b-](?=[p-][s-][a-z-][d-] TIME)", " ..", "whether it runs or waits at this moment"),
    Rule(
        "xl vcpu-list",
        r"(?m)\d+   [r-][b-]-  +\d+\.\d",
        "CPU RUN TIME",
        "where a vCPU runs at this moment, and its time",
    ),
    Rule("xl vcpu-list", r"([r-][b-][p-]) +\d+\.\d", r"\1 TIME", "processor time"),
    Rule("xl uptime", r"(\d+ days?, +)?\d+:\d\d:\d\d", "TIME", "clock"),
    Rule("xl info", r"(?m)^host +: .*", "host", "name of the machine"),
    Rule("xl info", r"(?m)^(release|version) +: .*", r"\1", "Dom0's kernel; xlpy has none and says so"),
    Rule("xl info", r"(?m)^(cpu_mhz|hw_caps) +: .*", r"\1", "the processor: QEMU's is not the model's"),
    Rule("xl info", r"(?m)^(total_memory|free_memory) +: .*", r"\1", "what firmware and Xen keep of the memory"),
    Rule("xl info", r"(?m)^xen_(extra|version|commandline) +: .*", r"xen_\1", "build of Xen, and its command line"),
)


class Node(NamedTuple):
    """One node of the store: its value, and its permissions as xenstore-ls prints them."""

    value: str
    perms: str


VALUES = {
    r"/(port|ring-ref|event-channel)$": "event channels and frames as they were free",
    r"/image/device-model-pid$": "process id",
    r"/start_time$": "clock",
    r"/vkbd/(\d+/)?\d+/state$": "the device model announces its keyboard some time after the toolstack went on",
    r"/console/tty$": "the next free pseudo terminal",
    r"/local/domain/\d+/vm$|/uuid$": "drawn at random; which domain has which is in the path",
    r"/tool/xenstored$": "where the program lies",
}
LINE = re.compile(r'^(/.*?) = "(.*)"   \((.*)\)$', re.MULTILINE | re.DOTALL)


def output(command: str, text: str) -> list[str]:
    """Lines of an output, without what every run has anew; of a JSON text what it says, not how it is laid out."""
    if command.startswith("xl list -l"):
        text = json.dumps(json.loads(text), indent=1, sort_keys=True)
    for rule in RULES:
        if command.startswith(rule.command):
            text = re.sub(rule.pattern, rule.text, text)
    return text.splitlines()


def store(text: str) -> dict[str, Node]:
    """Nodes by path; ``/vm/UUID`` becomes ``/vm/of-N`` for domain N, or ``/vm/kept-N`` for those no domain names."""
    nodes = {}
    for line in text.splitlines():
        found = LINE.match(line)
        if found:
            path, value, perms = found.groups()
            nodes[path] = Node(value, perms)
    names = {
        node.value.removeprefix("/vm/"): f"of-{path.split('/')[3]}"
        for path, node in nodes.items()
        if re.fullmatch(r"/local/domain/\d+/vm", path)
    }
    result = {}
    for path, (value, perms) in nodes.items():
        parts = path.split("/", 3)
        if parts[1] == "vm" and len(parts) > 2:
            parts[2] = names.setdefault(parts[2], f"kept-{len(names)}")
        place = "/".join(parts)
        if any(re.search(pattern, place) for pattern in VALUES):
            value = "*"
        result[place] = Node(value, perms)
    return result
