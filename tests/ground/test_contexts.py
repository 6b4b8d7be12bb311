"""Our small ``contextlib`` and ``functools`` mean what the standard ones mean."""

import contextlib
import functools
import subprocess
import sys

import pytest

from xlpy import contexts, functions

BOTH = pytest.mark.parametrize("of", [contextlib, contexts], ids=["standard", "ours"])
SAME = pytest.mark.parametrize("of", [functools, functions], ids=["standard", "ours"])


def outcome(make, raised):
    """What comes of an error inside a ``with``: None, or the error with its cause."""
    try:
        with make():
            raise raised
    except BaseException as error:
        return type(error), str(error), type(error.__cause__)
    return None


def passes():
    yield


def swallows():
    with contextlib.suppress(BaseException):
        yield


def replaces():
    try:
        yield
    except BaseException as error:
        raise LookupError("another") from error


def goes_on():
    with contextlib.suppress(BaseException):
        yield
    yield


@pytest.mark.parametrize(
    "raised", [ValueError("x"), StopIteration("x"), RuntimeError("x"), KeyboardInterrupt("x")], ids=repr
)
@pytest.mark.parametrize("steps", [passes, swallows, replaces, goes_on])
def test_an_error_inside_comes_out_the_same(steps, raised):
    assert outcome(contexts.contextmanager(steps), raised) == outcome(contextlib.contextmanager(steps), raised)


@BOTH
def test_a_manager_gives_its_value_and_is_named_as_its_function(of):
    @of.contextmanager
    def lent(value: int):
        """Lend it."""
        yield value

    with lent(value=3) as value:
        assert value == 3
    assert (lent.__name__, lent.__doc__, lent.__annotations__) == (
        "lent",
        "Lend it.",
        {"value": "int"} | {"value": int},
    )


@BOTH
def test_a_generator_yields_once(of):
    def times(count):
        yield from range(count)

    for count, said in ((0, "didn't yield"), (2, "didn't stop")):
        with pytest.raises(RuntimeError, match=said), of.contextmanager(times)(count):
            pass


@BOTH
def test_what_is_suppressed(of):
    with of.suppress(KeyError, OSError):
        raise FileNotFoundError
    with pytest.raises(ValueError), of.suppress(KeyError):
        raise ValueError
    with of.nullcontext(5) as value:
        assert value == 5


@BOTH
def test_a_stack_calls_in_reverse_and_goes_on_after_an_error(of):
    calls = []

    def fail(error):
        calls.append("fail")
        raise error

    def entered():
        with of.ExitStack() as stack:
            stack.callback(calls.append, "first")
            stack.callback(fail, KeyError("a"))
            stack.callback(calls.append, "last")
            raise ValueError("inside")

    with pytest.raises(KeyError) as caught:
        entered()
    assert calls == ["last", "fail", "first"]
    assert isinstance(caught.value.__context__, ValueError)


@BOTH
def test_a_stack_gives_its_calls_away(of):
    calls = []
    with of.ExitStack() as stack:
        stack.callback(calls.append, 1)
        rest = stack.pop_all()
    assert calls == []
    rest.close()
    assert calls == [1]


@SAME
def test_values_are_kept(of):
    class Thing:
        made = 0

        @of.cached_property
        def value(self):
            """What it is."""
            self.made += 1
            return self.made

    one = Thing()
    assert (one.value, one.value, one.__dict__["value"]) == (1, 1, 1)
    del one.__dict__["value"]
    assert one.value == 2
    assert Thing.value.__doc__ == "What it is."


@SAME
def test_results_are_kept(of):
    calls = []

    @of.lru_cache(maxsize=1)
    def twice(x):
        """Twice."""
        calls.append(x)
        return x * 2

    assert [twice(1), twice(1), twice(2), twice(1)] == [2, 2, 4, 2]
    assert calls == [1, 2, 1]
    assert (twice.__name__, twice.__wrapped__(4), tuple(twice.cache_info())) == ("twice", 8, (1, 3, 1, 1))


@pytest.mark.parametrize("first", ["import sys", "import functools"], ids=["not yet", "already"])
def test_the_state_leaves_the_standard_functools_alone(first):
    program = f"{first}; import xlpy.store, functools; print(functools.singledispatch.__module__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "functools\n"
