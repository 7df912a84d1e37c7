"""Regularisers of the critic and of motion: pure functions, the equation and its source above each.

Those of a gradient take what `critic_gradient` gives, so that one backward pass serves several. g is dD/dx of a sample,
|.| its norm over everything but the samples. Weights, such as gamma / 2, are the caller's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

FLUCTUATION = 1e-4
"""Standard deviation of motion energy, in pixel values, below which a clip counts as moving steadily."""


def _full(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


def _of_samples(logits: Tensor) -> Tensor:
    """Return the mean logit of each sample: (N,) or (N, P) -> (N,)."""
    return _full(logits) if logits.ndim == 1 else _full(logits).flatten(1).mean(1)


# g = dD(x)/dx, sample by sample: the sum over samples has each sample's own gradient where samples do not mix.
def critic_gradient(logits: Tensor, inputs: Tensor) -> Tensor:
    """Return the gradient of each sample's mean logit with respect to it, differentiable, in at least float32.

    Args:
        logits: (N,), or (N, P) of patches, computed from `inputs`.
        inputs: (N, ...), requiring gradients.
    """
    (gradient,) = torch.autograd.grad(_of_samples(logits).sum(), inputs, create_graph=True)
    return _full(gradient)


# E[ |g|^2 ]: Mescheder et al. 2018, eq. 9 (R1, on real samples) and eq. 10 (R2, on fakes), without gamma / 2.
def zero_centred(gradient: Tensor) -> Tensor:
    """Return the mean squared norm of gradients: (N, ...) -> scalar."""
    return gradient.flatten(1).square().sum(1).mean()


# E[ (|g| - 1)^2 ]: Gulrajani et al. 2017, eq. 3, without lambda; 1e-12 keeps the root's slope finite at g = 0.
def one_centred(gradient: Tensor) -> Tensor:
    """Return the mean squared distance of the gradients' norms from 1: (N, ...) -> scalar."""
    norm = (gradient.flatten(1).square().sum(1) + 1e-12).sqrt()
    return (norm - 1).square().mean()


# E[ mean_s |dD/dDelta_s|^2 ], x_t = x_0 + sum_{s<=t} Delta_s, hence dD/dDelta_s = sum_{t>=s} g_t: ours (models.md, 3).
def temporal(gradient: Tensor) -> Tensor:
    """Return the mean squared norm of the gradient with respect to the steps from frame to frame.

    The first frame, which moves the whole clip, is left out: what is penalised is how much the critic hears motion.

    Args:
        gradient: (N, C, T, ...), with respect to the frames; T at least 2.
    """
    assert gradient.shape[2] > 1, "one frame does not move"
    steps = gradient.flip(2).cumsum(2).flip(2)[:, :, 1:]  # (N, C, T - 1, ...): sums over t >= s
    return steps.transpose(1, 2).flatten(2).square().sum(2).mean()  # (N, T - 1, C * ...) -> (N, T - 1) -> scalar


# E[ (D(x) - D(x + sigma eps))^2 ] / sigma^2, eps ~ N(0, I): tends to E[ |g|^2 ] as sigma -> 0, for E[eps eps'] = I.
# The idea is that of APT (Lin et al. 2025), whose weight lambda is gamma / (2 sigma^2) here.
def finite_difference(logits: Tensor, shifted: Tensor, sigma: float) -> Tensor:
    """Return an estimate of `zero_centred` that needs no second backward pass; noisy, weighted alike.

    It is |g|^2 times a chi-square of one degree of freedom for each sample, whatever their size. The logits have to
    be computed in float32: what is left of their difference in bfloat16 is rounding.

    Args:
        logits: (N,), or (N, P) of patches, of the samples.
        shifted: those of the samples with noise of standard deviation `sigma` added.
        sigma: in units of the samples.
    """
    return ((_of_samples(logits) - _of_samples(shifted)) / sigma).square().mean()


# x + alpha (y - x), alpha ~ U(0, 1) for each sample: Gulrajani et al. 2017, algorithm 1.
def interpolate(real: Tensor, fake: Tensor, alpha: Tensor) -> Tensor:
    """Return samples (N, ...) on the lines from real to fake ones (N, ...), at alpha (N,)."""
    return real + alpha.to(real.dtype).reshape(-1, *[1] * (real.ndim - 1)) * (fake - real)


# rho(k) = sum_t c_t c_{t+k} / (sum_t c_t^2 + n eps^2), c_t = e_t - mean e, e_t = mean |x_{t+1} - x_t|, n = T - 1.
# The estimator is the biased one (Box & Jenkins 1976), divided by n and not by n - k, so that |rho| <= 1.
def motion_autocorrelation(clips: Tensor) -> Tensor:
    """Return the autocorrelation of each clip's motion energy: (B, C, T, H, W) -> (B, (T - 1) // 2), lags from 1.

    A clip that moves with period P has about (n - P) / n at lag P. One that moves steadily, or not at all, has 0.
    """
    energy = _full(clips).diff(dim=2).abs().mean(dim=(1, 3, 4))  # (B, T - 1)
    centred = energy - energy.mean(1, keepdim=True)
    frames = centred.shape[1]
    variance = centred.square().sum(1) + frames * FLUCTUATION**2
    products = [(centred[:, lag:] * centred[:, :-lag]).sum(1) for lag in range(1, frames // 2 + 1)]
    return torch.stack(products, 1) / variance[:, None] if products else centred[:, :0]


# sum_k relu(rho_fake(k) - rho_real(k))^2: ours (models.md, 3); more periodic than the data is wrong, less is not.
def avoid_period(fake: Tensor, real: Tensor) -> Tensor:
    """Return by how much fakes repeat themselves more than real clips: mean autocorrelations (lags,) -> scalar."""
    return relu(fake - real).square().sum()


# E[ (x_t - x_{t+P})^2 ]: ours (models.md, 3), the mean over everything, for the scale not to grow with the clips.
def loop(clips: Tensor, period: int) -> Tensor:
    """Return the mean squared difference of frames a period apart: (B, C, T, H, W) -> scalar."""
    assert 0 < period < clips.shape[2], "no two frames of the clips are a period apart"
    return (clips[:, :, period:] - clips[:, :, :-period]).square().mean()


# w <- min(max(w, -c), c): Arjovsky et al. 2017, algorithm 1, line 7.
@torch.no_grad()
def clip_weights_(module: nn.Module, limit: float) -> None:
    """Clamp all parameters of a critic to [-limit, limit], in place."""
    for weight in module.parameters():
        weight.clamp_(-limit, limit)
