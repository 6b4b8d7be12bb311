r"""The AML of the NVDIMM root device and its children, as the body of ``Device (NVDR)``.

hvmloader wraps name and body into ``\_SB``, and nothing else; so every name is inside the device, and the mailbox's
address is a constant in it. What the methods are for is in ACPI 6.5, 9.20; in ASL:

```
Name (_HID, "ACPI0012")
Name (UROT, ToUUID (...))   Name (UDEV, ToUUID (...))   Name (UPRV, ToUUID (...))
OperationRegion (MBOX, SystemMemory, mailbox, 0x1000)
Field (MBOX, DWordAcc, NoLock, Preserve) { BELL, 32, HNDL, 32, REVS, 32, FUNC, 32, LENG, 32, IFID, 128 }
Field (MBOX, QWordAcc, NoLock, Preserve) { Offset (40), LDAT, 32448 }
Field (MBOX, QWordAcc, NoLock, Preserve) { Offset (40), SDAT, 512 }
Method (IDLE) {...}                // until the doorbell is idle; what it then reads
Method (FAIL, 2) {...}             // function, status -> the buffer for "no answer"
Method (ASKM, 5, Serialized) {...} // UUID, revision, function, input or 0, handle -> output
Method (CALL, 5) {...}             // the same with _DSM's Arg3
Method (DWRD, 2) {...}             // buffer, byte offset -> integer
Method (_DSM, 4) { Return (CALL (Arg0, Arg1, Arg2, Arg3, 0)) }
Method (_FIT) {...}
Device (NV00) { _ADR, _DSM, _LSI, _LSR, _LSW, _EJ0 }  // and so on
```

The page is trapped in the model, one access at a time: hence wide accesses, and a second, short view of the data for
the inputs and outputs of up to 64 bytes that most functions have. Results are cut with Mid, which gives a Buffer also
where a field of up to 64 bits would read as an Integer. A doorbell of all-ones means that no device model serves
the page, one that stays set that the device model hangs; both end in a status.

Under an emulator the page is RAM, and the device model another process. Then ASKM also writes to an I/O port, which
wakes that process, and IDLE stalls for a while before it sleeps.
"""

from __future__ import annotations

from xlpy.addr import PAGE
from xlpy.devicemodel import dsm, mailbox
from xlpy.firmware.acpi.aml import (
    AccessType,
    RegionSpace,
    add,
    arg,
    break_,
    buffer,
    call,
    concatenate,
    deref_of,
    device,
    else_,
    equal,
    field,
    greater,
    if_,
    increment,
    index,
    land,
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
    size_of,
    sleep,
    stall,
    store,
    string,
    to_buffer,
    to_integer,
    touuid,
    while_,
)
from xlpy.firmware.acpi.guid import NVDIMM_DEVICE
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.addr import Gpa

SHORT = 64  # bytes of the short view
PATIENCE = 4000  # turns of at least 1 ms that a request may take
STALLS, STALL_US = 100, 50  # turns before those, in which the device model is notified of a request at once
_BUFFER, _PACKAGE = 3, 4  # ObjectType

# _LSI, _LSR and _LSW have their own statuses (ACPI 6.5, 6.5.10)
_LS_FAILURE, _LS_INVALID, _LS_HARDWARE = 1, 2, 4


