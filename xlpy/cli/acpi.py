"""``xlpy acpi dump``: tables as an operating system would find them, from the RSDP on, or from a dump."""

from __future__ import annotations

import sys

from xlpy.cli.declare import argument, command, option
from xlpy.cli.render import json_document
from xlpy.cli.show import binary, out
from xlpy.cli.types import Choice, FilePath
from xlpy.contexts import suppress
from xlpy.errors import NotFound, UsageError
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from xlpy.cli.env import Env
    from xlpy.firmware.acpi.lint.sources import TableSource
    from xlpy.firmware.acpi.walk import Found
    from xlpy.toolstack.domain.running import Running

    Named = Sequence[tuple[str, Found]]  # with their file names


def read(env: Env, what: str) -> list[TableSource]:
    """The tables that a word on the command line stands for: of each machine in a folder or file, or of a domain.

    Raises:
        NotFound: it is neither. FormatError: the file holds no table.
    """
    from pathlib import Path

    from xlpy.firmware.acpi.lint.sources import TableSource, from_stream, read_tables

    if what == "-":
        return from_stream(sys.stdin.buffer, "standard input")
    path = Path(what)
    if "/" in what or path.exists() or path.is_symlink():
        return read_tables(path)
    domain = _domain(env, what)
    if domain is None:
        raise NotFound(
            f"{what}: No such file or directory, and no domain of this name",
            hint="give a folder of .dat files, a table, a dump made by acpidump, or a domain (xlpy list)",
        )
    return [TableSource(domain.acpi_tables(), walked=True)]


def _domain(env: Env, what: str) -> Running | None:
    """The domain of that name or number; None when there is none, or no host yet: none is made."""
    host = None if what == "-" or "/" in what else env.existing_host
    if host is not None:
        with suppress(NotFound):
            return host.domain(what)
    return None


@command("""
xlpy acpi dump quickstart > acpi.out && acpixtract -a acpi.out
xlpy acpi dump quickstart --format bin -o tables && iasl -d tables/nfit.dat
xlpy acpi dump quickstart --format asl --table DSDT > dsdt.dsl && iasl -oa dsdt.dsl
xlpy acpi dump --host --table NFIT --format text
""")
@argument("domain", required=False, metavar="[DOMAIN|FOLDER|FILE|-]", shell_complete="domains")
@option("--host", "of_host", is_flag=True, help="The host's own tables, as its BIOS left them.")
@option("--table", "signature", metavar="SIG", help="Only tables with this signature, such as NFIT.")
@option(
    "--format",
    "form",
    type=Choice(["hex", "bin", "json", "text", "asl"]),
    default="hex",
    help="hex: acpidump's text, for acpixtract; bin: raw; json, text: decoded; asl: AML as iasl takes it.",
)
@option("--json", "as_json", is_flag=True, help="Same as --format json.")
@option("-o", "--output", "folder", type=FilePath(out="folder"), help="Write into this folder.")
def dump(
    env: Env, domain: str | None, of_host: bool, signature: str | None, form: str, as_json: bool, folder: Path | None
) -> None:
    """Dump ACPI tables of a domain (or of the host), as acpidump does.

    The tables are read from memory, beginning at the RSDP, as an operating system would find them. Instead of a domain,
    a folder of .dat files, a table or a dump made elsewhere is taken too. As ASL, only definition blocks are shown:
    iasl -oa compiles them to the same bytes, and a comment says where it cannot.
    """
    from xlpy.firmware.acpi.acpidump import file_names

    if of_host == (domain is not None):
        raise UsageError("acpi dump needs either a domain or --host", hint="xlpy acpi dump DOMAIN")
    sources = [env.host.acpi_tables()] if domain is None else _of_domain_or_file(env, domain)
    found = [table for tables in sources for table in tables]
    wanted = None if signature is None else signature.upper().strip()
    pairs = zip(file_names(found), found, strict=True)
    chosen = [(name, table) for name, table in pairs if wanted in (None, table.signature.strip())]
    if not chosen:
        have = ", ".join(sorted({t.signature.strip() for t in found}))
        raise NotFound(f"no table {signature!r}", hint=f"there are: {have}")
    if as_json or form == "json":
        _json(chosen, folder)
    elif form == "bin":
        _raw(env, chosen, folder)
    elif form == "asl":
        _asl(env, chosen, found, folder)
    else:
        _text(chosen, form, folder)


def _of_domain_or_file(env: Env, what: str) -> list[Sequence[Found]]:
    """A domain's tables, although there may be a file or folder of that name."""
    domain = _domain(env, what)
    return [source.tables for source in read(env, what)] if domain is None else [domain.acpi_tables()]


def _raw(env: Env, chosen: Named, folder: Path | None) -> None:
    if folder is None:
        if len(chosen) != 1:
            raise UsageError(
                f"--format bin with {len(chosen)} tables needs a folder", hint="add -o DIR, or choose one with --table"
            )
        binary().write(chosen[0][1].data)
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in chosen:
        (folder / name).write_bytes(table.data)
    env.note(f"{_count(len(chosen), 'table')} in {folder}")


def _json(chosen: Named, folder: Path | None) -> None:
    from xlpy.firmware.acpi.text import to_json

    items = [
        {"name": name, "address": t.address, "length": len(t.data), **to_json(t.signature, t.data)}
        for name, t in chosen
    ]
    if folder is None:
        json_document("xlpy.acpi-dump/1", items=items)
        return
    import json

    _into(folder, "acpi.json", json.dumps({"schema": "xlpy.acpi-dump/1", "items": items}, indent=2) + "\n")


def _text(chosen: Named, form: str, folder: Path | None) -> None:
    tables = [table for _, table in chosen]
    if form == "text":
        from xlpy.firmware.acpi.text import to_text

        text = "\n".join(to_text(t.signature, t.data, t.address) for t in tables)
    else:
        from xlpy.firmware.acpi.acpidump import to_hex

        text = to_hex(tables)
    if folder is None:
        out(*text.splitlines())
    else:
        _into(folder, "acpi.txt" if form == "text" else "acpidump.out", text)


def _asl(env: Env, chosen: Named, found: Sequence[Found], folder: Path | None) -> None:
    from xlpy.firmware.acpi.asl import AML, disassemble

    blocks = [table for table in found if table.signature in AML]
    listed = [(name, table) for name, table in chosen if table.signature in AML]
    if not listed:
        kinds = ", ".join(sorted({table.signature for _, table in chosen}))
        raise UsageError(f"{kinds}: no AML in there", hint="--format text shows tables of every kind")
    unsaid = 0
    of_block = dict(zip(map(id, blocks), disassemble([block.data for block in blocks]), strict=True))
    for name, table in listed:
        listing = of_block[id(table)]
        unsaid += len(listing.remarks)
        if folder is None:
            out(f"// {name}", *listing.text.splitlines(), *([""] if table is not listed[-1][1] else []))
        else:
            _into(folder, f"{name.removesuffix('.dat')}.dsl", listing.text)
    if folder is not None:
        env.note(f"{_count(len(listed), 'table')} in {folder}")
    if unsaid:
        env.note(f"note: ASL has no words for {_count(unsaid, 'place')}; comments in the text say which")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _into(folder: Path, name: str, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
