"""A replacement for ``typing.NamedTuple`` at a tenth of its cost per class.

The standard one compiles a constructor and resolves every annotation while the class statement runs: 0.3 ms, and a
command that makes a domain loads more than a hundred such classes. Here constructors come with the module,
one for each number of fields, each class gets a copy under its own names, and annotations stay the text that ``from
__future__ import annotations`` makes of them. Type checkers see the standard one.
"""

from __future__ import annotations

from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple
else:
    FunctionType = type(lambda: None)  # importing types or functools would cost more than all records together

    try:
        from _collections import _tuplegetter as _field  # as in the standard library: twice as fast as a property
    except ImportError:
        from _operator import itemgetter

        def _field(index: int, doc: str) -> property:
            return property(itemgetter(index), doc=doc)

    _tuple = tuple.__new__
    _GLOBALS = {"_tuple": _tuple, "locals": locals}

    # for 1, 2, ... fields
    _TEMPLATES = (
        lambda _cls, a: _tuple(_cls, (a,)),
        lambda _cls, a, b: _tuple(_cls, (a, b)),
        lambda _cls, a, b, c: _tuple(_cls, (a, b, c)),
        lambda _cls, a, b, c, d: _tuple(_cls, (a, b, c, d)),
        lambda _cls, a, b, c, d, e: _tuple(_cls, (a, b, c, d, e)),
        lambda _cls, a, b, c, d, e, f: _tuple(_cls, (a, b, c, d, e, f)),
        lambda _cls, a, b, c, d, e, f, g: _tuple(_cls, (a, b, c, d, e, f, g)),
        lambda _cls, a, b, c, d, e, f, g, h: _tuple(_cls, (a, b, c, d, e, f, g, h)),
        lambda _cls, a, b, c, d, e, f, g, h, i: _tuple(_cls, (a, b, c, d, e, f, g, h, i)),
        lambda _cls, a, b, c, d, e, f, g, h, i, j: _tuple(_cls, (a, b, c, d, e, f, g, h, i, j)),
        lambda _cls, a, b, c, d, e, f, g, h, i, j, k: _tuple(_cls, (a, b, c, d, e, f, g, h, i, j, k)),
        lambda _cls, a, b, c, d, e, f, g, h, i, j, k, m: _tuple(_cls, (a, b, c, d, e, f, g, h, i, j, k, m)),
    )

    _MANY = lambda _cls: _tuple(_cls, (*locals().values(),)[1:])  # noqa: E731 - of any number, but half as fast

    def _constructor(fields, defaults):
        count = len(fields)
        template = _TEMPLATES[count - 1] if 0 < count <= len(_TEMPLATES) else _MANY
        code = template.__code__.replace(
            co_argcount=count + 1, co_nlocals=count + 1, co_varnames=("_cls", *fields), co_name="__new__"
        )
        return FunctionType(code, _GLOBALS, "__new__", defaults)

    class _Record(tuple):
        """What all records share; the meaning is that of ``collections.namedtuple``."""

        __slots__ = ()

        @classmethod
        def _make(cls, values):
            return cls(*values)

        def _replace(self, /, **changes):
            values = list(self)
            for name, value in changes.items():
                values[self._fields.index(name)] = value
            return type(self)(*values)

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def __repr__(self):
            pairs = zip(self._fields, self, strict=True)
            return f"{type(self).__name__}({', '.join([f'{name}={value!r}' for name, value in pairs])})"

        def __getnewargs__(self):
            return tuple(self)

    class _Meta(type):
        def __new__(cls, name, bases, body):
            if not bases:
                return super().__new__(cls, name, bases, body)
            fields = tuple(body.get("__annotations__", ()))
            defaults = tuple(map(body.get, filter(body.__contains__, fields)))
            body |= zip(fields, map(_field, range(len(fields)), fields), strict=True)
            body |= {"__slots__": (), "__match_args__": fields, "_fields": fields}
            body["__new__"] = _constructor(fields, defaults)
            return type(name, (_Record, *bases[1:]), body)

    class NamedTuple(metaclass=_Meta):
        """The base class to write; the classes made derive from ``tuple`` only."""
