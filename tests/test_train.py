from __future__ import annotations

import dataclasses
import json
import os
import resource
import signal
import subprocess
import sys
import time
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import pytest
import torch
from rich.console import Console

import footage
from footage.config import Config, IngestConfig
from footage.config.presets import options, override
from footage.data.clips import Span
from footage.errors import ConfigError, TrainingError
from footage.files import read_lines
from footage.models.base import VideoRequest
from footage.models.checkpoint import load_model, read_state
from footage.models.device import ComputeDevice, find_device
from footage.studio.catalog import read_plain_rows
from footage.training import cost, plan, trainer
from footage.training.cost import clip_flops
from footage.training.run_folder import RunFolder, read_rows
from footage.training.run_log import RunLog, plot_curves
from tests.clips import moving, write
from tests.models import tiny_config

QUICK: dict[str, object] = {"train__batch_size": 4, "clip__frames": 4, "train__save_minutes": 1e-9}
CONFIG = tiny_config(**QUICK)
RESUMED = {
    "conv3d-32": CONFIG,
    "stream-64": tiny_config("stream-64", **QUICK, gan__burn_in=30),
    "svg-64": tiny_config("svg-64", **QUICK, task__past=2),
    "simvp-gan-64": tiny_config("simvp-gan-64", **QUICK, task__past=2),
    "animate-64": tiny_config("animate-64", **QUICK),
    "vae-latent-64": tiny_config("vae-latent-64", **QUICK),
    "lens-8-gan": tiny_config("lens-8-gan", **QUICK),
    "diffusion-32": tiny_config("diffusion-32", **QUICK),
}


def weights(run: Path) -> dict[str, torch.Tensor]:
    state = read_state(run / "state" / "last.pt")
    return {f"{part}.{k}": v for part in ("nets", "averages") for n in state[part].values() for k, v in n.items()}


def same(one: Path, two: Path) -> bool:
    a, b = read_state(one / "state" / "last.pt"), read_state(two / "state" / "last.pt")
    for part in ("nets", "averages"):
        for name in a[part]:
            if not all(torch.equal(value, b[part][name][key]) for key, value in a[part][name].items()):
                return False
    moments = [s["optimizers"]["generator"]["state"][0]["exp_avg_sq"] for s in (a, b)]
    return torch.equal(*moments) and a["progress"]["clips_seen"] == b["progress"]["clips_seen"]


def test_run_folder_is_complete(tmp_path: Path) -> None:
    run = footage.train("shapes", CONFIG, out=tmp_path / "run", clips=16, quiet=True)
    names = {path.name for path in run.path.iterdir()}
    assert {"config.json", "metrics.jsonl", "curves.png", "model", "samples", "state", "tensorboard"} <= names
    stored = json.loads((run.path / "config.json").read_text())
    assert stored["config"]["train"]["batch_size"] == 4 and stored["data"]["name"] == "shapes"
    assert {p.suffix for p in (run.path / "samples").iterdir()} == {".png", ".mp4"}
    _, info = load_model(run.model)
    assert info.clips_seen == 16 and info.labels == ("circle", "square", "triangle")
    assert abs(sum(info.label_shares) - 1) < 1e-9
    rows = read_lines(run.path / "metrics.jsonl")
    assert rows[-1]["clips"] == 16 and "motion_ratio" in rows[-1]


