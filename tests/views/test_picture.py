"""The picture of a host's memory: what is in it, that it is to scale, and that names are never markup."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import pytest
from work import calls

from xlpy.abi import P2M_RAM_BROKEN
from xlpy.cli.main import run
from xlpy.dom0.ext4.edit import Ext4Editor
from xlpy.toolstack.config.domain_config import load_config
from xlpy.views.picture.layout import layout, place_of
from xlpy.views.picture.model import AddressSpace, Band, DrawnBacking, Interleaved, Picture, Segment, picture
from xlpy.views.picture.page import page
from xlpy.views.picture.svg import svg

GIB = 1 << 30
SVG = "{http://www.w3.org/2000/svg}"


def bank(domains=2, extents=3, dimms=2, name="vm"):
    """A host whose every domain has one vNVDIMM of `extents` pages, lying backwards in one region."""
    base, pages = 4 * GIB, extents
    guests, backings = [], []
    for number in range(domains):
        space = f"guest:{name}{number}"
        segments = [
            Segment(0, GIB, "ram", "RAM", []),
            Segment(5 * GIB, 5 * GIB + pages * 4096, "pmem", f"/mnt/{name}", []),
        ]
        guests.append(AddressSpace(space, f"domain {name}{number}", segments))
        first = (base >> 12) + 2 * pages * (number + 1)
        flat = [n for i in range(pages) for n in (first - 2 * i, 1)]
        backings.append(DrawnBacking(space, 0, f"/mnt/{name}", 5 * GIB, pages * 4096, flat))
    names = [f"dimm{i}" for i in range(dimms)]
    size = dimms * GIB
    bands = [Band(base, base + size, "namespace", f"namespace0.0 {name}", 1)]
    region = Segment(base, base + size, "region", "region0", bands)
    host = AddressSpace("host", f"host {name}", [Segment(0, GIB, "ram", "host RAM", []), region])
    cells = [AddressSpace(f"dimm:{d}", d, [Segment(0, GIB, "dimm", "handle", [])]) for d in names]
    return Picture(
        name, [guests, [host], cells], backings, [Interleaved("region0", base, size, names, 4096, [0] * dimms)], []
    )


def data_of(text):
    (found,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', text, re.S)
    return json.loads(found)


def test_segments_are_to_scale():
    placed = layout(bank(domains=1)).placed
    ram, pmem = placed[0], placed[1]
    assert pmem.height == 4  # three pages beside a GiB: as small as can be seen
    assert place_of(ram, GIB // 2) == pytest.approx(ram.y + ram.height / 2, abs=0.01)
    dimms = [one.height for one in placed if one.column == 2]
    assert dimms[0] == dimms[1]


def test_nothing_overlaps():
    placed = layout(bank(domains=40)).placed
    for column in range(3):
        ends = 0.0
        for one in (p for p in placed if p.column == column):
            assert one.y >= ends - 0.02
            ends = one.y + one.height


def test_svg_is_well_formed_and_says_what_is_where():
    root = ElementTree.fromstring(svg(bank()))
    titles = [node.text for node in root.iter(f"{SVG}title")]
    assert f"RAM: 0x0-{GIB:#x}, 1G" in titles
    assert any(text.startswith("region0 on dimm1, every 2th line of 4096") for text in titles)
    assert {node.get("class") for node in root.iter(f"{SVG}path")} == {"extent", "lead", "ways"}


HOSTILE = ["<script>x</script>", "</script><b>", "a&b", "\"'>", "\x1b[31m", "]]>", "-->", "\ud800"]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text(name):
    shown = bank(name=name)
    root = ElementTree.fromstring(svg(shown).encode("utf-8", "backslashreplace"))
    assert not list(root.iter(f"{SVG}script"))
    text = page(shown)
    assert text.count("<script") == page(bank(name="plain")).count("<script")
    assert data_of(text)["host"] == name


def test_page_of_a_large_bank_is_small():
    """24 DIMMs, 64 domains, 40,000 extents in all."""
    text = page(bank(domains=64, extents=625, dimms=24))
    assert len(text) <= 3_000_000
    assert sum(len(one["extents"]) // 2 for one in data_of(text)["backings"]) == 40_000


def test_picture_of_a_host(host, monkeypatch, host_root):
    monkeypatch.setenv("XLPY_ROOT", str(host_root))
    assert run(["create", "-q", "configs/quickstart.cfg"]) == 0
    shown = picture(host)
    (guest,), (machine,), dimms = shown.columns
    assert guest.id == "guest:quickstart"
    assert [segment.label for segment in guest.segments if segment.kind == "pmem"] == ["/mnt/pmem0/vm1.img"]
    assert [space.title for space in dimms] == [dimm.id for dimm in host.spec.dimms]
    labels = [band.label for segment in machine.segments for band in segment.bands]
    assert {"namespace0.0 (fsdax)", "reserve for Xen", "info block", "/dev/pmem0 on /mnt/pmem0"} <= set(labels)
    (backing,) = shown.backings
    assert sum(backing.extents[1::2]) * 4096 == backing.size == 64 << 20


def scattered(host, name, pages):
    """A domain whose vNVDIMM has so many extents."""
    window = host.dom0.device("/dev/pmem0").window
    media, offset = host.hw.locate_file(window.start)
    Ext4Editor(media, offset, window.size).mkfile(f"/{name}.img", pages * 4096, "fragmented", 1)
    text = f'name="{name}"; type="hvm"; memory=16; vnvdimm=["file=/mnt/pmem0/{name}.img"]'
    return host.create(load_config(text, "a.cfg"))


def test_a_page_does_nothing_for_each_extent(host):
    """Counted: all functions called, those of C included."""
    scattered(host, "few", 3)
    few = calls(lambda: page(picture(host, "few")))
    scattered(host, "many", 3003)
    many = calls(lambda: page(picture(host, "many")))
    assert len(picture(host, "many").backings[0].extents) == 6006
    assert many - few < 100


def test_a_map_without_extents_is_the_same_map(host):
    domain = host.domain(scattered(host, "many", 50))
    gpa = domain.record.vnvdimms[0].gpa
    host.xen.domain(domain.domid).p2m.pmem.retag(gpa // 4096 + 7, gpa // 4096 + 9, P2M_RAM_BROKEN)
    rows, whole = domain.map(), domain.map(extents=False)
    others = [row for row in rows if row.kind not in ("pmem", "broken")]
    assert [row for row in whole if row.kind not in ("pmem", "broken")] == others
    assert [(row.start - gpa, row.end - gpa, row.kind, row.what) for row in whole if row not in others] == [
        (0, 7 * 4096, "pmem", "/mnt/pmem0/many.img"),
        (7 * 4096, 9 * 4096, "broken", ""),
        (9 * 4096, 50 * 4096, "pmem", "/mnt/pmem0/many.img"),
    ]
    assert len(rows) - len(others) == 50


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["map"], 2, "a domain is needed"),
        (["map", "--json", "--svg", "x.svg"], 2, "--json goes with the table"),
        (["map", "--svg", "no/such/folder/x.svg"], 4, "No such file or directory"),
        (["map", "nobody", "--svg", "x.svg"], 4, "nobody"),
    ],
)
def test_what_cannot_be_drawn(words, status, message, host_root, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("XLPY_ROOT", str(host_root))
    monkeypatch.chdir(tmp_path)
    assert run(words) == status
    assert message in capsys.readouterr().err
    assert list(tmp_path.glob("*.svg")) == []


def test_the_capacity_ledger_adds_up(host):
    """Every bar is the raw bytes of its DIMMs, in the model, in the drawing and in the page."""
    shown = picture(host)
    assert [one.name for one in shown.ledger] == ["namespace0.0", "namespace1.0"]
    for one in shown.ledger:
        assert sum(share.size for share in one.shares) == one.raw
        assert all(share.size > 0 for share in one.shares)
    root = ElementTree.fromstring(svg(shown))
    titles = [node.text for node in root.iter(f"{SVG}title")]
    first = shown.ledger[0]
    assert f"{first.shares[0].what}: {first.shares[0].size} bytes" in titles
    wide = [float(node.get("width")) for node in root.iter(f"{SVG}rect") if node.get("height") == "12"]
    assert sum(wide) == pytest.approx(len(shown.ledger) * 1160, abs=0.5)
    assert data_of(page(shown))["ledger"][0][1] == first.raw
