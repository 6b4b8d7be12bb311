"""``--xen`` and ``XLPY_XEN``: which Xen a host gets, and as which one a configuration is read."""

from pathlib import Path

import pytest

from xlpy.cli.main import run
from xlpy.host import Host
from xlpy.toolstack.config.reading.reader import HostFacts

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "a.cfg"
    path.write_text('name = "a"\ntype = "hvm"\nmemory = 64\nsmbios = ["oem=a"]\n')
    return str(path)


def key(out, name):
    return next(line.partition(":")[2].strip() for line in out.splitlines() if line.startswith(name))


@pytest.mark.parametrize("version", ["4.17", "4.18", "4.19", "4.20"])
def test_a_host_has_the_version_that_was_asked_for(xlpy, config, version):
    xlpy("--xen", version, "host", "reset", "--keep-media")
    xlpy("create", "-q", config)
    info = xlpy("info").out
    assert (key(info, "xen_minor"), key(info, "xen_version")) == (version.partition(".")[2], version)
    assert f"Xen version {version}" in xlpy("dmesg").out
    assert f"xen-{version}" in xlpy("xenstore", "read", "/tool/xenstored").out
    assert xlpy("list", "-l", "a").json[0]["xen"] == version
    assert xlpy("create", "-n", "--json", config, 'name="other"').json["xen"] == version


def test_the_variable_chooses_and_the_option_wins(xlpy, config, monkeypatch):
    monkeypatch.setenv("XLPY_XEN", "4.19")
    assert xlpy("create", "-n", "--json", config).json["xen"] == "4.19"
    assert xlpy("create", "-n", "--json", "--xen", "4.18", config).json["xen"] == "4.18"


@pytest.mark.parametrize("version", ["4.16", "4.21", "x", "4"])
def test_other_versions_are_refused(xlpy, config, monkeypatch, version):
    assert "4.17" in xlpy("--xen", version, "list", status=2).err
    monkeypatch.setenv("XLPY_XEN", version)
    assert f"error: Xen {version} is not modelled" in xlpy("create", config, status=2).err


def test_a_host_keeps_its_version(xlpy, monkeypatch):
    xlpy("--xen", "4.20", "host", "reset", "--keep-media")
    assert xlpy("--xen", "4.20", "list").status == 0
    refused = xlpy("--xen", "4.17", "list", status=5).err
    assert "4.20" in refused
    assert "4.17" in refused
    monkeypatch.setenv("XLPY_XEN", "4.17")
    assert xlpy("list", status=5).err == refused


def test_the_topology_has_the_nodes_by_which_configurations_are_judged(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XLPY_ROOT", str(tmp_path / "host"))
    Host.make(tmp_path / "host", CONFIGS / "machines" / "interleaved.yaml").store.close()
    assert run(["info", "-n"]) == 0
    lines = capsys.readouterr().out.splitlines()
    cpus, nodes = (int(key("\n".join(lines), name)) for name in ("nr_cpus", "nr_nodes"))
    assert nodes > 1
    start = lines.index("cpu:    core    socket     node") + 1
    of_cpu = [int(line.split()[3]) for line in lines[start : start + cpus]]
    assert of_cpu == [node for node in range(nodes) for _ in HostFacts(cpus, nodes).node_cpus(node)]
    rows = lines[lines.index("node:    memsize    memfree    distances") + 1 :][:nodes]
    assert [int(row.split(":")[0]) for row in rows] == list(range(nodes))
    assert rows[1].split()[-1].split(",")[:2] == ["20", "10"]


def test_check_says_from_when_on_a_key_counts(xlpy, config):
    assert "smbios is for Xen 4.18 and later; 4.17 ignores it" in xlpy("config", "check", config).err
    assert "smbios" not in xlpy("config", "check", "--xen", "4.18", config).err


def test_a_configuration_is_judged_for_another_machine(xlpy, tmp_path):
    path = tmp_path / "cpus.cfg"
    path.write_text('name = "a"\ntype = "hvm"\nmemory = 64\nvcpus = 1\ncpus = "12"\n')
    assert xlpy("config", "check", "--host-cpus", "16", str(path)).status == 0
    assert xlpy("config", "check", "--host-cpus", "8", str(path), status=3).err.count("it has 8") == 1
