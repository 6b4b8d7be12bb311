"""Clocks, firmware, kernels, and other parts of the platform."""

from __future__ import annotations

from xlpy.toolstack.config.options.cpu import ALTP2M_MODES, GROUPS, TIMER_MODES, TSC_MODES
from xlpy.toolstack.config.options.platform import BIOSES
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.toolstack.config.reading.reader import Reader

FIRMWARE_DIR = "/usr/lib/xen-{}/boot"
"""Where Debian's packages have a version's firmware."""
_LMCE = 1


def _mode(reader: Reader, key: str, path: str, modes: tuple[str, ...], deprecated: bool) -> None:
    """A mode by name or number."""
    if key not in reader.settings:
        return
    number = reader.integer(key, quiet=True)
    if number is not None:
        if not 0 <= number < len(modes):
            reader.error(key, f"{key}: there is no mode {number}", f"choose one of: {', '.join(modes)}")
            return
        if deprecated:
            reader.warn(key, f"{key}: a number is deprecated", f'write {key} = "{modes[number]}"')
        reader.put(path, modes[number])
        return
    text = reader.string(key)
    if text is None:
        return
    name = text.lower()
    if name in modes or (key == "timer_mode" and name == "unknown"):
        reader.put(path, name)
    else:
        reader.error(text, f"{key}: {str(text)!r} is not known", f"choose one of: {', '.join(modes)}")


def read_tsc_mode(reader: Reader) -> None:
    """``tsc_mode``."""
    _mode(reader, "tsc_mode", "b_info.tsc_mode", TSC_MODES, True)


def read_timer_mode(reader: Reader) -> None:
    """``timer_mode``, which a PV guest may not have."""
    if "timer_mode" in reader.settings and reader.type == "pv" and not reader.is_list("timer_mode"):
        reader.error("timer_mode", "timer_mode is not for PV guests", status=3)
        return
    _mode(reader, "timer_mode", "b_info.timer_mode", TIMER_MODES, True)


def read_altp2m(reader: Reader) -> None:
    """``altp2m``."""
    _mode(reader, "altp2m", "b_info.altp2m", ALTP2M_MODES, False)


def read_kernel(reader: Reader) -> None:
    """``kernel``; for HVM guests hvmloader is no kernel."""
    kernel = reader.string("kernel")
    if kernel is None:
        return
    if reader.type == "hvm" and kernel.rpartition("/")[2] == "hvmloader":
        reader.warn(kernel, "hvmloader is not a kernel; xl ignores this", "leave kernel out, or use firmware_override")
        return
    reader.put("b_info.kernel", str(kernel))


def read_cmdline(reader: Reader) -> None:
    """``cmdline``, or ``root`` and ``extra`` put together."""
    whole, root, extra = (reader.string(key) for key in ("cmdline", "root", "extra"))
    if whole is not None:
        for key in ("root", "extra"):
            if key in reader.settings:
                reader.warn(key, f"{key} is ignored because there is a cmdline")
        reader.put("b_info.cmdline", str(whole))
    elif root is not None or extra is not None:
        words = ([f"root={root}"] if root is not None else []) + ([str(extra)] if extra is not None else [])
        reader.put("b_info.cmdline", " ".join(words))


def read_bootloader_args(reader: Reader) -> None:
    """``bootloader_args``: a list, or in the old way a string."""
    if "bootloader_args" not in reader.settings:
        return
    if reader.is_list("bootloader_args"):
        arguments = [str(text) for text in reader.texts("bootloader_args") or ()]
    else:
        text = reader.string("bootloader_args")
        if text is None:
            return
        reader.warn(text, "bootloader_args as a string is deprecated", "write a list of strings")
        arguments = text.replace("\t", " ").replace("\n", " ").split(" ")
        arguments = [argument for argument in arguments if argument]
        if not arguments:
            reader.error(text, "bootloader_args is blank", "leave it out", status=None)
    reader.put("b_info.bootloader_args", arguments)


