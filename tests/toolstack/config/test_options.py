"""The table of keys, and what is made from it: the reference page, completions, explanations, checks."""

from __future__ import annotations

from pathlib import Path

import pytest
from work import calls

from xlpy.toolstack.config.domain_config import load_config
from xlpy.toolstack.config.explain import explain, written
from xlpy.toolstack.config.libxl_json import STRUCTURES
from xlpy.toolstack.config.lint import check_files, check_text
from xlpy.toolstack.config.options import OPTIONS, SECTIONS
from xlpy.toolstack.config.options.completion import complete
from xlpy.toolstack.config.options.docs import page
from xlpy.toolstack.config.options.option import BOOLEAN, INTEGER, LISTS, STRING, XL, XLPY
from xlpy.toolstack.config.xlcfg import Refused, Settings, parse

DOCS = Path(__file__).parents[3] / "docs"
EXAMPLES = sorted((Path(__file__).parent / "examples").glob("*.cfg"))


def test_each_key_is_there_once_and_explained():
    assert sum(len(options) for _, options in SECTIONS) == len(OPTIONS)
    for option in OPTIONS.values():
        assert option.help.endswith("."), option.key


def test_a_path_is_for_values_that_go_there_as_they_are():
    """Others are read in a step of their own (config/reading/steps.py)."""
    for option in OPTIONS.values():
        if option.path:
            assert option.type in (STRING, INTEGER, BOOLEAN), option.key
            assert option.store or option.type != INTEGER, f"{option.key}: how libxl stores it"
            assert XLPY not in option.unread_by, f"{option.key}: it is read"


def test_the_reference_page_is_current():
    found = (DOCS / "xl.cfg.md").read_text(encoding="utf-8")
    assert found == page(), "run: python -m xlpy.toolstack.config.options.docs > docs/xl.cfg.md"


def test_departures_are_documented():
    text = (DOCS / "departures.md").read_text(encoding="utf-8")
    for departure in ("only xlpy refuses", "CR LF", "comment on the last line", "byte order mark", "`\\xNN`"):
        assert departure in text


@pytest.mark.parametrize("xen", ["4.17", "4.20"])
def test_what_the_examples_set_has_a_place_in_the_json(xen):
    """A field that libxl_json.py does not list would be read and never printed."""
    lost = []
    for path in EXAMPLES:
        try:
            config = load_config(path.read_bytes(), path.name, xen=xen)
        except Refused:
            continue
        lost += [(path.name, field) for field in _unlisted("domain_config", config.tree, config.type)]
    assert lost == []


def _unlisted(structure, node, guest):
    kinds = {field.lstrip("+*"): field[0] for field in STRUCTURES[structure]}
    for field, value in node.items():
        if field not in kinds:
            yield f"{structure}.{field}"
        elif kinds[field] in "+*":
            for inner in value if kinds[field] == "*" else [value]:
                yield from _unlisted(guest if field == "u" else field, inner, guest)


@pytest.mark.parametrize(
    "option", [option for option in OPTIONS.values() if option.path], ids=lambda option: option.key
)
def test_every_path_has_a_place_in_the_json(option):
    tree = True
    for field in reversed(option.path.split(".")):
        tree = {field: tree}
    assert [*_unlisted("domain_config", tree, option.guests[0])] == []


HEADS = {guest: f'name = "a"\ntype = "{guest}"\nkernel = "/k"\n' for guest in ("hvm", "pv", "pvh")}


def test_every_key_is_read_or_the_table_says_that_it_is_not(monkeypatch):
    """In a version that knows all of them, for every guest that a key is for."""
    asked = set()
    for name in ("string", "integer", "items", "__getitem__"):
        monkeypatch.setattr(Settings, name, _noting(getattr(Settings, name), asked))
    for key, option in OPTIONS.items():
        value = "[[]]" if option.type == LISTS else '["a"]' if option.type.startswith("list") else "1"
        for guest in option.guests:
            try:
                load_config(f"{HEADS[guest]}{key} = {value}\n", "a.cfg", xen="4.99")
            except Refused:
                continue
    assert sorted(OPTIONS.keys() - asked) == sorted(key for key, one in OPTIONS.items() if one.unread_by == (XLPY,))


def _noting(method, asked):
    def noting(settings, key, *more):
        asked.add(key)
        return method(settings, key, *more)

    return noting


