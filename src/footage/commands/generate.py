"""Verbs about models: list them, load one, make clips with it from seeds, show what it does, pass it on."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shlex
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from footage import files
from footage.commands.terminal import check_ending, make_console, phases, print_block, print_marked, tracked, working
from footage.config.presets import PRESETS
from footage.config.strict import arguments_of, require
from footage.errors import ConfigError, LockError, MediaError, ModelError, counted
from footage.files import locked
from footage.machines import remote
from footage.media.encoding import DEFAULT_ENCODING, GIF_RATE, VOLUME_FORMATS, EncodingOptions, Format, rate_note
from footage.media.geometry import NOTICE, Fit
from footage.models.requests import PLAIN, DeviceName, GenerateRequest, Timing
from footage.trust.locks import check_plain
from footage.trust.provenance import seal, unsigned

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from rich.console import Console

    from footage.data.interchange import WrittenClips
    from footage.generation.clip import Clip
    from footage.generation.export import Export
    from footage.generation.model import Model
    from footage.machines.cluster import Cluster

SHEET = "sheet.png"
"""The contact sheet's file."""
SHEET_CLIPS = 64
"""Most clips on a contact sheet."""
MOST_AT_ONCE = 16
"""Clips that a worker makes before it sends them, at most."""
CLIP_NAME = re.compile(r"(.+-)?\d{6,}(\.\w+)?|step-\d{3,}(\.\w+)?")
"""What clips of a folder are called: label and seed, or the step of a series."""
OF_ONE_CLIP = (
    *("made_with", "seed", "label", "text", "to_seed", "to_label", "to_text", "between", "step", "novel", "taste"),
)
"""What may differ in the metadata of clips that belong together."""
OF_ONE_WRITING = ("made_with", "mark", "novel", "taste", "notice", "unit")
"""What may differ in the metadata of a clip that is made again; the last two are added to volumes."""
LOOKED_AT = 256
"""Clips of a folder whose metadata are read, at most."""
SLIDER_PLACES = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
"""Values that sliders are shown at."""


def load(model: Path | str, device: str = "auto") -> Model:
    """Load a model folder; nothing in it can run code.

    Args:
        model: a model folder, a run, or the name of a model that comes with footage.
        device: where to compute; `auto` takes the best there is.

    Raises:
        ModelError: the folder is missing, damaged, tampered with, or made by a newer version.
    """
    from footage.generation.model import Model

    return Model(model, device)


def models(folder: Path = Path("."), *, quiet: bool = False) -> list[Path]:
    """List the models in a folder, those that come with footage, and the presets, with what each can do.

    Args:
        folder: where to look for models, with all its subfolders.
    """
    from rich.table import Column, Table

    from footage.models.card import PRETRAINED, model_folder, models_in, pretrained

    console = make_console(quiet)
    own = [path for path in models_in(Path(folder)) if not path.resolve().is_relative_to(PRETRAINED.resolve())]
    console.print(f"models in {folder}:" if own else f"no models in {folder}; train one with: footage train DATA")
    _print_models(console, {str(path): path for path in own})
    console.print("models that come with footage:", style="bold")
    _print_models(console, {name: model_folder(name) for name in pretrained()})
    table = Table(Column("preset", no_wrap=True), "what it is", title_justify="left")
    table.title = "presets, for: footage train DATA --preset NAME"
    for name, entry in PRESETS.items():
        table.add_row(name, entry.about)
    console.print(table)
    return own


def _print_models(console: Console, folders: Mapping[str, Path]) -> None:
    """Print what models can do and make, or why they are refused."""
    from footage.models.card import read_info

    for name, path in folders.items():
        try:
            info = read_info(path)
        except (LockError, ModelError) as error:
            print_block(console, name, {"refused": str(error)})
            continue
        clip = info.config.clip
        colours = "RGB" if clip.channels == 3 else "grey"
        about = {
            "for": f"footage {', '.join(info.use.verbs)}",
            "clips": f"{clip.frames} × {clip.width}×{clip.height}, {colours}, {info.fps:g} fps",
            "labels": ", ".join(info.labels),
            "sliders": str(info.sliders or ""),
            "trained on": f"{info.dataset}, {counted(info.clips_seen, 'clip')}",
        }
        print_block(console, name, about)


