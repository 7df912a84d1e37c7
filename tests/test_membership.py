"""What a model tells of its training clips: found where it repeats them, and not found where it has not seen them."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import footage
from footage.commands.main import main
from footage.data.clips import BuiltInClips, Span
from footage.data.store import Split
from footage.errors import ConfigError
from footage.evaluation.feature_cache import FeatureCache
from footage.evaluation.inputs import EvaluationInput
from footage.evaluation.membership import PrivacyAudit, PrivacyAuditor, impartial_networks, write_privacy_page
from footage.metrics.bootstrap import chance_of_lowest, clopper_pearson, separate
from footage.models.card import ModelInfo
from footage.training import accounting
from tests.models import FromClips, save_tiny_model, tiny_config


class ManyShapes(BuiltInClips):
    """The built-in shapes, two clips to a source: 24 clips to learn from, 24 that are held out, and 24 of neither."""

    def spans(self, split: Split | str) -> list[Span]:
        first = {"train": 0, "heldout": 24, "neither": 48}[split]
        return [Span(index, 20, -1, f"film{index // 2}@{index % 2}.00") for index in range(first, first + 24)]


class NoisyCopies(FromClips):
    """A made-up model that repeats some clips, with noise."""

    def segments(self, requests: Any) -> Any:
        for chunk in super().segments(requests):
            rng = torch.Generator().manual_seed(sum(request.seed for request in requests))
            yield (chunk + 0.05 * torch.randn(chunk.shape, generator=rng)).clamp(-1, 1)


SOURCE = ManyShapes("shapes", height=32, width=32, channels=3)


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> ModelInfo:
    return save_tiny_model(tmp_path_factory.mktemp("model") / "tiny", labels=())


def audit(
    info: ModelInfo, spans: list[Span], folder: Path, source: BuiltInClips = SOURCE, **options: Any
) -> tuple[PrivacyAuditor, PrivacyAudit]:
    sampler = NoisyCopies(info.config.clip, source, spans)
    model: Any = SimpleNamespace(info=info, sampler=sampler, generator=sampler, folder=folder / "model")
    given = EvaluationInput("shapes", "dataset", clips=source)
    options = {"count": 48, "networks": ("random",)} | options
    with FeatureCache(None) as cache:
        auditor = PrivacyAuditor(model, given, cache=cache, **options)
        return auditor, auditor.audit()


def test_a_model_that_repeats_its_clips_is_found_and_one_that_has_not_seen_them_is_not(
    tmp_path: Path, info: ModelInfo
) -> None:
    auditor, found = audit(info, SOURCE.spans("train")[:16], tmp_path)
    told = {attack.name: attack for attack in found.attacks}
    assert told.keys() == {"pixels", "key frames", "motion", "random"}
    assert told["pixels"].tells and told["random"].tells and told["pixels"].separation.true_positives is None
    assert 12 <= found.recognised <= 16, "two thirds of the clips are repeated, as far as windows meet"
    assert {source.source for source in found.sources if source.recognised} <= {f"film{n}" for n in range(8)}
    assert (
        found.advice.startswith(f"{found.recognised} of 24 clips can be recognised: train shorter")
        and "film" in found.advice
    )
    assert sum(source.copies["pixels"] for source in found.sources) > 24
    page = write_privacy_page(tmp_path / "page.html", auditor, found).read_text(encoding="utf-8")
    assert found.advice[1:] in page and page.count("<video loop") == len(found.pairs) == 12
    chance, limit = told["pixels"].separation.chance, 1 - found.level
    assert f'<td class="number">{chance:.1%}</td>' in page and f"where that is {limit:.1%} or less" in page
    made, real = auditor.frames_of(found.pairs[0])
    assert np.abs(made.astype(int) - real).mean() < 10, "the pair shows the same clip"

    _, unseen = audit(info, SOURCE.spans("neither"), tmp_path)  # type: ignore[arg-type]
    assert unseen.recognised == 0 and not any(attack.tells for attack in unseen.attacks)
    for attack in unseen.attacks:
        low, high = attack.separation.auc_low, attack.separation.auc_high
        assert low is not None and high is not None and low < 0.5 < high, attack
    assert unseen.advice.startswith("nothing was found") and "no critic was asked" in unseen.notes[-1]


def test_nobody_is_named_where_unseen_clips_are_too_few_or_of_other_labels(
    tmp_path: Path, info: ModelInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clips that move little and are like nothing else are near to whatever is made, and the model has seen none."""

    def audited(labels: tuple[str, ...], made: list[Span], of: Callable[[Span], int]) -> PrivacyAudit:
        def spans(split: Split | str) -> list[Span]:
            few = ManyShapes.spans(SOURCE, split)[: 24 if split == "train" else 4]
            return [replace(span, label=of(span)) for span in few]

        monkeypatch.setattr(SOURCE, "labels", labels)
        monkeypatch.setattr(SOURCE, "spans", spans)
        return audit(info, made, tmp_path)[1]

    seen = ManyShapes.spans(SOURCE, "train")
    few = audited((), seen[:2], lambda _: -1)
    assert (few.recognised, few.other_sources) == (0, 2) and few.doubtful >= 1 and 0.05 < few.doubt < 1
    assert few.advice.startswith("no clip is named") and "beside 2 unseen sources as many do by chance" in few.advice
    assert "--held-out" in few.advice and not any(pair.recognised for pair in few.pairs) and not few.sources
    assert all(attack.separation.true_positives is None for attack in few.attacks)
    assert any("too few to say how many are found at 1%" in note for note in few.notes)
    kinds = audited(("street", "people"), seen[:16], lambda span: int(span.index >= 16))  # unseen ones are people
    assert kinds.recognised == 0 and kinds.doubtful >= 8 and "no unseen clip has their labels" in kinds.advice
    assert any("no unseen clip is labelled street: of 16 clips" in note for note in kinds.notes)


