"""Fields whose regions are no memory: SMBus, IPMI, pins, serial buses, PCC, PRM and fixed hardware.

acpiexec simulates these buses; ``buses.Buses`` does the same here, so that every result can be compared.
"""

import pytest
from acpi.aslts import version
from acpi.buses import Buses
from acpi.judges import acpiexec, compile_asl

from xlpy.firmware.acpi.eval import AmlError, ObjectPath, load

I2C = 'I2cSerialBusV2 (0x2A, ControllerInitiated, 100000, AddressingMode7Bit, "\\\\_SB.I2C1", 0, ResourceConsumer,,,)'
GPIO = 'GpioIo (Exclusive, PullDefault, 0, 0, IoRestrictionNone, "\\\\_SB.GPI0", 0, ResourceConsumer,,) {1, 2, 3}'
PRELUDE = f"""
Name (CON, ResourceTemplate () {{ {I2C} }})
OperationRegion (SMB, SMBus, 0x4200, 0x100)
Field (SMB, BufferAcc, NoLock, Preserve) {{
    AccessAs (BufferAcc, AttribQuick), SMQ, 8,
    AccessAs (BufferAcc, AttribByte), SMY, 8,
    AccessAs (BufferAcc, AttribBlock), SMB0, 8, SMB1, 8
}}
OperationRegion (IPM, IPMI, 0x3000, 0x100)
Field (IPM, BufferAcc, NoLock, Preserve) {{ Offset (0xC8), IPF, 8 }}
OperationRegion (GSB, GenericSerialBus, 0x4400, 0x100)
Field (GSB, BufferAcc, NoLock, Preserve) {{
    Connection ({I2C}), NOP, 8,
    AccessAs (BufferAcc, AttribWord), GSW, 8,
    AccessAs (BufferAcc, AttribBytes (4)), GSN, 8,
    Connection (CON), AccessAs (BufferAcc, AttribProcessCall), GSP, 8,
    AccessAs (BufferAcc, AttribRawProcessBytes (8)), GSR, 8
}}
OperationRegion (PIN, GeneralPurposeIo, 0, 0x10)
Field (PIN, ByteAcc, NoLock, Preserve) {{ Connection ({GPIO}), PI0, 1, PI1, 2 }}
OperationRegion (PCS, PCC, 0x03, 26)
Field (PCS, AnyAcc, NoLock, Preserve) {{
    Offset (4), FLG, 32, LEN, 32, CMD, 32, COS, 80
}}
OperationRegion (PRM, PlatformRtMechanism, 0, 0x10)
Field (PRM, BufferAcc, NoLock, Preserve) {{ PRF, 8 }}
OperationRegion (FFH, FFixedHW, 0, 0x10)
Field (FFH, BufferAcc, NoLock, Preserve) {{ FFF, 8 }}
"""
CASES = [  # what a method does, and its result, here and in acpiexec
    ("Return (SMQ)", bytes(34)),
    ("Return (SMY)", bytes((0, 1, 0xA0)) + bytes(31)),
    ("Return (SMB1)", bytes((0, 32, *range(0xA0, 0xC0)))),
    ("Return (SMB0 = Buffer (34) {0, 1, 2})", bytes((0, 32, *range(0xA0, 0xC0)))),
    ("Return (SMB0 = Buffer (3) {0, 1, 2})", bytes((0, 32, *range(0xA0, 0xC0)))),
    ("SMB0 = Buffer (40) {} Return (SizeOf (SMB0))", "AE_AML_OPERAND_TYPE"),
    ("Local0 = SMB0 Return (SizeOf (Local0))", 34),
    ("SMB0 = 5 Return (1)", "AE_AML_OPERAND_TYPE"),
    ('SMB0 = "abc" Return (1)', "AE_AML_OPERAND_TYPE"),
    ("Return (Concatenate (Buffer () {1}, Buffer () {2}, SMY))", bytes((0, 1, 0xA0)) + bytes(31)),
    ("Return (CopyObject (Buffer () {1}, SMY))", bytes((0, 1, 0xA0)) + bytes(31)),
    ("Return (IPF)", bytes((0, 64, 0, 0, *range(4, 66)))),
    ("Return (IPF = Buffer (66) {})", bytes((0, 64, 0, 0, *range(4, 66)))),
    ("Return (NOP)", "AE_AML_PROTOCOL"),
    ("Return (GSW)", bytes((0, 2, 0xA0, 0xA1))),
    ("Return (GSW = Buffer (1) {})", bytes((0, 2, 0xA0, 0xA1))),
    ("Return (GSP = Buffer (6) {})", bytes((0, 2, 0xA0, 0xA1))),
    ("Return (SizeOf (GSW))", "AE_AML_OPERAND_TYPE"),
    ("Local0 = GSN Return (SizeOf (Local0))", 257),
    ("Return (GSR)", "AE_AML_PROTOCOL"),
    ("Local0 = (GSR = Buffer (9) {}) Return (SizeOf (Local0))", 257),
    ("Return (PI0)", 0),
    ("PI1 = 2 Return (PI1)", 2),
    ("PI1 = Buffer (1) {2} Return (PI1)", "AE_AML_OPERAND_TYPE"),
    ("FLG = Buffer (4) {1, 2, 3, 4} Return (FLG)", 0x04030201),
    ("FLG = Buffer (4) {1, 2, 3, 4} CMD = Buffer (4) {} Return (FLG)", 0x07060504),
    ("CMD = Buffer (4) {} Return (COS)", bytes(range(16, 26))),
    ("FFF = Buffer (4) {1, 2, 3, 4} Return (1)", 1),
    ("FFF = 1 Return (1)", "AE_AML_OPERAND_TYPE"),
    ("Return (ObjectType (SMB0))", 5),
]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    methods = (f"Method (T{number:03X}, 0, Serialized) {{ {body} }}" for number, (body, _) in enumerate(CASES))
    body = "\n".join((PRELUDE, *methods))
    return compile_asl(tmp_path_factory.mktemp("buses"), [body], signature="DSDT", options=("-of", "-oa", "-f"))[0]


