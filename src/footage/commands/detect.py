"""The verbs that say of files whether they were made: `detect`, and `detector`, which trains what is asked last."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from footage.commands.terminal import make_console, phases
from footage.errors import ConfigError, MediaError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import Console

    from footage.evaluation.detector import Detector, DetectorFigure, DetectorNet
    from footage.media.decode import Frames

LOOKS_MADE, UNKNOWN = 3, 4
"""Exit status where a file looks made, and no more is known of it; where nothing was found in one."""
NOTHING = "no mark found; that does not say that it was filmed"
ATTACKS = (1.0, 2.0, 4.0)
"""Levels of 255 of the attacks that a detector is tested under."""


@dataclass(frozen=True)
class Finding:
    """What was found of a file."""

    how: str
    """`mark`, `library`, `classifier`, or `nothing`."""
    text: str
    """What that says, in a sentence."""
    model: str = ""
    """Whose clip it is, where that is known."""
    false_alarm: float | None = None
    """Part of the clips that were not made in which as much is found."""


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
        library: libraries in which generated clips are looked for that these are copies of.
        detector: files of footage detector, which tell how likely a clip is one of their models'.
    """
    from rich.table import Table

    from footage.evaluation.detector import load_detector
    from footage.models.card import model_folder, pretrained, read_info
    from footage.trust.mark import message_of

    for path in videos:
        if not path.is_file():
            raise ConfigError(f'there is no file "{path}"', "give videos or pictures")
    loaded = [load_detector(path) for path in detector]
    names = {message_of(read_info(model_folder(name)).weights_sha256): name for name in pretrained()}
    names |= {message_of(about.weights_sha256): about.model for _, about in loaded}
    console, findings = make_console(quiet), dict[Path, Finding]()

    for path in videos:
        try:
            found = by_mark(path, names) or by_copy(path, library, console) or by_looks(path, loaded)
        except MediaError as error:  # the others are looked at all the same
            found = Finding("nothing", f"it cannot be read: {error}")
        findings[path] = found or Finding("nothing", NOTHING)
    table = Table("file", "by", "what was found")
    for path, finding in findings.items():
        table.add_row(path.name, finding.how, finding.text)
    console.print(table)
    return Detected(findings)


def by_mark(path: Path, names: Mapping[int, str]) -> Finding | None:
    """Look for the mark in a file; `names` are those of models, by the messages of their clips."""
    from footage.commands.trust import SAME, read_mark

    reading = read_mark(path, tuple(names))
    if not reading.present:
        return None
    nearest = max(names, key=reading.agreement)
    model = names[nearest] if reading.agreement(nearest) >= SAME else ""
    return Finding("mark", f"made by footage{model and f', {model}'}: it bears the mark", model, reading.false_alarm)


def by_copy(path: Path, libraries: tuple[Path, ...], console: Console) -> Finding | None:
    """Look in libraries for a generated clip that a file is a copy of."""
    from footage.library.library import Library

    for folder in libraries:
        with Library(folder, create=False) as opened, phases(console) as show:
            found = opened.find(path, lambda done, of: show("fingerprints", done, of, ""))
        if found is not None and found.entry.origin == "generated":
            entry = found.entry
            seed = "" if entry.seed is None else f", seed {entry.seed}"
            text = f"a copy of clip {entry.id} of {folder}, made by {entry.model or 'footage'}{seed}"
            return Finding("library", text, entry.model or "")
    return None


def by_looks(path: Path, detectors: Sequence[tuple[DetectorNet, Detector]]) -> Finding | None:
    """Ask detectors how likely a file is a clip of their models; return the likeliest that is above its threshold."""
    from footage.evaluation.detector import SEEN, judge
    from footage.media.reader import Footage

    best: Finding | None = None
    furthest = 0.0
    for net, about in detectors:
        clip = Footage(path)
        chunks = clip.chunks(height=about.height, width=about.width, channels=3, fps=clip.rate() or 1, fit="crop")
        logit = judge(net, chunks)
        if logit - about.threshold > furthest:
            wrong = max(about.figures[how].false_alarms for how in SEEN)  # nobody says what a file has been through
            text = f"looks made by {about.model} (p {1 / (1 + math.exp(-logit)):.2f})"
            text += f"; so do up to {wrong:.1%} of {about.real_tested} real clips"
            best, furthest = Finding("classifier", text, about.model, wrong), logit - about.threshold
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
        to: the file, .safetensors.
        clips: windows of either kind.
        within: levels, of 255, of the attacks that it is trained under: it is harder to mislead then, and a little less
            sure of what is not attacked; 0 for none.
        steps: of training.
        seed: of what is generated, and of every draw.
    """
    import numpy as np
    from rich.table import Table

    from footage.data.clip_folder import ClipFolder
    from footage.data.clips import ClipSource, is_built_in, open_clips
    from footage.evaluation import detector as training
    from footage.generation.model import Model

    for name, value, least in (("clips", clips, training.LEAST), ("steps", steps, 1), ("within", within, 0)):
        if value < least:
            raise ConfigError(f"{name} is {value:g}", f"give at least {least}")
    if to.suffix != ".safetensors":
        raise ConfigError(f'to is "{to}"', "give a file that ends in .safetensors")
    console, info = make_console(quiet), (loaded := Model(model, "cpu")).info
    shape = info.config.clip
    if shape.frames < training.WINDOW:
        raise ConfigError(
            f"{info.name} makes clips of {shape.frames} frames",
            f"a detector looks at {training.WINDOW}: give a model of more",
        )
    known = is_built_in(data) or (Path(data) / "dataset.json").exists()
    height, width = shape.height, shape.width
    source: ClipSource = (
        open_clips(data, shape) if known else ClipFolder(Path(data), height=height, width=width, fps=info.fps)
    )
    with phases(console) as show:

        def made() -> Iterator[tuple[str, Frames]]:
            for number, clip in enumerate(loaded.generate(clips, seed=seed), 1):
                frames = itertools.islice((frame for chunk in clip.chunks() for frame in chunk), training.WINDOW)
                yield str(number), np.stack(list(frames))
                show("generating", number, clips, "")

        told = training.Detector(info.name, info.weights_sha256, source.name, height, width, 0.0, within, 0, 0, {}, {})
        real = training.patches_of(training.real_windows(source, clips, seed, height, width))
        net, about = training.make_detector(
            real,
            training.patches_of(made()),
            told,
            attacks=ATTACKS,
            steps=steps,
            seed=seed,
            show=lambda phase, done, of: show(phase, done, of, ""),
        )
    training.save_detector(to, net, about)
    table = Table(
        "clips that taught it nothing", "AUC", "real taken for made", "made taken for real", "AUC, no attacks"
    )
    for name, figure in about.figures.items():
        plain = about.plain.get(name)
        table.add_row(name, _auc(figure), f"{figure.false_alarms:.1%}", f"{figure.misses:.1%}", _auc(plain))
    console.print(table)
    console.print(
        f"{about.real_tested} real clips, {about.made_tested} made ones. Ask it: footage detect FILE --detector {to}"
    )
    return about


def _auc(figure: DetectorFigure | None) -> str:
    """Return an area under the curve with its interval."""
    if figure is None:
        return ""
    reach = "" if figure.low is None else f" [{figure.low:.3f}, {figure.high:.3f}]"
    return f"{figure.auc:.3f}{reach}"
