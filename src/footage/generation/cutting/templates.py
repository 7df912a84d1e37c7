"""Templates of films: a folder with `template.json`, a timeline in which slots wait for the user's clips.

    {"footage": "template", "version": 1, "names": {"name": "who was born"}, "needed": ["name"],
     "model": "stream-shapes", "music": {"tune": "lullaby"}, "parts": [
      {"generate": {"label": "circle", "seed": 11}, "seconds": 5, "title": "{name}"},
      {"slot": "days", "most": null, "seconds": 5, "transition": {"kind": "dissolve", "seconds": 0.8}}]}

Other files of the folder may be parts, music and font as they are. What a model is asked for is made beside the film.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from footage import files
from footage.config.strict import bounded, check_bounds, from_json, require, to_json
from footage.errors import ConfigError, FootageError, MediaError, counted, nearest
from footage.files import json_digest
from footage.generation.cutting.films import FilmMaker
from footage.library.timelines import PartTransition, Timeline, TimelineMusic, TimelinePart
from footage.media.geometry import Fit
from footage.media.probe import open_media
from footage.models.requests import GenerateRequest

if TYPE_CHECKING:
    from footage.generation.model import Model

VERSION = 1
"""Of the format."""
NAME = "template.json"
SHIPPED = Path(__file__).parent / "shipped"
"""Folders of the templates that come along."""
WORD = re.compile(r"\{(\w+)\}")
"""What stands in a title for a name."""
EXIF, TAKEN = 0x8769, 0x9003
"""Where a picture says when it was taken: EXIF's directory, and its DateTimeOriginal."""


@dataclass(frozen=True)
class FillIn:
    """What a model is asked for."""

    label: str | None = None
    text: str | None = None
    seed: int = bounded(0, 0, 2**31)

    def __post_init__(self) -> None:
        check_bounds(self, "generate.")


@dataclass(frozen=True)
class TemplatePart:
    """A place on the timeline: of the user's clips, of what a model makes, of a file of the template's, or a card."""

    slot: str | None = None
    """Name of the slot: clips of the user's."""
    least: int = bounded(1, 0, 1000, "clips")
    """Clips that it needs."""
    most: int | None = bounded(1, 1, 1000, "clips")
    """Clips that it takes; None for any number."""
    label: str | None = None
    """Label of the clips that it takes; None for any."""
    shortest: float = bounded(1.0, 0.1, 600, "seconds")
    """Seconds that a clip has to have."""
    generate: FillIn | None = None
    file: str | None = None
    seconds: float = bounded(4.0, 0.1, 600, "seconds")
    """How long each is, at most: of a longer clip the middle is taken."""
    title: str = ""
    """Words; {name} stands for what the user calls so, and a line with nothing else is left out without it."""
    place: Literal["low", "middle"] = "low"
    colour: str = "#14171c"
    fit: Fit | None = None
    level: float = bounded(1.0, 0, 4)
    transition: PartTransition | None = None

    def __post_init__(self) -> None:
        check_bounds(self, "part.")
        named = [name for name in ("slot", "generate", "file") if getattr(self, name) is not None]
        require(len(named) < 2, "part", " and ".join(named), "give one of slot, generate, file")
        require(bool(named or self.title), "part", "nothing", "give slot, generate, file or title")
        require(self.most is None or self.most >= self.least, "part.most", self.most, f"give at least {self.least}")


@dataclass(frozen=True)
class FilmTemplate:
    """What stands in a template's file."""

    parts: tuple[TemplatePart, ...] = ()
    about: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    """What each is, by the word that stands for it in titles."""
    needed: tuple[str, ...] = ()
    """Those of them that have to be given."""
    order: Literal["given", "date"] = "given"
    """Whether clips are taken in the order in which they are given, or the oldest first."""
    model: str | None = None
    """Which model is asked where the user names none."""
    height: int = bounded(720, 16, 8192, "pixels")
    width: int = bounded(1280, 16, 8192, "pixels")
    fps: float = bounded(25.0, 1, 240, "frames a second")
    fit: Fit = "letterbox"
    sound: bool = True
    level: float = bounded(1.0, 0, 4)
    music: TimelineMusic | None = None
    font: str | None = None

    @property
    def slots(self) -> dict[str, TemplatePart]:
        """The slots by their names, in order."""
        return {part.slot: part for part in self.parts if part.slot is not None}


