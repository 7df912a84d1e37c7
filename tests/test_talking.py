"""Figures that speak: what is heard, the built-in set, the network, the judge of sync, the commands."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

import footage
from footage.commands.main import main
from footage.config import ClipConfig, TalkConfig
from footage.config.presets import preset
from footage.config.registry import METHODS
from footage.data import talker
from footage.data.clips import BuiltInClips, TalkerClips, open_clips
from footage.data.pairs import VoicedClips, open_source
from footage.errors import ConfigError, DatasetError, MediaError
from footage.evaluation.sync import correlation, measure_sync, offset_of, opening, scores
from footage.generation import speak as speaking
from footage.generation.rollout import from_uint8, to_uint8
from footage.media import narrator, speech
from footage.media.reader import Footage
from footage.media.sound import read_sound, write_sound
from footage.models.base import Batch, PlainEngine, Speaks
from footage.models.talking import FigureConfig
from footage.models.talking.figure import (
    FigureDetails,
    SpokenClips,
    Talk,
    TalkingFigure,
    at_hand,
    find_mouth,
    taken_apart,
)
from footage.models.talking.judge import SyncJudge, mouths, shifted, sync_loss
from footage.models.translators.translate import StillMoves
from tests import sounds
from tests.models import save_tiny_model, tiny_config

RATE = speech.RATE
SIZE = {"clip.frames": 5, "clip.height": 16, "clip.width": 16}
SPEECH_PROGRAM = """
import sys, wave
text, out = sys.argv[1:3]
if "fail" in text:
    sys.exit("no voice is installed")
with wave.open(out, "wb") as file:
    file.setnchannels(1); file.setsampwidth(2); file.setframerate(8000)
    file.writeframes((b"\\x00\\x20" * 40 + b"\\x00\\xe0" * 40) * (5 * len(text)))
