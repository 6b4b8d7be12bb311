"""What a project that uses xlpy's pytest plugin looks like: pytest examples/pytest

With a guest to boot (eval "$(python3 guest/kit.py)"; export KERNEL INITRD) the last test runs too.
"""

from __future__ import annotations

from pathlib import Path

import pytest

CONFIG = Path(__file__).with_name("vm1.cfg")
PMEM = 0x5_0000_0000


def test_a_byte_outlives_the_domain(xlpy_domain):
    xlpy_domain(CONFIG).memory.write(PMEM, b"kept")
    assert xlpy_domain(CONFIG).memory.read(PMEM, 4) == b"kept"


def test_the_guest_is_told_of_its_memory(xlpy_domain):
    tables = {table.signature for table in xlpy_domain(CONFIG).acpi_tables()}
    assert {"NFIT", "SSDT"} <= tables


@pytest.mark.xlpy_machine("machine.yaml")
def test_another_machine(xlpy_host, xlpy_domain):
    vm1 = xlpy_domain(CONFIG, 'name="other"')
    assert [dimm.id for dimm in xlpy_host.spec.dimms] == ["a0", "a1", "b0"]
    assert xlpy_host.destroy(vm1.domid) == vm1.domid


def test_a_driver_script_in_the_guest(xlpy_domain, xlpy_guest):
    """The guest makes labels, and says how many slots there are."""
    console = xlpy_guest(xlpy_domain(CONFIG), "ndctl disable-region region0; ndctl init-labels -f nmem0")
    assert "initialized 1 nmem" in console
