"""What generated volumes are good for: a segmenter of phantoms that learns from real ones, or from generated ones too.

    python benchmarks/volumes.py RUN [--real 16] [--made 128] [--steps 300] [--seeds 3]

RUN was trained on `phantoms` with three channels (--clip.channels 3): a picture, the mask of its organs, and that of
its lesions, so that what is generated comes with its labels. A small U-Net learns for as many steps from `real`
phantoms alone, from these and `made` generated ones (half of each batch), and from generated ones alone; all are
measured on 64 held-out phantoms by Dice's coefficient. Phantoms are drawings: nothing here says anything of patients.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from footage.config import ClipConfig
from footage.data.clips import PhantomClips
from footage.generation.model import Model
from footage.generation.rollout import from_uint8

HELDOUT = 64
"""Phantoms that are measured on."""
BATCH = 4
"""Volumes of a step."""


class Segmenter(nn.Module):
    """A small U-Net of three sizes: pictures (B, 1, T, H, W) -> logits of organs and lesions (B, 2, T, H, W)."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.first = nn.Conv3d(1, width, 3, padding=1)
        self.down = nn.ModuleList([nn.Conv3d(width, 2 * width, 3, 2, 1), nn.Conv3d(2 * width, 4 * width, 3, 2, 1)])
        self.up = nn.ModuleList(
            [nn.Conv3d(6 * width, 2 * width, 3, padding=1), nn.Conv3d(3 * width, width, 3, padding=1)]
        )
        self.out = nn.Conv3d(width, 2, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        levels = [F.leaky_relu(self.first(pictures), 0.1)]
        for stage in self.down:
            levels.append(F.leaky_relu(stage(levels[-1]), 0.1))
        x = levels.pop()
        for stage in self.up:
            skip = levels.pop()
            x = torch.cat([F.interpolate(x, skip.shape[2:], mode="trilinear"), skip], dim=1)
            x = F.leaky_relu(stage(x), 0.1)
        logits: Tensor = self.out(x)
        return logits


def overlap(made: Tensor, true: Tensor) -> Tensor:
    """Return Dice's coefficients 2 |A B| / (|A| + |B|) of masks (B, 2, T, H, W): (2,), over all volumes together."""
    both = (made * true).sum(dim=(0, 2, 3, 4))
    result: Tensor = 2 * both / (made + true).sum(dim=(0, 2, 3, 4)).clamp(min=1e-6)
    return result


def trained(sides: list[Tensor], steps: int, seed: int) -> Segmenter:
    """Train a segmenter on volumes (N, 3, T, H, W) in [-1, 1]; of several sides each gives as much of a batch."""
    torch.manual_seed(seed)
    net, rng = Segmenter(), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for step in range(steps):
        each = BATCH // len(sides)
        batch = torch.cat([side[torch.randint(len(side), (each,), generator=rng)] for side in sides])
        masks = (batch[:, 1:] > 0).float()
        logits = net(batch[:, :1])
        loss = F.binary_cross_entropy_with_logits(logits, masks) + (1 - overlap(logits.sigmoid(), masks)).mean()
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * (1 - step / steps)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return net.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--real", type=int, default=16)
    parser.add_argument("--made", type=int, default=128)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    model = Model(options.run)
    clip: ClipConfig = model.info.config.clip
    assert clip.channels == 3 and model.info.dataset == "phantoms", "train it on phantoms with --clip.channels 3"
    source = PhantomClips(frames=clip.frames, height=clip.height, width=clip.width, channels=3)

    def drawn(first: int, count: int) -> Tensor:
        return from_uint8(np.stack([source.read_deep(index, 0, clip.frames) for index in range(first, first + count)]))

    real, heldout = drawn(0, options.real), drawn(source.CLIPS, HELDOUT)
    clips = model.generate(count=options.made, seed=0)
    made = from_uint8(np.stack([np.concatenate(list(one.deep())) for one in clips if one.deep is not None]))
    truth = (heldout[:, 1:] > 0).float()
    arms = {"real alone": [real], "real and generated": [real, made], "generated alone": [made]}
    print(
        f"{options.real} real, {len(made)} generated, {options.steps} steps, {HELDOUT} held out; Dice: organs, lesions"
    )
    for name, sides in arms.items():
        began, values = time.process_time(), []
        for seed in range(options.seeds):
            net = trained(sides, options.steps, seed)
            with torch.inference_mode():
                masks = torch.cat([(net(part[:, :1]) > 0).float() for part in torch.split(heldout, 8)])
            values.append(overlap(masks, truth).tolist())
        organs, lesions = zip(*values, strict=True)
        spread = f"{min(lesions):.3f} to {max(lesions):.3f}"
        seconds = time.process_time() - began
        print(f"{name:20} {statistics.mean(organs):.3f}  {statistics.mean(lesions):.3f} ({spread})  {seconds:.0f} s")


if __name__ == "__main__":
    main()
