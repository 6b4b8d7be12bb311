"""Xen's own hvmloader as judge: it boots on the domains that xlpy builds, and leaves what our firmware leaves.

The unmodified binary runs in a processor emulator; its hypercalls, xenstore requests and port accesses are answered by
the hypervisor, xenstore and board that our firmware runs on. Only the DSDT is ours, and where tables lie behind it.
"""

import uuid
from contextlib import suppress

import pytest
from copying import copy_tree

pytest.importorskip("unicorn", reason="the processor emulator unicorn is not installed")

from hvmloader.real.left import observe
from hvmloader.real.loader import HVMLOADER, SEABIOS, Loader
from realxen.debian import Debian, Unavailable

from xlpy.dom0.xenstore.node import Perm
from xlpy.errors import Conflict
from xlpy.firmware.hvmloader import main as hvmloader
from xlpy.host import Host
from xlpy.toolstack.config.domain_config import load_config
from xlpy.toolstack.export.check import release
from xlpy.toolstack.export.emulated import EmulatedMachine
from xlpy.toolstack.export.exporter import Exporter
from xlpy.toolstack.export.firmware import split

for path, package in ((HVMLOADER, "xen-utils-4.17"), (SEABIOS, "seabios")):
    if not path.exists():
        pytest.skip(f"{path} is not there (package {package})", allow_module_level=True)

BASE = f"""
name = "judged"
type = "hvm"
uuid = "{uuid.UUID(int=0x00112233445566778899AABBCCDDEEFF)}"
"""
NUMA = """vnuma = [ [ "pnode=0", "size=256", "vcpus=0,2", "vdistances=10,20" ],
          [ "pnode=0", "size=512", "vcpus=1,3", "vdistances=21,10" ] ]"""

CONFIGS = {
    "one vCPU": "memory = 512",
    "four vCPUs": "memory = 512\nvcpus = 4",
    "vCPUs that start offline": "memory = 512\nvcpus = 2\nmaxvcpus = 9",
    "128 vCPUs": "memory = 512\nvcpus = 128",
    "6 GiB": "memory = 6144\nvcpus = 2",
    "no S3": "memory = 512\nacpi_s3 = 0",
    "no S4": "memory = 512\nacpi_s4 = 0",
    "laptop slate": "memory = 512\nacpi_laptop_slate = 1",
    "no APIC": "memory = 512\napic = 0",
    "no APIC, four vCPUs": "memory = 512\napic = 0\nvcpus = 4",
    "no HPET": "memory = 512\nhpet = 0",
    "no ACPI": "memory = 512\nacpi = 0\nvcpus = 2",
    "generation id": 'memory = 512\nms_vm_genid = "generate"',
    "tables passed through": 'memory = 512\nacpi_firmware = "{passed}"',
    "SMBIOS structures passed through": 'memory = 512\nsmbios_firmware = "{structures}"',
    "virtual NUMA": "memory = 768\nvcpus = 4\n" + NUMA,
    "OVMF": 'memory = 512\nvcpus = 2\nbios = "ovmf"',
    "a larger hole": "memory = 4096\nmmio_hole = 1024",
    "Viridian": "memory = 512\nviridian = 1",
    "another VGA": 'memory = 512\nvga = "stdvga"\nvideoram = 32',
    "no VGA": 'memory = 512\nvga = "none"',
    "QXL": 'memory = 512\nvga = "qxl"',
    "no platform device": "memory = 512\nxen_platform_pci = 0",
    "USB": "memory = 512\nusb = 1",
    "EHCI": "memory = 512\nusbversion = 2",
    "network cards": 'memory = 512\nvif = [ "", "model=virtio-net" ]',
    "AHCI and sound": 'memory = 512\nhdtype = "ahci"\nsoundhw = "hda"',
}


@pytest.fixture(scope="module")
def host(made_host, tmp_path_factory):
    """One for all domains: each is gone when the next is made."""
    root = tmp_path_factory.mktemp("judged") / "host"
    copy_tree(made_host, root)
    opened = Host.open(root)
    yield opened
    opened.store.close()


