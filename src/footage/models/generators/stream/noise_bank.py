"""The noise bank: stationary Gaussian processes of many speeds, some of which turn; what motion is made from.

Process k is a complex Matern-3/2 process a_k(t) with time constant tau_k that turns with w_k radians a frame:
u_k(t) = a_k(t) exp(i w_k t), whose covariance is that of a_k times cos(w_k (t - s)). Its state (a, a'/lambda), lambda =
sqrt(3) / tau, is a stationary Markov process with covariance I (Hartikainen and Särkkä 2010, section 4.1), hence
everything about it is known exactly: windows of any frames, sampling between frames, seeking, and bridges between two
states. Ours: the turning, for motion that comes again and again without being periodic; dyadic seeking.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Floats = npt.NDArray[np.float64]


# k(d) = (1 + r) exp(-r), r = lambda |d|: Rasmussen and Williams 2006, eq. 4.17.
def covariance(rates: Floats, gaps: Floats) -> Floats:
    """Return the covariance of a process with itself, `gaps` frames later: (K,), (...) -> (K, ...)."""
    r = rates.reshape(-1, *[1] * gaps.ndim) * np.abs(gaps)
    return (1 + r) * np.exp(-r)


@functools.lru_cache(maxsize=64)
def _factor(rates: tuple[float, ...], frames: int) -> Tensor:
    """Return the Cholesky factors of `frames` successive frames, (K, T, T)."""
    steps = np.arange(frames, dtype=np.float64)
    gram = covariance(np.array(rates), steps[:, None] - steps)
    return torch.from_numpy(np.linalg.cholesky(gram + 1e-10 * np.eye(frames)))


class NoiseBank(nn.Module):
    """K complex processes; time constants log-spaced, the turning learned.

    Args:
        processes: K.
        fastest: the shortest time constant, in frames.
        slowest: the longest, in frames.
    """

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
            path = torch.einsum("kts,bskc->btkc", _factor(self.rates, frames).to(parts), parts)
            return self.turned(path, torch.arange(frames, device=noise.device, dtype=noise.dtype))

    def turned(self, path: Tensor, times: Tensor) -> Tensor:
        """Turn processes at rest (B, T, K, 2) by their angles at `times` (T,), in frames: (B, T, 2 K)."""
        angle = times[:, None] * self.turns.to(times.dtype)  # T K
        cos, sin = torch.cos(angle).to(path.dtype), torch.sin(angle).to(path.dtype)
        a, b = path.unbind(dim=3)
        return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=3).flatten(2)
