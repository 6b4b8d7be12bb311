"""The interface of an export to the machine that it runs on, real or emulated."""

from __future__ import annotations

import os

from xlpy.contexts import suppress
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from xlpy.addr import Gpa, Spa, Span
    from xlpy.table import Table
    from xlpy.toolstack.backing.resolve import Resolved
    from xlpy.toolstack.config.domain_config import DomainConfig


def has_nvdimms(sysfs: str = "/sys") -> bool:
    """Whether the machine that this process runs on has NVDIMMs: many a kernel has the bus, with nothing on it."""
    with suppress(OSError):
        return bool(os.listdir(f"{sysfs}/bus/nd/devices"))  # noqa: PTH208 - pathlib takes 6 ms to import
    return False


class DimmFacts(NamedTuple):
    """What the machine tells of the DIMMs under a backing.

    identity: text that names the backing wherever it is used, for the guest's serial number.
    persistence: what survives a power failure, ``memory_controller`` or ``cpu_cache``; empty: not told.
    unarmed: a DIMM says that it does not keep what is written now.
    data_losses: how often the DIMMs lost data at a power failure; None: not told.
    note: what is to be known of memory that no NFIT describes; empty: nothing.
    """

    identity: str
    persistence: str = ""
    unarmed: bool = False
    data_losses: int | None = None
    note: str = ""


class ExportMachine(Protocol):
    """The machine whose persistent memory is exported."""

    @property
    def kind(self) -> str:
        """``linux`` or ``emulated``."""
        ...

    @property
    def register(self) -> Table:
        """Every export of this machine, by the path of its manifest."""
        ...

    def change(self, what: str) -> AbstractContextManager[None]:
        """Held around what changes pins and the register."""
        ...

    def absolute(self, path: str) -> str:
        """A path of a configuration as the machine's Dom0 knows it."""
        ...

    def xen(self) -> str | None:
        """The version of Xen that runs, such as ``4.17``; None: none does."""
        ...

    def physical_bits(self) -> int:
        """Width of physical addresses, which a guest with hardware paging shares."""
        ...

    def resolve(self, paths: Sequence[str]) -> list[Resolved]:
        """The host memory behind each path, proved safe to map. Raises as ``toolstack.resolve``."""
        ...

    def refuse_taken(self, name: str, found: Sequence[Resolved]) -> None:
        """Refuse memory that a domain of the machine's toolstack has. name: of the domain. Conflict, HypercallError."""
        ...

    def locate(self, spans: Sequence[Span[Spa]]) -> tuple[str, str] | None:
        """Path and kind of the device, partition or file that is exactly this host memory; None: there is none."""
        ...

    def pmem(self) -> list[tuple[str, Span[Spa]]]:
        """Every pmem device that this user may look at, with its host memory."""
        ...

    def media(self, resolved: Resolved) -> DimmFacts:
        """What is under a backing."""
        ...

    def poisoned(self, resolved: Resolved) -> list[Span[Spa]]:
        """Host memory on the backing's device that cannot be read."""
        ...

    def inode(self, path: str) -> int:
        """The inode number of a file."""
        ...

    def read(self, resolved: Resolved, length: int) -> bytes:
        """The first bytes of a backing."""
        ...

    def users(self, paths: Sequence[str]) -> dict[str, list[str]]:
        """Who has each file or device open, other than this process: texts such as ``process 17 (vi) has it open``."""
        ...

    def mapping(self, spans: Sequence[Span[Spa]]) -> list[str]:
        """Running domains that have any of this host memory, such as ``domain 3 (vm1)``."""
        ...

    def reserved(self, config: DomainConfig) -> list[Span[Gpa]]:
        """Guest addresses that the machine's own hardware makes unusable: reserved device memory."""
        ...

    def bars(self, config: DomainConfig) -> int:
        """Bytes of 64-bit memory BARs of the devices that are passed through."""
        ...

    def sync(self, path: str) -> None:
        """Write back what Dom0 has of a file or device in its caches."""
        ...

    def pin(self, path: str, kind: str, owner: str, *, renew: bool) -> str:
        """Hold a backing in place; how it is held, see ``Area.pinned``. renew: the owner has held it before.

        Raises:
            Conflict: it is pinned already. Unsafe: it cannot be pinned without permission.
        """
        ...

    def pinned(self, path: str, kind: str) -> bool:
        """Whether it is held still."""
        ...

    def unpin(self, path: str, how: str, owner: str) -> None:
        """Let go of what ``pin`` held."""
        ...
