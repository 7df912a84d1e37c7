"""What a library learns of what its owner keeps."""

from __future__ import annotations

import functools
import itertools
import json
import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient

from footage.commands.main import main
from footage.config import to_json
from footage.data.synthetic import draw_factors, render_shapes
from footage.errors import ConfigError, DatasetError, LibraryError, ModelError
from footage.generation import novelty
from footage.generation.best import BestClips
from footage.generation.clip import Clip
from footage.generation.model import Model
from footage.library import taste as module
from footage.library.descriptors import DESCRIPTORS, describe
from footage.library.jobs import BackgroundJob
from footage.library.library import Library
from footage.library.query import ClipQuery
from footage.library.taste import Accuracy, Judgements, cross_validate, fit, learn, logistic
from footage.media.encode import write_clip
from footage.media.probe import VideoInfo
from footage.media.thumbnails import Thumbnails
from footage.models.requests import TRAINED_ON, GenerateRequest, VideoRequest
from footage.studio.app import application
from footage.studio.catalog import Catalog
from footage.studio.schemas import GenerateForm
from footage.studio.security import Keys
from footage.studio.state import Studio
from footage.studio.worker import Cancelled, Worker
from tests.libraries import make_older
from tests.models import FewShapes, FromClips, save_tiny_model
from tests.test_studio_locales import english_in

NO_PAIRS = np.zeros((0, 2), dtype=np.int64)


def thumbnails(frames: np.ndarray, fps: float = 25.0) -> Thumbnails:
    after = np.concatenate([frames[1:], frames[-1:]])
    return Thumbnails(VideoInfo(frames.shape[2], frames.shape[1]), len(frames), fps, frames, after)


def described(frames: np.ndarray, fps: float = 25.0) -> dict[str, float]:
    return dict(zip(DESCRIPTORS, describe(thumbnails(frames, fps)).tolist(), strict=True))


def square(right: int = 0, down: int = 0, colour: tuple[int, int, int] = (255, 0, 0), frames: int = 6) -> np.ndarray:
    clip = np.zeros((frames, 64, 64, 3), dtype=np.uint8)
    for t in range(frames):
        clip[t, 24 + down * t : 40 + down * t, 24 + right * t : 40 + right * t] = colour
    return clip


def judgements(kept: np.ndarray, pairs: np.ndarray = NO_PAIRS, preferred: np.ndarray | None = None) -> Judgements:
    known = np.zeros(len(pairs)) if preferred is None else preferred
    return Judgements(np.arange(len(kept)), kept.astype(float), pairs, known)


def test_descriptors_measure_what_they_are_called_after() -> None:
    still = described(square())
    for colour, name in (((255, 0, 0), "red"), ((0, 255, 255), "cyan"), ((255, 0, 255), "magenta")):
        clip = described(square(colour=colour))
        assert clip[name] > 0.85 and sum(clip[hue] for hue in module.DESCRIPTORS[3:9]) == pytest.approx(1, abs=1e-5)
    orange = described(square(colour=(255, 128, 0)))
    assert orange["red"] == pytest.approx(orange["yellow"], abs=0.02)
    right, up, fast = described(square(right=1)), described(square(down=-1)), described(square(right=3))
    assert right["towards_right"] > 0.1 and abs(right["towards_down"]) < 0.02
    assert up["towards_down"] < -0.1 and abs(up["towards_right"]) < 0.02
    assert fast["speed"] > right["speed"] > still["speed"] and still["towards_right"] == 0
    assert described(square(right=1), fps=50)["towards_right"] == pytest.approx(2 * right["towards_right"], rel=1e-4)
    assert fast["motion"] > right["motion"] > still["motion"] and right["moving_area"] > still["moving_area"] == 0
    soft = square().astype(float)
    for _ in range(6):
        soft = (soft + np.roll(soft, 1, 1) + np.roll(soft, -1, 1) + np.roll(soft, 1, 2) + np.roll(soft, -1, 2)) / 5
    dim = square() // 2
    assert described(soft.astype(np.uint8))["sharpness"] < still["sharpness"] - 0.5
    assert described(dim)["sharpness"] == pytest.approx(still["sharpness"], abs=0.02)
    assert described(dim)["brightness"] == pytest.approx(still["brightness"] / 2, rel=0.02)
    blinking = square()
    blinking[::2] //= 2
    assert described(blinking)["flicker"] > still["flicker"] + 1


