"""What a command imports is most of its time: which modules that are, without a clock."""

from __future__ import annotations

import importlib.machinery
import os
import subprocess
import sys
from pathlib import Path

import pytest

import xlpy
from xlpy.direct import Direct, install
from xlpy.toolstack.backing.resolve import Resolved

TREE = Path(xlpy.__file__).parents[1]
QUICKSTART = TREE / "configs" / "quickstart.cfg"
# Modules of the standard library and of others whose import takes a millisecond and more, with what they bring.
SLOW = {
    *(
        "click",
        "construct",
        "rich",
        "yaml",
        "typing",
        "re",
        "enum",
        "json",
        "datetime",
        "sqlite3",
        "pathlib",
        "hashlib",
    ),
    *("collections", "contextlib", "functools", "operator", "types", "struct", "bisect"),
    *("importlib", "dataclasses", "inspect", "subprocess", "shutil", "tempfile", "random", "threading", "logging"),
    *("argparse", "pickle", "platform", "socket", "uuid", "string", "copy", "traceback", "ipaddress", "urllib"),
}
FILE_PATHS = {
    "pathlib",
    "re",
    "enum",
    "ipaddress",
    "urllib",
    "collections",
    "functools",
    "operator",
    "types",
}  # what an option that is a path brings
# Command -> how many modules of ours it may import at most, and parts of xlpy of which it has no need at all.
COMMANDS = {
    ("list",): (50, ("firmware", "devicemodel", "toolstack.config", "dom0.files", "dom0.ext4", "hw.hardware", "guest")),
    ("pmem", "list"): (71, ("firmware", "devicemodel", "toolstack.config", "dom0.ext4", "dom0.files.sysfs", "guest")),
    ("whereis", "gpa", "quickstart", "0x500001000"): (
        114,
        ("devicemodel", "guest", "firmware.acpi.eval", "boot", "hw.caches"),
    ),
    ("whereis", "dpa", "dimm0", "0x1000"): (80, ("devicemodel", "toolstack.config", "dom0.ext4", "hw.caches", "boot")),
    ("map", "--html", "PAGE"): (88, ("devicemodel", "toolstack.config", "dom0.ext4", "views.picture.svg", "boot")),
    ("save", "-c", "quickstart", "SAVED"): (
        96,
        ("guest", "toolstack.config.xlcfg", "toolstack.domain.build", "dom0.ext4"),
    ),
    ("guest", "probe", "quickstart"): (
        139,
        (
            "dom0.ext4",
            "toolstack.config",
            "toolstack.domain.build",
            "boot",
            "firmware.hvmloader.main",
            "hypervisor.op_",
        ),
    ),
    ("ndctl", "list"): (70, ("dom0.emulated", "dom0.kernel", "dom0.ext4", "hypervisor", "toolstack", "firmware")),
    ("ndctl", "enable-region", "all"): (71, ("dom0.emulated", "dom0.kernel", "dom0.ext4", "hypervisor", "firmware")),
    ("create", "-q", str(QUICKSTART)): (193, ("firmware.acpi.eval", "guest", "boot", "toolstack.config.xlcfg.machine")),
    ("destroy", "quickstart"): (115, ("firmware.acpi", "guest", "boot", "toolstack.config.xlcfg")),
}
PROGRAM = """
import os, sys
sys.argv[0] = "xlpy"
leave = os._exit
os._exit = lambda status: (os.write(2, ("MODULES " + " ".join(sys.modules)).encode()), leave(status))
from xlpy.start import main
main()
"""


@pytest.fixture
def imported(host_root):
    """Run a command in a process of its own: the modules that it had when it ended."""

    def run(*words):
        done = subprocess.run(
            [sys.executable, "-S", "-c", PROGRAM, *words],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "XLPY_ROOT": str(host_root), "PYTHONPATH": str(TREE)},
        )
        assert done.returncode == 0, done.stderr
        return set(done.stderr.rpartition("MODULES ")[2].split())

    return run


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[:2]))
def test_a_command_imports_what_it_uses(imported, xlpy, tmp_path, words):
    if words[0] != "create":
        xlpy("create", "-q", QUICKSTART)
    modules = imported(*(str(tmp_path / word) if word in ("PAGE", "SAVED") else word for word in words))
    most, needless = COMMANDS[words]
    ours = sorted(name for name in modules if name.startswith("xlpy."))
    assert (SLOW - FILE_PATHS if "PAGE" in words else SLOW) & modules == set()
    assert [name for name in ours if name.removeprefix("xlpy.").startswith(needless)] == []
    assert len(ours) <= most, ours


