"""What a configuration means: values with their defaults, errors, warnings, and the traps of the real xl."""

from __future__ import annotations

import pytest

from xlpy.errors import ConfigError
from xlpy.toolstack.config.domain_config import HostFacts, load_config
from xlpy.toolstack.config.libxl_json import dumps
from xlpy.toolstack.config.xlcfg import Refused

HVM = 'name = "vm1"\ntype = "hvm"\n'
GIB_KIB = 1 << 20


def load(text, **options):
    """A configuration with name and type in front."""
    return load_config(HVM + text, "vm.cfg", **options)


def refusal(text, head=HVM, **options):
    """The problems of a configuration that cannot be used."""
    with pytest.raises(Refused) as caught:
        load_config(head + text, "vm.cfg", **options)
    return [f"{problem.message}" for problem in caught.value.problems]


def warnings(text, **options):
    """The warnings of a configuration, without their places."""
    return [warning.message for warning in load(text, **options).warnings]


def test_defaults():
    config = load("")
    assert (config.name, config.type, config.uuid) == ("vm1", "hvm", None)
    assert (config.memory_kib, config.max_kib, config.videoram_kib) == (32 << 10, 32 << 10, 8 << 10)
    assert (config.vcpus, config.max_vcpus) == (1, 1)
    assert (config.acpi, config.acpi_s3, config.acpi_s4, config.acpi_laptop_slate) == (True, True, True, False)
    assert (config.apic, config.hpet, config.bios, config.mmio_hole) == (True, True, "seabios", None)
    assert (config.acpi_firmware, config.smbios_firmware, config.generation_id) == (None, None, None)
    assert (config.cpuid, config.msr, config.viridian, config.vnuma, config.vnvdimms) == ([], [], (), [], ())
    actions = (config.on_poweroff, config.on_reboot, config.on_watchdog, config.on_crash, config.on_soft_reset)
    assert actions == ("destroy", "restart", "destroy", "destroy", "soft-reset")
    assert (config.source, config.text, config.extra) == ("vm.cfg", HVM, ())
    assert config.warnings == ()


def test_values():
    config = load(
        'uuid = "59e1cf6c-6ab9-4879-90e7-adc8d1c63bf5"\nmemory = 1024\nmaxmem = 2048\nvcpus = 2\nmaxvcpus = 4\n'
        'acpi_s3 = 0\nhpet = 0\nbios = "ovmf"\nmmio_hole = 1024\nvga = "stdvga"\non_crash = "rename-restart"\n'
        'acpi_firmware = "/x.aml"\nviridian = ["defaults", "stimer", "!freq"]\nms_vm_genid = "generate"\n'
        'rtc_timeoffset = "-60"\ncpuid = "host,clwb=0,rdcl-no=1"\n'
    )
    assert config.uuid == bytes.fromhex("59e1cf6c6ab9487990e7adc8d1c63bf5")
    assert config.uuid_text == "59e1cf6c-6ab9-4879-90e7-adc8d1c63bf5"
    assert (config.memory_kib, config.max_kib, config.videoram_kib) == (GIB_KIB, 2 * GIB_KIB, 16 << 10)
    assert (config.vcpus, config.max_vcpus, config.mmio_hole, config.bios) == (2, 4, 1024, "ovmf")
    assert (config.acpi_s3, config.hpet, config.acpi_firmware) == (False, False, "/x.aml")
    assert config.viridian == (
        "base",
        "time_ref_count",
        "apic_assist",
        "crash_ctl",
        "stimer",
        "no_vp_limit",
        "cpu_hotplug",
    )
    assert len(config.generation_id) == 16
    assert (config.on_crash, config.rtc_timeoffset) == ("rename-restart", -60)
    assert config.cpuid == [{"leaf": 7, "subleaf": 0, "ebx": "xxxxxxx0" + "x" * 24}]
    assert config.msr == [{"index": 0x10A, "policy": "x" * 63 + "1"}]


def test_a_random_uuid_stays_the_same():
    config = load("")
    assert config.uuid_bytes == config.uuid_bytes
    assert config.uuid_bytes[6] >> 4 == 4
    assert config.to_json()["c_info"]["uuid"] == config.uuid_text
    assert load("").uuid_bytes != config.uuid_bytes


