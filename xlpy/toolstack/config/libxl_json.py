"""The configuration as libxl writes it: field order, names, and defaults that are left out.

Names and order of fields are those of libxl 4.17's public header ``_libxl_types.h``. A field is either a plain value,
written unless it equals its default, or a structure of its own (``+name``), written always, or an array of structures
(``*name``), written unless it is empty.
"""

from __future__ import annotations

from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xlpy.toolstack.config.reading.reader import Leaf, Node

NIC_COLO = [
    "coloft_forwarddev",
    "colo_sock_mirror_id",
    "colo_sock_mirror_ip",
    "colo_sock_mirror_port",
    "colo_sock_compare_pri_in_id",
    "colo_sock_compare_pri_in_ip",
    "colo_sock_compare_pri_in_port",
    "colo_sock_compare_sec_in_id",
    "colo_sock_compare_sec_in_ip",
    "colo_sock_compare_sec_in_port",
    "colo_sock_compare_notify_id",
    "colo_sock_compare_notify_ip",
    "colo_sock_compare_notify_port",
    "colo_sock_redirector0_id",
    "colo_sock_redirector0_ip",
    "colo_sock_redirector0_port",
    "colo_sock_redirector1_id",
    "colo_sock_redirector1_ip",
    "colo_sock_redirector1_port",
    "colo_sock_redirector2_id",
    "colo_sock_redirector2_ip",
    "colo_sock_redirector2_port",
    "colo_filter_mirror_queue",
    "colo_filter_mirror_outdev",
    "colo_filter_redirector0_queue",
    "colo_filter_redirector0_indev",
    "colo_filter_redirector0_outdev",
    "colo_filter_redirector1_queue",
    "colo_filter_redirector1_indev",
    "colo_filter_redirector1_outdev",
    "colo_compare_pri_in",
    "colo_compare_sec_in",
    "colo_compare_out",
    "colo_compare_notify_dev",
    "colo_sock_sec_redirector0_id",
    "colo_sock_sec_redirector0_ip",
    "colo_sock_sec_redirector0_port",
    "colo_sock_sec_redirector1_id",
    "colo_sock_sec_redirector1_ip",
    "colo_sock_sec_redirector1_port",
    "colo_filter_sec_redirector0_queue",
    "colo_filter_sec_redirector0_indev",
    "colo_filter_sec_redirector0_outdev",
    "colo_filter_sec_redirector1_queue",
    "colo_filter_sec_redirector1_indev",
    "colo_filter_sec_redirector1_outdev",
    "colo_filter_sec_rewriter0_queue",
    "colo_checkpoint_host",
    "colo_checkpoint_port",
]

