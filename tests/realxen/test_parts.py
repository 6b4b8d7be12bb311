"""The parts of the judge that need no Xen: reading steps, keeping answers, taking out clocks, counting differences."""

from __future__ import annotations

from collections import Counter
from struct import unpack_from

import pytest
from realxen import debian
from realxen.compare import Finding, compare
from realxen.guests import AT, KERNELS
from realxen.normal import RULES, VALUES, Node, output, store
from realxen.recorded import dump, load
from realxen.scene import Answer
from realxen.steps import QUICK, Step, parse

TREE = """/libxl/1/type = "hvm"   (n0)
/local/domain/1/vm = "/vm/a9162e35-1fb5-409b-bbfe-55dbc14e0323"   (n0,r1)
/local/domain/1/store/port = "1"   (n0,r1)
/vm/a9162e35-1fb5-409b-bbfe-55dbc14e0323/name = "h"   (n0,r1)
/vm/1ee88c6b-20e9-406c-ad6d-25fa60d65979/name = "gone"   (n0,r2)
"""


def test_a_step_in_one_line():
    assert parse("""xl create 'x="1"'  # tree; until=-gone ; model: xl create -p""") == Step(
        ("xl", "create", 'x="1"'), ("xl", "create", "-p"), "-gone", True
    )
    assert parse("xl list").model == ("xl", "list")
    assert parse("xl list # model: -").model is None
    with pytest.raises(ValueError, match="what is nonsense"):
        parse("xl list # nonsense")


def test_there_are_enough_steps_on_both_kinds_of_guests():
    assert len(QUICK) >= 60
    for config in ("h.cfg", "g.cfg"):
        assert any(config in step.words for step in QUICK)


def test_the_store_without_what_is_random():
    assert store(TREE) == {
        "/libxl/1/type": Node("hvm", "n0"),
        "/local/domain/1/vm": Node("*", "n0,r1"),
        "/local/domain/1/store/port": Node("*", "n0,r1"),
        "/vm/of-1/name": Node("h", "n0,r1"),
        "/vm/kept-1/name": Node("gone", "n0,r2"),
    }


@pytest.mark.parametrize(
    ("command", "text", "same"),
    [
        ("xl list", "h   1   127     1     -b----       4.4", "h   1   127     1     r-----      66.4"),
        ("xl list -v", "h 1 127 1 --p--- 0.0 a9162e35-1fb5-409b-bbfe-55dbc14e0323 -", None),
        ("xl vcpu-list", "h  1     0    0   ---       4.1  all / all", "h  1     0    0   ---       0.0  all / all"),
        ("xl vcpu-list", "h  1     0    1   r--       4.1  all / all", "h  1     0    0   -b-       0.0  all / all"),
        ("xl uptime", "h                 1  0:00:19", "h                 1  1:02:03"),
        ("xl info", "free_memory            : 2516", "free_memory            : 2966"),
    ],
)
def test_outputs_without_what_is_of_the_moment(command, text, same):
    assert output(command, text) == output(command, same or text.replace("a9162e35", "b9162e35"))


@pytest.mark.parametrize(
    ("command", "text", "other"),
    [
        ("xl list", "h   1   127     1     --p---       4.4", "h   1   127     1     r-----      66.4"),
        ("xl list", "h   1   127     1     r-----       4.4", "h   1   128     1     r-----       4.4"),
        ("xl list", "h   1   127     1     --psc-       4.4", "h   1   127     1     ---sc-       4.4"),
        ("xl vcpu-list", "h  1     0    -   --p       4.1  all / all", "h  1     0    0   ---       4.1  all / all"),
        ("xl info", "nr_cpus                : 2", "nr_cpus                : 4"),
    ],
)
def test_and_nothing_else_is_taken_out(command, text, other):
    assert output(command, text) != output(command, other)


def test_every_rule_has_its_reason():
    assert all(rule.reason for rule in RULES)
    assert all(VALUES.values())


def test_what_is_kept_comes_back():
    steps = [parse("xl list"), parse("xl destroy h # tree"), parse("xl info # tree")]
    answers = [
        Answer(0, "Name\nh\n", ""),
        Answer(1, "no line end", "two\nlines\n", TREE),
        Answer(0, "\n\n", "", "".join(sorted(TREE.splitlines(keepends=True)[1:]))),
    ]
    commands, back = load(dump(steps, answers))
    assert commands == [step.text for step in steps]
    expected = [Answer(a.status, a.out, a.err, "".join(sorted(a.tree.splitlines(keepends=True)))) for a in answers]
    assert back == expected


def test_what_differs_is_found_and_counted():
    step, counts = parse("xl list # tree"), Counter()
    ours = TREE.replace('"hvm"   (n0)', '"pv"   (n0,r1)').replace('/local/domain/1/store/port = "1"   (n0,r1)\n', "")
    found = list(compare(step, Answer(0, "a\nb\n", "", TREE), Answer(0, "a\nc\n", "", ours), counts))
    assert found == [
        Finding("output", "xl list", "b", "c"),
        Finding("node", "/libxl/1/type", "hvm", "pv"),
        Finding("permission", "/libxl/1/type", "n0", "n0,r1"),
        Finding("node", "/local/domain/1/store/port", "*", "absent"),
    ]
    assert counts == {"commands": 1, "lines": 2, "stores": 1, "nodes": 5, "permissions": 4}


def test_a_failure_is_held_against_a_failure():
    step = parse("xl destroy nosuch")
    assert not list(compare(step, Answer(1, "", "xl's words"), Answer(4, "", "error: ours"), Counter()))
    (found,) = compare(step, Answer(1, "", "no\n"), Answer(0, "", ""), Counter())
    assert (found.kind, found.real) == ("status", "1 no")


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_have_the_note_that_a_pvh_guest_is_known_by(name):
    image = KERNELS[name]
    kind, at, _, _, size = unpack_from("<IIIII", image, 52 + 32)
    assert (kind, size) == (4, 20)  # PT_NOTE
    assert unpack_from("<III4sI", image, at) == (4, 4, 18, b"Xen\0", AT)
    kind, at, _, _, size = unpack_from("<IIIII", image, 52)
    assert (kind, at + size) == (1, len(image))


def test_sources_of_another_release(monkeypatch):
    rows = "Debian bookworm http://m/debian/\nDebian bookworm-security http://m/security/\nElse x http://e/\nDebian sid http://m/debian/\n"
    monkeypatch.setattr(debian, "run", lambda *words: rows)
    monkeypatch.setattr(debian, "KEYRING", debian.Path("/nosuch"))
    assert debian.sources("trixie") == [
        "deb http://m/debian/ trixie main\n",
        "deb http://m/security/ trixie-security main\n",
    ]
    monkeypatch.setattr(debian, "run", lambda *words: "Ubuntu noble http://u/\n")
    with pytest.raises(debian.Unavailable, match="no Debian mirror"):
        debian.sources("trixie")
