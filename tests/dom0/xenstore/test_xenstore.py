"""XenStore, as transcripts: who asks, what is asked, what comes back.

A step is ``(domid, request, reply)``. A request is a method and its arguments; one whose first word is ``t1:read``
happens inside transaction ``t1`` (made by ``t1:start``). A reply is a value, None for plain success, or an errno name.
"""

import errno

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.dom0.xenstore.daemon import Perm, WatchEvent, XenStore, XenstoreError
from xlpy.store import Store


def perms(text):
    return [Perm.parse(word) for word in text.split()]


class Session:
    def __init__(self, target_of=lambda _domid: None):
        self.daemon = XenStore(Store(None), target_of)
        self.connections = {}
        self.transactions = {}

    def ask(self, domid, request):
        connection = self.connections.get(domid) or self.connections.setdefault(domid, self.daemon.connection(domid))
        name, *args = request
        if ":" in name:
            key, _, name = name.partition(":")
            if name == "start":
                self.transactions[key] = connection.transaction()
                return None
            connection = self.transactions[key]
        if name == "set_perms":
            args[1] = perms(args[1])
        try:
            answer = getattr(connection, name)(*args)
        except XenstoreError as error:
            return str(error).rpartition("(")[2].rstrip(")")
        if name == "get_perms":
            return " ".join(map(str, answer))
        return answer


HOME = [(0, ("mkdir", "/local/domain/5"), None), (0, ("set_perms", "/local/domain/5", "n0 r5"), None)]
GUEST_OWNED = [
    *HOME,
    (0, ("write", "/local/domain/5/data", ""), None),
    (0, ("set_perms", "/local/domain/5/data", "n5"), None),
]

