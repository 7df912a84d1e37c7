# %% [markdown]
# # Your clips in ten minutes
#
# A folder of videos becomes a data set, a model and new clips. The videos are made here, so that the notebook runs
# anywhere; put a folder of your own in place of `videos`.

# %% tags=["parameters"]
VIDEOS = 48
SIZE = 32
MINUTES = 5.0

# %%
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import footage

work = Path(tempfile.mkdtemp(prefix="footage-"))
videos = work / "videos"


def bouncing(seed: int, frames: int = 48) -> np.ndarray:
    """A coloured disc that bounces, uint8 (T, H, W, C)."""
    rng = np.random.default_rng(seed)
    colour, start, speed = rng.integers(80, 256, 3), rng.uniform(0.2, 0.8, 2), rng.uniform(-0.03, 0.03, 2)
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    made = np.full((frames, SIZE, SIZE, 3), 25, np.uint8)
    for number in range(frames):
        at = 1 - np.abs((start + number * speed) % 2 - 1)  # it turns round at the edges
        made[number][np.hypot(y - at[0], x - at[1]) < 0.24] = colour
    return made


for number in range(VIDEOS):
    footage.Clip.of_frames(bouncing(number), fps=25).save(videos / f"{number:02}.mp4")
print(len(list(videos.glob("*.mp4"))), "videos")

# %% [markdown]
# **A data set.** What can be used is cut into clips; the rest is left out, with a reason each (`audit.html`).

# %%
result = footage.ingest((videos,), work / "data", footage.IngestConfig(height=SIZE, width=SIZE), quiet=True)
print(f"{result.dataset.info.clips} clips, {len(result.rejections)} left out")

# %% [markdown]
# **Train**, for some minutes of one processor core. More is better, and `footage.train` with the same folder goes on
# where it stopped; half an hour shows colours, places and motion.

# %%
preset = footage.preset(f"stream-{SIZE}", {"net.width": 16, "train.threads": 1})
run = footage.train(str(work / "data"), preset, out=work / "run", minutes=MINUTES, quiet=True)
model = footage.load(run.model, device="cpu")
print(f"{model.info.clips_seen:,} clips seen")

# %% [markdown]
# **New clips.** A clip follows from its seed; nothing is made before it is looked at.

# %%
clips = list(model.generate(6, frames=24, seed=1))


def sheet(clips: list[footage.Clip], every: int = 3) -> Image.Image:
    """A row for each clip, time to the right."""
    rows = [np.concatenate(list(clip.array()[::every]), axis=1) for clip in clips]
    return Image.fromarray(np.concatenate(rows, axis=0).repeat(2, axis=0).repeat(2, axis=1))


sheet(clips)

# %% [markdown]
# Real clips beside them, to be honest about how far some minutes go:

# %%
sheet([footage.Clip.of_frames(bouncing(number, 24)) for number in range(3)])

# %% [markdown]
# Save what you like (`clips[0].save("clip.mp4")`), look at it live (`footage play` with the run's folder), or go on
# with [trusted figures](trusted_figures.ipynb) of it.