@dataclass(frozen=True, kw_only=True)
class GenerateOptions(GenerateRequest):
    """What `footage generate` is asked for: a request, and what becomes of the clips."""

    model: Path = field(kw_only=False)
    to: Path | None = field(default=None, kw_only=False)
    """folder for the clips, or an address of one, such as s3://bucket/clips; may be left out with a library."""
    count: int = 16
    sliders: str | None = None
    upscale: Path | None = None
    """a model folder of an upscaler, or a run: clips are made larger while they are made."""
    size: str | None = None
    """their size: 1280x720, a height such as 720p, or 2x. Where they are to grow and no upscaler is given, it is the
    one in the model's folder `upscaler`, or one beside the run that was trained on the same data, or one that comes
    with footage. Left out, the model's own, or as many times as large as a given upscaler makes them."""
    fit: Fit = "letterbox"
    """how a picture of another shape is fitted in, where a size is given."""
    format: Format = "mp4"
    """mp4 (H.264), webm (VP9), gif, mov, mkv, or png for folders of frames. Of models of volumes also nii (.nii.gz) and
    dicom (folders of slices marked synthetic), with values, spacing and orientation. Not a medical device: what is made
    is not for diagnosis."""
    encoding: EncodingOptions = DEFAULT_ENCODING
    """how they are packed."""
    mark: bool = True
    library: Path | None = None
    device: DeviceName = "auto"
    on: str | None = None
    """ray for workers on this machine, or ray://HOST:PORT for those of a cluster; left out, all is done in this
    process. See docs/scale.md."""
    workers: int | None = None
    """with on: units of work that are done at once; left out, as many as there are processors for."""
    quiet: bool = False

    def __post_init__(self) -> None:
        if self.best is not None and self.taste is None and self.library is not None:
            object.__setattr__(self, "taste", str(self.library))
        if self.on is not None and (self.novel is not None or self.best is not None):
            given = "novel" if self.best is None else "best"
            problem = f"{given} is given with on: which clips are left out is found out one by one"
            raise ConfigError(problem, "leave out --on")
        if self.format == "dicom" and self.library:
            raise ConfigError("format is dicom, and libraries keep volumes as .nii.gz", "give --format nii")
        if self.format in VOLUME_FORMATS and (self.size or self.upscale):
            raise ConfigError(f"format is {self.format}, and upscalers take clips", "leave --size out")
        super().__post_init__()


@arguments_of(GenerateOptions)
def generate(options: GenerateOptions) -> list[Path]:
    """Generate clips with a model folder, and a contact sheet of them. The same seed gives the same clip.

    Returns:
        The files written.
    """
    import torch

    from footage.generation.best import BestClips
    from footage.generation.novelty import NovelClips
    from footage.machines.cluster import connect
    from footage.media.sound import check_sound
    from footage.models.card import model_folder, read_info

    to, library = options.to, options.library
    console = make_console(options.quiet)
    if options.audio is not None:
        check_sound(options.format)
        options = replace(options, audio=str(Path(options.audio).absolute()))  # workers may be elsewhere
    read_info(model_folder(options.model))  # a wrong name is complained of first
    with output_folder(to, library) as out:
        loaded = load(options.model, options.device)
        volumes = options.format in VOLUME_FORMATS
        if loaded.info.volume is not None:
            if not volumes:
                console.print(
                    f"{options.format} shows slices as a clip, without values: --format nii or dicom keeps them"
                )
            print_marked(console, "volumes:", NOTICE)
        elif volumes:
            problem = f"format is {options.format}, and {loaded.info.name} makes clips, not volumes"
            raise ConfigError(problem, "give --format mp4")
        threads, place = torch.get_num_threads(), loaded.sampler.device.type
        with console.status("looking at the training clips" if options.novel or options.best else "loading"):
            clips = judged = loaded.clips(options, lambda text: print_marked(console, "warning:", text))
        if note := loaded.joins(options.length(loaded.info)):
            console.print(note)
        encoding = None if options.encoding == DEFAULT_ENCODING else options.encoding
        writer = ClipWriter(options.format, encoding, options.mark)
        resize: Callable[[Clip], Clip] | None = None
        if options.size is not None or options.upscale is not None:
            resize = loaded.resizer(options.size, options.fit, upscale=options.upscale, tell=console.print)
            clips, writer = map(resize, clips), replace(writer, encoding=options.encoding)
        if isinstance(judged, BestClips):
            with phases(console) as show:
                judged.watch = lambda: show("looking at clips", judged.looked, judged.total, "")
                judged.look()
        if options.novel is None and options.best is None:
            again = loaded.clips(options, lambda text: None)  # before any is made
            writer.refuse_others(again if resize is None else map(resize, again), out)
        with connect(options.on, options.workers, threads, place) as cluster:
            many = writer.write_all(clips, out)
            if cluster is not None:
                many = SeedRange(loaded, options, resize, writer, threads).write_on(cluster, out.path)
            many = tracked(many, options.count, "generating", console)
            written = _show_all(many, out, options.format, console if to is not None else make_console(quiet=True))
        filed = file_made(loaded, written, library, console)
        if isinstance(judged, NovelClips | BestClips):
            console.print(judged.summary())
    return filed if to is None else out.placed(written)


