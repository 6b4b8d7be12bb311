"""The record of an export: the host memory that a domain was given, its addresses, and the layout of its files.

``DIR/NAME.json`` is the record for people and hooks; the same is kept in the register of the machine, so that a second
export of the same memory is found wherever its files are, and an export can be released when its files are lost.
"""

from __future__ import annotations

from xlpy.addr import Gpa, Spa, Span
from xlpy.errors import FormatError
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SCHEMA = "xlpy.export/1"


class MemoryArea(NamedTuple):
    """A piece of persistent memory that the guest has: the data of a vNVDIMM, or its label area.

    path: absolute, as Dom0 knows it. kind: ``file``, ``device`` or ``partition``. device: the pmem disk.
    gpa, size: where the guest finds it; bytes. spans: host memory in guest order. inode: of a file, else 0.
    pinned: ``immutable`` (the flag was set by the export), ``intended`` (it may be, the export was interrupted),
    ``no`` (the file system has no such flag), or ``record`` (a device: the register is all there is).
    """

    path: str
    kind: str
    device: str
    gpa: Gpa
    size: int
    spans: tuple[Span[Spa], ...]
    inode: int = 0
    pinned: str = "record"

    @property
    def digest(self) -> str:
        """A short text that changes when the map does."""
        from hashlib import sha256

        return sha256(repr([(span.start, span.size) for span in self.spans]).encode()).hexdigest()[:32]

    def to_json(self) -> dict[str, Any]:
        """As the manifest has it."""
        fields = self._asdict()
        fields["spans"] = [[span.start, span.size] for span in self.spans]
        return {**fields, "digest": self.digest}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> MemoryArea:
        """Read what ``to_json`` made."""
        spans = tuple(Span(Spa(int(start)), int(size)) for start, size in fields["spans"])
        kept = {name: fields[name] for name in cls._fields if name not in ("spans", "gpa")}
        area = cls(gpa=Gpa(int(fields["gpa"])), spans=spans, **kept)
        if area.digest != fields["digest"]:
            raise ValueError(f"{area.path}: the extents do not have the digest that stands beside them")
        return area


class ExportedNvdimm(NamedTuple):
    """One vNVDIMM of an export. slot: from 0. serial: what the guest sees. unarmed: as configured."""

    slot: int
    serial: int
    unarmed: bool
    data: MemoryArea
    labels: MemoryArea | None

    @property
    def areas(self) -> Sequence[MemoryArea]:
        """Its data, then its labels."""
        return (self.data,) if self.labels is None else (self.data, self.labels)

    def to_json(self) -> dict[str, Any]:
        """As the manifest has it."""
        labels = None if self.labels is None else self.labels.to_json()
        return {**self._asdict(), "data": self.data.to_json(), "labels": labels}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> ExportedNvdimm:
        """Read what ``to_json`` made."""
        labels = fields["labels"]
        return cls(
            int(fields["slot"]),
            int(fields["serial"]),
            bool(fields["unarmed"]),
            MemoryArea.from_json(fields["data"]),
            None if labels is None else MemoryArea.from_json(labels),
        )


class Manifest(NamedTuple):
    """One export.

    path: of the JSON file, absolute: its identity. name: of the domain. dom0: ``linux`` or ``emulated``.
    xen: the version it was made for. xlpy: the version that made it. source: the configuration that it came from.
    config, firmware: the files made, absolute. hashes: SHA-256 of ``source``, ``config`` and ``firmware``.
    ram: first addresses after RAM below and above 4 GiB (0: none); physical_bits: of the machine.
    """

    path: str
    name: str
    dom0: str
    xen: str
    xlpy: str
    source: str
    config: str
    firmware: str
    hashes: dict[str, str]
    ram: tuple[int, int]
    physical_bits: int
    devices: tuple[ExportedNvdimm, ...]

    @property
    def areas(self) -> Iterator[MemoryArea]:
        """Every piece of memory that the guest has."""
        for device in self.devices:
            yield from device.areas

    def to_json(self) -> dict[str, Any]:
        """The whole record."""
        fields = {name: value for name, value in self._asdict().items() if name not in ("ram", "devices")}
        low, high = self.ram
        devices = [device.to_json() for device in self.devices]
        return {"schema": SCHEMA, **fields, "ram": {"low_end": low, "high_end": high}, "vnvdimms": devices}

    @classmethod
    def from_json(cls, fields: Any, where: str) -> Manifest:  # noqa: ANN401 - JSON
        """Read what ``to_json`` made. FormatError: it is something else, or was changed."""
        try:
            if fields["schema"] != SCHEMA:
                raise ValueError(f"its schema is {fields['schema']!r}, required {SCHEMA!r}")
            kept = {name: fields[name] for name in cls._fields if name not in ("ram", "devices")}
            ram = fields["ram"]["low_end"], fields["ram"]["high_end"]
            return cls(**kept, ram=ram, devices=tuple(map(ExportedNvdimm.from_json, fields["vnvdimms"])))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise FormatError(
                f"{where} is not the record of an export: {what}",
                code="XLPY-EXPORT-RECORD",
                hint="export the configuration again; xlpy export check lists what this machine knows",
            ) from None
