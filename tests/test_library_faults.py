from __future__ import annotations

import contextlib
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from footage.errors import FootageError, LibraryError, MediaError
from footage.library import storage
from footage.library.library import Library
from footage.library.query import ClipQuery
from footage.library.storage import APPLICATION, MIGRATIONS, Database
from tests.libraries import filled, make_older, save_clip

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "library_faults.py"


def test_killed_among_random_operations_and_two_at_once() -> None:
    """The long form is the benchmark by itself: 20 kills among 200 operations each."""
    command = [sys.executable, str(BENCHMARK), "--kills", "4", "--operations", "30"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing acknowledged was lost" in done.stdout


def test_threads_write_and_read_at_once(tmp_path: Path) -> None:
    library = filled(tmp_path, 1)
    paths = [save_clip(tmp_path / f"more {n}.mp4", 10 + n) for n in range(4)]
    wrong: list[Exception] = []

    def write(number: int) -> None:
        try:
            for count in range(15):
                library.bulk([1], tag=[f"{number}-{count}"])
                assert library.query(text=f"{number}-{count}").entries[0].id == 1
            library.add(paths[number])
            library.add(paths[0])
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(library.get(1).tags) == 60 and library.count() == 5
    assert library.verify(repair=False).sound


def test_two_processes_make_the_same_library_at_once(tmp_path: Path) -> None:
    code = "import sys; from footage.library.library import Library; Library(sys.argv[1]).albums.create(sys.argv[2])"
    command = [sys.executable, "-c", code, str(tmp_path / "library")]
    makers = [subprocess.Popen([*command, str(n)]) for n in range(4)]
    assert [maker.wait() for maker in makers] == [0] * 4
    assert len(Library(tmp_path / "library").albums.all()) == 4


def test_who_waits_too_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "WAIT", 0.1)
    library = filled(tmp_path, 1)
    library.close()
    with library._database.write(), pytest.raises(LibraryError, match="another program has been writing"):
        Library(library.folder).update(1, stars=3)
    Library(library.folder).update(1, stars=4)
    assert library.get(1).stars == 4


def test_a_column_of_another_name_is_damage(tmp_path: Path) -> None:
    """Bits that change in the schema leave a database that SQLite takes for sound."""
    library = filled(tmp_path, 1)
    library.close()
    with contextlib.closing(sqlite3.connect(library._database.path)) as connection:
        connection.execute("ALTER TABLE clips RENAME COLUMN notes TO nothes")
    with pytest.raises(LibraryError, match=r"library\.sqlite\" is damaged: it has no clips\.notes.*copy of it"):
        Library(library.folder)


def test_a_cell_that_is_no_json_is_damage(tmp_path: Path) -> None:
    library = filled(tmp_path, 1)
    with library._database.write() as connection:
        connection.execute("UPDATE clips SET metrics = 'x'")
    with pytest.raises(LibraryError, match="tables are damaged: 'x' is no JSON: put a copy of it back"):
        library.get(1)


def test_full_disk_for_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = filled(tmp_path, 1)
    with library._database._borrowed() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connect = sqlite3.connect

    def cramped(*place: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*place, **options)
        connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection

    library.close()
    monkeypatch.setattr(sqlite3, "connect", cramped)
    with pytest.raises(LibraryError, match="disk is full"):
        for number in range(500):
            library.update(1, notes="long " * 3000 + str(number))
    kept = library.get(1).notes
    with pytest.raises((LibraryError, MediaError), match="disk is full"):
        for number in range(200):
            library.add(save_clip(tmp_path / f"more {number}.mp4", 50 + number))
    count = library.count()
    monkeypatch.undo()
    library.close()
    again = Library(library.folder)
    assert again.get(1).notes == kept and again.count() == count and again.verify(repair=False).sound
    again.update(1, notes="short")
    assert again.get(1).notes == "short"