def interpolate(
    model: Path,
    clip: Path | None = None,
    end: Path | None = None,
    to: Path | None = None,
    *,
    steps: int = 8,
    slow: str | None = None,
    format: Format = "mp4",
    mark: bool = True,
    library: Path | None = None,
    device: DeviceName = "auto",
    quiet: bool = False,
) -> list[Path]:
    """Make clips that lie between two clips in a VAE's latent space, and a contact sheet of them; or a clip slower.

    With --slow no model is needed: footage interpolate CLIP --slow 4x makes pictures between those of a clip, along
    what moves, so that it goes as many times as slowly; without sound. Stopped, it goes on by the same command.

    Args:
        model: a model folder, or a run; with --slow the clip.
        clip: a video, or a folder of pictures: the first clip is its beginning, reconstructed.
        end: another: the last clip is its beginning, reconstructed.
        to: folder for the clips, or an address of one; may be left out with a library. With --slow the file, which may
            be left out.
        steps: how many clips, both ends included.
        slow: how many times as slowly the clip is to go, such as 4x.
        format: mp4 (H.264), webm (VP9), gif, or png for folders of frames.

    Returns:
        The files written.
    """
    console = make_console(quiet)
    if slow is not None:
        from footage.generation.cutting import flow

        if clip is not None:
            raise ConfigError(f'"{clip}" is given beside the clip that is to be slow', "give one clip, and --to FILE")
        if re.fullmatch(r"\d{1,3}x?", slow) is None:
            raise ConfigError(f'slow is "{slow}"', "give a whole number of times, such as 4x")
        target = target_of((model,), to, "slow")
        with phases(console) as show:
            frames = flow.slow(
                model, target, int(slow.rstrip("x")), watch=lambda done: show("in between", done, done, target.name)
            )
        console.print(f"{counted(frames, 'frame')}: {target}")
        return [target]
    if clip is None or end is None:
        raise ConfigError("two clips are needed", "give MODEL CLIP END; or CLIP --slow 4x")
    with output_folder(to, library) as out:
        loaded = load(model, device)
        clips = loaded.interpolate(clip, end, steps)
        for step in clips:
            refuse_overwriting((clip, end), _path(out.path, step, format))
        refuse_overwriting((clip, end), out.path / SHEET)
        shown = console if to is not None else make_console(quiet=True)
        written = _show_all(ClipWriter(format, mark=mark).write_all(clips, out), out, format, shown)
        filed = file_made(loaded, written, library, console, {"begin": clip, "end": end})
    return filed if to is None else out.placed(written)


@contextlib.contextmanager
def output_folder(to: Path | None, library: Path | None) -> Iterator[remote.Outgoing]:
    """Give the folder that clips are written into: the one that was asked for, else one that is gone afterwards.

    Raises:
        ConfigError: neither folder nor library was given.
    """
    if to is not None:
        with remote.sent(to) as out:
            yield out
    elif library is None:
        raise ConfigError("there is no place for the clips", "give --to FOLDER, or --library FOLDER, or both")
    else:
        if locked.folder_of(library) is not None:
            raise ConfigError(
                f'"{library}" is locked, and clips are written outside of it first', "give --to FOLDER too"
            )
        with tempfile.TemporaryDirectory(prefix="footage-") as folder:
            yield remote.Outgoing(folder, Path(folder))


