"""What models tell of their training clips: one that learned them by heart, clips that are new to it, private ones.

    python benchmarks/privacy.py --to privacy-runs
    python benchmarks/privacy.py --coverage 300

Clips are textures of which each is drawn by itself, so that nothing can be learned of one from another: a set made to
leak. Few of them are learned by heart; of many, critics know which ones they have seen. With --coverage it draws normal
scores instead, and counts how often intervals hold the true area and tests find one. Figures: docs/trust.md.
"""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
import torch
from rich.console import Console

from footage.config import Config
from footage.config.presets import preset
from footage.data.clips import Span
from footage.data.store import Frames, Split
from footage.evaluation.feature_cache import FeatureCache
from footage.evaluation.inputs import EvaluationInput
from footage.evaluation.membership import PrivacyAudit, PrivacyAuditor
from footage.generation.model import Model
from footage.metrics.bootstrap import separate
from footage.training import trainer
from footage.training.accounting import private_plan
from footage.training.cost import measure
from footage.training.plan import prepare
from footage.training.run_folder import DataNote, RunFolder

FRAMES, SIDE = 4, 16


class Textures:
    """Grey textures of 4×4 random fields that drift, a source each: the `first` and following ones to learn from."""

    fps, guides = 12.5, 0
    labels: tuple[str, ...] = ()
    shape = (SIDE, SIDE, 1)

    def __init__(self, members: int, others: int, first: int = 0) -> None:
        self.name, self.counts = "textures", {"train": range(first, first + members)}
        self.counts["heldout"] = range(100_000, 100_000 + others)
        self.content_hash = hashlib.sha256(f"{self.counts}".encode()).hexdigest()

    def spans(self, split: Split) -> list[Span]:
        return [Span(index, FRAMES, -1, f"texture{index}@0.00") for index in self.counts[split]]

    def read(self, index: int, start: int, frames: int) -> Frames:
        rng = np.random.default_rng(index)
        field = np.kron(rng.integers(0, 256, (4, 4)), np.ones((SIDE // 4, SIDE // 4))).astype(np.uint8)
        way = rng.integers(-1, 2, 2)
        return np.stack([np.roll(field, tuple((start + t) * way), (0, 1)) for t in range(frames)])[..., None]


def trained(folder: Path, source: Textures, clips: int, **knobs: object) -> Model:
    """Train on some textures, or take the run that is there."""
    config: Config = preset(
        "mlp-32",
        {"clip.frames": FRAMES, "clip.height": SIDE, "clip.width": SIDE, "clip.channels": 1, "net.width": 64}
        | {"gan.r1": 0.0, "gan.lr": 5e-4, "gan.critic_lr": 5e-4, "train.threads": 1, "train.sample_clips": 10**6}
        | {"train.batch_size": 16}
        | {name.replace("__", "."): value for name, value in knobs.items()},
    )
    run, console = RunFolder(folder), Console(quiet=True)
    if not (run.model / "model.json").exists():
        plan = prepare("digits", replace(config, clip=replace(config.clip, height=32, width=32)), timed=False)
        needs, note = measure(config, 0, plan.place), DataNote("textures", source.name, source.content_hash, ())
        plan = replace(plan, config=config, source=source, note=note, needs=needs)
        if config.privacy.used:
            plan, said = private_plan(plan, clips)
            print("\n".join(said))
        trainer.train(plan, run, clips=clips, minutes=None, console=console)
    return Model(run.model)


def audit(model: Model, source: Textures, count: int) -> PrivacyAudit:
    with FeatureCache(None) as cache:
        data = EvaluationInput("textures", "dataset", clips=source)
        return PrivacyAuditor(model, data, count=count, cache=cache, networks=("random",)).audit()


def show(name: str, found: PrivacyAudit) -> None:
    print(f"\n{name}, {found.members} clips beside {found.others}: {found.advice}")
    for attack in found.attacks:
        of = attack.separation
        print(
            f"  {attack.name:<11} AUC {of.auc:.3f} ({of.auc_low or 0:.3f} to {of.auc_high or 1:.3f}), "
            f"by chance {of.chance:.2%}: {'tells' if attack.tells else 'tells nothing'}; "
            f"at 1% {of.true_positives or 0:.1%} ({of.positives_low or 0:.1%} to {of.positives_high or 1:.1%})"
        )


def show_coverage(repeats: int) -> None:
    """Print how often intervals of normal scores hold the area under the curve, by sources and clips of each."""
    for members, others in ((4, 4), (6, 6), (12, 12), (4, 100)):
        for each, area in ((1, 0.5), (3, 0.5), (1, 0.9)):  # of three clips of a source half the variance is its own
            rng, held, told = torch.Generator().manual_seed(members + others), 0, 0
            names = [[str(number // each) for number in range(count * each)] for count in (members, others)]
            for repeat in range(repeats):
                sides = []
                for count in (members, others):
                    own = torch.randn(count, 1, generator=rng).double() * (0.5 if each > 1 else 0) ** 0.5
                    rest = torch.randn(count, each, generator=rng).double() * (0.5 if each > 1 else 1) ** 0.5
                    sides.append((own + rest).flatten())
                sides[0] += 2**0.5 * NormalDist().inv_cdf(area)
                apart = separate(*sides, *names, seed=repeat)
                assert apart.auc_low is not None and apart.auc_high is not None, "there are four sources at least"
                held += apart.auc_low <= area <= apart.auc_high
                told += apart.chance <= 0.05
            print(
                f"{members}:{others}, {each} of each, AUC {area}: {held / repeats:.1%} held, {told / repeats:.1%} told"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=Path, default=Path("privacy-runs"))
    parser.add_argument("--coverage", type=int, default=0, help="repeats")
    parser.add_argument("--count", type=int, default=1000, help="clips that are generated")
    asked = parser.parse_args()
    if asked.coverage:
        show_coverage(asked.coverage)
        return
    few, more = Textures(12, 200), Textures(48, 256)
    strangers = Textures(200, 200, first=1_000)
    heart = trained(asked.to / "by-heart", few, 60_000, gan__r1=1.0)
    show("by heart", audit(heart, few, asked.count))
    show("not seen", audit(heart, strangers, asked.count))
    show("more", audit(trained(asked.to / "more", more, 12_000), more, asked.count))
    private = trained(asked.to / "private", more, 12_000, privacy__epsilon=3.0)
    show("more, ε 3", audit(private, more, asked.count))


if __name__ == "__main__":
    main()
