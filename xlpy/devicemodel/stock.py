r"""The ACPI tables of vNVDIMMs that no device model serves: a stock Xen, whose hvmloader passes tables through.

There is no mailbox and no device model, so everything is in the AML. A label area is memory of the guest's own: the
methods reach it through SystemMemory regions, in windows that lie inside it and start on 8 bytes. A window is read,
changed and written back as a whole, in stores of 8 bytes; what is outside the range gets the bytes that it had, so a
power failure in between leaves each of its units as it was. Two windows exist, because Linux writes labels and index
blocks of 256 bytes each and reads up to the longest transfer. In ASL:

```
Device (NVDR) {
  Name (_HID, "ACPI0012")
  Method (LWIN, 3, Serialized) {...}  // address, data or 0, whether large -> the window's content
  Method (LGET, 4, Serialized) {...}  // area, size, offset, length -> _LSR's Package
  Method (LPUT, 5, Serialized) {...}  // area, size, offset, length, data -> _LSW's status
  Device (NV00) {
    Name (_ADR, 1)
    Method (_NCH) { Return (Buffer (64) {...}) }   Method (_NBS) { Return (Buffer (64) {...}) }
    Method (_DSM, 4) {...}
    Method (_LSI) { Return (Package (3) { 0, size, 0x1000 }) }
    Method (_LSR, 2) { Return (LGET (area, size, Arg0, Arg1)) }
    Method (_LSW, 3) { Return (LPUT (area, size, Arg0, Arg1, Arg2)) }
  } }
```

Linux (6.1, ``drivers/acpi/nfit/core.c``) looks at the label methods only of a DIMM whose ``_DSM`` answers function 0 of
a family that it knows; with Intel's it then wants that family's own label functions. So there is a ``_DSM`` for
Microsoft's family, which has no label functions, and it offers function 0 and nothing else.

Sources: ACPI 6.5, 6.5.10 (label methods and their statuses), 9.20.8 (``_NCH``, ``_NBS``); UEFI 2.10, 13.19 (labels).
"""

from __future__ import annotations

from _struct import Struct

from xlpy.addr import KIB
from xlpy.firmware.acpi.aml import (
    AccessType,
    RegionSpace,
    add,
    and_,
    arg,
    buffer,
    call,
    concatenate,
    device,
    else_,
    equal,
    field,
    greater,
    if_,
    index,
    less,
    local,
    lor,
    method,
    mid,
    name,
    not_equal,
    object_type,
    op_region,
    package,
    ref,
    return_,
    scope,
    size_of,
    store,
    string,
    subtract,
    touuid,
)
from xlpy.firmware.acpi.header import build_table
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xlpy.addr import Gpa, Span
    from xlpy.devicemodel.backing import Vnvdimm

MICROSOFT_UUID = "1ee68b36-d4bd-4a1a-9a16-4f8e53d46e05"
NOT_SUPPORTED = buffer(b"\1\0\0\0")  # a status of Microsoft's family

MAX_TRANSFER = 4 * KIB
SHORT = 256  # a transfer up to here goes through the small window
UNIT = 8  # bytes in one access
SMALL_WINDOW, LARGE_WINDOW = SHORT + UNIT, MAX_TRANSFER + UNIT  # whatever the offset, the range fits

LS_SUCCESS, LS_FAILURE, LS_INVALID, LS_LOCKED, LS_HARDWARE = range(5)
_BUFFER = 3  # ObjectType

_HEALTH = Struct("<HHHII50x")  # status, extended status, validation, flags, attributes
_BOOT = Struct("<HHHI54x")  # status, extended status, validation, data loss count
_FLAGS_VALID, _ATTRIBUTES_VALID = 1, 2
_WRITES_LOST = 1 << 8  # what is written now does not survive a power failure
_COUNT_VALID = 1


class StockDevice(NamedTuple):
    """A vNVDIMM for a stock Xen.

    device: the vNVDIMM. labels: guest memory of its label area, page aligned and at least 128 KiB; None for none.
    data_losses: how often its DIMMs lost data at a power failure, as far as the host tells; None where it does not.
    """

    device: Vnvdimm
    labels: Span[Gpa] | None = None
    data_losses: int | None = None


def ssdt(devices: Iterable[StockDevice]) -> bytes:
    """The SSDT with the NVDIMM root device and a child for each vNVDIMM."""
    found = list(devices)
    helpers = (_window(), _get(), _put()) if any(one.labels for one in found) else ()
    root = device("NVDR", name("_HID", string("ACPI0012")), *helpers, *(_child(one) for one in found))
    return build_table("SSDT", scope("\\_SB", root), 2, oem_table_id="vNVDIMM")


