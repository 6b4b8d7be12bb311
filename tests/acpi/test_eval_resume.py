"""Where a method decides that evaluation goes on behind errors (``on_error``), as acpiexec asks ``\\_ERR``.

What fails has no value, and what needs one fails as well: each statement counts as many exceptions as in acpiexec.
"""

import pytest
from acpi.judges import acpiexec, compile_asl

from xlpy.firmware.acpi.eval import AmlError, Interpreter

PRELUDE = """
Name (CNT, 0)
Name (PKG, Package (3) {1, 2})
Name (INT, 5)
Method (_ERR, 3) { CNT += 1 Return (0) }
Method (NONE) { }
Method (ONE1, 1) { Return (Arg0) }
Method (FAIL) { Return (Index (NONE (), 0)) Return (9) }
Method (UNST) { Return (Local0) Return (9) }
Method (SET, 2) { Arg0 = Arg1 }
Method (OLD1, 1) { Return (Arg0) }
Method (OLD2, 1) { Return (Arg0) }
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
    # Index of a method's nothing, and what else fails below an operator that takes anything
    ("INT = DerefOf (Index (NONE (), 0))", 3, 5),
    ("Index (NONE (), 0, Local0) INT = 7", 1, 7),
    ("INT = ObjectType (Index (NONE (), 0))", 3, 5),
    ("INT = ObjectType (Index (PKG, 9))", 3, 5),
    ("INT = ObjectType (RefOf (Index (NONE (), 0)))", 4, 5),
    ("INT = ObjectType (Local0)", 0, 0),
    # a condition that fails is met; where the If or While itself fails, its body and then its Else are carried out
    ("If (PKG) { INT += 10 } Else { INT += 100 } INT += 1000", 1, 1115),
    ("If (Local0) { INT += 10 } Else { INT += 100 } INT += 1000", 1, 1115),
    ("If (9 / 0) { INT += 10 } Else { INT += 100 } INT += 1000", 1, 1015),
    ("If (0) {} ElseIf (PKG) { INT += 10 } Else { INT += 100 } INT += 1000", 1, 1115),
    ("While (PKG) { INT += 10 If (INT > 40) { Break } } INT += 1000", 1, 1015),
    ("While (9 / 0) { INT += 10 If (INT > 40) { Break } } INT += 1000", 4, 1045),
    ("If (Index (NONE (), 0)) { INT = 8 } Else { INT = 7 }", 1, 8),
    ("If (LNot (9 / 0)) { INT = 8 } Else { INT = 7 }", 2, 8),
    ("If (Local0) { INT = 8 }", 1, 8),
    ("If (ONE1 (NONE ())) { INT = 8 }", 1, 8),
    ("If (PKG) { INT = 8 } Else { INT = 7 }", 1, 7),
    ("If (Index (PKG, 0)) { INT = 8 } Else { INT = 7 }", 1, 7),
    ("While (9 / 0) { INT = 8 Break }", 1, 8),
    # Return ends a method although its operand fails, unless that is no operator
    ("INT = FAIL ()", 2, 5),
    ("INT = UNST ()", 1, 9),
    # statements behind one that replaces a method
    ("CopyObject (5, OLD1) OLD1 = 6 INT = OLD1", 0, 6),
    ("SET (RefOf (OLD2), 6) INT = OLD2 (3) INT = 7", 1, 7),
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


def test_a_condition_without_a_value_ends_the_evaluation(tmp_path):
    """Whoever has called the method it is in."""
    body = "Method (WRAP) { If (NONE ()) { INT = 8 } Return (1) } Method (TEST) { WRAP () INT = 7 Return (INT) }"
    (table,) = compile_asl(tmp_path, [PRELUDE + body], signature="DSDT", options=("-of", "-oa", "-f"))
    vm = Interpreter(on_error="\\_ERR")
    vm.load(table)
    with pytest.raises(AmlError, match="AE_AML_NO_RETURN_VALUE"):
        vm.evaluate("TEST")
    assert acpiexec(tmp_path, [table], ["TEST"]) == ["AE_AML_NO_RETURN_VALUE"]
