"""Sources, data sets and exports at addresses: a server like S3 on this machine, and fsspec's memory."""

import contextlib
import errno
import json
import logging
import os
import resource
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from footage import errors, files
from footage.data.clips import DatasetClips, Loader
from footage.data.ingest import pipeline, shards, workers
from footage.data.store import SUMS, Dataset
from footage.library.query import ClipQuery
from footage.machines import remote
from footage.machines.remote import Cache, FileSum, HeldFiles, RemoteFolder
from tests.clips import moving, write
from tests.ingesting import ingest
from tests.libraries import filled

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
SMALL = {"height": 32, "width": 32, "workers": 0, "min_frames": 4, "heldout": 0.2, "fps": 25.0}


@pytest.fixture(scope="module")
def server():
    pytest.importorskip("s3fs")
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    moto.start()
    given = {"AWS_ENDPOINT_URL": "http://{}:{}".format(*moto.get_host_and_port()), "AWS_ACCESS_KEY_ID": "testing"}
    given |= {"AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**given, "AWS_EC2_METADATA_DISABLED": "true"}.items():
            patch.setenv(name, value)
        yield moto
    moto.stop()


@pytest.fixture
def bucket(server, tmp_path, monkeypatch):
    """A new bucket, and an empty cache."""
    import s3fs

    monkeypatch.setenv("FOOTAGE_CACHE", str(tmp_path / "cache"))
    name = f"b{os.urandom(6).hex()}"
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir(name)
    return f"s3://{name}"


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("from") / "clips"
    for number in range(6):
        write(folder / ("walk", "run")[number % 2] / f"{number}.mp4", moving(12, (32, 32), number))
    (folder / "walk" / "0.txt").write_text("a disc moves", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def local(videos, tmp_path_factory):
    """The data set of the videos, in shards of a few clips each, on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "SHARD_BYTES", 80_000)
        return ingest([videos], tmp_path_factory.mktemp("local") / "data", **SMALL).dataset


@pytest.fixture(autouse=True)
def nfs(monkeypatch):
    """Locks as NFS has them (flock(2)): only what is open for writing can be held alone."""
    fcntl = pytest.importorskip("fcntl")
    flock = fcntl.flock

    def strict(handle, how):
        if how & fcntl.LOCK_EX and fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            number = handle if isinstance(handle, int) else handle.fileno()
            if not stat.S_ISDIR(os.fstat(number).st_mode):
                raise OSError(errno.EBADF, "it is open for reading alone")
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", strict)


def put(folder: Path, address: str) -> RemoteFolder:
    """Copy a folder to an address."""
    there = RemoteFolder(address)
    for path in (path for path in folder.rglob("*") if path.is_file() and path.name != "lock"):
        there.put(path, path.relative_to(folder).as_posix())
    return there


def contents(dataset: Dataset) -> list[tuple[object, ...]]:
    return [(row.source, row.label, row.caption, row.split, dataset.read(row).tobytes()) for row in dataset.rows]


def test_addresses(tmp_path, monkeypatch):
    assert remote.address_of("clips/a") is remote.address_of("C:/clips") is remote.address_of(Path("/a:/b")) is None
    assert (
        remote.address_of("s3://bucket/clips/") == remote.address_of(Path("s3://bucket/clips")) == "s3://bucket/clips"
    )
    assert remote.address_of(Path("file:///tmp/a")) == "file:///tmp/a"
    assert remote.address_of("sftp://me@host:22/a@2x.mp4") == "sftp://me@host:22/a@2x.mp4"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ab:").mkdir()
    assert remote.address_of("ab:/") is None
    assert remote.absolute("x") == str(tmp_path / "x") and remote.absolute("s3://b/x") == "s3://b/x"


@pytest.mark.parametrize(
    "address",
    [
        f"s3://AKIAEXAMPLE:{SECRET}@bucket/clips",
        f"s3://AKIAEXAMPLE:1234/{SECRET}@bucket/clips",
        f"s3://AKIAEXAMPLE:{SECRET}",
        f"s3://{SECRET[:12]}@bucket",
        f"sftp://me:{SECRET}@host:22/a",
        f"https://host/a.mp4?X-Amz-Signature={SECRET}",
        f"https://{SECRET[:12]}@host/clips",
    ],
)
def test_addresses_with_keys_are_refused_and_not_shown(address, tmp_path, monkeypatch, capfd):
    from footage.commands.main import main

    monkeypatch.chdir(tmp_path)
    for words in (
        ["train", address, "--devices", "2"],
        ["ingest", address, "--to", "d"],
        ["audit", address],
        ["play", address],
    ):
        with pytest.raises(SystemExit) as ended:
            main(words)
        shown = "".join(capfd.readouterr())
        assert ended.value.code == 2 and "holds a key" in shown and "~/.aws/credentials" in " ".join(shown.split())
        assert SECRET not in shown and SECRET[:12] not in shown and "AKIA" not in shown
    assert list(tmp_path.iterdir()) == []


def test_texts_may_hold_any_address(tmp_path, capsys):
    from footage.commands.main import main

    library = filled(tmp_path, 1)
    library.close()
    place, address = str(tmp_path / "library"), "https://www.youtube.com/watch?v=abc"
    main(["library", "edit", place, "1", "--notes", address, f"--title={address}"])
    main(["library", "search", place, address])
    main(["library", "album", place, address, "--put", "1"])
    assert f"{address}: 1 clip" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["library", "edit", place, "1", "--notes", "a", "--library", address])
    assert "holds a key" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("../../thesis.tex", {}),
        ("/etc/passwd", {}),
        ("shard-00000.npy/../../x.npy", {}),
        ("ingest/lock", {}),
        ("shard-00000.npy", {"sha256": "PLACE"}),
        ("clips.jsonl", {"sha256": "a" * 64 + "\n"}),
        ("clips.jsonl", {"bytes": -1}),
    ],
)
def test_a_table_of_sums_names_files_of_a_data_set_only(name, row, local, videos, tmp_path, monkeypatch):
    """Whoever writes to the address must not write or remove anything here."""
    monkeypatch.setenv("FOOTAGE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "thesis.tex").write_text("ten years")
    there = put(local.folder, "memory://sums/data")
    value = json.loads(there.read(SUMS))
    row = {"bytes": 3, "sha256": files.bytes_digest(b"bad"), **row}
    row["sha256"] = row["sha256"].replace("PLACE", str(tmp_path / "thesis.tex"))
    (tmp_path / "sums").write_text(json.dumps({**value, "files": {**value["files"], name: row}}))
    there.put(tmp_path / "sums", SUMS)
    for attempt in (
        lambda: Dataset(there.address).read(local.rows[0]),
        lambda: ingest([videos], there.address, **SMALL),
    ):
        with pytest.raises(errors.DatasetError, match=r"data/files.json cannot be read \(.*: remove it and run"):
            attempt()
    assert (tmp_path / "thesis.tex").read_text() == "ten years"


@pytest.mark.parametrize("asked", [{"height": 32, "width": 32}, {"fps": 25.0, "size": "auto"}])
@pytest.mark.parametrize(
    ("reply", "kind", "text"),
    [
        ({"away": ["it is away", "wait"]}, errors.RemoteError, "it is away: wait"),
        ({"disk": [28, "No space left"]}, errors.DatasetError, r"cannot be written \(No space left\)"),
    ],
)
def test_what_cannot_be_looked_at_is_no_reason_for_another_rate_or_size(
    asked, reply, kind, text, videos, tmp_path, monkeypatch
):
    answer = workers.answer
    monkeypatch.setattr(workers, "answer", lambda request: answer(request) if "part" in request else reply)
    with pytest.raises(kind, match=text):
        ingest([videos], tmp_path / "d", workers=0, heldout=0.2, **asked)
    assert not (tmp_path / "d" / "dataset.json").exists()


def test_a_full_cache_is_no_reason_to_fail_once_all_is_put(videos, tmp_path, monkeypatch):
    monkeypatch.setenv("FOOTAGE_CACHE", str(tmp_path / "cache"))

    def full(*_, **__):
        raise remote.CacheFull("it is full")

    with monkeypatch.context() as patch:
        patch.setattr(Cache, "lease", full)
        patch.setattr(pipeline, "Dataset", lambda place: Dataset(place) if isinstance(place, Path) else local_rows)
        local_rows = type("Rows", (), {"rejections": ()})
        ingest([videos], "memory://full-cache/data", **SMALL)
    assert len(Dataset("memory://full-cache/data").rows) == 6 and not list((tmp_path / "cache" / "work").iterdir())


def test_ingest_from_and_to_a_bucket(bucket, videos, local, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_BYTES", 80_000)
    put(videos, f"{bucket}/clips")
    small = {**SMALL, "workers": 1}  # in a process of its own; and a path, as the command line has it
    made = ingest([f"{bucket}/clips"], Path(f"{bucket}/data"), **small)
    assert contents(made.dataset) == contents(local) and made.dataset.info.content_hash == local.info.content_hash
    assert {row.caption for row in made.dataset.rows} == {None, "a disc moves"} and len(local.sources) == 6
    assert made.dataset.place == f"{bucket}/data" and made.decoded == 6
    there = RemoteFolder(f"{bucket}/data")
    assert {"dataset.json", SUMS, "clips.jsonl", "ingest/state.npz", "shard-00001.npy"} <= set(there.files())
    written = b"".join(there.read(name) or b"" for name in there.files() if name.endswith(("json", "jsonl", "npz")))
    written += b"".join(path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert SECRET.encode() not in written
    assert json.loads(there.read("ingest/settings.json"))["inputs"] == [f"{bucket}/clips"]
    kept = [path.name for path in (tmp_path / "cache" / "work").iterdir()]
    assert kept == []  # neither sources nor what was made of them stays beside the cache
    write(tmp_path / "new.mp4", moving(12, (32, 32), 7))
    RemoteFolder(f"{bucket}/clips").put(tmp_path / "new.mp4", "run/new.mp4")
    again = ingest([f"{bucket}/clips"], f"{bucket}/data", **SMALL)
    assert (again.decoded, again.reused) == (1, 6) and len(again.dataset.rows) == 7
    used = {row.shard for row in again.dataset.rows}
    assert {name for name in there.files() if name.startswith("shard-")} == used
    assert [r for r in contents(again.dataset) if "new" not in r[0]] == contents(local)


def test_a_stopped_ingest_goes_on(bucket, videos, monkeypatch):
    put(videos, f"{bucket}/clips")

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pipeline.RemoteDataset, "push", stop)
        ingest([f"{bucket}/clips"], f"{bucket}/data", **SMALL)
    killed = Cache.of_this_machine().work / "sources-killed"
    killed.mkdir()  # before it had a lock
    assert RemoteFolder(f"{bucket}/data").files() == {}
    again = ingest([f"{bucket}/clips"], f"{bucket}/data", **SMALL)
    assert (again.decoded, again.reused) == (0, 6) and len(again.dataset.rows) == 6 and not killed.exists()


def test_a_source_that_cannot_be_fetched_ends_the_ingest(bucket, videos, tmp_path, monkeypatch):
    """It is not left out as if it were damaged."""
    put(videos, f"{bucket}/clips")
    fetch = RemoteFolder.fetch

    def gone(self, names, to):
        self.remove(names)
        fetch(self, names, to)

    monkeypatch.setattr(RemoteFolder, "fetch", gone)
    with pytest.raises(errors.RemoteError, match=f'"{bucket}/clips/run/1.mp4" does not exist: check the address'):
        ingest([f"{bucket}/clips"], tmp_path / "d", **SMALL)
    assert not (tmp_path / "d" / "dataset.json").exists()


def test_a_folder_of_something_else_is_refused(bucket, videos):
    put(videos, f"{bucket}/data")
    with pytest.raises(errors.DatasetError, match=f'"{bucket}/data" holds something else'):
        ingest([videos], f"{bucket}/data", **SMALL)
    with pytest.raises(errors.DatasetError, match=f'"{bucket}/data" is not a dataset .* footage ingest'):
        Dataset(f"{bucket}/data")


def test_training_from_a_bucket_is_training_from_a_folder(bucket, local, tmp_path):
    import footage
    from tests.models import tiny_config

    put(local.folder, f"{bucket}/data")
    hashes = []
    for number, place in enumerate((str(local.folder), f"{bucket}/data")):
        run = footage.train(place, tiny_config(), out=tmp_path / f"run{number}", clips=16, quiet=True)
        hashes.append([path.name for path in (run.path / "model").glob("weights-*.safetensors")])  # a name is a hash
        told = json.loads((run.path / "config.json").read_text())["data"]
        assert told["data"] == (place if number else str(local.folder.resolve()))
        assert all(SECRET.encode() not in path.read_bytes() for path in run.path.rglob("*") if path.is_file())
    assert hashes[0] == hashes[1] != []

    from footage.evaluation.inputs import open_input
    from footage.evaluation.protocols import Protocol

    judged = open_input(
        Path(f"{bucket}/data"), protocol=Protocol("own", "", 8, 8), channels=None, fit="crop", device="cpu"
    )
    assert judged.given == f"{bucket}/data" and judged.natural == (32, 32, 3)
    assert judged.clips.content_hash == local.info.content_hash


def test_a_cache_of_half_the_set_is_enough(bucket, local, tmp_path, monkeypatch):
    put(local.folder, f"{bucket}/data")
    sums = Dataset(f"{bucket}/data")._held.sums
    sizes = {name: row.bytes for name, row in sums.items() if name.startswith("shard-")}
    assert len(sizes) == 3
    monkeypatch.setenv("FOOTAGE_CACHE_GB", str(2.3 * max(sizes.values()) / 1e9))
    far = DatasetClips(Dataset(f"{bucket}/data"))
    loaders = [Loader(source, "train", frames=4, batch_size=4, seed=3) for source in (far, DatasetClips(local))]
    fetched = []
    fetch = RemoteFolder.fetch
    monkeypatch.setattr(RemoteFolder, "fetch", lambda self, names, to: (fetched.extend(names), fetch(self, names, to)))
    units, reads, read = len(loaders[0].units), [], far.read
    monkeypatch.setattr(far, "read", lambda *place: (reads.append(place[:2]), read(*place))[1])
    seen = [[loader.batch(at)[0] for at in range(0, 4 * units, 4)] for loader in loaders]  # four epochs
    total = sum(path.stat().st_size for path in (tmp_path / "cache" / "files").iterdir())
    assert total <= far.dataset._held.cache.limit < sum(sizes.values())
    assert len(fetched) <= 4 * len(sizes), "a shard is fetched once in each epoch at most"
    ranges = [(unit.span.index, range(unit.first, unit.first + unit.starts)) for unit in loaders[0].units]
    places = [
        next(i for i, (at, starts) in enumerate(ranges) if at == index and start in starts) for index, start in reads
    ]
    for epoch in range(4):
        assert sorted(places[epoch * units : (epoch + 1) * units]) == list(range(units)), "each stretch is shown once"
    np.testing.assert_array_equal(loaders[0].batch(8)[0], seen[0][2])  # a function of the clips seen, as ever


def test_a_damaged_shard_is_fetched_again_then_refused(bucket, local, monkeypatch):
    there = put(local.folder, f"{bucket}/data")
    dataset = Dataset(f"{bucket}/data")
    name = dataset.rows[0].shard
    fetch, tries = RemoteFolder.fetch, []

    def first_time_wrong(self, names, to):
        fetch(self, names, to)
        tries.append(names)
        if len(tries) == 1:
            content = bytearray(to[0].read_bytes())
            content[-1] ^= 1
            to[0].write_bytes(content)

    monkeypatch.setattr(RemoteFolder, "fetch", first_time_wrong)
    assert np.array_equal(dataset.read(dataset.rows[0]), local.read(local.rows[0])) and len(tries) == 2
    monkeypatch.undo()
    content = bytearray(there.read(name))
    content[-1] ^= 1
    bad = local.folder.parent / "bad"
    bad.write_bytes(content)
    there.put(bad, name)
    monkeypatch.setenv("FOOTAGE_CACHE", str(local.folder.parent / "other"))
    again = Dataset(f"{bucket}/data")
    with pytest.raises(errors.RemoteError, match=f"{bucket}/data/{name}.* is damaged.*put it there again"):
        again.read(again.rows[0])
    assert not list((local.folder.parent / "other" / "files").glob("*.partial*"))


def test_wrong_addresses(bucket, server, videos, tmp_path, monkeypatch):
    missing = f"{bucket}-none"
    for place in (f"{missing}/data", missing):
        with pytest.raises(errors.RemoteError, match=f'no bucket for "{place}.*check its name'):
            Dataset(place)
    with pytest.raises(errors.RemoteError, match=f'no bucket for "{missing}'):
        ingest([videos], f"{missing}/data", **SMALL)
    with pytest.raises(errors.RemoteError, match=f'"{bucket}/nothing" does not exist, or holds nothing'):
        ingest([f"{bucket}/nothing"], tmp_path / "d", **SMALL)
    with pytest.raises(errors.RemoteError, match=r'begins with "s4", which is not known: did you mean .*"s3"'):
        Dataset("s4://bucket/data")
    with pytest.raises(errors.RemoteError, match=r'"gs://bucket/data" needs a library .*: Please install gcsfs'):
        Dataset("gs://bucket/data")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        import s3fs

        s3fs.S3FileSystem.clear_instance_cache()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(errors.RemoteError, match=f'"{bucket}/data.*" cannot be reached: check the network'):
            Dataset(f"{bucket}/data")


def test_no_permission(bucket, local, server, monkeypatch, tmp_path):
    import s3fs

    put(local.folder, f"{bucket}/data")
    endpoint = os.environ["AWS_ENDPOINT_URL"]

    def allowed(requests: int) -> None:
        content = {"Content-Type": "text/plain"}
        request = urllib.request.Request(f"{endpoint}/moto-api/reset-auth", str(requests).encode(), content)
        urllib.request.urlopen(request).close()

    allowed(0)
    try:
        for attempt in (lambda: Dataset(f"{bucket}/data"), lambda: remote.sent(f"{bucket}/x.zip").__enter__()):
            with pytest.raises(errors.RemoteError, match=f'"{bucket}.*" must not be (read|written to)') as caught:
                attempt()
            assert SECRET not in str(caught.value) and "testing" not in str(caught.value)
    finally:
        allowed(10**9)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(errors.RemoteError, match=f'no credentials for "{bucket}/data/dataset.json": set AWS_ACCESS'):
        Dataset(f"{bucket}/data")


def test_a_full_disk(local, tmp_path, monkeypatch):
    monkeypatch.setenv("FOOTAGE_CACHE", str(tmp_path / "cache"))
    put(local.folder, "memory://full/data")
    dataset = Dataset("memory://full/data")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(
            errors.UnwritableError, match=r"disk of this machine is full.*memory:///full.*FOOTAGE_CACHE"
        ):
            dataset.read(dataset.rows[0])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert np.array_equal(dataset.read(dataset.rows[0]), local.read(local.rows[0]))


def test_exports_and_clips_go_to_addresses(bucket, tmp_path):
    import io
    import zipfile

    from footage.generation.model import Model
    from tests.models import save_tiny_model

    library = filled(tmp_path, 2)
    assert library.export(ClipQuery(), Path(f"{bucket}/out/all.zip")) == [Path(f"{bucket}/out/all.zip")]
    there = RemoteFolder(f"{bucket}/out")
    with zipfile.ZipFile(io.BytesIO(there.read("all.zip") or b"")) as packed:
        assert len(packed.namelist()) == 4 and packed.testzip() is None
    library.export(ClipQuery(), f"{bucket}/out/cut.fcpxml")
    listed = (there.read("cut.fcpxml") or b"").decode()
    assert str(tmp_path) not in listed and "footage-" not in listed and "cut-media/" in listed
    assert sum(name.startswith("cut-media/") for name in there.files()) == 2
    library.export(ClipQuery(), bucket.replace("s3", "s3a", 1) + "/folder")
    assert "library.json" in RemoteFolder(f"{bucket}/folder").files()
    with pytest.raises(errors.ConfigError, match="the library is"):
        type(library)(f"{bucket}/library")
    library.close()

    from footage.commands.main import main

    save_tiny_model(tmp_path / "model")
    main(["generate", str(tmp_path / "model"), "--to", f"{bucket}/made", "--count", "2", "--device", "cpu"])
    names = set(RemoteFolder(f"{bucket}/made").files())
    assert len(names) == 3 and "sheet.png" in names
    assert Model(tmp_path / "model", "cpu").info.name == "tiny"


@pytest.mark.parametrize("format", ["mp4", "png", "gif"])
def test_clips_at_an_address_are_not_written_over(tmp_path, format):
    import footage
    from tests.models import save_tiny_model

    model, there = save_tiny_model(tmp_path / "model"), RemoteFolder(f"memory://kept-{format}/clips")

    def make(**asked):
        footage.generate(tmp_path / "model", there.address, format=format, device="cpu", quiet=True, **asked)

    make(count=1)
    names = set(there.files())
    make(count=2)  # the first is made again
    assert names < set(there.files())
    before = {name: there.read(name) for name in there.files()}
    for asked in (
        ({"frames": 2 * model.config.clip.frames}, {"fps": 3}) if format == "mp4" else ({"seed": 1, "fps": 3},)
    ):
        with pytest.raises(
            errors.ConfigError, match=r'"memory:///?kept-\w+/clips/\S+" is there already, and is another clip'
        ):
            make(count=1, **asked)
    assert before == {name: there.read(name) for name in there.files()}


def test_what_is_finished_is_put_at_once(tmp_path, monkeypatch):
    import footage
    from footage.media import encode
    from tests.models import save_tiny_model

    save_tiny_model(tmp_path / "model")
    write_clip, written = encode.write_clip, []

    def stop_at_third(path, *more, **options):
        if len(written) == 2:
            path.write_bytes(b"half")
            raise KeyboardInterrupt
        written.append(path)
        write_clip(path, *more, **options)

    monkeypatch.setattr(encode, "write_clip", stop_at_third)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        footage.generate(tmp_path / "model", Path("memory://stopped/clips"), count=4, device="cpu", quiet=True)
    there = RemoteFolder("memory://stopped/clips")
    assert set(there.files()) == {path.name for path in written} and len(written) == 2
    assert not written[0].exists()
    monkeypatch.undo()

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with (
        pytest.raises(errors.RemoteError, match="is away: wait; what was made is in ") as caught,
        remote.sent("memory://stopped/more") as out,
    ):
        out.path.mkdir()
        (out.path / "a").write_bytes(b"a")
        out.put(out.path / "a")
        (out.path / "b").write_bytes(b"b")

        def away(self, path, name):
            raise errors.RemoteError(f"{path.name} is away", "wait")  # all that is new, and nothing else

        monkeypatch.setattr(RemoteFolder, "put", away)
    assert caught.value.problem == "b is away" and (out.path / "b").read_bytes() == b"b"


def test_an_audit_is_said_where_nothing_may_be_written(local, tmp_path, monkeypatch, capsys):
    from footage.commands import train

    monkeypatch.setenv("FOOTAGE_CACHE", str(tmp_path / "cache"))
    put(local.folder, "memory://audited/data")

    def refuse(self, path, name):
        raise errors.RemoteError("it must not be written to", "ask")

    monkeypatch.setattr(RemoteFolder, "put", refuse)
    train.audit(Path("memory://audited/data"), advise=False)
    said = " ".join(capsys.readouterr().out.split())
    assert "clips 6 from 6" in said and "audit.html is not written: it must not be written to" in said


def test_the_library_is_named_where_it_is_missing(tmp_path):
    """In a process in which nothing of fsspec can be imported."""
    program = (
        "import sys; sys.modules['fsspec'] = None\n"
        "from footage.data.store import Dataset\nfrom footage.errors import RemoteError\n"
        "try:\n    Dataset('s3://bucket/data')\nexcept RemoteError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 'needs a library that is not installed: pip install "footage[remote]"' in done.stdout


def test_the_cache_is_bounded_and_what_is_used_stays(tmp_path):
    cache = Cache(tmp_path, 100)

    def lease(name: str, size: int = 40) -> remote.Lease:
        place = f"s3://b/{name}"
        return cache.lease(name * 64, FileSum(size, ""), place, lambda path: path.write_bytes(bytes(size)), 0)

    lease("a").close()
    held = lease("b")
    lease("a").close()  # now b was used longest ago, but it is in use
    lease("c").close()
    assert {path.name[0] for path in (tmp_path / "files").iterdir()} == {"b", "c"}
    other = lease("c")
    with pytest.raises(errors.RemoteError, match=r'"s3://b/d" of .* does not fit .*: set FOOTAGE_CACHE_GB to more'):
        lease("d")
    held.close()
    lease("d").close()
    other.close()
    (tmp_path / "files" / ("e" * 64 + ".90.partial")).write_bytes(b"killed")  # its process has no lock any more
    lease("f", 90).close()
    assert [path.name[0] for path in (tmp_path / "files").iterdir()] == ["f"]
    with pytest.raises(errors.ConfigError, match='FOOTAGE_CACHE_GB is "-1"'), pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOOTAGE_CACHE_GB", "-1")
        Cache.of_this_machine()


def test_one_of_many_fetches_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "file_digest", None)  # what is not known is not reckoned
    cache, fetched, leases = Cache(tmp_path, 1000), [], []

    def fetch(path: Path) -> None:
        fetched.append(path)
        path.write_bytes(bytes(50))

    def work() -> None:
        leases.append(cache.lease("a" * 64, FileSum(50, ""), "s3://b/a", fetch))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(fetched) == 1 and len(leases) == 8
    for lease in leases:
        lease.close()


def test_a_reader_holds_half_of_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FOOTAGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FOOTAGE_CACHE_GB", str(100 / 1e9))
    for name in "abcd":
        (tmp_path / name).write_bytes(name.encode() * 25)
    there = put(tmp_path, "memory://half")
    sums = {name: FileSum(25, files.bytes_digest(name.encode() * 25)) for name in "abcd"}
    dropped: list[str] = []
    held = HeldFiles(there, sums, dropped.append)
    for name in "aba":
        held.path(name)
        held.touch("a")
    assert held.path("c").read_bytes() == b"c" * 25 and dropped == ["b"]
    assert held.path("d").exists() and dropped == ["b", "a"]


def test_three_readers_share_a_cache(tmp_path, monkeypatch):
    """Two of them hold all of it; the third waits until one of them goes on, which then makes do with less."""
    monkeypatch.setenv("FOOTAGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FOOTAGE_CACHE_GB", str(100 / 1e9))
    monkeypatch.setattr(remote, "AGAIN", 0.01)
    for name in "abcdefg":
        (tmp_path / name).write_bytes(name.encode() * 25)
    there = put(tmp_path, "memory://three")
    sums = {name: FileSum(25, files.bytes_digest(name.encode() * 25)) for name in "abcdefg"}
    first, second, third = (HeldFiles(there, sums) for _ in range(3))
    for name in "ab":
        first.path(name)
    for name in "cd":
        second.path(name)
    got: list[bytes] = []
    waiting = threading.Thread(target=lambda: got.append(third.path("e").read_bytes()))
    waiting.start()
    waiting.join(timeout=0.2)
    assert waiting.is_alive()
    assert first.path("f").read_bytes() == b"f" * 25
    waiting.join(timeout=60)
    assert got == [b"e" * 25] and second.path("g").read_bytes() == b"g" * 25


def test_sources_are_swept_by_turns(tmp_path, monkeypatch):
    """What another process has just begun is not taken for what a killed one has left."""
    monkeypatch.setenv("FOOTAGE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "a.mp4").write_bytes(b"a clip")
    left = tmp_path / "cache" / "work" / "sources-left"
    left.mkdir(parents=True)
    make, free = remote.tempfile.TemporaryDirectory, []

    def watched(**how):
        made = make(**how)
        with open(tmp_path / "cache" / "sources.lock", "rb+") as turn:
            free.append(files.lock(turn, wait=False))
        return made

    monkeypatch.setattr(remote.tempfile, "TemporaryDirectory", watched)
    with remote.sources_here([f"file://{tmp_path}/a.mp4"], tmp_path, {}):
        assert free == [False] and not left.exists()
        with open(tmp_path / "cache" / "sources.lock", "rb+") as turn:
            assert files.lock(turn, wait=False)


def test_stand_ins_are_nowhere_else(tmp_path, monkeypatch):
    monkeypatch.setenv("FOOTAGE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "a.mp4").write_bytes(b"a clip")
    with remote.sources_here([f"file://{'/..' * 40}{tmp_path}/a.mp4"], tmp_path / "b", {}) as (place,):
        assert Path(place).resolve().is_relative_to(tmp_path / "cache" / "work") and Path(place).stat().st_size == 6
    assert (tmp_path / "a.mp4").read_bytes() == b"a clip"


@pytest.mark.parametrize("count", [2, 9])
def test_a_source_stays_here_until_its_last_user_has_left(tmp_path, monkeypatch, count):
    """Members of an archive are made by several workers at once; so are those of IDX images with labels."""
    monkeypatch.setenv("FOOTAGE_CACHE", str(tmp_path / "cache"))
    for number in range(count):
        (tmp_path / "in" / f"{number}").parent.mkdir(exist_ok=True)
        (tmp_path / "in" / f"{number}").write_bytes(b"a clip %d" % number)
    there = put(tmp_path / "in", "memory://shared")
    with remote.sources_here([there.address], tmp_path, {}) as (place,):
        paths = [Path(place) / f"{number}" for number in range(count)]
        first, second, third = (contextlib.ExitStack() for _ in range(3))
        first.enter_context(remote.present(paths))
        second.enter_context(remote.present(paths))
        first.close()
        third.enter_context(remote.present(paths))
        second.close()
        assert [path.read_bytes() for path in paths] == [b"a clip %d" % number for number in range(count)]
        third.close()
        assert {path.name: path.read_bytes() for path in Path(place).iterdir()} == {p.name: bytes(8) for p in paths}


def test_a_killed_worker_leaves_a_source_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setenv("FOOTAGE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "a.mp4").write_bytes(b"a clip")
    there = put(tmp_path, "memory://killed")
    with remote.sources_here([there.address], tmp_path, {}) as (place,):
        path = Path(place) / "a.mp4"
        before = path.stat()
        path.rename(path.with_name(".a.mp4.away"))  # so it was killed
        path.symlink_to(tmp_path / "gone")
        with remote.present([path]):
            assert path.read_bytes() == b"a clip"
        assert path.read_bytes() == bytes(6) and path.stat().st_mtime_ns == before.st_mtime_ns
        assert [name.name for name in path.parent.iterdir()] == ["a.mp4"]


def test_what_a_killed_process_has_not_put_as_a_whole_goes_a_day_later(tmp_path):
    sent, there = tmp_path / "a.bin", tmp_path / "there"
    sent.write_bytes(b"whole")
    there.mkdir()
    names = [files.scratch_beside(there / "a.bin", "").name for _ in range(2)] + [".mine.partial"]
    for name, days in zip(names, (2, 0, 2), strict=True):
        (there / name).write_bytes(b"ha")
        os.utime(there / name, (time.time() - days * 86_400,) * 2)
    RemoteFolder(f"local://{there}").put(sent, "a.bin")
    assert {path.name for path in there.iterdir()} == {*names[1:], "a.bin"}