SELDOM = ("diffusion-32", "svg-64", "simvp-gan-64", "animate-64", "lens-8-gan")
"""Those of RESUMED that go the same way as others."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.nightly if name in SELDOM else ()) for name in RESUMED]
)
def test_resumed_equals_uninterrupted_and_an_ended_run_can_be_extended(tmp_path: Path, name: str) -> None:
    footage.train("shapes", RESUMED[name], out=tmp_path / "one", clips=40, quiet=True)
    for clips in (12, 24):
        footage.train("shapes", RESUMED[name], out=tmp_path / "two", clips=clips, quiet=True)
    assert not same(tmp_path / "one", tmp_path / "two")
    footage.train("shapes", RESUMED[name], out=tmp_path / "two", clips=40, quiet=True)
    assert same(tmp_path / "one", tmp_path / "two")


def train_to_96(out: str) -> None:
    footage.train("shapes", CONFIG, out=out, clips=96, quiet=True)


def test_killed_at_any_moment_and_started_again_gives_the_same_weights(
    tmp_path: Path, trainers: ForkServerContext
) -> None:
    def started(name: str) -> ForkServerProcess:
        process = trainers.Process(target=train_to_96, args=(str(tmp_path / name),))
        process.start()
        return process

    whole = started("one")
    state = tmp_path / "two" / "state" / "last.pt"
    kills = 0
    for moment in (0.0, 0.05, 0.2):
        process = started("two")
        before = state.stat().st_mtime_ns if state.exists() else 0
        while process.is_alive() and (state.stat().st_mtime_ns if state.exists() else 0) == before:
            time.sleep(0.005)
        time.sleep(moment)
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
    assert kills >= 2, "the run was too quick to be killed"
    killed_at = read_state(state)["progress"]["clips_seen"]
    assert 0 < killed_at < 96
    again = started("two")
    for process in (whole, again):
        process.join()
        assert process.exitcode == 0
    assert same(tmp_path / "one", tmp_path / "two")
    rows = [row["clips"] for row in read_lines(tmp_path / "two" / "metrics.jsonl")]
    assert rows == sorted(rows)


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    code = (
        "import sys, footage; from tests.test_train import CONFIG; "
        "footage.train('shapes', CONFIG, out=sys.argv[1], clips=10**9)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "run")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    while not (tmp_path / "run" / "state" / "last.pt").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 0
    assert "stopped and saved" in said and "run the same command again" in said
    load_model(tmp_path / "run" / "model")


class Poisoned:
    """Makes one weight of the generator not a number once `after` clips have been seen."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: int, times: int) -> None:
        self.times, step = times, trainer.Trainer.step

        def poisoned(training: trainer.Trainer, *arguments: object) -> dict[str, torch.Tensor]:
            log = step(training, *arguments)  # type: ignore[arg-type]
            if training.progress.clips_seen >= after and self.times > 0:
                self.times -= 1
                with torch.no_grad():
                    next(iter(training.method.nets["generator"].parameters())).fill_(float("nan"))
            return log

        monkeypatch.setattr(trainer.Trainer, "step", poisoned)


def test_not_finite_goes_back_to_the_last_good_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Poisoned(monkeypatch, after=20, times=1)
    run = footage.train("shapes", CONFIG, out=tmp_path / "run", clips=40, quiet=True)
    state = read_state(run.path / "state" / "last.pt")
    assert state["progress"]["clips_seen"] == 40 and state["progress"]["attempt"] == 1
    assert all(torch.isfinite(value).all() for value in weights(run.path).values())


def test_divergence_without_end_stops_with_the_last_good_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Poisoned(monkeypatch, after=20, times=10**9)
    with pytest.raises(TrainingError, match=r"diverged.*last good state is kept.*lower --gan.lr"):
        footage.train("shapes", CONFIG, out=tmp_path / "run", clips=400, quiet=True)
    assert all(torch.isfinite(value).all() for value in weights(tmp_path / "run").values())
    sampler, info = load_model(tmp_path / "run" / "model")
    assert info.clips_seen <= 24 and torch.isfinite(next(sampler.segments([VideoRequest(0, (1.0, 0.0, 0.0))]))).all()


