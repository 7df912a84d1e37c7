"""The studio's server killed (SIGKILL) among its requests: what it had answered for is there, and nothing half done.

A client changes random clips by the interface, one request after the other, uploads included; the server is killed
somewhere among them, while a request is on its way, and started again. Then the library is checked, and every clip is
compared with what was answered. Then a folder is sent to be ingested, in small pieces, and the server killed while they
come: what was answered for is not sent again, and all files are whole at the end. At last the server is killed while it
makes a data set of them: when it is started again, the data set is made, the same as without. And it is killed while it
trains a small model, and while it measures one: both are taken up again, and come to their end.

python benchmarks/studio_faults.py [--kills 20] [--operations 200] [--sending 20] [--ingesting 5] [--training 4]
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import psutil
from library_faults import make_clips

from footage.config import differences
from footage.config.presets import preset, tiny
from footage.files import file_digest
from footage.library.library import Library

State = dict[str, Any]
TAGS = ("red", "blue", "夜", "slow")


class Client:
    """A server in a process of its own, and somebody who asks it.

    Args:
        library: the library's folder.
    """

    def __init__(self, library: Path) -> None:
        words = [sys.executable, "-m", "footage", "serve", "--library", str(library), "--port", "0"]
        words += ["--models", str(library.parent)]
        self.process = subprocess.Popen(
            words, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
        )
        assert self.process.stdout is not None
        said = ""
        while (found := re.search(r"http://\S+", said)) is None:
            line = self.process.stdout.readline()
            assert line, f"the server ended with {self.process.wait()}: {said}"
            said += line
        self.address = found[0].rstrip("/")
        self.csrf = self._entered()["csrf"]

    def _entered(self) -> Any:
        until = time.monotonic() + 30
        while True:
            try:
                return self.ask("GET", "/api/session")
            except OSError:  # its address is said before it listens
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)

    def ask(self, method: str, path: str, body: bytes | State | None = None) -> Any:
        """Send a request; return the answer's JSON."""
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        headers = {"content-type": "application/json" if isinstance(body, dict) else "application/octet-stream"}
        if method != "GET":
            headers["x-csrf-token"] = self.csrf
        request = urllib.request.Request(self.address + path, data=data, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    def kill(self) -> None:
        """Kill the server."""
        self.process.send_signal(signal.SIGKILL)

    def stop(self) -> None:
        """Wait for its end."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def promised_files(paths: list[Path]) -> list[State]:
    """Return what is said of files before they are sent."""
    return [
        {"path": f"{path.stem[-1]}/{path.name}", "size": path.stat().st_size, "modified": 10**12 + number}
        for number, path in enumerate(paths)
    ]


def send_and_kill(library: Path, paths: list[Path], kills: int, seed: int) -> list[str]:
    """Send a folder in pieces to a server that is killed meanwhile, so many times; return what is wrong then."""
    rng, wrong = random.Random(seed), []
    promised = promised_files(paths)
    total = sum(file["size"] for file in promised)
    answered = [0] * len(paths)
    again = 0
    for kill in range(kills + 1):
        client = Client(library)
        try:
            state = client.ask("POST", "/api/sources/uploads", {"name": "sent", "files": promised})
            offsets = list(state["offsets"])
            wrong += [
                f"{offset} bytes of {file['path']} are there, {known} were answered for"
                for offset, known, file in zip(offsets, answered, promised, strict=True)
                if offset < known
            ]
            again += sum(max(0, known - offset) for offset, known in zip(offsets, answered, strict=True))
            if kill < kills:
                left = total - sum(offsets)
                piece = max(1, left // max(1, 12 * (kills - kill)))
                threading.Timer(rng.random() * 0.15, client.kill).start()
            else:
                piece = 2**20
            for number, (file, path) in enumerate(zip(promised, paths, strict=True)):
                content = path.read_bytes()
                while offsets[number] < len(content):
                    offset = offsets[number]
                    query = urllib.parse.urlencode({"folder": "sent", **file, "offset": offset})
                    body = content[offset : offset + piece]
                    offsets[number] = client.ask("PUT", f"/api/sources/uploads?{query}", body)["received"]
                    answered[number] = offsets[number]
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError):
                return [f"the server answered {error.code}: {error.read()[:200]!r}"]
        finally:
            client.stop()
    sent = library.parent / "uploads" / "sent"
    for file, path in zip(promised, paths, strict=True):
        if not (sent / file["path"]).is_file() or file_digest(sent / file["path"]) != file_digest(path):
            wrong.append(f"{file['path']} is not whole")
    return [*wrong, *([f"{again} bytes were sent again"] if again else [])]


def ingest_and_kill(library: Path, kills: int, seed: int) -> list[str]:
    """Have what was sent made into data sets by servers that are killed meanwhile; return what is wrong then."""
    rng, wrong = random.Random(seed), []
    options = {"size": "32x32", "min_frames": 4, "keep_duplicates": True}
    hashes, client = {}, Client(library)
    for kill in range(kills + 1):
        name = f"kill-{kill}"
        form = {"sources": [str(library.parent / "uploads" / "sent")], "name": name, "options": options}
        job = client.ask("POST", "/api/jobs/ingest", {**form, "advise": False})["id"]
        if kill:  # the first is not killed: it is what the others are compared with
            time.sleep(rng.random() * 3.0)
            client.kill()
            client.stop()
            client = Client(library)
        until = time.monotonic() + 120
        while (state := client.ask("GET", f"/api/jobs/{job}"))["ended"] is None and time.monotonic() < until:
            time.sleep(0.1)
        if state["state"] == "done":
            described = json.loads((library.parent / "data" / name / "dataset.json").read_text())
            hashes[name] = described["content_hash"]
        else:
            wrong.append(f"the data set {name} is {state['state']}: {state['message']}")
    client.stop()
    if len(set(hashes.values())) > 1:
        wrong.append(f"the data sets differ: {hashes}")
    return wrong


def ended(client: Client, job: int, seconds: float) -> State:
    """Return a job when it has ended, or after so many seconds."""
    until = time.monotonic() + seconds
    while True:
        state: State = client.ask("GET", f"/api/jobs/{job}")
        if state["ended"] is not None or time.monotonic() > until:
            return state
        time.sleep(0.2)


def train_and_kill(library: Path, kills: int, seed: int) -> list[str]:
    """Have models trained and measured by servers that are killed meanwhile, by turns; return what is wrong then."""
    rng, wrong, clips = random.Random(seed), [], 400
    small = preset("stream-32")
    knobs = {name: value for name, (_, value) in differences(small, tiny(small)).items() if value is not None}
    knobs |= {"clip.frames": 8, "train.threads": 1, "train.save_minutes": 0.02}
    options = {"metrics": "pictures,diversity", "clips": 64}
    for kill in range(kills):
        run, client = f"kill-{kill}", Client(library)
        training = {"data": "shapes", "run": run, "preset": "stream-32", "knobs": knobs, "clips": clips}
        for kind, form in (
            ("train", {**training, "device": "cpu"}),
            ("evaluate", {"made": [f"runs/{run}"], "real": "shapes", "options": options}),
        ):
            job = client.ask("POST", f"/api/jobs/{kind}", form)["id"]
            if kind == ("train", "evaluate")[kill % 2]:
                time.sleep(2.0 + rng.random() * 15.0)
                client.kill()
                client.stop()
                client = Client(library)
            state = ended(client, job, 400)
            if state["state"] != "done":
                wrong.append(f"{kind} of {run} is {state['state']}: {state['message']}")
                break
            result = state["result"]
            if kind == "train" and (result["ended"] != "done" or result["seen"] < clips):
                wrong.append(f"the training of {run} ended {result['ended']} after {result['seen']} clips")
            if kind == "evaluate" and not (library.parent / result["report"]).is_file():
                wrong.append(f"the report of {run} is not there")
        client.stop()
    return wrong


def change(rng: random.Random, before: State) -> State:
    """Return what a clip is to become."""
    name = rng.choice(list(before))
    values = {"stars": rng.randrange(6), "verdict": rng.choice(["keep", "reject", "undecided"])}
    return {**before, name: values.get(name, sorted(rng.sample(TAGS, rng.randrange(4))))}


def state_of(entry: Any) -> State:
    """Return what may be changed of a clip."""
    return {"stars": entry.stars, "verdict": entry.verdict, "tags": sorted(entry.tags)}


def kill_once(folder: Path, paths: list[Path], seed: int, operations: int, known: dict[str, State]) -> list[str]:
    """Kill a server among requests; return what is wrong then. `known` is brought up to date, by digest."""
    rng, client = random.Random(seed), Client(folder)
    with Library(folder) as library:
        numbers = {digest: library.get(digest).id for digest in known}
    allowed: dict[str, list[State | None]] = {digest: [state] for digest, state in known.items()}
    fatal = rng.randrange(operations)
    try:
        for done in range(operations):
            if done == fatal:
                threading.Timer(rng.random() * 0.05, client.kill).start()
            path = rng.choice(paths)
            digest = file_digest(path)
            if digest not in numbers:
                fresh: State = {"stars": 0, "verdict": "undecided", "tags": []}
                allowed[digest] = [None, fresh]
                client.ask("POST", f"/api/uploads?name={path.name}", path.read_bytes())
                with Library(folder) as library:
                    numbers[digest] = library.get(digest).id
                allowed[digest] = [fresh]
                continue
            before = allowed[digest][-1]
            assert before is not None
            after = change(rng, before)
            allowed[digest] = [before, after]
            client.ask("PATCH", f"/api/clips/{numbers[digest]}", after)
            allowed[digest] = [after]
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            return [f"the server answered {error.code}: {error.read()[:200]!r}"]
    finally:
        client.stop()
    return check(folder, allowed, known)


def check(folder: Path, allowed: dict[str, list[State | None]], known: dict[str, State]) -> list[str]:
    """Compare the library with what was answered."""
    with Library(folder) as library:
        wrong = library._database.faults()
        for digest, states in allowed.items():
            now = None
            with contextlib.suppress(Exception):
                now = state_of(library.get(digest))
            if now not in states:
                wrong.append(f"{digest[:12]} is {now}, and was answered to be {states}")
            if now is not None:
                known[digest] = now
        for entry in library.query(limit=1000).entries:
            path = library.path(entry.id)
            if not path.is_file() or file_digest(path) != entry.digest:
                wrong.append(f"clip {entry.id} is listed and its file is not whole")
    return wrong


def main() -> None:
    """Kill, check, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--operations", type=int, default=200)
    parser.add_argument("--sending", type=int, default=20, help="kills while files are sent to be ingested")
    parser.add_argument("--ingesting", type=int, default=5, help="kills while a data set is made")
    parser.add_argument("--training", type=int, default=4, help="kills while a model is trained or measured")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    wrong: list[str] = []
    known: dict[str, State] = {}
    with tempfile.TemporaryDirectory() as scratch:
        paths = make_clips(Path(scratch) / "clips", 30)
        folder = Path(scratch) / "library"
        Library(folder, create=True).close()
        for number in range(options.kills):
            wrong += kill_once(folder, paths, options.seed + number, options.operations, known)
        print(f"{options.kills} kills of the server, {len(known)} clips")
        if options.sending:
            wrong += send_and_kill(folder, paths, options.sending, options.seed)
        print(f"{options.sending} kills while {len(paths)} files were sent")
        if options.sending and options.ingesting:
            wrong += ingest_and_kill(folder, options.ingesting, options.seed)
        print(f"{options.ingesting} kills while a data set was made of them")
        if options.training:
            wrong += train_and_kill(folder, options.training, options.seed)
        print(f"{options.training} kills while a model was trained or measured")
        # Processes of killed servers end by themselves, and write until then.
        while any(scratch in " ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])):
            time.sleep(0.1)
    print("\n".join(wrong) or "nothing that was answered for was lost, nothing half done is listed")
    print(json.dumps({"wrong": len(wrong)}))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
