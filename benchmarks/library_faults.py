"""A library under a program that is killed: nothing acknowledged is lost, nothing half done is seen.

A process does 200 random operations and says before each what it is about to do, and after each that it is done; it is
killed (SIGKILL) somewhere among them. Then the database is checked, and every clip is compared with what was said.
Beside it, two processes write at once, and both are counted.

python benchmarks/library_faults.py [--kills 20] [--operations 200] [--seed 0]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from footage.files import file_digest
from footage.library.library import Library
from footage.library.query import ClipQuery
from footage.media.encode import write_clip

State = dict[str, Any]
"""Stars, verdict, tags, whether in the bin, whether in the album; of a clip, by digest."""
NEW: State = {"stars": 0, "verdict": "undecided", "tags": [], "binned": False, "album": False}


def make_clips(folder: Path, count: int) -> list[Path]:
    """Write tiny clips of noise that drifts."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    paths = []
    for number in range(count):
        wall = rng.integers(0, 256, (1, 4, 4, 3)).repeat(8, axis=1).repeat(8, axis=2)
        frames = np.concatenate([np.roll(wall, t, axis=2) for t in range(6)]).astype(np.uint8)  # T × (1, H, W, C)
        paths.append(folder / f"{number:03d}.mp4")
        write_clip(paths[-1], [frames], fps=12, metadata={"number": number})
    return paths


def say(word: str, digest: str, state: State) -> None:
    """Tell the parent; the pipe keeps it when this process dies."""
    os.write(1, (json.dumps([word, digest, state]) + "\n").encode())


def state_of(library: Library, digest: str, album: int) -> State | None:
    """Return a clip's state, or None where there is none."""
    with contextlib.suppress(Exception):
        entry = library.get(digest)
        kept = {"stars": entry.stars, "verdict": entry.verdict, "tags": list(entry.tags)}
        return {**kept, "binned": entry.deleted is not None, "album": entry.id in _inside(library, album)}
    return None


def _inside(library: Library, album: int) -> set[int]:
    with library._database.read() as connection:
        return {row[0] for row in connection.execute("SELECT clip FROM album_clips WHERE album = ?", (album,))}


def work(folder: Path, clips: Path, seed: int, operations: int) -> None:
    """Do random operations, each announced and acknowledged."""
    rng = random.Random(seed)
    library = Library(folder)
    album = library.albums.get("chosen").id
    paths = sorted(clips.glob("*.mp4"))
    for _ in range(operations):
        path = rng.choice(paths)
        digest = file_digest(path)
        before = state_of(library, digest, album)
        choice = rng.choice(["stars", "verdict", "tags", "binned", "album"])
        if before is None:
            say("begin", digest, NEW)
            library.add(path)
            say("done", digest, NEW)
            continue
        clip = library.get(digest).id
        after = dict(before)
        if choice == "stars":
            after["stars"] = rng.randrange(6)
        elif choice == "verdict":
            after["verdict"] = rng.choice(["keep", "reject", "undecided"])
        elif choice == "tags":
            after["tags"] = sorted(rng.sample(["red", "blue", "夜", "slow", "wide"], rng.randrange(4)))
        else:
            after[choice] = not before[choice]
        say("begin", digest, after)
        if choice in ("stars", "verdict", "tags"):
            library.update(clip, **{choice: after[choice]})
        elif choice == "binned":
            (library.remove if after["binned"] else library.restore)([clip])
        else:
            (library.albums.put if after["album"] else library.albums.take)(album, [clip])
        say("done", digest, after)
        if after != before and rng.random() < 0.2:  # back and forth again: either state is right when it is killed here
            say("begin", digest, before)
            library.undo()
            library.redo()
            say("done", digest, after)


def tag(folder: Path, seed: int, operations: int) -> None:
    """Give one clip many tags, one at a time: a change that is lost shows."""
    with Library(folder) as library:
        clip = library.query(limit=1, sort="oldest").entries[0].id
        for number in range(operations):
            library.bulk([clip], tag=[f"{seed}-{number}"])


def start(folder: Path, clips: Path | None, seed: int, operations: int) -> subprocess.Popen[bytes]:
    """Start a process that works, or, without clips, one that tags."""
    what = ["--tag", str(folder)] if clips is None else ["--work", str(folder), str(clips)]
    command = [sys.executable, __file__, *what, "--seed", str(seed)]
    return subprocess.Popen([*command, "--operations", str(operations)], stdout=subprocess.PIPE)


