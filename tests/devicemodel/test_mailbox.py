"""The mailbox page: requests through traps and through shared memory, and guests that play tricks with it."""

from __future__ import annotations

import struct
import threading
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.devicemodel.mailbox import DATA, DATA_SIZE, Port, Request, serve

if TYPE_CHECKING:
    from collections.abc import Callable

UUID = bytes(range(16))


def request(bell: int = 1, length: int = 3, data: bytes = b"abc") -> bytearray:
    return bytearray((struct.pack("<6I", bell, 7, 1, 5, length, 0)[:20] + UUID + bytes(4) + data).ljust(4096, b"\0"))


def echo(seen: list[Request]) -> Callable[[Request], bytes]:
    def answer(question: Request) -> bytes:
        seen.append(question)
        return b"<" + question.data[:10] + b">"

    return answer


def test_a_page_holds_a_4056_byte_message() -> None:
    assert (DATA, DATA_SIZE) == (40, 4056)


def test_no_bell_no_answer() -> None:
    page = request(bell=0)
    before = bytes(page)
    assert not serve(memoryview(page), echo([]))
    assert page == before


def test_a_request_is_answered_in_place() -> None:
    page, seen = request(), []
    assert serve(memoryview(page), echo(seen))
    assert seen == [Request(7, 1, 5, UUID, 3, b"abc")]
    assert struct.unpack_from("<I", page, 0) == (0,)
    assert struct.unpack_from("<I", page, 16) == (5,)
    assert page[DATA : DATA + 5] == b"<abc>"
    assert not serve(memoryview(page), echo(seen))


@pytest.mark.parametrize("length", [DATA_SIZE, DATA_SIZE + 1, 0xFFFFFFFF])
def test_a_length_beyond_the_page_brings_no_more_than_the_page(length: int) -> None:
    seen: list[Request] = []
    serve(memoryview(request(length=length)), echo(seen))
    assert (seen[0].length, len(seen[0].data)) == (length, DATA_SIZE)


def test_a_guest_that_changes_the_page_meanwhile_changes_nothing() -> None:
    page, seen = request(), []

    def answer(question: Request) -> bytes:
        page[:] = b"\xff" * 4096
        return echo(seen)(question)

    serve(memoryview(page), answer)
    assert seen == [Request(7, 1, 5, UUID, 3, b"abc")]
    assert page[DATA : DATA + 5] == b"<abc>"
    assert struct.unpack_from("<I", page, 0) == (0,)


def test_the_doorbell_falls_last() -> None:
    """Another thread that polls the bell finds the whole answer whenever it sees 0."""
    page, ends = request(data=b""), []

    def guest() -> None:
        for turn in range(50):
            struct.pack_into("<I", page, 4, turn)
            struct.pack_into("<I", page, 0, 1)
            while struct.unpack_from("<I", page, 0)[0]:
                time.sleep(0)
            ends.append((turn, struct.unpack_from("<I", page, DATA)[0]))

    struct.pack_into("<I", page, 0, 0)
    thread = threading.Thread(target=guest)
    thread.start()
    while thread.is_alive():
        serve(memoryview(page), lambda question: struct.pack("<I", question.handle))
    thread.join()
    assert ends == [(turn, turn) for turn in range(50)]


def test_through_traps_the_bell_is_answered_before_the_write_ends() -> None:
    seen: list[Request] = []
    port = Port(memoryview(bytearray(4096)), echo(seen))
    image = request()
    for at in range(4, 52, 4):
        port.write(at, 4, int.from_bytes(image[at : at + 4], "little"))
    assert not seen
    port.write(0, 4, 1)
    assert seen == [Request(7, 1, 5, UUID, 3, b"abc")]
    assert port.read(0, 4) == 0
    assert port.read(DATA, 8) == int.from_bytes(b"<abc>\0\0\0", "little")


@pytest.mark.parametrize(
    ("writes", "rings"),
    [
        ([(0, 1, 1)], 1),
        ([(3, 1, 0x80)], 1),
        ([(0, 8, 1)], 1),
        ([(0, 4, 0)], 0),
        ([(4, 4, 1)], 0),
        ([(2, 2, 1), (2, 2, 0)], 1),
    ],
)
def test_what_rings(writes: list[tuple[int, int, int]], rings: int) -> None:
    seen: list[Request] = []
    port = Port(memoryview(bytearray(4096)), echo(seen))
    for write in writes:
        port.write(*write)
    assert len(seen) == rings


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=64, max_size=64))
def test_any_bytes_are_survived(head: bytes) -> None:
    page = bytearray(head.ljust(4096, b"\0"))
    assert serve(memoryview(page), echo([])) == (head[:4] != bytes(4))
    assert page[:4] == bytes(4)
