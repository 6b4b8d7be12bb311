"""Foreign judges: Intel's acpica-tools, used where they are installed (``apt-get install acpica-tools``)."""

import shutil
import subprocess
from pathlib import Path

import pytest


def tool(name):
    """The path of an acpica tool; skips the test when there is none."""
    return shutil.which(name) or pytest.skip(f"{name} is not installed (package acpica-tools)")


def run(*command, folder, **kwargs):
    return subprocess.run(
        [str(part) for part in command], cwd=folder, capture_output=True, text=True, timeout=60, check=False, **kwargs
    )


def compile_asl(folder: Path, sources, *, signature="SSDT", revision=2, options=("-of",)):
    """Compile bodies of definition blocks, one run of iasl each: it does not stand several files.

    Returns:
        the tables, in order.
    """
    iasl = tool("iasl")
    tables = []
    for number, body in enumerate(sources):
        file = folder / f"t{number}.asl"
        file.write_text(f'DefinitionBlock ("", "{signature}", {revision}, "XLPY", "TEST", 1)\n{{\n{body}\n}}\n')
        result = run(iasl, "-vw", "3144", *options, file, folder=folder)
        assert result.returncode == 0, result.stdout + result.stderr
        tables.append(file.with_suffix(".aml").read_bytes())
    return tables


def disassemble(folder: Path, tables):
    """Complaints of ``iasl -d`` about tables (empty when it has none), and the ASL texts.

    Args:
        tables: table bytes by file name.
    """
    iasl = tool("iasl")
    for name, data in tables.items():
        (folder / name).write_bytes(data)
    result = run(iasl, "-d", *tables, folder=folder)
    text = result.stdout + result.stderr
    bad = [line for line in text.splitlines() if any(word in line for word in ("Error", "Warning", "Invalid", "rror "))]
    return bad, [(folder / name).with_suffix(".dsl").read_text() for name in tables]
