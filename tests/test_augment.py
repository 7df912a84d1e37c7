from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from footage.config import AugmentConfig
from footage.errors import ConfigError
from footage.models.adversarial.augment import Augmentation, apply, draw, probability

KINDS = {"stretch": "stretch", "mirror": "flip", "shift": "translation", "colour": "colour", "cutout": "cutout"}
OFF = AugmentConfig(translation=False, colour=False, cutout=False, flip=False, stretch=False)
ALL = AugmentConfig(flip=True)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clips(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, dtype=torch.double, generator=rng(seed)) * 2 - 1


def only(kind: str, count: int, chance: float = 1.0, seed: int = 0) -> Augmentation:
    return draw(dataclasses.replace(OFF, **{KINDS[kind]: True}), chance, count, rng(seed))


def reference(kind: str, clip: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return one clip (C, T, H, W) changed, pixel by pixel."""
    channels, frames, height, width = clip.shape
    out = np.empty_like(clip)
    for t in range(frames):
        for i in range(height):
            for j in range(width):
                pixel = clip[:, t, i, j]
                if kind == "stretch":
                    at = value[1] * (frames - 1) * (1 - value[0]) + value[0] * t
                    first = min(int(at), frames - 2)
                    pixel = (first + 1 - at) * clip[:, first, i, j] + (at - first) * clip[:, first + 1, i, j]
                elif kind == "mirror":
                    pixel = clip[:, t, i, width - 1 - j]
                elif kind == "shift":
                    down, right = round(float(value[0]) * height), round(float(value[1]) * width)
                    pixel = clip[:, t, min(max(i - down, 0), height - 1), min(max(j - right, 0), width - 1)]
                elif kind == "colour":
                    pixel = pixel.mean() + value[2] * (pixel - pixel.mean()) if channels == 3 else pixel
                    pixel = clip.mean() + value[1] * (pixel - clip.mean()) + value[0]
                elif abs((i + 0.5) / height - value[0]) < 0.25 and abs((j + 0.5) / width - value[1]) < 0.25:
                    pixel = 0 * pixel
                out[:, t, i, j] = pixel
    return out


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_each_change_equals_its_reference(kind: str, channels: int) -> None:
    x, changes = clips(6, channels, 5, 24, 16), only(kind, 6)
    assert [name for name in KINDS if getattr(changes, name) is not None] == [kind]
    changed = apply(changes, x)
    for clip, value, found in zip(x.numpy(), getattr(changes, kind).double().numpy(), changed.numpy(), strict=True):
        np.testing.assert_allclose(found, reference(kind, clip, value), rtol=1e-5, atol=2e-6)
        assert not np.allclose(found, clip)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_clip_was_made_from_changes_with_it_but_keeps_its_colours(kind: str, channels: int) -> None:
    own, given, changes = clips(6, channels, 5, 24, 16), clips(6, 3, 5, 24, 16, seed=1), only(kind, 6)
    changed = apply(changes, torch.cat([own, given], dim=1), 3)
    torch.testing.assert_close(changed[:, :channels], apply(changes, own), rtol=0, atol=0)
    expected = given if kind == "colour" else apply(changes, given)
    torch.testing.assert_close(changed[:, channels:], expected, rtol=0, atol=0)


def test_draws_stay_in_their_ranges_and_fill_them() -> None:
    changes = draw(ALL, 1.0, 4000, rng())
    ranges = {
        "stretch": [(0.5, 1), (0, 1)],
        "shift": [(-1 / 8, 1 / 8)] * 2,
        "colour": [(-0.5, 0.5), (0.5, 1.5), (0, 2)],
        "cutout": [(0, 1), (0, 1), (0.5, 0.5)],
    }
    for kind, bounds in ranges.items():
        for column, (low, high) in zip(getattr(changes, kind).unbind(1), bounds, strict=True):
            near = 0.02 * (high - low)
            assert low <= column.min() <= low + near
            assert high - near <= column.max() <= high


@pytest.mark.parametrize("kind", KINDS)
def test_clips_not_chosen_keep_their_values(kind: str) -> None:
    x = clips(40, 3, 4, 16, 16).float()
    changes = only(kind, 40, chance=0.5)
    same = torch.tensor([torch.equal(a, b) for a, b in zip(apply(changes, x), x, strict=True)])
    value = getattr(changes, kind)
    plain = {
        "stretch": lambda: value[:, 0] == 1,
        "mirror": lambda: ~value,
        "shift": lambda: ((value * 16).round() == 0).all(1),
        "colour": lambda: (value == torch.tensor([0.0, 1.0, 1.0])).all(1),
        "cutout": lambda: value[:, 2] == 0,
    }
    assert torch.equal(same, plain[kind]())
    assert 8 <= int(same.sum()) <= 32


def test_kinds_are_chosen_independently_with_the_probability() -> None:
    changes = draw(ALL, 0.3, 20_000, rng())
    assert changes.stretch is not None and changes.shift is not None and changes.colour is not None
    assert changes.mirror is not None and changes.cutout is not None
    chosen = torch.stack(
        [
            changes.stretch[:, 0] < 1,
            changes.mirror,
            changes.shift[:, 0] != 0,
            changes.colour[:, 0] != 0,
            changes.cutout[:, 2] > 0,
        ]
    ).float()  # (5, N)
    torch.testing.assert_close(chosen.mean(1), torch.full((5,), 0.3), rtol=0, atol=0.015)
    torch.testing.assert_close(torch.corrcoef(chosen), torch.eye(5), rtol=0, atol=0.03)


def test_nothing_to_do_returns_the_very_clips() -> None:
    x = clips(3, 3, 2, 8, 8)
    assert draw(ALL, 0.0, 3, rng()) == Augmentation()
    assert apply(draw(ALL, 0.0, 3, rng()), x) is x
    assert apply(draw(OFF, 1.0, 3, rng()), x) is x


def test_draws_consume_the_same_whatever_comes_of_them() -> None:
    states = []
    for config, chance in ((ALL, 0.0), (ALL, 1.0), (OFF, 0.5), (AugmentConfig(), 0.3)):
        source = rng(7)
        draw(config, chance, 5, source)
        states.append(source.get_state())
    assert all(torch.equal(state, states[0]) for state in states)
    alone, together = only("shift", 5), draw(ALL, 1.0, 5, rng())
    assert alone.shift is not None and together.shift is not None
    assert torch.equal(alone.shift, together.shift), "switching other kinds off does not change a draw"


def test_parts_are_rows() -> None:
    x, changes = clips(4, 3, 4, 16, 16), draw(ALL, 0.6, 4, rng(1))
    part = changes.part(2, 2)
    for kind in KINDS:
        whole, rows = getattr(changes, kind), getattr(part, kind)
        assert (whole is None and rows is None) or torch.equal(whole[2:], rows)
    torch.testing.assert_close(apply(part, x[2:]), apply(changes, x)[2:], rtol=0, atol=1e-12)
    moved = changes.to("cpu")
    assert torch.equal(apply(moved, x), apply(changes, x))


def test_real_and_fake_are_changed_alike() -> None:
    changes = draw(ALL, 1.0, 3, rng())
    real, fake = clips(3, 3, 4, 16, 16), clips(3, 3, 4, 16, 16, seed=1)
    assert torch.equal(apply(changes, real), apply(changes, real.clone()))
    # Affine, and the same map for both: the change of the mean is the mean of the changed.
    torch.testing.assert_close(apply(changes, (real + fake) / 2), (apply(changes, real) + apply(changes, fake)) / 2)
    assert not torch.allclose(apply(changes, real), apply(changes, fake))


def test_a_still_clip_stays_still() -> None:
    still = clips(8, 3, 1, 16, 16).expand(8, 3, 6, 16, 16).contiguous()
    changed = apply(draw(ALL, 1.0, 8, rng()), still)
    torch.testing.assert_close(changed, changed[:, :, :1].expand_as(changed), rtol=0, atol=1e-6)
    assert not torch.allclose(changed, still)


def test_stretching_slows_motion_down() -> None:
    x = torch.arange(9.0).reshape(1, 1, 9, 1, 1).expand(16, 1, 9, 2, 2)
    changes = only("stretch", 16)
    assert changes.stretch is not None
    changed = apply(changes, x)
    speed = changed.diff(dim=2)
    torch.testing.assert_close(speed, changes.stretch[:, :1, None, None, None].expand_as(speed), rtol=0, atol=1e-5)
    assert changed.min() >= 0
    assert changed.max() <= 8


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_the_affine_map(kind: str) -> None:
    x = clips(2, 3, 3, 4, 4).requires_grad_()
    changes = only(kind, 2, seed=3)
    if kind == "shift":
        changes = Augmentation(shift=torch.tensor([[0.25, -0.25], [-0.25, 0.5]]))
    assert torch.autograd.gradcheck(lambda a: apply(changes, a), x)
    assert torch.autograd.gradgradcheck(lambda a: apply(changes, a).pow(3), x, atol=1e-4, fast_mode=True)


def test_hidden_pixels_get_no_gradient() -> None:
    x = clips(1, 1, 2, 8, 8).requires_grad_()
    changed = apply(Augmentation(cutout=torch.tensor([[0.5, 0.5, 0.5]])), x)
    (slope,) = torch.autograd.grad(changed.sum(), x)
    hole = torch.zeros(8, 8, dtype=torch.bool)
    hole[2:6, 2:6] = True
    assert torch.equal(slope[0, 0, 0] == 0, hole)
    assert torch.equal(changed[0, 0, 1] == 0, hole)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_clips_keep_their_type_under_autocast(kind: torch.dtype) -> None:
    x, changes = clips(4, 3, 4, 16, 16).to(kind), draw(ALL, 1.0, 4, rng())
    with torch.autocast("cpu", torch.bfloat16):
        changed = apply(changes, x)
    assert changed.dtype == kind
    assert torch.equal(changed, apply(changes, x))


def test_the_probability_ramps_up() -> None:
    config = AugmentConfig(probability=0.4, ramp=1000)
    assert [probability(config, seen) for seen in (0, 250, 1000, 5000)] == [0, 0.1, 0.4, 0.4]
    assert probability(AugmentConfig(probability=0.4), 0) == 0.4
    assert probability(AugmentConfig(), 10**9) == 0


def test_configurations_that_leak_are_refused() -> None:
    for value in (-0.1, 1.0, float("nan")):
        with pytest.raises(ConfigError, match=r"augment\.probability is .*less than 1"):
            AugmentConfig(probability=value)
    with pytest.raises(ConfigError, match=r"augment\.ramp is -1"):
        AugmentConfig(ramp=-1)
