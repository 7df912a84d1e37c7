"""The audit of a dataset: what is in it, what was left out and why, and what a model could be trained from it."""

from __future__ import annotations

import contextlib
import functools
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from footage import files
from footage.config import TextConfig
from footage.config.words import words_of
from footage.data.clips import ONE_BY_ONE, named_one_by_one
from footage.data.poisoning import find_in
from footage.data.store import Dataset
from footage.errors import counted
from footage.files import locked
from footage.pages.environment import write_page
from footage.trust.locks import check_plain

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

SCHEMA = 1
"""Version of what stands beside the page."""
NAMED = 5
"""Files named for each reason on the terminal; the page names them all, up to `pages.environment.LISTED`."""
RARE = 0.25
"""A label with less than this part of the clips of the median label is called rare."""
MEASURED_COPIES = ((8, 0.055), (20, 0.105), (24, 0.0), (54, 0.0), (65, 0.0))
"""Training clips, and the part of what a model made of them that is a near-copy in pixels: "Near-copies against the
number of clips" in docs/LOG.md."""
CUT = 0.02
"""Part of a picture that may be cut off without a word."""
EXPECT_COPIES_BELOW = min(clips for clips, share in MEASURED_COPIES if not share)
"""Training clips below which near-copies are to be expected, by these measurements; they say no more than that."""
RAREST = 12
"""Rare words of captions that are named."""
SHEET = (6, 5)
"""Clips on the sample sheet, and frames of each."""
CELL = 128
"""Frames on the sample sheet are at most this wide and high, in pixels."""


