"""How near a model comes to held-out phantoms: thin slices out of thick ones, or volumes out of their codes.

    python benchmarks/volume_reconstruction.py RUN [--count 128]

RUN was trained on `phantoms`, by `volume-slices-32` or `volume-vae-32`. Printed are the PSNR over the window of 2,000
HU and the mean absolute error in HU, of all voxels and of those at edges, where the truth changes by more than `EDGE`
from a slice to the next; for thick slices also of linear interpolation and of Keys' cubic one (PyTorch's, a = -0.75).
Beside them stand both distances of the noise that is drawn into each phantom, which no model can know.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from footage.data import phantoms
from footage.data.clips import PhantomClips
from footage.generation.model import Model
from footage.generation.rollout import from_uint8
from footage.models.base import Converts
from footage.models.translators.translate import THICK, thick

EDGE = 100.0
"""HU by which a voxel differs from that in the next slice, or the one before, where there is an edge."""


def cubic(volumes: Tensor) -> Tensor:
    """Average every `THICK` slices of volumes (B, C, T, H, W) to one, and lay slices between them again, by cubics."""
    batch, channels, depth, height, width = volumes.shape
    few = F.avg_pool3d(volumes, (THICK, 1, 1)).reshape(batch, channels, depth // THICK, height * width)
    return F.interpolate(few, (depth, height * width), mode="bicubic").reshape(volumes.shape)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--count", type=int, default=128)
    options = parser.parse_args()
    model = Model(options.run)
    clip, sampler, scale = model.info.config.clip, model.sampler, model.info.volume
    assert isinstance(sampler, Converts) and scale is not None and model.info.dataset == "phantoms", "of phantoms"
    source = PhantomClips(frames=clip.frames, height=clip.height, width=clip.width, channels=1)
    numbers = range(source.CLIPS, source.CLIPS + options.count)  # held out
    truth = from_uint8(np.stack([source.read_deep(number, 0, clip.frames) for number in numbers]))
    with torch.inference_mode():
        converted = [torch.cat(list(sampler.convert([sampler.sources(one[None])], 0)), dim=2) for one in truth]
    arms = {model.info.config.preset: torch.cat(converted)}
    if model.info.config.task.source == "slices":
        arms |= {"linear": thick(truth), "cubic": cubic(truth)}
    span = (scale.window[1] - scale.window[0]) / 2  # HU for a step of 1
    rise = (truth.diff(dim=2).abs() * span > EDGE).float()
    edges = (F.pad(rise, (0, 0, 0, 0, 0, 1)) + F.pad(rise, (0, 0, 0, 0, 1, 0))) > 0
    print(f"{options.count} held-out phantoms; {float(edges.float().mean()):.1%} of the voxels are edges")
    floor = 20 * np.log10(2 * span / phantoms.NOISE)
    print(f"{'noise alone':18} {floor:6.2f} dB  {phantoms.NOISE * np.sqrt(2 / np.pi):6.2f} HU")
    for name, made in arms.items():
        away = (made.clamp(-1, 1) - truth).abs() * span
        psnr = 20 * torch.log10(2 * span / away.square().mean(dim=(1, 2, 3, 4)).sqrt())  # of each volume
        print(
            f"{name:18} {float(psnr.mean()):6.2f} dB (sd {float(psnr.std()):.2f})  {float(away.mean()):6.2f} HU, "
            f"at edges {float(away[edges].mean()):6.2f} HU"
        )


if __name__ == "__main__":
    main()
