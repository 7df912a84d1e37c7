"""The simulation of many workers beside what can be reckoned: full queues, empty ones, and deaths."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from pathlib import Path

import pytest
from PIL import Image

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "cluster_simulation.py"
specification = importlib.util.spec_from_file_location("cluster_simulation", SCRIPT)
assert specification is not None and specification.loader is not None
simulation = importlib.util.module_from_spec(specification)
sys.modules[specification.name] = simulation
specification.loader.exec_module(simulation)
Cluster, Work, simulate = simulation.Cluster, simulation.Work, simulation.simulate

IDEAL = {"overhead": 0.0, "latency": 0.0, "spread": 0.0, "failures": 0.0}
"""A cluster without anything that costs."""


@pytest.mark.parametrize(("workers", "items", "batch"), [(1, 7, 1), (10, 100, 1), (10, 101, 1), (8, 97, 3)])
def test_without_overhead_the_makespan_is_that_of_full_rounds(workers: int, items: int, batch: int) -> None:
    found = simulate(Work("work", 2.0, 0, 0), Cluster(workers=workers, items=items, batch=batch, **IDEAL))
    units, last = math.ceil(items / batch), items % batch or batch
    rounds, rest = divmod(units, workers)
    full = 2.0 * batch * rounds + (0 if rest == 0 else 2.0 * last if rest == 1 else 2.0 * batch)
    assert found.makespan == pytest.approx(full)
    assert found.efficiency == pytest.approx(2.0 * items / (workers * full)) and found.deaths == 0


def test_a_driver_that_is_always_busy_sets_the_pace() -> None:
    knobs = {**IDEAL, "overhead": 0.01}
    work, cluster = Work("work", 0.5, 0, 0), Cluster(workers=200, items=2000, **knobs)
    assert simulation.limits(work, cluster)["driver"] == 50
    assert simulate(work, cluster).makespan == pytest.approx(2000 * 0.01 + 0.5)
    below = simulate(work, Cluster(workers=10, items=2000, **knobs))
    assert below.makespan == pytest.approx(200 * 0.51 + 9 * 0.01, rel=1e-3), "below its limit it is one wait a unit"
    four = simulate(work, Cluster(workers=400, items=2000, drivers=4, **knobs))
    assert four.makespan == pytest.approx(500 * 0.01 + 0.5)
    larger = simulate(work, Cluster(workers=200, items=2000, batch=4, **knobs))
    assert larger.driver < 1 and larger.makespan == pytest.approx(2000 * 0.5 / 200, rel=0.5)


def test_a_store_that_is_always_busy_sets_the_pace() -> None:
    work, cluster = Work("work", 0.5, 1e6, 0), Cluster(workers=500, items=5000, bandwidth=1e8, **IDEAL)
    assert simulation.limits(work, cluster)["store"] == 50
    found = simulate(work, cluster)
    assert found.makespan == pytest.approx(5000 * 1e6 / 1e8 + 0.5) and found.store == pytest.approx(1, abs=0.02)


def test_deaths_cost_what_they_cost_on_average() -> None:
    """A unit of s seconds takes (1 / λ + r) (e^(λ s) - 1) on average, begun again (Ross, Probability Models)."""
    rate, seconds, restart = 0.2, 3.0, 2.0
    knobs = {**IDEAL, "failures": rate, "restart": restart}
    found = simulate(Work("work", seconds, 0, 0), Cluster(workers=1, items=20_000, **knobs), seed=1)
    wanted = (1 / rate + restart) * (math.exp(rate * seconds) - 1)
    assert found.makespan / 20_000 == pytest.approx(wanted, rel=0.02)
    assert found.lost == pytest.approx(1 - seconds / wanted, abs=0.01)
    several = simulate(Work("work", seconds, 0, 0), Cluster(workers=10, items=5000, **knobs), seed=1)
    assert several.makespan / 500 == pytest.approx(wanted, rel=0.05)


def test_the_same_seed_gives_the_same_figures() -> None:
    work, cluster = Work("work", 0.5, 1e6, 1e6), Cluster(workers=20, items=500, failures=0.01)
    first, again, other = (simulate(work, cluster, seed) for seed in (3, 3, 4))
    assert first == again and first.makespan != other.makespan and first.deaths > 0
    assert sum(simulation.Simulation(work, cluster).seconds) == pytest.approx(250, rel=0.1)


def test_the_script_reads_what_was_measured_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured, picture = tmp_path / "measured.json", tmp_path / "picture.png"
    work = {"name": "ingest", "seconds": 0.1, "read": 1e5, "written": 1e6}
    measured.write_text(json.dumps({"version": 1, "works": [work]}))
    words = f"--measured {measured} --workers 2,20 --each 10 --picture {picture}"
    monkeypatch.setattr(sys, "argv", ["cluster_simulation.py", *words.split()])
    monkeypatch.setenv("COLUMNS", "160")
    simulation.main()
    said = capsys.readouterr().out
    assert "ingest: 0.100 s" in said and all(remedy in said for remedy in simulation.REMEDIES)
    with Image.open(picture) as drawn:
        assert drawn.width > 400
