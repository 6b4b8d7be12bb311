"""``xlpy mem``: a domain's memory by guest-physical address."""

from __future__ import annotations

import json
from pathlib import Path

from xlpy import limits
from xlpy.addr import LIMIT, Gpa
from xlpy.cli.declare import argument, command, option
from xlpy.cli.options import SIZE, domain_argument, dry_run_option, json_option
from xlpy.cli.render import json_document
from xlpy.cli.show import binary, exact, out
from xlpy.cli.types import Choice, FilePath
from xlpy.contexts import nullcontext
from xlpy.errors import Constraint, UsageError
from xlpy.inputs import read_file
from xlpy.outputs import replacing
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.cli.env import Env

CHUNK = 1 << 20


@command("""
xlpy mem read quickstart 0x500000000 64
xlpy mem read quickstart 1M 4K -o page.bin
""")
@domain_argument
@argument("gpa", type=SIZE)
@argument("length", type=SIZE)
@option("-o", "--output", type=FilePath(out="stream"), help="Write raw bytes to this file; - is standard output.")
@json_option
def read(env: Env, domain: str, gpa: int, length: int, output: Path | None, as_json: bool) -> None:
    """Read LENGTH bytes of guest memory at GPA: a hex dump, or raw bytes with -o.

    Nothing responds at unmapped addresses: they read as all-ones.
    """
    raw = output == Path("-")
    if raw and as_json:
        raise UsageError("-o - and --json both want standard output", hint="name a file: -o FILE")
    if gpa + length > LIMIT:
        raise Constraint(f"guest addresses [{gpa:#x}, +{length:#x}) leave the 64-bit address space")
    memory = env.host.domain(domain).memory
    chunks = (
        (at, memory.read(Gpa(at), min(CHUNK, gpa + length - at))) for at in range(gpa, gpa + max(length, 1), CHUNK)
    )
    if output is not None:
        with nullcontext(binary()) if raw else replacing(output, stream=True) as file:
            for _, data in chunks:
                file.write(data)
    if as_json and output is not None:
        json_document("xlpy.mem-read/1", domain=domain, gpa=gpa, length=length, output=str(output))
    elif as_json:
        fields = json.dumps({"schema": "xlpy.mem-read/1", "domain": domain, "gpa": gpa, "length": length}, indent=2)
        for at, data in chunks:
            exact([f'{fields[:-2]},\n  "hex": "' if at == gpa else "", data.hex()])
        exact(['"\n}\n'])
    elif output is None:
        for at, data in chunks:
            hexdump(at, data)


@command("""
xlpy mem write quickstart 0x500000000 --hex 48656c6c6f
""")
@domain_argument
@argument("gpa", type=SIZE)
@option("--hex", "text", metavar="H", help="Bytes to write, as hex digits.")
@option("--file", "source", type=FilePath(), help="File to write.")
@option("--no-flush", "unflushed", is_flag=True, help="Leave it in the caches: a power failure may lose it.")
@dry_run_option
@json_option
def write(
    env: Env, domain: str, gpa: int, text: str | None, source: Path | None, unflushed: bool, as_json: bool
) -> None:
    """Write guest memory at GPA: what lies in a vNVDIMM lands on the media behind it at once.

    The store is written back and fenced, so that a power failure does not lose it; with --no-flush that is left to
    `mem flush` and `mem fence`.
    """
    if (text is None) == (source is None):
        raise UsageError("mem write needs either --hex or --file", hint="xlpy mem write DOMAIN GPA --hex 00ff")
    if text is not None:
        try:
            data = bytes.fromhex(text)
        except ValueError:
            raise UsageError(
                f"--hex takes pairs of hex digits, not {text[:40]!r}", hint="write for example: --hex 48656c6c6f"
            ) from None
    else:
        data = read_file(source, limits.MEMORY) if source else b""
    if unflushed:
        from xlpy.events.power import store

        store(env.host, domain, Gpa(gpa), data, dry_run=env.dry_run)
    else:
        env.host.write_memory(domain, Gpa(gpa), data, dry_run=env.dry_run)
    if as_json:
        json_document("xlpy.mem-write/1", domain=domain, gpa=gpa, length=len(data), dry_run=env.dry_run)


@command("""
xlpy mem flush quickstart 0x500000000 64
xlpy mem flush quickstart 0x500000000 4K --with clflush
""")
@domain_argument
@argument("gpa", type=SIZE)
@argument("length", type=SIZE)
@option("--with", "instruction", type=Choice(["clwb", "clflushopt", "clflush"]), default="clwb", help="Instruction.")
@dry_run_option
@json_option
def flush(env: Env, domain: str, gpa: int, length: int, instruction: str, as_json: bool) -> None:
    """Write back the cache lines of guest memory. Lines of clwb and clflushopt are safe after `mem fence`."""
    from xlpy.events import power

    if length < 1:
        raise UsageError("a length of at least 1 is required")
    count, remark = power.flush(env.host, domain, gpa, length, instruction, dry_run=env.dry_run)
    if remark:
        env.note(f"note: {remark}")
    if as_json:
        json_document("xlpy.mem-flush/1", domain=domain, gpa=gpa, length=length, lines=count, dry_run=env.dry_run)
    else:
        env.note(f"{count} lines had something to write back")


@command("""
xlpy mem fence
xlpy mem fence --drain
""")
@option("--drain", is_flag=True, help="Also write the flush hint addresses: memory controllers empty their queues.")
@dry_run_option
@json_option
def fence(env: Env, drain: bool, as_json: bool) -> None:
    """Make what was written back durable: SFENCE. Machines with persistence: none need --drain."""
    from xlpy.events import power

    left = power.fence(env.host, drain, dry_run=env.dry_run)
    if as_json:
        json_document("xlpy.mem-fence/1", drain=drain, lines=left, dry_run=env.dry_run)
    elif left:
        env.note(f"{left} lines may still be lost")


def hexdump(address: int, data: bytes) -> None:
    """Print bytes with their addresses, 16 on a line."""
    lines = []
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        text = "".join(chr(b) if 32 <= b < 127 else "." for b in row)
        lines.append(f"{address + at:#014x}  {row[:8].hex(' '):<23}  {row[8:].hex(' '):<23}  |{text}|")
    out(*lines)
