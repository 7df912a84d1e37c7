"""What a model could be trained from a data set: preset, batch size, memory and time, measured on this machine."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path

from footage.config import Config
from footage.config.presets import PRESETS
from footage.data.store import Dataset
from footage.errors import FootageError
from footage.training.start import prepare

CLIPS = 100_000
"""Training clips after which a small model shows what it can do."""

FIRST = ("stream-64", "stream-32")
"""Presets to begin with."""


def choose(dataset: Dataset) -> tuple[Config, str]:
    """Return the configuration that suits a data set's frames, and the options that say so on the command line."""
    info = dataset.info
    configs = [PRESETS[name].config for name in FIRST]
    exact = [c for c in configs if (c.clip.height, c.clip.width) == (info.height, info.width)]
    config = exact[0] if exact else configs[0]
    options = f"--preset {config.preset}"
    clip = dataclasses.replace(config.clip, channels=info.channels)
    if not exact:
        clip = dataclasses.replace(clip, height=info.height, width=info.width)
        options += f" --clip.height {info.height} --clip.width {info.width}"
    longest = max((row.frames for row in dataset.split("train")), default=clip.frames)
    if longest < clip.frames:
        frames = max(2, 1 << (longest.bit_length() - 1))
        clip = dataclasses.replace(clip, frames=frames)
        options += f" --clip.frames {frames}"
    return dataclasses.replace(config, clip=clip), options


def recommend(dataset: Dataset, folder: Path) -> dict[str, str]:
    """Measure the recommended training and describe it, a line for each fact; where none is possible, why."""
    config, options = choose(dataset)
    try:
        plan = prepare(folder, config, timed=True)
    except FootageError as error:
        return {"training": f"not possible as it is: {error}"}
    rate = plan.clips_per_second()
    return {
        "command": f"footage train {shlex.quote(str(folder))} {options}",
        "preset": f"{config.preset}: {PRESETS[config.preset].about}",
        "usable clips": f"{plan.usable:,} of {plan.total:,} training clips have {config.clip.frames} frames or more",
        "conditioned on": ", ".join(plan.note.labels) or "nothing (no labels)",
        "device": f"{plan.place.device}, {plan.place.precision}",
        "batch size": str(plan.batch_size),
        "memory": f"about {plan.memory_gib():.1f} GiB",
        "time": f"about {CLIPS / rate / 60:,.0f} minutes for {CLIPS:,} clips ({rate:.1f} clips/s measured here)",
    }
