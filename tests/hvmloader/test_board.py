"""The PCI devices that a configuration asks for, as hvmloader logs them under a real Xen 4.17.7 with QEMU 7.2."""

from __future__ import annotations

import pytest

from xlpy.addr import MIB
from xlpy.errors import ConfigError
from xlpy.hypervisor.chipset import Chipset
from xlpy.toolstack.config.domain_config import load_config

BASE = 'name = "h"\ntype = "hvm"\nmemory = 64\nvnc = 0\n'
PLATFORM = ["02:0 bar 10 size 000000100: 00000c001", "01:1 bar 20 size 000000010: 00000c101"]
CIRRUS = [
    "03:0 bar 10 size 002000000: 0f0000008",
    "02:0 bar 14 size 001000000: 0f2000008",
    "03:0 bar 30 size 000010000: 0f3000000",
    "03:0 bar 14 size 000001000: 0f3010000",
]
ROUTES = ["01:3 INTA->IRQ10", "02:0 INTA->IRQ11"]
# Settings, what `xl list` shows as Mem, and the log's "pci dev" lines.
RECORDED = {
    "": (64, ROUTES + CIRRUS + PLATFORM),
    'vga="none"': (63, [*ROUTES, "02:0 bar 14 size 001000000: 0f0000008", *PLATFORM]),
    'vga="stdvga"': (
        64,
        [
            *ROUTES,
            "02:0 bar 14 size 001000000: 0f0000008",
            "03:0 bar 10 size 001000000: 0f1000008",
            "03:0 bar 30 size 000010000: 0f2000000",
            "03:0 bar 18 size 000001000: 0f2010000",
            *PLATFORM,
        ],
    ),
    "videoram=16": (64, ROUTES + CIRRUS + PLATFORM),
    'vga="stdvga";videoram=32': (
        64,
        [*ROUTES, *CIRRUS[:3], "03:0 bar 18 size 000001000: 0f3010000", *PLATFORM],
    ),
    "xen_platform_pci=0": (
        64,
        [
            "01:3 INTA->IRQ10",
            "02:0 bar 10 size 002000000: 0f0000008",
            "02:0 bar 30 size 000010000: 0f2000000",
            "02:0 bar 14 size 000001000: 0f2010000",
            "01:1 bar 20 size 000000010: 00000c001",
        ],
    ),
    "usb=1": (
        64,
        [
            "01:2 INTD->IRQ5",
            *ROUTES,
            *CIRRUS,
            "02:0 bar 10 size 000000100: 00000c001",
            "01:2 bar 20 size 000000020: 00000c101",
            "01:1 bar 20 size 000000010: 00000c121",
        ],
    ),
    "nographic=1": (64, ROUTES + CIRRUS + PLATFORM),
}


def create(host, *extra):
    """A paused domain with settings beside the base."""
    config = load_config(BASE, "h.cfg", [one for text in extra for one in text.split(";") if one])
    return host.xen.domain(host.create(config, paused=True))


@pytest.mark.parametrize("settings", RECORDED)
def test_as_recorded(host, settings):
    memory, expected = RECORDED[settings]
    domain = create(host, settings)
    lines = [line.partition("pci dev ")[2] for line in host.xen.console.lines() if "pci dev " in line]
    assert lines == expected
    assert domain.pages * 4096 // MIB == memory


@pytest.mark.parametrize(
    ("settings", "models"),
    [
        ('vif=[""]', {0x20: "rtl8139"}),
        ('vif=["type=vif"]', {}),
        ('vif=["model=e1000", ""]', {0x20: "e1000", 0x28: "rtl8139"}),
        ('hdtype="ahci"', {0x20: "ahci"}),
        ('soundhw="hda"', {0x20: "intel-hda"}),
        ("usbversion=3", {0x20: "nec-usb-xhci"}),
        (
            "usbversion=2",
            {0xE8: "ich9-usb-uhci1", 0xE9: "ich9-usb-uhci2", 0xEA: "ich9-usb-uhci3", 0xEF: "ich9-usb-ehci1"},
        ),
        ('soundhw="sb16"', {}),
    ],
)
def test_what_comes_behind_the_screen(host, settings, models):
    """A device takes the first free slot, in the order of QEMU's command line."""
    board = Chipset(create(host, settings, "memory=256")).board
    known = ("", "xen-platform", "cirrus-vga")
    assert {devfn: model for devfn, (model, *_) in board.items() if model not in known} == models


def test_a_scsi_disk_brings_its_controller_before_the_screen(host, tmp_path):
    (tmp_path / "d").write_bytes(bytes(512))
    board = Chipset(create(host, f'disk=["{tmp_path}/d,raw,sda,rw"]')).board
    assert [model for model, *_ in board.values() if model] == ["xen-platform", "lsi53c895a", "cirrus-vga"]


def test_video_ram_follows_its_bar(host):
    domain = create(host)
    rows = {row.what: row for row in host.domain("h").map()}
    video = rows["video RAM of cirrus-vga 03:0"]
    assert (video.start, video.end, video.kind) == (0xF0000000, 0xF0800000, "ram")
    assert (rows["cirrus-vga 03:0 BAR0"].start, rows["cirrus-vga 03:0 BAR0"].end) == (0xF0800000, 0xF2000000)
    assert rows["option ROM of cirrus-vga 03:0"].start == 64 * MIB  # behind where the video RAM was first
    board = Chipset(domain)
    domain.memory.write(video.start, b"pixels")
    board.io_out(0xCF8, 4, 0x80001810)
    board.io_out(0xCFC, 4, 0xE0000000)
    board.save()
    assert domain.memory.read(0xE0000000, 6) == b"pixels"
    assert Chipset(domain).bars[0].start == 0xE0000000


@pytest.mark.parametrize(
    "settings",
    [
        "videoram=4",
        'vga="stdvga";videoram=8',
        'vga="qxl";videoram=64',
        "videoram=32",
        'soundhw="tuba"',
        "usbversion=4",
        'vif=["model=x"]',
    ],
)
def test_what_qemu_does_not_have(host, settings):
    with pytest.raises(ConfigError) as refused:
        create(host, settings, "memory=256")
    assert refused.value.exit == 3
    assert not host.xen.domains()