"""


class FewTalkers(TalkerClips):
    CLIPS, HELDOUT, frames = 6, 3, 30

    def __init__(self, size: int = 16) -> None:
        super().__init__(height=size, width=size, channels=3)


def tone(seconds: float, hertz: float = 440.0, rate: int = RATE, level: float = 0.3) -> npt.NDArray[np.float32]:
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def save_sound(path: Path, samples: npt.NDArray[np.float32], rate: int = RATE) -> Path:
    write_sound(path, [samples], rate)
    return path


def save_still(path: Path, seed: int = 0) -> Path:
    clips = FewTalkers(32)
    Image.fromarray(clips.read(seed, 0, 1)[0]).save(path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("talk") / "model"
    save_tiny_model(folder, (), preset="talk-64", clip__frames=5, clip__height=16, clip__width=16)
    return folder


# What is heard


def test_a_tone_is_heard_in_its_band_and_as_loud_as_it_is_at_every_rate() -> None:
    heard = {}
    for rate in (8_000, 16_000, 44_100, 192_000):
        levels = speech.speech_levels(tone(0.3, 1000, rate), rate)
        assert levels.shape == (30, speech.BANDS)
        heard[rate] = levels[15].astype(int)
    bands = {rate: int(levels.argmax()) for rate, levels in heard.items()}
    assert len(set(bands.values())) == 1
    assert np.ptp([levels.max() for levels in heard.values()]) <= 3
    decibel = 255 / (speech.CEILING - speech.FLOOR)
    softer = speech.speech_levels(tone(0.3, 1000, level=0.03), RATE)[15]
    assert heard[RATE].max() - int(softer.max()) == pytest.approx(20 * decibel, abs=2)
    assert not speech.speech_levels(np.zeros(1600, np.float32), RATE).any()


@pytest.mark.parametrize("fps", [12.5, 25.0, 29.97])
def test_what_is_heard_around_frames_does_not_depend_on_chunks(fps: float) -> None:
    sound = talker.speak(0, 3, 0, 30).samples
    whole = list(speech.frame_windows([sound], RATE, fps))
    assert len(whole) == np.ceil(len(sound) / RATE * fps - 1e-9)
    cut = list(speech.frame_windows([sound[i : i + 331] for i in range(0, len(sound), 331)], RATE, fps))
    assert np.array_equal(np.stack(whole), np.stack(cut))
    later = list(speech.frame_windows([sound], RATE, fps, start=7))
    assert np.array_equal(np.stack(whole[7:]), np.stack(later))
    levels = speech.speech_levels(sound, RATE)
    inner = slice(2, len(whole) - 8)
    assert np.array_equal(np.stack(whole)[inner], speech.windows(levels, fps, 0, len(whole))[inner])


def test_a_frame_is_known_soon_after_it_is_heard() -> None:
    parts, taken = np.split(tone(1.0), 100), 0

    def listen() -> object:
        nonlocal taken
        for part in parts:
            taken += len(part)
            yield part

    waits = [taken / RATE - number / 25 for number, _ in enumerate(speech.frame_windows(listen(), RATE, 25.0))]
    assert max(waits) <= 0.15


# The built-in set


def test_talkers_are_functions_of_seed_and_index_and_their_mouths_move() -> None:
    clips = FewTalkers(32)
    first, again = clips.read(1, 0, 12), FewTalkers(32).read(1, 4, 8)
    assert first.shape == (12, 32, 32, 3) and np.array_equal(first[4:], again)
    assert not np.array_equal(clips.read(2, 0, 12), first)
    samples, rate = clips.sound(1)
    assert len(samples) == rate * 30 / 25 and 0.02 < float(np.sqrt(np.mean(samples**2))) < 0.3
    assert {clips.labels[span.label] for span in clips.spans("heldout")} == set(talker.KINDS)
    assert {clips.look(index).kind for index in range(40)} == set(talker.LOOKS)


def test_nothing_is_left_out_where_only_parts_of_frames_are_painted(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = TalkerClips(height=40, width=56, channels=3)
    parts = [clips.read(index, 20 * index, 3) for index in range(5)]
    monkeypatch.setattr(talker._Canvas, "place", lambda *_: (slice(None), slice(None)))
    assert all(np.array_equal(part, clips.read(index, 20 * index, 3)) for index, part in enumerate(parts))


@pytest.mark.parametrize("index", range(6))
def test_a_known_mouth_is_seen_in_the_pixels(index: int) -> None:
    clips = TalkerClips(height=48, width=48, channels=3)
    known = clips.mouth(index, 0, 60)[:, 0].astype(np.float64)
    seen = opening(clips.read(index, 0, 60), *talker.mouth_box(clips.look(index), 48, 48))
    assert correlation(seen, known) > 0.8


def test_a_figure_that_darkens_as_a_whole_opens_no_mouth() -> None:
    rng = np.random.default_rng(0)
    light = np.broadcast_to(rng.uniform(60, 200, 40)[:, None, None, None], (40, 32, 32, 3))
    place = slice(20, 26), slice(10, 22)
    assert np.abs(opening(light.astype(np.uint8), *place)).max() < 1e-9
    mouth = rng.uniform(0, 40, 40)
    opened = light.copy()
    opened[:, place[0], place[1]] -= mouth[:, None, None, None]
    assert correlation(opening(opened.round().astype(np.uint8), *place), mouth) > 0.99


@pytest.mark.parametrize("name", ["i", "ah", "u"])
def test_vowels_have_their_formants(name: str) -> None:
    vowel = talker.VOWELS[name]
    voice = talker.Voice(pitch=100, scale=1.0, rate=1.0, breath=0.0, jaw=1.0)
    spoken = talker.synthesise([(vowel, 1.0)], voice, np.random.default_rng(0), 0.8).samples.astype(np.float64)
    power = np.abs(np.fft.rfft(np.diff(spoken)[4000:12192] * np.hanning(8192))) ** 2
    hertz = np.fft.rfftfreq(8192, 1 / RATE)
    for formant in vowel.formants[:2]:
        near = np.abs(hertz - formant) < 150
        away = np.abs(hertz - formant * 1.6) < 100
        if all(abs(formant * 1.6 - other) > 300 for other in vowel.formants):
            assert power[near].mean() > 2 * power[away].mean()


ESPEAK = """#!{python}
import sys
assert sys.argv[1:7] == ["-q", "--ipa", "--sep=_", "-b", "1", "-v"], sys.argv
known = {{"people.": "p_ˈiː_p_ə_l", "voice.": "v_ˈɔɪ_s", "Züge.": "ts_ˈyː_ɡ_ə"}}
for word in sys.stdin.buffer.read().decode().splitlines():
    sys.stdout.buffer.write((known.get(word, {other}) + "\\n").encode())
"""
"""A program that answers as espeak-ng does, of three words as it does itself."""


def fake_espeak(folder: Path, patch: pytest.MonkeyPatch, other: str = '"w_ˈɜː_l_d"') -> Path:
    """Put a program of espeak-ng's name on the path, alone; it says of words that it does not know what `other` is."""
    program = folder / "espeak-ng"
    program.write_text(ESPEAK.format(python=sys.executable, other=other), encoding="utf-8")
    program.chmod(0o755)
    patch.setenv("PATH", str(folder))
    return program


