"""What xlpy uses of ``contextlib``, which imports ``collections``, ``functools`` and ``types``.

Without them ``xlpy list`` takes a tenth less time. The meaning is that of the standard module, and type checkers see
that one.
"""

from __future__ import annotations

from xlpy.functions import wraps
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import ExitStack as ExitStack
    from contextlib import contextmanager as contextmanager
    from contextlib import nullcontext as nullcontext
    from contextlib import suppress as suppress
else:

    def contextmanager(make):
        @wraps(make)
        def entered(*args, **kwds):
            return _Steps(make(*args, **kwds))

        return entered

    class _Steps:
        """A generator with one ``yield``: what is in front of it enters, and what follows leaves."""

        __slots__ = ("_steps",)

        def __init__(self, steps):
            self._steps = steps

        def __enter__(self):
            for value in self._steps:
                return value
            raise RuntimeError("generator didn't yield")

        def __exit__(self, kind, error, trace):
            if kind is None:
                for _ in self._steps:
                    raise RuntimeError("generator didn't stop")
                return False
            try:
                self._steps.throw(error)
            except StopIteration as stop:
                return stop is not error
            except BaseException as raised:
                # a StopIteration that leaves a generator becomes a RuntimeError
                stopped = isinstance(error, StopIteration) and isinstance(raised, RuntimeError)
                if raised is not error and not (stopped and raised.__cause__ is error):
                    raise
                error.__traceback__ = trace
                return False
            raise RuntimeError("generator didn't stop after throw()")

    class nullcontext:  # noqa: N801 - the name of the standard one
        __slots__ = ("_value",)

        def __init__(self, value=None):
            self._value = value

        def __enter__(self):
            return self._value

        def __exit__(self, *_):
            pass

    class suppress:  # noqa: N801
        __slots__ = ("_kinds",)

        def __init__(self, *kinds):
            self._kinds = kinds

        def __enter__(self):
            pass

        def __exit__(self, kind, _error, _trace):
            return kind is not None and issubclass(kind, self._kinds)

    class ExitStack:
        """Functions to be called in the end, the last one first. An error of one is raised after all were called."""

        def __init__(self):
            self._calls = []

        def callback(self, function, /, *args, **kwds):
            self._calls.append((function, args, kwds))
            return function

        def pop_all(self):
            rest = ExitStack()
            rest._calls, self._calls = self._calls, []
            return rest

        def close(self):
            self.__exit__(None, None, None)

        def __enter__(self):
            return self

        def __exit__(self, _kind, error, _trace):
            before = error
            while self._calls:
                function, args, kwds = self._calls.pop()
                try:
                    function(*args, **kwds)
                except BaseException as raised:
                    if raised.__context__ is None:
                        raised.__context__ = error
                    error = raised
            if error is not before:
                raise error
            return False