@dataclass(frozen=True)
class GivenClip:
    """A clip of the user's."""

    path: Path
    """Its file."""
    clip: int | None = None
    """Its number in the library, where it is one of its."""
    label: str = ""
    slot: str | None = None
    """Where it was asked to stand; None for wherever it fits."""


def template_folders() -> dict[str, Path]:
    """Return the folders of the templates that come along, by name."""
    return {path.parent.name: path.parent for path in sorted(SHIPPED.glob(f"*/{NAME}"))}


def find_template(name: Path) -> tuple[Path, FilmTemplate]:
    """Return the folder of a template, by its path or the name of one that comes along, and what it says.

    Raises:
        ConfigError: there is none, or it is of a newer version, or has what is not known or not allowed.
    """
    known = template_folders()
    folder = known.get(str(name), name) if not (name / NAME).is_file() else name
    try:
        told = json.loads((folder / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        if folder.is_dir():
            raise ConfigError(f'"{folder / NAME}" cannot be read ({error})', "put it right, or copy it anew") from None
        raise ConfigError(f'there is no template "{name}"', nearest(str(name), known)) from None
    where = f'"{folder.name}"'
    if not isinstance(told, dict) or told.pop("footage", None) != "template" or not told.get("parts"):
        raise ConfigError(f"{where} is no template", 'give {"footage": "template", "version": 1, "parts": […]}')
    files.refuse_newer(told.pop("version", None), VERSION, where, ConfigError)
    template = from_json(FilmTemplate, told, where)
    slots = [part.slot for part in template.parts if part.slot is not None]
    if twice := next((slot for slot in slots if slots.count(slot) > 1), None):
        raise ConfigError(f'{where} has two slots "{twice}"', "give them names of their own")
    if unknown := next((word for word in template.needed if word not in template.names), None):
        raise ConfigError(f'{where} needs "{unknown}", which is none of its names', "say under names what it is")
    return folder, template


def copy_template(name: Path, to: Path) -> Path:
    """Copy a template into a folder of the user's, to be changed there.

    Raises:
        ConfigError: there is no such template, or the folder is there already.
    """
    folder, _ = find_template(name)
    if to.exists():
        raise ConfigError(f'"{to}" is there already', "give another folder")
    shutil.copytree(folder, to)
    return to


def taken_at(path: Path) -> float:
    """Return when a video or picture was taken, as it says itself, or else when its file was changed: since 1970."""
    from PIL import Image, UnidentifiedImageError

    told = ""
    with contextlib.suppress(MediaError), open_media(path) as container:
        told = container.metadata.get("creation_time", "")
    with contextlib.suppress(UnidentifiedImageError, OSError), Image.open(path) as picture:
        told = str(picture.getexif().get_ifd(EXIF).get(TAKEN, told)).replace(":", "-", 2)
    try:
        return datetime.datetime.fromisoformat(told.strip().replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        return path.stat().st_mtime


def words_for(text: str, names: Mapping[str, str]) -> str:
    """Return a title with names filled in; a line of names that are not given alone is left out."""
    lines = []
    for line in text.split("\n"):
        filled = WORD.sub(lambda found: names.get(found[1], ""), line).strip()
        if filled or not WORD.search(line):
            lines.append(filled)
    return "\n".join(lines).strip()


def divided(template: FilmTemplate, given: Sequence[GivenClip], name: str) -> dict[str, list[GivenClip]]:
    """Return which clips stand in which slot, in their order.

    Those that were asked to stand somewhere do; slots of a label take theirs; then each slot has what it needs, and
    what is left goes round among those that have room.

    Raises:
        ConfigError: there are too few, or too many, or there is no such slot.
    """
    slots = template.slots
    if unknown := next((clip.slot for clip in given if clip.slot is not None and clip.slot not in slots), None):
        raise ConfigError(f'there is no slot "{unknown}" in {name}', nearest(unknown, slots))
    stand = {slot: [clip for clip in given if clip.slot == slot] for slot in slots}
    waiting = [clip for clip in given if clip.slot is None]
    for slot, part in slots.items():
        if part.label is not None:
            room = None if part.most is None else max(0, part.most - len(stand[slot]))
            fitting = [place for place, clip in enumerate(waiting) if clip.label == part.label][:room]
            stand[slot] += [waiting[place] for place in fitting]
            waiting = [clip for place, clip in enumerate(waiting) if place not in fitting]
            if len(stand[slot]) < part.least:
                problem = f'slot {slot} of {name} takes {counted(part.least, "clip")} of "{part.label}", '
                problem += f"and {len(stand[slot])}"
                raise ConfigError(f"{problem} are given", "put more of them into a folder of that name")
    free = {slot: part for slot, part in slots.items() if part.label is None}
    counts = {slot: max(0, part.least - len(stand[slot])) for slot, part in free.items()}
    left = len(waiting) - sum(counts.values())
    if left < 0:
        needs = ", ".join(f"{slot} {part.least}" for slot, part in slots.items())
        problem = f"{counted(len(given), 'clip is given', 'clips are given')}, and {name} needs {len(given) - left}"
        raise ConfigError(problem, f"give {-left} more: {needs}")
    while left:
        roomy = [slot for slot, part in free.items() if len(stand[slot]) + counts[slot] < (part.most or len(given))]
        if not roomy:
            raise ConfigError(f"{name} has no room for {left} of {counted(len(given), 'clip')}", f"leave {left} out")
        for slot in roomy[:left]:
            counts[slot] += 1
        left -= len(roomy[:left])
    for slot, count in counts.items():
        stand[slot] += waiting[:count]
        waiting = waiting[count:]
    return stand


class FilledTemplate:
    """Makes a timeline of a template.

    Args:
        name: folder of the template, or the name of one that comes along.
        to: the file of the film: what a model makes is written beside it.
        model: which model is asked, in place of the template's.
        labels: what the template's labels are called by that model.
    """

    def __init__(
        self, name: Path, to: Path, *, model: Path | None = None, labels: Mapping[str, str] | None = None
    ) -> None:
        self.folder, self.template = find_template(name)
        self.name, self.labels = self.folder.name, dict(labels or {})
        self.beside = to.with_name(f"{to.stem}-made")
        self._asked = model or self.template.model
        self._model: Model | None = None
        self.new: list[Path] = []
        """Files that were made, the model's clips."""
        known = [part.generate.label for part in self.template.parts if part.generate and part.generate.label]
        for label in self.labels:
            if label not in known:
                raise ConfigError(f'{self.name} asks for no label "{label}"', nearest(label, known))

    def fill(
        self,
        given: Sequence[GivenClip],
        names: Mapping[str, str],
        music: Path | None = None,
        font: Path | None = None,
        watch: Callable[[int, int], object] = lambda *_: None,
    ) -> Timeline:
        """Return the timeline of the film; files are called by their whole paths, or stand beside the film.

        Args:
            given: the user's clips.
            names: what stands for the words of its titles.
            music: a file, in place of the template's music.
            font: a file, in place of the template's font.
            watch: is told how many fill-ins are made, of how many.

        Raises:
            ConfigError: clips are too few or too many, a slot, name or label is not known, or the model cannot do it.
            MediaError: a clip cannot be read, or is too short.
        """
        template = self.template
        for word in names:
            if word not in template.names:
                raise ConfigError(f'{self.name} has no name "{word}"', nearest(word, template.names))
        if missing := [word for word in template.needed if not names.get(word, "").strip()]:
            told = ", ".join(f"{word} ({template.names[word]})" for word in missing)
            raise ConfigError(f"{self.name} needs {told}", f"give --names {missing[0]}=…")
        ordered = sorted(given, key=lambda clip: taken_at(clip.path)) if template.order == "date" else given
        stand = divided(template, ordered, self.name)
        rows, made = list[tuple[TimelinePart, float]](), 0
        with self.refusable():
            for part in template.parts:
                as_is = {name: getattr(part, name) for name in ("place", "fit", "level", "transition")}
                about = {**as_is, "title": words_for(part.title, names)}
                if part.slot is not None:
                    rows += [
                        self.cut(part, clip, **about | ({"title": ""} if number else {}))
                        for number, clip in enumerate(stand[part.slot])
                    ]
                elif part.generate is not None:
                    made += 1
                    file = self.made(part.generate, part.seconds, made)
                    rows.append((TimelinePart(file=file, **about), part.seconds))
                    watch(made, sum(other.generate is not None for other in template.parts))
                elif part.file is not None:
                    rows.append(self.cut(part, GivenClip(self.folder / part.file), **about))
                elif about["title"]:
                    rows.append((TimelinePart(seconds=part.seconds, colour=part.colour, **about), part.seconds))
        heard, chosen = template.music, font or (None if template.font is None else self.folder / template.font)
        if heard is not None and heard.file is not None:
            heard = replace(heard, file=str((self.folder / heard.file).resolve()))
        if music is not None:
            heard = TimelineMusic(file=str(music.resolve()), level=0.5 if heard is None else heard.level)
        kept = {name: getattr(template, name) for name in ("height", "width", "fps", "fit", "sound", "level")}
        return Timeline(eased(rows), music=heard, font=None if chosen is None else str(chosen.resolve()), **kept)

    @contextlib.contextmanager
    def refusable(self) -> Iterator[None]:
        """Leave nothing that was made where something is refused in the block; what is stopped otherwise goes on."""
        try:
            yield
        except FootageError:
            for path in self.new:
                path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # it holds what was there before
                self.beside.rmdir()
            raise

    def cut(self, part: TemplatePart, given: GivenClip, **about: Any) -> tuple[TimelinePart, float]:
        """Return a clip as it stands in its place, and its seconds: the middle of it, where it is longer.

        Raises:
            MediaError: it cannot be read, or is too short.
        """
        measured = FilmMaker(Path()).measure(TimelinePart(file=str(given.path.resolve())))
        about |= {"file": str(given.path.resolve())} if given.clip is None else {"clip": given.clip}
        if measured.rate is None:
            return TimelinePart(seconds=part.seconds, **about), part.seconds
        seconds = float(measured.frames / measured.rate)
        if seconds < part.shortest:
            problem = (
                f'"{given.path.name}" lasts {seconds:.2f} s, and {self.name} needs {part.shortest:g} s of each clip'
            )
            raise MediaError(problem, "give a longer one, or leave it out")
        count = min(measured.frames, max(1, round(part.seconds * float(measured.rate))))
        first = (measured.frames - count) // 2
        return TimelinePart(first=first, last=first + count - 1, **about), float(count / measured.rate)

    def made(self, asked: FillIn, seconds: float, number: int) -> str:
        """Return the name of what a model makes, beside the film; what is there already is not made again.

        Raises:
            ConfigError: there is no model, or it does not know what it is asked for.
        """
        from footage.generation.model import Model

        if self._asked is None:
            raise ConfigError(f"{self.name} asks a model for clips, and names none", "give --model")
        model = self._model = self._model or Model(self._asked, "auto")
        label = None if asked.label is None else self.labels.get(asked.label, asked.label)
        if label is not None and not model.labels:
            raise ConfigError(
                f'{model.info.name} has no labels, and {self.name} asks it for "{label}"',
                f"give a model with labels, or change the template: footage template {self.name} --edit FOLDER",
            )
        if label is not None and not set(re.split(r"[+:]", label)) & set(model.labels):
            problem = f'{model.info.name} does not know the label "{label}", for which {self.name} asks'
            raise ConfigError(problem, f"give --labels {asked.label}=LABEL with one of {', '.join(model.labels)}")
        request = GenerateRequest(1, seed=asked.seed, label=label, text=asked.text, seconds=seconds)
        key = json_digest({**to_json(request), "weights": model.info.weights_sha256})[:10]
        path = self.beside / f"{number}-{key}.mp4"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            self.new.append(path)
            next(iter(model.clips(request))).save(path)
        return f"{path.parent.name}/{path.name}"


def eased(rows: Sequence[tuple[TimelinePart, float]]) -> tuple[TimelinePart, ...]:
    """Return parts, given with their seconds, whose transitions are shortened where a part is too short for them."""
    parts = []
    for number, (part, seconds) in enumerate(rows):
        told = part.transition
        if number and told is not None:
            most = 0.45 * min(seconds, rows[number - 1][1])
            part = replace(part, transition=replace(told, seconds=round(min(told.seconds, most), 2)))
        parts.append(part)
    return tuple(parts)