def test_signs_of_the_ipa_are_phonemes_here() -> None:
    assert [name for name, _ in talker.read_ipa("tʃ_ˈɜː_tʃ")] == ["t", "sh", "uh", "t", "sh"]
    assert [name for name, _ in talker.read_ipa("pf_ˈeː_ɾ_t")] == ["pf", "e", "d", "t"]
    assert talker.read_ipa("m_ˈɔː_n") == (("m", 1.0), ("ao", 1.35 * 1.25), ("n", 1.0))
    assert talker.read_ipa("_ˈaʊ_x") == (("a", 1.35 * 0.67), ("oo", 1.35 * 0.67), ("x", 1.0))
    assert talker.read_ipa("(en) ʘ 5 ") == (("e", 0.85), ("n", 1.0)), "what is no sign is left out"
    assert talker.read_ipa("ː") == ()
    assert all(name in talker.PHONEMES for names in talker.IPA.values() for name in names.split())
    assert all(len(set(words.split())) == len(words.split()) > 60 for words in talker.SPOKEN.values())


def test_talkers_say_real_words_where_espeak_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = fake_espeak(tmp_path, monkeypatch)
    clips = TalkerClips("talker-espeak", height=16, width=16, channels=3)
    assert clips.program == str(program)
    english, german = (talker.pronounced(str(program), language) for language in talker.SPOKEN)
    assert [name for name, _ in english[0]] == ["p", "i", "p", "uh", "l"]
    assert [name for name, _ in german[talker.SPOKEN["de"].split().index("Züge")]] == ["ts", "y", "g", "uh"]
    rng, other = np.random.default_rng(0), np.random.default_rng(0)
    spoken = talker.read_aloud(rng, 20.0, 1.0, str(program), "en-us")
    names = {name for word in english for name, _ in word}
    assert {sound for sound, _ in spoken} == {talker.SILENCE, *(talker.PHONEMES[name] for name in names)}
    assert spoken == talker.read_aloud(other, 20.0, 1.0, str(program), "en-us")
    assert 20 < sum(lasting for _, lasting in spoken) < 22
    samples, rate = clips.sound(3)
    assert len(samples) == 4 * rate and 0.02 < float(np.sqrt(np.mean(samples**2))) < 0.3
    plain = TalkerClips(height=16, width=16, channels=3)
    assert clips.read(3, 0, 9).shape == (9, 16, 16, 3) and clips.content_hash != plain.content_hash
    assert not np.array_equal(clips.mouth(3, 0, 100), plain.mouth(3, 0, 100))
    again = tmp_path / "again"
    again.mkdir()
    fake_espeak(again, monkeypatch, '"s_ˈuː_n"')
    assert TalkerClips("talker-espeak", height=16, width=16, channels=3).content_hash != clips.content_hash


@pytest.mark.parametrize(
    ("other", "said"), [("sys.exit('no data')", "no data"), ("''", "1 of 93 words"), (None, "is not installed")]
)
def test_espeak_that_says_nothing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str | None, said: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if other is not None:
        fake_espeak(tmp_path, monkeypatch, other)
    with pytest.raises(ConfigError, match=said) as caught:
        open_clips("talker-espeak", ClipConfig(frames=8, height=16, width=16))
    assert "take talker" in caught.value.remedy
    assert open_clips("talker", ClipConfig(frames=8, height=16, width=16)).name == "talker", "our own rules need nobody"


def test_sound_stands_behind_clips_as_pixels() -> None:
    clips = FewTalkers()
    voiced = VoicedClips(clips)
    window = voiced.read(2, 3, 5)
    assert window.shape == (5, *voiced.shape) and voiced.shape[2] == 3 + voiced.guides
    spoken = taken_apart(from_uint8(window[None]), 3)
    assert np.array_equal(to_uint8(spoken.real)[0], clips.read(2, 3, 5))
    heard = speech.windows(voiced.levels(2), 25.0, 3, 5, around=speech.AROUND)
    assert np.array_equal(np.rint((spoken.heard[0].numpy() + 1) * 127.5), heard)
    assert np.array_equal(at_hand(spoken.heard)[0].numpy(), spoken.heard[0, :, speech.AROUND : -speech.AROUND].numpy())
    assert [bool(taken_apart(from_uint8(voiced.read(i, 0, 5)[None]), 3).first_half) for i in (2, 3)] == [False, True]
    still = to_uint8(spoken.still[:, :, None])[0, 0]
    assert any(np.array_equal(still, frame) for frame in clips.read(2, 0, 30))


def test_clips_without_sound_are_refused() -> None:
    with pytest.raises(DatasetError, match="has no sound"):
        VoicedClips(BuiltInClips("shapes", height=16, width=16, channels=3))
    config = preset("talk-64").clip
    with pytest.raises(DatasetError, match="leave --guide out"):
        open_source("talker", config, "shapes", hears=True)
    with pytest.raises(ConfigError, match="grey was asked for"):
        open_source("talker", replace(config, channels=1), hears=True)


# The network


def made(**knobs: object) -> Talk:
    torch.manual_seed(0)
    config = tiny_config("talk-64", **{key.replace(".", "__"): value for key, value in (SIZE | knobs).items()})
    method = METHODS["talk"](config, 0)
    assert isinstance(method, Talk)
    return method