def test_vnvdimms():
    config = load('vnvdimm = [ "file=/dev/pmem0", "/mnt/pmem0/a.img, label_size=1M, unarmed=1" ]')
    first, second = config.vnvdimms
    assert (first.file, first.label_size, first.unarmed, str(first.where)) == (
        "/dev/pmem0",
        128 << 10,
        False,
        "vm.cfg:3:14",
    )
    assert (second.file, second.label_size, second.unarmed) == ("/mnt/pmem0/a.img", 1 << 20, True)
    document = config.to_json()
    assert list(document)[-1] == "vnvdimms"
    assert document["vnvdimms"] == [
        {"file": "/dev/pmem0", "label_size": 128 << 10},
        {"file": "/mnt/pmem0/a.img", "label_size": 1 << 20, "unarmed": True},
    ]
    assert "vnvdimms" not in load("").to_json()


def test_vnvdimm_mode():
    reader, writer, plain = load('vnvdimm = [ "/dev/pmem0,mode=ro", "/dev/pmem1,mode=rw", "/dev/pmem2" ]').vnvdimms
    assert [one.read_only for one in (reader, writer, plain)] == [True, False, False]
    assert [one.to_json().get("mode") for one in (reader, writer, plain)] == ["ro", None, None]


VNUMA = """vnuma = [ [ "pnode=0", "size=64", "vcpus=0", "vdistances=10,20" ],
                      [ "pnode=0", "size=64", "vcpus=1", "vdistances=20,10" ] ]
"""


def test_vnvdimm_node():
    first, second = load(VNUMA + 'vnvdimm = [ "/dev/pmem0", "/dev/pmem1,node=1" ]').vnvdimms
    assert (first.node, second.node) == (0, 1)
    assert [one.to_json().get("node") for one in (first, second)] == [None, 1]
    assert load('vnvdimm = [ "/dev/pmem0,node=0" ]').vnvdimms[0].node == 0


@pytest.mark.parametrize(("nodes", "node"), [("", 1), (VNUMA, 2)])
def test_a_node_that_the_domain_lacks(nodes, node):
    with pytest.raises(ConfigError) as caught:
        load(nodes + f'vnvdimm = [ "/dev/pmem0,node={node}" ]')
    assert f"vnvdimm: the domain has no virtual NUMA node {node}" in "\n".join(caught.value.details)


VNVDIMM_ERRORS = [
    ("file=/x,node=-1", "vnvdimm: node is '-1' and must be the number of a virtual NUMA node, from 0"),
    ("file=/x,node=", "vnvdimm: node is '' and must be the number of a virtual NUMA node, from 0"),
    ("file=/x,node=256", "vnvdimm: node is '256' and must be the number of a virtual NUMA node, from 0"),
    (
        "file=/x,node=99999999999999999999",
        "vnvdimm: node is '99999999999999999999' and must be the number of a virtual NUMA node, from 0",
    ),
    ("fil=/x", "vnvdimm: unknown setting 'fil'"),
    ("file=/x,label=1", "vnvdimm: unknown setting 'label'"),
    ("file=/x,label_size=big", "vnvdimm: label_size: not a size: 'big'"),
    ("file=/x,unarmed=yes", "vnvdimm: unarmed is 'yes' and must be 0 or 1"),
    ("file=/x,file=/y", "vnvdimm: file is given twice"),
    ("file=/x,mode=r", "vnvdimm: mode is 'r' and must be rw or ro"),
    ("file=/x,mode=", "vnvdimm: mode is '' and must be rw or ro"),
    ("file=", "vnvdimm: no file"),
    ("label_size=1M", "vnvdimm: no file"),
    ("", "vnvdimm: unknown setting ''"),
]


@pytest.mark.parametrize(("text", "message"), VNVDIMM_ERRORS)
def test_vnvdimm_errors(text, message):
    assert refusal(f'vnvdimm = [ "{text}" ]') == [message]


def test_an_unknown_vnvdimm_setting_is_shown_where_it_stands():
    with pytest.raises(ConfigError) as caught:
        load('vnvdimm = [ "file=/dev/pmem0,\\t lable_size=1M" ]')
    assert caught.value.exit == 3
    assert caught.value.details == (
        "vm.cfg:3:30: vnvdimm: unknown setting '\\t lable_size' (did you mean label_size?)",
        '    vnvdimm = [ "file=/dev/pmem0,\\t lable_size=1M" ]',
        "                                 ^",
    )