@pytest.mark.parametrize(
    ("key", "since", "unread_by", "xen", "said"),
    [
        ("hvm_pirq", "4.19", (), "4.18", ["hvm_pirq is for Xen 4.19 and later; 4.18 ignores it"]),
        ("hvm_pirq", "4.19", (), "4.19", []),
        ("altp2m_count", "4.21", (XLPY,), "4.20", ["altp2m_count is for Xen 4.21 and later; 4.20 ignores it"]),
        ("altp2m_count", "4.21", (XLPY,), "4.21", ["xl reads altp2m_count, xlpy does not: it has no effect here"]),
        ("vncviewer", "", (XL, XLPY), "4.17", ["vncviewer is ignored"]),
        ("acpi", "", (), "4.17", []),
    ],
)
def test_introduced_in_and_not_read_are_two_facts(key, since, unread_by, xen, said):
    assert (OPTIONS[key].since, OPTIONS[key].unread_by) == (since, unread_by)
    config = load_config(f'name = "a"\ntype = "hvm"\n{key} = 1\n', "a.cfg", xen=xen)
    assert [warning.message for warning in config.warnings] == said
    (row,) = [row for row in explain(config) if row.key == key]
    assert row.note == "".join(said)
    facts = next(line for line in page().splitlines() if line.startswith(f"**`{key}`**"))
    assert (f"Xen {since} and later" in facts, "not read by" in facts) == (bool(since), bool(unread_by))


def test_completions():
    assert [word for word, _ in complete("maxv")] == ["maxvcpus="]
    assert "hvm_pirq=" not in [word for word, _ in complete("hvm")], "4.17 does not know it"
    assert [word for word, _ in complete('type="p')] == ['type="pv"', 'type="pvh"']
    assert [word for word, _ in complete("acpi=")] == ["acpi=0", "acpi=1"]
    assert complete("disk+=") == [("disk+=[", "")]
    assert complete("nonsense=") == []


def test_explanations():
    config = load_config(
        'name = "a"\ntype = "hvm"\nmemory = "x"\ntypo = [ "b", [ 1 ] ]\n', "a.cfg", ["vcpus=2", "pvshim=1"]
    )
    rows = {row.key: row for row in explain(config)}
    assert rows["name"][:] == ("name", '"a"', "required", "a.cfg:1:8", "")
    assert rows["memory"].note == "memory: 'x' is not a valid number; xl ignores it"
    assert rows["typo"][1:] == ('["b", [1]]', "-", "a.cfg:4:8", "unknown key typo; xl ignores it")
    assert rows["vcpus"][1:4] == ("2", "1", "<command line>:1:7")
    assert rows["pvshim"].note == "pvshim has no effect on a hvm guest"
    assert rows["maxmem"][1:] == (None, "memory", "default", "")
    assert "e820_host" not in rows, "it is for PV guests"


def test_values_are_written_as_they_can_be_read():
    text = 'x = ["a\\"b\\\\\\n", 7, [], [[""]]]\n'
    value = parse(text, "a")["x"]
    assert written(value) == '["a\\"b\\\\\\n", 7, [], [[""]]]'
    assert parse(f"x = {written(value)}\n", "a")["x"] == value
    deep = parse("x = " + "[" * 4000 + "]" * 4000, "a")["x"]
    assert len(written(deep)) == 8000


def test_checks():
    good = check_text('name = "a"\ntype = "hvm"\ntypo = 1\n', "a.cfg")
    assert good.valid
    assert good.to_json() == {
        "file": "a.cfg",
        "valid": True,
        "errors": [],
        "warnings": [
            {
                "source": "a.cfg",
                "line": 3,
                "column": 1,
                "message": "unknown key typo; xl ignores it",
                "hint": "did you mean type?",
            }
        ],
    }
    bad = check_text('type = "hvm"\non_crash = "x"\ntypo = 1\n', "b.cfg")
    assert [problem.message for problem in bad.errors] == ["the domain has no name", "on_crash: unknown action 'x'"]
    assert len(bad.warnings) == 1
    assert bad.to_json()["errors"][0]["line"] is None
    crlf = 'name = "a"\r\ntype = "hvm"\r\n'
    assert check_text(crlf, "c.cfg").valid
    assert not check_text(crlf, "c.cfg", strict=True).valid


def test_a_file_that_cannot_be_read_is_an_error_of_its_own(tmp_path):
    (tmp_path / "a.cfg").write_text('name = "a"\ntype = "hvm"\n')
    results = list(check_files([tmp_path / "a.cfg", tmp_path / "none.cfg", tmp_path]))
    assert [result.valid for result in results] == [True, False, False]
    assert results[1].errors[0].message == f"{results[1].file}: No such file or directory"


def test_a_file_costs_no_more_for_those_before_it(tmp_path):
    text = (Path(__file__).parent / "examples" / "hvm-server.cfg").read_text(encoding="utf-8")
    for number in range(100):
        (tmp_path / f"{number:03}.cfg").write_text(text.replace("web1", f"web{number:03}"))
    files = sorted(tmp_path.glob("*.cfg"))
    results = check_files(files)
    first, *middle, last = [calls(lambda: next(results)) for _ in files]
    assert last <= min(first, *middle) * 1.1
