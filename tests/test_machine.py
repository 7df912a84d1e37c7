"""What a machine lends: the limits of control groups, and the number of threads of a training beside other work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from footage.machines import local as machine
from footage.training import threads
from footage.training.threads import ThreadTuner

GIB = 2**30


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of eight processors with 16 GiB free, whose control groups are files of a folder."""
    monkeypatch.setattr(machine, "GROUPS", tmp_path / "groups")
    monkeypatch.setattr(machine, "MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(machine, "processors", lambda: list(range(8)))
    free = psutil.virtual_memory()._replace(available=16 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    return tmp_path


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)


def test_without_groups_all_of_it_is_ours(groups: Path) -> None:
    assert (machine.cores(), machine.memory_free()) == (8, 16 * GIB)


def test_the_tightest_group_of_version_2_counts(groups: Path) -> None:
    (groups / "membership").write_text("0::/batch/job-7\n")
    write(groups / "groups", cpu__max="max 100000", memory__max="max", memory__current="1")
    write(groups / "groups/batch", cpu__max="250000 100000", memory__max=str(8 * GIB), memory__current=str(5 * GIB))
    (groups / "groups/batch/memory.stat").write_text(f"anon 1\ninactive_file {GIB}\nactive_file 7\n")
    write(groups / "groups/batch/job-7", cpu__max="max 100000", memory__max="max", memory__current="1")
    assert machine.cores() == 2, "two and a half"
    assert machine.memory_free() == 4 * GIB, "8 less 5, of which one is the cache of files"
    write(groups / "groups/batch", cpu__max="50000 100000")
    assert machine.cores() == 1, "half of one is one at least"


def test_groups_of_version_1_count_too(groups: Path) -> None:
    (groups / "membership").write_text("5:memory:/box\n4:cpu,cpuacct:/../box\n1:name=systemd:/\n")
    write(groups / "groups/cpu,cpuacct/box", cpu__cfs_quota_us="300000", cpu__cfs_period_us="100000")
    write(groups / "groups/cpu,cpuacct", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    write(groups / "groups/memory", memory__limit_in_bytes=str(2**63 - 4096), memory__usage_in_bytes=str(9 * GIB))
    write(groups / "groups/memory/box", memory__limit_in_bytes=str(2 * GIB), memory__usage_in_bytes=str(3 * GIB))
    assert machine.cores() == 3
    assert machine.memory_free() == 0


class World:
    """Steps on two processors, one of which another program may take; time passes by steps alone."""

    def __init__(self) -> None:
        self.time, self.busy, self.number = 0.0, False, 0

    def seconds(self, count: int) -> float:
        self.number += 1
        penalised = 2.0 if self.number % 4 == 0 else 1.0
        return penalised * {(1, False): 0.16, (2, False): 0.1, (1, True): 0.2, (2, True): 2.0}[count, self.busy]

    def idle(self) -> float:
        return 0.0 if self.busy or torch.get_num_threads() == 2 else 1.0

    def run(self, tuner: ThreadTuner, seconds: float) -> list[str]:
        said, end = [], self.time + seconds
        while self.time < end:
            step = self.seconds(tuner.threads)
            self.time += step
            assert torch.get_num_threads() == tuner.threads
            said.append(tuner.took(step))
        return [text for text in said if text]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(threads, "cores", lambda: 2)
    return World()


@pytest.fixture
def two_threads() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_threads_follow_what_else_the_machine_does(world: World) -> None:
    with ThreadTuner(None, now=lambda: world.time, idle=world.idle) as tuner:
        assert world.run(tuner, 60) == [], "two are faster, and there were two: nothing to say"
        assert tuner.threads == 2
        world.busy = True
        (said,) = world.run(tuner, 12)
        assert said.startswith("1 thread from here on") and tuner.threads == 1
        assert world.run(tuner, 600) == [], "nothing is idle: two are not tried"
        world.busy = False
        (said,) = world.run(tuner, 10)
        assert said.startswith("2 threads from here on") and tuner.threads == 2
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_a_busy_beginning_and_trials_in_vain_cost_little(world: World) -> None:
    world.busy = True
    tries: list[float] = []
    with ThreadTuner(None, now=lambda: world.time, idle=lambda: 1.0) as tuner:  # idle, it seems, and yet it is not
        world.run(tuner, 12)
        assert tuner.threads == 1
        began = world.time
        while world.time < began + 3600:
            before = tuner.threads
            world.run(tuner, 0.01)
            if (before, tuner.threads) == (1, 2):
                tries.append(world.time)
    assert 5 < len(tries) < 20, "less and less often: in an hour at most every five minutes at last"
    assert tries[-1] - tries[-2] > 290


@pytest.mark.usefixtures("two_threads")
def test_a_number_that_is_given_stays(world: World) -> None:
    with ThreadTuner(1, now=lambda: world.time, idle=world.idle) as tuner:
        world.run(tuner, 30)
        world.busy = True
        assert world.run(tuner, 30) == [] and tuner.threads == 1
    with ThreadTuner(None, "cuda") as tuner:
        assert tuner.counts == [2], "elsewhere than on a CPU nothing is tried"


@pytest.mark.usefixtures("two_threads")
def test_what_the_environment_or_a_group_allows_is_not_exceeded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(24)
    monkeypatch.setattr(threads, "cores", lambda: 12)
    assert ThreadTuner(None).counts == [1, 2, 4, 8, 12]
    torch.set_num_threads(1)
    assert ThreadTuner(None).counts == [1]


def test_idle_processors_are_counted_between_two_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([[(100.0, 10.0), (50.0, 0.0)], [(101.0, 19.0), (60.0, 0.0)]])

    zeros = psutil.cpu_times()._replace(**dict.fromkeys(psutil.cpu_times()._fields, 0.0))

    def times(percpu: bool) -> list[object]:
        return [zeros._replace(idle=idle, user=user) for idle, user in next(looks)]

    monkeypatch.setattr(psutil, "cpu_times", times)
    monkeypatch.setattr(machine, "processors", lambda: [0, 1])
    idle = machine.IdleProcessors()
    assert idle.take() == pytest.approx(0.1 + 1.0)


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="this system groups no sessions")
def test_what_leads_a_session_is_put_behind_with_its_group() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True) as process:
        machine.lower_priority(process.pid, 7)
        assert psutil.Process(process.pid).nice() == max(os.nice(0), 7)
        assert Path(f"/proc/{process.pid}/autogroup").read_text().split()[-1] == "7"
        process.communicate(b"\n")
    machine.lower_priority(process.pid, 7)  # it has ended: nothing to put behind
