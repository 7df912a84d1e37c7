from __future__ import annotations

import dataclasses
import json
import threading
from pathlib import Path

import pytest

from footage.errors import ConfigError, LibraryError
from footage.library.library import Library
from footage.library.query import ClipQuery
from footage.library.storage import MIGRATIONS, Database, acting
from tests.libraries import filled


def test_undo_and_redo_go_back_and_forth(tmp_path: Path) -> None:
    library = filled(tmp_path, 3)
    states = [[dataclasses.replace(e, changed=0) for e in library.query().entries]]
    library.update(1, stars=4)
    library.bulk([1, 2, 3], {"verdict": "keep"}, tag=["x"])
    library.bulk([2], untag=["x"])
    library.remove([1, 3])
    assert library.count() == 1
    assert [step.what for step in library.history(2)] == ["into the bin", "untag x"]
    for expected in ("into the bin", "untag x", "verdict 'keep', tag x", "stars 4"):
        step = library.undo()
        assert step is not None and step.what == expected
    states.append([dataclasses.replace(e, changed=0) for e in library.query().entries])
    assert states[0] == states[1]
    for _ in range(4):
        library.redo()
    assert library.redo() is None and library.count() == 1 and library.get(2).tags == ()
    library.undo()
    library.update(2, stars=1)  # what was undone cannot be redone after another change
    assert library.redo() is None and library.count() == 3


def test_undo_leaves_what_was_changed_since(tmp_path: Path) -> None:
    library = filled(tmp_path, 2)
    library.bulk([1, 2], {"stars": 2})
    with library._database.write() as connection:
        connection.execute("UPDATE clips SET stars = 5 WHERE id = 1")
    step = library.undo()
    assert step is not None and step.clips == 1
    assert (library.get(1).stars, library.get(2).stars) == (5, 0)


def test_clips_that_are_added_together_are_undone_together(tmp_path: Path) -> None:
    library = filled(tmp_path, 3)
    step = library.undo()
    assert step is not None and step.clips == 3 and library.count() == 0
    library.redo()
    assert library.count() == 3


@pytest.mark.parametrize(
    "changes",
    [{"stars": 6}, {"stars": True}, {"verdict": "maybe"}, {"digest": "0"}, {"id": 3}, {"deleted": 1.0}, {"stars": "4"}],
)
def test_a_wrong_change_changes_nothing(tmp_path: Path, changes: dict[str, object]) -> None:
    library = filled(tmp_path, 1)
    before = library.get(1)
    with pytest.raises(LibraryError):
        library.update(1, **{"notes": "x", **changes})
    with pytest.raises(LibraryError, match="no clip 99"):
        library.bulk([1, 99], {"stars": 3})
    assert library.get(1) == before


def test_albums(tmp_path: Path) -> None:
    library = filled(tmp_path, 4)
    best = library.albums.create("best", "of all")
    assert library.albums.put(best.id, [3, 1, 3]) == 2 and library.albums.put(best.id, [1, 2]) == 1
    assert library.albums.clips(best.id) == [3, 1, 2]
    library.albums.order(best.id, [2])
    assert library.albums.clips(best.id) == [2, 3, 1]
    library.albums.take(best.id, [3])
    library.remove([1])
    assert library.albums.clips(best.id) == [2] and library.albums.get("best").clips == 1
    library.undo()
    library.undo()
    library.undo()
    assert library.albums.clips(best.id) == [3, 1, 2]
    with pytest.raises(LibraryError, match="already"):
        library.albums.create("best")
    with pytest.raises(LibraryError, match="no clip 9"):
        library.albums.put(best.id, [9])
    assert [a.name for a in library.albums.of(3)] == ["best"]
    library.albums.rename(best.id, "worst")
    library.albums.delete(best.id)
    assert library.albums.all() == [] and library.count() == 4
    with pytest.raises(LibraryError, match="no album"):
        library.albums.get("best")