TRANSCRIPTS = {
    "values and names": [
        (0, ("write", "/a/b/c", "one"), None),
        (0, ("read", "/a/b/c"), "one"),
        (0, ("read", "/a/b"), ""),
        (0, ("write", "/a/b/c", "two"), None),
        (0, ("read", "/a/b/c"), "two"),
        (0, ("mkdir", "/a/b/d"), None),
        (0, ("mkdir", "/a/b/c"), None),
        (0, ("read", "/a/b/c"), "two"),
        (0, ("directory", "/a/b"), ["c", "d"]),
        (0, ("directory", "/"), ["a"]),
        (0, ("directory", "/a/b/c"), []),
        (0, ("write", "/ab", ""), None),
        (0, ("directory", "/a"), ["b"]),
        (0, ("write", "/utf", "h\u00e9\udcff"), None),
        (0, ("read", "/utf"), "h\u00e9\udcff"),
    ],
    "missing nodes": [
        (0, ("read", "/a"), "ENOENT"),
        (0, ("directory", "/a/b"), "ENOENT"),
        (0, ("get_perms", "/a"), "ENOENT"),
        (0, ("set_perms", "/a", "n0"), "ENOENT"),
        (0, ("read_or_none", "/a"), None),
    ],
    "removal": [
        (0, ("write", "/a/b/c", "1"), None),
        (0, ("write", "/ab", "2"), None),
        (0, ("rm", "/a"), None),
        (0, ("read", "/a/b/c"), "ENOENT"),
        (0, ("read", "/ab"), "2"),
        (0, ("rm", "/a"), None),
        (0, ("rm", "/a/b"), "ENOENT"),
        (0, ("rm", "/"), "EINVAL"),
    ],
    "paths": [
        (0, ("write", "", ""), "EINVAL"),
        (0, ("write", "/a//b", ""), "EINVAL"),
        (0, ("write", "//", ""), "EINVAL"),
        (0, ("write", "/a/", ""), "EINVAL"),
        (0, ("write", "/a b", ""), "EINVAL"),
        (0, ("write", "/a.b", ""), "EINVAL"),
        (0, ("write", "/\u00e9", ""), "EINVAL"),
        (0, ("write", "/0123456789-_@azAZ", ""), None),
        (0, ("write", "/" + "a" * 3071, ""), None),
        (0, ("write", "/" + "a" * 3072, ""), "EINVAL"),
        (0, ("write", "a" * 2048, ""), None),
        (0, ("write", "a" * 2049, ""), "EINVAL"),
        (0, ("write", "vm", "home"), None),
        (0, ("read", "/local/domain/0/vm"), "home"),
    ],
    "payload": [
        (0, ("write", "/a", "x" * 4096), None),
        (0, ("write", "/a", "x" * 4097), "E2BIG"),
        (0, ("write", "/a", "\u00e9" * 2049), "E2BIG"),
        *GUEST_OWNED,
        (5, ("write", "data/x", "x" * 2048), None),
        (5, ("write", "data/x", "x" * 2049), "ENOSPC"),
    ],
    "a guest reads its home and may not write it": [
        *HOME,
        (0, ("write", "/local/domain/5/name", "vm1"), None),
        (5, ("read", "name"), "vm1"),
        (5, ("read", "/local/domain/5/name"), "vm1"),
        (5, ("directory", "/local/domain/5"), ["name"]),
        (5, ("get_perms", "name"), "n0 r5"),
        (5, ("write", "name", "x"), "EACCES"),
        (5, ("write", "other", "x"), "EACCES"),
        (5, ("mkdir", "other"), "EACCES"),
        (5, ("rm", "name"), "EACCES"),
        (5, ("set_perms", "name", "n5"), "EACCES"),
        (5, ("read", "missing"), "ENOENT"),
        (6, ("read", "/local/domain/5/name"), "EACCES"),
    ],
    "errors tell nothing about what lies under an unreadable parent": [
        (0, ("write", "/secret/there", "1"), None),
        (5, ("read", "/secret/there"), "EACCES"),
        (5, ("read", "/secret/missing"), "EACCES"),
        (5, ("rm", "/secret/missing"), "EACCES"),
        (5, ("read_or_none", "/secret/missing"), None),
        (0, ("set_perms", "/secret/there", "r0"), None),
        (5, ("read", "/secret/there"), "1"),
    ],
    "what a guest makes is its own": [
        *GUEST_OWNED,
        (5, ("write", "data/a/b", "1"), None),
        (5, ("get_perms", "data/a/b"), "n5"),
        (6, ("read", "/local/domain/5/data/a/b"), "EACCES"),
        (5, ("set_perms", "data/a/b", "n5 b6"), None),
        (6, ("read", "/local/domain/5/data/a/b"), "1"),
        (6, ("write", "/local/domain/5/data/a/b", "2"), None),
        (6, ("set_perms", "/local/domain/5/data/a/b", "n6"), "EACCES"),
        (5, ("set_perms", "data/a/b", "n6"), "EPERM"),
        (0, ("set_perms", "/local/domain/5/data/a/b", "n6"), None),
        (5, ("read", "data/a/b"), "EACCES"),
    ],
    "rights": [
        (0, ("write", "/x", "1"), None),
        (0, ("set_perms", "/x", "r0 n5 w6 b7"), None),
        (4, ("read", "/x"), "1"),
        (4, ("write", "/x", ""), "EACCES"),
        (5, ("read", "/x"), "EACCES"),
        (6, ("read", "/x"), "EACCES"),
        (6, ("write", "/x", "6"), None),
        (7, ("read", "/x"), "6"),
        (7, ("write", "/x", "7"), None),
        (0, ("set_perms", "/x", ""), "EINVAL"),
    ],
    "new nodes inherit the whole list": [
        (0, ("mkdir", "/dev"), None),
        (0, ("set_perms", "/dev", "n0 r5 b6"), None),
        (0, ("write", "/dev/a/b", ""), None),
        (0, ("get_perms", "/dev/a"), "n0 r5 b6"),
        (6, ("write", "/dev/c", ""), None),
        (0, ("get_perms", "/dev/c"), "n6 r5 b6"),
    ],
    "a transaction shows nothing until it commits": [
        (0, ("write", "/a/keep", "0"), None),
        (0, ("t1:start",), None),
        (0, ("t1:write", "/a/new", "1"), None),
        (0, ("t1:read", "/a/new"), "1"),
        (0, ("t1:directory", "/a"), ["keep", "new"]),
        (0, ("read", "/a/new"), "ENOENT"),
        (0, ("directory", "/a"), ["keep"]),
        (0, ("t1:rm", "/a/keep"), None),
        (0, ("t1:directory", "/a"), ["new"]),
        (0, ("t1:read", "/a/keep"), "ENOENT"),
        (0, ("read", "/a/keep"), "0"),
        (0, ("t1:commit",), None),
        (0, ("directory", "/a"), ["new"]),
        (0, ("t1:read", "/a"), "ENOENT"),
        (0, ("t1:commit",), "ENOENT"),
    ],
    "a tree that is removed and made again in one transaction": [
        (0, ("write", "/vm/u/old", "1"), None),
        (0, ("t1:start",), None),
        (0, ("t1:rm", "/vm/u"), None),
        (0, ("t1:mkdir", "/vm/u"), None),
        (0, ("t1:directory", "/vm/u"), []),
        (0, ("t1:read", "/vm/u/old"), "ENOENT"),
        (0, ("t1:write", "/vm/u/name", "x"), None),
        (0, ("t1:write", "/vm/u/brief/y", "x"), None),
        (0, ("t1:rm", "/vm/u/brief"), None),
        (0, ("t1:commit",), None),
        (0, ("directory", "/vm/u"), ["name"]),
    ],
    "two transactions on one node: the second starts again": [
        (0, ("write", "/n", "0"), None),
        (0, ("t1:start",), None),
        (0, ("t2:start",), None),
        (0, ("t1:read", "/n"), "0"),
        (0, ("t2:read", "/n"), "0"),
        (0, ("t1:write", "/n", "1"), None),
        (0, ("t2:write", "/n", "2"), None),
        (0, ("t1:commit",), None),
        (0, ("t2:commit",), "EAGAIN"),
        (0, ("read", "/n"), "1"),
    ],
    "two transactions on different nodes do not meet": [
        (0, ("mkdir", "/n"), None),
        (0, ("t1:start",), None),
        (0, ("t2:start",), None),
        (0, ("t1:write", "/n/a", "1"), None),
        (0, ("t2:write", "/n/b", "2"), None),
        (0, ("t1:commit",), None),
        (0, ("t2:commit",), None),
        (0, ("directory", "/n"), ["a", "b"]),
    ],
    "a name check sees a name that came meanwhile": [
        (0, ("mkdir", "/names"), None),
        (0, ("t1:start",), None),
        (0, ("t1:directory", "/names"), []),
        (0, ("t1:write", "/mine", "vm1"), None),
        (0, ("write", "/names/vm1", ""), None),
        (0, ("t1:commit",), "EAGAIN"),
        (0, ("read", "/mine"), "ENOENT"),
    ],
    "a node that was removed and made again is another": [
        (0, ("write", "/n", "0"), None),
        (0, ("t1:start",), None),
        (0, ("t1:read", "/n"), "0"),
        (0, ("rm", "/n"), None),
        (0, ("write", "/n", "0"), None),
        (0, ("t1:read", "/n"), "0"),
        (0, ("t1:write", "/m", "1"), None),
        (0, ("t1:commit",), "EAGAIN"),
    ],
    "an aborted transaction, and a read-only one that never conflicts": [
        (0, ("t1:start",), None),
        (0, ("t1:write", "/n", "1"), None),
        (0, ("t1:abort",), None),
        (0, ("read", "/n"), "ENOENT"),
        (0, ("t2:start",), None),
        (0, ("t2:read", "/n"), "ENOENT"),
        (0, ("write", "/n", "1"), None),
        (0, ("t2:commit",), None),
    ],
    "watches": [
        (0, ("watch", "/a", "tok"), None),
        (0, ("events",), [WatchEvent("/a", "tok")]),
        (0, ("watch", "/a", "tok"), "EEXIST"),
        (0, ("write", "/a/b/c", "1"), None),
        (0, ("write", "/ab", "1"), None),
        (0, ("events",), [WatchEvent("/a/b/c", "tok")]),
        (0, ("rm", "/a/b"), None),
        (0, ("events",), [WatchEvent("/a/b", "tok")]),
        (0, ("unwatch", "/a", "other"), "ENOENT"),
        (0, ("unwatch", "/a", "tok"), None),
        (0, ("write", "/a", "1"), None),
        (0, ("events",), []),
    ],
    "a watch below a removed node fires": [
        (0, ("write", "/a/b/c", "1"), None),
        (0, ("watch", "/a/b/c", "deep"), None),
        (0, ("events",), [WatchEvent("/a/b/c", "deep")]),
        (0, ("write", "/a", "x"), None),
        (0, ("events",), []),
        (0, ("rm", "/a"), None),
        (0, ("events",), [WatchEvent("/a/b/c", "deep")]),
    ],
    "relative watches answer with relative paths": [
        *GUEST_OWNED,
        (5, ("watch", "data", "t"), None),
        (5, ("events",), [WatchEvent("data", "t")]),
        (5, ("write", "data/x", "1"), None),
        (5, ("events",), [WatchEvent("data/x", "t")]),
    ],
    "a watch tells only what its owner may read": [
        *HOME,
        (5, ("watch", "/", "all"), None),
        (5, ("events",), [WatchEvent("/", "all")]),
        (0, ("write", "/secret", "1"), None),
        (0, ("write", "/local/domain/5/name", "1"), None),
        (5, ("events",), [WatchEvent("/local/domain/5/name", "all")]),
    ],
    "transactions fire watches when they commit": [
        (0, ("watch", "/a", "t"), None),
        (0, ("events",), [WatchEvent("/a", "t")]),
        (0, ("t1:start",), None),
        (0, ("t1:write", "/a/x", "1"), None),
        (0, ("t1:write", "/a/x", "2"), None),
        (0, ("events",), []),
        (0, ("t1:commit",), None),
        (0, ("events",), [WatchEvent("/a/x", "t")]),
    ],
    "quotas of an unprivileged domain": [
        *GUEST_OWNED,
        *[(5, (f"t{i}:start",), None) for i in range(10)],
        (5, ("transaction",), "ENOSPC"),
        (5, ("t0:abort",), None),
        (5, ("t0:start",), None),
        *[(5, ("watch", "data", f"w{i}"), None) for i in range(128)],
        (5, ("watch", "data", "w128"), "E2BIG"),
    ],
}