class Audit:
    """The facts about a dataset, ready to be shown.

    Args:
        dataset: the dataset.
        recommendation: what could be trained from it, as rows of (what, value), or None.
    """

    def __init__(self, dataset: Dataset, recommendation: Mapping[str, str] | None = None) -> None:
        self.dataset = dataset
        self.recommendation = list((recommendation or {}).items())

    @functools.cached_property
    def summary(self) -> list[tuple[str, str]]:
        """What the dataset is: (what, value)."""
        info, rows = self.dataset.info, self.dataset.rows
        lengths = [row.frames for row in rows]
        colour = "grey" if info.channels == 1 else "RGB"
        sources = self.dataset.sources
        stored = f"; JPEG of quality {info.quality}" if info.coding == "jpeg" else ""
        stored += "".join(f", also at 1/{scale} of their size" for scale in info.levels)
        used = sum(source.clips > 0 for source in sources) if sources else len({row.source for row in rows})
        summary = [
            ("clips", f"{len(rows):,} from {used:,} of {counted(len(sources) or used, 'source')}"),
            ("length", f"{_duration(sum(lengths) / info.fps)}; {counted(sum(lengths), 'frame')}"),
            ("frames", f"{info.width}×{info.height} {colour}, {info.fps:g} fps{stored}"),
        ]
        if info.volume is not None:
            low, high = info.volume.window
            steps = " × ".join(f"{step:g}" for step in info.volume.spacing)
            text = f"voxels {steps} mm (slices, rows, columns), {low:g} to {high:g} {info.volume.unit or '(no unit)'}"
            summary.append(("volumes", f"{text}; time is depth; not a medical device, not for diagnosis"))
        if reason := info.settings.get("rate_reason"):
            rate = str(info.settings.get("rate", ""))
            exactly = f" ({rate})" if "/" in rate else ""
            summary.append(("rate", f"{counted(info.fps, 'frame')} a second{exactly}: {reason}"))
        if lengths:
            middle = int(np.median(lengths))
            summary.append(
                ("clip length", f"{min(lengths)} to {counted(max(lengths), 'frame')}, half have at least {middle}")
            )
        for name, split in (("for training", "train"), ("held out", "heldout")):
            part = [row for row in rows if row.split == split]
            seconds = sum(row.frames for row in part) / info.fps
            count = len({row.source for row in part})
            summary.append(
                (name, f"{counted(len(part), 'clip')} from {counted(count, 'source')}, {_duration(seconds)}")
            )
        labels = [row.label for row in rows if row.split == "train" and row.label is not None]
        if len(labels) > 1 and named_one_by_one(labels):
            summary.append(("labels", f"not used: {ONE_BY_ONE}"))
        if self.captions:
            summary.append(("captions", self.captions))
        if heard := sum(row.sound for row in rows):
            summary.append(("sound", f"{heard:,} of {counted(len(rows), 'clip')}"))
        summary.append(("copies", self.novelty))
        sizes = Counter(f"{s.width}×{s.height}" for s in sources if s.width and s.height)
        rates = Counter(f"{s.fps:.4g}" for s in sources if s.fps)
        if sizes:
            summary.append(("source sizes", _counted(sizes) + self.cut_off))
        if rates:
            summary.append(("source fps", _counted(rates)))
        if notes := Counter(note for source in sources for note in source.notes):
            summary.append(("found in sources", _counted(notes)))
        summary += [("read as", str(layout)) for layout in info.settings.get("layouts", ())]
        ignored = info.settings.get("ignored")
        if isinstance(ignored, dict) and ignored:
            examples = info.settings.get("examples", {})
            named = {f"{k}, such as {examples[k]}" if k in examples else k: n for k, n in ignored.items()}
            summary.append(("files not taken", _counted(Counter(named))))
        return summary

    @functools.cached_property
    def cut_off(self) -> str:
        """What is said where sources have another shape than the frames and were cut to it; empty where nothing was."""
        info = self.dataset.info
        shapes = {row.width / row.height for row in self.dataset.sources if row.width and row.height}
        cut = any(abs(shape * info.height / info.width - 1) > CUT for shape in shapes)
        wanted = cut and info.settings.get("fit") == "crop"
        return "; what does not fit is cut off: --size auto makes a data set of their shape" if wanted else ""

    @functools.cached_property
    def captions(self) -> str:
        """How many captions there are, how long they are, and their rarest words; empty where there are none."""
        rows = [row.captions for row in self.dataset.rows if row.caption]
        texts = Counter(caption for captions in rows for caption in captions)
        if not texts:
            return ""
        words = {text: words_of(text) for text in texts}
        lengths = [len(said) for said in words.values()]
        counts = Counter(word for text, times in texts.items() for word in words[text] * times)
        rarest = sorted(counts.items(), key=lambda item: (item[1], item[0]))[:RAREST]
        usual = TextConfig().words
        long = sum(length > usual for length in lengths)
        parts = [
            f"{texts.total():,} of {len(rows):,} of {counted(len(self.dataset.rows), 'clip')}, "
            f"{len(texts):,} different",
            f"{min(lengths)} to {counted(max(lengths), 'word')}, half have at least {int(np.median(lengths))}",
            *([f"of {long:,} only the first {usual} words are read (--text.words)"] if long else []),
            f"{counted(len(counts), 'word')}, the rarest: {', '.join(f'{word} ({count:,})' for word, count in rarest)}",
        ]
        return "; ".join(parts)

    @property
    def novelty(self) -> str:
        """What is to be expected of models of so many training clips: copies, or none that were found."""
        if len(self.dataset.split("train")) < EXPECT_COPIES_BELOW:
            shares = ", ".join(f"with {clips} {share:.1%}" for clips, share in MEASURED_COPIES if share)
            return (
                "likely: where models learned from few clips, some of what they generated was nearly the same "
                f"({shares}, from {EXPECT_COPIES_BELOW} on none); train with --evaluate-metric copies, generate with "
                "--novel"
            )
        counts = ", ".join(str(clips) for clips, share in MEASURED_COPIES if not share)
        return (
            f"unlikely: models that had learned from {counts} clips of other data made none; footage generate --novel "
            "compares each generated clip with the training clips"
        )

    @functools.cached_property
    def labels(self) -> list[tuple[str, int, int, str]]:
        """(label, clips for training, clips heldout out, remark)."""
        train = Counter(row.label for row in self.dataset.rows if row.split == "train")
        heldout = Counter(row.label for row in self.dataset.rows if row.split == "heldout")
        names = sorted({name for name in {*train, *heldout} if name is not None})
        if not names:
            return []
        middle = float(np.median([train[name] + heldout[name] for name in names]))
        listed = []
        for name in names:
            count = train[name] + heldout[name]
            remark = "rare: add clips, or leave it out" if count < RARE * middle else ""
            if not remark and not heldout[name] and heldout:
                remark = "none held out: add clips, or ingest with a larger --heldout"
            remark = "held out only: a model cannot learn it" if not train[name] else remark
            remark = "one clip" if count == 1 and not remark else remark
            listed.append((name, train[name], heldout[name], remark))
        if None in train or None in heldout:
            listed.append(("(no label)", train[None], heldout[None], "not used to train with labels"))
        return listed

    @functools.cached_property
    def rejected(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """(reason, [(what was left out for it, why)]), the most frequent first."""
        reasons: dict[str, list[tuple[str, str]]] = {}
        for part in self.dataset.rejections:
            times = "" if part.start is None or part.end is None else f" {part.start:.2f}–{part.end:.2f} s"
            reasons.setdefault(part.reason, []).append((f"{part.source}{times}", part.detail))
        return sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0]))

    @functools.cached_property
    def faults(self) -> list[tuple[str, str]]:
        """(source, what is wrong with it) of sources that were used in part."""
        faults = []
        for source in self.dataset.sources:
            damages = []
            if source.damaged:
                damages.append(counted(source.damaged, "damaged frame or packet", "damaged frames or packets"))
            damages += ["ends before its declared length"] if source.truncated else []
            if damages and source.clips:
                problem = f" ({source.problem})" if source.problem else ""
                kept = counted(source.clips, "clip was kept", "clips were kept")
                faults.append((source.source, f"{', '.join(damages)}{problem}; {kept}"))
        return faults

    @functools.cached_property
    def cuts(self) -> list[tuple[str, str]]:
        """(source, when its scenes change) of sources with several scenes."""
        return [
            (
                source.source,
                f"{len(source.cuts)}, at {', '.join(f'{time:.2f}' for time in source.cuts[:50])} s"
                + (" …" if len(source.cuts) > 50 else ""),
            )
            for source in self.dataset.sources
            if source.cuts
        ]

    @functools.cached_property
    def suspicious(self) -> list[tuple[str, str]]:
        """(clips, why somebody should look at them), see `footage.data.poisoning`."""
        rows, listed = self.dataset.rows, []
        for each in find_in(self.dataset) if rows else ():
            named = [f"{rows[clip].source} {rows[clip].start:.2f}–{rows[clip].end:.2f} s" for clip in each.clips]
            more = f" and {len(named) - NAMED:,} more" if len(named) > NAMED else ""
            listed.append((", ".join(named[:NAMED]) + more, each.detail))
        return listed

    def text(self) -> Group:
        """Return the audit for the terminal, to be printed with rich."""
        from rich.console import Group
        from rich.table import Column, Table
        from rich.text import Text

        def grid(rows: Sequence[tuple[str, str]]) -> Table:
            grid = Table(Column(style="cyan"), Column(), show_header=False, box=None, padding=(0, 2, 0, 0))
            for row in rows:
                grid.add_row(*map(Text, row))
            return grid

        shown: list[Text | Table] = [Text(self.dataset.info.name, style="bold"), grid(self.summary)]
        if self.labels:
            table = Table("label", "training", "held out", "", title="Labels", title_justify="left", box=None)
            for label, train, held, remark in self.labels[:40]:
                table.add_row(Text(label), f"{train:,}", f"{held:,}", Text(remark, style="yellow"))
            if len(self.labels) > 40:
                table.add_row(f"and {len(self.labels) - 40} more", "", "", "")
            shown += [Text(), table]
        if self.rejected:
            shown += [Text(), Text(f"Left out ({sum(len(group) for _, group in self.rejected):,})", style="bold")]
            for reason, group in self.rejected:
                shown.append(Text(f"{reason}: {len(group):,}", style="yellow"))
                shown.append(_named(group, "rejected.jsonl, audit.html"))
        for title, rows in (
            ("Suspicious ({:,}): tampered with, or by chance; see for yourself", self.suspicious),
            ("Used in part ({:,})", self.faults),
            (f"Scene cuts ({counted(len(self.cuts), 'source')})", self.cuts),
        ):
            if rows:
                shown += [Text(), Text(title.format(len(rows)), style="bold"), _named(rows, "audit.html")]
        if self.recommendation:
            shown += [Text(), Text("What to train from it", style="bold"), grid(self.recommendation)]
        return Group(*shown)

    def write(self, path: Path | str) -> Path:
        """Write the audit as one HTML page that needs nothing else: no network, no scripts.

        Beside it, as JSON, stands what was measured and cannot be read off the data: see `read_recommendation`.

        Raises:
            ConfigError: the data set is locked, and the page would lie elsewhere, where it is not.
        """
        if self.dataset.is_locked and locked.folder_of(path) is None:
            check_plain([self.dataset.folder], f'"{path}"', "print the audit: footage audit")
        rows = [list(row) for row in self.recommendation]
        files.write_json(Path(path).with_suffix(".json"), {"schema": SCHEMA, "recommendation": rows})
        return write_page(
            path, "audit.html", audit=self, sheet=sample_sheet(self.dataset) if self.dataset.rows else b""
        )


