"""libxlutil 4.17 as a judge: what the real parser makes of a text.

The library needs a real ``FILE *`` for its messages, so a forked child asks and sends the answers back.
"""

from __future__ import annotations

import ctypes as c
import errno
import faulthandler
import os
import pickle
import tempfile
from functools import cache

import programs

SONAME = "libxlutil.so.4.17"
P = c.c_void_p


@cache
def library():
    """The library with its signatures declared, or None."""
    try:
        lib = c.CDLL(SONAME)
    except OSError:
        return None
    for name, result, *arguments in (
        ("init", P, P, c.c_char_p),
        ("readdata", c.c_int, P, c.c_char_p, c.c_int),
        ("destroy", None, P),
        ("get_string", c.c_int, P, c.c_char_p, c.POINTER(c.c_char_p), c.c_int),
        ("get_long", c.c_int, P, c.c_char_p, c.POINTER(c.c_long), c.c_int),
        ("get_bounded_long", c.c_int, P, c.c_char_p, c.c_long, c.c_long, c.POINTER(c.c_long), c.c_int),
        ("get_defbool", c.c_int, P, c.c_char_p, c.POINTER(c.c_int), c.c_int),
        ("get_list", c.c_int, P, c.c_char_p, c.POINTER(P), c.POINTER(c.c_int), c.c_int),
        ("get_listitem2", P, P, c.c_int),
        ("value_type", c.c_int, P),
        ("value_get_string", c.c_int, P, P, c.POINTER(c.c_char_p), c.c_int),
        ("value_get_list", c.c_int, P, P, c.POINTER(P), c.c_int),
    ):
        function = getattr(lib, f"xlu_cfg_{name}")
        function.restype, function.argtypes = result, arguments
    return lib


@cache
def libc():
    """The C library, for ``FILE *``."""
    lib = c.CDLL(None)
    lib.fdopen.restype, lib.fdopen.argtypes = P, [c.c_int, c.c_char_p]
    lib.fflush.argtypes = lib.fclose.argtypes = [P]
    lib.free.argtypes = [P]
    return lib


needs_libxlutil = programs.needs_other(SONAME, library(), "libxen-dev")


def walk(lib, config, items):
    """A list as Python lists of bytes."""
    found, index = [], 0
    while value := lib.xlu_cfg_get_listitem2(items, index):
        if lib.xlu_cfg_value_type(value) == 0:
            text = c.c_char_p()
            lib.xlu_cfg_value_get_string(config, value, c.byref(text), 1)
            found.append(text.value)
        else:
            inner = P()
            lib.xlu_cfg_value_get_list(config, value, c.byref(inner), 1)
            found.append(walk(lib, config, inner))
        index += 1
    return found


def read(data: bytes, keys, bounds=(0, 100)):
    """What every accessor says of every key; numbers below zero are errnos.

    Returns:
        dict with ``rc``, ``report`` and, per key, (string, long, bounded, boolean, list) each as a value or an errno
        wrapped in a tuple of one.
    """
    lib = library()
    with tempfile.TemporaryFile() as report:
        stream = libc().fdopen(os.dup(report.fileno()), b"w")
        config = lib.xlu_cfg_init(stream, b"t.cfg")
        answer = {"rc": lib.xlu_cfg_readdata(config, data, len(data))}
        for key in keys if answer["rc"] == 0 else ():
            text, number, count, flag, items = c.c_char_p(), c.c_long(), c.c_int(), c.c_int(), P()
            rc = lib.xlu_cfg_get_string(config, key, c.byref(text), 0)
            row = [(rc,) if rc else text.value]
            rc = lib.xlu_cfg_get_long(config, key, c.byref(number), 0)
            row.append((rc,) if rc else number.value)
            rc = lib.xlu_cfg_get_bounded_long(config, key, *bounds, c.byref(number), 0)
            row.append((rc,) if rc else number.value)
            rc = lib.xlu_cfg_get_defbool(config, key, c.byref(flag), 0)
            row.append((rc,) if rc else flag.value > 0)
            rc = lib.xlu_cfg_get_list(config, key, c.byref(items), c.byref(count), 0)
            row.append((rc,) if rc else walk(lib, config, items))
            answer[key] = tuple(row)
        libc().fflush(stream)
        report.seek(0)
        answer["report"] = report.read()
        lib.xlu_cfg_destroy(config)
        libc().fclose(stream)
        return answer


def isolated(question, *arguments):
    """Call a function in a forked child. RuntimeError: the child ended without an answer."""
    out, back = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            faulthandler.disable()
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            blob = pickle.dumps(question(*arguments))
            while blob:
                blob = blob[os.write(back, blob) :]
        finally:
            os._exit(0)
    os.close(back)
    with os.fdopen(out, "rb") as pipe:
        blob = pipe.read()
    _, status = os.waitpid(child, 0)
    if not blob:
        raise RuntimeError(f"the judge gave no answer (status {status})")
    return pickle.loads(blob)


def ask_many(texts, keys=(b"x", b"y")):
    """``read`` for each text, by one child for all."""
    return isolated(lambda: [read(text, keys) for text in texts])


EINVAL, ERANGE, ESRCH = errno.EINVAL, errno.ERANGE, errno.ESRCH
