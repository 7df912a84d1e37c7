"""A source is erased: no byte, caption or name of it is left in data set and library, and who has seen it is said."""

from __future__ import annotations

import itertools
import pkgutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from footage import files
from footage.commands.lock import erase
from footage.config import IngestConfig
from footage.data.audit import Audit
from footage.data.ingest.pipeline import ingest
from footage.data.store import Dataset
from footage.errors import ConfigError, DatasetError, FootageError, LibraryError
from footage.library import maintenance
from footage.library.additions import ClipDetails, Parent
from footage.library.library import Library
from footage.library.provenance import ModelCard
from footage.library.query import ClipQuery
from tests.clips import add_sound, moving, write
from tests.libraries import save_clip
from tests.models import save_tiny_model

CAPTION = "a zebra nobody may know of"
SECRET = "confidential-meeting"


def data_set(tmp_path: Path, coding: str = "raw") -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    for seed, name in enumerate([SECRET, "walk", "run"]):
        add_sound(write(folder / f"{name}.mp4", moving(25, (32, 32), seed)))
    (folder / f"{SECRET}.txt").write_text(CAPTION)
    config = IngestConfig(size="32x32", coding=coding, heldout=0.0, workers=0)  # type: ignore[arg-type]
    Audit(ingest([folder], tmp_path / "data", config).dataset).write(tmp_path / "data" / "audit.html")
    return tmp_path / "data"


def told(place: Path, secrets: list[bytes]) -> list[Path]:
    found = []
    for path in place.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        found += [path] if any(secret in content for secret in secrets) else []
    return found


@pytest.mark.parametrize("coding", ["raw", "jpeg"])
def test_nothing_of_a_source_is_left_in_a_data_set(tmp_path: Path, coding: str) -> None:
    data = data_set(tmp_path, coding)
    before = Dataset(data)
    (row,) = [row for row in before.rows if SECRET in row.source]
    others = {
        row.source: (before.read(row).copy(), before.sound(row)) for row in before.rows if SECRET not in row.source
    }
    stored = before.read(row)[7, 3:20].tobytes() if coding == "raw" else b"\x00no"
    secrets = [CAPTION.encode(), SECRET.encode(), row.digest.encode(), stored]
    assert len(told(data, secrets)) >= 3
    done = erase(f"videos/{SECRET}.mp4", places=(data,), yes=True, quiet=True)
    assert done.clips == 1 and told(data, secrets) == []
    after = Dataset(data)
    assert len(after.rows) == 2 and after.info.content_hash != before.info.content_hash
    for row in after.rows:
        pixels, sound = others[row.source]
        np.testing.assert_array_equal(after.read(row), pixels)
        heard = after.sound(row)
        assert sound is not None and heard is not None
        np.testing.assert_array_equal(heard.samples, sound.samples)
    (tmp_path / "videos" / f"{SECRET}.mp4").unlink()
    again = ingest([tmp_path / "videos"], data, IngestConfig(size="32x32", coding=coding, heldout=0.0, workers=0))
    assert (again.decoded, again.dataset.info.content_hash) == (0, after.info.content_hash)
    with pytest.raises(DatasetError, match="no source"):
        erase("videos/nobody.mp4", places=(data,), yes=True, quiet=True)
    with pytest.raises(DatasetError, match="remove the whole folder"):
        erase("videos", places=(data,), yes=True, quiet=True)


def test_an_empty_name_and_one_that_nothing_knows_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, folder = data_set(tmp_path), tmp_path / "library"
    with Library(folder) as library:
        library.add(save_clip(tmp_path / "one.mp4", 4, seed=4), ClipDetails(title="one"))
        library.jobs.cancel(library.jobs.submit("generate", {"of": "a/walk.mp4"}, 10).id)
        for empty in ("", "/", " "):
            with pytest.raises(ConfigError, match="to be erased is"):
                erase(empty, places=(data, folder), yes=True, quiet=True)
            with pytest.raises(LibraryError, match="to be erased is"):
                library.erase((), [empty])
        with pytest.raises(DatasetError, match=r"no source .nobody.mp4. in .*data, .*library"):
            erase("nobody.mp4", places=(data, folder), yes=True, quiet=True)
        assert len(library.query(ClipQuery()).entries) == 1 and len(library.jobs.all()) == 1
    assert len(Dataset(data).rows) == 3
    capsys.readouterr()
    done = erase("videos/walk.mp4", places=(folder, data), yes=True)
    assert (done.clips, done.unknown) == (1, (folder,))
    assert f"unknown {folder} has no source" in " ".join(capsys.readouterr().out.split())
    assert erase("one.mp4", places=(folder, data), yes=True, quiet=True).unknown == (data,)


