"""``xlpy export`` on the emulated host: the three files, pins, check and release; and everything that is refused."""

from __future__ import annotations

import json
import os

import pytest

from xlpy.addr import GIB, PAGE
from xlpy.firmware.acpi.header import build_table
from xlpy.toolstack.config.domain_config import load_config
from xlpy.toolstack.export import exporter, limits
from xlpy.toolstack.export.firmware import split

FILE, LABELS = "/mnt/pmem0/vm1.img", "/mnt/pmem0/vm1.labels"
CONFIG = f"""\
# a guest with persistent memory
name = "vm1"
type = "hvm"
memory = 512
vnvdimm = [ 'file={FILE}' ]   # 64 MiB
serial = "pty"
"""


def variant(*lines, vnvdimm=f"file={FILE}", name="vm1", memory=512):
    """Another configuration."""
    entries = [vnvdimm] if isinstance(vnvdimm, str) else vnvdimm
    return "\n".join((f'name = "{name}"', 'type = "hvm"', f"memory = {memory}", *lines, f"vnvdimm = {list(entries)}\n"))


@pytest.fixture
def config(tmp_path):
    """Write a configuration; its path."""

    def write(text=CONFIG, name="domain.cfg"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.fixture
def ready(xlpy):
    """A host with a file for data, which the default machine has, and one for labels."""
    xlpy("pmem", "mkfile", "128K", LABELS)
    return xlpy


@pytest.fixture
def out(tmp_path):
    return tmp_path / "new" / "out"


def stock(out, name="vm1"):
    """The exported configuration as xl reads it."""
    return load_config((out / f"{name}.cfg").read_text(), f"{name}.cfg", strict=True)


def record(out, name="vm1"):
    return json.loads((out / f"{name}.json").read_text())


def iomem(out, name="vm1"):
    """(first host page, pages, guest page) of each entry."""
    return [(one["start"], one["number"], one["gfn"]) for one in stock(out, name).tree["b_info"]["iomem"]]


def signatures(out, name="vm1"):
    return [table[:4] for table in split((out / f"{name}.acpi").read_bytes(), "")]


# --- what is written -------------------------------------------------------------------------------------------------


def test_the_three_files(ready, config, out):
    shown = ready("export", config(), "-o", out)
    assert shown.out.splitlines() == [str(out / f"vm1.{kind}") for kind in ("cfg", "acpi", "json")]
    assert sorted(path.name for path in out.iterdir()) == ["vm1.acpi", "vm1.cfg", "vm1.json"]
    area = record(out)["vnvdimms"][0]["data"]
    assert iomem(out) == [(spa // PAGE, size // PAGE, area["gpa"] // PAGE) for spa, size in area["spans"]]
    assert not stock(out).vnvdimms
    assert stock(out).acpi_firmware == str(out / "vm1.acpi")
    assert signatures(out) == [b"NFIT", b"SSDT"]


def test_the_rest_of_the_text_stays_and_what_goes_stays_as_a_comment(ready, config, out):
    ready("export", config(), "-o", out, "vcpus=2")
    text = (out / "vm1.cfg").read_text()
    for line in ("# a guest with persistent memory", 'serial = "pty"', f"# vnvdimm = [ 'file={FILE}' ]", "# 64 MiB"):
        assert line in text.splitlines()
    assert stock(out).vcpus == 2


@pytest.mark.parametrize(("memory", "gpa"), [(512, 20 * GIB), (3840, 20 * GIB), (6144, 23 * GIB)])
def test_addresses_are_those_of_create(ready, config, out, memory, gpa):
    path = config(variant(memory=memory))
    ready("export", path, "-o", out)
    assert record(out)["vnvdimms"][0]["data"]["gpa"] == gpa
    ready("export", "release", out / "vm1.json")
    assert ready("create", "--json", path).json["vnvdimms"][0]["gpa"] == gpa


def test_labels_have_a_place_of_their_own(ready, config, out):
    ready("export", config(variant(vnvdimm=f"file={FILE},label_file={LABELS}")), "-o", out)
    labels = record(out)["vnvdimms"][0]["labels"]
    assert (labels["size"], labels["gpa"]) == (128 << 10, 21 * GIB)
    assert iomem(out)[1] == (labels["spans"][0][0] // PAGE, 32, labels["gpa"] // PAGE)
    assert b"_LSW" in (out / "vm1.acpi").read_bytes()


def test_without_a_label_file_there_are_no_label_methods(ready, config, out):
    ready("export", config(), "-o", out)
    assert b"_LS" not in (out / "vm1.acpi").read_bytes()


def test_scattered_files_and_nine_of_them(xlpy, config, out):
    paths = [f"/mnt/pmem0/nine{number}" for number in range(9)]
    for path in paths:
        xlpy("pmem", "mkfile", "2M", path)
    xlpy("export", config(variant(vnvdimm=[f"file={path}" for path in paths])), "-o", out)
    devices = record(out)["vnvdimms"]
    assert [one["data"]["path"] for one in devices] == paths
    assert len({one["serial"] for one in devices}) == 9
    assert [one["data"]["gpa"] for one in devices] == [(20 + n) * GIB for n in range(9)]
    assert b"NV08" in (out / "vm1.acpi").read_bytes()
    assert signatures(out) == [b"NFIT", b"SSDT"]


def test_its_own_iomem_and_tables_stay(ready, config, out, tmp_path):
    tables = [build_table("SLIC", bytes(300)), build_table("OEM1", b"x" * 50)]
    (tmp_path / "own.acpi").write_bytes(b"".join(tables) + b"less than a header")
    own = 'iomem = [ "d0000,10@500000", "e0000,1" ]'
    ready("export", config(variant(own, f'acpi_firmware = "{tmp_path}/own.acpi"')), "-o", out)
    assert iomem(out)[:2] == [(0xD0000, 0x10, 0x500000), (0xE0000, 1, (1 << 64) - 1)]
    assert record(out)["vnvdimms"][0]["data"]["gpa"] == 21 * GIB  # where it would be is taken
    assert split((out / "vm1.acpi").read_bytes(), "")[2:] == tables


def test_a_large_area_gets_page_tables(xlpy, config, out):
    """The default paging pool of libxl counts RAM; 498 MiB that are not on 2 MiB need 249 pages more."""
    xlpy("export", config(variant("shadow_memory = 1", vnvdimm="file=/dev/pmem1", memory=128)), "-o", out)
    assert stock(out).tree["b_info"]["shadow_memkb"] >> 10 >= 2
    assert "# shadow_memory = 1" in (out / "vm1.cfg").read_text()


def test_lines_that_end_in_cr_lf_become_xls(ready, config, out):
    path = config()
    path.write_bytes(CONFIG.replace("\n", "\r\n").encode())
    ready("export", path, "-o", out)
    assert stock(out).name == "vm1"


def test_json_and_dry_run(ready, config, out):
    shown = ready("export", "-n", "--json", config(), "-o", out).json
    assert (shown["schema"], shown["dry_run"], shown["iomem"]) == ("xlpy.export/1", True, 1)
    assert not out.exists()
    assert ready("export", "check", "--json").json["items"] == []
    ready("create", config())


def test_an_interleaved_machine(xlpy, config, out, tmp_path, monkeypatch):
    """Interleaving is below host addresses: a file is as contiguous there as without."""
    from pathlib import Path

    machine = Path(__file__).parents[2] / "configs" / "machines" / "interleaved.yaml"
    monkeypatch.setenv("XLPY_ROOT", str(tmp_path / "interleaved"))
    xlpy("host", "init", "--machine", machine)
    devices = [one["blockdev"] for one in xlpy("pmem", "list", "--json").json["items"] if one.get("resource")]
    mounts = [mount for one in xlpy("pmem", "list", "--json").json["items"] for mount in one["mounts"]]
    paths = [f"{mount}/exported" for mount in mounts] or [f"/dev/{device}" for device in devices[:1]]
    for path in paths:
        if not path.startswith("/dev"):
            xlpy("pmem", "mkfile", "4M", path)
    xlpy("export", config(variant(vnvdimm=[f"file={path}" for path in paths])), "-o", out)
    for one, path in zip(record(out)["vnvdimms"], paths, strict=True):
        resolved = xlpy("pmem", "resolve", "--json", path).json["extents"]
        assert sum(size for _, size in one["data"]["spans"]) == sum(piece["length"] for piece in resolved)
        assert one["data"]["spans"][0][0] == resolved[0]["spa"]


def test_the_model_keeps_labels_itself(ready, config):
    shown = ready("create", config(variant(vnvdimm=f"file={FILE},label_file={LABELS}")))
    assert "this host keeps the labels itself" in shown.err


# --- check, renew, release ------------------------------------------------------------------------------------------


def test_check_and_release(ready, config, out):
    ready("export", config(), "-o", out)
    path = out / "vm1.json"
    assert ready("export", "check", path).out == f"{path}: ok\n"
    assert "vm1 (exported)" in ready("pmem", "list").out
    assert ready("export", "check").out == f"{path}: ok\n"
    ready("create", config(), status=5)
    ready("export", "release", "-n", path)
    ready("export", "check", path)
    ready("export", "release", path)
    assert not list(out.iterdir())
    ready("create", config())
    ready("export", "release", path, status=4)


def findings(ready, path, *codes):
    """The codes that a check finds; the status says the same."""
    items = ready("export", "check", "--json", path, status=10 if codes else 0).json["items"]
    assert [one["code"] for one in items[0]["findings"]] == list(codes)


def test_a_file_that_moved(ready, config, out, host_root):
    """Only root can do it, against the pin."""
    from xlpy.host import Host

    ready("export", config(), "-o", out)
    host = Host.open(host_root)
    with host.change("moving"):
        host.dom0.unpin(FILE, str(out / "vm1.json"))
        host.dom0.unlink(FILE)
        host.dom0.mkfile("/mnt/pmem0/between", 1 << 20)
        host.dom0.mkfile(FILE, 64 << 20)
    host.store.close()
    findings(ready, out / "vm1.json", "XLPY-PMEM-MOVED")


def test_a_pin_that_is_gone(ready, config, out, host_root):
    from xlpy.host import Host

    ready("export", config(), "-o", out)
    host = Host.open(host_root)
    with host.change("unpinning"):
        host.dom0.unpin(FILE, str(out / "vm1.json"))
    host.store.close()
    findings(ready, out / "vm1.json", "XLPY-PMEM-UNPINNED")


def test_a_configuration_that_was_edited(ready, config, out):
    """More memory than there was room for below the vNVDIMM is a finding of its own."""
    ready("export", config(), "-o", out)
    path = out / "vm1.cfg"
    path.write_text(path.read_text() + "vcpus = 2\n")
    findings(ready, out / "vm1.json", "XLPY-EXPORT-CHANGED")
    path.write_text(path.read_text() + "memory = 24576\n")
    findings(ready, out / "vm1.json", "XLPY-EXPORT-CHANGED", "XLPY-EXPORT-RAM")
    shown = ready("export", "release", out / "vm1.json")
    assert f"{path}.released was edited" in shown.err
    assert [one.name for one in out.iterdir()] == ["vm1.cfg.released"]


def test_files_that_are_gone(ready, config, out):
    ready("export", config(), "-o", out)
    (out / "vm1.acpi").unlink()
    findings(ready, out / "vm1.json", "XLPY-EXPORT-FILE")
    (out / "vm1.json").unlink()
    ready("export", "release", out / "vm1.json")  # the machine remembers
    ready("create", config())


def test_a_record_after_its_release(ready, config, out, tmp_path):
    ready("export", config(), "-o", out)
    kept = {path: path.read_bytes() for path in out.iterdir()}
    ready("export", "release", out / "vm1.json")
    for path, content in kept.items():
        path.write_bytes(content)
    findings(ready, out / "vm1.json", "XLPY-EXPORT-RELEASED", "XLPY-PMEM-UNPINNED")


@pytest.mark.parametrize("content", ["{}", "[1]", '{"schema": "xlpy.export/1"}', '{"schema": "other/1"}'])
def test_what_is_no_record(ready, tmp_path, content):
    path = tmp_path / "x.json"
    path.write_text(content)
    assert "not the record of an export" in ready("export", "check", path, status=6).err


def test_a_record_whose_extents_were_changed(ready, config, out, tmp_path):
    ready("export", config(), "-o", out)
    fields = record(out)
    fields["vnvdimms"][0]["data"]["spans"][0][1] -= PAGE
    (tmp_path / "forged.json").write_text(json.dumps(fields))
    assert "digest" in ready("export", "check", tmp_path / "forged.json", status=6).err


def test_an_export_is_renewed_in_its_place(ready, config, out):
    """The same configuration after a change: what it no longer has is let go."""
    both = [f"file={FILE}", f"file={LABELS}"]
    ready("export", config(variant(vnvdimm=both)), "-o", out)
    ready("export", config(variant(memory=8192)), "-o", out)
    assert len(iomem(out)) == 1
    ready("export", "check", out / "vm1.json")
    ready("export", config(variant(vnvdimm=f"file={LABELS}", name="other")), "-o", out)


# --- what is refused -------------------------------------------------------------------------------------------------


def test_two_exports_of_one_file(ready, config, out, tmp_path):
    ready("export", config(), "-o", out)
    shown = ready("export", config(variant(name="vm2")), "-o", tmp_path / "elsewhere", status=5)
    assert f"exported already, to vm1 ({out / 'vm1.json'})" in shown.err
    ready("export", config(), "-o", tmp_path / "elsewhere", status=5)
    ready("export", config(variant(vnvdimm="file=/dev/pmem0")), "-o", tmp_path / "elsewhere", status=5)
    assert not (tmp_path / "elsewhere").exists()


def test_a_domain_has_it(ready, config, out):
    ready("create", config())
    assert "domain 1" in ready("export", config(), "-o", out, status=5).err
    ready("destroy", "vm1")
    ready("export", config(), "-o", out)


REFUSED = {  # what is wrong: configuration, status, what is said
    "no vnvdimm": ('name = "a"\ntype = "hvm"\n', 3, "nothing to export"),
    "PV": (CONFIG.replace("hvm", "pv") + 'kernel = "/vmlinuz"\n', 6, "needs an HVM guest"),
    "PVH": (CONFIG.replace("hvm", "pvh") + 'kernel = "/vmlinuz"\n', 6, "needs an HVM guest"),
    "no ACPI": (variant("acpi = 0"), 6, "acpi = 0"),
    "a name that is a path": (variant(name="a/b"), 6, "cannot be that of a file"),
    "a name that is a folder": (variant(name=".."), 6, "cannot be that of a file"),
    "read only": (variant(vnvdimm=f"file={FILE},mode=ro"), 6, "iomem has no read-only mapping"),
    "no such file": (variant(vnvdimm="file=/mnt/pmem0/none"), 4, "no such file"),
    "a mounted device": (variant(vnvdimm="file=/dev/pmem0"), 5, "mounted"),
    "no absolute path": (variant(vnvdimm="file=vm1.img"), 4, "absolute path"),
    "one file twice": (variant(vnvdimm=[f"file={FILE}", f"file={FILE}"]), 5, "same host memory"),
    "labels in the data": (variant(vnvdimm=[f"file={FILE},label_file={FILE}"]), 3, "label_file is the file itself"),
    "labels in another's data": (
        variant(vnvdimm=[f"file={FILE}", f"file=/dev/pmem1,label_file={FILE}"]),
        5,
        "same host memory",
    ),
    "one label area for two": (
        variant(vnvdimm=[f"file={FILE},label_file={LABELS}", f"file=/dev/pmem1,label_file={LABELS}"]),
        5,
        "same host memory",
    ),
    "no such label file": (variant(vnvdimm=f"file={FILE},label_file=/mnt/pmem0/none"), 4, "no such file"),
    "its iomem maps the file already": (variant('iomem = [ "443df7,1@500000" ]'), 5, "its own iomem entry maps"),
    "no such acpi_firmware": (variant('acpi_firmware = "/none"'), 3, "acpi_firmware: /none"),
    "too much memory": (variant(memory=67108864), 6, "physical address bits"),
    "only xlpy reads it": (variant(r'kernel = "\x41"'), 3, "the stock xl would refuse"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(ready, config, out, case):
    text, status, message = REFUSED[case]
    shown = ready("export", config(text), "-o", out, status=status)
    assert message in shown.err
    assert shown.err.count("error:") == 1
    assert not out.exists()
    assert ready("export", "check", "--json").json["items"] == []


@pytest.mark.parametrize(("size", "status"), [("64K", 6), ("124K", 6), ("128K", 0), ("132K", 0)])
def test_the_size_of_a_label_file(xlpy, config, out, size, status):
    xlpy("pmem", "mkfile", size, "/mnt/pmem0/labels")
    xlpy("export", config(variant(vnvdimm=f"file={FILE},label_file=/mnt/pmem0/labels")), "-o", out, status=status)


def test_a_label_file_with_other_data(ready, config, out, host_root):
    """Labels that are there are kept; any other byte might be somebody's."""
    from xlpy.addr import Spa
    from xlpy.dom0.nvdimm.labels import empty_index
    from xlpy.host import Host
    from xlpy.toolstack.backing.resolve import resolve

    path = config(variant(vnvdimm=f"file={FILE},label_file={LABELS}"))
    host = Host.open(host_root)
    spa = resolve(host.dom0, LABELS).spans[0].start
    host.hw.write(Spa(spa + 100), b"data")
    host.hw.sync()
    assert "holds data" in ready("export", path, "-o", out, status=7).err
    host.hw.write(spa, empty_index(128 << 10, 0).build())
    host.hw.sync()
    host.store.close()
    ready("export", path, "-o", out)


@pytest.mark.parametrize(("count", "status"), [(7, 0), (8, 6)])
def test_tables_that_hvmloader_has_room_for(ready, config, out, tmp_path, count, status):
    (tmp_path / "own.acpi").write_bytes(build_table("OEM1", bytes(100)) * count)
    path = config(variant(f'acpi_firmware = "{tmp_path}/own.acpi"'))
    shown = ready("export", path, "-o", out, status=status)
    assert ("it would drop the last" in shown.err) == bool(status)


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (build_table("NFIT", bytes(4)), 5, "brings an NFIT"),
        (build_table("SSDT", b"ACPI0012"), 5, "_SB.NVDR"),
        (build_table("OEM1", bytes(64))[:-1], 6, "says it has 100 bytes"),
        (b"OEM1" + bytes(40), 6, "says it has 0 bytes"),
        (build_table("OEM1", bytes(64)) + b"OEM2" + (20).to_bytes(4, "little") + bytes(60), 6, "offset 0x64"),
        (build_table("OEM1", bytes(64))[:-1] + b"x", 6, "checksum"),
        (build_table("OEM1", bytes(1 << 20)), 6, "bytes of tables"),
    ],
)
def test_tables_that_cannot_be_passed(ready, config, out, tmp_path, content, status, message):
    (tmp_path / "own.acpi").write_bytes(content)
    shown = ready("export", config(variant(f'acpi_firmware = "{tmp_path}/own.acpi"')), "-o", out, status=status)
    assert message in shown.err


def test_more_extents_than_entries(ready, config, out, monkeypatch):
    monkeypatch.setattr(limits, "MOST_ENTRIES", 0)
    assert "1 iomem entries are needed" in ready("export", config(), "-o", out, status=6).err


def test_files_of_others_stay(ready, config, tmp_path):
    path = config(name="vm1.cfg")  # its own name is that of the product
    before = path.read_bytes()
    assert "vm1.cfg exists" in ready("export", path, "-o", tmp_path, status=5).err
    assert path.read_bytes() == before


def test_files_of_another_machine_stay(ready, config, out, tmp_path, monkeypatch):
    """A folder that two machines share: what is not in the register of this one is not its own."""
    ready("export", config(), "-o", out)
    before = {path: path.read_bytes() for path in out.iterdir()}
    monkeypatch.setenv("XLPY_ROOT", str(tmp_path / "another"))
    assert "is not of an export of this machine" in ready("export", config(), "-o", out, status=5).err
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_a_folder_that_is_none(ready, config, tmp_path):
    (tmp_path / "file").write_text("")
    assert "file" in ready("export", config(), "-o", tmp_path / "file", status=6).err
    assert "file" in ready("export", config(), "-o", tmp_path / "file" / "below", status=4).err
    assert ready("export", "check", "--json").json["items"] == []


def test_names_with_spaces_and_quotes(ready, config, tmp_path):
    """What is printed can be pasted, what is written can be read."""
    shown = ready("export", config(variant(name="my vm")), "-o", tmp_path / 'a "b" c')
    assert f"release: xlpy export release '{tmp_path}/a \"b\" c/my vm.json'" in shown.err
    folder = tmp_path / 'a "b" c'
    assert stock(folder, "my vm").acpi_firmware == str(folder / "my vm.acpi")
    ready("export", "release", folder / "my vm.json")


def test_poison(xlpy, config, out, tmp_path, monkeypatch):
    from pathlib import Path

    machine = Path(__file__).parents[2] / "configs" / "machines" / "faulty.yaml"
    monkeypatch.setenv("XLPY_ROOT", str(tmp_path / "faulty"))
    xlpy("host", "init", "--machine", machine)
    shown = xlpy("export", config(variant(vnvdimm="file=/dev/pmem0")), "-o", out, status=7)
    assert "poisoned" in shown.err


def test_a_failure_takes_everything_back(ready, config, out, monkeypatch):
    """The disk fills up at the last of the three files."""
    import errno

    real, seen = exporter.replace, []

    def full(path, content, undo):
        seen.append(path)
        if len(seen) == 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path, content, undo)

    with monkeypatch.context() as patch:
        patch.setattr(exporter, "replace", full)
        assert "No space left" in ready("export", config(), "-o", out, status=6).err
    assert not out.parent.exists()
    assert ready("export", "check", "--json").json["items"] == []
    ready("create", config())


def test_a_failed_renewal_leaves_the_export_as_it_was(ready, config, out, monkeypatch):
    ready("export", config(), "-o", out)
    before = {path: path.read_bytes() for path in out.iterdir()}

    def broken(*_):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(exporter, "replace", broken)
        ready("export", config(variant(memory=1024)), "-o", out, status=6)
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    ready("export", "check", out / "vm1.json")


def test_a_command_that_is_killed(ready, config, out, monkeypatch):
    """At the second of the three files: the next command takes back pins, and the export can be made or released."""
    real, seen = exporter.replace, []

    def killed(path, content, undo):
        seen.append(path)
        if len(seen) == 2:
            os._exit(9)
        real(path, content, undo)

    with monkeypatch.context() as patch:
        patch.setattr(exporter, "replace", killed)
        child = os.fork()
        if not child:
            ready("export", config(), "-o", out)
        os.waitpid(child, 0)
    codes = {one["code"] for one in ready("export", "check", "--json", status=10).json["items"][0]["findings"]}
    assert codes >= {"XLPY-EXPORT-INTERRUPTED", "XLPY-EXPORT-FILE"}
    ready("export", config(), "-o", out)
    ready("export", "check", out / "vm1.json")
    ready("export", "release", out / "vm1.json")
    ready("create", config())


def test_a_machine_without_nvdimms(ready, config, out, monkeypatch):
    from xlpy.toolstack.export import machine

    monkeypatch.setattr(machine, "has_nvdimms", lambda: False)
    shown = ready("export", config(), "-o", out, "--dom0", "linux", status=4)
    assert "this machine has no NVDIMM" in shown.err
