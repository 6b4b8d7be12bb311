"""A domain configuration: read, checked, and in libxl's structure.

``load_config`` goes through the settings in the order in which xl does, so that the first error of several is the one
at which xl would stop; all of them are reported.
"""

from __future__ import annotations

from xlpy.toolstack.config.devices.vnvdimm import VnvdimmEntry, read_vnvdimms
from xlpy.toolstack.config.libxl_json import UNSET_MEMKB
from xlpy.toolstack.config.reading.reader import HostFacts, Node, Reader
from xlpy.toolstack.config.reading.steps import due
from xlpy.toolstack.config.xlcfg import Problem, Refused, parse
from xlpy.typing import TYPE_CHECKING
from xlpy.xen_version import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xlpy.toolstack.config.xlcfg import Settings

__all__ = ["DomainConfig", "HostFacts", "VnvdimmEntry", "load_config"]

_VIDEO_KIB = {None: 8 << 10, "cirrus": 8 << 10, "std": 16 << 10, "qxl": 128 << 10, "none": 0}
_DEFAULT_MEMORY_KIB = 32 << 10

BINARY_SINCE = (4, 20)  # the first whose package is built with a C library that reads C23
ANY_MACHINE = HostFacts(4096, 64)  # for configurations of which a real xl will be the judge


