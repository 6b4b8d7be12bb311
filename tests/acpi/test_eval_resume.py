"""Where a method decides that evaluation goes on behind errors (``on_error``), as acpiexec asks ``\\_ERR``.

What fails has no value, and what needs one fails as well: each statement counts as many exceptions as in acpiexec.
"""

import pytest
from acpi.judges import acpiexec, compile_asl

from xlpy.firmware.acpi.eval import Interpreter

PRELUDE = """
Name (CNT, 0)
Name (PKG, Package (3) {1, 2})
Name (INT, 5)
Method (_ERR, 3) { CNT += 1 Return (0) }
Method (NONE) { }
Method (ONE1, 1) { Return (Arg0) }
"""
CASES = [  # a statement; how many exceptions it raises; what INT is behind it
    ("INT = 6", 0, 6),
    ("INT = DerefOf (PKG [2])", 2, 5),
    ("Store (Add (DerefOf (PKG [2]), 1), INT)", 3, 5),
    ("Store (Add (1, Add (2, DerefOf (PKG [2]))), INT)", 4, 5),
    ("INT = 9 / 0", 1, 5),  # iasl makes that Divide (9, 0, , INT)
    ("Store (Divide (9, 0), INT)", 2, 5),
    ("DerefOf (PKG [2])", 1, 5),
    ("INT = ONE1 (DerefOf (PKG [2]))", 3, 5),
    ("ONE1 (9 / 0)", 2, 5),
    ("INT = Buffer (9 / 0) {}", 3, 5),
    ("INT = Local0", 1, 5),
    ("Store (Add (Local0, 1), INT)", 2, 5),
    ("INT = NONE ()", 1, 5),
    ("INT = 9 / 0 INT = 7", 1, 7),
    ("Concatenate (PKG, 1, INT)", 0, 0),
    ("While (INT) { INT = 9 / 0 Break } INT = 8", 1, 8),
]


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    devices = "".join(
        f"Method (T{number:03X}) {{ CNT = 0 INT = 5 {body} Return (Package () {{ CNT, INT }}) }}\n"
        for number, (body, _, _) in enumerate(CASES)
    )
    (table,) = compile_asl(folder, [PRELUDE + devices], signature="DSDT", options=("-of", "-oa", "-f"))
    names = [f"T{number:03X}" for number in range(len(CASES))]
    vm = Interpreter(on_error="\\_ERR")
    vm.load(table)
    return [vm.evaluate(name) for name in names], acpiexec(folder, [table], names)


@pytest.mark.parametrize("number", range(len(CASES)), ids=[body for body, _, _ in CASES])
def test_exceptions_of_a_statement(answers, number):
    ours, theirs = answers
    assert theirs[number] == list(CASES[number][1:])
    assert ours[number] == theirs[number]
