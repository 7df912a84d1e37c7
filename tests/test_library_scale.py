"""A large library that many use at once: kept counts, pages by way of indices, likeness, waiting, nothing lost."""

from __future__ import annotations

import itertools
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pytest

from footage.errors import LibraryError
from footage.library import additions, edits, query
from footage.library.additions import ClipDetails, GenerationMetadata
from footage.library.library import Library
from footage.library.query import FACETS, SORTS, ClipQuery
from footage.library.similarity import APPEARANCE
from footage.library.storage import DATABASE
from footage.machines.local import cores
from footage.media.probe import VideoInfo
from footage.media.thumbnails import Thumbnails
from footage.studio.app import Address, Server
from footage.studio.security import Limits
from tests.libraries import make_older

CLIPS = 60


def insert(connection: sqlite3.Connection, count: int, seed: int = 0) -> None:
    """Insert rows of clips that have no files."""
    rng, blank = random.Random(seed), np.zeros((1, 8, 8, 3), dtype=np.uint8)
    for number in range(count):
        side = rng.choice((32, 64))
        seen = Thumbnails(VideoInfo(side, side, 12, None, "h264", "yuv420p", 0, False, None), 9, 12.0, blank, blank)
        made = GenerationMetadata(
            "footage 0", rng.choice("ab"), "ab" * 32, number % 7, rng.choice((None, "x", "y")), "", {}
        )
        known = ClipDetails(
            title=f"{rng.choice('ABc')} clip {number}",
            source="",
            prompt=rng.choice(("a red car", "the sea", "穿红衣服的人")),
            tags=tuple(rng.sample(("day", "night", "wide"), rng.randrange(3))),
            stars=rng.randrange(6),
            verdict=rng.choice(("keep", "reject", "undecided")),
            metrics={"motion": rng.random()},
        )
        additions.insert(connection, f"{seed * 1000 + number:064x}", "mp4", rng.randrange(9, 99), seen, made, known)


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    made = Library(tmp_path / "library")
    with made._database.write() as connection:
        insert(connection, CLIPS)
    rng = np.random.default_rng(0)
    vectors = made._storage.vectors(APPEARANCE)
    rows = rng.normal(size=(CLIPS, vectors.width))
    rows[20] = rows[10]  # two that are equally near
    vectors.put({number + 1: row.astype(np.float32) for number, row in enumerate(rows) if number != 30})
    with made:
        yield made


def counted(library: Library, asked: ClipQuery) -> dict[str, list[tuple[object, int]]]:
    """Return the panel of filters, counted clip by clip."""
    entries = library.entries(library.ids(asked))
    values = {name: Counter(getattr(entry, name) for entry in entries) for name in FACETS}
    values["tags"] = Counter(tag for entry in entries for tag in entry.tags)
    for counter in values.values():
        counter.pop(None, None)
    return {name: sorted(counter.items(), key=lambda item: (-item[1], item[0])) for name, counter in values.items()}


def agree(library: Library) -> None:
    """Make sure that what is kept is what is counted."""
    for asked in (
        ClipQuery(),
        ClipQuery(bin=True),
        ClipQuery(verdict="keep", min_stars=2),
        ClipQuery(model="a", label="x"),
    ):
        found = library.facets(asked)
        assert {name: [tuple(item) for item in items] for name, items in found.items()} == counted(library, asked)
        assert library.count(asked) == len(library.ids(asked)) == library.count_few(asked)


def test_kept_counts_follow_every_change(library: Library) -> None:
    agree(library)
    changes: list[Callable[[], object]] = [
        lambda: library.update(3, verdict="keep", stars=5, label=None),
        lambda: library.update(3, tags=["night", "new"], title="other"),
        lambda: library.bulk(ClipQuery(verdict="reject"), {"stars": 1}, tag=["old"], untag=["day"]),
        lambda: library.remove([1, 2, 3, 4]),
        lambda: library.update(4, tags=["binned"], stars=2),
        lambda: library.restore([4]),
        library.undo,
        library.undo,
        library.redo,
        lambda: library.purge([1, 2]),
        library.undo,
    ]
    for change in changes:
        change()
        agree(library)
    with library._database.write() as connection:
        insert(connection, 5, seed=1)
    agree(library)
    assert library._database.faults() == []


