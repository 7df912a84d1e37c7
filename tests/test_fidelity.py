from __future__ import annotations

import pytest
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from footage.metrics.image_quality import absolute_errors, psnr, sharpness, squared_errors, ssim


def pair(channels: int, noise: float, size: tuple[int, int] = (32, 40)) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(channels)
    real = torch.rand(2, channels, 3, *size, generator=rng) * 2 - 1
    return (real + noise * torch.randn(real.shape, generator=rng)).clamp(-1, 1), real


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("noise", [0.02, 0.3, 2.0])
def test_psnr_and_ssim_are_those_of_torchmetrics(channels: int, noise: float) -> None:
    made, real = pair(channels, noise)
    ours, theirs = psnr(made, real), ssim(made, real)
    for b in range(2):
        for t in range(3):
            x, y = ((clips[b : b + 1, :, t].double() + 1) / 2 for clips in (made, real))
            reference = peak_signal_noise_ratio(x, y, data_range=1.0)
            assert abs(float(ours[b, t]) - float(reference)) < 1e-5
            reference = structural_similarity_index_measure(x, y, data_range=1.0)
            assert abs(float(theirs[b, t]) - float(reference)) < 1e-5


def test_errors_are_summed_over_a_frame_of_pixels_in_0_to_1() -> None:
    real = -torch.ones(1, 1, 2, 4, 4)
    made = real.clone()
    made[0, 0, 1, 0, 0] = 1.0  # one white pixel in the second frame
    made[0, 0, 1, 0, 1] = 0.0  # one grey one
    assert squared_errors(made, real).tolist() == [[0.0, 1.25]]
    assert absolute_errors(made, real).tolist() == [[0.0, 1.5]]


def test_equal_frames_are_perfect() -> None:
    _, real = pair(3, 0.0)
    assert (psnr(real, real) == 100).all()
    torch.testing.assert_close(ssim(real, real), torch.ones(2, 3, dtype=torch.float64))


def test_blur_lowers_sharpness_and_brightness_does_not() -> None:
    _, real = pair(1, 0.0)
    blurred = torch.nn.functional.avg_pool3d(real, (1, 3, 3), 1, (0, 1, 1))
    assert (sharpness(blurred) < 0.5 * sharpness(real)).all()
    torch.testing.assert_close(sharpness(real * 0.5 + 0.2), sharpness(real) / 2)
    step = -torch.ones(1, 1, 1, 3, 3)
    step[..., 2] = 1.0  # the last column is white: a step of 1 at one of two places
    assert float(sharpness(step)) == 0.5


def test_clips_of_different_shape_are_refused() -> None:
    with pytest.raises(AssertionError, match="clips are"):
        psnr(torch.zeros(1, 1, 2, 16, 16), torch.zeros(1, 1, 3, 16, 16))
