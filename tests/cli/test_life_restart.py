"""What follows a shutdown: every action, restarts, their bound, core dumps, and configurations for the next start."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess

import pytest

from xlpy.errors import Conflict
from xlpy.host import Host

PMEM = "0x500000000"
BAD = b"BAD!" + (1 << 20).to_bytes(4, "little") + bytes(92)  # an ACPI table that is longer than its file


@pytest.fixture
def create(xlpy, configs):
    """Create the quickstart domain with more settings."""

    def make(*extra, status=0):
        return xlpy("create", "-q", configs / "quickstart.cfg", *extra, status=status)

    return make


@pytest.fixture
def broken(tmp_path):
    """A setting with which hvmloader crashes."""
    path = tmp_path / "bad.aml"
    path.write_bytes(BAD)
    return f'acpi_firmware="{path}"'


def domains(xlpy):
    """(domid, name, state) of every guest."""
    return [(item["domid"], item["name"], item["state"]) for item in xlpy("list", "--json").json["items"]]


class TestRestart:
    def test_new_domid_and_nothing_else(self, xlpy, create):
        create('cpus="2-3"')
        before = xlpy("list", "-l", "quickstart").json[0]["config"]
        xlpy("mem", "write", "quickstart", PMEM, "--hex", "6b657074")
        found = xlpy("reboot", "quickstart")
        assert found.err == "Rebooting domain 1\ndomain 1 (quickstart) was started again as domain 2\n"
        assert domains(xlpy) == [(2, "quickstart", "r-----")]
        assert xlpy("list", "-l", "quickstart").json[0]["config"] == before
        assert xlpy("mem", "read", "quickstart", PMEM, "4", "--json").json["hex"] == "6b657074"
        assert xlpy("acpi", "dump", "quickstart").out
        xlpy("list", "1", status=4)

    def test_ram_is_not_kept(self, xlpy, create):
        create()
        xlpy("mem", "write", "quickstart", "16M", "--hex", "ff")
        xlpy("reboot", "quickstart")
        assert xlpy("mem", "read", "quickstart", "16M", "1", "--json").json["hex"] == "00"

    def test_labels_are_kept(self, xlpy, create):
        create()
        xlpy("acpi", "eval", "quickstart", r"\_SB.NVDR.NV00._LSW", "0", "4", "str:kept")
        xlpy("reboot", "quickstart")
        assert "6b 65 70 74" in xlpy("acpi", "eval", "quickstart", r"\_SB.NVDR.NV00._LSR", "0", "4").out

    def test_rename_attached_devices_and_memory_go_along(self, xlpy, create):
        create()
        xlpy("rename", "quickstart", "other")
        xlpy("nvdimm-attach", "other", "file=/dev/pmem1,label_size=256K")
        xlpy("mem-set", "other", "400")
        for _ in range(2):
            xlpy("reboot", "other")
        config = xlpy("list", "-l", "other").json[0]["config"]
        assert config["c_info"]["name"] == "other"
        assert config["b_info"]["target_memkb"] == 400 << 10
        assert config["vnvdimms"][1] == {"file": "/dev/pmem1", "label_size": 262144}
        assert [row["slot"] for row in xlpy("nvdimm-list", "other", "--json").json["items"]] == [0, 1]

    def test_on_every_event(self, xlpy, create, host_root):
        for code, key in enumerate(("poweroff", "reboot", None, "crash", "watchdog")):
            if key:
                create(f'on_{key}="restart"')
                host = Host.open(host_root)
                with host.change("test"):
                    domid = host.domid("quickstart")
                    host.xen.hypercalls(domid).sched_shutdown(domid, code)
                    (outcome,) = host.lifecycle.settle()
                assert outcome.action == "restart"
                assert outcome.successor == domid + 1
                host.destroy("quickstart")
                host.store.close()

    def test_a_suspended_guest_is_waited_for(self, xlpy, create):
        create()
        xlpy("xenstore", "write", "/local/domain/1/control/shutdown", "suspend")
        assert domains(xlpy) == [(1, "quickstart", "---ss-")]

    def test_without_the_backing_it_cannot_start_again(self, xlpy, create, host_root):
        create()
        host = Host.open(host_root)
        with host.change("test"):
            host.lifecycle.unpin(1)
            host.dom0.truncate("/mnt/pmem0/vm1.img", 4096 + 1)
        host.store.close()
        found = xlpy("reboot", "quickstart", status=6)
        assert "nothing has changed: domain 1 (quickstart) is as it was" in found.err
        assert domains(xlpy) == [(1, "quickstart", "r-----")]

    def test_of_several_each_is_restarted_or_as_it_was(self, xlpy, create, configs):
        create()
        xlpy("create", "-q", configs / "device.cfg")
        xlpy("config-update", "quickstart", configs / "quickstart.cfg", 'name="device"')
        found = xlpy("reboot", "-a", "--json", status=11)
        assert [row["domain"] for row in found.json["failed"]] == ["1"]
        assert domains(xlpy) == [(1, "quickstart", "r-----"), (4, "device", "r-----")]  # the name took number 3

    def test_a_crash_stays_when_what_follows_it_fails(self, xlpy, create, host_root, monkeypatch):
        create('on_crash="restart"')

        def refuse(*_, **__):
            raise Conflict("not now")

        host = Host.open(host_root)
        with host.change("test"):
            host.xen.hypercalls(1).sched_shutdown(1, 3)
            monkeypatch.setattr(host.lifecycle, "create", refuse)
            (outcome,) = host.lifecycle.settle()
        host.store.close()
        assert (str(outcome.error), outcome.successor) == ("not now", None)
        assert domains(xlpy) == [(1, "quickstart", "---sc-")]
        assert "shut down: crash" in xlpy("dmesg").out


class TestOtherActions:
    def test_preserve(self, xlpy, create):
        create('on_crash="preserve"')
        assert "is kept: xlpy destroy 1" in xlpy("sysrq", "quickstart", "c").err
        assert domains(xlpy) == [(1, "quickstart", "---sc-")]
        assert xlpy("mem", "read", "quickstart", PMEM, "4").out
        xlpy("destroy", "quickstart")

    def test_rename_restart(self, xlpy, create):
        create('on_crash="rename-restart"')
        xlpy("mem", "write", "quickstart", "16M", "--hex", "77")
        uuid = xlpy("list", "--json").json["items"][0]["uuid"]
        found = xlpy("sysrq", "quickstart", "c", "--json").json["followed"][0]
        assert re.fullmatch(r"quickstart-\d{8}T\d{4}Z", found["kept_as"])
        assert found["successor"] == 2
        old, new = xlpy("list", "--json").json["items"]
        assert (old["name"], old["state"], old["vnvdimms"]) == (found["kept_as"], "---sc-", [])
        assert old["uuid"] == uuid == new["uuid"]  # Xen knows the old one by its UUID still; /vm is another
        vm = xlpy("xenstore", "read", "/local/domain/1/vm").out.strip()
        assert vm != f"/vm/{uuid}"
        assert xlpy("xenstore", "ls", "-f", "-p", vm).out == f'{vm}/uuid = "{vm[4:]}"   (n0,r1)\n'
        assert new["vnvdimms"][0]["path"] == "/mnt/pmem0/vm1.img"
        assert xlpy("mem", "read", "1", "16M", "1", "--json").json["hex"] == "77"
        assert xlpy("mem", "read", "1", PMEM, "4", "--json").json["hex"] == "ffffffff"
        xlpy("uptime", "1")
        again = xlpy("sysrq", "quickstart", "c", "--json").json["followed"][0]
        assert again["kept_as"] != found["kept_as"]
        for domid in ("1", "2", "3"):
            xlpy("destroy", domid)

    def test_rename_restart_without_vnvdimms(self, xlpy, tmp_path):
        (tmp_path / "bare.cfg").write_text(
            f'name = "bare"\ntype = "pv"\nkernel = "{tmp_path}/bare.cfg"\nmemory = 64\non_reboot = "rename-restart"\n'
        )
        xlpy("create", "-q", tmp_path / "bare.cfg")
        xlpy("reboot", "bare")
        assert [(name[:4], state) for _, name, state in domains(xlpy)] == [("bare", "---sr-"), ("bare", "r-----")]

    @pytest.mark.parametrize("action", ["coredump-destroy", "coredump-restart"])
    def test_coredump(self, xlpy, create, host_root, action):
        create(f'on_crash="{action}"')
        xlpy("mem", "write", "quickstart", "16M", "--hex", "11")
        xlpy("mem", "write", "quickstart", PMEM, "--hex", "22")
        found = xlpy("sysrq", "quickstart", "c", "--json").json["followed"][0]
        assert found["core"] == str(host_root / "dump" / "quickstart.core")
        assert found["successor"] == (2 if action == "coredump-restart" else None)
        core = host_root / "dump" / "quickstart.core"
        loads = elf_loads(core)
        assert [hex(address) for address, *_ in loads] == [
            "0x0",
            "0xc0000",
            "0x20000000",
            "0xf0000000",
            "0xfc000000",
            "0xfc100000",
            "0xfeff0000",
            "0x500000000",
        ]
        assert peek(core, 16 << 20, 1) == b"\x11"
        assert peek(core, int(PMEM, 16), 1) == b"\x22"
        length = core.stat().st_size
        assert sum(size for _, size, _ in loads) == length - loads[0][2]
        assert core.stat().st_blocks * 512 < 4 << 20 < length  # sparse

    def test_a_core_dump_that_fails_does_not_matter(self, xlpy, create, host_root):
        create('on_crash="coredump-destroy"')
        (host_root / "dump").write_text("in the way")
        assert xlpy("sysrq", "quickstart", "c", "--json").json["followed"][0]["core"] is None
        assert domains(xlpy) == []

    def test_soft_reset(self, xlpy, create, host_root):
        create()
        xlpy("nvdimm-attach", "quickstart", "/dev/pmem1")
        xlpy("mem", "write", "quickstart", "16M", "--hex", "88")
        before = [row for row in xlpy("map", "quickstart", "--json").json["items"] if row["kind"] != "mmio"]
        nodes = xlpy("xenstore", "ls", "-f", "-p", "/local/domain/1").out
        host = Host.open(host_root)
        with host.change("test"):
            host.xen.hypercalls(1).sched_shutdown(1, 5)
            (outcome,) = host.lifecycle.settle()
        host.store.close()
        assert (outcome.action, outcome.error, outcome.successor) == ("soft-reset", None, None)
        assert domains(xlpy) == [(1, "quickstart", "r-----")]
        assert [row for row in xlpy("map", "quickstart", "--json").json["items"] if row["kind"] != "mmio"] == before
        assert xlpy("mem", "read", "quickstart", "16M", "1", "--json").json["hex"] == "88"
        assert xlpy("acpi", "eval", "quickstart", r"\_SB.NVDR.NV01._LSI").out
        after = xlpy("xenstore", "ls", "-f", "-p", "/local/domain/1").out
        gone = [line for line in nodes.splitlines() if line not in after.splitlines()]
        assert all("dm-acpi" in line for line in gone)  # those were for hvmloader
        xlpy("reboot", "quickstart")


class TestFirmwareCrash:
    @pytest.mark.parametrize(
        ("action", "left"),
        [
            ("destroy", []),
            ("restart", []),
            ("coredump-restart", []),
            ("soft-reset", []),
            ("preserve", [(1, "quickstart", "---sc-")]),
        ],
    )
    def test_on_crash(self, xlpy, create, broken, action, left):
        found = create(broken, f'on_crash="{action}"', status=9)
        assert "hvmloader stopped" in found.err
        assert domains(xlpy) == left
        assert ("3 times in a row" in found.err) == ("restart" in action)
        starts = xlpy("dmesg").out.count("HVMLoader crashed")
        assert starts == (3 if "restart" in action else 1)

    def test_nothing_is_left_behind(self, xlpy, create, broken):
        before = xlpy("xenstore", "ls", "-f").out
        create(broken, 'on_crash="restart"', status=9)
        left = [f'/{name} = ""\n' for name in ("libxl", "vm", "local/domain/0/device-model")]  # these stay, as in Xen
        after = "".join(line for line in xlpy("xenstore", "ls", "-f").out.splitlines(keepends=True) if line not in left)
        assert after == before
        create()

    def test_rename_restart_keeps_each(self, xlpy, create, broken):
        create(broken, 'on_crash="rename-restart"', status=9)
        names = [name for _, name, state in domains(xlpy) if state == "---sc-"]
        assert len(set(names)) == 3
        assert names[-1] == "quickstart"

    def test_while_rebooting(self, xlpy, create, broken, configs):
        create()
        xlpy("config-update", "quickstart", configs / "quickstart.cfg", broken)
        found = xlpy("reboot", "quickstart", status=9)
        assert "domain 1 was ended for its restart and is gone" in found.err
        assert domains(xlpy) == []


class TestConfigUpdate:
    def test_used_once_at_the_next_restart(self, xlpy, create, configs):
        create()
        found = xlpy("config-update", "quickstart", configs / "quickstart.cfg", "vcpus=1", 'name="updated"')
        assert "setting dom1 configuration" in found.err
        assert domains(xlpy) == [(1, "quickstart", "r-----")]
        xlpy("reboot", "quickstart")
        assert domains(xlpy) == [(2, "updated", "r-----")]
        assert xlpy("list", "--json").json["items"][0]["vcpus"] == 1
        xlpy("rename", "updated", "third")
        xlpy("reboot", "third")
        assert domains(xlpy) == [(3, "third", "r-----")]

    def test_shows_what_was_read(self, xlpy, create, configs):
        create()
        shown = xlpy("config-update", "-d", "quickstart", configs / "quickstart.cfg").json
        assert shown["domid"] is None
        assert shown["config"]["c_info"]["name"] == "quickstart"
        shown = xlpy("config-update", "-n", "quickstart", configs / "two.cfg").json
        assert shown["config"]["c_info"]["name"] == "two"
        xlpy("reboot", "quickstart")
        assert domains(xlpy)[0][1] == "quickstart"  # the dry run stored nothing

    @pytest.mark.parametrize(
        ("words", "status", "text"),
        [
            ((), 2, "Config file not specified"),
            (("a.cfg", "-f", "/nonexistent.cfg"), 2, "takes one configuration file"),
            (("-f", "/nonexistent.cfg"), 4, "/nonexistent.cfg"),
            (("memory=1",), 2, "Config file not specified"),
            (("/nonexistent.cfg",), 4, "Failed to read config file"),
            (("a.cfg", "b.cfg"), 2, "b.cfg"),
            (("/dev/null",), 3, "name"),
        ],
    )
    def test_refused(self, xlpy, create, words, status, text):
        create()
        assert text in xlpy("config-update", "quickstart", *words, status=status).err

    def test_a_name_that_is_taken_by_then(self, xlpy, create, configs):
        create()
        xlpy("create", "-q", configs / "device.cfg")
        xlpy("config-update", "quickstart", configs / "quickstart.cfg", 'name="device"')
        found = xlpy("reboot", "quickstart", status=5)
        assert 'Domain with name "device" already exists.' in found.err
        assert [name for _, name, _ in domains(xlpy)] == ["quickstart", "device"]


class TestDumpCore:
    def test_the_domain_goes_on(self, xlpy, create, tmp_path):
        create()
        core = tmp_path / "x.core"
        found = xlpy("dump-core", "quickstart", core, "--json")
        assert [row["kind"] for row in found.json["items"]] == ["ram"] * 7 + ["pmem"]
        assert domains(xlpy) == [(1, "quickstart", "r-----")]
        if shutil.which("readelf"):
            shown = subprocess.run(["readelf", "-hlnW", core], capture_output=True, text=True, check=True)
            assert shown.stdout.count("LOAD ") == 8
            assert "CORE (Core file)" in shown.stdout
            assert not shown.stderr

    def test_poison_is_left_out(self, xlpy, create, tmp_path, host_root):
        from xlpy.addr import Spa, Span

        create()
        xlpy("mem", "write", "quickstart", PMEM, "--hex", "55" * 1024)
        host = Host.open(host_root)
        spa = host.domain("quickstart").record.vnvdimms[0].extents[0][0]
        host.hw.poison.add(Span(Spa(spa + 256), 256))
        host.store.close()
        xlpy("dump-core", "quickstart", tmp_path / "x.core")
        assert peek(tmp_path / "x.core", int(PMEM, 16), 1024) == b"\x55" * 256 + bytes(256) + b"\x55" * 512

    @pytest.mark.parametrize(("domain", "status"), [("nobody", 4), ("0", 5)])
    def test_refused(self, xlpy, tmp_path, domain, status):
        xlpy("dump-core", domain, tmp_path / "x.core", status=status)
        assert not list(tmp_path.glob("x.core*"))

    def test_names_that_are_no_file_names(self, tmp_path):
        from xlpy.toolstack.domain.coredump import dump_path

        assert dump_path(tmp_path, "../../etc/x") == tmp_path / ".._.._etc_x.core"
        assert dump_path(tmp_path, "") == tmp_path / ".core"
        assert len(dump_path(tmp_path, "é" * 2000).name.encode()) < 255


def elf_loads(core):
    """(address, size, offset) of each PT_LOAD (ELF-64 object file format)."""
    with core.open("rb") as file:
        data = file.read(4096)
    assert data[:7] == b"\x7fELF\x02\x01\x01"
    (start,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    rows = [struct.unpack_from("<IIQQQQQQ", data, start + size * i) for i in range(count)]
    return [(paddr, filesz, offset) for kind, _, offset, _, paddr, filesz, _, _ in rows if kind == 1]


def peek(core, address, length):
    """Bytes of a core file by guest address."""
    at = next(offset + address - start for start, size, offset in elf_loads(core) if start <= address < start + size)
    with core.open("rb") as file:
        file.seek(at)
        return file.read(length)
