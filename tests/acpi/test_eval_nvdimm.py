"""An NVDIMM's AML as QEMU lays it out: a page of memory for request and answer, and a port that rings."""

import struct

import pytest
from acpi.judges import acpiexec

from xlpy.firmware.acpi import aml
from xlpy.firmware.acpi.eval import AmlError, load
from xlpy.firmware.acpi.guid import guid_bytes
from xlpy.firmware.acpi.sdt import build_table

PAGE, PORT = 0x07FFE000, 0x0A18
ROOT = "2f10e7a4-9e91-11e4-89d3-123b93f75cba"
PRIVATE = "648b9cf2-cda1-4312-8ad9-49c4af32bd62"
DIMM = "4309ac30-0d11-11e4-9191-0800200c9a66"

L0, L1, L2, L3, L6, L7 = (aml.local(n) for n in (0, 1, 2, 3, 6, 7))
ARGS = tuple(aml.arg(n) for n in range(5))


def ncal():
    """The method behind all others: UUID, revision, function, package, handle."""
    unknown = aml.lnot(aml.equal(ARGS[0], L0))
    return aml.method(
        "NCAL",
        5,
        aml.store(aml.ref("MEMA"), L6),
        aml.op_region("NPIO", aml.RegionSpace.SYSTEM_IO, PORT, 4),
        aml.op_region("NRAM", aml.RegionSpace.SYSTEM_MEMORY, L6, 0x1000),
        aml.field("NPIO", [("NTFI", 32)], aml.AccessType.DWORD),
        aml.field("NRAM", [("HDLE", 32), ("REVS", 32), ("FUNC", 32), ("FARG", 32672)], aml.AccessType.DWORD),
        aml.field("NRAM", [("RLEN", 32), ("ODAT", 32736)], aml.AccessType.DWORD),
        aml.if_(aml.equal(ARGS[4], 0), aml.store(aml.touuid(ROOT), L0)),
        aml.else_(
            aml.if_(aml.equal(ARGS[4], 0x10000), aml.store(aml.touuid(PRIVATE), L0)),
            aml.else_(aml.store(aml.touuid(DIMM), L0)),
        ),
        aml.if_(
            aml.lor(aml.equal(L6, 0), unknown),
            aml.if_(aml.equal(ARGS[2], 0), aml.return_(aml.buffer(b"\0"))),
            aml.return_(aml.buffer(b"\1")),
        ),
        aml.store(ARGS[4], aml.ref("HDLE")),
        aml.store(ARGS[1], aml.ref("REVS")),
        aml.store(ARGS[2], aml.ref("FUNC")),
        aml.if_(
            aml.land(aml.equal(aml.object_type(ARGS[3]), 4), aml.equal(aml.size_of(ARGS[3]), 1)),
            aml.store(aml.index(ARGS[3], 0), L2),
            aml.store(aml.deref_of(L2), L3),
            aml.store(L3, aml.ref("FARG")),
        ),
        aml.store(L6, aml.ref("NTFI")),
        aml.store(aml.subtract(aml.ref("RLEN"), 4), L1),
        aml.if_(
            aml.less(L1, 8),
            aml.name("TBUF", aml.buffer(b"\0")),
            aml.store(aml.buffer(), L7),
            aml.store(0, L2),
            aml.while_(
                aml.less(L2, L1),
                aml.store(aml.deref_of(aml.index(aml.ref("ODAT"), L2)), aml.index(aml.ref("TBUF"), 0)),
                aml.concatenate(L7, aml.ref("TBUF"), L7),
                aml.increment(L2),
            ),
            aml.return_(L7),
        ),
        aml.store(aml.shift_left(L1, 3), L1),
        aml.create_field(aml.ref("ODAT"), 0, L1, "OBUF"),
        aml.return_(aml.ref("OBUF")),
        serialized=True,
    )


def dsm(handle):
    return aml.method("_DSM", 4, aml.return_(aml.call("NCAL", *ARGS[:4], handle)))


