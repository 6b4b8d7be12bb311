"""``_DSM`` as the device model answers it: the NVDIMM root device, each vNVDIMM, and our own AML's needs.

Interfaces (ACPI 6.5, 9.20.7 and 9.20.8; the NVDIMM ``_DSM`` example interface):

| UUID | handle | functions |
|---|---|---|
| 2f10e7a4-9e91-11e4-89d3-123b93f75cba | 0 | 1-4 scrub and clear error, 5 translate |
| 4309ac30-0d11-11e4-9191-0800200c9a66 | of a vNVDIMM | 1-2 SMART, 4-6 labels; in revision 2 also 17 SMART |
| 648b9cf2-cda1-4312-8ad9-49c4af32bd62 | 0x10000 | 1 Read FIT, 2 release a vNVDIMM (``_EJ0``), 3 next notification |

Function 0 answers the mask of what there is, in as many bytes as it takes: 0 for an interface, revision or device that
is not. Everything else starts with a status. The order of checks is interface, revision, device, function, input. The
input is a copy that the guest cannot change; its claims are compared with what is there before anything is done.
"""

from __future__ import annotations

from _struct import Struct

from xlpy.devicemodel.mailbox import DATA_SIZE
from xlpy.firmware.acpi.guid import NVDIMM_DEVICE, guid_bytes
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from xlpy.devicemodel.ars import Ars
    from xlpy.devicemodel.backing import Vnvdimm
    from xlpy.devicemodel.labels import LabelStore
    from xlpy.devicemodel.mailbox import Request
    from xlpy.devicemodel.smart import Smart
    from xlpy.hw.health import Thresholds

ROOT_UUID = "2f10e7a4-9e91-11e4-89d3-123b93f75cba"
PRIVATE_UUID = "648b9cf2-cda1-4312-8ad9-49c4af32bd62"
_ROOT, _DEVICE, _PRIVATE = map(guid_bytes, (ROOT_UUID, NVDIMM_DEVICE, PRIVATE_UUID))

ROOT_HANDLE, PRIVATE_HANDLE = 0, 0x10000
REVISION, DEVICE_REVISION = 1, 2  # a vNVDIMM's functions from 10 on need the second (Intel, _DSM interface)

# Device and private statuses
SUCCESS, NOT_SUPPORTED, NO_DEVICE, INVALID, HARDWARE_ERROR, RETRY = range(6)
FIT_CHANGED, NO_EVENT = 0x100, 0x101
ROOT_INVALID = 2  # the root device counts its statuses another way

# Functions
SMART, THRESHOLDS, LABEL_SIZE, LABEL_GET, LABEL_SET, SET_THRESHOLDS = 1, 2, 4, 5, 6, 17
ARS_CAPABILITIES, ARS_START, ARS_STATUS, CLEAR_ERROR, TRANSLATE = 1, 2, 3, 4, 5
READ_FIT, RELEASE, NEXT_EVENT = 1, 2, 3

MAX_TRANSFER = DATA_SIZE - 8  # set: offset and length come before the data; get, with 4 bytes of status, could do more
FIT_CHUNK = DATA_SIZE - 4

_U32, _U64 = Struct("<I"), Struct("<Q")
_PAIR32, _PAIR64 = Struct("<II"), Struct("<QQ")
_ARS_START = Struct("<QQHB5x")
_LABEL_SIZE = Struct("<III")
_SET_THRESHOLDS = Struct("<HBHH")
_NOTHING = Struct("")


class DsmTarget(Protocol):
    """What the functions act on: the device model of the domain that asks."""

    @property
    def devices(self) -> Sequence[Vnvdimm]:
        """The vNVDIMMs by slot."""

    @property
    def ars(self) -> Ars:
        """Scrub functions over the poison list."""

    @property
    def fit(self) -> bytes:
        """What ``_FIT`` returns."""

    @property
    def fit_changed(self) -> bool:
        """Whether the guest has not begun to read the FIT since it changed last."""

    def fit_begun(self) -> None:
        """The guest reads the FIT from its start."""

    def labels(self, device: Vnvdimm, /) -> LabelStore | None:
        """The label area of a vNVDIMM."""

    def smart(self, device: Vnvdimm, /) -> Smart | None:
        """The current health of the DIMMs under a vNVDIMM."""

    def set_limits(self, device: Vnvdimm, limits: Thresholds, /) -> None:
        """The guest chooses when it is alarmed."""

    def health_begun(self, device: Vnvdimm, /) -> None:
        """The guest asks how a vNVDIMM is."""

    def release(self, device: Vnvdimm, /) -> None:
        """The guest has let go of a vNVDIMM (``_EJ0``)."""

    def next_event(self) -> tuple[int, int] | None:
        """The oldest notification that was not fetched yet, as (handle, value); None when there is none."""


class DsmFunction(NamedTuple):
    """One function: the layout of its input's fixed part, and what it does with the fields and the rest."""

    input: Struct
    act: Callable[..., bytes]


def status(code: int) -> bytes:
    """An output that is a status and nothing else."""
    return _U32.pack(code)


