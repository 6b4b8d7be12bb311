"""The index of who is named where: whatever is written, it finds what a walk over all nodes finds."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.dom0.xenstore.daemon import Perm, XenStore, XenstoreError
from xlpy.dom0.xenstore.mentions import strangers
from xlpy.dom0.xenstore.node import parent_path
from xlpy.store import Store

PATHS = st.lists(st.sampled_from(["a", "b", "local", "domain", "1", "2"]), min_size=1, max_size=5).map(
    lambda parts: "/" + "/".join(parts)
)
PERMS = st.lists(st.builds(Perm, st.integers(0, 3), st.sampled_from("nrwb")), min_size=1, max_size=3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), PATHS, st.just("v")),
        st.tuples(st.just("set_perms"), PATHS, PERMS),
        st.tuples(st.just("rm"), PATHS),
        st.tuples(st.just("release"), st.integers(1, 3)),
    ),
    max_size=25,
)


@given(STEPS)
@settings(max_examples=150)
def test_as_a_walk_over_everything(steps):
    store = Store(None)
    xenstore = XenStore(store)
    connection = xenstore.connection(0)
    for act, *words in steps:
        with suppress(XenstoreError):
            getattr(xenstore if act == "release" else connection, act)(*words)
        nodes = xenstore.tree("/")
        for domid in (1, 2, 3):
            named = {path for path, node in nodes.items() if domid in strangers(path, node.perms)}
            tops = {p for p in named if domid not in strangers(parent_path(p), nodes[parent_path(p)].perms)}
            assert set(xenstore._mentions.of(domid)) == tops
            assert xenstore.owned(domid) == sum(node.perms[0].domid == domid for node in nodes.values())
            if (act, *words) == ("release", domid):
                below = [node for path, node in nodes.items() if path != "/"]
                assert not any(perm.domid == domid for node in below for perm in node.perms)
    store.close()
