"""Lists of a domain's devices, domain by domain."""

from __future__ import annotations

from xlpy.cli.declare import leave
from xlpy.cli.render import json_items
from xlpy.cli.report import report
from xlpy.cli.show import out
from xlpy.errors import Exit, XlpyError
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


def list_each(
    domains: Sequence[str],
    rows: Callable[[str], Iterable[tuple[dict[str, Any], str]]],
    header: str,
    schema: str,
    as_json: bool,
) -> None:
    """List something of every domain, as lines or as JSON; a domain that fails does not stop the others.

    Args:
        domains: names or domids.
        rows: what there is of one: each as JSON has it, and as its line.
        header: the first line; empty for none.
        schema: of the JSON.

    Raises:
        XlpyError: the only domain failed. Leave: some did (11), or all, with the status of the first.
    """
    items: list[dict[str, Any]] = []
    failed: list[XlpyError] = []
    if header and not as_json:
        out(header)
    for domain in domains:
        try:
            for item, line in rows(domain):
                items.append(item)
                if not as_json:
                    out(line)
        except XlpyError as error:
            if len(domains) == 1:
                raise
            failed.append(error)
            report(error, as_json=False)
    if as_json:
        json_items(schema, items)
    leave(0 if not failed else Exit.PARTIAL if len(failed) < len(domains) else failed[0].exit)
