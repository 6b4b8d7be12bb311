"""``xlpy acpi``: tables as an operating system would find them, from the RSDP on."""

from __future__ import annotations

from xlpy.cli.declare import argument, command, option
from xlpy.cli.render import json_document
from xlpy.cli.show import binary, out
from xlpy.cli.types import Choice, FilePath
from xlpy.errors import NotFound, UsageError
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from xlpy.cli.env import Env


@command("""
xlpy acpi dump quickstart > acpi.out && acpixtract -a acpi.out
xlpy acpi dump quickstart --format bin -o tables && iasl -d tables/nfit.dat
xlpy acpi dump --host --table NFIT --format text
""")
@argument("domain", required=False, shell_complete="domains")
@option("--host", "of_host", is_flag=True, help="The host's own tables, as its BIOS left them.")
@option("--table", "signature", metavar="SIG", help="Only tables with this signature, such as NFIT.")
@option(
    "--format",
    "form",
    type=Choice(["hex", "bin", "json", "text"]),
    default="hex",
    help="hex: acpidump's text, for acpixtract; bin: raw; json, text: decoded.",
)
@option("--json", "as_json", is_flag=True, help="Same as --format json.")
@option("-o", "--output", "folder", type=FilePath(file_okay=False), help="Write into this folder.")
def dump(
    env: Env, domain: str | None, of_host: bool, signature: str | None, form: str, as_json: bool, folder: Path | None
) -> None:
    """Dump ACPI tables of a domain (or of the host), as acpidump does.

    The tables are read from memory, beginning at the RSDP, as an operating system would find them.
    """
    from xlpy.firmware.acpi.acpidump import file_names, to_hex

    if as_json:
        form = "json"
    if of_host == (domain is not None):
        raise UsageError("acpi dump needs either a domain or --host", hint="xlpy acpi dump DOMAIN")
    found = env.host.acpi_tables() if domain is None else env.host.domain(domain).acpi_tables()
    names = file_names(found)
    wanted = None if signature is None else signature.upper().strip()
    chosen = [(name, t) for name, t in zip(names, found, strict=True) if wanted in (None, t.signature.strip())]
    if not chosen:
        have = ", ".join(sorted({t.signature.strip() for t in found}))
        raise NotFound(f"no table {signature!r}", hint=f"there are: {have}")
    tables = [t for _, t in chosen]
    if form == "bin":
        if folder is None:
            if len(tables) != 1:
                raise UsageError(
                    f"--format bin with {len(tables)} tables needs a folder",
                    hint="add -o DIR, or choose one with --table",
                )
            binary().write(tables[0].data)
            return
        folder.mkdir(parents=True, exist_ok=True)
        for name, t in chosen:
            (folder / name).write_bytes(t.data)
        env.note(f"{len(chosen)} table{'s' * (len(chosen) != 1)} in {folder}")
        return
    if form == "json":
        from xlpy.firmware.acpi.text import to_json

        items = [
            {"name": name, "address": t.address, "length": len(t.data), **to_json(t.signature, t.data)}
            for name, t in chosen
        ]
        if folder is None:
            json_document("xlpy.acpi-dump/1", items=items)
        else:
            import json

            _into(folder, "acpi.json", json.dumps({"schema": "xlpy.acpi-dump/1", "items": items}, indent=2) + "\n")
        return
    if form == "text":
        from xlpy.firmware.acpi.text import to_text

        text = "\n".join(to_text(t.signature, t.data, t.address) for t in tables)
    else:
        text = to_hex(tables)
    if folder is None:
        out(*text.splitlines())
    else:
        _into(folder, "acpi.txt" if form == "text" else "acpidump.out", text)


def _into(folder: Path, name: str, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
