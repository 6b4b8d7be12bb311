"""The heap gives congruent runs where it can, and loses nothing."""

from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.hypervisor.heap import Heap

M2, G1 = 1 << 9, 1 << 18


def test_runs_are_congruent_with_the_gfn():
    heap = Heap([(100, 5 * G1)])
    ((mfn, count),) = heap.allocate(2 * G1, 0x100000)
    assert (count, (mfn - 0x100000) % G1) == (2 * G1, 0)
    ((mfn, count),) = heap.allocate(M2 + 5, 7)
    assert (count, (mfn - 7) % M2) == (M2 + 5, 0)
    ((mfn, _),) = heap.allocate(1, 0)
    assert mfn == 100


def test_pieces_when_no_run_is_long_enough():
    heap = Heap([(10, 15), (20, 30), (40, 42)])
    assert heap.allocate(16, 0) == [(10, 5), (20, 10), (40, 1)]
    assert heap.pages == 1
    assert heap.allocate(2, 0) is None
    assert heap.allocate(1, 0) == [(41, 1)]


def test_neighbours_join_again():
    heap = Heap([(0, 100)])
    runs = [heap.allocate(10, 0)[0] for _ in range(10)]
    for mfn, count in runs[::2] + runs[1::2]:
        heap.release(mfn, mfn + count)
    assert heap.allocate(100, 0) == [(0, 100)]


def test_offlined_frames_never_come_back():
    heap = Heap([(0, 10)])
    assert heap.offline(3) is True
    (taken,) = heap.allocate(6, 4)
    assert heap.offline(5) is False  # owned: it leaves when it is released
    heap.release(taken[0], taken[0] + taken[1])
    assert heap.pages == 8
    assert 3 not in heap
    assert 5 not in heap
    assert heap.offlined(5)
    again = Heap.from_json(heap.to_json())
    assert (again.pages, again.offlined(3), again.offlined(4)) == (8, True, False)


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 1000)), max_size=30), st.randoms())
@settings(max_examples=35, deadline=None)
def test_nothing_is_lost_or_given_twice(wishes, random):
    heap, held = Heap([(5, 120), (200, 300)]), []
    for count, gfn in wishes:
        runs = heap.allocate(count, gfn)
        if runs is None:
            assert heap.pages < count
        else:
            assert sum(size for _, size in runs) == count
            held.append(runs)
        if held and random.random() < 0.4:
            for mfn, size in held.pop(random.randrange(len(held))):
                heap.release(mfn, mfn + size)
        frames = [mfn + i for runs in held for mfn, size in runs for i in range(size)]
        assert len(frames) == len(set(frames))
        assert heap.pages + len(frames) == 215
        assert not any(mfn in heap for mfn in frames)
