"""What Dom0 lists of a namespace begins like the list of ndctl (``tests/ndctl/test_list.py`` has that)."""

import json

import pytest

from xlpy.addr import GIB, MIB, Spa, Span
from xlpy.dom0.nvdimm.namespace import Namespace
from xlpy.dom0.nvdimm.ndctl import namespace_object

SPAN = Span(Spa(4 * GIB), 128 * MIB)
FSDAX = Namespace(
    0,
    SPAN,
    "fsdax",
    Span(Spa(4 * GIB + 4 * MIB), 124 * MIB),
    map="dev",
    uuid="0d50f988-4674-48ee-b4a9-5ee17be61703",
    align=2 * MIB,
    size=124 * MIB,
)
RAW = Namespace(0, SPAN, "raw", SPAN, size=SPAN.size)
SECTOR = Namespace(
    0, SPAN, "sector", SPAN, uuid="64e1e50d-5e48-4c0e-9a35-9e47fe688938", sector_size=4096, size=65966080
)


@pytest.mark.parametrize(
    ("namespace", "expected"),
    [
        (
            FSDAX,
            '{"dev":"namespace0.0","mode":"fsdax","map":"dev","size":130023424,'
            '"uuid":"0d50f988-4674-48ee-b4a9-5ee17be61703","sector_size":512,"align":2097152,"blockdev":"pmem0"}',
        ),
        (
            SECTOR,
            '{"dev":"namespace0.0","mode":"sector","size":65966080,"uuid":"64e1e50d-5e48-4c0e-9a35-9e47fe688938",'
            '"sector_size":4096,"blockdev":"pmem0s"}',
        ),
        (
            RAW,
            '{"dev":"namespace0.0","mode":"raw","size":134217728,"sector_size":512,"blockdev":"pmem0"}',
        ),
        (
            RAW._replace(problem="damaged"),
            '{"dev":"namespace0.0","mode":"raw","size":134217728,"sector_size":512,"state":"disabled"}',
        ),
        (
            FSDAX._replace(mode="devdax"),
            '{"dev":"namespace0.0","mode":"devdax","map":"dev","size":130023424,'
            '"uuid":"0d50f988-4674-48ee-b4a9-5ee17be61703","daxregion":{"id":0,"size":130023424,"align":2097152,'
            '"devices":[{"chardev":"dax0.0","size":130023424,"align":2097152,"mode":"devdax"}]},"align":2097152}',
        ),
    ],
)
def test_namespaces(namespace, expected):
    assert json.dumps(namespace_object(namespace), separators=(",", ":")) == expected
