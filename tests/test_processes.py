"""Training on several processes: the weights of one, for any number of them, and no silence where one is gone."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import psutil
import pytest
import torch
from safetensors.torch import load_file
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]
from torch.distributed.elastic.rendezvous import RendezvousTimeoutError
from torch.distributed.launcher import api

import footage
from footage.config import IngestConfig, LaunchConfig
from footage.config.presets import options, override
from footage.errors import ConfigError, TrainingError
from footage.models.checkpoint import read_state
from footage.training import cost, processes
from footage.training.plan import prepare
from footage.training.processes import Processes, measured_devices
from footage.training.run_folder import RunFolder, RunStatus, read_status
from footage.training.trainer import Trainer
from tests.models import tiny_config
from tests.test_api import make_videos

CONFIG = tiny_config(train__batch_size=4, clip__frames=4, train__save_minutes=1e-9, train__threads=1)
INGEST = IngestConfig(height=32, width=32, min_frames=4)
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def command(run: Path, clips: int, devices: int = 2, *more: str) -> list[str]:
    line = [sys.executable, "-m", "footage", "train", "shapes", *options(CONFIG).split(), "--out", str(run)]
    return [*line, "--clips", str(clips), "--devices", str(devices), *more]


def weights(run: Path) -> torch.Tensor:
    state = read_state(run / "state" / "last.pt")
    parts = [state[part][name] for part in ("nets", "averages") for name in sorted(state[part])]
    return torch.cat([part[key].flatten().double() for part in parts for key in sorted(part)])


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run of 16 clips by two processes, and what they said."""
    run = tmp_path_factory.mktemp("processes") / "two"
    said = subprocess.run(command(run, 16), env=ENVIRONMENT, capture_output=True, text=True, timeout=280)
    assert said.returncode == 0, said.stderr
    return run, said.stdout


def test_two_processes_make_the_steps_of_one_and_leave_one_run_folder(tmp_path: Path, two: tuple[Path, str]) -> None:
    run, said = two
    footage.train("shapes", CONFIG, out=tmp_path / "one", clips=16, quiet=True)
    one, both = weights(tmp_path / "one"), weights(run)
    assert float((one - both).norm() / one.norm()) < 1e-5
    assert read_state(run / "state" / "last.pt")["progress"]["clips_seen"] == 16
    assert len(list((run / "samples").glob("*.png"))) == 1 and footage.load(run).info.clips_seen == 16
    assert "torchrun --nproc-per-node=2" in said and "2 clips of a step each" in said
    assert said.count("16 clips in ") == 1, "one of them speaks"


