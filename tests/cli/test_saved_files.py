"""Files of saved domains that a stranger made: whatever they hold, an error, no domain, and no waiting."""

from __future__ import annotations

import json
from zlib import crc32

import pytest

from xlpy.cli.main import run
from xlpy.digest import blake2b
from xlpy.toolstack.domain.savefile import DIGEST, FAMILY, MAGIC, PIECE, VERSION, WORD


@pytest.fixture
def saved(xlpy, configs, tmp_path):
    """Header and memory of a real one; a function that puts such a file together."""
    xlpy("create", "-q", configs / "quickstart.cfg")
    path = tmp_path / "saved"
    xlpy("save", "quickstart", path)
    raw = path.read_bytes()[len(MAGIC) :]
    (length,) = WORD.unpack_from(raw)
    header, memory = json.loads(raw[WORD.size :][:length]), raw[WORD.size + length + DIGEST :]

    def build(header=header, memory=memory, length=None):
        """A whole file: a forger can make its digest too."""
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        size = WORD.pack(len(text) if length is None else length)
        path.write_bytes(MAGIC + size + text + blake2b(text, digest_size=DIGEST).digest() + memory)
        return path

    return header, memory, build


def test_a_real_one_comes_back(xlpy, saved):
    _, _, build = saved
    xlpy("restore", build())
    assert xlpy("domname", "2").out == "quickstart\n"


def test_what_is_no_header(xlpy, saved):
    _, memory, build = saved
    for header, length in [
        (b"[]", None), (b"{}", None), (b"nothing", None), (b"[" * 100_000, None), (b'{"record": 7}', None),
        (b"{}", 1 << 62), (b'{"record": {}}', None),
    ]:  # fmt: skip
        assert "not as xlpy save writes it" in xlpy("restore", build(header, memory, length), status=6).err
    assert "its header is not as it was written" in xlpy("restore", build(b"{}", memory, 3), status=6).err
    assert xlpy("list", "--json").json["items"] == []


END = PIECE.pack(0, 0, 0)


def piece(gpa, data=b"abcd"):
    """RAM with its checksum, which covers the address too."""
    return PIECE.pack(gpa, len(data), crc32(data + WORD.pack(gpa))) + data


NO_RAM = "not as xlpy save writes it"  # persistent memory, registers, or nothing


@pytest.mark.parametrize(
    ("memory", "message"),
    [
        (b"", "its end is missing"),
        (b"\0" * 15, "its end is missing"),
        (PIECE.pack(0x1000, 64, 0), "its end is missing"),
        (PIECE.pack(0x1000, 64, 0) + END, "not as xlpy save writes it"),
        (PIECE.pack(0x1000, 1 << 31, 0) + b"x" * 100 + END, "not as xlpy save writes it"),
        (PIECE.pack(0x1000, 4, 1) + b"abcd" + END, "the RAM from 0x1000 on is not as it was written"),
        (PIECE.pack(0x1000, 4, crc32(b"abcd")) + b"abcd" + END, "the RAM from 0x1000 on is not as it was written"),
        (piece(0x1000) + END, "1 pieces of RAM were found, 0 were written"),
        (END + END, "0 pieces of RAM were found"),
        *((piece(gpa) + PIECE.pack(1, 0, 0), NO_RAM) for gpa in (1 << 63, 0x500000000, 0x9FFFE, 0xFE000000)),
    ],
)
@pytest.mark.parametrize("dry", [(), ("-n",)])
def test_memory_that_is_not_as_it_was(xlpy, saved, memory, message, dry):
    header, _, build = saved
    if dry and message == NO_RAM:
        return  # where it would go is looked at when it goes there
    assert message in xlpy("restore", *dry, build(header, memory), status=6).err
    assert xlpy("list", "--json").json["items"] == []


def test_every_cut_and_every_flipped_byte_is_noticed(xlpy, saved, tmp_path):
    """At a stride: each byte is one of those kinds."""
    _, _, build = saved
    whole = build().read_bytes()
    path = tmp_path / "changed"
    for at in [*range(len(MAGIC) + 12), *range(len(MAGIC) + 12, len(whole), max(len(whole) // 60, 1))]:
        path.write_bytes(whole[:at])
        assert run(["restore", str(path)]) in (3, 6), at
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        assert run(["restore", str(path)]) in (3, 6), at
    assert xlpy("list", "--json").json["items"] == []


def test_a_piece_comes_to_no_other_address(xlpy, saved):
    """Each bit of the first piece's address, also where another address has RAM."""
    header, memory, build = saved
    (gpa,) = WORD.unpack_from(memory)
    for bit in range(64):
        moved = WORD.pack(gpa ^ 1 << bit) + memory[WORD.size :]
        assert "on is not as it was written" in xlpy("restore", build(header, moved), status=6).err, bit
    assert xlpy("list", "--json").json["items"] == []


@pytest.mark.parametrize(("version", "kind"), [(1, "older"), (2, "older"), (4, "newer"), (10**20, "newer")])
def test_another_version(xlpy, tmp_path, version, kind):
    path = tmp_path / "saved"
    path.write_bytes(FAMILY + b"%d\n" % version + bytes(100))
    shown = xlpy("restore", path, status=6).err
    assert f"is of version {version}, this xlpy reads version {VERSION}" in shown
    assert f"the {kind} xlpy" in shown


@pytest.mark.parametrize(
    "part", ["xen.ram", "xen.pmem", "xen.files", "xen.ioreq", "xen.domain", "libxl", "host", "new"]
)
def test_only_the_parts_that_are_saved_are_taken(xlpy, saved, part):
    """Not the maps of host memory, which would be other guests' too, nor other tables of the state."""
    header, memory, build = saved
    assert part not in header["parts"]
    header["parts"][part] = [[0x100000, 0x100001, 0]]
    assert "not as xlpy save writes it" in xlpy("restore", build(header, memory), status=6).err
    assert xlpy("list", "--json").json["items"] == []


def test_anything_in_the_place_of_anything(xlpy, saved):
    """Every value of the header in turn: absent, and of another kind. An error each time, or it did not matter."""
    header, memory, build = saved
    places = [(key,) for key in header] + [("record", key) for key in header["record"]]
    for place in places:
        for value in ("absent", None, -1, "x", [], {}, [[[]]], 1 << 70):
            changed = json.loads(json.dumps(header))
            inner = changed if len(place) == 1 else changed["record"]
            if value == "absent":
                del inner[place[-1]]
            else:
                inner[place[-1]] = value
            status = run(["restore", "-p", str(build(changed, memory))])
            assert status in (0, 3, 4, 5, 6, 7, 8), (place, value)
            for domain in xlpy("list", "--json").json["items"] if status == 0 else ():
                xlpy("destroy", domain["domid"])


def test_the_file_behind_a_link_is_replaced(xlpy, configs, tmp_path):
    xlpy("create", "-q", configs / "quickstart.cfg")
    (tmp_path / "link").symlink_to("behind")
    xlpy("save", "-c", "quickstart", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "behind").read_bytes().startswith(MAGIC)
    assert {path.name for path in tmp_path.iterdir() if "partial" in path.name} == set()
