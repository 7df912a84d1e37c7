"""How the files of this folder were made, kept for the record: see README.md. It runs at commit e55304d, not later.

python tests/stored/make.py FOLDER
"""

from __future__ import annotations

import io
import json
import lzma
import shutil
import sqlite3
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from footage.checkpoint import read_info, write_model
from footage.cli import GROUPS, VERBS
from footage.library.search import Filters, Query

import footage
from footage.files import file_digest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from looking import EVERY, helps, look, machine, signatures  # noqa: E402

CLIPS = 8
"""Training clips that each run has seen."""
BASE: dict[str, Any] = {
    "clip.frames": 4,
    "clip.height": 16,
    "clip.width": 16,
    "train.batch_size": 2,
    "train.device": "cpu",
    "train.precision": "fp32",
    "train.sample_clips": 1_000_000,
}
CRITICS = {"critics.0.width": 4, "critics.1.width": 4}
PAST = {"clip.frames": 8, "task.past": 4}
VAE = {"net.width": 4, "net.latent": 2, "net.noise": 2, "net.label": 2, "learn.ema": 0.0}
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "gan": (
        "stream-32",
        {
            **{"net.width": 4, "net.content": 4, "net.processes": 2, "net.points": 4, "net.groups": 2},
            **{"net.codes": 4, "net.label": 2, **CRITICS},
        },
    ),
    "predict": ("simvp-64", {**PAST, "net.width": 4, "net.hidden": 4, "net.layers": 1}),
    "translate": ("translate-64", {"net.width": 4, **CRITICS}),
    "upscale": (
        "upscale-x2",
        {"clip.height": 32, "clip.width": 32, "net.width": 4, "net.past": 1, "net.future": 1},
    ),
    "vae": ("vae-64", VAE),
    "vae-latent": ("vae-latent-64", {"clip.frames": 8, **VAE, **CRITICS}),
}
"""Runs of every method: preset and what differs from it."""
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "mlp": ("mlp-32", {"net.width": 1, "net.latent": 4, "net.label": 2, "critics.0.width": 2}),
    "conv3d": ("conv3d-32", {"net.width": 4, "net.latent": 4, "net.label": 2, **CRITICS}),
    "recurrent": (
        "recurrent-32",
        {"net.width": 4, "net.content": 4, "net.motion": 2, "net.hidden": 2, "net.label": 2, **CRITICS},
    ),
    "convlstm": ("convlstm-64", {**PAST, "net.width": 4, "net.layers": 1, "net.patch": 2, "net.reach": 2}),
    "svg": ("svg-64", {**PAST, "net.width": 4, "net.latent": 2, "net.code": 4, "net.hidden": 4}),
    "sprites": ("sprites-64", {**PAST, "net.width": 4, "net.side": 4, "net.features": 4, "net.motion": 4}),
    "resnet": ("translate-resnet-64", {"net.width": 4, "net.blocks": 1, **CRITICS}),
    "spade": ("spade-64", {"net.width": 4, **CRITICS}),
    "animate": ("animate-64", {"net.width": 4, "net.motion": 2, **CRITICS}),
}
"""Models of the networks that no run has."""


