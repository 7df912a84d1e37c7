"""Verbs of the cutting room: real videos divided into shots, chosen from, joined and changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from footage.commands.generate import check_inputs, target_of
from footage.commands.terminal import make_console, phases, print_json, working
from footage.errors import ConfigError, MediaError, ModelError, counted, meant
from footage.files import locked
from footage.media.encoding import DEFAULT_ENCODING, EncodingOptions
from footage.media.geometry import Fit

if TYPE_CHECKING:
    from rich.console import Console

    from footage.generation.cutting.shots import CutFinder, ShotFinder, ShotList
    from footage.generation.cutting.summary import Choice, Survey
    from footage.generation.cutting.templates import GivenClip
    from footage.library.library import Library

ShotMethod = Literal["auto", "fine", "quick"]
"""How shots are found: by the network where it is installed; by it; by differences of frames."""


def _finder(method: ShotMethod) -> type[CutFinder] | type[ShotFinder]:
    """Return what finds shots.

    Raises:
        ModelError: the network is asked for, and not installed.
    """
    from footage.generation.cutting.shots import WEIGHTS, CutFinder, ShotFinder

    if method != "quick":
        try:
            WEIGHTS.path()
        except ModelError as error:
            if method == "fine":
                raise ModelError(
                    error.problem, f"{error.remedy}; or give --method quick, which finds hard cuts without it"
                ) from None
        else:
            return ShotFinder
    return CutFinder


def shots(
    videos: tuple[Path, ...], *, method: ShotMethod = "fine", json: bool = False, quiet: bool = False
) -> list[ShotList]:
    """List the shots of videos: where they are cut, and where pictures dissolve or fade.

    Args:
        videos: files.
        method: fine, by a network (extra shots); quick, by differences of frames, which finds hard cuts alone; auto,
            fine where the network is installed.
        json: print a list, with an object for each video.
    """
    from rich.table import Table

    from footage.generation.cutting.shots import find_shots

    if not videos:
        raise ConfigError("no video is given", "give one or more")
    console, finder = make_console(quiet), _finder(method)
    lists: list[ShotList] = []
    told: list[dict[str, Any]] = []
    for path in videos:
        with working(make_console(quiet, to_stderr=True), f"looking at {path.name}") as say:
            found = find_shots(path, finder, lambda seen, name=path.name: say(f"{name}: {seen:,} frames"))  # type: ignore[misc]
        lists.append(found)
        if json:
            rows = [
                {
                    "first": shot.first,
                    "end": shot.end,
                    "from": round(float(shot.first / found.rate), 3),
                    "to": round(float(shot.end / found.rate), 3),
                    "begins": shot.begins.kind if shot.begins else "video",
                    "confidence": round(shot.begins.confidence, 3) if shot.begins else None,
                }
                for shot in found.shots
            ]
            told.append({"file": path, "fps": float(found.rate), "frames": found.frames, "shots": rows})
            continue
        table = Table("shot", "from, s", "to, s", "frames", "begins with", "confidence", title=path.name)
        for number, shot in enumerate(found.shots, 1):
            times = (f"{float(at / found.rate):.2f}" for at in (shot.first, shot.end))
            begins = (shot.begins.kind, f"{shot.begins.confidence:.2f}") if shot.begins else ("video", "")
            table.add_row(str(number), *times, f"{shot.first}-{shot.end - 1}", *begins)
        console.print(table)
    if json:
        print_json(told)
    return lists


def join(
    clips: tuple[Path, ...],
    *,
    to: Path | None = None,
    transition: str = "fade",
    seconds: float | Literal["auto"] = 1.0,
    model: Path | None = None,
    fit: Fit = "letterbox",
    encoding: EncodingOptions = DEFAULT_ENCODING,
    quiet: bool = False,
) -> Path:
    """Join videos, with a transition between each two; sounds are faded into one another.

    Size and rate are those of the first. Stopped work goes on by the same command.

    Args:
        clips: two or more videos, in their order.
        to: the file to write: .mp4, .mov, .mkv or .webm; left out, FIRST-joined.mp4 here.
        transition: one of FFmpeg's xfade, such as fade, dissolve, wipeleft, circleopen; or morph, along what moves; or
            latent, through the latents of --model.
        seconds: how long each lasts; auto, as briefly as may be with no step from frame to frame larger than those of
            the videos themselves (95 of 100), up to five seconds.
        model: for latent: a model that has a code for every clip, such as lens-8, or a VAE.
        fit: how a picture of another shape is fitted in.
    """
    from footage.generation.cutting import joins

    target = target_of(clips, to, "joined")
    console = make_console(quiet)
    with phases(console) as show:
        frames = joins.join(
            clips,
            target,
            kind=transition,
            seconds=seconds,
            model=model,
            fit=fit,
            encoding=encoding,
            watch=lambda done: show("joining", done, done, target.name),
        )
    console.print(f"{counted(len(clips), 'clip')} joined, {counted(frames, 'frame')}: {target}")
    return target


def film(
    timeline: Path,
    *,
    to: Path | None = None,
    library: Path | None = None,
    music: Path | None = None,
    font: Path | None = None,
    keep: str | None = None,
    encoding: EncodingOptions = DEFAULT_ENCODING,
    quiet: bool = False,
) -> Path:
    """Make the film of a timeline: clips, pictures and titles with transitions, their sound, and music under it.

    A timeline is a file of JSON, as footage template and the studio write them, or the name of one that a library
    keeps. Memory does not grow with length; stopped work goes on by the same command. See docs/cutting.md.

    Args:
        timeline: the file, or with --library a name.
        to: the file to write: .mp4, .mov, .mkv or .webm; an edit list that opens on the clips: .otio, .edl, .fcpxml or
            .xml; or .json for the timeline itself. Left out, NAME-film.mp4 here.
        library: where clips are found that the timeline calls by number or digest.
        music: a file that is heard in place of the timeline's music.
        font: of the titles, in place of the timeline's.
        keep: keep the timeline, and its files as clips, in the library under this name: the studio opens it there.
    """
    import contextlib

    from footage.generation.cutting.films import LISTS, FilmMaker
    from footage.generation.cutting.films import keep as keep_timeline
    from footage.library.library import Library
    from footage.library.timelines import portable, read_timeline, write_timeline

    target = target_of((timeline, *filter(None, [music, library])), to, "film")
    if keep is not None and library is None:
        raise ConfigError(f'keep is "{keep}", and there is no library', "give --library too")
    console = make_console(quiet)
    with contextlib.ExitStack() as held:
        opened = None if library is None else held.enter_context(Library(library, create=keep is not None))
        named = opened is not None and not timeline.is_file()
        told = opened.timelines.get(str(timeline)) if opened and named else read_timeline(timeline)
        maker = FilmMaker(Path() if named else timeline.parent, opened, font=font, music=music)
        check_inputs(maker.sources(told), to, target)
        kept = told if opened is None or keep is None else keep_timeline(told, maker, opened, keep)
        if target.suffix.lower() == ".json":
            told = kept
            write_timeline(told if opened is None else portable(told, lambda clip: opened.get(clip).digest), target)
            console.print(f"{counted(len(told.parts), 'part')}: {target}")
            return target
        with phases(console) as show:
            made = maker.write(told, target, encoding, lambda done, total: show("film", done, total, target.name))
        console.print(f"{counted(len(told.parts), 'part')}, {float(made.frames / made.rate):.1f} s: {target}")
        if target.suffix.lower() in LISTS:
            console.print(
                "edit lists hold clips with in and out, and dissolves: other transitions are dissolves with a name, "
                "titles and music are left out"
            )
    return target


def template(
    name: Path,
    clips: tuple[Path, ...] = (),
    *,
    to: Path | None = None,
    names: tuple[str, ...] = (),
    model: Path | None = None,
    labels: tuple[str, ...] = (),
    music: Path | None = None,
    font: Path | None = None,
    library: Path | None = None,
    edit: Path | None = None,
    encoding: EncodingOptions = DEFAULT_ENCODING,
    quiet: bool = False,
) -> Path | list[str]:
    """Make a film of your clips by a template: for a birth, a graduation, or one of your own.

    Beside the film stand its timeline and what a model made; with --library the studio opens them too. footage template
    list shows what there is. Stopped work goes on by the same command.

    Args:
        name: of the template, or a folder with template.json; list to see those that come along.
        clips: videos and pictures in their order, or numbers of --library's clips; SLOT=CLIP says where one stands.
        to: the file to write: .mp4, .mov, .mkv or .webm; .json for the timeline alone. Left out, NAME-film.mp4 here.
        names: what stands in the titles: name=Anna date="12 May".
        model: which model makes what is missing, in place of the template's.
        labels: what the template's labels are called by that model: circle=beach.
        music: a file that is heard, in place of the template's music.
        font: of the titles; needed for writings that DejaVu Sans does not have.
        edit: copy the template into this folder, to be changed there, and make no film.

    Returns:
        The film, or the folder with --edit; the names of the templates for list.
    """
    import contextlib

    from footage.generation.cutting.films import FilmMaker, keep
    from footage.generation.cutting.templates import FilledTemplate, copy_template
    from footage.library.library import Library
    from footage.library.timelines import write_timeline

    console = make_console(quiet)
    if str(name) == "list":
        return list_templates(console)
    if edit is not None:
        console.print(f"to be changed: {copy_template(name, edit)}")
        return edit
    target = target_of((name, *clips, *filter(None, [music, library])), to, "film")
    film = target if target.suffix.lower() != ".json" else target.with_suffix(".mp4")
    made = FilledTemplate(name, film, model=model, labels=read_pairs(labels, "labels"))
    with contextlib.ExitStack() as held, phases(console) as show:
        opened = None if library is None else held.enter_context(Library(library))
        told = [given_clip(str(clip), opened) for clip in clips], read_pairs(names, "names", *made.template.needed[:1])
        with made.refusable():
            timeline = made.fill(*told, music, font, lambda done, total: show("filling in", done, total, made.name))
            maker, listed = FilmMaker(film.parent, opened), film.with_suffix(".json")
            check_inputs(maker.sources(timeline), to, film)
            made.new += [] if listed.exists() else [listed]
            write_timeline(timeline, listed, over=False)
            if opened is not None:
                keep(timeline, maker, opened, film.stem, before="")
        if target == film:
            maker.write(timeline, film, encoding, lambda done, total: show("film", done, total, film.name))
    console.print(f"{made.name}, {counted(len(timeline.parts), 'part')}: {target}; its timeline: {listed}")
    return target


def list_templates(console: Console) -> list[str]:
    """Print the templates that come along: what for, slots, the names that titles have; return their own names."""
    from rich.table import Table

    from footage.generation.cutting.templates import find_template, template_folders

    table = Table("template", "for", "slots", "names")
    for known in template_folders():
        told = find_template(Path(known))[1]
        slots = [f"{slot} {part.least}{'+' if part.most is None else ''}" for slot, part in told.slots.items()]
        table.add_row(known, told.about, ", ".join(slots), ", ".join(told.names))
    console.print(table)
    return list(template_folders())


def read_pairs(pairs: tuple[str, ...], flag: str, first: str = "") -> dict[str, str]:
    """Return what is given as WORD=TEXT by its words; a text without a word belongs to the first.

    Raises:
        ConfigError: a word is given twice, or none.
    """
    read: dict[str, str] = {}
    for pair in pairs:
        word, equals, text = pair.partition("=")
        word, text = (word.strip(), text) if equals else (first, pair)
        if not word or word in read:
            raise ConfigError(f'{flag} has "{pair}"', "give each once, as WORD=TEXT")
        read[word] = text
    return read


def given_clip(told: str, library: Library | None) -> GivenClip:
    """Return a clip as a person gives it: a file, or a number of a library, maybe SLOT= before it.

    Raises:
        LibraryError: the library has no such clip.
        MediaError: there is no such file.
    """
    from footage.generation.cutting.templates import GivenClip

    slot, equals, rest = told.partition("=")
    if not equals or Path(told).exists():
        slot, rest = "", told
    path = Path(rest)
    if library is not None and rest.isdecimal() and not path.exists():
        entry = library.get(int(rest))
        return GivenClip(library.path(entry.id), entry.id, entry.label or "", slot or None)
    if not path.is_file():
        raise MediaError(f'"{path}" does not exist', meant(path, "give a video or a picture"))
    return GivenClip(path, None, path.resolve().parent.name, slot or None)


def effects(
    file: Path,
    *,
    chain: Path,
    to: Path | None = None,
    encoding: EncodingOptions = DEFAULT_ENCODING,
    quiet: bool = False,
) -> Path:
    """Write a video with effects, one after another, as a file says; the video itself stays as it is.

    The file is JSON: {"version": 1, "effects": [{"kind": "stabilise"}, {"kind": "reframe", "shape": "9:16"}]}. Kinds:
    stabilise (seconds, margin), grade (lut: a .cube file), speed (ramp: [[seconds, speed], …]), reverse, boomerang,
    loop (least, most, blend: seconds), reframe (shape, seconds). Stopped work goes on by the same command.

    Args:
        file: the video.
        chain: the file of the chain.
        to: the file to write: .mp4, .mov, .mkv or .webm; left out, NAME-effects.mp4 here.
    """
    from footage.generation.cutting.effects import read_chain, render_effects

    target = target_of((file, chain), to, "effects")
    console, wanted = make_console(quiet), read_chain(Path(chain))
    with phases(console) as show:
        frames = render_effects(
            Path(file),
            wanted,
            target,
            encoding=encoding,
            watch=lambda done, total: show("effects", done, total, target.name),
        )
    console.print(f"{', '.join(effect.kind for effect in wanted)}, {counted(frames, 'frame')}: {target}")
    return target


def summary(
    videos: tuple[Path, ...],
    *,
    seconds: float = 30.0,
    to: Path | None = None,
    audio: Path | None = None,
    library: Path | None = None,
    album: str | None = None,
    method: ShotMethod = "auto",
    encoding: EncodingOptions = DEFAULT_ENCODING,
    quiet: bool = False,
) -> Choice:
    """Make a short film of videos that shows all that there is in them, in its order.

    Nothing is cut where somebody speaks. Printed is how much the moments that are left out are like those that are
    shown (coverage), beside as many pieces at even distances and at random. Stopped work goes on by the same command.

    Args:
        videos: one or more.
        seconds: how long it may be.
        to: the file to write: .mp4, .mov, .mkv or .webm; or an edit list that opens on the videos: .otio, .edl, .fcpxml
            or .xml. Left out, FIRST-summary.mp4 here.
        audio: music: pieces change on its beats, and it is heard in place of the videos.
        library: a library: the pieces are filed in it.
        album: name of its album for them; left out, that of the film.
        method: how shots are found, see footage shots.
    """
    return _shortened("summary", videos, seconds, 0.15, ("motion",), to, audio, library, album, method, encoding, quiet)


def highlights(
    videos: tuple[Path, ...],
    *,
    seconds: float = 30.0,
    by: tuple[str, ...] = ("motion", "rarity", "loudness", "taste"),
    to: Path | None = None,
    audio: Path | None = None,
    library: Path | None = None,
    album: str | None = None,
    method: ShotMethod = "auto",
    encoding: EncodingOptions = DEFAULT_ENCODING,
    quiet: bool = False,
) -> Choice:
    """Make a short film of the best of videos, in its order; as footage summary, but by what pieces are worth.

    Args:
        videos: one or more.
        seconds: how long it may be.
        by: what makes a piece worth seeing: motion, rarity (unlike the library's clips; without a library, unlike the
            other shots), loudness, taste (what the library's owner has kept so far). What cannot be had is left out.
        to: the file to write: .mp4, .mov, .mkv or .webm; or an edit list: .otio, .edl, .fcpxml or .xml. Left out,
            FIRST-highlights.mp4 here.
        audio: music: pieces change on its beats, and it is heard in place of the videos.
        library: a library: for rarity and taste; the pieces are filed in it.
        album: name of its album for them; left out, that of the film.
        method: how shots are found, see footage shots.
    """
    return _shortened("highlights", videos, seconds, 0.7, by, to, audio, library, album, method, encoding, quiet)


def _shortened(
    word: str,
    videos: tuple[Path, ...],
    seconds: float,
    weight: float,
    by: tuple[str, ...],
    to: Path | None,
    audio: Path | None,
    library: Path | None,
    album: str | None,
    method: ShotMethod,
    encoding: EncodingOptions,
    quiet: bool,
) -> Choice:
    """Survey videos, choose from them, and write what was chosen as film or edit list, and as clips of an album."""
    import contextlib
    import shutil

    from footage import files
    from footage.generation.cutting import joins
    from footage.generation.cutting.summary import summarise
    from footage.library.library import Library

    if not videos:
        raise ConfigError("no video is given", "give one or more")
    if album is not None and library is None:
        raise ConfigError(f'album is "{album}", and there is no library', "give --library too")
    target = target_of((*videos, *([audio] if audio else [])), to, word)
    console, kept = make_console(quiet), files.name_beside(target, ".", "-survey")
    with contextlib.ExitStack() as held:
        opened = None if library is None else held.enter_context(Library(library))
        show = held.enter_context(phases(console))
        surveys = [surveyed(path, kept, method, show) for path in videos]
        choice, film = summarise(surveys, seconds, weight=weight, by=by, song=audio, library=opened)
        about = {"source": [path.name for path in videos], word: seconds, "music": audio.name if audio else None}
        if target.suffix.lower() in (".otio", ".edl", ".fcpxml", ".xml"):
            joins.write_film_list(film, target)
        else:
            joins.write_film(
                film,
                target,
                about,
                encoding=encoding,
                watch=lambda done: show("writing", done, film.frames, target.name),
            )
        if opened is not None:
            joins.file_pieces(
                film, opened, album or target.stem, lambda done: show("filing", done, len(film.parts), "")
            )
    shutil.rmtree(kept, ignore_errors=True)
    console.print(
        f"{counted(len(choice.pieces), 'piece')}, {float(film.frames / film.rate):.1f} s: {target}\n"
        f"coverage {choice.coverage:.3f}; evenly spread {choice.uniform:.3f}, at random {choice.random:.3f}; "
        f"redundancy {choice.redundancy:.2f}"
    )
    return choice


def surveyed(path: Path, kept: Path, method: ShotMethod, show: Callable[[str, int, int, str], None]) -> Survey:
    """Survey a video, or read what was kept of it when the command was stopped."""
    from footage import files
    from footage.generation.cutting.summary import VERSION, Survey, survey

    status, finder = Path(path).stat() if Path(path).exists() else None, _finder(method)
    told = [str(Path(path).resolve()), status and [status.st_size, status.st_mtime_ns], finder.__name__, VERSION]
    file = kept / f"{files.json_digest(told)[:16]}.npz"
    if file.exists():
        return Survey.read(file, Path(path))
    found = survey(Path(path), finder, lambda seen: show("looking", seen, seen, Path(path).name))
    if locked.folder_of(path) is not None:  # it tells how every moment looks
        return found
    kept.mkdir(parents=True, exist_ok=True)
    found.save(file)
    return found
