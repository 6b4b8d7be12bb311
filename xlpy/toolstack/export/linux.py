"""Export from the machine that this process runs on: Dom0 of a real Xen, or the same machine before Xen runs."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path

from xlpy.contexts import suppress
from xlpy.dom0.linux import LinuxDom0
from xlpy.errors import Conflict, Constraint, NotFound
from xlpy.functions import cached_property
from xlpy.store import Store
from xlpy.toolstack.backing import devdax
from xlpy.toolstack.backing.resolve import resolve
from xlpy.toolstack.export import live, reserved, search
from xlpy.toolstack.export.machine import DimmFacts
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from xlpy.addr import Gpa, Spa, Span
    from xlpy.dom0.kernel import Mount
    from xlpy.table import Table
    from xlpy.toolstack.backing.resolve import Resolved
    from xlpy.toolstack.config.domain_config import DomainConfig

REGISTER = "/var/lib/xlpy"  # of the machine, not of a user: sudo and a login as root must see the same
VARIABLE = "XLPY_EXPORTS"  # names another folder for it
_LOST = re.compile(r"not_armed|flush_fail|map_fail")  # nfit/flags of a DIMM that does not keep what is written


class LinuxMachine:
    """Implements ``Machine``.

    Args:
        folder: where the register is; None: ``XLPY_EXPORTS``, else ``/var/lib/xlpy``.
        dom0: the kernel that is asked.
        sysfs, proc: where these are mounted.
    """

    kind = "linux"

    def __init__(
        self, folder: str | None = None, dom0: LinuxDom0 | None = None, sysfs: str = "/sys", proc: str = "/proc"
    ) -> None:
        self._place = Path(folder or os.environ.get(VARIABLE) or REGISTER, "exports.db")
        self._dom0 = dom0 or LinuxDom0()
        self._sysfs, self._proc = sysfs, proc

    @cached_property
    def _store(self) -> Store:
        if not self._place.exists():
            try:
                self._place.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise Constraint(
                    f"{self._place.parent}: the register of exports cannot be kept there: {error.strerror}",
                    code="XLPY-EXPORT-REGISTER",
                    hint=f"run as root, or name another folder: {VARIABLE}=DIR",
                ) from error
        return Store(self._place)

    @property
    def register(self) -> Table:
        """As ``Machine.register``; in memory while there is none and only questions are asked."""
        if "_store" not in self.__dict__ and not self._place.exists():
            return Store(None).table("exports")
        return self._store.table("exports")

    def change(self, what: str) -> AbstractContextManager[None]:
        return self._store.transaction(what)

    def absolute(self, path: str) -> str:
        return os.path.realpath(path) if path.startswith("/") else path

    def xen(self) -> str | None:
        base = Path(self._sysfs, "hypervisor")
        with suppress(OSError):
            if (base / "type").read_text().strip() == "xen":
                major, minor = ((base / "version" / name).read_text().strip() for name in ("major", "minor"))
                return f"{major}.{minor}"
        return None

    @property
    def is_dom0(self) -> bool:
        """Whether this kernel controls domains; a guest's physical addresses mean nothing to Xen."""
        with suppress(OSError):
            return "control_d" in Path(self._proc, "xen", "capabilities").read_text()
        return False

    def physical_bits(self) -> int:
        with suppress(OSError):
            found = re.search(
                r"^address sizes\s*:\s*(\d+) bits physical", Path(self._proc, "cpuinfo").read_text(), re.M
            )
            if found:
                return int(found[1])
        raise Constraint(f"{self._proc}/cpuinfo does not tell the width of physical addresses")

    def resolve(self, paths: Sequence[str]) -> list[Resolved]:
        if self.xen() and not self.is_dom0:
            raise Constraint(
                "this is a Xen guest, not Dom0: its physical addresses are not those of the machine",
                code="XLPY-EXPORT-GUEST",
                hint="run xlpy export in Dom0",
            )
        return [self._resolve(path) for path in paths]

    def refuse_taken(self, name: str, found: Sequence[Resolved]) -> None:
        """Nothing beyond what export asks itself: the register, running domains, and who has files open."""

    def _resolve(self, path: str) -> Resolved:
        try:
            return resolve(self._dom0, path)
        except NotFound as error:
            lost = disabled(self._sysfs)
            if path.startswith("/dev/") and lost:
                error.hint = (
                    f"{', '.join(lost)}: disabled. Does dmesg say why? A PV Dom0 cannot keep page structures on the "
                    "NVDIMM: ndctl create-namespace -f -e NAMESPACE -m fsdax --map=mem"
                )
            raise
        except Constraint as error:
            if error.code == "XLPY-LINUX-ACCESS" and os.geteuid():
                error.hint = "run as root: only root may read where a pmem device lies in host physical memory"
            raise

    def locate(self, spans: Sequence[Span[Spa]]) -> tuple[str, str] | None:
        found = search.locate(self._dom0, self._names, spans, files_of_size)
        return found or search.devdax(self._dom0, self._dax, spans)

    def pmem(self) -> list[tuple[str, Span[Spa]]]:
        found = [(name, span) for name, kind, span in search.devices(self._dom0, self._names) if kind == "device"]
        return found + [(name, span) for name, spans in search.daxes(self._dom0, self._dax) for span in spans]

    @property
    def _dax(self) -> list[str]:
        return sorted(one.name for one in Path(self._sysfs, "bus/dax/devices").glob("dax*"))

    @property
    def _names(self) -> list[str]:
        """Kernel names of pmem disks and their partitions."""
        disks = sorted(Path(self._sysfs, "block").glob("pmem*"))
        parts = (part for disk in disks for part in sorted(disk.glob(f"{disk.name}p*")) if (part / "start").exists())
        return [*(disk.name for disk in disks), *(part.name for part in parts)]

    def media(self, resolved: Resolved) -> DimmFacts:
        start = resolved.spans[0].start
        block = f"/sys/block/{resolved.device}/device"
        base = f"/sys/bus/dax/devices/{resolved.device}/.." if resolved.kind == "devdax" else block
        name = self._word(f"{base}/uuid") or self._word(f"{base}/resource") or f"{start:#x}"
        place = f"inode{self.inode(resolved.path)}" if resolved.kind == "file" else resolved.kind
        if resolved.kind == "partition":
            place = f"{start - int(self._word(f'{base}/resource'), 0):#x}"
        dimms = [self._word(f"{base}/../mapping{n}").partition(",")[0] for n in range(self._count(base))]
        told = [f"/sys/bus/nd/devices/{dimm}/nfit" for dimm in dimms if dimm]
        losses = [int(text, 0) for dimm in told if (text := self._word(f"{dimm}/dirty_shutdown"))]
        return DimmFacts(
            f"{name}-{place}",
            self._word(f"{base}/../persistence_domain"),
            any(_LOST.search(self._word(f"{dimm}/flags")) for dimm in told),
            max(losses) if losses and len(losses) == len(dimms) else None,
            devdax.NOTES.get(devdax.provider(self._dom0, resolved.kind, resolved.device), ""),
        )

    def _count(self, base: str) -> int:
        return int(self._word(f"{base}/../mappings") or 0)

    def _word(self, path: str) -> str:
        """A file of sysfs; empty when there is none."""
        try:
            return self._dom0.sysfs(path)
        except NotFound:
            return ""

    def poisoned(self, resolved: Resolved) -> list[Span[Spa]]:
        from xlpy.toolstack.backing.poison import poisoned

        return poisoned(self._dom0, resolved)

    def inode(self, path: str) -> int:
        return self._dom0.stat(path).inode

    def read(self, resolved: Resolved, length: int) -> bytes:
        with Path(resolved.path).open("rb") as file:
            return file.read(length)

    def users(self, paths: Sequence[str]) -> dict[str, list[str]]:
        from xlpy.dom0.files.openfiles import is_opened_by_kernel, users

        found = users(paths, self._proc)
        for path, texts in found.items():
            if not texts and is_opened_by_kernel(path):
                texts.append("the kernel has it open (an NFS server, a loop device, swap?)")
        return found

    def mapping(self, spans: Sequence[Span[Spa]]) -> list[str]:
        return live.users(spans) if self.is_dom0 else []

    def reserved(self, config: DomainConfig) -> list[Span[Gpa]]:
        return [*reserved.device_memory(config, self._sysfs), *reserved.hypertransport(self._proc)]

    def bars(self, config: DomainConfig) -> int:
        return reserved.large_bars(config, self._sysfs)

    def sync(self, path: str) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        except OSError as error:
            if error.errno != errno.EINVAL:  # a devdax device has no cache of the kernel's to write back
                raise
        finally:
            os.close(fd)

    def pin(self, path: str, kind: str, owner: str, *, renew: bool) -> str:
        del owner
        if kind != "file":
            return "record"
        was = self._dom0.immutable(path)
        if was is None:
            return "no"
        if was and not renew:
            raise Conflict(
                f"{path} is immutable already: another export, or another program, has pinned it",
                code="XLPY-PMEM-PINNED",
                hint=f"xlpy export check lists the exports of this machine; if it is not needed: chattr -i {path}",
            )
        if not was:
            self._dom0.set_immutable(path, True)
        return "immutable"

    def pinned(self, path: str, kind: str) -> bool:
        return kind != "file" or bool(self._dom0.immutable(path))

    def unpin(self, path: str, how: str, owner: str) -> None:
        del owner
        if how in ("immutable", "intended"):
            with suppress(NotFound):
                self._dom0.set_immutable(path, False)


def disabled(sysfs: str = "/sys") -> list[str]:
    """Namespaces that are set up and that no driver has: their block devices are not there."""
    found = []
    for one in sorted(Path(sysfs, "bus/nd/devices").glob("*")):
        if re.match(r"(namespace|pfn|btt|dax)\d", one.name) and not (one / "driver").exists():
            with suppress(OSError):
                if (one / "uuid").read_text().strip() and not (one / "holder").is_symlink():
                    found.append(one.name)
    return found


def files_of_size(mount: Mount, size: int) -> Iterator[str]:
    """Every regular file of a size on a mount, not crossing into others."""
    top = Path(mount.mountpoint)
    with suppress(OSError):
        device = top.stat().st_dev
        for folder, below, names in os.walk(top):
            below[:] = [name for name in below if _on(Path(folder, name), device)]
            for name in names:
                path = Path(folder, name)
                with suppress(OSError):
                    found = path.lstat()
                    if stat.S_ISREG(found.st_mode) and found.st_size == size:
                        yield str(path)


def _on(path: Path, device: int) -> bool:
    with suppress(OSError):
        return path.lstat().st_dev == device
    return False
