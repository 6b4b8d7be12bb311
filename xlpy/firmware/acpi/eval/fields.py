"""Operation regions, and bits in them and in buffers (ACPI 6.5, 5.5.2.4 and 19.6.46).

A field is read and written in units of its access width, each with one call of the memory's ``read`` or ``write``: a
trapping page sees the same accesses as on hardware. What is no memory, such as a serial bus, is in ``buses``.
"""

from __future__ import annotations

from xlpy.addr import LIMIT
from xlpy.firmware.acpi.eval.access import BUSES, TableBytes, absent
from xlpy.firmware.acpi.eval.errors import AmlError
from xlpy.firmware.acpi.eval.values import Buffer, ObjectType, String
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.firmware.acpi.eval.access import BusTransaction, RegionAccess
    from xlpy.firmware.acpi.eval.names import Absolute
    from xlpy.firmware.acpi.eval.values import Value

ACCESS_WIDTHS = (1, 1, 2, 4, 8, 1)  # bytes, by access type (19.6.46); Any and Buffer go byte by byte
PRESERVE, WRITE_AS_ONES, WRITE_AS_ZEROS = 0, 1, 2
FIELD_LIMIT = 1 << 20  # bytes of one field


class OperationRegion:
    """An operation region. A DataTableRegion has the bytes of its ``table``, a PCC subspace its ``message``."""

    __slots__ = ("home", "length", "message", "name", "offset", "settled", "space", "table")
    kind = ObjectType.REGION

    def __init__(
        self,
        name: str,
        space: int,
        offset: int = 0,
        length: int = 0,
        *,
        table: bytearray | None = None,
    ) -> None:
        self.name, self.space, self.offset, self.length = name, space, offset, length
        self.table = table
        self.message: bytearray | None = None
        self.home: Absolute = ()
        self.settled = False


class Bits(NamedTuple):
    """Where a field lies, and how it is accessed.

    Args:
        offset, length: in bits, from the start of the region.
        width: of one access, in bytes.
        update: what the other bits of a unit become on a write.
    """

    offset: int
    length: int
    width: int
    update: int = PRESERVE


class Link(NamedTuple):
    """What the elements of a FieldList in front of a name say of the bus behind it (19.6.46).

    Args:
        protocol: of AccessAs, such as 6 for AttribByte.
        length: of AccessAs, where its protocol has one.
        pin: how many names there are between Connection and this one.
        connection: the resource descriptor of Connection.
    """

    protocol: int
    length: int
    pin: int
    connection: bytes


class Field:
    """A field of a region, an index/data pair or a bank.

    Args:
        bits: where it lies.
        region: the region, when there is one.
        index, data: the fields of an index/data pair.
        bank, value: the bank register, and what it must hold.
        link: how its bus is reached; None for a region that is memory, and for a bank.
    """

    __slots__ = ("bank", "bits", "data", "depth", "index", "link", "region", "value")
    kind = ObjectType.FIELD_UNIT

    def __init__(
        self,
        bits: Bits,
        region: OperationRegion | None = None,
        index: Field | None = None,
        data: Field | None = None,
        bank: Field | None = None,
        value: int = 0,
        link: Link | None = None,
    ) -> None:
        self.link = link
        self.bits, self.region, self.index, self.data, self.bank, self.value = bits, region, index, data, bank, value
        self.depth: int = 1 + max((below.depth for below in (index, data, bank) if below), default=0)


class BufferField:
    """Bits of a buffer, made by one of the Create...Field operators; CreateField's read as a Buffer, however few."""

    __slots__ = ("buffer", "length", "offset", "plain")
    kind = ObjectType.BUFFER_FIELD

    def __init__(self, buffer: bytearray, offset: int, length: int, *, plain: bool = False) -> None:
        self.buffer, self.offset, self.length, self.plain = buffer, offset, length, plain


