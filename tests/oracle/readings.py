"""Our strict reading, shaped like libxlutil's answers, so that the two can be compared."""

from __future__ import annotations

import pytest

from xlpy.toolstack.config.xlcfg import Refused, Unusable, parse, plain


def encoded(value):
    """A value as libxlutil returns it: bytes, and lists of bytes."""
    if isinstance(value, list):
        return [encoded(item) for item in value]
    return value.encode("utf-8", "surrogateescape")


def read(data: bytes, keys, bounds=(0, 100)):
    """What our accessors say of every key, as ``oracle.libxlutil.read`` does: read in both ways, which must agree."""
    answer = _read(data, keys, bounds)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain, "read", lambda _text, at, _store: at)  # nothing is plain
        assert _read(data, keys, bounds) == answer, data
    return answer


def _read(data: bytes, keys, bounds):
    try:
        settings = parse(data, "t.cfg", strict=True)
    except Refused as refused:
        return {"rc": 22, "lines": [problem.xl_line for problem in refused.problems]}

    def asked(accessor, *arguments):
        try:
            return accessor(*arguments)
        except Unusable as problem:
            return (problem.errno,)

    answer = {"rc": 0}
    for name in keys:
        key = name.decode()
        text, items = asked(settings.string, key), asked(settings.items, key)
        answer[name] = (
            text if isinstance(text, tuple) else encoded(text),
            asked(settings.integer, key),
            asked(settings.integer, key, *bounds),
            asked(settings.boolean, key),
            items if isinstance(items, tuple) else encoded(items),
        )
    return answer
