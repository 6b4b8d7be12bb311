"""AML that is shipped as bytes is what its source makes."""

import pytest

from tools.compile_aml import products

PRODUCTS = products()


@pytest.mark.parametrize("path", PRODUCTS, ids=lambda path: path.name)
def test_shipped_aml_is_up_to_date(path):
    assert path.read_bytes() == PRODUCTS[path], "python -m tools.compile_aml"


def test_nothing_else_is_shipped():
    shipped = {file for path in PRODUCTS for file in path.parent.glob("*.aml")}
    assert shipped == set(PRODUCTS)
