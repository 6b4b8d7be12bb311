"""The domain's identity: type, name, uuid, labels, and the actions at its end."""

from __future__ import annotations

from xlpy.toolstack.config.options.identity import ACTIONS
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.toolstack.config.reading.reader import Reader

_DEFAULT_ACTIONS = {
    "on_poweroff": "destroy",
    "on_reboot": "restart",
    "on_watchdog": "destroy",
    "on_crash": "destroy",
    "on_soft_reset": "soft-reset",
}


def read_type(reader: Reader) -> None:
    """``type`` and the older ``builder``: each may be any beginning of a word."""
    found = _beginning(reader, "type", (("hvm", "hvm"), ("pv", "pv"), ("pvh", "pvh")))
    built = _beginning(reader, "builder", (("hvm", "hvm"), ("generic", "pv")))
    if built:
        reader.warn("builder", "builder is deprecated since Xen 4.10", f'write type = "{built}"')
        if found and found != built:
            reader.error("builder", f"builder and type contradict each other: {built} and {found}")
    unreadable = any(reader.string(key, quiet=True) for key in ("type", "builder"))
    reader.type = built or found or ("hvm" if unreadable else "pv")  # HVM asks least of the rest, which is judged too
    reader.put("c_info.type", reader.type)


def _beginning(reader: Reader, key: str, words: tuple[tuple[str, str], ...]) -> str | None:
    text = reader.string(key)
    if text is None:
        return None
    for word, kind in words:
        if word.startswith(text):
            if text != word:
                reader.warn(text, f"xl takes {key} = {str(text)!r} for {kind}", f'write "{word}"')
            return kind
    reader.error(text, f"{key}: {str(text)!r} is no kind of guest", f"choose one of: {', '.join(w for w, _ in words)}")
    return None


def read_name(reader: Reader) -> None:
    """``name``, without which there is no domain."""
    name = reader.string("name", quiet=True)
    if name is None:
        reader.error("name", "the domain has no name", 'add a line such as: name = "vm1"')
        return
    reader.put("c_info.name", str(name))
    if name.isdigit() and name.isascii():
        reader.warn(name, f"commands take {name} for a domain id, never for this name")
    elif not name:
        reader.warn(name, "a domain with an empty name cannot be addressed by name")


def read_uuid(reader: Reader) -> None:
    """``uuid``; None in the tree means that a random one is wanted."""
    text = reader.string("uuid")
    if text is None:
        return
    from xlpy.uuids import uuid_bytes

    try:
        uuid_bytes(text)
    except ValueError:
        reader.error(text, f"not a UUID: {str(text)!r}", "write 8-4-4-4-12 hexadecimal digits")
    else:
        reader.put("c_info.uuid", text.lower())


def read_labels(reader: Reader) -> None:
    """The security labels, of which a single ``seclabel`` also serves while building."""
    first, final = reader.string("init_seclabel"), reader.string("seclabel")
    if first is not None:
        reader.put("c_info.ssid_label", str(first))
    if final is not None:
        reader.put("c_info.ssid_label" if first is None else "b_info.exec_ssid_label", str(final))


def read_actions(reader: Reader) -> None:
    """What follows each kind of shutdown; xl compares these words exactly."""
    for key, default in _DEFAULT_ACTIONS.items():
        text = reader.string(key) if key in reader.settings else None
        if text is None:
            reader.tree[key] = default.replace("-", "_")
            continue
        if text not in ACTIONS:
            reader.error(text, f"{key}: unknown action {str(text)!r}", f"choose one of: {', '.join(ACTIONS)}")
            continue
        reader.put(key, "restart_rename" if text == "rename-restart" else str(text).replace("-", "_"))
