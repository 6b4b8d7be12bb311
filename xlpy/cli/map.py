"""``xlpy map``: what lies where in a domain's guest-physical address space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from xlpy.addr import format_size
from xlpy.cli.options import domain_argument, example, json_option
from xlpy.cli.render import console, json_items, table

if TYPE_CHECKING:
    from xlpy.cli.env import Env

COLOURS = {"ram": "green", "pmem": "cyan", "mmio": "yellow", "acpi": "magenta", "hole": "bright_black"}
BAR = 40  # characters of the longest stretch in the picture


@click.command()
@domain_argument
@json_option
@click.pass_obj
@example("""
xlpy map quickstart
""")
def show_map(env: Env, domain: str, as_json: bool) -> None:
    """Show a domain's guest-physical memory map: RAM, pmem, MMIO and ACPI.

    Behind each extent of persistent memory stand its host physical address, the DIMMs it lies on and the file it
    belongs to.
    """
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
            r.what,
        )
        for r in regions
    ]
    table(env, ("START", "END", "SIZE", "KIND", "SPA", "DIMMS", "WHAT"), rows)


def _picture(env: Env, domain: str, regions: list) -> None:  # type: ignore[type-arg]
    """Draw the map from the top of memory down, one line per stretch, length on a logarithmic scale."""
    from math import log2

    from rich.console import Console
    from rich.markup import escape

    out = console(env, Console)
    out.print(f"[bold]{escape(domain)}[/bold], guest-physical, top of memory first")
    longest = max((log2(max(r.end - r.start, 2)) for r in regions), default=1.0)
    below = None
    for region in reversed(regions):
        if below is not None and region.end < below:
            out.print(
                f"[bright_black]{'':>18}  {'':<{BAR}}  ... {format_size(below - region.end)} nothing[/bright_black]"
            )
        size = region.end - region.start
        bar = "█" * max(1, round(BAR * log2(max(size, 2)) / longest))
        place = f" ← {region.spa:#x}" if region.spa is not None else ""
        dimms = f" on {'+'.join(region.dimms)}" if region.dimms else ""
        colour = COLOURS.get(region.kind, "white")
        text = escape(f"{format_size(size)} {region.kind} {region.what}{place}{dimms}")
        out.print(f"{region.start:#18x}  [{colour}]{bar:<{BAR}}[/{colour}]  {text}", soft_wrap=True)
        below = region.start
