"""Problems of ``iomem`` over persistent memory, found in configurations alone and on this machine."""

from __future__ import annotations

from pathlib import Path

from xlpy.addr import Gpa, Span
from xlpy.contexts import suppress
from xlpy.errors import XlpyError
from xlpy.functions import cached_property
from xlpy.rangemap import RangeMap
from xlpy.toolstack.config.xlcfg import Problem, Text
from xlpy.toolstack.domain.build_info import memory_layout
from xlpy.toolstack.export.firmware import tables
from xlpy.toolstack.export.importing import dimms, guest_map
from xlpy.toolstack.export.manifest import Manifest
from xlpy.toolstack.export.plan import own_iomem
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from xlpy.addr import Spa
    from xlpy.toolstack.config.domain_config import DomainConfig
    from xlpy.toolstack.export.machine import ExportMachine
    from xlpy.toolstack.export.plan import IoMemory


class ExportWatch:
    """One look at many configurations.

    Args:
        machines: those whose persistent memory is known; asked only when a configuration has ``iomem``.
    """

    def __init__(self, machines: Callable[[], Sequence[ExportMachine]]) -> None:
        self._machines = machines
        self._seen: RangeMap[str] = RangeMap()

    def __call__(self, config: DomainConfig) -> Iterator[Problem]:
        """Warnings about one configuration; those before it are remembered."""
        try:
            entries = list(own_iomem(config))
        except XlpyError as error:
            yield Problem(config.settings.where("iomem"), str(error), "warning")
            return
        written = config.settings.items("iomem") if entries else ()
        items = [item for item in written if isinstance(item, Text)]
        for entry, item in zip(entries, items, strict=False):
            for message, hint in (*self._twice(entry, config), *self._unpinned(entry)):
                yield Problem(config.settings.where_in(item, 0), f"iomem: {message}", "warning", hint)
        for entry in entries:
            if entry.host.size:
                self._seen.remove(entry.host.start, entry.host.end)
                self._seen.add(entry.host.start, entry.host.end, config.source)
        yield from _pattern(config, entries)

    def _twice(self, entry: IoMemory, config: DomainConfig) -> Iterator[tuple[str, str]]:
        for run in self._seen.overlapping(entry.host.start, entry.host.end)[:1]:
            yield (
                f"host memory {entry.host} is that of {run.value} too: Xen gives it to both, and they spoil it",
                "give each domain a file of its own and export both: xlpy export refuses the second",
            )

    def _unpinned(self, entry: IoMemory) -> Iterator[tuple[str, str]]:
        for name, span in self._pmem:
            if span.overlaps(entry.host) and not self._held.covers(entry.host.start, entry.host.end):
                yield (
                    f"host memory {entry.host} lies on {name}, and no export holds it: Dom0 may give it to other files",
                    "xlpy import tells which file it is; xlpy export pins it",
                )

    @cached_property
    def _pmem(self) -> list[tuple[str, Span[Spa]]]:
        found: list[tuple[str, Span[Spa]]] = []
        for machine in self._machines():
            with suppress(XlpyError):  # what this user may not look at, it says nothing of
                found += machine.pmem()
        return found

    @cached_property
    def _held(self) -> RangeMap[None]:
        found: RangeMap[None] = RangeMap()
        for machine in self._machines():
            with suppress(XlpyError):
                for path, record in machine.register.items():
                    for area in Manifest.from_json(record, path).areas:
                        for span in area.spans:
                            found.remove(span.start, span.end)
                            found.add(span.start, span.end, None)
        return found


def _pattern(config: DomainConfig, entries: Sequence[IoMemory]) -> Iterator[Problem]:
    """What a configuration with an NFIT in ``acpi_firmware`` must fulfil."""
    try:
        nfits = [table for table in tables(config) if table[:4] == b"NFIT"]
        ranges = [span for nfit in nfits for _, _, _, span in dimms(nfit)]
    except XlpyError as error:
        if Path(config.acpi_firmware or "").parent.is_dir():  # else the configuration is of another machine
            yield Problem(config.settings.where("acpi_firmware"), str(error), "warning", error.hint)
        return
    frames = guest_map(entries)
    for span in ranges:
        gaps = frames.gaps(span.start, span.end)
        if gaps:
            key = "iomem" if "iomem" in config.settings else "acpi_firmware"
            yield Problem(
                config.settings.where(key),
                f"{key}: the NFIT tells of persistent memory {span}, and no iomem entry maps {gaps[0][0]:#x}",
                "warning",
                "export the configuration again; what libvirt made of one has lost its iomem",
            )
        if _ram_end(config) > span.start:
            yield Problem(
                config.settings.where("acpi_firmware"),
                f"acpi_firmware: the NFIT tells of persistent memory {span}, where this configuration has RAM",
                "warning",
                "export the configuration again: addresses depend on memory",
            )


def _ram_end(config: DomainConfig) -> Gpa:
    try:
        layout = memory_layout(config)
    except XlpyError:
        return Gpa(0)
    return max(layout.low_end, layout.high_end)
