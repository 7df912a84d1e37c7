# %% [markdown]
# # Evaluate any two folders of videos
#
# Any program's clips can be measured; no model has to be footage's. Here one folder is *real*, one is an imitation with
# slight faults, and one an imitation that has lost its motion.

# %% tags=["parameters"]
CLIPS = 64
RESAMPLES = 50

# %%
import tempfile
from pathlib import Path

import numpy as np

import footage
from footage.data.synthetic import draw_factors, render_shapes

work = Path(tempfile.mkdtemp(prefix="footage-"))


def save(name: str, seed: int, *, noise: float = 0.0, still: bool = False) -> Path:
    """Write a folder of drawn clips of moving shapes, 16 frames of 64×64."""
    rng = np.random.default_rng(seed)
    for number in range(CLIPS):
        clip = render_shapes(draw_factors(seed, number), start=0, frames=16, height=64, width=64)
        if still:
            clip = np.repeat(clip[:1], len(clip), axis=0)
        noisy = clip + noise * rng.standard_normal(clip.shape)
        frames = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
        footage.Clip.of_frames(frames, fps=25).save(work / name / f"{number:03}.mp4")
    return work / name


reals, noisy, stills = save("reals", 0), save("noisy", 1, noise=6), save("stills", 2, still=True)

# %% [markdown]
# **Measure both by the same real clips.** Without official weights nothing is called FVD: `RFD-rand` is the distance of
# five random networks' features (tier C), which notices that something is wrong, and ranks coarsely.

# %%
found = {
    made.name: footage.evaluate(
        made, reals, metrics="fvd,motion", networks="random", clips=CLIPS, resamples=RESAMPLES, quiet=True
    )
    for made in (noisy, stills)
}
for name, evaluation in found.items():
    for figure in evaluation.figures:
        if figure.value is not None and figure.name in ("frechet", "motion_ratio"):
            span = f"{figure.interval.low:.4g} to {figure.interval.high:.4g}" if figure.interval else "-"
            floor = f"{figure.floor.value:.4g}" if figure.floor else "-"
            print(f"{name:7} {figure.label:20} {figure.value:7.4f}   interval {span:18} floor {floor}")

# %% [markdown]
# **Read it in this order.**
#
# 1. The *floor* is the same figure of real clips beside other real clips. Nobody can ask a model for less.
# 2. The *interval* is how much the figure would change with other clips. Two models whose intervals overlap are not
#    told apart.
# 3. *Motion* beside distance: 1 is as much as real clips. A still picture can have a fair distance.
#
# Here the noise is no further from the real clips than real ones are from each other: to random networks it is not
# there. Motion, 1.6 times that of real clips, gives it away. The stills are eight times as far as the floor. What
# else has to be known before a figure is believed, the evaluation says itself:

# %%
for warning in found["noisy"].warnings[:3]:
    print("-", warning)

# %% [markdown]
# On the command line the same is `footage evaluate noisy reals --metrics fvd,motion --report report.html`, which makes
# a page with plots and looping samples. `--networks lite0,transnet` looks with pretrained networks, which see slight
# noise much better.
