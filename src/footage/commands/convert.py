"""Verbs that make clips of clips: continue them, turn them into others, make them larger, let stills speak."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from footage.commands.generate import file_made, load, target_of, tell_rate
from footage.commands.terminal import make_console, phases, print_marked
from footage.errors import ConfigError, MediaError, counted
from footage.media.encoding import DEFAULT_ENCODING, EncodingOptions
from footage.media.geometry import Fit
from footage.media.interlacing import Deinterlacing
from footage.media.kinds import Alpha
from footage.models.requests import DeviceName

if TYPE_CHECKING:
    from rich.console import Console

    from footage.generation.clip import Clip
    from footage.media.narrator import ScriptLine


def predict(
    model: Path,
    clip: Path,
    *,
    to: Path | None = None,
    frames: int | None = None,
    samples: int = 1,
    seed: int = 0,
    past: int | None = None,
    text: str | None = None,
    fit: Fit = "letterbox",
    mark: bool = True,
    library: Path | None = None,
    device: DeviceName = "auto",
    quiet: bool = False,
) -> Path:
    """Continue a clip from its end. The result stands after its past; several futures stand side by side.

    Args:
        clip: a video, or a folder of pictures; it is resized as the model needs.
        to: the file to write: .mp4, .webm, .gif, or a folder for frames; left out, CLIP-predicted.mp4 here.
        frames: how many to predict; left out, as many as the model learned to.
        samples: futures, side by side, where the model knows more than one.
        seed: seed of the first future; the next has the next.
        past: frames of the clip that stand before its futures; left out, those that the model looks at.
        text: what happens, in words, of a model that was trained on captions; left out, what the clip alone says.
        fit: how a picture of another shape is fitted in; crop suits what was ingested with crop.
    """
    console, to = make_console(quiet), target_of((clip,), to, "predicted")
    loaded = load(model, device)
    tell = partial(print_marked, console, "warning:")
    converted = loaded.predict(clip, frames, samples=samples, seed=seed, past=past, fit=fit, text=text, tell=tell)
    write(converted, to, "predicting", console, mark)
    about = converted.metadata
    done = f"{counted(about['past_frames'], 'frame')} of {clip.name}, then {about['predicted_frames']} predicted"
    console.print(f"{done}{f', in {samples} ways' if samples > 1 else ''}: {to}")
    file_made(loaded, [to], library, console, {"source": clip}, converted.metadata)
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
    text: str | None = None,
    fit: Fit = "letterbox",
    mark: bool = True,
    library: Path | None = None,
    device: DeviceName = "auto",
    quiet: bool = False,
) -> Path:
    """Turn a picture or a clip of any length into another, chunk by chunk.

    Args:
        clip: a video, a picture, or a folder of pictures; it is resized as the model needs. For a model of volumes a
            .nii.gz file or a folder of DICOM slices.
        to: the file to write: .mp4, .webm, .gif, .png for a picture, or a folder for frames; left out,
            CLIP-translated.mp4 here. Of volumes also .nii.gz, or .dicom for a folder of slices; not for diagnosis.
        frames: length of a clip that is made from a picture; left out, the model's own.
        own_size: keep the size of the clip, as far as it is a multiple of 8, instead of the model's.
        as_is: the clip already is what the model is given, such as edges; else that is made from it first. For a
            translator of pairs it always is.
        beside: show the clip itself on the left.
        seed: of everything random.
        text: what the result shows, in words, of a model that was trained on captions.
        fit: how a picture of another shape is fitted in; crop suits what was ingested with crop.
    """
    from footage.generation.convert import ConversionOptions

    console, to = make_console(quiet), target_of((clip,), to, "translated")
    loaded = load(model, device)
    if loaded.verb != "translate":
        raise loaded.unable("translates nothing")
    options = ConversionOptions(frames, own_size, as_is, beside, seed, fit, text)
    converted = loaded.convert(clip, options, tell=partial(print_marked, console, "warning:"))
    write(converted, to, "translating", console, mark)
    console.print(f"{clip.name} translated: {to}")
    file_made(loaded, [to], library, console, {"source": clip}, converted.metadata)
    return to


def reconstruct(
    model: Path,
    clip: Path,
    *,
    to: Path | None = None,
    own_size: bool = False,
    beside: bool = False,
    fit: Fit = "letterbox",
    mark: bool = True,
    library: Path | None = None,
    device: DeviceName = "auto",
    quiet: bool = False,
) -> Path:
    """Pack a clip of any length into a VAE's few numbers, and unpack it again; say how much of it is left.

    Args:
        clip: a video, or a folder of pictures; it is resized as the model needs. For a model of volumes a .nii.gz file
            or a folder of DICOM slices.
        to: the file to write: .mp4, .webm, .gif, or a folder for frames; left out, CLIP-reconstructed.mp4 here. Of
            volumes also .nii.gz, or .dicom for a folder of slices; not for diagnosis.
        own_size: keep the size of the clip, as far as it is a multiple of 8, instead of the model's.
        beside: show the clip itself on the left.
        fit: how a picture of another shape is fitted in; crop suits what was ingested with crop.
    """
    from footage.generation.convert import ConversionOptions
    from footage.metrics.image_quality import psnr

    console, to = make_console(quiet), target_of((clip,), to, "reconstructed")
    loaded = load(model, device)
    if loaded.verb != "reconstruct":
        raise loaded.unable("packs no clips")
    decibels, frames = 0.0, 0

    def observe(before: Any, after: Any) -> None:
        nonlocal decibels, frames
        values = psnr(after.cpu(), before.cpu())
        decibels, frames = decibels + float(values.sum()), frames + values.numel()

    converted = loaded.convert(clip, ConversionOptions(own_size=own_size, beside=beside, fit=fit), observe)
    write(converted, to, "reconstructing", console, mark)
    console.print(f"{counted(frames, 'frame')}, PSNR {decibels / frames:.2f} dB: {to}")
    file_made(loaded, [to], library, console, {"source": clip}, converted.metadata)
    return to


def write(clip: Clip, to: Path, word: str, console: Console, mark: bool) -> None:
    """Write a clip while a word says what goes on, and say what its format cannot keep of its rate."""
    with console.status(word):
        clip.save(to, mark=mark)
    tell_rate(console, to.suffix, clip.fps)


def upscale(
    model: Path,
    clip: Path,
    *,
    to: Path | None = None,
    size: str | None = None,
    fit: Fit = "letterbox",
    encoding: EncodingOptions = DEFAULT_ENCODING,
    deinterlace: Deinterlacing = "auto",
    background: str = "black",
    alpha: Alpha = "auto",
    bits: int | None = None,
    tile: int = 512,
    mark: bool = True,
    device: DeviceName = "auto",
    on: str | None = None,
    workers: int | None = None,
    quiet: bool = False,
) -> Path:
    """Make a clip of any length and size larger and sharper. The same command again goes on where it was stopped.

    Sound, rate, times, colours (HDR too), subtitles, chapters, attachments and titles stay as they are, as far as the
    file can hold them, and what it cannot is named; rotated clips are written upright. In frames as PNG, HDR and wide
    gamut become BT.709.

    Args:
        model: a model folder of an upscaler, or a run.
        clip: a video, a picture, or a folder of pictures.
        to: the file to write: .mp4, .mkv, .mov, .webm, .png for a picture, or a folder for frames as PNG; left out,
            CLIP-upscaled.mp4 here.
        size: width and height such as 1280x720, a height such as 720p, or 2x for twice as large; left out, as many
            times as large as the model makes it.
        fit: how a picture of another shape is fitted in, where a size is given.
        encoding: how it is packed.
        deinterlace: what becomes of an interlaced clip: auto, a frame for each; double, a frame for each of its fields;
            off, fields as they are.
        background: colour behind what is transparent, such as white or #20a040.
        alpha: whether the colours of transparent pictures are multiplied by their opacity: auto, as formats say;
            straight; premultiplied.
        bits: bits of the samples of pictures that store them in more, such as 10 in 16; left out, the fewest that hold
            the brightest sample of the sequence.
        tile: longest side of what is enlarged at once, in pixels of the clip; smaller ones need less memory.
    """
    import torch

    from footage.generation.upscale import UpscaleOptions, describe_damage
    from footage.generation.upscale import upscale as enlarge_video
    from footage.machines.cluster import connect
    from footage.media.pictures import PictureOptions
    from footage.media.reader import open_original
    from footage.models.base import Enlarges
    from footage.models.device import has_bf16

    console, clip, target = make_console(quiet), Path(clip), target_of((clip,), to, "upscaled")
    loaded = load(model, device)
    if not isinstance(loaded.sampler, Enlarges):
        raise loaded.unable("makes no clips larger")
    if on is not None:  # workers are elsewhere
        clip, target = clip.absolute(), target.absolute()
    original = open_original(clip, deinterlace, PictureOptions(background, alpha, bits))
    threads, place = torch.get_num_threads(), loaded.sampler.device.type
    with connect(on, workers, threads, place) as cluster, phases(console) as show:

        def watch(done: int) -> None:
            show("upscaling", done, max(done, original.frames or done), clip.name)

        result = enlarge_video(
            loaded.sampler,
            loaded.info,
            original,
            target,
            size=size,
            fit=fit,
            encoding=encoding,
            options=UpscaleOptions(tile, has_bf16(place)),
            watch=watch,
            cluster=cluster,
            mark=mark,
        )
    for note in dict.fromkeys([*original.notes, *result.damage.notes]):
        console.print(f"{clip.name}: {note}")
    again = f", {result.resumed:,} of them made before" if result.resumed else ""
    console.print(f"{clip.name}, {original.shown}: {counted(result.frames, 'frame')} of {result.size}{again}: {target}")
    print_marked(console, "changed:", *result.notes)
    print_marked(console, "left out:", *result.left_out)
    if result.damage.frames:
        text = f"{clip.name}, {describe_damage(result.damage)}; what could be decoded was taken"
        print_marked(console, "damaged:", text)
    return target


def talk(
    model: Path,
    stills: tuple[str, ...],
    *,
    audio: Path | None = None,
    text: str | None = None,
    script: Path | None = None,
    speech: str | None = None,
    to: Path | None = None,
    begin: float = 0.0,
    seed: int = 0,
    fit: Fit = "crop",
    mark: bool = True,
    library: Path | None = None,
    device: DeviceName = "auto",
    quiet: bool = False,
) -> Path:
    """Let a still speak: a recording, a text that a speech program reads, or a script for several figures.

    Args:
        stills: the still, a picture or a video; with --script one for each figure, as NAME=PICTURE.
        audio: a file of sound, or a video with sound, that is spoken.
        text: a text that is spoken; a speech program reads it.
        script: a text file of lines such as anna: hello, which the figures speak in turn, side by side.
        speech: the command of that program; {text} and {out}, the file of sound that it writes, are filled in, and
            {name} with a script. Left out, espeak-ng where it is installed: 'espeak-ng -w {out} {text}'.
        to: the file to write, with the sound: .mp4, .mov, .mkv or .webm; left out, STILL-talks.mp4 here.
        begin: seconds of the sound that are left out at its beginning.
        seed: of how head and eyes move.
        fit: how a picture of another shape is fitted in.
    """
    from footage.generation import speak as speaking
    from footage.media import narrator
    from footage.media.reader import Footage
    from footage.media.sound import check_sound

    if sum(source is not None for source in (audio, text, script)) != 1:
        raise ConfigError("what is spoken is not clear", "give one of --audio, --text and --script")
    stills = (str(stills),) if isinstance(stills, str | Path) else stills
    if not stills or (script is None and len(stills) > 1):
        raise ConfigError(f"{len(stills)} stills are given", "give one, or with --script one for each figure")
    console = make_console(quiet)
    figures = {"": stills[0]} if script is None else named_stills(stills)
    first = Path(next(iter(figures.values())))
    target = target_of((*map(Path, figures.values()), *filter(None, (audio, script))), to, "talks")
    check_sound(target.suffix.lower().lstrip("."))
    pictures = {name: Footage(Path(path)) for name, path in figures.items()}
    turns = [] if script is None else read_turns(script, list(figures))
    loaded = load(model, device)
    with tempfile.TemporaryDirectory() as folder, console.status("speaking"):
        if script is not None:
            command = narrator.speech_program(speech)
            said = [
                (turn.name, narrator.say(command, turn.text, Path(folder) / f"{number}.wav", turn.name))
                for number, turn in enumerate(turns)
            ]
            clip = speaking.converse(loaded.speaker, loaded.info, pictures, said, seed=seed, fit=fit)
        else:
            if audio is None:
                assert text is not None
                audio = narrator.say(narrator.speech_program(speech), text, Path(folder) / "speech.wav")
            print_marked(console, "warning:", *speaking.listen_through(audio).notes)
            clip = loaded.speak(first, audio, seed=seed, begin=begin, fit=fit)
        clip.save(target, mark=mark)
    console.print(f"{' and '.join(Path(path).name for path in figures.values())} speaks: {target}")
    file_made(loaded, [target], library, console, {"source": first}, clip.metadata)
    return target


def named_stills(stills: tuple[str, ...]) -> dict[str, str]:
    """Return the pictures of figures that are given as NAME=PICTURE, by name.

    Raises:
        ConfigError: one has no name, or the name of another.
    """
    figures: dict[str, str] = {}
    for still in stills:
        name, sign, path = still.partition("=")
        if not (sign and name.strip() and path) or name in figures:
            raise ConfigError(f'"{still}" is no figure of a script', "give each with a name of its own: anna=anna.png")
        figures[name.strip()] = path
    return figures


def read_turns(script: Path, figures: list[str]) -> list[ScriptLine]:
    """Read a script from a file.

    Raises:
        MediaError: it cannot be read, or is none.
        ConfigError: somebody speaks in it who is none of the figures.
    """
    from footage.media import narrator

    try:
        written = script.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MediaError(f'"{script}" cannot be read ({error})', "give a text file in UTF-8") from None
    turns = narrator.read_script(written, f'"{script.name}"')
    narrator.check_cast(turns, figures)
    return turns
