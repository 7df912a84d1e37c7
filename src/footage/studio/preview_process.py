"""A process of its own for previews: a grid of small pictures or strips, made while somebody chooses.

    python -m footage.studio.preview_process

Each line of its input asks for one, as JSON (see `Preview`); what is answered is a line of JSON and, behind it, as many
bytes of a picture (WebP) as that says. The last models stay loaded. It ends when its input is closed, or after a while
in which nothing was asked.
"""

from __future__ import annotations

import io
import json
import os
import sys
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from footage.config import from_json
from footage.errors import FootageError
from footage.machines.local import cores
from footage.models.requests import GenerateRequest, VideoOptions

if TYPE_CHECKING:
    from footage.generation.model import Model

LOADED = 2
"""Models that stay loaded."""
IDLE = 300.0
"""Seconds without a question after which the process ends."""
BUDGET = 4.0
"""Seconds of work on one grid: what is not made by then is left out, and said to be."""
SLOW = 0.25
"""Seconds for a picture from which on there is one of each variant."""
STRETCH = 4
"""Frames of the model between two of a strip, at most: slower motion is seen better in fewer pictures."""
SIDE = 128
"""Pixels of the longer side of a picture, at most."""


@dataclass(frozen=True)
class Preview:
    """A grid of pictures that is asked for: a row for each variant."""

    folder: str
    """Of the model."""
    options: dict[str, Any]
    """What all have in common: `VideoOptions` as JSON."""
    variants: list[dict[str, Any]]
    """What each has of its own: `seed`, where it changes `to_seed`, and, where they differ from the options', `sliders`
    and `motion_seed`."""
    frames: int = 1
    """Pictures of each."""
    length: int | None = None
    """Frames of the clips that are previewed, over which the pictures are spread; None for the model's own."""


@dataclass
class Previews:
    """Makes previews; keeps models."""

    models: OrderedDict[tuple[str, float], Model] = field(default_factory=OrderedDict)

    def model(self, folder: str) -> Model:
        from footage.generation.model import Model

        key = folder, (Path(folder) / "model.json").stat().st_mtime
        if key not in self.models:
            self.models[key] = Model(Path(folder), "auto")
        self.models.move_to_end(key)
        while len(self.models) > LOADED:
            self.models.popitem(last=False)
        return self.models[key]

    def make(self, preview: Preview) -> tuple[dict[str, Any], bytes]:
        """Return what is said of a grid, and the grid: as many rows as could be made in time.

        Raises:
            FootageError: the model cannot be loaded, or does not know what is asked for.
        """
        model = self.model(preview.folder)
        begun, wanted = time.perf_counter(), preview.frames
        if wanted > 1 and model.info.streams:  # strips may take too long: one picture of each tells
            for frames, most in ((1, SLOW), (wanted, 2 * BUDGET / len(preview.variants))):
                before = time.perf_counter()
                self.strip(model, preview, preview.variants[0], frames)
                if time.perf_counter() - before > most:
                    wanted = 1
                    break
        rows: list[npt.NDArray[np.uint8]] = []
        for variant in preview.variants:
            if rows and time.perf_counter() - begun > BUDGET:
                break
            rows.append(self.strip(model, preview, variant, wanted))
        columns = min(map(len, rows))
        sheet = np.concatenate([np.concatenate(list(row[:columns]), axis=1) for row in rows])  # rows H, columns W, C
        height, width = rows[0].shape[1:3]
        content = written(sheet, len(rows) * height, columns * width)
        said = {"rows": len(rows), "columns": columns, "seconds": round(time.perf_counter() - begun, 3)}
        return {**said, "bytes": len(content)}, content

    def strip(self, model: Model, preview: Preview, variant: dict[str, Any], frames: int) -> npt.NDArray[np.uint8]:
        """Return some pictures (T, H, W, 3) of the clip that a variant stands for, no larger than `SIDE`."""
        options = from_json(VideoOptions, preview.options, "request")
        timing = options.timing
        if variant.get("motion_seed") is not None:
            timing = replace(timing, motion_seed=variant["motion_seed"])
        sliders = variant.get("sliders", options.sliders)
        seed, to_seed, text = variant["seed"], variant.get("to_seed"), options.text
        request = GenerateRequest(
            seed=seed, to_seed=to_seed, label=options.label, text=text, sliders=sliders, timing=timing
        )
        known, fps = model.info.config.clip.frames, options.fps or model.info.fps
        length = preview.length or known
        if model.info.streams:  # its frames are a function of time: those between need not be made
            apart: float = max(1, min(STRETCH, length // frames)) if frames > 1 else 1
            if to_seed is not None and length > frames > 1:  # the pictures show the whole way
                apart = (length - 1) / (frames - 1)
            request = replace(request, frames=frames, fps=fps / apart)
        elif to_seed is not None:  # of a very long way the pictures show a quicker one
            request = replace(request, frames=min(max(length, known), STRETCH * known))
        (clip,) = model.clips(request)
        pictures = clip.array()
        if not model.info.streams:
            places = np.linspace(0, len(pictures) - 1, frames + 2)[1:-1] if frames == 1 else None
            places = np.linspace(0, len(pictures) - 1, min(frames, len(pictures))) if places is None else places
            pictures = pictures[places.round().astype(int)]
        height, width = pictures.shape[1:3]
        step = -(-max(height, width) // SIDE)
        if step > 1:  # the mean of each square of pixels
            pictures = pictures[:, : height // step * step, : width // step * step].astype(np.float32)
            shape = (len(pictures), height // step, step, width // step, step, pictures.shape[3])
            pictures = pictures.reshape(shape).mean((2, 4)).round().astype(np.uint8)
        return np.broadcast_to(pictures, (*pictures.shape[:3], 3))


def written(sheet: npt.NDArray[np.uint8], height: int, width: int) -> bytes:
    """Return a picture as WebP; FFmpeg and browsers read up to 16,383 pixels a side."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(sheet[:height, :width])).save(out, "WEBP", quality=82, method=0)
    return out.getvalue()


def answer(previews: Previews, line: str) -> tuple[dict[str, Any], bytes]:
    """Return the answer to a question; what a person did wrong is one."""
    try:
        return previews.make(Preview(**json.loads(line)))
    except FootageError as error:
        return {"problem": error.problem, "remedy": error.remedy, "bytes": 0}, b""
    except MemoryError:
        return {"problem": "there is not enough memory", "remedy": "choose a smaller model", "bytes": 0}, b""
    except OSError as error:
        return {"problem": f"the model cannot be read ({error})", "remedy": "choose another", "bytes": 0}, b""


def main() -> None:
    import torch

    output: IO[bytes] = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what libraries print must not get between
    torch.set_num_threads(max(1, cores() // 2))
    previews, heard = Previews(), [time.monotonic()]

    def end_when_idle() -> None:
        while time.monotonic() - heard[0] < IDLE:
            time.sleep(IDLE / 10)
        os._exit(0)

    threading.Thread(target=end_when_idle, name="idle", daemon=True).start()
    for line in sys.stdin:
        heard[0] = time.monotonic()
        said, content = answer(previews, line)
        output.write(json.dumps(said).encode() + b"\n" + content)
        output.flush()
        heard[0] = time.monotonic()


if __name__ == "__main__":
    main()