def answer(model: DsmTarget, request: Request) -> bytes:
    """The output for one request: at most ``DATA_SIZE`` bytes; anything that is not in order gets a status."""
    functions, missing = _interface(model, request)
    if request.function == 0:
        mask = sum(1 << number for number in functions) | bool(functions)
        return mask.to_bytes(max(1, -(-mask.bit_length() // 8)), "little")
    if missing:
        return status(missing)
    function = functions.get(request.function)
    if function is None:
        return status(NOT_SUPPORTED)
    size = function.input.size
    if request.length > DATA_SIZE or len(request.data) < size:
        return status(ROOT_INVALID if request.handle == ROOT_HANDLE else INVALID)
    try:
        return function.act(*function.input.unpack_from(request.data), request.data[size:])
    except OSError:
        return status(HARDWARE_ERROR)


def _interface(model: DsmTarget, request: Request) -> tuple[Mapping[int, DsmFunction], int]:
    """The functions that handle, UUID and revision select, by number; or none, and the status with the reason."""
    uuid = {ROOT_HANDLE: _ROOT, PRIVATE_HANDLE: _PRIVATE}.get(request.handle, _DEVICE)
    if request.uuid != uuid or not REVISION <= request.revision <= (DEVICE_REVISION if uuid == _DEVICE else REVISION):
        return {}, NOT_SUPPORTED
    if uuid == _ROOT:
        return _root(model), SUCCESS
    if uuid == _PRIVATE:
        return _private(model), SUCCESS
    device = _find(model, request.handle)
    if device is None:
        return {}, NO_DEVICE
    return _device(model, device, request.revision), SUCCESS


def _find(model: DsmTarget, handle: int) -> Vnvdimm | None:
    return next((device for device in model.devices if device.handle == handle), None)


# -- the root device ----------------------------------------------------------------------------------------------


def _root(model: DsmTarget) -> dict[int, DsmFunction]:
    from xlpy.devicemodel import ars

    scrub = model.ars
    return {
        ARS_CAPABILITIES: DsmFunction(_PAIR64, lambda spa, length, _: scrub.capabilities(spa, length)),
        ARS_START: DsmFunction(_ARS_START, lambda spa, length, kind, _flags, _: scrub.start(spa, length, kind)),
        ARS_STATUS: DsmFunction(_NOTHING, lambda _: scrub.status()),
        CLEAR_ERROR: DsmFunction(_PAIR64, lambda spa, length, _: scrub.clear(spa, length)),
        TRANSLATE: DsmFunction(_U64, lambda spa, _: ars.translate(model.devices, spa)),
    }


# -- a vNVDIMM ------------------------------------------------------------------------------------------------------


def _device(model: DsmTarget, device: Vnvdimm, revision: int) -> dict[int, DsmFunction]:
    functions = {}
    labels = model.labels(device)
    if device.backing.smart:
        functions[SMART] = DsmFunction(_NOTHING, lambda _: _smart(model, device))
        functions[THRESHOLDS] = DsmFunction(_NOTHING, lambda _: _thresholds(model, device))
    if device.backing.smart and revision == DEVICE_REVISION:
        functions[SET_THRESHOLDS] = DsmFunction(
            _SET_THRESHOLDS, lambda *fields: _set_thresholds(model, device, *fields)
        )
    if labels is not None:
        functions[LABEL_SIZE] = DsmFunction(_NOTHING, lambda _: _LABEL_SIZE.pack(SUCCESS, labels.size, MAX_TRANSFER))
        functions[LABEL_GET] = DsmFunction(_PAIR32, lambda offset, length, _: _label_get(labels, offset, length))
        functions[LABEL_SET] = DsmFunction(
            _PAIR32, lambda offset, length, data: _label_set(labels, offset, length, data)
        )
    return functions


def _smart(model: DsmTarget, device: Vnvdimm) -> bytes:
    from xlpy.devicemodel import smart

    found = model.smart(device)
    if found is None:
        return status(HARDWARE_ERROR)
    model.health_begun(device)
    return status(SUCCESS) + smart.record(found)


def _thresholds(model: DsmTarget, device: Vnvdimm) -> bytes:
    from xlpy.devicemodel import smart

    found = model.smart(device)
    return status(HARDWARE_ERROR) if found is None else status(SUCCESS) + smart.thresholds(found.limits)


def _set_thresholds(
    model: DsmTarget, device: Vnvdimm, control: int, spares: int, media: int, controller: int, _: bytes
) -> bytes:
    from xlpy.devicemodel import smart

    limits = smart.limits(control, spares, media, controller)
    if limits is None:
        return status(INVALID)
    model.set_limits(device, limits)
    return status(SUCCESS)


def _label_get(labels: LabelStore, offset: int, length: int) -> bytes:
    if length > MAX_TRANSFER or offset + length > labels.size:
        return status(INVALID)
    return status(SUCCESS) + labels.read(offset, length)


def _label_set(labels: LabelStore, offset: int, length: int, data: bytes) -> bytes:
    if length > len(data) or offset + length > labels.size:
        return status(INVALID)
    labels.write(offset, data[:length])
    return status(SUCCESS)


# -- our own AML ----------------------------------------------------------------------------------------------------


def _private(model: DsmTarget) -> dict[int, DsmFunction]:
    return {
        READ_FIT: DsmFunction(_U32, lambda offset, _: _read_fit(model, offset)),
        RELEASE: DsmFunction(_U32, lambda handle, _: _release(model, handle)),
        NEXT_EVENT: DsmFunction(_NOTHING, lambda _: _next_event(model)),
    }


def _read_fit(model: DsmTarget, offset: int) -> bytes:
    if offset > len(model.fit):
        return status(INVALID)
    if offset == 0:
        model.fit_begun()
    elif model.fit_changed:
        return status(FIT_CHANGED)
    return status(SUCCESS) + model.fit[offset : offset + FIT_CHUNK]


def _release(model: DsmTarget, handle: int) -> bytes:
    device = _find(model, handle)
    if device is None:
        return status(NO_DEVICE)
    model.release(device)
    return status(SUCCESS)


def _next_event(model: DsmTarget) -> bytes:
    event = model.next_event()
    return status(NO_EVENT) if event is None else status(SUCCESS) + _PAIR32.pack(*event)