@pytest.fixture
def passed(tmp_path):
    """A table and a half-page one behind it, as acpi_firmware takes them."""

    def table(signature, size):
        raw = bytearray(signature + size.to_bytes(4, "little") + bytes(range(8, size % 251)).ljust(size - 8, b"x"))
        raw[9] = 0
        raw[9] = -sum(raw) % 256
        return bytes(raw)

    path = tmp_path / "acpi.bin"
    path.write_bytes(table(b"SLIC", 374) + table(b"OEM1", 2048))
    return path


@pytest.fixture
def structures(tmp_path):
    """Two structures of every type, as smbios_firmware takes them, and a length that covers none."""
    raw = b""
    for kind in (*range(127), 128, 200, 255):
        for copy in b"ab":
            one = bytes((kind, 12, copy, 0x70)) + bytes(range(8)) + b"type %d %c\0\0" % (kind, copy)
            raw += len(one).to_bytes(4, "little") + one
    path = tmp_path / "smbios.bin"
    path.write_bytes(raw + (3).to_bytes(4, "little") + b"abc" + b"x")
    return path


def create(host, monkeypatch, config, firmware, prepare):
    """What a firmware leaves in a new domain: ``prepare(domain)``, then ``firmware(platform, domain)``."""
    found = {}
    console = host.xen.console

    def run(platform):
        domain = platform._domain
        prepare(domain)
        console.clear()
        firmware(platform, domain)
        prefix = f"(d{domain.domid}) "
        log = [line.removeprefix(prefix) for line in console.lines() if line.startswith(prefix)]
        found.update(observe(platform, domain, log))

    with monkeypatch.context() as patch:
        patch.setattr(hvmloader, "run", run)
        host.create(config, paused=True)
    host.destroy("judged")
    return found


ours = hvmloader.run


def compare(host, monkeypatch, text, prepare=lambda _domain: None, **binary):
    """Boot both; returns what they left. ``binary``: another version's path and number, as for ``Loader``."""
    config = load_config((BASE + text).encode(), "judged.cfg", xen=host.xen.version)
    loaders = []

    def theirs(platform, domain):
        loaders.append(Loader(platform, domain, **binary))
        loaders[0].run()

    real = create(host, monkeypatch, config, theirs, prepare)
    model = create(host, monkeypatch, config, lambda platform, _domain: ours(platform), prepare)
    for key in sorted(model.keys() | real):
        assert (key, model.get(key)) == (key, real.get(key))
    assert loaders[0].started == [2 * n for n in range(1, config.max_vcpus)]
    return real


@pytest.mark.parametrize("name", CONFIGS)
def test_equal_to_ours(host, monkeypatch, passed, structures, name):
    compare(host, monkeypatch, CONFIGS[name].format(passed=passed, structures=structures))


@pytest.fixture(scope="module")
def later(tmp_path_factory):
    """A host with Xen 4.20, and the hvmloader of Debian 13."""
    try:
        tree = Debian("trixie").tree("xen-utils-4.20", "libxen-dev")
    except Unavailable as why:
        pytest.skip(str(why))
    opened = Host.make(tmp_path_factory.mktemp("later") / "host", None, xen="4.20")
    yield opened, {"binary": tree / "usr/lib/xen-4.20/boot/hvmloader", "version": (4, 20)}
    opened.store.close()


@pytest.mark.parametrize(
    "name",
    [
        *("one vCPU", "four vCPUs", "vCPUs that start offline", "6 GiB", "no S3", "no S4", "laptop slate", "no APIC"),
        *("generation id", "tables passed through", "virtual NUMA", "OVMF", "no VGA", "USB"),
    ],
)
def test_420_equal_to_ours(later, monkeypatch, passed, name):
    host, binary = later
    compare(host, monkeypatch, CONFIGS[name].format(passed=passed), **binary)


def test_420_has_strings_of_the_configuration(later, monkeypatch):
    host, binary = later
    text = 'memory = 512\nsmbios = [ "system_serial_number=S 1", "oem=A", "bios_vendor=V", "oem=B" ]'
    left = compare(host, monkeypatch, text, **binary)
    assert any(b"S 1\0" in value for key, value in left.items() if key.startswith("SMBIOS structures"))


