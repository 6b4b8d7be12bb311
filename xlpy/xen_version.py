"""The supported versions of Xen, as ``--xen`` and ``XLPY_XEN`` name them."""

from __future__ import annotations

import os

from xlpy.errors import UsageError

VERSIONS = ("4.17", "4.18", "4.19", "4.20")
DEFAULT = VERSIONS[0]
VARIABLE = "XLPY_XEN"


def chosen(given: str | None = None) -> str | None:
    """The requested version: ``given``, or that of ``XLPY_XEN``; None when neither is set.

    Raises:
        UsageError: there is no such version.
    """
    version = given or os.environ.get(VARIABLE) or None
    if version is not None and version not in VERSIONS:
        raise UsageError(f"Xen {version} is not modelled", hint=f"choose one of: {', '.join(VERSIONS)}")
    return version


def numbers(version: str) -> tuple[int, int]:
    """Major and minor number, for comparing."""
    major, _, minor = version.partition(".")
    return int(major), int(minor)
