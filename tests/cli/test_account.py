"""`xlpy pmem account`, and warnings of sizes that a Linux guest cannot use again."""

from __future__ import annotations

ODD = "vnvdimm = [ 'file=/mnt/pmem0/odd.img' ]\nname = 'odd'\ntype = 'hvm'\nmemory = 128\n"


def test_the_table(xlpy):
    shown = xlpy("pmem", "account", "/dev/pmem1").out.splitlines()
    assert shown[0].split()[:2] == ["BYTES", "namespace1.0"]
    assert shown[-1].split() == ["536,870,912", "=", "/dev/pmem1", "-", "-"]


def test_json(xlpy):
    found = xlpy("pmem", "account", "--json").json
    assert found["schema"] == "xlpy.pmem-account/1"
    for item in found["items"]:
        assert sum(row["size"] for row in item["rows"] if not row["total"]) == item["guest"]


def test_want(xlpy):
    shown = xlpy("pmem", "account", "--want", "100G").out.splitlines()
    assert shown[1].split()[:5] == ["fsdax", "mem", "1G", "101G", "100G"]
    assert shown[-1] == "ndctl create-namespace --mode=fsdax --map=mem --align=1G --size=101G --reserve=xen"
    assert "mkpart 2048 1050623" in xlpy("pmem", "account", "--want", "512M").out
    found = xlpy("pmem", "account", "--want", "256M", "--map", "dev", "/dev/pmem1", "--json").json
    assert {item["map"] for item in found["items"]} == {"dev"}


WHAT_CANNOT_BE = [
    (("--want", "1T", "/dev/pmem1"), 6, "leaves 1T for a guest"),
    (("--want", "1000"), 6, "pages of 4096"),
    (("--want", "1M", "nowhere"), 4, "no region, namespace or device"),
    (("--want", "1M", "nowhere"), 4, "regions: region0, region1"),
    (("--map", "dev"), 2, "add --want SIZE"),
    (("--mode", "fsdax"), 2, "add --want SIZE"),
    (("/dev/pmem9",), 4, "no such"),
]


def test_what_cannot_be(xlpy):
    for words, status, text in WHAT_CANNOT_BE:
        assert text in xlpy("pmem", "account", *words, status=status).err


def test_everybody_warns_of_an_odd_size(xlpy, tmp_path, configs):
    """create, its dry run, config check on a host, nvdimm-attach and guest probe."""
    (tmp_path / "odd.cfg").write_text(ODD)
    warning = "17M is not a multiple of 16M: with labels ndctl uses 16M of it"
    assert warning not in xlpy("config", "check", tmp_path / "odd.cfg").err  # no such file on this host yet
    xlpy("pmem", "mkfile", "17M", "/mnt/pmem0/odd.img")
    for words in (("config", "check"), ("create", "-n"), ("create", "-q")):
        assert warning in xlpy(*words, tmp_path / "odd.cfg").err
    probed = xlpy("guest", "probe", "odd").out
    assert f"warning: region0: {warning}" in probed
    assert xlpy("guest", "probe", "odd", "--json").json["warnings"] == [f"region0: {warning}"]
    xlpy("destroy", "odd")
    xlpy("create", "-q", configs / "quickstart.cfg")
    for words in (("-n",), ()):
        assert warning in xlpy("nvdimm-attach", *words, "quickstart", "file=/mnt/pmem0/odd.img").err


def test_our_own_configurations_have_none(xlpy, configs):
    for config in sorted(configs.glob("*.cfg")):
        assert "multiple of 16M" not in xlpy("config", "check", config).err
