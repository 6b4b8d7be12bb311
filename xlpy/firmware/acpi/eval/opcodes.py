"""The AML opcodes and the grammar of their arguments (ACPI 6.5, chapter 20.2 and table 20.3).

One row an opcode: code, name, flags, arguments. Flags: ``P`` a PkgLength follows the opcode, ``=`` it has a value.
Arguments, in order:

    t  TermArg: anything with a value          B W D  constant byte, word, dword
    s  SuperName: a place, not its value       L      TermList up to the end of the package
    g  Target: SuperName or NullName           b f e  the rest of the package: bytes, FieldList, package elements
    n  NameString                              x      the rest of the package, looked at when the method is called
                                               Q S    the constant or text itself
"""

from __future__ import annotations

from xlpy.records import NamedTuple


class Op(NamedTuple):
    """One opcode: its name, whether it yields a value, whether it has a PkgLength, and its arguments."""

    name: str
    value: bool
    package: bool
    args: str


_TABLE = """
00 Zero = -            01 One = -             FF Ones = -
0A Byte = Q            0B Word = Q            0C DWord = Q          0E QWord = Q          0D String = S
11 Buffer P= tb        12 Package P= Be       13 VarPackage P= te

06 Alias . nn          08 Name . nt           10 Scope P nL         14 Method P nBx       15 External . nBB
8A CreateDWordField . ttn                     8B CreateWordField . ttn
8C CreateByteField . ttn                      8D CreateBitField . ttn                     8F CreateQWordField . ttn
5B01 Mutex . nB        5B02 Event . n         5B13 CreateField . tttn
5B80 OperationRegion . nBtt                   5B81 Field P nBf
5B82 Device P nL       5B83 Processor P nBDBL 5B84 PowerResource P nBWL                   5B85 ThermalZone P nL
5B86 IndexField P nnBf                        5B87 BankField P nntBf                      5B88 DataTableRegion . nttt

86 Notify . st         9F Continue . -        A0 If P tL            A1 Else P L           A2 While P tL
A3 Noop . -            A4 Return . t          A5 Break . -          CC BreakPoint . -
5B21 Stall . t         5B22 Sleep . t         5B24 Signal . s       5B26 Reset . s        5B27 Release . s
5B2A Unload . s        5B32 Fatal . BDt       5B20 Load = ng        5B1F LoadTable = tttttt

60 Local0 = -          61 Local1 = -          62 Local2 = -         63 Local3 = -
64 Local4 = -          65 Local5 = -          66 Local6 = -         67 Local7 = -
68 Arg0 = -            69 Arg1 = -            6A Arg2 = -           6B Arg3 = -
6C Arg4 = -            6D Arg5 = -            6E Arg6 = -           5B31 Debug = -

70 Store = ts          9D CopyObject = ts     71 RefOf = s          5B12 CondRefOf = sg   83 DerefOf = t
72 Add = ttg           74 Subtract = ttg      77 Multiply = ttg     78 Divide = ttgg      85 Mod = ttg
79 ShiftLeft = ttg     7A ShiftRight = ttg    7B And = ttg          7C NAnd = ttg         7D Or = ttg
7E NOr = ttg           7F XOr = ttg           80 Not = tg           75 Increment = s      76 Decrement = s
81 FindSetLeftBit = tg 82 FindSetRightBit = tg                      5B28 FromBCD = tg     5B29 ToBCD = tg
90 LAnd = tt           91 LOr = tt            92 LNot = t           93 LEqual = tt        94 LGreater = tt
95 LLess = tt          87 SizeOf = s          8E ObjectType = s     88 Index = ttg        89 Match = tBtBtt
73 Concatenate = ttg   84 ConcatRes = ttg     9E Mid = tttg         96 ToBuffer = tg      97 ToDecimalString = tg
98 ToHexString = tg    99 ToInteger = tg      9C ToString = ttg
5B23 Acquire = sW      5B25 Wait = st         5B30 Revision = -     5B33 Timer = -
"""

_WORDS = _TABLE.split()
OPCODES: dict[int, Op] = {
    int(code, 16): Op(name, "=" in flags, "P" in flags, args.strip("-"))
    for code, name, flags, args in zip(*[iter(_WORDS)] * 4, strict=True)
}
EXTENDED = 0x5B  # the first of two opcode bytes
