from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import footage
from footage import probe
from footage.comparison import Comparison, Limit
from footage.errors import ConfigError
from footage.probe import chosen, trials
from footage.training.run import RunFolder, read_config
from tests.models import tiny_config


def test_the_largest_that_learns_about_as_well_as_the_best_is_chosen() -> None:
    assert chosen({4.0: 1.0, 1.0: 1.0, 0.25: 1.0}) == 4
    assert chosen({4.0: 2.0, 1.0: 1.2, 0.25: 1.0}) == 1
    assert chosen({4.0: 9.0, 1.0: 9.0, 0.25: 1.0}) == 0.25
    assert chosen({1.0: 5.0}) == 1


def test_both_penalties_are_tried_together() -> None:
    config = tiny_config("stream-32", gan__r1=2.0, gan__r2=1.0)
    found = trials(config)
    assert [(c.gan.r1, c.gan.r2) for c in found.values()] == [(8, 4), (2, 1), (0.5, 0.25)]
    assert len({c.preset for c in found.values()}) == 3


@pytest.mark.parametrize("config", [tiny_config("vae-64"), tiny_config("conv3d-32", gan__r1=0.0)])
def test_without_penalties_there_is_nothing_to_probe(config: footage.Config) -> None:
    with pytest.raises(ConfigError, match="no R1 or R2 to probe"):
        trials(config)


def test_train_probes_first_and_keeps_what_it_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "SAMPLES", 16)
    config, out = tiny_config("stream-32", gan__r1=2.0, gan__r2=2.0), tmp_path / "run"
    footage.train("shapes", config, out=out, clips=80, probe=True, quiet=True)
    seen = {path.name for path in (tmp_path / "run-probe").iterdir() if path.is_dir()}
    assert seen == {"stream-32-r1x4", "stream-32-r1x1", "stream-32-r1x0.25"}
    read = read_config(RunFolder(out))
    assert read is not None
    found = read[0]
    assert found.gan.r1 == found.gan.r2 and found.gan.r1 in (8, 2, 0.5) and found.preset == "stream-32"
    with pytest.raises(ConfigError, match="has begun"):
        footage.train("shapes", config, out=out, clips=80, probe=True, quiet=True)


def test_what_could_not_be_trained_is_not_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models: list[dict[str, Any]] = [
        {"status": "diverged at 8 clips", "figures": None},
        {"status": "done", "figures": {"rfd": [2.0]}},
        {"status": "done", "figures": {"rfd": [1.0]}},
    ]
    made = [Comparison(tmp_path, models), Comparison(tmp_path, models[:1], interrupted=True)]
    monkeypatch.setattr(probe, "compare", lambda *_, **__: made.pop(0))
    config, console = tiny_config("stream-32", gan__r1=2.0), Console(quiet=True)
    found, stopped = probe.probe("shapes", config, tmp_path, limit=Limit(clips=100), console=console)
    assert found.gan.r1 == 0.5 and not stopped
    assert probe.probe("shapes", config, tmp_path, limit=Limit(clips=100), console=console) == (config, True)