@pytest.mark.parametrize(
    "strings",
    [
        {"bios-vendor": "V", "system-serial-number": "S", "baseboard-asset-tag": "T", "oem-1": "A", "oem-2": "B"},
        {"bios-version": "9", "baseboard-location-in-chassis": "L", "enclosure-asset-tag": "E", "oem-2": "unread"},
    ],
)
def test_strings(host, monkeypatch, strings):
    def prepare(domain):
        home = f"/local/domain/{domain.domid}"
        rows = {f"{home}/bios-strings/{key}": value for key, value in strings.items()}
        for path, value in (rows | {f"{home}/hvmloader/smbios/default_battery": "1"}).items():
            host.xenstore.connection(0).write(path, value)
            host.xenstore.connection(0).set_perms(path, (Perm(0, "n"), Perm(domain.domid, "r")))

    left = compare(host, monkeypatch, "memory = 512", prepare)
    assert any(b"XEN-VBAT" in value for key, value in left.items() if key.startswith("SMBIOS structures"))


@pytest.mark.parametrize("memory", [512, 6144])
def test_no_memory_left(host, monkeypatch, memory):
    """Pages for tables are then taken from the top of RAM, which ends earlier."""

    def prepare(domain):
        pages = sum(piece.end - piece.start for piece in domain.p2m.ram)
        host.xen.hypercalls(0).domctl_max_mem(domain.domid, pages * 4)

    left = compare(host, monkeypatch, f"memory = {memory}", prepare)
    ram_end = max(end for kind, _, end in left["E820"] if kind == 1)
    assert ram_end % (1 << 20) != 0


EXPORTED = {  # vnvdimm entries, and what else is in the configuration
    "one": (["file=/mnt/pmem0/vm1.img"], "memory = 512"),
    "labels": (["file=/mnt/pmem0/vm1.img,label_file=/mnt/pmem0/labels"], "memory = 512\nvcpus = 4"),
    "a device, above 6 GiB": (["file=/dev/pmem1,unarmed=1"], "memory = 6144"),
    "with tables of its own": (["file=/mnt/pmem0/vm1.img"], 'memory = 512\nacpi_firmware = "{passed}"'),
    "OVMF": (["file=/mnt/pmem0/vm1.img,label_file=/mnt/pmem0/labels"], 'memory = 512\nbios = "ovmf"'),
    "as many tables as fit": (["file=/mnt/pmem0/vm1.img"], 'memory = 512\nacpi_firmware = "{many}"'),
}


@pytest.mark.parametrize("name", EXPORTED)
def test_exported_tables_are_loaded(host, monkeypatch, tmp_path, passed, name):
    """What `xlpy export` writes for acpi_firmware, all of it, in its order, and nothing else changed."""
    entries, rest = EXPORTED[name]
    with suppress(Conflict):  # an earlier test made it
        host.mkfile("/mnt/pmem0/labels", 128 << 10)
    tables = split(passed.read_bytes(), str(passed))
    many = tmp_path / "many"
    many.write_bytes(tables[0] * 7)
    text = BASE + rest.format(passed=passed, many=many)
    config = load_config(text + f"\nvnvdimm = {entries}\n", "judged.cfg")
    machine = EmulatedMachine(host, str(tmp_path))
    exporter = Exporter(machine, lambda _text: None)
    manifest = exporter.export(exporter.prepare(config, str(tmp_path / "out"), "4.17"))
    blob = tmp_path / "blob"
    blob.write_bytes((tmp_path / "out/judged.acpi").read_bytes())
    release(machine, manifest)
    more = text.replace(f'acpi_firmware = "{passed}"', "").replace(f'acpi_firmware = "{many}"', "")
    left = compare(host, monkeypatch, more.replace(BASE, "") + f'\nacpi_firmware = "{blob}"\n')
    found = [value for key, value in left.items() if " at 0xfc0" in key]
    for table in split(blob.read_bytes(), "blob"):
        assert table in found