def batch_of(rows: int = 4, seed: int = 0, source: VoicedClips | None = None) -> Batch:
    source = source or VoicedClips(FewTalkers())
    clips = np.stack([source.read(i % 6, 2 * i, 5) for i in range(rows)])
    return Batch(from_uint8(clips), None, torch.Generator().manual_seed(seed), rows)


def test_a_figure_learns_and_its_pace_is_followed() -> None:
    method = made(**{"talk.mouth": "0.3,0.6,0.4,0.3", "learn.warm_up": 0})
    batch = batch_of()
    method.calibrate([batch.clips])
    method.build_optimizers()
    assert method.mouth.tolist() == pytest.approx([0.3, 0.6, 0.7, 0.9])
    losses = [float(method.step(batch_of(), 4 * n, PlainEngine())["loss"]) for n in range(12)]
    assert losses[-1] < 0.8 * losses[0]
    net = method.nets["generator"]
    assert isinstance(net, TalkingFigure) and float(net.covariance[0, 1]) != 0
    mixing, rates = net.postures()
    assert torch.allclose(mixing @ mixing.T, net.covariance, atol=1e-5) and all(0 < rate < 8 for rate in rates)


@pytest.mark.parametrize("scale", [1, 2])
def test_what_is_heard_changes_nothing_but_mouths(scale: int) -> None:
    """Not the rest, which darkened with loud sound where the same code said what becomes of whole frames."""
    changed = {}
    for mouth in (0, 8):
        box = {"talk.mouth": "0.25,0.7,0.5,0.3", "clip.height": 64, "clip.width": 64}
        net = made(**box, **{"net.scale": scale, "net.mouth": mouth}).nets["generator"].eval()
        assert isinstance(net, TalkingFigure)
        rng = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for weights in net.parameters():  # as after training: nothing begins at zero
                weights += 0.05 * torch.randn(weights.shape, generator=rng)
            still = torch.rand(1, 3, 64, 64, generator=rng)
            loud = torch.rand(1, 1, speech.WINDOW, speech.BANDS, generator=rng)
            seen, frames = net.look(still), []
            for heard in (loud, torch.full_like(loud, -1)):
                spoken = net.speak(seen, heard, torch.zeros(1, 1, net.motion))
                drawn = net.detailed(still, spoken)
                frames.append(spoken.frames[:, :, 0] if drawn is None else drawn)
        changed[mouth] = (frames[0] - frames[1]).abs().amax(dim=(0, 1, 3))  # of each row
    assert float(changed[8][-12:].max()) > 1e-3 > float(changed[8][:16].max()) == 0
    assert float(changed[0][:16].min()) > 1e-3


def test_the_judge_of_sync_learns_from_one_half_and_teaches() -> None:
    method = made(**{"talk.sync": 0.5})
    method.build_optimizers()
    before = [weights.clone() for weights in method.nets["sync"].parameters()]
    log = method.step(batch_of(), 0, PlainEngine())
    assert {"sync_real", "sync_made"} <= set(log)
    assert any(not torch.equal(a, b) for a, b in zip(before, method.nets["sync"].parameters(), strict=True))
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    assert float(sync_loss(logits, torch.tensor([1.0, 0.0]))) == pytest.approx(float(sync_loss(logits[:1])))
    assert float(sync_loss(logits, torch.zeros(2))) == 0
    with pytest.raises(ConfigError, match="a judge of sync sees 5"):
        preset("talk-64", {"talk.sync": 1.0, "clip.frames": 4})


def test_critics_see_a_clip_beside_its_still() -> None:
    method = made(critics=[{"patch": True, "width": 4}])
    batch = batch_of()
    method.calibrate([batch.clips])
    method.build_optimizers()
    assert "clip_patch_loss" in method.step(batch, 0, PlainEngine())
    beside = method.heldout_clips(Batch(batch.clips, None, batch.rng, 4, heldout=(batch.clips, None)), "")
    assert beside is not None and beside.shape == (4, 6, 5, 16, 16)


def test_shifted_sound_is_the_sound_of_another_time() -> None:
    steps = torch.arange(speech.WHOLE, dtype=torch.float32)[:, None].expand(-1, speech.BANDS)
    sounds = shifted(steps)
    assert sounds.shape == (1 + 2 * len(speech.SHIFTS), speech.WINDOW, speech.BANDS)
    begins = (sounds[:, 0, 0] - speech.AROUND).tolist()
    assert begins == [0, 16, -16, 24, -24, 36, -36]


