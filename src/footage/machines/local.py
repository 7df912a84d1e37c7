"""What this machine lends to a process: processors and memory, within the limits of its control groups. No torch."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

GROUPS = Path("/sys/fs/cgroup")
"""Where Linux shows its control groups, which containers and batch systems limit their processes by."""
MEMBERSHIP = Path("/proc/self/cgroup")
"""Which groups this process belongs to."""
GPUS = Path("/proc/driver/nvidia/gpus")
"""Where NVIDIA's driver for Linux has a folder for each GPU."""
NO_LIMIT = 2**60
"""Bytes from which on a limit means none, in version 1."""


@contextlib.contextmanager
def environment(variables: Mapping[str, str | None]) -> Iterator[None]:
    """Set variables of the environment, where there is a value, for processes too that begin within the block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ |= {name: value for name, value in variables.items() if value is not None}
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def memory_folder() -> Path | None:
    """Return a folder whose files lie in memory and on no disk; None where this machine has none.

    That of temporary files, where it is one, else the system's own (`/dev/shm` on Linux), else the session's.
    """
    mounts = {Path(mount.mountpoint): mount.fstype for mount in psutil.disk_partitions(all=True)}
    for name in (tempfile.gettempdir(), "/dev/shm", os.environ.get("XDG_RUNTIME_DIR")):
        place = Path(name).resolve() if name else None
        if place is not None and place.is_dir() and os.access(place, os.W_OK):
            nearest = next((folder for folder in (place, *place.parents) if folder in mounts), None)
            if nearest is not None and mounts[nearest] in ("tmpfs", "ramfs"):
                return place
    return None


def processors() -> list[int]:
    """Return the numbers of the processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def cores() -> int:
    """Return how many processors a process may keep busy: by its affinity and by the quotas of its groups, at least 1.

    One and a half count as one: a second thread would wait for its turn, and the first one for it.
    """
    most = float(len(processors()))
    for group in _groups("cpu"):
        quota, period = _words(group / "cpu.max") or (
            _words(group / "cpu.cfs_quota_us") + _words(group / "cpu.cfs_period_us") or ["max", "1"]
        )
        if quota != "max" and float(quota) > 0:
            most = min(most, float(quota) / float(period))
    return max(1, int(most))


def end_process(process: subprocess.Popen[bytes]) -> int:
    """End a process, if need be, and close its pipes; return its exit status."""
    process.kill()
    for pipe in filter(None, (process.stdin, process.stdout)):
        with contextlib.suppress(OSError):
            pipe.close()
    return process.wait()


def devices() -> list[str]:
    """Return the names of what can compute here, as far as can be told without torch: `cpu`, `mps`, `cuda:0` and so on.

    GPUs are counted by what NVIDIA's driver shows in /proc, and by CUDA_VISIBLE_DEVICES where that is set.
    """
    found = ["cpu"]
    if sys.platform == "darwin" and platform.machine() == "arm64":
        found.append("mps")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    there = len(list(GPUS.glob("*"))) if GPUS.is_dir() else 0
    if visible is not None:
        there = min(there, len([number for number in visible.split(",") if number.strip() not in ("", "-1")]))
    return [*found, *(f"cuda:{number}" for number in range(there))]


def memory_free() -> int:
    """Return the bytes of memory that are free: on the machine, and under the limits of the process's groups."""
    free = psutil.virtual_memory().available
    for group in _groups("memory"):
        limit = _words(group / "memory.max") or _words(group / "memory.limit_in_bytes")
        used = _words(group / "memory.current") or _words(group / "memory.usage_in_bytes")
        if limit and used and limit[0] != "max" and int(limit[0]) < NO_LIMIT:
            words = _words(group / "memory.stat")
            table = dict(zip(words[::2], words[1::2], strict=False))
            cached = int(table.get("inactive_file", 0))  # given up where memory is wanted
            free = min(free, max(0, int(limit[0]) - int(used[0]) + cached))
    return int(free)


def _groups(controller: str) -> Iterator[Path]:
    """Yield the groups that may limit the process's use of `controller`, from its own one outwards; both versions."""
    try:
        lines = MEMBERSHIP.read_text(encoding="utf-8").splitlines()
    except OSError:  # another system
        return
    for line in lines:
        number, controllers, name = line.split(":", 2)
        if number != "0" and controller not in controllers.split(","):
            continue
        top = GROUPS if number == "0" else GROUPS / controllers
        inner = [part for part in name.split("/") if part not in ("", "..")]
        for depth in range(len(inner), -1, -1):
            yield top.joinpath(*inner[:depth])


def _words(path: Path) -> list[str]:
    """Return the words of a file; none where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8").split()
    except OSError:
        return []


def lower_priority(process: int, niceness: int) -> None:
    """Let a process, and what it will start, wait for others where processors are short.

    On Linux processes of one session share processors as a group, and niceness counts among them only: so where it
    leads a session, its group is put behind others too (sched(7), "The autogroup feature").

    Args:
        process: its number.
        niceness: 1, a little behind others, to 19, only what others leave.
    """
    with contextlib.suppress(psutil.Error, OSError):
        running = psutil.Process(process)
        running.nice(max(running.nice(), niceness) if os.name == "posix" else 64)  # IDLE_PRIORITY_CLASS
    with contextlib.suppress(OSError, AttributeError):
        if os.getsid(process) == process:
            Path(f"/proc/{process}/autogroup").write_text(str(niceness))


class IdleProcessors:
    """How many of the processors that this process may use did nothing, since it was last asked."""

    def __init__(self) -> None:
        self._before = self._times()

    @staticmethod
    def _times() -> list[tuple[float, float]]:
        """Return for each processor the seconds that it idled, and all."""
        every = psutil.cpu_times(percpu=True)
        mine = [every[number] for number in processors() if number < len(every)]
        return [(time.idle + getattr(time, "iowait", 0.0), sum(time)) for time in mine]

    def take(self) -> float:
        """Return the number since the last time, 0 to all of them."""
        now = self._times()
        changes = [
            (idle - idle_before, whole - whole_before)
            for (idle, whole), (idle_before, whole_before) in zip(now, self._before, strict=False)
        ]
        self._before = now
        return sum(max(0.0, min(1.0, idle / whole)) for idle, whole in changes if whole > 0)
