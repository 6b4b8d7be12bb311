"""Whole configurations against the real ``xl create -n``: verdict, exit status, and the JSON with its order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import xl
from oracle.specs import configurations

from xlpy.toolstack.config.domain_config import HostFacts, load_config
from xlpy.toolstack.config.options import OPTIONS
from xlpy.toolstack.config.xlcfg import Refused

HERE = Path(__file__).parent
EXAMPLES = sorted((HERE / "examples").glob("*.cfg"))
CONFIGS = sorted((HERE.parents[2] / "configs").rglob("*.cfg"))
HOST = HostFacts(xl.CPUS, xl.NODES)
# Keys beyond 4.17 that a configuration of ours may have; the real xl ignores them like any other unknown key.
OWN = ("vnvdimms",)


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """The stand-in, compiled once."""
    return xl.stub(tmp_path_factory.mktemp("xl"))


def ordered(value):
    """Objects as lists of pairs, so that order counts."""
    if isinstance(value, dict):
        return [(key, ordered(item)) for key, item in value.items()]
    return [ordered(item) for item in value] if isinstance(value, list) else value


def comparable(document, text):
    """A document without what is random: the uuid, a generated id, and what ``rdm`` does not decide."""
    document = json.loads(json.dumps(document))
    for key in OWN:
        document.pop(key, None)
    document["c_info"].pop("uuid")
    hvm = document["b_info"].get("type.hvm", {})
    if "ms_vm_genid" in hvm:
        hvm["ms_vm_genid"] = len(hvm["ms_vm_genid"])
    if b"rdm" in text:
        hvm.pop("rdm", None)
        for device in document.get("pcidevs", ()):
            device.pop("rdm_policy", None)
    return ordered(document)


def reading(text, name, extra, strict, version):
    """Our configuration, or our refusal."""
    try:
        return load_config(text, name, extra, strict=strict, host=HOST, xen=version)
    except Refused as refused:
        return refused


def compare(library, path, extra=(), strict=True, judge=None):
    """Ask both and compare; return whether the configuration was accepted. ``judge``: an unpacked xl."""
    text = path.read_bytes()
    ours = reading(text, str(path), extra, strict, judge.version if judge else "4.17")
    if isinstance(ours, Refused):
        if all(problem.message.startswith("vnvdimm") for problem in ours.problems):
            return False  # xl knows no such key
        if ours.xl_status is None:
            return False  # refused by xlpy alone: there is nothing to compare
    theirs = xl.create(library, path, extra, xl=judge)
    if isinstance(ours, Refused):
        if theirs.status < 0:
            return False  # a signal ended xl where we refuse: there is no answer to compare with
        assert theirs.status == ours.xl_status, (text, theirs.messages, ours.problems)
        return False
    assert theirs.status == 0, (text, theirs.messages)
    assert comparable(ours.to_json(), text) == comparable(theirs.document, text), text
    return True


@xl.needs_xl
@pytest.mark.parametrize("path", EXAMPLES + CONFIGS, ids=lambda path: path.stem)
def test_every_file(library, path):
    accepted = compare(library, path)
    assert accepted == (not path.stem.startswith("refused") and path.stem != "language") or path in CONFIGS


@xl.needs_xl
def test_the_friendly_reading_of_a_valid_file_is_the_strict_one(library):
    for path in EXAMPLES:
        compare(library, path, strict=False)


@xl.needs_xl
@pytest.mark.parametrize(
    "extra",
    [
        ["memory=512"],
        ['name="other"', "vcpus=2;maxvcpus=4"],
        ['disk+=["/dev/x,,xvdz"]'],
        ["memory=512", "memory+=1"],
        ["name=bare"],
        ["type='pv'"],
        ["on_crash='no'"],
        ["# comment=1"],
    ],
    ids=str,
)
def test_settings_of_the_command_line(library, extra):
    compare(library, HERE / "examples" / "hvm-server.cfg", extra)


@xl.needs_xl
@pytest.mark.parametrize(
    "body",
    [
        'vif = [ "rate=018Mb/s", "rate=10Mb/s@019ms", "rate=0778Kb/s@1s", "rate=0100KB/s@020ms" ]',
        'vif = [ "rate=010b/s", "rate=1B/s@07", "rate=1GB/s@08s" ]',
        'iomem = [ "1,0x", "0x,2@0x" ]',
        'pci = [ "a:0x.0" ]',
        'pci = [ "0x:1:2.0x" ]',
        "pci_permissive = 'x'\npci_seize = []",
        'name = "\xe9"',
    ],
)
def test_what_is_read_in_a_way_of_its_own(library, tmp_path, body):
    path = tmp_path / "a.cfg"
    path.write_bytes(f'name = "a"\ntype = "hvm"\nmemory = 64\n{body}\n'.encode("latin-1"))
    compare(library, path)


def test_the_examples_have_every_key():
    text = "\n".join(path.read_text(encoding="latin-1") for path in EXAMPLES)
    settings_of_examples = {line.partition("=")[0].strip(" +") for line in text.replace(";", "\n").splitlines()}
    assert sorted(key for key, option in OPTIONS.items() if not option.since and key not in settings_of_examples) == []


VALUES = [
    *("0", "1", "2", "300", "4096", "0x10", "08", "99999999999999999999", '"x"', '"-5"', '""', '" 7"', '"YES"'),
    *('"default"', '"none"', "[]", '["a"]', '["a",["b"],"c"]', "[[]]"),
]
HEADS = {
    "hvm": 'name = "a"\ntype = "hvm"\n',
    "pv": 'name = "a"\ntype = "pv"\nkernel = "/k"\n',
    "pvh": 'name = "a"\ntype = "pvh"\nkernel = "/k"\n',
}


@xl.needs_xl
@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(sorted(HEADS)),
    st.lists(
        st.sampled_from(
            [key for key, option in sorted(OPTIONS.items()) if not option.since and key != "vnvdimm"]
        ).flatmap(
            lambda key: st.tuples(
                st.just(key),
                st.sampled_from(VALUES + [f'"{legal}"' for legal in OPTIONS[key].legal]),
                st.sampled_from(["=", "=", "=", "+="]),
            )
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_any_key_with_any_value(tmp_path_factory, guest, assignments):
    path = tmp_path_factory.mktemp("value") / "a.cfg"
    path.write_text(HEADS[guest] + "".join(f"{key} {operator} {value}\n" for key, value, operator in assignments))
    compare(xl.stub(tmp_path_factory.getbasetemp()), path)


@xl.needs_xl
@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(HEADS)), configurations())
def test_generated_configurations(tmp_path_factory, guest, body):
    path = tmp_path_factory.mktemp("generated") / "a.cfg"
    path.write_text(HEADS[guest] + body, encoding="utf-8")
    compare(xl.stub(tmp_path_factory.getbasetemp()), path)
