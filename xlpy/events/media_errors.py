"""Memory errors of a whole host: injected, found, reported to everyone affected, and cleared (design, section 4.2.5).

``host.hw.poison`` is the truth: which lines of the media are bad. ``host.dom0.bad`` is what Dom0's driver knows of it,
from scrubs and notifications; it is what ``badblocks`` files show. ``host.xen.pmem.bad`` is what Xen knows, from Dom0
and from machine checks. Changes happen inside ``Host.change``.
"""

from __future__ import annotations

from xlpy.events.guests import tell_guests
from xlpy.firmware.bios_errors import ErrorFunctions
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.addr import Spa, Span
    from xlpy.host import Host


def inject(host: Host, spans: Sequence[Span[Spa]], notify: bool = True) -> None:
    """Make lines of the media bad (root ``_DSM`` function 7).

    Args:
        host: whose.
        spans: host physical; they grow to whole lines of 64 bytes.
        notify: the platform raises notification 0x81, so that Dom0 scrubs; else it stays unknown until a scrub.

    Raises:
        Constraint: not persistent memory of one region; nothing is done then.
    """
    ErrorFunctions(host.hw).inject(spans)
    if notify:
        raise_notification(host)


def uninject(host: Host, spans: Sequence[Span[Spa]]) -> None:
    """Take injected errors back (function 8); Dom0 goes on believing in those that it has found."""
    ErrorFunctions(host.hw).uninject(spans)


def injected(host: Host) -> list[Span[Spa]]:
    """The errors that were injected and are still there (function 9), ascending."""
    return ErrorFunctions(host.hw).injected()


def scrub(host: Host) -> int:
    """Scrub all persistent memory; guests that have some of what is found are notified.

    Returns:
        how many scrubs there were since Dom0 booted, this one included.
    """
    raise_notification(host)
    return host.dom0.bad.scrubs


def raise_notification(host: Host) -> list[int]:
    """The platform raises notification 0x81: Dom0 scrubs, and device models pass it on to guests that are concerned.

    Returns:
        their domids.
    """
    found = host.dom0.scrub(host.xen.hypercalls(0))
    return tell_guests(host, found, lambda model: model.media_error())


def clear(host: Host, span: Span[Spa]) -> int:
    """Clear the errors of a range (function 4): bad lines become zeros, and Xen maps their pages again.

    Returns:
        bytes that were bad and are not any more.

    Raises:
        Constraint: not persistent memory of one region, or not in units of 64 bytes.
    """
    return host.dom0.clear_error(span, host.xen.hypercalls(0))
