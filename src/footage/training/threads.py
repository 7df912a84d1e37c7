"""How many threads a training takes on a CPU: as many as are fastest, tried out and looked at again while it runs.

Threads that share a step wait for each other many times in it, and they spin while they wait. Where another program
takes one of their processors, all of them wait for the one that has none: two threads on two processors, one of which
is busy, are ten times slower than one (benchmarks/busy.py). So what is fastest changes with what else the machine does.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable

import torch

from footage.errors import counted
from footage.machines.local import IdleProcessors, cores

TRIED = 3
"""Steps by which a number of threads is judged; their median counts, as some steps have penalties to compute."""
HOPELESS = 3.0
"""A number is given up after one step that takes so many times as long as a better one's."""
SLOWER = 1.5
"""Steps are too slow where they take so many times as long as usual."""
SECONDS = 2.0
"""Time over which they are looked at, two steps at least."""
AS_GOOD = 1.05
"""Fewer threads are taken where they are slower by less: the others are of use elsewhere."""
SPARE = 0.7
"""Idle processors from which on more threads are tried."""
PATIENCE = (5.0, 300.0)
"""Seconds until they are tried at first; twice as many after each time that it was in vain, up to the second number."""


class ThreadTuner:
    """Sets the number of threads of a run's steps, and changes it where another one is faster; a context manager.

    Args:
        fixed: the number, where one is given; None looks for it.
        device: where steps are made; elsewhere than on a CPU the number is left as it is.
        now: a clock, in seconds.
        idle: how many processors did nothing since it was last asked.
    """

    def __init__(
        self,
        fixed: int | None,
        device: str = "cpu",
        now: Callable[[], float] = time.monotonic,
        idle: Callable[[], float] | None = None,
    ) -> None:
        self.before = torch.get_num_threads()
        most = min(self.before, cores())  # what OMP_NUM_THREADS asks for is not exceeded
        powers = [2**n for n in range(most.bit_length())]
        self.counts = sorted({*powers, most}) if device == "cpu" else [self.before]
        if fixed:
            self.counts = [fixed]
        self.clock, self.idle = now, idle or IdleProcessors().take
        self.usual = 0.0
        """Seconds that a step takes with the present number, at best."""
        self.recent = deque[float]()
        self.found = dict[int, float]()
        """Seconds of a step by number of threads, while numbers are tried."""
        self.waiting = list[int]()
        """Numbers that are still to be tried."""
        self.patience, self.tried_at = PATIENCE[0], now()
        self.threads = self.chosen = self.counts[-1]
        """The present number, and the one before others were tried."""

    def __enter__(self) -> ThreadTuner:
        self._use(self.threads)
        if len(self.counts) > 1:
            self._try(len(self.counts) - 2)
        return self

    def __exit__(self, *exception: object) -> None:
        torch.set_num_threads(self.before)

    def _use(self, threads: int) -> None:
        self.threads = threads
        torch.set_num_threads(threads)
        self.recent.clear()

    def _try(self, low: int) -> None:
        """Try the number at a place of `counts` and the next larger one; `_judge` goes on from the better one."""
        self.chosen = self.threads
        self.found.clear()
        self.waiting = [self.counts[low + 1]]  # fewer first: beside other work those are not much slower
        self._use(self.counts[low])

    def took(self, seconds: float) -> str:
        """Take note of a step, and choose anew where it is time to; return what there is to say, or nothing."""
        if len(self.counts) == 1:
            return ""
        self.recent.append(seconds)
        if self.waiting or self.found:
            return self._judge()
        while len(self.recent) > 2 and sum(self.recent) - self.recent[0] >= SECONDS:
            self.recent.popleft()
        typical = statistics.median_low(self.recent)
        if len(self.recent) > 1 and sum(self.recent) >= SECONDS:
            if typical > SLOWER * self.usual:
                self._try(max(0, self.counts.index(self.threads) - 1))
                return ""
            self.usual = min(self.usual, typical)
        if self.threads < self.counts[-1] and self.clock() >= self.tried_at + self.patience:
            self.tried_at = self.clock()
            if self.idle() >= SPARE:
                self._try(self.counts.index(self.threads))
        return ""

    def _judge(self) -> str:
        """Go on with the numbers that are tried; choose where the best one has worse ones beside it."""
        best = min(self.found.values(), default=float("inf"))
        if len(self.recent) < TRIED and self.recent[0] <= HOPELESS * best:
            return ""
        self.found[self.threads] = statistics.median(self.recent)
        if not self.waiting:
            places = [self.counts.index(count) for count in self.found]
            beside = {min(places): min(places) - 1, max(places): max(places) + 1}
            further = beside.get(self.counts.index(min(self.found, key=self.found.__getitem__)), -1)
            self.waiting = self.counts[further : further + 1] if further >= 0 else []
        if self.waiting:
            self._use(self.waiting.pop())
            return ""
        times, before = dict(self.found), self.chosen
        fastest = min(times.values())
        chosen = min(count for count, took in times.items() if took <= AS_GOOD * fastest)
        in_vain = chosen == before and max(times) > before
        self.patience = min(2 * self.patience, PATIENCE[1]) if in_vain else PATIENCE[0]
        self.usual, self.tried_at = times[chosen], self.clock()
        self.found.clear()
        self.idle()  # what was idle while numbers were tried says nothing
        self._use(chosen)
        if chosen == before:
            return ""
        tried = ", ".join(f"{count}: {took:.2g} s" for count, took in sorted(times.items()))
        return f"{counted(chosen, 'thread')} from here on; seconds of a step by threads: {tried}"
