"""Commands of xl that came late: vCPUs, disks, network, consoles, scheduler, saving and moving domains.

Texts and numbers are those of a real Xen 4.17.7 where it was asked.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from copying import copy_tree

PMEM = "0x500001000"


@pytest.fixture
def vm(xlpy, configs):
    """A running domain with one vNVDIMM: domain 1, with a network card."""
    xlpy("create", "-q", configs / "quickstart.cfg", 'vif=["mac=00:16:3e:00:00:01"]', "maxvcpus=4")
    return "quickstart"


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / "d.img"
    path.write_bytes(bytes(1 << 20))
    return path


class TestVcpus:
    def test_online(self, xlpy, vm):
        assert xlpy("vcpu-list", vm).out.count("-   --p") == 2
        xlpy("vcpu-set", vm, "3")
        home = "/local/domain/1/cpu"
        paths = [f"{home}/{cpu}/availability" for cpu in range(4)]
        assert xlpy("xenstore", "read", *paths).out.split() == ["online"] * 3 + ["offline"]
        xlpy("vcpu-set", vm, "1")
        assert xlpy("xenstore", "read", *paths).out.split() == ["online"] + ["offline"] * 3
        # QEMU never takes a vCPU out again
        build = xlpy("list", "-l", vm).json[0]["config"]["b_info"]
        assert build["avail_vcpus"] == [0, 1, 2]
        assert xlpy("list", "--json").json["items"][0]["vcpus"] == 1

    @pytest.mark.parametrize(
        ("count", "status", "text"),
        [
            ("0", 6, "Requested 0 VCPUs!"),
            ("abc", 2, "Error: Invalid argument."),
            ("", 2, "Error: Invalid argument."),
            ("5", 6, "You are overcommmitting! You have 4 physical CPUs and want 5 vCPUs! Aborting, use --ignore-host"),
            ("99999999999", 2, "Error: Invalid argument."),
        ],
    )
    def test_refused(self, xlpy, vm, count, status, text):
        for dry in ((), ("-n",)):
            assert text in xlpy("vcpu-set", *dry, vm, count, status=status).err
        assert xlpy("list", "--json").json["items"][0]["vcpus"] == 2

    def test_beyond_the_domains_maximum(self, xlpy, vm):
        found = xlpy("vcpu-set", "--ignore-host", vm, "5", status=6)
        assert "Requested 5 VCPUs, however maxcpus is 4!" in found.err
        xlpy("vcpu-set", "-i", vm, "4")

    def test_pin(self, xlpy, vm):
        assert xlpy("vcpu-pin", "-n", vm, "0", "0,2").out == "cpumap: 0,2\n"
        xlpy("vcpu-pin", vm, "0", "1-2")
        xlpy("vcpu-pin", vm, "all", "-", "3")
        rows = xlpy("vcpu-list", vm).out.splitlines()[1:]
        assert [row.split("  ")[-1].strip() for row in rows] == ["1-2 / 3", "all / 3", "all / 3", "all / 3"]

    @pytest.mark.parametrize(
        ("words", "status", "text"),
        [
            (("9", "0"), 8, "Could not set affinity for vcpu `9'."),
            (("0", "99"), 6, "vcpu hard affinity map is empty"),
            (("x", "0"), 2, "Error: Invalid argument x as VCPU."),
            (("0", "x"), 2, "Invalid pcpu range"),
            (("-f", "all", "0"), 2, "--force and 'all'"),
        ],
    )
    def test_pin_refused(self, xlpy, vm, words, status, text):
        assert text in xlpy("vcpu-pin", *words[:-2], vm, *words[-2:], status=status).err

    def test_scheduler(self, xlpy, vm):
        assert xlpy("sched-credit2").out.splitlines() == [
            "Cpupool Pool-0: ratelimit=1000us",
            "Name                                ID Weight  Cap",
            "Domain-0                             0    256    0",
            "quickstart                           1    256    0",
        ]
        xlpy("sched-credit2", "-d", vm, "-w", "512", "-c", "50")
        params = xlpy("list", "-l", vm).json[0]["config"]["b_info"]["sched_params"]
        assert params == {"sched": "credit2", "weight": 512, "cap": 50}
        xlpy("sched-credit2", "-w", "5", status=2)
        xlpy("sched-credit2", "-d", vm, "-c", "500", status=8)


class TestDevices:
    HEAD = "Vdev  BE  handle state evt-ch ring-ref BE-path                       "

    def test_a_disk_comes_and_goes(self, xlpy, vm, disk):
        assert xlpy("block-list", vm).out == f"{self.HEAD}\n"
        assert xlpy("block-attach", "-n", vm, f"{disk},raw,xvda,rw").out.startswith("disk: {")
        xlpy("block-attach", vm, f"{disk},raw,xvda,rw")
        row = "51712 0   1      1     -1     -1       /local/domain/0/backend/vbd/1/51712"
        assert xlpy("block-list", vm).out == f"{self.HEAD}\n{row}\n"
        (stored,) = xlpy("list", "-l", vm).json[0]["config"]["disks"]
        assert stored == {"pdev_path": str(disk), "vdev": "xvda", "format": "raw", "readwrite": 1}
        assert "already exists" in xlpy("block-attach", vm, f"{disk},raw,xvda,rw", status=5).err
        xlpy("reboot", vm)
        assert "/backend/vbd/2/51712" in xlpy("block-list", vm).out
        xlpy("block-detach", vm, "xvda")
        assert xlpy("block-list", vm).out == f"{self.HEAD}\n"
        assert "backend/vbd" not in xlpy("xenstore", "ls", "-f").out
        xlpy("reboot", vm)
        assert xlpy("block-list", vm).out == f"{self.HEAD}\n"

    @pytest.mark.parametrize(
        ("words", "status", "text"),
        [
            (("block-attach", "quickstart", "/nosuch,raw,xvda"), 3, "Disk vdev=xvda failed to stat: /nosuch"),
            (("block-attach", "quickstart", "/nosuch,raw"), 3, "no vdev specified"),
            (("block-attach", "quickstart", "/dev/null,raw,what"), 3, "virtual disk identifier what"),
            (("block-attach", "nobody", "/dev/null,raw,xvda"), 4, "nobody"),
            (("block-attach", "0", "/dev/null,raw,xvda"), 5, "domain 0"),
            (("block-detach", "quickstart", "xvda"), 4, "Error: Device xvda not connected."),
            (("block-detach", "quickstart", "bogus"), 4, "Error: Device bogus not connected."),
            (("block-list", "nobody"), 4, "nobody"),
            (("network-list", "nobody"), 4, "nobody"),
        ],
    )
    def test_refused(self, xlpy, vm, words, status, text):
        before = xlpy("xenstore", "ls", "-f").out
        assert text in xlpy(*words, status=status).err
        assert xlpy("xenstore", "ls", "-f").out == before

    def test_network(self, xlpy, vm):
        assert xlpy("network-list", vm).out.splitlines() == [
            "Idx BE Mac Addr.         handle state evt-ch   tx-/rx-ring-ref BE-path                       ",
            "0   0  00:16:3e:00:00:01     0     1     -1    -1/-1          /local/domain/0/backend/vif/1/0",
        ]

    def test_a_mac_that_was_chosen_stays(self, xlpy, configs):
        xlpy("create", "-q", configs / "quickstart.cfg", 'vif=[""]')
        mac = xlpy("network-list", "quickstart", "--json").json["items"][0]["mac"]
        assert mac.startswith("00:16:3e:")
        assert xlpy("list", "-l", "quickstart").json[0]["config"]["nics"][0]["mac"] == mac

    def test_no_pci_device_can_be_had(self, xlpy, configs):
        assert xlpy("pci-assignable-list").out == ""
        found = xlpy("create", configs / "quickstart.cfg", 'pci=["01:00.0"]', status=3)
        assert "no PCI device to pass through" in found.err


class TestConsole:
    def test_what_firmware_said(self, xlpy, vm):
        lines = xlpy("console", vm).out.splitlines()
        assert (lines[0], lines[-1]) == ("HVM Loader", "Invoking SeaBIOS ...")
        assert xlpy("console", "-t", "pv", vm).out == ""
        assert xlpy("console", "-t", "serial", "-n", "0", vm, "--json").json["firmware"] == lines
        xlpy("console", "-n", "1", vm, status=4)
        xlpy("console", "-t", "vuart", vm, status=4)
        xlpy("console", "99", status=4)

    def test_create_shows_it(self, xlpy, configs):
        assert xlpy("create", "-c", configs / "quickstart.cfg").out.startswith("HVM Loader\n")

    def test_what_a_booted_guest_said(self, xlpy, vm, host_root):
        (host_root / "domains" / "1" / "serial.log").write_bytes(b"login: \xff")
        assert subprocess.run(
            [sys.executable, "-m", "xlpy", "--root", host_root, "console", vm], capture_output=True, check=True
        ).stdout.endswith(b"Invoking SeaBIOS ...\nlogin: \xff")

    def test_debug_keys(self, xlpy, vm):
        xlpy("debug-keys", "hqmr!")
        log = xlpy("dmesg").out
        assert "(XEN) 'h' pressed -> showing installed handlers" in log
        assert "(XEN) General information for domain 1:" in log
        assert "pmem frames { 500000-503fff }" in log

    def test_top_is_refused_with_a_reason(self, xlpy):
        assert "no CPU time passes" in xlpy("top", status=2).err


class TestCreateOptions:
    def test_accepted_as_in_xl(self, xlpy, configs):
        found = xlpy("create", "-F", "-V", "-A", "-i", "-p", configs / "quickstart.cfg")
        assert "-F has no effect" in found.err
        assert "-V and -A have no effect" in found.err

    def test_two_files(self, xlpy, configs):
        one, other = configs / "quickstart.cfg", configs / "device.cfg"
        for words in (("-f", one, other), (one, other), (other, "-f", one)):
            assert "takes one configuration file" in xlpy("create", *words, status=2).err
        assert xlpy("list", "--json").json["items"] == []


class TestMissingFiles:
    """As xl 4.17 refuses them: with status 3, and a domain id that is used up where Xen has made the domain by then."""

    @pytest.mark.parametrize(
        ("extra", "text", "used"),
        [
            ('kernel="/nosuch"', "kernel: /nosuch: No such file", True),
            ('bios_path_override="/nosuch"', "bios_path_override: /nosuch: No such file", True),
            ('firmware_override="/nosuch"', "firmware_override: /nosuch: No such file", True),
            ('acpi_firmware="/nosuch"', "acpi_firmware: /nosuch: No such file", True),
            ('disk=["/nosuch,raw,xvda,rw"]', "Disk vdev=xvda failed to stat: /nosuch: No such file", True),
            ('name="a/b"', "qemu-dm-a/b.log", True),
            ('ramdisk="/nosuch"', "direct boot parameters specified but kernel missing", False),
        ],
    )
    def test_refused(self, xlpy, configs, extra, text, used):
        assert text in xlpy("create", configs / "device.cfg", extra, status=3).err
        assert xlpy("list", "--json").json["items"] == []
        xlpy("create", "-q", configs / "device.cfg")
        assert xlpy("domid", "device").out == ("2\n" if used else "1\n")

    @pytest.mark.parametrize("memory", ["memory=0", 'memory="x"', "memory=99999999"])
    def test_memory(self, xlpy, configs, memory):
        found = xlpy("create", configs / "device.cfg", memory, status=6)
        assert "memory" in found.err or "RAM" in found.err
        assert xlpy("list", "--json").json["items"] == []
        xlpy("create", "-q", configs / "device.cfg")
        assert xlpy("domid", "device").out == "2\n"  # Xen had made the domain by then

    def test_maxmem_below_memory_builds(self, xlpy, configs):
        found = xlpy("create", configs / "device.cfg", "memory=256", "maxmem=128")
        assert "fails" not in found.err
        assert xlpy("list", "--json").json["items"][0]["memory_mb"] == 128


class TestSaving:
    def test_there_and_back(self, xlpy, vm, tmp_path):
        path = tmp_path / "saved"
        xlpy("mem", "write", vm, "16M", "--hex", "cafe")
        xlpy("mem", "write", vm, PMEM, "--hex", "6b657074")
        uuid = xlpy("list", "--json").json["items"][0]["uuid"]
        xlpy("save", vm, path)
        assert xlpy("list", "--json").json["items"] == []
        assert path.stat().st_blocks * 512 < 4 << 20
        xlpy("restore", path)
        (item,) = xlpy("list", "--json").json["items"]
        assert (item["domid"], item["uuid"], item["state"], item["memory_mb"]) == (2, uuid, "r-----", 512)
        assert xlpy("mem", "read", vm, "16M", "2", "--json").json["hex"] == "cafe"
        assert xlpy("mem", "read", vm, PMEM, "4", "--json").json["hex"] == "6b657074"
        xlpy("guest", "probe", vm)
        assert xlpy("acpi", "eval", vm, r"\_SB.NVDR.NV00._LSI").out.startswith("Package (3)")
        xlpy("nvdimm-attach", vm, "/dev/pmem1")
        xlpy("reboot", vm)

    def test_what_was_plugged_in_keeps_its_place(self, xlpy, vm, tmp_path):
        for number in (1, 2):
            xlpy("nvdimm-attach", vm, "/dev/pmem1")
            if number == 1:
                xlpy("nvdimm-detach", "-f", vm, "0")
                xlpy("nvdimm-detach", "-f", vm, "1")
        before = xlpy("nvdimm-list", vm, "--json").json["items"]
        xlpy("save", vm, tmp_path / "saved")
        xlpy("restore", tmp_path / "saved")
        after = xlpy("nvdimm-list", vm, "--json").json["items"]
        assert [(row["slot"], row["gpa"], row["handle"]) for row in after] == [
            (row["slot"], row["gpa"], row["handle"]) for row in before
        ]

    @pytest.mark.parametrize(("option", "state"), [("-c", "r-----"), ("-p", "--p---")])
    def test_the_domain_may_stay(self, xlpy, vm, tmp_path, option, state):
        xlpy("save", option, vm, tmp_path / "saved")
        assert [item["state"] for item in xlpy("list", "--json").json["items"]] == [state]
        assert 'name "quickstart" already exists' in xlpy("restore", tmp_path / "saved", status=5).err

    def test_persistent_memory_that_has_changed(self, xlpy, vm, tmp_path, configs):
        xlpy("save", vm, tmp_path / "saved")
        xlpy("create", "-q", configs / "quickstart.cfg")
        xlpy("mem", "write", vm, PMEM, "--hex", "01")
        xlpy("destroy", vm)
        before = xlpy("xenstore", "ls", "-f").out
        found = xlpy("restore", tmp_path / "saved", status=5)
        assert "/mnt/pmem0/vm1.img: content: 1 of 64 pieces of 1M differ, the first at 0x0" in found.err
        assert xlpy("xenstore", "ls", "-f").out == before
        xlpy("restore", "--any-pmem", tmp_path / "saved")

    @pytest.mark.parametrize("at", [5, 30, 40_000, -1])
    def test_a_damaged_file(self, xlpy, vm, tmp_path, at):
        path = tmp_path / "saved"
        xlpy("save", vm, path)
        raw = bytearray(path.read_bytes())
        raw[at] ^= 0xFF
        path.write_bytes(raw)
        xlpy("restore", path, status=3 if at == 5 else 6)
        path.write_bytes(raw[:1000])
        xlpy("restore", path, status=3 if at == 5 else 6)
        assert xlpy("list", "--json").json["items"] == []

    def test_a_file_that_cannot_be_written(self, xlpy, vm):
        found = xlpy("save", vm, "/nosuch/file", status=4)
        assert "No such file or directory" in found.err
        assert xlpy("list", "--json").json["items"][0]["state"] == "r-----"

    def test_a_paused_domain_cannot_suspend(self, xlpy, vm, tmp_path):
        xlpy("pause", vm)
        assert "paused" in xlpy("save", vm, tmp_path / "saved", status=5).err
        assert not Path(tmp_path / "saved").exists()

    def test_moving(self, xlpy, vm, made_host, tmp_path):
        other = tmp_path / "other"
        copy_tree(made_host, other)
        xlpy("mem", "write", vm, "16M", "--hex", "cafe")
        xlpy("mem", "write", vm, PMEM, "--hex", "6b657074")
        xlpy("acpi", "eval", vm, r"\_SB.NVDR.NV00._LSW", "0", "4", "str:mark")
        found = xlpy("migrate", vm, other, status=5)
        assert "goes on here" in found.err
        assert xlpy("list", "--json").json["items"][0]["state"] == "r-----"
        assert xlpy("--root", other, "list", "--json").json["items"] == []
        xlpy("migrate", "--copy-pmem", vm, other)
        assert xlpy("list", "--json").json["items"] == []
        assert xlpy("--root", other, "mem", "read", vm, "16M", "2", "--json").json["hex"] == "cafe"
        assert xlpy("--root", other, "mem", "read", vm, PMEM, "4", "--json").json["hex"] == "6b657074"
        assert "6d 61 72 6b" in xlpy("--root", other, "acpi", "eval", vm, r"\_SB.NVDR.NV00._LSR", "0", "4").out

    def test_moving_without_labels(self, xlpy, vm, made_host, tmp_path, configs):
        """A label area that was never written has no file; what the other host has there goes with the content."""
        other = tmp_path / "other"
        copy_tree(made_host, other)
        xlpy("--root", other, "create", "-q", configs / "quickstart.cfg", 'name="before"')
        xlpy("--root", other, "acpi", "eval", "before", r"\_SB.NVDR.NV00._LSW", "0", "4", "str:mark")
        xlpy("--root", other, "destroy", "before")
        xlpy("migrate", "--copy-pmem", vm, other)
        assert "00 00 00 00" in xlpy("--root", other, "acpi", "eval", vm, r"\_SB.NVDR.NV00._LSR", "0", "4").out

    def test_moving_nowhere(self, xlpy, vm, host_root, tmp_path):
        xlpy("migrate", vm, tmp_path / "none", status=4)
        xlpy("migrate", vm, host_root, status=5)
        assert xlpy("list", "--json").json["items"][0]["state"] == "r-----"
