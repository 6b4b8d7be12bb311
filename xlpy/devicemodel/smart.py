"""SMART and health of a vNVDIMM: what device functions 1, 2 and 17 return or take (Intel ``_DSM``)."""

from __future__ import annotations

from _struct import Struct

from xlpy.hw.health import ALARMS, Thresholds
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from xlpy.addr import Spa, Span
    from xlpy.hw.hardware import Hardware
    from xlpy.hw.machine import HealthSpec

STATES = ("ok", "non-critical", "critical", "fatal")  # in the record: 0, then one bit each

# Flags of the record: which of its fields mean something
_VALID = 0x3F | 1 << 9 | 1 << 10  # health to unsafe shutdowns; alarms; last shutdown

_RECORD = Struct("<I4x4BHHIBH8xBI92x")
_THRESHOLDS = Struct("<HBHHx")


class Smart(NamedTuple):
    """The combined health of the DIMMs under a vNVDIMM.

    health: of each value the worst. limits: of each alarm threshold the one that is reached first.
    alarms: those that any of them raises, words of ``hw.health.ALARMS``.
    """

    health: HealthSpec
    limits: Thresholds
    alarms: tuple[str, ...]


def told(hw: Hardware, spans: Sequence[Span[Spa]]) -> Smart | None:
    """The current health of the DIMMs under ``spans``; None where there is no DIMM (type 12 of a memory map)."""
    names = sorted({name for span in spans for name in hw.region_at(span.start).set.dimms})
    if not names:
        return None
    every = [(hw.dimm(name).health, hw.thresholds(name)) for name in names]
    raised = {alarm for health, limits in every for alarm in limits.alarms(health)}
    return Smart(
        worst(health for health, _ in every),
        strictest(limits for _, limits in every),
        tuple(alarm for alarm in ALARMS if alarm in raised),
    )


def record(smart: Smart) -> bytes:
    """The 128-byte SMART record."""
    health = smart.health
    state = STATES.index(health.state)
    return _RECORD.pack(
        _VALID,
        1 << state - 1 if state else 0,
        health.spares,
        health.used,
        _bits(smart.alarms),
        _temperature(health.media_temperature),
        _temperature(health.controller_temperature),
        health.unsafe_shutdowns,
        0,  # address indirection table status: not valid
        0,  # power controller temperature: not valid
        int(health.last_shutdown != "clean"),
        0,  # no vendor data
    )


def thresholds(limits: Thresholds) -> bytes:
    """The 8 bytes of the SMART thresholds."""
    return _THRESHOLDS.pack(
        _bits(limits.on),
        limits.spares,
        _temperature(limits.media_temperature),
        _temperature(limits.controller_temperature),
    )


def limits(control: int, spares: int, media: int, controller: int) -> Thresholds | None:
    """Thresholds as a guest sets them; None when they make no sense.

    Args:
        control: the alarms that are on, a bit each. spares: percent. media, controller: in sixteenths of a degree.
    """
    if control >> len(ALARMS) or spares > 100:
        return None
    on = tuple(alarm for bit, alarm in enumerate(ALARMS) if control >> bit & 1)
    return Thresholds(spares, _celsius(media), _celsius(controller), on)


def worst(healths: Iterable[HealthSpec]) -> HealthSpec:
    """The health of memory on several devices: the worst of each value; at least one is given."""
    every = list(healths)
    return every[0]._replace(
        state=max((h.state for h in every), key=STATES.index),
        spares=min(h.spares for h in every),
        used=max(h.used for h in every),
        media_temperature=max(h.media_temperature for h in every),
        controller_temperature=max(h.controller_temperature for h in every),
        unsafe_shutdowns=max(h.unsafe_shutdowns for h in every),
        last_shutdown="clean" if all(h.last_shutdown == "clean" for h in every) else "dirty",
    )


def strictest(limits: Iterable[Thresholds]) -> Thresholds:
    """Of each threshold the one that is reached first; an alarm is on when it is on anywhere; at least one is given."""
    every = list(limits)
    return Thresholds(
        max(one.spares for one in every),
        min(one.media_temperature for one in every),
        min(one.controller_temperature for one in every),
        tuple(alarm for alarm in ALARMS if any(alarm in one.on for one in every)),
    )


def _bits(alarms: Sequence[str]) -> int:
    """Alarms as the record and the thresholds' control word have them: a bit each, in the order of ``ALARMS``."""
    return sum(1 << ALARMS.index(alarm) for alarm in alarms)


def _temperature(celsius: float) -> int:
    """Sixteenths of a degree, sign in bit 15."""
    return int(abs(celsius) * 16) & 0x7FFF | (celsius < 0) << 15


def _celsius(field: int) -> float:
    """The reverse of ``_temperature``."""
    return (field & 0x7FFF) / 16 * (-1 if field >> 15 else 1)
