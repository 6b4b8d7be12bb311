"""The entry to the hypervisor: the caller, its privilege, and the log."""

from __future__ import annotations

from xlpy import abi
from xlpy.abi import refuse
from xlpy.addr import Span
from xlpy.errors import HypercallError
from xlpy.functions import wraps
from xlpy.typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Concatenate, ParamSpec, TypeVar

    from xlpy.hypervisor.domain import Domain, Hypervisor

    P = ParamSpec("P")
    R = TypeVar("R")
    G = TypeVar("G", bound="Gate")


def hypercall(
    name: str, *, query: bool = False
) -> Callable[[Callable[Concatenate[G, P], R]], Callable[Concatenate[G, P], R]]:
    """Mark a method as the hypercall ``name`` (its name in Xen's headers): every use goes to the console.

    Args:
        name: as in the headers.
        query: the call changes nothing; its line is not kept beyond the process.
    """

    def mark(method: Callable[Concatenate[G, P], R]) -> Callable[Concatenate[G, P], R]:
        @wraps(method)
        def call(self: G, *args: P.args, **kwargs: P.kwargs) -> R:
            try:
                result = method(self, *args, **kwargs)
            except HypercallError as error:
                what = f"-{abi.errno_name(error.errno)}: {error.message}"
                self.xen.console.write(_line(self.caller, name, args, kwargs, what), keep=not query)
                raise
            shown = result if isinstance(result, int) and not query else 0
            self.xen.console.write(_line(self.caller, name, args, kwargs, str(int(shown))), keep=not query)
            return result

        return cast("Callable[Concatenate[G, P], R]", call)

    return mark


class Gate:
    """One caller's side of the hypercall interface.

    Args:
        xen: the hypervisor.
        caller: domid of the calling domain; 0 is Dom0, the control domain.
    """

    def __init__(self, xen: Hypervisor, caller: int) -> None:
        self.xen = xen
        self.caller = caller

    def _control(self, what: str) -> None:
        """XSM action PRIV: the control domain only."""
        if self.caller:
            refuse(abi.EPERM, f"{what} is for the control domain (0), d{self.caller} called")

    def _lookup(self, domid: int) -> Domain:
        """A live domain by id, DOMID_SELF being the caller; ESRCH when there is none."""
        wanted = self.caller if domid == abi.DOMID_SELF else domid
        found = self.xen.find(wanted)
        if found is None:
            refuse(abi.ESRCH, f"no domain {wanted}")
        return found

    def _controlled(self, what: str, domid: int) -> Domain:
        """A domain for a domctl: ESRCH for a privileged caller of a missing domain, EPERM for any other caller."""
        self._control(what)
        return self._lookup(domid)

    def _target(self, what: str, domid: int) -> Domain:
        """XSM action TARGET: the domain itself, its device model, the control domain."""
        found = self._lookup(domid)
        if found.domid != self.caller and not self._emulates(found):
            refuse(abi.EPERM, f"{what}: d{self.caller} has no rights over d{found.domid}")
        return found

    def _device_model(self, what: str, domid: int) -> Domain:
        """XSM action DM_PRIV: the domain's device model or the control domain, never the domain itself."""
        found = self._lookup(domid)
        if not self._emulates(found):
            refuse(
                abi.EPERM,
                f"{what}: d{self.caller} is neither the control domain nor the device model of d{found.domid}",
                "only the control domain, or the domain named by XEN_DOMCTL_set_target, may do this",
            )
        return found

    def _emulates(self, target: Domain) -> bool:
        if self.caller == 0:
            return True
        me = self.xen.find(self.caller)
        return me is not None and me.target == target.domid


def _line(caller: int, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: str) -> str:
    shown = [_brief(arg) for arg in args] + [f"{key}={_brief(value)}" for key, value in kwargs.items()]
    return f"(XEN) d{caller} {name}({', '.join(shown)}) = {result}"


def _brief(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, int):
        if value == abi.DOMID_SELF:
            return "DOMID_SELF"
        return str(value) if abs(value) < 1 << 16 else f"{value:#x}"
    if isinstance(value, Span):
        return str(value)
    if isinstance(value, (bytes, bytearray)):
        return value[:16].hex()
    if isinstance(value, tuple) and len(value) <= 4 and all(isinstance(item, int) for item in value):
        return f"({', '.join(map(_brief, value))})"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_brief, value))}]" if len(value) <= 2 else f"[{len(value)} entries]"
    return str(value)[:60]