ERRORS = [
    # Every one that ends the real xl, and its exit status; None where only xlpy refuses.
    ("", 'type = "hvm"\n', "the domain has no name", 1),
    ("", 'name = ["a"]\ntype = "hvm"\n', "the domain has no name", 1),
    ('uuid = "x"', HVM, "not a UUID: 'x'", 1),
    ('type = "xen"', 'name = "a"\nkernel = "/k"\n', "type: 'xen' is no kind of guest", 1),
    ('builder = "linux"', HVM, "builder: 'linux' is no kind of guest", 1),
    ('builder = "generic"', HVM, "builder and type contradict each other: pv and hvm", 1),
    ('vcpus = "-1"', HVM, "vcpus is -1 and must be 0 to 65536", 1),
    ("vcpus = 65537", HVM, "vcpus is 65537 and must be 0 to 65536", None),
    ("vcpus = 4\nmaxvcpus = 2", HVM, "maxvcpus is 2 and vcpus is 4", 1),
    ('vcpus = 1\ncpus = "^all"', HVM, 'cpus: "^" cannot take all away', 1),
    ('vcpus = 1\ncpus = "a"', HVM, "cpus: 'a' is not a CPU, a range of CPUs or a node", 1),
    ('max_grant_frames = "x"', HVM, "max_grant_frames must be a number from 0 to 2147483647", 1),
    ("max_maptrack_frames = 2147483648", HVM, "max_maptrack_frames must be a number from 0 to 2147483647", 1),
    ("max_grant_version = []", HVM, "max_grant_version must be a number from 0 to 2147483647", 1),
    ('on_reboot = "again"', HVM, "on_reboot: unknown action 'again'", 1),
    ('on_crash = "Destroy"', HVM, "on_crash: unknown action 'Destroy'", 1),
    ('passthrough = "x"', HVM, "passthrough: 'x' is not known", 1),
    ("tsc_mode = 4", HVM, "tsc_mode: there is no mode 4", 1),
    ('tsc_mode = "x"', HVM, "tsc_mode: 'x' is not known", 1),
    ("timer_mode = 1", 'name = "a"\nkernel = "/k"\n', "timer_mode is not for PV guests", 3),
    ('bios = "coreboot"', HVM, "bios: 'coreboot' is not known", 1),
    ('viridian = ["x"]', HVM, "viridian: unknown group 'x'", 3),
    ("mmio_hole = 255", HVM, "mmio_hole is 255 MiB and must be 256 to 3840", 1),
    ("mmio_hole = 3841", HVM, "mmio_hole is 3841 MiB and must be 256 to 3840", 1),
    ('ms_vm_genid = "x"', HVM, "ms_vm_genid: 'x' is not known", 1),
    ('mca_caps = "lmce"', HVM, "mca_caps must be a list", 3),
    ('mca_caps = ["x"]', HVM, "mca_caps: unknown feature 'x'", 3),
    ('firmware = "x"', 'name = "a"\n', "firmware: 'x' is not known", 1),
    ('firmware = "pvgrub32"', 'name = "a"\nkernel = "/k"\n', "both kernel and firmware are given", 1),
    ("", 'name = "a"\n', "a pv guest needs a kernel, a firmware or a bootloader", 1),
    ("altp2m = 4", HVM, "altp2m: there is no mode 4", 1),
    ('ioports = ["x"]', HVM, "ioports: 'x' is not a port N or a range N-M in hexadecimal", 1),
    ("irqs = [1, [1]]", HVM, "irqs: a list inside the list", 1),
    ('iomem = ["1"]', HVM, "iomem: '1' is not START,COUNT or START,COUNT@GFN in hexadecimal pages", 1),
    ('device_model_version = "x"', HVM, "device_model_version: 'x' is not known", 1),
    ('device_model_args = "x"', HVM, "device_model_args must be a list", 3),
    ('vga = "VGA"', HVM, "vga: 'VGA' is not known", 1),
    ('hdtype = "scsi"', HVM, "hdtype: 'scsi' is not known", 1),
    ('gfx_passthru = "x"', HVM, "gfx_passthru: 'x' is not known", 1),
    ('vendor_device = "x"', HVM, "vendor_device: 'x' is not known", 3),
    ('gic_version = "v9"', HVM, "gic_version: 'v9' is not known", 3),
    ('tee = "x"', HVM, "tee: 'x' is not known", 3),
    ('vuart = "x"', HVM, "vuart: 'x' is not known", 1),
    ('pci = ["x"]', HVM, "pci: 'x' is not KEY=VALUE", 6),
    ('vnuma = ["x"]', HVM, "vnuma: each node is a list of settings", 1),
    ('vnuma = [["pnode"]]', HVM, "vnuma: 'pnode' is not KEY=VALUE", 1),
    ('vnuma = [["pnode=2"]]', HVM, "vnuma: the host has no node 2", 1),
    ('vnuma = [["vcpus=0-8"]]', HVM, "vnuma has 9 vCPUs and the host 8 CPUs", 1),
    ('maxvcpus = 3\nvnuma = [["vcpus=0-1"]]', HVM, "vnuma has 2 vCPUs and maxvcpus is 3", 1),
    ('maxmem = 9\nvnuma = [["size=8"]]', HVM, "vnuma has 8 MiB and maxmem is 9", 1),
]


