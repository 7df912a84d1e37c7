"""Time of a grid of previews as a page asks for it: 12 strips of 8 pictures, 12 pictures, and the rows of 8 sliders.

    python benchmarks/previews.py [MODEL ...]

On one thread, warm, the median of five; seconds of the processor tell what it takes while others are at work too.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

import torch

from footage.models.card import model_folder
from footage.studio.preview_process import Preview, Previews

GRIDS: dict[str, tuple[list[dict[str, Any]], int]] = {
    "12 strips of 8": ([{"seed": seed} for seed in range(12)], 8),
    "12 pictures": ([{"seed": seed} for seed in range(12)], 1),
    "8 sliders, 7 places": ([{"seed": 0, "sliders": {str(n): p}} for n in range(1, 9) for p in range(-3, 4)], 1),
}


def main(models: list[str]) -> None:
    torch.set_num_threads(1)
    previews = Previews()
    for model in models or ["stream-shapes"]:
        for name, (variants, frames) in GRIDS.items():
            preview = Preview(str(model_folder(model)), {}, variants, frames, 100)
            previews.make(preview)
            times = []
            for _ in range(5):
                begun = time.perf_counter(), time.process_time()
                said, content = previews.make(preview)
                times.append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
            wall, processor = (statistics.median(column) for column in zip(*times, strict=True))
            made = f"{said['rows']} x {said['columns']}"
            print(f"{model}, {name}: {made}, {wall:.3f} s, {processor:.3f} s of processor, {len(content):,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
