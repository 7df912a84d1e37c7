"""Work on Ray's workers: the bytes and figures of work without them, whatever happens to a worker."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import psutil
import pytest

import footage
from footage.config import IngestConfig
from footage.data.ingest import workers as ingest_workers
from footage.data.ingest.pipeline import IngestProgress
from footage.data.ingest.pipeline import ingest as ingest_sources
from footage.data.ingest.workers import answer
from footage.errors import ClusterError, ConfigError, FootageError
from footage.evaluation import feature_cache
from footage.generation.upscale import Stretches, UpscaleOptions
from footage.machines import cluster as clusters
from footage.machines.cluster import Cluster, Needed, connect
from footage.machines.remote import RemoteFolder
from footage.media.reader import open_original
from tests.clips import moving, write
from tests.models import save_tiny_model

SMALL = IngestConfig(height=32, width=32, name="clips")


@pytest.fixture(scope="module")
def ray() -> Iterator[Cluster]:
    """Two workers on this machine; what is done on them by `on="ray"` finds them started."""
    with connect("ray", 2) as started:
        assert started is not None
        yield started


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for number in range(8):
        write(folder / f"kind{number % 2}" / f"{number}.mp4", moving(20, (32, 32), number))
    (folder / "kind0" / "damaged.mp4").write_bytes(b"nothing")
    return folder


@pytest.fixture(scope="module")
def plain(videos: Path) -> Path:
    """Their data set, made without Ray."""
    footage.ingest((videos,), videos.with_name("plain"), SMALL, advise=False, quiet=True)
    return videos.with_name("plain")


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_ingest_makes_the_same_folder_though_a_worker_is_killed(
    videos: Path, plain: Path, tmp_path: Path, ray: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer_or_die(request: dict[str, Any]) -> dict[str, Any]:
        if "/kind1/" in os.fsdecode(bytes.fromhex(request.get("source", {}).get("path", ""))):
            with contextlib.suppress(FileExistsError):
                os.mkdir(tmp_path / "died")
                os.kill(os.getpid(), signal.SIGKILL)
        return answer(request)

    monkeypatch.setattr(ingest_workers, "answer", answer_or_die)  # it goes to the workers as it is
    result = ingest_sources([videos], tmp_path / "there", SMALL, cluster=ray)
    assert (tmp_path / "died").is_dir() and result.decoded == 9
    footage.ingest((videos,), tmp_path / "there", SMALL, on="ray", advise=False, quiet=True)  # nothing is left to do
    assert content(tmp_path / "there").keys() == content(plain).keys()
    for name, there in content(tmp_path / "there").items():
        assert there == content(plain)[name] or name in ("audit.html", "ingest/settings.json"), name
    assert result.dataset.info.content_hash == footage.Dataset(plain).info.content_hash


def test_what_was_stopped_goes_on(videos: Path, plain: Path, tmp_path: Path, ray: Cluster) -> None:
    def stop(progress: IngestProgress) -> None:
        if progress.phase == "decode" and progress.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest_sources([videos], tmp_path / "there", SMALL, stop, ray)
    result = ingest_sources([videos], tmp_path / "there", SMALL, cluster=ray)
    assert result.decoded <= 7
    assert result.dataset.info.content_hash == footage.Dataset(plain).info.content_hash


def test_clips_figures_and_larger_videos_are_the_same(
    plain: Path, tmp_path: Path, ray: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One test, since workers import PyTorch for it, which takes longer than all that they do."""
    model, larger = tmp_path / "model", tmp_path / "larger"
    save_tiny_model(model)
    save_tiny_model(larger, preset="upscale-x2")
    write(tmp_path / "clip.mp4", moving(200, (16, 16)))
    monkeypatch.setattr(feature_cache, "ROWS", 64)  # units of 16 clips
    asked: dict[str, Any] = {"clips": 24, "frames": 4, "resamples": 2, "networks": "random", "split": "all"}
    asked |= {"metrics": "fvd,motion", "cache": Path("none"), "quiet": True}
    figures = []
    for place, on in (("here", None), ("there", "ray")):
        to = tmp_path / place
        footage.generate(model, to / "clips", count=5, seed=3, on=on, quiet=True)
        footage.generate(model, to / "pictures", count=2, format="png", size="64x64", upscale=larger, on=on, quiet=True)
        footage.upscale(larger, tmp_path / "clip.mp4", to=to / "large.mp4", on=on, quiet=True)
        footage.upscale(larger, tmp_path / "clip.mp4", to=to / "large", on=on, quiet=True)
        figures.append(replace(footage.evaluate(model, plain, on=on, **asked), work=()))
    assert content(tmp_path / "here") == content(tmp_path / "there") and len(content(tmp_path / "here")) > 200
    assert figures[0] == figures[1] and figures[0].figures
    with pytest.raises(ConfigError, match="novel is given with on"):
        footage.generate(model, tmp_path / "new", novel="shapes", on="ray", quiet=True)


