"""The reference page of all keys, ``docs/xl.cfg.md``, made from the table."""

from __future__ import annotations

from xlpy.toolstack.config.devices import disk, nic, pci, screen, simple, sound, usb, vnvdimm
from xlpy.toolstack.config.options import SECTIONS
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.toolstack.config.options import Option

_HEAD = """# Keys of a domain configuration

This page is made from the table in `xlpy/toolstack/config/options/`; change it there and run
`python -m xlpy.toolstack.config.options.docs > docs/xl.cfg.md`.

The keys are those of Xen 4.17 to 4.22, each read as the `xl` of the version that is chosen reads it (`--xen` or
`XLPY_XEN`, 4.17 to 4.20; 4.17 unless told). Two things are said apart: the version that introduced a key, when it came
after 4.17, and whether `xl` or xlpy does not read it in any version. `xlpy config check` warns of a key that is ignored
for either reason. A value of the wrong type is warned of and counts as absent, except where "wrong type" says more.
Integers may be decimal, `0x` hexadecimal or `0` octal; booleans are integers of which only 0 is false. Where guests are
named, the key has no effect on others.
"""
_DEVICES = """
## Settings of device specifications

A specification is one string with commas between its settings.

| key | settings |
|---|---|
"""


def page() -> str:
    """The whole page, in Markdown."""
    parts = [_HEAD]
    for title, options in SECTIONS:
        parts.append(f"\n## {title}\n")
        parts += [_entry(option) for option in options]
    parts.append(_DEVICES)
    parts += [f"| `{key}` | {', '.join(f'`{name}`' for name in names)} |\n" for key, names in specifications().items()]
    return "".join(parts)


def specifications() -> dict[str, tuple[str, ...]]:
    """The settings that each kind of device specification knows."""
    return {
        "disk": disk.SETTINGS,
        "vif": nic.SETTINGS,
        "pci": pci.SETTINGS,
        "usbctrl": usb.CONTROLLER_SETTINGS,
        "usbdev": usb.DEVICE_SETTINGS,
        "vfb": tuple(screen.VFB_SETTINGS),
        "vkb": screen.VKB_SETTINGS,
        "vdispl": screen.VDISPL_SETTINGS,
        "vsnd": sound.SETTINGS,
        "vtpm": simple.VTPM_SETTINGS,
        "p9": simple.P9_SETTINGS,
        "pvcalls": simple.PVCALLS_SETTINGS,
        "channel": simple.CHANNEL_SETTINGS,
        "vnvdimm": vnvdimm.KEYS,
    }


def _entry(option: Option) -> str:
    facts = [option.type, f"default {option.default}"]
    if len(option.guests) < 3:
        facts.append(f"guests {', '.join(option.guests)}")
    if option.legal:
        facts.append("one of " + ", ".join(f"`{value}`" for value in option.legal))
    if option.instead:
        facts.append(f"deprecated, use {option.instead}")
    if option.fatal:
        facts.append(f"wrong type: {option.fatal}")
    if option.since:
        facts.append(f"Xen {option.since} and later")
    if option.unread_by:
        facts.append(f"not read by {' or '.join(option.unread_by)}")
    return f"\n**`{option.key}`** ({'; '.join(facts)})\n{option.help}\n"


if __name__ == "__main__":
    print(page(), end="")
