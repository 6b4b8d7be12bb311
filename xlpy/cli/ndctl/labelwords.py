"""The commands on label areas: ``init-``, ``check-``, ``read-``, ``write-`` and ``zero-labels``."""

from __future__ import annotations

from _struct import unpack_from
from errno import EBUSY, EINVAL, ENXIO

from xlpy import limits
from xlpy.cli.ndctl.device import attempt, disable_dimm, enable_dimm
from xlpy.cli.ndctl.dimms import BASE, MANY, chosen, each, names, summary
from xlpy.cli.ndctl.files import Input, Output
from xlpy.cli.ndctl.jsonc import show_array
from xlpy.cli.ndctl.objects import Detail
from xlpy.cli.ndctl.options import NdctlOption, Parser, Values, flag, text
from xlpy.dom0.nvdimm.labels import INDEX_HEAD, LABEL_SIZE, Label, empty_index, geometry, read_area
from xlpy.typing import TYPE_CHECKING, Any
from xlpy.uuids import uuid_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.cli.ndctl.session import NdctlSession
    from xlpy.dom0.nvdimm.nd.dimm import Nvdimm

RANGE = (
    NdctlOption("s", "size", "number of label bytes to operate", kind="number"),
    NdctlOption("O", "offset", "offset into the label area to start operation", kind="number"),
)
READ = (
    *BASE,
    *RANGE,
    text("o", "output", "output-file", "filename to write label area contents"),
    flag("j", "json", "parse label data into json"),
    flag("u", "human", "use human friendly number formats (implies --json)"),
    flag("I", "index", "limit read to the index block area"),
)
WRITE = (*BASE, *RANGE, text("i", "input", "input-file", "filename to read label area data"))
INIT = (
    *BASE,
    flag("f", "force", "force initialization even if existing index-block present"),
    text("V", "label-version", "version-number", "namespace label specification version (default: 1.1)"),
)
MINORS = {"1.1": 1, "v1.1": 1, "1.2": 2, "v1.2": 2}