def kill_once(folder: Path, clips: Path, seed: int, operations: int, known: dict[str, State]) -> list[str]:
    """Kill a process among its operations; return what is wrong then. `known` is brought up to date."""
    process = start(folder, clips, seed, operations)
    assert process.stdout is not None
    rng = random.Random(seed)
    fatal, done = rng.randrange(operations), 0
    allowed: dict[str, list[Any]] = {digest: [state] for digest, state in known.items()}
    for line in process.stdout:
        word, digest, state = json.loads(line)
        if word == "begin":
            allowed.setdefault(digest, [None]).append(state)
            if done == fatal:
                time.sleep(rng.random() * 0.03)  # somewhere inside the operation
                process.send_signal(signal.SIGKILL)
        else:
            allowed[digest] = [state]
            done += 1
    process.wait()
    return check(folder, allowed, known)


def check(folder: Path, allowed: dict[str, list[Any]], known: dict[str, State]) -> list[str]:
    """Compare the library with what was said of it."""
    wrong: list[str] = []
    with Library(folder) as library:
        wrong += library._database.faults()
        album = library.albums.get("chosen").id
        for digest, states in allowed.items():
            now = state_of(library, digest, album)
            if now not in states:
                wrong.append(f"{digest[:12]} is {now}, and was said to be {states}")
            if now is not None:
                known[digest] = now
        for bin in (False, True):
            for entry in library.query(ClipQuery(bin=bin), limit=1000).entries:
                path = library._storage.file_store.path(entry.digest, entry.suffix)
                if not path.is_file() or file_digest(path) != entry.digest:
                    wrong.append(f"clip {entry.id} is listed and its file is not whole")
                if entry.digest not in allowed:
                    wrong.append(f"clip {entry.id} was never added")
    return wrong


def race(folder: Path, clips: Path, operations: int) -> list[str]:
    """Let two processes write at once; return what is wrong then."""
    processes = [start(folder, clips, seed, operations) for seed in (101, 102)]
    said: list[tuple[str, str]] = []
    for process in processes:
        output, _ = process.communicate()
        rows = [json.loads(line) for line in output.splitlines()]
        said += [(word, digest) for word, digest, _ in rows]
        if process.returncode:
            return [f"a process ended with {process.returncode}"]
    taggers = [start(folder, None, seed, operations) for seed in (101, 102)]
    for process in taggers:
        process.communicate()
    with Library(folder) as library:
        wrong = library._database.faults()
        listed = {e.digest for bin in (False, True) for e in library.query(ClipQuery(bin=bin), limit=1000).entries}
        if lost := {digest for _, digest in said} - listed:
            wrong.append(f"{len(lost)} clips that were added are not there")
        tags = library.query(limit=1, sort="oldest").entries[0].tags
        if len(expected := {f"{s}-{n}" for s in (101, 102) for n in range(operations)} - set(tags)):
            wrong.append(f"{len(expected)} tags were lost")
        found = library.verify(repair=False)
        return wrong if found.sound else [*wrong, f"verify: {found}"]


def main() -> None:
    """Kill, check, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--operations", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, nargs=2)
    parser.add_argument("--tag", type=Path)
    options = parser.parse_args()
    if options.work:
        folder, clips = options.work
        work(folder, clips, options.seed, options.operations)
        return
    if options.tag:
        tag(options.tag, options.seed, options.operations)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder, clips = Path(scratch) / "library", Path(scratch) / "clips"
        make_clips(clips, 40)
        with Library(folder) as library:
            library.albums.create("chosen")
        known: dict[str, State] = {}
        wrong: list[str] = []
        for number in range(options.kills):
            wrong += kill_once(folder, clips, options.seed + number, options.operations, known)
        with Library(folder) as library:
            found = library.verify()
            print(f"{options.kills} kills, {len(known)} clips; verify adopted {len(found.adopted)} orphans")
            again = library.verify()
            if not again.sound:
                wrong.append(f"verify does not end: {again}")
        wrong += race(folder, clips, options.operations)
        print("two processes at once: 2 ×", options.operations, "operations")
    print("\n".join(wrong) or "nothing acknowledged was lost, nothing half done is listed, the database is sound")
    print(json.dumps({"wrong": len(wrong)}))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
