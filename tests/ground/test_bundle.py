"""The bundle of modules: what is in it, that its code does what the sources say, and when it is not used."""

from __future__ import annotations
import __future__

import importlib
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

import xlpy
from tools.bundle import compiled, groups, lean, session
from xlpy.bundle import Bundle

TREE = Path(xlpy.__file__).parents[1]


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A package of a test's own; ``bundled`` gives the finder of its bundle, in use."""
    home = tmp_path / "sample"
    (home / "inner").mkdir(parents=True)
    (home / "__init__.py").write_text("")
    (home / "one.py").write_text(
        '"""One."""\nfrom __future__ import annotations\n\ndef fail(a: int):\n    raise ValueError\n'
    )
    (home / "two.py").write_text("from sample.one import fail\nran = []\n")
    (home / "inner" / "__init__.py").write_text("from sample.inner.part import value\n")
    (home / "inner" / "part.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr("xlpy.bundle.threads", lambda: 0)  # a worker of xdist has some
    yield home
    for name in [name for name in sys.modules if name.partition(".")[0] == "sample"]:
        del sys.modules[name]


GROUPS = [["sample.one", "sample.two"], ["sample.inner.part", "sample.inner"]]


@pytest.fixture
def bundled(site):
    def made(data=None):
        file = site / "bundle"
        file.write_bytes(compiled(GROUPS, site.parent) if data is None else data)
        finder = Bundle(str(site.parent), str(file))
        sys.meta_path.insert(0, finder)
        return finder

    return made


def taken(name):
    return type(sys.modules[name].__loader__).__module__ == "xlpy.bundle"


def test_what_a_module_imports_runs_before_it_and_once(bundled):
    bundled()
    import sample.two

    assert taken("sample.one")
    assert taken("sample.two")
    assert sample.one is sys.modules["sample.one"]
    assert sample.two.fail is sample.one.fail
    assert "sample.inner" not in sys.modules


def test_a_package_that_imports_its_modules_comes_first(bundled):
    bundled()
    import sample.inner.part

    assert taken("sample.inner")
    assert taken("sample.inner.part")
    assert sample.inner.value == sample.inner.part.value == 1
    assert sample.inner.__path__ == [str(Path(sample.inner.__file__).parent)]


def test_a_module_has_the_attributes_that_python_gives_it(bundled, site):
    spec = importlib.util.find_spec("sample.inner")
    names = {name for name in vars(importlib.util.module_from_spec(spec)) if name != "__builtins__"}
    bundled()
    import sample.inner.part

    assert names <= set(vars(sample.inner))
    assert sample.inner.part.__file__ == str(site / "inner" / "part.py")
    assert sample.inner.part.__package__ == sample.inner.part.__spec__.parent == "sample.inner"
    assert sample.inner.__spec__.submodule_search_locations == spec.submodule_search_locations
    assert sample.inner.part.__loader__.get_source("sample.inner.part") == "value = 1\n"


def test_errors_know_file_and_line(bundled, site):
    bundled()
    import sample.one

    with pytest.raises(ValueError) as caught:
        sample.one.fail(1)
    assert str(caught.traceback[-1].path) == str(site / "one.py")
    assert caught.traceback[-1].lineno == 4


@pytest.mark.parametrize("seconds", [60, 61])
def test_a_source_that_is_newer_than_the_installation_is_taken_instead(bundled, site, seconds):
    made = site.stat().st_mtime
    bundled()
    os.utime(site / "bundle", (made, made))
    os.utime(site / "one.py", (made + seconds, made + seconds))
    sys.meta_path[0] = Bundle(str(site.parent), str(site / "bundle"))
    import sample.two

    assert taken("sample.two")
    assert taken("sample.one") is (seconds == 60)
    assert sample.two.fail is sample.one.fail


def test_a_source_of_another_size_is_taken_instead(bundled, site):
    bundled()
    (site / "two.py").write_text("ran = None\n")
    import sample.two

    assert sample.two.ran is None
    assert not taken("sample.two")


def test_reloading_reads_the_source(bundled):
    bundled()
    import sample.inner.part

    sample.inner.part.value = 2
    assert importlib.reload(sample.inner.part).value == 1


@pytest.mark.parametrize("others", [0, 1])
def test_beside_another_thread_the_import_system_does_it(bundled, monkeypatch, others):
    monkeypatch.setattr("xlpy.bundle.threads", lambda: others)
    finder = bundled()
    monkeypatch.setattr(finder, "_run", lambda name: ran.append(name))
    ran = []
    importlib.import_module("sample.two")
    assert ran == ([] if others else ["sample.one"])
    assert taken("sample.one")


def test_a_module_that_fails_is_not_left_half_made(bundled, site):
    (site / "one.py").write_text("fail = 1\nraise KeyError(1)\n")
    bundled()
    with pytest.raises(KeyError):
        importlib.import_module("sample.two")
    assert {"sample.one", "sample.two"} & set(sys.modules) == set()


@pytest.mark.parametrize("cut", [0, 4, 8, 20, -1])
def test_a_damaged_bundle_is_no_bundle(bundled, site, cut):
    data = compiled(GROUPS, site.parent)[:cut]
    if cut == -1:  # the index is whole, the last group is not
        bundled(data)
        import sample.inner

        assert sample.inner.value == 1
    else:
        with pytest.raises((EOFError, ValueError, TypeError)):
            bundled(data)


def test_a_bundle_of_another_python_is_none(bundled, site):
    with pytest.raises(ValueError, match="another Python"):
        bundled(b"\0\0\r\n" + compiled(GROUPS, site.parent)[4:])


SOURCE = '''"""A module."""
from __future__ import annotations
from xlpy.typing import TYPE_CHECKING, Any, cast
if TYPE_CHECKING:
    from nowhere import Nothing
else:
    Nothing = 3
LIMIT: int = cast("int", 4)
later: Nothing


class Row:
    """A class."""

    first: int
    second: str = "x"


def function(one: Any, *more: int, two: str = "2", **rest: Nothing) -> Nothing:
    """Help."""
    found: list[int] = [one, *more]
    unknown: int
    return found, two, rest


def nothing() -> None:
    """Only this."""
'''


def compiled_lean(source, keep_help):
    flags = __future__.annotations.compiler_flag
    return compile(lean(source, keep_help=keep_help), "sample.py", "exec", flags, dont_inherit=True)


@pytest.mark.parametrize("keep_help", [False, True])
def test_lean_code_does_the_same_without_what_only_readers_need(keep_help):
    module = {"__name__": "sample"}
    exec(compiled_lean(SOURCE, keep_help), module)
    assert module["function"](1, 2, a=3) == ([1, 2], "2", {"a": 3})
    assert module["nothing"]() is None
    assert (module["LIMIT"], module["Nothing"]) == (4, 3)
    assert module["Row"].__annotations__ == {"first": "int", "second": "str"}
    assert module["function"].__annotations__ == {}
    assert (module["function"].__doc__, module["nothing"].__doc__) == (
        ("Help.", "Only this.") if keep_help else (None, None)
    )
    assert {"__doc__", "annotations", "TYPE_CHECKING", "Any", "later"} & set(module) == set()
    assert module["function"].__code__.co_firstlineno == SOURCE[: SOURCE.index("def function")].count("\n") + 1


def outline(code):
    """Name and line of each function and class in a module, without those that make annotations (Python 3.14)."""
    inner = [one for one in code.co_consts if hasattr(one, "co_code") and one.co_name != "__annotate__"]
    return [(code.co_qualname, code.co_firstlineno), *(row for one in inner for row in outline(one))]


@pytest.mark.parametrize("name", [names[len(names) // 2] for names in groups() if len(names) > 2])
def test_lean_code_has_every_function_at_its_line(name):
    file = TREE / Path(*name.split("."))
    source = (file / "__init__.py" if file.is_dir() else file.with_suffix(".py")).read_text()
    found = outline(compiled_lean(source, keep_help=False))
    assert set(found[1:]) == set(outline(compile(source, name, "exec", dont_inherit=True))[1:])


OF_ITS_RUN = re.compile(r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}|\d+\.\d+|\d\d:\d\d:\d\d")  # UUIDs and times


@pytest.mark.needs("mke2fs")
def test_an_installation_takes_all_that_the_session_loads_and_does_the_same(tmp_path):
    home = tmp_path / "site"
    shutil.copytree(TREE / "xlpy", home / "xlpy", ignore=shutil.ignore_patterns("__pycache__"))
    (home / "xlpy" / f"bundle.{sys.implementation.cache_tag}").write_bytes(compiled(groups()))
    expected = session()
    wanted = {name for one in expected for name in one.loaded}
    assert {name for names in groups() for name in names} == wanted, "run: python -m tools.bundle"
    for one, other in zip(expected, session(home), strict=True):
        assert (other.line, OF_ITS_RUN.sub("", other.printed)) == (one.line, OF_ITS_RUN.sub("", one.printed))
        assert one.taken == set()
        assert other.taken == set(one.loaded), other.line
