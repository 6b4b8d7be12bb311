"""A machine with a real Xen: QEMU as hardware, Debian's hypervisor, kernel and tools, an NVDIMM; made of packages.

    Machine("4.17", nvdimm).boot("judge.sh", folder)

The processor is emulated (AMD's virtualisation with nested paging among its features), so neither KVM nor root is
needed. Dom0's root is a disk of unpacked packages below a layer in memory; xlpy and the libraries it needs are on a
second disk, in Dom0's PYTHONPATH; the folder given to `boot` is /out there, a shared file system.
"""

from __future__ import annotations

import gzip
import importlib.util
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from realxen.debian import Debian, Unavailable, cache, file_system, locked, run

INSIDE = Path(__file__).parent / "inside"
KIT = Path(__file__).parents[2] / "guest" / "kit.py"
RELEASES = {"4.17": "bookworm", "4.20": "trixie"}
MODULES = "overlay virtio_pci virtio_blk 9pnet_virtio 9p"
XEN_MODULES = "xen-privcmd xenfs xen-evtchn xen-gntdev xen-gntalloc"
TOOLS = "bash coreutils sed grep mawk util-linux mount e2fsprogs kmod procps seabios ndctl python3 qemu-system-xen"
LIBRARIES = ("xlpy", "click", "construct", "rich", "pygments", "markdown_it", "mdurl", "yaml")
# Xen 4.17 and 4.20 stop early under QEMU 7.2's emulation of the features taken away here
CPU = "max,+svm,+npt,-smap,-rdtscp,-xsave,-avx,-avx2"
LABELS = 128 << 10
NVDIMM_AT = 0x1_4000_0000  # where QEMU's pc machine puts the first one, with the memory below
MEMORY, DOM0_MEMORY = 4096, 1024  # MiB; xlpy gives Dom0 a quarter too


def assemble(script: Path, modules: str = "") -> tuple[Path, Path]:
    """Debian's kernel and an initramfs that loads modules and runs a script, made by guest/kit.py.

    Raises:
        Unavailable: apt does not have what the kit needs.
    """
    with locked(cache()):
        told = run(sys.executable, str(KIT), "--script", str(script), "--modules", modules)
    parts = dict(word.split("=", 1) for word in shlex.split(told))
    return Path(parts["KERNEL"]), Path(parts["INITRD"])


def libraries(image: Path) -> None:
    """A file system with xlpy and the libraries it needs, as this interpreter finds them."""
    with tempfile.TemporaryDirectory() as folder:
        for name in LIBRARIES:
            package = Path(importlib.util.find_spec(name).origin).parent
            shutil.copytree(package, Path(folder, name))  # with times, so that compiled files serve Dom0 too
        file_system(Path(folder), image)


@dataclass(frozen=True)
class Ended:
    """What is left of a boot: where its script wrote, what it printed, and how it ended."""

    folder: Path
    console: str
    status: int


class Machine:
    """The hardware, and what is started on it.

    Args:
        xen: version as in RELEASES, or ``none`` for Linux alone.
        nvdimm: image of the NVDIMM, its label area at the end; kept from boot to boot.
        cpus: of the machine; with one QEMU needs one thread, which is far quicker where others want the processor too.

    Raises:
        Unavailable: what is missing on this machine, and which package has it.
    """

    def __init__(self, xen: str, nvdimm: Path, cpus: int = 1) -> None:
        if shutil.which("qemu-system-x86_64") is None:
            raise Unavailable("qemu-system-x86_64 is not installed (package qemu-system-x86)")
        self.xen, self.nvdimm, self.cpus = xen, nvdimm, cpus
        self.kernel, self.initramfs = assemble(INSIDE / "init.sh", f"{MODULES} {XEN_MODULES}")
        version = next(iter(RELEASES)) if xen == "none" else xen
        tools = f"{TOOLS} xen-utils-{version} xen-hypervisor-{version}-amd64".split()
        debian = Debian(RELEASES[version])
        self.tree, self.root = debian.tree(*tools), debian.image(*tools)

    def _hypervisor(self) -> Path:
        """The unpacked hypervisor: QEMU's loader takes no compressed one."""
        file = self.tree / "boot" / "xen"
        if not file.exists():
            packed = next((self.tree / "boot").glob("xen-*.gz"))
            new = file.with_suffix(".new")
            new.write_bytes(gzip.decompress(packed.read_bytes()))
            new.replace(file)
        return file

    def command(self, folder: Path, script: str, xen_arguments: str = "") -> list[str]:
        """QEMU's command line for one boot."""
        threads = "single" if self.cpus == 1 else "multi"
        words = ["qemu-system-x86_64", "-accel", f"tcg,thread={threads}", "-cpu", CPU, "-smp", str(self.cpus)]
        words += ["-machine", "pc,nvdimm=on", "-m", f"{MEMORY}M,slots=2,maxmem={MEMORY + 8192}M"]
        words += ["-display", "none", "-nodefaults", "-no-user-config", "-no-reboot"]
        words += ["-serial", f"file:{folder}/console"]
        size = self.nvdimm.stat().st_size
        words += ["-object", f"memory-backend-file,id=m1,share=on,mem-path={self.nvdimm},size={size}"]
        words += ["-device", f"nvdimm,memdev=m1,id=nv1,label-size={LABELS}"]
        libraries(folder / "libraries.ext4")
        for image in (self.root, folder / "libraries.ext4"):
            words += ["-drive", f"file={image},format=raw,if=virtio,readonly=on"]
        words += ["-virtfs", f"local,path={folder},mount_tag=out,security_model=none,multidevs=remap"]
        console = "ttyS0" if self.xen == "none" else "hvc0"
        linux = f"console={console} quiet panic=-1 mitigations=off realxen={script}"
        if self.xen == "none":
            return [*words, "-kernel", str(self.kernel), "-initrd", str(self.initramfs), "-append", linux]
        memory = f"dom0_mem={DOM0_MEMORY}M,max:{DOM0_MEMORY}M"
        words += ["-kernel", str(self._hypervisor())]
        arguments = f"console=com1 com1=115200,8n1 {memory} loglvl=all guest_loglvl=all {xen_arguments}"
        words += ["-append", arguments.strip()]
        return [*words, "-initrd", f"{self.kernel} {linux.replace(',', ',,')},{self.initramfs}"]

    def boot(self, script: str, folder: Path, seconds: int = 400, xen_arguments: str = "") -> Ended:
        """Start the machine, run a script of ``inside/`` or of the folder as root, wait for the end.

        Args:
            script: name of the script.
            folder: is /out inside; gets ``console``, and what the script writes.
            seconds: after which the machine is switched off.
            xen_arguments: for Xen's command line.
        """
        for path in INSIDE.iterdir():
            shutil.copy(path, folder / path.name)
        done = subprocess.run(
            ["timeout", str(seconds), *self.command(folder, script, xen_arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        console = (folder / "console").read_text(errors="replace") if (folder / "console").exists() else done.stderr
        status = folder / "status"
        return Ended(folder, console, int(status.read_text()) if status.exists() else -1)
