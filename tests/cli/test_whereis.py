"""`xlpy whereis`: the answer is held against the bytes themselves, in every direction."""

from __future__ import annotations

import re
import struct
import subprocess
from pathlib import Path

import pytest

from xlpy.firmware.acpi.nfit_places import places, region_map_of, spa_range_of
from xlpy.host import Host
from xlpy.hypervisor.frametable import decode

KEYS = {"gpa", "domain", "spa", "mfn", "dimm", "dpa", "media", "region", "namespace", "path", "path_offset", "hops"}


@pytest.fixture
def domain(xlpy, configs):
    """The quickstart domain, with 16 known bytes at offset 0x1000 of its vNVDIMM; its first guest address."""
    xlpy("create", configs / "quickstart.cfg")
    gpa = xlpy("list", "--json").json["items"][0]["vnvdimms"][0]["gpa"]
    xlpy("mem", "write", "quickstart", hex(gpa + 0x1000), "--hex", bytes(range(16)).hex())
    return gpa


def at(file, offset, length):
    with Path(file).open("rb") as media:
        media.seek(offset)
        return media.read(length)


def test_the_media_file_has_the_guests_byte(xlpy, domain):
    answer = xlpy("whereis", "gpa", "quickstart", hex(domain + 0x1000), "--json").json
    assert set(answer) >= KEYS
    assert at(answer["media"]["file"], answer["media"]["offset"], 16) == bytes(range(16))
    assert (answer["path"], answer["path_offset"]) == ("/mnt/pmem0/vm1.img", 0x1000)
    assert (answer["domain"], answer["region"], answer["namespace"]) == ("quickstart", "region0", "namespace0.0")
    assert answer["mfn"] == answer["spa"] >> 12
    assert answer["touch"] == {
        "dom0": "mapped",
        "domains": ["quickstart"],
        "pins": ["domain 1"],
        "poison": False,
        "persistence": "memory_controller",
        "flushed": True,
    }


def test_four_questions_have_one_answer(xlpy, domain):
    by_gpa = xlpy("whereis", "gpa", "quickstart", hex(domain + 0x1234), "--json").json
    by_spa = xlpy("whereis", "spa", hex(by_gpa["spa"]), "--json").json
    by_dpa = xlpy("whereis", "dpa", by_gpa["dimm"], hex(by_gpa["dpa"]), "--json").json
    by_file = xlpy("whereis", "file", by_gpa["path"], hex(by_gpa["path_offset"]), "--json").json
    assert by_gpa == by_spa == by_dpa == by_file


def test_each_hop_names_bytes_that_say_so(xlpy, domain, host_root):
    answer = xlpy("whereis", "gpa", "quickstart", hex(domain + 0x1000), "--json").json
    place = {hop["decided_by"]: hop["place"] for hop in answer["hops"]}
    host = Host.open(host_root)

    def spa(what, offset, length):
        return int.from_bytes(host.hw.read(place[what]["address"] + offset, length), "little")

    assert spa("NFIT, SPA range 1", 0, 2) == 0
    assert spa("NFIT, SPA range 1", 32, 8) <= answer["spa"]
    assert spa("NFIT, region mapping of handle 0x1", 4, 4) == 1
    guests = host.domain("quickstart").memory.read(place["guest's NFIT, SPA range 2"]["address"], 48)
    assert struct.unpack_from("<Q", guests, 32) == (domain,)
    assert spa("superblock", 56, 2) == 0xEF53
    assert spa("inode table", 40, 2) == 0xF30A
    assert (
        spa("inode 12, its extent tree", 8, 4) << 12 == answer["spa"] - 0x1000 - place["superblock"]["address"] + 1024
    )
    entry = place["directory entry of inode 12, in directory inode 2"]["address"]
    assert host.hw.read(entry, 15) == struct.pack("<IHBB", 12, 4040, 7, 1) + b"vm1.img"
    assert spa("NFIT, interleave structure", 12, 4) == 4096
    for hop in answer["hops"]:  # each place in memory is a place in a file too
        if hop["place"] and hop["place"]["space"] == "spa":
            assert host.hw.read(hop["place"]["address"], 8) == at(hop["place"]["file"], hop["place"]["offset"], 8)
        elif hop["place"] and hop["place"]["space"] == "gpa":
            seen = host.domain("quickstart").memory.read(hop["place"]["address"], 8)
            assert seen == at(hop["place"]["file"], hop["place"]["offset"], 8)
    assert host.hw.read(place["PFN info block (fsdax, 4096 bytes)"]["address"], 15) == b"NVDIMM_PFN_INFO"
    first = xlpy("whereis", "gpa", "quickstart", hex(domain), "--json").json  # the head of a run, so it is written
    place = {hop["decided_by"]: hop["place"] for hop in first["hops"]}
    assert decode(host.hw.read(place["its page_info"]["address"], 32)).owner == 1
    whats = [
        next(hop["what"] for hop in one["hops"] if hop["decided_by"] == "its page_info") for one in (first, answer)
    ]
    assert [what.partition(" of domain 1, ")[2] for what in whats] == [
        "the head of its run",
        "1 behind the head of its run",
    ]
    assert spa("its M2P entry", 0, 8) == domain >> 12
    host.store.close()


