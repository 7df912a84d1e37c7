from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import footage
from footage.errors import ConfigError, FootageError
from footage.training import comparison
from footage.training.comparison import Comparison, Limit, largest_good_factor, penalty_trials
from footage.training.run_folder import RunFolder, read_config
from tests.models import tiny_config


def test_the_largest_that_learns_about_as_well_as_the_best_is_chosen() -> None:
    assert largest_good_factor({4.0: 1.0, 1.0: 1.0, 0.25: 1.0}) == 4
    assert largest_good_factor({4.0: 2.0, 1.0: 1.2, 0.25: 1.0}) == 1
    assert largest_good_factor({4.0: 9.0, 1.0: 9.0, 0.25: 1.0}) == 0.25
    assert largest_good_factor({1.0: 5.0}) == 1


def test_both_penalties_are_tried_together() -> None:
    config = tiny_config("stream-32", gan__r1=2.0, gan__r2=1.0)
    found = penalty_trials(config)
    assert [(c.gan.r1, c.gan.r2) for c in found.values()] == [(8, 4), (2, 1), (0.5, 0.25)]
    assert len({c.preset for c in found.values()}) == 3


@pytest.mark.parametrize("config", [tiny_config("vae-64"), tiny_config("conv3d-32", gan__r1=0.0)])
def test_without_penalties_there_is_nothing_to_probe(config: footage.Config) -> None:
    with pytest.raises(ConfigError, match="no R1 or R2 to probe"):
        penalty_trials(config)


@pytest.mark.nightly
def test_train_probes_first_and_keeps_what_it_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "PROBE_SAMPLES", 16)
    config, out = tiny_config("stream-32", gan__r1=2.0, gan__r2=2.0), tmp_path / "run"
    footage.train("shapes", config, out=out, clips=40, probe=True, quiet=True)
    seen = {path.name for path in (tmp_path / "run-probe").iterdir() if path.is_dir()}
    assert seen == {"stream-32-r1x4", "stream-32-r1x1", "stream-32-r1x0.25"}
    read = read_config(RunFolder(out))
    assert read is not None
    found = read[0]
    assert found.gan.r1 == found.gan.r2 and found.gan.r1 in (8, 2, 0.5) and found.preset == "stream-32"
    monkeypatch.setattr(comparison, "probe_penalties", None)
    footage.train("shapes", config, out=out, clips=44, probe=True, quiet=True)
    again = read_config(RunFolder(out))
    assert again is not None and again[0] == found, "it goes on with what was found, without another probe"


@pytest.mark.parametrize("dry_run", [False, True])
def test_what_cannot_be_probed_is_refused_before_the_first_trial(
    dry_run: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "probe_penalties", None)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    gan, asked = tiny_config("stream-32", gan__r1=2.0), {"clips": 80, "out": tmp_path / "run", "dry_run": dry_run}
    for config, other, said in (
        (tiny_config("vae-64"), {}, "no R1 or R2 to probe"),
        (gan, {"minutes": 3.0}, "minutes is 3 and clips is 80.*alone"),
        (gan, {"out": tmp_path / "full"}, "not empty and is no run"),
        (gan, {"guide": "shapes"}, "come from no files"),
    ):
        with pytest.raises(FootageError, match=said):
            footage.train("shapes", config, probe=True, quiet=True, **(asked | other))  # type: ignore[arg-type]
    assert not list(tmp_path.glob("run*"))


def test_a_dry_run_says_that_it_would_probe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tiny_config("stream-32", gan__r1=2.0)
    footage.train("shapes", config, out=tmp_path / "run", probe=True, dry_run=True)
    assert "run-probe" in "".join(capsys.readouterr().out.split()) and not list(tmp_path.iterdir())


def test_what_could_not_be_trained_is_not_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models: list[dict[str, Any]] = [
        {"status": "diverged at 8 clips", "figures": None},
        {"status": "done", "figures": {"rfd": [float("nan")]}},
        {"status": "done", "figures": {"rfd": [1.0]}},
    ]
    made = [Comparison(tmp_path, models), Comparison(tmp_path, models[:1], interrupted=True)]
    monkeypatch.setattr(comparison, "compare", lambda *_, **__: made.pop(0))
    config, console = tiny_config("stream-32", gan__r1=2.0), Console(quiet=True)
    found, stopped = comparison.probe_penalties("shapes", config, tmp_path, limit=Limit(clips=100), console=console)
    assert found.gan.r1 == 0.5 and not stopped
    limit = Limit(clips=100)
    assert comparison.probe_penalties("shapes", config, tmp_path, limit=limit, console=console) == (config, True)
