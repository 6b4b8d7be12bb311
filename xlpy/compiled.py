"""A compiled module of the standard library, without modules in Python that it imports for one name.

``_sqlite3`` takes ``lru_cache`` from ``functools``, which imports ``collections``: see ``xlpy.contexts``.
"""

from __future__ import annotations

import sys

from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType


def load(wanted: str, **stand_ins: ModuleType) -> ModuleType:
    """Import the module ``wanted`` while others stand in for those of these names, unless they are there already."""
    missing = {name: module for name, module in stand_ins.items() if name not in sys.modules}
    sys.modules.update(missing)
    try:
        return __import__(wanted)
    finally:
        for name in missing:
            del sys.modules[name]
