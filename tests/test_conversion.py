from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import footage
from footage.config import ClipConfig
from footage.errors import ConfigError, FootageError, MediaError
from footage.generation import convert as conversion
from footage.generation.clip import Clip
from footage.generation.convert import ConversionOptions
from footage.generation.model import Model
from footage.generation.rollout import from_uint8
from footage.media.encode import read_metadata
from footage.media.reader import Footage
from tests import clips
from tests.models import save_tiny_model

KNOBS: dict[str, object] = {"task__past": 4}


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return clips.write(tmp_path / "clip.mp4", clips.moving(40, (32, 32)))


def frames(clip: Clip) -> np.ndarray:
    return np.concatenate(list(clip.chunks()))


def test_a_prediction_stands_after_its_past(tmp_path: Path, video: Path) -> None:
    save_tiny_model(tmp_path / "m", preset="simvp-64", **KNOBS)
    model = Model(tmp_path / "m")
    made = model.predict(video, 11)
    given = np.concatenate(list(Footage(video).chunks(height=32, width=32, channels=3, fps=model.info.fps)))
    shown = frames(made)
    assert made.frames == len(shown) == 4 + 11
    assert np.array_equal(shown[:4], given[-4:])
    (future,) = (chunk for chunk in [next(model.sampler.futures(from_uint8(given[None, -4:]), [0]))])  # type: ignore[attr-defined]
    ours = from_uint8(shown[None, 4 : 4 + future.shape[2]])
    assert (ours - future).abs().max() <= 1 / 127
    assert len(frames(model.predict(video, 5, past=9))) == 14
    assert len(frames(model.predict(video, 5, past=0))) == 5
    assert len(frames(model.predict(video))) == 4 + 4, "as many as it learned to"


def test_several_futures_stand_side_by_side(tmp_path: Path, video: Path) -> None:
    save_tiny_model(tmp_path / "m", preset="svg-64", **KNOBS)
    model = Model(tmp_path / "m")
    grid = frames(model.predict(video, 6, samples=4, seed=7))
    assert grid.shape == (10, 64, 64, 3)
    single = frames(model.predict(video, 6, seed=9))
    third = grid[:, 32:, :32]
    assert np.abs(third.astype(int) - single).max() <= 1, "future i is that of seed + i, whatever stands beside it"
    assert (grid[4:, :32, :32] != grid[4:, :32, 32:]).any()


def test_predictions_that_cannot_be_are_refused(tmp_path: Path, video: Path) -> None:
    save_tiny_model(tmp_path / "m", preset="simvp-64", **KNOBS)
    save_tiny_model(tmp_path / "gan")
    model = Model(tmp_path / "m")
    short = clips.write(tmp_path / "short.mp4", clips.moving(3, (32, 32)))
    picture = tmp_path / "still.png"
    next(iter(model.predict(video, 1, past=0).chunks()))
    Clip(lambda: iter([np.zeros((1, 8, 8, 3), np.uint8)]), 1, 1.0, {}).save(picture)
    for given, options, words in (
        (short, {}, "at 12.5 a second: the model looks at 4"),
        (picture, {}, "is a picture, and a clip is needed"),
        (tmp_path / "none.mp4", {}, "does not exist"),
        (video, {"frames": 0}, "frames is 0"),
        (video, {"samples": 3}, "knows one future only"),
        (video, {"samples": 0}, "samples is 0"),
        (video, {"past": -1}, "past is -1"),
        (video, {"past": 10**6}, "past is 1000000"),
    ):
        with pytest.raises(FootageError, match=words):
            model.predict(given, **options)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="continues no clips: it makes clips from seeds: use footage generate"):
        Model(tmp_path / "gan").predict(video)
    with pytest.raises(ConfigError, match="makes no clips from nothing: it continues a clip: use footage predict"):
        model.generate(1)
    with pytest.raises(ConfigError, match="turns no clip into another"):
        model.convert(video)
    with pytest.raises(ConfigError, match="no latent space"):
        model.embed(video)


