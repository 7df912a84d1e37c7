"""The main job, end to end: a folder of videos, a data set, a model, new clips."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch

import footage
from footage.config import ConfigError, IngestConfig, strict
from footage.data.synthetic import draw_factors, render_shapes
from footage.errors import DatasetError, FootageError
from footage.media.encode import chunked, read_metadata, write_clip
from footage.models.requests import DeviceName
from footage.training.plan import recommend
from tests.libraries import filled, save_clip
from tests.models import tiny_config

SMALL = IngestConfig(height=32, width=32, min_frames=8, workers=0, heldout=0)


def make_videos(folder: Path, labels: tuple[str, ...] = ("left", "right"), count: int = 6, frames: int = 20) -> Path:
    for number in range(count):
        clip = render_shapes(draw_factors(0, number), start=0, frames=frames, height=48, width=48)
        write_clip(folder / labels[number % len(labels)] / f"{number}.mp4", chunked(clip), fps=20, metadata={})
    return folder


def test_what_is_there_says_what_it_is() -> None:
    assert set(footage.__all__) <= set(dir(footage))
    model = footage.load("stream-shapes", "cpu")
    assert repr(model) == "<Model stream-shapes: 16 × 64×64, 25 fps; circle, square, triangle>"
    (clip,) = model.generate(1, seed=7, label="circle")
    assert repr(clip) == "<Clip: 16 frames, 25 fps, model stream-shapes, seed 7, label circle>"
    with pytest.raises(FootageError, match='did you mean "stream-shapes"'):
        footage.load("stream-shape")


def test_an_unknown_ending_gets_the_list(tmp_path: Path) -> None:
    clip = footage.Clip.of_frames(np.zeros((2, 16, 16, 3), np.uint8))
    with pytest.raises(FootageError, match=r"no format .*: give .mp4, .webm, .gif, .mov or .mkv, or no ending"):
        clip.save(tmp_path / "x.webp")


def test_arrays_are_no_sides_of_an_evaluation() -> None:
    told = r"^made is ndarray \(2, 16, 16, 3\) of uint8: give a text or a path with its clips, saved"
    with pytest.raises(FootageError, match=told):
        footage.evaluate(np.zeros((2, 16, 16, 3), np.uint8), np.zeros((2, 16, 16, 3), np.uint8))  # type: ignore[arg-type]


def test_from_videos_to_new_clips(tmp_path: Path) -> None:
    videos = make_videos(tmp_path / "my videos")
    result = footage.ingest((videos,), tmp_path / "data", SMALL, quiet=True)
    assert result.dataset.info.labels == ("left", "right") and result.dataset.info.fps == 20
    page = (tmp_path / "data" / "audit.html").read_text(encoding="utf-8")
    assert "footage train" in page and "stream-32" in page and "clips/s measured here" in page
    config = tiny_config(train__batch_size=2)
    run = footage.train(str(tmp_path / "data"), config, out=tmp_path / "run", clips=8, quiet=True)
    written = footage.generate(run.model, tmp_path / "new", count=4, label="right", seed=5, quiet=True)
    assert [path.name for path in written] == [f"right-{seed:06d}.mp4" for seed in (5, 6, 7, 8)]
    assert read_metadata(written[0])["label"] == "right"
    (again,) = footage.load(run.model).generate(1, label="right", seed=6)
    assert again.fps == 20 and again.array().shape == (8, 32, 32, 3)


def test_model_alone_is_enough(tmp_path: Path) -> None:
    run = footage.train("shapes", tiny_config(), out=tmp_path / "run", clips=2, quiet=True)
    moved = tmp_path / "elsewhere"
    run.model.rename(moved)
    (clip,) = footage.load(moved).generate(1, seed=3)
    assert clip.array().dtype == np.uint8


def test_grey_data_give_a_grey_model(tmp_path: Path) -> None:
    make_videos(tmp_path / "videos")
    options = IngestConfig(height=32, width=32, channels=1, min_frames=8, workers=0, heldout=0)
    footage.ingest((tmp_path / "videos",), tmp_path / "data", options, advise=False, quiet=True)
    run = footage.train(str(tmp_path / "data"), tiny_config(), out=tmp_path / "run", clips=2, quiet=True)
    (clip,) = footage.load(run.model).generate(1)
    assert clip.array().shape == (8, 32, 32, 1)
    clip.save(tmp_path / "grey.mp4")


def test_labels_of_a_part_only(tmp_path: Path) -> None:
    make_videos(tmp_path / "videos", labels=("left", "right", "."))
    footage.ingest((tmp_path / "videos",), tmp_path / "data", SMALL, advise=False, quiet=True)
    run = footage.train(str(tmp_path / "data"), tiny_config(), out=tmp_path / "run", clips=2, quiet=True)
    assert footage.load(run.model).labels == ()
    wanted = tiny_config(train__labels="yes")
    with pytest.raises(ConfigError, match=r"2 of 6 training clips of data without a label.*give every clip a label"):
        footage.train(str(tmp_path / "data"), wanted, out=tmp_path / "other", clips=2, quiet=True)


def test_clips_shorter_than_the_preset_name_the_remedy(tmp_path: Path) -> None:
    make_videos(tmp_path / "videos", frames=11)
    result = footage.ingest((tmp_path / "videos",), tmp_path / "data", SMALL, advise=False, quiet=True)
    with pytest.raises(DatasetError, match=r"longest clip is 11 frames, training needs 16: give --clip.frames 11"):
        footage.train(str(tmp_path / "data"), "conv3d-32", out=tmp_path / "run", clips=2, quiet=True)
    advice = recommend(result.dataset)
    assert "--clip.frames 8" in advice["command"], "the recommended command works"


def test_advice_suits_the_frames(tmp_path: Path) -> None:
    make_videos(tmp_path / "videos")
    options = IngestConfig(height=32, width=48, min_frames=8, workers=0, heldout=0)
    result = footage.ingest((tmp_path / "videos",), tmp_path / "data", options, advise=False, quiet=True)
    advice = recommend(result.dataset)
    assert "--clip.height 32 --clip.width 48" in advice["command"] and "GiB" in advice["memory"]
    assert advice["conditioned on"] == "left, right"


def test_advice_says_why_nothing_can_be_trained(tmp_path: Path) -> None:
    make_videos(tmp_path / "videos")
    options = IngestConfig(height=50, width=50, min_frames=8, workers=0, heldout=0)
    result = footage.ingest((tmp_path / "videos",), tmp_path / "data", options, advise=False, quiet=True)
    assert "clip.height is 50" in recommend(result.dataset)["training"]


def test_every_error_is_a_footage_error(tmp_path: Path) -> None:
    for call in (
        lambda: footage.ingest((tmp_path / "nothing",), tmp_path / "data", quiet=True),
        lambda: footage.train(str(tmp_path / "nothing"), quiet=True),
        lambda: footage.generate(tmp_path / "nothing", tmp_path / "out", quiet=True),
        lambda: footage.load(tmp_path / "nothing"),
    ):
        with pytest.raises(FootageError):
            call()


def test_public_names_are_there() -> None:
    for name in footage.__all__:
        assert getattr(footage, name) is not None
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = footage.no_such_thing


def test_functions_and_classes_are_found_by_other_processes() -> None:
    for name in footage.__all__:
        if callable(value := getattr(footage, name)):
            assert pickle.loads(pickle.dumps(value)) is value, name
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert pool.submit(footage.preset, "stream-64").result() == footage.preset("stream-64")


WRONG: tuple[object, ...] = (None, -1, 3.5, [], ["a", "b"], {"a": 1}, b"x", np.zeros(2), "nope", Path("nope"), True)
"""What nobody means by an argument, or means by some only."""


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("compact", {"model": "missing", "to": "out"}),
        ("convert_evaluator", {"file": "missing", "network": "i3d", "to": "out"}),
        ("embed", {"model": "missing", "videos": (), "to": "out.npz"}),
        ("evaluate", {"made": "missing", "real": "missing"}),
        ("generate", {"model": "missing", "to": "out"}),
        ("highlights", {"videos": ("missing.mp4",)}),
        ("ingest", {"sources": ("missing",), "to": "out"}),
        ("join", {"clips": ("missing.mp4", "missing.mp4"), "to": "out.mp4"}),
        ("load", {"model": "missing"}),
        ("plan", {"data": "missing"}),
        ("predict", {"model": "missing", "clip": "missing.mp4", "to": "out"}),
        ("preset", {"name": "missing"}),
        ("react", {"song": "missing.wav"}),
        ("shots", {"videos": ("missing.mp4",), "method": "quick"}),
        ("summary", {"videos": ("missing.mp4",)}),
        ("train", {"data": "missing"}),
        ("Dataset", {"folder": "missing"}),
        ("IngestConfig", {"height": 0}),
        ("Library", {"folder": "missing", "create": False}),
        ("Model", {"folder": "missing"}),
    ],
)
def test_wrong_arguments_are_errors_that_name_them(
    name: str, given: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is `given` of a function is refused too, so that nothing is done."""
    monkeypatch.chdir(tmp_path)
    function = getattr(footage, name)
    for argument in inspect.signature(function).parameters:
        for wrong in WRONG if argument not in ("lock", "keyring", "yes") else ():
            try:
                function(**{**given, argument: wrong})
            except FootageError as error:
                assert error.remedy, f"{argument} {wrong!r}: {error}"


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("Library", ("albums", "views", "timelines", "edited", "presets", "ratings", "jobs")),
        ("Dataset", ()),
        ("Clip", ()),
        ("ClipQuery", ()),
    ],
)
def test_wrong_arguments_of_methods_are_errors_that_name_them(
    kind: str, parts: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each argument of each public method is given what is wrong, or is meant by some only."""
    monkeypatch.chdir(tmp_path)
    file = save_clip(tmp_path / "clip.mp4", seed=1)
    if kind == "Library":
        (thing := footage.Library("library")).add(file)
    elif kind == "Dataset":
        thing = footage.ingest(file, "data", replace(SMALL, sound=False), advise=False, quiet=True).dataset  # type: ignore[arg-type]
    else:
        thing = footage.Clip.of_video(file) if kind == "Clip" else footage.ClipQuery()
    right = {"clip": 1, "clips": [1], "chosen": [1], "to": "out.zip", "row": getattr(thing, "rows", [None])[0]}
    right |= {"album": 1, "content": np.zeros((2, 8, 8, 3), np.uint8), "value": {}, "embedding": lambda _: np.ones(2)}
    errors = 0
    for owner in (thing, *(getattr(thing, part) for part in parts)):
        for name, method in inspect.getmembers(owner, inspect.isroutine):
            names = {} if name[0] == "_" else dict(inspect.signature(method).parameters)
            names = {argument: item for argument, item in names.items() if item.kind is not item.VAR_KEYWORD}
            needed = {
                item.name: right.get(item.name, "missing") for item in names.values() if item.default is item.empty
            }
            for argument in (*names, *(("stars", "tags", "verdict") if name == "update" else ())):
                for wrong in (*WRONG, float("nan"), 2**70, "a\ud800", "\0", np.zeros((2, 3))):
                    try:
                        method(**{**needed, argument: wrong})
                    except FootageError as error:
                        assert error.remedy, f"{name} {argument} {wrong!r}: {error}"
                        errors += 1
    assert errors > 10, "what is wrong is refused"


def test_what_a_method_is_called_with_is_named(tmp_path: Path) -> None:
    library = filled(tmp_path, 2)
    for call, told in {
        lambda: library.get(3.5): "clip is 3.5: give a whole number or a text",  # type: ignore[arg-type]
        lambda: library.remove(1): "chosen is 1: give a list, of a whole number each or a ClipQuery",  # type: ignore[arg-type]
        lambda: library.measure(progress="no"): "progress is 'no': give a function",  # type: ignore[arg-type]
        lambda: library.history(2**70): "a whole number is larger than a library holds: give one below 2**63",
        lambda: library.update(1, tags=3): "tags is 3: give a list of texts",
        lambda: library.add("a\0.mp4"): "path is 'a\\x00.mp4': give it without zero bytes and halves of characters",
    }.items():
        with pytest.raises(FootageError) as refused:
            call()
        assert str(refused.value) == told
    assert [entry.id for entry in library.entries({1: "one", 2: "two"})] == [1, 2], "what has numbers for its keys"
    assert library.update(1, tags="two words").tags == ("two words",), "a text is a tag, not a tag for each letter"
    assert library.bulk(np.array([1, 2]), {"stars": np.int64(3).item()}) == 2  # type: ignore[arg-type]
    assert library.count(footage.ClipQuery(min_stars=3)) == 2


def test_numbers_and_devices_of_torch_are_taken_and_what_is_wrong_is_shown_in_a_line() -> None:
    for three in (3, np.int64(3), np.array(3), np.array([3.0]), torch.tensor(3)):
        assert strict.fitting(int, three, "seed") == 3 == strict.fitting(float | None, three, "seed")
    assert isinstance(strict.fitting(int, torch.tensor(3), "seed"), int)
    for wrong in (np.zeros(2), torch.zeros(3), np.array(3.5), torch.tensor(True), np.array("3")):
        with pytest.raises(ConfigError, match="give a whole number"):
            strict.fitting(int, wrong, "seed")
    model = footage.load("stream-shapes", device=torch.device("cpu"))  # type: ignore[arg-type]
    assert strict.fitting(DeviceName, torch.device("cpu"), "device") == "cpu"
    with pytest.raises(ConfigError, match=r": give a text or an object of named values$"):
        strict.fitting(str | Mapping[str, float] | Mapping[int, float], 3, "sliders")
    with pytest.raises(FootageError, match=r"seed is Tensor \(2,\) of torch.float32: give a whole number$"):
        model.generate(1, seed=torch.zeros(2))  # type: ignore[arg-type]
    with pytest.raises(ConfigError) as refused:
        strict.fitting(int, "a \n  b" + "x" * 300, "seed")
    assert str(refused.value) == f"seed is 'a \\n b{'x' * 93}…: give a whole number"


def test_one_thing_stands_for_a_list_of_one_and_names_for_their_list(tmp_path: Path) -> None:
    with pytest.raises(FootageError, match='"missing" does not exist'):
        footage.ingest("missing", tmp_path / "data")  # type: ignore[arg-type]
    with pytest.raises(FootageError, match='there is no metric "fdv": did you mean "fvd"'):
        footage.evaluate("shapes", "digits", metrics=("fdv", "kvd"), quiet=True)  # type: ignore[arg-type]
    with pytest.raises(FootageError, match='there is no preset "conv3d-23": did you mean'):
        footage.compare("shapes", presets=["conv3d-32", "conv3d-23"])  # type: ignore[arg-type]
    with pytest.raises(FootageError, match=r"metrics is -1: give a text"):
        footage.evaluate("shapes", "digits", metrics=-1)  # type: ignore[arg-type]
    with pytest.raises(FootageError, match=r"seed is 'one': give a whole number"):
        footage.load("stream-shapes", "cpu").generate(1, seed="one")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="minuts"):
        footage.train("shapes", minuts=3)  # type: ignore[call-arg]
