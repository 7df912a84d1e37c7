"""Hostile files of every kind that footage reads: each is refused in words or read, and nothing else happens.

Good files are made (videos, data sets, models and their states, libraries, zip files, locked files, signed clips,
tables of labels) and damaged as Hypothesis chooses: bits, numbers, cuts, repeats, and in JSON values of other kinds,
with the digests that would give them away put right. What reads them runs in processes with limits of memory and time.
A fault is an error that is none of footage's own, a process that dies, an example that takes more than 30 seconds of a
processor, or memory that goes on growing.

python benchmarks/fuzz.py [--minutes 60] [--kinds media,model,…] [--seed 0] [--keep fuzz-faults]
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import gc
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from footage import files
from footage.errors import FootageError
from footage.files import locked

SECONDS = 30
"""Of a processor, for an example, at most."""
MEMORY = 6 * 2**30
"""Bytes of address space of a process that reads."""
GROWTH = 48 * 2**20
"""Bytes that a process may be larger at its end than at half of its time."""
BATCH = 120.0
"""Seconds of a process."""
HOSTILE: tuple[Any, ...] = (
    *(
        None,
        True,
        0,
        -1,
        2**31,
        2**63,
        10**400,
        0.0,
        -0.5,
        1e300,
        float("nan"),
        float("inf"),
        "",
        "\x00",
        "../../x",
        "\ud800",
    ),
    *("a" * 5_000, [], {}, [[]], [None], {"a": 1}, [[[[[[[[1]]]]]]]], "NaN", "2024-01-01", "🙂", "shard-00000.npy"),
)
"""Values that a table or a card may hold in a place that is for others."""


@dataclass(frozen=True)
class Target:
    """A kind of file, and what reads it."""

    name: str
    good: tuple[Path, ...]
    """Files to damage."""
    read: Callable[[Path], object]
    """Given the damaged file, which stands in the place of the good one."""
    repair: Callable[[Path], None] | None = None
    """Puts right what would give the damage away before it is read."""


@st.composite
def damages(draw: st.DrawFn, content: bytes) -> bytes:
    """Return damaged content; of JSON, often with other values."""
    if content[:1] in (b"{", b"[") and draw(st.booleans()):
        with contextlib.suppress(ValueError):
            return _other_values(draw, content)
    spoiled = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        way, size = draw(st.integers(0, 6)), len(spoiled)
        at = draw(st.integers(0, max(0, size - 1))) if draw(st.booleans()) else draw(st.integers(0, min(200, size)))
        length = draw(st.integers(1, 64)) if draw(st.booleans()) else draw(st.integers(1, max(1, size // 3)))
        if way == 0 and at < size:
            spoiled[at] ^= 1 << draw(st.integers(0, 7))
        elif way == 1:
            spoiled[at : at + 8] = draw(
                st.sampled_from([b"\xff" * 8, bytes(8), b"\x7f" + b"\xff" * 7, b"\x80" + bytes(7)])
            )
        elif way == 2:
            del spoiled[at:]
        elif way == 3:
            del spoiled[at : at + length]
        elif way == 4:
            spoiled[at:at] = spoiled[at : at + length]
        elif way == 5:
            spoiled[at : at + length] = draw(st.binary(min_size=1, max_size=64))
        else:
            number = draw(st.integers(0, 2**32 - 1))
            spoiled[at : at + 4] = number.to_bytes(4, draw(st.sampled_from(["little", "big"])))
    return bytes(spoiled)


def _other_values(draw: st.DrawFn, content: bytes) -> bytes:
    """Return JSON, or lines of it, in which some values are others."""
    lines = content.decode().strip().split("\n") if content.count(b"\n{") else [content.decode()]
    values = [json.loads(line) for line in lines]
    for _ in range(draw(st.integers(1, 3))):
        place: Any = values
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(place[key], dict | list) and place[key] and draw(st.integers(0, 3)):
                place = place[key]
                continue
            if draw(st.integers(0, 5)) == 0:
                del place[key]
            elif place is not values:
                place[key] = draw(st.sampled_from(HOSTILE))
            break
    text = "\n".join(json.dumps(value, ensure_ascii=draw(st.booleans())) for value in values)
    return text.encode("utf-8", "surrogatepass")


def make_video(path: Path, signed: bool = False, side: int = 32) -> Path:
    """Write a small clip of drawn squares that move."""
    from footage.media.encode import write_clip

    rng = np.random.default_rng(len(path.name))
    wall = rng.integers(0, 256, (1, side // 8, side // 8, 3)).repeat(8, axis=1).repeat(8, axis=2)
    frames = np.concatenate([np.roll(wall, t, axis=2) for t in range(20)]).astype(np.uint8)  # T × (1, H, W, C)
    write_clip(path, [frames], fps=12, metadata={"made_with": "footage 0", "model": "m"} if signed else {})
    return path


def media_targets(folder: Path) -> list[Target]:
    """Videos, pictures, arrays and parts of an ingest; tables of labels and captions."""
    from PIL import Image

    from footage.data.ingest.shards import DecodeOptions, load_state, read_part
    from footage.data.ingest.sources import Source, scan
    from footage.data.ingest.workers import answer, part_job

    options = DecodeOptions(32, 32, 3, 12.0, "crop", 8, True, False, 0.1, 2, 4, 20, 0)
    videos = [make_video(folder / f"clip.{kind}") for kind in ("mp4", "mov", "webm", "gif", "mkv")]
    array = folder / "clip.npy"
    np.save(array, np.zeros((2, 20, 32, 32, 3), np.uint8))
    digits = folder / "few-images-idx3-ubyte"
    digits.write_bytes(bytes([0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 28, 0, 0, 0, 28]) + bytes(4 * 28 * 28))

    def take(path: Path, kind: str = "video") -> None:
        part = folder / "x.part"
        part.unlink(missing_ok=True)
        reply = answer(part_job(Source(kind, path.name, path), options, part).request)  # type: ignore[arg-type]
        if set(reply) != {"frames"}:
            raise AssertionError(f"not a record but {reply}")
        read_part(part, options, verify=True)

    take(videos[0])
    part = folder / "good.part"
    shutil.copy(folder / "x.part", part)
    labelled = folder / "labelled"
    labelled.mkdir()
    make_video(labelled / "a.mp4")
    csv, table, captions = labelled / "labels.csv", labelled / "labels.json", labelled / "a.txt"
    csv.write_text("file,label,caption\na.mp4,walk,a figure walks\n")
    table.write_text(json.dumps([{"file": "a.mp4", "label": "walk", "caption": "a figure walks"}]))
    captions.write_text("a figure walks\nanother line")
    Image.new("RGB", (8, 8)).save(folder / "x.png")
    data, state = make_data_set(folder / "data-for-state"), folder / "state.npz"
    shutil.copy(data / "ingest" / "state.npz", state)
    return [
        Target("video", tuple(videos), take),
        Target("array", (array,), lambda path: take(path, "array")),
        Target("digits", (digits,), lambda path: take(path, "idx")),
        Target("part", (part,), lambda path: read_part(path, options, verify=True)),
        Target("ingest state", (state,), load_state),
        Target("labels", (csv, table), lambda path: scan([labelled], path)),
        Target("captions", (captions,), lambda path: scan([labelled])),
    ]


def make_data_set(folder: Path, coding: Any = "raw") -> Path:
    """Ingest two small videos into a folder."""
    from footage.config import IngestConfig
    from footage.data.ingest.pipeline import ingest

    sources = folder.parent / f"{folder.name}-sources"
    sources.mkdir(parents=True)
    for number in range(2):
        make_video(sources / f"{'ab'[number] * (number + 1)}.mp4")
    ingest([sources], folder, IngestConfig(size="32x32", coding=coding, heldout=0.0, workers=0))
    return folder


def data_targets(folder: Path) -> list[Target]:
    """Tables and shards of data sets."""
    from footage.data.audit import Audit
    from footage.data.clips import DatasetClips, Loader
    from footage.data.store import SUMS, Dataset, read_sums

    def read(path: Path) -> None:
        dataset = Dataset(path.parent)
        for row in dataset.rows[:4]:
            dataset.read(row, 0, min(2, row.frames))
        _ = dataset.rejections, dataset.sources, Audit(dataset).summary
        Loader(DatasetClips(dataset), "train", frames=4, batch_size=2, seed=0).batch(0)

    targets = []
    for coding in ("raw", "jpeg"):
        data = make_data_set(folder / coding, coding)
        tables = tuple(data / name for name in ("dataset.json", "clips.jsonl", "sources.jsonl", "rejected.jsonl"))
        targets.append(Target(f"tables {coding}", tables, read))
        targets.append(Target(f"shards {coding}", tuple(sorted(data.glob("shard-*"))), read))
        targets.append(Target("sums", (data / SUMS,), lambda path: read_sums(path.read_bytes(), str(path))))
    return targets


def model_targets(folder: Path) -> list[Target]:
    """Cards, weights and resumable states."""
    import torch

    from footage.evaluation.detector import SEEN, Detector, DetectorFigure, DetectorNet, load_detector, save_detector
    from footage.models.card import PRETRAINED, read_info
    from footage.models.checkpoint import load_model, read_state, save_state

    model, state = folder / "model", folder / "state.pt"
    shutil.copytree(PRETRAINED / "upscale-x4-fast", model)
    weights = next(model.glob("*.safetensors"))
    save_state(state, {"nets": {"a": {"w": torch.zeros(4)}}, "averages": {}, "optimizers": {}}, {"clips": 1})

    def true_digest(path: Path) -> None:
        with contextlib.suppress(ValueError, AttributeError, RecursionError):
            value = json.loads(path.read_bytes())
            value.pop("digest", None)
            text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
            digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
            path.write_text(json.dumps({**value, "digest": digest}))

    def true_weights(path: Path) -> None:
        card = json.loads((model / "model.json").read_bytes())
        (model / "model.json").write_text(json.dumps({**card, "weights_sha256": files.file_digest(path)}))
        true_digest(model / "model.json")

    detector = folder / "detector.safetensors"
    figures = dict.fromkeys(SEEN, DetectorFigure(0.9, None, None, 0.1, 0.1))
    save_detector(detector, DetectorNet(), Detector("toy", "ab" * 32, "discs", 64, 64, 0.0, 0.0, 8, 8, figures, {}))

    def true_detector(path: Path) -> None:
        content = path.read_bytes()
        length = int.from_bytes(content[:8], "little")
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
            header = json.loads(content[8 : 8 + length])
            value = json.loads(header["__metadata__"]["detector"])
            value.pop("digest", None)
            header["__metadata__"]["detector"] = json.dumps({**value, "digest": files.json_digest(value)})
            written = json.dumps(header).encode()
            path.write_bytes(len(written).to_bytes(8, "little") + written + content[8 + length :])

    return [
        Target("detector", (detector,), load_detector, true_detector),
        Target("card", (model / "model.json",), lambda path: read_info(path.parent), true_digest),
        Target("weights", (weights,), lambda path: load_model(path.parent), true_weights),
        Target("state", (state,), read_state),
    ]


def library_targets(folder: Path) -> list[Target]:
    """The database, the embeddings, and zip files that are taken in."""
    from footage.library.library import Library
    from footage.library.query import ClipQuery

    with Library(folder / "library") as library:
        for number in range(2):
            library.add(make_video(folder / f"{number}{'x' * number}.mp4", signed=True))
    packed = folder / "clips.zip"
    shutil.make_archive(str(packed.with_suffix("")), "zip", folder / "library" / "files")
    scratch = folder / "scratch"

    def read(path: Path) -> None:
        for log in path.parent.glob("library.sqlite-*"):
            log.unlink(missing_ok=True)
        with Library(folder / "library", create=False) as library:
            library.query(ClipQuery(text="x4"))
            library.query(ClipQuery())
            library.facets(ClipQuery())
            library.models()
            with contextlib.suppress(FootageError):
                library.similar(1)

    def unpack(path: Path) -> None:
        shutil.rmtree(scratch, ignore_errors=True)
        with Library(scratch) as library:
            library.unpack(path, most_bytes=2**24, most_files=100)

    vectors = tuple(sorted((folder / "library" / "embeddings").glob("*")))
    return [
        Target("database", (folder / "library" / "library.sqlite",), read),
        Target("vectors", vectors, read),
        Target("zip", (packed,), unpack),
    ]


def lock_targets(folder: Path) -> list[Target]:
    """Locked files, headers of locks, and a locked library."""
    from footage.data.locked_arrays import load_array
    from footage.library.library import Library
    from footage.library.query import ClipQuery
    from footage.trust import locks

    locked.SCRYPT["n"] = 2**4
    os.environ[locked.PASSPHRASE] = "correct horse battery"
    place = folder / "locked"
    locks.lock_new(place, "passphrase")
    content = files.writing(place / "content.bin")
    with content as handle:
        handle.write(bytes(range(256)) * 600)
    with files.writing(place / "array.npy") as handle:
        np.save(handle, np.zeros((40, 32, 32, 3), np.uint8))

    def read(path: Path) -> None:
        files.read_bytes(place / "content.bin")
        array = load_array(place / "array.npy")
        array[3:5].sum()

    shelf = folder / "shelf"
    locks.lock_new(shelf, "passphrase")
    with Library(shelf) as library:
        clips = [library.path(library.add(make_video(folder / f"{'x' * n}.mp4", signed=True)).id) for n in (1, 2)]
        vectors, pictures = shelf / "embeddings" / "look-1.f32", [library.thumbnail(1), library.preview(2)]

    def look(path: Path) -> None:
        for log in shelf.glob("library.sqlite-*"):
            log.unlink(missing_ok=True)
        with Library(shelf, create=False) as library:
            library.query(ClipQuery(text="x"))
            library.verify(repair=False)
            for number in (1, 2):
                with contextlib.suppress(FootageError):
                    library.similar(number)

    return [
        Target("locked database", (shelf / "library.sqlite",), look),
        Target("locked library", (*clips, *pictures, vectors), look),
        Target("locked", (place / "content.bin", place / "array.npy"), read),
        Target("lock", (place / locked.HEADER,), read),
    ]


def signed_targets(folder: Path) -> list[Target]:
    """Signed clips."""
    from footage.errors import MediaError
    from footage.media.encode import read_metadata
    from footage.trust.provenance import FOLDER, SWITCH, examine

    os.environ |= {FOLDER: str(folder / "keys"), SWITCH: "on"}

    def read(path: Path) -> None:
        metadata = {}
        with contextlib.suppress(MediaError):
            metadata = read_metadata(path)
        examine(path, metadata)

    return [Target("signed", tuple(make_video(folder / f"signed.{kind}", True) for kind in ("mp4", "gif")), read)]


KINDS: dict[str, Callable[[Path], list[Target]]] = {
    "media": media_targets,
    "data": data_targets,
    "model": model_targets,
    "library": library_targets,
    "lock": lock_targets,
    "signed": signed_targets,
}


class Hang(Exception):
    """An example takes longer than `SECONDS`."""


class Batch:
    """What one process tries."""

    def __init__(self, folder: Path, kinds: Sequence[str]) -> None:
        self.folder, self.targets = folder, list[Target]()
        for kind in kinds:
            (folder / kind).mkdir(parents=True)
            self.targets += KINDS[kind](folder / kind)
        self.content = {good: good.read_bytes() for target in self.targets for good in target.good}
        self.tried: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.faults: list[dict[str, str]] = []

    def try_one(self, target: Target, good: Path, content: bytes) -> None:
        """Read a damaged file in the place of the good one, and note a fault."""
        before = {
            path: path.read_bytes() for path in good.parent.iterdir() if path.is_file() and path.stat().st_size < 2**20
        }
        good.write_bytes(content)
        with contextlib.suppress(OSError):
            (self.folder / "current").write_bytes(json.dumps([target.name, good.name]).encode() + b"\n" + content)
        self.tried[target.name] += 1
        signal.signal(signal.SIGPROF, _hang)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            if target.repair:
                target.repair(good)
            target.read(good)
        except FootageError:
            self.refused[target.name] += 1
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            place = traceback.extract_tb(error.__traceback__)[-1]
            problem = f"{type(error).__name__}: {error}"[:300]
            where = f"{Path(place.filename).name}:{place.lineno}"
            if not any(fault["where"] == where and fault["target"] == target.name for fault in self.faults):
                text = base64.b64encode(content[:200_000]).decode()
                trace = "".join(traceback.format_exception(error))[-3_000:]
                self.faults.append({"target": target.name, "file": good.name, "problem": problem, "where": where})
                self.faults[-1] |= {"content": text, "trace": trace}
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            for path, was in before.items():
                if not path.is_file() or path.read_bytes() != was:
                    path.write_bytes(was)

    def run(self, number: int, examples: int) -> None:
        """Try examples, of each target as many."""

        @seed(number)
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )
        @given(st.data())
        def example(data: st.DataObject) -> None:
            for target in self.targets:
                good = data.draw(st.sampled_from(target.good))
                self.try_one(target, good, data.draw(damages(self.content[good])))

        example()


def _hang(*_: object) -> None:
    raise Hang(f"it takes more than {SECONDS} s")


def child(options: argparse.Namespace) -> None:
    """Try a batch, and print what came of it as one line of JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    until, memory = time.monotonic() + options.seconds, list[int]()
    batch, number = Batch(Path(options.folder), options.kinds.split(",")), options.seed
    half = time.monotonic() + (until - time.monotonic()) / 2
    while time.monotonic() < until:
        batch.run(number, 5)
        number += 1
        gc.collect()
        if time.monotonic() > half or not memory:
            memory.append(psutil.Process().memory_info().rss)
    grown = max(0, memory[-1] - memory[min(1, len(memory) - 1)])
    told = {"tried": batch.tried, "refused": batch.refused, "faults": batch.faults, "grown": grown}
    print(json.dumps(told | {"cpu": time.process_time()}), flush=True)


