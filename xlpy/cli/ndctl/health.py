"""Health that DIMMs report, and ``ndctl inject-smart``."""

from __future__ import annotations

from errno import EINVAL, EIO, ENXIO
from math import isfinite

from xlpy.cli.ndctl import filters
from xlpy.cli.ndctl.jsonc import show_array
from xlpy.cli.ndctl.objects import Detail, Object, dimm_object
from xlpy.cli.ndctl.options import Parser, Values, flag, text
from xlpy.cli.ndctl.sizes import number
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.cli.ndctl.session import NdctlSession
    from xlpy.dom0.nvdimm.nd.dimm import Nvdimm

USAGE = "ndctl inject-smart <dimm> [<options>]"
MEDIA, CONTROLLER = "smart media temperature", "smart controller temperature"
OPTIONS = (
    text("b", "bus", "bus-id", "limit dimm to a bus with an id or provider of <bus-id>"),
    flag("v", "verbose", "emit extra debug messages to stderr"),
    flag("u", "human", "use human friendly number formats"),
    text("m", "media-temperature", f"{MEDIA} attribute", f"inject a value for {MEDIA}"),
    text("M", "media-temperature-threshold", f"set {MEDIA} threshold", f"set threshold value for {MEDIA}"),
    text("", "media-temperature-alarm", f"{MEDIA} alarm", f"enable or disable the {MEDIA} alarm"),
    flag("", "media-temperature-uninject", "uninject media temperature"),
    text("c", "ctrl-temperature", f"{CONTROLLER} attribute", f"inject a value for {CONTROLLER}"),
    text("C", "ctrl-temperature-threshold", f"set {CONTROLLER} threshold", f"set threshold value for {CONTROLLER}"),
    text("", "ctrl-temperature-alarm", f"{CONTROLLER} alarm", f"enable or disable the {CONTROLLER} alarm"),
    flag("", "ctrl-temperature-uninject", "uninject controller temperature"),
    text("s", "spares", "smart spares attribute", "inject a value for smart spares"),
    text("S", "spares-threshold", "set smart spares threshold", "set a threshold value for smart spares"),
    text("", "spares-alarm", "smart spares alarm", "enable or disable the smart spares alarm"),
    flag("", "spares-uninject", "uninject spare percentage"),
    flag("f", "fatal", "inject fatal smart health status"),
    flag("F", "fatal-uninject", "uninject fatal health condition"),
    flag("U", "unsafe-shutdown", "inject smart unsafe shutdown status"),
    flag("", "unsafe-shutdown-uninject", "uninject unsafe shutdown status"),
    flag("N", "uninject-all", "uninject all possible fields"),
)
FIELDS = {  # option -> field of the health record, and of the thresholds where there is one
    "media_temperature": "media_temperature",
    "ctrl_temperature": "controller_temperature",
    "spares": "spares",
    "fatal": "state",
    "unsafe_shutdown": "last_shutdown",
}
ALARMS = ("media_temperature", "ctrl_temperature", "spares")
SIXTEENTHS = 16  # of a degree: what temperatures are counted in


def health_object(session: NdctlSession, dimm: Nvdimm) -> Object | None:
    """The health of a DIMM, in ndctl's words; None when the firmware reports nothing."""
    if dimm.bus.scrub_state is None:  # firmware without scrubs has no SMART either
        return None
    hw = session.host.hw
    name = hw.dimm_by_handle(dimm.info.handle).id
    health, limits = hw.dimm(name).health, hw.thresholds(name)
    raised = limits.alarms(health)
    made: Object = {
        "health_state": health.state,
        "temperature_celsius": _degrees(health.media_temperature),
        "controller_temperature_celsius": _degrees(health.controller_temperature),
        "spares_percentage": health.spares,
        "alarm_temperature": "media_temperature" in raised,
        "alarm_controller_temperature": "controller_temperature" in raised,
        "alarm_spares": "spares" in raised,
    }
    made |= _limit("media_temperature", limits, "temperature_threshold", _degrees)
    made |= _limit("controller_temperature", limits, "controller_temperature_threshold", _degrees)
    made |= _limit("spares", limits, "spares_threshold", int)
    return made | {
        "life_used_percentage": health.used,
        "shutdown_state": health.last_shutdown,
        "shutdown_count": health.unsafe_shutdowns,
    }


