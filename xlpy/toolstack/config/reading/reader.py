"""Reading settings into a domain configuration: values, findings, and the source of each."""

from __future__ import annotations

import errno

from xlpy.functions import cache, cached_property
from xlpy.limits import FINDINGS
from xlpy.records import NamedTuple
from xlpy.toolstack.config.cnumbers import i32, u32, u64
from xlpy.toolstack.config.xlcfg import Items, Problem, Text, Unusable
from xlpy.typing import TYPE_CHECKING, Any, TypeVar
from xlpy.xen_version import DEFAULT, numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from xlpy.hw.machine import MachineSpec
    from xlpy.toolstack.config.options.option import Option
    from xlpy.toolstack.config.xlcfg import Position, Settings

Leaf = Any  # what libxl's structure holds: numbers, texts, flags, lists, nodes
Node = dict[str, Leaf]
T = TypeVar("T")


class HostFacts(NamedTuple):
    """What xl asks the hypervisor for while it reads a configuration.

    Args:
        cpus: physical CPUs.
        nodes: NUMA nodes; the CPUs are split evenly among them.

    Without arguments these are the facts of the default machine.
    """

    cpus: int = 4
    nodes: int = 1

    def node_cpus(self, node: int) -> range:
        """The CPUs of one node."""
        share = -(-self.cpus // self.nodes)
        return range(node * share, min((node + 1) * share, self.cpus))


def facts_of(spec: MachineSpec) -> HostFacts:
    """What xl asks the hypervisor for of this machine."""
    return HostFacts(spec.cpu.count, spec.nodes)


def _kib(mib: int) -> int:
    return u64(mib * 1024)


@cache
def _split(path: str) -> tuple[list[str], str]:
    *above, name = path.split(".")
    return above, name


def _short(message: str) -> str:
    """The message without most of a very long value."""
    return message if len(message) <= 400 else f"{message[:300]} ... {message[-60:]}"


_SEARCHES = 50
FFA_SINCE = (4, 18)
_STORES = {"i32": i32, "u32": u32, "u64": u64, "kib": _kib}


class Reader:
    """A reading in progress.

    Args:
        settings: what was parsed.
        host: the machine, or what returns it when it is asked for.
        xen: as which version of Xen, such as ``4.17``.

    ``tree`` is the configuration in libxl's structure, holding what was set; ``type`` is the kind of guest once known.
    Errors are collected; ``status`` is the exit status of xl, decided by the first error in xl's order of reading, or
    None when one of them is a refusal of ours alone.
    """

    def __init__(self, settings: Settings, host: HostFacts | Callable[[], HostFacts], xen: str = DEFAULT) -> None:
        self.settings = settings
        self._keys = settings.settings.keys()
        self._host = host
        self.xen = xen
        self.version = numbers(xen)
        self.strict = settings.strict
        self.type = ""
        self.tree: Node = {"c_info": {}, "b_info": {"u": {}}}
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = list(settings.warnings)
        self.status: int | None = 0
        self._searches = 0

    @cached_property
    def host(self) -> HostFacts:
        """The machine."""
        return self._host if isinstance(self._host, HostFacts) else self._host()

    # Findings.

    def error(
        self, where: Position | str | Text | Items | None, message: str, hint: str | None = None, status: int | None = 1
    ) -> None:
        """Note why the configuration is refused; ``status`` is what xl exits with, None when only xlpy refuses."""
        if status is None or self.status == 0:
            self.status = status
        if len(self.problems) >= FINDINGS:
            return
        self.problems.append(Problem(self._place(where), _short(message), "error", hint))

    def warn(self, where: Position | str | Text | Items | None, message: str, hint: str | None = None) -> None:
        """Note something that xl accepts and that may not be meant."""
        if len(self.warnings) >= FINDINGS:
            return
        self.warnings.append(Problem(self._place(where), _short(message), "warning", hint))

    def nearest(self, word: str, known: Iterable[str]) -> str | None:
        """A hint that names the word that was probably meant, or all of them when they are few.

        Searching is slow, and a text may have any number of unknown words, so only the first are looked at closely.
        """
        known = tuple(known)
        self._searches += 1
        if self._searches <= _SEARCHES and len(word) < 64:
            from difflib import get_close_matches

            close = get_close_matches(word, known, 1, 0.6)
            if close:
                return f"did you mean {close[0]}?"
        return f"known are {', '.join(known)}" if len(known) <= 12 else None

    def at(self, text: Text, index: int) -> Position:
        """Where a character of a string stands; anywhere, once nothing more is told of this configuration."""
        if len(self.problems) >= FINDINGS or len(self.warnings) >= FINDINGS:
            return self.settings.source.position(0)
        return self.settings.where_in(text, index)

    def _place(self, where: Position | str | Text | Items | None) -> Position | None:
        if isinstance(where, Text):
            return self.settings.where_in(where, 0)
        if isinstance(where, Items):
            return self.settings.source.position(where.offset)
        if isinstance(where, str):
            return self.settings.where(where) if where in self.settings else None
        return where

    # Values. A wrong type is a warning, and the key counts as absent.

    def string(self, key: str, *, quiet: bool = False) -> Text | None:
        """The text of a key."""
        return self._get(self.settings.string, key, quiet) if key in self._keys else None

    def integer(self, key: str, *, quiet: bool = False) -> int | None:
        """The number of a key."""
        return self._get(self.settings.integer, key, quiet) if key in self._keys else None

    def boolean(self, key: str, *, quiet: bool = False) -> bool | None:
        """Whether the number of a key is not zero."""
        return self._get(self.settings.boolean, key, quiet) if key in self._keys else None

    def items(self, key: str, *, quiet: bool = False) -> Items | None:
        """The list of a key."""
        return self._get(self.settings.items, key, quiet) if key in self._keys else None

    def texts(self, key: str, *, quiet: bool = False) -> list[Text] | None:
        """The strings of a list; xl stops at the first nested list."""
        items = self.items(key, quiet=quiet)
        if items is None:
            return None
        texts: list[Text] = []
        for item in items:
            if isinstance(item, Items):
                self.warn(item, f"{key}: xl reads no further than this nested list")
                break
            texts.append(item)
        return texts

    def flat(self, key: str, status: int | None, most: int | None = None) -> list[Text]:
        """The first strings of a list that holds no list among them; a list is an error, and nothing is read then."""
        texts: list[Text] = []
        for item in (self.items(key, quiet=True) or ())[:most]:
            if isinstance(item, Items):
                self.error(item, f"{key}: a list inside the list", status=status)
                return []
            texts.append(item)
        return texts

    def is_list(self, key: str) -> bool:
        """Whether the key was given a list."""
        return key in self.settings and isinstance(self.settings[key], Items)

    def _get(self, accessor: Callable[[str], T], key: str, quiet: bool) -> T | None:
        try:
            return accessor(key)
        except Unusable as problem:
            if problem.errno != errno.ESRCH and not quiet:
                self.warn(key, f"{problem.message}; xl ignores it", "the default stays in force")
            return None

    # Storing.

    def node(self, path: str) -> tuple[Node, str]:
        """The dictionary that holds the last name of a dotted path, and that name."""
        above, name = _split(path)
        node = self.tree
        for step in above:
            below = node.get(step)
            if below is None:
                below = node[step] = {}
            node = below
        return node, name

    def put(self, path: str, value: Leaf) -> None:
        """Store a value under a dotted path."""
        node, name = self.node(path)
        node[name] = value

    def get(self, path: str) -> Leaf:
        """The value under a dotted path, or None."""
        node, name = self.node(path)
        return node.get(name)

    def read(self, option: Option) -> None:
        """Read a key that goes where the table says, as it is."""
        value: Leaf
        if option.type == "boolean":
            value = self.boolean(option.key)
        elif option.type == "integer":
            value = self.integer(option.key)
            if value is not None:
                value = _STORES[option.store](value)
        else:
            value = self.string(option.key)
            if value is not None and option.legal:
                value = self.choose(option, value)
        if value is not None:
            self.put(option.path, value)

    def choose(self, option: Option, text: Text, status: int = 1) -> str | None:
        """One of the legal values, whatever the case; an error otherwise."""
        lowered = text.lower()
        if option.key == "tee" and lowered == "ffa" and self.version < FFA_SINCE:
            lowered = "?"
        if lowered in option.legal or (option.key == "vuart" and lowered == "unknown"):  # libxl's name for unset
            return lowered
        self.error(
            text,
            f"{option.key}: {str(text)!r} is not known",
            f"choose one of: {', '.join(option.legal)}",
            status,
        )
        return None
