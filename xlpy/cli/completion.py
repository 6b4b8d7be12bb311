"""``xlpy completion``: the script that teaches a shell to complete xlpy's commands."""

from __future__ import annotations

import click

from xlpy.cli.options import example

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@example("""
xlpy completion bash > ~/.local/share/bash-completion/completions/xlpy
xlpy completion zsh > "${fpath[1]}/_xlpy"
xlpy completion fish > ~/.config/fish/completions/xlpy.fish
source <(xlpy completion bash)
""")
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for a shell: commands, options, domains, vNVDIMMs, configuration files."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # click has all three
    click.echo(kind(ctx.find_root().command, {}, "xlpy", "_XLPY_COMPLETE").source(), nl=False)