@pytest.mark.parametrize("away", [False, True])
def test_workers_open_data_sets_themselves(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away: bool
) -> None:
    monkeypatch.setenv("FOOTAGE_CACHE", str(tmp_path / "cache"))
    address = "memory:///clips" if away else os.path.relpath(plain)
    for path in plain.glob("*"):
        if away and path.is_file():
            RemoteFolder(address).put(path, path.name)
    here = footage.Dataset(address)
    frames = here.read(here.rows[0])
    sent = pickle.dumps(here)
    assert len(sent) < 10_000  # no frames, no locks
    monkeypatch.chdir(tmp_path)
    there = pickle.loads(sent)
    assert (there.read(there.rows[0]) == frames).all()


@pytest.mark.parametrize(
    ("frames", "there", "slots", "units"),
    [
        (800, (), 2, [(0, 2), (2, 4), (4, 6), (6, 8), (8, None)]),
        (800, (0, 1, 3), 2, [(2, 3), (4, 5), (5, 6), (6, 7), (7, 8), (8, None)]),
        (192, (0, 1), 2, [(2, None)]),  # who reads to the end knows of all damage
        (None, (0,), 2, [(1, None)]),
    ],
)
def test_a_video_is_divided_into_what_is_missing(
    tmp_path: Path, frames: int | None, there: tuple[int, ...], slots: int, units: list[tuple[int, int | None]]
) -> None:
    write(tmp_path / "clip.mp4", moving(2, (16, 16)))
    original = replace(open_original(tmp_path / "clip.mp4"), frames=frames)

    class Parts:
        done = next(number for number in range(9) if number not in there)

        def note(self, number: int) -> Path:
            return tmp_path if number in there else tmp_path / "nothing"

    work = Stretches(None, None, original, False, UpscaleOptions(), Parts(), 1)  # type: ignore[arg-type]
    assert work.units(slots) == units


@pytest.mark.nightly
def test_a_node_without_the_data_is_named(
    videos: Path, tmp_path: Path, ray: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for size, text in ((None, 'only-here.mp4" is not there'), (3, "is another file there, of 7 bytes")):
        (tmp_path / "other.mp4").write_bytes(b"no clip")
        path = tmp_path / "only-here.mp4" if size is None else tmp_path / "other.mp4"
        with monkeypatch.context() as seen, pytest.raises(ClusterError) as raised:
            seen.setattr(Needed, "of", lambda paths, path=path, size=size: [Needed(str(path), size)])
            footage.ingest((videos,), tmp_path / "data", SMALL, on="ray", advise=False, quiet=True)
        assert text in str(raised.value) and f"(worker on {socket.gethostname()})" in str(raised.value)
        assert "on a disk that all machines see" in str(raised.value)


def test_other_versions_are_refused(ray: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footage, "__version__", "0.0.9")
    with pytest.raises(
        ClusterError, match=r"has footage 0\.1\.0 \(code \w+\), this machine 0\.0\.9 .*install the same"
    ):
        ray.check()


def test_a_machine_that_joins_later_with_other_versions_does_nothing(
    ray: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(unit: Path) -> None:
        unit.touch()

    versions = {**clusters.own_versions(), "av": "1.0"}
    monkeypatch.setattr(clusters, "teller", lambda: lambda: versions)
    with pytest.raises(ClusterError, match=r"a worker has av [\d.]+, this machine 1\.0 \(worker on .*install the same"):
        list(ray.run(work, [tmp_path / "done"]))
    assert not (tmp_path / "done").exists()


class Leaving:
    """Ray, of which all machines that compute leave."""

    class exceptions:
        class RayError(Exception):
            pass

        class RayTaskError(RayError):
            pass

    def __init__(self) -> None:
        self.processors, self.cancelled = 2, 0

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "NodeID": "a" * 56, "NodeManagerHostname": "node3", "Resources": {"CPU": 2}}]

    def cluster_resources(self) -> dict[str, int]:
        return {"CPU": self.processors}

    def remote(self, work: object) -> Leaving:
        return self if callable(work) else object()  # type: ignore[return-value]

    def options(self, **_: object) -> SimpleNamespace:
        return SimpleNamespace(remote=lambda *_: object())

    def put(self, work: object) -> object:
        return work

    def wait(self, refs: list[object], num_returns: int, timeout: float = 1e9) -> tuple[list[object], list[object]]:
        assert timeout < 1e9, "it waits for ever"
        self.processors = 0
        return (refs, []) if num_returns == len(refs) and timeout > clusters.REACH else ([], refs)

    def get(self, ref: object) -> NoReturn:
        raise self.exceptions.RayError("the node is gone")

    def cancel(self, ref: object, force: bool) -> None:
        self.cancelled += 1


def test_where_the_last_machine_leaves_it_is_said() -> None:
    leaving = Leaving()
    cluster = Cluster(leaving, "ray://head:10001", 2, 1, 0)
    with pytest.raises(ClusterError, match="ray://head:10001 has no processor for this: start workers there"):
        list(cluster.run(abs, [1, 2, 3]))
    assert leaving.cancelled == 2
    cluster.check()  # who leaves while it is asked is no fault


