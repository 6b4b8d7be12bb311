"""A file that claims metadata of its file system reaches no guest, and is not prepared either."""

from __future__ import annotations

import subprocess

import pytest

from xlpy.dom0.ext4.tools import find_program
from xlpy.host import Host

GUEST = 'name = "vm"\ntype = "hvm"\nmemory = 256\nvnvdimm = [ "file=/mnt/pmem0/f" ]\n'


@pytest.fixture
def claim(host_root):
    """Make /mnt/pmem0/f of one page, which claims a block; returns the image and the block's place in it."""

    def make(block, flag=""):
        host = Host.open(host_root)
        image, offset = host.hw.backing(host.dom0.list_namespaces()[0]["resource"])
        host.store.close()
        commands = ["write /dev/null f", "sif f size 4096", "sif f blocks 8", "extent_open f"]
        commands += [f"insert_node {flag} 0 1 {block}", "extent_close"]
        subprocess.run(
            [find_program("debugfs"), "-w", "-f", "-", f"{image}?offset={offset}"],
            input="\n".join(commands) + "\n",
            text=True,
            check=True,
            capture_output=True,
        )
        return image, offset + block * 4096

    return make


def read(image, at):
    with image.open("rb") as file:
        file.seek(at)
        return file.read(4096)


@pytest.mark.parametrize(("block", "what"), [(0, "the superblock at the start"), (1, "the group descriptors at the")])
@pytest.mark.parametrize("flag", ["", "--uninit"])
def test_nothing_of_it_gets_into_a_guest(xlpy, claim, tmp_path, block, what, flag):
    place = claim(block, flag)
    before = read(*place)
    (tmp_path / "vm.cfg").write_text(GUEST)
    for words in (
        ("create", tmp_path / "vm.cfg"),
        ("create", "-n", tmp_path / "vm.cfg"),
        ("pmem", "resolve", "/mnt/pmem0/f"),
        ("pmem", "prepare", "/mnt/pmem0/f"),
    ):
        found = xlpy(*words, status=7)
        assert f"/mnt/pmem0/f: the extent at 0x0 lies on {what}" in found.err
        assert "e2fsck -f" in found.err
    assert xlpy("list", "--json").json["items"][1:] == []
    assert read(*place) == before
