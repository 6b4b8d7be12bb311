"""What a command costs does not depend on what else is there: counted, not timed.

The same is done on a host with few and with many domains, after few and many that came and went, beside few and many
files; a list may cost by its lines, and each the same.
"""

from __future__ import annotations

import pytest
from work import Work, work

from xlpy.dom0.ext4.edit import Ext4Editor
from xlpy.host import Host
from xlpy.hypervisor import console, p2m
from xlpy.statedir import UNCLEAN
from xlpy.toolstack.config.domain_config import load_config
from xlpy.views import listing

MANY = 23  # domains
BACKED = 12  # of them with persistent memory of their own
FILES = 400  # more than one block of a directory has room for
MACHINE = """
name: growth
ram: 8G
cpu: {count: 2, physical_bits: 46}
dimms:
  - {id: dimm0, capacity: 256M, handle: 0x1}
sets:
  - {name: set0, dimms: [dimm0]}
namespaces:
  - region: set0
    mode: fsdax
    map: dev
    reserve: true
    filesystem: {type: ext4, mount: /mnt/pmem0, files: [{path: all.img, size: 2M, state: written}]}
"""


def config(name, path="", more=""):
    backing = f'vnvdimm=["file=/mnt/pmem0/{path}"]' if path else ""
    return load_config(f'name="{name}"; type="hvm"; memory=16; vcpus=1; {backing}; {more}', "a.cfg")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A host with room for many."""
    folder = tmp_path_factory.mktemp("growth")
    (folder / "machine.yaml").write_text(MACHINE)
    host = Host.make(folder / "host", folder / "machine.yaml")
    for number in range(4):
        host.mkfile(f"/mnt/pmem0/{number}.img", 2 << 20)
    host.create(config("first", "0.img"))
    host.destroy(host.create(config("second", "1.img")))  # what is imported or filled once is there by now
    return host


def cycle(host, name="spare", path="1.img"):
    """What is counted: one domain with a vNVDIMM comes and goes, twice since some things grow in steps: the least."""
    rounds = []
    for _ in range(2):
        create = work(lambda: host.create(config(name, path)), host.store)
        rounds.append((create, work(lambda: host.destroy(name), host.store)))
    return [Work(*map(min, zip(*both, strict=True))) for both in zip(*rounds, strict=True)]


def test_domains_that_are_there(made):
    host = made
    few = cycle(host)
    names = [f"other{number}" for number in range(MANY)]
    for name in names:
        host.create(config(name))
    many = cycle(host)
    assert [now.grown(before) for before, now in zip(few, many, strict=True)] == [{}, {}]
    for name in names:
        host.destroy(name)


def test_domains_that_ever_were(made):
    host = made
    few = cycle(host)
    for _ in range(MANY):
        host.destroy(host.create(config("passing", "2.img")))
    assert [now.grown(before) for before, now in zip(few, cycle(host), strict=True)] == [{}, {}]


def test_many_with_persistent_memory_of_their_own(made):
    """Owners of pages, holds and labels of other domains are not looked at one by one, in a new process either."""
    host = made

    def fresh():
        opened = Host.open(host.root)
        counts = cycle(opened)
        opened.store.close()
        return counts

    names = [f"own{number}" for number in range(BACKED)]
    for name in names:
        host.mkfile(f"/mnt/pmem0/{name}.img", 2 << 20)
    host.create(config(names[0], f"{names[0]}.img"))
    few = fresh()
    for name in names[1:]:
        host.create(config(name, f"{name}.img"))
    assert [now.grown(before) for before, now in zip(few, fresh(), strict=True)] == [{}, {}]
    for name in names:
        host.destroy(name)


def written(act, store):
    """What is given to SQLite: for each table how many records, and how many characters of statements."""
    found = {}

    def statement(text):
        verb, _, rest = text.partition(" ")
        if verb in ("INSERT", "DELETE"):
            count, size = found.get(table := rest.split("'")[1], (0, 0))
            found[table] = count + 1, size + len(text)

    store._db.set_trace_callback(statement)
    act()
    store._db.set_trace_callback(None)
    return found


def test_what_is_written(made, monkeypatch):
    """A change writes records of its own domain: none that holds something of all domains, none for each old line."""
    host = made
    monkeypatch.setattr(console, "LINES", 64)  # the log is full

    def once():
        domids = []
        found = written(lambda: domids.append(host.create(config("spare", "far.img"))), host.store)
        host.destroy(domids[0])
        return found

    names = [f"wide{number}" for number in range(BACKED)]
    for name in (*names, "between", "far"):
        host.mkfile(f"/mnt/pmem0/{name}.img", 1 << p2m.PART_BITS + 12 if name == "between" else 2 << 20)
    once()
    few = once()
    for name in names:
        host.create(config(name, f"{name}.img"))
    many = once()
    assert 0 < few.pop(console.TABLE)[0] < 14  # 70 lines come and go
    assert many.pop(console.TABLE)[0] < 14
    assert {table: count for table, (count, _) in few.items()} == {table: count for table, (count, _) in many.items()}
    assert {table: size for table, (_, size) in few.items() if many[table][1] > size * 1.03 + 50} == {}
    for name in names:
        host.destroy(name)


def test_a_list_costs_the_same_for_each(made):
    host = made

    def lines():
        opened = Host.open(host.root)
        found = work(lambda: listing.rows(opened, listing.domids(opened)), opened.store)
        opened.store.close()
        return found

    counts, names = [], []
    for many in (2, 4, 8):
        for number in range(many):
            host.create(config(f"line{many}-{number}"))
            names.append(f"line{many}-{number}")
        counts.append(lines())
    for name in ("calls", "sql"):
        two, six, fourteen = (getattr(count, name) for count in counts)
        assert 0 < fourteen - six <= 2.5 * (six - two), name  # eight more cost twice what four more do
    for name in names:
        host.destroy(name)


def add_files(host, folder):
    """As many as need more than one block of a directory, on the file system of a host and beside each other."""
    namespace = host.dom0.list_namespaces()[0]
    image, offset = host.hw.backing(namespace["resource"])
    editor = Ext4Editor(image, offset, namespace["size"])
    with editor._editing():
        editor._mkdir(folder)
        editor._debugfs([f"cd {folder}", *(f"write /dev/null file{number:03}" for number in range(FILES))])


def killed(host):
    """What the command after a kill does."""
    (host.root / UNCLEAN).write_text("creating somebody (pid 4194304)\n")

    def act():
        Host.open(host.root).store.close()

    return work(act)


def test_files_that_are_there(made):
    host = made
    add_files(host, "/first")
    few, repaired = cycle(host), killed(host)
    for folder in ("/second", "/third", "/fourth"):
        add_files(host, folder)
    again = Host.open(host.root)
    assert [now.grown(before) for before, now in zip(few, cycle(again), strict=True)] == [{}, {}]
    assert killed(again).grown(repaired) == {}
    again.store.close()
