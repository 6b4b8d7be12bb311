"""Random ASL: values of all types in operators, with targets of all types."""

import random
import re

OBJECTS = """
Name (INT, 0x1234) Name (STR, "text12") Name (HEX, "1F") Name (BUF, Buffer () {1,2,3,4,5,6,7,8,9})
Name (SBF, Buffer () {0x41,0x42,0}) Name (EMP, "") Name (EBF, Buffer (0) {}) Name (REF, 0) Alias (INT, ALI)
Name (PKG, Package () {1, "two", Buffer () {3}, Package () {4, 5}, INT, 0}) Name (OTH, Package () {1, 2})
Device (DEV) {Name (_ADR, 5)} Mutex (MTX, 0) Event (EVT) PowerResource (PWR, 0, 0) {} ThermalZone (TZN) {}
Processor (CPU, 0, 0, 0) {}
OperationRegion (MEM, SystemMemory, MEMBASE, 0x40) Field (MEM, ByteAcc) {FLD, 16, FWI, 100, FOD, 3}
CreateField (BUF, 8, 16, CF0) CreateDWordField (BUF, 4, CDW) CreateField (BUF, 3, 5, CF5) CreateBitField (BUF, 0, CBI)
Method (MTH, 0) {Return (7)} Method (MSB, 0) {Return (STR)} Method (MBU, 0) {Return (BUF)}
Method (MPK, 0) {Return (PKG)} Method (MNO, 0) {} Method (IDM, 1) {Return (Arg0)}
Method (STO, 2) {Arg0 = Arg1}
""".replace("\n", " ")
LOCALS = (
    'Local1 = 0x77 Local2 = "lo" Local3 = Buffer () {7, 6} Local4 = Package () {8} Local5 = RefOf (STR) '
    "Local6 = PKG [1]"
)

LISTS = {
    "names": "INT STR BUF SBF PKG FLD FWI CF0 CDW CF5 CBI DEV MTX EVT MEM REF ALI MTH",
    "values": "INT STR HEX BUF SBF EMP EBF PKG FLD FWI FOD CF0 CDW CF5 CBI ALI REF DEV MTX EVT MEM PWR TZN CPU",
    "binary": "Add Subtract Multiply Mod ShiftLeft ShiftRight And NAnd Or NOr XOr Concatenate ConcatenateResTemplate "
    "ToString",
    "unary": "Not FindSetLeftBit FindSetRightBit FromBCD ToBCD ToBuffer ToDecimalString ToHexString ToInteger",
    "truth": "LEqual LGreater LLess LNotEqual LGreaterEqual LLessEqual LAnd LOr",
}
NAMES, _VALUES, BINARY, UNARY, TRUTH = (text.split() for text in LISTS.values())
VALUES = [
    *_VALUES,
    *(f"Local{n}" for n in range(1, 7)),
    *("MTH ()", "MSB ()", "MBU ()", "MNO ()", "IDM (STR)", "IDM (BUF)", "IDM (PKG [2])"),
    *("0", "5", "Ones", '"0x1A"', '"12"', "Buffer () {9, 8}", "Package () {1}"),
    *("PKG [0]", "PKG [1]", "PKG [3]", "PKG [4]", "DerefOf (PKG [1])", "DerefOf (BUF [0])", "RefOf (INT)"),
]
PLACES = [*NAMES, *(f"Local{n}" for n in range(7)), "OTH [0]", "RefOf (INT)", "DerefOf (Local5)"]

# v a value, p a place (the same one throughout), q another place, n a name or local, b u t an operator
SHAPES = """
Return (u (v))
Return (b (v, v))
Return (t (v, v))
Store (v, p) Return (p)
CopyObject (v, n) Return (n)
u (v, p) Return (p)
b (v, v, p) Return (p)
Return (SizeOf (v))
Return (ObjectType (v))
Return (DerefOf (v))
Return (Mid (v, v, v))
Mid (v, 1, 2, p) Return (p)
Return (LNot (v))
Return (v)
Return (IDM (v))
Increment (p) Return (p)
Decrement (p) Return (p)
Divide (v, v, p, q) Return (p)
Return (Match (PKG, MEQ, v, MTR, 0, 0))
Return (Match (MPK (), MLT, v, MGE, v, 1))
CreateByteField (v, 0, XX) Return (XX)
CreateField (v, 0, 12, XX) XX = v Return (XX)
If (v) {Return (1)} Return (2)
Local0 = Package () {v, v} Return (ObjectType (Local0))
OTH [1] = v Return (ObjectType (OTH [1]))
Local0 = v Local1 = Local0 Return (ObjectType (Local1))
Return (CondRefOf (p))
Return (DerefOf (PKG [v]))
Return (DerefOf (Index (v, v)))
Notify (p, v) Return (1)
Local0 = Local7 = v Return (ObjectType (Local0))
Return (Concatenate (v, Concatenate (v, v)))
Index (u (v), 0) = 0x55 Return (v)
CreateField (BUF, 3, 29, XX) u (v, XX) Return (BUF)
CreateField (BUF, 9, 40, XX) XX = v Return (BUF)
Local0 = Package () {INT, STR, BUF} u (v, n) Return (Local0)
Local0 = Package () {INT, STR, BUF} CopyObject (v, n) Return (Local0)
Local0 = Package () {INT, STR, BUF} n = v Return (Local0)
EBF = v Return (EBF)
CopyObject (v, MTH) MTH = v Return (MTH)
CopyObject (v, IDM) IDM = v Return (IDM)
If (v) {CopyObject (v, IDM)} Return (ObjectType (IDM))
STO (RefOf (n), v) Return (n)
STO (RefOf (IDM), v) u (v, IDM) Return (IDM)
""".strip().splitlines()


def bodies(count, seed):
    """Method bodies, each different."""
    pick = random.Random(seed)
    made = {}
    while len(made) < count:
        place = pick.choice(PLACES)
        parts = {
            "v": lambda: pick.choice(VALUES),
            "p": lambda place=place: place,
            "q": lambda: pick.choice(PLACES),
            "n": lambda: pick.choice([*NAMES, "Local0", "Local4"]),
            "b": lambda: pick.choice(BINARY),
            "u": lambda: pick.choice(UNARY),
            "t": lambda: pick.choice(TRUTH),
        }
        name = parts["n"]()
        parts["n"] = lambda name=name: name
        shape = re.sub(r"\b[vpqnbut]\b", lambda match, parts=parts: parts[match[0]](), pick.choice(SHAPES))
        made[f"{LOCALS} {shape}"] = None
    return list(made)


def table(bodies):
    """The body of a definition block with a device, on a line of its own, for each method."""
    return "\n".join(
        f"Device (D{at:03X}) {{ {OBJECTS.replace('MEMBASE', hex(0x10000 + 0x100 * at))} "
        f"Method (TEST, 0, Serialized) {{ {body} }} }}"
        for at, body in enumerate(bodies)
    )
