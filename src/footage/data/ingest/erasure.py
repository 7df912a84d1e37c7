"""Taking a source out of a dataset: its clips, sound, labels and captions, and every trace of its name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path, PurePosixPath

from footage import files
from footage.data.ingest import shards
from footage.data.ingest.builder import INNER, alone, sweep
from footage.data.ingest.pipeline import find_source, ingested_from
from footage.data.ingest.shards import DecodeOptions, IngestState, Wanted
from footage.data.store import Dataset, content_hash, labels_of, save_tables
from footage.errors import ConfigError, DatasetError, nearest

PAGES = ("audit.html", "audit.json")
"""Pages that show clips, and are made anew by `footage audit`."""
ERASED = "shows the same as a source that was erased"


FORMAT, VERSION = "footage erasure", 1
"""Of the journal."""


@dataclass
class Erasure:
    """What is to be erased, as far as it was known before anything was.

    It stands as a journal in each place until all is done, so that the same command goes on where one was killed: what
    is erased from a dataset is what it takes to find its copies in libraries.

    Raises:
        ConfigError: the name is empty, as that of a variable that was not set.
    """

    source: str
    """As it was asked for."""
    digests: set[str] = field(default_factory=set)
    """SHA-256 of the files."""
    paths: set[str] = field(default_factory=set)
    """Where those files are, or were, as far as they are found."""
    hashes: dict[str, str] = field(default_factory=dict)
    """Names of datasets by the hash of their content before: what models were trained on."""
    sources: dict[Path, list[str]] = field(default_factory=dict)
    """Places, and which sources are erased from each; none for a library."""

    def __post_init__(self) -> None:
        if not self.source.strip().strip("/"):
            raise ConfigError(f'the source to be erased is "{self.source}"', "give its name, or the path of its file")

    def journal(self, place: Path) -> Path:
        return place / f"erasing-{files.json_digest(self.source)[:16]}.json"

    def read(self, place: Path) -> None:
        """Take up what was begun in a place and not ended.

        Raises:
            DatasetError: a newer version wrote it.
        """
        path = self.journal(place)
        if path.is_file():
            begun = json.loads(files.read_bytes(path))
            files.refuse_newer(begun["version"], VERSION, f'"{path}"', DatasetError)
            self.digests |= set(begun["digests"])
            self.paths |= set(begun["paths"])
            self.hashes |= begun["hashes"]
            self.sources[place] = begun["sources"]

    def foresee(self, folder: Path) -> None:
        """Take up what a dataset has of the source; look at all that could stop its erasure. Nothing is changed.

        Raises:
            DatasetError: all its clips are of the source, or it was not made by an ingest.
        """
        dataset, state = Dataset(folder), load_ingested(folder)
        try:
            names = named(folder, self.source, known_sources(dataset, state))
        except DatasetError:
            return
        self.sources[folder] = sorted({*names, *self.sources.get(folder, ())})
        if all(row.source in self.sources[folder] for row in dataset.rows):
            raise DatasetError(f'all clips of "{folder}" are of "{self.source}"', "remove the whole folder")
        self.digests |= {state.sources[name].record.content for name in names if name in state.sources}
        places = (find_source(folder, name) for name in names)
        self.paths |= {str(place.absolute()) for place in places if place is not None}
        self.hashes[dataset.info.content_hash] = dataset.info.name

    def begin(self) -> None:
        """Write the journals."""
        about = {"format": FORMAT, "version": VERSION, "source": self.source, "hashes": self.hashes}
        about |= {"digests": sorted(self.digests), "paths": sorted(self.paths)}
        for place, sources in self.sources.items():
            files.write_json(self.journal(place), about | {"sources": sources})

    def end(self) -> None:
        """Remove the journals: all is done."""
        for place in self.sources:
            self.journal(place).unlink(missing_ok=True)


def load_ingested(folder: Path) -> IngestState:
    """Return what an ingest remembers of its sources.

    Raises:
        DatasetError: the dataset was not made by one.
    """
    state = shards.load_state(folder / INNER / "state.npz")
    if state is None:
        raise DatasetError(f'"{folder}" does not say how it was ingested', "ingest again, without the source")
    return state


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


def known_sources(dataset: Dataset, state: IngestState) -> list[str]:
    """Return the names of the sources that a dataset knows, those too that it has rejected."""
    rows = [*(row.source for row in dataset.sources), *(row.source for row in dataset.rejections)]
    return sorted({*state.sources, *rows})


def find_named(folder: Path, digest: str) -> str:
    """Return the source, or folder of sources, whose name has a digest, of a dataset or of an erasure begun there.

    Raises:
        DatasetError: there is none.
    """
    begun = [str(json.loads(files.read_bytes(path))["source"]) for path in folder.glob("erasing-*.json")]
    names = known_sources(Dataset(folder), load_ingested(folder))
    above = [str(place) for name in names for place in PurePosixPath(name).parents]
    for name in (*begun, *names, *above):
        if files.json_digest(name) == digest:
            return name
    raise DatasetError(f'"{folder}" has no such source', "it may be erased already")


def who_saw(models: Sequence[tuple[str, str | None, str | None]], hashes: Mapping[str, str]) -> tuple[str, ...]:
    """Say which models have seen what data sets held, or may have.

    Args:
        models: name, data set and its hash of each.
        hashes: names of the data sets as they were, by their hashes.
    """
    other = "may have seen it: it learned from another state of"
    seen = [
        f"{name} has seen it" if digest in hashes else f"{name} {other} {dataset}"
        for name, dataset, digest in models
        if digest in hashes or dataset in hashes.values()
    ]
    return tuple(dict.fromkeys(seen))


def erase_sources(folder: Path, sources: Iterable[str]) -> int:
    """Take sources out of a dataset; return how many clips. The same call again goes on where it was stopped.

    The shards that held the clips are written anew without them. A later ingest brings a source back as long as its
    file is among what is ingested.

    Raises:
        DatasetError: no other clip would be left, or the dataset was not made by an ingest.
    """
    with alone(folder):
        dataset, state, names = Dataset(folder), load_ingested(folder), set(sources)
        listed, rejections = dataset.sources, dataset.rejections
        kept = [row for row in dataset.rows if row.source not in names]
        if not kept:
            raise DatasetError(f'all clips of "{folder}" would be erased', "remove the whole folder")
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
        whole = re.compile("|".join(rf"(?<![\w./-]){re.escape(name)}(?!\.?[\w/-])" for name in sorted(names)))
        spoken = [replace(one, detail=ERASED) if names and whole.search(one.detail) else one for one in spoken]
        before, settings = dataset.info, dict(dataset.info.settings)
        settings.pop("examples", None)
        info = replace(
            before,
            clips=len(rows),
            labels=labels_of(rows),
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
        return len(dataset.rows) - len(rows)