def target_of(clips: Sequence[Path], to: Path | None, word: str) -> Path:
    """Return where to write, beside where this runs if nothing is said; refuse an address, and to write over a clip.

    Of locked clips something is written where that is said, and not beside.
    """
    chosen = Path(f"{Path(clips[0]).stem}-{word}.mp4") if to is None and clips else Path(to or "")
    remote.refuse_address(chosen, "to")
    check_inputs(clips, to, chosen)
    return chosen


def check_inputs(clips: Iterable[Path], to: Path | None, target: Path) -> None:
    """Refuse to write over what something is made of, and to make it plain of what is locked where no place was named.

    Args:
        clips: all files and folders that it is made of.
        to: the place that was named.
        target: where it is written.

    Raises:
        ConfigError: that would happen.
    """
    if to is None:
        check_plain(clips, "what is made of it", "give --to with a place for it")
    refuse_overwriting(clips, target)


def refuse_overwriting(clips: Iterable[Path], target: Path) -> None:
    """Refuse to write over clips that are read, and over a folder that holds one.

    Raises:
        ConfigError: that would happen.
    """
    for clip in clips:
        path = Path(clip).resolve()
        if target.resolve() == path:
            raise ConfigError(f'to is "{target}", the clip itself', "give another place to write")
        if target.resolve() in path.parents:
            raise ConfigError(f'to is "{target}", and the clip "{clip}" lies in it', "give another place to write")


def _path(to: Path, clip: Clip, format: Format) -> Path:
    """Return the file that a clip is written as, or the folder: named by its label and seed, or by its step."""
    about = clip.metadata
    if "step" in about:
        name = f"step-{about['step']:03d}"
    else:
        label = re.sub(r"[^\w-]+", "_", about["label"])[:60] + "-" if "label" in about else ""
        name = f"{label}{about['seed']:06d}"
    return to / (name + {"png": "", "nii": ".nii.gz"}.get(format, f".{format}"))


@dataclass(frozen=True)
class WrittenClip:
    """A clip that was written."""

    number: int
    path: Path
    """Its file, or folder."""
    fps: float
    metadata: dict[str, Any]
    strip: npt.NDArray[np.uint8] | None
    """Frames (T, H, W, C) for a contact sheet, where it is to be on one."""
    volume: bool = False
    """Whether that strip is the middle planes of a volume."""
    content: dict[str, bytes] = field(default_factory=dict)
    """Of a clip that was written on another machine: its file, or those in its folder, by name."""

    def bring_to(self, folder: Path) -> WrittenClip:
        """Write the content into a folder, atomically, and return the clip without it."""
        from footage.media.encode import replaced_folder

        path = folder / self.path.name
        if path.name in self.content:
            with files.replacing(path) as temporary:
                temporary.write_bytes(self.content[path.name])
                seal(temporary, self.metadata, path.name)  # by this machine's key, and not by a worker's
        else:
            with replaced_folder(path) as temporary:
                for name, content in self.content.items():
                    (temporary / name).write_bytes(content)
        return replace(self, path=path, content={})


