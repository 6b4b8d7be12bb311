"""Commands as they are declared: click's decorators, recorded instead of executed.

Importing click takes longer than most commands run. So a command says what it takes in click's words, and two readers
act on that: ``xlpy.cli.plain`` takes an unambiguous command line, ``xlpy.cli.grammar`` makes
click commands of the declarations, for help, completion, usage errors and everything out of the ordinary.
"""

from __future__ import annotations

from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.cli.env import Env
    from xlpy.cli.types import Type


class Leave(Exception):
    """End the command with a status that belongs to no single error."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Parameter:
    """An option or argument of a command.

    Args:
        declarations: its spellings (an argument has none), and perhaps the name of the function's parameter, as click
            takes them.
        kind_of: its type; None is text.
        settings: the rest of what click takes; ``shell_complete`` is the name of one of ``xlpy.cli.completers``.
            ``raw``: an argument that gets all words as they are, options too: the command reads them by itself.
    """

    def __init__(self, declarations: tuple[str, ...], kind_of: Type | None, settings: dict[str, Any]) -> None:
        self.declarations = declarations
        self.type = kind_of
        self.settings = settings
        self.flag = bool(settings.get("is_flag"))
        self.count = bool(settings.get("count"))
        self.many = settings.get("nargs") == -1
        self.raw = bool(settings.pop("raw", False))
        self.repeated = bool(settings.get("multiple"))
        self.spellings = tuple(one for one in declarations if one.startswith("-"))
        names = [one for one in declarations if not one.startswith("-")]
        longest = next((one for one in self.spellings if one.startswith("--")), "")
        self.name = names[0] if names else longest.removeprefix("--").replace("-", "_")

    @property
    def required(self) -> bool:
        """Whether it must be on the command line."""
        settings = self.settings
        return bool(settings.get("required", not self.spellings and not self.many and "default" not in settings))

    @property
    def absent(self) -> Any:  # noqa: ANN401 - any value
        """The value when it is not on the command line."""
        if self.many or self.repeated:
            return ()
        return self.settings.get("default", False if self.flag else 0 if self.count else None)


class Command:
    """A command: what runs, what it takes, and what help says.

    Args:
        run: the function; it gets the environment, and the parameters by name. Its docstring is the help.
        parameters: options and arguments, as help lists them.
        example: command lines that help shows.
    """

    def __init__(self, run: Callable[..., Any], parameters: tuple[Parameter, ...], example: str) -> None:
        self.run = run
        self.parameters = parameters
        self.example = example

    def __call__(self, env: Env, **values: Any) -> None:  # noqa: ANN401 - any values
        """Run it. ``-n`` is the environment's, as if ``-N`` stood before the command."""
        env.dry_run |= values.pop("dry_run", False)
        self.run(env, **values)


def option(*declarations: str, type: Type | None = None, **settings: Any) -> Callable[[Any], Any]:  # noqa: A002, ANN401
    """Declare an option, as ``click.option`` does."""
    return _adding(Parameter(declarations, type, settings))


def argument(name: str, type: Type | None = None, **settings: Any) -> Callable[[Any], Any]:  # noqa: A002, ANN401
    """Declare an argument, as ``click.argument`` does."""
    return _adding(Parameter((name,), type, settings))


def _adding(parameter: Parameter) -> Callable[[Any], Any]:
    def add(function: Any) -> Any:  # noqa: ANN401
        # decorators work from the last to the first
        function.parameters = (parameter, *getattr(function, "parameters", ()))
        return function

    return add


def command(example: str) -> Callable[[Callable[..., Any]], Command]:
    """Make a command of a function, with an example for its help."""
    return lambda function: Command(function, getattr(function, "parameters", ()), example.strip())


def leave(status: int) -> None:
    """End the command with a status that belongs to no single error; 0 continues."""
    if status:
        raise Leave(status)
