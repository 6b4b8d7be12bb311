"""``ndctl read-infoblock`` and ``write-infoblock``."""

from __future__ import annotations

import os
import sys
from _struct import unpack_from
from errno import EBUSY, EINVAL, EIO, ENXIO
from stat import S_ISREG

from xlpy.addr import PAGE, Spa, align_down, align_up
from xlpy.cli.ndctl import device
from xlpy.cli.ndctl.files import Output
from xlpy.cli.ndctl.jsonc import show_array
from xlpy.cli.ndctl.namespaces import BASE, CheckedOptions, mode_of, walk
from xlpy.cli.ndctl.objects import NO_UUID, Detail
from xlpy.cli.ndctl.options import Parser, Values, flag, text
from xlpy.cli.ndctl.session import strerror
from xlpy.cli.ndctl.sizes import NONE
from xlpy.dom0.nvdimm import BTT_SIGNATURE, DAX_SIGNATURE, PFN_SIGNATURE
from xlpy.dom0.nvdimm.fletcher import sealed
from xlpy.dom0.nvdimm.infoblock import BLOCK, MODE_PMEM, MODE_RAM, PfnBlock
from xlpy.private import private
from xlpy.typing import TYPE_CHECKING, Any
from xlpy.uuids import random_uuid, uuid_bytes, uuid_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xlpy.cli.ndctl.session import NdctlSession
    from xlpy.dom0.nvdimm.nd.namespace import NdNamespace

READ = (
    *BASE,
    text("o", "output", "output-file", "filename to write infoblock contents"),
    text("i", "input", "input-file", "filename to read infoblock instead of a namespace"),
    flag("V", "verify", "validate parent uuid, and infoblock checksum"),
    flag("j", "json", "parse label data into json"),
    flag("u", "human", "use human friendly number formats (implies --json)"),
)
WRITE = (
    *BASE,
    text("o", "output", "output-file", "filename to write infoblock contents"),
    flag("c", "stdout", "write the infoblock data to stdout"),
    text("m", "mode", "operation-mode", "specify the infoblock mode, 'fsdax' or 'devdax' (default 'fsdax')"),
    text("s", "size", "size", "override the image size to instantiate the infoblock"),
    text("a", "align", "align", "specify the expected physical alignment"),
    text("u", "uuid", "uuid", "specify the uuid for the infoblock (default: autogenerate)"),
    text("M", "map", "memmap-location", "specify 'mem' or 'dev' for the location of the memmap"),
    text("p", "parent-uuid", "parent-uuid", "specify the parent namespace uuid for the infoblock (default: 0)"),
    text("O", "offset", "offset", "EXPERT/DEBUG only: enable namespace inner alignment padding"),
)
BYTES = 8192  # what is read and written: the first block is empty except for a BTT_SIGNATURE 2.0
SUBSECTION, MIB2 = 2 << 20, 2 << 20
BTT_NUMBERS = ("external_lbasize", "external_nlba", "internal_lbasize", "internal_nlba", "nfree", "infosize")
BTT_PLACES = ("nextoff", "dataoff", "mapoff", "logoff", "info2off")
PFN_NUMBERS = ("dataoff", "npfns", "mode", "start_pad", "end_trunc", "align", "page_size", "page_struct_size")


def read(session: NdctlSession, words: Sequence[str]) -> int:
    """``read-infoblock``."""
    parser = Parser(session, READ, "ndctl read-infoblock <namespace> [<options>]")
    values, rest = parser.parse(words)
    checked = CheckedOptions(session, values)
    for word in rest[1:]:
        checked.fault(f'unknown extra parameter "{word}"')
    if values.input is not None and rest:
        checked.fault("specify a namespace, or --input, not both")
    if not checked.sound:
        parser.usage()
    target = Output.open(session, values.output)
    if isinstance(target, int):
        result, done = target, 0
    else:
        with target:
            result, done = InfoBlockReader(session, values, target).run(rest[0] if rest else None)
    if result < 0:
        session.err(f"error reading infoblock data: {strerror(result)}")
    session.err(f"read {done} infoblock{'' if done == 1 else 's'}")
    return result


