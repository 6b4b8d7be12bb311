"""Device specifications: what each says, and what is wrong with it; disks also against ``xlu_disk_parse``."""

from __future__ import annotations

import ctypes
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import libxlutil
from oracle.libxlutil import needs_libxlutil
from oracle.specs import WORDS

from xlpy.toolstack.config.devices.disk import SETTINGS, BadDisk, parse_disk
from xlpy.toolstack.config.devices.nic import BadRate, parse_mac, parse_rate
from xlpy.toolstack.config.domain_config import load_config
from xlpy.toolstack.config.libxl_json import structure
from xlpy.toolstack.config.xlcfg import Refused

DISKS = [
    # Operands, and the disk or the error.
    (["/x,raw,xvda,w"], {"pdev_path": "/x", "vdev": "xvda", "format": "raw", "readwrite": 1}),
    (["/x,,hda"], {"pdev_path": "/x", "vdev": "hda", "format": "raw", "readwrite": 1}),
    (["/x,qcow2,xvda,r"], {"pdev_path": "/x", "vdev": "xvda", "format": "qcow2"}),
    (
        ["format=raw", "vdev=xvda", "target=/a,b"],
        {"pdev_path": "/a,b", "vdev": "xvda", "format": "raw", "readwrite": 1},
    ),
    ([",,hdc:cdrom"], {"pdev_path": "", "vdev": "hdc", "format": "empty", "removable": 1, "is_cdrom": 1}),
    (["/c.iso,,hdc,cdrom"], {"pdev_path": "/c.iso", "vdev": "hdc", "format": "raw", "removable": 1, "is_cdrom": 1}),
    (["phy:/dev/sda,xvda,w"], {"pdev_path": "/dev/sda", "vdev": "xvda", "format": "raw", "readwrite": 1}),
    (["tap:qcow2:/x,xvda"], {"pdev_path": "/x", "vdev": "xvda", "format": "qcow2", "readwrite": 1}),
    (["drbd:r0,xvda"], {"pdev_path": "r0", "vdev": "xvda", "format": "raw", "script": "block-drbd", "readwrite": 1}),
    (["vdev=xvda,cdrom"], {"vdev": "xvda", "format": "empty", "removable": 1, "is_cdrom": 1}),
    (
        ["vdev=xvda,discard,direct-io-safe,target=/x"],
        {
            "pdev_path": "/x",
            "vdev": "xvda",
            "format": "raw",
            "readwrite": 1,
            "direct_io_safe": True,
            "discard_enable": "True",
        },
    ),
    ([" \tvdev=xvda, target=/x"], {"pdev_path": "/x", "vdev": "xvda", "format": "raw", "readwrite": 1}),
    (["vdev=xvda"], "no target specified (and device not removable)"),
    (["/x"], "no vdev specified"),
    ([""], "no vdev specified"),
    (["foo=1"], "unknown parameter: 'foo=1'"),
    (["/x,foo,xvda"], "unknown value for format: 'foo'"),
    (["/x,raw,xvda,maybe"], "unknown value for access: 'maybe'"),
    (["/x,raw,xvda,w,more"], "too many positional parameters"),
    (["vdev=a,vdev=b"], "vdev respecified"),
    (["format=raw,format=vhd"], "format respecified"),
    (["/x,raw,vdev=a,target=/y"], "target respecified"),
    (["backendtype=x"], "unknown value for backendtype: 'x'"),
    (["devtype=floppy"], "unknown value for devtype: 'floppy'"),
    ([",,hda:floppy"], "unknown deprecated type: 'floppy'"),
    (["foo:/x,xvda"], "unknown deprecated disk prefix: 'foo:'"),
    (["colo-port=x"], "unknown value for colo-port"),
    (["Foo=1"], "bad disk syntax"),
    (["/x,,xvda="], {"pdev_path": "/x", "vdev": "xvda", "format": "raw", "readwrite": 1}),
]


def disk(operands):
    """The disk as JSON, or the error."""
    try:
        return structure("disks", parse_disk(operands))
    except BadDisk as bad:
        return bad.message


@pytest.mark.parametrize(("operands", "expected"), DISKS, ids=[str(operands) for operands, _ in DISKS])
def test_disks(operands, expected):
    assert disk(operands) == expected