@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (2, 1, 9, 3), (3, 2, 2, 3), (1, 5, 3, 3)])
def test_descriptors_of_tiny_clips_and_even_ones_are_finite(shape: tuple[int, ...]) -> None:
    for level in (0, 255):
        numbers = describe(thumbnails(np.full(shape, level, dtype=np.uint8), fps=0.0))
        assert numbers.shape == (len(DESCRIPTORS),) and np.isfinite(numbers).all()


def test_weights_are_those_of_another_implementation() -> None:
    """scikit-learn's ridge logistic regression, which does not shrink its intercept, as ours hardly does."""
    linear = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    features, kept = rng.normal(size=(50, 4)), rng.random(50) < 0.4
    kept[:10] = features[:10, 0] > 0
    ours = fit(features, judgements(kept))
    theirs = linear.LogisticRegression(C=1 / module.PRIOR, tol=1e-10, max_iter=1000).fit(features, kept)
    assert ours[:-1] == pytest.approx(theirs.coef_[0], abs=1e-3)
    assert ours[-1] == pytest.approx(theirs.intercept_[0], abs=1e-3)


def test_pairs_alone_give_the_strengths_of_bradley_and_terry() -> None:
    """With a column for each clip, what is learned from pairs has Bradley and Terry's slope of 0 at its optimum."""
    rng = np.random.default_rng(1)
    pairs = rng.integers(0, 6, (60, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    preferred = (rng.random(len(pairs)) < 0.5).astype(float)
    preferred[0] = 0.5
    weights = fit(np.eye(6), judgements(np.full(6, np.nan), pairs, preferred))
    likely = 1 / (1 + np.exp(weights[pairs[:, 1]] - weights[pairs[:, 0]]))
    slope = np.zeros(6)
    np.add.at(slope, pairs[:, 0], preferred - likely)
    np.add.at(slope, pairs[:, 1], likely - preferred)
    assert slope == pytest.approx(module.PRIOR * weights[:-1], abs=1e-6)
    assert abs(weights[-1]) < 1e-9


def test_newton_finds_separated_judgements_too() -> None:
    rows = np.array([[1.0], [2.0], [-1.0], [-2.0]])
    weights = logistic(rows, np.array([1.0, 1, 0, 0]), np.array([1e-6]))
    assert np.isfinite(weights).all() and weights[0] > 5


def test_accuracy_is_that_on_clips_that_were_not_learned_from() -> None:
    rng, found, true = np.random.default_rng(2), [], []
    for _ in range(16):
        features = rng.normal(size=(1000, 6))
        kept = rng.random(1000) < 1 / (1 + np.exp(-2 * features[:, 0]))
        known = cross_validate(features[:50], judgements(kept[:50]))
        scores = features[50:] @ fit(features[:50], judgements(kept[:50]))[:-1]
        gaps = scores[kept[50:]][:, None] - scores[~kept[50:]]
        assert known is not None
        found.append(known)
        true.append((gaps > 0).mean())
    assert np.mean([known.share for known in found]) == pytest.approx(np.mean(true), abs=0.03)
    assert np.mean([k.low <= share <= k.high for k, share in zip(found, true, strict=True)]) >= 0.85
    assert np.mean([known.sure for known in found]) > 0.5


def test_what_follows_no_rule_is_not_better_than_chance() -> None:
    rng = np.random.default_rng(3)
    for number in range(8):
        features, kept = rng.normal(size=(40, 12)), np.arange(40) % 2
        pairs = rng.permutation(40)[:30].reshape(15, 2)
        known = cross_validate(features, judgements(kept, pairs, (np.arange(15) % 2).astype(float)))
        assert known is not None and not known.sure, number


def test_blind_pairs_alone_are_learned_from() -> None:
    rng = np.random.default_rng(4)
    features = rng.normal(size=(40, 3))
    pairs = np.array([rng.choice(40, 2, replace=False) for _ in range(60)])
    preferred = (features[pairs[:, 0], 1] > features[pairs[:, 1], 1]).astype(float)
    known = cross_validate(features, judgements(np.full(40, np.nan), pairs, preferred))
    assert known is not None and known.sure and known.share > 0.85


@pytest.mark.parametrize("share", [0.3, 0.5, math.nan])
def test_of_a_taste_at_chance_or_below_nobody_can_tell_how_many_more_it_needs(share: float) -> None:
    kept = np.arange(14) % 2
    learned = learn(judgements(kept), np.random.default_rng(5).normal(size=(14, len(DESCRIPTORS))), np.zeros((14, 5)))
    assert replace(learned, accuracy=Accuracy(share, 0.1)).more == 14
    assert replace(learned, accuracy=Accuracy(0.6, 0.1)).more == 14 and replace(learned, accuracy=None).more == 0


@pytest.mark.parametrize(("folds", "repeats"), [(5, 10), (5, 1), (20, 1)])
def test_clips_that_never_share_a_fold_are_left_out(folds: int, repeats: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few clips that are kept or rejected, beside many pairs: what was not compared is neither right nor wrong."""
    monkeypatch.setattr("footage.library.taste.FOLDS", folds)
    monkeypatch.setattr("footage.library.taste.REPEATS", repeats)
    rng = np.random.default_rng(6)
    features = rng.normal(size=(40, 3))
    pairs = np.array([rng.choice(40, 2, replace=False) for _ in range(60)])
    preferred = (features[pairs[:, 0], 1] > features[pairs[:, 1], 1]).astype(float)
    for few in itertools.product(range(4), range(4)):
        kept = np.full(40, np.nan)
        kept[: sum(few)] = np.repeat([1.0, 0.0], few)
        known = cross_validate(features, judgements(kept, pairs, preferred))
        assert known is not None and known.share > 0.6 and 0 < known.error < 0.3, few


def test_all_right_is_not_certain() -> None:
    kept = np.arange(12) % 2
    known = cross_validate(np.where(kept, 1.0, -1.0)[:, None], judgements(kept))
    assert known is not None and known.share == 1 and 0.1 < known.error < 0.25
    assert Accuracy(0.7, 0.1).sure and not Accuracy(0.7, 0.11).sure


def test_too_few_judgements_teach_nothing_and_say_how_many_are_missing() -> None:
    few = judgements(np.array([1.0, 1, 0, np.nan]))
    assert few.missing == 3 + 4 and few.count == 3
    nobody = learn(judgements(np.zeros(0)), np.zeros((0, len(DESCRIPTORS))), np.zeros((0, 5)))
    assert nobody.more == 10 and not nobody.ready and nobody.summary(3).unmeasured == 3
    with pytest.raises(LibraryError, match="not learned yet from 0 ratings: keep or reject 10 more"):
        nobody.check()


COLOURS = ((255, 0, 0), (0, 200, 60), (40, 40, 255))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of squares that move, a third of them red, which the owner keeps."""
    folder = tmp_path_factory.mktemp("taste")
    with Library(folder / "library") as library:
        for number in range(24):
            clip = square(right=number % 4 - 2, down=number % 2, colour=COLOURS[number % 3])[:, ::2, ::2]
            path = folder / f"clip-{number}.mp4"
            write_clip(path, [np.roll(clip, number, axis=1)], fps=12, metadata={})
            library.add(path)
    return folder / "library"


@pytest.fixture
def coloured(made: Path, tmp_path: Path) -> Library:
    shutil.copytree(made, tmp_path / "library")
    return Library(tmp_path / "library")


def judge(library: Library, first: int = 1, last: int = 18) -> None:
    for clip in range(first, last + 1):
        library.update(clip, verdict="keep" if (clip - 1) % 3 == 0 else "reject")


def test_a_library_learns_and_sorts_and_says_why(coloured: Library) -> None:
    with coloured as library:
        with pytest.raises(LibraryError, match="not learned yet"):
            library.query(ClipQuery(sort="taste"))
        judge(library)
        summary = library.taste_summary()
        assert summary.ready and (summary.kept, summary.rejected, summary.unmeasured) == (6, 12, 0)
        assert summary.accuracy and summary.accuracy > 0.95 and summary.enough and summary.enough <= 18
        assert summary.figures[0].name in ("red", "green", "blue", "brightness")
        order = library.ids(ClipQuery(sort="taste"))
        assert {(clip - 1) % 3 for clip in order[:8]} == {0} and len(order) == 24
        first = library.query(ClipQuery(sort="taste"), limit=10)
        rest = library.query(ClipQuery(sort="taste"), limit=20, cursor=first.cursor)
        assert [entry.id for entry in (*first.entries, *rest.entries)] == order
        unseen, disliked = library.taste_of(22), library.taste_of(23)
        assert unseen and disliked and unseen.score > 0.5 > disliked.score
        red = {reason.name: reason for reason in unseen.reasons}["red"]
        assert red.deviations > 1 and red.logits > 0 and str(red).startswith("more red than those you reject: +")
        assert all(reason.logits < 0 for reason in disliked.reasons[:2])
        before = library.taste().stamp
        judge(library, 19, 24)
        assert library.taste().stamp != before and library.taste_summary().kept == 8


def test_judged_clips_in_the_bin_teach_and_stars_count_where_there_is_no_verdict(coloured: Library) -> None:
    with coloured as library:
        for clip, stars in enumerate((5, 1, 2, 4, 3, 1, 5, 3, 1, 5, 0, 2), 1):
            library.update(clip, stars=stars)
        library.update(2, verdict="keep")
        library.remove([3, 6])
        said = library.taste().said
        assert dict(zip(said.clips.tolist(), said.kept.tolist(), strict=True)) == {
            **{1: 1.0, 2: 1.0, 3: 0.0, 4: 1.0, 6: 0.0, 7: 1.0, 9: 0.0, 10: 1.0, 12: 0.0}
        }
        library.ratings.add("blind", "fidelity", 5, 8, "tie")
        library.ratings.add("blind", "motion", 8, 1, "b")
        said = library.taste().said
        assert said.clips[said.pairs].tolist() == [[8, 1], [5, 8]] and said.preferred.tolist() == [0.0, 0.5]
        assert np.isnan(said.kept[said.clips == 5]).all()


def test_what_an_older_version_took_in_is_measured_when_it_is_needed(coloured: Library) -> None:
    with coloured as library:
        library.update(2, verdict="keep")
        folder = library.folder
    make_older(folder, 2)
    with Library(folder) as library:
        assert library.taste_summary().unmeasured == 24 and library.taste().said.count == 0
        assert library.measure(judged=True) == 1
        assert library.taste().said.count == 1 and library.taste_summary().unmeasured == 23
        assert library.verify().sound and library.taste_summary().unmeasured == 0
        library.remove([2])
        library.purge()
        assert library.taste().said.count == 0


def test_a_clip_that_is_purged_meanwhile_ends_nothing(coloured: Library) -> None:
    with coloured as library:
        with library._database.write() as connection:
            connection.execute("DELETE FROM descriptors WHERE clip <= 3")

        def purge(clip: int) -> None:
            library.remove([clip])
            library.purge()

        assert library.measure(progress=lambda done, _: purge(2) if done == 1 else None) == 2
        embed = functools.partial(library.embed, "ones", lambda path: np.ones(2, dtype=np.float32))
        assert embed(progress=lambda done, _: purge(5) if done == 1 else None) == 22


def test_the_command_says_how_accurate_it_is_and_why(coloured: Library, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(coloured.folder)
    main(["library", "taste", folder])
    assert "rate about 10 more clips" in capsys.readouterr().out
    with Library(folder) as library:
        judge(library)
    main(["library", "taste", folder, "22"])
    out = capsys.readouterr().out
    assert "6 clips kept, 12 rejected, 0 blind ratings" in out and "of comparisons come out right" in out
    assert "better than chance from" in out and "more red than those you reject" in out
    main(["library", "list", folder, "--sort", "taste", "--limit", "1"])
    assert (int(capsys.readouterr().out.split("clip-")[1].split()[0])) % 3 == 0


def test_a_view_may_be_sorted_by_taste() -> None:
    assert ClipQuery.from_json(json.loads(json.dumps(ClipQuery(sort="taste").to_json()))).sort == "taste"


def test_built_in_clips_of_one_speed_are_told_from_those_of_another() -> None:
    """Speed alone, whatever colour, size and direction."""
    clips = [draw_factors(0, index) for index in range(60)]
    numbers = np.array(
        [describe(thumbnails(render_shapes(f, start=0, frames=8, height=32, width=32))) for f in clips], np.float32
    )
    kept = np.array([factors.speed > 1 / 30 for factors in clips])
    learned = learn(judgements(kept), numbers, np.zeros((60, 3)))
    assert learned.ready and learned.accuracy is not None and learned.accuracy.share > 0.9


# The best of many


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """A model that shows clips of the built-in shapes that it has not learned from, each again and again."""
    for name, value in (("SEEDS", (0,)), ("UNSEEN", 24), ("OTHERS", 8)):
        monkeypatch.setattr(novelty, name, value)
    monkeypatch.setattr("footage.generation.best.LOOKED_AT", 16)
    shapes = FewShapes(train=4, heldout=60)
    monkeypatch.setattr("footage.generation.novelty.open_clips", lambda *_: shapes)
    save_tiny_model(tmp_path / "run" / "model", labels=())
    model = Model(tmp_path / "run" / "model")
    model.info = replace(model.info, fps=25.0, dataset="shapes", dataset_hash=shapes.content_hash)
    model.sampler = FromClips(model.info.config.clip, shapes, shapes.spans("heldout")[28:])
    return model


@pytest.fixture
def unchecked(model: Model, monkeypatch: pytest.MonkeyPatch) -> Model:
    """The same, with too few training clips to tell what is new, which takes time."""

    def too_few(*_: object) -> None:
        raise DatasetError("there are too few clips", "give more")

    monkeypatch.setattr("footage.generation.best.NoveltyCheck", too_few)
    return model


def redness(clip: Clip) -> float:
    light = clip.array().astype(float)
    colour = light[light.max(axis=-1) > 200].mean(axis=0)
    return float(colour[0] - colour[1:].max())


def test_the_best_of_many_please_and_say_where_they_stand(coloured: Library, model: Model) -> None:
    judge(coloured)
    found = model.generate(best=3, of=32, taste=str(coloured.folder))
    assert isinstance(found, BestClips)
    seen: list[int] = []
    found.watch = lambda: seen.append(found.looked)
    clips = list(found)
    assert len(clips) == 3 and all(redness(clip) > 100 for clip in clips) and seen == list(range(32))
    notes = [clip.metadata["taste"] for clip in clips]
    assert [note["rank"] for note in notes] == [1, 2, 3] and notes[0]["candidates"] == 32
    assert notes[0]["score"] >= notes[1]["score"] >= notes[2]["score"] > 0.5
    assert notes[0]["library"] == "library" and notes[0]["ratings"] == 18 and notes[0]["accuracy"] > 0.9
    again = next(model.generate(1, seed=clips[0].metadata["seed"]))
    assert (again.array() == clips[0].array()).all()
    assert clips[0].metadata["novel"]["dataset"] == "shapes" and not found.damaged
    assert found.summary().startswith("the best 3 of 32 by the taste of library (learned from 18 ratings, ")
    assert next(found, None) is None


def test_near_copies_are_left_out_of_the_best(coloured: Library, model: Model) -> None:
    judge(coloured)
    shapes = model.sampler.source  # type: ignore[attr-defined]
    model.sampler = FromClips(model.info.config.clip, shapes, [*shapes.spans("train"), *shapes.spans("heldout")[28:34]])
    found = model.generate(best=8, of=10, taste=str(coloured.folder))
    assert isinstance(found, BestClips)
    with pytest.warns(UserWarning, match="clips are left, 8 were asked for"):
        seeds = [clip.metadata["seed"] for clip in found]
    assert set(range(4)) <= set(found.copies) and not set(seeds) & set(range(4)) and len(seeds) == len(found.taken)


class Damaging(FromClips):
    """Of every four seeds, the second gives NaN, the third black, the fourth noise."""

    def segments(self, requests: Sequence[VideoRequest]) -> Iterator[torch.Tensor]:
        way = requests[0].seed % 4 if requests[0].seed < 8 else 0
        for clips in super().segments(requests):
            noise = torch.rand(clips.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
            yield [clips, torch.full_like(clips, torch.nan), torch.full_like(clips, -1.0), noise][way]


def test_damaged_ones_are_left_out_with_the_reason(coloured: Library, unchecked: Model) -> None:
    model = unchecked
    judge(coloured)
    sampler = model.sampler
    assert isinstance(sampler, FromClips)
    model.sampler = Damaging(sampler.clip, sampler.source, sampler.spans)
    with pytest.warns(UserWarning, match="too few clips"):
        found = model.generate(best=2, of=24, taste=str(coloured.folder))
    assert isinstance(found, BestClips)
    found.look()
    assert sorted(found.damaged) == [1, 2, 3, 5, 6, 7]
    assert found.damaged[1] == "with numbers that are not finite" and found.damaged[2] == "of one plain colour"
    assert found.damaged[3].endswith("is far outside of the training clips'")
    assert "2 of one plain colour" in found.left_out and len(list(found)) == 2
    with pytest.raises(ModelError, match="seed 1 gives numbers that are not finite"):
        next(model.generate(1, seed=1)).array()


def test_without_the_training_clips_it_goes_on_and_says_so(coloured: Library, model: Model) -> None:
    judge(coloured)
    model.info = replace(model.info, dataset="lost")
    with pytest.warns(UserWarning, match="not compared with training clips: tiny does not say where"):
        found = model.generate(best=2, of=6, taste=str(coloured.folder))
    assert len(list(found)) == 2
    with pytest.raises(ConfigError, match="does not say where"):
        model.generate(best=2, of=6, taste=str(coloured.folder), novel=TRAINED_ON)


def test_what_is_asked_of_taste_is_checked(coloured: Library, model: Model) -> None:
    for asked, problem in (
        ({"best": 3}, "best is 3, and no taste is given: give --taste LIBRARY"),
        ({"of": 30}, "of is 30, and not how many are the best"),
        ({"taste": "x"}, "taste is given, and not how many are the best"),
        ({"best": 3, "of": 2, "taste": "x"}, "of is 2: give at least 3"),
        ({"best": 0, "taste": "x"}, "best is 0: give at least 1"),
    ):
        with pytest.raises(ConfigError, match=problem):
            GenerateRequest(**asked)  # type: ignore[arg-type]
    assert GenerateRequest(best=3, taste="x").candidates == 60 and GenerateRequest(5).candidates == 5
    with pytest.raises(LibraryError, match="not learned yet from 0 ratings"):
        model.generate(best=1, taste=str(coloured.folder))
    with pytest.raises(LibraryError, match="holds no library"):
        model.generate(best=1, taste=str(coloured.folder / "none"))


def test_the_worker_makes_the_best_by_its_own_library(
    coloured: Library, unchecked: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge(coloured)
    worker = Worker(coloured, Catalog(unchecked.folder))
    monkeypatch.setattr(worker, "_model", lambda job: unchecked)
    shares: list[float] = []
    monkeypatch.setattr(worker, "_report", lambda job, share, *_: shares.append(share))
    form = GenerateForm(model="tiny", best=2, of=12, taste="library")
    coloured.jobs.submit("generate", to_json(form))
    job = coloured.jobs.claim("worker")
    assert job is not None
    done = worker.do(job)
    assert done.state == "done", done.message
    assert done.result["looked_at"] == 12 and len(done.result["clips"]) == 2 and done.result["damaged"] == 0
    assert shares == sorted(shares) and shares[11] < 0.8 <= shares[12] < 1
    made = coloured.get(done.result["clips"][0])
    assert made.settings["taste"]["rank"] == 1 and made.settings["taste"]["candidates"] == 12


def test_the_command_makes_the_best(
    coloured: Library, unchecked: Model, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    judge(coloured)
    monkeypatch.setattr("footage.commands.generate.load", lambda *_: unchecked)
    main(["generate", "stream-shapes", "--best", "2", "--of", "10", "--library", str(coloured.folder)])
    out = " ".join(capsys.readouterr().out.split())
    assert "the best 2 of 10 by the taste of library" in out and "2 filed" in out


# In the studio


@pytest.fixture
def client(coloured: Library, tmp_path: Path) -> Iterator[TestClient]:
    studio = Studio(coloured, Catalog(tmp_path), Keys())
    studio.worker.close()
    yield TestClient(application(studio), base_url="http://127.0.0.1")
    studio.close()


def test_the_studio_says_how_many_ratings_it_needs_and_sorts_nothing(client: TestClient) -> None:
    assert client.get("/api/taste").json()["more"] == 10
    refused = client.get("/api/clips?sort=taste")
    assert refused.status_code == 400 and "not learned yet" in refused.text
    assert client.get("/api/clips/1/taste").status_code == 400
    for address in ("/?sort=taste", "/parts/clips?sort=taste", "/parts/taste", "/parts/taste?clip=1", "/generate"):
        page = client.get(address)
        assert page.status_code == 200, address
        assert address == "/generate" or "keep or reject about 10 more clips" in page.text, address
    assert client.get("/clip/3?sort=taste").status_code == 200
    body = {"model": "tiny", "best": 2, "taste": "library"}
    csrf = {"X-CSRF-Token": client.get("/api/session").json()["csrf"]}
    assert client.post("/api/jobs/generate", json={**body, "taste": "/etc"}, headers=csrf).status_code == 422


def test_the_studio_sorts_and_says_why_in_both_languages(client: TestClient, coloured: Library) -> None:
    judge(coloured)
    order = [clip["id"] for clip in client.get("/api/clips?sort=taste&limit=24").json()["clips"]]
    assert order == coloured.ids(ClipQuery(sort="taste")) == client.get("/api/clips/ids?sort=taste").json()
    told = client.get("/api/clips/22/taste").json()
    assert told["score"] > 0.5 and any(reason["name"] == "red" for reason in told["reasons"])
    summary = client.get("/api/taste").json()
    assert summary["ready"] and summary["kept"] == 6 and summary["low"] <= summary["accuracy"] <= summary["high"]
    page = client.get("/parts/taste?clip=22").text
    assert "likely to be kept" in page and "Red: +" in page and "against those you reject" in page
    assert "Better than chance from" in client.get("/parts/taste").text
    assert 'value="taste" selected' in client.get("/?sort=taste").text
    for address in ("/parts/taste", "/parts/taste?clip=22", "/parts/taste?clip=23"):
        chinese = client.get(address, headers={"accept-language": "zh-CN"}).text
        assert not english_in(chinese), address
    place = order.index(22)
    assert f"/clip/{order[place + 1]}?sort=taste" in client.get("/clip/22?sort=taste").text


def test_verdicts_without_a_rule_break_no_page(client: TestClient, coloured: Library) -> None:
    for clip in range(1, 25):
        coloured.update(clip, verdict="keep" if (clip - 1) // 3 % 2 else "reject")
    accuracy = coloured.taste().accuracy
    assert accuracy is not None and accuracy.share <= 0.5
    for address in ("/generate", "/?sort=taste", "/api/taste", "/parts/taste"):
        assert client.get(address).status_code == 200, address
    assert client.get("/api/taste").json()["more"] == 24


def test_a_job_can_be_given_up_while_training_clips_are_looked_at(
    coloured: Library, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge(coloured)
    worker = Worker(coloured, Catalog(model.folder))
    monkeypatch.setattr(worker, "_model", lambda job: model)
    monkeypatch.setattr("footage.studio.worker.REPORTED", 0.0)
    monkeypatch.setattr("footage.studio.worker.Worker._report", given_up)
    coloured.jobs.submit("generate", to_json(GenerateForm(model="tiny", best=2, of=12, taste="library")))
    job = coloured.jobs.claim("worker")
    assert job is not None
    coloured.jobs.cancel(job.id)
    assert worker.do(job).state == "cancelled" and not coloured.entries([25])


def given_up(worker: Worker, job: BackgroundJob, share: float, message: str, made: object = None) -> None:
    """As the worker hears of it, and at once: no clip was looked at before."""
    assert share == 0 and message == ""
    raise Cancelled