def fit():
    """Read FIT in pieces until an empty one; start again when it changed."""
    return (
        aml.name("RSTA", 0)
        + aml.method(
            "RFIT",
            1,
            aml.name("OFST", 0),
            aml.store(ARGS[0], aml.ref("OFST")),
            aml.store(aml.package(aml.ref("OFST")), L0),
            aml.store(aml.call("NCAL", aml.touuid(PRIVATE), 1, 1, L0, 0x10000), L3),
            aml.create_dword_field(L3, 0, "STAU"),
            aml.store(aml.ref("STAU"), aml.ref("RSTA")),
            aml.if_(aml.lnot(aml.equal(0, aml.ref("STAU"))), aml.return_(aml.buffer())),
            aml.store(aml.subtract(aml.size_of(L3), 4), L1),
            aml.if_(aml.equal(L1, 0), aml.return_(aml.buffer())),
            aml.create_field(L3, 32, aml.shift_left(L1, 3), "BUFF"),
            aml.return_(aml.ref("BUFF")),
            serialized=True,
        )
        + aml.method(
            "_FIT",
            0,
            aml.store(aml.buffer(), L2),
            aml.store(0, L3),
            aml.while_(
                1,
                aml.store(aml.call("RFIT", L3), L0),
                aml.store(aml.size_of(L0), L1),
                aml.if_(aml.equal(aml.ref("RSTA"), 0x100), aml.store(aml.buffer(), L2), aml.store(0, L3)),
                aml.else_(
                    aml.if_(aml.equal(L1, 0), aml.return_(L2)),
                    aml.add(L3, L1, L3),
                    aml.concatenate(L2, L0, L2),
                ),
            ),
            serialized=True,
        )
    )


def label_read():
    return aml.method(
        "_LSR",
        2,
        aml.name("INPT", aml.buffer(bytes(8))),
        aml.create_dword_field(aml.ref("INPT"), 0, "OFST"),
        aml.create_dword_field(aml.ref("INPT"), 4, "LEN"),
        aml.store(ARGS[0], aml.ref("OFST")),
        aml.store(ARGS[1], aml.ref("LEN")),
        aml.store(aml.package(aml.ref("INPT")), L0),
        aml.store(aml.call("NCAL", aml.touuid(DIMM), 1, 5, L0, 2), L3),
        aml.create_dword_field(L3, 0, "STTS"),
        aml.create_field(L3, 32, aml.shift_left(aml.ref("LEN"), 3), "LDAT"),
        aml.name("LSA", aml.buffer()),
        aml.to_buffer(aml.ref("LDAT"), aml.ref("LSA")),
        aml.store(aml.package(aml.ref("STTS"), aml.ref("LSA")), L1),
        aml.return_(L1),
        serialized=True,
    )


def tables(mema=PAGE):
    root = aml.device(
        "NVDR",
        aml.name("_HID", aml.string("ACPI0012")),
        ncal(),
        dsm(0),
        fit(),
        aml.device("NV01", aml.name("_ADR", 2), label_read(), dsm(2)),
    )
    ssdt = build_table("SSDT", aml.scope("\\_SB", root) + aml.name("MEMA", aml.dword(mema)), 1)
    return [build_table("DSDT", b"", 1), ssdt]


class DeviceModel:
    """The page, the port and the answers of QEMU's device model, with 128 KiB of labels."""

    def __init__(self):
        self.page, self.labels, self.fit = bytearray(4096), bytearray(131072), bytes(range(200)) * 40
        self.accesses = []

    def read(self, space, address, width):
        self.accesses.append((space, width))
        if space == 0 and PAGE <= address < PAGE + 4096:
            return int.from_bytes(self.page[address - PAGE : address - PAGE + width], "little")
        return 0

    def write(self, space, address, width, value):
        self.accesses.append((space, width))
        if space == 0 and PAGE <= address < PAGE + 4096:
            self.page[address - PAGE : address - PAGE + width] = value.to_bytes(width, "little")
        elif (space, address, width, value) == (1, PORT, 4, PAGE):
            answer = self.answer(*struct.unpack_from("<III", self.page))
            self.page[: len(answer) + 4] = struct.pack("<I", len(answer) + 4) + answer

    def answer(self, handle, revision, function):
        offset, length = struct.unpack_from("<II", self.page, 12)
        if revision != 1:
            return struct.pack("<I", 1)
        if handle == 0x10000 and function == 1:
            return struct.pack("<I", 0) + self.fit[offset:][:4088]
        if handle != 2:
            return struct.pack("<I", 0)
        if function == 0:
            return struct.pack("<I", 0x71)
        if function == 4:
            return struct.pack("<III", 0, len(self.labels), 4076)
        if offset + length > len(self.labels) or length > 4076 or function not in (5, 6):
            return struct.pack("<I", 3)
        if function == 6:
            self.labels[offset : offset + length] = self.page[20 : 20 + length]
            return struct.pack("<I", 0)
        return struct.pack("<I", 0) + self.labels[offset : offset + length]


