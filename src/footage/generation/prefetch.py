"""Stages that work at the same time: what one makes waits, a little of it, for the next."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 0.1
"""Seconds after which a stage that waits looks whether it is still wanted."""


def ahead(items: Iterable[T], depth: int = 2, name: str = "stage") -> Generator[T, None, None]:
    """Pass items on that a thread makes beforehand, `depth` of them at most; so memory stays bounded.

    An error in the thread is raised where the items are taken. When the taker stops, the thread stops too, and a
    generator that it runs is closed in it.

    Args:
        items: what is made; it is iterated in the thread alone.
        depth: items that may wait.
        name: of the thread.
    """
    waiting: queue.Queue[tuple[bool, object]] = queue.Queue(depth)
    stop = threading.Event()

    def put(done: bool, item: object) -> bool:
        while not stop.is_set():
            try:
                waiting.put((done, item), timeout=PATIENCE)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        error: BaseException | None = None
        iterator = iter(items)
        try:
            for item in iterator:
                if not put(False, item):
                    break
        except BaseException as raised:  # whatever it is, it belongs to the taker
            error = raised
        finally:
            _close(iterator)
            put(True, error)

    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    try:
        while True:
            done, item = waiting.get()
            if done:
                if isinstance(item, BaseException):
                    raise item
                return
            yield item  # type: ignore[misc]
    finally:
        stop.set()
        thread.join()


def _close(iterator: object) -> None:
    close: Callable[[], None] | None = getattr(iterator, "close", None)
    if close is not None:
        close()
