"""``xlpy import``: vNVDIMMs read back from a stock configuration."""

from __future__ import annotations

from xlpy.addr import format_size
from xlpy.cli.declare import argument, command, leave, option
from xlpy.cli.domain import read_config
from xlpy.cli.export import dom0_option, machine_of
from xlpy.cli.options import json_option
from xlpy.cli.render import json_items, table
from xlpy.cli.show import exact
from xlpy.errors import Exit
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.cli.env import Env
    from xlpy.toolstack.export.importing import Imported, ImportedMemory


@command("""
xlpy export configs/device.cfg -o exported
xlpy import --config exported/device.cfg > device.cfg
xlpy import exported/device.cfg
""")
@argument("config", metavar="XL.cfg", shell_complete="configurations")
@dom0_option
@option("--config", "as_config", is_flag=True, help="Print the configuration of the design: vnvdimm for iomem.")
@json_option
def import_config(env: Env, config: str, kernel: str | None, as_config: bool, as_json: bool) -> None:
    """Read vNVDIMMs back from a stock xl configuration: which files are behind its iomem, and are they still there.

    Works on what `xlpy export` made and on what was written by hand: the NFIT in acpi_firmware says where the guest
    finds persistent memory, iomem says which host memory that is. The status is 10 when something is not as it must be.
    """
    from xlpy.toolstack.config.domain_config import ANY_MACHINE, load_config
    from xlpy.toolstack.export.importing import design_config
    from xlpy.toolstack.export.importing import import_config as read

    loaded = load_config(read_config(config), config, host=ANY_MACHINE)
    found = read(loaded, machine_of(env, kernel))
    if as_config:
        exact([design_config(loaded, found)])
    elif as_json:
        json_items("xlpy.import/1", [one.to_json() for one in found])
    else:
        rows = [row for one in found for row in (_row(f"{one.handle:#x}", one.data, "data"), *_label_rows(one))]
        table(env, ("HANDLE", "GUEST", "SIZE", "WHAT", "PATH", "HELD BY", "STATE"), rows)
    problems = [text for one in found for text in one.problems]
    for text in problems:
        env.warn(text)
    if problems:
        leave(Exit.FINDINGS)


def _label_rows(one: Imported) -> list[tuple[str, ...]]:
    return [_row(f"{one.handle:#x}", one.labels, "labels")] if one.labels else []


def _row(handle: str, found: ImportedMemory, what: str) -> tuple[str, ...]:
    state = "not ok" if found.problems else "ok"
    return handle, f"{found.gpa:#x}", format_size(found.size), what, found.path or "-", found.exported or "-", state
