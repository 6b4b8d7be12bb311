"""``xlpy export`` on the emulated host: the three files, pins, check and release."""

from __future__ import annotations

import json

import pytest

from xlpy.toolstack.config import load_config

CONFIG = """\
# a guest with persistent memory
name = "vm1"
type = "hvm"
memory = 512
vnvdimm = [ 'file=/mnt/pmem0/vm1.img' ]
serial = "pty"
"""


@pytest.fixture
def config(tmp_path):
    """Write a configuration; its path."""

    def write(text=CONFIG, name="domain.cfg"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.fixture
def ready(xlpy):
    """A host with a file for data, which the default machine has, and one for labels."""
    xlpy("pmem", "mkfile", "128K", "/mnt/pmem0/vm1.labels")
    return xlpy


def test_the_three_files(ready, config, tmp_path):
    out = tmp_path / "new" / "out"
    shown = ready("export", config(), "-o", out)
    assert shown.out.splitlines() == [str(out / f"vm1.{kind}") for kind in ("cfg", "acpi", "json")]
    record = json.loads((out / "vm1.json").read_text())
    area = record["vnvdimms"][0]["data"]
    stock = load_config((out / "vm1.cfg").read_text(), "vm1.cfg", strict=True)
    assert not stock.vnvdimms
    assert stock.tree["b_info"]["iomem"] == [
        {"start": spa >> 12, "number": size >> 12, "gfn": area["gpa"] >> 12} for spa, size in area["spans"]
    ]
    assert stock.acpi_firmware == str(out / "vm1.acpi")
    blob = (out / "vm1.acpi").read_bytes()
    assert blob[:4] == b"NFIT"
    assert blob[int.from_bytes(blob[4:8], "little") :][:4] == b"SSDT"


def test_check_and_release(ready, config, tmp_path):
    ready("export", config(), "-o", tmp_path)
    record = tmp_path / "vm1.json"
    assert ready("export", "check", record).out == f"{record}: ok\n"
    ready("create", config(), status=5)
    ready("export", "release", record)
    assert not record.exists()
    assert not (tmp_path / "vm1.acpi").exists()
    ready("create", config())