@pytest.fixture
def model():
    return DeviceModel()


@pytest.fixture
def call(model):
    vm = load(tables(), model)

    def call(function, payload=None, uuid=DIMM, revision=1, device="\\_SB.NVDR.NV01"):
        package = [] if payload is None else [payload]
        return vm.evaluate(f"{device}._DSM", guid_bytes(uuid), revision, function, package)

    call.vm = vm
    return call


def test_function_mask_and_label_size(call):
    assert call(0) == b"\x71\0\0\0"
    assert call(4) == struct.pack("<III", 0, 131072, 4076)


def test_labels_are_written_and_read(call, model):
    data = bytes(at % 251 for at in range(4076))
    assert call(6, struct.pack("<II", 4096, 4076) + data) == bytes(4)
    assert model.labels[4096 : 4096 + 4076] == data
    model.accesses.clear()
    assert call(5, struct.pack("<II", 4096, 4076)) == bytes(4) + data
    # three words and 1021 of arguments, the port, the length, and 1023 of answer
    assert model.accesses.count((0, 4)) == 3 + 1021 + 1 + 1023
    assert model.accesses.count((1, 4)) == 1


@pytest.mark.parametrize("request_", [(0, 4077), (131072, 1), (0xFFFFFFFF, 2)])
def test_bad_label_requests(call, request_):
    assert call(5, struct.pack("<II", *request_)) == struct.pack("<I", 3)


def test_other_uuids_are_answered_by_the_aml_alone(call, model):
    assert call(0, uuid=ROOT) == b"\0"
    assert call(5, b"", uuid=PRIVATE) == b"\1"
    assert model.accesses == []
    assert call(0, uuid=ROOT, device="\\_SB.NVDR") == bytes(4)


def test_without_a_page_nothing_is_supported(model):
    vm = load(tables(0), model)
    assert vm.evaluate("\\_SB.NVDR.NV01._DSM", guid_bytes(DIMM), 1, 0, []) == b"\0"
    assert model.accesses == []


def test_fit_is_read_in_pieces(call, model):
    assert call.vm.evaluate("\\_SB.NVDR._FIT") == model.fit


def test_label_storage_read(call, model):
    model.labels[100:104] = b"abcd"
    assert call.vm.evaluate("\\_SB.NVDR.NV01._LSR", 100, 4) == [0, b"abcd"]


@pytest.mark.parametrize(
    ("offset", "length", "status"),
    [(0, 4077, "AE_AML_BUFFER_LIMIT"), (0, 0, "AE_AML_OPERAND_VALUE")],
)
def test_label_storage_read_that_fails(call, offset, length, status):
    """A refused request leaves four bytes, too few for the field; no bytes are no field."""
    with pytest.raises(AmlError) as caught:
        call.vm.evaluate("\\_SB.NVDR.NV01._LSR", offset, length)
    assert caught.value.status == status
    assert caught.value.path == "SSDT \\_SB.NVDR.NV01._LSR"


def test_names_made_on_the_way_are_gone(call):
    call(4)
    assert not call.vm.exists("\\_SB.NVDR.NCAL.NRAM")
    assert call.vm.compile_all() == []


def test_acpiexec_agrees(tmp_path):
    """Without a page: with one that nobody answers in, a length of 0 wraps, and acpiexec reads what lies about."""
    assert acpiexec(tmp_path, [*tables()], ["\\MEMA"]) == [PAGE]
    buffer = "(" + " ".join(f"{byte:02X}" for byte in guid_bytes(ROOT)) + ")"
    commands = [f"\\_SB.NVDR.NV01._DSM {buffer} 1 {function} [1]" for function in (0, 4)]
    assert acpiexec(tmp_path, [*tables(0)], [*commands, "\\MEMA"]) == [b"\0", b"\1", 0]