def test_a_source_whose_name_begins_alike_keeps_what_is_said_of_it(tmp_path: Path) -> None:
    folder, config = tmp_path / "videos", IngestConfig(size="32x32", heldout=0.0, workers=0)
    folder.mkdir()
    for seed, name in enumerate(["a.mp4", "a.mp4.mp4", "b.mp4"]):
        write(folder / name, moving(25, (32, 32), seed))
    for name in ("a.mp4", "a.mp4.mp4"):
        (folder / f"z{name}").write_bytes((folder / name).read_bytes())
    before = ingest([folder], tmp_path / "data", config).dataset.rejections
    assert [one.detail.split(",")[0].split("/")[-1] for one in before] == ["a.mp4", "a.mp4.mp4"]
    erase("videos/a.mp4", places=(tmp_path / "data",), yes=True, quiet=True)
    after = Dataset(tmp_path / "data").rejections
    assert [one.detail for one in after] == ["shows the same as a source that was erased", before[1].detail]


def test_jobs_of_files_whose_names_begin_or_end_alike_stay(tmp_path: Path) -> None:
    with Library(tmp_path / "library") as library:
        said = ("a/walk.mp4", "walk.mp", "b/walk.mp", "a/walk.mp 2", "sidewalk.mp", "a/walk.mp/1.png", "caf\u00e9.mp4")
        for name in said:
            job = library.jobs.submit("generate", {"of": name}, 10)
            library.jobs.cancel(job.id)
        told = library.jobs.submit("ingest", {}, 10)
        assert library.jobs.claim("here", ["ingest"]) is not None
        library.jobs.finish(told.id, error="b/walk.mp cannot be read")
        assert library.erase((), ["walk.mp"]) == 0
        left = [job.request["of"] for job in reversed(library.jobs.all())]
        assert left == ["a/walk.mp4", "a/walk.mp 2", "sidewalk.mp", "a/walk.mp/1.png", "caf\u00e9.mp4"]
        library.erase((), ["cafe\u0301.mp4"])  # as macOS spells it
        assert len(library.jobs.all()) == 4


def test_a_path_of_a_file_names_its_source(tmp_path: Path) -> None:
    data = data_set(tmp_path)
    assert erase(str(tmp_path / "videos" / f"{SECRET}.mp4"), places=(data,), yes=True, quiet=True).clips == 1


def test_a_library_forgets_a_source_and_what_was_made_from_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = data_set(tmp_path)
    source, folder = tmp_path / "videos" / f"{SECRET}.mp4", tmp_path / "library"
    with Library(folder) as library:
        library.add(source, ClipDetails(title=SECRET, notes=CAPTION))
        parent = Parent(digest=files.file_digest(source), name=str(source))
        made = library.add(save_clip(tmp_path / "made.mp4", 4, seed=4), ClipDetails(title="made", parents=(parent,)))
        child = Parent(digest=made.digest, name="made")
        library.add(save_clip(tmp_path / "again.mp4", 5, seed=5), ClipDetails(title="again", parents=(child,)))
        library.add(save_clip(tmp_path / "other.mp4", 6, seed=6), ClipDetails(title="other"))
    secrets = [CAPTION.encode(), SECRET.encode(), source.read_bytes()[-400:-300]]
    assert told(folder, secrets)
    save_tiny_model(tmp_path / "models" / "one")
    with pytest.raises(ConfigError, match=r"cannot be undone.*--yes"):
        erase(f"videos/{SECRET}.mp4", places=(data, folder))
    said = " ".join(capsys.readouterr().out.split())
    assert "would go: 1 clip from" in said and "would go: 3 clips from" in said
    assert told(folder, secrets), "and nothing went"
    done = erase(f"videos/{SECRET}.mp4", places=(data, folder), models=(tmp_path / "models",), yes=True, quiet=True)
    assert done.clips == 4 and done.models == () and told(folder, secrets) == []
    with Library(folder, create=False) as library:
        assert [entry.title for entry in library.query(ClipQuery()).entries] == ["other"]
        assert library.verify().sound


