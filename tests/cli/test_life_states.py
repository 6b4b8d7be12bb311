"""Pausing, ending, prodding: what the commands do to a domain's state, and what they refuse."""

from __future__ import annotations

import pytest

from xlpy.host import Host


@pytest.fixture
def vm(xlpy, configs):
    """A running domain with one vNVDIMM: domain 1."""
    xlpy("create", "-q", configs / "quickstart.cfg")
    return "quickstart"


def letters(xlpy, domain="quickstart"):
    """The state column of one domain."""
    return xlpy("list", domain).out.splitlines()[1][63:69]


class TestList:
    def test_columns(self, xlpy, vm):
        header, dom0, line = xlpy("list").out.splitlines()
        assert header == "Name                                        ID   Mem VCPUs\tState\tTime(s)"
        assert dom0 == "Domain-0                                     0  1024     4     r-----       0.0"
        assert line == "quickstart                                   1   512     2     r-----       0.0"

    def test_verbose_columns(self, xlpy, vm):
        header, dom0, _ = xlpy("list", "-v").out.splitlines()
        assert header.endswith("Time(s)   UUID                            Reason-Code\tSecurity Label")
        assert dom0.endswith("  0.0 00000000-0000-0000-0000-000000000000        -                -")

    def test_further_columns(self, xlpy, vm):
        header, dom0, _ = xlpy("list", "-Z", "-c", "-n").out.splitlines()
        assert header.endswith("Time(s)   Security Label         Cpupool NODE Affinity")
        assert dom0.endswith("  0.0                -          Pool-0 all")

    def test_long_is_an_array_with_live_values(self, xlpy, vm):

        xlpy("rename", vm, "renamed")
        xlpy("mem-set", "renamed", "384")
        (entry,) = xlpy("list", "-l", "renamed").json
        assert list(entry) == ["domid", "xen", "config"]
        assert entry["domid"] == 1
        config = entry["config"]
        assert list(config["c_info"])[:4] == ["type", "name", "domid", "uuid"]
        assert config["c_info"]["name"] == "renamed"
        assert config["c_info"]["domid"] == 4294967295
        assert config["b_info"]["target_memkb"] == 384 << 10
        assert config["b_info"]["max_memkb"] == 512 << 10
        assert config["b_info"]["video_memkb"] == 8 << 10
        assert config["b_info"]["avail_vcpus"] == [0, 1]
        assert config["vnvdimms"] == [{"file": "/mnt/pmem0/vm1.img", "label_size": 131072}]

    @pytest.mark.parametrize(
        ("domain", "text"),
        [
            ("77", "Domain '77' does not exist."),
            ("99999999999999999999", "Domain '99999999999999999999' does not exist."),
            ("nobody", "nobody is an invalid domain identifier"),
            ("-1x", "-1x is an invalid domain identifier"),
            ("²", "² is an invalid domain identifier"),
            ("", "'' is an invalid domain identifier"),
        ],
    )
    def test_missing(self, xlpy, domain, text):
        assert text in xlpy("list", "--", domain, status=4).err

    @pytest.mark.parametrize(
        ("code", "state"),
        [(0, "---s--"), (1, "---sr-"), (2, "---ss-"), (3, "---sc-"), (4, "---sw-"), (5, "---sS-")],
    )
    def test_the_fifth_letter_is_the_reason(self, xlpy, vm, host_root, code, state):
        host = Host.open(host_root)
        with host.store.transaction("test"):
            host.xen.hypercalls(1).sched_shutdown(1, code)
        host.store.close()
        assert letters(xlpy) == state
        assert f" {code:x} " in xlpy("list", "-v").out.splitlines()[2]


class TestPause:
    def test_pauses_are_counted(self, xlpy, vm):
        xlpy("pause", vm)
        assert letters(xlpy) == "--p---"
        assert "paused 2 times" in xlpy("pause", vm).err
        assert "still paused" in xlpy("unpause", vm).err
        assert letters(xlpy) == "--p---"
        xlpy("unpause", vm)
        assert letters(xlpy) == "r-----"

    def test_nothing_to_do_is_said(self, xlpy, vm):
        assert "not paused" in xlpy("unpause", vm).err

    def test_create_paused(self, xlpy, configs):
        xlpy("create", "-p", "-q", configs / "quickstart.cfg")
        assert letters(xlpy) == "--p---"

    def test_dry_run(self, xlpy, vm):
        assert xlpy("pause", "-n", "--json", vm).json == {
            "schema": "xlpy.pause/1",
            "domid": 1,
            "pauses": 1,
            "dry_run": True,
        }
        assert letters(xlpy) == "r-----"
        xlpy("pause", "-n", "nobody", status=4)

    @pytest.mark.parametrize("command", ["pause", "unpause", "shutdown", "reboot"])
    def test_dom0_is_refused(self, xlpy, command):
        assert "domain 0" in xlpy(command, "Domain-0", status=5).err