class TestDirect:
    """Our own finder: the same modules as Python's would give, or none."""

    @pytest.fixture
    def package(self, tmp_path, monkeypatch):
        """A package of a test's own, compiled, with the finder in use for it."""
        home = tmp_path / "direct_sample"
        (home / "inner").mkdir(parents=True)
        (home / "__init__.py").write_text('"""A package."""\n')
        (home / "inner" / "__init__.py").write_text("value = 1\n")
        (home / "one.py").write_text('"""One."""\nvalue = 1\n\n\ndef fail():\n    raise ValueError\n')
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
        monkeypatch.setattr(sys, "dont_write_bytecode", False)
        subprocess.run([sys.executable, "-m", "compileall", "-q", str(home)], check=True)
        install("direct_sample")
        yield home
        for name in [name for name in sys.modules if name.partition(".")[0] == "direct_sample"]:
            del sys.modules[name]

    def found(self, home, name):
        return Direct("direct_sample").find_spec(f"direct_sample.{name}", [str(home)])

    @pytest.mark.parametrize("name", ["one", "inner"])
    def test_a_module_is_as_python_finds_it(self, package, name):
        theirs = importlib.machinery.PathFinder.find_spec(f"direct_sample.{name}", [str(package)])
        ours = self.found(package, name)
        for field in ("name", "origin", "cached", "submodule_search_locations", "has_location", "parent"):
            assert getattr(ours, field) == getattr(theirs, field), field
        assert ours.loader.get_code(ours.name) == theirs.loader.get_code(theirs.name)
        assert ours.loader.get_code(ours.name) == theirs.loader.get_code(theirs.name)  # asked once more
        assert ours.loader.get_source(ours.name) == theirs.loader.get_source(theirs.name)

    def test_it_is_used_and_errors_know_their_line(self, package):
        import direct_sample.one

        assert type(direct_sample.one.__loader__).__module__ == "xlpy.direct"
        with pytest.raises(ValueError) as caught:
            direct_sample.one.fail()
        assert str(caught.traceback[-1].path) == str(package / "one.py")
        assert caught.traceback[-1].lineno == 5

    def test_what_is_not_compiled_as_it_is_now_is_left_to_python(self, package):
        source = package / "one.py"
        before = source.stat()
        source.write_text("value = 2\n")
        assert self.found(package, "one") is None  # another size
        source.write_text('"""One."""\nvalue = 3\n\n\ndef fail():\n    raise ValueError\n')
        os.utime(source, (before.st_atime, before.st_mtime + 2))
        assert self.found(package, "one") is None  # another time
        import direct_sample.one

        assert direct_sample.one.value == 3
        assert self.found(package, "one")  # Python has compiled it anew

    def test_what_is_not_ours_or_not_there_is_left_to_python(self, package):
        assert self.found(package, "nothing") is None
        assert Direct("direct_sample").find_spec("direct_sample", None) is None
        assert Direct("direct_sample").find_spec("json.decoder", [str(package)]) is None

    @pytest.mark.parametrize("way", [("-O",), ("-OO",), ("-X", "pycache_prefix=/nowhere")])
    def test_another_way_of_running_python_does_without(self, way):
        program = (
            "import sys; from xlpy.direct import install; before = len(sys.meta_path)\n"
            "install('xlpy'); print(len(sys.meta_path) - before)"
        )
        words = [sys.executable, *way, "-c", program]
        assert subprocess.run(words, capture_output=True, text=True, cwd=TREE, check=True).stdout == "0\n"


def test_resolving_looks_at_no_piece_by_itself(xlpy, monkeypatch):
    xlpy("pmem", "mkfile", "1M", "/mnt/pmem0/a.img")
    monkeypatch.setattr(Resolved, "spans", property(lambda _self: pytest.fail("a span for each of 40,000 pieces")))
    monkeypatch.setattr(Resolved, "extents", property(lambda _self: pytest.fail("a record for each of them")))
    assert [piece["length"] for piece in xlpy("pmem", "resolve", "--json", "/mnt/pmem0/a.img").json["extents"]]
