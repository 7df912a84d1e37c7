"""Accounts of private trainings: the noise that a budget asks for, what was spent, and whether there is any hope.

The accountant is that of opacus, by Rényi's divergence (Mironov 2017; Mironov, Talwar and Zhang 2019): an upper bound
for the Gaussian mechanism on Poisson samples, one source more or less. A history is rows of noise, rate and steps.
"""

from __future__ import annotations

import functools
import math
import secrets
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from footage import files
from footage.config.sections import PrivacyConfig
from footage.data.clips import PoissonLoader
from footage.errors import ConfigError, TrainingError, counted
from footage.training.plan import TrainingPlan
from footage.training.run_folder import RunFolder

HOPELESS = 10.0
"""Length of the noise in a step, in lengths of the longest gradient of a whole batch, above which nothing is learned:
see docs/LOG.md."""

History = list[list[float]]
"""Rows of noise, rate and steps, in their order."""


@functools.lru_cache(maxsize=256)
def _divergences(noise: float, rate: float) -> tuple[Any, Any]:
    """Return the orders that are looked at, and Rényi's divergence of one step at each of them."""
    try:
        from opacus.accountants import RDPAccountant
        from opacus.accountants.analysis import rdp
    except ImportError as error:
        raise ConfigError(
            f"privacy.epsilon is given, and its accountant is not installed ({error})",
            "pip install 'footage[privacy]'",
        ) from None
    orders = RDPAccountant.DEFAULT_ALPHAS
    return orders, rdp.compute_rdp(q=rate, noise_multiplier=noise, steps=1, orders=orders)


def spent(history: Sequence[Sequence[float]], delta: float) -> float:
    """Return the epsilon that a history has spent; 0 for none, infinite without noise.

    Divergences add up, step by step (Mironov 2017, proposition 1).
    """
    if not history or any(not noise for noise, _, _ in history):
        return math.inf if history else 0.0
    parts = [(steps, *_divergences(noise, rate)) for noise, rate, steps in history]
    from opacus.accountants.analysis import rdp

    total = sum(steps * divergence for steps, _, divergence in parts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that other orders would give a lower bound
        return float(rdp.get_privacy_spent(orders=parts[0][1], rdp=total, delta=delta)[0])


def find_noise(privacy: PrivacyConfig, rate: float, steps: int) -> float:
    """Return the least noise with which the budget lasts for so many steps.

    Raises:
        ConfigError: no noise is enough.
    """
    assert privacy.epsilon is not None
    least, most = 0.0, 1.0
    while spent([[most, rate, steps]], privacy.delta) > privacy.epsilon:
        least, most = most, 2 * most
        if most > 1e6:
            raise ConfigError(
                f"privacy.epsilon is {privacy.epsilon:g}, and no noise is enough for {steps:,} steps",
                "give a larger one, a larger --privacy.delta, or fewer --clips",
            )
    while most - least > 1e-3 * most:
        middle = (least + most) / 2
        within = spent([[middle, rate, steps]], privacy.delta) <= privacy.epsilon
        least, most = (least, middle) if within else (middle, most)
    return most


def steps_left(history: History, privacy: PrivacyConfig, rate: float) -> int:
    """Return how many steps more the budget lasts for, at the configuration's noise."""
    assert privacy.epsilon is not None

    def within(steps: int) -> bool:
        return spent([*history, [privacy.noise, rate, steps]], privacy.delta) <= privacy.epsilon  # type: ignore[operator]

    most = 1
    while within(most):
        most *= 2
    least = most // 2
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (middle, most) if within(middle) else (least, middle)
    return least


def record(history: History, noise: float, rate: float) -> None:
    """Note one step more, in place."""
    if history and history[-1][:2] == [noise, rate]:
        history[-1][2] += 1
    else:
        history.append([noise, rate, 1])


def secret_of(folder: RunFolder) -> int:
    """Return the secret of a run's draws, which is made when it begins, readable by its owner alone.

    Raises:
        TrainingError: it is gone: going on with other draws would spend more than is counted.
    """
    path = folder.secret
    if not path.exists():
        if folder.state.exists():
            raise TrainingError(f"{path} is gone, without which the run cannot go on", "give another --out")
        files.write_secret(path, secrets.token_hex(16).encode())
    try:
        return int(files.read_bytes(path), 16)
    except ValueError:
        raise TrainingError(f"{path} is damaged, without which the run cannot go on", "give another --out") from None


def private_plan(plan: TrainingPlan, clips: int | None) -> tuple[TrainingPlan, list[str]]:
    """Return a private training's plan with its noise, and what there is to say before it begins.

    Args:
        plan: the plan; its noise is kept where there is some, as of a run that goes on.
        clips: training clips to see.

    Raises:
        ConfigError: there is no number of clips, nothing held out, or delta or budget cannot be.
    """
    config, source = plan.config, plan.source
    privacy = config.privacy
    frames, size, unit = config.clip.frames, plan.batch_size, privacy.unit
    loader = PoissonLoader(source, frames=frames, batch_size=size, secret=0, unit=unit)
    count = len(loader.groups)
    if privacy.delta >= 1 / count:
        raise ConfigError(
            f"privacy.delta is {privacy.delta:g}, with {counted(count, unit)} one may be told whole",
            f"give less than {1 / count:.0e}, such as {0.1 / count:.0e}",
        )
    if not any(span.frames >= frames for span in source.spans("heldout")):
        raise ConfigError(
            f"{source.name} holds no clips out, and the run's own sheets and figures are to come of unprotected ones",
            "ingest with --heldout",
        )
    if clips is None:
        raise ConfigError("privacy.epsilon is given, and how long the budget is to last is not", "give --clips")
    steps = -(-clips // size)
    if not privacy.noise:
        privacy = replace(privacy, noise=find_noise(privacy, loader.rate, steps))
        config = replace(config, privacy=privacy)
    weights = sum(number for name, number in plan.needs.parameters.items() if name.startswith("critic"))
    length = privacy.noise * math.sqrt(weights) / size
    lasts = min(steps, steps_left([], privacy, loader.rate))
    if not lasts:
        raise ConfigError(
            f"privacy.epsilon is {privacy.epsilon:g}, which is not enough for a step with noise {privacy.noise:g}",
            "leave --privacy.noise out: it is found",
        )
    lines = [
        f"privacy  ε {privacy.epsilon:g} at δ {privacy.delta:g} for each of {counted(count, unit)}: "
        f"{counted(lasts, 'step')} with noise {privacy.noise:.3g}, batches of about {size:,}; in each the noise is "
        f"{length:.1f} times as long as the longest gradient"
    ]
    if length > HOPELESS:
        more = length / HOPELESS
        lines.append(
            f"with {counted(count, unit)} this is hopeless: noise is all that is learned. About {count * more:,.0f} "
            f"{unit}s in batches of {size * more:,.0f} are needed; else train without, and see what `footage privacy` "
            "finds"
        )
    return replace(plan, config=config), lines


def guarantee(privacy: PrivacyConfig, history: History) -> dict[str, Any]:
    """Return what the card of a private model says; the rate stays out of it, which tells how many clips there are."""
    return {
        "epsilon": spent(history, privacy.delta),
        "delta": privacy.delta,
        "unit": privacy.unit,
        "noise": privacy.noise,
        "clip": privacy.clip,
        "steps": int(sum(steps for _, _, steps in history)),
        "accountant": "Rényi, Poisson samples (opacus)",
    }
