# %% [markdown]
# # How `stream` works
#
# A frame is a function of a seed and of time, and of nothing else. So a video has no length, can be entered anywhere,
# and closes into a loop. This notebook checks each of these claims on a model that comes with footage, to the bit.

# %% tags=["parameters"]
FRAMES = 48

# %%
import numpy as np
from PIL import Image

import footage

model = footage.load("stream-shapes", device="cpu")


def video(frames: int, seed: int = 7, **timing: object) -> np.ndarray:
    """One video, uint8 (T, H, W, C)."""
    return next(iter(model.generate(1, frames=frames, seed=seed, timing=footage.Timing(**timing)))).array()  # type: ignore[arg-type]


def strip(frames: np.ndarray, every: int = 4) -> Image.Image:
    return Image.fromarray(np.concatenate(list(frames[::every]), axis=1))


whole = video(FRAMES)
strip(whole)

# %% [markdown]
# **Seek.** The same frames, without those before them:

# %%
begin = FRAMES // 2
seconds = begin / model.info.fps
late = video(FRAMES - begin, seek=f"{seconds}s")
print("frames that differ:", int((late != whole[begin:]).any(axis=(1, 2, 3)).sum()), "of", len(late))
assert (late == whole[begin:]).all()

# %% [markdown]
# An hour away costs as much as the beginning:

# %%
strip(video(FRAMES // 2, seek="1:00:00"))

# %% [markdown]
# **Slow motion** has new frames between, and the old ones in their places:

# %%
slow = video(2 * FRAMES - 1, slow=2)
print("old frames that differ:", int((slow[::2] != whole).any(axis=(1, 2, 3)).sum()), "of", FRAMES)
between = np.abs(slow[1::2].astype(int) - (whole[:-1].astype(int) + whole[1:]) / 2).max()
print(f"new frames are no blend of their neighbours: they differ from it by up to {between:.0f} grey levels")
assert (slow[::2] == whole).all() and between > 10

# %% [markdown]
# **Loops** come back to their first frame, and the step over the seam is a step as any other:

# %%
period = FRAMES // 2
loop = video(2 * period, loop=f"{period / model.info.fps}s")
assert (loop[:period] == loop[period:]).all()
steps = np.abs(np.diff(loop[: period + 1].astype(int), axis=0)).mean(axis=(1, 2, 3))
print(f"mean change from frame to frame {steps.mean():.2f} grey levels, over the seam {steps[-1]:.2f}")
strip(loop[: period + 1], every=3)

# %% [markdown]
# **How.** Motion is a bank of stationary Gaussian processes, of memories from 2 to 512 frames. Value and speed of one
# are a Markov process, so that between two known states a third can be drawn exactly, wherever one looks. Here four
# of the sixteen, over the frames above. The page *How stream works* of the documentation has plots of it that can be
# moved.

# %%
from footage.models.generators.stream.noise import NoisePath
from footage.models.generators.stream.sampler import StreamSampler

assert isinstance(model.sampler, StreamSampler)
bank = model.sampler.generator.bank
path = NoisePath(bank.rates, seed=7).states(np.arange(FRAMES, dtype=float))[:, ::5, 0, 0]
for number, values in enumerate(path.T):
    marks = "▁▂▃▄▅▆▇█"
    line = "".join(marks[int(np.clip((value + 2) / 4 * 8, 0, 7))] for value in values)
    print(f"memory {3**0.5 / bank.rates[5 * number]:6.1f} frames  {line}")
