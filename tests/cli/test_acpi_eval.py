"""``xlpy acpi namespace`` and ``acpi eval`` where a table fails in parts: the rest works, and stderr tells."""

from xlpy.firmware.acpi import aml
from xlpy.firmware.acpi.sdt import build_table


def test_what_fails_at_table_level_is_reported_and_passed_over(xlpy, tmp_path):
    table = build_table(
        "SSDT",
        aml.scope("\\_SB.NONE", aml.name("AAAA", 1))
        + aml.name("LATE", 5)
        + aml.name("LATE", 6)
        + aml.method("CALL", 1, aml.if_(aml.cond_ref_of(aml.ref("\\NOPE")), b"\\NOPE\x68"), aml.return_(17)),
        2,
    )
    (tmp_path / "extra.aml").write_bytes(table)
    xlpy("create", "-q", "configs/quickstart.cfg", f'acpi_firmware="{tmp_path / "extra.aml"}"')
    for command in (["acpi", "eval", "quickstart", "\\LATE"], ["acpi", "namespace", "quickstart", "\\LATE"]):
        got = xlpy(*command)
        assert "0x5" in got.out
        told = [line for line in got.err.splitlines() if line.startswith("warning: passed over: ")]
        assert [line.split()[3] for line in told] == ["AE_NOT_FOUND:", "AE_ALREADY_EXISTS:"]
        assert all("(at 0x" in line and "SSDT" in line for line in told)
    assert xlpy("acpi", "eval", "quickstart", "\\CALL", "1").out == "0x11\n"
    assert xlpy("acpi", "check", "quickstart", "--json", status=10).json["items"]
