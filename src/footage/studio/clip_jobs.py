"""What can be made of a clip: which models fit it and why the others do not, and the jobs that make it.

Each result is filed beside its source, with what the source was to it. Torch is loaded where a model works.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from footage.errors import ConfigError, FootageError, LibraryError
from footage.library.additions import ClipDetails, Parent
from footage.library.entries import ClipEntry
from footage.library.jobs import BackgroundJob
from footage.library.library import Library
from footage.media import narrator
from footage.media.cuts import Cut, write_cuts
from footage.media.kinds import VOLUME_SUFFIXES
from footage.models.card import ModelInfo
from footage.studio.catalog import Catalog, ModelEntry

if TYPE_CHECKING:
    from footage.generation.clip import Clip
    from footage.generation.model import Model

VERBS = ("predict", "animate", "upscale", "translate", "reconstruct", "interpolate", "generate")
"""What models do with a clip, in the order in which it is offered."""
LARGEST = 8192
"""Pixels of the longer side of what is made, at most: what encoders and players of H.264 take."""
KEPT_SIZE = 1280 * 720
"""Pixels of a clip up to which a model may be given it at its own size: its memory grows with them."""
PAST_HELD = 2_000
"""Frames of a clip that are shown before what follows, at most."""
REPORTED = 0.25
"""Seconds between two reports of a job's progress."""
RELATIONS = {
    "predict": "continued",
    "animate": "animated",
    "upscale": "enlarged",
    "translate": "translated",
    "reconstruct": "reconstructed",
    "talk": "speaking",
    "trim": "trimmed",
    "join": "joined",
}
"""What a clip was to what was made of it, by what was done."""


@dataclass(frozen=True)
class ClipUse:
    """What a model can make of a clip, or why it cannot."""

    verb: str
    """One of `VERBS`: `animate` is what translators of pictures do, `generate` the way between clips of one model."""
    model: ModelEntry
    reason: str = ""
    """Why it does not fit, a name of the locales' texts; empty where it fits."""
    values: dict[str, Any] = field(default_factory=dict)
    """What stands in that text."""
    width: int = 0
    """Of what is made."""
    height: int = 0
    fps: float = 0.0
    grey: bool = False
    frames: int = 0
    """That are made where nothing is said; 0 for as many as the clip has."""
    several: bool = False
    """Whether each seed gives another result."""
    keeps_size: bool = False
    """Whether it may be asked to keep the clip's size."""
    scale: int = 1
    pairs: bool = False
    """Whether it expects what stood in another data set, such as drawings."""


def use_of(verb: str, model: ModelEntry, info: ModelInfo, clip: ClipEntry) -> ClipUse:
    """Return whether a model that can do something fits a clip, and what comes out; else why not."""
    net, shape, fps = info.config.net, info.config.clip, info.fps
    still, own = clip.frames == 1, (clip.width, clip.height)
    free = net.unit == 1
    use = ClipUse(
        verb,
        model,
        width=own[0] if free else shape.width,
        height=own[1] if free else shape.height,
        fps=clip.fps if free and clip.fps else fps,
        grey=shape.channels == 1,
        keeps_size=not free and own != (shape.width, shape.height) and own[0] * own[1] <= KEPT_SIZE,
        pairs=verb in ("translate", "animate") and bool(info.config.guides),
    )
    is_volume = clip.suffix in VOLUME_SUFFIXES
    if is_volume != (info.volume is not None) or (is_volume and verb not in ("translate", "reconstruct")):
        return replace(use, reason="use_volume")
    looked_at = {"predict": info.config.task.past, "interpolate": shape.frames}.get(verb, 1)
    there = math.floor(clip.seconds * use.fps + 0.01) if clip.fps else clip.frames
    if verb == "generate":
        if model.weights != clip.weights or clip.seed is None or not model.streams:
            return replace(use, reason="use_seedless")
        return replace(use, several=True, keeps_size=False)
    if still and verb not in ("animate", "upscale"):
        return replace(use, reason="use_still")
    if there < looked_at:
        return replace(use, reason="use_short", values={"n": there, "fps": f"{use.fps:g}", "needed": looked_at})
    if verb == "upscale":
        scale: int = getattr(net, "scale", 1)
        use = replace(use, width=scale * own[0], height=scale * own[1], fps=clip.fps, scale=scale, keeps_size=False)
        if max(own) * 2 > LARGEST:
            return replace(use, reason="use_large", values={"width": own[0], "height": own[1], "most": LARGEST})
    if verb == "predict":
        several = not getattr(net, "certain", True)
        return replace(use, frames=shape.frames - looked_at, several=several, keeps_size=False)
    return replace(use, frames=shape.frames, several=True) if verb == "animate" else use


def uses(catalog: Catalog, clip: ClipEntry) -> list[ClipUse]:
    """Return what the models of a catalog can make of a clip, and which cannot: by verb, what fits first."""
    found = [use for model in catalog.models() if not model.damaged for use in uses_of(catalog, model, clip)]
    return sorted(found, key=lambda use: (VERBS.index(use.verb), bool(use.reason)))


