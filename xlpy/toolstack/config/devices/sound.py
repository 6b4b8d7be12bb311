"""``vsnd``: sound cards, each a list of texts that describe the card, its PCM devices and their streams."""

from __future__ import annotations

from xlpy.toolstack.config.cnumbers import strtoul, u32
from xlpy.toolstack.config.devices.spec import pieces
from xlpy.toolstack.config.xlcfg import Items, Text
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.toolstack.config.devices.spec import SpecPiece
    from xlpy.toolstack.config.reading.reader import Node, Reader

FORMATS = [
    "s8",
    "u8",
    "s16_le",
    "s16_be",
    "u16_le",
    "u16_be",
    "s24_le",
    "s24_be",
    "u24_le",
    "u24_be",
    "s32_le",
    "s32_be",
    "u32_le",
    "u32_be",
    "f32_le",
    "f32_be",
    "f64_le",
    "f64_be",
    "iec958_subframe_le",
    "iec958_subframe_be",
    "mu_law",
    "a_law",
    "ima_adpcm",
    "mpeg",
    "gsm",
]
STREAM_TYPES = ("p", "c")
_NUMBERS = {"channels-min": "channels_min", "channels-max": "channels_max", "buffer-size": "buffer_size"}
_OWN = {
    "card": {"backend": "backend_domname", "short-name": "short_name", "long-name": "long_name"},
    "pcm": {"name": "name"},
    "stream": {"unique-id": "unique_id", "type": "type"},
}

SETTINGS = tuple(
    dict.fromkeys(("sample-rates", "sample-formats", *_NUMBERS, *(name for own in _OWN.values() for name in own)))
)


def read_vsnds(reader: Reader) -> None:
    """``vsnd``."""
    cards: list[Node] = []
    for value in reader.items("vsnd") or ():
        if not isinstance(value, Items):
            reader.error(
                value, "vsnd: each card is a list of texts", 'write [ ["card, ...", "pcm, ...", "stream, ..."] ]'
            )
            return
        card: Node = {"devid": len(cards), "params": {}, "pcms": []}
        for item in value:
            if not isinstance(item, Text):
                reader.warn(item, "vsnd: xl reads no further than this nested list")
                break
            if not _read_item(reader, card, item):
                return
        cards.append(card)
    reader.put("vsnds", cards)


def _read_item(reader: Reader, card: Node, item: Text) -> bool:
    """One text: what it describes, then its settings."""
    parts = list(pieces(item))
    if not parts:
        return True
    kind = parts[0].text.lower()
    if kind not in _OWN:
        reader.error(item, f"vsnd: {parts[0].text!r} is not card, pcm or stream")
        return False
    node = card
    if kind != "card":
        if kind == "pcm" or not card["pcms"]:
            card["pcms"].append({"params": {}, "streams": []})
        node = card["pcms"][-1]
        if kind == "stream":
            node["streams"].append({"params": {}})
            node = node["streams"][-1]
    return all(_read_piece(reader, item, kind, node, piece) for piece in parts[1:])


def _read_piece(reader: Reader, item: Text, kind: str, node: Node, piece: SpecPiece) -> bool:
    value, where, params = piece.value, reader.at(item, piece.at), node["params"]
    if value is None:
        reader.error(where, f"vsnd: {piece.text!r} is not KEY=VALUE")
        return False
    if piece.key in _NUMBERS:
        params[_NUMBERS[piece.key]] = u32(strtoul(value, 0)[0])
    elif piece.key in ("sample-rates", "sample-formats"):
        words = [word for word in value.split(";") if word]
        if not words:
            reader.error(where, f"vsnd: {piece.key} needs a value", status=None)
            return False
        if piece.key == "sample-rates":
            params["sample_rates"] = [u32(strtoul(word, 0)[0]) for word in words]
        else:
            params["sample_formats"] = [word.lower() for word in words]
            for word in words:
                if word.lower() not in FORMATS:
                    reader.error(where, f"vsnd: unknown sample format {word!r}")
                    return False
    elif piece.key in _OWN[kind]:
        if kind == "stream" and piece.key == "type":
            if value.lower() not in STREAM_TYPES:
                reader.error(where, f"vsnd: unknown stream type {value!r}", "choose p (playback) or c (capture)")
                return False
            value = value.lower()
        node[_OWN[kind][piece.key]] = value
    else:
        reader.error(where, f"vsnd: unknown setting {piece.key!r} of a {kind}")
        return False
    return True
