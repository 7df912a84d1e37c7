"""How near made frames are to what they should have been, frame by frame; and how sharp they are.

Clips are (B, C, T, H, W) in [-1, 1]; figures are of pixels in [0, 1], float64, on the CPU.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool3d, conv2d, conv3d, pad

SSIM_WINDOW, SSIM_SIGMA = 11, 1.5
"""The window of SSIM: Gaussian weights (Wang et al. 2004, section III-B)."""
SSIM_K1, SSIM_K2 = 0.01, 0.03
"""Its constants, as parts of the range."""


def _gap(made: Tensor, real: Tensor) -> Tensor:
    assert made.shape == real.shape and made.ndim == 5, f"clips are {tuple(made.shape)} and {tuple(real.shape)}"
    return (made.double() - real.double()) / 2


def squared_errors(made: Tensor, real: Tensor) -> Tensor:
    """Return the squared errors summed over each frame, (B, T): the MSE of Moving MNIST's tables."""
    return _gap(made, real).square().sum(dim=(1, 3, 4)).cpu()  # B C T H W -> B T


def absolute_errors(made: Tensor, real: Tensor) -> Tensor:
    """Return the absolute errors summed over each frame, (B, T): the MAE of Moving MNIST's tables."""
    return _gap(made, real).abs().sum(dim=(1, 3, 4)).cpu()  # B C T H W -> B T


def psnr(made: Tensor, real: Tensor) -> Tensor:
    """Return each frame's peak signal-to-noise ratio, 10 log10(1 / mean squared error), in dB, (B, T).

    100 at most: frames without any error would make every mean infinite.
    """
    error = _gap(made, real).square().mean(dim=(1, 3, 4)).cpu()  # B C T H W -> B T
    return (-10 * error.clamp(min=1e-10).log10()).clamp(max=100.0)


def clip_psnr(made: Tensor, real: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of each whole clip, in dB, (B,), in their precision on their device."""
    squares = (made - real).square().flatten(1).mean(dim=1) / 4  # pixels in [-1, 1] have a peak of 2
    return -10 * squares.clamp(min=1e-10).log10()


def ssim(made: Tensor, real: Tensor) -> Tensor:
    """Return each frame's structural similarity, (B, T).

    The mean over places and channels of

        (2 m_x m_y + c1) (2 s_xy + c2) / ((m_x^2 + m_y^2 + c1) (s_x^2 + s_y^2 + c2))

    with Gaussian windows (Wang et al. 2004, eq. 13); frames are continued by reflection, as torchmetrics does.
    """
    assert made.shape == real.shape and min(made.shape[3:]) > SSIM_WINDOW // 2, f"frames are {tuple(made.shape[3:])}"
    batch, channels, frames = made.shape[:3]
    x, y = ((clips.double() + 1).div(2).transpose(1, 2).flatten(0, 1).cpu() for clips in (made, real))  # (B T) C H W
    places = torch.arange(SSIM_WINDOW, dtype=torch.float64) - SSIM_WINDOW // 2
    weights = torch.exp(-((places / SSIM_SIGMA) ** 2) / 2)
    line = (weights / weights.sum()).view(1, 1, 1, -1).expand(channels, 1, 1, -1)

    edge = SSIM_WINDOW // 2
    x, y = (pad(value, (edge, edge, edge, edge), mode="reflect") for value in (x, y))

    def mean(value: Tensor) -> Tensor:
        return conv2d(conv2d(value, line, groups=channels), line.transpose(2, 3), groups=channels)

    mean_x, mean_y = mean(x), mean(y)
    var_x, var_y, both = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2, mean(x * y) - mean_x * mean_y
    c1, c2 = SSIM_K1**2, SSIM_K2**2
    light = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * both + c2) / (var_x.clamp(min=0) + var_y.clamp(min=0) + c2)
    return (light * structure).mean(dim=(1, 2, 3)).view(batch, frames)


SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""How much each scale counts, the finest first (Wang, Simoncelli and Bovik 2003, section 3.2)."""


def volume_similarity(made: Tensor, real: Tensor) -> Tensor:
    """Return the multi-scale structural similarity of volumes (B, 1, T, H, W), (B,): 1 where they are the same.

    As Wang, Simoncelli and Bovik 2003, eq. 7, with windows in three dimensions, at as many of its five scales as leave
    a window's length of voxels along every side; their weights are brought to a sum of 1. Where structure is contrary,
    its power has no value and is taken as 0.
    """
    assert made.shape == real.shape and min(made.shape[2:]) >= SSIM_WINDOW, f"volumes are {tuple(made.shape)}"
    x, y = ((volumes.double() + 1).div(2).cpu() for volumes in (made, real))
    places = torch.arange(SSIM_WINDOW, dtype=torch.float64) - SSIM_WINDOW // 2
    line = torch.exp(-((places / SSIM_SIGMA) ** 2) / 2)
    line = line / line.sum()

    def mean(value: Tensor) -> Tensor:
        for axis in (2, 3, 4):
            value = conv3d(value, line.view([1, 1, *(SSIM_WINDOW if axis == other else 1 for other in (2, 3, 4))]))
        return value

    scales = min(len(SCALE_WEIGHTS), (min(made.shape[2:]) // SSIM_WINDOW).bit_length())
    c1, c2 = SSIM_K1**2, SSIM_K2**2
    result = torch.ones(len(x), dtype=torch.float64)
    for scale, weight in enumerate(SCALE_WEIGHTS[:scales]):
        if scale:
            x, y = avg_pool3d(x, 2), avg_pool3d(y, 2)
        mean_x, mean_y = mean(x), mean(y)
        var_x, var_y, both = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2, mean(x * y) - mean_x * mean_y
        value = (2 * both + c2) / (var_x.clamp(min=0) + var_y.clamp(min=0) + c2)
        if scale == scales - 1:  # light counts at the coarsest scale alone
            value = value * (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
        result *= value.mean(dim=(1, 2, 3, 4)).clamp(min=0) ** (weight / sum(SCALE_WEIGHTS[:scales]))
    return result


def sharpness(clips: Tensor) -> Tensor:
    """Return the mean length of the gradient over space, in units of [0, 1] a pixel, of each clip, (B,).

    Blur lowers it: that of made clips as a part of that of real ones is 1 where they are as sharp (Mathieu et al. 2016,
    section 4.2, compare gradients in the same spirit).
    """
    pixels = clips / 2
    down = pixels[..., 1:, :-1] - pixels[..., :-1, :-1]
    right = pixels[..., :-1, 1:] - pixels[..., :-1, :-1]
    length = (down**2 + right**2).sqrt()
    return length.mean(dim=(1, 2, 3, 4), dtype=torch.float64).cpu()  # B C T H-1 W-1 -> B