def test_what_a_run_cannot_take_is_refused(tmp_path: Path) -> None:
    footage.train("shapes", CONFIG, out=tmp_path / "run", clips=4, quiet=True)
    other = tiny_config(train__batch_size=4, clip__frames=8)
    with pytest.raises(TrainingError, match=r"clip.frames 4, now it is 8.*--out"):
        footage.train("shapes", other, out=tmp_path / "run", clips=8, quiet=True)
    labels = tiny_config(train__batch_size=4, clip__frames=4, train__labels="no")
    with pytest.raises(TrainingError, match="begun with labels"):
        footage.train("shapes", labels, out=tmp_path / "run", clips=8, quiet=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(TrainingError, match="not empty and is no run"):
        footage.train("shapes", CONFIG, out=tmp_path / "mine", clips=8, quiet=True)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "precious"


def test_other_learning_rate_is_taken_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    footage.train("shapes", CONFIG, out=tmp_path / "run", clips=4, quiet=True)
    other = tiny_config(train__batch_size=4, clip__frames=4, gan__lr=1e-3)
    footage.train("shapes", other, out=tmp_path / "run", clips=8)
    assert "gan.lr: 0.0005 before, 0.001 from here on" in capsys.readouterr().out
    state = read_state(tmp_path / "run" / "state" / "last.pt")
    assert state["optimizers"]["generator"]["param_groups"][0]["lr"] == 1e-3
    assert json.loads((tmp_path / "run" / "config.json").read_text())["config"]["gan"]["lr"] == 1e-3


def test_two_trainings_do_not_share_a_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with folder.lock(), pytest.raises(TrainingError, match="being trained by another process"), folder.lock():
        pass
    with folder.lock():
        pass


def test_dry_run_begins_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dry = footage.train("shapes", CONFIG, out=tmp_path / "run", dry_run=True)
    said = capsys.readouterr().out
    assert said.startswith("preset"), "the table comes first"
    for word in ("weights, generator", "memory", "clips/s measured here", "4 × 32 × 32", f"knobs    {options(CONFIG)}"):
        assert word in said
    assert dry.config is not None and dry.config.gan == CONFIG.gan, "all knobs are in the result"
    assert not (tmp_path / "run").exists()


def test_sizes_that_differ_name_both_remedies(tmp_path: Path) -> None:
    class Source:
        name, shape, labels, guides = "mine", (48, 80, 3), (), 0

    with pytest.raises(ConfigError, match=r"frames of 80×48.*--clip.width 80 --clip.height 48"):
        plan.match(CONFIG, Source())  # type: ignore[arg-type]


def test_budget_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="minutes is 0"):
        footage.train("shapes", CONFIG, minutes=0, quiet=True)


def test_batch_size_fits_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config(train__batch_size=None)
    needs = cost.Needs({}, fixed_bytes=100, clip_bytes=10, step_seconds=0, timed_batch=0)
    place = ComputeDevice("cpu", False)
    for free, size in ((10**6, 8), (150, 4), (110, 1)):
        monkeypatch.setattr(cost, "memory_free", lambda device, free=free: free)
        assert cost.fit_batch(config, needs, place) == size
    monkeypatch.setattr(cost, "memory_free", lambda device: 105)
    with pytest.raises(TrainingError, match=r"lower --clip.height"):
        cost.fit_batch(config, needs, place)
    assert cost.fit_batch(tiny_config(train__batch_size=64), needs, place) == 64


def test_measured_memory_is_of_the_right_size() -> None:
    small = cost.measure(tiny_config(), 0, ComputeDevice("cpu", False))
    double = cost.measure(tiny_config(clip__height=64), 0, ComputeDevice("cpu", False))
    assert 1.6 < double.clip_bytes / small.clip_bytes < 2.4
    assert small.bytes(8) - small.bytes(4) == 4 * small.clip_bytes


@pytest.mark.parametrize("name", ["vae-gan-64", "simvp-gan-64"])
def test_what_critics_take_is_counted_whenever_they_begin(name: str) -> None:
    late = tiny_config(name, learn__critics_after=1_000_000, **(QUICK if "vae" in name else {**QUICK, "task__past": 2}))
    soon = dataclasses.replace(late, learn=dataclasses.replace(late.learn, critics_after=0))
    alone = dataclasses.replace(late, critics=())
    cpu = ComputeDevice("cpu", False)
    assert clip_flops(late, 0, cpu) == clip_flops(soon, 0, cpu) > 1.5 * clip_flops(alone, 0, cpu)


def test_missing_device_is_named() -> None:
    missing = next(d for d, there in (("cuda", torch.cuda.is_available()), ("mps", False)) if not there)
    if missing == "mps" and torch.backends.mps.is_available():
        missing = "cuda"
    with pytest.raises(TrainingError, match=f'no device "{missing}"'):
        find_device(missing)


def test_step_seeds_differ_in_every_part() -> None:
    seeds = {trainer.step_seed(s, c, a) for s in range(3) for c in range(0, 64, 16) for a in range(3)}
    assert len(seeds) == 3 * 4 * 3 and all(0 <= seed < 2**63 for seed in seeds)


