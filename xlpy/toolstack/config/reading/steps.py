"""The steps of reading a configuration, in the order in which xl takes them."""

from __future__ import annotations

import sys

from xlpy.functions import lru_cache
from xlpy.records import NamedTuple
from xlpy.toolstack.config.options import OPTIONS
from xlpy.toolstack.config.options.display import SCREEN_KEYS
from xlpy.toolstack.config.options.option import XLPY
from xlpy.toolstack.config.reading import cpulists, identity, memory
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.toolstack.config.reading.reader import Reader


class Step(NamedTuple):
    """One step. keys: it has nothing to do unless one of them is set; none: there is always something to do."""

    run: Callable[[Reader], None]
    keys: frozenset[str] = frozenset()


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
        from xlpy.toolstack.config.reading import platform

        platform.read_bios(reader)
        platform.read_viridian(reader)
        memory.read_mmio_hole(reader)
        platform.read_genid(reader)
        platform.read_mca_caps(reader)


def _read_firmware(reader: Reader) -> None:
    """By default only an HVM guest has firmware."""
    if "firmware" in reader.settings or reader.type != "hvm":
        from xlpy.toolstack.config.reading.platform import read_firmware

        read_firmware(reader)


def _read_hvm_devices(reader: Reader) -> None:
    """What the device model of an HVM guest shows."""
    if reader.type == "hvm":
        from xlpy.toolstack.config.reading import display

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


def _step(module: str, function: str, *keys: str) -> Step:
    """A step whose module is imported when there is something to do."""

    def run(reader: Reader) -> None:
        name = f"xlpy.toolstack.config.{module}"
        __import__(name)
        getattr(sys.modules[name], function)(reader)

    return Step(run, frozenset(keys))


def _lazily(module: str, key: str, function: str) -> Step:
    """The same for a key that not every version of Xen has."""
    step = _step(module, function)

    def run(reader: Reader) -> None:
        if OPTIONS[key].known_to(reader.xen):
            step.run(reader)

    return Step(run, frozenset({key}))


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
    """Warn of keys that are not read: misspelt ones, those of other guests or versions of Xen, those of xl alone."""
    for key in reader.settings:
        option = OPTIONS.get(key)
        known = option is not None and option.known_to(reader.xen)
        if option and known and option.unread_by != (XLPY,) and reader.type in option.guests:
            continue
        where, hint = reader.settings.where_key(key), None
        if option is None:
            message, hint = f"unknown key {key}; xl ignores it", reader.nearest(key, OPTIONS)
        elif not known:
            message = f"{key} is for Xen {option.since} and later; {reader.xen} ignores it"
        elif option.unread_by == (XLPY,):
            message = f"xl reads {key}, xlpy does not: it has no effect here"
        else:
            message = f"{key} has no effect on a {reader.type} guest"
        reader.warn(where, message, hint)


_HVM_KEYS = ("bios", "bios_path_override", "viridian", "mmio_hole", "ms_vm_genid", "mca_caps")
_HVM_DEVICE_KEYS = ("vga", "stdvga", "hdtype", "gfx_passthru", "serial", "usbdevice", "vendor_device")
_MODEL_KEYS = (
    "device_model",
    "device_model_version",
    "device_model_override",
    "device_model_args",
    "device_model_args_pv",
    "device_model_args_hvm",
)

STEPS: tuple[Step, ...] = (
    Step(identity.read_labels, frozenset({"init_seclabel", "seclabel"})),
    Step(_read_constants),
    Step(identity.read_type),
    Step(identity.read_name),
    Step(identity.read_uuid, frozenset({"uuid"})),
    Step(_read_plain),
    Step(memory.check_sizes),
    Step(cpulists.read_vcpus, frozenset({"vcpus", "maxvcpus"})),
    Step(_read_vuart, frozenset({"vuart"})),
    _lazily("reading.vnuma", "vnuma", "read_vnuma"),
    Step(memory.default_maxmem),
    Step(cpulists.settle_vcpus),
    Step(_read_affinities, frozenset({"cpus", "cpus_soft"})),
    Step(memory.read_grants, frozenset(memory.GRANTS)),
    Step(identity.read_actions),
    Step(memory.read_rdm, frozenset({"rdm"})),
    _step("devices.pci", "read_pci", "pci", *PCI_FLAGS),
    _lazily("devices.pci", "dtdev", "read_dtdevs"),
    Step(_read_passthrough, frozenset({"passthrough"})),
    _step("reading.platform", "read_tsc_mode", "tsc_mode"),
    _step("reading.platform", "read_kernel", "kernel"),
    _step("reading.platform", "read_cmdline", "cmdline", "root", "extra"),
    _step("reading.platform", "read_bootloader_args", "bootloader_args"),
    _step("reading.platform", "read_timer_mode", "timer_mode"),
    Step(_read_hvm, frozenset(_HVM_KEYS)),
    Step(_read_firmware),
    _step("reading.platform", "read_altp2m", "altp2m"),
    _step("reading.platform", "read_vmtrace", "vmtrace_buf_kb"),
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
    _step("reading.display", "read_device_model", *_MODEL_KEYS),
    _step("reading.display", "read_screen", *SCREEN_KEYS),
    Step(_read_hvm_devices, frozenset(_HVM_DEVICE_KEYS)),
    Step(_read_enumerations, frozenset({"gic_version", "tee"})),
    _lazily("reading.later", "sve", "read_sve"),
    _lazily("devices.screen", "vkb", "read_vkbs"),
    _lazily("reading.later", "virtio", "read_virtios"),
    Step(_warn_of_old_keys, frozenset({"vncviewer", "vif2", "altp2mhvm", "msr_relaxed"})),
    Step(cpulists.check_affinity, frozenset({"cpus"})),
    Step(_note_ignored),
)


@lru_cache(maxsize=64)  # of many files that are checked at once most have the same keys
def due(*keys: str) -> list[Callable[[Reader], None]]:
    """The steps that have something to do when these keys are set, in their order."""
    return [step.run for step in STEPS if not step.keys or not step.keys.isdisjoint(keys)]
