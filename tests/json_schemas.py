"""Schemas of what ``--json`` prints, as ``tests/cli/test_json.py`` holds them against every command's output.

``XLPY_COLLECT_JSON=FOLDER`` keeps the documents, one a line, for ``python -m tools.schemas draft FOLDER``.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

from jsonschema import Draft202012Validator

import xlpy
from xlpy.cli import render

FOLDER = Path(xlpy.__file__).parent / "schemas"
COLLECT = os.environ.get("XLPY_COLLECT_JSON")


@cache
def validator(schema):
    """For a schema's name, such as ``xlpy.list/1``."""
    name, version = schema.removeprefix("xlpy.").split("/")
    path = FOLDER / f"{name}-{version}.json"
    assert path.is_file(), f"{schema} has no schema: python -m tools.schemas draft makes {path.name}"
    return Draft202012Validator(json.loads(path.read_text()))


def collect(document):
    """Keep a document."""
    Path(COLLECT).mkdir(parents=True, exist_ok=True)
    with Path(COLLECT, f"{os.getpid()}.jsonl").open("a") as file:
        file.write(json.dumps(document) + "\n")


def check(document):
    """Fail when a document is not what its schema says."""
    problems = list(validator(document["schema"]).iter_errors(document))
    assert not problems, "\n".join(f"{document['schema']} {one.json_path}: {one.message}" for one in problems[:5])


def watch(monkeypatch):
    """Keep whatever is printed from now on."""
    in_lines, in_one_line = render._document, render._line

    def lines(fields):
        rows = {key: value for key, value in fields.items() if isinstance(value, render.NumberRows)}
        shown = {key: value for key, value in fields.items() if key not in rows}
        for key, value in rows.items():
            text = "".join(value.texts()).split(render.SEPARATOR)
            shown[key] = [json.loads(row) for row in (text[0], text[-1])]
        collect(json.loads(json.dumps(shown)))
        return in_lines(fields)

    def line(fields):
        text = in_one_line(fields)
        collect(json.loads(text))
        return text

    monkeypatch.setattr(render, "_document", lines)
    monkeypatch.setattr(render, "_line", line)