def root_body(mailbox_page: Gpa, slots: int, wake: int | None = None) -> bytes:
    """The body of the device.

    Args:
        mailbox_page: guest-physical address of the mailbox.
        slots: how many children to make: one for each vNVDIMM and for each that may be attached later, since an
            operating system finds a new one in the FIT but its ACPI object only here.
        wake: an I/O port; a write to it tells the device model, which is another process, that the doorbell was rung.
            It answers in less time than a Sleep takes, so the methods stall first.
    """
    port = (
        ()
        if wake is None
        else (op_region("WAKE", RegionSpace.SYSTEM_IO, wake, 1), field("WAKE", [("TELL", 8)], AccessType.BYTE))
    )
    return b"".join(
        (
            name("_HID", string("ACPI0012")),
            name("UROT", touuid(dsm.ROOT_UUID)),
            name("UDEV", touuid(NVDIMM_DEVICE)),
            name("UPRV", touuid(dsm.PRIVATE_UUID)),
            op_region("MBOX", RegionSpace.SYSTEM_MEMORY, mailbox_page, PAGE),
            field(
                "MBOX",
                [("BELL", 32), ("HNDL", 32), ("REVS", 32), ("FUNC", 32), ("LENG", 32), ("IFID", 128)],
                AccessType.DWORD,
            ),
            field("MBOX", [(None, mailbox.DATA * 8), ("LDAT", mailbox.DATA_SIZE * 8)], AccessType.QWORD),
            field("MBOX", [(None, mailbox.DATA * 8), ("SDAT", SHORT * 8)], AccessType.QWORD),
            *port,
            _wait(told=wake is not None),
            _fail(),
            _ask(told=wake is not None),
            _call(),
            method("DWRD", 2, return_(to_integer(mid(arg(0), arg(1), 4)))),
            _dsm(dsm.ROOT_HANDLE),
            _fit(),
            _label_status(),
            _label_information(),
            _label_read(),
            _label_write(),
            *(_child(slot) for slot in range(slots)),
        )
    )


def _wait(*, told: bool) -> bytes:
    turns = PATIENCE + STALLS if told else PATIENCE
    busy = land(equal(ref("BELL"), mailbox.RING), less(local(0), turns))
    pause = if_(less(local(0), STALLS), stall(STALL_US)) + else_(sleep(1)) if told else sleep(1)
    return method("IDLE", 0, store(0, local(0)), while_(busy, pause, increment(local(0))), return_(ref("BELL")))


def _fail() -> bytes:
    """Function 0: no functions; any other: a status."""
    return method("FAIL", 2, if_(equal(arg(0), 0), return_(buffer(b"\0"))), return_(mid(to_buffer(arg(1)), 0, 4)))


def _ask(*, told: bool) -> bytes:
    """One exchange. Serialized: there is one page for all."""
    uuid, length, data = local(0), local(1), local(2)
    return method(
        "ASKM",
        5,
        store(ref("UDEV"), uuid),
        if_(equal(arg(4), dsm.ROOT_HANDLE), store(ref("UROT"), uuid)),
        if_(equal(arg(4), dsm.PRIVATE_HANDLE), store(ref("UPRV"), uuid)),
        if_(not_equal(arg(0), uuid), return_(call("FAIL", arg(2), dsm.NOT_SUPPORTED))),
        if_(call("IDLE"), return_(call("FAIL", arg(2), dsm.RETRY))),
        store(arg(4), ref("HNDL")),
        store(arg(1), ref("REVS")),
        store(arg(2), ref("FUNC")),
        store(arg(0), ref("IFID")),
        store(0, length),
        if_(equal(object_type(arg(3)), _BUFFER), store(size_of(arg(3)), length)),
        if_(greater(length, SHORT), store(arg(3), ref("LDAT"))),
        else_(if_(greater(length, 0), store(arg(3), ref("SDAT")))),
        store(length, ref("LENG")),
        store(mailbox.RING, ref("BELL")),
        *((store(mailbox.RING, ref("TELL")),) if told else ()),
        if_(call("IDLE"), return_(call("FAIL", arg(2), dsm.RETRY))),
        store(ref("LENG"), length),
        if_(
            lor(equal(length, 0), greater(length, mailbox.DATA_SIZE)),
            return_(call("FAIL", arg(2), dsm.HARDWARE_ERROR)),
        ),
        if_(greater(length, SHORT), store(ref("LDAT"), data)),
        else_(store(ref("SDAT"), data)),
        return_(mid(data, 0, length)),
        serialized=True,
    )


def _call() -> bytes:
    """``_DSM``'s Arg3 is a Package of one Buffer, or of nothing."""
    return method(
        "CALL",
        5,
        store(0, local(0)),
        if_(
            equal(object_type(arg(3)), _PACKAGE),
            if_(equal(size_of(arg(3)), 1), store(deref_of(index(arg(3), 0)), local(0))),
        ),
        return_(call("ASKM", arg(0), arg(1), arg(2), local(0), arg(4))),
    )


