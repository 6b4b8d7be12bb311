"""The persistent memory of a saved domain: compared when it comes back, wherever its content is by then."""

from __future__ import annotations

import pytest

from xlpy.addr import Spa
from xlpy.host import Host
from xlpy.toolstack.backing.resolve import resolve

PMEM, FILE, NEW = 0x500000000, "/mnt/pmem0/vm1.img", "/mnt/pmem0/new.img"
LABELLED = r"\_SB.NVDR.NV00._LSW"


@pytest.fixture
def saved(xlpy, configs, tmp_path):
    """A domain with content and a label byte, saved: the path of its file."""
    xlpy("create", "-q", configs / "quickstart.cfg")
    xlpy("mem", "write", "quickstart", hex(PMEM + (5 << 20)), "--hex", "6b657074")
    xlpy("acpi", "eval", "quickstart", LABELLED, "0", "4", "0x4c424c31")
    xlpy("save", "quickstart", tmp_path / "saved")
    return tmp_path / "saved"


@pytest.fixture
def dom0(host_root):
    """Do something with the files of Dom0: called with a function that gets the host."""

    def act(what):
        host = Host.open(host_root)
        try:
            with host.change("a test"):
                return what(host)
        finally:
            host.store.close()

    return act


def store(host, path, offset, data):
    """Write into a file, within one extent."""
    piece = next(one for one in resolve(host.dom0, path).extents if one.logical <= offset < one.logical + one.length)
    host.hw.write(Spa(piece.spa + offset - piece.logical), data)


def copy(host, source=FILE, target=NEW):
    """cp in Dom0."""
    host.dom0.mkfile(target, host.dom0.stat(source).size)
    store(host, target, 5 << 20, host.dom0.cat(source)[5 << 20 :][:4096])


def test_as_it_was(xlpy, saved):
    xlpy("restore", saved)
    assert xlpy("mem", "read", "quickstart", hex(PMEM + (5 << 20)), "4", "--json").json["hex"] == "6b657074"


def test_other_content_is_placed(xlpy, saved, dom0):
    dom0(lambda host: store(host, FILE, (9 << 20) + 7, b"x"))
    shown = xlpy("restore", saved, status=5).err
    assert f"  {FILE}: content: 1 of 64 pieces of 1M differ, the first at 0x900000" in shown
    assert "--rebase" in shown
    assert xlpy("restore", "-n", saved, status=5).err == shown
    xlpy("restore", "--any-pmem", saved)


def test_other_extents(xlpy, saved, dom0):
    """The same bytes at another place: somebody has replaced the file."""

    def replace(host):
        copy(host)
        host.dom0.unlink(FILE)
        host.dom0.mkfile("/mnt/pmem0/between", 1 << 20)
        copy(host, NEW, FILE)

    dom0(replace)
    shown = xlpy("restore", saved, status=5).err
    assert f"{FILE}: extents: 0x" in shown
    assert "content" not in shown
    xlpy("restore", "--rebase", f"{FILE}={FILE}", saved)


def test_another_size(xlpy, saved, dom0):
    dom0(lambda host: (host.dom0.unlink(FILE), host.dom0.mkfile(FILE, 32 << 20)))
    assert f"{FILE}: size: 64M then, 32M now" in xlpy("restore", saved, status=5).err
    assert "its guest knows no other size" in xlpy("restore", "--any-pmem", saved, status=5).err


def test_other_labels(xlpy, saved, host_root):
    (area,) = (host_root / "labels").iterdir()
    with area.open("r+b") as file:
        file.write(b"\xff")
    assert f"{FILE}: labels: not the same" in xlpy("restore", saved, status=5).err


def test_a_file_that_is_gone(xlpy, saved, dom0):
    dom0(lambda host: host.dom0.unlink(FILE))
    assert FILE in xlpy("restore", saved, status=4).err


def test_rebase_takes_another_file_and_labels_follow(xlpy, saved, dom0, host_root):
    dom0(copy)
    xlpy("restore", "-n", "--rebase", f"{FILE}={NEW}", saved)
    assert len(list((host_root / "labels").iterdir())) == 1
    xlpy("restore", "--rebase", f"{FILE}={NEW}", saved)
    (device,) = xlpy("list", "--json").json["items"][0]["vnvdimms"]
    assert (device["path"], device["gpa"]) == (NEW, PMEM)
    assert xlpy("mem", "read", "quickstart", hex(PMEM + (5 << 20)), "4", "--json").json["hex"] == "6b657074"
    first, second = sorted((host_root / "labels").iterdir())
    assert first.read_bytes() == second.read_bytes()


def test_rebase_to_a_file_with_other_content(xlpy, saved, dom0, host_root):
    dom0(lambda host: host.dom0.mkfile(NEW, 64 << 20))
    assert f"{NEW}: content: 1 of 64" in xlpy("restore", "--rebase", f"{FILE}={NEW}", saved, status=5).err
    assert len(list((host_root / "labels").iterdir())) == 1
    assert xlpy("list", "--json").json["items"] == []


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (f"/mnt/pmem0/none={NEW}", f"has no vNVDIMM /mnt/pmem0/none\n  hint: it has: {FILE}"),
        (FILE, "OLD=NEW is required"),
        (f"={FILE}", "OLD=NEW is required"),
        (f"{FILE}=", "OLD=NEW is required"),
    ],
)
def test_rebase_of_what_is_not_there(xlpy, saved, word, message):
    assert message in xlpy("restore", "--rebase", word, saved, status=2).err


def test_a_failure_leaves_no_labels_behind(xlpy, saved, dom0, host_root, monkeypatch):
    from xlpy.errors import Constraint
    from xlpy.toolstack.domain import restoring

    dom0(copy)

    def fails(*_arguments):
        raise Constraint("on purpose")

    monkeypatch.setattr(restoring, "_build", fails)
    xlpy("restore", "--rebase", f"{FILE}={NEW}", saved, status=6)
    assert len(list((host_root / "labels").iterdir())) == 1


def test_another_configuration(xlpy, saved, configs, tmp_path):
    """As in xl, it stands before the file."""
    path = tmp_path / "other.cfg"
    path.write_text((configs / "quickstart.cfg").read_text().replace('"quickstart"', '"other"'))
    xlpy("restore", path, saved)
    assert xlpy("list", "--json").json["items"][0]["name"] == "other"
    xlpy("destroy", "other")
    path.write_text(path.read_text().replace("vnvdimm", "# vnvdimm"))
    assert "has 0 vNVDIMMs, the saved domain 1" in xlpy("restore", path, saved, status=5).err


def test_a_configuration_that_is_saved_with_it(xlpy, configs, tmp_path):
    path = tmp_path / "other.cfg"
    path.write_text((configs / "quickstart.cfg").read_text() + "on_reboot = 'destroy'\n")
    xlpy("create", "-q", configs / "quickstart.cfg")
    xlpy("save", "quickstart", tmp_path / "saved", path)
    xlpy("restore", tmp_path / "saved")
    xlpy("reboot", "quickstart")
    assert xlpy("list", "--json").json["items"] == []
