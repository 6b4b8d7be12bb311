"""Commands for features that the emulated platform lacks: firmware updates and security of DIMMs.

They answer as the real ones do on a platform without it.
"""

from __future__ import annotations

from errno import EIO, ENXIO, EOPNOTSUPP

from xlpy.cli.ndctl import filters
from xlpy.cli.ndctl.dimms import BASE, MANY, chosen, each, names, summary
from xlpy.cli.ndctl.options import NdctlOption, Parser, flag, text
from xlpy.cli.ndctl.session import strerror
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.cli.ndctl.session import NdctlSession
    from xlpy.dom0.nvdimm.nd.dimm import Nvdimm

KEY = text("k", "key-handle", "key-handle", "master encryption key handle")
MASTER = flag("m", "master-passphrase", "use master passphrase")
UPDATE = (
    *BASE,
    text("f", "firmware", "firmware-file", "firmware filename for update"),
    flag("i", "force", "ignore ARS / arm status, try to force update"),
    flag("A", "arm", "arm device for firmware activation (default)"),
    flag("D", "disarm", "disarm device for firmware activation"),
)
ACTIVATE = (
    flag("v", "verbose", "turn on debug"),
    flag("I", "idle", "allow platform-injected idle over activate (default)", default=True),
    flag("f", "force", "try to force live activation"),
    flag("n", "dry-run", "perform all setup/validation steps, skip the activate"),
)
SANITIZE = (
    *BASE,
    flag("c", "crypto-erase", "crypto erase a dimm"),
    flag("o", "overwrite", "overwrite a dimm"),
    flag("z", "zero-key", "pass in a zero key"),
    MASTER,
)
SECURITY: dict[str, tuple[tuple[NdctlOption, ...], str]] = {  # command -> (options, what is said at the end)
    "setup-passphrase": ((*BASE, KEY, MASTER), "passphrase enabled for {} nmem"),
    "update-passphrase": ((*BASE, KEY, MASTER), "passphrase updated for {} nmem"),
    "remove-passphrase": ((*BASE, MASTER), "passphrase removed for {} nmem"),
    "freeze-security": (BASE, "security froze {} nmem"),
    "sanitize-dimm": (SANITIZE, "sanitized {} nmem"),
    "wait-overwrite": (BASE, ""),
}


def _security(session: NdctlSession, words: Sequence[str], command: str) -> int:
    options, told = SECURITY[command]
    parser = Parser(session, options, f"ndctl {command} {MANY}")
    values, rest = parser.parse(words)
    wanted = names(session, parser, rest)

    def act(dimm: Nvdimm) -> int:
        session.error(f"{dimm.dev}: security operation not supported\n")
        return -EOPNOTSUPP

    count = each(chosen(session.nd, values, wanted), act)
    if command == "sanitize-dimm" and values.overwrite:
        told = "overwrite issued for {} nmem"
    return summary(session, told, count, ".") if told else int(count < 0)


def setup_passphrase(session: NdctlSession, words: Sequence[str]) -> int:
    """``setup-passphrase``."""
    return _security(session, words, "setup-passphrase")


def update_passphrase(session: NdctlSession, words: Sequence[str]) -> int:
    """``update-passphrase``."""
    return _security(session, words, "update-passphrase")


def remove_passphrase(session: NdctlSession, words: Sequence[str]) -> int:
    """``remove-passphrase``."""
    return _security(session, words, "remove-passphrase")


def freeze_security(session: NdctlSession, words: Sequence[str]) -> int:
    """``freeze-security``."""
    return _security(session, words, "freeze-security")


def sanitize_dimm(session: NdctlSession, words: Sequence[str]) -> int:
    """``sanitize-dimm``."""
    return _security(session, words, "sanitize-dimm")


def wait_overwrite(session: NdctlSession, words: Sequence[str]) -> int:
    """``wait-overwrite``."""
    return _security(session, words, "wait-overwrite")


def update_firmware(session: NdctlSession, words: Sequence[str]) -> int:
    """``update-firmware``."""
    parser = Parser(session, UPDATE, f"ndctl update-firmware {MANY}")
    values, rest = parser.parse(words)
    wanted = names(session, parser, rest)
    if values.arm and values.disarm:
        session.err("set either --arm, or --disarm, not both")
        parser.usage()
    if values.firmware is None and not values.arm and not values.disarm:
        session.err("require --arm, or --disarm")
        parser.usage()
    session.subject = "update firmware"

    def act(dimm: Nvdimm) -> int:
        if values.firmware is None:
            return -ENXIO
        session.errors += 1
        why = "firmware update not supported by either platform firmware or the kernel."
        session.error(f"{session.subject}: {dimm.dev}: {why}")
        return -EIO

    count = each(chosen(session.nd, values, wanted), act)
    return summary(session, "updated {} nmem", count, ".")


def activate_firmware(session: NdctlSession, words: Sequence[str]) -> int:
    """``activate-firmware``."""
    usage = "ndctl activate-firmware[<bus-id> <bus-id2> ... <bus-idN>] [<options>]"
    parser = Parser(session, ACTIVATE, usage)
    values, rest = parser.parse(words)
    result = -ENXIO
    for name in ["all"] if "all" in rest or not rest else rest:
        found = [bus for bus in filters.buses(session.nd) if filters.wants_bus(bus, name)]
        for bus in found:
            session.err(f"{bus.provider}: {bus.dev}: has no devices that support firmware update.")
            result = -EOPNOTSUPP
        if not found and values.verbose:
            session.err(f"no bus matches id: {name}")
    session.err(f"error activating firmware: {strerror(result)}")
    return result
