"""What xlpy uses of ``functools``, which imports ``collections`` and ``types`` (see ``xlpy.contexts``).

The meaning is that of the standard module, whose compiled half does the work; type checkers see the whole one.
"""

from __future__ import annotations

from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from functools import cache as cache
    from functools import cached_property as cached_property
    from functools import lru_cache as lru_cache
    from functools import partial as partial
    from functools import reduce as reduce
    from functools import wraps as wraps
else:
    from _functools import _lru_cache_wrapper, partial, reduce  # noqa: F401

    def wraps(wrapped):
        def named(wrapper):
            for name in ("__module__", "__name__", "__qualname__", "__doc__", "__annotations__"):
                value = getattr(wrapped, name, wrapper)
                if value is not wrapper:
                    setattr(wrapper, name, value)
            wrapper.__wrapped__ = wrapped
            return wrapper

        return named

    def lru_cache(maxsize=128):
        return lambda function: wraps(function)(_lru_cache_wrapper(function, maxsize, False, _info))

    cache = lru_cache(None)

    def _info(hits, misses, maxsize, size):
        return hits, misses, maxsize, size

    class cached_property:  # noqa: N801 - the name of the standard one
        """Found in the object's own attributes from the second time on, without this being asked."""

        def __init__(self, make):
            self._make = make
            self.__doc__ = make.__doc__

        def __set_name__(self, _owner, name):
            self._name = name

        def __get__(self, of, _owner=None):
            if of is None:
                return self
            value = of.__dict__[self._name] = self._make(of)
            return value
