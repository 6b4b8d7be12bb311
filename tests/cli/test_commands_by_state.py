"""Every command that takes a domain, in every state of the domain: its exit status, and one line of error."""

from __future__ import annotations

import subprocess
import sys

import pytest
from copying import copy_tree

from xlpy.cli.main import run
from xlpy.host import Host

CONFIG = """\
name = "vm"
type = "hvm"
memory = 128
vcpus = 1
maxvcpus = 2
on_crash = "preserve"
on_poweroff = "preserve"
vnvdimm = [ "file=/mnt/pmem0/vm1.img" ]
"""
# state -> what leads to it after `create`; None: it is never created
STATES = {
    "never": None,
    "running": [],
    "gone": [["destroy", "vm"]],
    "paused": [["pause", "vm"]],
    "off": [["shutdown", "vm"]],
    "crashed": [["sysrq", "vm", "c"]],
}
ANY = (4, 0, 4, 0, 0, 0)  # whatever the domain does, it is there
ALIVE = (4, 0, 4, 5, 5, 5)  # somebody must answer
STARTED = (4, 0, 4, 0, 5, 5)  # it must not have ended
ROWS = [
    # command, its status in each of the states
    ("domid vm", ANY),
    ("domname 1", ANY),
    ("list vm", ANY),
    ("uptime vm", ANY),
    ("vcpu-list vm", ANY),
    ("pause vm", ANY),
    ("unpause vm", ANY),
    ("destroy vm", ANY),
    ("rename vm other", ANY),
    ("config-update vm vm.cfg", ANY),
    ("dump-core vm core", ANY),
    ("mem-set vm 64", ANY),
    ("mem-max vm 256", ANY),
    ("vcpu-set vm 2", ANY),
    ("vcpu-pin vm 0 1", ANY),
    ("sched-credit2 -d vm", ANY),
    ("console -n 0 vm", ANY),
    ("nvdimm-list vm", ANY),
    ("block-list vm", ANY),
    ("network-list vm", ANY),
    ("map vm", ANY),
    ("mem read vm 0x1000 4", ANY),
    ("mem write vm 0x1000 --hex 00", ANY),
    ("mem flush vm 0x500000000 64", ANY),
    ("acpi dump vm", ANY),
    ("acpi namespace vm", ANY),
    (r"acpi eval vm \_SB.NVDR.NV00._LSI", ANY),
    ("guest probe vm", ANY),
    ("whereis gpa vm 0x1000", ANY),
    ("shutdown vm", ALIVE),
    ("reboot vm", ALIVE),
    ("sysrq vm h", ALIVE),
    ("save vm saved", ALIVE),
    ("migrate vm TARGET", ALIVE),
    ("trigger vm power", STARTED),
    ("trigger vm nmi", STARTED),
    ("nvdimm-attach vm file=/dev/pmem1", STARTED),
    ("block-attach vm disk.img,raw,xvdb,r", STARTED),
    ("nvdimm-detach vm 0", (4, 5, 4, 5, 5, 5)),  # the model guest never lets go by itself
    ("block-detach vm xvdb", (4, 4, 4, 4, 4, 4)),  # there is no such disk
]


@pytest.fixture(scope="module")
def roots(made_host, tmp_path_factory):
    """A host for each state, not to be changed."""
    home = tmp_path_factory.mktemp("states")
    (home / "vm.cfg").write_text(CONFIG)
    found = {}
    for state, steps in STATES.items():
        found[state] = home / state
        copy_tree(made_host, found[state])
        for words in [] if steps is None else [["create", "-q", home / "vm.cfg"], *steps]:
            assert run(["--root", str(found[state]), *map(str, words)]) == 0
    return found


@pytest.mark.parametrize(("line", "statuses"), ROWS, ids=[line for line, _ in ROWS])
def test_status(line, statuses, roots, made_host, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vm.cfg").write_text(CONFIG)
    (tmp_path / "disk.img").write_bytes(bytes(1 << 20))
    if "TARGET" in line:
        copy_tree(made_host, tmp_path / "target")
    words = line.replace("TARGET", str(tmp_path / "target")).split()
    found = {}
    for state in STATES:
        copy_tree(roots[state], tmp_path / state)
        capfd.readouterr()
        found[state] = run(["--root", str(tmp_path / state), *words])
        errors = capfd.readouterr().err
        assert errors.count("error: ") == (found[state] != 0), errors
        assert "Traceback" not in errors
        if "TARGET" in line and not found[state]:
            assert run(["--root", str(tmp_path / "target"), "destroy", "vm"]) == 0
    assert found == dict(zip(STATES, statuses, strict=True))


def test_two_commands_at_once_on_one_domain(roots, tmp_path):
    """They wait for each other: each has its effect, whatever the order."""
    root = tmp_path / "host"
    copy_tree(roots["running"], root)
    lines = ["mem-max vm 256", "vcpu-set vm 2", "rename vm vm", "vcpu-pin vm 0 1", "mem write vm 0x1000 --hex 41"]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "xlpy", "--root", root, *line.split()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for line in lines
    ]
    ended = [(child.communicate()[1], child.returncode) for child in started]
    assert [status for _, status in ended] == [0] * len(lines), ended
    host = Host.open(root)
    domain = host.domain("vm")
    assert domain.memory.read(0x1000, 1) == b"A"
    assert domain.domain.max_pages >= 256 << 8
    host.store.close()