@dataclass(frozen=True)
class ClipWriter:
    """Writes clips of known length into a folder."""

    format: Format
    encoding: EncodingOptions | None = None
    """None for settings that keep small pictures clean."""
    mark: bool = True
    """Whether clips are given the invisible mark."""

    def refuse_others(self, clips: Iterable[Clip], out: remote.Outgoing) -> None:
        """Refuse to write clips where others of the same names stand: of another model or request, or from elsewhere.

        The same clips may be written again. What stands at an address is fetched, where the name is the same.

        Raises:
            ConfigError: a clip would be lost.
            RemoteError: the address cannot be read.
        """
        from footage.media.encode import read_metadata
        from footage.media.probe import count_frames
        from footage.media.reader import Footage

        for clip in clips:
            about: dict[str, Any] = {}
            length = expected = clip.frames or 0
            with out.standing(_path(out.path, clip, self.format)) as path, contextlib.suppress(MediaError):
                if not path.exists():
                    continue
                about = read_metadata(path)  # what cannot be read is not this clip
                if self.format == "dicom":
                    length = len(list(path.glob("[!.]*.dcm")))
                elif self.format != "nii":
                    length = len(Footage(path).pictures) if path.is_dir() else count_frames(path).frames
            if self.format == "gif" and clip.fps > GIF_RATE:
                expected = max(1, round(expected * GIF_RATE / clip.fps))
            old, new = (
                json.loads(json.dumps({key: value for key, value in one.items() if key not in OF_ONE_WRITING}))
                for one in (about, clip.metadata)
            )
            if old.keys() == {"model", "seed"}:  # a folder of slices of an older version
                new = {"model": new["model"][:64], "seed": new["seed"]}
            if old != new or abs(length - expected) > (self.format == "gif"):
                raise ConfigError(
                    f'"{out.place}/{path.name}" is there already, and is another clip: of another model or request',
                    "give another folder with --to, or move that clip away",
                )

    def write_all(self, clips: Iterable[Clip], out: remote.Outgoing, first: int = 0) -> Iterator[WrittenClip]:
        """Write clips, the first of which is number `first` of all; see `refuse_others`."""
        from footage.media.encode import write_clip
        from footage.media.sheets import FramePicker
        from footage.media.volumes import middle_planes

        for number, clip in enumerate(clips, first):
            assert clip.frames is not None
            self.refuse_others([clip], out)
            path, picker = _path(out.path, clip, self.format), FramePicker(clip.frames)
            if clip.volume is not None and self.format in VOLUME_FORMATS:
                clip.save(path)
                planes = middle_planes(clip.array(), clip.volume.spacing)[None] if number < SHEET_CLIPS else None
                yield WrittenClip(number, path, clip.fps, clip.metadata, planes, volume=True)
                continue
            write_clip(
                path,
                picker.watch(clip.chunks()),
                fps=clip.fps,
                metadata=clip.metadata,
                encoding=self.encoding,
                sound=None if clip.sound is None else clip.sound(),
                sources=clip.sources,
                mark=self.mark,
            )
            yield WrittenClip(number, path, clip.fps, clip.metadata, picker.strip() if number < SHEET_CLIPS else None)


