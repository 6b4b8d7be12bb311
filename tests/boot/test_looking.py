"""How often the mailbox is looked at while a guest runs: decided by what was seen, whatever the time is."""

from __future__ import annotations

import os
import socket
from types import SimpleNamespace

import pytest

from xlpy.boot.console import BUSY_MS, IDLE_MS, PATIENCE, TOLD_MS, GuestRun


@pytest.fixture
def run():
    """A run of a guest, with the requests that wait in ``waiting``."""
    ours, theirs = socket.socketpair(), socket.socketpair()
    console, errors = os.pipe(), os.pipe()
    board = SimpleNamespace(monitor=ours[0], wake=theirs[0], console_out=console[0], errors=errors[0])
    board.read_errors = board.read_monitor = board.read_wake = lambda: True
    waiting = []
    made = GuestRun(board, 1, None, None, lambda: bool(waiting and waiting.pop()))
    made.waiting = waiting
    yield made
    for end in (*ours, *theirs):
        end.close()
    for fd in (*console, *errors):
        os.close(fd)


def look(run, now, told=False, request=True):
    """The milliseconds until the next look."""
    if told:
        run._handle(run._emulator.wake.fileno())
    run.waiting[:] = [True] * request
    run._answer(now)
    return run._wait(now)


def test_a_guest_that_uses_the_port_is_looked_at_seldom(run):
    assert look(run, 1.0, request=False) == TOLD_MS
    assert [look(run, at / 10, told=True) for at in range(10, 40)] == [TOLD_MS] * 30


def test_one_that_does_not_is_looked_at_often_from_then_on(run):
    assert look(run, 1.0) == BUSY_MS
    assert look(run, 1.0 + PATIENCE, request=False) == BUSY_MS
    later = [look(run, 2.0 + at, request=False) for at in range(20)]
    assert later == sorted(later)
    assert later[-1] == IDLE_MS
    assert look(run, 30.0, told=True) == IDLE_MS


def test_a_byte_tells_of_one_request(run):
    look(run, 1.0, told=True)
    assert look(run, 1.1) == BUSY_MS


def test_a_byte_without_a_request_tells_of_none(run):
    look(run, 1.0, told=True, request=False)
    assert look(run, 1.1) == BUSY_MS
