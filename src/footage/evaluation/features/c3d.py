"""C3D: 3×3×3 convolutions (Tran et al. 2015, figure 3), fine-tuned on UCF-101: the Inception Score of video.

The layers are named as in the file that Saito et al. 2020 published (TGANv2), which has a second one beside it: the
mean clip that is taken away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from footage.evaluation.features import resized_clips

CLASSES = 101
"""Classes of UCF-101."""
FRAMES, SIDE = 16, 112
"""Frames, and height and width, of what the network sees."""
MEAN = (3, FRAMES, 128, 171)
"""Shape of the published mean clip; channels are blue, green, red."""
CROP = slice(8, 120)
"""The part of it, along both axes, that is taken away."""

LAYERS: tuple[tuple[str, int, int], ...] = (
    ("conv1a", 3, 64),
    ("conv2a", 64, 128),
    ("conv3a", 128, 256),
    ("conv3b", 256, 256),
    ("conv4a", 256, 512),
    ("conv4b", 512, 512),
    ("conv5a", 512, 512),
    ("conv5b", 512, 512),
)
"""The convolutions: name, channels in and out. Those named `a` 1 and 2, and all named `b`, are followed by pooling."""
POOLED = ("conv1a", "conv2a", "conv3b", "conv4b", "conv5b")
"""After which of them the size is halved; the first time in space alone."""


class C3D(nn.Module):
    """The network. Features are those of fc7 after ReLU (4096, `width` in general), logits those of fc8."""

    def __init__(self, classes: int = CLASSES, width: int = 4096) -> None:
        super().__init__()
        for name, inside, outside in LAYERS:
            self.add_module(name, nn.Conv3d(inside, outside, 3, padding=1))
        self.fc6, self.fc7, self.fc8 = nn.Linear(512 * 4 * 4, width), nn.Linear(width, width), nn.Linear(width, classes)
        self.register_buffer("mean", torch.zeros(3, FRAMES, SIDE, SIDE))
        self.mean: Tensor

    def prepared(self, clips: Tensor) -> Tensor:
        """Resize RGB clips (B, 3, 16, H, W) in [0, 255] to 112×112, in BGR, less the mean clip.

        Corners stay corners. [0, 255] becomes [0, 256], as the published protocol scales clips in [-1, 1] by 128.
        """
        return resized_clips(clips, (SIDE, SIDE), corners=True).flip(1) * (128 / 127.5) - self.mean

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B, 4096) and logits (B, 101) of RGB clips (B, 3, 16, H, W) in [0, 255]."""
        x = self.prepared(clips)
        for name, _, _ in LAYERS:
            x = F.relu(self.get_submodule(name)(x))
            if name in POOLED:
                size = (1, 2, 2) if name == "conv1a" else (2, 2, 2)
                x = F.max_pool3d(x, size, size, ceil_mode=True)  # 7 places become 4
        features = F.relu(self.fc7(F.relu(self.fc6(x.flatten(1)))))
        return features, self.fc8(features)


def renamed(arrays: Mapping[str, Any]) -> dict[str, Tensor]:
    """Rename Chainer's arrays, `conv1a/W` and `conv1a/b`; `mean`, of the second file, is cut to what is seen."""
    tensors = {
        key.replace("/W", ".weight").replace("/b", ".bias"): torch.from_numpy(np.asarray(value, dtype=np.float32))
        for key, value in arrays.items()
        if key != "mean"
    }
    mean = torch.from_numpy(np.asarray(arrays["mean"], dtype=np.float32)).reshape(MEAN)
    return {**tensors, "mean": mean[:, :, CROP, CROP].contiguous()}
