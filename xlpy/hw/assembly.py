"""The files of a machine: made all at once, and removed all at once.

They are made under another name and renamed when they are complete, and renamed before they are removed, so that the
machine is whole whenever it exists.
"""

from __future__ import annotations

import os

from xlpy.addr import Spa, Span
from xlpy.errors import Conflict, NotFound, StateError
from xlpy.hw.machine import spec_from_json, spec_to_json
from xlpy.hw.media import Media, exists, trouble
from xlpy.hw.poison import PoisonList
from xlpy.jsontext import decode
from xlpy.private import folder, private
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from xlpy.hw.machine import MachineSpec


def assemble(root: Path, spec: MachineSpec) -> None:
    """Make the files of a machine under ``root``. Errors as ``Hardware.create``."""
    home, fresh = root / "hw", root / f"hw.new.{os.getpid()}"
    if exists(home):
        raise Conflict(f"{root}: there is a machine already", hint="replace it with: xlpy host reset")
    try:
        folder(root)
        _sweep(root)
        _remove(fresh)
        for part in (fresh, fresh / "media", fresh / "labels"):
            folder(part)
    except OSError as error:
        raise trouble(root, error) from error
    try:
        Media.create(fresh / "ram", spec.ram)
        for one in spec.sets:
            Media.create(fresh / "media" / one.name, one.size)
        for dimm in spec.dimms:
            if dimm.label_size:
                Media.create(fresh / "labels" / dimm.id, dimm.label_size)
        bad = (Span(Spa(one.base + offset), size) for one in spec.sets for offset, size in one.poison)
        PoisonList.create(fresh / "poison.json", bad)
        with open(fresh / "machine.json", "w", encoding="utf-8", opener=private) as file:
            import json

            json.dump(spec_to_json(spec), file, indent=1)
        fresh.rename(home)
    except BaseException as error:
        _remove(fresh)
        if isinstance(error, OSError):
            if exists(home):
                raise Conflict(f"{root}: another command made a machine meanwhile") from error
            raise trouble(home, error) from error
        raise


def described(root: str | os.PathLike[str]) -> MachineSpec:
    """The machine under ``root`` as ``machine.json`` describes it. Errors as ``Hardware.open``."""
    home = os.path.join(root, "hw")
    try:
        with open(os.path.join(home, "machine.json"), "rb") as file:
            return spec_from_json(decode(file.read().decode()))
    except FileNotFoundError:
        if exists(home):
            raise StateError(f"{home}: machine.json is missing", hint="xlpy host reset") from None
        raise NotFound(f"{root}: there is no machine", hint="make one with: xlpy host init") from None
    except (ValueError, OSError) as error:
        raise StateError(f"{home}/machine.json: {error}", hint="xlpy host reset") from error


def scrap(root: Path) -> None:
    """Remove them. Errors as ``Hardware.remove``."""
    old = root / f"hw.old.{os.getpid()}"
    try:
        _remove(old)
        if exists(root / "hw"):
            (root / "hw").rename(old)
        _sweep(root)
        _remove(old)
    except OSError as error:
        raise trouble(root, error) from error


def _remove(path: Path) -> None:
    if path.exists():
        import shutil

        shutil.rmtree(path)


def _sweep(root: Path) -> None:
    """Remove what a killed ``create`` or ``remove`` left."""
    for path in root.glob("hw.*.*"):
        pid = path.name.rpartition(".")[2]
        if not pid.isdigit() or not _alive(int(pid)):
            _remove(path)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