def read_recommendation(folder: Path) -> dict[str, str]:
    """Return what an audit recommended to train from a data set, as `Audit` takes it; nothing where none did."""
    with contextlib.suppress(OSError, ValueError, TypeError, LookupError, RecursionError):
        value = json.loads((folder / "audit.json").read_text(encoding="utf-8"))
        if value["schema"] == SCHEMA:
            return {str(what): str(fact) for what, fact in value["recommendation"]}
    return {}


def _named(rows: Sequence[tuple[str, str]], where: str) -> Text:
    """Return the first of several remarks for the terminal, and where the others stand."""
    from rich.text import Text

    lines = [f"    {source}: {remark}" for source, remark in rows[:NAMED]]
    lines += [f"    and {len(rows) - NAMED:,} more ({where})"] if len(rows) > NAMED else []
    return Text("\n".join(lines))


def _counted(counts: Counter[str]) -> str:
    """Write the most common of several values, with how often each comes."""
    shown = ", ".join(f"{key} ({count:,})" for key, count in counts.most_common(6))
    return shown + (f" and {len(counts) - 6} more" if len(counts) > 6 else "")


def _duration(seconds: float) -> str:
    """Write a length of time in its usual unit."""
    if seconds < 60:
        return f"{seconds:.1f} seconds"
    return f"{seconds / 60:.1f} minutes" if seconds < 3600 else f"{seconds / 3600:.1f} hours"


