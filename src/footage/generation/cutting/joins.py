"""Videos joined with transitions: FFmpeg's by name, and those that are made of what moves."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from footage import __version__, files
from footage.errors import ConfigError, LibraryError, nearest
from footage.files import locked
from footage.library.additions import ClipDetails, Parent
from footage.library.edit_lists import Shot as TimelineClip
from footage.library.edit_lists import timeline_rate, write_list
from footage.library.library import Library
from footage.media.cuts import Cut
from footage.media.decode import Frames
from footage.media.encoding import DEFAULT_ENCODING, EncodingOptions
from footage.media.geometry import Fit
from footage.media.probe import count_frames
from footage.media.reader import Footage, fit_frames, open_original
from footage.media.segments import render
from footage.media.titles import Titled
from footage.media.transitions import XFADES, Film, Mixer, whole, xfade

MORPH = "morph"
"""What lies between the pictures, moved along their optical flow."""
LATENT = "latent"
"""The way through a model's latents."""
KINDS = (*XFADES, MORPH, LATENT)
"""Every transition, by name."""


def mixer(kind: str, model: Path | str | None = None) -> Mixer:
    """Return what makes a transition.

    Args:
        kind: one of `KINDS`.
        model: for `latent`, through whose latents it goes: a model that has a code for every clip.

    Raises:
        ConfigError: there is none of that name, or the model is missing, or has no latents of clips.
    """
    if (kind == LATENT) != (model is not None):
        remedy = "give a model too, such as lens-8, or a VAE" if model is None else f"leave it out, or choose {LATENT}"
        raise ConfigError(f'transition is "{kind}", and the model is {model or "missing"}', remedy)
    if model is not None:
        return latent(model)
    if kind == MORPH:
        return morph
    if kind not in XFADES:
        raise ConfigError(f'transition is "{kind}"', nearest(kind, KINDS))

    def mix(before: Sequence[Frames], after: Sequence[Frames]) -> Iterator[Frames]:
        return xfade(kind, before, after, len(before))

    return mix


def morph(before: Sequence[Frames], after: Sequence[Frames]) -> Iterator[Frames]:
    """Yield pictures on the way from one part to another: the first is that of the first part."""
    from footage.generation.cutting.flow import Between

    for number, pair in enumerate(zip(before, after, strict=True)):
        yield Between(*pair).at(number / len(before))


def latent(folder: Path | str) -> Mixer:
    """Return a transition on the straight line between the latents of both parts.

    What the model does not reproduce, picture less reconstruction, is faded from one part to the other, so that both
    ends are the parts' own. Of a model of clips of one length and size, the pictures of both are as many as it has, and
    come back at the size of the film.

    Raises:
        ConfigError: the model has no latents of clips.
    """
    import torch

    from footage.generation.model import Model
    from footage.generation.rollout import from_uint8, to_uint8
    from footage.models.base import Encodes

    model = Model(folder, "auto")
    sampler = model.sampler
    if not isinstance(sampler, Encodes):
        raise model.unable("has no latent space of clips")
    clip, any_size = sampler.clip, model.info.config.net.unit == 1

    def mix(before: Sequence[Frames], after: Sequence[Frames]) -> Iterator[Frames]:
        height, width = before[0].shape[:2]
        shape = {"channels": clip.channels, "fit": "stretch"}
        shape |= {"height": height, "width": width} if any_size else {"height": clip.height, "width": clip.width}

        def coded(frames: Sequence[Frames]) -> torch.Tensor:
            return from_uint8(fit_frames(np.stack(frames), **shape)[None], sampler.device)  # type: ignore[arg-type]

        def shown(made: torch.Tensor, number: int) -> npt.NDArray[np.float32]:
            picture = to_uint8(made[None, :, number : number + 1])[0]  # (C, T, H, W) -> (1, H, W, C)
            fitted = fit_frames(picture, height=height, width=width, channels=3, fit="stretch")
            return np.asarray(fitted[0], np.float32)

        count = len(before)
        places = np.linspace(0, count - 1, clip.frames).round().astype(int).tolist()
        if not any_size:
            a, b = (coded([frames[place] for place in places]) for frames in (before, after))
        for number, (first, last) in enumerate(zip(before, after, strict=True)):
            share = number / count
            if any_size:
                a, b = coded([first]), coded([last])
            place = 0 if any_size else round(number / max(1, count - 1) * (clip.frames - 1))
            with torch.no_grad():
                start, way, end = (shown(made, place) for made in sampler.interpolate(a, b, [0.0, share, 1.0]))
            rest = (1 - share) * (first - start) + share * (last - end)
            yield np.clip(np.rint(way + rest), 0, 255).astype(np.uint8)

    return mix


def write_film(
    film: Film,
    to: Path,
    about: dict[str, Any],
    *,
    encoding: EncodingOptions = DEFAULT_ENCODING,
    watch: Callable[[int], object] = lambda _: None,
) -> int:
    """Write a film, and return how many frames it has; work that was stopped goes on.

    Args:
        film: the parts.
        to: the file: .mp4, .mov, .mkv or .webm.
        about: how it was made, for its comment.
        encoding: of its pictures.
        watch: is told how many frames are done.

    Raises:
        ConfigError: codec and file do not go together.
        MediaError: a part cannot be read, or the file cannot be written.
    """
    parts = [[*part.told, length] for part, length in zip(film.parts, film.lengths, strict=True)]
    return render(
        to,
        film.pictures,
        size=film.size,
        rate=film.rate,
        about={**about, "parts": parts, "fit": film.fit},
        sources=list(dict.fromkeys(path for part in film.parts for path in part.sources)),
        sound=film.sound(),
        encoding=encoding,
        watch=watch,
    )