def test_configuration_line(xlpy, domain):
    hops = xlpy("whereis", "gpa", "quickstart", hex(domain), "--json").json["hops"]
    assert hops[0]["layer"] == "toolstack"
    assert "vnvdimm entry 'file=/mnt/pmem0/vm1.img'" in hops[0]["what"]
    assert ":9:13" in hops[0]["place"]["name"]


def test_a_byte_that_no_domain_has(xlpy, domain):
    answer = xlpy("whereis", "file", "/dev/pmem1", "0x2000", "--json").json
    assert (answer["domain"], answer["gpa"], answer["path"]) == (None, None, "/dev/pmem1")
    assert answer["touch"]["domains"] == []


def test_file_of_no_domain_is_found_by_its_block(xlpy, host_root):
    xlpy("pmem", "mkfile", "8K", "/mnt/pmem0/dir/deep.img")
    spa = xlpy("whereis", "file", "/mnt/pmem0/dir/deep.img", "4096", "--json").json["spa"]
    answer = xlpy("whereis", "spa", hex(spa), "--json").json
    assert (answer["path"], answer["path_offset"]) == ("/mnt/pmem0/dir/deep.img", 4096)


def test_partition_and_its_disk(xlpy, configs, tmp_path):
    """A byte of a partition is found by either name."""
    xlpy("--root", tmp_path / "parted", "host", "init", "--machine", configs / "machines" / "interleaved.yaml")
    ask = ("--root", tmp_path / "parted", "whereis", "file")
    part = xlpy(*ask, "/dev/pmem1p1", "0x1000", "--json").json
    start = part["spa"] - xlpy(*ask, "/dev/pmem1", "0", "--json").json["spa"]
    assert xlpy(*ask, "/dev/pmem1", hex(start), "--json").json == part
    assert part["device"] == "/dev/pmem1p1"
    assert "partition table of pmem1, entry 1" in [hop["decided_by"] for hop in part["hops"]]


def test_a_store_that_was_not_flushed(xlpy, domain):
    where = ("whereis", "gpa", "quickstart", hex(domain + 0x2000))
    xlpy("mem", "write", "--no-flush", "quickstart", hex(domain + 0x2000), "--hex", "41")
    assert xlpy(*where, "--json").json["touch"]["flushed"] is False
    assert "flushed: no" in xlpy(*where).out
    xlpy("mem", "flush", "quickstart", hex(domain + 0x2000), "1")
    xlpy("mem", "fence")
    assert xlpy(*where, "--json").json["touch"]["flushed"] is True


