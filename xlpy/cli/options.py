"""Options and arguments that many commands share."""

from __future__ import annotations

from inspect import cleandoc
from typing import TYPE_CHECKING, Any

import click

from xlpy.addr import parse_size
from xlpy.cli.completers import domains
from xlpy.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
dry_run_option = click.option("-n", "--dryrun", "dry_run", is_flag=True, help="Check everything, change nothing.")
domain_argument = click.argument("domain", shell_complete=domains)


class Size(click.ParamType[int]):
    """A size or address: 4096, 0x1000, 64M."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401
        if isinstance(value, int):
            return value
        try:
            return parse_size(value)
        except UsageError as error:
            self.fail(f"{error} ({error.hint})", param, ctx)


SIZE = Size()


def example(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Append an ``Example:`` paragraph, kept as it is laid out, to a command's help."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        body = "\n".join(f"  {line}" for line in text.strip().splitlines())
        function.__doc__ = f"{cleandoc(function.__doc__ or '')}\n\n\b\nExample:\n{body}\n"
        return function

    return add