@pytest.mark.parametrize(("text", "head", "message", "status"), ERRORS)
def test_errors(text, head, message, status):
    with pytest.raises(Refused) as caught:
        load_config(head + text, "vm.cfg", host=HostFacts(8, 2))
    assert message in [problem.message for problem in caught.value.problems]
    assert caught.value.xl_status == status
    assert caught.value.exit == 3


def test_all_errors_are_reported_at_once():
    assert refusal('on_crash = "x"\nbios = "y"\nvga = "z"', head='type = "hvm"\n') == [
        "the domain has no name",
        "on_crash: unknown action 'x'",
        "bios: 'y' is not known",
        "vga: 'z' is not known",
    ]


TRAPS = [
    ("memroy = 1", "unknown key memroy; xl ignores it"),
    ("hvm_pirq = 1", "hvm_pirq is for Xen 4.19 and later; 4.17 ignores it"),
    ("pvshim = 1", "pvshim has no effect on a hvm guest"),
    ('memory = "lots"', "memory: 'lots' is not a valid number; xl ignores it"),
    ("memory = [1]", "memory is a list but should be a single value; xl ignores it"),
    ("memory = 1\nmemory += 2", "memory is a number, and += joins text; write = instead; xl ignores it"),
    ("memory = 99999999999999999999", "memory: 99999999999999999999 does not fit in 64 bits; xl ignores it"),
    ('memory = "-5"', "memory: xl takes -5 MiB without a check and keeps 18446744073709546496 KiB"),
    ("memory = 2\nmaxmem = 1", "maxmem is less than memory; xl does not check, and the domain gets maxmem"),
    ('disk = "a,b,c"', "disk is a single value but should be a list; xl ignores it"),
    ('disk = [["a"]]', "disk: xl reads no further than this nested list"),
    ('rdm = "strategy=host,policy=strict"', "rdm: xl drops the whole setting when a valid policy is given"),
    ('cpuid = "clwb=1"', "cpuid: xl ignores it because its first word is not host"),
    ('cpuid = "host,clbw=1"', "cpuid: 'clbw=1': there is no feature of this name; xl goes on without it"),
    ('cpuid = "host, clwb=1"', "cpuid: ' clwb=1': there is no feature of this name; xl goes on without it"),
    ('cpuid = "host,clwb=y"', "cpuid: 'clwb=y': the value must be 0, 1, x, k or s; xl goes on without it"),
    ('firmware = ""', "xl takes firmware = '' for uefi"),
    ('builder = "h"', "xl takes builder = 'h' for hvm"),
    ("stdvga = 1", "stdvga is deprecated"),
    ("tsc_mode = 1", "tsc_mode: a number is deprecated"),
    ('cmdline = "a"\nroot = "b"', "root is ignored because there is a cmdline"),
    ('kernel = "/x/hvmloader"', "hvmloader is not a kernel; xl ignores this"),
    ('name = "123"', "commands take 123 for a domain id, never for this name"),
    ('cmdline = "\\101"', "xl reads an octal escape as nothing at all; write the character itself"),
    ('vif = ["mac=00:16:3e,type=vif"]', "vif: '00:16:3e' is not a MAC address; xl makes 00:16:3e:00:00:00 of it"),
    ('vif = ["bride=x"]', "vif: unknown setting 'bride'; xl ignores it"),
    ('vnuma = [["size=8", "vcpus=0", "nodes=1"]]', "vnuma: unknown setting 'nodes'; xl ignores it"),
    ('vnuma = "x"', "vnuma is not a list; xl ignores it"),
    ("vncviewer = 1", "vncviewer is ignored"),
    ('vif2 = ["x"]', "vif2 is ignored: netchannel2 is gone"),
    ("msr_relaxed = 0", "msr_relaxed will go away in a later Xen"),
    ('cpus = "0"', "cpus has no effect without vcpus: xl applies it to as many as are written"),
    ("memory = 2\nmemory = 3", "memory is set in line 3 already; the last assignment counts"),
    ('vif = ["trusted=0"]', "vif: trusted takes no value; xl ignores it"),
    ('vif = ["mtu"]', "vif: mtu takes a value; xl ignores it"),
    ('pci_seize = "x"', "pci_seize: 'x' is not a valid number; xl ignores it"),
    (
        "pci_permissive = []",
        "pci_permissive is a list but should be a single value; xl ignores it",
    ),
    (
        'p9 = ["tag=a,path=/a,security_model=none,backend=b", "tag=c,path=/c,security_model=none"]',
        "p9: xl takes backend from the share before",
    ),
    (
        'disk = ["/x,,xvda,w", "vdev=xvdb,untrusted"]',
        "disk: xl before 4.19 takes untrusted for a target, format or vdev",
    ),
]


