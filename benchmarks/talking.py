"""A figure that speaks, to be seen and heard: a sheet, a film with sound, its offsets decoded again, its latency.

    python benchmarks/talking.py RUN --to FOLDER [--mouths 3] [--no-judge]

RUN was trained on the built-in `talker`. Of held-out clips in a voice of the training clips, a new one and the other
language, what is true stands above or on the left, what is made of still and sound below or on the right. --mouths asks
how the opening of mouths goes with the true one in so many clips of each kind, and how much the upper half of frames,
where no mouth is, pales and darkens. The judge, who looks at thousands of
drawn clips, takes an hour at 256×256.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from footage.data.clips import TalkerClips
from footage.data.pairs import VoicedClips
from footage.data.talker import mouth_box
from footage.evaluation.sync import correlation, offset_of, opening, scores, train_judge
from footage.generation.model import Model
from footage.generation.rollout import from_uint8
from footage.generation.speak import LiveFigure, as_if_live, spoken_frames
from footage.media import speech
from footage.media.encode import write_clip
from footage.media.reader import Footage
from footage.media.sound import as_stereo, read_sound

ENLARGED = 2
"""Times as large as they are made pictures of the film are."""
FRAMES = 60
"""Frames of each clip in the film."""
SHOWN = 16
"""Frames of each clip on the sheet."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--to", type=Path, default=Path("talking"))
    parser.add_argument("--mouths", type=int, default=0)
    parser.add_argument("--judge", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    model = Model(options.run)
    clip = model.info.config.clip
    clips = TalkerClips(height=clip.height, width=clip.width, channels=clip.channels)
    shown, rows = list[np.ndarray](), list[np.ndarray]()
    heldout = [span.index for span in clips.spans("heldout")]
    numbers = heldout[: len(clips.labels)]
    sounds = [clips.sound(index)[0][: FRAMES * speech.RATE // 25] for index in numbers]
    for index, sound in zip(numbers, sounds, strict=True):
        true = clips.read(index, 0, FRAMES)
        still = from_uint8(true[None, :1])[:, :, 0]
        made = np.concatenate(list(spoken_frames(model.speaker, model.info, still, [sound], seed=index)))
        shown.append(np.concatenate([true, made], axis=2))
        rows += [np.concatenate(list(side[8 : 8 + 3 * SHOWN : 3]), axis=1) for side in (true, made)]
    sheet = options.to / "sheet.png"
    Image.fromarray(np.concatenate(rows)).save(sheet)

    def frames() -> Iterator[np.ndarray]:
        for both in shown:
            yield both.repeat(ENLARGED, axis=1).repeat(ENLARGED, axis=2)

    film = options.to / "film.mp4"
    write_clip(film, frames(), fps=clips.fps, metadata={}, sound=as_stereo(sounds, speech.RATE))
    print(f"{sheet} and {film}, {film.stat().st_size / 1000:.0f} KB")

    heard = read_sound(film, speech.RATE)
    assert heard is not None, "the film has no sound"
    chunks = Footage(film).chunks(height=clip.height, width=2 * clip.width, channels=3, fps=clips.fps)
    decoded = np.concatenate(list(chunks))
    levels = speech.speech_levels(heard.samples, heard.rate)
    print(f"decoded: {len(decoded)} frames, {heard.seconds:.2f} s of sound, loudest {np.abs(heard.samples).max():.2f}")
    mouth = model.sampler.mouth  # type: ignore[attr-defined]
    judge = train_judge(VoicedClips(clips), mouth) if options.judge else None
    for part, label in enumerate(clips.labels):
        if judge is None:
            break
        start = part * FRAMES
        for side, columns in (("true", slice(0, clip.width)), ("made", slice(clip.width, None))):
            window = from_uint8(decoded[None, start : start + FRAMES, :, columns])[0]
            offset, confidence = offset_of(scores(judge, window, levels, clips.fps, mouth, start))
            print(f"{label}, {side}: offset {offset} frames, confidence {confidence:.2f}")

    measured: dict[str, list[list[float]]] = {}
    for index in heldout[: options.mouths * len(clips.labels)]:
        true, place = clips.read(index, 0, FRAMES), mouth_box(clips.look(index), clip.height, clip.width)
        still, sound = from_uint8(true[None, :1])[:, :, 0], clips.sound(index)[0][: FRAMES * speech.RATE // 25]
        made = np.concatenate(list(spoken_frames(model.speaker, model.info, still, [sound], seed=index)))
        known = clips.mouth(index, 0, FRAMES)[:, 0].astype(np.float64)
        r = [correlation(opening(side, *place), known) for side in (made, true)]
        shades = [float(side[:, : clip.height // 2].mean(axis=(1, 2, 3)).std()) for side in (made, true)]
        measured.setdefault(clips.labels[clips.label(index)], []).append([*r, *shades])
    for label, figures in measured.items():
        made_r, true_r, made_shade, true_shade = np.mean(figures, axis=0)
        print(
            f"{label}: r of the mouth's opening {made_r:.2f}, of true clips {true_r:.2f}; the upper half's brightness "
            f"deviates by {made_shade:.2f}, of true clips {true_shade:.2f} levels of 255; {len(figures)} clips"
        )

    still = from_uint8(clips.read(numbers[0], 0, 1)[None])[:, :, 0]
    live = LiveFigure(model.speaker, model.info, still, as_if_live(sounds))
    for _ in live:
        pass
    middle, late, worst = np.percentile(np.array(live.latencies) * 1000, (50, 99, 100))
    print(
        f"live: {len(live.latencies)} frames, {middle:.0f} ms after their sound (median), {late:.0f} (99%), "
        f"{worst:.0f} at most"
    )


if __name__ == "__main__":
    main()
