"""SSDTs that depend on the domain's configuration."""

from __future__ import annotations

from xlpy.firmware.acpi import aml
from xlpy.firmware.acpi.header import build_table
from xlpy.firmware.hvmloader.board import AML_CREATOR
from xlpy.firmware.layout import TPM_TIS


def ssdt(*body: bytes) -> bytes:
    """A whole SSDT of revision 2."""
    return build_table("SSDT", b"".join(body), 2, **AML_CREATOR)


def sleep_s3() -> bytes:
    r"""``\_S3``: sleep type 1."""
    return ssdt(aml.name("\\_S3", aml.package(1, 1, 0, 0)))


def sleep_s4() -> bytes:
    r"""``\_S4``: sleep type 0."""
    return ssdt(aml.name("\\_S4", aml.package(0, 0, 0, 0)))


def laptop_slate() -> bytes:
    r"""``\CONV``: the laptop and slate mode indicator of a convertible."""
    return ssdt(
        aml.device(
            "CONV",
            aml.method("_HID", 0, aml.return_(aml.string("ID9001"))),
            aml.name("_CID", aml.string("PNP0C60")),
        )
    )


def tpm12() -> bytes:
    r"""``\TPM``: a TIS interface of five localities."""
    return ssdt(_tpm(aml.eisaid("PNP0C31"), 0x5000))


def tpm20() -> bytes:
    r"""``\TPM``: a CRB interface of one locality."""
    return ssdt(_tpm(aml.string("MSFT0101"), 0x1000, aml.method("_STA", 0, aml.return_(0x0F))))


def _tpm(hid: bytes, length: int, *more: bytes) -> bytes:
    registers = aml.resource_template(aml.memory32fixed(TPM_TIS, length))
    return aml.device("TPM", aml.name("_HID", hid), aml.name("_CRS", registers), *more)


# The battery emulation: a command goes to the first port, which reads 0 when it is done; a byte of data goes either way
# through the second; the third reads as _STA.
_COMMAND_PORT, _DATA_PORT, _STATUS_PORT = 0xB2, 0x86, 0x88
_START, _SEND, _EXECUTE, _RECEIVE = 0x7B, 0x7C, 0x79, 0x7D
_INFORMATION, _STATUS = 1, 2


def power() -> bytes:
    r"""``\_SB``: an AC adapter that is off line and two batteries, whose data come from the host's."""
    space = aml.RegionSpace.SYSTEM_IO
    return ssdt(
        aml.scope(
            "\\_SB",
            aml.op_region("PRT1", space, _COMMAND_PORT, 1),
            aml.field("PRT1", (("PB2", 8),), aml.AccessType.BYTE),
            aml.op_region("PRT2", space, _DATA_PORT, 1),
            aml.field("PRT2", (("P86", 8),), aml.AccessType.BYTE),
            aml.op_region("PRT3", space, _STATUS_PORT, 1),
            aml.field("PRT3", (("P88", 8),), aml.AccessType.BYTE),
            aml.mutex("SYNC", 1),
            *_battery_protocol(),
            aml.device(
                "AC",
                aml.name("_HID", aml.string("ACPI0003")),
                aml.name("_PCL", aml.package(aml.ref("\\_SB"), aml.ref("BAT0"), aml.ref("BAT1"))),
                aml.method("_PSR", 0, aml.return_(0)),
                aml.method("_STA", 0, aml.return_(0x0F)),
            ),
            _battery(1, aml.ref("P88")),
            _battery(2, 0x0F),
        )
    )


def _battery_protocol() -> tuple[bytes, ...]:
    """``WPRT (command, data)``; ``INIT (kind, battery)`` makes a request; ``HLP7`` and ``HLPA`` read its answer."""
    value, count, position = aml.local(0), aml.local(1), aml.local(2)
    receive = aml.call("WPRT", _RECEIVE, 0)
    return (
        aml.method(
            "WPRT",
            2,
            aml.store(aml.arg(1), aml.ref("P86")),
            aml.store(aml.arg(0), aml.ref("PB2")),
            aml.while_(aml.ref("PB2"), aml.stall(10)),
            aml.return_(aml.ref("P86")),
        ),
        aml.method(
            "INIT",
            2,
            aml.call("WPRT", _START, 0),
            aml.call("WPRT", _SEND, aml.arg(0)),
            aml.call("WPRT", _SEND, aml.arg(1)),
            aml.call("WPRT", _EXECUTE, 0),
        ),
        aml.method(
            "HLP7",
            0,
            aml.store(receive, value),
            *(aml.or_(value, aml.shift_left(receive, bit), value) for bit in (8, 16, 24)),
            aml.return_(value),
        ),
        aml.method(
            "HLPA",
            0,
            aml.store(receive, count),
            aml.store(aml.buffer(size=count), value),
            aml.store(0, position),
            aml.while_(
                aml.less(position, count),
                aml.store(receive, aml.index(value, position)),
                aml.increment(position),
            ),
            aml.return_(aml.to_string(value, aml.ones())),
        ),
    )


def _battery(number: int, status: aml.Term) -> bytes:
    def answer(kind: int, numbers: int, strings: int) -> tuple[bytes, ...]:
        result = aml.local(0)
        readers = ["HLP7"] * numbers + ["HLPA"] * strings
        return (
            aml.acquire(aml.ref("SYNC")),
            aml.call("INIT", kind, number),
            aml.store(aml.package(*[0] * len(readers)), result),
            *(aml.store(aml.call(reader), aml.index(result, place)) for place, reader in enumerate(readers)),
            aml.release(aml.ref("SYNC")),
            aml.return_(result),
        )

    return aml.device(
        f"BAT{number - 1}",
        aml.name("_HID", aml.eisaid("PNP0C0A")),
        aml.name("_UID", number),
        aml.name("_PCL", aml.package(aml.ref("\\_SB"))),
        aml.method("_STA", 0, aml.return_(status)),
        aml.method("_BIF", 0, *answer(_INFORMATION, 9, 4)),
        aml.method("_BST", 0, *answer(_STATUS, 4, 0)),
    )