class Negative:
    """Turns clips into their negatives, three frames late at most; or a picture into a clip."""

    device = torch.device("cpu")
    given = 0

    def __init__(self, picture: bool = False, channels: int = 3) -> None:
        self.clip = ClipConfig(frames=8, height=32, width=32)
        self.source = ClipConfig.__new__(ClipConfig)
        for knob, value in (("frames", 1 if picture else 8), ("height", 32), ("width", 32), ("channels", channels)):
            object.__setattr__(self.source, knob, value)
        self.picture = picture

    def preview(self, reals: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        return {"negative": -reals}

    def sources(self, whole: Tensor) -> Tensor:
        return whole[:, : self.source.channels] * 0.5

    def convert(self, chunks: Iterable[Tensor], seed: int, told: Tensor | None = None) -> Iterator[Tensor]:
        rest = torch.empty(1, self.source.channels, 0, 32, 32)
        for chunk in chunks:
            while self.picture:
                yield -chunk.expand(-1, -1, 5, -1, -1)
            rest = torch.cat([rest, chunk], dim=2)
            count = rest.shape[2] // 3 * 3
            if count:
                yield -rest[:, :, :count].expand(-1, 3, -1, -1, -1)
            rest = rest[:, :, count:]
        if rest.shape[2]:
            yield -rest.expand(-1, 3, -1, -1, -1)


def converted(
    tmp_path: Path, video: Path, sampler: Negative, how: ConversionOptions
) -> tuple[Clip, list[tuple[Tensor, Tensor]]]:
    info = save_tiny_model(tmp_path / "any")
    seen: list[tuple[Tensor, Tensor]] = []
    return conversion.convert(sampler, info, Footage(video), how, lambda a, b: seen.append((a, b))), seen


def test_what_was_given_and_what_was_made_go_together(tmp_path: Path, video: Path) -> None:
    clip, seen = converted(tmp_path, video, Negative(), ConversionOptions(beside=True))
    shown = frames(clip)
    assert shown.shape[1:] == (32, 64, 3)
    left, right = shown[:, :, :32].astype(int), shown[:, :, 32:].astype(int)
    assert np.abs(right - (127.5 - (left - 127.5) * 0.5)).max() <= 1, "half as strong, and negative, frame for frame"
    assert all(a.shape == b.shape for a, b in seen) and sum(a.shape[2] for a, _ in seen) == len(shown)
    clip, _ = converted(tmp_path, video, Negative(), ConversionOptions(as_is=True))
    assert np.abs(frames(clip).astype(int) - (255 - left)).max() <= 1


def test_a_picture_becomes_as_many_frames_as_are_asked_for(tmp_path: Path, video: Path) -> None:
    for wanted, expected in ((None, 8), (3, 3), (23, 23)):
        clip, seen = converted(tmp_path, video, Negative(picture=True), ConversionOptions(frames=wanted))
        assert clip.frames == len(frames(clip)) == expected
        assert all(torch.equal(a[:, :, :1], seen[0][0][:, :, :1]) for a, _ in seen), "the first frame, again and again"
    with pytest.raises(ConfigError, match="makes as many as it is given"):
        converted(tmp_path, video, Negative(), ConversionOptions(frames=3))


def test_grey_is_given_where_the_model_is_given_grey(tmp_path: Path, video: Path) -> None:
    clip, seen = converted(tmp_path, video, Negative(channels=1), ConversionOptions(as_is=True, beside=True))
    assert frames(clip).shape[1:] == (32, 64, 3) and seen[0][0].shape[1] == 3


def test_own_size_is_kept_up_to_eight_pixels(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "vae", preset="vae-64")
    wide = clips.write(tmp_path / "wide.mp4", clips.moving(12, (44, 78)))
    model = Model(tmp_path / "vae")
    assert frames(model.convert(wide)).shape[1:] == (32, 32, 3)
    assert frames(model.convert(wide, ConversionOptions(own_size=True))).shape[1:] == (40, 72, 3)


def test_interpolation_and_embedding(tmp_path: Path, video: Path) -> None:
    save_tiny_model(tmp_path / "vae", preset="vae-64")
    other = clips.write(tmp_path / "other.mp4", clips.moving(40, (32, 32), seed=5))
    model = Model(tmp_path / "vae")
    made = model.interpolate(video, other, 5)
    assert [clip.metadata["step"] for clip in made] == list(range(5)) and made[0].frames == 8
    first = frames(model.convert(video))[:8]
    assert np.abs(frames(made[0]).astype(int) - first).max() <= 2, "the ends are the reconstructions"
    assert not np.array_equal(frames(made[0]), frames(made[-1]))
    here, again, there = (model.embed(path) for path in (video, video, other))
    assert np.array_equal(here, again) and here.ndim == 1 and not np.allclose(here, there)
    with pytest.raises(MediaError, match="the model looks at 8"):
        model.embed(clips.write(tmp_path / "short.mp4", clips.moving(4, (32, 32))))
    with pytest.raises(ConfigError, match="steps is 1"):
        model.interpolate(video, other, 1)


def test_the_verbs_write_files_with_their_provenance(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_tiny_model(tmp_path / "p", preset="simvp-64", **KNOBS)
    save_tiny_model(tmp_path / "v", preset="vae-64")
    assert footage.predict(Path("p"), video, quiet=True) == Path("clip-predicted.mp4")
    about = read_metadata(tmp_path / "clip-predicted.mp4")
    assert about["source"] == "clip.mp4" and about["predicted_frames"] == 4 and len(about["weights_sha256"]) == 64
    footage.reconstruct(Path("v"), video, to=tmp_path / "r.webm", beside=True, quiet=True)
    written = footage.interpolate(Path("v"), video, video, tmp_path / "steps", steps=3, quiet=True)
    assert [path.name for path in written] == ["step-000.mp4", "step-001.mp4", "step-002.mp4"]
    assert (tmp_path / "r.webm").exists() and (tmp_path / "steps" / "sheet.png").exists()
    found = footage.embed(Path("v"), (video,), tmp_path / "e.npz", quiet=True)
    stored = np.load(tmp_path / "e.npz", allow_pickle=False)
    assert stored["names"].tolist() == [str(video)] and np.array_equal(stored["vectors"][0], found[str(video)])
    for verb, model in ((footage.reconstruct, "p"), (footage.translate, "v")):
        with pytest.raises(ConfigError, match="use footage"):
            verb(Path(model), video, quiet=True)
    with pytest.raises(ConfigError, match="the clip itself"):
        footage.predict(Path("p"), video, to=video, quiet=True)
    with pytest.raises(ConfigError, match="give a file that ends"):
        footage.embed(Path("v"), (video,), tmp_path / "e.txt", quiet=True)


def test_a_translator_of_pairs_is_given_what_it_learned_from(tmp_path: Path, video: Path) -> None:
    save_tiny_model(tmp_path / "m", preset="spade-64", task__source_channels=1)
    model = Model(tmp_path / "m")
    plain, told = (frames(model.convert(video, how)) for how in (None, ConversionOptions(as_is=True)))
    assert plain.shape[1:] == (32, 32, 3) and np.array_equal(plain, told)
    written = footage.translate(tmp_path / "m", video, to=tmp_path / "t.mp4", quiet=True)
    assert written.exists()


def test_convert_still_takes_the_former_names_of_its_arguments(tmp_path: Path, video: Path) -> None:
    save_tiny_model(tmp_path / "m", preset="spade-64", task__source_channels=1)
    model, seen = Model(tmp_path / "m"), []
    with pytest.warns(DeprecationWarning, match="options and observe"):
        former = model.convert(video, how=ConversionOptions(seed=3), watch=lambda *pair: seen.append(pair))
    assert np.array_equal(frames(former), frames(model.convert(video, ConversionOptions(seed=3)))) and seen
    with pytest.raises(TypeError, match="takes no hwo"):
        model.convert(video, hwo=ConversionOptions())


def test_seeds_are_any_numbers_from_zero(tmp_path: Path, video: Path) -> None:
    save_tiny_model(tmp_path / "svg", preset="svg-64", **KNOBS)
    save_tiny_model(tmp_path / "animate", preset="animate-64")
    predictor, animator = Model(tmp_path / "svg"), Model(tmp_path / "animate")
    for make in (
        lambda seed: predictor.predict(video, 2, seed=seed, samples=2),
        lambda seed: animator.convert(video, ConversionOptions(seed=seed)),
    ):
        with pytest.raises(ConfigError, match="seed is -1: give at least 0"):
            make(-1)
        huge = make(2**65 + 3)
        assert huge.metadata["seed"] == 2**65 + 3 and np.array_equal(frames(huge), frames(make(3)))
        frames(make(2**63 - 1))


def test_clips_on_the_way_are_made_one_by_one(tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_tiny_model(tmp_path / "vae", preset="vae-64")
    model = Model(tmp_path / "vae")
    vae, decoded = model.sampler.vae, []  # type: ignore[attr-defined]
    original = vae.decode
    monkeypatch.setattr(vae, "decode", lambda *given: decoded.append(len(given[0])) or original(*given))
    made = model.interpolate(video, video, 900)
    assert len(made) == 900 and not decoded, "nothing is made before it is looked at"
    assert made[450].frames == len(frames(made[450])) == 8 and decoded == [1]


def test_what_is_read_is_not_written_over(tmp_path: Path, video: Path) -> None:
    save_tiny_model(tmp_path / "t", preset="translate-64")
    save_tiny_model(tmp_path / "v", preset="vae-64")
    stills = tmp_path / "stills"
    Model(tmp_path / "v").convert(video).save(stills)
    before = {path: path.read_bytes() for path in [video, *stills.iterdir()]}
    for target, words in ((stills, "lies in it"), (stills / "000003.png", "the clip itself")):
        with pytest.raises(ConfigError, match=words):
            footage.translate(tmp_path / "t", stills / "000003.png", to=target, quiet=True)
    steps = tmp_path / "steps"
    first, last, sheet = (steps / name for name in ("step-000.mp4", "step-002.mp4", "sheet.png"))
    clips.write(first, clips.moving(20, (32, 32)))
    clips.write(last, clips.moving(20, (32, 32)))
    Model(tmp_path / "v").convert(video).save(steps / "step-001")
    before |= {path: path.read_bytes() for path in (first, last, *(steps / "step-001").iterdir())}
    for pair, kind in (((first, video), "mp4"), ((video, last), "mp4"), ((video, steps / "step-001"), "png")):
        with pytest.raises(ConfigError, match=r"step-00.*the clip itself: give another place"):
            footage.interpolate(tmp_path / "v", *pair, steps, steps=3, format=kind, quiet=True)  # type: ignore[arg-type]
    assert all(path.read_bytes() == content for path, content in before.items()) and not sheet.exists()
    assert len(list(steps.iterdir())) == 3
    footage.interpolate(tmp_path / "v", first, video, steps, steps=3, format="webm", quiet=True)


def tensor_bytes() -> int:
    """Return the memory of all tensors that are alive."""
    alive = [item.untyped_storage() for item in gc.get_objects() if issubclass(type(item), Tensor)]
    return sum({storage.data_ptr(): storage.nbytes() for storage in alive}.values())


@pytest.mark.parametrize(
    ("preset", "every"), [pytest.param("vae-64", 5, marks=pytest.mark.nightly), ("translate-64", 1), ("animate-64", 5)]
)
def test_tensors_do_not_pile_up(tmp_path: Path, preset: str, every: int) -> None:
    """The memory of tensors, which tracemalloc does not see; what waits to be made goes up and down a little."""
    save_tiny_model(tmp_path / "m", preset=preset)
    video = clips.write(tmp_path / "long.mp4", clips.moving(50, (32, 32)) * 24, fps=25)
    how = ConversionOptions(frames=600) if preset == "animate-64" else ConversionOptions()
    chunks = Model(tmp_path / "m").convert(video, how).chunks()
    sizes = [tensor_bytes() for number, _ in enumerate(chunks, 1) if number % every == 0]
    assert len(sizes) > 10 and max(sizes[10:]) <= max(sizes[:10]), sizes


@pytest.mark.parametrize("verb", ["predict", "reconstruct"])
def test_memory_does_not_grow_with_the_clip(tmp_path: Path, verb: str) -> None:
    """Python's own allocations: arrays of frames are among them. benchmarks/clips.py measures the whole process."""
    save_tiny_model(tmp_path / "m", preset={"predict": "simvp-64", "reconstruct": "vae-64"}[verb], **KNOBS)
    model = Model(tmp_path / "m")
    peaks = []
    for count in (100, 1_000):
        video = clips.write(tmp_path / f"{count}.mp4", clips.moving(50, (32, 32)) * (count // 50), fps=25)
        clip = model.predict(video, 4) if verb == "predict" else model.convert(video)
        list(clip.chunks())
        tracemalloc.start()
        clip = model.predict(video, 4) if verb == "predict" else model.convert(video)
        for _ in clip.chunks():
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0] + 100_000, peaks


def test_a_wide_clip_is_letterboxed_or_cropped(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "m", preset="simvp-64", **KNOBS)
    wide = clips.write(tmp_path / "wide.mp4", [np.full((32, 64, 3), 250, np.uint8)] * 20)
    model = Model(tmp_path / "m")
    boxed, cropped = (frames(model.predict(wide, 1, fit=fit))[0] for fit in ("letterbox", "crop"))  # type: ignore[arg-type]
    assert (boxed[:8] < 30).all() and (boxed[10:22] > 220).all() and (cropped > 220).all()