def test_a_judge_tells_what_belongs_together() -> None:
    """Mouths as bright as their sound is loud: the right sound among seven is soon known."""
    torch.manual_seed(0)
    judge, rng = SyncJudge(1), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(judge.parameters(), 2e-3)
    right = []
    for _ in range(40):
        loud = torch.rand(16, speech.WHOLE, 1, generator=rng).expand(-1, -1, speech.BANDS)
        loud = torch.nn.functional.avg_pool1d(loud.transpose(1, 2), 9, 1, 4).transpose(1, 2) * 4 - 2
        middle = speech.AROUND + speech.BEFORE
        seen = loud[:, middle - 8 : middle + 9 : 4, :1, None, None].expand(-1, -1, -1, 24, 32)
        logits = judge(seen, shifted(loud))
        loss = sync_loss(logits)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        right.append(float((logits.argmax(dim=1) == 0).float().mean()))
    assert np.mean(right[-8:]) > 0.6 > 0.3 > np.mean(right[:4])


def test_mouths_are_found_where_motion_and_sound_know_of_each_other() -> None:
    rng = torch.Generator().manual_seed(1)
    heard = (torch.rand(48, 6, 1, 1, generator=rng) < 0.5).float().expand(-1, -1, speech.WHOLE, speech.BANDS).clone()
    noise = torch.rand(48, 6, speech.WHOLE, speech.BANDS, generator=rng)
    heard = heard * noise * 2 - 1
    real = torch.randn(48, 3, 6, 48, 48, generator=rng) * 0.1  # it moves everywhere
    loud = (heard.mean(dim=(2, 3)) > -0.9).float()[:, None, :, None, None]
    real[..., 14:20, 8:16] += loud * torch.randn(48, 1, 6, 1, 1, generator=rng)
    spoken = SpokenClips(real, real[:, :, 0], heard, torch.zeros(48, dtype=torch.bool))
    left, top, right, bottom = find_mouth([spoken]).tolist()
    assert left < 9 / 48 and right > 15 / 48 and top < 15 / 48 and bottom > 19 / 48  # it holds the mouth
    assert (right - left) * (bottom - top) < 0.5
    deaf = spoken._replace(heard=torch.rand(48, 6, speech.WHOLE, speech.BANDS, generator=rng) * 2 - 1)
    assert find_mouth([deaf._replace(real=torch.randn(48, 3, 6, 24, 24, generator=rng))]).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("text", ["", "a,b,c,d", ".1,.2,.3", "0,0,0,1", ".5,.5,.6,.2", "-.1,0,1,1"])
def test_a_box_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="left, top, width and height"):
        TalkConfig(mouth=text)


def test_a_frame_is_a_function_of_still_seed_time_and_sound(model: Path) -> None:
    loaded = footage.load(model, device="cpu")
    sampler = loaded.sampler
    assert isinstance(sampler, Speaks)
    still = from_uint8(FewTalkers().read(0, 0, 1)[None])[:, :, 0]
    heard = torch.rand(1, 9, speech.WINDOW, speech.BANDS, generator=torch.Generator().manual_seed(0)) * 2 - 1
    (whole,) = sampler.speak(still, [heard], [3])
    parts = list(sampler.speak(still, [heard[:, :2], heard[:, 2:3], heard[:, 3:]], [3]))
    assert torch.equal(whole, torch.cat(parts, dim=2))
    (later,) = sampler.speak(still, [heard[:, 4:]], [3], start=4)
    assert torch.equal(whole[:, :, 4:], later)
    (other,) = sampler.speak(still, [heard], [4])
    assert not torch.equal(whole, other)
    (silent,) = sampler.speak(still, [heard * 0 - 1], [3])
    assert not torch.equal(whole, silent)


LARGE = {"clip.height": 32, "clip.width": 48, "net.scale": 2}


def test_a_large_figure_learns_details_from_its_still() -> None:
    method = made(**LARGE | {"talk.mouth": "0.3,0.6,0.4,0.3", "talk.sync": 0.1, "learn.warm_up": 0})
    clips = FewTalkers(32)
    clips.shape = (32, 48, 3)
    source = VoicedClips(clips)
    batch = batch_of(source=source)
    assert batch.clips.shape[3:] == (32, 48)
    method.calibrate([batch.clips])
    method.build_optimizers()
    logs = [method.step(batch_of(source=source), 4 * n, PlainEngine()) for n in range(12)]
    assert float(logs[-1]["loss"]) < 0.8 * float(logs[0]["loss"])
    net = method.nets["generator"]
    assert isinstance(net, TalkingFigure) and net.details is not None
    assert float(logs[-1]["details_psnr"]) > float(logs[0]["details_psnr"])
    # Before it has learned anything, a still that is not moved is given back with every detail.
    still = torch.rand(2, 3, 32, 48)
    moves = StillMoves(torch.zeros(2, 2, 16, 24), torch.ones(2, 1, 16, 24), torch.zeros(2, 3, 16, 24))
    fresh = FigureDetails(3, FigureConfig(scale=2, detail=4))
    assert torch.allclose(fresh(still, moves, torch.zeros(2, 3, 16, 24)), still, atol=1e-5)


