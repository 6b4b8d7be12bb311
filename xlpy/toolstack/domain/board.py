"""Which emulated devices an HVM guest gets: what libxl puts on QEMU's command line, in its order (``libxl_dm.c``)."""

from __future__ import annotations

from xlpy.errors import ConfigError
from xlpy.hypervisor.board import MODELS, PLATFORM, UHCI, UHCI_DEVFN, BoardDevice
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.toolstack.config.domain_config import DomainConfig

VGA = {None: "cirrus-vga", "cirrus": "cirrus-vga", "std": "VGA", "qxl": "qxl-vga"}
SOUND = {"ac97": "AC97", "es1370": "ES1370", "hda": "intel-hda"}
ISA_SOUND = ("adlib", "cs4231a", "gus", "sb16")
USB = {1: "piix3-usb-uhci", 3: "nec-usb-xhci"}
EHCI_SLOT = 0x1D << 3
DEFAULT_NIC = "rtl8139"
LEAST_KIB = {"cirrus-vga": 8 << 10, "VGA": 16 << 10, "qxl-vga": 128 << 10}  # libxl refuses less
CIRRUS_KIB = (8 << 10, 16 << 10)  # and QEMU other sizes of its Cirrus card


def devices(config: DomainConfig) -> list[BoardDevice]:
    """The devices beside the bridges.

    Raises:
        ConfigError: a sound card, a network card, a USB version or an amount of video RAM that QEMU does not have.
    """
    return list(_devices(config))


def _devices(config: DomainConfig) -> Iterator[BoardDevice]:
    hvm = config.hvm
    if hvm.get("xen_platform_pci", True):
        yield BoardDevice(PLATFORM)
    usb = hvm.get("usb") or hvm.get("usbdevice") or hvm.get("usbdevice_list")
    if usb:
        yield BoardDevice(UHCI, devfn=UHCI_DEVFN)
    if any((disk.get("vdev") or "").startswith("sd") for disk in config.disks if not disk.get("is_cdrom")):
        yield BoardDevice("lsi53c895a")
    spice = hvm.get("spice") or {}
    if spice.get("enable") and spice.get("vdagent"):
        yield BoardDevice("virtio-serial")
    kind = (hvm.get("vga") or {}).get("kind")
    if kind != "none":
        yield BoardDevice(VGA[kind], _video_memory(config, VGA[kind]))
    if not usb:
        yield from _usb(config, int(hvm.get("usbversion") or 0))
    sound = (hvm.get("soundhw") or "").lower()
    if sound in SOUND:
        yield BoardDevice(SOUND[sound])
    elif sound and sound not in ISA_SOUND:
        raise ConfigError(
            f"{config.name}: Unknown soundhw option {sound!r}", hint=f"choose one of: {', '.join((*SOUND, *ISA_SOUND))}"
        )
    for nic in config.nics:
        if nic.get("nictype") != "vif":
            model = nic.get("model") or DEFAULT_NIC
            if model not in MODELS:
                raise ConfigError(
                    f"{config.name}: the device model has no network card {model!r}", hint=f"for example {DEFAULT_NIC}"
                )
            yield BoardDevice(model)
    if hvm.get("hdtype") == "ahci":
        yield BoardDevice("ahci")


def _usb(config: DomainConfig, version: int) -> Iterator[BoardDevice]:
    if version in USB:
        yield BoardDevice(USB[version])
    elif version == 2:
        yield BoardDevice("ich9-usb-ehci1", devfn=EHCI_SLOT | 7)
        for number in range(3):
            yield BoardDevice(f"ich9-usb-uhci{number + 1}", devfn=EHCI_SLOT | number)
    elif version:
        raise ConfigError(f"{config.name}: usbversion is {version} and must be 1, 2 or 3", hint="usb = 1")


def _video_memory(config: DomainConfig, model: str) -> int:
    """KiB of video RAM, a power of two as QEMU makes it."""
    kib, least = config.videoram_kib, LEAST_KIB[model]
    if kib < least or (model == "cirrus-vga" and kib not in CIRRUS_KIB):
        required = "8 or 16" if model == "cirrus-vga" else f"at least {least >> 10}"
        raise ConfigError(
            f"{config.name}: videoram is {kib >> 10} MiB, QEMU's {model} has {required}", hint="leave videoram out"
        )
    return 1 << (kib - 1).bit_length()
