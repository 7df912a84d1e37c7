"""Verbs that make clips with a model: from seeds, or out of other clips."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from footage.commands.filing import file_into, place
from footage.commands.loading import load
from footage.commands.terminal import make_console
from footage.errors import ConfigError
from footage.media.encoding import DEFAULT_ENCODING as USUAL
from footage.media.encoding import EncodingOptions
from footage.models.requests import PLAIN, Duration, Timing

if TYPE_CHECKING:
    from rich.console import Console

    from footage.generation.clip import Clip

Device = Literal["auto", "cpu", "cuda", "mps"]
"""Where to compute."""
Fit = Literal["letterbox", "crop", "stretch"]
"""How a picture of another shape is fitted in: black bars, cut off, or neither."""
Format = Literal["mp4", "webm", "gif", "png", "mov", "mkv"]
"""What clips are written as; png is a folder of frames."""
SHEET = "sheet.png"
"""The contact sheet's file."""
SHEET_CLIPS = 64
"""Most clips on a contact sheet."""


def generate(
    model: Path,
    to: Path | None = None,
    *,
    count: int = 16,
    frames: int | None = None,
    seconds: Duration | None = None,
    fps: float | None = None,
    label: str | None = None,
    to_label: str | None = None,
    seed: int = 0,
    to_seed: int | None = None,
    between: tuple[int, int] | None = None,
    sliders: str | None = None,
    timing: Timing = PLAIN,
    upscale: Path | None = None,
    size: str | None = None,
    fit: Fit = "letterbox",
    format: Format = "mp4",
    encoding: EncodingOptions = USUAL,
    library: Path | None = None,
    device: Device = "auto",
    quiet: bool = False,
) -> list[Path]:
    """Generate clips with a model folder, and a contact sheet of them. The same seed gives the same clip.

    Args:
        model: a model folder, or a run.
        to: folder for the clips; may be left out with a library.
        count: how many clips.
        frames: their length; left out, one round of a loop, else the model's own.
        seconds: their length as they play, such as 90, 90s, 10:00 or 1:02:03; instead of frames.
        fps: their rate when played; left out, that of the training data. Models that stream move as fast at any rate,
            clips of the others become faster or slower.
        label: their class, or a mixture such as circle+square or circle:0.8+square:0.2; left out, classes as often as
            in the training data.
        to_label: class or mixture that each clip changes into on its way.
        seed: seed of the first clip; the next has the next.
        to_seed: seed whose content the first clip changes into on its way; the next changes into that of the next.
        between: two seeds, such as 3 17: the first clip begins as the one and ends as the other begins, content and
            motion; the next clip goes between the next seeds. Of models that stream.
        sliders: how far latent sliders are moved, -5 to 5, such as 1=2,3=-1.5; the first changes most. What they do is
            shown by footage sliders MODEL.
        timing: loops, slow motion, where to begin and so on, of models that stream.
        upscale: a model folder of an upscaler, or a run: clips are made larger while they are made.
        size: their size then: 1280x720, a height such as 720p, or 2x; left out, as many times as large as the upscaler
            makes them.
        fit: how a picture of another shape is fitted in, where a size is given.
        format: mp4 (H.264), webm (VP9), gif, mov, mkv, or png for folders of frames.
        encoding: how they are packed.
        library: folder of a library to file the result in; see footage library.
        device: where to compute.
        quiet: print nothing.

    Returns:
        The files written.
    """
    from footage.commands.terminal import tracked

    if size is not None and upscale is None:
        raise ConfigError(f'size is "{size}", and nothing makes the clips larger', "give --upscale MODEL as well")
    console = make_console(quiet)
    with place(to, library) as folder:
        loaded = load(model, device)
        clips = loaded.generate(
            count,
            frames=frames,
            seconds=seconds,
            fps=fps,
            label=label,
            to_label=to_label,
            seed=seed,
            to_seed=to_seed,
            between=between,
            sliders=sliders,
            timing=timing,
        )
        if note := loaded.joins(loaded.length(frames, seconds, fps, timing)):
            console.print(note, highlight=False)
        if upscale is not None:
            larger = load(upscale, device)
            clips = (larger.enlarge(clip, loaded.info.config.clip, size, fit) for clip in clips)
        packed = None if upscale is None and encoding == USUAL else encoding
        said = console if to is not None else make_console(quiet=True)
        written = _write_all(tracked(clips, count, "generating", console), _seed_name, folder, format, said, packed)
        filed = file_into(library, loaded, written, console)
    return filed if to is None else written