def test_out_of_memory_becomes_advice() -> None:
    full = RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: 10 bytes")
    advice = trainer.advice(full, Path("run"))
    assert advice and "--train.batch-size" in str(advice)
    assert trainer.advice(RuntimeError("an illegal memory access was encountered"), Path("run")) is None


def train_on_a_full_disk(out: str, said: str) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    try:
        footage.train("shapes", CONFIG, out=out, clips=16, quiet=True)
    except TrainingError as error:
        Path(said).write_text(str(error))


def test_full_disk_keeps_the_last_state(tmp_path: Path, trainers: ForkServerContext) -> None:
    run = footage.train("shapes", CONFIG, out=tmp_path / "run", clips=8, quiet=True)
    before = weights(run.path)
    process = trainers.Process(target=train_on_a_full_disk, args=(str(run.path), str(tmp_path / "said")))
    process.start()
    process.join()
    said = (tmp_path / "said").read_text()
    assert "the disk cannot take the state" in said and "run the same command again" in said
    after = weights(run.path)
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    footage.train("shapes", CONFIG, out=run.path, clips=16, quiet=True)


def test_budget_by_minutes(tmp_path: Path) -> None:
    run = footage.train("shapes", CONFIG, out=tmp_path / "run", minutes=0.02, quiet=True)
    progress = read_state(run.path / "state" / "last.pt")["progress"]
    assert progress["seconds"] >= 1.2 and progress["clips_seen"] > 0


def test_the_first_sheet_comes_by_time_and_rows_say_the_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "FIRST_SHEET", 0.0)
    monkeypatch.setattr(trainer, "LOG_CLIPS", 8)
    run = footage.train("shapes", tiny_config(**QUICK, train__threads=1), out=tmp_path / "run", clips=32, quiet=True)
    sheets = sorted(int(path.stem) for path in (run.path / "samples").glob("*.png"))
    assert sheets[0] == 4 and sheets[-1] == 32, "long before the 10,000th clip, and at the end"
    rows = read_lines(run.path / "metrics.jsonl")
    assert {row["threads"] for row in rows if "clips_per_second" in row} == {1}
    by_clips = tiny_config(**QUICK, train__sample_minutes=0)
    run = footage.train("shapes", by_clips, out=tmp_path / "by-clips", clips=12, quiet=True)
    assert [int(path.stem) for path in (run.path / "samples").glob("*.png")] == [12]
    losses = [row["clips"] for row in read_lines(run.path / "metrics.jsonl") if "generator_loss" in row]
    assert losses == [8, 12], "the end of a training has its row"


def test_a_short_training_on_few_clips_has_the_held_out_gap_and_says_what_to_do_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rows before the 500th clip have it too, as have data sets of some 20 clips."""
    for number in range(6):
        write(tmp_path / "clips" / f"{number}.mp4", moving(8, (32, 32), number))
    sizes = IngestConfig(height=32, width=32, min_frames=4, heldout=0.2, workers=0)
    footage.ingest((tmp_path / "clips",), tmp_path / "data", sizes, advise=False, quiet=True)
    run = footage.train(str(tmp_path / "data"), CONFIG, out=tmp_path / "my run", clips=52)
    assert f"new clips: footage generate '{run.path}' --to clips (before 4,000" in capsys.readouterr().out
    (row,) = [row for row in read_lines(run.path / "metrics.jsonl") if "clips_per_second" in row]
    assert {"clip_heldout_gap", "sparse_heldout_gap"} <= row.keys()


def test_samples_are_compared_with_clips_of_several_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two videos are held out here: what is cut from them varies too little to tell whether samples do."""
    for number in range(6):
        write(tmp_path / "clips" / f"{number}.mp4", moving(24, (32, 32), number))
    options = IngestConfig(height=32, width=32, min_frames=8, heldout=0.5, workers=0)
    footage.ingest((tmp_path / "clips",), tmp_path / "data", options, advise=False, quiet=True)
    seen: dict[int, set[str]] = {}

    def sample(self: trainer.Trainer, reals: torch.Tensor) -> None:
        seen[trainer.COMPARED] = {Path(unit.span.source).stem for unit in self.shown.units}

    monkeypatch.setattr(trainer.Trainer, "sample", sample)
    for least in (2, 4):
        monkeypatch.setattr(trainer, "COMPARED", least)
        footage.train(tmp_path / "data", CONFIG, out=tmp_path / f"run-{least}", clips=4, quiet=True)
    assert seen == {2: {"0", "1"}, 4: {"2", "3", "4", "5"}}


