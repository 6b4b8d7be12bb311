"""docs/commands.md says of every command of xl what there is of it here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from xlpy.cli.tree import TREE

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
ROWS = {row[0]: row[1:] for row in re.findall(r"^\| `(\S+)` \| ([^|]+) \| ?([^|]*)\|$", PAGE.read_text(), re.M)}
# Names in xl_cmdtable.c, 4.17 and then 4.20.
XL = [
    "create",
    "config-update",
    "list",
    "destroy",
    "shutdown",
    "reboot",
    "pci-attach",
    "pci-detach",
    "pci-list",
    "pci-assignable-add",
    "pci-assignable-remove",
    "pci-assignable-list",
    "pause",
    "unpause",
    "console",
    "vncviewer",
    "save",
    "migrate",
    "restore",
    "migrate-receive",
    "dump-core",
    "cd-insert",
    "cd-eject",
    "mem-max",
    "mem-set",
    "button-press",
    "vcpu-list",
    "vcpu-pin",
    "vcpu-set",
    "vm-list",
    "info",
    "sharing",
    "sched-credit",
    "sched-credit2",
    "sched-rtds",
    "domid",
    "domname",
    "rename",
    "trigger",
    "sysrq",
    "debug-keys",
    "set-parameters",
    "dmesg",
    "top",
    "network-attach",
    "network-list",
    "network-detach",
    "channel-list",
    "block-attach",
    "block-list",
    "block-detach",
    "vtpm-attach",
    "vtpm-list",
    "vtpm-detach",
    "vkb-attach",
    "vkb-list",
    "vkb-detach",
    "vdispl-attach",
    "vdispl-list",
    "vdispl-detach",
    "vsnd-attach",
    "vsnd-list",
    "vsnd-detach",
    "uptime",
    "claims",
    "cpupool-create",
    "cpupool-list",
    "cpupool-destroy",
    "cpupool-rename",
    "cpupool-cpu-add",
    "cpupool-cpu-remove",
    "cpupool-migrate",
    "cpupool-numa-split",
    "getenforce",
    "setenforce",
    "loadpolicy",
    "remus",
    "devd",
    "psr-hwinfo",
    "psr-cmt-attach",
    "psr-cmt-detach",
    "psr-cmt-show",
    "psr-cat-set",
    "psr-cat-show",
    "psr-mba-set",
    "psr-mba-show",
    "usbctrl-attach",
    "usbctrl-detach",
    "usbdev-attach",
    "usbdev-detach",
    "usb-list",
    "qemu-monitor-command",
    "suspend",
    "resume",
    "dt-overlay",
]


def test_every_command_has_its_row():
    assert sorted(ROWS) == sorted(XL)


@pytest.mark.parametrize("command", XL)
def test_what_the_row_says_is_so(command):
    verdict, note = ROWS[command]
    assert verdict in ("same", "differs", "not applicable")
    assert (command in TREE[""]) == (verdict != "not applicable")
    assert note or verdict == "same", "say what is different, or why there is none"