class DomainConfig:
    """What a configuration says, with libxl's defaults where it is silent.

    Args:
        tree: the values that were set, in libxl's structure.
        guest: ``hvm``, ``pv`` or ``pvh``.
        settings: the raw settings, with their places.
        vnvdimms: the virtual NVDIMMs in order.
        warnings: what xl would accept and that may not be meant.
        xen: as which version of Xen it was read.
    """

    def __init__(
        self,
        tree: Node,
        guest: str,
        settings: Settings,
        vnvdimms: tuple[VnvdimmEntry, ...] = (),
        warnings: tuple[Problem, ...] = (),
        xen: str = DEFAULT,
    ) -> None:
        self.tree = tree
        self.type = guest
        self.settings = settings
        self.vnvdimms = vnvdimms
        self.warnings = warnings
        self.xen = xen
        self._create: Node = tree["c_info"]
        self._build: Node = tree["b_info"]
        self._guest: Node = self._build["u"]
        self._uuid: bytes | None = None

    @property
    def source(self) -> str:
        """The name of the file."""
        return self.settings.source.name

    @property
    def text(self) -> str:
        """The file as it was read."""
        return self.settings.source.text[: self.settings.source.boundary - 1]

    @property
    def extra(self) -> tuple[str, ...]:
        """The settings from the command line."""
        return self.settings.source.extra

    @property
    def name(self) -> str:
        """The domain's name."""
        return str(self._create["name"])

    @property
    def uuid(self) -> bytes | None:
        """The 16 bytes of the configured UUID, or None where a random one is wanted."""
        text = self._create.get("uuid")
        return bytes.fromhex(text.replace("-", "")) if text else None

    @property
    def uuid_bytes(self) -> bytes:
        """The domain's UUID; a random one is chosen once for this configuration."""
        if self._uuid is None:
            from xlpy.uuids import random_uuid

            self._uuid = self.uuid or random_uuid()
        return self._uuid

    @property
    def uuid_text(self) -> str:
        """``uuid_bytes`` in the form 8-4-4-4-12."""
        from xlpy.uuids import uuid_text

        return uuid_text(self.uuid_bytes)

    @property
    def memory_given(self) -> bool:
        """Whether ``memory`` or ``maxmem`` says a number."""
        return self._size("target_memkb") is not None or self._size("max_memkb") is not None

    @property
    def memory_kib(self) -> int:
        """Memory at the start, KiB."""
        given = self._size("target_memkb")
        return self.max_kib if given is None else given

    @property
    def max_kib(self) -> int:
        """The most memory the domain can have, KiB, video memory included; no less than it starts with."""
        most, start = self._size("max_memkb"), self._size("target_memkb")
        if most is None:
            return _DEFAULT_MEMORY_KIB if start is None else start
        return most

    def _size(self, field: str) -> int | None:
        value = self._build.get(field)
        return None if value in (None, UNSET_MEMKB) else int(value)

    @property
    def videoram_kib(self) -> int:
        """Video memory, KiB; 0 for guests without a screen."""
        if self.type != "hvm":
            return 0
        return int(self._build.get("video_memkb", _VIDEO_KIB[self._guest.get("vga", {}).get("kind")]))

    @property
    def vcpus(self) -> int:
        """vCPUs online at the start."""
        return max(1, len(self._build.get("avail_vcpus", ())))

    @property
    def max_vcpus(self) -> int:
        """vCPUs that can ever be online."""
        return max(self.vcpus, int(self._build.get("max_vcpus", 0)))

    @property
    def acpi(self) -> bool:
        """Whether the guest has ACPI tables."""
        return self._flag(self._build, "acpi", True)

    @property
    def acpi_s3(self) -> bool:
        """Whether the guest can sleep in S3."""
        return self._flag(self._guest, "acpi_s3", True)

    @property
    def acpi_s4(self) -> bool:
        """Whether the guest can sleep in S4."""
        return self._flag(self._guest, "acpi_s4", True)

    @property
    def acpi_laptop_slate(self) -> bool:
        """Whether the guest has the laptop/slate switch."""
        return self._flag(self._guest, "acpi_laptop_slate", False)

    @property
    def apic(self) -> bool:
        """Whether the APIC tables are built."""
        return self._flag(self._build, "apic", True)

    @property
    def hpet(self) -> bool:
        """Whether the guest has an HPET."""
        return self._flag(self._guest, "hpet", True)

    @property
    def bios(self) -> str:
        """The BIOS: seabios, ovmf or rombios."""
        chosen = self._guest.get("bios")
        return chosen if chosen and chosen != "unknown" else "seabios"

    @property
    def acpi_firmware(self) -> str | None:
        """The path of extra ACPI tables."""
        return self._guest.get("acpi_firmware")

    @property
    def smbios(self) -> list[tuple[str, str]]:
        """Key and value of each string for the guest's SMBIOS tables."""
        return [(item["key"], item["value"]) for item in self._guest.get("smbios", ())]

    @property
    def smbios_firmware(self) -> str | None:
        """The path of extra SMBIOS structures."""
        return self._guest.get("smbios_firmware")

    @property
    def mmio_hole(self) -> int | None:
        """MiB of the hole below 4 GiB where it was configured."""
        size = self._guest.get("mmio_hole_memkb")
        return None if size is None else int(size) >> 10

    @property
    def cpuid(self) -> list[Node]:
        """CPUID overrides in libxl's shape: ``leaf``, maybe ``subleaf``, and registers of 32 characters each."""
        return list(self._build.get("cpuid", {}).get("cpuid", ()))

    @property
    def msr(self) -> list[Node]:
        """MSR overrides in libxl's shape: ``index`` and a ``policy`` of 64 characters each."""
        return list(self._build.get("cpuid", {}).get("msr", ()))

    @property
    def viridian(self) -> tuple[str, ...]:
        """The Hyper-V groups that are on, in libxl's order."""
        from xlpy.toolstack.config.options.cpu import groups_on

        return groups_on(self._guest)

    @property
    def vnuma(self) -> list[Node]:
        """The virtual NUMA nodes: ``memkb``, ``distances``, ``pnode``, ``vcpus`` each."""
        return list(self._build.get("vnuma_nodes", ()))

    @property
    def generation_id(self) -> bytes | None:
        """The 16 bytes of the VM generation id, if one is wanted."""
        identity_bytes = self._guest.get("ms_vm_genid")
        return bytes(identity_bytes) if identity_bytes else None

    @property
    def rtc_timeoffset(self) -> int:
        """Seconds by which the clock is ahead of UTC."""
        value = int(self._build.get("rtc_timeoffset", 0))
        return value - (1 << 32) if value >> 31 else value

    @property
    def on_poweroff(self) -> str:
        """What follows a power off, in xl's words."""
        return self._action("on_poweroff")

    @property
    def on_reboot(self) -> str:
        """What follows a reboot."""
        return self._action("on_reboot")

    @property
    def on_watchdog(self) -> str:
        """What follows an expired watchdog."""
        return self._action("on_watchdog")

    @property
    def on_crash(self) -> str:
        """What follows a crash."""
        return self._action("on_crash")

    @property
    def on_soft_reset(self) -> str:
        """What follows a soft reset."""
        return self._action("on_soft_reset")

    @property
    def hard_affinity(self) -> list[list[int]]:
        """By vCPU, the CPUs on which it may run; an empty row says nothing."""
        return list(self._build.get("vcpu_hard_affinity") or ())

    @property
    def soft_affinity(self) -> list[list[int]]:
        """By vCPU, the CPUs on which it should run."""
        return list(self._build.get("vcpu_soft_affinity") or ())

    @property
    def weight(self) -> int | None:
        """The share of CPU time, where it is configured."""
        return (self._build.get("sched_params") or {}).get("weight")

    @property
    def cap(self) -> int | None:
        """The most CPU time, in percent, where it is configured."""
        return (self._build.get("sched_params") or {}).get("cap")

    @property
    def kernel(self) -> str | None:
        """The path of the kernel to boot directly."""
        return self._build.get("kernel")

    @property
    def ramdisk(self) -> str | None:
        """The path of its initial ramdisk."""
        return self._build.get("ramdisk")

    @property
    def cmdline(self) -> str | None:
        """Its command line."""
        return self._build.get("cmdline")

    @property
    def bootloader(self) -> str | None:
        """The program that finds a kernel in the guest's disk."""
        return self._build.get("bootloader")

    @property
    def device_model_version(self) -> str:
        """The device model, in libxl's words."""
        return str(self._build.get("device_model_version") or "qemu_xen")

    @property
    def device_model(self) -> str | None:
        """The path of another device model than the installed one."""
        return self._build.get("device_model")

    @property
    def driver_domain(self) -> bool:
        """Whether the domain serves devices to others."""
        return self._flag(self._create, "driver_domain", False)

    @property
    def suspend_channel_compat(self) -> bool:
        """Whether ``device`` belongs to the guest, as xend had it."""
        return self._flag(self._create, "xend_suspend_evtchn_compat", False)

    @property
    def keyboards(self) -> list[Node]:
        """The PV keyboards that were configured."""
        return list(self.tree.get("vkbs") or ())

    @property
    def pcidevs(self) -> list[Node]:
        """The host's PCI devices that the domain shall have."""
        return list(self.tree.get("pcidevs") or ())

    @property
    def hvm(self) -> Node:
        """What is particular to an HVM guest, as libxl keeps it; empty for the others."""
        return self._guest if self.type == "hvm" else {}

    @property
    def disks(self) -> list[Node]:
        """The disks: ``pdev_path``, ``vdev``, ``format``, ``readwrite``, ..."""
        return list(self.tree.get("disks") or ())

    @property
    def nics(self) -> list[Node]:
        """The network interfaces: ``devid``, ``mac``, ``model``, ``nictype``, ..."""
        return list(self.tree.get("nics") or ())

    def to_json(self) -> Node:
        """The configuration as ``xl create -n`` prints it, with the vNVDIMMs last."""
        from xlpy.toolstack.config.libxl_json import document

        tree = {**self.tree, "c_info": {**self._create, "uuid": self.uuid_text}}
        shown = document(tree, self.type)
        if self.vnvdimms:
            shown["vnvdimms"] = [device.to_json() for device in self.vnvdimms]
        return shown

    def _flag(self, node: Node, name: str, default: bool) -> bool:
        return bool(node.get(name, default))

    def _action(self, key: str) -> str:
        action = str(self.tree[key])
        return "rename-restart" if action == "restart_rename" else action.replace("_", "-")


