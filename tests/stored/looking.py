"""What the stored files are looked at with: by make.py when they were made, by test_stored.py ever since.

Only the public names of footage are used here, and the command line.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import footage

Frames = npt.NDArray[np.uint8]
POINTS = 48
"""Pixels of a clip that are remembered."""
UNKNOWN = "-Z"
"""A flag that no command has."""
EVERY = "train with every preset"
"""What flags.json calls the flags of `train` that no choice of a preset takes away."""
HARVEST = """
import contextlib, io, json, runpy, sys
found = []
for words in json.load(sys.stdin):
    sys.argv = ["footage", *words]
    heard, code = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), 0
    with contextlib.redirect_stdout(heard), contextlib.redirect_stderr(heard):
        try:
            runpy.run_module("footage", run_name="__main__", alter_sys=False)
        except SystemExit as end:
            code = end.code
    heard.flush()
    found.append([code or 0, heard.buffer.getvalue().decode()])
json.dump(found, sys.stdout)
"""
"""Runs `python -m footage` with one list of arguments after the other, in one process."""


def ask(commands: Sequence[Sequence[str]]) -> list[tuple[int, str]]:
    """Return exit status and output of each command line; they run in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", HARVEST],
            input=json.dumps([list(words) for words in commands]),
            capture_output=True,
            text=True,
            check=True,
            cwd=folder,
            env={**os.environ, "COLUMNS": "250", "NO_COLOR": "1", "TERM": "dumb"},
        )
    return [(int(code), text) for code, text in json.loads(done.stdout)]


def helps(names: Iterable[str]) -> dict[str, set[str]]:
    """Return the flags that the help of each command offers; a name may be `train --preset mlp-32`."""
    wanted = list(names)
    answers = ask([[*name.split(), "--help"] for name in wanted])
    return {name: flags(text) for name, (code, text) in zip(wanted, answers, strict=True) if code == 0}


def flags(text: str) -> set[str]:
    """Return the flags that a help text explains: those that stand at the beginning of a cell."""
    found: set[str] = set()
    for cell in re.findall(r"(?:^|│) ?(-[^│\n]*)", text, flags=re.MULTILINE):
        invocation = re.split(r"\s{2,}", cell)[0]
        found |= set(re.findall(r"--[a-z][\w.-]*", invocation))
    return found - {"--help"}


def signatures() -> dict[str, list[str] | None]:
    """Return the public names, with the names of their parameters where they are called."""
    return {name: parameters(getattr(footage, name)) for name in sorted(footage.__all__)}


def parameters(item: Any) -> list[str] | None:
    """Return the names of the parameters of something that is called; None for what is not."""
    return list(inspect.signature(item).parameters) if callable(item) else None


def machine() -> dict[str, str]:
    """Return what the last bits of a float depend on."""
    return {"torch": torch.__version__, "capability": torch.backends.cpu.get_cpu_capability(), "processor": processor()}


def processor() -> str:
    """Return the name of the processor, with its family and model where they are told."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
        told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        if "model name" in told:
            return f"{told['model name']}, family {told.get('cpu family')}, model {told.get('model')}"
    return platform.processor() or platform.machine()


@contextlib.contextmanager
def plain_arithmetic() -> Iterator[None]:
    """Compute in float32 on one thread, also where the processor is faster with bfloat16."""
    threads, names = torch.get_num_threads(), ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    known: dict[str, Callable[[], bool]] = {
        name: getattr(torch.cpu, name) for name in names if hasattr(torch.cpu, name)
    }
    torch.set_num_threads(1)
    try:
        for name in known:
            setattr(torch.cpu, name, lambda: False)
        yield
    finally:
        torch.set_num_threads(threads)
        for name, function in known.items():
            setattr(torch.cpu, name, function)


def pattern(frames: int = 12, side: int = 16, turn: int = 0) -> Frames:
    """Return a clip made by whole numbers alone: stripes and a square that move."""
    t, y, x, c = np.ogrid[:frames, :side, :side, :3]
    stripes = (x * (5 + c) + y * 3 + t * (9 + turn) + c * 40) * 3 % 160 + 30
    square = (abs(x - (t + 3 + turn) % side) < side // 5) & (abs(y - (2 * t + 5) % side) < side // 5)
    return np.where(square, 250 - 60 * c, stripes).astype(np.uint8)


def clip_of(frames: Frames) -> footage.Clip:
    """Return frames as a clip of 8 a second."""
    return footage.Clip(lambda: iter([frames]), len(frames), 8.0, {})


def look(model_folder: Path) -> dict[str, Any]:
    """Return what a model makes, for each thing that it can do: a hash, and a summary that other machines reach too."""
    with plain_arithmetic(), tempfile.TemporaryDirectory() as folder:
        model = footage.load(model_folder)
        given = clip_of(pattern()).save(Path(folder) / "given")
        return {what: summary(made) for what, made in _all(model, given)}


def _all(model: footage.Model, given: Path) -> Iterator[tuple[str, Any]]:
    verb = model.verb
    if verb == "generate" or verb == "reconstruct":
        clips = [clip.array() for clip in model.generate(2, seed=7)]
        yield "generate", np.concatenate(clips)
    if verb == "predict":
        yield "predict", model.predict(given, 5, seed=3).array()
    if verb in ("translate", "reconstruct"):
        yield verb, model.convert(given).array()
    if verb == "reconstruct":
        yield "embed", model.embed(given)
    if verb == "upscale":
        shape = footage.preset("upscale-x2", {"clip.height": 16, "clip.width": 16}).clip
        yield "upscale", model.enlarge(clip_of(pattern()), shape).array()


def summary(made: Any) -> dict[str, Any]:
    """Return the hash and some numbers of frames, or of a vector."""
    if made.ndim == 1:
        return {"shape": list(made.shape), "values": [round(float(value), 5) for value in made]}
    flat = made.reshape(-1)
    places = np.linspace(0, len(flat) - 1, POINTS).astype(int)
    return {
        "shape": list(made.shape),
        "sha256": hashlib.sha256(np.ascontiguousarray(made).tobytes()).hexdigest(),
        "means": np.round(made.mean(axis=(1, 2)), 2).tolist(),  # a row for each frame, a number for each channel
        "points": flat[places].tolist(),
    }
