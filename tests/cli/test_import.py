"""``xlpy import`` and what ``config check`` says of iomem over persistent memory."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from xlpy.addr import PAGE

CONFIGS = Path(__file__).parents[2] / "configs"

FILE, LABELS = "/mnt/pmem0/vm1.img", "/mnt/pmem0/vm1.labels"
CONFIG = f"""\
name = "vm1"
type = "hvm"
memory = 512
vnvdimm = [ 'file={FILE},label_file={LABELS}' ]
iomem = [ "d0000,10@d0000" ]
"""


@pytest.fixture
def exported(xlpy, tmp_path):
    """An export with labels; the folder."""
    xlpy("pmem", "mkfile", "128K", LABELS)
    path = tmp_path / "domain.cfg"
    path.write_text(CONFIG)
    xlpy("export", path, "-o", tmp_path)
    return tmp_path


def test_what_was_exported(xlpy, exported):
    (one,) = xlpy("import", "--json", exported / "vm1.cfg").json["items"]
    assert (one["handle"], one["unarmed"], one["valid"]) == (1, False, True)
    assert (one["data"]["path"], one["labels"]["path"]) == (FILE, LABELS)
    assert one["data"]["exported"] == one["labels"]["exported"] == str(exported / "vm1.json")
    assert (one["data"]["gpa"], one["labels"]["gpa"]) == (20 << 30, 21 << 30)
    assert (one["data"]["size"], one["labels"]["size"]) == (64 << 20, 128 << 10)


def test_the_configuration_of_the_design_comes_back(xlpy, exported):
    text = xlpy("import", "--config", exported / "vm1.cfg").out
    xlpy("export", "release", exported / "vm1.json")
    (exported / "again.cfg").write_text(text)
    again = xlpy("export", "-n", "--json", exported / "again.cfg", "-o", exported).json
    assert [one["data"]["path"] for one in again["vnvdimms"]] == [FILE]
    assert again["vnvdimms"][0]["labels"]["path"] == LABELS
    assert again["iomem"] == 3  # its own is there still


def by_hand(exported, xlpy, change=lambda text: text):
    """The same without an export that holds it, as somebody may write it."""
    blob, text = (exported / "vm1.acpi").read_bytes(), (exported / "vm1.cfg").read_text()
    xlpy("export", "release", exported / "vm1.json")
    (exported / "hand.acpi").write_bytes(blob)
    path = exported / "hand.cfg"
    path.write_text(change(text).replace("vm1.acpi", "hand.acpi"))
    return path


def test_what_is_not_held_is_found_on_the_media(xlpy, exported):
    shown = xlpy("import", "--json", by_hand(exported, xlpy), status=10)
    (one,) = shown.json["items"]
    assert (one["data"]["path"], one["data"]["exported"]) == (FILE, None)
    assert "no export holds it" in shown.err


def test_a_devdax_device(xlpy, tmp_path, monkeypatch):
    """It has neither a file system nor a block device, and is found by its ranges."""
    machine = next(one for one in (CONFIGS / "machines").glob("*.yaml") if "mode: devdax" in one.read_text())
    monkeypatch.setenv("XLPY_ROOT", str(tmp_path / "devdax"))
    xlpy("host", "init", "--machine", machine)
    device = next(one for one in xlpy("pmem", "list", "--json").json["items"] if one["mode"] == "devdax")["chardev"]
    path = tmp_path / "domain.cfg"
    path.write_text(f'name = "vm1"\ntype = "hvm"\nmemory = 512\nvnvdimm = [ "file=/dev/{device}" ]\n')
    xlpy("export", path, "-o", tmp_path)
    (one,) = xlpy("import", "--json", tmp_path / "vm1.cfg").json["items"]
    assert (one["data"]["path"], one["data"]["kind"], one["valid"]) == (f"/dev/{device}", "devdax", True)
    hand = by_hand(tmp_path, xlpy)
    (one,) = xlpy("import", "--json", hand, status=10).json["items"]
    assert (one["data"]["path"], one["data"]["exported"]) == (f"/dev/{device}", None)
    assert f"lies on {device}" in xlpy("config", "check", hand).err


def test_a_gap(xlpy, exported):
    path = by_hand(exported, xlpy, lambda text: text.replace(",4000@500000", ",3fff@500000"))
    assert f"no iomem entry maps guest address {(20 << 30) + 0x3FFF * PAGE:#x}" in xlpy("import", path, status=10).err


def test_memory_that_is_no_file(xlpy, exported):
    path = by_hand(exported, xlpy, lambda text: text.replace(',4000@500000"', ',3fff@500000", "443e00,1@503fff"'))
    assert "no file or device of this machine lies there" in xlpy("import", path, status=10).err


@pytest.mark.parametrize(("line", "status"), [("", 4), ('acpi_firmware = "/none"', 3)])
def test_what_has_no_vnvdimm(xlpy, tmp_path, line, status):
    path = tmp_path / "a.cfg"
    path.write_text(f'name = "a"\ntype = "hvm"\niomem = [ "1,1" ]\n{line}\n')
    xlpy("import", path, status=status)


def warnings(xlpy, *paths):
    items = xlpy("config", "check", "--json", *paths).json["items"]
    return [[found["message"] for found in item["warnings"] if "memory" in found["message"]] for item in items]


def test_check_is_content_with_an_export(xlpy, exported):
    assert warnings(xlpy, exported / "vm1.cfg") == [[]]


def test_check_warns_of_what_is_not_held(xlpy, exported):
    ((data, labels),) = warnings(xlpy, by_hand(exported, xlpy))
    assert "lies on pmem0, and no export holds it" in data
    assert "lies on pmem0, and no export holds it" in labels


def test_check_warns_of_memory_in_two_configurations(xlpy, exported):
    other = exported / "other.cfg"
    other.write_text('name = "o"\ntype = "hvm"\niomem = [ "443e00,1" ]\n')
    first, second = warnings(xlpy, exported / "vm1.cfg", other)
    assert first == []
    assert f"is that of {exported / 'vm1.cfg'} too" in second[0]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (",4000@500000", ",3fff@500000", "no iomem entry maps 0x503fff000"),
        ("memory = 512", "memory = 24576", "where this configuration has RAM"),
    ],
)
def test_check_knows_the_pattern(xlpy, exported, before, after, message):
    path = by_hand(exported, xlpy, lambda text: text.replace(before, after))
    assert any(message in text for text in warnings(xlpy, path)[0])


def test_check_knows_tables_without_memory(xlpy, exported):
    """As libvirt leaves it, which keeps acpi_firmware and knows no iomem: the guest would write into nothing."""
    path = by_hand(exported, xlpy, lambda text: re.sub(r"(?ms)^iomem = .*?^\]\n", "", text))
    (found,) = xlpy("config", "check", "--json", path).json["items"][0]["warnings"]
    assert "acpi_firmware: the NFIT tells of persistent memory" in found["message"]
    assert "no iomem entry maps 0x500000000" in found["message"]
    assert path.read_text().splitlines()[found["line"] - 1].startswith("acpi_firmware")


def test_check_needs_no_host(xlpy, exported, monkeypatch):
    """Nor one whose state is damaged."""
    path = by_hand(exported, xlpy)
    broken = exported / "broken"
    broken.mkdir()
    (broken / "state.db").write_bytes(b"no database" * 1000)
    monkeypatch.setenv("XLPY_ROOT", str(broken))
    assert "hand.cfg: ok" in xlpy("config", "check", path).out


def test_check_without_the_tables(xlpy, exported):
    path = by_hand(exported, xlpy)
    (exported / "hand.acpi").unlink()
    assert "No such file" in xlpy("config", "check", path).err
    path.write_text(path.read_text().replace(str(exported / "hand.acpi"), "/of/another/machine.acpi"))
    assert "machine.acpi" not in xlpy("config", "check", path).err
