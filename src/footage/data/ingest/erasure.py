"""Taking a source out of a dataset: its clips, sound, labels and captions, and every trace of its name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from footage import files
from footage.data.ingest import shards
from footage.data.ingest.pipeline import INNER, alone, find_source, ingested_from, sweep
from footage.data.ingest.shards import DecodeOptions, Wanted
from footage.data.store import Dataset, content_hash, save_tables
from footage.errors import DatasetError, nearest

PAGES = ("audit.html", "audit.json")
"""Pages that show clips, and are made anew by `footage audit`."""
ERASED = "shows the same as a source that was erased"


@dataclass(frozen=True)
class Erasure:
    """What was taken out of a dataset."""

    name: str
    """Of the dataset."""
    clips: int
    sources: tuple[str, ...]
    contents: tuple[str, ...]
    """SHA-256 of the sources' files."""
    paths: tuple[str, ...]
    """Where those files are, or were, as far as they are found."""
    content_hash: str
    """Of the dataset as it was before: what models were trained on."""


def named(folder: Path, source: str, known: Iterable[str]) -> list[str]:
    """Return the sources of a dataset that a name, a folder's name or a path stands for.

    Raises:
        DatasetError: it stands for none.
    """
    names, wanted = sorted(set(known)), Path(source).resolve()
    found = [name for name in names if name == source or name.startswith(f"{source.rstrip('/')}/")]
    for name in names if not found else ():
        place = find_source(folder, name)
        if place is not None and (place.resolve() == wanted or wanted in place.resolve().parents):
            found.append(name)
    if not found:
        raise DatasetError(f'"{folder}" has no source "{source}"', nearest(source, names))
    return found


def knows(folder: Path, source: str) -> bool:
    """Tell whether a dataset has a source, and look at all that could stop its erasure; nothing is changed.

    Raises:
        DatasetError: all its clips are of the source, or it was not made by an ingest.
    """
    dataset, state = Dataset(folder), shards.load_state(folder / INNER / "state.npz")
    if state is None:
        raise DatasetError(f'"{folder}" does not say how it was ingested', "ingest again, without the source")
    rows = [*(row.source for row in dataset.sources), *(row.source for row in dataset.rejections)]
    try:
        names = set(named(folder, source, [*state.sources, *rows]))
    except DatasetError:
        return False
    if all(row.source in names for row in dataset.rows):
        raise DatasetError(f'all clips of "{folder}" are of "{source}"', "remove the whole folder")
    return True


def erase_source(folder: Path, source: str) -> Erasure:
    """Take a source, or all of a folder of sources, out of a dataset; the same call again goes on where it was stopped.

    The shards that held its clips are written anew without them. A later ingest brings it back as long as its file is
    among what is ingested.

    Raises:
        DatasetError: there is no such source, no other would be left, or the dataset was not made by an ingest.
    """
    with alone(folder):
        dataset, state = Dataset(folder), shards.load_state(folder / INNER / "state.npz")
        if state is None:
            raise DatasetError(f'"{folder}" does not say how it was ingested', "ingest again, without the source")
        listed, rejections = dataset.sources, dataset.rejections
        known_names = [*state.sources, *(row.source for row in listed), *(row.source for row in rejections)]
        names = set(named(folder, source, known_names))
        contents = tuple(state.sources[name].record.content for name in sorted(names & set(state.sources)))
        kept = [row for row in dataset.rows if row.source not in names]
        if not kept:
            raise DatasetError(f'all clips of "{folder}" are of "{source}"', "remove the whole folder")
        states = {name: one for name, one in state.sources.items() if name not in names}
        places = {
            (name, round(clip.start, 4), clip.digest): (name, number)
            for name, one in states.items()
            for number, clip in enumerate(one.record.clips)
        }
        wanted: Sequence[Wanted] = [places[row.source, row.start, row.digest] for row in kept]
        known = dataset.info.settings | {"coding": dataset.info.coding, "quality": dataset.info.quality or 95}
        options = DecodeOptions(**{f.name: known[f.name] for f in fields(DecodeOptions) if f.name in known})
        for _ in shards.pack(folder, wanted, states, options):
            pass
        shards.save_state(folder / INNER / "state.npz", replace(state, sources=states), options)
        rows = []
        for row, (name, number) in zip(kept, wanted, strict=True):
            place = states[name].places[number]
            assert place is not None
            rows.append(replace(row, shard=place[0], offset=place[1]))
        spoken = [one for one in rejections if one.source not in names]
        spoken = [replace(one, detail=ERASED) if any(n in one.detail for n in names) else one for one in spoken]
        before, settings = dataset.info, dict(dataset.info.settings)
        settings.pop("examples", None)
        info = replace(
            before,
            clips=len(rows),
            labels=tuple(sorted({row.label for row in rows if row.label is not None})),
            content_hash=content_hash(rows, before.quality, [states[name].record.clips[i].heard for name, i in wanted]),
            settings=settings,
        )
        save_tables(folder, info, rows, spoken, [row for row in listed if row.source not in names])
        sweep(folder, replace(state, sources=states), parts=True)
        for page in PAGES:
            (folder / page).unlink(missing_ok=True)
        path = folder / INNER / "settings.json"
        remembered = json.loads(files.read_bytes(path))
        gone = {str(found) for name in names if (found := find_source(folder, name)) is not None}
        remembered["inputs"] = [given for given in ingested_from(folder) or () if given not in gone]
        files.write_json(path, remembered)
        sources = tuple(sorted(names))
        paths = tuple(sorted(str(Path(path).absolute()) for path in gone))
        return Erasure(before.name, len(dataset.rows) - len(rows), sources, contents, paths, before.content_hash)