STRUCTURES = {
    name: tuple(fields.split())
    for name, fields in {
        "domain_config": "+c_info +b_info *disks *nics *pcidevs *rdms *dtdevs *vfbs *vkbs *virtios *vtpms *p9s "
        "*pvcallsifs *vdispls *vsnds *channels *usbctrls *usbdevs "
        "on_poweroff on_reboot on_watchdog on_crash on_soft_reset",
        "c_info": "type hap oos ssidref ssid_label name domid uuid xsdata platformdata poolid pool_name "
        "run_hotplug_scripts driver_domain passthrough xend_suspend_evtchn_compat",
        "b_info": "max_vcpus avail_vcpus cpumap nodemap vcpu_hard_affinity vcpu_soft_affinity numa_placement tsc_mode "
        "max_memkb target_memkb video_memkb shadow_memkb iommu_memkb rtc_timeoffset exec_ssidref exec_ssid_label "
        "localtime disable_migrate cpuid blkdev_start *vnuma_nodes max_grant_frames max_maptrack_frames "
        "max_grant_version device_model_version device_model_stubdomain stubdomain_memkb stubdomain_kernel "
        "stubdomain_cmdline stubdomain_ramdisk device_model device_model_ssidref device_model_ssid_label "
        "device_model_user extra extra_pv extra_hvm +sched_params *ioports irqs *iomem llc_colors claim_mode "
        "event_channels kernel cmdline ramdisk device_tree acpi bootloader bootloader_args bootloader_restrict "
        "bootloader_user timer_mode nested_hvm apic dm_restrict tee "
        "+u +arch_arm +arch_x86 altp2m vmtrace_buf_kb vpmu",
        "hvm": "firmware bios pae acpi acpi_s3 acpi_s4 acpi_laptop_slate nx viridian viridian_enable "
        "viridian_disable timeoffset hpet vpt_align mmio_hole_memkb altp2m system_firmware smbios_firmware *smbios "
        "acpi_firmware hdtype nographic +vga +vnc keymap +sdl +spice gfx_passthru gfx_passthru_kind serial boot usb "
        "usbversion usbdevice vkb_device soundhw xen_platform_pci usbdevice_list vendor_device ms_vm_genid serial_list "
        "+rdm rdm_mem_boundary_memkb mca_caps pirq",
        "smbios": "key value",
        "pv": "slack_memkb features e820_host",
        "pvh": "pvshim pvshim_path pvshim_cmdline pvshim_extra",
        "vga": "kind",
        "vnc": "enable listen passwd display findunused",
        "sdl": "enable opengl display xauthority",
        "spice": "enable port tls_port host disable_ticketing passwd agent_mouse vdagent clipboard_sharing "
        "usbredirection image_compression streaming_video",
        "rdm": "strategy policy",
        "sched_params": "sched weight cap period budget extratime slice latency",
        "arch_arm": "gic_version vuart sve_vl nr_spis",
        "arch_x86": "msr_relaxed",
        "vnuma_nodes": "memkb distances pnode vcpus",
        "ioports": "first number",
        "iomem": "start number gfn",
        "disks": "backend_domid backend_domname pdev_path vdev backend format script removable readwrite is_cdrom "
        "direct_io_safe discard_enable specification transport irq base colo_enable colo_restore_enable colo_host "
        "colo_port colo_export active_disk hidden_disk trusted grant_usage",
        "nics": "backend_domid backend_domname devid mtu vlan model mac ip bridge ifname script nictype "
        "rate_bytes_per_interval rate_interval_usecs gatewaydev " + " ".join(NIC_COLO) + " trusted",
        "pcidevs": "func dev bus domain vdevfn vfunc_mask msitranslate power_mgmt permissive seize rdm_policy name",
        "rdms": "start size policy",
        "dtdevs": "path",
        "vfbs": "backend_domid backend_domname devid +vnc +sdl keymap",
        "vkbs": "backend_domid backend_domname devid backend_type unique_id feature_disable_keyboard "
        "feature_disable_pointer feature_abs_pointer feature_raw_pointer feature_multi_touch width height "
        "multi_touch_width multi_touch_height multi_touch_num_contacts",
        "vtpms": "backend_domid backend_domname devid uuid",
        "p9s": "backend_domid backend_domname tag path security_model devid type max_space max_files max_open_files "
        "auto_delete",
        "virtios": "backend_domid backend_domname type transport grant_usage devid",
        "pvcallsifs": "backend_domid backend_domname devid",
        "vdispls": "backend_domid backend_domname devid be_alloc *connectors",
        "connectors": "unique_id width height",
        "vsnds": "backend_domid backend_domname devid short_name long_name +params *pcms",
        "params": "sample_rates sample_formats channels_min channels_max buffer_size",
        "pcms": "name +params *streams",
        "streams": "unique_id type +params",
        "channels": "backend_domid backend_domname devid name connection.pty connection.socket",
        "usbctrls": "type devid version ports backend_domid backend_domname",
        "usbdevs": "ctrl port type.hostdev",
    }.items()
}

