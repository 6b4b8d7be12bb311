"""Keys of the emulated screen, keyboard, sound and USB."""

from __future__ import annotations

from xlpy.toolstack.config.options.option import (
    BOOLEAN,
    HVM,
    INTEGER,
    PV,
    STRING,
    STRING_OR_INTEGER,
    STRING_OR_LIST,
    XL,
    XLPY,
    Option,
)

SCREEN_KEYS = (
    "vnc",
    "vncunused",
    "vnclisten",
    "vncpasswd",
    "vncdisplay",
    "sdl",
    "opengl",
    "display",
    "xauthority",
    "keymap",
)

_SCREEN = (HVM, PV)

OPTIONS = (
    Option(
        "vga",
        STRING,
        "The emulated graphics card.",
        default="cirrus",
        guests=(HVM,),
        legal=("none", "stdvga", "cirrus", "qxl"),
    ),
    Option("stdvga", INTEGER, '1 is vga = "stdvga", 0 is cirrus.', default="0", guests=(HVM,), instead="vga"),
    Option(
        "vnc",
        BOOLEAN,
        "Show the screen over VNC; on a PV guest it adds a frame buffer.",
        default="1 for HVM",
        guests=_SCREEN,
    ),
    Option(
        "vnclisten",
        STRING,
        "The address on which VNC listens, with :N for a display.",
        default="127.0.0.1",
        guests=_SCREEN,
    ),
    Option(
        "vncdisplay",
        INTEGER,
        "The VNC display; together with a display in vnclisten it is refused.",
        default="0",
        guests=_SCREEN,
    ),
    Option("vncunused", BOOLEAN, "Take the first free VNC display.", default="1", guests=_SCREEN),
    Option("vncpasswd", STRING, "The VNC password.", guests=_SCREEN),
    Option(
        "vncviewer", INTEGER, "Ignored; start a viewer with xl create -V.", instead="xl create -V", unread_by=(XL, XLPY)
    ),
    Option("sdl", BOOLEAN, "Show the screen in a window on the host.", default="0", guests=_SCREEN),
    Option("opengl", BOOLEAN, "Use OpenGL for that window.", default="0", guests=_SCREEN),
    Option("display", STRING, "The X display for that window.", guests=_SCREEN),
    Option("xauthority", STRING, "The X authority file for that window.", guests=_SCREEN),
    Option("keymap", STRING, "The keyboard layout.", default="en-us", guests=_SCREEN),
    Option(
        "nographic",
        BOOLEAN,
        "No graphics card at all; use a serial console.",
        default="0",
        guests=(HVM,),
        path="b_info.u.nographic",
    ),
    Option("spice", BOOLEAN, "Show the screen over SPICE.", default="0", guests=(HVM,), path="b_info.u.spice.enable"),
    Option(
        "spiceport",
        INTEGER,
        "The port of SPICE without encryption; this or spicetls_port is needed.",
        guests=(HVM,),
        path="b_info.u.spice.port",
        store="i32",
    ),
    Option(
        "spicetls_port",
        INTEGER,
        "The port of SPICE with encryption.",
        guests=(HVM,),
        path="b_info.u.spice.tls_port",
        store="i32",
    ),
    Option(
        "spicehost",
        STRING,
        "The address on which SPICE listens.",
        default="all",
        guests=(HVM,),
        path="b_info.u.spice.host",
    ),
    Option(
        "spicedisable_ticketing",
        BOOLEAN,
        "Let anybody connect without a password.",
        default="0",
        guests=(HVM,),
        path="b_info.u.spice.disable_ticketing",
    ),
    Option("spicepasswd", STRING, "The SPICE password.", guests=(HVM,), path="b_info.u.spice.passwd"),
    Option(
        "spiceagent_mouse",
        BOOLEAN,
        "Use the guest agent's mouse.",
        default="1",
        guests=(HVM,),
        path="b_info.u.spice.agent_mouse",
    ),
    Option(
        "spicevdagent", BOOLEAN, "Connect the guest agent.", default="0", guests=(HVM,), path="b_info.u.spice.vdagent"
    ),
    Option(
        "spice_clipboard_sharing",
        BOOLEAN,
        "Share the clipboard; needs spicevdagent.",
        default="0",
        guests=(HVM,),
        path="b_info.u.spice.clipboard_sharing",
    ),
    Option(
        "spiceusbredirection",
        INTEGER,
        "Channels for USB devices of the client, at most 4.",
        default="0",
        guests=(HVM,),
        path="b_info.u.spice.usbredirection",
        store="i32",
    ),
    Option(
        "spice_image_compression",
        STRING,
        "The image compression: auto_glz, auto_lz, quic, glz, lz or off.",
        guests=(HVM,),
        path="b_info.u.spice.image_compression",
    ),
    Option(
        "spice_streaming_video",
        STRING,
        "The video detection: filter, all or off.",
        guests=(HVM,),
        path="b_info.u.spice.streaming_video",
    ),
    Option(
        "gfx_passthru",
        STRING_OR_INTEGER,
        "Make a passed-through graphics card the primary one; igd or default names its kind.",
        default="0",
        guests=(HVM,),
        legal=("default", "igd"),
    ),
    Option("serial", STRING_OR_LIST, "Where emulated serial ports go, in QEMU's words, such as pty.", guests=(HVM,)),
    Option(
        "usb", BOOLEAN, "Give the guest an emulated USB controller.", default="0", guests=(HVM,), path="b_info.u.usb"
    ),
    Option(
        "usbversion",
        INTEGER,
        "The version of that controller: 1, 2 or 3.",
        default="0",
        guests=(HVM,),
        path="b_info.u.usbversion",
        store="i32",
    ),
    Option(
        "usbdevice", STRING_OR_LIST, "Emulated USB devices such as tablet, mouse or host:VENDOR:PRODUCT.", guests=(HVM,)
    ),
    Option(
        "vkb_device", BOOLEAN, "Give the guest a PV keyboard.", default="1", guests=(HVM,), path="b_info.u.vkb_device"
    ),
    Option("soundhw", STRING, "The emulated sound card, such as hda.", guests=(HVM,), path="b_info.u.soundhw"),
    Option(
        "vendor_device",
        STRING,
        "A PCI device by which Windows finds PV drivers.",
        default="none",
        guests=(HVM,),
        legal=("none", "xenserver"),
    ),
)