def disc(seed: int, frames: int, side: int) -> npt.NDArray[np.uint8]:
    """Return a clip of a disc that goes round."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    middle, phase, colour = rng.uniform(0.35, 0.65, 2), rng.uniform(0, 6.28), rng.integers(80, 256, 3)
    clip = np.full((frames, side, side, 3), 20, np.uint8)
    for number, frame in enumerate(clip):
        cx = side * (middle[0] + 0.3 * np.cos(phase + number / 2))
        cy = side * (middle[1] + 0.3 * np.sin(phase + number / 2))
        frame[(x - cx) ** 2 + (y - cy) ** 2 < (side / 5) ** 2] = colour
    return clip


def save(path: Path, seed: int, frames: int, side: int) -> Path:
    """Write such a clip."""

    def chunks() -> Iterator[npt.NDArray[np.uint8]]:
        yield disc(seed, frames, side)

    return footage.Clip(chunks, frames, 8.0, {}).save(path)


def coarse(value: Any, bits: int) -> Any:
    """Return numbers with fewer bits in the mantissa, below 0 in the exponent, so that an archive is small."""
    if isinstance(value, dict):
        return type(value)((key, coarse(item, bits)) for key, item in value.items())
    if isinstance(value, list):
        return [coarse(item, bits) for item in value]
    if isinstance(value, torch.Tensor) and value.dtype == torch.float32 and value.numel() > 1:
        whole = value.contiguous().view(torch.int32)
        half = 1 << (22 - bits)
        return ((whole + half) & ~((half << 1) - 1)).view(torch.float32)
    return value


def train(root: Path, name: str, preset: str, knobs: dict[str, Any], data: Path) -> Path:
    """Train a run, round its numbers, and leave out what is there to be looked at only."""
    folder = root / "runs" / name
    guide = str(root / "data") if name == "spade" else None
    footage.train(
        str(data), footage.preset(preset, {**BASE, **knobs}), out=folder, clips=CLIPS, guide=guide, quiet=True
    )
    for extra in ("samples", "tensorboard"):
        shutil.rmtree(folder / extra, ignore_errors=True)
    for extra in (".lock", "curves.png"):
        (folder / extra).unlink(missing_ok=True)
    state = torch.load(folder / "state" / "last.pt", weights_only=True)
    bits, moments = (0, -3) if name.startswith("vae") else (1, -2)
    for part, kept in (("nets", bits), ("averages", bits), ("optimizers", moments)):
        state[part] = coarse(state[part], kept)
    torch.save(state, folder / "state" / "last.pt")
    model = folder / "model"
    info = read_info(model)
    tensors = {f"{net}.{key}": item for net, part in state["averages"].items() for key, item in part.items()}
    write_model(model, info, tensors)
    return folder


def make_library(root: Path, models: Path) -> Path:
    """Fill a library: clips found and made, rated and tagged, an album, a view, a history with a step undone."""
    folder = root / "library"
    for seed, name in enumerate(("harbour", "market", "night train")):
        save(root / "found" / f"{name}.mp4", 40 + seed, 6, 32)
    made = [
        clip.save(root / "made" / f"{i}.mp4")
        for i, clip in enumerate(footage.load(models / "gan").generate(2, frames=6, seed=5, label="round"))
    ]
    with footage.Library(folder) as library:
        ids = [library.add(path).id for path in sorted((root / "found").iterdir())]
        ids += [library.add(path).id for path in made]
        harbour, market, night, first, second = ids
        library.update(harbour, stars=5, verdict="keep", notes="the red boat, second half", tags=["sea", "boat"])
        library.update(market, stars=3, prompt="people buy fruit", tags=["people"])
        library.update(night, stars=1, verdict="reject", title="night train 夜车")
        library.bulk(Query(Filters(origin="generated")), {"verdict": "keep"}, tag=["made"])
        library.set_metrics(first, {"motion": 0.5})
        library.ratings.add("first look", "motion", first, second, "a", "me")
        album = library.albums.create("best")
        library.albums.put(album.id, [harbour, first])
        library.views.save("kept", Query(Filters(verdict="keep", min_stars=1), sort="stars"))
        library.remove([second])
        library.update(market, stars=4)
        library.undo()
    return folder


def older(folder: Path, to: Path) -> None:
    """Make of a library one of format 1, which had no table of changes to albums and views."""
    shutil.copytree(folder, to)
    with sqlite3.connect(to / "library.sqlite") as connection:
        connection.execute("DELETE FROM history WHERE id NOT IN (SELECT entry FROM changes)")
        connection.execute("DROP TABLE named_changes")
        connection.execute("PRAGMA user_version = 1")
    connection.close()


def pack(folder: Path, to: Path) -> None:
    """Write a folder as an archive, without names of people and with the sharpest compression."""
    held = io.BytesIO()

    def plain(item: tarfile.TarInfo) -> tarfile.TarInfo:
        item.uid = item.gid = 0
        item.uname = item.gname = ""
        return item

    with tarfile.open(fileobj=held, mode="w") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, path.name, filter=plain)
    sharp = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 0, "lp": 2, "pb": 2}
    usual = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}
    packed = [lzma.compress(held.getvalue(), filters=[kind]) for kind in (sharp, usual)]
    to.write_bytes(min(packed, key=len))


def write_json(path: Path, value: Any) -> None:
    """Write an object, one of its values a line."""
    lines = [f"{json.dumps(key)}: {json.dumps(item, ensure_ascii=False)}" for key, item in value.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def every_flag() -> dict[str, set[str]]:
    """Return the flags of each command; those of `train` that not every preset has stand at that preset."""
    names = [name for name in VERBS if name not in GROUPS]
    names += [f"{group} {name}" for group, verbs in GROUPS.items() for name in verbs]
    found = helps(names)
    assert set(found) == set(names)
    presets = {"train": found["train"]}
    for name, offered in helps(f"train --preset {preset}" for preset in footage.PRESETS).items():
        if offered not in presets.values():
            presets[name] = offered
    common = set.intersection(*presets.values())
    found |= {name: offered - common for name, offered in presets.items()}
    found[EVERY] = common
    return found


def main(to: Path) -> None:
    """Make everything."""
    torch.set_num_threads(1)
    root = Path(tempfile.gettempdir()) / "footage-stored"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    rows = ["file,label,caption"]
    for number in range(6):
        label = ("round", "slow")[number % 2]
        save(root / "videos" / f"{number}.mp4", number, 9, 32)
        rows.append(f"{number}.mp4,{label},a disc number {number}")
    (root / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    options = footage.IngestConfig(
        height=16, width=16, min_frames=8, cuts=False, heldout=0.3, workers=0, labels=str(root / "labels.csv")
    )
    footage.ingest((root / "videos",), root / "data", options, advise=False, quiet=True)
    (root / "data" / "audit.html").unlink()
    save(root / "large" / "one.mp4", 3, 24, 48)
    for name, (preset, knobs) in {**RUNS, **MODELS}.items():
        folder = train(root, name, preset, knobs, root / ("large" if name == "upscale" else "data"))
        shutil.copytree(folder / "model", root / "models" / name)
    for name in RUNS:
        shutil.copytree(root / "runs" / name, root / "kept" / name)
    for name in MODELS:
        shutil.copytree(root / "models" / name, root / "kept" / name)
    library = make_library(root, root / "models")
    older(library, root / "library-1")
    (root / "figures").mkdir()
    how: dict[str, Any] = {"clips": 4, "frames": 4, "resamples": 2, "cache": Path("none"), "quiet": True}
    footage.evaluate(
        root / "models" / "gan", root / "data", metrics="fvd,motion,memorisation", to=root / "figures.json", **how
    )
    footage.evaluate(root / "models" / "gan", root / "data", metrics="motion", report=root / "report.html", **how)
    for name in ("figures.json", "report.json"):
        shutil.copy(root / name, root / "figures" / name)

    to.mkdir(parents=True, exist_ok=True)
    for name, packed in (
        ("data", "data"),
        ("large", "large"),
        ("runs", "kept"),
        ("library", "library"),
        ("library-1", "library-1"),
        ("figures", "figures"),
    ):
        pack(root / packed, to / f"{name}.tar.xz")
    seen = {name: look(root / "models" / name) for name in sorted({**RUNS, **MODELS})}
    seen |= {name: look(Path(name)) for name in ("stream-digits", "stream-shapes")}
    write_json(to / "hashes.json", {"machine": machine(), **seen})
    write_json(to / "names.json", signatures())
    write_json(to / "flags.json", {name: sorted(found) for name, found in every_flag().items()})
    for path in sorted(to.iterdir()):
        print(path.name, path.stat().st_size, file_digest(path)[:12])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