def test_drawn_clips_with_labels_are_named_and_those_without_one_are_a_kind_of_their_own(
    tmp_path: Path, info: ModelInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BuiltInClips, "CLIPS", 24)
    monkeypatch.setattr(BuiltInClips, "HELDOUT", 24)
    shapes = BuiltInClips("shapes", height=32, width=32, channels=3)

    def audited(unlabelled: set[str], made: int, count: int) -> tuple[PrivacyAuditor, PrivacyAudit]:
        def spans(split: Split | str) -> list[Span]:
            kept = 16 if split in unlabelled else 24
            return [replace(s, label=s.label if s.index % 24 < kept else -1) for s in BuiltInClips.spans(shapes, split)]

        monkeypatch.setattr(shapes, "spans", spans)
        return audit(info, shapes.spans("train")[:made], tmp_path, shapes, count=count)

    auditor, found = audited({"train", "heldout"}, 16, 48)
    assert found.recognised >= 8 and not any("no unseen clip" in note for note in found.notes)
    assert {source.source for source in found.sources if source.recognised} <= {f"shapes {n}" for n in range(16)}
    assert len(auditor.kinds[0]) == 24 and auditor.kinds[0]["shapes 20"] == ""
    auditor, found = audited({"train"}, 1, 4)
    assert len(auditor.kinds[0]) == 16
    assert any("no unseen clip is without a label: of 8 clips" in note for note in found.notes)


def test_how_often_values_are_lowest_by_chance_is_that_of_counting() -> None:
    rng = np.random.default_rng(0)
    for members, others, count in ((46, 4, 2), (12, 12, 4), (12, 12, 8), (3, 40, 1)):
        known = math.comb(members, count) / math.comb(members + others, count)
        told = chance_of_lowest(rng.random(members).tolist(), rng.random(others).tolist(), count)
        assert told == pytest.approx(known, abs=0.03), (members, others, count)
    # Two kinds, one of which is lower: as one kind they seem to tell, within each they do not.
    low, high = rng.random(20).tolist(), (rng.random(20) + 5).tolist()
    sides, kinds = (low[1:] + high[:1], low[:1] + high[1:]), (["low"] * 19 + ["high"], ["low"] + ["high"] * 19)
    sides[1][0] = 1.5
    assert chance_of_lowest(*sides, 19) < 0.001 and chance_of_lowest(*sides, 19, kinds) > 0.03


def test_what_cannot_be_asked_is_refused(tmp_path: Path, info: ModelInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ManyShapes, "spans", lambda self, split: [Span(0, 20, -1)] if split == "train" else [])
    with pytest.raises(ConfigError, match=r"has no held-out clips of 8 frames.*--held-out"):
        audit(info, [Span(0, 20, -1)], tmp_path)
    trained = replace(info, trained_with={"random-0": "0" * 64})
    with pytest.raises(ConfigError, match="random-0 trained tiny"):
        impartial_networks(trained, ("random",), "cpu")


def test_a_run_is_asked_on_the_command_line_critics_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(BuiltInClips, "CLIPS", 8)
    monkeypatch.setattr(BuiltInClips, "HELDOUT", 8)
    config = tiny_config(train__batch_size=4, clip__frames=4)
    run = footage.train("shapes", config, out=tmp_path / "run", clips=8, quiet=True).path
    words = ["privacy", str(run), "shapes", "--clips", "8", "--networks", "random", "--cache", "none"]
    main([*words, "--json", "--to", str(tmp_path / "page.html")])
    told = json.loads(capsys.readouterr().out)
    assert [attack["name"] for attack in told["attacks"]] == ["pixels", "key frames", "motion", "random", "critics"]
    assert told["members"] == told["others"] == 8 and told["made"] == 8 and told["advice"]
    assert (tmp_path / "page.html").is_file()
    main(words)
    assert "advice:" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([*words, "--held-out", "shapes"])
    assert "the same clips" in capsys.readouterr().err


