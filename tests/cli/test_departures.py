"""docs/departures.md, row by row: what it says of xlpy is so. A row needs a check, and a check a row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "departures.md"
TESTS = ROOT / "tests"
LIFE = PAGE.read_text().partition("\n## The life of a domain\n")[2]
ROWS = [row for row in re.findall(r"^\| ([^|]+) \|", LIFE, re.M) if row not in ("what", "---")]
UUID = "0c2f0a6e-0000-4000-8000-000000000001"
CHECKS = {}


def row(text):
    """The check of a row."""

    def keep(check):
        CHECKS[text] = check
        return check

    return keep


@pytest.fixture
def vm(xlpy, configs):
    """Domain 1, running, with a vNVDIMM."""
    xlpy("create", "-q", configs / "quickstart.cfg", f'uuid="{UUID}"', "maxmem=600")
    return "quickstart"


@row("exit status of every command")
def statuses(xlpy, vm, tmp_path):
    xlpy("pause", "99", status=4)
    xlpy("block-list", "none", status=4)
    xlpy("info", "bogus", status=4)


@row("one of several domains cannot be found or ended")
def several(xlpy, vm, tmp_path):
    assert "none" in xlpy("destroy", vm, "none", status=11).err
    xlpy("list", vm, status=4)


@row('the domain `""`')
def nobody(xlpy, vm, tmp_path):
    xlpy("domid", "", status=4)
    xlpy("destroy", "", status=4)


@row("a numeric domid that does not exist")
def number(xlpy, vm, tmp_path):
    assert "99" in xlpy("mem-set", "99", "64", status=4).err


@row("`destroy -f 0`, `pause 0`, `rename 0`, ...")
def dom0(xlpy, vm, tmp_path):
    for words in (("destroy", "-f", "0"), ("pause", "0"), ("rename", "0", "x")):
        xlpy(*words, status=5)


@row("a UUID that a live domain has")
def uuid(xlpy, vm, tmp_path):
    config = tmp_path / "b.cfg"
    config.write_text(f'name = "b"\ntype = "hvm"\nmemory = 64\nuuid = "{UUID}"\n')
    assert UUID in xlpy("create", config, status=5).err


@row("`rename` to more than 4096 bytes")
def rename(xlpy, vm, tmp_path):
    assert xlpy("rename", vm, "x" * 5000, status=2).out == ""
    assert xlpy("domname", "1").out == f"{vm}\n"


@row("two configuration files")
def two(xlpy, vm, tmp_path):
    xlpy("create", "a.cfg", "b.cfg", status=2)
    xlpy("create", "-f", "a.cfg", "b.cfg", status=2)


@row("`mem-max` with a negative size")
def negative(xlpy, vm, tmp_path):
    xlpy("mem-max", vm, "--", "-1", status=6)


@row("`domname 1x`")
def domname(xlpy, vm, tmp_path):
    xlpy("domname", "1x", status=2)


@row("a number for an unknown trigger's vCPU")
def trigger(xlpy, vm, tmp_path):
    xlpy("trigger", vm, "nmi", "7", status=8)


@row("`shutdown`, `reboot` of a paused or sleeping domain")
def paused(xlpy, vm, tmp_path):
    xlpy("pause", vm)
    xlpy("shutdown", vm, status=5)


@row("`shutdown -F`, `reboot -F`, `-w`")
def fallback(xlpy, vm, tmp_path):
    xlpy("shutdown", "-F", "-w", vm)
    xlpy("list", vm, status=4)


@row("`trigger D reset`")
def reset(xlpy, vm, tmp_path):
    xlpy("trigger", vm, "reset")
    assert xlpy("domid", vm).out == "2\n"


@row("`trigger D power` when the guest has ACPI")
def power(xlpy, vm, tmp_path):
    xlpy("trigger", vm, "power")
    xlpy("list", vm, status=4)


@row("`unpause` of a domain that is not paused")
def unpause(xlpy, vm, tmp_path):
    assert xlpy("unpause", vm).err


@row("memory below `maxmem`")
def maxmem(xlpy, vm, tmp_path):
    memory = int(re.search(r"^memory\s*=\s*(\d+)", (ROOT / "configs/quickstart.cfg").read_text(), re.M)[1])
    assert abs(int(xlpy("list", vm).out.split("\n")[1].split()[2]) - memory) <= 1


@row("`mem-set`")
def mem_set(xlpy, vm, tmp_path):
    xlpy("destroy", vm)
    xlpy("create", "-q", ROOT / "configs/quickstart.cfg")
    before = xlpy("list", vm).out
    xlpy("mem-set", vm, "300")
    assert xlpy("list", vm).out == before
    xlpy("reboot", vm)
    assert xlpy("list", vm).out.split("\n")[1].split()[2] in ("299", "300")


@row("creator revision of the DSDT and SSDTs, 4.18 and 4.19")
def compiler(xlpy, vm, tmp_path):
    from xlpy.firmware.hvmloader import compiled

    revisions = [compiled.table("dsdt", (4, minor))[32:36][::-1].hex() for minor in (17, 18, 19, 20)]
    assert revisions == ["20200925"] * 3 + ["20250404"]


@row("`list -l`")
def long_list(xlpy, vm, tmp_path):
    assert [list(entry) for entry in xlpy("list", "-l").json] == [["domid", "xen", "config"]] * 2


@row("`vcpu-list`")
def vcpus(xlpy, vm, tmp_path):
    assert " 0.0 " in xlpy("vcpu-list", vm).out


@row("`info`")
def info(xlpy, vm, tmp_path):
    keys = {line.split()[0] for line in xlpy("info").out.splitlines()}
    assert not keys & {"cc_compiler", "cc_compile_by", "build_id", "xen_changeset", "platform_params"}


@row("`xen_extra` in `info`")
def extra(xlpy, vm, tmp_path):
    lines = dict(line.split(":", 1) for line in xlpy("info").out.splitlines())
    values = {key.strip(): value.strip() for key, value in lines.items()}
    assert (values["xen_extra"], values["xen_version"]) == ("", "4.17")


@row("`vnc-*` in xenstore")
def screen(xlpy, vm, tmp_path):
    assert "vnc-" not in xlpy("xenstore", "ls", "/").out


@row("`config-update`")
def update(xlpy, vm, tmp_path):
    assert xlpy("config-update", vm, ROOT / "configs/quickstart.cfg").err.count("prefer") == 1


@row("kernel of a PVH or PV guest")
def kernel(xlpy, vm, tmp_path):
    config = tmp_path / "b.cfg"
    config.write_text(f'name = "b"\ntype = "pvh"\nmemory = 64\nkernel = "{config}"\n')
    xlpy("create", "-q", config)
    xlpy("create", config, 'name="c"', 'kernel="/nosuch"', status=3)


@row("ACPI tables of a PVH guest")
def pvh(xlpy, vm, tmp_path):
    config = tmp_path / "b.cfg"
    config.write_text(f'name = "b"\ntype = "pvh"\nmemory = 64\nkernel = "{config}"\n')
    xlpy("create", "-q", config)
    assert xlpy("mem", "read", "b", "0xfc000000", "16", "--json").json["length"] == 16


@row("`migrate`")
def migrate(xlpy, vm, tmp_path):
    assert "migrate D ROOT" in (ROOT / "docs/commands.md").read_text()


@row("`top`")
def top(xlpy, vm, tmp_path):
    xlpy("top", status=2)


# Rows that a test of their subject checks.
ELSEWHERE = {
    "the monitoring daemon": "cli/test_life_states.py::test_the_guest_answers_and_is_destroyed",
    "a restart that fails": "cli/test_life_restart.py::test_of_several_each_is_restarted_or_as_it_was",
    "restarts when hvmloader crashes": "cli/test_life_restart.py::test_on_crash",
    "`rename-restart` of a domain with vNVDIMMs": "cli/test_life_restart.py::test_rename_restart",
    "a second `rename-restart` in the same minute": "cli/test_life_restart.py::test_rename_restart_keeps_each",
    "format of a core dump": "cli/test_life_restart.py::test_coredump",
    "`~/image/device-model-pid` in xenstore": "toolstack/domain/test_xen_trees.py"
    "::test_no_process_has_the_number_of_the_device_model",
    "a saved domain": "cli/test_saved_files.py::test_a_real_one_comes_back",
    "QEMU's nodes below `device-model`": "toolstack/domain/test_xen_trees.py::test_what_is_other_in_420",
    "numbers in binary (`0b1`), 4.20": "toolstack/config/test_xl_420.py::test_what_came_after_417",
}


@pytest.mark.parametrize("text", CHECKS)
def test_a_row_is_true(text, xlpy, vm, tmp_path):
    CHECKS[text](xlpy, vm, tmp_path)


@pytest.mark.parametrize("text", ELSEWHERE)
def test_a_row_has_its_test(text):
    file, _, name = ELSEWHERE[text].partition("::")
    assert f"def {name}(" in (TESTS / file).read_text()


def test_every_row_is_checked():
    assert sorted(ROWS) == sorted([*CHECKS, *ELSEWHERE])