class InfoBlockReader:
    """Reads info blocks.

    Args:
        session: for messages.
        values: of the options.
        target: where they go.
    """

    def __init__(self, session: NdctlSession, values: Values, target: Output) -> None:
        self._session = session
        self._values = values
        self._target = target
        self._as_json = values.json or values.human
        self._found: list[dict[str, Any]] | None = None

    def run(self, name: str | None) -> tuple[int, int]:
        """(result, how many places were read) of a namespace by name, or of ``--input`` or standard input."""
        if name is None:
            result = self._file(self._values.input)
            done = int(result >= 0)
        else:
            with self._session.change(f"ndctl read-infoblock {name}") as nd:
                result, done = walk(nd, self._values, name, self._namespace)
        if self._found is not None:
            show_array(self._target, self._found, human=False)
        return result, done

    def _file(self, path: str | None) -> int:
        try:
            if path is None:
                data = sys.stdin.buffer.read(BYTES) if sys.stdin else b""
            else:
                with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
                    data = stream.read(BYTES)
        except OSError as error:
            return -(error.errno or EIO)
        if len(data) < BYTES:
            return -EIO
        self._take(data, {"file": "<stdin>" if path is None else path}, None)
        return 0

    def _namespace(self, one: NdNamespace) -> int:
        if one.enabled:
            return -EBUSY
        device.attempt(lambda: one.store_force_raw(True))
        result = device.enable_namespace(self._session, one)
        if result >= 0:
            try:
                data = one.region.bus.memory.read(one.resource, BYTES)
            except OSError:
                result = -EIO
            else:
                self._take(data, {"dev": one.dev}, one.uuid if one.has_label else "")
        device.attempt(lambda: one.store_force_raw(False))
        device.disable_namespace(self._session, one)
        return result

    def _take(self, data: bytes, place: dict[str, str], parent: str | None) -> None:
        if not self._as_json:
            self._target.write(data)
            return
        if self._found is None:
            self._found = []
        for block in _blocks(data):
            if self._values.verify and not self._verified(block, parent):
                continue
            self._found.append(place | block_object(block, Detail(human=self._values.human)))

    @staticmethod
    def _verified(block: bytes, parent: str | None) -> bool:
        stored, computed = sealed(block, BLOCK - 8)
        # of the parent's uuid only the first byte is compared
        return stored == computed and (not parent or uuid_bytes(parent)[0] == block[32])


def _blocks(data: bytes) -> Iterator[bytes]:
    """The info blocks at the start of a namespace, in the order in which they are looked for."""
    first, second = data[:BLOCK], data[BLOCK:]
    for block, signature in (
        (second, BTT_SIGNATURE),
        (first, BTT_SIGNATURE),
        (second, PFN_SIGNATURE),
        (second, DAX_SIGNATURE),
    ):
        if block.startswith(signature):
            yield block


def block_object(block: bytes, detail: Detail) -> dict[str, Any]:
    """An info block as JSON."""
    signature, own, parent, flags, major, minor = unpack_from("<16s16s16sIHH", block)
    made: dict[str, Any] = {
        "signature": signature.split(b"\0", 1)[0].decode("latin-1"),
        "uuid": uuid_text(own) or NO_UUID,
        "parent_uuid": uuid_text(parent) or NO_UUID,
        "flags": detail.hex(flags),
        "version": f"{major}.{minor}",
    }
    if signature == BTT_SIGNATURE:
        numbers = dict(zip(BTT_NUMBERS, unpack_from("<6I", block, 56), strict=True))
        places = zip(BTT_PLACES, unpack_from("<5Q", block, 80), strict=True)
        return made | numbers | {name: detail.hex(place) for name, place in places}
    for name, number in zip(PFN_NUMBERS, unpack_from("<QQIIIIIH", block, 56), strict=True):
        made[name] = number if name == "mode" else detail.hex(number)
    return made


# --- writing ---------------------------------------------------------------------------------------------------------


