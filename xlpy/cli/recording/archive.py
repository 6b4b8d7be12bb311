"""The file of a recording: a zip archive with ``recording.json`` and blobs, read as untrusted input."""

from __future__ import annotations

import json
import zipfile
import zlib

from xlpy import __version__, limits
from xlpy.cli.recording.recorder import COMMANDS
from xlpy.contexts import contextmanager
from xlpy.errors import ConfigError, StateError, file_error
from xlpy.inputs import open_plain
from xlpy.outputs import replacing
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA, VERSION = "xlpy.recording/", 1
INDEX = "recording.json"


def write(folder: Path, path: str, about: dict[str, Any]) -> int:
    """Put a folder of ``recorder`` into one file; nothing is left when that fails.

    Args:
        about: what ``xlpy doctor`` says.

    Returns:
        how many commands there are. Errors as ``replacing``.
    """
    lines = (folder / COMMANDS).read_text(encoding="utf-8").splitlines() if (folder / COMMANDS).exists() else []
    index = {
        "schema": f"{SCHEMA}{VERSION}",
        "xlpy": __version__,
        "about": about,
        "commands": list(map(json.loads, lines)),
    }
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(INDEX, json.dumps(index, indent=1))
        for blob in sorted(folder.glob("[0-9a-f]*")):
            if len(blob.name) == 32:
                archive.write(blob, f"blobs/{blob.name}", zipfile.ZIP_STORED)
    return len(lines)


class Recording:
    """A recording that was opened. index: what ``recording.json`` says."""

    def __init__(self, path: str, archive: zipfile.ZipFile, index: dict[str, Any]) -> None:
        self.path, self._archive, self.index = path, archive, index

    @property
    def commands(self) -> list[dict[str, Any]]:
        """The commands in order."""
        found: list[dict[str, Any]] = self.index["commands"]
        return found

    def blob(self, name: str) -> bytes:
        """A blob by its name. KeyError: there is none."""
        info = self._archive.getinfo(f"blobs/{name}")
        if info.file_size > limits.RECORDING:
            raise StateError(f"{self.path}: a part of {info.file_size} bytes is too large")
        return self._archive.read(info)


@contextmanager
def opened(path: str) -> Iterator[Recording]:
    """Open a recording.

    Raises:
        ConfigError: it is none. StateError: it is damaged, or of a newer version. Others as ``read_file``.
    """
    try:
        with open_plain(path, nonempty=True) as file, zipfile.ZipFile(file) as archive:
            info = archive.getinfo(INDEX)
            if info.file_size > limits.RECORDING_INDEX:
                raise odd(path)
            index = json.loads(archive.read(info))
            _check(path, index)
            yield Recording(path, archive, index)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ConfigError(f"{path} is no recording, or damaged: {error}", hint="xlpy record makes one") from None
    except OSError as error:
        raise file_error(error, path) from None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError, NotImplementedError) as error:
        raise odd(path) from error


def _check(path: str, index: Any) -> None:  # noqa: ANN401 - any JSON value
    schema = index.get("schema") if isinstance(index, dict) else None
    if not isinstance(schema, str) or not schema.startswith(SCHEMA):
        raise odd(path)
    number = schema.removeprefix(SCHEMA)
    if not number.isdigit() or int(number) > VERSION:
        raise StateError(
            f"{path} is of version {number}, this xlpy reads version {VERSION}",
            hint=f"replay it with the xlpy that wrote it: {index.get('xlpy')}",
        )
    if not isinstance(index.get("commands"), list):
        raise odd(path)


def odd(path: str) -> StateError:
    """The error for an archive that is none of ours."""
    return StateError(f"{path} is not as xlpy record writes it", hint="record it again")
