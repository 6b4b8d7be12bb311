"""A host with a domain, and an emulator that only pretends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from struct import pack_into

import pytest
from copying import copy_tree

from xlpy.cli.main import run

MACHINE = """
name: boot
ram: 8G
cpu: {count: 2, physical_bits: 40, features: [clflushopt, clwb]}
dimms:
  - {id: dimm0, capacity: 256M, label_size: 128K, handle: 0x01}
  - {id: dimm1, capacity: 256M, label_size: 128K, handle: 0x11}
  - {id: dimm2, capacity: 128M, label_size: 128K, handle: 0x21}
sets:
  - {name: set0, dimms: [dimm0, dimm1], line: 4K}
  - {name: set1, dimms: [dimm2]}
namespaces:
  - region: set0
    mode: fsdax
    map: dev
    reserve: true
    filesystem:
      type: ext4
      mount: /mnt/pmem0
      files:
        - {path: vm1.img, size: 64M, state: written}
        - {path: scattered.img, size: 64M, state: fragmented}
        - {path: few.img, size: 256K, state: fragmented}
        - {path: old.img, size: 1M, state: written}
  - region: set1
    mode: fsdax
    map: dev
    reserve: true
"""


FILE, SCATTERED, DEVICE = "file=/mnt/pmem0/vm1.img", "file=/mnt/pmem0/scattered.img", "file=/dev/pmem1"


class Runner:
    """xlpy on one host, in this process or in one of its own."""

    def __init__(self, root: Path, monkeypatch, capfd) -> None:
        self.root = root
        self._patch, self._capture = monkeypatch, capfd
        monkeypatch.setenv("XLPY_ROOT", str(root))

    def __call__(self, *words, status=0, guest=""):
        """Run a command, which must have the given status; (stdout, stderr)."""
        self._patch.setenv("FAKE_QEMU", guest)
        self._capture.readouterr()
        got = run([str(word) for word in words])
        out, err = self._capture.readouterr()
        assert got == status, err
        return out, err

    def start(self, *words, guest="", **options):
        """Start a command in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "xlpy", *map(str, words)],
            env=os.environ | {"FAKE_QEMU": guest},
            stdin=options.pop("stdin", subprocess.DEVNULL),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )


@pytest.fixture(scope="session")
def boot_machine(tmp_path_factory):
    """A host made from MACHINE, with a domain ``vm`` that has two vNVDIMMs in files; not to be changed."""
    from xlpy.dom0.ext4.tools import find_program
    from xlpy.errors import MissingTool
    from xlpy.host import Host
    from xlpy.toolstack.config.domain_config import load_config

    try:
        find_program("mke2fs")
        find_program("debugfs")
    except MissingTool as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("machine")
    (folder / "machine.yaml").write_text(MACHINE)
    host = Host.make(folder / "host", folder / "machine.yaml")
    text = f"name = 'vm'\ntype = 'hvm'\nmemory = 512\nvcpus = 2\nvnvdimm = ['{FILE}', '{SCATTERED}']\n"
    host.create(load_config(text.encode(), "vm.cfg"))
    host.store.close()
    return folder / "host"


@pytest.fixture
def boot_root(boot_machine, tmp_path):
    """The state directory of a fresh host of that kind."""
    root = tmp_path / "host"
    copy_tree(boot_machine, root)
    return root


@pytest.fixture
def bin_folder(tmp_path, monkeypatch):
    """A folder at the head of PATH, with the pretended emulator."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "qemu-system-x86_64"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).with_name("fake_qemu.py")} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    return folder


@pytest.fixture
def xlpy(boot_root, bin_folder, monkeypatch, capfd):
    """Run xlpy on that host, with the pretended emulator."""
    del bin_folder
    return Runner(boot_root, monkeypatch, capfd)


@pytest.fixture
def config(tmp_path):
    """Make a domain's configuration file."""

    def make(name, *lines, memory=512, vcpus=2, kind="hvm"):
        path = tmp_path / f"{name}.cfg"
        text = [f'name = "{name}"', f'type = "{kind}"', f"memory = {memory}", f"vcpus = {vcpus}", *lines]
        path.write_text("\n".join(text) + "\n")
        return path

    return make


@pytest.fixture
def kernel(tmp_path):
    """A file that looks like a bzImage."""
    head = bytearray(4096)
    head[0x202:0x206] = b"HdrS"
    pack_into("<H", head, 0x206, 0x20F)
    head[0x211] = 1
    pack_into("<QI", head, 0x258, 16 << 20, 64 << 20)
    path = tmp_path / "bzImage"
    path.write_bytes(head)
    return path
