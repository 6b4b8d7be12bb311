"""Names, numbers, lists and memory sizes of domains."""

from __future__ import annotations

import pytest

from xlpy.cli.overview import _duration
from xlpy.errors import UsageError
from xlpy.toolstack.domain.memory_target import parse_kib
from xlpy.views.overview import cpu_list


@pytest.fixture
def vm(xlpy, configs):
    """A running domain with one vNVDIMM: domain 1."""
    xlpy("create", "-q", configs / "quickstart.cfg")
    return "quickstart"


class TestNames:
    def test_domid_and_domname(self, xlpy, vm):
        assert xlpy("domid", vm).out == "1\n"
        assert xlpy("domname", "1").out == "quickstart\n"
        assert xlpy("domid", "Domain-0").out == "0\n"
        assert xlpy("domname", "0").out == "Domain-0\n"

    @pytest.mark.parametrize(
        ("words", "status", "text"),
        [
            (("domid", "1"), 4, "Can't get domid of domain name '1', maybe this domain does not exist."),
            (("domid", "nobody"), 4, "Can't get domid of domain name 'nobody'"),
            (("domname", "9"), 4, "Can't get domain name of domain id '9', maybe this domain does not exist."),
            (("domname", "9" * 30), 4, "maybe this domain does not exist."),
            (("domname", "quickstart"), 2, "Invalid domain id."),
            (("domname", "1x"), 2, "Invalid domain id."),
        ],
    )
    def test_missing(self, xlpy, vm, words, status, text):
        assert text in xlpy(*words, status=status).err

    def test_rename(self, xlpy, vm):
        xlpy("rename", vm, "other name")
        assert xlpy("domid", "other name").out == "1\n"
        xlpy("domid", vm, status=4)
        uuid = xlpy("list", "--json").json["items"][0]["uuid"]
        assert xlpy("xenstore", "read", f"/vm/{uuid}/name", "/local/domain/1/name").out == "other name\n" * 2
        assert xlpy("acpi", "dump", "other name").out

    def test_rename_to_its_own_name(self, xlpy, vm):
        xlpy("rename", vm, vm)

    def test_a_name_of_digits_is_warned_of(self, xlpy, vm):
        assert "all digits" in xlpy("rename", vm, "77").err
        xlpy("list", "77", status=4)
        assert xlpy("domid", "77").out == "1\n"

    def test_an_empty_name_is_one(self, xlpy, vm):
        xlpy("rename", vm, "")
        assert xlpy("list").out.splitlines()[2].startswith(" " * 40 + "     1   512")
        assert xlpy("xenstore", "read", "/local/domain/1/name").out == "\n"
        xlpy("rename", "1", "back")
        assert xlpy("domid", "back").out == "1\n"

    @pytest.mark.parametrize(
        ("words", "status", "text"),
        [
            (("quickstart", "device"), 5, 'Domain with name "device" already exists.'),
            (("quickstart", "Domain-0"), 5, 'Domain with name "Domain-0" already exists.'),
            (("quickstart", "x" * 5000), 2, "at most 4096 bytes"),
            (("nobody", "x"), 4, "nobody is an invalid domain identifier"),
            (("Domain-0", "x"), 5, "domain 0"),
        ],
    )
    def test_rename_refused(self, xlpy, vm, configs, words, status, text):
        xlpy("create", "-q", configs / "device.cfg")
        for dry in ((), ("-n",)):
            assert text in xlpy("rename", *dry, *words, status=status).err
        assert [row["name"] for row in xlpy("list", "--json").json["items"]] == ["quickstart", "device"]

    def test_clashes_at_creation(self, xlpy, vm, tmp_path):
        path = tmp_path / "x.cfg"
        for name in ("quickstart", "Domain-0"):
            path.write_text(f'name = "{name}"\ntype = "hvm"\nmemory = 64\n')
            assert f'Domain with name "{name}" already exists.' in xlpy("create", path, status=5).err

    def test_a_uuid_belongs_to_one_domain(self, xlpy, vm, tmp_path):
        uuid = xlpy("list", "--json").json["items"][0]["uuid"]
        path = tmp_path / "x.cfg"
        path.write_text(f'name = "x"\nuuid = "{uuid.upper()}"\ntype = "hvm"\nmemory = 64\n')
        assert "is that of domain 1 already" in xlpy("create", path, status=5).err

    def test_names_are_bytes(self, host_root, tmp_path):
        import os
        import subprocess
        import sys

        def run(*words):
            env = {**os.environ, "XLPY_ROOT": str(host_root)}
            return subprocess.run([sys.executable, "-m", "xlpy", *words], capture_output=True, check=True, env=env)

        (tmp_path / "x.cfg").write_bytes(b'name = "caf\xe9"\ntype = "hvm"\nmemory = 64\n')
        run("create", "-q", tmp_path / "x.cfg")
        assert b"\ncaf\xe9   " in run("list").stdout
        assert b'"name": "caf\xe9"' in run("list", "-l").stdout
        run("reboot", b"caf\xe9")
        assert run("domname", "2").stdout == b"caf\xe9\n"


