"""`config check` and `create --explain`."""

from __future__ import annotations

import json

from xlpy.cli.main import run


def test_good_and_bad_files(tmp_path, capsys):
    good, bad = tmp_path / "good.cfg", tmp_path / "bad.cfg"
    good.write_text('name = "g"\ntype = "hvm"\nmemroy = 512\n')
    bad.write_text('name = "b"\ntype = "hvm"\nvnvdimm = [ "fiel=/dev/pmem0" ]\n')
    assert run(["config", "check", str(good), str(bad), str(tmp_path / "none.cfg")]) == 4
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [
        f"{good}: ok",
        f"{bad}: cannot be used",
        f"{tmp_path}/none.cfg: cannot be used",
    ]
    assert "good.cfg:3:1: warning: unknown key memroy" in shown.err
    assert "did you mean memory?" in shown.err
    assert "bad.cfg:3:" in shown.err
    assert run(["config", "check", str(good), str(bad)]) == 3
    assert run(["config", "check", str(good)]) == 0


def test_json_has_one_result_a_file(tmp_path, capsys):
    path = tmp_path / "a.cfg"
    path.write_text("name = \n")
    assert run(["config", "check", "--json", str(path)]) == 3
    (item,) = json.loads(capsys.readouterr().out)["items"]
    assert (item["file"], item["valid"], item["errors"][0]["line"]) == (str(path), False, 1)


def test_explain_shows_what_was_read_and_what_is_in_force(tmp_path, capsys):
    path = tmp_path / "a.cfg"
    path.write_text('name = "a"\ntype = "hvm"\nmemory = 512\n')
    assert run(["create", "--explain", "--json", str(path)]) == 0
    rows = {row["key"]: row for row in json.loads(capsys.readouterr().out)["items"]}
    assert rows["memory"]["value"] == "512"
    assert rows["memory"]["origin"].startswith(f"{path}:3:")
    assert rows["acpi"]["value"] is None
    assert rows["acpi"]["origin"] == "default"
