"""The users of persistent memory, as messages name them: domains by name, and how to end a use."""

from __future__ import annotations

from xlpy.toolstack.domain.record import name_of
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xlpy.host import Host


def named_users(host: Host, users: Iterable[str]) -> str:
    """Users, such as ``domain 1``, ``mount /mnt/pmem0`` or ``dm-0``, with the names of domains."""
    told = []
    for user in users:
        domid = user.removeprefix("domain ")
        name = name_of(host.xenstore, int(domid)) if domid.isdigit() and domid != user else None
        told.append(f"{user} ({name})" if name else user)
    return ", ".join(told)


def what_ends(user: str) -> str:
    """What ends a use: a command, where there is one."""
    kind, _, name = user.partition(" ")
    commands = {"mount": "host umount", "domain": "destroy", "the": "export release"}
    return (
        f"xlpy {commands[kind]} {name.removeprefix('export ')}" if kind in commands else "see the machine description"
    )
