"""What configurations are checked against: the CPUs and nodes of a machine, and a version of Xen."""

from __future__ import annotations

from xlpy.cli.declare import option
from xlpy.cli.types import Choice, IntRange
from xlpy.errors import XlpyError
from xlpy.typing import TYPE_CHECKING, Any
from xlpy.xen_version import DEFAULT, VERSIONS, chosen

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.cli.env import Env
    from xlpy.toolstack.config.reading.reader import HostFacts

MOST = 4096  # CPUs of any machine that Xen runs on


def judge_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--host-cpus``, ``--host-nodes`` and ``--xen``."""
    for add in (
        option("--xen", type=Choice(VERSIONS), help="As which Xen; else XLPY_XEN, the host's, or 4.17."),
        option("--host-nodes", type=IntRange(1, MOST), metavar="N", help="NUMA nodes to judge by, not the host's."),
        option("--host-cpus", type=IntRange(1, MOST), metavar="N", help="CPUs to judge by, instead of the host's."),
    ):
        function = add(function)
    return function


class Judge:
    """What xl would ask the hypervisor for while it reads.

    Args:
        env: the host, if there is one, and ``--xen`` before the command.
        cpus, nodes, xen: as given with the command, or None.
    """

    def __init__(self, env: Env, cpus: int | None, nodes: int | None, xen: str | None) -> None:
        env.xen = xen or env.xen
        self._env, self._cpus, self._nodes = env, cpus, nodes
        self._said: str | None = None

    @property
    def xen(self) -> str:
        """The version of Xen."""
        asked = chosen(self._env.xen)
        if asked is not None:
            return asked
        try:
            host = self._env.existing_host
        except XlpyError:  # a host that cannot be read judges nothing
            host = None
        return host.xen.version if host else DEFAULT

    def facts(self) -> HostFacts:
        """CPUs and nodes: those that were given, the host's, or those of the default machine, then reported."""
        from xlpy.toolstack.config.reading.reader import HostFacts, facts_of

        try:
            host = self._env.existing_host
        except XlpyError:
            host = None
        found = facts_of(host.spec) if host else HostFacts()
        if host is None and self._cpus is None:
            self._said = (
                f"note: checked against the default machine, as there is no host: {found.cpus} CPUs, "
                f"{self._nodes or found.nodes} NUMA nodes (--host-cpus, --host-nodes)"
            )
        return HostFacts(self._cpus or found.cpus, self._nodes or found.nodes)

    def tell(self) -> None:
        """Print a note if configurations were checked against the default machine."""
        if self._said:
            self._env.note(self._said)