def write_index(dimm: Nvdimm, minor: int) -> None:
    """Write two empty index blocks of format 1.``minor``, as libndctl does.

    The bits that fill up the last eight bytes of the bitmap are set too; what lies behind them stays as it was.
    """
    size = dimm.get_config_size()[0]
    before = dimm.get_config_data(0, 2 * geometry(size, LABEL_SIZE[1])[0])
    for block in (0, 1):
        made = empty_index(size, block, minor)
        bits = -(-made.slots // 64) * 64
        kept = int.from_bytes(before[made.own + INDEX_HEAD : made.own + made.size], "little") >> bits << bits
        dimm.set_config_data(made.own, made._replace(free=kept | (1 << bits) - 1).build())


def again(session: NdctlSession, dimm: Nvdimm) -> int:
    """Let the driver read the labels anew, if it is there."""
    if not dimm.bound:
        return 0
    return disable_dimm(session, dimm) or enable_dimm(session, dimm)


def _initialised(dimm: Nvdimm) -> bool:
    size = dimm.get_config_size()[0]
    return read_area(size, dimm.get_config_data).current is not None


def init(session: NdctlSession, words: Sequence[str]) -> int:
    """``init-labels``."""
    parser = Parser(session, INIT, f"ndctl init-labels {MANY}")
    values, rest = parser.parse(words)
    wanted = names(session, parser, rest)
    version = "1.1" if values.label_version is None else values.label_version
    if version not in MINORS:
        session.err(f"'{version}' is not a valid label version")
        return summary(session, "initialized {} nmem", -EINVAL)

    def act(dimm: Nvdimm) -> int:
        if not dimm.commands:
            return -ENXIO
        if dimm.state == "active":
            session.err(f"{dimm.dev}: regions active, abort label write")
            return -EBUSY
        if not values.force and _initialised(dimm):
            session.err(f"{dimm.dev}: error: labels already initialized")
            return -EBUSY
        return attempt(lambda: write_index(dimm, MINORS[version])) or again(session, dimm)

    with session.change(f"ndctl init-labels {' '.join(wanted)}") as nd:
        count = each(chosen(nd, values, wanted), act)
    return summary(session, "initialized {} nmem", count)


def check(session: NdctlSession, words: Sequence[str]) -> int:
    """``check-labels``."""
    parser = Parser(session, BASE, f"ndctl check-labels {MANY}")
    values, rest = parser.parse(words)
    wanted = names(session, parser, rest)

    def act(dimm: Nvdimm) -> int:
        if not dimm.commands:
            return -ENXIO
        return 0 if _initialised(dimm) else -EINVAL

    count = each(chosen(session.nd, values, wanted), act)
    return summary(session, "successfully verified {} nmem label", count)


def zero(session: NdctlSession, words: Sequence[str]) -> int:
    """``zero-labels``."""
    parser = Parser(session, (*BASE, *RANGE), f"ndctl zero-labels {MANY}")
    values, rest = parser.parse(words)
    wanted = names(session, parser, rest)

    def act(dimm: Nvdimm) -> int:
        if dimm.state == "active":
            session.err(f"{dimm.dev}: regions active, abort label write")
            return -EBUSY
        span = _range(dimm, values)
        if span is None:
            return -EINVAL
        offset, length = span
        return attempt(lambda: dimm.set_config_data(offset, bytes(length))) or again(session, dimm)

    with session.change(f"ndctl zero-labels {' '.join(wanted)}") as nd:
        count = each(chosen(nd, values, wanted), act)
    return summary(session, "zeroed {} nmem", count)


def _range(dimm: Nvdimm, values: Values) -> tuple[int, int] | None:
    """(offset, length) that ``--offset`` and ``--size`` ask for; None when the area does not hold that."""
    if not dimm.commands:
        return None
    area = dimm.get_config_size()[0]
    length = values["size"] or area
    return None if values["offset"] + length > area else (values["offset"], length)


def write(session: NdctlSession, words: Sequence[str]) -> int:
    """``write-labels``: one DIMM only."""
    parser = Parser(session, WRITE, "ndctl write-labels <nmem> [-i <filename>]")
    values, rest = parser.parse(words)
    wanted = names(session, parser, rest)
    source = Input.open(session, values.input, limits.LABEL_AREA)
    if source is None:
        return summary(session, "wrote {} nmem", -ENXIO)
    with session.change(f"ndctl write-labels {' '.join(wanted)}") as nd:
        found = list(chosen(nd, values, wanted))
        if len(found) > 1:
            session.error("write-labels only supports writing a single dimm\n")
            parser.usage()
        for dimm in found:
            _write(session, dimm, values, source)  # which may fail: it is counted all the same
    return summary(session, "wrote {} nmem", len(found))


def _write(session: NdctlSession, dimm: Nvdimm, values: Values, source: Input) -> int:
    if dimm.state == "active":
        session.err("dimm is active, abort label write")
        return -EBUSY
    span = _range(dimm, values)
    if span is None:
        return -EINVAL
    offset, length = span
    # what the input lacks stays as it is
    data = source.read(max(0, length - offset) if offset else length)
    if data:
        result = attempt(lambda: dimm.set_config_data(offset, data))
        if result:
            return result
    return again(session, dimm)


def read(session: NdctlSession, words: Sequence[str]) -> int:
    """``read-labels``."""
    parser = Parser(session, READ, "ndctl read-labels <nmem0> [<nmem1>..<nmemN>] [-o <filename>]")
    values, rest = parser.parse(words)
    wanted = names(session, parser, rest)
    as_json = values.json or values.human
    if as_json and (values["size"] or values["offset"]):
        session.err("--size and --offset are incompatible with --json")
        parser.usage()
    if values.index and values["size"]:
        session.err("pick either --size, or --index, not both")
        parser.usage()
    target = Output.open(session, values.output)
    if isinstance(target, int):
        return summary(session, "read {} nmem", target)
    told: list[Any] = []

    def act(dimm: Nvdimm) -> int:
        span = (0, 2 * geometry(dimm.get_config_size()[0], 128)[0]) if values.index and dimm.commands else None
        span = span or _range(dimm, values)
        if span is None or span[0] >= span[1]:  # a size is where to stop, not how many bytes
            return -EINVAL
        data = dimm.get_config_data(span[0], span[1] - span[0])
        if as_json:
            told.append(_told(dimm, data, values.index, Detail(human=values.human, wide=session.release.wide)))
        else:
            target.write(data)
        return 0

    with target:
        count = each(chosen(session.nd, values, wanted), act)
        if told:
            show_array(target, told, human=target.standard and session.terminal)
    return summary(session, "read {} nmem", count)


def _told(dimm: Nvdimm, data: bytes, index_only: bool, detail: Detail) -> dict[str, Any]:
    """A label area as ``--json`` has it."""
    area = read_area(dimm.get_config_size()[0], dimm.get_config_data)
    minor = 2 if area.head and area.head.minor >= 2 else 1
    size = LABEL_SIZE[minor]
    index_size = geometry(dimm.get_config_size()[0], size)[0]
    made: dict[str, Any] = {
        "dev": dimm.dev,
        "index": [_index(data[at : at + INDEX_HEAD]) for at in (0, index_size)],
    }
    if not index_only:
        places = range(2 * index_size, len(data) - size + 1, size)
        rows = enumerate(Label.parse(data[at : at + size]) for at in places)
        made["label"] = [_label(one, minor, detail) for slot, one in rows if one.slot == slot]
    return made


def _index(head: bytes) -> dict[str, Any]:
    signature, code, sequence, slots, major, minor = unpack_from("<16s3xBI32xIHH", head)
    return {
        "signature": signature[:15].split(b"\0", 1)[0].decode("latin-1"),
        "major": major,
        "minor": minor,
        "labelsize": 1 << (7 + code & 31),
        "seq": sequence,
        "nslot": slots,
    }


def _label(one: Label, minor: int, detail: Detail) -> dict[str, Any]:
    made: dict[str, Any] = {
        "uuid": uuid_text(one.uuid),
        "name": one.name,
        "slot": one.slot,
        "position": one.position,
        "nlabel": one.nlabel,
        "flags": detail.hex(one.flags),
        "isetcookie": detail.hex(one.isetcookie),
        "lbasize": one.lbasize,
        "dpa": detail.hex(one.dpa),
        "rawsize": detail.size(one.rawsize),
    }
    if minor >= 2:  # both in the order of their bytes, which is not that of a GUID's text
        made |= {"type_guid": uuid_text(one.type), "abstraction_guid": uuid_text(one.abstraction)}
    return made
