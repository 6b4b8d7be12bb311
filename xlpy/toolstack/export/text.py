"""The stock xl configuration of an export: the original text, followed by the settings that replace ``vnvdimm``."""

from __future__ import annotations

from xlpy.addr import PAGE, PAGE_SHIFT, format_size
from xlpy.errors import ConfigError
from xlpy.toolstack.config.xlcfg import Refused
from xlpy.toolstack.config.xlcfg.rewrite import comment_out
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.toolstack.config.domain_config import DomainConfig
    from xlpy.toolstack.export.manifest import ExportedNvdimm, MemoryArea
    from xlpy.toolstack.export.plan import ExportPlan

REPLACED = ("vnvdimm", "iomem", "acpi_firmware")


def stock_config(plan: ExportPlan, firmware: str, record: str, xen: str, shadow: int | None) -> str:
    """The text.

    Args:
        plan: what is mapped where.
        firmware: the file of ACPI tables, absolute.
        record: the manifest, absolute.
        xen: the version of Xen that this is for.
        shadow: ``shadow_memory`` in MiB, or None to leave it alone.

    Raises:
        ConfigError: the original reads only in xlpy's friendlier way, not in xl's.
    """
    config = plan.config
    keys = {*REPLACED, *(("shadow_memory",) if shadow is not None else ())}
    original = "\n".join((config.text, *config.extra)) if config.extra else config.text
    text = comment_out(original.removeprefix("\ufeff").replace("\r\n", "\n"), keys)
    whole = "".join((_head(config, record, xen), text, *_tail(plan, firmware, shadow)))
    _refuse_unreadable(whole, config)
    return whole


def _head(config: DomainConfig, record: str, xen: str) -> str:
    from xlpy import __version__

    return (
        f"# Made by xlpy {__version__} from {_comment(config.source)} for Xen {xen}: do not edit, export again.\n"
        f"# Before every start:  xlpy export check {_comment(record)}\n"
        f"# When it is over:     xlpy export release {_comment(record)}\n\n"
    )


def _tail(plan: ExportPlan, firmware: str, shadow: int | None) -> Iterator[str]:
    config = plan.config
    yield "\n# --- in place of vnvdimm ---\n"
    for device in plan.devices:
        yield _about(device)
    yield "iomem = [\n"
    yield from _own(config)
    for area in plan.areas:
        yield from entries(area)
    yield "]\n# NFIT and SSDT"
    if config.acpi_firmware:
        yield f", then the tables of {_comment(config.acpi_firmware)}"
    yield f"\nacpi_firmware = {quoted(firmware)}\n"
    if shadow is not None:
        yield (
            "# page tables of what iomem maps page by page come out of the paging pool, whose default counts RAM only\n"
            f"shadow_memory = {shadow}\n"
        )


def _about(device: ExportedNvdimm) -> str:
    area, labels = device.data, device.labels
    pieces = f"{len(area.spans)} piece{'s' * (len(area.spans) != 1)}"
    text = f"# {_comment(area.path)}: {format_size(area.size)} of persistent memory at {area.gpa:#x}, in {pieces}\n"
    if labels:
        text += f"#   labels: {_comment(labels.path)}, {format_size(labels.size)} at {labels.gpa:#x}\n"
    return text


def _own(config: DomainConfig) -> Iterator[str]:
    if "iomem" in config.settings:
        yield "    # from the original\n"
        for item in config.settings.strings("iomem"):
            yield f"    {quoted(item)},\n"


def entries(area: MemoryArea) -> Iterator[str]:
    """The lines of a list that map an area: first host page, count, guest page, all hexadecimal."""
    yield f"    # {_comment(area.path)}\n"
    at = 0
    for span in area.spans:
        yield (
            f'    "{span.start >> PAGE_SHIFT:x},{span.size // PAGE:x}@{area.gpa + at >> PAGE_SHIFT:x}",'
            f" # its bytes from {at:#x} on\n"
        )
        at += span.size


def quoted(text: str) -> str:
    """A string of the configuration language. ConfigError: it cannot be written there."""
    if "\n" in text or "\0" in text:
        raise ConfigError(f"{text!r} cannot be written into a configuration", hint="choose another name")
    if '"' not in text and "\\" not in text:
        return f'"{text}"'
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _comment(text: str) -> str:
    return text.replace("\n", "?").replace("\r", "?")


def _refuse_unreadable(text: str, config: DomainConfig) -> None:
    """What is written must read in xl as it does here."""
    from xlpy.toolstack.config.domain_config import ANY_MACHINE, load_config

    try:
        load_config(text, config.source, strict=True, host=ANY_MACHINE)
    except Refused as error:
        raise ConfigError(
            f"{config.source}: the stock xl would refuse the exported configuration",
            details=error.details,
            hint="xlpy config check --xl-strict tells the places in the original",
        ) from None
