"""``xlpy completion``: the completion script for a shell."""

from __future__ import annotations

from xlpy.cli.declare import argument, command
from xlpy.cli.show import exact
from xlpy.cli.types import Choice
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.cli.env import Env


@command("""
source <(xlpy completion bash)
mkdir -p ~/.local/share/bash-completion/completions
xlpy completion bash > ~/.local/share/bash-completion/completions/xlpy
xlpy completion zsh > "${fpath[1]}/_xlpy"
mkdir -p ~/.config/fish/completions && xlpy completion fish > ~/.config/fish/completions/xlpy.fish
""")
@argument("shell", type=Choice(["bash", "zsh", "fish"]))
def completion(env: Env, shell: str) -> None:
    """Print the completion script for a shell: commands, options, domains, vNVDIMMs, configuration files."""
    from click.shell_completion import get_completion_class

    from xlpy.cli.grammar import root_group
    from xlpy.cli.plain import COMPLETING

    del env
    kind = get_completion_class(shell)
    assert kind is not None  # click has all three
    exact([kind(root_group(), {}, "xlpy", COMPLETING).source()])
