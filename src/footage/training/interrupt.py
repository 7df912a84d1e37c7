"""Ctrl-C and a polite kill, taken between two steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class Interrupt:
    """Turns Ctrl-C and a polite kill into a flag, so that the loop ends between two steps. A second Ctrl-C is final."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Interrupt:
        """Take the signals over, in the main thread; elsewhere they are not ours."""
        self._before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._take)
        return self

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(self, *exception: object) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
