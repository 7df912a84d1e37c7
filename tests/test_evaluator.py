from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from footage.data.clips import ClipSource, Span
from footage.data.store import Frames, Split
from footage.errors import ConfigError, DatasetError, ModelError
from footage.evaluation import inputs
from footage.evaluation.features import learned_training
from footage.evaluation.features.catalogue import extractors
from footage.evaluation.features.learned import (
    ClipNet,
    LearnedNetwork,
    divide,
    left_over,
    load_learned,
    write_learned,
)
from footage.evaluation.features.learned_training import FeatureTraining, Heads, choose, draw, loss_of
from footage.evaluation.inputs import EvaluationInput, InputClips


class Clips:
    """Clips of named files: two from each, of squares that move right or down, which is their label."""

    name, fps, content_hash, shape, guides = "squares", 25.0, "f" * 64, (16, 16, 3), 0

    def __init__(self, sources: int, labels: int = 2, frames: int = 12) -> None:
        self.labels = tuple("abc"[:labels])
        self.frames = frames
        self._spans = [
            Span(n, frames, n // 2 % labels if labels else -1, f"{n // 2 % max(labels, 1)}/f{n // 2}@{n % 2}.00")
            for n in range(2 * sources)
        ]

    def spans(self, split: Split) -> list[Span]:
        return [span for span in self._spans if (span.index // 2 % 5 == 4) == (split == "heldout")]

    def read(self, index: int, start: int, frames: int) -> Frames:
        rng = np.random.default_rng(index)
        y, x, colour = rng.integers(0, 4), rng.integers(0, 4), rng.integers(90, 255, 3, dtype=np.uint8)
        clip = np.zeros((frames, *self.shape), dtype=np.uint8)
        for t in range(frames):
            down, right = (t + start, 0) if index // 2 % 2 else (0, t + start)
            clip[t, y + down // 2 : y + down // 2 + 5, x + right // 2 : x + right // 2 + 5] = colour
        return clip


def test_files_are_divided_label_by_label_and_never_torn() -> None:
    source: ClipSource = Clips(30, 3)
    own, others = divide(source, 0.5)
    assert {span.source for span in own}.isdisjoint({span.source for span in others})
    assert len(own) + len(others) == 60 and {span.label for span in own} == {span.label for span in others} == {0, 1, 2}
    assert all(span in source.spans("train") for span in own), "what is held out stays for evaluation"
    assert {span.name for span in divide(source, 0.5)[0]} == {span.name for span in own}
    assert {span.name for span in divide(source, 0.5, seed=1)[0]} != {span.name for span in own}
    more, _ = divide(Clips(60, 3), 0.5)
    order = [span.name for span in more if span.name in {s.name for s in source.spans("train")}]
    assert set(order) & {span.name for span in own}, "the order follows from names alone"
    with pytest.raises(DatasetError, match="too few files"):
        divide(Clips(3, 1), 0.5)


def test_files_of_one_name_in_several_folders_are_sources_of_their_own() -> None:
    source = Clips(30, 3)
    source._spans = [
        replace(span, name=f"walk@{n % 2}.00", file=f"{n // 2}/walk.mp4") for n, span in enumerate(source._spans)
    ]
    own, others = divide(source, 0.5)
    assert len(own) + len(others) == 60 and {span.file for span in own}.isdisjoint({span.file for span in others})
    one, two = learned_training.halves(others, 0)
    assert len(one) > 4 < len(two) and {span.file for span in one}.isdisjoint({span.file for span in two})
    made = LearnedNetwork(
        "x", source.content_hash, (8,), 16, 6, 25.0, (), (), tuple({span.source for span in own}), 1, 0, {}, {}
    )
    assert left_over(source, [*own, *others], made) == others
    assert left_over(source, others, replace(made, schema=1, sources=("walk",))) == [], "as older versions named them"


def recipe(*tasks: str, clips: int = 32, speeds: tuple[int, ...] = (1,)) -> FeatureTraining:
    return FeatureTraining(tasks, speeds, 6, clips, 0)  # type: ignore[arg-type]


def test_tasks_are_chosen_by_what_the_clips_allow() -> None:
    labelled, plain = Clips(20, 2), Clips(20, 0)
    assert choose(labelled, labelled.spans("train"), (), 6) == (("labels",), (1,))
    assert choose(plain, plain.spans("train"), (), 6) == (("speed", "arrow", "contrastive"), (1, 2))
    assert choose(plain, plain.spans("train"), (), 10) == (("arrow", "contrastive"), (1,))
    with pytest.raises(ConfigError, match="leave speed out"):
        choose(plain, plain.spans("train"), ("speed",), 10)
    with pytest.raises(ConfigError, match="0 labels"):
        choose(plain, plain.spans("train"), ("labels",), 6)
    with pytest.raises(ConfigError, match="give --frames 12 or fewer"):
        choose(plain, plain.spans("train"), (), 13)


def test_a_draw_follows_from_its_number_and_tells_the_truth() -> None:
    source = Clips(20, 2)
    spans = source.spans("train")
    wanted = recipe("labels", "speed", "arrow", speeds=(1, 2))
    whole, part = draw(source, spans, wanted, 0, 64), draw(source, spans, wanted, 16, 8)
    assert np.array_equal(whole.frames[16:24], part.frames) and torch.equal(whole.labels[16:24], part.labels)
    assert set(whole.speeds.tolist()) == {0, 1} and set(whole.backwards.tolist()) == {0, 1}
    odd = (whole.speeds == 1) | (whole.backwards == 1)
    assert bool((whole.labels[odd] == -1).all()) and set(whole.labels[~odd].tolist()) == {0, 1}
    for clip, label in zip(whole.frames, whole.labels.tolist(), strict=True):
        if label >= 0:
            seen = clip.max(axis=3) > 0
            down = [np.argmax(frame.any(axis=1)) for frame in seen]
            assert (down[-1] > down[0]) == (label == 1)
    pairs = draw(source, spans, recipe("contrastive"), 0, 8)
    assert len(pairs.frames) == 16 and len(pairs.labels) == 8


def test_the_contrastive_loss_is_nt_xent_by_hand() -> None:
    source, wanted = Clips(20, 0), recipe("contrastive")
    net, heads = ClipNet((8, 8), 16, 0).eval(), Heads(16, wanted).eval()
    batch = draw(source, source.spans("train"), wanted, 0, 3)
    with torch.no_grad():
        codes = torch.nn.functional.normalize(
            heads["contrastive"](net.pooled(net.maps(learned_training.to_rgb(batch.frames)))), dim=1
        )
        expected = 0.0
        for i in range(6):
            scores = [float(codes[i] @ codes[j]) / 0.1 for j in range(6)]
            total = sum(np.exp(score) for j, score in enumerate(scores) if j != i)
            expected -= np.log(np.exp(scores[(i + 3) % 6]) / total) / 6
        assert float(loss_of(net, heads, batch, wanted)) == pytest.approx(expected, rel=1e-4)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in (("WIDTHS", (8, 8, 16)), ("BATCH", 8), ("TRIED", 32), ("CLIMBING", 16)):
        monkeypatch.setattr(learned_training, name, value)
    yield


def write_ladder(path: Path, made: LearnedNetwork, passed: bool) -> None:
    """Let a network pass its ladder, or fail."""
    value = {**made.ladder, "passed": passed, "failures": [] if passed else ["stutter is not ranked: 1 2 1"]}
    write_learned(path.with_suffix(".json"), learned_training.replace(made, ladder=value))


def altered_files_are_refused(path: Path, made: LearnedNetwork) -> None:
    idle = {"labels": {**made.accuracy["labels"], "accuracy": made.accuracy["labels"]["guessing"] + 0.05}}
    write_learned(path.with_suffix(".json"), learned_training.replace(made, accuracy=idle))
    with pytest.raises(ModelError, match=r"learned nothing: labels \d+% \(guessing \d+%\)"):
        load_learned(path)
    write_ladder(path, made, True)
    table = path.with_suffix(".json")
    table.write_text(table.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(ModelError, match="altered after it was written"):
        load_learned(path)
    write_ladder(path, made, True)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match="SHA-256 differs"):
        load_learned(path)
    path.unlink()
    with pytest.raises(ModelError, match="is missing"):
        load_learned(path)
    with pytest.raises(ModelError, match="not a feature network"):
        load_learned(path.with_name("other.safetensors"))


@pytest.mark.usefixtures("small")
def test_a_network_learns_is_tried_on_other_clips_and_is_loaded_by_its_hashes(tmp_path: Path) -> None:
    source = Clips(24, 2)
    path, made = learned_training.train_evaluator(source, tmp_path / "net", frames=6, clips=160)
    assert path.name == f"net-{made.weights_sha256[:12]}.safetensors" == made.weights
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([path.name, path.with_suffix(".json").name])
    assert made.accuracy["labels"]["accuracy"] > 0.8 > made.accuracy["labels"]["guessing"]
    own, others = divide(source, 0.5)
    assert set(made.sources) == {span.source for span in own}
    assert left_over(source, source.spans("train"), made) == [s for s in source.spans("train") if s in others]
    warnings: list[str] = []
    side = InputClips(EvaluationInput("x", "dataset"), "train", 1, source, tuple(source.spans("train")), ())
    rest = inputs.leave_out_learned(side, made, warnings)
    assert rest.spans and {span.source for span in rest.spans}.isdisjoint(made.sources)
    assert f"left out is what {made.name} learned from, {len(own)} clips" in warnings[0]
    with pytest.raises(DatasetError, match="learned from all clips"):
        inputs.leave_out_learned(replace(side, spans=tuple(own)), made, warnings)
    other = Clips(24, 2)
    other.content_hash = "0" * 64
    assert left_over(other, other.spans("train"), made) == other.spans("train"), "another data set"
    assert len(made.ladder["rungs"]) == 7 and made.ladder["clips"] > 0
    again, same = learned_training.train_evaluator(source, tmp_path / "again" / "net", frames=6, clips=160)
    assert again.read_bytes() == path.read_bytes() and same == made

    write_ladder(path, made, False)
    with pytest.raises(ModelError, match=r"has not proven itself \(stutter is not ranked: 1 2 1\)"):
        extractors(evaluator=path)
    write_ladder(path, made, True)
    found = extractors(evaluator=path.with_suffix(".json"))
    assert [e.about.tier for e in found] == ["B", "C", "C", "C", "C", "C"]
    about = found[0].about
    assert (about.digest, about.classes, about.of) == (made.weights_sha256, ("a", "b"), "clip")
    frames, truth = learned_training.windows(source, own, 6, 100, 0)
    features, logits = found[0].features(frames), found[0].logits(frames)
    assert features.shape == (len(frames), about.size) and logits is not None
    assert float((logits.argmax(1) == torch.tensor(truth)).double().mean()) > 0.7
    assert float(features.mean(0).abs().mean()) < 0.3 and float(features.std(0).median()) < 2, "in units of real clips"
    altered_files_are_refused(path, made)


@pytest.mark.usefixtures("small")
def test_a_killed_training_goes_on_as_if_it_had_not_been(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned_training, "KEEP", 4)
    source = Clips(24, 0)
    whole, _ = learned_training.train_evaluator(source, tmp_path / "a" / "net", frames=6, clips=80)

    def killing(what: str, done: int, total: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learned_training.train_evaluator(source, tmp_path / "b" / "net", frames=6, clips=80, show=killing)
    (state,) = (tmp_path / "b").iterdir()
    seen: list[int] = []
    parts, made = learned_training.train_evaluator(
        source, tmp_path / "b" / "net", frames=6, clips=80, show=lambda what, done, total: seen.append(done)
    )
    assert seen[0] == 5 and not state.exists()
    assert parts.read_bytes() == whole.read_bytes()
    assert made.tasks == ("speed", "arrow", "contrastive") and set(made.accuracy) == set(made.tasks)
    assert load_learned(parts, unproven=True).logits(np.zeros((1, 6, 16, 16, 3), dtype=np.uint8)) is None
