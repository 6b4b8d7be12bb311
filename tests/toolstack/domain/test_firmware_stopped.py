"""A domain whose firmware stops: the error names it, and it is there to be looked at."""

from __future__ import annotations

import pytest

from xlpy import abi
from xlpy.errors import ConfigError, FirmwareStopped
from xlpy.toolstack.config.domain_config import load_config

LONG_TABLE = b"BAD!" + (1 << 20).to_bytes(4, "little") + bytes(92)  # longer than its file: hvmloader stops


@pytest.fixture
def table(tmp_path):
    """The file with the table."""
    path = tmp_path / "long.aml"
    path.write_bytes(LONG_TABLE)
    return path


def config(name, table, *extra):
    """A small HVM guest with that table."""
    lines = (f'name = "{name}"', 'type = "hvm"', "memory = 64", f'acpi_firmware = "{table}"', *extra)
    return load_config("\n".join(lines) + "\n", f"{name}.cfg")


def stopped(host, *args, **options):
    """The error of such a create."""
    with pytest.raises(FirmwareStopped, match="hvmloader stopped") as caught:
        host.create(config(*args), **options)
    return caught.value


def left(host):
    return [(domain.domid, domain.name) for domain in host.domains()]


def test_the_error_has_the_domid_of_the_domain_that_is_there(host, table):
    error = stopped(host, "first", table, 'on_crash = "preserve"')
    assert (error.domid, left(host)) == (1, [(1, "first")])
    error = stopped(host, "second", table, monitored=False)  # nothing follows, whatever on_crash says
    assert (error.domid, left(host)) == (2, [(1, "first"), (2, "second")])
    assert [host.xen.domain(domid).shutdown_code for domid in (1, 2)] == [abi.SHUTDOWN_CRASH] * 2


def test_the_error_has_the_domid_of_the_last_start(host, table):
    """Of three starts; on_crash has then taken the domain away."""
    assert (stopped(host, "again", table, 'on_crash = "restart"').domid, left(host)) == (3, [])


def test_outside_a_create_there_is_no_domid(host, tmp_path):
    assert FirmwareStopped("hvmloader stopped").domid is None
    with pytest.raises(ConfigError) as caught:  # refused before there is a domain
        host.create(config("none", tmp_path / "none.aml"))
    assert not isinstance(caught.value, FirmwareStopped)
    assert left(host) == []
