"""What the plots of docs/how-stream-works.md show: numbers and frames of the code that makes videos."""

from __future__ import annotations

import base64
import io
import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt

SEED = 7
MODEL = "stream-shapes"
FRAMES, ACROSS = 64, 8
"""Frames of the model that are shown, and how many stand in a row of their picture."""
MEMORY = 12.0
"""Time constant of the process that is refined and looped, in frames."""
HALVINGS = 6
LOOPS = (16, 32, 64)
DRIFTS = (32, 128, 512)
"""Lengths of loops and time constants of drift, in frames."""


def rounded(values: npt.ArrayLike) -> list[Any]:
    listed: list[Any] = np.round(np.asarray(values, dtype=np.float64), 3).tolist()
    return listed


def frames_and_noise() -> dict[str, Any]:
    """Return the frames of a video, as one picture, and what four processes are at each of them."""
    from PIL import Image

    import footage
    from footage.models.generators.stream.noise import NoisePath
    from footage.models.generators.stream.sampler import StreamSampler, turned

    model = footage.load(MODEL, device="cpu")
    video = next(iter(model.generate(1, seed=SEED, frames=FRAMES))).array()
    height, width = video.shape[1:3]
    rows = video.reshape(FRAMES // ACROSS, ACROSS, height, width, -1)  # R A H W C
    sheet = Image.fromarray(np.ascontiguousarray(rows.transpose(0, 2, 1, 3, 4)).reshape(-1, ACROSS * width, 3))
    kept = io.BytesIO()
    sheet.save(kept, "JPEG", quality=82)
    sampler = model.sampler
    assert isinstance(sampler, StreamSampler)
    bank = sampler.generator.bank
    when = np.arange(FRAMES, dtype=np.float64)
    angles = when[:, None] * bank.turns.detach().double().numpy()
    values = turned(NoisePath(bank.rates, SEED).states(when)[..., 0], angles)[..., 0]  # T K
    chosen = np.linspace(0, len(bank.rates) - 1, 4).round().astype(int)
    memories = [math.sqrt(3) / bank.rates[k] for k in chosen]
    return {
        "sheet": "data:image/jpeg;base64," + base64.b64encode(kept.getvalue()).decode(),
        "across": ACROSS,
        "fps": model.info.fps,
        "memories": rounded(memories),
        "values": rounded(values[:, chosen].T),
    }


def refinement() -> dict[str, Any]:
    """Return a path over one block; of each halving where the new states lie in the mean, and their deviation."""
    from footage.models.generators.stream.noise import BLOCK, NoisePath, _bridge

    rates = (math.sqrt(3) / MEMORY,)
    states = NoisePath(rates, SEED, parts=1).states(np.arange(0, BLOCK * 4 + 1) / 4)[:, 0, 0]  # 4 T + 1, 2
    means, deviations = [], []
    for gap in (BLOCK >> n for n in range(HALVINGS)):
        known = states[:: 4 * gap]
        first, second, root = (part[0] for part in _bridge(rates, gap / 2))
        means.append(rounded((known[:-1] @ first.T + known[1:] @ second.T)[:, 0]))
        deviations.append(round(math.sqrt(root[0] @ root[0]), 5))
    return {"block": BLOCK, "path": rounded(states[:, 0]), "means": means, "deviations": deviations}


def loops() -> dict[str, Any]:
    """Return, for each length, a path as it was drawn and as it is when it has to come back."""
    from footage.models.generators.stream.noise import NoiseBridge, NoisePath

    path = NoisePath((math.sqrt(3) / MEMORY,), SEED, parts=1)
    drawn = {}
    for length in LOOPS:
        when = np.arange(0, length * 4 + 1) / 4
        start = path.states(np.zeros(1))[0]
        closed = NoiseBridge(path, start, start, length)
        drawn[str(length)] = [rounded(states.states(when)[:, 0, 0, 0]) for states in (path, closed)]
    return drawn


def drifts() -> dict[str, Any]:
    """Return three numbers of the content over 512 frames, for each time constant, and one of the motion, `0`."""
    from footage.models.generators.stream.noise import NoisePath
    from footage.models.generators.stream.sampler import DRIFT

    when, begin = np.arange(0, 513, 4, dtype=np.float64), np.array([[0.4, -0.9, 1.1]])
    paths = {d: NoisePath((math.sqrt(3) / d,), SEED, 3, DRIFT, begin) for d in DRIFTS}
    motion = NoisePath((math.sqrt(3) / MEMORY,), SEED, parts=1).states(when)[:, 0, :, 0]
    wandering = {str(drift): rounded(path.states(when)[:, 0, :, 0].T) for drift, path in paths.items()}
    return {"0": rounded(motion.T)} | wandering


def script() -> str:
    """Return the numbers and the program that draws them, as tags for the end of the page."""
    numbers = {"time": frames_and_noise(), "refine": refinement(), "loop": loops(), "drift": drifts()}
    text = json.dumps(numbers, separators=(",", ":"))
    return f'<script type="application/json" id="plots">{text}</script>\n<script src="plots.js" defer></script>\n'