class TestLists:
    def test_vm_list(self, xlpy, vm):
        uuid = xlpy("list", "--json").json["items"][0]["uuid"]
        assert xlpy("vm-list").out.splitlines() == [
            "UUID                                  ID    name",
            "00000000-0000-0000-0000-000000000000  0    Domain-0                      ",
            f"{uuid}  1    quickstart                    ",
        ]

    def test_vcpu_list(self, xlpy, configs):
        xlpy("create", "-q", configs / "quickstart.cfg", 'cpus=["1-3","2"]', "maxvcpus=3", 'cpus_soft="0-1"')
        assert xlpy("vcpu-list", "quickstart").out.splitlines() == [
            "Name                                ID  VCPU   CPU State   Time(s) Affinity (Hard / Soft)",
            "quickstart                           1     0    1   r--       0.0  1-3 / 0-1",
            "quickstart                           1     1    2   r--       0.0  2 / 0-1",
            "quickstart                           1     2    -   --p       0.0  all / 0-1",
        ]
        xlpy("pause", "quickstart")
        assert xlpy("vcpu-list", "1").out.splitlines()[1].split()[4] == "---"

    def test_all_vcpus(self, xlpy, vm):
        rows = xlpy("vcpu-list", "--json").json["items"]
        assert [(row["domid"], row["vcpu"]) for row in rows] == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1)]

    @pytest.mark.parametrize("command", ["vcpu-list", "uptime"])
    def test_one_of_several_is_missing(self, xlpy, vm, command):
        found = xlpy(command, vm, "nobody", status=11)
        assert "quickstart" in found.out
        assert "nobody is an invalid domain identifier" in found.err
        xlpy(command, "nobody", status=4)
        xlpy(command, "nobody", "nobody2", status=4)

    def test_uptime(self, xlpy, vm):
        header, dom0, line = xlpy("uptime").out.splitlines()
        assert header == "Name                                ID Uptime"
        assert dom0[:39] == "Domain-0                             0 "
        assert line[:39] == "quickstart                           1 "
        assert line[39:].startswith(" 0:00:")

    def test_uptime_in_short(self, xlpy, vm):
        found = xlpy("uptime", "-s", vm).out
        assert found[3] == found[6] == ":"
        assert found[9:] == " up  0:00, quickstart (1)\n"

    @pytest.mark.parametrize(
        ("seconds", "long", "short"),
        [
            (0, " 0:00:00", " 0:00"),
            (86399, "23:59:59", "23:59"),
            (86400 + 3661, "1 day,  1:01:01", "1 day,  1:01"),
            (10 * 86400, "10 days,  0:00:00", "10 days,  0:00"),
        ],
    )
    def test_durations(self, seconds, long, short):
        assert (_duration(seconds, short=False), _duration(seconds, short=True)) == (long, short)

    @pytest.mark.parametrize(
        ("cpus", "text"), [([], "none"), ([0, 1, 2, 3], "all"), ([0, 2, 3], "0,2-3"), ([1], "1"), ([0, 1, 2], "0-2")]
    )
    def test_cpu_lists(self, cpus, text):
        assert cpu_list(cpus, range(4)) == text

    def test_cpupools(self, xlpy, vm):
        assert xlpy("cpupool-list").out.splitlines() == [
            "Name               CPUs   Sched     Active   Domain count",
            "Pool-0               4   credit2       y          2",
        ]
        assert xlpy("cpupool-list", "-c", "Pool-0").out.splitlines() == [
            "Name               CPU list",
            "Pool-0             0,1,2,3",
        ]
        xlpy("cpupool-list", "Pool-1", status=4)

    def test_info(self, xlpy):
        keys = [line[:23].rstrip() for line in xlpy("info").out.splitlines()]
        assert keys[:13] == [
            *("host", "release", "version", "machine", "nr_cpus", "max_cpu_id", "nr_nodes", "cores_per_socket"),
            *("threads_per_core", "cpu_mhz", "hw_caps", "virt_caps", "total_memory"),
        ]
        assert xlpy("info", "nr_").out == "4\n1\n"
        assert "  3:       3        0        0\n" in xlpy("info", "-n").out
        xlpy("info", "nothing", status=4)


