from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from footage.generation.upscale import prefetch


def test_items_come_in_order_and_whole() -> None:
    assert list(prefetch(iter(range(50)))) == list(range(50))
    assert list(prefetch([])) == []


def test_no_more_than_depth_wait() -> None:
    made = []

    def items() -> Iterator[int]:
        for number in range(20):
            made.append(number)
            yield number

    source = prefetch(items(), depth=3)
    assert next(source) == 0
    time.sleep(0.3)
    assert len(made) <= 1 + 3 + 1  # taken, waiting, in the maker's hand
    source.close()
    assert len(made) <= 6


def test_errors_are_raised_where_items_are_taken() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    source = prefetch(items())
    assert next(source) == 1
    with pytest.raises(ValueError, match="no more"):
        next(source)


def test_when_the_taker_stops_the_thread_does_and_its_generator_is_closed() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    before = set(threading.enumerate())
    source = prefetch(items())
    next(source)
    source.close()
    assert closed.is_set() and set(threading.enumerate()) <= before


def test_stages_work_at_the_same_time() -> None:
    """While the last stage has item n, the one before has n + 1 and the first n + 2: each waits for the others."""
    all_at_work, items = threading.Barrier(3), 15

    def stage(ahead: int, given: Iterator[int]) -> Iterator[int]:
        for item in given:
            if ahead <= item < items - 2 + ahead:
                all_at_work.wait(timeout=60)
            yield item

    first = prefetch(stage(2, iter(range(items))))
    assert list(stage(0, prefetch(stage(1, first)))) == list(range(items))
