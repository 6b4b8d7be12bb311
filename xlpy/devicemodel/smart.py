"""SMART and health of a vNVDIMM: what device functions 1 and 2 return behind their status (Intel ``_DSM``)."""

from __future__ import annotations

from struct import Struct

from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xlpy.hw.machine import HealthSpec

STATES = ("ok", "non-critical", "critical", "fatal")  # in the record: 0, then one bit each

# Flags of the record: which of its fields mean something
_VALID = 0x3F | 1 << 9 | 1 << 10  # health to unsafe shutdowns; alarms; last shutdown

# Alarms, in the record and in the thresholds' control word
SPARES, MEDIA_TEMPERATURE, CONTROLLER_TEMPERATURE = 1, 2, 4

# Thresholds beyond which an alarm is raised: percent, degrees Celsius
SPARES_LEAST, MEDIA_MOST, CONTROLLER_MOST = 10, 80, 85

_RECORD = Struct("<I4x4BHHIBH8xBI92x")
_THRESHOLDS = Struct("<HBHHx")


def record(health: HealthSpec) -> bytes:
    """The 128-byte SMART record."""
    state = STATES.index(health.state)
    return _RECORD.pack(
        _VALID,
        1 << state - 1 if state else 0,
        health.spares,
        health.used,
        _alarms(health),
        _temperature(health.media_temperature),
        _temperature(health.controller_temperature),
        health.unsafe_shutdowns,
        0,  # address indirection table status: not valid
        0,  # power controller temperature: not valid
        int(health.last_shutdown != "clean"),
        0,  # no vendor data
    )


def thresholds() -> bytes:
    """The 8 bytes of the SMART thresholds: all three alarms are on."""
    return _THRESHOLDS.pack(
        SPARES | MEDIA_TEMPERATURE | CONTROLLER_TEMPERATURE,
        SPARES_LEAST,
        _temperature(MEDIA_MOST),
        _temperature(CONTROLLER_MOST),
    )


def worst(healths: Iterable[HealthSpec]) -> HealthSpec:
    """The health of memory that lies on several devices: of each value the worst; at least one is given."""
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


def _alarms(health: HealthSpec) -> int:
    return (
        SPARES * (health.spares < SPARES_LEAST)
        | MEDIA_TEMPERATURE * (health.media_temperature > MEDIA_MOST)
        | CONTROLLER_TEMPERATURE * (health.controller_temperature > CONTROLLER_MOST)
    )


def _temperature(celsius: float) -> int:
    """Sixteenths of a degree, sign in bit 15."""
    return int(abs(celsius) * 16) & 0x7FFF | (celsius < 0) << 15