def test_train_takes_the_name_of_a_preset() -> None:
    with pytest.raises(ConfigError, match='no preset "conv3d-63"'):
        footage.train("shapes", "conv3d-63")


def test_terminal_without_a_terminal(tmp_path: Path) -> None:
    from footage.training.diagnostics import Diagnostic
    from footage.training.run_log import Terminal

    with open(tmp_path / "log", "w") as handle:
        terminal = Terminal(Console(file=handle))
        with terminal:
            terminal.progress(0.5, "half", "cpu")
            for seen in (4_000, 5_000, 21_000):
                terminal.warn([Diagnostic("grey", "samples are grey")], {"grey": "be patient"}, seen)
    text = (tmp_path / "log").read_text()
    assert "50%  half" in text
    assert text.count("samples are grey. Usual remedy: be patient") == 2, "the same warning comes back only much later"


def config_of(run: Path) -> Config:
    from footage.training.run_folder import read_config

    stored = read_config(RunFolder(run))
    assert stored is not None
    return stored[0]


def test_damaged_config_is_named(tmp_path: Path) -> None:
    run = footage.train("shapes", CONFIG, out=tmp_path / "run", clips=4, quiet=True)
    assert config_of(run.path).clip == CONFIG.clip
    (run.path / "config.json").write_text("{")
    with pytest.raises(TrainingError, match=r"config.json cannot be read.*--out"):
        footage.train("shapes", CONFIG, out=run.path, clips=8, quiet=True)


def test_a_run_goes_on_where_a_figure_was_no_number(tmp_path: Path) -> None:
    """An older program wrote NaN as such."""
    folder = RunFolder(tmp_path)
    folder.metrics.write_text('{"clips": 1, "loss": NaN, "rate": 2.0}\n{"clips": 2, "loss": 3.0}\n')
    assert read_rows(folder.metrics)[1] == "line 1 of its figures holds what is no finite number"
    log = RunLog(folder, Console(quiet=True), batch_size=1)
    log.rewind(2, 0.0)
    log.write(3, {"loss": float("nan"), "rate": float("inf"), "memory": 4.0})
    log.close()
    assert folder.metrics.read_text().endswith('{"clips": 3, "loss": null, "rate": null, "memory": 4.0}\n')
    rows = [{"clips": 1, "rate": 2.0}, {"clips": 2, "loss": 3.0}, {"clips": 3, "memory": 4.0}]
    assert read_rows(folder.metrics) == read_plain_rows(folder.metrics, tmp_path) == (rows, "")
    log.rewind(3, 0.0)
    log.close()
    assert read_rows(folder.metrics) == (rows, "")
    plot_curves(folder.metrics, tmp_path / "curves.png", {"Losses": ("loss", "rate")})
    assert (tmp_path / "curves.png").stat().st_size


def test_found_batch_size_is_kept_on_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = dataclasses.replace(CONFIG, train=dataclasses.replace(CONFIG.train, batch_size=None))
    sizes = []
    for free, clips in ((2**40, 16), (cost.LIBRARIES + 2**26, 32)):
        monkeypatch.setattr(cost, "memory_free", lambda device, free=free: free)
        run = footage.train("shapes", config, out=tmp_path / "run", clips=clips, quiet=True)
        sizes.append(config_of(run.path).train.batch_size)
    assert sizes == [8, 8]


