"""The pytest plugin as a project uses it: in a pytest of its own, on its own files."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path):
    """Run pytest in a project that consists of one test file."""

    def call(text, *words, **variables):
        (tmp_path / "test_it.py").write_text(text)
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        environment = {
            **os.environ,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # the plugin is named, whether it is installed or not
            "PYTHONPATH": str(ROOT),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "TMPDIR": str(tmp_path / "tmp"),
            **variables,
        }
        environment.pop("KERNEL", None)
        (tmp_path / "tmp").mkdir(exist_ok=True)
        plugins = ("-p", "xlpy.pytest_plugin", "-p", "no:cacheprovider")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *plugins, *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return call


def test_it_is_an_entry_point():
    fields = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert fields["project"]["entry-points"]["pytest11"] == {"xlpy": "xlpy.pytest_plugin"}


def test_the_example_project(tmp_path):
    environment = {
        **os.environ,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "XDG_CACHE_HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
    }
    for name in ("KERNEL", "INITRD"):
        environment.pop(name, None)
    words = ["-q", "-p", "xlpy.pytest_plugin", "-p", "no:cacheprovider", "-rs", "examples/pytest"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", "/dev/null", f"--rootdir={ROOT}", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "3 passed, 1 skipped" in done.stdout, done.stdout + done.stderr
    assert "there is no guest to boot" in done.stdout


def test_each_test_has_a_host_of_its_own(project, tmp_path):
    status, text = project(
        """
def test_one(xlpy_host):
    xlpy_host.mkfile("/mnt/pmem0/mine", 4096)

def test_two(xlpy_host):
    xlpy_host.mkfile("/mnt/pmem0/mine", 4096)  # it would exist in the host of the other
"""
    )
    assert (status, "2 passed" in text) == (0, True), text
    assert [path.name for path in (tmp_path / "tmp").iterdir()] == []
    assert len(list((tmp_path / "cache" / "xlpy" / "hosts").iterdir())) == 1  # one for both


def test_copies_keep_their_holes(project):
    status, text = project(
        """
def test_it(xlpy_host):
    used = sum(p.stat().st_blocks * 512 for p in xlpy_host.root.rglob("*") if p.is_file())
    assert used < 100 << 20
"""
    )
    assert status == 0, text


FAILING = "def test_it(xlpy_host):\n    assert False, 'on purpose'\n"


@pytest.mark.parametrize(("words", "kept"), [((), 0), (("--xlpy-keep",), 1)])
def test_the_host_of_a_failed_test_may_be_kept(project, tmp_path, words, kept):
    status, text = project(FAILING, *words)
    assert status == 1
    assert len(list((tmp_path / "tmp").iterdir())) == kept
    assert text.count("the host of the failed test is kept") >= kept


def test_a_cache_that_cannot_be_written(project, tmp_path):
    """The tests run all the same, with a host of this process, and nothing is left."""
    (tmp_path / "file").touch()
    text = "def test_it(xlpy_host):\n    assert xlpy_host.spec.name == 'default'\n"
    status, shown = project(text + text.replace("test_it", "test_again"), XDG_CACHE_HOME=str(tmp_path / "file"))
    assert (status, "2 passed" in shown) == (0, True), shown
    assert "hosts cannot be kept in" in shown
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_machine_that_is_not_there(project, tmp_path):
    status, text = project("import pytest\n@pytest.mark.xlpy_machine('none.yaml')\ndef test_it(xlpy_host):\n    pass\n")
    assert status == 1
    assert "none.yaml" in text
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_example_stands_alone(tmp_path):
    """Copied out of the repository, as a user does."""
    folder = tmp_path / "example"
    folder.mkdir()
    for file in (ROOT / "examples" / "pytest").iterdir():
        if file.is_file():
            (folder / file.name).write_bytes(file.read_bytes())
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
    words = ["-q", "-p", "xlpy.pytest_plugin", "-p", "no:cacheprovider", "-k", "machine"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=folder,
        env=environment | {"XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_a_configuration_as_text(project):
    status, text = project(
        """
CONFIG = 'name = "a"\\ntype = "hvm"\\nmemory = 64\\nvnvdimm = [ "file=/dev/pmem1" ]\\n'

def test_it(xlpy_domain):
    first = xlpy_domain(CONFIG)
    second = xlpy_domain(CONFIG, "vcpus=2")
    assert (second.name, second.domid) == ("a", first.domid + 1)
"""
    )
    assert status == 0, text


def test_workers_at_the_same_time(project):
    pytest.importorskip("xdist", reason="pytest-xdist is not installed (pip, group test)")
    body = "\n".join(f"def test_{i}(xlpy_host):\n    assert xlpy_host.spec.name == 'default'\n" for i in range(4))
    status, text = project(body, "-p", "xdist", "-n", "2")
    assert (status, "4 passed" in text) == (0, True), text
