"""The Firmware Test Suite as judge of our guests' and host's tables: no failure that the real hvmloader's do not have.

fwts 26.09 is in Debian's unstable suite only: it is unpacked with the libraries it needs, and started by their loader.
Without that suite (no network, no Debian) the tests are skipped.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

REPO = Path(__file__).parents[2]
# What fwts says of the real hvmloader's tables as well (Xen 4.17)
HVMLOADER = {
    "RSDPBadOEMId",  # "Xen" is padded with NULs
    "MethodCIDInvalidString",  # VGID has a text that is no id
}
# Optional methods of an NVDIMM (ACPI 6.5, 9.20.8), which fwts looks for at the root device, and QEMU lacks too
OPTIONAL = {f"MethodNotExist _N{name}" for name in ("CH", "BS", "IC", "IH", "IG")}


@pytest.fixture(scope="module")
def fwts(tmp_path_factory):
    """Run fwts' ACPI tests on a dump: how many passed, and the names of what failed."""
    cache = os.environ.get("XLPY_GUEST_KIT") or Path.home() / ".cache" / "xlpy-guest-kit"
    tree = _unpacked(Path(cache) / "sid")
    loader, *_ = sorted(tree.glob("usr/lib*/ld-linux*"))
    libraries = ":".join(str(tree / "usr/lib" / part) for part in ("x86_64-linux-gnu", "x86_64-linux-gnu/fwts", "fwts"))
    version = subprocess.run(
        [loader, "--library-path", libraries, tree / "usr/bin/fwts", "--version"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if "V26.09" not in version.stdout:
        pytest.skip(f"fwts 26.09 cannot be had: {version.stdout}{version.stderr}")
    folder = tmp_path_factory.mktemp("fwts")

    def judge(name, dump):
        (folder / f"{name}.txt").write_text(dump)
        words = ["--acpitests", f"--dumpfile={name}.txt", f"--results-output={name}", "--force-clean"]
        subprocess.run(
            [loader, "--library-path", libraries, tree / "usr/bin/fwts", *words],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=240,
        )
        log = (folder / f"{name}.log").read_text(errors="replace")
        failures = re.findall(r"^\S*?:? *FAILED \[\w+\] (\w+): (.*)", log, re.MULTILINE)
        methods = [re.search(r"Object (_\w+) did not exist", text) for _, text in failures]
        names = {f"{kind} {found[1]}" if found else kind for (kind, _), found in zip(failures, methods, strict=True)}
        return log.count("PASSED"), names

    return judge


def _unpacked(cache):
    sys.path.insert(0, str(REPO / "guest"))
    try:
        from packages import Suite

        suite = Suite("sid", cache)
        suite.unpack(suite.closure(["fwts"], also="lib|zlib|fwts"), cache / "fwts")
    except SystemExit as error:
        pytest.skip(f"fwts of Debian's sid cannot be had: {str(error)[-200:]}")
    finally:
        sys.path.remove(str(REPO / "guest"))
    return cache / "fwts"


@pytest.fixture
def dump(host):
    """The text of ``xlpy acpi dump``, of a new domain or of the host."""
    from xlpy.firmware.acpi.acpidump import to_hex
    from xlpy.toolstack.config.domain_config import load_config

    def of(config):
        if config is None:
            return to_hex(host.acpi_tables())
        domid = host.create(load_config(config, "judged.cfg"))
        return to_hex(host.domain(domid).acpi_tables())

    return of


NODES = b"""
name = "nodes"
type = "hvm"
memory = 1024
vcpus = 2
vnuma = [ [ "pnode=0", "size=512", "vcpus=0", "vdistances=10,20" ],
          [ "pnode=0", "size=512", "vcpus=1", "vdistances=20,10" ] ]
vnvdimm = [ "file=/dev/pmem1,node=1", "file=/mnt/pmem0/vm1.img" ]
"""


# configuration (None: the host), what may fail, and how many tests pass at least
MACHINES = {
    "guest": (NODES, HVMLOADER | OPTIONAL, 900),
    "host": (None, OPTIONAL, 100),
}


@pytest.mark.parametrize("name", MACHINES)
def test_nothing_fails_that_the_real_hvmloaders_tables_pass(fwts, dump, name):
    config, known, passes = MACHINES[name]
    passed, failed = fwts(name, dump(config))
    assert failed <= known
    assert passed >= passes