def test_a_large_figure_streams_exactly(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    knobs = {key.replace(".", "__"): value for key, value in (SIZE | LARGE).items()}
    save_tiny_model(folder, (), preset="talk-256", **knobs)
    loaded = footage.load(folder, device="cpu")
    still = torch.rand(1, 3, 32, 48) * 2 - 1
    heard = torch.rand(1, 7, speech.WINDOW, speech.BANDS, generator=torch.Generator().manual_seed(0)) * 2 - 1
    (whole,) = loaded.speaker.speak(still, [heard], [3])
    assert whole.shape == (1, 3, 7, 32, 48)
    assert torch.equal(whole, torch.cat(list(loaded.speaker.speak(still, [heard[:, :2], heard[:, 2:]], [3])), dim=2))
    assert torch.equal(whole[:, :, 5:], next(loaded.speaker.speak(still, [heard[:, 5:]], [3], start=5)))
    audio = save_sound(tmp_path / "a.wav", tone(0.4))
    made = footage.talk(folder, (str(save_still(tmp_path / "a.png")),), audio=audio, to=tmp_path / "a.mp4", quiet=True)
    assert Footage(made).size() == (32, 48)


def test_a_small_picture_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="4 times as small: give 32 or another multiple"):
        preset("talk-256", {"clip.height": 16, "clip.width": 64})
    with pytest.raises(ConfigError, match="give 1, 2, 4 or 8"):
        FigureConfig(scale=3)  # type: ignore[arg-type]


# The metric


def test_offsets_are_where_scores_are_highest() -> None:
    values = np.zeros(21)
    values[10] = 0.5
    assert offset_of(values) == (0, 0.5)
    assert offset_of(np.roll(values, -3))[0] == -3
    assert correlation(np.arange(5.0), -np.arange(5.0)) == pytest.approx(-1)
    assert correlation(np.ones(5), np.arange(5.0)) == 0


def test_a_clip_scores_best_where_its_sound_is() -> None:
    """With vectors that say when they were, the score is highest at no shift; later when the clip is later."""

    class Clock(SyncJudge):
        def see(self, mouths: torch.Tensor) -> torch.Tensor:
            return self.angle(mouths[:, 2, 0].mean(dim=(1, 2)))

        def hear(self, sounds: torch.Tensor) -> torch.Tensor:
            return self.angle(sounds[:, speech.BEFORE, 0])

        def angle(self, value: torch.Tensor) -> torch.Tensor:
            return torch.stack([torch.cos(3 * value), torch.sin(3 * value)], dim=1)

    seconds = np.arange(0, 60) / 25
    levels = (np.arange(240)[:, None] % 255 * np.ones(speech.BANDS)).astype(np.uint8)
    bright = torch.from_numpy(levels[np.round(seconds * 100).astype(int), 0]).float() / 127.5 - 1
    clip = bright[None, :, None, None].expand(1, -1, 16, 16)
    box = torch.tensor([0.0, 0.0, 1.0, 1.0])
    assert offset_of(scores(Clock(1), clip, levels, 25.0, box, 0))[0] == 0
    assert offset_of(scores(Clock(1), clip[:, 3:], levels, 25.0, box, 0))[0] == 3


def test_sync_is_measured_beside_real_clips(model: Path) -> None:
    source = VoicedClips(FewTalkers())
    sampler = footage.load(model, device="cpu").sampler
    assert isinstance(sampler, Speaks)
    figures, (curve,) = measure_sync(sampler, source, source.spans("heldout"), steps=3)
    by_label = {figure.label: figure for figure in figures}
    assert {"offset 0, part of the clips", "confidence of the sync judge [new voice]"} <= set(by_label)
    r = by_label["r of mouth opening, made : true"]
    assert r.value is not None and r.real is not None and abs(r.value) < 0.9 < 1.0 and r.clips == (3, 3)
    assert len(curve.x) == 21 and {line.name for line in curve.lines} == {"made", "real"}
    assert mouths(torch.zeros(2, 3, 4, 16, 16), torch.tensor([0.2, 0.2, 0.8, 0.8])).shape == (2, 4, 3, 24, 32)


# Speech programs, scripts, live sound


