"""vNVDIMMs that come and go while a domain runs; the guest's own AML lets go of them."""

from __future__ import annotations

import json

import pytest

NOTIFY_FIT = ["\\_SB.NVDR", 0x80]


@pytest.fixture
def vm(xlpy, configs):
    """A running domain with one vNVDIMM: domain 1."""
    xlpy("create", "-q", configs / "quickstart.cfg")
    return "quickstart"


def devices(xlpy, domain="quickstart"):
    return xlpy("nvdimm-list", domain, "--json").json["items"]


def let_go(xlpy, slot):
    xlpy("acpi", "eval", "quickstart", rf"\_SB.NVDR.NV{slot:02X}._EJ0", "1")


class TestAttach:
    def test_mapped_described_announced(self, xlpy, vm):
        before = xlpy("acpi", "eval", vm, r"\_SB.NVDR._FIT").out
        found = xlpy("nvdimm-attach", vm, "file=/dev/pmem1,label_size=256K", "--json").json
        assert (found["slot"], found["gpa"]) == (1, 0x540000000)
        first, second = devices(xlpy)
        assert (second["handle"], second["acpi"], second["state"], second["label_size"]) == (2, "NV01", 4, 256 << 10)
        assert first["pending"] == second["pending"] == [NOTIFY_FIT]
        assert xlpy("acpi", "eval", vm, r"\_SB.NVDR._FIT").out != before
        assert devices(xlpy)[1]["pending"] == []  # the guest has read the new FIT
        assert [row["kind"] for row in xlpy("map", vm, "--json").json["items"]].count("pmem") == 2
        xlpy("mem", "write", vm, "0x540000000", "--hex", "cafe")
        assert xlpy("xenstore", "read", "/libxl/1/device/nvdimm/1/file").out == "/dev/pmem1\n"
        config = xlpy("list", "-l", vm).json[0]["config"]
        assert config["vnvdimms"][1] == {"file": "/dev/pmem1", "label_size": 262144}

    def test_table(self, xlpy, vm):
        assert xlpy("nvdimm-list", vm).out.splitlines() == [
            "Slot  BE  handle state GPA                size           file                          ",
            "0     0   1      4     0x500000000        67108864       /mnt/pmem0/vm1.img            ",
        ]

    def test_several_words_are_one_device(self, xlpy, vm):
        xlpy("nvdimm-attach", vm, "file=/dev/pmem1", "label_size=0", "unarmed=1")
        assert (devices(xlpy)[1]["label_size"], devices(xlpy)[1]["unarmed"]) == (0, True)

    def test_a_node_of_the_domain(self, xlpy, tmp_path):
        """It is kept: in the listing, in the stored configuration, in xenstore, and over a reboot."""
        one, other = (
            f'["pnode=0","size=256","vcpus={n}","vdistances={way}"]' for n, way in ((0, "10,20"), (1, "20,10"))
        )
        nodes = f"vnuma = [{one}, {other}]"
        head = 'name="nodes"\ntype="hvm"\nmemory=512\nvcpus=2\nvnvdimm=["/mnt/pmem0/vm1.img,node=1"]\n'
        (tmp_path / "nodes.cfg").write_text(f"{head}{nodes}\n")
        xlpy("create", "-q", tmp_path / "nodes.cfg")
        xlpy("nvdimm-attach", "nodes", "/dev/pmem1", "node=1")
        for turn in range(2):
            found = xlpy("nvdimm-list", "nodes", "--json").json["items"]
            assert [one["node"] for one in found] == [1, 1]
            domid = found[0]["domid"]
            assert xlpy("xenstore", "read", f"/libxl/{domid}/device/nvdimm/1/node").out == "1\n"
            stored = xlpy("list", "-l", "nodes").json[0]["config"]["vnvdimms"]
            assert [one["node"] for one in stored] == [1, 1]
            if not turn:
                xlpy("reboot", "nodes")
        assert xlpy("acpi", "check", "nodes", "--fail-on", "note").out == ""

    def test_dry_run_prints_what_was_read(self, xlpy, vm):
        shown = xlpy("nvdimm-attach", "-n", vm, "/dev/pmem1").out
        assert json.loads(shown.removeprefix("nvdimm: ")) == {"file": "/dev/pmem1", "label_size": 131072}
        assert len(devices(xlpy)) == 1

    @pytest.mark.parametrize(
        ("spec", "status", "text"),
        [
            ("", 3, "nvdimm specification"),
            ("file=", 3, "no file"),
            ("fiel=/dev/pmem1", 3, "did you mean file?"),
            ("file=/dev/pmem1,label_size=12", 3, "128 KiB"),
            ("file=/dev/pmem1,file=/dev/pmem1", 3, "twice"),
            ("file=/dev/pmem1,unarmed=maybe", 3, "must be 0 or 1"),
            ("file=/dev/pmem1,node=x", 3, "number of a virtual NUMA node"),
            ("file=/dev/pmem1,node=1", 6, "the domain has no NUMA node 1; its nodes are 0 to 0"),
            ("file=/dev/pmem9", 4, "/dev/pmem9"),
            ("file=/dev/pmem0", 5, "mounted"),
            ("file=/mnt/pmem0/vm1.img", 5, "in use by domain 1"),
        ],
    )
    def test_refused(self, xlpy, vm, spec, status, text):
        for dry in ((), ("-n",)):
            assert text in xlpy("nvdimm-attach", *dry, vm, spec, status=status).err
        assert [one["pending"] for one in devices(xlpy)] == [[]]

    def test_a_backing_of_another_domain(self, xlpy, vm, configs):
        xlpy("create", "-q", configs / "device.cfg")
        assert "in use by domain 2" in xlpy("nvdimm-attach", vm, "/dev/pmem1", status=5).err

    def test_a_domain_without_a_root_device(self, xlpy, tmp_path):
        (tmp_path / "bare.cfg").write_text('name = "bare"\ntype = "hvm"\nmemory = 64\n')
        xlpy("create", "-q", tmp_path / "bare.cfg")
        for dry in ((), ("-n",)):
            assert "no NVDIMM root device" in xlpy("nvdimm-attach", *dry, "bare", "/dev/pmem1", status=5).err
        assert devices(xlpy, "bare") == []

    def test_no_slot_is_left(self, xlpy, vm):
        for number in range(7):
            xlpy("pmem", "mkfile", "64K", f"/mnt/pmem0/f{number}")
            xlpy("nvdimm-attach", vm, f"/mnt/pmem0/f{number}")
        found = xlpy("nvdimm-attach", vm, "/dev/pmem1", status=6)
        assert "8 vNVDIMM slots, all in use" in found.err
        assert xlpy("pmem", "list", "--json").json["items"][1]["users"] == []

    @pytest.mark.parametrize(("domain", "status"), [("nobody", 4), ("0", 5)])
    def test_whom(self, xlpy, domain, status):
        xlpy("nvdimm-attach", domain, "/dev/pmem1", status=status)
        xlpy("nvdimm-detach", domain, "0", status=status)

    def test_a_domain_that_has_ended(self, xlpy, configs):
        xlpy("create", "-e", "-q", configs / "quickstart.cfg")
        xlpy("shutdown", "quickstart")
        assert "has shut down" in xlpy("nvdimm-attach", "quickstart", "/dev/pmem1", status=5).err


