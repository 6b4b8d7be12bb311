"""``xlpy pmem read`` and ``write``: devices and files as programs in Dom0 see them."""

from __future__ import annotations

from pathlib import Path

from xlpy import limits
from xlpy.cli.changing import changing
from xlpy.cli.declare import argument, command, option
from xlpy.cli.mem import hexdump
from xlpy.cli.options import SIZE, dry_run_option, json_option
from xlpy.cli.render import json_document
from xlpy.cli.show import binary
from xlpy.cli.types import FilePath
from xlpy.errors import Constraint, UsageError
from xlpy.inputs import read_file
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.cli.env import Env


@command("""
xlpy pmem read /mnt/pmem0/vm1.img 0 512
xlpy pmem read /dev/pmem1 1M 4K -o page.bin
""")
@argument("path", shell_complete="backings")
@argument("offset", type=SIZE)
@argument("length", type=SIZE)
@option("-o", "--output", type=FilePath(out="stream"), help="Write raw bytes to this file; - is standard output.")
@json_option
def read(env: Env, path: str, offset: int, length: int, output: Path | None, as_json: bool) -> None:
    """Read LENGTH bytes of a device or file of Dom0 from OFFSET on, cut at its end.

    Bad memory is an input/output error; one that was unknown causes a machine check, and is known from then on.
    """
    from xlpy.events.file_io import read as read_path
    from xlpy.outputs import replacing

    raw = output == Path("-")
    if raw and as_json:
        raise UsageError("-o - and --json both want standard output", hint="name a file: -o FILE")
    _refuse_large(length)
    data = read_path(env.host, path, offset, length)
    if output is not None and not raw:
        with replacing(output, stream=True) as file:
            file.write(data)
    elif raw:
        binary().write(data)
    if as_json:
        fields = {"output": str(output)} if output else {"hex": data.hex()}
        json_document("xlpy.pmem-read/1", path=path, offset=offset, length=len(data), **fields)
    elif output is None:
        hexdump(offset, data)


@command("""
xlpy pmem write /dev/pmem1 4K --zero 4K
xlpy pmem read /dev/pmem1 0 1M -o image.bin
xlpy pmem write /dev/pmem1 0 --file image.bin
""")
@argument("path", shell_complete="backings")
@argument("offset", type=SIZE)
@option("--hex", "text", metavar="H", help="Bytes to write, as hex digits.")
@option("--file", "source", type=FilePath(), help="File to write.")
@option("--zero", type=SIZE, metavar="LENGTH", help="Zeros to write.")
@dry_run_option
@json_option
def write(
    env: Env, path: str, offset: int, text: str | None, source: Path | None, zero: int | None, as_json: bool
) -> None:
    """Write a device or file of Dom0 at OFFSET; nothing grows.

    Whole blocks that hold errors are cleared by it: sectors of 512 bytes of a device, pages of 4096 bytes of a file.
    Part of such a block is an input/output error.
    """
    from xlpy.events.file_io import write as write_path

    if sum(one is not None for one in (text, source, zero)) != 1:
        raise UsageError("what to write is not clear", hint="give one of --hex, --file and --zero")
    if text is not None:
        try:
            data = bytes.fromhex(text)
        except ValueError:
            raise UsageError(f"not hex digits: {text[:60]!r}", hint="two digits for each byte") from None
    elif source is not None:
        data = read_file(source, limits.PMEM_IO)
    else:
        _refuse_large(zero or 0)
        data = bytes(zero or 0)
    with changing(env, f"writing {path}") as dry:
        cleared = write_path(env.host, path, offset, data, dry)
    if as_json:
        json_document("xlpy.pmem-write/1", path=path, offset=offset, length=len(data), cleared=cleared, dry_run=dry)
    elif cleared:
        env.note(f"{path}: {cleared} bad bytes {'would be' if dry else 'are'} cleared")


def _refuse_large(length: int) -> None:
    if length > limits.PMEM_IO:
        raise Constraint(f"{length} bytes at once, at most {limits.PMEM_IO}", hint="several commands do it")