def _child(one: StockDevice) -> bytes:
    parts = [
        name("_ADR", one.device.handle),
        method("_NCH", 0, return_(_health(one))),
        method("_NBS", 0, return_(_boot_status(one))),
    ]
    if one.labels:
        start, size = one.labels.start, one.labels.size
        parts += [
            _dsm(),
            method("_LSI", 0, return_(package(LS_SUCCESS, size, MAX_TRANSFER))),
            method("_LSR", 2, return_(call("LGET", start, size, arg(0), arg(1)))),
            method("_LSW", 3, return_(call("LPUT", start, size, arg(0), arg(1), arg(2)))),
        ]
    return device(one.device.name, *parts)


def _health(one: StockDevice) -> bytes:
    flags = _WRITES_LOST if one.device.backing.unarmed else 0
    return buffer(_HEALTH.pack(0, 0, _FLAGS_VALID | _ATTRIBUTES_VALID, flags, 0))


def _boot_status(one: StockDevice) -> bytes:
    known = one.data_losses is not None
    return buffer(_BOOT.pack(0, 0, _COUNT_VALID if known else 0, one.data_losses or 0))


def _dsm() -> bytes:
    return method(
        "_DSM",
        4,
        if_(
            equal(arg(0), touuid(MICROSOFT_UUID)),
            if_(equal(arg(2), 0), return_(buffer(b"\1"))),
            return_(NOT_SUPPORTED),
        ),
        return_(buffer(b"\0")),
    )


def _window() -> bytes:
    """Write a window when there is data, then read it. Serialized, because it makes names."""

    def through(region: str, data: str, size: int) -> tuple[bytes, ...]:
        return (
            op_region(region, RegionSpace.SYSTEM_MEMORY, arg(0), size),
            field(region, [(data, size * 8)], AccessType.QWORD),
            if_(equal(object_type(arg(1)), _BUFFER), store(arg(1), ref(data))),
            store(ref(data), local(0)),
        )

    return method(
        "LWIN",
        3,
        if_(arg(2), *through("LWND", "LDAT", LARGE_WINDOW)),
        else_(*through("SWND", "SDAT", SMALL_WINDOW)),
        return_(local(0)),
        serialized=True,
    )


def _bad_range() -> bytes:
    """Whether offset and length (Arg2, Arg3) are not a transfer inside the area (Arg1 bytes); no sum can wrap."""
    size, offset, length = arg(1), arg(2), arg(3)
    outside = lor(greater(offset, size), greater(length, subtract(size, offset)))
    return lor(outside, lor(equal(length, 0), greater(length, MAX_TRANSFER)))


def _choose() -> bytes:
    """Local0: whether the large window is needed. Local1: where it starts in the area. Local2: the range inside it."""
    size, offset, length = arg(1), arg(2), arg(3)
    large, start, inside = local(0), local(1), local(2)
    return b"".join(
        (
            store(greater(length, SHORT), large),
            store(subtract(size, SMALL_WINDOW), inside),
            if_(large, store(subtract(size, LARGE_WINDOW), inside)),
            subtract(offset, and_(offset, UNIT - 1), start),
            if_(greater(start, inside), store(inside, start)),
            subtract(offset, start, inside),
        )
    )


def _get() -> bytes:
    area, offset, length = arg(0), local(2), arg(3)
    result = local(4)
    return method(
        "LGET",
        4,
        store(package(LS_INVALID, buffer()), result),
        if_(_bad_range(), return_(result)),
        _choose(),
        store(call("LWIN", add(area, local(1)), 0, local(0)), local(3)),
        store(LS_SUCCESS, index(result, 0)),
        store(mid(local(3), offset, length), index(result, 1)),
        return_(result),
        serialized=True,
    )


def _put() -> bytes:
    area, inside, length, data = arg(0), local(2), arg(3), arg(4)
    old, new, rest = local(3), local(4), local(5)
    return method(
        "LPUT",
        5,
        if_(_bad_range(), return_(LS_INVALID)),
        if_(not_equal(object_type(data), _BUFFER), return_(LS_INVALID)),
        if_(less(size_of(data), length), return_(LS_INVALID)),
        _choose(),
        store(call("LWIN", add(area, local(1)), 0, local(0)), old),
        add(inside, length, rest),
        store(concatenate(mid(old, 0, inside), mid(data, 0, length)), new),
        store(concatenate(new, mid(old, rest, subtract(size_of(old), rest))), new),
        store(call("LWIN", add(area, local(1)), new, local(0)), old),
        return_(LS_SUCCESS),
        serialized=True,
    )