@dataclass(frozen=True)
class SeedRange:
    """Makes and writes the clips of some seeds of a request, in a worker: with the same arguments, the same bytes."""

    model: Model
    request: GenerateRequest
    resize: Callable[[Clip], Clip] | None
    writer: ClipWriter
    threads: int
    """Of PyTorch: the last digits of frames follow from their number."""

    def __call__(self, numbers: range) -> list[WrittenClip]:
        """Return clips, by their numbers within the request, with what was written."""
        import torch

        torch.set_num_threads(self.threads)
        clips = itertools.islice(self.model.clips(self.request), numbers.start, numbers.stop)
        with tempfile.TemporaryDirectory(prefix="footage-") as folder, unsigned():
            return [
                replace(
                    one,
                    content={
                        path.name: path.read_bytes()
                        for path in (sorted(one.path.iterdir()) if one.path.is_dir() else [one.path])
                    },
                )
                for one in self.writer.write_all(
                    clips if self.resize is None else map(self.resize, clips),
                    remote.Outgoing(folder, Path(folder)),
                    numbers.start,
                )
            ]

    def write_on(self, cluster: Cluster, folder: Path) -> Iterator[WrittenClip]:
        """Have all clips of the request made by workers, a few seeds each; write them into a folder as they come.

        Raises:
            ConfigError: the model is locked: Ray may put on a disk what workers are given.
        """
        check_plain([self.model.folder], "what workers are given", "give no --on")
        count = self.request.count
        few = max(1, min(MOST_AT_ONCE, count // (4 * cluster.slots)))
        units = [range(first, min(first + few, count)) for first in range(0, count, few)]
        with contextlib.closing(cluster.run(self, units)) as results:
            for _, clips in results:
                for clip in clips:
                    yield clip.bring_to(folder)


def _show_all(clips: Iterable[WrittenClip], out: remote.Outgoing, format: Format, console: Console) -> list[Path]:
    """Make a contact sheet of the first of clips that are written into a folder; return all their files, in order.

    Each clip goes on to its place as soon as it is whole. What the same model made there before, asked for the same, is
    on the sheet too.
    """
    import numpy as np

    from footage.media.reader import Footage, upright_picture
    from footage.media.sheets import contact_sheet, save_picture
    from footage.media.thumbnails import read_thumbnails
    from footage.media.volumes import planes_sheet

    made: list[WrittenClip] = []
    for clip in clips:
        if not made:
            tell_rate(console, format, clip.fps)
        made.append(clip)
        out.put(clip.path)
    made.sort(key=lambda clip: clip.number)
    written, metadata = [clip.path for clip in made], made[-1].metadata
    if made[0].volume:
        planes = [clip.strip[0] for clip in made if clip.strip is not None]
        save_picture(out.path / SHEET, planes_sheet(planes, [clip.path.name for clip in made[: len(planes)]]))
        console.print(f"{counted(len(written), 'volume')} and {SHEET}, their middle planes, in {out.place}")
        return written
    strips = {clip.path.stem: clip.strip for clip in made if clip.strip is not None}
    alike, others = made_before(out.path, written, metadata)
    side = max(next(iter(strips.values())).shape[1:3])
    for path in alike[: SHEET_CLIPS - len(strips)]:
        if path.is_dir():
            pictures = Footage(path).pictures
            chosen = [pictures[t] for t in np.linspace(0, len(pictures) - 1, 8).round().astype(int)]
            strips[path.stem] = np.stack([np.asarray(upright_picture(picture).convert("RGB")) for picture in chosen])
        else:
            with contextlib.suppress(MediaError):  # it is cut off
                strips[path.stem] = read_thumbnails(path, 8, side).pictures
    captions = sorted(strips, key=lambda name: (int(re.findall(r"\d+", name)[-1]), name))  # by seed or step
    save_picture(out.path / SHEET, contact_sheet([strips[caption] for caption in captions], captions))
    shown = f", which shows {len(captions) - min(len(written), SHEET_CLIPS)} made before too," if alike else ""
    console.print(f"{counted(len(written), 'clip')} and {SHEET}{shown} in {out.place}")
    if others:
        text = f"{out.place} holds clips that were made otherwise, by another model or with other settings, such as "
        print_marked(console, "warning:", f"{text}{others[0].name}: they are older, and not on {SHEET}")
    return written


def tell_rate(console: Console, suffix: str, fps: float) -> None:
    """Say what a format, by its ending, cannot keep of a rate."""
    if note := rate_note(suffix, fps):
        print_marked(console, "gif:", note)


def made_before(folder: Path, written: Iterable[Path], metadata: Mapping[str, Any]) -> tuple[list[Path], list[Path]]:
    """Return the clips that lay in a folder before those that were written now, as far as they tell how they were made.

    Args:
        folder: the first `LOOKED_AT` of them, by name, are looked at.
        written: clips that were written now.
        metadata: of one of these.

    Returns:
        Those of the same model and request, whatever their seed and label; and all others.
    """
    from footage.media.encode import read_metadata

    def made_as(about: Mapping[str, Any]) -> Any:
        return json.loads(json.dumps({key: value for key, value in about.items() if key not in OF_ONE_CLIP}))

    names = {path.stem for path in written}
    older = (path for path in sorted(folder.iterdir()) if CLIP_NAME.fullmatch(path.name) and path.stem not in names)
    alike: list[Path] = []
    others: list[Path] = []
    for path in itertools.islice(older, LOOKED_AT):
        about: dict[str, Any] = {}
        with contextlib.suppress(Exception):  # a damaged file tells nothing
            about = read_metadata(path)
        if "weights_sha256" in about:
            (alike if made_as(about) == made_as(metadata) else others).append(path)
    return alike, others


def file_made(
    loaded: Model,
    written: list[Path],
    library: Path | None,
    console: Console,
    parents: Mapping[str, Path] | None = None,
    metadata: dict[str, Any] | None = None,
) -> list[Path]:
    """File clips in a library where one is given, and print it; return their files there, or as they were written."""
    if library is None:
        return written
    filed = loaded.file_clips(written, library, parents, metadata)
    console.print(f"{len(filed):,} filed in {library}")
    return filed


def react(
    song: Path,
    to: Path | None = None,
    *,
    react: str | None = None,
    bpm_lock: str | None = None,
    fps: float = 25.0,
    quiet: bool = False,
) -> Path:
    """Show what is heard in a sound, and how a video would follow it, before it is generated with --audio.

    Args:
        song: a file of sound, or a video with sound.
        to: the .html page to write; left out, NAME-reaction.html here.
        react: what follows what is heard, as for generate; left out, kick:strength,chroma:content.
        bpm_lock: how often motion is fastest: 1/2, 1 or 2 times a beat, or off; left out, 1.
        fps: frames of the video in a second.
    """
    from footage.models.reactions import reaction_to, told_tempo, write_reaction_page

    console, song = make_console(quiet), Path(song)
    if to is None:
        check_plain([song], "what is heard in it", "give --to with a place for it")
    target = check_ending(Path(f"{song.stem}-reaction.html") if to is None else to, ".html")
    if not 1 <= fps <= 1000:
        raise ConfigError(f"fps is {fps}", "give 1 to 1000")
    with console.status("listening"):
        reaction = reaction_to(song, react, bpm_lock, fps)
    write_reaction_page(target, reaction, song.name)
    heard = reaction.heard
    beat = f"{told_tempo(heard)}, {counted(len(heard.beats), 'beat')}" if len(heard.beats) else "no beat"
    console.print(f"{song.name}, {heard.seconds:.1f} s: {beat}, {counted(len(heard.onsets), 'onset')}: {target}")
    print_marked(console, "warning:", *reaction.notes)
    return target


def sliders(
    model: Path,
    to: Path | None = None,
    *,
    count: int = 8,
    seed: int = 0,
    label: str | None = None,
    timing: Timing = PLAIN,
    device: DeviceName = "auto",
    quiet: bool = False,
) -> Path:
    """Show what a model's latent sliders do: a picture with a row for each, moved from -3 to 3 in one clip.

    The first changes most. They are found without training (SeFa); what each means is for people to see and name.

    Args:
        to: the .png file to write; left out, NAME-sliders.png here.
        count: how many sliders, from the first.
        seed: of the clip; what is shown is the frame in its middle.
        label: its class, or a mixture such as circle+square; left out, one as often as in the training data.
        timing: where to look and so on, of models that stream.
    """
    from footage.media.sheets import save_picture, table

    console = make_console(quiet)
    loaded = load(model, device)
    if to is None:
        check_plain([loaded.folder], "what it makes", "give --to with a place for it")
    target = check_ending(Path(f"{loaded.info.name}-sliders.png") if to is None else to, ".png")
    if count < 1:
        raise ConfigError(f"count is {count}", "give at least 1")
    known = loaded.generator.sliders
    loaded.moved({1: 0.0})  # complains of a model without any
    count = min(count, known)
    plain = _middle(loaded, seed, label, timing, {})
    with console.status("generating"):
        rows = [
            [_middle(loaded, seed, label, timing, {number: place}) if place else plain for place in SLIDER_PLACES]
            for number in range(1, count + 1)
        ]
    numbers, places = map(str, range(1, count + 1)), [f"{place:+g}" if place else "0" for place in SLIDER_PLACES]
    save_picture(target, table(rows, list(numbers), places))
    console.print(f"{count} of {counted(known, 'slider')} of {loaded.info.name}: {target}")
    return target


def _middle(
    loaded: Model, seed: int, label: str | None, timing: Timing, values: dict[int, float]
) -> npt.NDArray[np.uint8]:
    """Return the frame (H, W, C) in the middle of a clip whose sliders have these values."""
    (clip,) = loaded.generate(1, seed=seed, label=label, sliders=values, timing=timing)
    assert clip.frames is not None
    frames = itertools.chain.from_iterable(clip.chunks())
    frame: npt.NDArray[np.uint8] = next(itertools.islice(frames, clip.frames // 2, None))
    return frame


def compact(
    model: Path, to: Path, *, name: str | None = None, sources: tuple[str, ...] = (), quiet: bool = False
) -> Path:
    """Write a model folder anew in half as many bytes, to pass on; refused where it would make other clips.

    Matrices and kernels are kept in half precision (float16), and are float32 again when the model is loaded.

    Args:
        to: the folder to write; of a locked model one that is new, or locked: it is locked by the same key.
        name: of the new model; left out, that of the old one.
        sources: what it was trained on, and by what licence; a text each, for its README.

    Returns:
        The new model folder.
    """
    from footage.models.card import model_folder
    from footage.models.checkpoint import compact as write_compact

    console, to = make_console(quiet), Path(to)
    with console.status("comparing what it makes"):
        result = write_compact(model_folder(model), to, name, sources, say=console.print)
    sizes = f"{result.bytes_before / 1e6:.2f} MB are {result.bytes / 1e6:.2f} MB now"
    change = f"{result.mean_change:.3f} of 255 grey levels, at most {result.largest_change:.0f}"
    console.print(f"{sizes}; what {result.info.name} makes changes by {change}: {to}")
    return to


def export(
    model: str,
    *,
    onnx: Path | None = None,
    web: Path | None = None,
    videofolder: Path | None = None,
    webdataset: Path | None = None,
    precision: Literal["fp32", "fp16", "int8"] = "fp32",
    data: str | None = None,
    guide: str | None = None,
    quiet: bool = False,
) -> Export | WrittenClips:
    """Write a model for programs without footage: ONNX graphs, or a page that runs it live in any browser.

    Each graph is run beside the model and compared; export.json says what it is given and makes. Of a data set the
    clips are written: as videos with a table, or as shards.

    Args:
        model: a model folder, a run, or the name of a model that comes with footage; or a data set.
        onnx: the folder for graphs.
        web: the folder for the page and all that it needs; any static server shows it: python -m http.server.
        videofolder: the folder for a data set's clips as .mp4 and metadata.jsonl, as Hugging Face's datasets reads it.
        webdataset: the folder for a data set's clips in .tar files, as WebDataset reads them.
        precision: of the weights; fp16 halves the files, int8 quarters them; not where that takes more than 1 dB.
        data: clips that fp16 or int8 is judged by; left out, what is made is judged beside what fp32 makes.
        guide: the data set that the clips of --data are made from, for a translator of pairs.
    """
    console, places = make_console(quiet), {"onnx": onnx, "web": web}
    places |= {"videofolder": videofolder, "webdataset": webdataset}
    if len(given := [name for name, place in places.items() if place is not None]) != 1:
        flags = ", ".join(f"--{name} FOLDER" for name in places)
        raise ConfigError(f"{' and '.join(given) or 'nothing'} is given, and one is wanted", f"give one of {flags}")
    require(guide is None or data is not None, "guide", guide, "give --data too, the clips that are made from it")
    require(data is None or precision != "fp32", "data", data, "give --precision too: fp32 is judged by no clips")
    if (to := videofolder or webdataset) is not None:
        from footage.data.interchange import write_clips
        from footage.data.store import Dataset

        dataset = Dataset(model)
        with phases(console) as show:
            form: Literal["videofolder", "webdataset"] = "videofolder" if videofolder else "webdataset"
            written = write_clips(dataset, to, form, lambda done: show("writing", done, len(dataset.rows), ""))
        console.print(f"{counted(written.clips, 'clip')}: {written.to}")
        return written
    from footage.generation.export import clips_of, export_onnx, export_web

    loaded = load(model, "cpu")
    clips = None if data is None else clips_of(loaded.info.config, data, guide)
    with working(console, "writing") as say:
        to, write = (onnx, export_onnx) if web is None else (web, export_web)
        assert to is not None
        about = write(loaded, to, precision, lambda name: say(f"writing {name}"), clips)
    for graph in about.graphs:
        console.print(f"{graph.file}: differs from the model by {graph.difference:.1e} at most, {graph.psnr:.1f} dB")
    if precision != "fp32":
        console.print(f"{about.numbers} takes {about.fall:.2f} dB, judged beside the {about.beside}")
    if web is not None:
        console.print(f"Show it: python -m http.server --directory {shlex.quote(str(web))}")
    return about


def embed(
    model: Path, videos: tuple[Path, ...], to: Path, *, device: DeviceName = "auto", quiet: bool = False
) -> dict[str, Any]:
    """Write each clip's place in a VAE's latent space: clips that look and move alike lie near each other.

    Args:
        videos: videos, or folders of pictures.
        to: the .npz file to write: `names` (N,) and `vectors` (N, D), float32, for `numpy.load`.

    Returns:
        The vector of each clip, by its path.
    """
    import numpy as np

    if not videos:
        raise ConfigError("no clips are given", "give videos, or folders of pictures")
    console, to = make_console(quiet), check_ending(to, ".npz")
    check_plain(videos, "its vectors", "export copies of the clips first")
    loaded = load(model, device)
    vectors = {str(clip): loaded.embed(clip) for clip in tracked(videos, len(videos), "embedding", console)}
    with files.replacing(to) as temporary, open(temporary, "wb") as handle:
        np.savez(handle, names=np.array(list(vectors)), vectors=np.stack(list(vectors.values())))
    console.print(f"{counted(len(vectors), 'clip')}, {counted(len(next(iter(vectors.values()))), 'number')} each: {to}")
    return vectors
