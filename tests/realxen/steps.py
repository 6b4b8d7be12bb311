"""The commands that a real xl and xlpy both get, with the configurations they name.

A step is written in one line: words as in a shell; behind ``#`` what the machinery does about it:

- ``tree``: compare the store after it
- ``until=TEXT``, ``until=-TEXT``: wait first until the listing of domains shows TEXT, or does not
- ``model: COMMAND``: what xlpy is told instead, because a model guest does not run the kernel it was given
- ``model: -``: xlpy is not asked; `differences.py` says why
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

CONFIGS = {
    "h.cfg": """
name = "h"
type = "hvm"
memory = 64
vga = "none"
vnc = 0
""",
    "g.cfg": """
name = "g"
type = "pvh"
memory = 64
kernel = "idle"
""",
    "card.cfg": """
name = "card"
type = "hvm"
memory = 64
vnc = 0
""",
}

HVM = """
xl list                                             # tree
xl vm-list
xl create -p h.cfg                                  # tree
xl list
xl list -v
xl list -c
xl list -n
xl list h
xl list -l h
xl vcpu-list
xl vcpu-list h
xl uptime h
xl uptime
xl vm-list
xl domid h
xl domname 1
xl cpupool-list
xl info
xl pause h
xl list h
xl unpause h
xl list h
xl unpause h                                        # tree
xl list h
xl unpause h
xl rename h h2                                      # tree
xl rename h2 h
xl rename h h
xl rename h Domain-0
xl rename nosuch x
xl mem-set h 32                                     # tree
xl mem-set h 4096
xl mem-set h abc
xl mem-max h 16
xl mem-max h 128                                    # tree
xl mem-max h abc
xl mem-max nosuch 64
xl mem-set h 100                                    # tree
xl list -l h
xl mem-set h ''
xl vcpu-set h 5
xl vcpu-set h 1
xl vcpu-set h 0
xl vcpu-set h abc
xl vcpu-pin h 0 0
xl vcpu-pin h 9 0
xl vcpu-pin h 0 99
xl vcpu-list h
xl config-update h h.cfg memory=96
xl config-update nosuch h.cfg
xl config-update h nosuch.cfg
xl block-list h
xl network-list h
xl block-detach h xvda
xl sysrq h
xl debug-keys q
xl pause h
xl trigger h nmi
xl trigger h nmi 7
xl trigger h bogus
xl destroy h                                        # tree
xl destroy h
xl list
"""

PVH = """
xl create -p g.cfg                                  # tree
xl list
xl list -l g
xl unpause g                                        # tree
xl list g
xl vcpu-list g
xl mem-set g 32                                     # tree
xl mem-max g 16
xl mem-set g 65
xl mem-set g 64
xl sysrq g h                                        # tree
xl sysrq g hh
xl trigger g power                                  # model: -
xl vcpu-set --ignore-host g 2
xl block-list g
xl network-list g
xl pause g
xl list g
xl destroy g                                        # tree
xl create g.cfg 'kernel="crash"' 'on_crash="preserve"'
xl list g                                           # until=c- ; model: xl sysrq g c
xl list g
xl vcpu-list g
xl pause g
xl list g
xl unpause g                                        # tree
xl destroy g
xl create g.cfg 'kernel="off"' 'on_poweroff="preserve"'
xl list g                                           # until=s-- ; model: xl shutdown g
xl list g
xl list -v g
xl vcpu-list g
xl list -l g                                        # tree
xl destroy g
xl create g.cfg 'kernel="again"' 'on_reboot="preserve"'
xl list g                                           # until=sr- ; model: xl reboot g
xl list -v g
xl destroy g
xl list                                             # tree
"""

MADE = """
xl create -p h.cfg maxmem=32                        # tree
xl list -l h
xl destroy h
xl create -p h.cfg vcpus=2 maxvcpus=4               # tree
xl vcpu-list h
xl vcpu-set --ignore-host h 3                       # tree
xl vcpu-set --ignore-host h 5
xl vcpu-set --ignore-host h 1                       # tree
xl vcpu-list h
xl destroy h
xl create -p card.cfg                               # tree
xl list
xl list -l card
xl destroy card
xl create -p card.cfg 'vga="stdvga"'
xl list card
xl destroy card
xl create -p h.cfg 'name=""'                        # tree
xl list
xl rename 10 h
xl destroy h
"""

NOBODY = """
xl list nosuch
xl list 99
xl list h nosuch
xl destroy nosuch
xl destroy 99
xl pause nosuch
xl pause 99
xl unpause 99
xl shutdown nosuch
xl reboot 99
xl sysrq nosuch b
xl trigger nosuch nmi
xl uptime nosuch
xl uptime 99
xl vcpu-list nosuch
xl vcpu-list 99
xl vcpu-set nosuch 1
xl vcpu-pin nosuch 0 0
xl block-list nosuch
xl network-list nosuch
xl console nosuch
xl console 99
xl domid nosuch
xl domid ''
xl domid 0
xl domname 99
xl domname abc
xl rename g
xl pause
xl destroy 0
xl dump-core nosuch core
xl save nosuch saved
xl shutdown -a
xl shutdown -a -w
xl shutdown
xl info bogus
"""

REFUSED = """
xl create -p h.cfg 'kernel="/nosuch"'
xl create -p h.cfg 'bios_path_override="/nosuch"'
xl create -p h.cfg 'firmware_override="/nosuch"'
xl create -p h.cfg 'type="pvx"'
xl create -p h.cfg memory=0
xl create -p h.cfg 'memory="x"'
xl create -p h.cfg vcpus=200
xl create -p h.cfg memory=99999
xl create -p h.cfg 'name="a/b"'
xl create -p h.cfg 'ramdisk="/nosuch"'
xl create -p h.cfg 'disk=["/nosuch,raw,xvda,rw"]'
xl create -p h.cfg 'uuid="xyz"'
xl create -p h.cfg vcpus=1 'cpus="99"'
xl create nosuch.cfg
xl create
xl create -f h.cfg g.cfg
xl bogus
xl list
xl create -p h.cfg
xl create -p h.cfg
xl list
"""


@dataclass(frozen=True)
class Step:
    """One command: for the real xl, for xlpy (None: not asked), and what goes with it."""

    words: tuple[str, ...]
    model: tuple[str, ...] | None
    until: str = ""
    tree: bool = False

    @property
    def text(self) -> str:
        """The command as a person would type it."""
        return shlex.join(self.words)


def parse(line: str) -> Step:
    """A step from its line."""
    command, _, rest = line.partition(" # ")
    words = tuple(shlex.split(command))
    marks = [mark.strip() for mark in rest.split(";") if mark.strip()]
    step = {"words": words, "model": words}
    for mark in marks:
        if mark == "tree":
            step["tree"] = True
        elif mark.startswith("until="):
            step["until"] = mark.removeprefix("until=")
        elif mark == "model: -":
            step["model"] = None
        elif mark.startswith("model: "):
            step["model"] = tuple(shlex.split(mark.removeprefix("model: ")))
        else:
            raise ValueError(f"{line}: what is {mark}?")
    return Step(**step)


def steps(*groups: str) -> list[Step]:
    """The steps of some groups of commands, in order."""
    return [parse(line) for group in groups for line in group.strip().splitlines()]


QUICK = steps(HVM, PVH, MADE, NOBODY, REFUSED)
