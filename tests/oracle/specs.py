"""Configurations made at random from words that mean something somewhere, right and wrong."""

from __future__ import annotations

from hypothesis import strategies as st

from xlpy.toolstack.config import cpuid
from xlpy.toolstack.config.options.cpu import GROUPS
from xlpy.toolstack.config.options.docs import specifications

WORDS = (
    *("1", "0", "2", "x", "", "5 ", "0x1f", "-1", "+3", "08", "99999999999999999999", "4294967295", "abc", "all"),
    *("/dev/sda", "a=b", "0-1", "00:1b.0", "0000:00:1b.0", "*", "@1f", " ", "none", "strict", "RELAXED", "host"),
    *("pv", "qusb", "hostdev", "HOSTDEV", "linux", "qemu", "vif", "ioemu", "pty", "socket"),
    *("raw", "qcow2", "xvda", "hdc:cdrom", "hda:disk", "w", "r", "ro", "rw", "phy", "tap", "cdrom", "discard"),
    *("phy:/dev/sda", "raw:/x", "nbd:foo", "file:/a", "foo:/x", "foo:x", "untrusted", "direct-io-safe"),
    *("s16_le", "S16_LE;u8", "44100;48000", "p", "C", "id0:800x600", "id0:800x600;id1:1x", "id:zz", "a:1"),
    *("100Mb/s", "1GB/s@20ms", "10Kb/s@1", "00:16:3e:01:02:03", "00:16:3E:0:2:3"),
    "59e1cf6c-6ab9-4879-90e7-adc8d1c63bf5",
)
CPU_ELEMENTS = (
    "0",
    "1-3",
    "^1",
    "all",
    "^all",
    "node:1",
    "nodes:0-1",
    "^node:0",
    "9",
    "0-99",
    "x",
    "5-2",
    "3-",
    " 2",
    "",
)
FEATURES = (*cpuid.names(), *cpuid.msr_names(), "family", "model", "stepping", "nope", "")
FEATURE_VALUES = ("0", "1", "x", "k", "s", "2", "1junk", "15", "16", "200", "0x1f", "-1", "q", "", "11")
NODE = {
    "pnode": ("0", "1", " 1", "2", "1abc", "x"),
    "size": ("512", "256", "0x10", "-1"),
    "vcpus": ("0-1", "2,3", "1", "2-", "3-1", "x", "0-1,5"),
    "vdistances": ("10,20", "10", "20,10", "a"),
}
OTHERS = (
    *('firmware="uefi"', 'firmware=""', 'firmware="pv"', 'firmware="OVMF"', 'firmware="/x"', 'kernel="/a/hvmloader"'),
    *('timer_mode="unknown"', 'bios="unknown"', 'ms_vm_genid="generate"', 'vnclisten=":1"\nvncdisplay=1'),
    *('vnc=1\nsdl=1\nkeymap="de"', 'vfb=["vnc=1"]\nvnc=1', 'seclabel="a"\ninit_seclabel="b"', 'root="/x"\nextra="y"'),
    *('builder="gen"', 'type="h"', "maxvcpus=4", "vcpus=3", "memory=512\nmaxmem=1024", 'pool=""'),
)


