"""Hosts for the tests: one is made, the others are copies of it."""

from __future__ import annotations

import json_schemas
import programs
import pytest
from copying import copy_tree
from hypothesis import HealthCheck, settings

# what takes long on a busy machine is not wrong
settings.register_profile("xlpy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("xlpy")


def pytest_addoption(parser):
    """``--regenerate``: see ``tests/golden/conftest.py``."""
    parser.addoption("--regenerate", action="store_true", help="write golden bytes anew; then read the difference")


def pytest_runtest_setup(item):
    """Skip tests whose outside programs are not there."""
    programs.check(item)


def pytest_sessionfinish(session):
    """A worker of xdist tells which judges it asked, and which it missed."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["judges"] = (sorted(programs.asked), programs.missed)


def pytest_testnodedown(node):
    """What a worker told."""
    asked, missed = getattr(node, "workeroutput", {}).get("judges", ((), {}))
    programs.asked.update(asked)
    programs.missed.update(missed)


def pytest_terminal_summary(terminalreporter):
    """Say which foreign judges were asked, and what was compared with them: "compared ..." is a property of a test."""
    if programs.asked or programs.missed:
        names = ", ".join(sorted(programs.asked)) or "none"
        terminalreporter.write_line(f"{len(programs.asked)} judges were asked: {names}")
    for reason in sorted(programs.missed.values()):
        terminalreporter.write_line(f"not asked: {reason}")
    for report in terminalreporter.getreports(""):
        for name, value in getattr(report, "user_properties", ()):
            if report.when == "call" and name.startswith("compared"):
                terminalreporter.write_line(f"{name}: {value}")


@pytest.fixture(scope="session", autouse=True)
def documents_for_schemas():
    """``XLPY_COLLECT_JSON=FOLDER`` keeps what commands print as JSON in this process, for ``tools.schemas``."""
    with pytest.MonkeyPatch.context() as patch:
        if json_schemas.COLLECT:
            json_schemas.watch(patch)
        yield


@pytest.fixture(scope="session")
def made_host(tmp_path_factory):
    """A host made from the default machine; not to be changed."""
    from xlpy.host import Host

    programs.need("mke2fs")
    root = tmp_path_factory.mktemp("made") / "host"
    Host.make(root, None).store.close()
    return root


@pytest.fixture
def host_root(made_host, tmp_path):
    """The state directory of a fresh default host; holes in its media stay holes."""
    root = tmp_path / "host"
    copy_tree(made_host, root)
    return root


@pytest.fixture
def host(host_root):
    """A fresh default host."""
    from xlpy.host import Host

    opened = Host.open(host_root)
    yield opened
    opened.store.close()


def pytest_collection_modifyitems(items):
    """Tests that share a booted machine come first, a real Xen, which takes longest, before all.

    xdist deals out tests that follow each other: so one process has them all and boots each machine once, while the
    others do the rest.
    """
    items.sort(key=lambda item: (item.get_closest_marker("slow") is None, item.path.parent.name != "realxen"))