def test_deleting_an_album_is_undone(tmp_path: Path) -> None:
    library = filled(tmp_path, 4)
    best = library.albums.create("best", "of all")
    library.albums.put(best.id, [3, 1, 2])
    library.albums.rename(best.id, "worst")
    library.albums.delete(best.id)
    assert library.history(1)[0].what == "album worst deleted"
    step = library.undo()
    assert step is not None and step.undone and library.albums.clips(best.id) == [3, 1, 2]
    assert library.albums.get(best.id) == library.albums.get("worst") and library.albums.get("worst").notes == "of all"
    library.redo()
    assert library.albums.all() == []
    library.undo()
    library.undo()
    assert library.albums.get(best.id).name == "best"
    library.undo()
    assert library.albums.clips(best.id) == []
    library.undo()
    assert library.albums.all() == []  # not made at all
    for _ in range(3):
        library.redo()
    assert library.albums.get("worst").clips == 3


def test_what_came_back_fits_in_with_what_is_there_now(tmp_path: Path) -> None:
    library = filled(tmp_path, 3)
    best = library.albums.create("best")
    library.albums.put(best.id, [3, 1, 2])
    library.albums.delete(best.id)
    library.remove([1])
    library.purge([1])
    library.albums.create("best")
    with library._database.write() as connection:  # as if the step had been made by an older footage
        connection.execute("DELETE FROM history WHERE id = (SELECT max(id) FROM history)")
    library.undo()  # clip 1 is gone, and the step with it
    names = {album.name: library.albums.clips(album.id) for album in library.albums.all()}
    assert names == {"best": [], "best (2)": [3, 2]}
    filled_since = library.albums.create("new")
    with library._database.write() as connection:
        connection.execute("INSERT INTO album_clips VALUES (?, 2, 0)", (filled_since.id,))
    library.undo()
    assert library.albums.get("new").clips == 1  # it is no longer what was made


def test_saving_and_deleting_a_view_is_undone(tmp_path: Path) -> None:
    library = filled(tmp_path, 1)
    first, second = ClipQuery(text="a"), ClipQuery(text="b", sort="stars")
    library.views.save("mine", first)
    library.views.save("mine", second)
    library.views.delete("mine")
    library.undo()
    assert library.views.get("mine").query == second
    library.undo()
    assert library.views.get("mine").query == first
    library.undo()
    assert library.views.all() == []
    for _ in range(3):
        library.redo()
    assert library.views.all() == [] and library.redo() is None
    library.undo()
    assert library.views.get("mine").query == second


def test_a_library_of_the_first_format_learns_it(tmp_path: Path) -> None:
    Database(tmp_path / "library.sqlite", MIGRATIONS[:1]).close()
    library = Library(tmp_path)
    album = library.albums.create("a")
    library.albums.delete(album.id)
    library.undo()
    assert library.albums.get("a") == album and (tmp_path / "library-format-1.sqlite").is_file()


def test_views_keep_queries(tmp_path: Path) -> None:
    library = filled(tmp_path, 1)
    query = ClipQuery(tags=("a",), metrics=(("m", 0.5, None),), bin=True, ids=(1, 2), text="红 x", sort="metric:m")
    library.views.save("mine", query)
    assert library.views.get("mine").query == query == ClipQuery.from_json(json.loads(json.dumps(query.to_json())))
    library.views.delete("mine")
    with pytest.raises(LibraryError, match="no view"):
        library.views.get("mine")
    for bad in (
        {"filters": {"tagz": []}},
        {"filters": {"tags": "a"}},
        {"filters": {"stars": 3}},
        {"filters": {"min_stars": True}},
        {"filters": {"metrics": [["a", "b", "c"]]}},
        {"sort": "odd"},
        {"other": 1},
        [],
    ):
        with pytest.raises(LibraryError):
            ClipQuery.from_json(bad)


def test_ratings(tmp_path: Path) -> None:
    library = filled(tmp_path, 3)
    first = library.ratings.add("spring", "motion", 1, 2, "b", "me")
    library.ratings.add("spring", "fidelity", 2, 3, "tie")
    assert library.ratings.all("spring", "motion") == [first] and len(library.ratings.all()) == 2
    assert library.ratings.campaigns() == [("spring", 2)]
    for wrong in (("taste", 1, 2, "a"), ("motion", 1, 1, "a"), ("motion", 1, 9, "a"), ("motion", 1, 2, "c")):
        with pytest.raises((ConfigError, LibraryError)):
            library.ratings.add("spring", *wrong)  # type: ignore[arg-type]
    library.ratings.remove(first.id)
    assert len(library.ratings.all()) == 1