def test_speech_programs_are_run_without_a_shell(tmp_path: Path) -> None:
    program = tmp_path / "say.py"
    program.write_text(SPEECH_PROGRAM)
    command = f"{sys.executable} {program} {{text}} {{out}}"
    out = narrator.say(command, "hello; touch $(x) {out}", tmp_path / "a.wav")
    sound = read_sound(out)
    assert sound is not None and sound.seconds == pytest.approx(400 * 23 / 8000, abs=0.05)
    assert not (tmp_path / "x").exists()
    narrator.say(command, "-q", tmp_path / "b.wav")  # no option
    with pytest.raises(MediaError, match="no voice is installed"):
        narrator.say(command, "fail", tmp_path / "c.wav")
    with pytest.raises(MediaError, match="it wrote no sound"):
        narrator.say(f"{sys.executable} -c pass {{text}} {{out}}", "hello", tmp_path / "d.wav")
    narrator.say(command, "a\0b \ud83d c", tmp_path / "f.wav")  # what no program can be given is left out
    text_file = tmp_path / "no-program"
    text_file.write_text("no program")
    text_file.chmod(0o755)
    for bad, text, words in (
        ("no-such-program {text} {out}", "a", "cannot be started"),
        (f"{text_file} {{text}} {{out}}", "a", "cannot be started"),
        ("espeak-ng {text}", "a", "give a command with {text} and {out}"),
        ("say '{text} {out}", "a", "close every quotation mark"),
        (command, " \n", "no text to speak"),
        (command, "a" * 10_000, "10,000 characters"),
    ):
        with pytest.raises(ConfigError, match=words.replace("{", r"\{")) as caught:
            narrator.say(bad, text, tmp_path / "e.wav")
        assert caught.value.remedy


def test_scripts_name_who_speaks(model: Path, tmp_path: Path) -> None:
    turns = narrator.read_script("# a play\n\nanna: hello: you\n 小明 : 你好\n")
    assert turns == [narrator.ScriptLine("anna", "hello: you"), narrator.ScriptLine("小明", "你好")]
    assert narrator.read_script("\ufeffanna：hello: 你：好\n") == [narrator.ScriptLine("anna", "hello: 你：好")]
    for text, words in (("hello\n", "line 1 of the script"), ("anna:\n", "line 1"), ("# nothing\n", "no line")):
        with pytest.raises(MediaError, match=words):
            narrator.read_script(text)
    narrator.check_cast(turns, ["anna", "小明"])
    with pytest.raises(ConfigError, match='"小明" speaks in the script'):
        narrator.check_cast(turns, ["anna"])
    script, still = tmp_path / "play.txt", f"anna={save_still(tmp_path / 'anna.png')}"
    for content, words in ((b"\xff\xfe\xff", "UTF-8"), (b"hello", 'line 1 of "play.txt"')):
        script.write_bytes(content)
        with pytest.raises(MediaError, match=words):
            footage.talk(model, (still,), script=script, device="cpu", quiet=True)


def test_a_live_figure_tells_how_late_it_is(model: Path) -> None:
    loaded = footage.load(model, device="cpu")
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    sound = speaking.as_if_live([tone(0.5)], clock=lambda: now, sleep=sleep)
    still = torch.zeros(1, 3, 16, 16)
    live = speaking.LiveFigure(loaded.speaker, loaded.info, still, sound, clock=lambda: now)
    frames = list(live)
    assert len(frames) == np.ceil(0.5 * loaded.info.fps) and frames[0].shape == (16, 16, 3)
    assert 0.1 < max(live.latencies) <= 0.16  # what is listened to behind a frame, and no more


def test_live_samples_come_as_bytes() -> None:
    content = (np.arange(-700, 701, dtype="<i2") * 40).tobytes() + b"\x01"
    sound = np.concatenate(list(speaking.samples_of(io.BytesIO(content))))
    assert np.allclose(sound * 32_768, np.arange(-700, 701) * 40)


# Commands


def test_a_still_speaks_a_recording(model: Path, tmp_path: Path) -> None:
    still, audio = save_still(tmp_path / "anna.png"), save_sound(tmp_path / "a.wav", tone(0.8, rate=44_100), 44_100)
    made = footage.talk(model, (str(still),), audio=audio, to=tmp_path / "a.mp4", seed=2, device="cpu", quiet=True)
    heard = read_sound(made)
    assert heard is not None and heard.seconds == pytest.approx(0.8, abs=0.05)
    frames = np.concatenate(list(Footage(made).chunks(height=16, width=16, channels=3, fps=12.5)))
    assert len(frames) == 10
    loaded = footage.load(model, device="cpu")
    whole = loaded.speak(still, audio, seed=2).array()
    assert np.array_equal(loaded.speak(still, audio, seed=2, begin=0.4).array(), whole[5:])
    with pytest.raises(ConfigError, match="begin is 9"):
        loaded.speak(still, audio, begin=9)


