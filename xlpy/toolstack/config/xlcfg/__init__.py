"""The language of xl's configuration files, read as libxlutil 4.17 reads it, with the position of every value."""

from xlpy.toolstack.config.xlcfg.parser import parse
from xlpy.toolstack.config.xlcfg.settings import Settings, Unusable, leading_texts, to_long
from xlpy.toolstack.config.xlcfg.source import COMMAND_LINE, Position, Problem, Refused, Source, excerpt
from xlpy.toolstack.config.xlcfg.values import Items, Setting, Text, Value

__all__ = [
    "COMMAND_LINE",
    "Items",
    "Position",
    "Problem",
    "Refused",
    "Setting",
    "Settings",
    "Source",
    "Text",
    "Unusable",
    "Value",
    "excerpt",
    "leading_texts",
    "parse",
    "to_long",
]
