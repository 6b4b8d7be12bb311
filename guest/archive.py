"""The initramfs: a `newc` archive of tools, modules in load order, and /init."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

DROP = (
    "usr/share/",
    "etc/",
    "usr/lib/systemd/",
    "lib/systemd/",
    "lib/udev/",
    "usr/lib/udev/",
    "usr/include/",
    "usr/lib/x86_64-linux-gnu/gconv/",
    "usr/lib/x86_64-linux-gnu/perl",
)
INIT = Path(__file__).with_name("init.sh")
MARK = Path(__file__).with_name("mark")


class Cpio:
    """A `newc` archive with fixed times and owners, so that equal content gives equal bytes."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._inode = 0
        self._seen: set[str] = set()

    def add(self, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        """Append one file; a name that is there already stays what it is."""
        if name in self._seen:
            return
        self._seen.add(name)
        self._inode += 1
        raw = name.encode() + b"\0"
        numbers = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(raw), 0)
        head = b"070701" + b"".join(b"%08X" % n for n in numbers) + raw
        self._parts.append(head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4))

    def parents(self, name: str) -> None:
        """Append the folders above a file."""
        for parent in reversed(Path(name).parents):
            if str(parent) != ".":
                self.add(str(parent), stat.S_IFDIR | 0o755)

    def close(self) -> bytes:
        """The whole archive."""
        self.add("TRAILER!!!", 0)
        return b"".join(self._parts)


def initramfs(
    tools: Path, modules: list[tuple[str, bytes]], script: bytes | None, programs: list[tuple[str, bytes]] | None = None
) -> bytes:
    """The archive: tools, modules in load order, /init, the script if there is one, and programs by their names."""
    cpio = Cpio()
    for top in ("bin", "sbin", "lib", "lib64"):  # merged /usr, as Debian has it
        cpio.add(top, stat.S_IFLNK | 0o777, f"usr/{top}".encode())
    cpio.add("dev", stat.S_IFDIR | 0o755)
    cpio.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    for path in sorted(tools.rglob("*")):
        name = str(path.relative_to(tools))
        if name.startswith(DROP):
            continue
        name = re.sub(r"^(bin|sbin|lib|lib64)(/|$)", r"usr/\1\2", name)
        if path.is_symlink():
            cpio.parents(name)
            cpio.add(name, stat.S_IFLNK | 0o777, os.fsencode(path.readlink()))
        elif path.is_file():
            cpio.parents(name)
            cpio.add(name, stat.S_IFREG | (path.stat().st_mode & 0o755), path.read_bytes())
    for at, (name, data) in enumerate(modules):
        cpio.parents(f"modules/{at:02}-{name}.ko")
        cpio.add(f"modules/{at:02}-{name}.ko", stat.S_IFREG | 0o644, data)
    cpio.add("init", stat.S_IFREG | 0o755, INIT.read_bytes())
    for name, data in programs or ():
        cpio.add(name, stat.S_IFREG | 0o755, data)
    if script is not None:
        cpio.add("run.sh", stat.S_IFREG | 0o755, script)
    return cpio.close()
