"""Videos joined with transitions: FFmpeg's by name, and those that are made of what moves."""

from __future__ import annotations

import itertools
import math
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from footage import __version__, files
from footage.errors import ConfigError, LibraryError, MediaError, counted, nearest
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
from footage.media.transitions import XFADES, Film, Mixer, lasting, whole, xfade

MORPH = "morph"
"""What lies between the pictures, moved along their optical flow."""
LATENT = "latent"
"""The way through a model's latents."""
LOOKED_AT = 1000
"""Pixels by which the steps of a transition are evened out."""
EVEN_LOOK, EVEN_MOST, EVEN_SIDE = 10, 5, 160
"""Seconds of the videos on either side of a transition by which its length is found; how long it may be; pixels of the
longer side of the pictures that are looked at."""
EVEN_PART = 0.97
"""Of the 95th percentile of their steps, which the largest step may have: small pictures tell it to some percent."""
MOST_HELD = 4 * 2**30
"""Bytes of frames that a transition may hold at once: 1.4 s at 3840 x 2160 and 60 a second."""
UNFAITHFUL = 255**2 / 10**2.4
"""Mean squared error of reconstructions, in levels: 24 dB."""
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
    """Yield pictures on the way from one part to another: the first is that of the first part.

    They are moved along the optical flow between both while they are mixed; where it does not explain in the middle
    what differs, as between two scenes, it would be noise, and they are mixed alone.
    """
    from footage.generation.cutting.flow import Between

    middle = len(before) // 2
    moves = Between(before[middle], after[middle]).explained
    for one, other, share in zip(before, after, even_shares(before, after), strict=True):
        yield Between(one, other).at(share) if moves else rounded(one + np.float32(share) * (other - one.astype("f4")))


def rounded(picture: npt.NDArray[Any]) -> Frames:
    """Return a picture in whole levels."""
    return np.asarray(np.clip(np.rint(picture), 0, 255), np.uint8)


