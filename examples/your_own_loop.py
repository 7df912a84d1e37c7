"""The parts without the whole: a method is networks and one step, so it trains in a loop of your own.

Usage: python examples/your_own_loop.py [STEPS]
"""

import sys

import torch

from footage import preset
from footage.config.registry import METHODS
from footage.data.clips import Loader, open_clips
from footage.generation.rollout import from_uint8, videos
from footage.models.base import Batch, Generates, PlainEngine

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 100
config = preset("conv3d-32", {"net.width": 16})
source = open_clips("digits", config.clip)
loader = Loader(source, "train", frames=config.clip.frames, batch_size=8, seed=0)

method = METHODS[config.method](config, len(source.labels))
method.build_optimizers()
for number in range(steps):
    frames, labels = loader.batch(number * 8)  # uint8, B T H W C
    clips = from_uint8(frames)  # B C T H W in [-1, 1]
    rng = torch.Generator().manual_seed(number)
    log = method.step(Batch(clips, torch.from_numpy(labels), rng, 8), number * 8, PlainEngine())
    if number % 20 == 0:
        print(number, {name: round(float(value), 3) for name, value in log.items()})

sampler = method.sampler()
assert isinstance(sampler, Generates)  # a predictor, say, would be given clips
print(next(videos(sampler, [0, 1], [3, 7], 16)).shape)
