"""The public Python API: the names, that all of them are documented, and that domains are given by name or number."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from xlpy import api
from xlpy.api import Conflict, Host, NotFound, load_config

HERE = Path(__file__).parents[2]
PAGE = (HERE / "docs" / "python.md").read_text()
TEXT = 'name = "vm"\ntype = "hvm"\nmemory = 64\nvnvdimm = [ "file=/mnt/pmem0/vm1.img" ]\n'
GPA = 0x5_0000_0000
INTERNAL = {  # the parts that a host is put together of, and what they need of each other
    *("buses", "dom0", "hw", "lifecycle", "root", "spec", "store", "xen", "xenstore", "on_console_line"),
    *("forget", "power_on", "release", "release_lost", "repair", "replace_machine", "shut_down"),
}


def rows(section):
    part = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \| .", part, re.MULTILINE)


def test_the_page_lists_the_names():
    assert sorted(rows("Names")) == sorted(api.__all__)
    assert all(hasattr(api, name) for name in api.__all__)


def test_the_page_lists_the_methods():
    public = {name for name in dir(Host) if not name.startswith("_")}
    assert sorted(rows("Methods of Host")) == sorted(public - INTERNAL)


@pytest.mark.parametrize("name", sorted(api.__all__))
def test_everything_is_documented_and_annotated(name):
    thing = getattr(api, name)
    assert inspect.getdoc(thing)
    if inspect.isclass(thing):
        for member, value in vars(thing).items():
            if not member.startswith("_") and callable(value):
                assert inspect.getdoc(value), f"{name}.{member}"
                hints = getattr(inspect.unwrap(value), "__annotations__", {})
                assert "return" in hints, f"{name}.{member}"


def test_a_domain_is_a_name_or_a_number():
    methods = [getattr(Host, name) for name in rows("Methods of Host")]
    taking = [hints["domain"] for method in methods if "domain" in (hints := method.__annotations__)]
    assert len(taking) > 10
    assert set(taking) == {"str | int"}


def test_the_example_of_the_page_runs(tmp_path, monkeypatch):
    code = PAGE.partition("```python\n")[2].partition("```")[0].replace("/tmp/", f"{tmp_path}/")
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "XLPY-NAME-TAKEN" in done.stdout
    assert "'FACP'" in done.stdout


@pytest.fixture(params=["name", "number", "digits"])
def named(request):
    """How a domain is given: a function of its domid."""
    return {"name": lambda _domid: "vm", "number": int, "digits": str}[request.param]


def test_the_life_of_a_domain(host, named, tmp_path):
    domid = host.create(load_config(TEXT, "vm.cfg"))
    assert (host.domid(named(domid)), host.domain(named(domid)).name) == (domid, "vm")
    assert host.pause(named(domid)) == 1
    assert host.pause(named(domid)) == 2
    host.unpause(named(domid))
    assert host.unpause(named(domid)) == []
    host.write_memory(named(domid), GPA, b"kept")
    (again,) = host.reboot(named(domid))
    domid = again.successor
    assert host.domain(named(domid)).memory.read(GPA, 4) == b"kept"
    made = host.attach(named(domid), "file=/dev/pmem1")
    assert made.path == "/dev/pmem1"
    assert host.detach(named(domid), made.slot, force=True) == made
    host.save(named(domid), tmp_path / "saved", keep=True)
    assert host.rename(named(domid), "vm") == "vm"
    host.save(named(domid), tmp_path / "saved")
    assert host.domains() == []
    domid = host.restore(tmp_path / "saved")
    assert [domain.domid for domain in host.domains()] == [domid]
    (end,) = host.shutdown(named(domid))
    assert (end.reason, end.action, host.domains()) == ("poweroff", "destroy", [])
    domid = host.create(load_config(TEXT, "vm.cfg"))
    assert host.destroy(named(domid)) == domid


def test_a_failure_changes_nothing(host):
    domid = host.create(load_config(TEXT, "vm.cfg"))
    host.pause(domid)
    for act in (host.shutdown, host.reboot, lambda one: host.detach(one, 0)):
        with pytest.raises(Conflict):
            act(domid)
    with pytest.raises(NotFound):
        host.pause(domid + 1)
    assert [domain.name for domain in host.domains()] == ["vm"]


def test_a_context_manager(host_root):
    with Host.open(host_root) as host:
        host.create(load_config(TEXT, "vm.cfg"))
    with pytest.raises(api.XlpyError):
        host.create(load_config(TEXT, "vm.cfg"))
    with Host.open(host_root) as again:
        assert [domain.name for domain in again.domains()] == ["vm"]


def test_records_are_no_dictionaries(host):
    assert host.prepare("/mnt/pmem0/vm1.img") == api.Prepared(64 << 20, 0)
    found = host.resolve("/mnt/pmem0/vm1.img")
    assert (found.size, found.extents[0].logical) == (64 << 20, 0)


def public_functions():
    """Of the modules that the API names."""
    for module in (api.listing, api.machine, api.whereis):
        for name, value in vars(module).items():
            if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_"):
                yield module, name, value


def test_no_view_returns_a_dictionary():
    """But for `list -l`, which is a document of libxl's."""
    found = {f"{module.__name__}.{name}": value.__annotations__["return"] for module, name, value in public_functions()}
    assert {name for name, kind in found.items() if "dict" in kind} == {"xlpy.views.listing.long"}


def test_what_listings_say(host):
    domid = host.create(load_config(TEXT, "vm.cfg"))
    shown = api.listing.summary(host, domid)
    assert (shown.name, shown.vnvdimms[0].path, shown.vnvdimms[0].gpa) == ("vm", "/mnt/pmem0/vm1.img", GPA)
    assert sum(one.length for one in shown.vnvdimms[0].extents) == shown.vnvdimms[0].size == 64 << 20
    first, second = api.listing.pmem(host)
    assert (first.dev, first.device, first.users, first.mounts) == ("namespace0.0", "pmem0", ("vm",), ("/mnt/pmem0",))
    assert (second.registered, second.reason, second.words["blockdev"]) == (True, None, "pmem1")
    assert api.machine.info(host).pmem_regions == len(api.machine.machine(host).regions) == 2
    assert [one.region for one in api.machine.machine(host).dimms] == ["set0", "set0", "set1"]
