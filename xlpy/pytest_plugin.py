"""A pytest plugin: hosts, domains and guests for tests of firmware, drivers and configurations.

    import pytest

    @pytest.mark.xlpy_machine("configs/machines/interleaved.yaml")
    def test_a_byte_lasts(xlpy_host, xlpy_domain):
        vm = xlpy_domain("vm1.cfg")
        vm.memory.write(0x5_0000_0000, b"kept")
        again = xlpy_domain("vm1.cfg")              # destroys the one before it, which has the same name
        assert again.memory.read(0x5_0000_0000, 4) == b"kept"

Fixtures: ``xlpy_host``, ``xlpy_domain``, ``xlpy_guest``. Marker: ``xlpy_machine(path)``. Options: ``--xlpy-keep`` keeps
the state directory of a test that failed, ``--xlpy-kernel`` and ``--xlpy-initrd`` are what ``xlpy_guest`` boots.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from pathlib import Path

import pytest

from xlpy.contexts import suppress
from xlpy.errors import NotFound
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xlpy.host import Host
    from xlpy.toolstack.domain.running import Running

FAILED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the command line."""
    group = parser.getgroup("xlpy")
    group.addoption("--xlpy-keep", action="store_true", help="keep the state directory of a test that failed")
    group.addoption("--xlpy-kernel", metavar="BZIMAGE", help="kernel that xlpy_guest boots (else $KERNEL)")
    group.addoption("--xlpy-initrd", metavar="FILE", help="initial RAM disk that xlpy_guest boots (else $INITRD)")


def pytest_configure(config: pytest.Config) -> None:
    """The marker is known."""
    config.addinivalue_line("markers", "xlpy_machine(path): the machine description of xlpy_host")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Remember whether a test failed, for ``--xlpy-keep``."""
    outcome = yield
    report: pytest.TestReport = outcome.get_result()  # type: ignore[attr-defined]
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed


@pytest.fixture
def xlpy_host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """A fresh host in a folder of its own: a copy of one that was made from the same description before."""
    from xlpy.testhosts import fresh

    marker = request.node.get_closest_marker("xlpy_machine")
    machine = _file(request, marker.args[0]) if marker else None
    home = Path(tempfile.mkdtemp(prefix="xlpy-"))
    root = home / "host"
    try:
        host = fresh(machine, root)
        try:
            yield host
        finally:
            for domid in [domain.domid for domain in host.xen.domains()]:
                host.end_boot(domid)
            host.close()
    finally:
        if request.config.getoption("--xlpy-keep") and request.node.stash.get(FAILED, False):
            warnings.warn(f"the host of the failed test is kept: {root}", stacklevel=1)
        else:
            shutil.rmtree(home)


def _file(request: pytest.FixtureRequest, name: str | os.PathLike[str]) -> Path:
    """A file of the project: beside the test, or else from the project's root on."""
    beside = request.path.parent / name
    return beside if beside.exists() else request.config.rootpath / name


@pytest.fixture
def xlpy_domain(xlpy_host: Host, request: pytest.FixtureRequest) -> Callable[..., Running]:
    """``xlpy_domain(config, *extra)`` creates a domain and gives it, running.

    ``config`` is the path of a configuration or its text (with a line end in it); ``extra`` are ``KEY=VALUE`` settings
    as on the command line. A domain of the same name is destroyed first.
    """
    from xlpy.toolstack.config.domain_config import load_config

    def create(config: str | os.PathLike[str], *extra: str) -> Running:
        text, name = os.fspath(config), "xlpy_domain"
        if "\n" not in text:
            path = _file(request, text)
            text, name = path.read_text(encoding="utf-8"), str(path)
        read = load_config(text, name, extra)
        with suppress(NotFound):
            xlpy_host.destroy(read.name)
        return xlpy_host.domain(xlpy_host.create(read))

    return create


@pytest.fixture
def xlpy_guest(xlpy_host: Host, request: pytest.FixtureRequest) -> Callable[..., str]:
    """``xlpy_guest(domain, command, timeout=300)`` boots a kernel on a domain, runs a shell command, gives the console.

    Kernel and initial RAM disk are what ``guest/kit.py`` prints, by ``--xlpy-kernel`` and ``--xlpy-initrd`` or in the
    environment; a test is skipped without them. The command is passed on the kernel's command line (``xlpy.run=``),
    with plus signs for blanks, as the kit's /init reads it.
    """
    kernel = request.config.getoption("--xlpy-kernel") or os.environ.get("KERNEL")
    initrd = request.config.getoption("--xlpy-initrd") or os.environ.get("INITRD")
    if not (kernel and initrd):
        pytest.skip('there is no guest to boot: eval "$(python3 guest/kit.py)", or --xlpy-kernel and --xlpy-initrd')

    def run(domain: Running, command: str, timeout: float = 300) -> str:
        from xlpy.boot.options import BootOptions
        from xlpy.boot.run import Boot

        options = BootOptions(
            Path(kernel), Path(initrd), append=f"quiet xlpy.run={command.replace(' ', '+')}", timeout=timeout
        )
        silent: Callable[[str], None] = lambda _text: None  # noqa: E731
        boot = Boot(xlpy_host.xen, xlpy_host.xenstore, xlpy_host.store, domain.domid, options, silent, silent)
        with tempfile.TemporaryFile() as out:
            boot.run(out.fileno())
            out.seek(0)
            return out.read().decode(errors="replace").replace("\r\n", "\n")

    return run
