"""The verb that makes clips larger and sharper."""

from __future__ import annotations

from pathlib import Path

from footage.commands.loading import load
from footage.commands.making import Device, Fit, spare
from footage.commands.terminal import make_console
from footage.media.encoding import DEFAULT_ENCODING, EncodingOptions


def upscale(
    model: Path,
    clip: Path,
    *,
    to: Path | None = None,
    size: str | None = None,
    fit: Fit = "letterbox",
    encoding: EncodingOptions = DEFAULT_ENCODING,
    tile: int = 512,
    device: Device = "auto",
    quiet: bool = False,
) -> Path:
    """Make a clip of any length and size larger and sharper. The same command again goes on where it was stopped.

    Sound, frame rate, times and colours stay as they are; rotated clips are written upright.

    Args:
        model: a model folder of an upscaler, or a run.
        clip: a video, a picture, or a folder of pictures.
        to: the file to write: .mp4, .mkv, .mov, .webm, .png for a picture, or a folder for frames as PNG; left out,
            CLIP-upscaled.mp4 here.
        size: width and height such as 1280x720, a height such as 720p, or 2x for twice as large; left out, as many
            times as large as the model makes it.
        fit: how a picture of another shape is fitted in, where a size is given.
        encoding: how it is packed.
        tile: longest side of what is enlarged at once, in pixels of the clip; smaller ones need less memory.
        device: where to compute.
        quiet: print nothing.

    Returns:
        The file written.
    """
    from footage.commands.terminal import phases
    from footage.generation.upscaling import Working, in_words
    from footage.generation.upscaling import upscale as enlarge_video
    from footage.media.reader import open_original
    from footage.models.base import Enlarges
    from footage.models.device import has_bf16

    console, clip = make_console(quiet), Path(clip)
    target = Path(f"{clip.stem}-upscaled.mp4") if to is None else Path(to)
    spare((clip,), target)
    loaded = load(model, device)
    if not isinstance(loaded.sampler, Enlarges):
        raise loaded.unable("makes no clips larger")
    working = Working(tile, has_bf16(loaded.sampler.device.type))
    original = open_original(clip)
    with phases(console) as show:

        def watch(done: int) -> None:
            show("upscaling", done, max(done, original.frames or done), clip.name)

        outcome = enlarge_video(
            loaded.sampler,
            loaded.info,
            original,
            target,
            size=size,
            fit=fit,
            encoding=encoding,
            working=working,
            watch=watch,
        )
    again = f", {outcome.resumed:,} of them made before" if outcome.resumed else ""
    console.print(f"{clip.name}, {original.shown}: {outcome.frames:,} frames of {outcome.size}{again}: {target}")
    if outcome.damage.frames:
        console.print("damaged:", style="yellow", end=" ")
        console.print(f"{clip.name}, {in_words(outcome.damage)}; what could be decoded was taken", highlight=False)
    return target