def predict(
    model: Path,
    clip: Path,
    *,
    to: Path | None = None,
    frames: int | None = None,
    samples: int = 1,
    seed: int = 0,
    past: int | None = None,
    fit: Fit = "letterbox",
    library: Path | None = None,
    device: Device = "auto",
    quiet: bool = False,
) -> Path:
    """Continue a clip from its end. The result stands after its past; several futures stand side by side.

    Args:
        model: a model folder, or a run.
        clip: a video, or a folder of pictures; it is resized as the model needs.
        to: the file to write: .mp4, .webm, .gif, or a folder for frames; left out, CLIP-predicted.mp4 here.
        frames: how many to predict; left out, as many as the model learned to.
        samples: futures, side by side, where the model knows more than one.
        seed: seed of the first future; the next has the next.
        past: frames of the clip that stand before its futures; left out, those that the model looks at.
        fit: how a picture of another shape is fitted in; crop suits what was ingested with crop.
        library: folder of a library to file the result in; see footage library.
        device: where to compute.
        quiet: print nothing.

    Returns:
        The file written.
    """
    console, to = make_console(quiet), _target(clip, to, "predicted")
    loaded = load(model, device)
    made = loaded.predict(clip, frames, samples=samples, seed=seed, past=past, fit=fit)
    with console.status("predicting"):
        made.save(to)
    about = made.metadata
    what = f"{about['past_frames']} frames of {clip.name}, then {about['predicted_frames']} predicted"
    console.print(f"{what}{f', in {samples} ways' if samples > 1 else ''}: {to}", highlight=False)
    file_into(library, loaded, [to], console, {"source": clip}, made.metadata)
    return to


def translate(
    model: Path,
    clip: Path,
    *,
    to: Path | None = None,
    frames: int | None = None,
    own_size: bool = False,
    as_is: bool = False,
    beside: bool = False,
    seed: int = 0,
    fit: Fit = "letterbox",
    library: Path | None = None,
    device: Device = "auto",
    quiet: bool = False,
) -> Path:
    """Turn a picture or a clip of any length into another, chunk by chunk.

    Args:
        model: a model folder, or a run.
        clip: a video, a picture, or a folder of pictures; it is resized as the model needs.
        to: the file to write: .mp4, .webm, .gif, .png for a picture, or a folder for frames; left out,
            CLIP-translated.mp4 here.
        frames: length of a clip that is made from a picture; left out, the model's own.
        own_size: keep the size of the clip, as far as it is a multiple of 8, instead of the model's.
        as_is: the clip already is what the model is given, such as edges; else that is made from it first. For a
            translator of pairs it always is.
        beside: show the clip itself on the left.
        seed: of everything random.
        fit: how a picture of another shape is fitted in; crop suits what was ingested with crop.
        library: folder of a library to file the result in; see footage library.
        device: where to compute.
        quiet: print nothing.

    Returns:
        The file written.
    """
    from footage.generation.conversion import Conversion

    console, to = make_console(quiet), _target(clip, to, "translated")
    loaded = load(model, device)
    if loaded.verb != "translate":
        raise loaded.unable("translates nothing")
    how = Conversion(frames, own_size, as_is, beside, seed, fit)
    made = loaded.convert(clip, how)
    with console.status("translating"):
        made.save(to)
    console.print(f"{clip.name} translated: {to}", highlight=False)
    file_into(library, loaded, [to], console, {"source": clip}, made.metadata)
    return to


def reconstruct(
    model: Path,
    clip: Path,
    *,
    to: Path | None = None,
    own_size: bool = False,
    beside: bool = False,
    fit: Fit = "letterbox",
    library: Path | None = None,
    device: Device = "auto",
    quiet: bool = False,
) -> Path:
    """Pack a clip of any length into a VAE's few numbers, and unpack it again; say how much of it is left.

    Args:
        model: a model folder, or a run.
        clip: a video, or a folder of pictures; it is resized as the model needs.
        to: the file to write: .mp4, .webm, .gif, or a folder for frames; left out, CLIP-reconstructed.mp4 here.
        own_size: keep the size of the clip, as far as it is a multiple of 8, instead of the model's.
        beside: show the clip itself on the left.
        fit: how a picture of another shape is fitted in; crop suits what was ingested with crop.
        library: folder of a library to file the result in; see footage library.
        device: where to compute.
        quiet: print nothing.

    Returns:
        The file written.
    """
    from footage.generation.conversion import Conversion
    from footage.metrics.image_quality import psnr

    console, to = make_console(quiet), _target(clip, to, "reconstructed")
    loaded = load(model, device)
    if loaded.verb != "reconstruct":
        raise loaded.unable("packs no clips")
    values: list[float] = [0.0, 0.0]

    def watch(given: Any, made: Any) -> None:
        found = psnr(made.cpu(), given.cpu())
        values[0] += float(found.sum())
        values[1] += found.numel()

    made = loaded.convert(clip, Conversion(own_size=own_size, beside=beside, fit=fit), watch)
    with console.status("reconstructing"):
        made.save(to)
    console.print(f"{values[1]:,.0f} frames, PSNR {values[0] / values[1]:.2f} dB: {to}", highlight=False)
    file_into(library, loaded, [to], console, {"source": clip}, made.metadata)
    return to