def read_bits(data: bytes | bytearray, offset: int, length: int) -> bytes:
    """``length`` bits from bit ``offset`` on, in as few bytes as hold them."""
    first, shift = divmod(offset, 8)
    part = data[first : (offset + length + 7) // 8]
    if not shift and not length % 8:
        return bytes(part)
    number = int.from_bytes(part, "little") >> shift & ((1 << length) - 1)
    return number.to_bytes((length + 7) // 8, "little")


def write_bits(data: bytearray, offset: int, length: int, value: bytes) -> None:
    """Put the first ``length`` bits of ``value``, zero-extended, at bit ``offset``."""
    first, shift = divmod(offset, 8)
    last = (offset + length + 7) // 8
    fitting = value[: (length + 7) // 8].ljust((length + 7) // 8, b"\0")
    if not shift and not length % 8:
        data[first:last] = fitting
        return
    mask = (1 << length) - 1
    rest = int.from_bytes(data[first:last], "little") & ~(mask << shift)
    number = rest | (int.from_bytes(fitting, "little") & mask) << shift
    data[first:last] = number.to_bytes(last - first, "little")


def write_own(data: bytearray, offset: int, length: int) -> None:
    """Put the first ``length`` bits of ``data`` itself at its bit ``offset``, a byte after the other.

    As in ACPICA each byte is taken when the ones before it are written, and so may be one that was just written.
    """
    first, shift = divmod(offset, 8)
    before = 0
    for unit in range((shift + length + 7) // 8):
        byte = data[unit] if 8 * unit < length else 0
        low, high = 0 if unit else shift, min(8, shift + length - 8 * unit)
        merged = (byte << shift | before >> (8 - shift)) & 0xFF
        write_bits(data, 8 * (first + unit) + low, high - low, bytes((merged >> low,)))
        before = byte


def value_of(data: bytes, bits: int, width: int) -> int | Buffer:
    """What a field of ``bits`` bits reads as: an Integer when it fits in one (of ``width`` bytes), else a Buffer."""
    return int.from_bytes(data, "little") if bits <= 8 * width else Buffer(data)


def raw(value: Value) -> bytes:
    """The bytes that a value brings into a field."""
    if isinstance(value, int):
        return value.to_bytes(8, "little")
    if isinstance(value, (Buffer, String)):
        return bytes(value)
    raise AmlError("AE_AML_OPERAND_TYPE", "only an integer, string or buffer can be stored in a field")


def _check_register(register: Field, value: int) -> None:
    """A bank or index register must be able to hold its value."""
    if value >> register.bits.length:
        raise AmlError("AE_AML_REGISTER_LIMIT", f"{value:#x} does not fit in a register of {register.bits.length} bits")


class FieldAccess:
    """Reads and writes fields.

    Args:
        memory: the machine.
        locate: gives a region its place if it has none yet.
    """

    def __init__(self, memory: RegionAccess, locate: Callable[[OperationRegion], None]) -> None:
        self.memory, self.locate = memory, locate
        self.transact: Callable[[BusTransaction, bytearray], None] = getattr(memory, "transact", absent)
        self.read_run: Callable[[int, int, int, int], bytes] | None = getattr(memory, "read_run", None)

    def read(self, field: Field) -> bytes:
        """The bits of a field, in as few bytes as hold them."""
        bits = field.bits
        first, last = self._units(bits)
        width = bits.width
        if field.index and field.data:
            units = [self._indexed(field, at) for at in range(first, last, width)]
        else:
            memory, space, base = self._open(field, last)
            if self.read_run and memory is self.memory and last - first > width:
                data = self.read_run(space, base + first, width, (last - first) // width)
                return read_bits(data, bits.offset - 8 * first, bits.length)
            read = memory.read
            units = [read(space, at, width) for at in range(base + first, base + last, width)]
        data = b"".join([unit.to_bytes(width, "little") for unit in units])
        return read_bits(data, bits.offset - 8 * first, bits.length)

    def write(self, field: Field, value: bytes) -> None:
        """Write ``value``, truncated or zero-extended; other bits of its units as the update rule says."""
        bits = field.bits
        first, last = self._units(bits)
        width, size = bits.width, last - first
        lead = bits.offset - 8 * first
        tail = 8 * size - lead - bits.length
        data = bytearray((b"\xff" if bits.update == WRITE_AS_ONES else b"\0") * size)
        write_bits(data, lead, bits.length, value)
        units = [int.from_bytes(data[at : at + width], "little") for at in range(0, size, width)]
        keep = dict.fromkeys(range(len(units)), 0)  # bits of partial units that stay as they are
        if bits.update == PRESERVE and units:
            keep[0] |= (1 << lead) - 1
            keep[len(units) - 1] |= ((1 << tail) - 1) << (8 * width - tail)
        memory, space, base = (self.memory, 0, 0) if field.index else self._open(field, last)
        for number, unit in enumerate(units):
            at = first + number * width
            kept = keep[number]
            if field.index and field.data:
                old = self._indexed(field, at) & kept if kept else 0
                self.write(field.index, raw(at))
                self.write(field.data, (unit | old).to_bytes(width, "little"))
            else:
                old = memory.read(space, base + at, width) & kept if kept else 0
                memory.write(space, base + at, width, unit | old)

    def _units(self, bits: Bits) -> tuple[int, int]:
        """The bytes of the units that hold the bits: from the first to behind the last."""
        unit = 8 * bits.width
        if bits.length > 8 * FIELD_LIMIT:
            raise AmlError("AE_AML_BUFFER_LIMIT", f"a field of {bits.length} bits; {8 * FIELD_LIMIT} is the limit")
        return bits.offset // unit * bits.width, -(-(bits.offset + bits.length) // unit) * bits.width

    def bytes(self, region: OperationRegion, length: int) -> bytes:
        """The first bytes of a region, read one by one."""
        memory = self.memory if region.table is None else TableBytes(region.table)
        return bytes(memory.read(region.space, region.offset + at, 1) for at in range(length))

    def _open(self, field: Field, end: int) -> tuple[RegionAccess, int, int]:
        """Select the field's bank; machine, space and address of its region, which must hold ``end`` bytes."""
        region = field.region
        assert region
        if field.bank:
            _check_register(field.bank, field.value)
            self.write(field.bank, raw(field.value))
        self.locate(region)
        if region.space in BUSES:
            raise AmlError("AE_SUPPORT", f"region {region.name} is no memory: it can't hold a register or a bank")
        self.check(field, end)
        memory = self.memory if region.table is None else TableBytes(region.table)
        return memory, region.space, region.offset

    def check(self, field: Field, end: int) -> None:
        """A field's region must hold ``end`` bytes, but for what is left of a unit."""
        region, width = field.region, field.bits.width
        assert region
        if end > -(-region.length // width) * width or region.offset + end > LIMIT:
            raise AmlError(
                "AE_AML_REGION_LIMIT",
                f"a field ends at byte {end:#x} of region {region.name}, which has {region.length:#x} from "
                f"{region.offset:#x} on",
            )

    def _indexed(self, field: Field, at: int) -> int:
        """One unit behind an index/data pair."""
        assert field.index
        assert field.data
        _check_register(field.index, at)
        self.write(field.index, raw(at))
        return int.from_bytes(self.read(field.data), "little") & ((1 << 8 * field.bits.width) - 1)