def test_ctrl_c_on_a_broken_run_keeps_the_good_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = footage.train("shapes", CONFIG, out=tmp_path / "run", clips=8, quiet=True)
    patient = dataclasses.replace(CONFIG, train=dataclasses.replace(CONFIG.train, save_minutes=60.0))
    Poisoned(monkeypatch, after=12, times=1)
    step = trainer.Trainer.step

    def interrupted(training: trainer.Trainer, *arguments: object) -> dict[str, torch.Tensor]:
        if training.progress.clips_seen >= 16:
            os.kill(os.getpid(), signal.SIGINT)
        return step(training, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(trainer.Trainer, "step", interrupted)
    stopped = footage.train("shapes", patient, out=run.path, clips=400, quiet=True)
    assert stopped.interrupted
    assert read_state(run.path / "state" / "last.pt")["progress"]["clips_seen"] == 8
    assert all(torch.isfinite(value).all() for value in weights(run.path).values())


def test_other_data_do_not_take_over_a_run(tmp_path: Path) -> None:
    footage.train("shapes", CONFIG, out=tmp_path / "run", clips=4, quiet=True)
    plain = tiny_config(train__batch_size=4, clip__frames=4, train__labels="no")
    footage.train("shapes", plain, out=tmp_path / "plain", clips=4, quiet=True)
    with pytest.raises(TrainingError, match=r"begun on shapes, now the data are digits-2.*--out"):
        footage.train("digits-2", plain, out=tmp_path / "plain", clips=8, quiet=True)


def test_only_labels_that_can_be_learned_are_taken() -> None:
    class Source:
        name, shape, guides = "mine", (32, 32, 3), 0
        labels = ("long", "never", "short", "too")

        def spans(self, split: str) -> list[Span]:
            train = [Span(0, 20, 0), Span(1, 3, 2), Span(2, 20, 3), Span(4, 20, 0), Span(5, 20, 3)]
            return train if split == "train" else [Span(3, 20, 1)]

    _, labels = plan.match(CONFIG, Source())  # type: ignore[arg-type]
    assert labels == ("long", "too")


@pytest.mark.parametrize(
    ("counts", "used"), [((1, 1, 1), False), ((2, 1, 1), False), ((2, 2, 1), True), ((2, 1), True), ((1, 1), False)]
)
def test_labels_with_one_clip_each_are_not_trained_on_unless_told(counts: tuple[int, ...], used: bool) -> None:
    names = tuple("abc"[: len(counts)])

    class Source:
        name, shape, guides, labels = "mine", (32, 32, 3), 0, names

        def spans(self, split: str) -> list[Span]:
            return [Span(10 * label + n, 20, label) for label, count in enumerate(counts) for n in range(count)]

    assert plan.match(CONFIG, Source())[1] == (names if used else ())  # type: ignore[arg-type]
    told = override(CONFIG, {"train.labels": "yes"})
    assert plan.match(told, Source())[1] == names  # type: ignore[arg-type]
    assert plan.match(CONFIG, Source(), names)[1] == names  # type: ignore[arg-type]  # a run that has begun with them


def test_a_folder_for_each_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ingest says that its labels are no classes, the audit advises so, training is without them unless told."""
    for number in range(4):
        write(tmp_path / "signs" / f"word{number}" / f"word{number}.mp4", moving(8, (16, 16), number))
    options = IngestConfig(height=16, width=16, min_frames=4, workers=0)
    dataset = footage.ingest((tmp_path / "signs",), tmp_path / "d", options, advise=False).dataset
    assert dataset.info.labels == ("word0", "word1", "word2", "word3")
    said = " ".join(capsys.readouterr().out.split())
    assert "labels not used: most labels stand for one clip each and can only be learned by heart" in said
    config = override(CONFIG, {"clip.frames": 4, "clip.height": 16, "clip.width": 16, "train.batch_size": 2})
    made = plan.prepare(tmp_path / "d", config, timed=False)
    assert made.note.labels == () and "--train.labels yes uses them" in made.conditions("nothing")
    told = override(config, {"train.labels": "yes"})
    assert plan.prepare(tmp_path / "d", told, timed=False).conditions("nothing") == "word0, word1, word2, word3"


def test_half_written_files_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    run = footage.train("shapes", CONFIG, out=tmp_path / "run", clips=4, quiet=True)
    left = run.path / "state" / ".last-0123.partial.pt"
    left.write_bytes(b"half")
    footage.train("shapes", CONFIG, out=run.path, clips=8, quiet=True)
    assert not left.exists()
