"""Screen, serial ports, USB and other devices of an HVM guest's device model."""

from __future__ import annotations

from xlpy.toolstack.config.cnumbers import i32
from xlpy.toolstack.config.options.display import SCREEN_KEYS
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.toolstack.config.reading.reader import Node, Reader

_VGA = {"stdvga": "std", "cirrus": "cirrus", "none": "none", "qxl": "qxl"}
_VNC_TEXTS = {"vnclisten": "listen", "vncpasswd": "passwd"}
_VNC_FLAGS = {"vnc": "enable", "vncunused": "findunused"}
_SDL_TEXTS = {"display": "display", "xauthority": "xauthority"}
_SDL_FLAGS = {"sdl": "enable", "opengl": "opengl"}


def read_screen(reader: Reader) -> None:
    """The VNC and SDL keys: an HVM guest's own screen, or a PV guest's frame buffer if ``vfb`` gives none."""
    if not any(key in reader.settings for key in SCREEN_KEYS):
        return
    if reader.type == "hvm":
        screen = _screen(reader)
        for name, value in screen.items():
            reader.put(f"b_info.u.{name}", value)
        vnc = screen["vnc"]
        if vnc.get("display") and ":" in vnc.get("listen", ""):
            reader.error("vncdisplay", "the display is given in both vnclisten and vncdisplay", "leave one of them out")
    elif reader.type == "pv" and not reader.get("vfbs"):
        if reader.integer("vnc"):
            vfbs: list[Node] = [{"devid": 0, **_screen(reader)}]
            reader.put("vfbs", vfbs)
            keyboards = reader.get("vkbs") or []
            reader.put("vkbs", [*keyboards, {"devid": len(keyboards)}])
    elif reader.type == "pv":
        for key in SCREEN_KEYS:
            if key in reader.settings:
                reader.warn(key, f"{key} is ignored because there is a vfb")


def _screen(reader: Reader) -> Node:
    screen: Node = {"vnc": {}, "sdl": {}}
    for part, texts, flags in (("vnc", _VNC_TEXTS, _VNC_FLAGS), ("sdl", _SDL_TEXTS, _SDL_FLAGS)):
        for key, field in texts.items():
            text = reader.string(key)
            if text is not None:
                screen[part][field] = str(text)
        for key, field in flags.items():
            flag = reader.boolean(key)
            if flag is not None:
                screen[part][field] = flag
    display = reader.integer("vncdisplay")
    if display is not None:
        screen["vnc"]["display"] = i32(display)
    keymap = reader.string("keymap")
    if keymap is not None:
        screen["keymap"] = str(keymap)
    return screen


def read_vga(reader: Reader) -> None:
    """``vga``, or ``stdvga`` where it is not given (HVM)."""
    text = reader.string("vga")
    if text is not None:
        if text in _VGA:
            reader.put("b_info.u.vga", {"kind": _VGA[text]})
        else:
            reader.error(text, f"vga: {str(text)!r} is not known", f"choose one of: {', '.join(_VGA)}")
        return
    standard = reader.integer("stdvga")
    if standard is not None:
        reader.warn("stdvga", "stdvga is deprecated", f'write vga = "{"stdvga" if standard else "cirrus"}"')
        reader.put("b_info.u.vga", {"kind": "std" if standard else "cirrus"})


def read_gfx_passthru(reader: Reader) -> None:
    """``gfx_passthru``: a flag, or the kind of card (HVM)."""
    if "gfx_passthru" not in reader.settings:
        return
    number = reader.integer("gfx_passthru", quiet=True)
    if number is not None:
        reader.put("b_info.u.gfx_passthru", number != 0)
        return
    text = reader.string("gfx_passthru")
    if text is None:
        return
    if text.lower() not in ("default", "igd"):
        reader.error(text, f"gfx_passthru: {str(text)!r} is not known", "choose 0, 1, default or igd")
        return
    reader.put("b_info.u.gfx_passthru_kind", text.lower())
    reader.put("b_info.u.gfx_passthru", True)


def read_text_or_list(reader: Reader, key: str) -> None:
    """``serial`` and ``usbdevice``: one text, or several (HVM)."""
    if key not in reader.settings:
        return
    if reader.is_list(key):
        reader.put(f"b_info.u.{key}_list", [str(text) for text in reader.texts(key) or ()])
    else:
        reader.put(f"b_info.u.{key}", str(reader.string(key)))


def read_vendor_device(reader: Reader) -> None:
    """``vendor_device`` (HVM)."""
    text = reader.string("vendor_device")
    if text is None:
        return
    if text.lower() in ("none", "xenserver"):
        reader.put("b_info.u.vendor_device", text.lower())
    else:
        reader.error(text, f"vendor_device: {str(text)!r} is not known", "choose none or xenserver", status=3)


def read_device_model(reader: Reader) -> None:
    """Which device model runs, and its arguments."""
    if reader.string("device_model") is not None:
        reader.warn("device_model", "device_model is ignored", "device_model_override replaces the device model")
    version = reader.string("device_model_version")
    if version is None:
        if reader.get("b_info.device_model") is not None:
            reader.warn("device_model_override", "device_model_override is given and device_model_version is not")
    elif version in ("qemu-xen", "qemu-xen-traditional"):
        reader.put("b_info.device_model_version", version.replace("-", "_"))
    else:
        reader.error(version, f"device_model_version: {str(version)!r} is not known", "choose qemu-xen")
    for key, path in (
        ("device_model_args", "extra"),
        ("device_model_args_pv", "extra_pv"),
        ("device_model_args_hvm", "extra_hvm"),
    ):
        if key not in reader.settings:
            continue
        if not reader.is_list(key):
            reader.error(key, f"{key} must be a list", f'write {key} = [ "-option", "value" ]', status=3)
            continue
        reader.put(f"b_info.{path}", [str(text) for text in reader.texts(key) or ()])