def load_config(
    text: bytes | str,
    source: str,
    extra: Sequence[str] = (),
    strict: bool = False,
    host: HostFacts | Callable[[], HostFacts] | None = None,
    xen: str = DEFAULT,
) -> DomainConfig:
    """Read a domain configuration.

    Args:
        text: the file.
        source: its name in messages.
        extra: ``KEY=VALUE`` settings from the command line, which win over the file's.
        strict: read exactly as xl does, refusing what only a friendlier reading can take.
        host: what the hypervisor says of the machine, for CPU lists and vnuma; by default the default machine.
        xen: as which version of Xen (``xen_version.VERSIONS``).

    Raises:
        ConfigError: as ``Refused``, with every problem at ``file:line:column``.
    """
    settings = parse(text, source, extra, strict=strict)
    reader = Reader(settings, host or HostFacts(), xen)
    settings.binary = reader.version >= BINARY_SINCE
    for step in due(*settings):
        step(reader)
    vnvdimms = read_vnvdimms(reader)
    if reader.problems:
        count = len(reader.problems)
        raise Refused(
            f"{source} cannot be used ({count} error{'s' if count > 1 else ''})",
            reader.problems,
            warnings=reader.warnings,
            xl_status=reader.status,
        )
    return DomainConfig(reader.tree, reader.type, settings, vnvdimms, tuple(reader.warnings), xen)