def test_label_slot_of_a_labelled_namespace(xlpy, tmp_path, host_root):
    """The label that is pointed at says what namespace it is."""
    root = ("--root", tmp_path / "labelled")
    xlpy(*root, "host", "init")
    xlpy(*root, "ndctl", "destroy-namespace", "-f", "namespace1.0")
    xlpy(*root, "ndctl", "disable-region", "region1")
    xlpy(*root, "ndctl", "init-labels", "-f", "nmem2")
    xlpy(*root, "ndctl", "enable-region", "region1")
    xlpy(*root, "ndctl", "create-namespace", "-r", "region1", "-m", "fsdax", "-n", "mine")
    answer = xlpy(*root, "whereis", "file", "/dev/pmem1", "0x1000", "--json").json
    hop = next(hop for hop in answer["hops"] if hop["decided_by"].startswith("label "))
    slot = at(hop["place"]["name"], hop["place"]["address"], 80)
    assert slot[16:20] == b"mine"
    assert slot[:16] == bytes.fromhex(hop["decided_by"].rpartition(" ")[2].replace("-", ""))


def test_the_entry_of_a_partition(xlpy, configs, tmp_path):
    root = ("--root", tmp_path / "parted")
    xlpy(*root, "host", "init", "--machine", configs / "machines" / "interleaved.yaml")
    answer = xlpy(*root, "whereis", "file", "/dev/pmem1p2", "0", "--json").json
    place = next(hop["place"] for hop in answer["hops"] if "partition table" in hop["decided_by"])
    start = xlpy(*root, "whereis", "file", "/dev/pmem1", "0", "--json").json["spa"]
    with Host.open(tmp_path / "parted") as host:
        entry = host.hw.read(place["address"], 128)
    assert struct.unpack_from("<Q", entry, 32)[0] * 512 == answer["spa"] - start


def test_reserve_names_the_frame_whose_record_it_is(xlpy, domain, host_root):
    host = Host.open(host_root)
    region = host.xen.pmem.regions[0]
    host.store.close()
    record = (region.reserved.start << 12) + 32 * 5 + 4
    answer = xlpy("whereis", "spa", hex(record), "--json").json
    assert answer["touch"]["dom0"] == "not mapped: Xen's reserve"
    assert f"byte 4 of the page_info of frame {region.region.start + 5:#x}" in [hop["what"] for hop in answer["hops"]]


def test_range_is_cut_where_extents_end(xlpy, domain):
    whole = xlpy("whereis", "gpa", "quickstart", hex(domain), "--length", "64M", "--json").json
    assert sum(piece["length"] for piece in whole["pieces"]) == 64 << 20
    resolved = xlpy("pmem", "resolve", "/mnt/pmem0/vm1.img", "--json").json["extents"]
    assert [(p["spa"], p["length"]) for p in whole["pieces"]] == [(e["spa"], e["length"]) for e in resolved]


def test_ram_is_in_the_domains_file(xlpy, domain):
    xlpy("mem", "write", "quickstart", "0x10000", "--hex", "a55a")
    answer = xlpy("whereis", "gpa", "quickstart", "0x10000", "--json").json
    assert at(answer["media"]["file"], answer["media"]["offset"], 2) == b"\xa5\x5a"
    assert answer == xlpy("whereis", "spa", hex(answer["spa"]), "--json").json


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("gpa", "quickstart", "0xb0000"), 4, "has nothing at 0xb0000"),
        (("gpa", "quickstart", "0xffffffffffffffff"), 4, "has nothing"),
        (("gpa", "nobody", "0"), 4, "nobody"),
        (("gpa", "0", "0x1000"), 4, "whereis spa"),
        (("spa", "0xfffffffff000"), 6, "no memory at host address"),
        (("dpa", "dimm9", "0"), 4, "no DIMM 'dimm9'"),
        (("dpa", "dimm0", "1G"), 6, "beyond the capacity"),
        (("dpa", "dimm0", "0", "--length", "2"), 2, "--length"),
        (("file", "/mnt/pmem0/none", "0"), 4, "no such file"),
        (("file", "/mnt/pmem0/vm1.img", "64M"), 6, "there is none at 0x4000000"),
        (("file", "/dev/pmem7", "0"), 4, "no such device"),
        (("gpa", "quickstart", "0", "--length", "0"), 2, "--length"),
    ],
)
def test_addresses_of_nothing(xlpy, domain, words, status, message):
    result = xlpy("whereis", *words, status=status)
    assert message in result.err


