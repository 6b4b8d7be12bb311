"""Checking many configurations: the errors in each, and settings that are probably not intended."""

from __future__ import annotations

from xlpy import limits
from xlpy.errors import Exit, HostTrouble, NotFound
from xlpy.inputs import read_file
from xlpy.records import NamedTuple
from xlpy.toolstack.config.domain_config import load_config
from xlpy.toolstack.config.xlcfg import Problem, Refused
from xlpy.typing import TYPE_CHECKING, Any
from xlpy.xen_version import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from xlpy.toolstack.config.domain_config import DomainConfig, HostFacts

    Also = Callable[[DomainConfig], Iterable[Problem]]


class LintResult(NamedTuple):
    """What was found in one file.

    Args:
        file: its name as given.
        errors: why it cannot be used; none when it can.
        warnings: what xl accepts and that may not be meant.
        status: exit status of the error, when the file cannot be read.
    """

    file: str
    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    status: int = Exit.DONE

    @property
    def valid(self) -> bool:
        """Whether a domain can be created from it."""
        return not self.errors

    def to_json(self) -> dict[str, Any]:
        """The result as ``config check --json`` shows it."""
        return {
            "file": self.file,
            "valid": self.valid,
            "errors": [problem_to_json(problem) for problem in self.errors],
            "warnings": [problem_to_json(problem) for problem in self.warnings],
        }


def problem_to_json(problem: Problem) -> dict[str, Any]:
    """One finding: ``line`` and ``column`` are null where it belongs to the whole file."""
    where = problem.where
    return {
        "source": where.source if where else None,
        "line": where.line if where else None,
        "column": where.column if where else None,
        "message": problem.message,
        "hint": problem.hint,
    }


def nothing_else(config: DomainConfig) -> Iterable[Problem]:
    """No further warnings."""
    del config
    return ()


def check_text(
    text: bytes | str,
    name: str,
    *,
    strict: bool = False,
    host: HostFacts | Callable[[], HostFacts] | None = None,
    also: Also = nothing_else,
    xen: str = DEFAULT,
) -> LintResult:
    """Check one configuration.

    Args:
        text: the file.
        name: its name in the findings.
        strict: judge exactly as xl does.
        host: what the hypervisor says of the machine.
        also: gives further warnings about a configuration that reads.
        xen: as which version of Xen.
    """
    try:
        config = load_config(text, name, strict=strict, host=host, xen=xen)
        return LintResult(name, (), (*config.warnings, *also(config)))
    except Refused as refused:
        return LintResult(name, refused.problems, refused.warnings)


def check_files(
    files: Iterable[str | Path],
    *,
    strict: bool = False,
    host: HostFacts | Callable[[], HostFacts] | None = None,
    also: Also = nothing_else,
    xen: str = DEFAULT,
) -> Iterator[LintResult]:
    """Check file after file; one that cannot be read is an error of its own."""
    for file in files:
        name = str(file)
        try:
            text = b"" if name == "/dev/null" else read_file(file, limits.CONFIG)
        except (NotFound, HostTrouble) as error:
            yield LintResult(name, (Problem(None, error.message),), (), error.exit)
            continue
        yield check_text(text, name, strict=strict, host=host, also=also, xen=xen)
