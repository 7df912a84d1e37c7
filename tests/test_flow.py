from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from footage.metrics.motion import horn_schunck


def blob(dx: float, dy: float, *, size: tuple[int, int] = (32, 32), sigma: float = 2.5, scale: int = 1) -> Tensor:
    """Return (1, 3, 3, H, W) of a bright Gaussian on black that moves by (dx, dy) reduced pixels a frame."""
    height, width = size
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    frames = []
    for t in range(3):
        away = (x - width / 2 - dx * scale * t) ** 2 + (y - height / 2 - dy * scale * t) ** 2
        frames.append(2 * torch.exp(-away / (2 * (sigma * scale) ** 2)) - 1)
    return torch.stack(frames).expand(1, 3, 3, height, width)


def mean_flow(clips: Tensor, factor: int = 1) -> Tensor:
    flow = horn_schunck(clips)  # (1, 2, 2, h, w)
    light = torch.nn.functional.avg_pool2d((clips[:, 0, :-1] + clips[:, 0, 1:]) / 2 + 1, factor)[:, None]
    return (flow * light).sum(dim=(0, 2, 3, 4)) / light.sum()


@pytest.mark.parametrize(("dx", "dy"), [(1, 0), (0, 1), (-1, 0), (0, -1), (1, -1), (1.5, 0), (0.25, 0.5)])
def test_flow_of_a_moving_blob(dx: float, dy: float) -> None:
    flow = mean_flow(blob(dx, dy))
    for found, true in zip(flow.tolist(), (dx, dy), strict=True):
        if true:
            assert 0.5 < found / true < 1.5
        else:
            assert abs(found) < 0.02


def test_flow_is_in_pixels_of_the_reduced_frame() -> None:
    clips = blob(1, 0, size=(64, 96), scale=2)
    assert horn_schunck(clips).shape == (1, 2, 2, 32, 48)
    x, y = mean_flow(clips, 2).tolist()
    assert 0.5 < x < 1.5
    assert abs(y) < 0.02


@pytest.mark.parametrize(
    ("size", "reduced"), [((32, 32), (32, 32)), ((33, 50), (17, 25)), ((48, 70), (24, 35)), ((8, 9), (8, 9))]
)
def test_the_shorter_side_is_at_most_32(size: tuple[int, int], reduced: tuple[int, int]) -> None:
    assert horn_schunck(torch.zeros(2, 1, 4, *size)).shape == (2, 2, 3, *reduced)


def test_flow_equals_the_iteration_in_numpy() -> None:
    clips = torch.randn(1, 2, 2, 5, 4, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    height, width, alpha = 5, 4, 0.3

    def averaged(picture: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        out, reach = np.zeros_like(picture), len(kernel) // 2
        for i in range(height):
            for j in range(width):
                near = [
                    (kernel[k - i + reach, m - j + reach], picture[k, m])
                    for k in range(max(0, i - reach), min(height, i + reach + 1))
                    for m in range(max(0, j - reach), min(width, j + reach + 1))
                ]
                out[i, j] = sum(w * p for w, p in near) / sum(w for w, _ in near)
        return out

    binomial = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
    ring = np.array([[1 / 12, 1 / 6, 1 / 12], [1 / 6, 0, 1 / 6], [1 / 12, 1 / 6, 1 / 12]])
    before, after = (averaged(frame, binomial) for frame in clips.mean(1)[0].numpy())
    middle = np.pad((before + after) / 2, 1, mode="edge")
    ex, ey = (middle[1:-1, 2:] - middle[1:-1, :-2]) / 2, (middle[2:, 1:-1] - middle[:-2, 1:-1]) / 2
    et = after - before
    u, v = np.zeros((height, width)), np.zeros((height, width))
    for _ in range(6):
        ub, vb = averaged(u, ring), averaged(v, ring)
        common = (ex * ub + ey * vb + et) / (alpha**2 + ex**2 + ey**2)
        u, v = ub - ex * common, vb - ey * common
    flow = horn_schunck(clips, iterations=6, smoothness=alpha)
    np.testing.assert_allclose(flow[0, :, 0].numpy(), np.stack([u, v]), rtol=1e-10, atol=1e-12)


def test_clips_and_frames_do_not_mix() -> None:
    clips = torch.randn(3, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    flow = horn_schunck(clips)
    torch.testing.assert_close(horn_schunck(clips[1:2, :, 2:4]), flow[1:2, :, 2:3])


def test_gradients_reach_the_clips_twice() -> None:
    rng = torch.Generator().manual_seed(0)
    clips = torch.randn(1, 2, 3, 4, 3, dtype=torch.double, generator=rng, requires_grad=True)
    flow = lambda x: horn_schunck(x, side=2, iterations=4)  # noqa: E731
    assert flow(clips).shape == (1, 2, 2, 2, 2)
    assert torch.autograd.gradcheck(flow, clips)
    assert torch.autograd.gradgradcheck(
        lambda x: horn_schunck(x, iterations=3), clips[:, :1, :2].detach().requires_grad_()
    )


@pytest.mark.parametrize("level", [-1.0, 0.0, 1.0])
def test_still_clips_have_no_flow_and_finite_gradients(level: float) -> None:
    clips = torch.full((1, 3, 3, 16, 16), level, requires_grad=True)
    flow = horn_schunck(clips)
    assert torch.count_nonzero(flow) == 0
    (slope,) = torch.autograd.grad((flow + flow.square()).sum(), clips, create_graph=True)
    (slope + slope.square()).sum().backward()
    assert torch.isfinite(slope).all()
    assert clips.grad is not None
    assert torch.isfinite(clips.grad).all()


def test_still_pictures_have_no_flow() -> None:
    picture = torch.rand(1, 3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.count_nonzero(horn_schunck(picture.expand(1, 3, 4, 16, 16))) == 0


def test_flow_is_in_single_precision_under_autocast() -> None:
    clips = blob(1, 0)
    with torch.autocast("cpu", torch.bfloat16):
        flow = horn_schunck(clips)
    assert flow.dtype == torch.float32
    torch.testing.assert_close(flow, horn_schunck(clips))
    assert horn_schunck(clips.bfloat16()).dtype == torch.float32


def test_squares_at_the_far_edges_are_averaged_over_their_inside() -> None:
    clips = torch.rand(1, 1, 2, 33, 35, generator=torch.Generator().manual_seed(0)) - 2
    whole = torch.nn.functional.pad(clips, (0, 1, 0, 1, 0, 0), mode="replicate")
    torch.testing.assert_close(horn_schunck(clips), horn_schunck(whole))