class TestMemory:
    @pytest.mark.parametrize(
        ("text", "kib"),
        [
            ("512", 512 << 10),
            ("512m", 512 << 10),
            ("512M", 512 << 10),
            ("1g", 1 << 20),
            ("2T", 2 << 30),
            ("4096k", 4096),
            ("4194304b", 4096),
            ("0", 0),
            ("", 0),
            ("m", 0),
            ("-5", -5 << 10),
            ("+5", 5 << 10),
            (" 7k", 7),
        ],
    )
    def test_sizes(self, text, kib):
        assert parse_kib(text) == kib

    @pytest.mark.parametrize("text", ["-", "+m", "5mb", "5.5", "0x10", "5 ", "1e3", "9" * 40, "99999999t", "५"])
    def test_bad_sizes(self, text):
        with pytest.raises(UsageError, match="invalid memory size"):
            parse_kib(text)

    def test_target(self, xlpy, vm):
        assert xlpy("mem-set", vm, "384", "--json").json["target_kib"] == 384 << 10
        assert xlpy("xenstore", "read", "/local/domain/1/memory/target").out == f"{376 << 10}\n"
        assert f"XEN_DOMCTL_max_mem(1, {(384 << 10) + 1024:#x})" in xlpy("dmesg").out

    def test_maximum(self, xlpy, vm):
        assert xlpy("mem-max", vm, "1g", "--json").json["allowance_kib"] == (1 << 20) + 1024

    @pytest.mark.parametrize(
        ("words", "status", "text"),
        [
            (("mem-set", "quickstart", "1g"), 6, "memory_static_max"),
            (("mem-set", "quickstart", "521m"), 6, "memory_static_max"),  # 513 MiB without the video RAM
            (("mem-set", "quickstart", "--", "-5"), 6, "memory_static_max"),
            (("mem-set", "quickstart", "lots"), 2, "invalid memory size: lots"),
            (("mem-set", "nobody", "512"), 4, "nobody"),
            (("mem-set", "0", "512"), 5, "domain 0"),
            (("mem-max", "quickstart", "64"), 6, "memory_dynamic_max"),
            (("mem-max", "quickstart", "--", "-1"), 6, "memory_dynamic_max"),
            (("mem-max", "Domain-0", "512"), 5, "domain 0"),
        ],
    )
    def test_refused(self, xlpy, vm, words, status, text):
        before = xlpy("xenstore", "ls", "-f").out
        for dry in ((), ("-n",)):
            assert text in xlpy(words[0], *dry, *words[1:], status=status).err
        assert xlpy("xenstore", "ls", "-f").out == before

    def test_memory_below_maxmem(self, xlpy, configs):
        xlpy("create", "-q", configs / "quickstart.cfg", "memory=256", "maxmem=512")
        assert xlpy("list", "-l", "quickstart").json[0]["config"]["b_info"]["target_memkb"] == 256 << 10
        assert xlpy("list", "--json").json["items"][0]["memory_mb"] == 256
        xlpy("mem-set", "quickstart", "300")
        xlpy("reboot", "quickstart")
        # as in libxl, the target of a domain that is populated on demand grows by its slack when it is read back
        build = xlpy("list", "-l", "quickstart").json[0]["config"]["b_info"]
        assert build["target_memkb"] == 301 << 10
        assert (build["max_memkb"], build["video_memkb"]) == (512 << 10, 8192)

    def test_a_higher_maximum_makes_room_for_a_target(self, xlpy, configs):
        """As recorded: 128 MiB, mem-max 256, mem-set 200."""
        xlpy("create", "-q", configs / "quickstart.cfg", "memory=128", 'vga="none"')
        xlpy("mem-max", "quickstart", "256")
        xlpy("mem-set", "quickstart", "200")
        home = "/local/domain/1/memory"
        assert xlpy("xenstore", "read", f"{home}/static-max", f"{home}/target").out == "262144\n204800\n"
        build = xlpy("list", "-l", "quickstart").json[0]["config"]["b_info"]
        assert (build["max_memkb"], build["target_memkb"], build["video_memkb"]) == (262144, 204800, 0)
        uuid = xlpy("list", "--json").json["items"][0]["uuid"]
        assert xlpy("xenstore", "read", f"/vm/{uuid}/memory").out == "200\n"
        assert "memory_dynamic_max" in xlpy("mem-max", "quickstart", "64", status=6).err
        for words in (("mem-set", "quickstart", "64"), ("mem-max", "quickstart", "64"), ("mem-set", "quickstart", "")):
            xlpy(*words)
        assert xlpy("xenstore", "read", f"{home}/target").out == "0\n"