@pytest.mark.parametrize("steps", TRANSCRIPTS.values(), ids=TRANSCRIPTS.keys())
def test_transcript(steps):
    session = Session()
    for number, (domid, request, expected) in enumerate(steps):
        assert session.ask(domid, request) == expected, f"step {number}: {domid} {request}"


def test_node_quota():
    session = Session()
    for domid, request, _ in GUEST_OWNED:
        session.ask(domid, request)
    with session.daemon.connection(5).transaction() as t:  # 999 more, so that the domain owns 1000 with data
        for i in range(999):
            t.write(f"data/{i}", "")
    assert session.ask(5, ("write", "data/more", "")) == "ENOSPC"
    assert session.ask(5, ("write", "data/7", "still")) is None
    assert session.ask(0, ("write", "/local/domain/5/data/more", "")) is None


def test_a_stub_domain_has_the_rights_of_its_target():
    session = Session(target_of={9: 5}.get)
    for domid, request, _ in GUEST_OWNED:
        session.ask(domid, request)
    assert session.ask(9, ("write", "/local/domain/5/data/x", "1")) is None
    assert session.ask(8, ("write", "/local/domain/5/data/x", "1")) == "EACCES"


def test_release_of_a_domain():
    session = Session()
    for domid, request, _ in GUEST_OWNED:
        session.ask(domid, request)
    session.ask(5, ("write", "data/x/y", "1"))
    session.ask(5, ("watch", "data", "t"))
    session.ask(0, ("watch", "@releaseDomain", "gone"))
    session.ask(0, ("events",))
    session.daemon.release(5)
    assert session.ask(0, ("events",)) == [WatchEvent("@releaseDomain", "gone")]
    assert session.ask(0, ("directory", "/local/domain/5")) == []
    assert session.ask(0, ("get_perms", "/local/domain/5")) == "n0"  # a later domain 5 starts without rights
    assert session.ask(0, ("read", "/local/domain/5")) == ""