class TestShutdown:
    def test_the_guest_answers_and_is_destroyed(self, xlpy, vm):
        found = xlpy("shutdown", "-w", vm)
        assert found.out == ""
        assert (
            found.err == "Shutting down domain 1\nWaiting for 1 domains\nDomain 1 has been shut down, reason code 0\n"
        )
        xlpy("list", vm, status=4)
        log = xlpy("dmesg").out
        assert "(XEN) d1 SCHEDOP_shutdown(DOMID_SELF, 0) = 0" in log
        assert "d0 XEN_DOMCTL_destroydomain(1) = 0" in log

    def test_all(self, xlpy, vm, configs):
        xlpy("create", "-q", configs / "device.cfg")
        assert xlpy("shutdown", "-a").err == "Shutting down domain 1\nShutting down domain 2\n"
        assert xlpy("list", "--json").json["items"] == []

    def test_without_domains(self, xlpy):
        assert xlpy("shutdown", "-a").err == "there are no domains: nothing to do\n"

    def test_all_goes_on_after_one_that_cannot(self, xlpy, vm, configs):
        xlpy("create", "-q", "-p", configs / "device.cfg")
        found = xlpy("shutdown", "-a", "--json", status=11)
        assert [item["domid"] for item in found.json["items"]] == [1]
        assert [item["domain"] for item in found.json["failed"]] == ["2"]

    def test_neither_all_nor_a_domain(self, xlpy):
        assert "You must specify -a or a domain id." in xlpy("shutdown", status=2).err

    @pytest.mark.parametrize("command", ["shutdown", "reboot"])
    def test_a_paused_guest_cannot_answer(self, xlpy, vm, command):
        xlpy("pause", vm)
        assert "xlpy unpause 1" in xlpy(command, vm, status=5).err
        assert xlpy("xenstore", "read", "/local/domain/1/control/shutdown").out == "\n"
        xlpy("unpause", vm)
        assert letters(xlpy) == "r-----"

    def test_what_has_ended_is_refused(self, xlpy, configs):
        xlpy("create", "-q", configs / "quickstart.cfg", 'on_poweroff="preserve"')
        xlpy("shutdown", "quickstart")
        assert letters(xlpy) == "---s--"
        assert "shut down already (poweroff)" in xlpy("reboot", "quickstart", status=5).err

    def test_dry_run(self, xlpy, vm):
        xlpy("shutdown", "-n", vm)
        assert letters(xlpy) == "r-----"

    def test_without_a_monitor_nothing_follows(self, xlpy, configs):
        xlpy("create", "-e", "-q", configs / "quickstart.cfg")
        xlpy("shutdown", "quickstart")
        assert letters(xlpy) == "---s--"
        xlpy("list")
        assert letters(xlpy) == "---s--"


class TestTrigger:
    def test_power(self, xlpy, vm):
        found = xlpy("trigger", vm, "power", "--json")
        assert found.json["followed"][0]["reason"] == "poweroff"
        xlpy("list", vm, status=4)

    def test_power_waits_for_a_paused_guest(self, xlpy, vm):
        xlpy("pause", vm)
        xlpy("trigger", vm, "power")
        assert letters(xlpy) == "--p---"
        xlpy("unpause", vm)
        xlpy("list", vm, status=4)

    def test_reset(self, xlpy, vm):
        assert "started again as domain 2" in xlpy("trigger", vm, "RESET").err

    def test_sleep_and_resume(self, xlpy, vm):
        xlpy("trigger", vm, "sleep")
        assert letters(xlpy) == "-b----"
        assert "s3resume" in xlpy("shutdown", vm, status=5).err
        xlpy("trigger", vm, "s3resume")
        assert letters(xlpy) == "r-----"

    def test_without_s3_there_is_no_sleep(self, xlpy, configs):
        xlpy("create", "-q", configs / "quickstart.cfg", "acpi_s3=0")
        xlpy("trigger", "quickstart", "sleep")
        assert letters(xlpy) == "r-----"

    def test_without_acpi_the_button_has_no_effect(self, xlpy, tmp_path):
        (tmp_path / "bare.cfg").write_text('name = "bare"\ntype = "hvm"\nmemory = 64\nacpi = 0\n')
        xlpy("create", "-q", tmp_path / "bare.cfg")
        xlpy("trigger", "bare", "power")
        assert letters(xlpy, "bare") == "r-----"

    @pytest.mark.parametrize(
        ("words", "status", "text"),
        [
            (("nmi",), 0, ""),
            (("nmi", "1"), 0, ""),
            (("nmi", "2"), 8, "ESRCH"),
            (("init",), 8, "ENOSYS"),
            (("explode",), 2, 'Invalid trigger "explode"'),
            (("nmi", "x"), 2, "x"),
            (("nmi", "--", "-1"), 2, "-1"),
        ],
    )
    def test_others(self, xlpy, vm, words, status, text):
        assert text in xlpy("trigger", vm, *words, status=status).err
        assert letters(xlpy) == "r-----"

    @pytest.mark.parametrize(
        ("letter", "status", "state"),
        [("c", 0, None), ("o", 0, None), ("s", 0, "r-----"), ("", 2, "r-----"), ("reboot", 2, "r-----")],
    )
    def test_sysrq(self, xlpy, vm, letter, status, state):
        xlpy("sysrq", vm, letter, status=status)
        if state is None:
            xlpy("list", vm, status=4)
        else:
            assert letters(xlpy) == state