def real_disk(operands):
    """The disk as libxlutil and libxenlight have it, or None."""
    light = ctypes.CDLL("libxenlight.so.4.17")
    lib = libxlutil.library()
    light.libxl_device_disk_to_json.restype = ctypes.c_void_p
    light.libxl_device_disk_to_json.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    lib.xlu_disk_parse.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    stream = libxlutil.libc().fdopen(2, b"w")
    config = lib.xlu_cfg_init(stream, b"command line")
    room, context = ctypes.create_string_buffer(4096), ctypes.create_string_buffer(1 << 20)
    light.libxl_device_disk_init(room)
    array = (ctypes.c_char_p * len(operands))(*[operand.encode() for operand in operands])
    if lib.xlu_disk_parse(config, len(operands), array, room):
        return None
    return json.loads(ctypes.string_at(light.libxl_device_disk_to_json(context, room)))


@needs_libxlutil
def test_the_library_reads_the_same_disks():
    rows = [row for row, _ in DISKS]
    for row, theirs in zip(rows, libxlutil.isolated(lambda: list(map(real_disk, rows))), strict=True):
        ours = disk(row)
        assert (None if isinstance(ours, str) else ours) == theirs, row


PIECES = st.one_of(
    st.sampled_from(WORDS),
    st.builds("{}={}".format, st.sampled_from(SETTINGS), st.sampled_from(WORDS)),
    st.sampled_from(SETTINGS),
    st.sampled_from([" ", "\n", "\t", "a\nb", "foo=1", "foo=12", "foo=", "=", "x:", "qcow:", "colo=1", "cdrom=", ":"]),
)
SPECS = st.lists(PIECES, max_size=6).map(",".join)


@needs_libxlutil
@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(SPECS, min_size=1, max_size=2), min_size=8, max_size=12))
def test_any_disks(rows):
    for row, theirs in zip(rows, libxlutil.isolated(lambda: list(map(real_disk, rows))), strict=True):
        ours = disk(row)
        assert (None if isinstance(ours, str) else ours) == theirs, row


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10Mb/s", (62_500, 50_000)),
        ("250KB/s", (12_500, 50_000)),
        ("1MB/s@20ms", (20_000, 20_000)),
        ("1GB/s@1s", (1_000_000_000, 1_000_000)),
        ("8b/s@5us", (0, 5)),
        ("1Mb/s@2", (250_000, 2_000_000)),
    ],
)
def test_rates(text, expected):
    assert parse_rate(text) == expected


@pytest.mark.parametrize(
    "text", ["", "10", "10Mb", "10mb/s", "0Mb/s", "4294967296b/s", "1Mb/s@", "1Mb/s@0", "1Mb/s@5000s"]
)
def test_bad_rates(text):
    with pytest.raises(BadRate):
        parse_rate(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("00:16:3e:01:02:03", [0, 0x16, 0x3E, 1, 2, 3]),
        ("0-16-3E-1-2-3", [0, 0x16, 0x3E, 1, 2, 3]),
        ("00:16:3e,type=vif", [0, 0x16, 0x3E]),
        ("00:16:3e:01:02:", [0, 0x16, 0x3E, 1, 2]),
        ("10,20,mac=30", [0x10, 0x20]),
        ("00:163:0:0:0:0", [0]),
        ("x", []),
    ],
)
def test_macs(text, expected):
    assert parse_mac(text) == expected


ENTRIES = [
    # A line, where its devices are in the JSON, and what they are.
    ('vif = [ "", "bridge=b" ]', "nics", [{"devid": 0}, {"devid": 1, "bridge": "b"}]),
    ('pci = [ "0000:00:1b.0" ]', "pcidevs", [{"dev": 27, "vfunc_mask": 1}]),
    ('pci = [ "3:0.*@2,seize=1" ]', "pcidevs", [{"bus": 3, "vdevfn": 16, "vfunc_mask": 0xFFFFFFFF, "seize": True}]),
    ('usbctrl = [ "type=PV,ports=4" ]', "usbctrls", [{"type": "pv", "devid": 0, "ports": 4}]),
    ('usbdev = [ "type=hostdev,hostaddr=300" ]', "usbdevs", [{"type.hostdev": {"hostaddr": 44}}]),
    ('vtpm = [ "backend=b" ]', "vtpms", [{"backend_domname": "b", "devid": 0}]),
    ('p9 = [ "tag=a,path=/a,security_model=none" ]', "p9s", [{"tag": "a", "path": "/a", "security_model": "none"}]),
    ('pvcalls = [ "" ]', "pvcallsifs", [{"devid": 0}]),
    ('channel = [ "connection=pty" ]', "channels", [{"devid": 0, "connection.pty": {}}]),
    ('vdispl = [ "connectors=a:1x2" ]', "vdispls", [
        {"devid": 0, "connectors": [{"unique_id": "a", "width": 1, "height": 2}]}]),
    ('vsnd = [ [ "stream, type=C" ] ]', "vsnds", [
        {"devid": 0, "params": {}, "pcms": [{"params": {}, "streams": [{"type": "c", "params": {}}]}]}]),
    ('vkb = [ "backend-type=linux" ]', "vkbs", [{"devid": 0, "backend_type": "linux"}]),
    ('vfb = [ "vnc=0" ]', "vfbs", [{"devid": 0, "vnc": {"enable": "False"}, "sdl": {}}]),
    ('dtdev = [ "/x" ]', "dtdevs", [{"path": "/x"}]),
]  # fmt: skip