def sample_sheet(dataset: Dataset, clips: int = SHEET[0], moments: int = SHEET[1]) -> bytes:
    """Return a PNG with some clips, one a row, each at equal steps through its length.

    The clips are spread evenly over the dataset.
    """
    from PIL import Image

    info = dataset.info
    scale = min(CELL / info.width, CELL / info.height)
    width, height = max(1, round(info.width * scale)), max(1, round(info.height * scale))
    count = min(clips, len(dataset.rows))
    chosen = [dataset.rows[i] for i in (np.arange(count) * len(dataset.rows) // max(count, 1)).tolist()]
    gap = 4
    sheet = Image.new("RGB", (moments * (width + gap) + gap, max(count, 1) * (height + gap) + gap), (128, 128, 128))
    smooth = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.BICUBIC
    for y, row in enumerate(chosen):
        for x in range(moments):
            frame = dataset.read(row, int((x + 0.5) * row.frames / moments), 1)[0]  # (1, H, W, C) → (H, W, C)
            image = Image.fromarray(np.asarray(frame[:, :, 0] if info.channels == 1 else frame)).convert("RGB")
            sheet.paste(image.resize((width, height), smooth), (gap + x * (width + gap), gap + y * (height + gap)))
    out = io.BytesIO()
    sheet.save(out, "PNG", optimize=True)
    return out.getvalue()
