"""A domain whose vNVDIMM is a file of an XFS, from the machine description to the last judge."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from dom0.test_xfs import copied, repair
from programs import need

from xlpy.host import Host

CONFIGS = Path(__file__).parents[2] / "configs"
MACHINE = CONFIGS / "machines" / "xfs.yaml"


@pytest.fixture
def host_root(tmp_path):
    need("mkfs.xfs", "xfs_repair", "xfs_db")
    return tmp_path / "host"


def test_a_domain_on_xfs(xlpy, host_root, tmp_path):
    xlpy("host", "init", "--machine", MACHINE)
    (extent,) = xlpy("pmem", "resolve", "/mnt/pmem0/vm1.img", "--json").json["extents"]
    assert extent["spa"] % (2 << 20) == 0
    xlpy("create", "-q", CONFIGS / "quickstart.cfg")
    data = tmp_path / "data"
    data.write_bytes(os.urandom(8192))
    xlpy("mem", "write", "quickstart", "0x500001000", "--file", data)
    xlpy("mem", "write", "quickstart", "0x503fff000", "--hex", "a5" * 4096)
    hops = xlpy("whereis", "file", "/mnt/pmem0/vm1.img", "0x1234").out
    assert "/mnt/pmem0/vm1.img+0x1234" in hops
    assert hex(extent["spa"] + 0x1234)[2:] in xlpy("whereis", "gpa", "quickstart", "0x500001234").out
    assert "XLPY-XFS-READ-ONLY" in xlpy("pmem", "mkfile", "1M", "/mnt/pmem0/x.img", "--json", status=6).out
    assert "is an XFS" in xlpy("host", "event", "defrag", "/mnt/pmem0/guests/vm2.img", status=6).err
    assert xlpy("pmem", "account", "/mnt/pmem0/vm1.img", "--json").json["items"][0]["rows"][-1]["size"] == 64 << 20
    xlpy("destroy", "quickstart")
    out = tmp_path / "out"
    xlpy("pmem", "read", "/mnt/pmem0/vm1.img", "4K", "8K", "-o", out)
    assert out.read_bytes() == data.read_bytes()
    with Host.open(host_root) as host:
        assert repair(copied(host.hw, host.dom0, tmp_path / "image")) == ""