def join(
    clips: Sequence[Path],
    to: Path,
    *,
    kind: str = "fade",
    seconds: float = 1.0,
    model: Path | None = None,
    fit: Fit = "letterbox",
    encoding: EncodingOptions = DEFAULT_ENCODING,
    watch: Callable[[int], object] = lambda _: None,
) -> int:
    """Write videos one behind the other with a transition between each two; return how many frames that makes.

    Size and rate are those of the first; sounds are faded into one another.

    Raises:
        ConfigError: there is no such transition, or fewer than two clips.
        MediaError: a clip cannot be read, or is shorter than its transitions.
    """
    if len(clips) < 2:
        raise ConfigError(f"{len(clips)} clips are given", "give two or more")
    film = replace(whole(clips, seconds, fit), mixes=(mixer(kind, model),) * (len(clips) - 1))
    about = {"source": [path.name for path in clips], "transition": kind, "seconds": seconds}
    about |= made_with([] if model is None else [model])
    return write_film(film, to, about, encoding=encoding, watch=watch)


def made_with(models: Iterable[Path | str]) -> dict[str, Any]:
    """Return what the comment of a film says of models that made some of its frames: it is marked and signed then."""
    from footage.models.card import model_folder, read_info

    infos = [read_info(model_folder(folder)) for folder in models]
    if not infos:
        return {}
    names = ", ".join(info.name for info in infos)
    return {"made_with": f"footage {__version__}", "model": names, "weights_sha256": infos[0].weights_sha256}


def write_film_list(film: Film, to: Path, urls: Mapping[Path, str] | None = None) -> None:
    """Write a film as an edit list (.otio, .edl, .fcpxml, .xml), which opens on its videos.

    Such lists hold clips with in and out: where the film has a transition they are cut in its middle, so that it stays
    as long; cards with a title are left out.

    Args:
        film: of clips.
        to: the file.
        urls: where each file is found, by its whole path, such as a name beside the list; None for where it lies.

    Raises:
        LibraryError: what writes the list is not installed, or cannot write it, or no clip is left.
    """
    shots = []
    overlaps = (0, *(film.overlaps or (0,) * (len(film.parts) - 1)), 0)
    for number, (part, length) in enumerate(zip(film.parts, film.lengths, strict=True)):
        cut = part.under if isinstance(part, Titled) else part
        if not isinstance(cut, Cut):
            continue
        still = Footage(cut.path).is_picture
        count = None if still else count_frames(cut.path)
        height, width = Footage(cut.path).size() if count is None else (count.height, count.width)
        rate = None if count is None else count.rate or film.rate
        own = rate or film.rate
        begin = cut.first + round((overlaps[number] // 2) / film.rate * own)
        taken = length - overlaps[number] // 2 - (overlaps[number + 1] + 1) // 2
        end = cut.first + round(length / film.rate * own) if cut.last is None else cut.last + 1
        shots.append(
            TimelineClip(
                f"{cut.path.stem} {number + 1}",
                cut.path.resolve().as_uri() if urls is None else urls[cut.path.resolve()],
                cut.path.name,
                1 if count is None else count.playable,
                rate,
                height,
                width,
                count is not None and count.has_audio,
                {},
                begin,
                min(end - begin, max(1, round(taken / film.rate * own))),
                max(1, taken) / film.rate if still else None,
            )
        )
    if not shots:
        raise LibraryError("there are titles alone, and edit lists hold clips", "add a clip, or write a video")
    suffix = to.suffix.lower()
    files.write_text(to, write_list(shots, to.stem, suffix, timeline_rate(shots, film.rate, suffix)))


def file_pieces(film: Film, library: Library, album: str, watch: Callable[[int], object] = lambda _: None) -> list[int]:
    """Write each part of a film as a clip of its own into a library, in an album in their order; return their numbers.

    The album is made where there is none. What has been filed before is not filed twice.

    Raises:
        ConfigError: the library is locked.
    """
    if locked.folder_of(library.folder) is not None:
        problem = f'"{library.folder}" is locked, and clips of an album are written outside of it first'
        raise ConfigError(problem, "name another library, or none")
    parts = [part for part in film.parts if isinstance(part, Cut)]
    clips, digests = [], {path: files.file_digest(path) for path in {part.path for part in parts}}
    with tempfile.TemporaryDirectory(prefix="footage-") as folder:
        for number, (part, length) in enumerate(zip(parts, film.lengths, strict=True), 1):
            path = Path(folder) / f"{part.path.stem}-{part.first}.mp4"
            piece = replace(
                film, parts=(part,), lengths=(length,), track=None, has_sound=open_original(part.path).has_audio
            )
            write_film(piece, path, {"source": part.path.name, "part": [part.first, part.last]})
            parents = (Parent(digests[part.path], part.path.name, "part"),)
            clips.append(library.add(path, ClipDetails(title=path.stem, source=str(part.path), parents=parents)).id)
            watch(number)
    library.albums.put(library.albums.named(album).id, clips)
    return clips
