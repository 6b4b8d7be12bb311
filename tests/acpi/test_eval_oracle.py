"""The evaluator against acpiexec: snippets of ASL, what they return here, and Intel's verdict, which is the same.

Each snippet is the body of a method in a device of its own, so that what it changes is seen by no other. A result that
is text beginning with ``AE_`` is a failure with that status.
"""

import re
from itertools import starmap

import pytest
from acpi.judges import acpiexec, compile_asl

from xlpy.firmware.acpi.eval import AmlError, Limits, ObjectPath, load

PRELUDE = {  # what snippets may use, by the names that it defines
    "INT": "Name (INT, 0x1234)",
    "STR": 'Name (STR, "text")',
    "BUF": "Name (BUF, Buffer () {1, 2, 3, 4, 5, 6, 7, 8, 9, 10})",
    "PKG": 'Name (PKG, Package () {1, "two", Buffer () {3}, Package () {4, 5}, 0})',
    "DEV": "Device (DEV) { Name (_ADR, 5) }",
    "LNK": "Name (LNK, Package () {INT, STR, BUF, DEV})",
    "ALI": "Alias (INT, ALI)",
    "MTX": "Mutex (MTX, 3)",
    "EVT": "Event (EVT)",
    "INC": "Method (INC, 1) { Return (Arg0 + 1) }",
    "SET": "Method (SET, 2) { Arg0 = Arg1 Return (Arg0) }",
    "PUT": "Method (PUT, 2) { Arg0 [0] = Arg1 }",
    "FACT": "Method (FACT, 1) { If (Arg0 <= 1) { Return (1) } Return (Arg0 * FACT (Arg0 - 1)) }",
    "NONE": "Method (NONE) { Local0 = 1 }",
    "IDX": "Method (IDX) { Return (Index (PKG, 1)) }",
    "RREF": "Method (RREF) { Return (RefOf (INT)) }",
    "TYPE": "Method (TYPE, 1) { Return (ObjectType (Arg0)) }",
    "KEEP": "Method (KEEP, 1) { Local0 = Arg0 Return (1) }",
    "PICK": """Method (PICK, 1, Serialized) { Switch (ToInteger (Arg0)) {
        Case (1) { Return ("one") } Case (Package () {2, 3}) { Return ("few") } Default { Return ("many") } } }""",
    "MEM FA FB FC FD FE FF FG FH FZ JA JB GA GB GC GD GE HA HB HC HD IA IB IC": """
        OperationRegion (MEM, SystemMemory, MEMBASE, 0x100)
        Field (MEM, ByteAcc, NoLock, Preserve) {
            FA, 8, FB, 16, FC, 4, FD, 4, , 3, FE, 9, , 4, FF, 64, FG, 100, FH, 1, , 3, Offset (0x80), FZ, 512 }
        Field (MEM, AnyAcc, NoLock, Preserve) { Offset (0x10), JA, 32, JB, 128 }
        Field (MEM, DWordAcc, NoLock, Preserve) { Offset (0x40), GA, 8, GB, 16, GC, 40, GD, 3, GE, 70 }
        Field (MEM, WordAcc, NoLock, WriteAsOnes) { Offset (0x60), HA, 4, HB, 9, HC, 19, HD, 70 }
        Field (MEM, QWordAcc, NoLock, WriteAsZeros) { Offset (0x70), IA, 4, IB, 60, IC, 17 }""",
    "IX DT BK KA KB KC LA LB": """
        OperationRegion (PORT, SystemIO, IOBASE, 0x10)
        Field (PORT, ByteAcc, NoLock, Preserve) { IX, 8, DT, 8, BK, 8 }
        IndexField (IX, DT, ByteAcc, NoLock, Preserve) { KA, 8, KB, 16, KC, 4 }
        BankField (PORT, BK, 3, ByteAcc, NoLock, Preserve) { Offset (4), LA, 8, LB, 16 }""",
}