def test_long_ranges_have_one_piece_for_what_lies_together(xlpy, domain):
    """Not one for each free block; and there is memory that the E820 has in no entry."""
    spa = xlpy("whereis", "gpa", "quickstart", hex(domain), "--json").json["spa"]
    found = xlpy("whereis", "spa", hex(spa), "--length", "1G", "--json").json["pieces"]
    assert [(one["path"], one["length"] >> 20) for one in found] == [("/mnt/pmem0/vm1.img", 64), (None, 960)]
    found = xlpy("whereis", "spa", "0", "--length", "1M", "--json").json["pieces"]
    assert sum(one["length"] for one in found) == 1 << 20
    assert len(found) < 10


@pytest.mark.parametrize(
    ("words", "holes"),
    [
        (("gpa", "quickstart", "0", "--length", "1M"), [(0xA0000, 0x20000)]),
        (("spa", "0xbfe00000", "--length", "4M"), [(0x200000, 0x200000)]),
        (("spa", "0x4e0000000", "--length", "16M"), [(0xE00000, 0x200000)]),
        (("file", "/mnt/pmem0/holes.img", "0", "--length", "16K"), [(0x1000, 0x2000)]),
    ],
)
def test_ranges_with_nothing_in_them(xlpy, domain, words, holes):
    """A stretch without addresses; at the start of a range it is an error, as for one byte."""
    xlpy("pmem", "mkfile", "16K", "/mnt/pmem0/holes.img")
    xlpy("host", "event", "punch", "/mnt/pmem0/holes.img", "--offset", "4K", "--length", "8K")
    at, found = 0, []
    for piece in xlpy("whereis", *words, "--json").json["pieces"]:
        if piece["spa"] is None:
            found.append((at, piece["length"]))
        at += piece["length"]
    assert found == holes
    assert xlpy("whereis", *words).out


def test_the_last_byte_and_the_one_behind_it(xlpy, domain):
    last = xlpy("whereis", "gpa", "quickstart", hex(domain + (64 << 20) - 1), "--json").json
    assert last["path_offset"] == (64 << 20) - 1
    xlpy("whereis", "gpa", "quickstart", hex(domain + (64 << 20)), status=4)


def test_domain_that_is_gone(xlpy, domain):
    spa = xlpy("whereis", "gpa", "quickstart", hex(domain), "--json").json["spa"]
    xlpy("destroy", "quickstart")
    xlpy("whereis", "gpa", "quickstart", hex(domain), status=4)
    answer = xlpy("whereis", "spa", hex(spa), "--json").json
    assert (answer["domain"], answer["path"], answer["touch"]["pins"]) == (None, "/mnt/pmem0/vm1.img", [])


def test_domain_named_like_a_number(xlpy, domain):
    """A number is a domid, as for every command; by other addresses the domain is found all the same."""
    assert xlpy("whereis", "gpa", "1", hex(domain), "--json").json["domain"] == "quickstart"
    xlpy("rename", "quickstart", "7")
    assert "Domain '7' does not exist" in xlpy("whereis", "gpa", "7", hex(domain), status=4).err
    answer = xlpy("whereis", "gpa", "1", hex(domain), "--json").json
    assert answer == xlpy("whereis", "spa", hex(answer["spa"]), "--json").json
    assert (answer["domain"], answer["touch"]["domains"]) == ("7", ["7"])


def structure(kind, body):
    return struct.pack("<HH", kind, 4 + len(body)) + body


def spa_range(index, base, size):
    return structure(0, struct.pack("<HHII16sQQQ", index, 0, 0, 0, bytes(16), base, size, 0))


