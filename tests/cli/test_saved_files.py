"""Files of saved domains that a stranger made: whatever they hold, an error, no domain, and no waiting."""

from __future__ import annotations

import json
import os

import pytest

from xlpy.cli.main import run
from xlpy.digest import blake2b
from xlpy.toolstack.domain.saving import DIGEST, MAGIC, RUN, WORD


def sealed(body):
    """A whole file: whoever makes one can make its digest too."""
    return MAGIC + body + blake2b(MAGIC + body, digest_size=DIGEST).digest()


@pytest.fixture
def saved(xlpy, configs, tmp_path):
    """Header and memory of a real one; a function that puts such a file together."""
    xlpy("create", "-q", configs / "quickstart.cfg")
    path = tmp_path / "saved"
    xlpy("save", "quickstart", path)
    raw = path.read_bytes()[len(MAGIC) : -DIGEST]
    (length,) = WORD.unpack_from(raw)
    header, memory = json.loads(raw[WORD.size :][:length]), raw[WORD.size + length :]

    def build(header=header, memory=memory, length=None):
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        path.write_bytes(sealed(WORD.pack(len(text) if length is None else length) + text + memory))
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
        (b"{}", 1 << 62), (b"{}", 3), (b'{"record": {}}', None),
    ]:  # fmt: skip
        assert "not as xlpy save writes it" in xlpy("restore", build(header, memory, length), status=6).err
    assert xlpy("list", "--json").json["items"] == []


@pytest.mark.parametrize("memory", [b"", b"\0" * 15, RUN.pack(0x1000, 64), RUN.pack(0x1000, 1 << 63) + b"x" * 100])
def test_memory_that_ends_too_early(xlpy, saved, memory):
    header, _, build = saved
    assert "not as xlpy save writes it" in xlpy("restore", build(header, memory), status=6).err
    assert xlpy("list", "--json").json["items"] == []


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


@pytest.mark.parametrize("path", ["fifo", "/dev/zero", "folder"])
def test_what_is_no_file(xlpy, tmp_path, path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    assert "is not a plain file" in xlpy("restore", tmp_path / path, status=3).err