class TestBooted:
    @pytest.mark.parametrize(
        "words",
        [
            ("pause", "quickstart"),
            ("unpause", "quickstart"),
            ("shutdown", "quickstart"),
            ("reboot", "quickstart"),
            ("trigger", "quickstart", "power"),
            ("sysrq", "quickstart", "c"),
        ],
    )
    def test_an_emulator_has_the_domain(self, xlpy, vm, host_root, tmp_path, words):
        assert "is booted by process" in self.refused(xlpy, vm, host_root, tmp_path, words)

    @pytest.mark.parametrize(
        "words", [("nvdimm-attach", "quickstart", "/dev/pmem1"), ("nvdimm-detach", "-f", "quickstart", "0")]
    )
    def test_a_recorded_domain_keeps_its_vnvdimms(self, xlpy, vm, host_root, tmp_path, words):
        assert "and recorded, with the vNVDIMMs that it had" in self.refused(
            xlpy, vm, host_root, tmp_path, words, recorded=True
        )

    def refused(self, xlpy, vm, host_root, tmp_path, words, recorded=False):
        """What a command says that is refused while the domain is booted."""
        import fcntl
        import os

        from xlpy.boot.session import LOCK, Record
        from xlpy.table import BOOTS

        host = Host.open(host_root)
        with host.store.transaction("test"):
            record = Record(1, vm, os.getpid(), tmp_path / "boot", True, (), recorded=recorded)
            host.store.table(BOOTS).put("1", record.to_json())
        host.store.close()
        (tmp_path / "boot").mkdir()
        with (tmp_path / "boot" / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return xlpy(*words, status=5).err


class TestCreate:
    @pytest.mark.parametrize("option", ["-f", "--defconfig"])
    def test_file_by_option(self, xlpy, configs, option):
        assert "Parsing config from" in xlpy("create", option, configs / "quickstart.cfg").err
        xlpy("list", "quickstart")

    def test_the_file_may_come_by_option(self, xlpy, configs):
        xlpy("create", "-q", f"--defconfig={configs / 'device.cfg'}", "vcpus=3")
        assert xlpy("list", "--json").json["items"][0]["vcpus"] == 3
        xlpy("list", "device")

    @pytest.mark.parametrize(
        ("words", "status"),
        [((), 2), (("vcpus=1",), 2), (("a.cfg", "b.cfg"), 2), (("vcpus=1", "a.cfg", "b.cfg"), 2), (("a.cfg",), 4)],
    )
    def test_which_file(self, xlpy, words, status):
        xlpy("create", *words, status=status)

    def test_quiet(self, xlpy, configs):
        assert xlpy("create", "-q", configs / "quickstart.cfg").err == ""


class TestUnasked:
    def test_a_guest_that_touches_a_broken_page_is_crashed_and_ended(self, xlpy, vm, host_root):
        from xlpy.addr import Spa, Span

        host = Host.open(host_root)
        spa = host.domain("quickstart").record.vnvdimms[0].extents[0][0]
        host.hw.poison.add(Span(Spa(spa), 256))
        host.store.close()
        xlpy("mem", "read", vm, "0x500000000", "64", status=8)  # a machine check, which the guest survives
        found = xlpy("mem", "read", vm, "0x500000000", "64", status=8)
        assert "domain 1 (quickstart): crash; action: destroy" in found.err
        xlpy("list", vm, status=4)