@pytest.mark.parametrize(("address", "index"), [(0x1000, 1), (0x1FFF, 1), (0x2000, 2), (0xFFF, None), (0x3000, None)])
def test_nfit_places(address, index):
    table = bytes(40) + spa_range(1, 0x1000, 0x1000) + spa_range(2, 0x2000, 0x1000)
    found = spa_range_of(table, address)
    assert (found and found[1]) == index
    assert [kind for _, kind, _ in places(table)] == [0, 0]


@pytest.mark.parametrize("length", [0, 3, 57])
def test_nfit_places_stop_at_what_is_no_structure(length):
    table = bytes(40) + struct.pack("<HH", 0, length) + bytes(52)
    assert list(places(table)) == []
    assert region_map_of(table, 1, 1) is None


# -- the way walked by hand, with other programs


def printed(program, *words):
    from programs import need

    done = subprocess.run([need(program), *map(str, words)], capture_output=True, text=True, check=False)
    return done.stdout


def test_each_hop_by_hand(xlpy, domain, tmp_path):
    """What the README shows: debugfs finds the file, iasl reads both NFITs, cmp compares the bytes."""
    offset = 0x1000
    answer = xlpy("whereis", "gpa", "quickstart", hex(domain + offset), "--json").json
    media, at = answer["media"]["file"], answer["media"]["offset"]

    # the file system: block -> inode -> path, and back
    start = answer["spa"] - at  # of the region
    (file_system,) = [hop["place"]["address"] - 1024 for hop in answer["hops"] if hop["decided_by"] == "superblock"]
    block = (answer["spa"] - file_system) // 4096
    image = f"{media}?offset={file_system - start}"
    assert printed("debugfs", "-R", f"icheck {block}", image).split()[-2:] == [str(block), str(answer["inode"])]
    assert printed("debugfs", "-R", f"ncheck {answer['inode']}", image).split()[-1].endswith("/vm1.img")
    assert int(printed("debugfs", "-R", f"bmap <{answer['inode']}> {offset // 4096}", image).split()[-1]) == block
    table, within = re.findall(r"block (\d+), offset (0x[0-9a-f]+)", printed("debugfs", "-R", "imap <12>", image))[0]
    (inode,) = [hop["place"]["address"] for hop in answer["hops"] if hop["decided_by"] == "inode table"]
    assert inode - file_system == int(table) * 4096 + int(within, 16)
    (name,) = [hop["place"]["address"] for hop in answer["hops"] if "directory entry" in hop["decided_by"]]
    (folder,) = printed("debugfs", "-R", "blocks <2>", image).split()
    assert (name - file_system) // 4096 == int(folder)

    # the firmware's tables: SPA range, and the share of the DIMM
    xlpy("acpi", "dump", "--host", "--format", "bin", "-o", tmp_path / "host")
    printed("iasl", "-d", tmp_path / "host" / "nfit.dat")
    nfit = (tmp_path / "host" / "nfit.dsl").read_text()
    bases = [int(text, 16) for text in re.findall(r"Address Range Base : ([0-9A-F]+)", nfit)]
    sizes = [int(text, 16) for text in re.findall(r"Address Range Length : ([0-9A-F]+)", nfit)]
    assert [base for base, size in zip(bases, sizes, strict=True) if base <= answer["spa"] < base + size] == [start]
    line, ways = 4096, 2
    assert f"Line Size : {line:08X}" in nfit
    assert answer["dimm"] == f"dimm{at // line % ways}"
    assert answer["dpa"] == at // (line * ways) * line + at % line

    # the guest's table
    xlpy("acpi", "dump", "quickstart", "--format", "bin", "-o", tmp_path / "guest")
    printed("iasl", "-d", tmp_path / "guest" / "nfit.dat")
    assert f"Address Range Base : {domain:016X}" in (tmp_path / "guest" / "nfit.dsl").read_text()

    # the bytes themselves
    xlpy("mem", "read", "quickstart", hex(domain + offset), "16", "-o", tmp_path / "bytes")
    assert printed("cmp", "-n", "16", "-i", f"0:{at}", tmp_path / "bytes", media) == ""
    back = xlpy("whereis", "file", answer["path"], hex(answer["path_offset"]), "--json").json
    assert back == answer