# Defaults other than absent, zero, false and empty: a field with one of these values is not written.
UNSET_MEMKB = (1 << 64) - 1
INVALID_GFN = (1 << 64) - 1
UNSET_GRANT = 0xFFFFFFFF
DEFAULTS = {
    "type": "auto",
    "domid": 0xFFFFFFFF,
    "tsc_mode": "default",
    "max_memkb": UNSET_MEMKB,
    "target_memkb": UNSET_MEMKB,
    "video_memkb": UNSET_MEMKB,
    "shadow_memkb": UNSET_MEMKB,
    "iommu_memkb": UNSET_MEMKB,
    "stubdomain_memkb": UNSET_MEMKB,
    "mmio_hole_memkb": UNSET_MEMKB,
    "slack_memkb": UNSET_MEMKB,
    "rdm_mem_boundary_memkb": UNSET_MEMKB,
    "memkb": UNSET_MEMKB,
    "max_grant_frames": UNSET_GRANT,
    "max_maptrack_frames": UNSET_GRANT,
    "max_grant_version": -1,
    "gfn": INVALID_GFN,
    "weight": -1,
    "cap": -1,
    "period": -1,
    "budget": -1,
    "extratime": -1,
    "slice": -1,
    "latency": -1,
    "hdtype": "ide",
    "devid": -1,
    "ctrl": -1,
    "passthrough": "default",
    "altp2m": "disabled",
    "policy": "invalid",
    "rdm_policy": "invalid",
    "vuart": "unknown",
    "gic_version": "default",
    "tee": "none",
    "sve_vl": "disabled",
    "transport": "unknown",
    "gfx_passthru_kind": "default",
    "vendor_device": "none",
    "backend_type": "unknown",
    "bios": "unknown",
    "timer_mode": "unknown",
    "strategy": "ignore",
    "on_poweroff": "destroy",
    "on_reboot": "destroy",
    "on_watchdog": "destroy",
    "on_crash": "destroy",
    "on_soft_reset": "destroy",
}

# Fields that are plain booleans in C: written as true, or not at all. All other booleans have three states.
PLAIN_BOOLEANS = frozenset(
    [
        "direct_io_safe",
        "auto_delete",
        "msitranslate",
        "power_mgmt",
        "permissive",
        "seize",
        "be_alloc",
        "feature_disable_keyboard",
        "feature_disable_pointer",
        "feature_abs_pointer",
        "feature_raw_pointer",
        "feature_multi_touch",
    ]
)


def document(tree: Node, guest: str) -> Node:
    """The JSON object of a whole configuration.

    Args:
        tree: values in libxl's structure, in any order.
        guest: ``hvm``, ``pv`` or ``pvh``; decides which fields the union in ``b_info`` has.
    """
    return structure("domain_config", tree, guest)


def structure(name: str, values: Node, guest: str = "") -> Node:
    """The JSON object of one structure: every substructure, and each field that differs from its default."""
    written: Node = {}
    for field in STRUCTURES[name]:
        if field[0] == "+":
            field = field[1:]
            if field == "u":
                written[f"type.{guest}"] = structure(guest, values.get("u", {}), guest)
            else:
                written[field] = structure(field, values.get(field, {}), guest)
            continue
        array = field[0] == "*"
        if array:
            field = field[1:]
        if field not in values:
            continue
        value = values[field]
        if array:
            if value:
                written[field] = [structure(field, item, guest) for item in value]
        elif isinstance(value, bool):
            if field not in PLAIN_BOOLEANS:
                written[field] = str(value)
            elif value:
                written[field] = True
        elif field.startswith(("connection.", "type.")):
            written[field] = value
        elif field in DEFAULTS:
            if value is not None and value != DEFAULTS[field]:
                written[field] = value
        elif value or isinstance(value, str):
            written[field] = value
    return written


def in_order(name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object of a structure with its fields in the order of their declaration."""
    places = {field.lstrip("+*"): place for place, field in enumerate(STRUCTURES[name])}
    return dict(sorted(fields.items(), key=lambda item: places["u" if item[0].startswith("type.") else item[0]]))


_HIDDEN = "[\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"  # DEL, C1, directional marks


def dumps(value: Leaf, indent: int = 4) -> bytes:
    """The text of a JSON document as xl prints it; bytes that were not UTF-8 come out as they went in.

    What a terminal would act on is written as ``\\u`` and its number, which means the same.
    """
    import json

    text = json.dumps(value, indent=indent, ensure_ascii=False)
    if not text.isascii() or "\x7f" in text:
        import re

        text = re.sub(_HIDDEN, lambda found: f"\\u{ord(found[0]):04x}", text)
    return text.encode("utf-8", "surrogateescape")
