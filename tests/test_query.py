"""Which clips are asked for: one dataclass for flags, Python, REST and saved views."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from footage.commands.library import Selection, query_of
from footage.commands.main import main
from footage.errors import LibraryError
from footage.library.query import SINGULAR, ClipQuery, MetricBounds
from tests.libraries import filled

NAMES = [field.name for field in dataclasses.fields(ClipQuery)]
OLD_VIEW = """{"filters": {"origin": "generated", "seed": 3, "tags": ["a", "b"], "without": ["c"], "min_stars": 2,
    "verdict": "keep", "album": 1, "min_seconds": 0.5, "max_side": 720, "since": 1, "parent": 4, "ids": [1, 2],
    "metrics": [["motion", 0.5, null], ["a:b", null, 2]], "missing": false, "bin": true}, "text": "red car",
    "sort": "metric:motion:asc"}"""


def test_views_that_were_saved_before_are_read_and_written_alike() -> None:
    query = ClipQuery.from_json(json.loads(OLD_VIEW))
    assert query.metrics == ("motion:0.5:", "a:b::2") and query.tags == ("a", "b") and query.sort == "metric:motion:asc"
    assert json.loads(json.dumps(query.to_json())) == json.loads(OLD_VIEW)
    assert ClipQuery().to_json() == {"filters": {}, "text": "", "sort": "newest"}


def test_filters_are_a_query_without_words_and_order() -> None:
    query = ClipQuery(text="red", tags=("a",), sort="stars")
    assert query.filters == ClipQuery(tags=("a",)) and ClipQuery(text="x", sort="title").filters == ClipQuery()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"verdict": "kep"}, r'verdict is "kep": did you mean "keep"'),
        ({"origin": "made"}, r'origin is "made": known are generated, imported'),
        ({"min_stars": 6}, "min_stars is 6: give 0 to 5"),
        ({"sort": "starz"}, r'sort is "starz": did you mean "stars"'),
        ({"seed": 2**63}, "seed is .*: give int"),
        ({"seed": True}, "seed is .*: give int"),
        ({"since": float("nan")}, "since is .*: give float"),
        ({"tags": "night"}, "tags is .*: give tuple"),
        ({"bin": 1}, "bin is .*: give bool"),
        ({"metrics": ("motion:a:",)}, 'metric is "motion:a:": give NAME:LEAST:MOST'),
        ({"metrics": (("motion", 1),)}, 'metric is .*"motion", 1.*: give NAME:LEAST:MOST'),
    ],
)
def test_errors_name_the_value_and_the_remedy(values: dict[str, object], message: str) -> None:
    with pytest.raises(LibraryError, match=message):
        ClipQuery(**values)  # type: ignore[arg-type]


def test_bounds_are_text_or_three_values() -> None:
    given = ClipQuery(metrics=[("m", 0.1, None), "n::2.50"])  # type: ignore[list-item, arg-type]
    assert given.metrics == ("m:0.1:", "n::2.5") and MetricBounds.read("a:b:1:") == ("a:b", 1.0, None)


def test_a_query_is_narrowed() -> None:
    query = ClipQuery(text="red", tags=("a",), min_stars=3, model="x", sort="stars")
    more = query.narrowed(text="car", tags=("b",), min_stars=1, model="y", sort=None)
    assert more == ClipQuery(text="red car", tags=("a", "b"), min_stars=3, model="y", sort="stars")


def test_every_field_is_a_flag_and_a_parameter_with_its_docstring(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["library", "list", "--help"])
    usage = " ".join(capsys.readouterr().out.replace("│", " ").split())
    properties = TypeAdapter(ClipQuery).json_schema()["properties"]
    for name in NAMES:
        parameter = SINGULAR.get(name, name)
        description = " ".join(properties[parameter]["description"].split())
        flag = {"min_stars": "stars"}.get(name, parameter).replace("_", "-")
        assert description[0].isupper() and (name == "ids" or (f"--{flag}" in usage and description in usage))


def test_a_request_is_read_as_a_query() -> None:
    reader = TypeAdapter(ClipQuery)
    query = reader.validate_json('{"text": "red", "tag": ["a"], "metric": ["m:1:"], "verdict": "keep"}')
    assert query == ClipQuery(text="red", tags=("a",), metrics=("m:1:",), verdict="keep")
    assert ClipQuery(**reader.dump_python(query)) == query
    for bad in ('{"tagz": []}', '{"verdict": "kep"}', '{"album": []}'):
        with pytest.raises(ValueError):
            reader.validate_json(bad)


def test_flags_are_added_to_a_view(tmp_path: Path) -> None:
    library = filled(tmp_path, 3)
    best = library.albums.create("best")
    library.albums.put(best.id, [1, 3])
    library.bulk([1, 2], {"stars": 4}, tag=["night"])
    library.set_metrics(1, {"motion": 0.5})
    library.views.save("good", ClipQuery(min_stars=3, tags=("night",), sort="title"))
    query = query_of(library, Selection(view="good", album="best", text="clip"))
    assert query == ClipQuery(text="clip", min_stars=3, tags=("night",), album=best.id, sort="title")
    assert query_of(library, Selection(view="good", sort="newest")).sort == "newest"
    assert library.ids(query) == library.ids(ClipQuery(metrics=("motion:0.5:0.5",))) == [1]
    assert library.ids(ClipQuery(album="best")) == library.ids(ClipQuery(album=str(best.id))) == [3, 1]
    assert [entry.id for entry, _ in library.similar(1, ClipQuery(album="best"))] == [3]
    with pytest.raises(LibraryError, match="no album"):
        library.count(ClipQuery(album="bets"))


def test_words_and_order_beside_a_query_are_added_to_it(tmp_path: Path) -> None:
    library = filled(tmp_path, 3)
    library.update(2, title="red clip", stars=3)
    by_stars = ClipQuery(text="clip", sort="stars")
    assert library.query(by_stars).entries[0].id == 2
    assert [entry.id for entry in library.query(by_stars, sort="oldest").entries] == [1, 2, 3]
    assert library.count(by_stars, "red") == 1 and [entry.id for entry in library.query(by_stars, "red").entries] == [2]
    assert [entry.id for entry, _ in library.similar(1, ClipQuery(text="red"))] == [2]


def test_the_former_name_of_a_query_works_with_a_notice(tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match="footage.ClipQuery"):
        from footage.library.search import Filters
    library = filled(tmp_path, 3)
    library.bulk([2], {"verdict": "keep"}, tag=["night"])
    found = library.query(Filters(tags=("night",), verdict="keep"), text="clip", sort="stars")
    assert [entry.id for entry in found.entries] == [2]
