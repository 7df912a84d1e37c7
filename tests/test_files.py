from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import sys
import threading
from pathlib import Path

import pytest

from footage import files
from footage.errors import FootageError, counted, meant, nearest
from footage.training.run_folder import RunFolder


def test_replacing_keeps_the_old_file_on_failure(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    files.write_text(path, "old")
    with pytest.raises(RuntimeError), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_lines_survive_a_crash_in_the_last_one(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    files.write_lines(path, [{"a": 1}, {"a": 2}])
    with open(path, "a") as handle:
        handle.write('{"a": 3')
    assert files.read_lines(path) == [{"a": 1}, {"a": 2}]
    path.write_text('{"a"\n{"a": 2}\n')
    with pytest.raises(ValueError):
        files.read_lines(path)


def test_digest_of_json_ignores_the_order() -> None:
    assert files.json_digest({"a": 1, "b": [2]}) == files.json_digest({"b": [2], "a": 1}) != files.json_digest({})


def test_not_a_number_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "a.json", {"a": float("nan")})
    assert not list(tmp_path.iterdir())


def test_errors_carry_problem_and_remedy() -> None:
    error = FootageError("x is 3", "give 4")
    assert str(error) == "x is 3: give 4" and error.remedy == "give 4"
    assert nearest("wlak", ["walk", "run"]) == 'did you mean "walk"?'
    assert nearest("zzz", ["walk", "run"]) == "known are run, walk"
    assert nearest("zzz", []) == "there are none"


def test_one_thing_is_counted_as_one() -> None:
    assert [counted(n, "clip") for n in (0, 1, 1.0, 1200, 1.5)] == [
        *("0 clips", "1 clip", "1 clip", "1,200 clips", "1.5 clips")
    ]
    assert [counted(n, "copy", "copies") for n in (1, 2)] == ["1 copy", "2 copies"]


def test_partial_files_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".a-1234.partial.npy").touch()
    (tmp_path / "b.npy").touch()
    files.remove_partial(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["b.npy"]


def test_partial_files_of_a_live_process_stay(tmp_path: Path) -> None:
    left = tmp_path / ".a-1234.partial.npy"
    left.touch()
    with files.replacing(tmp_path / "b.npy", durable=False) as temporary:
        temporary.touch()
        files.remove_partial(tmp_path)
        assert left.exists(), "nobody knows whose it is"
    files.remove_partial(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["b.npy"]
    with pytest.raises(FileNotFoundError), files.replacing(tmp_path / "c.npy") as temporary:
        temporary.touch()
        files.remove_partial(tmp_path, anyway=True)


def test_a_folder_that_another_program_holds_is_written_to(tmp_path: Path) -> None:
    """`flock FOLDER footage …` keeps a second job away, and the first one writes into that folder."""
    with files.open_folder(tmp_path) as handle:
        assert handle is not None and files.lock(handle)
        writer = threading.Thread(target=files.write_bytes, args=(tmp_path / "a", b"a"), daemon=True)
        writer.start()
        writer.join(100)
        assert not writer.is_alive() and (tmp_path / "a").read_bytes() == b"a"


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("when", ["before it is opened", "before it is locked", "and another is made"])
def test_the_lock_of_what_is_deleted_keeps_nobody_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: bool, when: str
) -> None:
    path, make, lock, calls = tmp_path / "of" / "a", files.make_folder, files.lock, list[str]()

    def made(place: Path) -> None:
        calls.append("make")
        if when != "before it is opened" or calls.count("make") > 1:
            make(place)

    def locked_late(*given: object) -> bool:
        calls.append("lock")
        if when != "before it is opened" and calls.count("lock") == 1:
            shutil.rmtree(tmp_path / "of")
            if when == "and another is made":
                path.mkdir(parents=True) if folder else make(path.parent)
                path.touch()
        return lock(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "make_folder", made)
    monkeypatch.setattr(files, "lock", locked_late)
    with files.holding(path, folder=folder, wait=False) as held:
        assert held and path.exists() and calls.count("make") == 2
        with files.holding(path, folder=folder, wait=False) as second:
            assert not second
    with files.holding(path, folder=folder, shared=True, wait=False) as held:
        assert held


def test_the_name_of_a_large_file_is_flushed_to_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda handle: flushed.append(stat.S_ISDIR(os.fstat(handle).st_mode)))
    for size, durable in ((files.LARGE, True), (files.LARGE - 1, True), (files.LARGE, False)):
        with files.writing(tmp_path / "a", durable) as handle:
            handle.write(bytes(size))
    assert flushed == [False, True, False]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EIO])