@pytest.fixture(scope="module")
def theirs(table, tmp_path_factory):
    return acpiexec(tmp_path_factory.mktemp("acpiexec"), [table], [f"T{number:03X}" for number in range(len(CASES))])


@pytest.mark.parametrize("number", range(len(CASES)), ids=[body for body, _ in CASES])
def test_result(table, theirs, number):
    try:
        ours = load([table], Buses()).evaluate(f"T{number:03X}")
    except AmlError as error:
        ours = error.status
    assert not isinstance(ours, ObjectPath)
    assert ours == CASES[number][1]
    if version() >= "20230628" or not any(name in CASES[number][0] for name in ("FLG", "CMD", "FFF")):
        assert theirs[number] == CASES[number][1]  # older ones have no transactions of PCC and fixed hardware


def test_what_a_driver_is_reported(table):
    buses = Buses()
    vm = load([table], buses)
    for name in ("SMB1", "IPF", "GSN", "PI1"):
        vm.evaluate(name)
    told = [transaction for transaction, _ in buses.log]
    assert [(one.space, one.base, one.offset, one.write, one.protocol, one.length) for one in told] == [
        (4, 0x4200, 3, False, 0x0A, 0),
        (7, 0x3000, 0xC8, False, 0, 0),
        (9, 0x4400, 2, False, 0x0B, 4),
        (8, 0, 1, False, 0, 0),  # the second pin of the connection
    ]
    assert [one.connection[:1] for one in told] == [b"", b"", b"\x8e", b"\x8c"]  # large resource descriptors
    assert told[-1].bits == 2


def test_a_named_connection_is_that_of_the_resource(table):
    buses = Buses()
    vm = load([table], buses)
    number = next(number for number, (body, _) in enumerate(CASES) if "GSP" in body)
    vm.evaluate(f"T{number:03X}")
    ((transaction, sent),) = buses.log
    assert transaction.write
    assert transaction.protocol == 0x0C
    assert transaction.connection[:1] == b"\x8e"
    assert sent == bytes(4)  # as long as the protocol says


def test_a_machine_without_the_bus(table):
    """As an operating system without a driver: the region has no handler."""
    vm = load([table])
    for name, space in (("SMY", "SMBus"), ("IPF", "IPMI"), ("GSW", "GenericSerialBus"), ("PI0", "GeneralPurposeIo")):
        with pytest.raises(AmlError, match=f"AE_NOT_EXIST: region space {space} has no handler"):
            vm.evaluate(name)


def test_a_driver_keeps_the_length(table):
    class Short(Buses):
        def transact(self, transaction, data):
            del data[1:]

    with pytest.raises(AmlError, match="AE_AML_BUFFER_LENGTH: a transaction of 34 bytes came back with 1"):
        load([table], Short()).evaluate("SMY")


@pytest.mark.parametrize(
    ("units", "error"),
    [
        ("OperationRegion (R, PCC, 3, 16) Field (R, AnyAcc, NoLock, Preserve) { Offset (8), F, 72 }", "BUFFER_LIMIT"),
        ("OperationRegion (R, PCC, 3, 0x10001) Field (R, AnyAcc, NoLock, Preserve) { F, 8 }", "AE_NO_MEMORY"),
        ("OperationRegion (R, FFixedHW, 0, 4) Field (R, BufferAcc, NoLock, Preserve) { , 32, F, 8 }", "REGION_LIMIT"),
        ("OperationRegion (R, SMBus, 0, 4) Field (R, BufferAcc, NoLock, Preserve) { I, 8, D, 8 }"
         " IndexField (I, D, ByteAcc, NoLock, Preserve) { F, 8 }", "AE_SUPPORT"),
    ],
)  # fmt: skip
def test_limits(units, error, tmp_path):
    (table,) = compile_asl(tmp_path, [units], signature="DSDT", options=("-of", "-f"))
    with pytest.raises(AmlError, match=error):
        load([table], Buses(), strict=False).evaluate("F")