def uses_of(catalog: Catalog, model: ModelEntry, clip: ClipEntry) -> list[ClipUse]:
    """Return what a model can make of a clip, or why it cannot; nothing of one that is gone meanwhile."""
    try:
        info = catalog.card(model.name)
    except FootageError:
        return []
    animates = info.config.method == "translate" and info.config.task.source == "first-frame"
    verbs = {"animate"} if animates else {*model.verbs}
    return [use_of(verb, model, info, clip) for verb in VERBS if verb in verbs]


def fitting_use(catalog: Catalog, name: str, verb: str, clip: ClipEntry) -> ClipUse:
    """Return the use of a model for a clip.

    Raises:
        ConfigError: there is none of this name, or it cannot do it, or not with this clip.
    """
    model = catalog.usable_model(name, "translate" if verb == "animate" else verb)
    use = next((use for use in uses_of(catalog, model, clip) if use.verb == verb), None)
    if use is None:
        raise ConfigError(f"{name} cannot {verb}", f"it can {', '.join(model.verbs)}")
    if use.reason:
        raise ConfigError(f"{name} does not fit clip {clip.id}", "choose one that is offered on the clip's page")
    return use


class Files(Protocol):
    """What writes clips of a model and files them while a job is watched: see `Worker.file`."""

    def __call__(
        self, job: BackgroundJob, model: Model, clips: Iterator[Clip], count: int, known: ClipDetails, *, title: str
    ) -> dict[str, Any]:
        """Return the result of the job: the numbers of the clips."""


