"""``xlpy ndctl`` and ``xlpy daxctl``: dispatch to a command, and its exit status."""

from __future__ import annotations

from errno import EOPNOTSUPP

from xlpy.cli.declare import Leave
from xlpy.cli.ndctl.options import USAGE, Ended
from xlpy.cli.ndctl.session import RELEASES, NdctlSession, status
from xlpy.errors import UsageError
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.cli.env import Env

NOT_HERE = "-"  # the real one has it, xlpy has not

NDCTL = {  # in the order of --list-cmds
    "version": "",
    "enable-namespace": "namespaces:enable",
    "disable-namespace": "namespaces:disable",
    "create-namespace": "create:run",
    "destroy-namespace": "namespaces:destroy",
    "read-infoblock": "infoblock:read",
    "write-infoblock": "infoblock:write",
    "check-namespace": "check:run",
    "clear-errors": "errorwords:clear",
    "enable-region": "regions:enable",
    "disable-region": "regions:disable",
    "enable-dimm": "dimms:enable",
    "disable-dimm": "dimms:disable",
    "zero-labels": "labelwords:zero",
    "read-labels": "labelwords:read",
    "write-labels": "labelwords:write",
    "init-labels": "labelwords:init",
    "check-labels": "labelwords:check",
    "inject-error": "errorwords:inject",
    "update-firmware": "unsupported:update_firmware",
    "inject-smart": "health:inject",
    "wait-scrub": "errorwords:wait_scrub",
    "activate-firmware": "unsupported:activate_firmware",
    "start-scrub": "errorwords:start_scrub",
    "setup-passphrase": "unsupported:setup_passphrase",
    "update-passphrase": "unsupported:update_passphrase",
    "remove-passphrase": "unsupported:remove_passphrase",
    "freeze-security": "unsupported:freeze_security",
    "sanitize-dimm": "unsupported:sanitize_dimm",
    "load-keys": NOT_HERE,
    "wait-overwrite": "unsupported:wait_overwrite",
    "list": "listing:run",
    "monitor": NOT_HERE,
    "help": "",
}
DAXCTL = {
    "version": "",
    "list": "daxwords:run_list",
    "help": "",
    "split-acpi": NOT_HERE,
    "migrate-device-model": NOT_HERE,
    "create-device": NOT_HERE,
    "destroy-device": NOT_HERE,
    "reconfigure-device": "daxwords:reconfigure",
    "online-memory": NOT_HERE,
    "offline-memory": NOT_HERE,
    "disable-device": NOT_HERE,
    "enable-device": NOT_HERE,
}
COMMANDS = {"ndctl": NDCTL, "daxctl": DAXCTL}
UNKNOWN = 1


def run(env: Env, program: str, words: Sequence[str]) -> None:
    """Run one command line of a program.

    Args:
        env: the command group's options.
        program: ``ndctl`` or ``daxctl``.
        words: what follows it.

    Raises:
        Leave: an exit status other than 0. UsageError: ``--like`` names no version.
    """
    like, words = _like(list(words))
    result = _run(NdctlSession(env, program, like), words)
    if result:
        raise Leave(result)


def _like(words: list[str]) -> tuple[str, list[str]]:
    """(the version that ``--like`` in front of everything asks for, the words behind it)."""
    if not words or words[0].partition("=")[0] != "--like":
        return "76", words
    _, equals, version = words.pop(0).partition("=")
    if not equals:
        version = words.pop(0) if words else ""
    if version not in RELEASES:
        raise UsageError(f"--like {version}: not a version that is known", hint=f"one of {', '.join(RELEASES)}")
    return version, words


def _run(session: NdctlSession, words: list[str]) -> int:
    program, commands = session.program, COMMANDS[session.program]
    while words and words[0].startswith("-"):
        word = words[0]
        if word in ("--version", "--help"):
            break
        if word in ("-h", "-v"):
            words[0] = {"-h": "--help", "-v": "--version"}[word]
            break
        if word == "--list-cmds":
            session.out("".join(f"{name}\n" for name in commands))
            return 0
        session.err(f"Unknown option: {word}", f"\n Usage: {program} [--version] [--help] COMMAND [ARGS]")
        return USAGE
    if not words:
        return _introduce(session, UNKNOWN)
    name = words.pop(0).removeprefix("--")
    if words[:1] == ["--help"] and name in commands:
        words[0] = "-h"
    if name == "version":
        session.out(f"{session.release.version}\n")
        return 0
    if name == "help":
        return _help(session, words)
    where = commands.get(name)
    if where is None:
        session.err(f"Unknown command: '{name}'")
        return UNKNOWN
    if where == NOT_HERE:
        session.error(f"{name} is not emulated")
        return status(-EOPNOTSUPP)
    module, attribute = where.split(":")
    command = getattr(__import__(f"xlpy.cli.ndctl.{module}", fromlist=[attribute]), attribute)  # importlib costs 0.4 ms
    try:
        return status(command(session, words))
    except Ended as ended:
        return ended.status


def _introduce(session: NdctlSession, result: int) -> int:
    program = session.program
    session.out(f"\n usage: {program} [--version] [--help] COMMAND [ARGS]\n\n")
    session.out(
        f"\n See '{program} help COMMAND' for more information on a specific command.\n"
        f" {program} --list-cmds to see all available commands\n\n"
    )
    return result


def _help(session: NdctlSession, words: list[str]) -> int:
    """Where the real one shows a manual page, the options of the command."""
    name = words[0].removeprefix(f"{session.program}-") if words else ""
    if ":" not in COMMANDS[session.program].get(name, ""):
        return _introduce(session, 0)
    return _run(session, [name, "-h"]) and 0