def test_where_there_are_no_locks_all_may_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Network disks are such; and who waits for a second ingest or training there is not told of another one."""
    with open(tmp_path / "lock", "wb") as handle, open(tmp_path / "lock", "rb") as second:
        assert files.lock(handle) and not files.lock(second, wait=False)

        def refuse(*_: object) -> None:
            raise OSError(number, "no")

        monkeypatch.setattr("fcntl.flock", refuse)
        if number == errno.EIO:
            with pytest.raises(OSError, match="no"):
                files.lock(handle)
        else:
            assert files.lock(handle, wait=False)
            with RunFolder(tmp_path).lock():
                pass


def test_what_was_meant_lies_beside_a_missing_path_or_has_a_known_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("my-data", "runs/first/model", ".my-hidden"):
        (tmp_path / name).mkdir(parents=True)
    assert meant("my-dta", "") == 'did you mean "my-data"?'
    assert meant("runs/frist/model", "") == 'did you mean "runs/first/model"?', "the first part that is missing counts"
    assert meant(tmp_path / "runs" / "fist", "") == f'did you mean "{tmp_path}/runs/first"?'
    assert meant("shape", "", ["shapes", "digits"]) == 'did you mean "shapes"?'
    assert meant("runs/shape", "", ["shapes"]) == "", "a name is no part of a path"
    assert meant("runs/frist/state", "") == "", "it would be missing there too"
    assert meant("my-dta", "", table="dataset.json") == "", "a folder that is no data set is not meant by one"
    (tmp_path / "my-data" / "dataset.json").touch()
    assert meant("my-dta", "", table="dataset.json") == 'did you mean "my-data"?'
    (tmp_path / "runs" / "first" / "model" / "model.json").touch()
    assert meant("runs/frist", "", table="model.json") == 'did you mean "runs/first"?'
    assert (
        meant("my-data", "", ["my-dato"])
        == meant("nothing-like-it", "")
        == meant("s3://my-dta", "")
        == meant("/", "")
        == ""
    )


@pytest.mark.parametrize("name", ["视" * 80 + ".txt", "1. " + "视" * 80, "é" * 127, "a." + "b" * 253], ids=list("abcd"))
def test_names_that_fill_a_disks_room_are_written(tmp_path: Path, name: str) -> None:
    files.write_text(tmp_path / name, "whole")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    beside = files.name_beside(tmp_path / name, ".", "-parts")
    beside.mkdir()
    assert beside != files.name_beside(tmp_path / f"{name[:-1]}!", ".", "-parts")
    assert files.name_beside(tmp_path / "a.mp4", ".", "-parts").name == ".a.mp4-parts", "as it was before"


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_folder_is_replaced_and_never_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool) -> None:
    if not exchanges:  # as on a system without such a call
        monkeypatch.setattr(files.ctypes, "CDLL", lambda _: object())
    path, renamed = tmp_path / "frames", list[Path]()
    rename = os.rename

    def recorded(old: Path, new: Path) -> None:
        renamed.append(Path(old))
        rename(old, new)

    def replaced(text: str) -> None:
        new = tmp_path / "new"
        new.mkdir()
        (new / "a").write_text(text)
        files.replace_folder(new, path)

    monkeypatch.setattr(os, "rename", recorded)
    replaced("first")
    replaced("second")
    assert (path / "a").read_text() == "second" and list(tmp_path.iterdir()) == [path]
    if exchanges and sys.platform == "linux":
        assert path not in renamed, "a process that is killed would leave no folder there"

    def refused(old: Path, new: Path) -> None:
        if Path(old).name == "new":
            raise OSError(errno.ENOSPC, "full")
        recorded(old, new)

    monkeypatch.setattr(os, "rename", refused)
    with contextlib.suppress(OSError):
        replaced("third")
    assert (path / "a").read_text() == ("third" if exchanges else "second")
    assert exchanges or (tmp_path / "new" / "a").read_text() == "third", "neither is lost"
