"""Health of DIMMs beyond the description: injected values, and alarm thresholds.

``hw/health.json`` has them by DIMM. Power failures are counted beside it, by ``xlpy.hw.power``.
"""

from __future__ import annotations

import os

from xlpy.errors import StateError
from xlpy.hw.machine import HealthSpec
from xlpy.hw.media import trouble
from xlpy.hw.power import HEALTH
from xlpy.jsontext import decode, encode
from xlpy.private import private
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xlpy.hw.machine import MachineSpec
    from xlpy.hw.undo import Undo

FILE = os.path.basename(HEALTH)
ALARMS = ("spares", "media_temperature", "controller_temperature")


class Thresholds(NamedTuple):
    """Beyond which values a DIMM raises an alarm: percent of spares left, degrees Celsius.

    on: the alarms that are enabled, words of ``ALARMS``.
    """

    spares: int = 10
    media_temperature: float = 80
    controller_temperature: float = 85
    on: tuple[str, ...] = ALARMS

    def alarms(self, health: HealthSpec) -> tuple[str, ...]:
        """The alarms that a DIMM with this health raises, enabled or not."""
        raised = (
            health.spares < self.spares,
            health.media_temperature > self.media_temperature,
            health.controller_temperature > self.controller_temperature,
        )
        return tuple(name for name, is_raised in zip(ALARMS, raised, strict=True) if is_raised)

    def worth_telling(self, health: HealthSpec) -> bool:
        """Whether a platform raises a health event: an enabled alarm, or not well (Linux's nfit_test's rule too)."""
        alarms = set(self.alarms(health)) & set(self.on)
        return bool(alarms) or health.state != "ok" or health.last_shutdown != "clean"

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Thresholds:
        """Read what ``_asdict`` gave to JSON."""
        return cls(**{**fields, "on": tuple(fields["on"])})


class HealthFile:
    """Injected health and thresholds of one machine's DIMMs.

    Args:
        home: the machine's directory.
        undo: keeps the previous contents of the file before a change that may be undone later.
    """

    def __init__(self, home: str, undo: Undo) -> None:
        self._path = os.path.join(home, FILE)
        self._undo = undo

    def over(self, spec: MachineSpec) -> MachineSpec:
        """The description with what was injected in place of what it says."""
        found = self._load()
        return spec._replace(
            dimms=tuple(
                dimm._replace(health=dimm.health._replace(**found[dimm.id]["health"])) if dimm.id in found else dimm
                for dimm in spec.dimms
            )
        )

    def thresholds(self, dimm: str) -> Thresholds:
        """The alarm thresholds of a DIMM."""
        fields = self._load().get(dimm, {}).get("thresholds", {})
        return Thresholds.from_json(fields) if fields else Thresholds()

    def inject(self, dimm: str, **values: float | str | None) -> None:
        """Make a DIMM report other values than its own: fields of ``HealthSpec``; None ends an injection."""
        unknown = values.keys() - set(HealthSpec._fields)
        if unknown:
            raise TypeError(f"a DIMM's health has no {sorted(unknown)[0]}")
        found = self._load()
        entry = found.setdefault(dimm, {"health": {}})
        entry["health"] = {k: v for k, v in {**entry["health"], **values}.items() if v is not None}
        self._store(found)

    def set_thresholds(self, dimm: str, thresholds: Thresholds) -> None:
        """Replace the alarm thresholds of a DIMM."""
        found = self._load()
        found.setdefault(dimm, {"health": {}})["thresholds"] = thresholds._asdict()
        self._store(found)

    def _load(self) -> dict[str, dict[str, Any]]:
        try:
            with open(self._path, "rb") as file:
                found = decode(file.read().decode())
            return {str(dimm): {**entry, "health": dict(entry["health"])} for dimm, entry in found.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
            raise StateError(f"{self._path}: {error}", hint="remove the file to forget what was injected") from error

    def _store(self, found: dict[str, dict[str, Any]]) -> None:
        self._undo.keep(FILE)
        try:
            with open(f"{self._path}.new", "w", encoding="utf-8", opener=private) as file:
                file.write(encode(found))
            os.replace(f"{self._path}.new", self._path)
        except OSError as error:
            raise trouble(self._path, error) from error
