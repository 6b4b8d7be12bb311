"""The steps of reading a configuration, in the order in which xl takes them."""

from __future__ import annotations

import sys

from xlpy.toolstack.config.options import OPTIONS
from xlpy.toolstack.config.reading import cpulists, display, identity, memory, platform
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.toolstack.config.reading.reader import Reader


PCI_FLAGS = ("pci_msitranslate", "pci_power_mgmt", "pci_permissive", "pci_seize")


def _read_plain(reader: Reader) -> None:
    """Every key whose value libxl keeps as it is."""
    for key in reader.settings:
        option = OPTIONS.get(key)
        if option and option.path and not option.legal and _read_for(reader, key) and option.known_to(reader.xen):
            reader.read(option)


def _read_for(reader: Reader, key: str) -> bool:
    """Whether xl looks at a key for this kind of guest: what is in the guest's own part it does not see for others."""
    option = OPTIONS[key]
    return reader.type in option.guests or not (option.path.startswith("b_info.u.") or key == "apic")


def _read_hvm(reader: Reader) -> None:
    """The platform of an HVM guest."""
    if reader.type == "hvm":
        platform.read_bios(reader)
        platform.read_viridian(reader)
        memory.read_mmio_hole(reader)
        platform.read_genid(reader)
        platform.read_mca_caps(reader)


def _read_hvm_devices(reader: Reader) -> None:
    """What the device model of an HVM guest shows."""
    if reader.type == "hvm":
        display.read_vga(reader)
        reader.read(OPTIONS["hdtype"])
        display.read_gfx_passthru(reader)
        display.read_text_or_list(reader, "serial")
        display.read_text_or_list(reader, "usbdevice")
        display.read_vendor_device(reader)


def _read_enumerations(reader: Reader) -> None:
    """``gic_version`` and ``tee``: of a list here xl says nothing."""
    for key in ("gic_version", "tee"):
        text = reader.string(key, quiet=True)
        value = reader.choose(OPTIONS[key], text, status=3) if text is not None else None
        if value is not None:
            reader.put(OPTIONS[key].path, value)


def _lazily(module: str, key: str, function: str) -> Callable[[Reader], None]:
    """A step that imports its module only when the configuration has the key."""

    def step(reader: Reader) -> None:
        if key in reader.settings and OPTIONS[key].known_to(reader.xen):
            name = f"xlpy.toolstack.config.{module}"
            __import__(name)
            getattr(sys.modules[name], function)(reader)

    return step


def _read_pci(reader: Reader) -> None:
    if any(key in reader.settings for key in ("pci", *PCI_FLAGS)):
        from xlpy.toolstack.config.devices.pci import read_pci

        read_pci(reader)


def _read_passthrough(reader: Reader) -> None:
    reader.read(OPTIONS["passthrough"])


def _read_vuart(reader: Reader) -> None:
    reader.read(OPTIONS["vuart"])


def _warn_of_old_keys(reader: Reader) -> None:
    """Keys that xl looks at only to say that they do nothing, or that it wants to be rid of."""
    if reader.integer("vncviewer") is not None:
        reader.warn("vncviewer", "vncviewer is ignored", "start a viewer with xl create -V")
    if "vif2" in reader.settings and reader.is_list("vif2"):
        reader.warn("vif2", "vif2 is ignored: netchannel2 is gone", "write vif")
    if reader.type == "hvm" and reader.boolean("altp2mhvm", quiet=True) is not None:
        reader.warn("altp2mhvm", "altp2mhvm is deprecated", 'write altp2m = "mixed"')
    if reader.boolean("msr_relaxed", quiet=True) is not None:
        reader.warn("msr_relaxed", "msr_relaxed will go away in a later Xen")


def _read_constants(reader: Reader) -> None:
    """What comes from xl.conf, with the values it has when it says nothing."""
    reader.put("c_info.run_hotplug_scripts", True)
    reader.put("b_info.claim_mode", True)


def _read_affinities(reader: Reader) -> None:
    cpulists.read_affinity(reader, "cpus", "b_info.vcpu_hard_affinity")
    cpulists.read_affinity(reader, "cpus_soft", "b_info.vcpu_soft_affinity")


def _note_ignored(reader: Reader) -> None:
    """Warn of keys that nobody reads: misspelt ones, those of other guests, those of other versions of Xen."""
    for key in reader.settings:
        option = OPTIONS.get(key)
        if option and option.known_to(reader.xen) and reader.type in option.guests:
            continue
        where, hint = reader.settings.where_key(key), None
        if option is None:
            message, hint = f"unknown key {key}; xl ignores it", reader.nearest(key, OPTIONS)
        elif not option.known_to(reader.xen):
            message = f"{key} is for Xen {option.since} and later; {reader.xen} ignores it"
        else:
            message = f"{key} has no effect on a {reader.type} guest"
        reader.warn(where, message, hint)


STEPS: tuple[Callable[[Reader], None], ...] = (
    identity.read_labels,
    _read_constants,
    identity.read_type,
    identity.read_name,
    identity.read_uuid,
    _read_plain,
    memory.check_sizes,
    cpulists.read_vcpus,
    _read_vuart,
    _lazily("reading.vnuma", "vnuma", "read_vnuma"),
    memory.default_maxmem,
    cpulists.settle_vcpus,
    _read_affinities,
    memory.read_grants,
    identity.read_actions,
    memory.read_rdm,
    _read_pci,
    _lazily("devices.pci", "dtdev", "read_dtdevs"),
    _read_passthrough,
    platform.read_tsc_mode,
    platform.read_kernel,
    platform.read_cmdline,
    platform.read_bootloader_args,
    platform.read_timer_mode,
    _read_hvm,
    platform.read_firmware,
    platform.read_altp2m,
    platform.read_vmtrace,
    _lazily("devices.ports", "ioports", "read_ioports"),
    _lazily("devices.ports", "irqs", "read_irqs"),
    _lazily("devices.ports", "iomem", "read_iomem"),
    _lazily("reading.later", "llc_colors", "read_llc_colors"),
    _lazily("reading.later", "smbios", "read_smbios"),
    _lazily("devices.disk", "disk", "read_disks"),
    _lazily("devices.simple", "p9", "read_p9s"),
    _lazily("devices.simple", "vtpm", "read_vtpms"),
    _lazily("devices.screen", "vdispl", "read_vdispls"),
    _lazily("devices.simple", "pvcalls", "read_pvcalls"),
    _lazily("devices.sound", "vsnd", "read_vsnds"),
    _lazily("devices.simple", "channel", "read_channels"),
    _lazily("devices.nic", "vif", "read_nics"),
    _lazily("devices.screen", "vfb", "read_vfbs"),
    _lazily("devices.usb", "usbctrl", "read_usbctrls"),
    _lazily("devices.usb", "usbdev", "read_usbdevs"),
    _lazily("cpuid", "cpuid", "read_cpuid"),
    display.read_device_model,
    display.read_screen,
    _read_hvm_devices,
    _read_enumerations,
    _lazily("reading.later", "sve", "read_sve"),
    _lazily("devices.screen", "vkb", "read_vkbs"),
    _lazily("reading.later", "virtio", "read_virtios"),
    _warn_of_old_keys,
    cpulists.check_affinity,
    _note_ignored,
)