def test_introduction_is_told_to_dom0_only():
    session = Session()
    for domid in (0, 5):
        session.ask(domid, ("watch", "@introduceDomain", "new"))
        session.ask(domid, ("events",))
    session.daemon.introduce(7)
    assert session.ask(0, ("events",)) == [WatchEvent("@introduceDomain", "new")]
    assert session.ask(5, ("events",)) == []


def test_the_tree_outlives_the_process(tmp_path):
    first = Store(tmp_path / "state.db")
    with first.transaction("test"):
        XenStore(first).connection(0).write("/a/b", "1")
    first.close()
    assert XenStore(Store(tmp_path / "state.db")).connection(0).read("/a/b") == "1"


@pytest.mark.parametrize("text", ["", "5", "x5", "r", "r-1", "r65536", "rb5", "r\u0663"])
def test_bad_permission_text(text):
    with pytest.raises(XenstoreError) as caught:
        Perm.parse(text)
    assert caught.value.errno == errno.EINVAL


PATHS = st.sampled_from(["/a", "/a/b", "/a/b/c", "/b", "/b/c"])
ACTS = st.lists(st.tuples(st.sampled_from(["write", "mkdir", "rm"]), PATHS, st.text(max_size=4)), max_size=12)


@settings(max_examples=60, deadline=None)
@given(ACTS)
def test_one_transaction_leaves_what_single_steps_leave(acts):
    trees = []
    for together in (True, False):
        connection = XenStore(Store(None)).connection(0)
        actor = connection.transaction() if together else connection
        for name, path, value in acts:
            try:
                getattr(actor, name)(*(path, value) if name == "write" else (path,))
            except XenstoreError as error:
                trees.append(error.name)
        if together:
            actor.commit()

        def tree(path, connection=connection):
            return {
                name: (connection.read(f"{path}/{name}"), tree(f"{path}/{name}"))
                for name in connection.directory(path or "/")
            }

        trees.append(tree(""))
    assert trees[: len(trees) // 2] == trees[len(trees) // 2 :]
    assert set(trees[: len(trees) // 2 - 1]) <= {"ENOENT"}