CASES = [  # the body of a method, and its result
    # integers
    ("Return (Add (1, 2))", 3),
    ("Return (Add (0xFFFFFFFFFFFFFFFF, 2))", 1),
    ("Return (Subtract (1, 2))", 0xFFFFFFFFFFFFFFFF),
    ("Return (Multiply (0x123456789, 0x987654321))", 0xD77D742CCE1833A9),
    ("Return (Divide (17, 5))", 3),
    ("Divide (17, 5, Local0, Local1) Return (Local0 * 100 + Local1)", 0xCB),
    ("Return (Divide (1, 0))", "AE_AML_DIVIDE_BY_ZERO"),
    ("Return (Mod (17, 5))", 2),
    ("Return (Mod (17, 0))", "AE_AML_DIVIDE_BY_ZERO"),
    ("Return (ShiftLeft (1, 63))", 0x8000000000000000),
    ("Return (ShiftLeft (1, 64))", 0),
    ("Return (ShiftLeft (3, 200))", 0),
    ("Return (ShiftRight (0x8000000000000000, 63))", 1),
    ("Return (ShiftRight (0x8000000000000000, 64))", 0),
    ("Return (And (0xF0F0, 0xFF00))", 0xF000),
    ("Return (NAnd (0xF0F0, 0xFF00))", 0xFFFFFFFFFFFF0FFF),
    ("Return (Or (0xF0F0, 0x0F00))", 0xFFF0),
    ("Return (NOr (0xF0F0, 0x0F00))", 0xFFFFFFFFFFFF000F),
    ("Return (XOr (0xF0F0, 0xFF00))", 0xFF0),
    ("Return (Not (0xF0F0))", 0xFFFFFFFFFFFF0F0F),
    ("Return (FindSetLeftBit (0xF0F0))", 0x10),
    ("Return (FindSetLeftBit (0))", 0),
    ("Return (FindSetRightBit (0xF0F0))", 5),
    ("Return (FindSetRightBit (0))", 0),
    ("Return (FromBCD (0x1234))", 0x4D2),
    ("Return (FromBCD (0x12A4))", "AE_AML_NUMERIC_OVERFLOW"),
    ("Return (ToBCD (1234))", 0x1234),
    ("Return (ToBCD (0xFFFFFFFFFFFFFFFF))", "AE_AML_NUMERIC_OVERFLOW"),
    ("Local0 = 5 Increment (Local0) Return (Local0)", 6),
    ("Local0 = 0 Decrement (Local0) Return (Local0)", 0xFFFFFFFFFFFFFFFF),
    ('Local0 = "12" Increment (Local0) Return (Local0)', 0x13),
    ("INT++ Return (INT)", 0x1235),
    ("Return (Increment (BUF [0]))", "AE_AML_OPERAND_TYPE"),
    ("PKG [0] ++ Return (PKG)", [2, "two", b"\x03", [4, 5], 0]),
    ("Return (Ones)", 0xFFFFFFFFFFFFFFFF),
    ("Return ((5 / 2) * 2 + 5 % 3)", 6),
    # truth
    ("Return (LAnd (2, 1))", 0xFFFFFFFFFFFFFFFF),
    ("Return (LAnd (2, 0))", 0),
    ("Return (LOr (0, 0))", 0),
    ("Return (LOr (0, 7))", 0xFFFFFFFFFFFFFFFF),
    ("Return (LNot (0))", 0xFFFFFFFFFFFFFFFF),
    ("Return (LNot (7))", 0),
    ("Return (LEqual (1, 1))", 0xFFFFFFFFFFFFFFFF),
    ("Return (LGreater (1, 2))", 0),
    ("Return (LLess (1, 2))", 0xFFFFFFFFFFFFFFFF),
    ("Return (LGreaterEqual (2, 2))", 0xFFFFFFFFFFFFFFFF),
    ("Return (LLessEqual (3, 2))", 0),
    ("Return (LNotEqual (3, 2))", 0xFFFFFFFFFFFFFFFF),
    ('Return (LEqual ("abc", "abc"))', 0xFFFFFFFFFFFFFFFF),
    ('Return (LLess ("abc", "abd"))', 0xFFFFFFFFFFFFFFFF),
    ('Return (LLess ("ab", "abc"))', 0xFFFFFFFFFFFFFFFF),
    ('Return (LGreater ("b", "abc"))', 0xFFFFFFFFFFFFFFFF),
    ("Return (LEqual (Buffer () {1,2}, Buffer () {1,2}))", 0xFFFFFFFFFFFFFFFF),
    ("Return (LEqual (Buffer () {1,2}, Buffer () {1,2,0}))", 0),
    ("Return (LLess (Buffer () {1,2}, Buffer () {1,2,0}))", 0xFFFFFFFFFFFFFFFF),
    ('Return (LEqual (0x12, "12"))', 0xFFFFFFFFFFFFFFFF),
    ('Return (LEqual ("12", 0x12))', 0),
    ('Return (LEqual ("0000000000000012", 0x12))', 0xFFFFFFFFFFFFFFFF),
    ("Return (LEqual (0x0201, Buffer () {1,2}))", 0xFFFFFFFFFFFFFFFF),
    ("Return (LEqual (Buffer () {1,2}, 0x0201))", 0),
    ("Return (LEqual (Buffer () {1,2,0,0,0,0,0,0}, 0x0201))", 0xFFFFFFFFFFFFFFFF),
    ('Return (LEqual (Buffer () {0x31,0x32,0}, "12"))', 0xFFFFFFFFFFFFFFFF),
    ('Return (LEqual ("01 02", Buffer () {1,2}))', 0),
    ('Return (LEqual ("0x01 0x02", Buffer () {1,2}))', 0xFFFFFFFFFFFFFFFF),
    ("Return (PKG == 1)", "AE_AML_OPERAND_TYPE"),
    ("Return (LNot (STR))", 0xFFFFFFFFFFFFFFFF),
    # conversions
    ('Return (Add ("12", 1))', 0x13),
    ('Return (Add ("0x12", 1))', 0x13),
    ('Return (Add ("12xyz", 1))', 0x13),
    ('Return (Add ("", 1))', 1),
    ('Return (Add ("  12", 1))', 0x13),
    ('Return (Add ("123456789ABCDEF01", 1))', 0x123456789ABCDEF1),
    ("Return (Add (Buffer () {1,2,3}, 1))", 0x30202),
    ("Return (Add (Buffer () {1,2,3,4,5,6,7,8,9}, 1))", 0x807060504030202),
    ("Return (Add (Buffer () {}, 1))", "AE_AML_BUFFER_LIMIT"),
    ("Return (Add (PKG, 1))", "AE_AML_OPERAND_TYPE"),
    ('Return (ToInteger ("12"))', 0xC),
    ('Return (ToInteger ("0x12"))', 0x12),
    ('Return (ToInteger ("0X12"))', 0x12),
    ('Return (ToInteger ("12xyz"))', 0xC),
    ('Return (ToInteger ("0x12xyz"))', 0x12),
    ('Return (ToInteger ("xyz"))', 0),
    ('Return (ToInteger (""))', 0),
    ('Return (ToInteger (" 12"))', 0xC),
    ('Return (ToInteger ("012"))', 0xC),
    ('Return (ToInteger ("-5"))', 0),
    ('Return (ToInteger ("99999999999999999999999"))', 0x8AC7230489E7FFFF),
    ('Return (ToInteger ("0x12345678901234567"))', 0x1234567890123456),
    ("Return (ToInteger (Buffer () {1,2,3}))", 0x30201),
    ("Return (ToInteger (Buffer () {}))", "AE_AML_BUFFER_LIMIT"),
    ("Return (ToInteger (5))", 5),
    ("Return (ToHexString (Buffer () {1,2,0xAB}))", "0x01,0x02,0xAB"),
    ('Return (ToHexString ("abc"))', "abc"),
    ("Return (ToHexString (Buffer () {}))", ""),
    ("Return (ToDecimalString (1234))", "1234"),
    ("Return (ToDecimalString (0))", "0"),
    ("Return (ToDecimalString (Ones))", "18446744073709551615"),
    ("Return (ToDecimalString (Buffer () {1,20,255}))", "1,20,255"),
    ('Return (ToDecimalString ("abc"))', "abc"),
    ("Return (ToBuffer (0x1234))", b"4\x12\x00\x00\x00\x00\x00\x00"),
    ('Return (ToBuffer ("abc"))', b"abc\x00"),
    ('Return (ToBuffer (""))', b"\x00"),
    ("Return (ToBuffer (Buffer () {1,2}))", b"\x01\x02"),
    ("Return (ToBuffer (PKG))", "AE_AML_OPERAND_TYPE"),
    ("Return (ToString (Buffer () {0x41,0x42,0,0x43}, Ones))", "AB"),
    ("Return (ToString (Buffer () {0x41,0x42,0x43}, 2))", "AB"),
    ("Return (ToString (Buffer () {0x41,0x42,0x43}, Ones))", "ABC"),
    ("Return (ToString (Buffer () {0}, Ones))", ""),
    ("Return (ToString (0x414243, Ones))", "CBA"),
    ('If ("0") { Return (1) } Return (2)', 2),
    ('If ("1") { Return (1) } Return (2)', 1),
    ("If (Buffer () {0, 1}) { Return (1) } Return (2)", 1),
    ('Return (1 << "3")', 8),
    ("If (DEV) { Return (1) } Return (2)", "AE_TYPE"),
    ("Return (LOr (RefOf (INT), Buffer (0) {}))", "AE_AML_BUFFER_LIMIT"),
    ("Return (Add (NONE (), PKG))", "AE_AML_NO_RETURN_VALUE"),
    # strings and buffers
    ("Return (Concatenate (1, 2))", b"\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00"),
    ('Return (Concatenate ("a", "b"))', "ab"),
    ('Return (Concatenate ("a", 0x12))', "a0000000000000012"),
    ('Return (Concatenate (0x12, "34"))', b"\x12\x00\x00\x00\x00\x00\x00\x004\x00\x00\x00\x00\x00\x00\x00"),
    ("Return (Concatenate (Buffer () {1}, Buffer () {2,3}))", b"\x01\x02\x03"),
    ("Return (Concatenate (Buffer () {1}, 2))", b"\x01\x02\x00\x00\x00\x00\x00\x00\x00"),
    ('Return (Concatenate (Buffer () {1}, "ab"))', b"\x01ab\x00"),
    ('Return (Concatenate ("ab", Buffer () {1,2}))', "ab0x01 0x02"),
    ("Return (Concatenate (1, Buffer () {1,2}))", b"\x01\x00\x00\x00\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x00\x00"),
    ('Return (Concatenate ("x", DEV))', "x[Device Object]"),
    ('Return (Concatenate (DEV, "x"))', "[Device Object]x"),
    ('Return (Concatenate ("x", PKG))', "x[Package Object]"),
    ("Return (Concatenate (MTX, EVT))", "[Mutex Object][Event Object]"),
    ("Return (Concatenate (BUF, DEV))", b"\x01\x02\x03\x04\x05\x06\x07\x08\t\n[Device Object]\x00"),
    ('Return (Concatenate (Concatenate ("a", 1), Concatenate ("b", "c")))', "a0000000000000001bc"),
    ('Return (Mid ("abcdef", 1, 3))', "bcd"),
    ('Return (Mid ("abcdef", 4, 30))', "ef"),
    ('Return (Mid ("abcdef", 9, 3))', ""),
    ("Return (Mid (Buffer () {1,2,3,4}, 1, 2))", b"\x02\x03"),
    ("Return (Mid (Buffer () {1,2,3,4}, 9, 2))", b""),
    ("Return (Mid (0x1234, 1, 2))", b"\x12\x00"),
    ("Return (Mid (PKG, 0, 1))", "AE_AML_OPERAND_TYPE"),
    ('Return (Mid (BUF, "1", "2"))', b"\x02\x03"),
    ("Return (SizeOf (STR))", 4),
    ("Return (SizeOf (BUF))", 0xA),
    ("Return (SizeOf (PKG))", 5),
    ("Return (SizeOf (INT))", 8),
    ("Return (SizeOf (FZ))", "AE_AML_OPERAND_TYPE"),
    ("Return (Buffer (4) {1})", b"\x01\x00\x00\x00"),
    ("Return (Buffer (INT) {1} == BUF)", 0),
    ("Local0 = 5 Return (Buffer (Local0) {1, 2})", b"\x01\x02\x00\x00\x00"),
    ("Return (Buffer (0) {})", b""),
    ("Return (Buffer (0) {} == Buffer (0) {})", 0xFFFFFFFFFFFFFFFF),
    ('Return (LLess ("", "a"))', 0xFFFFFFFFFFFFFFFF),
    (
        "Return (ConcatenateResTemplate (ResourceTemplate () { IRQNoFlags () {1} }, "
        "ResourceTemplate () { IRQNoFlags () {2} }))",
        b'"\x02\x00"\x04\x00y\x00',
    ),
    (
        "Return (ConcatenateResTemplate (ResourceTemplate () {}, ResourceTemplate () { IRQNoFlags () {2} }))",
        b'"\x04\x00y\x00',
    ),
    (
        "Return (ConcatenateResTemplate (Buffer () {1, 2}, ResourceTemplate () { IRQNoFlags () {2} }))",
        "AE_AML_INVALID_RESOURCE_TYPE",
    ),
    # fields made by CreateField are Buffers
    ("CreateField (BUF, 0, 8, CF) Return (CF)", b"\x01"),
    ("CreateField (BUF, 0, 64, CF) Return (CF)", b"\x01\x02\x03\x04\x05\x06\x07\x08"),
    ("CreateField (BUF, 0, 8, CF) Return (CF == 1)", 0),
    ("CreateField (BUF, 0, 8, CF) Return (1 == CF)", 0xFFFFFFFFFFFFFFFF),
    ("CreateField (BUF, 4, 8, CF) Return (Concatenate (Buffer (0) {}, CF))", b"\x20"),
    ('CreateField (BUF, 0, 8, CF) Return (Concatenate ("", CF))', "0x01"),
    ("CreateField (BUF, 0, 32, CF) Return (DerefOf (CF [1]))", 2),
    ("CreateField (BUF, 0, 32, CF) Return (SizeOf (CF))", "AE_AML_OPERAND_TYPE"),
    ("CreateField (BUF, 0, 32, CF) Local0 = CF Return (SizeOf (Local0))", 4),
    ("CreateField (BUF, 0, 16, CF) INT = CF Return (INT)", 0x201),
    ("CreateField (BUF, 0, 16, CF) STR = CF Return (STR)", "0x01 0x02"),
    ("CreateField (BUF, 0, 12, CF) CF = 0xFFF Return (CF)", b"\xff\x0f"),
    ("CreateField (BUF, 0, 16, CF) Return (CF + 1)", 0x202),
    ("CreateField (BUF, 0, 16, CF) Return (ToHexString (CF))", "0x01,0x02"),
    ("CreateQWordField (BUF, 0, CF) Return (CF)", 0x807060504030201),
    # object types
    ("Return (ObjectType (INT))", 1),
    ("Return (ObjectType (STR))", 2),
    ("Return (ObjectType (BUF))", 3),
    ("Return (ObjectType (PKG))", 4),
    ("Return (ObjectType (FA))", 5),
    ("Return (ObjectType (DEV))", 6),
    ("Return (ObjectType (EVT))", 7),
    ("Return (ObjectType (INC))", 8),
    ("Return (ObjectType (MTX))", 9),
    ("Return (ObjectType (MEM))", 0xA),
    ("Return (ObjectType (Debug))", 0x10),
    (r"Return (ObjectType (\_SB))", 6),
    ("CreateByteField (BUF, 1, CB) Return (ObjectType (CB))", 0xE),
    ("Local0 = RefOf (STR) Return (ObjectType (Local0))", 2),
    ("Return (ObjectType (Index (BUF, 1)))", 0xE),
    ("Return (ObjectType (Index (PKG, 1)))", 2),
    ("Return (TYPE (DEV))", 6),
    ("Return (TYPE (RefOf (DEV)))", 6),
    # references
    ("Return (Index (PKG, 1))", "two"),
    ("Return (DerefOf (Index (PKG, 1)))", "two"),
    ("Return (DerefOf (Index (PKG, 3)))", [4, 5]),
    ("Return (DerefOf (Index (BUF, 1)))", 2),
    ("Return (DerefOf (Index (STR, 1)))", 0x65),
    ("Return (DerefOf (Index (PKG, 9)))", "AE_AML_PACKAGE_LIMIT"),
    ("Return (DerefOf (Index (BUF, 99)))", "AE_AML_BUFFER_LIMIT"),
    ("Return (DerefOf (Index (STR, 99)))", "AE_AML_STRING_LIMIT"),
    ("Return (Add (DerefOf (Index (BUF, 1)), 1))", 3),
    ("Return (Add (Index (PKG, 0), 1))", 2),
    ("Return (Add (Index (BUF, 0), 1))", "AE_AML_OPERAND_TYPE"),
    ("Local0 = Index (PKG, 0) Return (Add (Local0, 1))", "AE_AML_OPERAND_TYPE"),
    ("Local0 = RefOf (INT) Return (Add (Local0, 1))", "AE_AML_OPERAND_TYPE"),
    ("Local0 = RefOf (INT) Return (Add (DerefOf (Local0), 1))", 0x1235),
    ("Local0 = RefOf (INT) Local0 = 7 Return (INT)", 0x1234),
    ("Local0 = RefOf (INT) DerefOf (Local0) = 99 Return (INT)", "AE_AML_OPERAND_TYPE"),
    ("Local0 = Index (PKG, 0) DerefOf (Local0) = 99 Return (DerefOf (PKG [0]))", "AE_AML_OPERAND_TYPE"),
    ("Return (RefOf (PKG [0]))", "AE_AML_OPERAND_TYPE"),
    ("Return (CondRefOf (PKG [0]))", "AE_AML_OPERAND_TYPE"),
    ('Method (MM, 1) { Arg0 = "abc" } MM (RefOf (INT)) Return (INT)', "abc"),
    ('Method (MM, 1) { Arg0 = "abc" } MM (RefOf (PKG)) Return (PKG)', "AE_AML_TARGET_TYPE"),
    ("Local0 = Package () {INT} INT = 9 Return (Local0)", [9]),
    ("Name (PPP, Package () {1, 2}) Local0 = PPP Local0 [0] = 7 Return (PPP)", [1, 2]),
    ("Method (MM, 1) { RefOf (Arg0) = 7 Return (Arg0) } Local0 = MM (RefOf (INT)) Return (INT)", 0x1234),
    ("Method (MM) { Return (Package () {INT}) } Local0 = MM () INT = 9 Return (Local0)", [9]),
    ("Local0 = Package () {INT} Local1 = Local0 INT = 9 Return (Local1)", [0x1234]),
    ("Local1 = 7 Local0 = RefOf (Local1) Local1 = 8 Return (DerefOf (Local0))", 8),
    ("Local1 = 7 Local0 = RefOf (Local1) Return (Local0 + 1)", "AE_AML_OPERAND_TYPE"),
    ("Local1 = 7 Local0 = RefOf (Local1) Local0 = 9 Return (Local1)", 7),
    ("Local0 = RefOf (BUF) Return (SizeOf (Local0))", 0xA),
    ("Local0 = RefOf (BUF) Return (DerefOf (Index (DerefOf (Local0), 1)))", 2),
    ("Local0 = RefOf (INT) Local1 = Local0 Return (DerefOf (Local1))", 0x1234),
    ("Return (RefOf (INT))", 0x1234),
    ("Return (DerefOf (INT))", "AE_AML_OPERAND_TYPE"),
    ("Return (DerefOf (RefOf (PKG)))", [1, "two", b"\x03", [4, 5], 0]),
    ("Return (SizeOf (DerefOf (RefOf (PKG))))", 5),
    ("Index (PKG, 0, Local0) Return (DerefOf (Local0))", 1),
    ("Return (CondRefOf (INT, Local0))", 0xFFFFFFFFFFFFFFFF),
    ("Return (CondRefOf (INT))", 0xFFFFFFFFFFFFFFFF),
    ("CondRefOf (INT, Local0) Return (DerefOf (Local0))", 0x1234),
    ("Return (CondRefOf (Local0, Local1))", 0xFFFFFFFFFFFFFFFF),
    ("Local0 = 1 Return (CondRefOf (Local0, Local1))", 0xFFFFFFFFFFFFFFFF),
    ("Return (IDX ())", "two"),
    ("Return (DerefOf (IDX ()))", "two"),
    ("Local0 = IDX () Return (Local0)", "two"),
    ("Return (RREF ())", 0x1234),
    ("Return (DerefOf (RREF ()))", 0x1234),
    ("Return (RREF () + 1)", "AE_AML_OPERAND_TYPE"),
    ("Return (INT)", 0x1234),
    ("Return (ALI)", 0x1234),
    ("Return (^INT)", 0x1234),
    ("Return (DEV._ADR)", "AE_NOT_FOUND"),
    ("DEV._ADR = 9 Return (DEV._ADR)", "AE_NOT_FOUND"),
    ("Local0 = DEV Return (1)", "AE_AML_OPERAND_TYPE"),
    ("Return (KEEP (DEV))", "AE_AML_OPERAND_TYPE"),
    ("Return (KEEP (RefOf (DEV)))", 1),
    ("CopyObject (DEV, Local0) Return (1)", 1),
    ("CopyObject (5, DEV) Return (DEV)", 5),
    ("CopyObject (5, MTX) Return (MTX)", 5),
    ('CopyObject ("x", EVT) Return (EVT)', "x"),
    ("CopyObject (PKG, MEM) Return (MEM)", [1, "two", b"\x03", [4, 5], 0]),
    ("CopyObject (MTX, INT) Return (ObjectType (INT))", 9),
    ("CopyObject (MTX, Local0) Return (ObjectType (Local0))", 9),
    ("CopyObject (MEM, STR) Return (ObjectType (STR))", 0xA),
    ("CopyObject (EVT, PKG) Signal (PKG) Return (Wait (PKG, 0))", 0),
    ("CopyObject (DEV, BUF) Return (ObjectType (BUF))", 6),
    ("CopyObject (5, INC) Return (ObjectType (INC))", 1),
    # stores
    ("INT = 5 Return (INT)", 5),
    ('INT = "12" Return (INT)', 0x12),
    ("INT = Buffer () {1,2} Return (INT)", 0x201),
    ("INT = PKG Return (INT)", "AE_AML_OPERAND_TYPE"),
    ("INT = DEV Return (INT)", "AE_AML_OPERAND_TYPE"),
    ("STR = 5 Return (STR)", "0000000000000005"),
    ('STR = "much longer than it was" Return (STR)', "much longer than it was"),
    ('STR = "x" Return (STR)', "x"),
    ("STR = Buffer () {0x41, 0x42} Return (STR)", "0x41 0x42"),
    ("BUF = 5 Return (BUF)", b"\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
    ("BUF = Buffer () {1,2} Return (BUF)", b"\x01\x02\x00\x00\x00\x00\x00\x00\x00\x00"),
    ("BUF = Buffer () {9,8,7,6,5,4,3,2,1,0,9,8} Return (BUF)", b"\t\x08\x07\x06\x05\x04\x03\x02\x01\x00"),
    ('BUF = "AB" Return (BUF)', b"AB\x00\x00\x00\x00\x00\x00\x00\x00"),
    ('BUF = "ABCDEFGHIJKL" Return (BUF)', b"ABCDEFGHIJ"),
    ("PKG = 5 Return (PKG)", "AE_AML_TARGET_TYPE"),
    ("PKG = Package () {7,8,9} Return (PKG)", [7, 8, 9]),
    ('PKG = "x" Return (PKG)', "AE_AML_TARGET_TYPE"),
    ("ALI = 0x77 Return (INT)", 0x77),
    ('CopyObject ("str", INT) Return (INT)', "str"),
    ("CopyObject (5, STR) Return (STR)", 5),
    ("CopyObject (PKG, BUF) Return (BUF)", [1, "two", b"\x03", [4, 5], 0]),
    ("CopyObject (PKG, INT) PKG [0] = 77 Return (INT)", [1, "two", b"\x03", [4, 5], 0]),
    ('Local0 = 5 Local0 = "abc" Return (Local0)', "abc"),
    ("Local0 = BUF Local0 [0] = 0xEE Return (BUF)", b"\x01\x02\x03\x04\x05\x06\x07\x08\t\n"),
    ("Local0 = BUF Local0 [0] = 0xEE Return (Local0)", b"\xee\x02\x03\x04\x05\x06\x07\x08\t\n"),
    ("Local0 = PKG Local0 [0] = 0xEE Return (PKG)", [1, "two", b"\x03", [4, 5], 0]),
    ('Local0 = "abc" Local0 [0] = 0x141 Return (Local0)', "Abc"),
    ("Store (5, Local0) Store (Local0, Local1) Local0++ Return (Local1)", 5),
    ("Return (Store (5, Local0))", 5),
    ('Return (Local0 = "abc")', "abc"),
    ('Return (INT = "12")', "12"),
    ("BUF [1] = 0x1FF Return (BUF)", b"\x01\xff\x03\x04\x05\x06\x07\x08\t\n"),
    ('BUF [1] = "AB" Return (BUF)', b"\x01A\x03\x04\x05\x06\x07\x08\t\n"),
    ("BUF [1] = Buffer () {0x77, 0x66} Return (BUF)", b"\x01w\x03\x04\x05\x06\x07\x08\t\n"),
    ("STR [1] = 0x58 Return (STR)", "tXxt"),
    ('PKG [4] = "new" Return (PKG)', [1, "two", b"\x03", [4, 5], "new"]),
    ("PKG [4] = Package () {1, 2} Return (PKG)", [1, "two", b"\x03", [4, 5], [1, 2]]),
    ("PKG [4] = BUF BUF [0] = 0x33 Return (PKG)", [1, "two", b"\x03", [4, 5], b"\x01\x02\x03\x04\x05\x06\x07\x08\t\n"]),
    ("PKG [4] = RefOf (INT) Return (DerefOf (DerefOf (PKG [4])))", 0x1234),
    ("Return (DerefOf (PKG [0] = 5))", "AE_AML_OPERAND_TYPE"),
    ("Return (Add (1, 2, INT) + INT)", 6),
    ("Return (Add (1, 2, STR))", 3),
    ("Add (1, 2, STR) Return (STR)", "0000000000000003"),
    ("Add (1, 2, BUF [0]) Return (BUF)", b"\x03\x02\x03\x04\x05\x06\x07\x08\t\n"),
    ("Add (1, 2, PKG [0]) Return (PKG)", [3, "two", b"\x03", [4, 5], 0]),
    ('Concatenate ("a", "b", STR) Return (STR)', "ab"),
    ('Concatenate ("a", "b", INT) Return (INT)', 0xAB),
    ('Concatenate (STR, "defghi", STR) Return (STR)', "textdefghi"),
    ("Concatenate (BUF, Buffer () {1,2,3,4}, BUF) Return (BUF)", b"\x01\x02\x03\x04\x05\x06\x07\x08\t\n"),
    ("Mid (BUF, 0, 3, BUF) Return (BUF)", b"\x01\x02\x03\x00\x00\x00\x00\x00\x00\x00"),
    ("Divide (7, 2, BUF, Local0) Return (BUF)", b"\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
    ("ToInteger (Buffer () {0x41}, STR) Return (STR)", 0x41),
    ("ToBuffer (77, INT) Return (INT)", b"M\x00\x00\x00\x00\x00\x00\x00"),
    ("ToString (Buffer () {0x41}, Ones, INT) Return (INT)", "A"),
    ("ToBCD (5, STR) Return (STR)", 5),
    ("FindSetLeftBit (5, STR) Return (STR)", "0000000000000003"),
    ('ToBuffer ("abc", BUF) Return (BUF)', b"abc\x00\x00\x00\x00\x00\x00\x00"),
    ('ToBuffer ("abc", PKG) Return (PKG)', "AE_AML_TARGET_TYPE"),
    ('ToBuffer ("abc", BUF [0]) Return (BUF)', b"a\x02\x03\x04\x05\x06\x07\x08\t\n"),
    ('ToBuffer ("abc", PKG [0]) Return (PKG)', [b"abc\x00", "two", b"\x03", [4, 5], 0]),
    # packages
    ("Return (PKG)", [1, "two", b"\x03", [4, 5], 0]),
    ("Return (Package (3) {1, INT})", [1, 0x1234, None]),
    ("Return (Package () {})", []),
    ("Local0 = 3 Return (Package (Local0) {1, 2})", [1, 2, None]),
    ("Local0 = 1 Return (Package (Local0) {1, 2})", [1]),
    ("Name (PPP, Package () {INT}) INT = 10 Return (PPP)", [0xA]),
    ("Name (PPP, Package () {INT}) INT = 11 Return (DerefOf (PPP [0]))", 0xB),
    ("Name (PPP, Package () {BUF}) DerefOf (PPP [0]) [0] = 0x77 Return (BUF)", b"w\x02\x03\x04\x05\x06\x07\x08\t\n"),
    (
        "Name (PPP, Package () {BUF}) Local0 = DerefOf (PPP [0]) Local0 [0] = 0x78 Return (BUF)",
        b"\x01\x02\x03\x04\x05\x06\x07\x08\t\n",
    ),
    ("Name (PPP, Package () {FA}) FA = 9 Return (DerefOf (PPP [0]))", 0),
    ("Name (PPP, Package (3) {1}) Return (DerefOf (PPP [1]))", "AE_AML_UNINITIALIZED_ELEMENT"),
    ("Name (PPP, Package (3) {1}) Return (ObjectType (PPP [1]))", 0),
    ("Name (PPP, Package (3) {DEV}) Return (ObjectType (PPP [0]))", 6),
    ('Name (PPP, Package (3) {"a"}) PPP [0] [0] = 0x62 Return (PPP)', ["b", None, None]),
    ("Name (PPP, Package (3) {Package () {1}}) PPP [0] [0] = 0x62 Return (PPP)", [[0x62], None, None]),
    ("Local0 = Package () {INT, STR, BUF} Local0 [0] = 5 Return (INT)", 0x1234),
    ("Local0 = Package () {DEV} Return (ObjectType (DerefOf (Local0 [0])))", 6),
    (
        "Local0 = Package () {1, Package () {2, Package () {3}}} Return (DerefOf "
        "(DerefOf (DerefOf (Local0 [1]) [1]) [0]))",
        3,
    ),
    ("INT = 13 Return (DerefOf (LNK [0]))", 0xD),
    ('STR = "abc" Return (DerefOf (LNK [1]))', "abc"),
    ("LNK [0] = 99 Return (INT)", 0x1234),
    ("Return (ObjectType (LNK [0]))", 1),
    ("Return (ObjectType (LNK [3]))", 6),
    ("Return (SizeOf (LNK [1]))", 4),
    ("Local0 = LNK BUF [0] = 14 Return (DerefOf (Local0 [2]))", b"\x01\x02\x03\x04\x05\x06\x07\x08\t\n"),
    ("Return (Match (Package () {1, 5, 9, 13}, MEQ, 9, MTR, 0, 0))", 2),
    ("Return (Match (Package () {1, 5, 9, 13}, MGE, 5, MLT, 13, 2))", 2),
    ("Return (Match (Package () {1, 5, 9, 13}, MGT, 5, MLE, 13, 0))", 2),
    ("Return (Match (Package () {1, 5, 9, 13}, MEQ, 2, MTR, 0, 0))", 0xFFFFFFFFFFFFFFFF),
    ('Return (Match (Package () {"a", 5, "9", 13}, MEQ, 9, MTR, 0, 0))', 2),
    ('Return (Match (Package () {"a", 5, "b", 13}, MEQ, "b", MTR, 0, 0))', 2),
    ("Return (Match (Package () {1, 5}, MEQ, 5, MTR, 0, 3))", "AE_AML_PACKAGE_LIMIT"),
    # methods
    ("Return (INC (5))", 6),
    ("Return (INC (INC (INC (5))))", 8),
    ('Return (INC ("5"))', 6),
    ("Return (INC (INT))", 0x1235),
    ("Return (INC (PKG [0]))", "AE_AML_OPERAND_TYPE"),
    ("Return (INC (DEV))", "AE_AML_OPERAND_TYPE"),
    ("Return (INC (NONE ()))", "AE_AML_NO_RETURN_VALUE"),
    ("Local0 = 5 SET (Local0, 6) Return (Local0)", 5),
    ("INT = 5 SET (INT, 6) Return (INT)", 5),
    ("INT = 5 SET (RefOf (INT), 6) Return (INT)", 6),
    ("Local0 = 5 SET (RefOf (Local0), 6) Return (Local0)", 6),
    ("PUT (BUF, 0x44) Return (BUF)", b"D\x02\x03\x04\x05\x06\x07\x08\t\n"),
    ("PUT (PKG, 0x44) Return (PKG)", [0x44, "two", b"\x03", [4, 5], 0]),
    ("PUT (RefOf (BUF), 0x55) Return (BUF)", "AE_AML_OPERAND_TYPE"),
    ("Local0 = Buffer () {1,2} PUT (Local0, 0x44) Return (Local0)", b"D\x02"),
    ('Local0 = Package () {1, 2} PUT (Local0, "z") Return (Local0)', ["z", 2]),
    ("Return (FACT (5))", 0x78),
    ("Return (FACT (20))", 0x21C3677C82B40000),
    ("Return (FACT (100))", 0),
    ("Return (FACT (400))", "AE_AML_METHOD_LIMIT"),
    ("Local0 = NONE () Return (Local0)", "AE_AML_NO_RETURN_VALUE"),
    ("Return (NONE ())", None),
    ("Name (LOCN, 5) LOCN++ Return (LOCN)", 6),
    # control flow
    ("Return (PICK (1))", "one"),
    ("Return (PICK (2))", "few"),
    ("Return (PICK (3))", "few"),
    ("Return (PICK (4))", "many"),
    ("If (0) { Return (1) } ElseIf (1) { Return (2) } Else { Return (3) }", 2),
    ("If (0) { Return (1) } ElseIf (0) { Return (2) } Else { Return (3) }", 3),
    ("Local0 = 0 While (Local0 < 10) { Local0++ If (Local0 == 7) { Break } } Return (Local0)", 7),
    (
        "Local0 = 0 Local1 = 0 While (Local0 < 10) { Local0++ If (Local0 & 1) { Continue "
        "} Local1 += Local0 } Return (Local1)",
        0x1E,
    ),
    (
        "Local0 = 0 While (Local0 < 3) { Local1 = 0 While (1) { If (Local1 == 5) { Break "
        "} Local1++ } Local0++ } Return (Local0 * Local1)",
        0xF,
    ),
    ('While ("0") { Return (1) } Return (2)', 2),
    ("Noop Return (1)", 1),
    # fields
    ("FA = 0x5A Return (FA)", 0x5A),
    ("FB = 0x1234 Return (FB)", 0x1234),
    ("FC = 0xFF Return (Package () {FC, FD})", [0xF, 0]),
    ("FC = 5 FD = 0xA Return (FC | (FD << 4))", 0xA5),
    ("FE = 0x1FF Return (FE)", 0x1FF),
    ("FF = 0x123456789ABCDEF0 Return (FF)", 0x123456789ABCDEF0),
    ("FG = Buffer () {1,2,3,4,5,6,7,8,9,10,11,12,13} Return (FG)", b"\x01\x02\x03\x04\x05\x06\x07\x08\t\n\x0b\x0c\r"),
    ("FG = Ones Return (FG)", b"\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00"),
    ('FG = "hello" Return (FG)', b"hello\x00\x00\x00\x00\x00\x00\x00\x00"),
    ("FH = 1 Return (FH)", 1),
    (
        'FZ = "string" Return (FZ)',
        b"string\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    ),
    (
        "FZ = 0x11223344 Return (FZ)",
        b'D3"\x11\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00',
    ),
    ("FF = Ones FE = 0x155 Return (Package () {FC, FD, FE, FF})", [0, 0, 0x155, 0xFFFFFFFFFFFFFFFF]),
    (
        "GA = 0x11 GB = 0x2222 GC = 0x1234567890 GD = 5 Return (Package () {GA, GB, GC, GD})",
        [0x11, 0x2222, 0x1234567890, 5],
    ),
    (
        "GE = Buffer () {1,2,3,4,5,6,7,8,0xFF} Return (Package () {GC, GD, GE})",
        [0, 0, b"\x01\x02\x03\x04\x05\x06\x07\x08?"],
    ),
    ("HA = 1 HB = 2 HC = 3 Return (Package () {HA, HB, HC})", [0xF, 0x1FF, 3]),
    ("HA = 1 Return (Package () {HA, HB, HC})", [1, 0x1FF, 7]),
    ("HD = Buffer () {1,2,3,4,5,6,7,8,0xFF} Return (HD)", b"\x01\x02\x03\x04\x05\x06\x07\x08?"),
    ("IA = 3 Return (Package () {IA, IB})", [3, 0]),
    ("IB = 0x123456789AB Return (Package () {IA, IB})", [0, 0x123456789AB]),
    ("IC = 0x1FFFF Return (IC)", 0x1FFFF),
    ("JA = 0x11223344 Return (JA)", 0x11223344),
    ("JB = Buffer () {1,2,3} Return (JB)", b"\x01\x02\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
    ("KA = 0x11 Return (Package () {IX, DT})", [0, 0x11]),
    ("KB = 0x2233 Return (Package () {IX, DT})", [2, 0x22]),
    ("KC = 5 Return (Package () {IX, DT})", [3, 5]),
    ("LA = 0x11 Return (Package () {BK, LA})", [3, 0x11]),
    ("LB = 0x2233 Return (Package () {BK, LB})", [3, 0x2233]),
    ("FA = PKG Return (FA)", "AE_AML_OPERAND_TYPE"),
    ("Return (FZ == Buffer (64) {0})", 0xFFFFFFFFFFFFFFFF),
    ("Local0 = FZ Local0 [0] = 5 Return (SizeOf (Local0))", 0x40),
    ("FA = 5 Local0 = Package () {FA} FA = 6 Return (Local0)", [5]),
    # buffer fields
    ("CreateBitField (BUF, 3, CF) CF = 1 Return (BUF)", b"\t\x02\x03\x04\x05\x06\x07\x08\t\n"),
    ("CreateByteField (BUF, 1, CF) CF = 0xFFFF Return (BUF)", b"\x01\xff\x03\x04\x05\x06\x07\x08\t\n"),
    ("CreateWordField (BUF, 1, CF) Return (CF)", 0x302),
    ("CreateDWordField (BUF, 2, CF) CF = 0xAABBCCDD Return (BUF)", b"\x01\x02\xdd\xcc\xbb\xaa\x07\x08\t\n"),
    ("CreateQWordField (BUF, 1, CF) Return (CF)", 0x908070605040302),
    ("CreateField (BUF, 3, 11, CF) CF = 0x2AA Return (BUF)", b"Q\x15\x03\x04\x05\x06\x07\x08\t\n"),
    ("CreateField (BUF, 3, 70, CF) Return (CF)", b"@`\x80\xa0\xc0\xe0\x00!\x01"),
    ("CreateField (BUF, 8, 72, CF) Return (CF)", b"\x02\x03\x04\x05\x06\x07\x08\t\n"),
    ("CreateField (BUF, 3, 11, CF) CF = Buffer () {0xFF,0xFF,0xFF} Return (BUF)", b"\xf9?\x03\x04\x05\x06\x07\x08\t\n"),
    ("CreateField (BUF, 3, 0, CF) Return (CF)", "AE_AML_OPERAND_VALUE"),
    ("CreateField (BUF, 3, 100, CF) Return (CF)", "AE_AML_BUFFER_LIMIT"),
    ("CreateDWordField (BUF, 7, CF) Return (CF)", "AE_AML_BUFFER_LIMIT"),
    ("CreateDWordField (BUF, 6, CF) Return (CF)", 0xA090807),
    (
        "Local0 = Buffer () {1,2,3,4,5} CreateWordField (Local0, 1, CF) CF = 0xBEEF Return (Local0)",
        b"\x01\xef\xbe\x04\x05",
    ),
    ("Local0 = Buffer () {1,2,3,4,5} CreateWordField (Local0, 1, CF) Local0 = 0 Return (CF)", 0x302),
    ("CreateWordField (BUF, 1, CF) BUF = Buffer () {5,6,7,8} Return (CF)", 0x706),
    ("CreateByteField (FZ, 1, CF) CF = 5 Return (FZ == Buffer (64) {0})", 0xFFFFFFFFFFFFFFFF),
    ("CreateByteField (STR, 1, CF) Return (CF)", 0x65),
    ("CreateByteField (Buffer () {1,2}, 1, CF) Return (CF)", 2),
    ("CreateByteField (INT, 1, CF) Return (CF)", 0x12),
    ("CreateByteField (PKG, 1, CF) Return (CF)", "AE_AML_OPERAND_TYPE"),
    ("Name (PPP, Buffer () {1,2}) CreateByteField (PPP, 0, CF) PPP [0] = 7 Return (CF)", 7),
    # synchronisation
    ("Acquire (MTX, 100) Release (MTX) Return (1)", 1),
    ("Return (Acquire (MTX, 0xFFFF))", 0),
    ("Acquire (MTX, 0xFFFF) Acquire (MTX, 0xFFFF) Release (MTX) Release (MTX) Return (2)", 2),
    ("Release (MTX) Return (1)", "AE_AML_MUTEX_NOT_ACQUIRED"),
    ("Signal (EVT) Return (Wait (EVT, 10))", 0),
    ("Return (Wait (EVT, 10))", 0xFFFFFFFFFFFFFFFF),
    ("Signal (EVT) Reset (EVT) Return (Wait (EVT, 10))", 0xFFFFFFFFFFFFFFFF),
    ("Notify (DEV, 0x80) Return (1)", 1),
    ("Local0 = RefOf (DEV) Notify (Local0, 1) Return (1)", "AE_AML_OPERAND_TYPE"),
    ("Fatal (1, 2, 3) Return (1)", 1),
    ('Debug = "x" Debug = INT Debug = PKG Return (1)', 1),
    # constants: Zero, One and Ones keep their values where they are stored to through DerefOf, however they got there
    ("Name (LOC, One) DerefOf (RefOf (LOC)) = 3 Return (LOC)", 1),
    ("Name (LOC, One) LOC = 7 DerefOf (RefOf (LOC)) = 3 Return (LOC)", 7),
    ("Name (LOC, 0x55) DerefOf (RefOf (LOC)) = 3 Return (LOC)", "AE_AML_OPERAND_TYPE"),
    ("INT = One DerefOf (RefOf (INT)) = 3 Return (INT)", "AE_AML_OPERAND_TYPE"),
    ("CopyObject (One, INT) DerefOf (RefOf (INT)) = 3 Return (INT)", 1),
    ("Local0 = Ones DerefOf (RefOf (Local0)) = 3 Return (Local0)", 0xFFFFFFFFFFFFFFFF),
    ("Local0 = One + 0x10 DerefOf (RefOf (Local0)) = 3 Return (Local0)", "AE_AML_OPERAND_TYPE"),
    ("Local0 = Package () { Zero, 0x22 } DerefOf (Local0 [0]) = 3 Return (Local0)", [0, 0x22]),
    ("Local0 = Package () { Zero, 0x22 } DerefOf (Local0 [1]) = 3 Return (Local0)", "AE_AML_OPERAND_TYPE"),
    ("Local0 = One Return (DerefOf (RefOf (Local0)) = 3)", 3),
    ("Local0 = One Return (Increment (DerefOf (RefOf (Local0))))", 2),
    ("Local0 = One Divide (9, 4, DerefOf (RefOf (Local0)), Local1) Return (Local1)", 2),
    # a reference to a local that was never set: nothing, until something needs a value
    ("DerefOf (RefOf (Local0)) Return (1)", 1),
    ("Local1 = DerefOf (RefOf (Local0)) Return (1)", "AE_AML_NO_RETURN_VALUE"),
    ("Return (DerefOf (RefOf (Local0)))", None),
    ("DerefOf (RefOf (Local0)) = 7 Return (1)", "AE_AML_NO_RETURN_VALUE"),
    ("Sleep (1) Stall (10) Return (1)", 1),
    # a buffer that is stored to a field of itself: bytes are taken one by one, and may be written already
    ("CreateField (BUF, 8, 24, XX) XX = BUF Return (XX)", b"\x01\x01\x01"),
    ("CreateField (BUF, 13, 50, XX) XX = BUF Return (XX)", b'\x01"@\x04\x88\x00\x01'),
    ("CreateField (BUF, 3, 16, XX) XX = BUF Return (BUF)", bytes((9, 16, 0, 4, 5, 6, 7, 8, 9, 10))),
    ("CreateField (BUF, 0, 80, XX) XX = BUF Return (BUF)", bytes(range(1, 11))),
    ("CreateWordField (BUF, 1, XX) XX = BUF Return (BUF)", bytes((1, 1, 2, 4, 5, 6, 7, 8, 9, 10))),
    ("CreateField (BUF, 8, 24, XX) Local0 = BUF XX = Local0 Return (XX)", b"\x01\x02\x03"),
    ("CreateField (BUF, 8, 24, XX) CopyObject (BUF, XX) Return (XX)", b"\x01\x02\x03"),
    # a conversion to the type that an operand has already gives the operand, not a copy
    ("Index (ToBuffer (BUF), 0) = 0x55 Return (DerefOf (BUF [0]))", 0x55),
    ("Index (ToDecimalString (STR), 0) = 0x55 Return (STR)", "Uext"),
    ("ToBuffer (BUF, INT) INT [0] = 0x55 Return (DerefOf (BUF [0]))", 0x55),
    ("Local0 = ToBuffer (BUF) Local0 [0] = 0x55 Return (DerefOf (BUF [0]))", 1),
    ("Index (CopyObject (BUF, INT), 0) = 0x55 Return (DerefOf (BUF [0]))", 1),
    ("Index (CopyObject (BUF, INT), 0) = 0x55 Return (DerefOf (INT [0]))", 1),
    # a package holds objects, not names: it keeps one that was replaced under its name
    ('Name (XX, Package () {INT}) CopyObject ("new", INT) Return (XX)', [0x1234]),
    ("Local0 = Package () {INT} CopyObject (5, INT) INT = 6 Return (Local0)", [0x1234]),
    ("Local0 = Package () {INT} ToHexString (5, INT) Return (Local0)", [0x1234]),
    ("Local0 = Package () {INT} SET (RefOf (INT), 5) Return (Local0)", [0x1234]),
    ("Local0 = Package () {INT} Increment (INT) Return (Local0)", [0x1235]),
    ("Local0 = Package () {STR} STR = 5 Return (Local0)", ["0000000000000005"]),
    ("Local0 = Package () {PKG} PKG = Package () {7} Return (SizeOf (DerefOf (Local0 [0])))", 5),
    ("CopyObject (LNK [0], INT) Return (INT)", 0x1234),
    # a string in an empty buffer ends in a NUL, one in any other is cut and filled up
    ('Name (XX, Buffer (0) {}) XX = "lo" Return (XX)', b"lo\0"),
    ('Name (XX, Buffer (0) {}) XX = "" Return (XX)', b"\0"),
    ('Name (XX, Buffer (3) {7, 7, 7}) XX = "lo" Return (XX)', b"lo\0"),
    ('Name (XX, Buffer (2) {7, 7}) XX = "lo" Return (XX)', b"lo"),
    ('Name (XX, Buffer (0) {}) Concatenate ("a", "b", XX) Return (XX)', b"ab\0"),
    ('BUF [0] = "" Return (DerefOf (BUF [0]))', 0),
    # through an argument: a method is replaced, and a field gets a copy
    ("SET (RefOf (NONE), 6) Return (NONE)", 6),
    ("SET (RefOf (NONE), Package () {6}) Return (NONE)", [6]),
    ("CreateField (BUF, 8, 24, XX) SET (RefOf (XX), BUF) Return (XX)", b"\x01\x02\x03"),
    ("Return (ToString (Ones, 3))", "\xff\xff\xff"),
    # what no caller can be given
    ("Local0 = 1 Return (RefOf (Local0))", "AE_TYPE"),
    ("Return (RefOf (Local0))", "AE_TYPE"),
    ("Return (RefOf (FA))", "AE_TYPE"),
    ("Name (XX, Package () {0}) XX [0] = PKG [0] Return (XX)", "AE_TYPE"),
    ("Name (XX, Package () {0}) XX [0] = PKG [0] Return (XX [0])", "AE_TYPE"),
    ("Return (ToString (NONE (), Buffer () {}))", "AE_AML_NO_RETURN_VALUE"),
]

# The same, where acpiexec's answer depends on its version: the body, our result (that of 20260408), that of 20200925
VERSIONED = [
    ("Return (ToHexString (0x1234))", "0x1234", "0000000000001234"),
    ("ToHexString (77, INT) Return (INT)", "0x4D", "000000000000004D"),
    ("Return (Revision)", 0x20260408, 0x20200925),
    (r'Return (\_OSI ("Windows 2022"))', 0xFFFFFFFFFFFFFFFF, 0),
]


def device(number, body):
    """A device with one snippet, and as much of the prelude as it needs."""
    lines = f"Method (TEST, 0, Serialized) {{ {body} }}"
    places = {"MEMBASE": hex(0x100000 + number * 0x1000), "IOBASE": hex(0x1000 + number * 0x20)}
    for names, text in reversed(PRELUDE.items()):
        if set(names.split()) & set(re.findall(r"\w+", lines)):
            lines = re.sub("MEMBASE|IOBASE", lambda match: places[match[0]], text) + "\n" + lines
    return f"Device (D{number:03X}) {{\n{lines}\n}}\n"


def evaluate(interpreter, number):
    try:
        result = interpreter.evaluate(f"\\D{number:03X}.TEST")
    except AmlError as error:
        return error.status
    return str(result) if isinstance(result, ObjectPath) else result


def verdicts(folder, bodies, revision=2):
    """Our results, and acpiexec's."""
    options = ("-of", "-oa", "-f")  # fold nothing, and let through what iasl takes for errors
    (table,) = compile_asl(
        folder, ["".join(starmap(device, enumerate(bodies)))], signature="DSDT", revision=revision, options=options
    )
    interpreter = load([table])
    ours = [evaluate(interpreter, number) for number in range(len(bodies))]
    return ours, acpiexec(folder, [table], [f"\\D{number:03X}.TEST" for number in range(len(bodies))])


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return verdicts(tmp_path_factory.mktemp("oracle"), [body for body, _ in CASES])


@pytest.mark.parametrize("number", range(len(CASES)), ids=[body for body, _ in CASES])
def test_result(results, number):
    ours, theirs = results
    expected = CASES[number][1]
    assert ours[number] == expected
    assert theirs[number] == expected
    assert type(ours[number]) is type(expected)


def test_what_depends_on_the_version(tmp_path):
    ours, theirs = verdicts(tmp_path, [body for body, _, _ in VERSIONED])
    assert ours == [new for _, new, _ in VERSIONED]
    assert all(answer in (new, old) for answer, (_, new, old) in zip(theirs, VERSIONED, strict=True))


def test_integers_of_32_bits(tmp_path):
    """A DSDT of revision 1 makes all integers 32 bits wide."""
    bodies = [body for body, _ in CASES if "MTX" not in body]
    ours, theirs = verdicts(tmp_path, bodies, revision=1)
    assert dict(zip(bodies, ours, strict=True)) == dict(zip(bodies, theirs, strict=True))
    assert ours[bodies.index("Return (Ones)")] == 0xFFFFFFFF


def test_limits_hold(tmp_path):
    body = "Local0 = 0 While (1) { Local0++ } Return (Local0)"
    (table,) = compile_asl(tmp_path, [f"Method (TEST) {{ {body} }}"], signature="DSDT")
    with pytest.raises(AmlError, match="AE_AML_LOOP_TIMEOUT"):
        load([table], limits=Limits(steps=1000)).evaluate("TEST")
