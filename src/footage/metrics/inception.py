"""The Inception Score: how sure a classifier is of each sample, and how many classes there are over all."""

from __future__ import annotations

import itertools
import math

import torch

from footage.errors import ConfigError
from footage.metrics.rows import Rows, blocks

SPLITS = 10
"""Parts that the score is taken of, one by one (Salimans et al. 2016)."""


def inception_score(logits: Rows, splits: int = SPLITS) -> list[float]:
    """Return the score of each of `splits` successive parts of logits (N, K); the Inception Score is their mean.

        exp(mean_x KL(p(y|x) || p(y))) = exp(H(mean_x p(y|x)) - mean_x H(p(y|x)))

    Salimans et al. 2016, section 4; for video Saito et al. 2017. Part i begins at sample floor(i N / splits). The order
    of the samples matters for a few of them: it has to be random.

    Raises:
        ConfigError: there are fewer samples than parts, or a value is not finite.
    """
    count, classes = logits.shape
    if count < splits:
        raise ConfigError(f"an Inception Score of {count} samples in {splits} parts was asked for", "give more clips")
    edges = [count * number // splits for number in range(splits + 1)]
    mean = torch.zeros(splits, classes, dtype=torch.float64)
    entropy = torch.zeros(splits, dtype=torch.float64)
    for first, block in blocks(logits):
        logs = block.log_softmax(dim=1)
        shares = logs.exp()
        for part in range(splits):
            low, high = (min(max(edges[part + k] - first, 0), len(block)) for k in (0, 1))
            mean[part] += shares[low:high].sum(dim=0)
            entropy[part] -= (shares[low:high] * logs[low:high]).sum()
    sizes = torch.tensor([b - a for a, b in itertools.pairwise(edges)], dtype=torch.float64)
    mean, entropy = mean / sizes[:, None], entropy / sizes
    whole = -torch.special.xlogy(mean, mean).sum(dim=1)
    return [math.exp(max(0.0, float(gain))) for gain in whole - entropy]


def accuracy(logits: Rows, labels: torch.Tensor) -> torch.Tensor:
    """Return for each sample whether its likeliest class is its label, (N,), 0 or 1: logits (N, K), labels (N,)."""
    found = torch.cat([block.argmax(dim=1) for _, block in blocks(logits)])
    return (found == labels).double()