def main() -> None:
    """Try kinds in turn, in processes; print what was tried, and exit with 1 where there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--keep", type=Path, default=Path("fuzz-faults"), help="folder for what was read when a fault came"
    )
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        child(options)
        return
    tried: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    faults, number, began, cpu, grown = 0, options.seed, time.monotonic(), 0.0, 0
    while (left := 60 * options.minutes - (time.monotonic() - began)) > 5:
        kind = options.kinds.split(",")[number % len(options.kinds.split(","))]
        seconds = min(BATCH, left)
        with tempfile.TemporaryDirectory() as folder:
            command = [
                sys.executable,
                __file__,
                "--folder",
                f"{folder}/work",
                "--kinds",
                kind,
                "--seed",
                f"{1000 * number}",
            ]
            done = subprocess.run(
                [*command, "--seconds", f"{seconds}"], capture_output=True, timeout=seconds + 300, check=False
            )
            told: dict[str, Any] = {}
            with contextlib.suppress(ValueError, IndexError):
                told = json.loads(done.stdout.splitlines()[-1])
            found = list(told.get("faults", ()))
            if not told:
                current = Path(folder) / "work" / "current"
                content = current.read_bytes() if current.exists() else b""
                text = base64.b64encode(content[:400_000]).decode()
                trace = done.stderr[-3_000:].decode(errors="replace")
                found = [
                    {
                        "target": kind,
                        "problem": f"the process died ({done.returncode})",
                        "content": text,
                        "trace": trace,
                    }
                ]
        tried.update(told.get("tried", {}))
        refused.update(told.get("refused", {}))
        cpu += told.get("cpu", 0.0)
        grown = max(grown, told.get("grown", 0))
        if told.get("grown", 0) > GROWTH:
            found.append({"target": kind, "problem": f"memory grew by {told['grown'] / 2**20:.0f} MiB", "trace": ""})
        for fault in found:
            faults += 1
            options.keep.mkdir(parents=True, exist_ok=True)
            (options.keep / f"{number}-{faults}.json").write_text(json.dumps(fault, indent=1))
            print(f"FAULT {fault['target']}: {fault['problem']}  {fault.get('where', '')}", flush=True)
        count, more = sum(told.get("tried", {}).values()), told.get("grown", 0) >> 20
        print(f"{cpu / 60:.1f} min  {kind} {number}: {count:,} tried, memory +{more} MiB", flush=True)
        number += 1
    for name, count in sorted(tried.items()):
        print(f"{name:<16} {count:8,} tried  {refused[name]:8,} refused")
    print(
        f"{tried.total():,} files in {cpu / 60:.1f} minutes of a processor: {faults} faults, "
        f"memory +{grown >> 20} MiB at most"
    )
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