def _limit(field: str, limits: Any, key: str, shown: Any) -> Object:  # noqa: ANN401
    word = {"controller_temperature": "ctrl_temperature"}.get(field, field)
    on = field in limits.on
    return {f"alarm_enabled_{word}": on} | ({key: shown(getattr(limits, field))} if on else {})


def _degrees(value: float) -> float:
    """As it is transferred: in sixteenths of a degree."""
    return int(value * SIXTEENTHS) / SIXTEENTHS


def inject(session: NdctlSession, words: Sequence[str]) -> int:
    """``inject-smart``."""
    parser = Parser(session, OPTIONS, USAGE)
    values, rest = parser.parse(words)
    wanted = _wanted(session, values)
    if wanted is None:
        return -EINVAL
    if not rest:
        session.error("specify a dimm for the smart operation\n")
    for word in rest[1:]:
        session.error(f'unknown extra parameter "{word}"\n')
    if len(rest) != 1:
        parser.usage()
    with session.change(f"ndctl inject-smart {rest[0]}") as nd:
        for bus in filters.buses(nd):
            if filters.wants_bus(bus, values.bus):
                for dimm in filters.dimms(bus):
                    if filters.wants_dimm(dimm, rest[0]):
                        return _inject(session, dimm, values, *wanted)
    session.error(f"{rest[0]}: no such dimm\n")
    return -ENXIO


def _wanted(session: NdctlSession, values: Values) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """(values of the health record, thresholds) to be set; None: wrong, which has been reported."""
    health: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    for option in ("media_temperature", "ctrl_temperature", "spares"):
        for suffix, into in (("", health), ("_threshold", limits)):
            word = values[f"{option}{suffix}"]
            if word is None:
                continue
            value = _number(word) if option != "spares" else float(number(word)[0])
            if not isfinite(value) or (option == "spares" and value >= 2**32):
                session.error(f"Invalid argument: {option + ': ' if not suffix else ''}{word}\n")
                return None
            into[FIELDS[option]] = int(value) if option == "spares" else _degrees(value)
    alarms = any(values[f"{option}_alarm"] is not None for option in ALARMS)
    if values.fatal:
        health["state"] = "fatal"
    if values.unsafe_shutdown:
        health["last_shutdown"] = "dirty"
    for option, field in FIELDS.items():
        if values[f"{option}_uninject"] or values.uninject_all:
            if values[option]:
                session.error(f"Cannot use {option} inject and uninject together\n")
                return None
            health[field] = None
    if not health and not limits and not alarms:
        session.error("No valid operation specified\n")
        return None
    return health, limits


def _number(word: str) -> float:
    """As strtod reads it: the longest beginning that is a number, else 0."""
    for end in range(len(word), 0, -1):
        try:
            return float(word[:end])
        except ValueError:
            continue
    return 0.0


def _inject(session: NdctlSession, dimm: Nvdimm, values: Values, health: dict[str, Any], limits: dict[str, Any]) -> int:
    if dimm.bus.scrub_state is None:
        why = "smart injection not supported by either platform firmware or the kernel."
        session.error(f"{dimm.dev}: {why}")
        return -EIO
    from xlpy.events.health import change_health

    hw = session.host.hw
    name = hw.dimm_by_handle(dimm.info.handle).id
    switched = {option: values[f"{option}_alarm"] for option in ALARMS if values[f"{option}_alarm"] is not None}
    if limits or switched:
        now = hw.thresholds(name)
        on = set(now.on)
        for option, word in switched.items():
            field = FIELDS[option]
            if word.startswith("on"):
                on.add(field)
            elif word.startswith("off"):
                on.discard(field)
        order = ("spares", "media_temperature", "controller_temperature")
        now = now._replace(on=tuple(field for field in order if field in on), **limits)
        change_health(session.host, name, health, now)
    elif health:
        change_health(session.host, name, health)
    shown = dimm_object(dimm, Detail(human=values.human))
    told = health_object(session, dimm)
    if told:
        shown["health"] = told
        show_array(session, [shown], human=values.human)
    return 0
