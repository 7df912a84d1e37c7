from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from footage.config import ClipConfig, Config, CriticConfig, TaskConfig
from footage.config.presets import preset, tiny
from footage.config.registry import SOURCES
from footage.data.clips import Span
from footage.data.pairs import PairedClips, open_source
from footage.data.store import Frames, Split
from footage.data.synthetic import draw_factors, render_shapes
from footage.errors import ConfigError, DatasetError, TrainingError
from footage.generation.rollout import from_uint8
from footage.models.base import Batch, Converts, PlainEngine
from footage.models.device import ComputeDevice
from footage.models.layers import Memory
from footage.models.translators import TranslatorConfig, source_clip
from footage.models.translators.translate import Animator, Translate, Translator, derive
from footage.training import plan
from footage.training.cost import measure
from footage.training.run_folder import DataNote, RunFolder, resume, write_config
from tests.clips import moving, write
from tests.ingesting import ingest

CLIP = ClipConfig(frames=8, height=16, width=16)
TINY = TranslatorConfig(width=4, blocks=2, motion=4)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def woken(net: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Give every weight some noise: what begins at zero hides what it does."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in net.parameters():
            weight += 0.2 * torch.randn(weight.shape, generator=rng) * max(float(weight.std(correction=0)), 0.2)
    return net.eval()


def shapes(numbers: range, size: int = 16, frames: int = 8) -> Tensor:
    clips = [render_shapes(draw_factors(0, i), start=0, frames=frames, height=size, width=size) for i in numbers]
    return from_uint8(np.stack(clips))


def translate(config: Config) -> Translate:
    torch.manual_seed(0)
    method = Translate(config, 0)
    method.build_optimizers()
    return method


# What is made of clips.


def test_edges_of_a_step() -> None:
    frames = torch.full((1, 3, 1, 6, 8), -1.0)
    frames[..., 4:] = 1.0
    (row,) = derive(frames, "edges")[0, :, 0].unbind()
    assert row.shape == (6, 8) and torch.equal(row[:, :3], torch.full((6, 3), -1.0)), "plain is -1"
    # Beside the step, the Sobel operator gives a slope of 2 / 2 = 1 a pixel.
    torch.testing.assert_close(row[:, 3:5], torch.full((6, 2), 2 * float(np.tanh(4)) - 1))
    rotated = derive(frames.transpose(3, 4), "edges").transpose(3, 4)
    torch.testing.assert_close(rotated, derive(frames, "edges"))
    faint = derive(frames * 0.1, "edges")
    assert -1 < faint[0, 0, 0, 0, 3] < row[0, 3] <= 1


def test_grey_of_primaries() -> None:
    frames = -torch.ones(1, 3, 3, 1, 1)
    frames[0, 0, 0], frames[0, 1, 1], frames[0, 2, 2] = 1.0, 1.0, 1.0  # red, green, blue
    expected = torch.tensor([2 * 0.299 - 1, 2 * 0.587 - 1, 2 * 0.114 - 1])
    torch.testing.assert_close(derive(frames, "grey").flatten(), expected)
    assert torch.equal(derive(frames[:, :1], "grey"), frames[:, :1]), "grey stays grey"


def test_lowres_and_blur() -> None:
    clips = noise(2, 3, 4, 16, 16)
    low = derive(clips, "lowres")
    torch.testing.assert_close(low.mean(dim=(3, 4)), clips.mean(dim=(3, 4)), atol=0.05, rtol=0)
    spot = torch.zeros(1, 1, 1, 21, 21)
    spot[..., 10, 10] = 1.0
    blurred = derive(spot, "blur")[0, 0, 0]
    torch.testing.assert_close(blurred.sum(), torch.tensor(1.0))
    place = torch.arange(21) - 10
    torch.testing.assert_close((blurred.sum(0) * place**2).sum().sqrt(), torch.tensor(2.0), atol=0.05, rtol=0)
    plain = torch.full((1, 3, 2, 9, 7), 0.3)
    torch.testing.assert_close(derive(plain, "blur"), plain)
    torch.testing.assert_close(derive(plain, "lowres"), plain)


@pytest.mark.parametrize("kind", [*SOURCES, "first-frame"])
@pytest.mark.parametrize(("channels", "height", "width"), [(1, 16, 16), (3, 19, 13)])
def test_sources_have_their_shape_and_are_made_frame_by_frame(
    kind: str, channels: int, height: int, width: int
) -> None:
    clip = ClipConfig(5, height, width, channels)
    clips = noise(2, channels, 5, height, width)
    made = derive(clips, kind)
    shape = source_clip(clip, TaskConfig(source=kind))  # type: ignore[arg-type]
    assert made.shape == (2, shape.channels, shape.frames, height, width)
    assert made.abs().max() <= 1
    if kind != "first-frame":
        for number in range(5):
            torch.testing.assert_close(derive(clips[:, :, number : number + 1], kind)[:, :, 0], made[:, :, number])


# The networks.


@pytest.mark.parametrize("shape", ["unet", "resnet"])
@pytest.mark.parametrize("time", [1, 3])
@pytest.mark.parametrize("modulate", [False, True])
@pytest.mark.parametrize("enter", [1, 3])
def test_translators_are_causal_and_stream(shape: str, time: int, modulate: bool, enter: int) -> None:
    net = dataclasses.replace(TINY, shape=shape, time=time, modulate=modulate)  # type: ignore[arg-type]
    generator = woken(Translator(CLIP, net, enter))
    for height, width in ((16, 16), (19, 13), (7, 30)):
        source = noise(2, enter, 11, height, width)
        with torch.no_grad():
            whole = generator(source)
            assert whole.shape == (2, 3, 11, height, width)
            later = torch.cat([source[:, :, :6], noise(2, enter, 5, height, width, seed=1)], dim=2)
            torch.testing.assert_close(generator(later)[:, :, :6], whole[:, :, :6])
            assert (generator(later)[:, :, 6:] - whole[:, :, 6:]).abs().max() > 1e-3, "it looks at its source"
            for cuts in ((1,) * 11, (4, 1, 6), (2, 9)):
                memory: Memory = {}
                chunks = [generator(chunk, memory) for chunk in source.split(list(cuts), dim=2)]
                torch.testing.assert_close(torch.cat(chunks, dim=2), whole, atol=1e-5, rtol=1e-5)
    alone = torch.cat([generator(source[:, :, i : i + 1]) for i in range(11)], dim=2)
    near = torch.allclose(alone, whole, atol=1e-5)
    assert near == (time == 1), "with time 1, and only then, every frame is translated by itself"


def test_a_residual_translator_begins_as_its_source_and_corrects_it() -> None:
    generator = Translator(CLIP, dataclasses.replace(TINY, residual=True), 3)
    source = noise(2, 3, 5, 19, 13)
    made = generator(source)
    torch.testing.assert_close(made, source)
    (made - 1).square().mean().backward()
    assert generator.alpha is not None and generator.alpha.grad is not None and generator.alpha.grad.abs() > 0
    with torch.no_grad():
        generator.alpha.fill_(0.5)
        assert (generator(source) - source).abs().max() > 1e-2


@pytest.mark.parametrize("source", ["edges", "first-frame"])
def test_what_is_no_clip_is_not_corrected(source: str) -> None:
    with pytest.raises(ConfigError, match=r"net\.residual is on, and a source of"):
        preset("translate-64", {"net.residual": True, "task.source": source})


def test_memory_of_a_stream_does_not_grow() -> None:
    generator = woken(Translator(CLIP, TINY, 1))
    memory: Memory = {}
    sizes = []
    with torch.no_grad():
        for _ in range(3):
            generator(noise(1, 1, 8, 16, 16), memory)
            sizes.append(sum(kept.untyped_storage().nbytes() for kept in memory.values()))
    assert sizes[0] == sizes[1] == sizes[2] > 0


def test_source_modulates_every_stage() -> None:
    generator = Translator(CLIP, dataclasses.replace(TINY, modulate=True), 3)
    generator(noise(1, 3, 2, 16, 16)).square().mean().backward()
    guides = [weight for name, weight in generator.named_parameters() if ".give." in name or ".look." in name]
    assert len(guides) == 4 * len(generator.decoder)
    assert all(weight.grad is not None and weight.grad.abs().max() > 0 for weight in guides)


def test_animator_goes_on_for_ever_and_seeds_differ() -> None:
    animator = woken(Animator(CLIP, TINY))
    assert isinstance(animator, Animator)
    picture = noise(2, 3, 1, 19, 13)
    begin, motion = torch.randn(2, 8), torch.randn(2, 12, 4)
    with torch.no_grad():
        whole = animator(picture, begin, motion)
        assert whole.shape == (2, 3, 12, 19, 13)
        for cuts in ((1,) * 12, (5, 7)):
            scene, frames = animator.begin(picture, begin), []
            for part in motion.split(list(cuts), dim=1):
                made, scene = animator.advance(scene, part)
                frames.append(made)
            torch.testing.assert_close(torch.cat(frames, dim=2), whole, atol=5e-5, rtol=1e-5)
        other = animator(picture, torch.randn(2, 8), torch.randn(2, 12, 4))
        assert (other - whole).abs().mean() > 1e-3
        later = torch.cat([motion[:, :6], torch.randn(2, 6, 4)], dim=1)
        torch.testing.assert_close(animator(picture, begin, later)[:, :, :6], whole[:, :, :6])


def test_animator_can_move_what_it_is_given() -> None:
    from footage.models.translators.translate import warp

    picture = noise(1, 1, 8, 8)
    still = torch.zeros(2, 2, 8, 8)
    torch.testing.assert_close(warp(picture, still), picture.expand(2, -1, -1, -1))
    left = still.clone()
    left[:, 0] = 2 / 8  # one pixel
    torch.testing.assert_close(warp(picture, left)[..., :-1], picture[..., 1:].expand(2, -1, -1, -1))


# The method.


def config_for(source: str, **knobs: object) -> Config:
    task = TaskConfig(source=source)  # type: ignore[arg-type]
    config = tiny(preset("translate-64"))
    return dataclasses.replace(config, clip=CLIP, task=task, **knobs)


@pytest.mark.parametrize("source", [*SOURCES, "first-frame", "pairs"])
def test_sampler_gives_the_same_however_a_video_is_cut(source: str) -> None:
    sampler = translate(config_for(source)).sampler()
    assert isinstance(sampler, Converts)
    woken(sampler.generator)  # type: ignore[attr-defined]
    clips = noise(1, 6 if source == "pairs" else 3, 13, 20, 12)
    given = sampler.sources(clips)
    assert given.shape[1] == sampler.source.channels
    if source == "first-frame":
        assert sampler.source.frames == 1
        frames = [next_of(sampler.convert([given], seed), 20) for seed in (0, 0, 1)]
        assert torch.equal(frames[0], frames[1]) and not torch.allclose(frames[0], frames[2])
        return
    whole = torch.cat(list(sampler.convert([given], 0)), dim=2)
    assert whole.shape == (1, 3, 13, 20, 12) and whole.abs().max() <= 1
    for cuts in ([1] * 13, [5, 1, 7]):
        chunks = list(sampler.convert(given.split(cuts, dim=2), 0))
        torch.testing.assert_close(torch.cat(chunks, dim=2), whole, atol=1e-5, rtol=1e-5)


def next_of(chunks: Iterator[Tensor], frames: int) -> Tensor:
    made: list[Tensor] = []
    while sum(chunk.shape[2] for chunk in made) < frames:
        made.append(next(chunks))
    return torch.cat(made, dim=2)[:, :, :frames]


@pytest.mark.parametrize("source", [*SOURCES, "first-frame", "pairs"])
def test_critics_see_the_source(source: str) -> None:
    config = config_for(source)
    method = translate(config)
    clips = noise(2, 6 if source == "pairs" else 3, 8, 16, 16)
    method.calibrate([clips])
    seen = method.shown(clips)
    count = 3 + source_clip(CLIP, config.task).channels
    assert seen.shape == (2, count, 8, 16, 16)
    shuffled = torch.cat([seen[:, :3], seen[:, 3:].flip(0)], dim=1)
    picks = torch.tensor([[0, 3, 7]] * 2)
    for name, critic_loss in method.critics[""].losses.items():
        from footage.models.adversarial.critic_loss import critic_view

        one, two = (
            critic_view(critic_loss.critic, x, picks if critic_loss.critic.timeless else None) for x in (seen, shuffled)
        )
        critic = method.nets[name]
        assert not torch.allclose(critic(one.inputs, None, one.gaps).logits, critic(two.inputs, None, two.gaps).logits)


def test_critics_know_the_levels_of_source_and_clip() -> None:
    method = translate(config_for("grey"))
    clips = 0.1 * noise(4, 3, 8, 16, 16) + torch.tensor([-0.5, 0.0, 0.5]).view(-1, 1, 1, 1)
    method.calibrate(iter([clips[:2], clips[2:]]))
    luma = derive(clips, "grey").mean()
    expected = torch.stack([*clips.mean(dim=(0, 2, 3, 4)), luma])
    torch.testing.assert_close(method.nets["critic_clip_patch"].levels.mean, expected)
    torch.testing.assert_close(method.nets["critic_sparse"].levels.mean, expected.repeat(3))
    for net in (method.nets["generator"], method.averages["generator"].module):
        torch.testing.assert_close(net.levels.mean, expected[:3])


def learned(config: Config, clips: Tensor, steps: int, rate: float) -> Translate:
    learn = dataclasses.replace(config.learn, lr=rate, warm_up=0, decay=steps * len(clips), ema=len(clips) * 5.0)
    method = translate(dataclasses.replace(config, learn=learn))
    method.calibrate([clips])
    for number in range(steps):
        rng = torch.Generator().manual_seed(number)
        method.step(Batch(clips, None, rng, len(clips)), number * len(clips), PlainEngine())
    return method


@pytest.mark.parametrize(("shape", "part"), [("unet", 0.8), pytest.param("resnet", 0.9, marks=pytest.mark.nightly)])
def test_translator_learns(shape: str, part: float) -> None:
    net = dataclasses.replace(TINY, shape=shape, width=8)  # type: ignore[arg-type]
    clips, unseen = shapes(range(24), frames=4), shapes(range(100, 116), frames=4)
    config = config_for("blur", net=net, critics=())
    # Squares: absolute differences stay with the median, the black background, for a few hundred steps.
    config = dataclasses.replace(config, learn=dataclasses.replace(config.learn, loss="mse"))
    method = learned(config, clips, 200, 2e-3)
    sampler = method.sampler()
    made = sampler.preview(unseen, None)["translated"]
    error, copied = (float((x - unseen).abs().mean()) for x in (made, derive(unseen, "blur")))
    assert error < part * copied, (error, copied)


def test_animator_begins_with_the_picture_and_moves() -> None:
    clips = shapes(range(8))
    method = learned(dataclasses.replace(tiny(preset("animate-64")), clip=CLIP), clips, 60, 3e-3)
    made = method.sampler().preview(clips, None)["translated"]
    first = float((made[:, :, 0] - clips[:, :, 0]).abs().mean())
    assert first < 0.1, first
    assert (made[:, :, 1:] - made[:, :, :-1]).abs().mean() > 1e-4


def test_preview_stands_side_by_side() -> None:
    for source in SOURCES:
        method = translate(config_for(source, critics=(CriticConfig(width=4),)))
        clips = noise(2, 6 if source == "pairs" else 3, 8, 16, 16)
        shown = method.sampler().preview(clips, None)
        assert list(shown) == ["translated", "source", "real"]
        assert {value.shape for value in shown.values()} == {(2, 3, 8, 16, 16)}
        assert torch.equal(shown["real"], clips[:, :3])


# Pairs.


class Named:
    """Clips of files, by name; the first pixel tells which."""

    labels: tuple[str, ...] = ()
    guides = 0

    def __init__(self, name: str, clips: dict[str, int], **knobs: object) -> None:
        self.name, self.clips, self.content_hash = name, clips, name
        self.shape: tuple[int, int, int] = (16, 16, 3)
        self.fps = 25.0
        vars(self).update(knobs)

    def spans(self, split: Split) -> list[Span]:
        spans = [Span(i, frames, -1, name) for i, (name, frames) in enumerate(self.clips.items())]
        return spans if split == "train" else []

    def read(self, index: int, plan: int, frames: int) -> Frames:
        assert plan + frames <= list(self.clips.values())[index]
        return np.full((frames, *self.shape), 10 * index + plan, dtype=np.uint8)


def test_pairs_go_by_name_and_have_the_shorter_length() -> None:
    target = Named("photos", {"a@0.00": 20, "b@0.00": 12, "c@0.00": 30})
    maps = Named("maps", {"c@0.00": 16, "a@0.00": 24, "z@0.00": 9}, shape=(16, 16, 1))
    pairs = PairedClips(target, maps)
    assert pairs.shape == (16, 16, 4) and pairs.guides == 1
    assert [(span.index, span.frames) for span in pairs.spans("train")] == [(0, 20), (2, 16)]
    assert pairs.spans("heldout") == []
    window = pairs.read(2, 3, 5)
    assert window.shape == (5, 16, 16, 4)
    assert (window[..., :3] == 23).all() and (window[..., 3:] == 3).all()
    assert pairs.content_hash != PairedClips(target, Named("other", maps.clips)).content_hash


def test_two_folders_with_matching_names(tmp_path: Path) -> None:
    for folder, suffix, seeds in (("photos", "mp4", (1, 2)), ("maps", "mkv", (2, 3))):
        for seed in seeds:
            write(tmp_path / folder / "walk" / f"take{seed}.{suffix}", moving(20, (16, 16), seed))
        ingest([tmp_path / folder], tmp_path / f"{folder}-set", height=16, width=16, min_frames=8, heldout=0, workers=0)
    pairs = open_source(tmp_path / "photos-set", CLIP, tmp_path / "maps-set")
    (span,) = pairs.spans("train")
    assert span.name == "walk/take2@0.00" and span.frames == 20 and pairs.guides == 3
    window = pairs.read(span.index, 4, 8).astype(float)
    assert window.shape == (8, 16, 16, 6) and np.abs(window[..., :3] - window[..., 3:]).mean() < 1


@pytest.mark.parametrize(
    ("maps", "words"),
    [
        (Named("maps", {"x/y@0.00": 20}), r'"a@0.00".*"x/y@0.00".*same names'),
        (Named("maps", {"a@0.00": 20}, shape=(8, 16, 3)), r"16×8.*--width 16 --height 16"),
        (Named("maps", {"a@0.00": 20}, fps=12.5), r"12.5.*--fps 25"),
        (Named("maps", {"": 20}), r"maps come from no files"),
    ],
)
def test_what_is_no_pair_is_refused(maps: Named, words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        PairedClips(Named("photos", {"a@0.00": 20}), maps)


def test_pairs_are_matched_with_the_preset() -> None:
    target = Named("photos", {"a@0.00": 20})
    pairs = PairedClips(target, Named("maps", {"a@0.00": 20}, shape=(16, 16, 1)))
    spade = dataclasses.replace(tiny(preset("spade-64")), clip=dataclasses.replace(CLIP, channels=1))
    config, _ = plan.match(spade, pairs)
    assert config.clip.channels == 3 and config.task.source_channels == 1
    assert measure(config, 0, ComputeDevice("cpu", False)).clip_bytes > 0
    with pytest.raises(ConfigError, match="--guide DATASET"):
        plan.match(spade, target)
    with pytest.raises(ConfigError, match=r"edges.*--task.source pairs"):
        plan.match(config_for("edges"), pairs)
    with pytest.raises(ConfigError, match=r"leave --guide out"):
        plan.match(dataclasses.replace(tiny(preset("conv3d-32")), clip=CLIP), pairs)


def test_another_guide_does_not_take_over_a_run(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    config = config_for("pairs")
    folder.state.parent.mkdir()
    folder.state.touch()
    note = DataNote("/data/photos", "photos", "1", (), "/data/maps")
    write_config(folder, config, note)
    assert resume(folder, config, note) == []
    with pytest.raises(TrainingError, match="guide /data/maps, now it is /data/depth"):
        resume(folder, config, dataclasses.replace(note, guide="/data/depth", content_hash="2"))
