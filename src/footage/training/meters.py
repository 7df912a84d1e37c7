"""Means of what steps log, and where the loop's time goes."""

from __future__ import annotations

import time

from torch import Tensor


class Clock:
    """Books the loop's time: waiting for data, in steps, in everything else."""

    def __init__(self) -> None:
        self.last = time.perf_counter()
        self.spent = {"data": 0.0, "step": 0.0, "rest": 0.0}

    def restart(self) -> None:
        """Leave out the time since the last lap."""
        self.last = time.perf_counter()

    def lap(self, name: str) -> float:
        """Book the time since the last lap under a name; return it, in seconds."""
        now = time.perf_counter()
        elapsed, self.last = now - self.last, now
        self.spent[name] += elapsed
        return elapsed

    def shares(self) -> dict[str, float]:
        """Return shares of the time: `data`, and `outside` (all outside the training step, data included)."""
        total = max(1e-9, sum(self.spent.values()))
        return {"data": self.spent["data"] / total, "outside": 1 - self.spent["step"] / total}


class Means:
    """Means of what steps log, kept on the device until they are asked for, so that no step waits for it.

    Args:
        batch_size: clips in a step.
    """

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._clips, self._since, self._before = 0, time.perf_counter(), 0.0

    def add(self, log: dict[str, Tensor]) -> None:
        """Add what a step logged."""
        for name, value in log.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1
        self._clips += self.batch_size

    def leave_out(self, seconds: float) -> None:
        """Do not count a time that was spent on something else."""
        self._since += seconds

    @property
    def rate(self) -> float:
        """Clips a second since the last `take`, or before it while that is only just ago."""
        elapsed = time.perf_counter() - self._since
        if elapsed > 2.0 or not self._before:
            return self._clips / max(elapsed, 1e-9)
        return self._before

    def take(self) -> dict[str, float]:
        """Return the means, with the rate, and begin anew."""
        row = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        self._before = self._clips / max(time.perf_counter() - self._since, 1e-9)
        row["clips_per_second"] = self._before
        self._sums, self._counts, self._clips, self._since = {}, {}, 0, time.perf_counter()
        return row
