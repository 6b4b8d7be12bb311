"""The machinery of the recordings itself: the table, the files, the decoder, the normalisation."""

from __future__ import annotations

import pytest
from ndctl import media
from ndctl.machine import DIMMS, REGIONS, machine_yaml, region_of
from ndctl.normal import Names, output
from ndctl.recorded import Result, Told, changes, dump, load
from ndctl.sequences import STATES, parse, table

from xlpy.dom0.nvdimm.infoblock import PfnBlock
from xlpy.dom0.nvdimm.labels import TYPE_PMEM, Label, empty_index
from xlpy.hw.describe import parse_machine


def test_the_table_has_at_least_150_sequences():
    assert len(table()) >= 150
    assert {one.state for one in table()} <= set(STATES)


def test_a_table_is_names_states_and_commands():
    first, second = parse("# c\n== one\nndctl list\n\n== two [1.2]\nndctl list -i # x\n")
    assert (first.name, first.state, first.commands) == ("one", "bare", ("ndctl list",))
    assert second.state == "1.2"
    with pytest.raises(ValueError, match="state 'odd'"):
        parse("== one [odd]")
    with pytest.raises(ValueError, match="twice"):
        parse("== one\n== one\n")


def test_what_is_dumped_is_loaded():
    told = Told("ndctl x", 240, "a\n", "no line end")
    text = dump({"bare": ("a", "b")}, {"one": ("bare", Result((told,), ("b", "c")))})
    assert text.splitlines()[-3:] == ["~", "-a", "+c"]
    states, kept = load(text)
    assert states == {"bare": ("a", "b")}
    assert kept["one"].answers == (told,)
    assert kept["one"].over(states["bare"]) == Result((told,), ("b", "c"))
    assert changes("ab", "bc") == ["-a", "+c"]


def test_uuids_are_named_in_their_order():
    first, second = (f"{n * 8}-1111-2222-3333-444444444444" for n in "ab")
    names = Names((f"ndctl create-namespace -u {second}",))
    assert names(f'"uuid":"{first}" of {second}') == '"uuid":"U2" of U1'
    assert names("00000000-0000-0000-0000-000000000000").startswith("0")


def test_binary_output_is_decoded():
    area = bytearray(128 << 10)
    for block in (0, 1):
        made = empty_index(len(area), block)
        area[made.own : made.own + made.size] = made.build()
    label = Label(b"U" * 16, "data", 8, 2, 1, 0x1234, 512, 4096, 8192, 0, type=TYPE_PMEM).build()
    area[512:768] = label
    told = output(bytes(area)).splitlines()
    assert told[0] == "(131072 bytes)"
    assert "1.2 sequence 3" in told[1]
    assert told[1].endswith("checksum ok")
    assert told[3].startswith("slot 0: 55555555-")
    assert "1 of 2 cookie 0x1234" in told[3]
    area[512] ^= 1
    assert output(bytes(area)).splitlines()[3].endswith("checksum wrong")


def test_page_structs_of_the_kernel_are_left_out():
    block = PfnBlock(b"U" * 16, dataoff=0x5000, npfns=7)
    image = bytes(4096) + block.build() + b"k" * 0x3000 + b"d" * 0x2000
    told = list(media.media(lambda at, length: image[at : at + length], [(0, len(image))]))
    assert told[0].startswith("0x1000: NVDIMM_PFN_INFO 55555555-")
    assert [line.split(":")[0] for line in told[1:]] == ["0x5000+0x2000"]


def test_the_machine_is_one_that_xlpy_takes():
    spec = parse_machine(machine_yaml())
    assert [one.base for one in spec.sets] == [DIMMS[slot].base for slot in REGIONS]
    assert [region_of(slot) for slot in REGIONS] == list(range(len(DIMMS)))