class TestDetach:
    def test_only_after_the_guest_let_go(self, xlpy, vm):
        found = xlpy("nvdimm-detach", vm, "0", status=5)
        assert r"\_SB.NVDR.NV00._EJ0" in found.err
        (device,) = devices(xlpy)
        assert (device["state"], device["pending"]) == (5, [["\\_SB.NVDR.NV00", 3]])
        let_go(xlpy, 0)
        assert [(one["state"], one["pending"]) for one in devices(xlpy)] == [(6, [])]
        xlpy("nvdimm-detach", vm, "0")
        assert devices(xlpy) == []
        assert xlpy("mem", "read", vm, "0x500000000", "4", "--json").json["hex"] == "ffffffff"
        xlpy("xenstore", "read", "/libxl/1/device/nvdimm/0", status=4)
        assert "vnvdimms" not in xlpy("list", "-l", vm).json[0]["config"]

    @pytest.mark.parametrize("name", ["0", "NV00", "/mnt/pmem0/vm1.img"])
    def test_by_force_and_any_name(self, xlpy, vm, name):
        xlpy("nvdimm-detach", "-f", vm, name)
        assert devices(xlpy) == []

    def test_the_backing_is_free_again_and_keeps_its_content(self, xlpy, vm):
        xlpy("mem", "write", vm, "0x500000000", "--hex", "6b657074")
        xlpy("nvdimm-detach", "-f", vm, "0")
        xlpy("nvdimm-attach", vm, "/mnt/pmem0/vm1.img")
        assert xlpy("mem", "read", vm, "0x500000000", "4", "--json").json["hex"] == "6b657074"
        assert devices(xlpy)[0]["slot"] == 0

    def test_a_new_device_in_the_slot_is_not_asked_to_go(self, xlpy, vm):
        xlpy("nvdimm-detach", vm, "0", status=5)
        let_go(xlpy, 0)
        xlpy("nvdimm-detach", vm, "0")
        xlpy("nvdimm-attach", vm, "/dev/pmem1")
        assert [(one["state"], one["pending"]) for one in devices(xlpy)] == [(4, [NOTIFY_FIT])]

    @pytest.mark.parametrize("name", ["1", "NV01", "/dev/pmem1", "", "x" * 300])
    def test_missing(self, xlpy, vm, name):
        assert f"Error: Device {name} not connected." in xlpy("nvdimm-detach", vm, name, status=4).err

    def test_dry_run(self, xlpy, vm):
        assert "is asked to" in xlpy("nvdimm-detach", "-n", vm, "0", status=5).err
        assert devices(xlpy)[0]["state"] == 4
        xlpy("nvdimm-detach", "-n", "-f", vm, "0")
        assert len(devices(xlpy)) == 1

    def test_list_of_several(self, xlpy, vm):
        found = xlpy("nvdimm-list", "nobody", vm, status=11)
        assert found.out.count("\n") == 2
        assert "nobody is an invalid domain identifier" in found.err