@pytest.mark.parametrize(("line", "array", "expected"), ENTRIES)
def test_entries(line, array, expected):
    assert load_config(f'name = "a"\ntype = "hvm"\n{line}', "a.cfg").to_json()[array] == expected


BAD = [
    ('disk = [ "/x,raw,xvda", "vdev=xvdb" ]', "a.cfg:3:26: disk: no target specified (and device not removable)"),
    ('vif = [ "rate=fast" ]', "a.cfg:3:10: vif: 'fast' is not a rate such as 10Mb/s or 1GB/s"),
    ('vif = [ "bridge=a, devid=x" ]', "a.cfg:3:20: vif: devid is 'x' and must be a number"),
    ('pci = [ "00:20.0" ]', "a.cfg:3:10: pci: '00:20.0' is not KEY=VALUE"),
    ('pci = [ "00:1b.0@40" ]', "a.cfg:3:18: pci: vslot must be a hexadecimal number up to 1f"),
    ('pci = [ "00:1b.0,bad=1" ]', "a.cfg:3:18: pci: unknown setting 'bad'"),
    ('pci = [ "00:1b.0,name=x" ]', "a.cfg:3:10: pci: it takes either an address or a name"),
    ('usbctrl = [ "type=x" ]', "a.cfg:3:14: usbctrl: unknown type 'x' (choose one of: auto, pv, devicemodel, qusb)"),
    ('usbctrl = [ "port=1" ]', "a.cfg:3:14: usbctrl: unknown setting 'port' (did you mean ports?)"),
    ('usbdev = [ "type=x" ]', "a.cfg:3:13: usbdev: unknown type 'x' (the only one is hostdev)"),
    ('vtpm = [ "uuid=x" ]', "a.cfg:3:11: vtpm: not a UUID: 'x'"),
    ('vtpm = [ "" ]', "a.cfg:3:11: vtpm: no backend (write backend=DOMAIN)"),
    ('p9 = [ "tag=a" ]', "a.cfg:3:9: p9: path, security_model missing"),
    ('channel = [ "name=a" ]',
     "a.cfg:3:14: channel: no connection (write connection=pty, or connection=socket and path=PATH)"),
    ('channel = [ "connection=socket" ]', "a.cfg:3:14: channel: a socket needs a path (write path=PATH)"),
    ('vdispl = [ "be-alloc=1" ]', "a.cfg:3:13: vdispl: no connector (write connectors=ID:WIDTHxHEIGHT)"),
    ('vkb = [ "width=1" ]', "a.cfg:3:10: vkb: no backend-type (choose one of: qemu, linux)"),
    ('vsnd = [ [ "amp" ] ]', "a.cfg:3:13: vsnd: 'amp' is not card, pcm or stream"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "message"), BAD)
def test_bad_entries(line, message):
    with pytest.raises(Refused) as caught:
        load_config(f'name = "a"\ntype = "hvm"\n{line}', "a.cfg")
    assert message in [str(problem) for problem in caught.value.problems]


def test_a_share_takes_over_what_it_leaves_out():
    config = load_config('name="a"\ntype="hvm"\np9=["tag=a,path=/a,security_model=none","tag=b"]', "a.cfg")
    assert config.to_json()["p9s"][1] == {"tag": "b", "path": "/a", "security_model": "none"}
    assert [warning.message for warning in config.warnings] == [
        "p9: xl takes path, security_model from the share before"
    ]