def picture_step(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """Return how far two pictures are apart: the mean absolute difference, in grey levels."""
    return float(np.abs(one.astype(np.float32) - other).mean())


def even_shares(before: Sequence[Frames], after: Sequence[Frames]) -> list[float]:
    """Return how much of the second part each picture of a transition has, so that its steps are as even as can be.

    Of all ways that rise from 0 it is the one whose steps from picture to picture, what moves in both parts included,
    have the least sum of eighth powers, nearly the least largest step: found by dynamic programming (Bellman 1957) over
    17 shares, and then, a few times over, around the best, down to steps of 1/256.
    """
    count, apart_by = len(before), max(1, round((before[0].shape[0] * before[0].shape[1] / LOOKED_AT) ** 0.5))
    first, last = (
        np.stack([frame[::apart_by, ::apart_by].ravel() for frame in part]).astype(np.float32)  # (N, P)
        for part in (before, after)
    )
    apart = last - first
    scale = np.abs(apart).mean() / count + 1
    behind = last[-1:] + (last[-1:] - last[-2:-1] if count > 1 else 0)  # what comes next, if it goes on as it does
    options = np.linspace(0, 1, 17)[None].repeat(count, 0)  # (N, n)
    for finer in (1 / 64, 1 / 64, 1 / 64, 1 / 256, 1 / 256, 0):
        options[0] = 0
        cost, came = np.zeros(options.shape[1]), []
        old = first[:1]
        for number in range(1, count + 1):
            there = number == count
            new = behind if there else first[number] + options[number, :, None].astype("f4") * apart[number]
            step = np.stack([np.abs(new - each).mean(axis=1) for each in old]).astype(np.float64)  # (n, n')
            total = cost[: len(old), None] + (step / scale) ** 8
            if not there and number > 1:
                total[options[number - 1][:, None] > options[number] + 1e-9] = np.inf
            came.append(total.argmin(axis=0))
            cost, old = total.min(axis=0), new
        place, way = 0, list[float]()
        for number in range(count - 1, 0, -1):
            place = int(came[number][place])
            way.append(float(options[number, place]))
        shares = np.array([0.0, *reversed(way)])
        options = np.clip(shares[:, None] + finer * np.arange(-4, 5), 0, 1)
    return [float(share) for share in shares]


def even_overlaps(film: Film, mix: Mixer) -> tuple[int, ...]:
    """Return for how many frames videos should go over into one another, from each to the next.

    It is the shortest transition of which no step, from picture to picture, is larger than the 95th percentile of those
    in the videos themselves, up to ten seconds on either side. What is looked at are pictures of 160 pixels. Where none
    that there is room for keeps to that, the one with the smallest step is taken, and a warning says so.

    Raises:
        MediaError: a video between two others has one frame, which cannot belong to two transitions.
    """
    for part, length in zip(film.parts[1:-1], film.lengths[1:-1], strict=True):
        if length < 2:
            name = part.sources[0].name
            raise MediaError(
                f'"{name}" is one frame long, between two transitions', "leave it out, or put it at an end"
            )
    scale = min(1.0, EVEN_SIDE / max(film.size))
    size = (max(2, round(film.size[0] * scale)), max(2, round(film.size[1] * scale)))
    look = round(EVEN_LOOK * film.rate)
    most = min(int(EVEN_MOST * film.rate), MOST_HELD // (6 * math.prod(film.size)))
    rooms = [length // (1 if number in (0, len(film.lengths) - 1) else 2) for number, length in enumerate(film.lengths)]
    overlaps = []
    for number, (one, other) in enumerate(itertools.pairwise(film.parts)):
        length = film.lengths[number]
        tail = list(lasting(one.pictures(size, film.rate, film.fit, max(0, length - look)), min(look, length)))
        head = list(lasting(other.pictures(size, film.rate, film.fit), min(look, film.lengths[number + 1])))
        own = [picture_step(*pair) for part in (tail, head) for pair in itertools.pairwise(part)]
        usual = float(np.percentile(own, 95)) if own else 0.0
        room = min(max(1, most), rooms[number], rooms[number + 1])
        taken = min(room, max(1, int(picture_step(tail[-1], head[0]) / max(usual, 0.01))))
        best = (np.inf, taken)
        while best[0] > EVEN_PART * usual and taken <= room:
            made = [*tail[-taken - 1 : -taken], *mix(tail[-taken:], head[:taken]), *head[taken : taken + 1]]
            best = min(best, (max(itertools.starmap(picture_step, itertools.pairwise(made)), default=0.0), taken))
            taken = max(taken + 1, round(taken * 1.1))
        if best[0] > usual:
            names = " and ".join(f'"{part.sources[0].name}"' for part in (one, other))
            warnings.warn(
                f"between {names} no transition of up to {float(room / film.rate):.2f} s keeps to the steps of "
                f"the videos themselves; the best lasts {float(best[1] / film.rate):.2f} s, with one of {best[0]:.1f} "
                f"levels, {best[0] / max(usual, 0.01):.1f} times theirs: give longer videos, or seconds as a number",
                stacklevel=2,
            )
        overlaps.append(best[1])
    return tuple(overlaps)


def latent(folder: Path | str) -> Mixer:
    """Return a transition on the straight line between the latents of both parts.

    What the model does not reproduce, picture less reconstruction, is faded from one part to the other, so that both
    ends are the parts' own; where that is most of it, under 24 dB at the beginning, the transition is `morph`. Of a
    model of clips of one length and size, the pictures of both are as many as it has, and come back at the size of the
    film.

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
        shares = even_shares(before, after)
        for number, (first, last, share) in enumerate(zip(before, after, shares, strict=True)):
            if any_size:
                a, b = coded([first]), coded([last])
            place = 0 if any_size else round(number / max(1, count - 1) * (clip.frames - 1))
            with torch.no_grad():
                start, way, end = (shown(made, place) for made in sampler.interpolate(a, b, [0.0, share, 1.0]))
            unlike = max(np.square(first - start).mean(), np.square(last - end).mean())
            if number == 0 and unlike > UNFAITHFUL:
                told = f"{model.info.name} gives these videos back with {10 * np.log10(255**2 / unlike):.1f} dB"
                warnings.warn(f"{told}: they are not led through its latents, but along what moves", stacklevel=2)
                yield from morph(before, after)
                return
            yield rounded(way + (1 - share) * (first - start) + share * (last - end))

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
    seconds: float | Literal["auto"] = 1.0,
    model: Path | None = None,
    fit: Fit = "letterbox",
    encoding: EncodingOptions = DEFAULT_ENCODING,
    watch: Callable[[int], object] = lambda _: None,
) -> int:
    """Write videos one behind the other with a transition between each two; return how many frames that makes.

    Size and rate are those of the first; sounds are faded into one another. How many seconds each transition lasts is
    found, with "auto", by `even_overlaps`.

    Raises:
        ConfigError: there is no such transition, or fewer than two clips.
        MediaError: a clip cannot be read, or is shorter than its transitions.
    """
    if len(clips) < 2:
        raise ConfigError(counted(len(clips), "clip is given", "clips are given"), "give two or more")
    mix = mixer(kind, model)
    film = replace(whole(clips, 0.0 if seconds == "auto" else seconds, fit), mixes=(mix,) * (len(clips) - 1))
    about: dict[str, Any] = {"source": [path.name for path in clips], "transition": kind, "seconds": seconds}
    if seconds == "auto":
        film = replace(film, overlaps=even_overlaps(film, mix))
        about["seconds"] = [round(float(overlap / film.rate), 3) for overlap in film.overlaps]
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
    as long, and the transition lies over the cut; cards with a title are left out, and transitions to and from them.

    Args:
        film: of clips.
        to: the file.
        urls: where each file is found, by its whole path, such as a name beside the list; None for where it lies.

    Raises:
        LibraryError: what writes the list is not installed, or cannot write it, or no clip is left.
    """
    shots = []
    overlaps = (0, *(film.overlaps or (0,) * (len(film.parts) - 1)), 0)
    kinds = ("", *(film.kinds or ("",) * (len(film.parts) - 1)), "")
    cuts = [part.under if isinstance(part, Titled) else part for part in film.parts]
    for number, (cut, length) in enumerate(zip(cuts, film.lengths, strict=True)):
        if not isinstance(cut, Cut):
            continue
        before, after = (isinstance(each, Cut) for each in ([None, *cuts][number], [*cuts, None][number + 1]))
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
                kinds[number] if before else "",
                before * (overlaps[number] // 2) / film.rate,
                after * ((overlaps[number + 1] + 1) // 2) / film.rate,
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
