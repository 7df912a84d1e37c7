"""The verbs that say of files where they come from and whether they were made, and the one that trains a detector."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from footage.commands.terminal import check_ending, make_console, phases, print_block, print_json
from footage.config.strict import require
from footage.errors import ConfigError, MediaError, ProvenanceError, counted, meant
from footage.trust.locks import lock_made_of
from footage.trust.provenance import Statement, examine

if TYPE_CHECKING:
    from rich.console import Console

    from footage.evaluation.detector import Detector, DetectorFigure, DetectorNet
    from footage.generation.model import Model
    from footage.media.decode import Frames
    from footage.trust.mark import Reading

READ = 512
"""Frames, from the first on, in which a mark is looked for."""
SAME = 28
"""Bits of 32 that a mark shares with a model whose clip it is: of another model's marks 1 in 100,000 does."""
CHANGED = LOOKS_MADE = 3
"""Exit status where a file was changed since it was signed; where one looks made, and no more is known of it."""
UNKNOWN = 4
"""Exit status where a file has no signature, and none was changed; where nothing was found in one."""
NOTHING = "no mark found; that does not say that it was filmed"
ATTACKS = (1.0, 2.0, 4.0)
"""Levels of 255 of the attacks that a detector is tested under."""


@dataclass(frozen=True)
class Verified:
    """What is known of files."""

    statements: dict[Path, Statement]
    marks: dict[Path, Reading]
    """What was read of the invisible mark, of files that can be decoded."""

    @property
    def exit_status(self) -> int:
        """0 where all are signed and unchanged."""
        states = {statement.state for statement in self.statements.values()}
        return CHANGED if "changed" in states else UNKNOWN if states & {"stripped", "unsigned"} else 0


def verify(
    videos: tuple[Path, ...],
    *,
    trust: tuple[Path, ...] = (),
    library: tuple[Path, ...] = (),
    json: bool = False,
    quiet: bool = False,
) -> Verified:
    """Say of files where they come from: signed and unchanged, changed, stripped, or unknown; and look for the mark.

    What is read is a C2PA manifest, as other programs write it too. A signature proves who signed, and that nothing was
    changed since; not that what is said is true. Exit status 0: all are signed and unchanged; 3: one was changed; 4:
    one has no signature. Without the extra `provenance` it looks for the mark alone, and ends with 2.

    Args:
        videos: files, videos and pictures.
        trust: files of certificates (PEM) whose signatures are trusted, beside those of this machine.
        library: libraries whose models' marks are known: weaker ones are found, and the model is named.
        json: print a list, with an object for each file.
    """
    from footage.media.encode import read_metadata
    from footage.trust.mark import message_of

    check_files(videos)
    anchors, names = "\n".join(map(read_certificates, trust)), known_marks(library)
    unread: ProvenanceError | None = None
    console, statements, marks = make_console(quiet), dict[Path, Statement](), dict[Path, "Reading"]()
    for path in videos:
        metadata = {}
        with contextlib.suppress(MediaError):  # of a file that no player reads a manifest may still be read
            metadata = read_metadata(path)
        try:
            statements[path] = examine(path, metadata, anchors)
        except ProvenanceError as error:
            if find_spec("c2pa") is not None:
                raise
            statements[path], unread = Statement("unread"), error  # the mark can be read all the same
        request = statements[path].request  # what is signed names models that do not come with footage
        if "weights_sha256" in request:
            names.setdefault(message_of(str(request["weights_sha256"])), str(request.get("model")))
        with contextlib.suppress(MediaError):
            marks[path] = read_mark(path, tuple(names))
    texts = dict.fromkeys(videos, "")
    for path, reading in marks.items():
        bits = f"model {reading.message:08x}" if reading.legible else "by which model cannot be read"
        texts[path] = f"made by footage, {made_by(reading, names) or bits}" if reading.present else "none found"
    if json:
        rows = [{"file": path, **asdict(told), "text": told.text} for path, told in statements.items()]
        print_json([row | {"mark": marks.get(row["file"]), "mark_text": texts[row["file"]]} for row in rows])
    else:
        for path, told in statements.items():
            model = " ".join(str(told.request[key]) for key in ("model", "seed", "label") if key in told.request)
            about = {"that is": told.text, "mark": texts[path], "signer": told.signer}
            parts = ", ".join(filter(None, (model, *told.ingredients)))
            print_block(console, f"{path}: {told.state}", about | {"source": told.digital_source, "made from": parts})
    if unread is not None:
        raise unread
    return Verified(statements, marks)


def read_mark(path: Path, known: Sequence[int] = ()) -> Reading:
    """Look for the invisible mark in a file's first frames; a weaker one is found where its message is `known`.

    Raises:
        MediaError: it cannot be decoded.
    """
    from footage.media.reader import Footage
    from footage.trust.mark import read

    clip = Footage(path)
    height, width = clip.size()
    chunks = clip.chunks(height=height, width=width, channels=3, fps=clip.rate() or 1)
    frames = (frame[None] for chunk in chunks for frame in chunk)
    return read(itertools.islice(frames, READ), known)