@pytest.mark.parametrize(("rate", "layout", "channels"), [(8_000, "mono", 1), (192_000, "7.1", 8)])
def test_a_figure_speaks_sound_of_any_rate_and_channels(
    model: Path, tmp_path: Path, rate: int, layout: str, channels: int
) -> None:
    still, samples = save_still(tmp_path / "anna.png"), np.tile(tone(0.8, rate=rate), (channels, 1))
    audio = sounds.write(tmp_path / "speech.wav", samples, rate, layout=layout)
    made = footage.talk(model, (str(still),), audio=audio, to=tmp_path / "a.mp4", device="cpu", quiet=True)
    heard = read_sound(made)
    assert heard is not None and heard.seconds == pytest.approx(0.8, abs=0.1) and np.abs(heard.samples).max() > 0.1


def test_two_figures_speak_in_turn(model: Path, tmp_path: Path) -> None:
    program, script = tmp_path / "say.py", tmp_path / "play.txt"
    program.write_text(SPEECH_PROGRAM)
    script.write_text("anna: hey\nbob: oh\n")
    stills = tuple(f"{name}={save_still(tmp_path / f'{name}.png', i)}" for i, name in enumerate(("anna", "bob")))
    command = f"{sys.executable} {program} {{text}} {{out}}"
    options = {"script": script, "speech": command, "device": "cpu", "quiet": True}
    made = footage.talk(model, stills, to=tmp_path / "a.mp4", **options)
    heard = read_sound(made)
    seconds = (3 + 2) * 400 / 8000 + 2 * speaking.PAUSE
    assert heard is not None and heard.seconds == pytest.approx(seconds, abs=0.1)
    (frame,) = next(iter(Footage(made).chunks(height=16, width=32, channels=3, fps=12.5)))[:1]
    assert frame.shape == (16, 32, 3)
    with pytest.raises(ConfigError, match='"bob" speaks in the script'):
        footage.talk(model, stills[:1], to=tmp_path / "b.mp4", **options)
    with pytest.raises(ConfigError, match="is no figure of a script"):
        footage.talk(model, (stills[0], stills[0]), to=tmp_path / "b.mp4", **options)


def test_what_cannot_be_spoken_is_refused_in_words(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    still, audio = save_still(tmp_path / "anna.png"), save_sound(tmp_path / "a.wav", tone(0.4))
    silent = save_sound(tmp_path / "silent.wav", np.zeros(8000, np.float32))
    stills, options = (str(still),), {"device": "cpu", "quiet": True}
    monkeypatch.setenv("PATH", str(tmp_path))
    for given, words in (
        ({"audio": silent}, "is silent"),
        ({"audio": still}, "no sound"),
        ({"audio": tmp_path / "none.wav"}, "none.wav"),
        ({"audio": audio, "text": "both"}, "give one of"),
        ({}, "give one of"),
        ({"audio": audio, "to": tmp_path / "a.gif"}, "no sound"),
        ({"text": "hello"}, "espeak-ng is not installed"),
        ({"text": "", "speech": "say {text} {out}"}, "no text"),
    ):
        with pytest.raises((ConfigError, MediaError), match=words):
            footage.talk(model, stills, **{"to": tmp_path / "a.mp4"} | given | options)
    with pytest.raises(ConfigError, match="0 stills"):
        footage.talk(model, (), audio=audio, **options)
    save_tiny_model(tmp_path / "shapes")
    with pytest.raises(ConfigError, match="lets nothing speak"):
        footage.talk(tmp_path / "shapes", stills, audio=audio, to=tmp_path / "a.mp4", **options)
    clipped = save_sound(tmp_path / "clipped.wav", np.sign(tone(0.4)) * np.float32(1))
    assert "cut off" in speaking.listen_through(clipped).notes[0]
    assert not speaking.listen_through(audio).notes


def test_a_figure_plays_what_is_heard_live(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    still, audio = save_still(tmp_path / "anna.png"), save_sound(tmp_path / "a.wav", tone(0.4))
    main(["play", str(model), "--still", str(still), "--microphone", str(audio), "--headless", "--device", "cpu"])
    assert "after its sound" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["play", str(model), "--microphone", str(audio), "--headless"])
    assert "give --still, too" in " ".join(capsys.readouterr().err.split())


def test_a_figure_is_trained_and_evaluated_by_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, count in (("CLIPS", 6), ("HELDOUT", 3), ("frames", 30)):
        monkeypatch.setattr(TalkerClips, name, count)
    monkeypatch.setattr("footage.evaluation.sync.STEPS", 2)
    config = tiny_config("talk-64", clip__frames=5, clip__height=16, clip__width=16)
    run = footage.train("talker", config, out=tmp_path / "run", clips=4, quiet=True)
    info = json.loads((run.path / "model" / "model.json").read_text())
    assert info["dataset"] == "talker"
    options = {"metrics": "sync,fidelity", "clips": 3, "cache": Path("none"), "device": "cpu"}
    result = footage.evaluate(run.path, "talker", to=tmp_path / "figures.json", quiet=True, **options)
    assert {"sync_offset", "mouth_correlation", "psnr"} <= {figure.name for figure in result.figures}
