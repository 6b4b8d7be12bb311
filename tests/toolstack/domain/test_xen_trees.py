"""All of xenstore, with permissions, against what a real Xen 4.17.7 has (``xenstore-ls -fp``; recorded in trees/).

Random and accidental values are replaced by a word on both sides: UUIDs, start times, process ids.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from xlpy.host import Host
from xlpy.toolstack.config.domain_config import load_config

TREES = Path(__file__).parent / "trees"
HVM = 'name = "h1"\ntype = "hvm"\nmemory = 128\nvcpus = 1\nvga = "none"\nvnc = 0\n'
PVH = 'name = "pvh"\ntype = "pvh"\nmemory = 192\nvcpus = 1\nkernel = "{kernel}"\nramdisk = "{kernel}"\n'
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
ACCIDENTAL = re.compile(r'((?:start_time|pid) = )"[^"]*"')


def tree(host):
    """xenstore as ``xenstore-ls -fp`` shows it."""
    lines = []
    for path, node in sorted(host.xenstore.tree("/").items(), key=lambda item: item[0].split("/")):
        if path != "/":
            value = UUID.sub("UUID", node.text)
            lines.append(f'{UUID.sub("UUID", path)} = "{value}" ({",".join(map(str, node.perms))})')
    words = {"start_time": "TIME", "pid": "PID"}
    text = "\n".join(lines)
    return ACCIDENTAL.sub(lambda found: found[1] + words[found[1].rpartition("/")[2].split(" ")[0]], text).splitlines()


def recorded(name):
    return (TREES / f"{name}.txt").read_text().splitlines()


@pytest.fixture
def kernel(tmp_path):
    path = tmp_path / "vmlinuz"
    path.write_bytes(b"kernel")
    return path


def test_a_host_without_domains(host):
    assert tree(host) == recorded("start")


def test_an_hvm_guest_from_first_to_last(host):
    host.create(load_config(HVM, "h1.cfg"), paused=True)
    assert tree(host) == recorded("hvm")
    host.destroy("h1")
    assert tree(host) == recorded("destroyed")


def test_vcpus(host):
    host.create(load_config(HVM.replace("128", "64"), "h1.cfg", ["vcpus=2", "maxvcpus=4"]), paused=True)
    assert tree(host) == recorded("hvm-4-vcpus")


def test_a_pvh_guest(host, kernel):
    config = PVH.format(kernel=kernel)
    host.create(load_config(config, "pvh.cfg"), paused=True)
    assert tree(host) == recorded("pvh")
    host.destroy("pvh")
    assert "/local/domain/0/device-model" not in "\n".join(tree(host))


def test_a_pv_guest(host, kernel):
    """What libxl 4.17 writes for one (``libxl__build_post``): the image of the guest, no hvmloader, no device model."""
    text = f'name = "p"\ntype = "pv"\nmemory = 64\nkernel = "{kernel}"\nextra = "quiet"\n'
    host.create(load_config(text, "p.cfg"), paused=True)
    rows = [row.replace(str(kernel), "KERNEL") for row in tree(host)]
    assert '/libxl/1/type = "pv" (n0)' in rows
    assert [row for row in rows if row.startswith("/vm/UUID/")] == [
        '/vm/UUID/image = "" (n0,r1)',
        '/vm/UUID/image/cmdline = "quiet" (n0,r1)',
        '/vm/UUID/image/kernel = "KERNEL" (n0,r1)',
        '/vm/UUID/image/ostype = "linux" (n0,r1)',
        '/vm/UUID/name = "p" (n0,r1)',
        "/vm/UUID/start_time = TIME (n0,r1)",
        '/vm/UUID/uuid = "UUID" (n0,r1)',
    ]
    assert not [row for row in rows if "hvmloader" in row or "platform/" in row or "device-model" in row]


def test_no_process_has_the_number_of_the_device_model(host):
    """A script that kills what it reads there must hit nobody."""
    host.create(load_config(HVM, "h1.cfg"), paused=True)
    assert int(host.xenstore.connection(0).read("/local/domain/1/image/device-model-pid")) > 1 << 22


def test_what_is_other_in_420(tmp_path):
    """The path of xenstored; QEMU's consoles; strings for SMBIOS, of which earlier versions know nothing."""
    host = Host.make(tmp_path / "host", None, xen="4.20")
    config = HVM + 'smbios = ["oem=a", "system_serial_number=42", "oem=b"]\n'
    host.create(load_config(config, "h1.cfg", xen="4.20"), paused=True)
    mine, theirs = tree(host), recorded("hvm")
    assert [row for row in theirs if row not in mine] == [
        '/local/domain/0/device-model/1/backends/console = "" (n0,n1)',
        '/tool/xenstored = "/usr/lib/xen-4.17/bin/oxenstored" (n0)',
    ]
    strings = "/local/domain/1/bios-strings"
    assert [row for row in mine if row not in theirs] == [
        f'{strings} = "" (n0,r1)',
        f'{strings}/oem-1 = "a" (n0,r1)',
        f'{strings}/oem-2 = "b" (n0,r1)',
        f'{strings}/system-serial-number = "42" (n0,r1)',
        '/tool/xenstored = "/usr/lib/xen-4.20/bin/oxenstored" (n0)',
    ]
