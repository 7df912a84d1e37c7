"""The noise bank: stationary Gaussian processes of many speeds, some of which turn; what motion is made from.

Process k is a complex Matern-3/2 process a_k(t) with time constant tau_k that turns with w_k radians a frame:
u_k(t) = a_k(t) exp(i w_k t), whose covariance is that of a_k times cos(w_k (t - s)). Its state (a, a'/lambda), lambda =
sqrt(3) / tau, is a stationary Markov process with covariance I (Hartikainen and Särkkä 2010, section 4.1), hence
everything about it is known exactly: windows of any frames, sampling between frames, seeking, and bridges between two
states. Ours: the turning, for motion that comes again and again without being periodic; dyadic seeking.

Clips in training are windows of it (`NoiseBank`). Videos follow paths of the processes at rest (`NoisePath`), which are
functions of a seed and of time, wherever one looks and in any order. A path is refined from coarse to fine: its states
at frames 0, 64, 128, 256 ... follow one another, and between two known states lies a third, drawn from what the Markov
process is there, given both (dyadic bridging). So a state far into a video costs O(log t), any two ways to it agree bit
for bit, and fractions of a frame are drawn in the same way.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from footage.models.device import upload

Floats = npt.NDArray[np.float64]


# k(d) = (1 + r) exp(-r), r = lambda |d|: Rasmussen and Williams 2006, eq. 4.17.
def covariance(rates: Floats, gaps: Floats) -> Floats:
    """Return the covariance of a process with itself, `gaps` frames later: (K,), (...) -> (K, ...)."""
    r = rates.reshape(-1, *[1] * gaps.ndim) * np.abs(gaps)
    return (1 + r) * np.exp(-r)


@functools.lru_cache(maxsize=64)
def cholesky_factors(rates: tuple[float, ...], frames: int) -> Tensor:
    """Return the Cholesky factors of `frames` successive frames, (K, T, T)."""
    steps = np.arange(frames, dtype=np.float64)
    gram = covariance(np.array(rates), steps[:, None] - steps)
    return torch.from_numpy(np.linalg.cholesky(gram + 1e-10 * np.eye(frames)))


class NoiseBank(nn.Module):
    """K complex processes; time constants log-spaced from `fastest` to `slowest`, in frames, the turning learned."""

    def __init__(self, processes: int, fastest: float, slowest: float) -> None:
        super().__init__()
        times = np.geomspace(fastest, slowest, processes) if processes > 1 else np.array([slowest])
        self.rates = tuple((math.sqrt(3) / times).tolist())
        # Every other one turns, once in 4 to 64 frames; the others begin at rest.
        turning = 2 * math.pi / np.geomspace(64, 4, -(-processes // 2))
        start = np.zeros(processes)
        start[::2] = np.random.Generator(np.random.Philox(key=[0, 0])).permutation(turning)
        self.turns = nn.Parameter(torch.tensor(start.tolist()))

    @property
    def size(self) -> int:
        """Numbers for each frame, 2 K."""
        return 2 * len(self.rates)

    def calm(self, frames: float) -> Tensor:
        """Return how much each number may count at first, (2 K,), for none to change faster than once in `frames`."""
        speed = torch.tensor(self.rates) / math.sqrt(3) + self.turns.detach().abs()
        return (1 / (frames * speed)).clamp(max=1).repeat_interleave(2)

    def forward(self, noise: Tensor) -> Tensor:
        """Turn independent noise (B, T, 2 K) into the processes in T successive frames, (B, T, 2 K)."""
        frames = noise.shape[1]
        parts = noise.reshape(len(noise), frames, -1, 2)  # B T K 2
        with torch.autocast(noise.device.type, enabled=False):
            factor = upload(cholesky_factors(self.rates, frames).to(parts.dtype), parts.device)
            path = torch.einsum("kts,bskc->btkc", factor, parts)
            return self.turned(path, torch.arange(frames, device=noise.device, dtype=noise.dtype))

    def turned(self, path: Tensor, times: Tensor) -> Tensor:
        """Turn processes at rest (B, T, K, 2) by their angles at `times` (T,), in frames: (B, T, 2 K)."""
        angle = times[:, None] * self.turns.to(times.dtype)  # T K
        cos, sin = torch.cos(angle).to(path.dtype), torch.sin(angle).to(path.dtype)
        a, b = path.unbind(dim=3)
        return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=3).flatten(2)


BLOCK = 64
"""Frames that are refined at once."""
FINEST = 4
"""Halvings of a frame that are drawn; between sixteenths of a frame the path is a cubic (Hermite) curve."""


# exp(F d) of s = (a, a'/lambda), s' = lambda [[0, 1], [-1, -2]] s; r = lambda d.
def transition(rates: Floats, gap: float) -> Floats:
    """Return A with E[s(t + gap) | s(t)] = A s(t), gap >= 0 frames: (K,) -> (K, 2, 2)."""
    r = rates * gap
    return np.exp(-r)[:, None, None] * np.stack([np.stack([1 + r, r], -1), np.stack([-r, 1 - r], -1)], -2)


# Q = I - A A'. In Q[0, 0] = 1 - exp(-2 r) (1 + 2 r + 2 r^2) all terms up to r^2 cancel: a series where r is small.
def spread(rates: Floats, gap: float) -> Floats:
    """Return the covariance Q of s(t + gap) given s(t): (K,) -> (K, 2, 2)."""
    x = 2 * rates * gap
    decay = np.exp(-x)
    small = np.minimum(x, 1)  # above 1 the series is not used, and would overflow
    term, tail = small**3 / 6, np.zeros_like(x)
    for n in range(4, 24):  # exp(-x) (x^3 / 3! + x^4 / 4! + ...)
        tail, term = tail + term, term * small / n
    place = np.where(x < 1, decay * tail, 1 - decay * (1 + x + x**2 / 2))
    cross = decay * x**2 / 2
    speed = place + 2 * x * decay
    return np.stack([np.stack([place, cross], -1), np.stack([cross, speed], -1)], -2)


@functools.lru_cache(maxsize=256)
def step_forward(rates: tuple[float, ...], gap: float) -> tuple[Floats, Floats]:
    """Return A and a square root of Q for a step forward."""
    array = np.array(rates)
    r = np.minimum(array * gap, 1)
    scale = np.stack([r**1.5, r**0.5], -1)
    root = np.linalg.cholesky(spread(array, gap) / (scale[:, :, None] * scale[:, None, :])) * scale[:, :, None]
    return transition(array, gap), root


@functools.lru_cache(maxsize=256)
def _bridge(rates: tuple[float, ...], gap: float) -> tuple[Floats, Floats, Floats]:
    """Return G, H and L: midway between states s and e, `gap` frames from both, lies N(G s + H e, L L')."""
    array = np.array(rates)
    r = np.minimum(array * gap, 1)
    scale = np.stack([r**1.5, r**0.5], -1)  # of a short step's noise: the matrices are well-conditioned in these units
    a = transition(array, gap) * scale[:, None, :] / scale[:, :, None]
    q = spread(array, gap) / (scale[:, :, None] * scale[:, None, :])
    inverse = np.linalg.inv(q)
    back = a.swapaxes(1, 2) @ inverse
    covariance = np.linalg.inv(inverse + back @ a)
    units = scale[:, :, None] / scale[:, None, :]
    root = np.linalg.cholesky(covariance) * scale[:, :, None]
    return covariance @ inverse @ a * units, covariance @ back * units, root


def _apply(matrix: Floats, states: Floats) -> Floats:
    """Apply (K, 2, 2) to states (..., K, c, 2)."""
    applied: Floats = np.einsum("kij,...kcj->...kci", matrix, states)
    return applied


class NoisePath:
    """One realisation of K processes of `parts` numbers each, for all times from 0 on.

    Args:
        rates: lambda of each process, a frame.
        seed: everything follows from it, below 2^63.
        parts: independent numbers of each process.
        kind: paths of one seed that are to differ have different kinds, below 2^64.
        begin: values at frame 0, (K, parts), themselves drawn from the standard normal; None to draw them.
    """

    def __init__(
        self, rates: Sequence[float], seed: int, parts: int = 2, kind: int = 0, begin: Floats | None = None
    ) -> None:
        self.rates, self.parts, self._key = tuple(rates), parts, np.array([seed, kind], dtype=np.uint64)
        self._begin = begin
        self._block: tuple[int, int, Floats] | None = None

    def states(self, times: Floats) -> Floats:
        """Return the states (a, a'/lambda) at times (N,) in frames, 0 or more: (N, K, parts, 2)."""
        assert times.ndim == 1 and (times >= 0).all(), "times are a line of numbers from 0 on"
        fine = next((n for n in range(FINEST) if (times * 2**n % 1 == 0).all()), FINEST)
        blocks = (times // BLOCK).astype(np.int64)
        states = np.empty((len(times), len(self.rates), self.parts, 2))
        for block in np.unique(blocks).tolist():
            here = blocks == block
            places = (times[here] - block * BLOCK) * 2**fine
            if self._block is None or self._block[0] != block or self._block[1] < fine:
                grid, gap, level = np.stack([self._knot(block), self._knot(block + 1)]), BLOCK / 2, 0
                while gap >= 2.0**-fine:  # a state is drawn between every two
                    level += 1
                    first, second, root = _bridge(self.rates, gap)
                    drawn = self._normal(block, level, len(grid) - 1)
                    both = np.empty((2 * len(grid) - 1, *grid.shape[1:]))
                    both[::2] = grid
                    both[1::2] = _apply(first, grid[:-1]) + _apply(second, grid[1:]) + _apply(root, drawn)
                    grid, gap = both, gap / 2
                self._block = (block, fine, grid)
            _, finest, stored = self._block  # every 2^-finest of a frame, with the block's end
            states[here] = self._between(stored[:: 2 ** (finest - fine)], places, 2.0**-fine)
        return states

    def _between(self, states: Floats, places: Floats, gap: float) -> Floats:
        """Return the states at places of a grid, cubic between its points."""
        low = np.floor(places).astype(np.int64)
        part = (places - low)[:, None, None]
        start = states[low]
        if not part.any():
            return start
        end, unit = states[np.minimum(low + 1, len(states) - 1)], np.array(self.rates)[:, None] * gap
        a, b, u, v = start[..., 0], end[..., 0], start[..., 1] * unit, end[..., 1] * unit
        cubic, square = 2 * (a - b) + u + v, 3 * (b - a) - 2 * u - v
        value = ((cubic * part + square) * part + u) * part + a
        slope = ((3 * cubic * part + 2 * square) * part + u) / unit
        # On the grid the states themselves: the slope may have been rounded.
        curved: Floats = np.where(part[..., None] == 0, start, np.stack([value, slope], axis=-1))
        return curved

    def _knot(self, number: int) -> Floats:
        """Return the state at frame 64 * number, (K, parts, 2), by halving the stretch between two powers of two."""
        if number == 0:
            state: Floats = self._normal(0, 64, 1)[0]
            if self._begin is not None:
                state[..., 0] = self._begin
            return state
        top = number.bit_length() - 1
        low, high = 1 << top, 2 << top
        left = self._power(top)
        if number == low:
            return left
        right = self._power(top + 1)
        while True:
            middle = (low + high) // 2
            gap = float(middle - low)
            first, second, root = _bridge(self.rates, gap * BLOCK)
            drawn = self._normal(middle, 65, 1)[0]
            state = _apply(first, left) + _apply(second, right) + _apply(root, drawn)
            if number == middle:
                return state
            if number < middle:
                high, right = middle, state
            else:
                low, left = middle, state

    def _power(self, exponent: int) -> Floats:
        """Return the state at frame 64 * 2^exponent: forward from the power before, from frame 0 for the first."""
        state = self._knot(0)
        for n in range(exponent + 1):
            matrix, root = step_forward(self.rates, float(BLOCK * (1 if n == 0 else 1 << (n - 1))))
            state = _apply(matrix, state) + _apply(root, self._normal(1 << n, 66, 1)[0])
        return state

    def _normal(self, index: int, level: int, count: int) -> Floats:
        """Draw for a place of the tree, (count, K, parts, 2): the same numbers whenever it is visited."""
        counter = np.array([0, 0, index, level], dtype=np.uint64)
        rng = np.random.Generator(np.random.Philox(key=self._key, counter=counter))
        return rng.standard_normal((count, len(self.rates), self.parts, 2))


class NoiseBridge:
    """A path that begins in one state and ends in another: a drawn one, corrected.

    Conditioning by kriging (Matheron; Chilès and Delfiner 2012, section 7.3): s(t) + Cov(s(t), known) Cov(known)^-1
    (known - s(known)) is distributed as the process is, given what is known; here its two ends, of which the second
    counts by what is new in it: e = s(N) - A(N) s(0), with Cov(s(t), e) = Q(t) A(N - t)' and Cov(e) = Q(N).

    Args:
        path: the path that is corrected.
        start: state at frame 0, (K, parts, 2).
        end: state at frame `frames`.
        frames: more than 0.
        begin: frame of the path that is frame 0 here.
    """

    def __init__(self, path: NoisePath, start: Floats, end: Floats, frames: float, begin: float = 0.0) -> None:
        self.path, self.frames, self.begin, self._rates = path, frames, begin, np.array(path.rates)
        drawn = path.states(np.array([begin, begin + frames]))
        self._first = start - drawn[0]  # K parts 2
        new = end - drawn[1] - _apply(transition(self._rates, frames), self._first)
        scale = np.minimum(self._rates * frames, 1)[:, None] ** np.array([1.5, 0.5])  # as in `_bridge`
        scaled = spread(self._rates, frames) / (scale[:, :, None] * scale[:, None, :])
        weights = np.linalg.solve(scaled, (new / scale[:, None, :]).swapaxes(1, 2))  # K 2 parts
        self._second = weights.swapaxes(1, 2) / scale[:, None, :]  # K parts 2

    def states(self, times: Floats) -> Floats:
        """Return the states at times (N,) from 0 to `frames`: (N, K, parts, 2)."""
        states = self.path.states(self.begin + times)
        for number, time in enumerate(times.tolist()):
            onward = transition(self._rates, self.frames - time).swapaxes(1, 2)
            states[number] += _apply(transition(self._rates, time), self._first)
            states[number] += _apply(spread(self._rates, time) @ onward, self._second)
        return states