def test_jobs_are_done_once_each_and_survive_their_workers(tmp_path: Path) -> None:
    library = Library(tmp_path / "library")
    jobs = [library.jobs.submit("generate", {"seed": n}) for n in range(20)]
    taken: list[int] = []

    def work(name: str) -> None:
        own = Library(tmp_path / "library")
        while (job := own.jobs.claim(name)) is not None:
            taken.append(job.request["seed"])
            own.jobs.finish(job.id, {"clip": job.request["seed"]})

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(20)) and library.jobs.get(jobs[3].id).result == {"clip": 3}
    lost, kept = library.jobs.submit("a", {}), library.jobs.submit("b", {})
    claimed = library.jobs.claim("w", ["b"])
    assert claimed is not None and claimed.id == kept.id and library.jobs.claim("w", ["b"]) is None
    assert library.jobs.report(kept.id, 0.5, "half") and library.jobs.get(kept.id).progress == 0.5
    assert library.jobs.revive(older=3600) == 0 and library.jobs.revive(older=-1) == 1
    assert library.jobs.get(kept.id).state == "queued"
    library.jobs.claim("w", ["b"])
    assert library.jobs.cancel(kept.id).state == "running" and not library.jobs.report(kept.id, 0.6)
    assert library.jobs.finish(kept.id).state == "cancelled"
    assert library.jobs.cancel(lost.id).state == "cancelled"
    failed = library.jobs.submit("a", {})
    library.jobs.claim("w")
    assert library.jobs.finish(failed.id, error="no memory").message == "no memory"
    library.jobs.submit("a", {})
    with pytest.raises(LibraryError, match="1 jobs wait"):
        library.jobs.submit("a", {}, most=1)
    assert library.jobs.clear() == 23 and len(library.jobs.all()) == 1


def test_a_worker_that_is_silent_is_there_where_it_is_heard_of(tmp_path: Path) -> None:
    library = Library(tmp_path / "library")
    job = library.jobs.submit("a", {})
    library.jobs.claim("w")
    with library._database.write() as connection:
        connection.execute("UPDATE jobs SET heard = 0")
    library.jobs.hear(job.id)
    assert library.jobs.revive() == 0 and library.jobs.get(job.id).state == "running"
    library.jobs.finish(job.id)
    library.jobs.hear(job.id)
    assert library.jobs.get(job.id).state == "done"


def test_steps_and_jobs_are_those_of_who_acts_and_each_undoes_their_own(tmp_path: Path) -> None:
    library = filled(tmp_path, 2)
    with acting("ann") as ann:
        library.update(1, stars=4)
        job = library.jobs.submit("verify", {})
        with acting("bob"):
            library.update(2, stars=3)
        assert library.undoable
        assert ann.doings == [f"step {library.history(2)[1].id}", f"job {job.id}"]
    assert [step.actor for step in library.history()][:3] == ["bob", "ann", ""]
    assert job.actor == "ann" and library.jobs.claim("worker").actor == "ann" == library.jobs.all()[0].actor
    with acting("ann"):
        step = library.undo()
        assert step is not None and (step.what, step.actor) == ("stars 4", "ann"), "not what bob did later"
        assert library.undo() is None and not library.undoable, "nor what was before there were accounts"
    with acting("bob"):
        assert library.redo() is None
        library.update(2, stars=2)
    with acting("ann"):
        assert library.redo() is not None, "another's change does not take it away"
        library.undo()
        library.update(1, notes="x")
        assert library.redo() is None, "one's own does"
    assert library.undo().actor == "ann" and library.undo().actor == "bob", "who is nobody in particular undoes all"
    library.jobs.finish(job.id)
    assert library.jobs.clear("bob") == 0 and library.jobs.clear("ann") == 1