def quoted(text: str) -> str:
    """The text as a string of the language."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def several(items, low=1, high=3, joint=", "):
    """A list of items as text."""
    return st.lists(items, min_size=low, max_size=high).map(lambda found: f"[{joint.join(found)}]")


def device_text(settings):
    """One specification: settings right and wrong, with separators of all sorts."""
    piece = st.one_of(
        st.builds("{}={}".format, st.sampled_from(settings), st.sampled_from(WORDS)),
        st.builds("{}={}".format, st.sampled_from(settings), st.sampled_from(WORDS)),
        st.sampled_from(settings),
        st.sampled_from((*WORDS, "foo=1", "Foo=", "=", "=x")),
    )
    return st.builds(
        lambda start, joint, found: quoted(start + joint.join(found)),
        st.sampled_from(["", "", " "]),
        st.sampled_from([",", ",", " , ", ",,", ", "]),
        st.lists(piece, max_size=5),
    )


def device_lines():
    """``key = [ specification, ... ]`` for each kind of device whose entries are texts."""
    kinds = [
        several(device_text(settings)).map(f"{key} = {{}}\n".format)
        for key, settings in specifications().items()
        if key not in ("vsnd", "vnvdimm")
    ]
    return st.one_of(kinds)


def sound_lines():
    """``vsnd``: cards of texts."""
    settings = specifications()["vsnd"]
    item = st.builds(
        lambda kind, found: quoted(", ".join([kind, *found])),
        st.sampled_from(["card", "pcm", "stream", "CARD", "foo", "PCM"]),
        st.lists(st.builds("{}={}".format, st.sampled_from(settings), st.sampled_from(WORDS)), max_size=3),
    )
    return several(several(item, 0)).map("vsnd = {}\n".format)


def numa_lines():
    """``vnuma``: nodes of settings."""
    settings = [
        st.builds(
            lambda key, value, blank: quoted(f"{blank}{key}{blank}={value}"),
            st.just(key),
            st.sampled_from(values),
            st.sampled_from(["", "", " "]),
        )
        for key, values in NODE.items()
    ]
    node = st.tuples(*settings).flatmap(lambda found: st.sets(st.sampled_from(found), min_size=2)).map(sorted)
    return several(node.map(lambda found: f"[{', '.join(found)}]")).map("vnuma = {}\n".format)


def cpu_lines():
    """``cpus``, ``cpus_soft``, ``cpuid`` and ``viridian``."""
    cpus = st.lists(st.sampled_from(CPU_ELEMENTS), min_size=1, max_size=3).map(lambda found: quoted(",".join(found)))
    flag = st.builds(
        "{}{}{}".format, st.sampled_from(FEATURES), st.sampled_from("==="), st.sampled_from(FEATURE_VALUES)
    )
    bits = st.sampled_from(["x" * 32, "1" * 32, "01" * 16, "x" * 31, "Q" * 32])
    line = st.builds(
        lambda leaf, registers: quoted(leaf + ",".join(registers)),
        st.sampled_from(["1:", "0x80000001:", "7,0:", "0xd,1:", "x:", "", "4294967295:", "0,4294967295:", "1"]),
        st.lists(
            st.builds("{}={}".format, st.sampled_from(["eax", "ebx", "ecx", "edx", "eex", "ea"]), bits), max_size=2
        ),
    )
    group = st.sampled_from([*GROUPS, "all", "defaults", "!freq", "BASE", "!all"]).map(quoted)
    return st.one_of(
        st.builds("vcpus = {}\n{} = {}\n".format, st.integers(1, 4), st.sampled_from(["cpus", "cpus_soft"]), cpus),
        several(cpus).map("vcpus = 2\ncpus = {}\n".format),
        st.lists(flag, min_size=1, max_size=4).map(lambda found: f"cpuid = {quoted(','.join(['host', *found]))}\n"),
        several(line).map("cpuid = {}\n".format),
        several(group).map("viridian = {}\n".format),
    )


def hardware_lines():
    """``ioports``, ``irqs``, ``iomem`` and ``rdm``."""
    ports = st.sampled_from(["2f8", "2f8-2ff", "0x3f8", "3-1", "x", "3-", "3f8z", "ffffffff", "-1", "1-x"]).map(quoted)
    irqs = st.sampled_from(["5", "0", "0x7", '"x"', '"-1"', '" 5"', "4294967295", "[1]"])
    pages = st.sampled_from(["fe000,1", "fe000,1@10", "0xfe,2@0x5", "a", "a,", "a,b@", " a, b", "-1,1", "a,b@c@"])
    rdm = st.sampled_from(["strategy=host", "strategy=host,policy=zz", "policy=strict", "strategy=x", "foo", ""])
    return st.one_of(
        several(ports).map("ioports = {}\n".format),
        several(irqs).map("irqs = {}\n".format),
        several(pages.map(quoted)).map("iomem = {}\n".format),
        rdm.map(quoted).map("rdm = {}\n".format),
    )


def configurations():
    """The body of a configuration: a few settings, most of them with structure."""
    line = st.one_of(
        device_lines(),
        device_lines(),
        sound_lines(),
        numa_lines(),
        cpu_lines(),
        hardware_lines(),
        st.sampled_from(OTHERS).map("{}\n".format),
    )
    return st.lists(line, min_size=1, max_size=3).map("".join)
