"""Xen 4.20 beside xlpy with ``--xen 4.20``: the real xl 4.20 of Debian 13, unpacked and asked ``create -n``."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import xl
from oracle.specs import configurations
from realxen.debian import Debian, Unavailable
from toolstack.config.test_xl_oracle import CONFIGS, EXAMPLES, HEADS, VALUES, compare

from xlpy.toolstack.config.domain_config import load_config
from xlpy.toolstack.config.options import OPTIONS

XEN = "4.20"
KNOWN = sorted(key for key, option in OPTIONS.items() if option.known_to(XEN) and key != "vnvdimm")

LATER = {
    "smbios": 'smbios = [ "system_serial_number=4 2", "OEM=a=b", "oem=c" ]',
    "smbios, a key that is none": 'smbios = [ "serial=4" ]',
    "smbios, no value": 'smbios = [ "bios_vendor=" ]',
    "smbios, a text": 'smbios = "bios_vendor=x"',
    "hvm_pirq": "hvm_pirq = 1",
    "colours": 'llc_colors = [ "0-3", "7" ]',
    "colours, the wrong way": 'llc_colors = [ "3-0" ]',
    "colours, a word": 'llc_colors = [ "x" ]',
    "bootloader": 'bootloader_restrict = 1\nbootloader_user = "nobody"',
    "virtio": 'virtio = [ "type=virtio,device22,transport=mmio,grant_usage=1", "transport=mmio" ]',
    "virtio, a word": 'virtio = [ "what" ]',
    "virtio, pci": 'virtio = [ "transport=pci" ]',
    "a vlan": 'vif = [ "vlan=7" ]',
    "trust": 'disk = [ "/dev/x,,xvda,untrusted", "format=raw,vdev=xvdb,grant_usage=1,target=/y" ]',
    "p9": 'p9 = [ "tag=a, path=/x ,security_model=none", "type=xen_9pfsd,max-space=7,auto-delete=1", "path=/y" ]',
    "p9, a type": 'p9 = [ "type=what" ]',
    "p9, a word": 'p9 = [ "what" ]',
    "channel": 'channel = [ "connection=pty,name=a" ]',
    "vnuma without a key": 'vnuma = [ [ "=x", "pnode=0", "size=64", "vcpus=0", "vdistances=10" ] ]',
    "CPU features": 'cpuid = "host,sdbg=1,waitpkg=0,avx-vnni-int8=x,xfd=k,pb-opt-ctrl=1,no-nest-bp=0"',
    "Arm": 'tee = "ffa"\nsve = "256"\nnr_spis = 8',
    "Arm, a length that is none": 'sve = "129"',
    "binary numbers": 'maxmem = "0b1000000"\nvcpus = 0b11',
    "keys of 4.21": "altp2m_count = 3\nxen_platform_pci_bar_uc = 0",
}


@pytest.fixture(scope="session")
def judge():
    """The xl of Debian 13."""
    if reason := xl.missing():
        pytest.skip(reason)
    try:
        return xl.Unpacked(XEN, Debian("trixie").tree(f"xen-utils-{XEN}", "libxen-dev"))
    except Unavailable as why:
        pytest.skip(str(why))


@pytest.fixture(scope="session")
def library(judge, tmp_path_factory):
    """The stand-in for the hypervisor."""
    return judge.stub(tmp_path_factory.mktemp("xl420"))


@pytest.mark.parametrize("path", EXAMPLES + CONFIGS, ids=lambda path: path.stem)
def test_every_file(judge, library, path):
    compare(library, path, judge=judge)


@pytest.mark.parametrize("guest", ["hvm", "pv"])
@pytest.mark.parametrize("text", LATER.values(), ids=LATER)
def test_what_came_after_417(judge, library, tmp_path, guest, text):
    path = tmp_path / "a.cfg"
    path.write_text(HEADS[guest] + text + "\n")
    compare(library, path, judge=judge)


@settings(max_examples=40, deadline=None)
@given(
    guest=st.sampled_from(sorted(HEADS)),
    assignments=st.lists(
        st.tuples(st.sampled_from(KNOWN), st.sampled_from(VALUES), st.sampled_from(["=", "="])), min_size=1, max_size=3
    ),
)
def test_any_key_with_any_value(judge, library, tmp_path_factory, guest, assignments):
    path = tmp_path_factory.mktemp("value") / "a.cfg"
    path.write_text(HEADS[guest] + "".join(f"{key} {operator} {value}\n" for key, value, operator in assignments))
    compare(library, path, judge=judge)


@settings(max_examples=40, deadline=None)
@given(guest=st.sampled_from(sorted(HEADS)), body=configurations())
def test_generated_configurations(judge, library, tmp_path_factory, guest, body):
    path = tmp_path_factory.mktemp("generated") / "a.cfg"
    path.write_text(HEADS[guest] + body, encoding="utf-8")
    compare(library, path, judge=judge)


@pytest.mark.parametrize(
    ("key", "value"), [("smbios", '["bios_vendor=x"]'), ("hvm_pirq", "1"), ("llc_colors", '["1"]')]
)
def test_older_versions_say_from_when_on_a_key_counts(key, value):
    since = OPTIONS[key].since
    text = f"{HEADS['hvm']}{key} = {value}\n"
    messages = [problem.message for problem in load_config(text, "a.cfg").warnings]
    assert messages == [f"{key} is for Xen {since} and later; 4.17 ignores it"]
    assert not load_config(text, "a.cfg", xen=XEN).warnings