def interpolate(
    model: Path,
    clip: Path,
    end: Path,
    to: Path | None = None,
    *,
    steps: int = 8,
    format: Format = "mp4",
    library: Path | None = None,
    device: Device = "auto",
    quiet: bool = False,
) -> list[Path]:
    """Make clips that lie between two clips in a VAE's latent space, and a contact sheet of them.

    Args:
        model: a model folder, or a run.
        clip: a video, or a folder of pictures: the first clip is its beginning, reconstructed.
        end: another: the last clip is its beginning, reconstructed.
        to: folder for the clips; may be left out with a library.
        steps: how many clips, both ends included.
        format: mp4 (H.264), webm (VP9), gif, or png for folders of frames.
        library: folder of a library to file the result in; see footage library.
        device: where to compute.
        quiet: print nothing.

    Returns:
        The files written.
    """
    console = make_console(quiet)
    with place(to, library) as folder:
        loaded = load(model, device)
        clips = loaded.interpolate(clip, end, steps)
        for made in clips:
            spare((clip, end), _path(folder, _step_name(made), format))
        spare((clip, end), folder / SHEET)
        said = console if to is not None else make_console(quiet=True)
        written = _write_all(clips, _step_name, folder, format, said)
        filed = file_into(library, loaded, written, console, {"begin": clip, "end": end})
    return filed if to is None else written


def _target(clip: Path, to: Path | None, word: str) -> Path:
    """Return where to write, and refuse to write over the clip itself, or the folder that holds it."""
    chosen = Path(f"{Path(clip).stem}-{word}.mp4") if to is None else Path(to)
    spare((clip,), chosen)
    return chosen


def spare(given: Iterable[Path], target: Path) -> None:
    """Refuse to write over what is read, and over a folder that holds it.

    Raises:
        ConfigError: that would happen.
    """
    place = target.resolve()
    for clip in given:
        read = Path(clip).resolve()
        if place == read:
            raise ConfigError(f'to is "{target}", the clip itself', "give another place to write")
        if place in read.parents:
            raise ConfigError(f'to is "{target}", and the clip "{clip}" lies in it', "give another place to write")


def _seed_name(clip: Clip) -> str:
    named = re.sub(r"[^\w-]+", "_", clip.metadata["label"])[:60] + "-" if "label" in clip.metadata else ""
    return f"{named}{clip.metadata['seed']:06d}"


def _step_name(clip: Clip) -> str:
    return f"step-{clip.metadata['step']:03d}"


def _path(to: Path, name: str, format: Format) -> Path:
    """Return the file that a clip is written as, or the folder."""
    return to / (name + ("" if format == "png" else f".{format}"))


def _write_all(
    clips: Iterable[Clip],
    name: Callable[[Clip], str],
    to: Path,
    format: Format,
    console: Console,
    encoding: EncodingOptions | None = None,
) -> list[Path]:
    """Write clips of known length and a contact sheet of the first ones into a folder."""
    from footage.media.encode import write_clip
    from footage.media.sheets import FramePicker, contact_sheet, save_picture

    written: list[Path] = []
    strips: list[Any] = []
    captions: list[str] = []
    for clip in clips:
        path = _path(to, name(clip), format)
        assert clip.frames is not None
        picker = FramePicker(clip.frames)
        write_clip(path, picker.watch(clip.chunks()), fps=clip.fps, metadata=clip.metadata, encoding=encoding)
        written.append(path)
        if len(strips) < SHEET_CLIPS:
            strips.append(picker.strip())
            captions.append(name(clip))
    save_picture(to / SHEET, contact_sheet(strips, captions))
    console.print(f"{len(written):,} clips and {SHEET} in {to}", highlight=False)
    return written