def read_certificates(path: Path) -> str:
    """Return a file of certificates that are trusted, PEM.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError(f'trust is "{path}", which cannot be read ({fault})', "give a file in PEM") from None


def check_files(paths: Sequence[Path]) -> None:
    """Refuse files that are not there."""
    for path in paths:
        if not path.is_file():
            raise ConfigError(f'there is no file "{path}"', meant(path, "give videos or pictures"))


def known_marks(libraries: Sequence[Path] = ()) -> dict[int, str]:
    """Return the names of the models that come with footage or made clips of libraries, by the messages of clips."""
    from footage.library.library import Library
    from footage.models.card import model_folder, pretrained, read_info
    from footage.trust.mark import message_of

    names = {message_of(read_info(model_folder(name)).weights_sha256): name for name in pretrained()}
    for folder in libraries:
        with Library(folder, create=False) as opened:
            names = {message_of(model.digest): model.name for model in opened.models()} | names
    return names


def made_by(reading: Reading, names: Mapping[int, str]) -> str:
    """Return whose clip a mark is of, of models by the messages of their clips; nothing where it is none of theirs."""
    if reading.known is not None:
        return names[reading.known]
    nearest = max(names, key=reading.agreement)
    return names[nearest] if reading.agreement(nearest) >= SAME else ""


@dataclass(frozen=True)
class Finding:
    """What was found of a file."""

    how: str
    """`mark`, `library`, `classifier`, or `nothing`."""
    text: str
    """What that says, in a sentence."""
    model: str = ""
    """Whose clip it is, where that is known."""
    clip: int | None = None
    """Of which clip of a library it is a copy."""
    false_alarm: float | None = None
    """Part of the clips that were not made in which as much is found, at most."""


@dataclass(frozen=True)
class Detected:
    """What was found of files."""

    findings: dict[Path, Finding]

    @property
    def exit_status(self) -> int:
        """0 where all were made for certain."""
        found = {finding.how for finding in self.findings.values()}
        return UNKNOWN if "nothing" in found else LOOKS_MADE if "classifier" in found else 0


def detect(
    videos: tuple[Path, ...],
    *,
    library: tuple[Path, ...] = (),
    detector: tuple[Path, ...] = (),
    quiet: bool = False,
) -> Detected:
    """Say of files whether they were made: by the invisible mark, by a copy in a library, at last by how they look.

    What is found first is told. Nothing is ever called real: "no mark found" is all that can be said of a file in which
    nothing was found. Exit status 0: all were made, by their marks or by clips of a library; 3: one only looks made; 4:
    in one nothing was found. To read what is signed, see footage verify.

    Args:
        videos: files, videos or pictures.
        library: libraries in which generated clips are looked for that these are copies of; marks of their models are
            known, and found where they are weaker.
        detector: files of footage detector, which tell how likely a clip is one of their models'.
    """
    from footage.evaluation.detector import load_detector
    from footage.trust.mark import message_of

    check_files(videos)
    loaded = [load_detector(path) for path in detector]
    names = known_marks(library) | {message_of(about.weights_sha256): about.model for _, about in loaded}
    console, findings = make_console(quiet), dict[Path, Finding]()

    for path in videos:
        try:
            found = by_mark(path, names) or by_copy(path, library, console) or by_looks(path, loaded)
        except MediaError as error:  # the others are looked at all the same
            found = Finding("nothing", f"it cannot be read: {error}")
        findings[path] = found or Finding("nothing", NOTHING)
    for path, finding in findings.items():
        print_block(console, f"{path}: {finding.how}", {"that is": finding.text})
    return Detected(findings)


def by_mark(path: Path, names: Mapping[int, str]) -> Finding | None:
    """Look for the mark in a file; `names` are those of models, by the messages of their clips."""
    reading = read_mark(path, tuple(names))
    if not reading.present:
        return None
    model = made_by(reading, names)
    text = f"made by footage{model and f', {model}'}: it bears the mark"
    return Finding("mark", text, model, false_alarm=reading.false_alarm)


def by_copy(path: Path, libraries: tuple[Path, ...], console: Console) -> Finding | None:
    """Look in libraries for a generated clip that a file is a copy of."""
    from footage.library.library import Library

    for folder in libraries:
        with Library(folder, create=False) as opened, phases(console) as show:
            found = opened.find(path, lambda done, of: show("fingerprints", done, of, ""))
        if found is not None and found.entry.origin == "generated":
            entry = found.entry
            seed = "" if entry.seed is None else f", seed {entry.seed}"
            what = "the same file as" if found.same == "bytes" else "a copy of"
            text = f"{what} clip {entry.id} of {folder}, made by {entry.model or 'footage'}{seed}"
            return Finding("library", text, entry.model or "", clip=entry.id)
    return None


def by_looks(path: Path, detectors: Sequence[tuple[DetectorNet, Detector]]) -> Finding | None:
    """Ask detectors how likely a file is a clip of their models; return the likeliest that is above its threshold."""
    from footage.evaluation.detector import judge
    from footage.media.reader import Footage

    best: Finding | None = None
    furthest = 0.0
    for net, about in detectors:
        clip = Footage(path)
        fps = about.fps or clip.rate() or 1
        chunks = clip.chunks(height=about.height, width=about.width, channels=3, fps=fps, fit="crop")
        logit = judge(net, chunks)
        if logit - about.threshold > furthest:
            wrong = about.most_false_alarms()
            text = f"looks made by {about.model} (p {(1 + math.tanh(logit / 2)) / 2:.2f})"
            text += f"; so do at most {wrong:.1%} of real clips (95%, {counted(about.sources, 'source')} tested)"
            best, furthest = Finding("classifier", text, about.model, false_alarm=wrong), logit - about.threshold
    return best


def detector(
    model: str,
    data: str,
    *,
    to: Path,
    clips: int = 200,
    within: float = 1.0,
    steps: int = 300,
    seed: int = 0,
    quiet: bool = False,
) -> Detector:
    """Train a network that tells a model's clips from real ones, for footage detect, and say how often it is wrong.

    Half of the files, and half of the clips made, teach it; the others test it: as they are, compressed, at half the
    size, and under attack by someone who has it and may change each value a little. It takes minutes, on a processor.
    Clips are made without the mark, so that it does not learn that.

    Args:
        model: a model folder, a run, or the name of a model that comes with footage.
        data: real clips: a folder of videos, a dataset folder, or the name of a built-in data set.
        to: the file, .safetensors. Of locked clips, or a locked model, it lies in a folder that is new, or locked.
        clips: windows of either kind.
        within: levels, of 255, of the attacks that it is trained under: it is harder to mislead then, and a little less
            sure of what is not attacked; 0 for none.
        steps: of training.
        seed: of what is generated, and of every draw.
    """
    from footage.data.clip_folder import ClipFolder
    from footage.data.clips import ClipSource, is_built_in, open_clips
    from footage.evaluation import detector as training
    from footage.generation.model import Model

    for name, value, least in (("clips", clips, training.LEAST), ("steps", steps, 1), ("within", within, 0)):
        require(value >= least, name, value, f"give at least {least}")
    to, console, info = check_ending(to, ".safetensors"), make_console(quiet), (loaded := Model(model, "cpu")).info
    height, width = (shape := info.config.clip).height, shape.width
    if shape.frames < training.WINDOW:
        remedy = f"a detector looks at {training.WINDOW}: give a model of more"
        raise ConfigError(f"{info.name} makes clips of {counted(shape.frames, 'frame')}", remedy)
    known = is_built_in(data) or (Path(data) / "dataset.json").exists()
    source: ClipSource = (
        open_clips(data, shape) if known else ClipFolder(Path(data), height=height, width=width, fps=info.fps)
    )
    told = training.Detector(
        info.name, info.weights_sha256, source.name, height, width, 0.0, within, 0, 0, {}, {}, fps=info.fps
    )
    with lock_made_of(to.parent, [data, model], console.print), phases(console) as show:

        def watch(phase: str, done: int, of: int) -> None:
            show(phase, done, of, "")

        real = training.patches_of(training.real_windows(source, clips, seed, height, width))
        made = training.patches_of(made_windows(loaded, clips, seed, watch))
        net, about = training.make_detector(real, made, told, attacks=ATTACKS, steps=steps, seed=seed, show=watch)
        training.save_detector(to, net, about)
    console.print(detector_table(about))
    tested = f"{about.real_tested} real clips, {about.made_tested} made ones"
    console.print(f"{tested}. Ask it: footage detect FILE --detector {to}")
    return about


def made_windows(
    model: Model, count: int, seed: int, watch: Callable[[str, int, int], object]
) -> Iterator[tuple[str, Frames]]:
    """Yield a name and a window, (WINDOW, H, W, C), of each clip that a model generates: anywhere, as of real ones."""
    import numpy as np

    from footage.evaluation.detector import WINDOW

    rng = np.random.Generator(np.random.Philox(key=[seed, 0x3ADE]))
    for number, clip in enumerate(model.generate(count, seed=seed), 1):
        start = int(rng.integers(max(WINDOW, clip.frames or 0) - WINDOW + 1))
        frames = itertools.chain.from_iterable(clip.chunks())
        yield str(number), np.stack(list(itertools.islice(frames, start, start + WINDOW)))
        watch("generating", number, count)


def detector_table(about: Detector) -> Table:
    """Lay out how often a detector is wrong, by what clips have been through."""

    def area(figure: DetectorFigure | None) -> str:
        if figure is None:
            return ""
        reach = "" if figure.low is None else f" [{figure.low:.3f}, {figure.high:.3f}]"
        return f"{figure.auc:.3f}{reach}"

    table = Table(
        "clips that taught it nothing", "AUC", "real taken for made", "made taken for real", "AUC, no attacks"
    )
    for name, figure in about.figures.items():
        plain = about.plain.get(name)
        table.add_row(name, area(figure), f"{figure.false_alarms:.1%}", f"{figure.misses:.1%}", area(plain))
    return table