def write(session: NdctlSession, words: Sequence[str]) -> int:
    """``write-infoblock``."""
    parser = Parser(session, WRITE, "ndctl write-infoblock <namespace> [<options>]")
    values, rest = parser.parse(words)
    checked = CheckedOptions(session, values)
    if values.mode is not None:
        mode = mode_of(values.mode)
        if mode is None:
            checked.fault(f"invalid mode '{values.mode}'")
        elif mode not in ("fsdax", "devdax"):
            checked.fault(f"unsupported mode '{values.mode}'")
    else:
        values["mode"] = "fsdax"
    if values.map is None:
        values["map"] = "dev"
    else:
        checked.map(values.mode)
    checked.sizes()
    checked.uuids()
    to_file = values.output is not None or values.stdout
    if not rest and not to_file:
        checked.fault('specify a namespace to write-infoblock, or "all"')
    for word in rest[1:]:
        checked.fault(f'unknown extra parameter "{word}"')
    if to_file and rest:
        checked.fault("specify only one of a namespace filter, --output, or --stdout")
    if values.stdout and values.size is None:
        checked.fault("--size required with --stdout")
    if not checked.sound:
        parser.usage()
    if rest:
        with session.change(f"ndctl write-infoblock {rest[0]}") as nd:
            result, done = walk(nd, values, rest[0], lambda one: _to_namespace(session, one, values))
    else:
        result = _to_file(session, values)
        done = int(result >= 0)
    if result < 0:
        session.err(f"error checking infoblocks: {strerror(result)}")
    session.err(f"wrote {done} infoblock{'' if done == 1 else 's'}")
    return result


def build(session: NdctlSession, values: Values, length: int, align: int, parent: str) -> bytes | int:
    """The first 8 KiB of an image of ``length`` bytes; a negative errno (reported) on failure."""
    start = session.size(values.offset)
    step = max(align, SUBSECTION)
    on_media = values.map == "dev"
    pages = (length - BYTES & NONE) // PAGE
    pad = align_up(start, step) - start
    trunc = start + length - align_down(start + length, step)
    front = BYTES + 64 * pages if on_media else BYTES
    if on_media and start + front > NONE and session.release.checked:
        session.error("integer overflow in offset calculation\n")
        return -EINVAL
    offset = align_up(start + front, step) - start
    if offset >= length:
        session.error("unable to satisfy requested alignment\n")
        return -ENXIO
    block = PfnBlock(
        signature=DAX_SIGNATURE if mode_of(values.mode) == "devdax" else PFN_SIGNATURE,
        uuid=uuid_bytes(values.uuid) if values.uuid is not None else random_uuid(),
        parent=uuid_bytes(parent) if parent else bytes(16),
        dataoff=offset,
        npfns=(length - offset - trunc - pad & NONE) // PAGE,
        mode=MODE_PMEM if on_media else MODE_RAM,
        start_pad=pad,
        end_trunc=trunc,
        align=align,
    )
    return bytes(BLOCK) + block.build()


def _to_file(session: NdctlSession, values: Values) -> int:
    length, align = session.size(values.size), session.size(values.align or "2M")
    parent = values.parent_uuid or ""
    if values.stdout:
        data = build(session, values, length, align, parent)
        if isinstance(data, int):
            return data
        target = Output.open(session, None)
        assert isinstance(target, Output)
        with target:
            target.write(data)
        return 0
    try:
        fd = private(values.output, os.O_CREAT | os.O_RDWR)
    except OSError as error:
        session.error(f"failed to open: {values.output}\n")
        return -(error.errno or EIO)
    with os.fdopen(fd, "r+b") as stream:
        if not length:
            if not S_ISREG(os.fstat(fd).st_mode):
                session.error(f"unsupported file type: {values.output}\n")
                return -EINVAL
            length = os.fstat(fd).st_size
        data = build(session, values, length, align, parent)
        if isinstance(data, int):
            return data
        stream.write(data)
    return 0


def _to_namespace(session: NdctlSession, one: NdNamespace, values: Values) -> int:
    if one.enabled:
        return -EBUSY
    device.attempt(lambda: one.store_force_raw(True))
    result = device.enable_namespace(session, one)
    if result >= 0:
        result = _fill(session, one, values)
    device.attempt(lambda: one.store_force_raw(False))
    device.disable_namespace(session, one)
    return result


def _fill(session: NdctlSession, one: NdNamespace, values: Values) -> int:
    align = session.size(values.align) if values.align is not None else PAGE
    length = session.size(values.size) if values.size is not None else one.size
    result = 0
    if values.size is not None and length % align:
        session.error(f"--size={values.size} not aligned to {values.align or align}\n")
        result = -EINVAL
    if result:
        return result
    parent = values.parent_uuid or (one.uuid if one.has_label else "")
    data = build(session, values, length, align, parent)
    if isinstance(data, int):
        return data
    one.region.bus.memory.write(Spa(one.resource), data)
    return 0