def test_models_that_have_seen_it_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    data = data_set(tmp_path)
    info = Dataset(data).info
    for name, change in {"same": info.content_hash, "older": "1" * 64, "other": "0" * 64}.items():
        save_tiny_model(tmp_path / "models" / name)
        path = tmp_path / "models" / name / "model.json"
        card = json.loads(path.read_text())
        del card["digest"]
        card |= {"dataset_hash": change, "dataset": "noise" if name == "other" else info.name}
        path.write_text(json.dumps({**card, "digest": files.json_digest(card)}))
    with pytest.raises(ConfigError, match="--yes"):
        erase(f"videos/{SECRET}.mp4", places=(data,), models=(tmp_path / "models",))
    assert "same has seen it; it would stay" in " ".join(capsys.readouterr().out.split())
    done = erase(f"videos/{SECRET}.mp4", places=(data,), models=(tmp_path / "models",), yes=True)
    assert len(done.models) == 2
    assert "same has seen it" in done.models[1] and "older may have seen it" in done.models[0]
    assert "train it again without" in " ".join(capsys.readouterr().out.split())


def test_a_library_forgets_what_a_data_set_has_from_a_zip(tmp_path: Path) -> None:
    clips = [save_clip(tmp_path / f"{name}.mp4", 4, seed=seed) for seed, name in enumerate(("a", "b"))]
    with zipfile.ZipFile(tmp_path / "v.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in clips:
            archive.write(path, path.name)
    config = IngestConfig(size="32x32", min_frames=2, keep_duplicates=True, heldout=0.0, workers=0)
    ingest([tmp_path / "v.zip"], tmp_path / "data", config)
    with Library(tmp_path / "library") as library:
        for path in clips:
            library.add(path, ClipDetails(title=path.stem))
    assert erase("v.zip/a.mp4", places=(tmp_path / "data", tmp_path / "library"), yes=True, quiet=True).clips == 2
    with Library(tmp_path / "library", create=False) as library:
        assert [entry.title for entry in library.query(ClipQuery()).entries] == ["b"]


def test_other_files_of_the_same_name_stay(tmp_path: Path) -> None:
    """Two cameras count their files alike: what one took is erased, what the other took is not."""
    data, folder = data_set(tmp_path), tmp_path / "library"
    (tmp_path / "b" / "videos").mkdir(parents=True)
    other = save_clip(tmp_path / "b" / "videos" / f"{SECRET}.mp4", 77)
    with Library(folder) as library:
        mine = library.add(tmp_path / "videos" / f"{SECRET}.mp4", ClipDetails()).id
        theirs = library.add(other, ClipDetails()).id
    erase(f"videos/{SECRET}.mp4", places=(data, folder), yes=True, quiet=True)
    with Library(folder, create=False) as library:
        assert library.get(theirs).deleted is None
        with pytest.raises(LibraryError):
            library.get(mine)


def test_nothing_is_erased_where_a_later_place_refuses(tmp_path: Path) -> None:
    data, folder = data_set(tmp_path), tmp_path / "library"
    before = (data / "clips.jsonl").read_bytes()
    folder.mkdir()
    (folder / "library.sqlite").write_bytes(b"nothing of the kind")
    with pytest.raises(FootageError):
        erase(f"videos/{SECRET}.mp4", places=(data, folder), yes=True, quiet=True)
    (tmp_path / "models" / "broken").mkdir(parents=True)
    (tmp_path / "models" / "broken" / "model.json").write_text("{")
    with pytest.raises(FootageError):
        erase(f"videos/{SECRET}.mp4", places=(data,), models=(tmp_path / "models",), yes=True, quiet=True)
    assert (data / "clips.jsonl").read_bytes() == before


class Killed(BaseException):
    """As if the process ended here."""


STOPS = {
    "before anything": ("footage.data.ingest.erasure.shards.pack", 0),
    "state written": ("footage.data.ingest.erasure.save_tables", 0),
    "tables written": ("footage.data.ingest.erasure.sweep", 0),
    "between the halves": ("footage.library.library.Library.erase", 0),
    "clips chosen": ("footage.library.maintenance.purge", 0),
    "two clips removed": ("footage.library.storage.FileStore.remove", 2),
    "clips removed": ("footage.library.storage.Database.maintain", 0),
}
"""Where an erasure is stopped: before something is done, for the first time or after so many."""


@pytest.mark.parametrize("where", STOPS)
def test_stopped_anywhere_the_same_command_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    data, source, folder = data_set(tmp_path), tmp_path / "videos" / f"{SECRET}.mp4", tmp_path / "library"
    info = Dataset(data).info
    with Library(folder) as library:
        mine = library.add(source, ClipDetails(notes=CAPTION))
        parent = Parent(digest=mine.digest, name="clip")
        made = library.add(save_clip(tmp_path / "made.mp4", 4, seed=4), ClipDetails(notes=CAPTION, parents=(parent,)))
        child = Parent(digest=made.digest, name="made")
        library.add(save_clip(tmp_path / "again.mp4", 5, seed=5), ClipDetails(notes=CAPTION, parents=(child,)))
        library.add(save_clip(tmp_path / "other.mp4", 6, seed=6), ClipDetails(title="other"))
        card = ModelCard("ab" * 32, "tiny", dataset=info.name, dataset_digest=info.content_hash)
        library.register(card)
    source.unlink()  # its content is known by the data set alone
    name, before = STOPS[where]
    monkeypatch.setattr(maintenance, "BATCH", 1)
    module, _, attribute = name.rpartition(".")
    place = pkgutil.resolve_name(module)
    usual, times = getattr(place, attribute), itertools.count()

    def stopped(*given: object, **named: object) -> None:
        if next(times) == before:
            raise Killed
        usual(*given, **named)

    monkeypatch.setattr(place, attribute, stopped)
    asked = {"places": (data, folder), "yes": True, "quiet": True}
    with pytest.raises(Killed):
        erase(f"videos/{SECRET}.mp4", **asked)  # type: ignore[arg-type]
    monkeypatch.undo()
    done = erase(f"videos/{SECRET}.mp4", **asked)  # type: ignore[arg-type]
    assert len(done.models) == 1 and "has seen it" in done.models[0]
    assert told(data, [CAPTION.encode(), SECRET.encode()]) == []
    assert told(folder, [CAPTION.encode(), SECRET.encode()]) == []
    assert len(Dataset(data).rows) == 2 and len(list(data.glob("shard-*.npy"))) > 0
    with Library(folder, create=False) as library:
        assert [entry.title for entry in library.query(ClipQuery()).entries] == ["other"]
        assert library.verify().sound
    with pytest.raises(DatasetError, match="no source"):  # it is forgotten that it was erased, too
        erase(f"videos/{SECRET}.mp4", places=(data,), yes=True, quiet=True)


def test_a_process_that_is_killed_between_the_halves_loses_nothing(tmp_path: Path) -> None:
    data, source, folder = data_set(tmp_path), tmp_path / "videos" / f"{SECRET}.mp4", tmp_path / "library"
    with Library(folder) as library:
        library.add(source, ClipDetails(title=SECRET))
    source.unlink()
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom footage.commands.lock import erase\n"
        "from footage.library.library import Library\n"
        "Library.erase = lambda *given: os.kill(os.getpid(), 9)\n"
        "erase(sys.argv[1], places=(Path(sys.argv[2]), Path(sys.argv[3])), yes=True, quiet=True)\n"
    )
    asked = f"videos/{SECRET}.mp4"
    ended = subprocess.run([sys.executable, "-c", script, asked, str(data), str(folder)], check=False)
    assert ended.returncode == -9 and len(Dataset(data).rows) == 2
    with Library(folder, create=False) as library:
        assert library.count() == 1
    assert erase(asked, places=(data, folder), yes=True, quiet=True).clips == 1
    assert told(folder, [SECRET.encode()]) == [] == told(data, [SECRET.encode()])