@pytest.mark.parametrize(("text", "message"), TRAPS)
def test_traps_are_warned_of(text, message):
    assert message in warnings(text)


@pytest.mark.parametrize(
    ("word", "kind"),
    [("", "hvm"), ("h", "hvm"), ("hv", "hvm"), ("hvm", "hvm"), ("p", "pv"), ("pv", "pv"), ("pvh", "pvh")],
)
def test_types_are_matched_by_their_beginning(word, kind):
    assert load_config(f'name = "a"\nkernel = "/k"\ntype = "{word}"', "a").type == kind


def test_a_type_that_is_none_is_the_only_error():
    with pytest.raises(Refused) as caught:
        load_config('name = "a"\ntype = "foo"\n', "a.cfg")
    assert [problem.message for problem in caught.value.problems] == ["type: 'foo' is no kind of guest"]


@pytest.mark.parametrize("padding", ["", "# a long file is read in another way\n" * 500])
def test_a_key_that_is_set_again_is_warned_of_once(padding):
    config = load_config(f'{padding}name = "a"; type = "hvm"\nvcpus = 1\nvcpus = 2\nvcpus = 1\n', "a.cfg")
    first = padding.count("\n") + 2
    (warning,) = config.warnings
    assert (warning.message, warning.where.line) == (
        f"vcpus is set in line {first} already; the last assignment counts",
        first + 1,
    )
    assert not load_config(f'{padding}name = "a"; type = "hvm"\nvcpus = 1\n', "a.cfg", ["vcpus=2"]).warnings


def test_as_many_vcpus_as_are_allowed():
    assert load("vcpus = 65536").vcpus == 65536


def test_unknown_keys_get_the_nearest_known_one():
    (warning,) = load("maxvcpu = 2").warnings
    assert str(warning) == "vm.cfg:3:1: warning: unknown key maxvcpu; xl ignores it (did you mean maxvcpus?)"


def test_the_command_line_wins():
    config = load("memory = 1\n", extra=["memory=512", "vcpus=2"])
    assert (config.memory_kib >> 10, config.vcpus, config.extra) == (512, 2, ("memory=512", "vcpus=2"))
    with pytest.raises(Refused) as caught:
        load("", extra=["on_crash='x'"])
    assert str(caught.value.problems[0].where) == "<command line>:1:11"


def test_bytes_that_are_not_utf8_come_out_as_they_went_in():
    config = load_config(b'name = "\xe9\xc3\xa9"\ntype = "hvm"\n', "vm.cfg")
    assert b'"name": "\xe9\xc3\xa9"' in dumps(config.to_json())


def test_thousands_of_anything_end_soon():
    keys = "".join(f"key{number} = {number}\n" for number in range(3000))
    assert len(load(keys).warnings) == 3000
    pieces = ",".join(f'"what{number}=1"' for number in range(3000))
    assert len(load(f"vif = [ {pieces} ]").warnings) == 3000
    assert len(refusal(f"vnvdimm = [ {pieces} ]")) == 3000
    assert load('cmdline = "' + "a" * 1_000_000 + '"').to_json()["b_info"]["cmdline"] == "a" * 1_000_000
    assert refusal("x = " + "[" * 100_000) == ["lists are nested too deep"]