def _dsm(handle: int) -> bytes:
    return method("_DSM", 4, return_(call("CALL", arg(0), arg(1), arg(2), arg(3), handle)))


def _dword(value: bytes) -> bytes:
    """A Buffer of 4 bytes from an integer."""
    return mid(to_buffer(value), 0, 4)


def _fit() -> bytes:
    """Read the FIT in pieces; start again when it has changed meanwhile; nothing when it cannot be read."""
    fit, offset, reply, code, piece = (local(n) for n in range(5))
    request = call("ASKM", ref("UPRV"), 1, dsm.READ_FIT, _dword(offset), dsm.PRIVATE_HANDLE)
    return method(
        "_FIT",
        0,
        store(buffer(), fit),
        store(0, offset),
        while_(
            1,
            store(request, reply),
            store(call("DWRD", reply, 0), code),
            if_(equal(code, dsm.FIT_CHANGED), store(buffer(), fit), store(0, offset)),
            else_(
                if_(code, store(buffer(), fit), break_()),
                if_(equal(size_of(reply), 4), break_()),
                store(mid(reply, 4, size_of(reply)), piece),
                add(offset, size_of(piece), offset),
                store(concatenate(fit, piece), fit),
            ),
        ),
        return_(fit),
    )


def _label_status() -> bytes:
    """A status of ``_DSM`` as ``_LSI``, ``_LSR`` and ``_LSW`` return it."""
    return method(
        "LSST",
        1,
        if_(equal(arg(0), dsm.INVALID), return_(_LS_INVALID)),
        if_(equal(arg(0), dsm.HARDWARE_ERROR), return_(_LS_HARDWARE)),
        if_(arg(0), return_(_LS_FAILURE)),
        return_(0),
    )


def _label_information() -> bytes:
    """Handle -> status, size of the label area, longest transfer."""
    reply, result = local(0), local(1)
    return method(
        "LSIN",
        1,
        store(call("ASKM", ref("UDEV"), 1, dsm.LABEL_SIZE, 0, arg(0)), reply),
        store(package(0, 0, 0), result),
        store(call("LSST", call("DWRD", reply, 0)), index(result, 0)),
        if_(
            equal(size_of(reply), 12),
            store(call("DWRD", reply, 4), index(result, 1)),
            store(call("DWRD", reply, 8), index(result, 2)),
        ),
        return_(result),
    )


def _label_read() -> bytes:
    """Handle, offset, length -> status, data."""
    reply, result = local(0), local(1)
    return method(
        "LSRD",
        3,
        store(call("ASKM", ref("UDEV"), 1, dsm.LABEL_GET, concatenate(_dword(arg(1)), _dword(arg(2))), arg(0)), reply),
        store(package(0, buffer()), result),
        store(call("LSST", call("DWRD", reply, 0)), index(result, 0)),
        store(mid(reply, 4, size_of(reply)), index(result, 1)),
        return_(result),
    )


def _label_write() -> bytes:
    """Handle, offset, length, data -> status."""
    request, reply = local(0), local(1)
    return method(
        "LSWR",
        4,
        store(concatenate(_dword(arg(1)), _dword(arg(2))), request),
        store(concatenate(request, arg(3)), request),
        store(call("ASKM", ref("UDEV"), 1, dsm.LABEL_SET, request, arg(0)), reply),
        return_(call("LSST", call("DWRD", reply, 0))),
    )


def _child(slot: int) -> bytes:
    handle = slot + 1
    release = call("ASKM", ref("UPRV"), 1, dsm.RELEASE, buffer(handle.to_bytes(4, "little")), dsm.PRIVATE_HANDLE)
    return device(
        f"NV{slot:02X}",
        name("_ADR", handle),
        _dsm(handle),
        method("_LSI", 0, return_(call("LSIN", handle))),
        method("_LSR", 2, return_(call("LSRD", handle, arg(0), arg(1)))),
        method("_LSW", 3, return_(call("LSWR", handle, arg(0), arg(1), arg(2)))),
        method("_EJ0", 1, release),
    )