def read_bios(reader: Reader) -> None:
    """``bios`` and ``bios_path_override`` (HVM)."""
    text = reader.string("bios")
    if text is not None:
        name = text.lower()
        if name in BIOSES or name == "unknown":
            reader.put("b_info.u.bios", name)
        else:
            reader.error(text, f"bios: {str(text)!r} is not known", f"choose one of: {', '.join(BIOSES)}")
    elif reader.get("b_info.u.system_firmware") is not None:
        reader.warn("bios_path_override", "bios_path_override is given and bios is not")


def read_firmware(reader: Reader) -> None:
    """``firmware``: a BIOS or a path for HVM, a boot loader in place of a kernel for the others."""
    text = reader.string("firmware")
    if reader.type == "hvm":
        if text is None:
            return
        name = text.lower()
        if name in BIOSES or name == "unknown":
            reader.put("b_info.u.bios", name)
        elif "uefi".startswith(text):
            if text != "uefi":
                reader.warn(text, f"xl takes firmware = {str(text)!r} for uefi", 'write "uefi"')
            reader.put("b_info.u.bios", "ovmf")
        elif not "bios".startswith(text):
            reader.put("b_info.u.firmware", str(text))
        return
    if text is not None:
        if reader.get("b_info.kernel") is not None:
            reader.error(text, "both kernel and firmware are given", "leave one of them out")
        if not ("pvgrub32".startswith(text) or "pvgrub64".startswith(text)):
            reader.error(text, f"firmware: {str(text)!r} is not known", "choose one of: pvgrub32, pvgrub64")
        reader.put("b_info.kernel", f"{FIRMWARE_DIR.format(reader.xen)}/{text}.bin")
    elif reader.get("b_info.kernel") is None and reader.get("b_info.bootloader") is None:
        reader.error(
            None,
            f"a {reader.type} guest needs a kernel, a firmware or a bootloader",
            'add kernel = "PATH", or type = "hvm"',
        )


def read_viridian(reader: Reader) -> None:
    """``viridian``: a flag, or groups that are added and taken away in order (HVM)."""
    if "viridian" not in reader.settings:
        return
    if not reader.is_list("viridian"):
        flag = reader.boolean("viridian")
        if flag is not None:
            reader.put("b_info.u.viridian", flag)
        return
    on: set[int] = set()
    off: set[int] = set()
    for item in reader.flat("viridian", None):
        if item == "all":
            on.update(range(64))  # every bit of the bitmap
        elif item == "defaults":
            reader.put("b_info.u.viridian", True)
        else:
            name = item.removeprefix("!").lower()
            if name not in GROUPS:
                reader.error(item, f"viridian: unknown group {str(item)!r}", f"groups: {', '.join(GROUPS)}", status=3)
                return
            group = GROUPS.index(name)
            for groups, member in ((on, not item.startswith("!")), (off, item.startswith("!"))):
                groups.add(group) if member else groups.discard(group)
    reader.put("b_info.u.viridian_enable", sorted(on))
    reader.put("b_info.u.viridian_disable", sorted(off))


def read_mca_caps(reader: Reader) -> None:
    """``mca_caps`` (HVM)."""
    if "mca_caps" not in reader.settings:
        return
    if not reader.is_list("mca_caps"):
        reader.error("mca_caps", "mca_caps must be a list", 'write mca_caps = [ "lmce" ]', status=3)
    for item in reader.flat("mca_caps", None):
        if item != "lmce":
            reader.error(item, f"mca_caps: unknown feature {str(item)!r}", 'the only one is "lmce"', status=3)
            return
        reader.put("b_info.u.mca_caps", _LMCE)


def read_genid(reader: Reader) -> None:
    """``ms_vm_genid`` (HVM): sixteen random bytes."""
    text = reader.string("ms_vm_genid")
    if text == "generate":
        import os

        reader.put("b_info.u.ms_vm_genid", list(os.urandom(16)))
    elif text is not None and text != "none":
        reader.error(text, f"ms_vm_genid: {str(text)!r} is not known", 'choose "generate" or "none"')


def read_vmtrace(reader: Reader) -> None:
    """``vmtrace_buf_kb``: what is no number is not even warned of."""
    from xlpy.toolstack.config.cnumbers import i32

    size = reader.integer("vmtrace_buf_kb", quiet=True)
    if size:
        reader.put("b_info.vmtrace_buf_kb", i32(size))
