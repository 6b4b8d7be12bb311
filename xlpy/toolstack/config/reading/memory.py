"""Memory sizes that need more than a number."""

from __future__ import annotations

from xlpy.toolstack.config.cnumbers import INT_MAX, u64
from xlpy.toolstack.config.libxl_json import UNSET_MEMKB
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.toolstack.config.reading.reader import Reader

GRANTS = ("max_grant_frames", "max_maptrack_frames", "max_grant_version")
_SIZES = ("memory", "maxmem", "videoram", "shadow_memory", "stubdomain_memory", "rdm_mem_boundary", "mmio_hole")
# Sizes beyond this cannot be meant: 16 PiB, the reach of 54 address bits.
_HUGE_MIB = 1 << 34


def check_sizes(reader: Reader) -> None:
    """Warn of sizes that C turns into something else: nothing in xl checks sign or size."""
    for key in _SIZES:
        if key in reader.settings:
            size = reader.integer(key, quiet=True)
            if size is not None and not 0 <= size < _HUGE_MIB:
                reader.warn(key, f"{key}: xl takes {size} MiB without a check and keeps {u64(size * 1024)} KiB")


def read_mmio_hole(reader: Reader) -> None:
    """``mmio_hole``: 256 MiB to 3840 MiB."""
    size = reader.integer("mmio_hole")
    if size is None:
        return
    if not 256 << 20 <= u64(u64(size * 1024) * 1024) <= 0xF0000000:
        reader.error("mmio_hole", f"mmio_hole is {size} MiB and must be 256 to 3840")
    reader.put("b_info.u.mmio_hole_memkb", u64(size * 1024))


def default_maxmem(reader: Reader) -> None:
    """Without ``maxmem`` and vnuma the domain can have what it starts with."""
    most, start = reader.get("b_info.max_memkb"), reader.get("b_info.target_memkb")
    if most in (None, UNSET_MEMKB) and start is not None:
        reader.put("b_info.max_memkb", start)
    elif most is not None and start is not None and most < start < UNSET_MEMKB:
        reader.warn("maxmem", "maxmem is less than memory; xl does not check, and the domain gets maxmem")


def read_grants(reader: Reader) -> None:
    """Limits of the grant table: a bad value ends xl without a message."""
    for key in GRANTS:
        if key not in reader.settings:
            continue
        value = reader.integer(key, quiet=True)
        if value is None or not 0 <= value <= INT_MAX:
            reader.error(key, f"{key} must be a number from 0 to {INT_MAX}", "xl exits without a message")
        else:
            reader.put(f"b_info.{key}", value)


def read_rdm(reader: Reader) -> None:
    """``rdm``: strategy and policy for reserved device memory, as libxlutil's parser understands it.

    That parser takes a known policy for an error and an unknown one for success, so a valid policy makes xl drop the
    whole setting in silence.
    """
    text = reader.string("rdm")
    if text is None:
        return
    strategy = False
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals or name not in ("strategy", "policy"):
            reader.warn(text, f"rdm: unknown setting {part!r}; xl ignores rdm", 'write rdm = "strategy=host"')
            return
        if name == "strategy" and value != "host":
            reader.warn(text, f"rdm: unknown strategy {value!r}; xl ignores rdm", "the only one is host")
            return
        strategy = strategy or name == "strategy"
        if name == "policy":
            if value.lower() in ("strict", "relaxed", "invalid"):
                reader.warn(text, "rdm: xl drops the whole setting when a valid policy is given", "leave policy out")
                return
            reader.warn(text, f"rdm: unknown policy {value!r}; xl takes strategy alone")
    if strategy:
        reader.put("b_info.u.rdm", {"strategy": "host"})