class ClipJobs:
    """Runs jobs that make clips of clips.

    Args:
        library: where the clips are, and where results are filed.
        load: returns the model that a job names.
        report: says how far a job is; raises what ends it where it was given up.
        file: writes clips and files them.
    """

    def __init__(
        self,
        library: Library,
        load: Callable[[BackgroundJob], Model],
        report: Callable[[BackgroundJob, float, str], None],
        file: Files,
    ) -> None:
        self._library, self._load, self._report, self._file = library, load, report, file

    def predict(self, job: BackgroundJob) -> dict[str, Any]:
        """Continue a clip, in one or several ways, each of which becomes a clip of its own."""
        request, model = job.request, self._load(job)
        entry, path = self._source(request["clip"])
        past = {"none": 0, "model": None, "all": PAST_HELD}[request["past"]]
        seeds, told = range(request["seed"], request["seed"] + request["futures"]), dict[str, None]()
        asked = {"past": past, "fit": request["fit"], "text": request.get("text"), "tell": told.setdefault}
        futures = (model.predict(path, request["frames"], seed=seed, **asked) for seed in seeds)
        result = self._file(job, model, futures, len(seeds), self._known(job, entry), title=entry.title)
        return result | ({"told": [*told]} if told else {})

    def convert(self, job: BackgroundJob) -> dict[str, Any]:
        """Translate a clip, bring a picture to life, or pack a clip and unpack it; say how much of it is left then."""
        from footage.generation.convert import ConversionOptions
        from footage.metrics.image_quality import psnr

        request, model = job.request, self._load(job)
        entry, path = self._source(request["clip"])
        decibels, told = list[float](), dict[str, None]()

        def observe(before: Any, after: Any) -> None:
            decibels.append(float(psnr(after.cpu(), before.cpu()).mean()))

        seeds = range(request["seed"], request["seed"] + request["futures"])
        packs = job.kind == "reconstruct"
        clips = (
            model.convert(
                path,
                ConversionOptions(
                    frames=request["frames"],
                    own_size=request["own_size"],
                    as_is=request["as_is"],
                    seed=seed,
                    fit=request["fit"],
                    text=request.get("text"),
                ),
                observe if packs else None,
                told.setdefault,
            )
            for seed in seeds
        )
        result = self._file(job, model, clips, len(seeds), self._known(job, entry), title=entry.title)
        if decibels:
            told[f"signal to noise (PSNR): {sum(decibels) / len(decibels):.2f} dB"] = None
        return result | ({"told": [*told]} if told else {})

    def upscale(self, job: BackgroundJob) -> dict[str, Any]:
        """Make a clip larger, with its sound and rate as they are."""
        from footage.generation.upscale import UpscaleOptions, upscale
        from footage.media.reader import open_original
        from footage.models.base import Enlarges
        from footage.models.device import has_bf16

        request, model = job.request, self._load(job)
        if not isinstance(model.sampler, Enlarges):
            raise model.unable("makes no clips larger")
        entry, path = self._source(request["clip"])
        original, options = open_original(path), UpscaleOptions(bf16=has_bf16(model.sampler.device.type))
        watch = self._watch(job, original.frames or entry.frames)
        self._library.register(model.library_card)
        with tempfile.TemporaryDirectory(prefix="footage-") as folder:
            target = Path(folder) / ("large.png" if original.frames == 1 else "large.mp4")
            upscale(
                model.sampler,
                model.info,
                original,
                target,
                size=request["size"],
                fit=request["fit"],
                options=options,
                watch=watch,
            )
            known = replace(self._known(job, entry), title=f"{entry.title} · {model.info.name}")
            return {"clips": [self._library.add(target, known).id]}

    def talk(self, job: BackgroundJob) -> dict[str, Any]:
        """Let the first frames of clips speak: a sound, a text, or a script that names who says what."""
        from footage.generation import speak as speaking
        from footage.media.reader import Footage

        request, model = job.request, self._load(job)
        entries, paths = zip(*(self._source(figure["clip"]) for figure in request["figures"]), strict=True)
        how = {"seed": request["seed"], "fit": request["fit"]}
        with tempfile.TemporaryDirectory(prefix="footage-") as folder:

            def say(number: int, text: str, name: str = "") -> Path:
                self._report(job, 0.0, "")
                command = narrator.speech_program(os.environ.get(narrator.VARIABLE))
                return narrator.say(command, text, Path(folder) / f"{number}.wav", name)

            if request["script"] is not None:
                names = [figure["name"] for figure in request["figures"]]
                turns = narrator.read_script(request["script"])
                said = [(turn.name, say(number, turn.text, turn.name)) for number, turn in enumerate(turns)]
                stills = dict(zip(names, map(Footage, paths), strict=True))
                clip = speaking.converse(model.speaker, model.info, stills, said, **how)
                spoken, told = [path for _, path in said], list[str]()
            else:
                audio = say(0, request["text"]) if request["audio"] is None else Path(request["audio"])
                told = speaking.listen_through(audio).notes
                clip, spoken = model.speak(paths[0], audio, begin=request["begin"], **how), [audio]
            seconds = sum(speaking.listen_through(path).seconds for path in spoken) - request["begin"]
            clip = replace(clip, frames=max(1, round(seconds * clip.fps)))  # about so many
            title = ", ".join(entry.title for entry in entries)
            result = self._file(job, model, iter([clip]), 1, self._known(job, *entries), title=title)
        return result | ({"told": told} if told else {})

    def cut(self, job: BackgroundJob) -> dict[str, Any]:
        """Make a part of a clip, or several clips one behind the other, a clip of its own."""
        from footage.media.encode import read_metadata

        request = job.request
        entries, paths = zip(*map(self._source, request["clips"]), strict=True)
        cuts = [Cut(path, request["first"], request["last"]) for path in paths]
        part = (request["first"], request["last"])
        known, made, frames = self._known(job, *entries), {}, sum(entry.frames for entry in entries)
        title = " + ".join(entry.title for entry in entries)
        if job.kind == "trim":
            frames = 1 + part[1] - part[0]
            title = f"{title} [{part[0] + 1}–{part[1] + 1}]"
            known = replace(known, settings={"trimmed": list(part)}, label=entries[0].label)
            made = read_metadata(paths[0]) if entries[0].origin == "generated" else {}
        with tempfile.TemporaryDirectory(prefix="footage-") as folder:
            path = Path(folder) / "cut.mp4"
            write_cuts(cuts, path, metadata=made, fit=request["fit"], watch=self._watch(job, frames))
            return {"clips": [self._library.add(path, replace(known, title=title)).id]}

    def effects(self, job: BackgroundJob) -> dict[str, Any]:
        """Keep a clip with effects, or give one others, and render it."""
        request, edited, last = job.request, self._library.edited, 0.0

        def watch(done: int, total: int) -> None:
            nonlocal last
            if time.monotonic() - last > REPORTED:
                last = time.monotonic()
                self._report(job, done / max(done, total), f"{done:,} / {total:,}")

        if request["change"]:
            made = edited.change(request["clip"], request["chain"], watch)
        else:
            made = edited.add(request["clip"], request["chain"], request["name"], watch)
        edited.render(made.id, watch)
        return {"clips": [made.id]}

    def _source(self, clip: int) -> tuple[ClipEntry, Path]:
        """Return a clip and its file; refuse one that is gone."""
        entry = self._library.get(clip)
        path = self._library.path(clip)
        if not path.is_file():
            raise LibraryError(f"the file of clip {clip} is gone", "add it again")
        return entry, path

    def _known(self, job: BackgroundJob, *entries: ClipEntry) -> ClipDetails:
        """Return what is known of what a job makes of clips: whose children they are."""
        parents = tuple(Parent(entry.digest, entry.title, RELATIONS[job.kind]) for entry in entries)
        return ClipDetails(parents=parents, tags=tuple(job.request["tags"]), source=entries[0].title)

    def _watch(self, job: BackgroundJob, total: int) -> Callable[[int], None]:
        """Return what is told how many frames are done, and reports it now and then."""
        last = 0.0

        def watch(done: int) -> None:
            nonlocal last
            if time.monotonic() - last > REPORTED:
                last = time.monotonic()
                self._report(job, done / max(done, total), f"{done:,} / {max(done, total):,}")

        return watch