def test_counts_are_made_for_a_library_of_before(library: Library) -> None:
    library.remove([1, 2, 3, 4])
    library.close()
    make_older(library.folder, 3)
    with Library(library.folder) as brought_up:
        agree(brought_up)
        brought_up.restore([1, 2])
        agree(brought_up)


INDEXED = [sort for sort in SORTS if sort not in ("taste", "motion", "likeness", "words")]
ASKED = [ClipQuery(sort=sort) for sort in (*INDEXED, "metric:motion", "metric:motion:asc")]
ASKED += [
    ClipQuery(tags=("night",), sort="title"),
    ClipQuery(text="red", sort="stars"),
    ClipQuery(text="红", min_stars=2),
]


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: f"{asked.sort} {asked.text} {' '.join(asked.tags)}")
def test_a_place_and_a_part_are_those_of_the_whole_list(library: Library, asked: ClipQuery) -> None:
    library.remove([5, 6])
    ids = library.ids(asked)
    assert len(ids) > 5
    for place in (0, 1, len(ids) // 2, len(ids) - 1):
        beside = [None, *ids, None]
        assert library.place(ids[place], asked) == (place + 1, len(ids), beside[place], beside[place + 2])
        assert library.ids(asked, ids[place], 7) == ids[place + 1 : place + 8]
    assert library.ids(asked, None, 3) == ids[:3]
    assert library.place(5, asked) == (0, len(ids), None, None) and library.ids(asked, 1000, 3) == []


@pytest.mark.parametrize("sort", INDEXED)
def test_pages_and_places_are_found_by_an_index(library: Library, sort: str) -> None:
    asked = ClipQuery(sort=sort)
    cursor = library.query(asked, limit=10).cursor
    said: list[str] = []
    with library._database.read() as connection:
        connection.set_trace_callback(said.append)
        query.select(connection, asked, None, 10)
        query.select(connection, asked, cursor, 10)
        query.numbers(connection, asked, 30, 10)
        query.place(connection, asked, 30)
        query.count(connection, ClipQuery(verdict="keep", sort=sort))
        connection.set_trace_callback(None)
        looked_at = [line for line in said if line.startswith("SELECT")]
        assert len(looked_at) >= 9
        for statement in looked_at:
            for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall():
                kept = "facet_counts" in statement  # a few rows, whatever the library
                assert kept or not row["detail"].startswith("SCAN"), (statement, row["detail"])
                assert kept or "TEMP B-TREE" not in row["detail"], (statement, row["detail"])
        beyond = [line for line in looked_at if " AND (" in line]
        assert (sort in ("newest", "oldest")) != bool(beyond)
        for statement in beyond:  # it begins at the mark, and not at the end of the index
            details = " ".join(
                row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
            )
            assert details.count(">") + details.count("<") >= 1, (statement, details)


def test_what_is_nearest_is_that_of_all_cosines(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = library._storage.vectors(APPEARANCE)
    matrix = np.array(vectors.matrix())
    cosines = matrix @ matrix[11]
    order = [row for row in np.lexsort((np.arange(len(cosines)), -cosines)).tolist() if row not in (0, 31)]
    monkeypatch.setattr("footage.library.similarity.SAMPLED", 8)
    for most in (1, 2, 7, 40, 100):
        rows, found = vectors.nearest(matrix[11], most)
        assert rows.tolist() == order[:most] and np.allclose(found, cosines[rows], atol=1e-6)
    assert order[:2] == [11, 21]
    for among in (np.arange(2, 9), np.arange(1, 50, 2)):
        rows, _ = vectors.nearest(matrix[11], 5, among)
        assert rows.tolist() == [row for row in order if row in among][:5]


@pytest.mark.parametrize(
    "filters",
    [ClipQuery(), ClipQuery(verdict="keep"), ClipQuery(bin=True), ClipQuery(text="red"), ClipQuery(ids=(4, 9, 12))],
)
@pytest.mark.parametrize("tried", [1, 40_000])
def test_likeness_among_some(library: Library, filters: ClipQuery, tried: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("footage.library.similarity.MOST_TRIED", tried)
    monkeypatch.setattr("footage.library.similarity.TRIED", 1)
    library.remove([2, 7, 21])
    matrix = np.array(library._storage.vectors(APPEARANCE).matrix())
    fitting = [clip for clip in library.ids(replace(filters, sort="oldest")) if clip not in (11, 31)]
    best = sorted(fitting, key=lambda clip: (-float(matrix[clip] @ matrix[11]), clip))[:4]
    found = library.similar(11, filters, limit=4)
    assert [entry.id for entry, _ in found] == best
    assert all(abs(likeness - matrix[entry.id] @ matrix[11]) < 1e-6 for entry, likeness in found)


def test_what_takes_long_to_count_is_counted_among_some(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    for asked in (
        ClipQuery(text="red"),
        ClipQuery(text="clip 红"),
        ClipQuery(tags=("night",)),
        ClipQuery(verdict="keep"),
    ):
        exact = library.facets(asked)
        assert library.facets_among(asked, 50, 1000) == (exact, frozenset())
        some, partly = library.facets_among(asked, 50, 5)
        assert partly == ({"tags"} if asked.verdict else {*FACETS, "tags"})
        for name, items in some.items():
            if name in partly:
                assert (
                    all(number <= dict(exact[name])[value] for value, number in items)
                    and sum(n for _, n in items) <= 12
                )
            else:
                assert items == exact[name]
    assert library.facets_among(ClipQuery(), 50, 5) == (library.facets(), frozenset())
    monkeypatch.setattr("footage.library.query.COMMON", 5)
    assert library.count_few(ClipQuery(text="red")) is None and library.count_few(ClipQuery()) == CLIPS
    assert library.count_few(ClipQuery(text="clip 17")) == library.count(text="clip 17") == 1


def test_a_step_of_many_clips_is_forgotten_by_and_by(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edits, "REMEMBERED", 3)
    monkeypatch.setattr(edits, "FORGOTTEN", 25)
    large = library.history(1)[0].id
    assert library.history(1)[0].clips == CLIPS

    def left() -> int:
        with library._database.read() as connection:
            return int(connection.execute("SELECT count(*) FROM changes WHERE entry = ?", (large,)).fetchone()[0])

    held = []
    for stars in (1, 2, 3, 4, 5, 1, 2):
        library.update(9, stars=stars, notes=f"{stars}")
        held.append(left())
    assert [b - a for a, b in itertools.pairwise(held) if a != b] == [-25, -25, -10] and held[-1] == 0
    assert len(library.history()) == 3 and large not in [step.id for step in library.history()]
    while library.undo():
        pass
    assert library.get(9).deleted is None, "what is half forgotten is not undone"
    library.update(9, stars=5)
    assert library.redo() is None and len(library.history()) == 1


def test_many_clips_are_changed_in_parts_and_undone_in_one(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("footage.library.library.PART", 7)
    before = library.entries(range(1, CLIPS + 1))
    between: list[int] = []
    with Library(library.folder) as other, monkeypatch.context() as gaps:

        def judge(seconds: float) -> None:
            other.update(3, title=f"other {len(between)}")
            between.append(other.count(ClipQuery(min_stars=5, tags=("all",))))

        gaps.setattr("footage.library.library.time", SimpleNamespace(sleep=judge, time=time.time))
        assert library.bulk(ClipQuery(), {"stars": 5}, tag=["all"]) == CLIPS
    assert between and all(0 < count < CLIPS for count in between), "others write between the parts"
    assert library.count(ClipQuery(min_stars=5, tags=("all",))) == CLIPS
    mine = [step for step in library.history(1000) if not step.what.startswith("title")]
    assert mine[0].clips == CLIPS
    while (undone := library.undo()) is not None and undone.id != mine[0].id:
        assert undone.what.startswith("title")
    keep = [(entry.stars, entry.tags) for entry in before]
    assert [(entry.stars, entry.tags) for entry in library.entries(range(1, CLIPS + 1))] == keep
    assert library.remove(ClipQuery()) == CLIPS and library.count() == 0 and library.history(1)[0].clips == CLIPS
    assert library.undo() is not None and library.count() == CLIPS
    with pytest.raises(LibraryError, match="no clip 999"):
        library.bulk([*range(1, 20), 999], {"stars": 1})
    assert [(entry.stars, entry.tags) for entry in library.entries(range(1, CLIPS + 1))] == keep
    agree(library)


def test_many_ask_at_once_and_nothing_is_lost(library: Library, tmp_path: Path) -> None:
    folder = library.folder
    server = Server(folder, tmp_path / "models", Address(port=0), Limits(waiting=4))
    server.start()
    headers, faults, put_off, given = {"x-csrf-token": server.studio.keys.csrf}, [], [], {}

    def ask(client: httpx.Client, method: str, path: str, **more: object) -> httpx.Response:
        while (answer := client.request(method, path, **more)).status_code == 503:  # type: ignore[arg-type]
            put_off.append(answer.headers["retry-after"])
            time.sleep(0.02)
        if answer.status_code >= 400:
            faults.append(answer.text)
        return answer

    def write(number: int) -> None:
        with httpx.Client(base_url=server.address, headers=headers, timeout=100) as client:
            for clip in range(1 + number, CLIPS, 4):
                stars = (clip + number) % 6
                if ask(client, "PATCH", f"/api/clips/{clip}", json={"stars": stars, "verdict": "keep"}).is_success:
                    given[clip] = stars

    def read() -> None:
        with httpx.Client(base_url=server.address, headers=headers, timeout=100) as client:
            for path in ("/", "/parts/facets", "/parts/clips?text=red", "/api/clips/11/similar", "/clip/11") * 2:
                ask(client, "GET", path)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    threads += [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.stop()
    assert not faults and len(given) == CLIPS - 1 and set(put_off) == {"1"}
    assert all(entry.stars == given[entry.id] and entry.verdict == "keep" for entry in library.entries(given))
    agree(library)


def test_a_browser_that_is_put_off_comes_back(library: Library, tmp_path: Path) -> None:
    server = Server(library.folder, tmp_path / "models", Address(port=0), Limits(waiting=0))
    server.start()
    try:
        answer = httpx.get(server.address, headers={"accept": "text/html"}, timeout=100)
        assert (answer.status_code, answer.headers["retry-after"], answer.headers["refresh"]) == (503, "1", "1")
        answer = httpx.get(f"{server.address}api/clips", timeout=100)
        assert answer.json()["problem"] == "too many people ask at the same moment" and "refresh" not in answer.headers
        assert httpx.get(f"{server.address}static/app.js", timeout=100).status_code == 200
    finally:
        server.stop()


def test_pages_do_not_wait_for_signatures(library: Library, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    reading, read = threading.Semaphore(0), threading.Event()

    def slow(path: Path) -> dict[str, str]:
        reading.release()
        read.wait(200)
        return {"state": "unread"}

    monkeypatch.setattr("footage.studio.routes.clips.signature", slow)
    monkeypatch.setattr(Library, "path", lambda library, clip: tmp_path)
    server = Server(library.folder, tmp_path / "models", Address(port=0))
    server.start()
    asked = [
        threading.Thread(target=httpx.get, args=(f"{server.address}parts/signature?clip=1",), kwargs={"timeout": 250})
        for _ in range(cores() + 1)
    ]
    try:
        for thread in asked:
            thread.start()
        assert reading.acquire(timeout=100)
        assert httpx.get(f"{server.address}parts/facets?label=walk", timeout=100).status_code == 200
    finally:
        read.set()
        for thread in asked:
            thread.join()
        server.stop()


def test_who_waits_for_another_process_is_put_off(
    library: Library, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("footage.library.storage.WAIT", 0.05)
    library.close()  # the next connections wait no longer
    server = Server(library.folder, tmp_path / "models", Address(port=0))
    server.start()
    other = sqlite3.connect(library.folder / DATABASE, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        headers = {"x-csrf-token": server.studio.keys.csrf}
        answer = httpx.patch(f"{server.address}api/clips/3", json={"stars": 4}, headers=headers, timeout=100)
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
        assert "another program has been writing" in answer.json()["problem"]
        with pytest.raises(LibraryError, match="another program"):
            library.update(3, stars=4)
        other.execute("ROLLBACK")
        monkeypatch.setattr("footage.library.storage.WAIT", 100.0)
        server.studio.library.close()  # for what the studio writes by itself
        answer = httpx.patch(f"{server.address}api/clips/3", json={"stars": 4}, headers=headers, timeout=100)
        assert answer.json()["stars"] == 4
    finally:
        other.close()
        server.stop()


def test_numbers_are_listed_part_by_part(library: Library, tmp_path: Path) -> None:
    server = Server(library.folder, tmp_path / "models", Address(port=0))
    server.start()
    try:
        address = f"{server.address}api/clips"
        with httpx.Client(base_url=address, timeout=100) as client:
            whole = client.get("/ids?sort=title").json()
            parts = client.get("/ids?sort=title&limit=9").json()
            while more := client.get(f"/ids?sort=title&limit=9&after={parts[-1]}").json():
                parts += more
            assert parts == whole and len(whole) == CLIPS == client.get("/count").json()
    finally:
        server.stop()