def _limited(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs limits of POSIX")
def test_full_disk_for_the_files(tmp_path: Path) -> None:
    """A limit on the size of files stands for the end of the disk: writing stops in the middle of the clip."""
    library = filled(tmp_path, 1)
    big = save_clip(tmp_path / "big.mp4", 1, frames=60, side=128)
    limit = max(path.stat().st_size for path in library.folder.rglob("*")) + 40_000
    padded = big.read_bytes() + bytes(2 * limit)
    big.write_bytes(padded)
    code = (
        "import sys\nfrom footage.library.library import Library\nfrom footage.errors import FootageError\n"
        "try: Library(sys.argv[1]).add(sys.argv[2])\n"
        "except FootageError as error: print(error); sys.exit(3)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(library.folder), str(big)],
        preexec_fn=lambda: _limited(limit),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3 and "disk is full" in done.stdout, done.stdout + done.stderr
    assert library.count() == 1 and library.verify(repair=False).sound
    assert list((library.folder / "partial").iterdir()) == []
    assert library.add(big).frames == 60


def test_a_clip_is_never_listed_before_its_file_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = filled(tmp_path, 1)
    path = save_clip(tmp_path / "next.mp4", 5)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    for place in ("footage.library.storage.os.replace", "footage.library.storage.os.fsync", "PIL.Image.Image.save"):
        with monkeypatch.context() as patched:
            patched.setattr(place, fail)
            with pytest.raises(FootageError, match="disk is full"):
                library.add(path)
        assert library.count() == 1
    assert library.add(path).id == 2


def test_migrations_take_each_step_once_and_keep_a_copy(tmp_path: Path) -> None:
    path = tmp_path / "library.sqlite"
    first = (("CREATE TABLE words (x)", "INSERT INTO words VALUES (1)"),)
    second = (*first, ("ALTER TABLE words ADD COLUMN y", "UPDATE words SET y = x + 1"))
    Database(path, first).close()
    for _ in range(2):
        opened = Database(path, second)
        with opened.read() as connection:
            assert tuple(connection.execute("SELECT x, y FROM words").fetchone()) == (1, 2)
        opened.close()
    with sqlite3.connect(tmp_path / "library-format-1.sqlite") as kept:
        assert kept.execute("SELECT * FROM words").fetchall() == [(1,)]
        assert kept.execute("PRAGMA application_id").fetchone()[0] == APPLICATION
    kept.close()
    with pytest.raises(LibraryError, match="upgrade footage"):
        Database(path, first)
    broken = (*second, ("INSERT INTO words VALUES (3, 4)", "NONSENSE"))
    with pytest.raises(LibraryError):
        Database(path, broken)
    with Database(path, second).read() as connection:  # half a step is none
        assert connection.execute("SELECT count(*) FROM words").fetchone()[0] == 1
    assert len(MIGRATIONS) >= 1


def test_a_fork_gets_connections_of_its_own(tmp_path: Path) -> None:
    library = filled(tmp_path, 1)
    library.count()
    child = os.fork() if hasattr(os, "fork") else None
    if child == 0:
        os._exit(0 if library.update(1, stars=5).stars == 5 else 1)
    if child is not None:
        assert os.waitpid(child, 0)[1] == 0 and library.get(1).stars == 5


@contextlib.contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """Let nobody write into a folder, the system's administrator neither, until the block ends."""
    folder.parent.chmod(0o755)
    inside = [folder, *folder.rglob("*")]
    modes = [path.stat().st_mode for path in inside]
    for path in inside:
        path.chmod(0o555 if path.is_dir() else 0o444)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)
        yield
    finally:
        os.seteuid(user)
        for path, mode in zip(inside, modes, strict=True):
            path.chmod(mode)


@pytest.mark.parametrize("state", ["whole", "log", "old"])
def test_a_library_on_a_read_only_disk_is_listed_searched_and_exported(state: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        out = Path(place) / "out"
        out.mkdir()
        out.chmod(0o777)
        library = filled(Path(place) / "disk", 2)
        folder = library.folder
        library.export([1], out / "as the administrator")  # imports what the user below may not be able to read
        library.close()
        if state == "log":  # the last changes stand in the write-ahead log, as after a crash
            with sqlite3.connect(folder / "library.sqlite") as kept:
                kept.execute("PRAGMA wal_autocheckpoint = 0")
                kept.execute("UPDATE clips SET stars = 5 WHERE id = 2")
                kept.commit()
                for name in ("library.sqlite", "library.sqlite-wal"):
                    shutil.copyfile(folder / name, out / name)
            for name in ("library.sqlite", "library.sqlite-wal"):
                shutil.move(out / name, folder / name)
            (folder / "library.sqlite-shm").unlink(missing_ok=True)
        if state == "old":
            make_older(folder, 1)
        with unwritable(folder):
            opened = Library(folder, create=False)
            assert len(opened.query(text="clip").entries) == 2 and opened.count(ClipQuery(min_stars=5)) == (
                state == "log"
            )
            assert opened.similar(1) and opened.history()
            assert len(opened.export([1, 2], out / "clips")) == 4
            assert opened.export([1], out / "clips.zip") == [out / "clips.zip"]
            assert opened.thumbnail(1).is_file()
            for change in (lambda: opened.update(1, stars=3), lambda: opened.add(opened.path(1))):
                with pytest.raises(
                    LibraryError, match=r"on a disk or in a folder that cannot be written to: copy the library's folder"
                ):
                    change()
            opened.close()
        assert not list(folder.glob("*-format-*"))
        assert Library(folder).update(1, stars=3).stars == 3
