"""A real Linux in a guest: boots it on a bank of NVDIMM, runs guest.sh in it, and reads what it told."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import xlpy
from xlpy.addr import GIB, KIB, MIB, PAGE

HERE = Path(__file__).parent
KIT = HERE.parents[1] / "guest" / "kit.py"
EXTRAS = ("dm", "xfs", "daxctl", "virtio")
MODULES = (
    "9p 9pnet_virtio virtio_pci loop crc32c_generic ext2 cbc cts ecb xts aes_generic sha256_generic sha512_generic "
    "hmac nd_e820 device_dax dax_pmem kmem"
)
LABELS = 128 * KIB
SIZE = 3 * GIB + LABELS  # QEMU takes the label area from the end
RAM = 1536 * MIB
OLD_PMEM = (GIB, 64 * MIB)  # what memmap= makes an e820 region of
VIRTIO = 64 * MIB
SECONDS = 900


class KitError(Exception):
    """The guest kit cannot be assembled."""


def kit(suite="", cache=None, extras=EXTRAS, modules=MODULES, qemu=True, script=None):
    """Paths of the parts that guest/kit.py makes: KERNEL, INITRD, and QEMU with another suite."""
    words = [sys.executable, str(KIT), "--modules", modules, *(["--script", str(script)] if script else [])]
    words += [word for extra in extras for word in ("--with", extra)]
    words += ["--suite", suite] if suite else []
    words += ["--qemu"] if suite and qemu else []
    words += ["--cache", str(cache)] if cache else []
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise KitError(done.stderr.strip()[-300:])
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def boot(folder, parts, groups, nfit=True):
    """Boot and wait for the end; what was told is in ``folder``.

    Args:
        folder: for the images and what the guest tells.
        parts: of ``kit``.
        groups: of guest.sh.
        nfit: whether the machine has NVDIMMs, beside the regions that need none.
    """
    for name, size in (("nv", SIZE), ("ram", RAM), ("virtio", VIRTIO)):
        with (folder / f"{name}.img").open("wb") as file:
            file.truncate(size)
    script = f"sh+/host{HERE}/guest.sh+{sys.executable}+{HERE}+{Path(xlpy.__file__).parents[1]}+{'+'.join(groups)}"
    share = "mkdir+/host;mount+-t+9p+-o+trans=virtio,version=9p2000.L,ro,cache=loose,msize=512000+host+/host"
    command = [parts.get("QEMU") or shutil.which("qemu-system-x86_64"), "-accel", "tcg", "-cpu", "max", "-m"]
    command += [
        f"{RAM // MIB}M,slots=4,maxmem=8G",
        "-machine",
        f"pc,memory-backend=ram,nvdimm={'on' if nfit else 'off'}",
    ]
    command += ["-display", "none", "-nodefaults", "-no-user-config", "-no-reboot"]
    command += ["-serial", f"file:{folder}/console", "-serial", f"file:{folder}/told"]
    command += ["-object", f"memory-backend-file,id=ram,share=on,mem-path={folder}/ram.img,size={RAM}"]
    if nfit:
        command += ["-object", f"memory-backend-file,id=m1,share=on,mem-path={folder}/nv.img,size={SIZE}"]
        command += ["-device", f"nvdimm,memdev=m1,id=nv1,label-size={LABELS}"]
    command += ["-object", f"memory-backend-file,id=vp,share=on,mem-path={folder}/virtio.img,size={VIRTIO}"]
    command += ["-device", "virtio-pmem-pci,memdev=vp,id=virtio1"]
    command += ["-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"]
    command += ["-kernel", parts["KERNEL"], "-initrd", parts["INITRD"]]
    memmap = f"memmap={OLD_PMEM[1]:#x}!{OLD_PMEM[0]:#x}"
    command += ["-append", f"console=ttyS0 quiet panic=-1 mitigations=off {memmap} xlpy.run={share};{script}"]
    done = subprocess.run(command, timeout=SECONDS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Told:
    """What a guest told, and memory as it left it."""

    def __init__(self, folder):
        self.folder = folder
        self.text = (folder / "told").read_text(errors="replace")
        self.words = {}
        for line in self.text.splitlines():
            word, _, rest = line.partition(" ")
            self.words.setdefault(word, []).append(rest)
        assert "complete" in self.words, self.text[-3000:] + (folder / "console").read_text(errors="replace")[-2000:]

    def told(self, word):
        return [json.loads(rest) for rest in self.words.get(word, [])]

    @property
    def answers(self):
        """{situation: (exit status, document)}."""
        return {name: (status, document) for name, status, document in self.told("ask")}

    @property
    def bases(self):
        """Where each region begins, by the image that it is in."""
        found = {name: int(start, 0) for name, start in self.told("region")}
        return [(found[name], size, image) for name, size, image in (
            ("ACPI.NFIT", SIZE, "nv.img"), ("virtio-pmem", VIRTIO, "virtio.img")
        ) if name in found] + [(0, RAM, "ram.img")]  # fmt: skip

    def read(self, spa, length):
        """Bytes of host memory, from the image that is there."""
        base, image = next((base, image) for base, size, image in self.bases if base <= spa < base + size)
        with (self.folder / image).open("rb") as file:
            file.seek(spa - base)
            return file.read(length)


def wrong(told, situation):
    """What is wrong with the answer to a situation; empty when it is right."""
    if situation.name not in told.answers:
        return "was not asked"
    status, document = told.answers[situation.name]
    code = document.get("code", "")
    if (status, code) != (situation.status, situation.code):
        return f"exit {status} {code} {document.get('message', '')}, {situation.status} {situation.code} is right"
    if not situation.content:
        return ""
    pages = [
        told.read(spa + at, PAGE)
        for _, spa, length in ((e["logical"], e["spa"], e["length"]) for e in document["extents"])
        for at in range(0, length, PAGE)
    ]
    marks = [f"{situation.content} block {block} .".encode() for block in range(len(pages))]
    differing = [block for block, page in enumerate(pages) if not page.startswith(marks[block])]
    if len(pages) * PAGE != document["size"]:
        return f"{len(pages)} pages for {document['size']} bytes"
    if differing:
        first = differing[0]
        return f"{len(differing)} of {len(pages)} pages differ, first {first}: {pages[first][:40]!r}"
    return ""
