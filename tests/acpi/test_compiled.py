"""AML that is shipped as bytes is what its source makes."""

from pathlib import Path

import pytest

from tools.compile_aml import products
from xlpy.firmware.hvmloader import compiled

PRODUCTS = products()


@pytest.mark.parametrize("path", PRODUCTS, ids=lambda path: path.name)
def test_shipped_aml_is_up_to_date(path):
    assert path.read_bytes() == PRODUCTS[path], "python -m tools.compile_aml"


def test_nothing_else_is_shipped():
    shipped = {file for path in PRODUCTS for file in path.parent.glob("*.aml")}
    assert shipped == set(PRODUCTS)


@pytest.mark.parametrize("xen", [None, (4, 17), (4, 20)])
def test_a_carried_table_is_known_whoever_signed_it(xen):
    for path in sorted(Path(compiled.FOLDER).glob("*.aml")):
        table = compiled.table(path.stem, xen)
        assert compiled.carried(table)
        changed = bytearray(table)
        changed[-1] ^= 1
        assert not compiled.carried(bytes(changed))
        assert not compiled.carried(table[:-1])
