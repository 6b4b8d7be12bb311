"""The header that ``boot --record`` writes before a guest runs: its vNVDIMMs, its processor, how it was started."""

from __future__ import annotations

from xlpy.addr import Gpa
from xlpy.boot.qemu import POLICY_BITS
from xlpy.powercut.record import Recorder, require_version
from xlpy.powercut.trace import TraceHeader, Window
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from xlpy.boot.options import BootOptions
    from xlpy.boot.plan import GuestNvdimm
    from xlpy.boot.qemu import Qemu
    from xlpy.devicemodel.model import DeviceModel
    from xlpy.hypervisor.domain import Domain
    from xlpy.toolstack.domain.record import DomainRecord


def make_recorder(
    folder: Path,
    options: BootOptions,
    qemu: Qemu,
    domain: Domain,
    record: DomainRecord,
    devices: Sequence[GuestNvdimm],
    model: DeviceModel | None,
) -> Recorder:
    """A recorder of one boot.

    Args:
        folder: where the trace goes; absent or empty.
        options, qemu, domain, record: of the boot.
        devices: the domain's vNVDIMMs, as those of ``record``.
        model: its device model, which knows their serial numbers; None without vNVDIMMs.

    Raises:
        Constraint: QEMU is too old.
    """
    require_version(qemu.version)
    spec, features = domain.hw.spec, domain.cpuid(7)[1]
    return Recorder(
        folder,
        TraceHeader(
            record.name,
            _windows(record, devices, model),
            [],
            caches_survive=spec.persistence == "cpu_cache",
            persistence=spec.persistence,
            cpu_features=[name for name, bit in POLICY_BITS.items() if features >> bit & 1],
            machine={"ram": spec.ram, "cpus": spec.cpu.count, "physical_bits": spec.cpu.physical_bits},
            config=record.text,
            extra=list(record.extra),
            kernel=str(options.kernel.absolute()),
            initrd=str(options.initrd.absolute()) if options.initrd else "",
            append=options.append,
        ),
    )


def _windows(record: DomainRecord, devices: Sequence[GuestNvdimm], model: DeviceModel | None) -> list[Window]:
    """Each vNVDIMM, with its place in the recording's copy of all of them."""
    windows, offset, labels = [], 0, sum(one.size for one in record.vnvdimms)
    serials = {int(device.gpa): device.serial for device in model.devices} if model else {}
    for made, one in zip(devices, record.vnvdimms, strict=True):
        keys = {"label_size": one.label_size, "unarmed": int(one.unarmed), "node": one.node}
        words = ",".join([f"{key}={value}" for key, value in keys.items() if value] + ["mode=ro"] * one.read_only)
        windows.append(
            Window(
                made.name,
                made.gpa,
                made.size,
                offset,
                one.path,
                one.extents,
                handle=one.slot + 1,
                serial=serials.get(made.gpa, 0),
                label_size=one.label_size,
                labels=labels,
                options=words,
            )
        )
        offset, labels = offset + made.size, labels + one.label_size
    return windows


def label_areas(record: DomainRecord, model: DeviceModel | None) -> Iterator[bytes]:
    """What is in the vNVDIMMs' label areas, in their order."""
    known = {device.gpa: device for device in model.devices} if model else {}
    for one in record.vnvdimms:
        area = model.labels(known[Gpa(one.gpa)]) if model and Gpa(one.gpa) in known else None
        yield area.read(0, area.size) if area is not None else b""