def test_what_goes_wrong_in_a_worker(ray: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(unit: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/scratch/part")

    def refuse(unit: int) -> None:
        raise ConfigError("unit is 3", "give 4")

    def die(unit: int) -> int:
        return os._exit(1) if unit == 2 else unit

    host = socket.gethostname()
    for work, text in (
        (fill, "the disk is full (No space left on device): /scratch/part; free some space"),
        (refuse, "3"),
    ):
        with pytest.raises(FootageError, match=r"unit|disk") as raised:
            list(ray.run(work, [3]))
        assert text in str(raised.value) and f"(worker on {host})" in str(raised.value)
    monkeypatch.setattr(clusters, "RETRIES", 0)
    monkeypatch.setattr(clusters, "ATTEMPTS", 1)
    assert sorted(ray.run(die, [1, 2, 3], lost=lambda unit: 20)) == [(1, 1), (2, 20), (3, 3)]
    with pytest.raises(ClusterError, match="took its worker down"):
        list(ray.run(die, [2]))


def test_nothing_listens_to_other_machines_and_no_token_is_left(ray: Cluster) -> None:
    ports = set()
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # workers come and go
            places = process.net_connections("tcp")
            ports |= {place.laddr.ip for place in places if place.status == psutil.CONN_LISTEN}
    assert ports and ports <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
    assert not (Path.home() / ".ray" / "auth_token").exists()
    session = Path(ray.ray._private.worker._global_node.get_session_dir_path())
    token, looked_at = clusters.process_token().encode(), 0
    for path in session.rglob("*"):
        with contextlib.suppress(OSError):  # sockets, and what comes and goes
            content = path.read_bytes()
            looked_at += 1
            assert token not in content, path
    assert looked_at > 5


def test_who_imports_ray_first_does_not_open_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray reads once, when it is imported, whether it listens to other machines and asks for a token."""
    constants = importlib.import_module("ray._private.ray_constants")
    seen: list[object] = []

    def init(**_: object) -> NoReturn:
        inner: Any = importlib.import_module("ray._raylet")
        seen.extend([constants.ENABLE_RAY_CLUSTER, inner.get_authentication_mode()])
        raise RuntimeError("enough")

    monkeypatch.setattr(constants, "ENABLE_RAY_CLUSTER", True)
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    monkeypatch.setattr("ray.init", init)
    with pytest.raises(ClusterError, match="enough"), connect("ray", 1):
        pass
    assert seen == [False, 1] and constants.ENABLE_RAY_CLUSTER is True


def test_a_cluster_by_its_address(videos: Path, plain: Path, tmp_path: Path, ray: Cluster) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = [sys.executable, "-m", "ray.util.client.server", "--host=127.0.0.1", f"--port={port}"]
    address = ray.ray.get_runtime_context().gcs_address
    server = subprocess.Popen([*line, "--mode=specific-server", f"--address={address}"], stderr=subprocess.DEVNULL)
    command = [sys.executable, "-m", "footage", "ingest", str(videos), "--to", str(tmp_path / "there"), "--no-advise"]
    command += ["--height", "32", "--width", "32", "--name", "clips", "--on", f"ray://127.0.0.1:{port}"]
    try:
        while server.poll() is None:
            with socket.socket() as call:
                if not call.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.05)
        stranger = {**os.environ, "RAY_AUTH_TOKEN": "0" * 64}
        refused = subprocess.run(command, env=stranger, capture_output=True, text=True, timeout=130)
        assert refused.returncode == 2 and "does not let us in" in refused.stderr, refused.stderr
        done = subprocess.run(command, capture_output=True, text=True, timeout=130)
        assert done.returncode == 0, done.stderr
    finally:
        server.kill()
        server.wait()
    assert footage.Dataset(tmp_path / "there").info.content_hash == footage.Dataset(plain).info.content_hash


def test_addresses_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "REACH", 0.3)
    with socket.socket() as deaf, socket.socket() as free:
        for one in (deaf, free):
            one.bind(("127.0.0.1", 0))
        deaf.listen()
        ports = [one.getsockname()[1] for one in (deaf, free)]
        ray_is = "ray.is_initialized"
        monkeypatch.setattr(ray_is, lambda: False)
        for on, kind, text in (
            ("dask", ConfigError, 'on is "dask": give ray for workers on this machine'),
            ("ray://somewhere", ConfigError, "ray://HOST:PORT"),
            (f"ray://127.0.0.1:{ports[0]}", ClusterError, "is no Ray cluster"),
            (f"ray://127.0.0.1:{ports[1]}", ClusterError, "nothing answers at"),
            ("ray://127.0.0.1:99999", ClusterError, "nothing answers at"),
        ):
            with pytest.raises(kind) as raised, connect(on):
                pass
            assert text in str(raised.value)
    with pytest.raises(ConfigError, match="workers is 0: give at least 1"), connect("ray", 0):
        pass
    with (
        pytest.raises(ConfigError, match="workers is 2, and all is done in this process: give --on ray"),
        connect(None, 2),
    ):
        pass
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"Ray is not installed .*pip install 'footage\[cluster\]'"), connect("ray"):
        pass
