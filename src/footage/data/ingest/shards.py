"""Packing the clips of all sources into a few large shards, and remembering what is packed where."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from footage import files
from footage.data.ingest.parts import PartRecord, Recipe, read_frames
from footage.media.signatures import Signature

SHARD_BYTES = 128 * 2**20
"""A shard is closed when the next clip would make it larger than this."""
STATE = "state.npz"


@dataclass
class Holding:
    """What a dataset holds of one source."""

    stamp: list[list[int]]
    """Size and time of change (ns) of each file of the source."""
    recipe: str
    """Digest of the options that it was decoded with."""
    record: PartRecord
    """What was found out about it."""
    signatures: list[Signature]
    """One for each clip of the record."""
    split: str | None = None
    """The side that was assigned to it, or None for a source without clips."""
    places: list[tuple[str, int] | None] = field(default_factory=list)
    """Shard and offset of each clip of the record; None for one that was not packed."""
    part: Path | None = None
    """The part that holds the frames, or None once it was packed."""


@dataclass
class State:
    """What an earlier ingest left in the folder."""

    heldout: float
    """The held-out part that the splits were assigned with."""
    holdings: dict[str, Holding]
    """The sources by name."""


def save_state(path: Path, state: State, recipe: Recipe) -> None:
    """Write the state as one file, atomically."""
    rows = []
    marks: list[Signature] = []
    for name, held in state.holdings.items():
        marks += held.signatures
        places = [list(place) if place else None for place in held.places]
        row = {"name": name, "stamp": held.stamp, "recipe": held.recipe, "split": held.split, "places": places}
        rows.append({**row, "record": asdict(held.record)})
    text = json.dumps({"heldout": state.heldout, "sources": rows}, ensure_ascii=False).encode("utf-8")
    block = np.stack(marks) if marks else np.zeros((0, *recipe.signature_shape), dtype=np.uint8)
    with files.replacing(path) as temporary, open(temporary, "wb") as handle:
        np.savez(handle, signatures=block, sources=np.frombuffer(text, dtype=np.uint8))


def load_state(path: Path) -> State | None:
    """Read the state; None where there is none or it cannot be used, which costs a new decoding only."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            marks = list(stored["signatures"])
            value: dict[str, Any] = json.loads(stored["sources"].tobytes())
        state = State(value["heldout"], {})
        at = 0
        for row in value["sources"]:
            record = PartRecord.from_json(row["record"])
            own = marks[at : at + len(record.clips)]
            at += len(own)
            places = [(place[0], place[1]) if place else None for place in row["places"]]
            state.holdings[row["name"]] = Holding(row["stamp"], row["recipe"], record, own, row["split"], places)
    except Exception:  # NumPy's header parser lets through whatever Python's own raises
        return None
    return state


def shard_frames(path: Path, recipe: Recipe) -> int | None:
    """Return the number of frames in a shard, or None when it is missing, cut off or of another shape."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception:  # NumPy's header parser lets through whatever Python's own raises
        return None
    return len(array) if array.dtype == np.uint8 and array.shape[1:] == recipe.shape else None


Wanted = tuple[str, int]
"""A clip to pack: name of the source, index among the clips of its record."""


def pack(folder: Path, wanted: Sequence[Wanted], holdings: dict[str, Holding], recipe: Recipe) -> Iterator[int]:
    """Bring the wanted clips into shards; yield how many are done, now and then.

    A shard of an earlier ingest stays when all of it is still wanted and it is not small. What
    stands in the others is copied, together with what is new, to new shards. On return each
    wanted clip has its place in `holdings`; the old shards are still there.

    Raises:
        OSError: a shard cannot be written; what was there before is untouched.
    """
    chosen = set(wanted)
    used: Counter[str] = Counter()
    for name, i in wanted:
        if place := holdings[name].places[i]:
            used[place[0]] += holdings[name].record.clips[i].frames
    totals = {shard: shard_frames(folder / shard, recipe) or 0 for shard in used}
    moved = {shard for shard in used if used[shard] < totals[shard]}
    if any(not holdings[name].places[i] for name, i in wanted):  # a small last shard is filled up
        moved |= {shard for shard in used if totals[shard] * recipe.frame_bytes < SHARD_BYTES // 2}
    queue = [(name, i) for name, i in wanted if not (place := holdings[name].places[i]) or place[0] in moved]
    number = 1 + max((_number(path.name) for path in folder.glob("shard-*.npy")), default=-1)
    written: list[Path] = []
    new_places: dict[Wanted, tuple[str, int]] = {}
    try:
        for group in _groups(queue, holdings, recipe):
            path = folder / f"shard-{number + len(written):05d}.npy"
            written.append(path)
            _write_shard(folder, path, group, holdings, recipe, new_places)
            yield len(new_places)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    for name, held in holdings.items():
        held.places = [
            new_places.get((name, i), place if (name, i) in chosen else None) for i, place in enumerate(held.places)
        ]


def _number(name: str) -> int:
    match = re.fullmatch(r"shard-(\d+)\.npy", name)
    return int(match[1]) if match else -1


def _groups(queue: Sequence[Wanted], holdings: dict[str, Holding], recipe: Recipe) -> Iterator[list[Wanted]]:
    """Divide clips, in order, into shards."""
    group: list[Wanted] = []
    size = 0
    for name, i in queue:
        more = holdings[name].record.clips[i].frames * recipe.frame_bytes
        if group and size + more > SHARD_BYTES:
            yield group
            group, size = [], 0
        group.append((name, i))
        size += more
    if group:
        yield group


def _write_shard(
    folder: Path,
    path: Path,
    group: Sequence[Wanted],
    holdings: dict[str, Holding],
    recipe: Recipe,
    new_places: dict[Wanted, tuple[str, int]],
) -> None:
    """Write one shard, a few MB at a time."""
    total = sum(holdings[name].record.clips[i].frames for name, i in group)
    header = io.BytesIO()
    shape = (total, *recipe.shape)
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    offset = 0
    with files.replacing(path) as temporary, open(temporary, "wb") as out, contextlib.ExitStack() as opened:
        out.write(header.getvalue())
        source: tuple[Path, IO[bytes], int] | None = None
        for name, i in group:
            held = holdings[name]
            clip, place = held.record.clips[i], held.places[i]
            origin = folder / place[0] if place else held.part
            assert origin is not None
            if source is None or source[0] != origin:
                opened.close()
                handle = opened.enter_context(open(origin, "rb"))
                source = (origin, handle, _begin(handle) if place else 0)
            first = place[1] if place else clip.first
            for block in read_frames(source[1], source[2], first, clip.frames, recipe.shape):
                out.write(block.data)
            new_places[name, i] = (path.name, offset)
            offset += clip.frames


def _begin(handle: IO[bytes]) -> int:
    """Return the byte at which the data of an open `.npy` file begins."""
    version = np.lib.format.read_magic(handle)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    reader(handle)
    return handle.tell()
