"""``xlpy map``: the layout of a domain's guest-physical address space."""

from __future__ import annotations

from xlpy.addr import format_size
from xlpy.cli.declare import argument, command, option
from xlpy.cli.options import json_option
from xlpy.cli.render import console, json_items, table
from xlpy.cli.show import visible
from xlpy.cli.types import FilePath
from xlpy.errors import UsageError
from xlpy.outputs import replacing
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from xlpy.cli.env import Env
    from xlpy.toolstack.domain.running import MapRow

COLOURS = {"ram": "green", "pmem": "cyan", "mmio": "yellow", "acpi": "magenta", "hole": "bright_black"}
BAR = 40  # characters of the longest stretch in the picture


@command("""
xlpy map quickstart
xlpy map --html map.html
""")
@argument("domain", required=False, shell_complete="domains")
@option("--svg", "svg_file", type=FilePath(out="stream"), help="Draw the host's memory into this file instead.")
@option("--html", "html_file", type=FilePath(out="stream"), help="As --svg, as a page to zoom and search in.")
@json_option
def show_map(env: Env, domain: str | None, svg_file: Path | None, html_file: Path | None, as_json: bool) -> None:
    """Show a domain's guest-physical memory map: RAM, pmem, MMIO and ACPI.

    Behind each extent of persistent memory stand its host physical address, the DIMMs it lies on and the file it
    belongs to. With --svg or --html the whole host is drawn: every domain (or the one that is named), host-physical
    memory with its namespaces, and the DIMMs. The page needs no network.
    """
    if svg_file or html_file:
        if as_json:
            raise UsageError("--json goes with the table, not with a picture", hint="leave --svg and --html out")
        _draw(env, domain, svg_file, html_file)
        return
    if domain is None:
        raise UsageError("a domain is needed", hint="xlpy map DOMAIN, or a picture of all: xlpy map --html FILE")
    regions = env.host.domain(domain).map()
    if as_json:
        json_items("xlpy.map/1", [region._asdict() for region in regions])
        return
    if env.picture:
        _picture(env, domain, regions)
        return
    rows = [
        (
            f"{r.start:#x}",
            f"{r.end:#x}",
            format_size(r.end - r.start),
            r.kind,
            f"{r.spa:#x}" if r.spa is not None else "-",
            ",".join(r.dimms) or "-",
            f"{r.what} (read-only)" if r.read_only else r.what,
        )
        for r in regions
    ]
    table(env, ("START", "END", "SIZE", "KIND", "SPA", "DIMMS", "WHAT"), rows)


def _draw(env: Env, domain: str | None, svg_file: Path | None, html_file: Path | None) -> None:
    from xlpy.views.picture.model import picture

    shown = picture(env.host, domain)
    texts = []
    if svg_file:
        from xlpy.views.picture.svg import svg

        texts.append((svg_file, svg(shown)))
    if html_file:
        from xlpy.views.picture.page import page

        texts.append((html_file, page(shown)))
    for path, text in texts:
        with replacing(path, stream=True) as file:
            file.write(text.encode(errors="backslashreplace"))


def _picture(env: Env, domain: str, regions: list[MapRow]) -> None:
    """Draw the map from the top of memory down, one line per stretch, length on a logarithmic scale."""
    from math import log2

    from rich.console import Console
    from rich.text import Text

    out = console(env, Console)
    block = "█" if "utf" in out.encoding else "#"

    def line(*parts: tuple[str, str]) -> None:
        out.print(Text.assemble(*[(visible(text), style) for text, style in parts]), soft_wrap=True)

    line((domain, "bold"), ("  guest-physical memory, top first", ""))
    longest = max((log2(max(r.end - r.start, 2)) for r in regions), default=1.0)
    below = None
    for run in reversed(_runs(regions)):
        first, size = run[0], run[-1].end - run[0].start
        if below is not None and run[-1].end < below:
            line((f"{'':<{BAR + 21}}{format_size(below - run[-1].end):>9}  nothing", "bright_black"))
        bar = block * max(1, round(BAR * log2(max(size, 2)) / longest))
        dimms = f" on {'+'.join(sorted({dimm for region in run for dimm in region.dimms}))}" if first.dimms else ""
        place = f"{len(run)} extents" if len(run) > 1 else f"{first.spa:#x}" if first.spa is not None else ""
        line(
            (f"{first.start:#18x}  ", ""),
            (f"{bar:<{BAR}} ", COLOURS.get(first.kind, "white")),
            (f"{format_size(size):>9}  {first.kind:<4}  {first.what}{' ← ' * bool(place)}{place}{dimms}", ""),
        )
        below = first.start


def _runs(regions: list[MapRow]) -> list[list[MapRow]]:
    """Neighbours, the many extents of one file together: xlpy map --json and a pipe have each of them."""
    runs: list[list[MapRow]] = []
    for region in regions:
        last = runs[-1][-1] if runs else None
        if last and region.kind == "pmem" and (last.end, last.what) == (region.start, region.what):
            runs[-1].append(region)
        else:
            runs.append([region])
    return runs
