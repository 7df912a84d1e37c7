"""Work on Ray's workers: the bytes and figures of work without them, whatever happens to a worker."""

from __future__ import annotations

import errno
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
from typing import Any

import psutil
import pytest

import footage
from footage import cluster as clusters
from footage.cluster import Cluster, Needed, connect
from footage.config import IngestConfig
from footage.data.ingest.pipeline import IngestProgress
from footage.data.ingest.pipeline import ingest as ingest_sources
from footage.errors import ClusterError, ConfigError, FootageError
from footage.evaluation import feature_cache
from footage.generation.upscale import Stretches, UpscaleOptions
from footage.media.reader import open_original
from footage.remote import RemoteFolder
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


def workers() -> list[psutil.Process]:
    """The processes that Ray does units in."""
    mine = psutil.Process().children(recursive=True)
    return [process for process in mine if process.cmdline()[:1] and process.cmdline()[0].startswith("ray::perform")]


def test_ingest_makes_the_same_folder_though_a_worker_is_killed(
    videos: Path, plain: Path, tmp_path: Path, ray: Cluster
) -> None:
    killed: list[int] = []

    def kill(progress: IngestProgress) -> None:
        if progress.phase == "decode" and progress.done == 3:
            for process in workers()[:1]:
                process.send_signal(signal.SIGKILL)
                killed.append(process.pid)

    result = ingest_sources([videos], tmp_path / "there", SMALL, kill, ray)
    assert len(killed) == 1 and result.decoded == 9
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


def test_generate_writes_the_same_files(tmp_path: Path, ray: Cluster) -> None:
    save_tiny_model(tmp_path / "model")
    save_tiny_model(tmp_path / "larger", preset="upscale-x2")
    for format in ("mp4", "png"):
        how: dict[str, Any] = {"count": 5, "format": format, "seed": 3, "quiet": True}
        if format == "png":
            how |= {"size": "64x64", "upscale": tmp_path / "larger", "count": 2}
        here = footage.generate(tmp_path / "model", tmp_path / f"here-{format}", **how)
        there = footage.generate(tmp_path / "model", tmp_path / f"there-{format}", on="ray", **how)
        assert [path.name for path in here] == [path.name for path in there]
        assert content(tmp_path / f"here-{format}") == content(tmp_path / f"there-{format}")
    with pytest.raises(ConfigError, match="novel is given with on"):
        footage.generate(tmp_path / "model", tmp_path / "new", novel="shapes", on="ray", quiet=True)


def test_evaluate_finds_the_same_figures(
    plain: Path, tmp_path: Path, ray: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_cache, "ROWS", 64)  # units of 16 clips
    save_tiny_model(tmp_path / "model", labels=())
    how: dict[str, Any] = {"clips": 24, "frames": 4, "resamples": 2, "networks": "random", "split": "all"}
    how |= {"metrics": "fvd,motion", "cache": Path("none"), "quiet": True}
    here = footage.evaluate(tmp_path / "model", plain, **how)
    there = footage.evaluate(tmp_path / "model", plain, on="ray", **how)
    assert replace(here, work=()) == replace(there, work=())


def test_upscale_writes_the_same_file(tmp_path: Path, ray: Cluster) -> None:
    save_tiny_model(tmp_path / "model", preset="upscale-x2")
    write(tmp_path / "clip.mp4", moving(200, (16, 16)))
    for name in ("large.mp4", "pictures"):
        for folder, on in (("here", None), ("there", "ray")):
            to = tmp_path / folder / name
            footage.upscale(tmp_path / "model", tmp_path / "clip.mp4", to=to, on=on, quiet=True)
    assert content(tmp_path / "here") == content(tmp_path / "there") and len(content(tmp_path / "here")) == 202


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
    processes = [process for process in psutil.Process().children(recursive=True) if process.is_running()]
    ports = {
        place.laddr.ip
        for process in processes
        for place in process.net_connections("tcp")
        if place.status == psutil.CONN_LISTEN
    }
    assert ports and ports <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
    assert not (Path.home() / ".ray" / "auth_token").exists()


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
        refused = subprocess.run(command, env=stranger, capture_output=True, text=True, timeout=100)
        assert refused.returncode == 2 and "does not let us in" in refused.stderr, refused.stderr
        done = subprocess.run(command, capture_output=True, text=True, timeout=100)
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