def test_separation_is_that_of_other_programs_and_knows_of_sources() -> None:
    stats, metrics = pytest.importorskip("scipy.stats"), pytest.importorskip("sklearn.metrics")
    rng = torch.Generator().manual_seed(0)
    members, others = (
        torch.randn(60, generator=rng).round(decimals=1) + 1,
        torch.randn(50, generator=rng).round(decimals=1),
    )
    singles, films = [f"{n}" for n in range(60)], [f"{n // 10}" for n in range(60)]
    alone = separate(members, others, singles, singles[:50])
    assert alone.auc == pytest.approx(metrics.roc_auc_score([1] * 60 + [0] * 50, torch.cat([members, others]).numpy()))
    many = separate(members, others.repeat(2), singles, singles[:50] * 2)
    assert many.true_positives == float((members > others.max()).double().mean()) and alone.true_positives is None
    # Each source ten times the same clip is as little as each once.
    ten, five = members[:6].repeat_interleave(10), others[:5].repeat_interleave(10)
    together = separate(ten, five, films, films[:50])
    once = separate(members[:6], others[:5], singles[:6], singles[:5])
    assert (together.auc, together.auc_low, together.auc_high) == pytest.approx((once.auc, once.auc_low, once.auc_high))
    assert once.auc_low is not None and alone.auc_low is not None and alone.auc_high is not None
    assert once.auc_low < alone.auc_low < 0.84 < alone.auc_high
    assert separate(members[:3], others, singles[:3], singles[:50]).auc_low is None
    apart = separate(torch.arange(4.0) + 4, torch.arange(4.0), singles[:4], singles[:4])
    assert (apart.auc, apart.auc_high) == (1, 1) and apart.auc_low == pytest.approx(0.5823, abs=1e-4)  # no point
    assert apart.chance == pytest.approx(1 / 70) and separate(others, members, singles[:50], singles).chance > 0.99
    assert alone.chance < 0.001 and once.chance == pytest.approx(together.chance)
    rank = stats.permutation_test(
        (members[:6].numpy(), others[:5].numpy()),
        lambda a, b: float((a[:, None] > b).mean() + (a[:, None] == b).mean() / 2),
        alternative="greater",
    )
    assert once.chance == pytest.approx(rank.pvalue)
    t = stats.t.ppf(0.975, 49)
    wins = (members[:, None] > others).double() + (members[:, None] == others).double() / 2
    half = t * float(wins.mean(1).var() / 60 + wins.mean(0).var() / 50) ** 0.5 / (alone.auc * (1 - alone.auc))
    logit = np.log(alone.auc / (1 - alone.auc))
    low, high = 1 / (1 + np.exp(half - logit)), 1 / (1 + np.exp(-half - logit))  # DeLong and others, equation 5
    assert alone.auc_low <= low + 1e-7 and alone.auc_high >= high - 1e-7
    assert alone.auc_low == pytest.approx(low, abs=0.02) and alone.auc_high == pytest.approx(high, abs=0.02)
    for hits, count in ((0, 10), (3, 10), (10, 10), (6, 65)):
        low, high = stats.binomtest(hits, count).proportion_ci(0.95)
        assert clopper_pearson(hits, count) == pytest.approx((low, high), abs=1e-9)


@pytest.mark.nightly
def test_what_was_learned_by_heart_is_found_and_what_was_learned_privately_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("opacus")
    monkeypatch.setattr(accounting.secrets, "token_hex", lambda _: "5" * 32)  # the same draws every night
    spec = importlib.util.spec_from_file_location("privacy", Path(__file__).parents[1] / "benchmarks" / "privacy.py")
    assert spec is not None and spec.loader is not None
    benchmark: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    members, strangers = benchmark.Textures(32, 128), benchmark.Textures(128, 128, first=1000)
    model = benchmark.trained(tmp_path / "usual", members, 8_000)
    assert {attack.name: attack for attack in benchmark.audit(model, members, 200).attacks}["critics"].tells
    private = benchmark.trained(tmp_path / "private", members, 2_000, privacy__epsilon=3.0)
    unseen, private_audit = benchmark.audit(model, strangers, 200), benchmark.audit(private, members, 200)
    for found in (unseen, private_audit):
        assert found.recognised == 0
        for attack in found.attacks:
            assert attack.separation.auc_low < 0.5 < attack.separation.auc_high, attack
    # In one audit of twenty a score tells by chance, as motion does in the private one with these draws (.9%).
    assert not any(attack.tells for attack in unseen.attacks)
    assert [attack.name for attack in private_audit.attacks if attack.tells] in ([], ["motion"])