def test_a_run_of_two_is_taken_up_by_one_and_by_two_until_ctrl_c(tmp_path: Path, two: tuple[Path, str]) -> None:
    run = Path(shutil.copytree(two[0], tmp_path / "two"))
    footage.train("shapes", CONFIG, out=run, clips=20, quiet=True)
    parent = subprocess.Popen(command(run, 10**7), env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    state = run / "state" / "last.pt"
    while read_state(state)["progress"]["clips_seen"] < 24:
        assert parent.poll() is None
        time.sleep(0.1)
    parent.send_signal(signal.SIGINT)
    said, _ = parent.communicate(timeout=200)
    assert parent.returncode == 130 and "at 20 clips" in said and "stopped and saved" in said
    seen = read_state(state)["progress"]["clips_seen"]
    assert footage.load(run).info.clips_seen == seen >= 24
    footage.train("shapes", CONFIG, out=tmp_path / "one", clips=seen, quiet=True)
    one, both = weights(tmp_path / "one"), weights(run)
    assert float((one - both).norm() / one.norm()) < 1e-5


@pytest.mark.nightly
def test_two_processes_that_divide_the_networks_go_on_for_one_and_it_for_them(tmp_path: Path) -> None:
    run = tmp_path / "run"
    footage.train("shapes", CONFIG, out=run, clips=4, quiet=True)
    more = ("--strategy", "fsdp", "--evaluate-every", "8", "--evaluate-clips", "8", "--train.snapshot-clips", "8")
    said = subprocess.run(command(run, 12, 2, *more), env=ENVIRONMENT, capture_output=True, text=True, timeout=280)
    assert said.returncode == 0, said.stderr
    assert "at 4 clips" in said.stdout and "networks divided among them" in said.stdout
    assert len(list((run / "samples").glob("*.png"))) == 2
    assert footage.load(run / "snapshots" / "000000008").info.clips_seen == 8
    assert "chosen" in footage.load(run / "best").info.extra
    averages = read_state(run / "state" / "last.pt")["averages"]["generator"]
    model = load_file(next((run / "model").glob("*.safetensors")))
    assert all(torch.equal(model[f"generator.{key}"], value) for key, value in averages.items())

    footage.train("shapes", CONFIG, out=run, clips=16, quiet=True)
    footage.train("shapes", CONFIG, out=tmp_path / "one", clips=16, quiet=True)
    one, both = weights(tmp_path / "one"), weights(run)
    assert float((one - both).norm() / one.norm()) < 1e-5


def test_networks_that_are_to_be_divided_are_not_tried_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = prepare("shapes", CONFIG, timed=False)
    monkeypatch.delattr(cost, "fake_batch")  # there is nothing to make a step of
    plan = prepare("shapes", CONFIG, timed=False, tried=False)
    assert plan.needs == replace(whole.needs, clip_bytes=0) and plan.batch_size == 4
    rows = list(plan.table().columns[1].cells)
    assert any("what a step takes is not tried" in str(row) for row in rows)
    with pytest.raises(NameError):
        prepare("shapes", override(CONFIG, {"train.batch_size": None}), timed=False, tried=False)


def test_where_one_is_killed_all_end_and_say_which(tmp_path: Path) -> None:
    run = tmp_path / "run"
    log = open(tmp_path / "log", "w+")  # noqa: SIM115 - read below, after the process has ended
    parent = subprocess.Popen(command(run, 10**7), env=ENVIRONMENT, stdout=log, stderr=log, text=True)
    state = run / "state" / "last.pt"
    while not state.exists() or read_state(state)["progress"]["clips_seen"] < 4:
        assert parent.poll() is None, Path(log.name).read_text()
        time.sleep(0.1)
    children = [c for c in psutil.Process(parent.pid).children(recursive=True) if c.environ().get("RANK") == "1"]
    assert len(children) == 1
    children[0].send_signal(signal.SIGKILL)
    assert parent.wait(200) == 2
    said = " ".join(Path(log.name).read_text().split())
    assert re.search(r"process 1 of the training, on \S+, was ended by SIGKILL", said)
    assert "run the same command again" in said
    seen = read_state(state)["progress"]["clips_seen"]
    assert seen >= 4
    footage.train("shapes", CONFIG, out=run, clips=seen + 4, quiet=True)


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"devices": 0}, "devices is 0"),
        ({"nodes": 2}, "there is no rendezvous"),
        ({"nodes": 2, "node_rank": 2, "rendezvous": "a:1"}, "node_rank is 2"),
        ({"rendezvous": "node0"}, "HOST:PORT"),
        ({"rendezvous": "node0:99999"}, "HOST:PORT"),
        ({"restarts": -1}, "restarts is -1"),
        ({"strategy": "zero"}, "strategy is 'zero'"),
    ],
)
def test_what_cannot_be_launched_is_refused(knobs: dict[str, int], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        LaunchConfig(**knobs)  # type: ignore[arg-type]


def test_the_line_for_several_machines_is_torchruns() -> None:
    how = LaunchConfig(devices=8, nodes=4, node_rank=1, rendezvous="node0:29400", restarts=3)
    assert " ".join(how.torchrun(["train", "my-data"])) == (
        "torchrun --nproc-per-node=8 --max-restarts=3 --nnodes=4 --node-rank=1 --rdzv-backend=c10d "
        "--rdzv-endpoint=node0:29400 --rdzv-id=footage -m footage train my-data"
    )


def test_what_cannot_be_shared_evenly_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from footage.commands import train as verb

    class Three(Processes):
        def told(self, value: object) -> object:
            self.has_told = True
            return value

    with pytest.raises(ConfigError, match=r"3 processes cannot share evenly.*give --train.batch-size 3"):
        verb.TrainingOrder(
            "shapes", CONFIG, None, tmp_path / "run", None, 8, None, False, None, False, verb.make_console(True)
        ).lead(Three(world=3))


def test_all_stay_until_the_first_one_has_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where GPUs are, a process without signs of life is taken for dead, and ends all."""
    from footage.commands import train as verb

    done: list[str] = []

    class One(Processes):
        def most(self, *values: float) -> list[float]:
            done.append("agreed")
            return list(values)

    for name in ("choose", "sample"):
        monkeypatch.setattr(Trainer, name, lambda *_, name=name: done.append(name))
    verb.TrainingOrder(
        "shapes", CONFIG, None, tmp_path / "run", None, 4, None, False, None, False, verb.make_console(True)
    ).lead(One())
    assert done[-3:] == ["choose", "sample", "agreed"]


def test_a_clock_that_is_set_ends_no_training(tmp_path: Path) -> None:
    folder, now = RunFolder(tmp_path), time.time()
    folder.status.parent.mkdir()
    status = RunStatus(
        **{"state": "running", "clips": 8, "seconds": 1.0, "part": 0.1, "clips_per_second": 8.0, "memory_gib": 1.0},
        **{"target_clips": 80, "target_minutes": None, "device": "cpu", "host": socket.gethostname()},
        **{"pid": os.getpid(), "began": psutil.Process().create_time() - 3600, "written": now},
    )
    for told, state in (
        (status, "running"),
        (replace(status, written=now - 3600), "interrupted"),  # another process has its number
        (replace(status, version=2), None),
    ):
        folder.status.write_text(json.dumps(vars(told)))
        read = read_status(folder)
        assert (read and read.state) == state


def test_the_faster_number_of_processes_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {1: 100, 2: 170}

    def run(line: list[str], env: dict[str, str], **rest: object) -> subprocess.CompletedProcess[str]:
        devices, out = int(line[line.index("--devices") + 1]), Path(line[line.index("--out") + 1])
        assert env["OMP_NUM_THREADS"] == str(4 // devices)
        if rates[devices]:
            (out / "state").mkdir(parents=True)
            progress = {"clips_seen": rates[devices], "seconds": 10.0}
            state: dict[str, object] = {"nets": {}, "averages": {}, "optimizers": {}, "progress": progress}
            torch.save(state, out / "state" / "last.pt")
        return subprocess.CompletedProcess(line, 0 if rates[devices] else 2, "", "error: no")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(processes, "cores", lambda: 4)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    said: list[str] = []
    assert measured_devices(["train", "shapes"], said.append) == 2 and "1: 10.0 clips/s, 2: 17.0 clips/s" in said[-1]
    rates[1] = 200
    assert measured_devices(["train", "shapes"], said.append) == 1
    rates[1], rates[2] = 0, 0
    assert measured_devices(["train", "shapes"], said.append) == 1 and "cannot be tried: error: no" in said[-2]


@pytest.mark.nightly
def test_a_machine_without_the_data_is_named_and_nothing_is_begun(tmp_path: Path) -> None:
    footage.ingest((make_videos(tmp_path / "videos", frames=8),), tmp_path / "data", INGEST, advise=False, quiet=True)
    (tmp_path / "elsewhere").mkdir()
    code = "import os\nif os.environ['RANK'] == '1': os.chdir('elsewhere')\nimport footage.__main__ as m\nm.main()\n"
    (tmp_path / "machine.py").write_text(code)
    line = [*command(tmp_path / "run", 16, 1)[4:], "--quiet"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "machine.py"]
    said = subprocess.run(
        [*torchrun, "train", "data", *line[1:]],
        env=ENVIRONMENT,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
    )
    words = " ".join(said.stderr.split())
    assert said.returncode != 0
    assert re.search(r"error: rank 1 on \S+ cannot begin: .*data.* every machine needs the same data", words), words
    assert words.count("cannot begin") == 1 and not (tmp_path / "run" / "state").exists()


@pytest.mark.nightly
def test_a_full_disk_ends_all_and_keeps_the_last_state(tmp_path: Path, two: tuple[Path, str]) -> None:
    run = tmp_path / "run"
    shutil.copytree(two[0], run)
    before = (run / "state" / "last.pt").read_bytes()
    limit = "import resource, signal, sys, os; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); os.execv(sys.argv[1], sys.argv[1:])"
    line = [sys.executable, "-c", limit, *command(run, 10**7)]
    said = subprocess.run(line, env=ENVIRONMENT, capture_output=True, text=True, timeout=280)
    words = " ".join(said.stderr.split())
    assert said.returncode == 2 and "the disk cannot take the state" in words, words
    assert re.search(r"process 0 of the training, on \S+, failed \(2\): put right what is said above", words)
    assert (run / "state" / "last.pt").read_bytes() == before
    assert footage.load(run).info.clips_seen == read_state(run / "state" / "last.pt")["progress"]["clips_seen"]


@pytest.mark.parametrize(("rank", "leads"), [(0, True), (1, False)])
def test_unequal_versions_are_refused(rank: int, leads: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    store = TCPStore("127.0.0.1", 0, 2, is_master=True, wait_for_workers=False)
    other = {"beat": 0, "step": 0, "host": "node7", "process": 1, "versions": "footage 0.0.1 and torch 2.0"}
    PrefixStore("footage/0", store).set(f"life/{1 - rank}", json.dumps(other))
    for name, value in (("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", store.port)):
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "footage")
    for name, value in (("RANK", rank), ("WORLD_SIZE", 2), ("LOCAL_WORLD_SIZE", 2)):
        monkeypatch.setenv(name, str(value))
    if leads:
        here = re.escape(f"footage {footage.__version__} and torch {torch.__version__}")
        with pytest.raises(TrainingError, match=f"has {here}, rank 1 on node7 has footage 0.0.1.*install the same"):
            Processes.join()
    else:  # the first process of its machine has said it
        with pytest.raises(SystemExit):
            Processes.join()


def test_a_port_in_use_and_machines_that_do_not_come_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        how = LaunchConfig(nodes=2, rendezvous=f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(
            TrainingError, match=rf"cannot listen at rendezvous {how.rendezvous} .*address already in use.*free"
        ):
            processes.launch(how, ["train", "shapes"])

    def alone(*arguments: object) -> NoReturn:
        raise RendezvousTimeoutError

    monkeypatch.setattr(api, "elastic_launch", lambda config, program: alone)
    with pytest.raises(TrainingError, match=r"2 machines have not met at rendezvous node0:29400.*same command on each"):
        processes.launch(LaunchConfig(nodes=2, node_rank=1, rendezvous="node0:29400"), ["train", "shapes"])


def test_a_process_ends_with_the_command_that_has_started_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Ended(BaseException):
        pass

    def end(status: int) -> NoReturn:
        raise Ended(status)

    monkeypatch.setattr(processes, "BEAT", 0.001)
    monkeypatch.setattr(os, "_exit", end)
    parents = [7, 7, 1]  # the last one takes up whoever has lost his own
    monkeypatch.setattr(os, "getppid", lambda: parents.pop(0))
    with pytest.raises(Ended, match="1"):
        Processes(1, 2, 2)._end_with(7)
    assert not parents and "rank 1: the command that has started it is gone" in capsys.readouterr().err
