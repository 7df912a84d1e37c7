"""Data sets for other programs: a folder of videos with a table, or shards of WebDataset.

`footage.data.ingest.layouts` and `archives` read both back, with their labels, captions and sides.
"""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from footage import files
from footage.data.store import ClipRow, Dataset, Frames, Split
from footage.errors import DatasetError
from footage.media.encode import write_clip
from footage.media.sound import as_stereo

Form = Literal["videofolder", "webdataset"]
FOLDERS: dict[Split, str] = {"train": "train", "heldout": "test"}
"""Where the clips of each side are written to, by the field's names."""
SHARD_CLIPS = 1_000
"""Clips of a shard, at most."""
CHUNK = 32
"""Frames that are held at once."""


@dataclass(frozen=True)
class WrittenClips:
    """A data set that was written for other programs."""

    to: Path
    form: Form
    clips: int
    files: tuple[Path, ...]
    """The tables of a folder, or the shards."""


def write_clips(
    dataset: Dataset, to: Path, form: Form, on_clip: Callable[[int], None] = lambda done: None
) -> WrittenClips:
    """Write the clips of a data set as mp4 (H.264, and AAC where there is sound), in constant memory.

    `videofolder` is what Hugging Face's `datasets` reads: `train/000000.mp4`, …, `train/metadata.jsonl`, `test/…`;
    `webdataset` is `train/000000.tar`, …: of each clip `.mp4`, `.json`, and `.txt` (a caption a line) and `.cls` (the
    number of its label) where there are such.

    Args:
        dataset: an open data set.
        to: a new or empty folder.
        form: which of the two.
        on_clip: called with how many clips are done.

    Raises:
        DatasetError: it holds volumes, or is locked, or the folder holds something.
        MediaError: the disk is full.
    """
    if dataset.info.volume is not None:
        raise DatasetError(f"{dataset.place} holds volumes", "they are no videos: give the files that it was made from")
    if dataset.is_locked:
        raise DatasetError(f"{dataset.place} is locked, and what is written would not be", "unlock a copy of it first")
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise DatasetError(f'"{to}" holds something', "give a new or empty folder")
    written, done = list[Path](), 0
    for split, folder in FOLDERS.items():
        rows = dataset.split(split)
        for first in range(0, len(rows), SHARD_CLIPS if form == "webdataset" else max(1, len(rows))):
            shard = rows[first : first + SHARD_CLIPS] if form == "webdataset" else rows
            path = to / folder / (f"{first // SHARD_CLIPS:06d}.tar" if form == "webdataset" else "metadata.jsonl")
            path.parent.mkdir(parents=True, exist_ok=True)
            write = write_shard if form == "webdataset" else write_folder
            for _ in write(dataset, shard, path, first):
                done += 1
                on_clip(done)
            written.append(path)
    return WrittenClips(to, form, done, tuple(written))


def write_folder(dataset: Dataset, rows: list[ClipRow], table: Path, first: int) -> Iterator[None]:
    """Write clips as videos beside their table, which comes last; yield behind each."""
    lines = []
    for number, row in enumerate(rows, start=first):
        name = f"{number:06d}.mp4"
        write_video(dataset, row, table.parent / name)
        lines.append({"file_name": name, "text": row.caption, **about(dataset, row)})
        yield
    files.write_lines(table, lines)


def write_shard(dataset: Dataset, rows: list[ClipRow], path: Path, first: int) -> Iterator[None]:
    """Write a shard of clips, each with what is known of it; yield behind each."""
    with (
        files.replacing(path) as temporary,
        tempfile.TemporaryDirectory(prefix="footage-", ignore_cleanup_errors=True) as scratch,
        tarfile.open(temporary, "w") as archive,
    ):
        for number, row in enumerate(rows, start=first):
            video = Path(scratch) / "clip.mp4"
            write_video(dataset, row, video)
            texts = {"json": json.dumps(about(dataset, row), ensure_ascii=False)}
            texts |= {"txt": row.caption} if row.caption else {}
            texts |= {"cls": str(dataset.info.labels.index(row.label))} if row.label in dataset.info.labels else {}
            for ending, content in {"mp4": video.read_bytes(), **{k: v.encode() for k, v in texts.items()}}.items():
                member = tarfile.TarInfo(f"{number:06d}.{ending}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            yield


def about(dataset: Dataset, row: ClipRow) -> dict[str, Any]:
    """Return what is known of a clip, apart from its caption."""
    known = {"label": row.label, "split": FOLDERS[row.split], "source": row.source, "start": row.start, "end": row.end}
    return known | {"frames": row.frames, "fps": dataset.info.fps}


def write_video(dataset: Dataset, row: ClipRow, path: Path) -> None:
    """Write a clip as mp4, with its sound."""

    def pictures() -> Iterator[Frames]:
        for first in range(0, row.frames, CHUNK):
            yield dataset.read(row, first, min(CHUNK, row.frames - first))

    sound = dataset.sound(row)
    stereo = None if sound is None else as_stereo([sound.samples], sound.rate)
    write_clip(path, pictures(), fps=dataset.info.fps, metadata={}, sound=stereo, mark=False)
