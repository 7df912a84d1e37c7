"""The figures of docs/benchmarks.md are of the present code; how they are measured, entered, outdated, shown."""

from __future__ import annotations

import dataclasses
import fnmatch
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from footage.errors import FootageError

ROOT = Path(__file__).parents[1]
CODE = '"""What it is."""\n\n\ndef speed(x: int) -> int:\n    return x + 1\n\n\nLEVEL = 3\n'
SCRIPT = 'import json\nprint("measured")\nprint(json.dumps({"speed": [30, 10, 20], "share": 0.25}))\n'
PAGE = "# Figures\n\n<!-- rows: made by `make bench-page` -->\n<!-- end of rows -->\n\nThe end.\n"
README = "Fast<!-- figure quick: : {} --><!-- end -->.\n"


WHOLE = """
import math
from os import path
from base import Far
LEVEL, OTHER = 3, 4
TYPE: int = 5
class Base:
    size = 1
    def more(self): return LEVEL
    def less(self): return OTHER
class A(Base, Far):
    def f(self, x: int) -> int:
        if x < 0: raise ValueError(f"{x} is too small")
        return helper(x) + self.g() + super().more()
    def g(self): return self.size
    def h(self): return 4
def helper(x): return path.join(x)
def made(): return A().h()
"""


@pytest.fixture(scope="module")
def bench() -> Iterator[Any]:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        yield importlib.import_module("bench")
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
        for name in ("bench", "rows"):
            sys.modules.pop(name, None)


@pytest.fixture
def tree(bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A clone with code, a script, pages, and two rows."""
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(name, "someone")
    for path, text in {
        "src/code.py": CODE, "benchmarks/script.py": SCRIPT, "docs/benchmarks.md": PAGE, "README.md": README
    }.items():  # fmt: skip
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    git(tmp_path, "init", "-q")
    commit(tmp_path)
    command = "benchmarks/script.py --quick"
    rows = (
        bench.Row("quick", "how quick it is", command, "speed", ("src/*.py",), "<= 15", "frames/s", 0),
        bench.Row("part", "a part of it", command, "share", ("src/code.py::speed",), ">= 0.2", "share", 1),
        bench.Row("far", "what is measured far away", "", "", ("src/code.py::LEVEL",)),
    )
    return lambda: bench.Bench(tmp_path, rows)


def git(root: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True, text=True).stdout.strip()


def commit(root: Path) -> str:
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "More")
    return git(root, "rev-parse", "--short", "HEAD")


def measured(tree: Any, bench: Any, *names: str) -> Any:
    made = tree()
    assert bench.main(["measure", *names], made) == 0
    return made


def test_pages_show_what_is_noted_of_the_present_code(bench: Any) -> None:
    """Where this fails, code has changed that a row names: `make bench-page`, and measure again when there is time."""
    made = bench.Bench()
    for page in bench.PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        assert made.shown(text) == text, f"{page} shows outdated figures: make bench-page"
    assert made.living(), "not one row lives: make bench"


def test_every_row_names_a_script_and_files_that_are_there(bench: Any) -> None:
    rows = bench.ROWS
    assert len({row.name for row in rows}) == len(rows)
    made = bench.Bench()
    for row in rows:
        found = made.digests(row)
        for source in row.sources:
            pattern = source.partition("::")[0]
            assert any(fnmatch.fnmatch(path.partition("::")[0], pattern) for path in found), (row.name, source)
        assert "missing" not in found.values(), (row.name, found)
        assert bool(row.command) == bool(row.figure)
        row.wanted([0.0])


def test_readme_shows_no_figure_that_no_row_keeps(bench: Any) -> None:
    measure = re.compile(
        r"\d ?(%|dB|ms|MiB|fps|frames/s|clips/s|frames a second|clips a second|times (as|faster|smaller))"
    )
    for page in bench.PAGES[1:]:
        text = bench.FIGURE.sub("", (ROOT / page).read_text(encoding="utf-8"))
        assert not (found := measure.search(text)), f"{page} says {found and found[0]!r} by itself: see CONTRIBUTING.md"


def test_tables_that_are_kept_by_hand_say_of_which_commit_and_day_they_are() -> None:
    parts = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8").split("\n## ")[1:]
    for part in [*parts, (ROOT / "docs/gpu.md").read_text(encoding="utf-8")]:
        if "\n|" in part:
            assert re.search(r"[Cc]ommit `[0-9a-f]{7,}`", part) and re.search(r"\d+ [A-Z][a-z]+ 20\d\d", part), part[
                :80
            ]


def test_comments_texts_and_layout_outdate_nothing(bench: Any) -> None:
    def digest(text: str, part: str = "") -> str:
        return str(bench.digest(text.encode(), True, part))

    same = '# Quick.\ndef speed(x: int) -> int:\n    """Say."""\n    return (x\n        + 1)\nLEVEL = 3\n"""Of it."""\n'
    assert digest(CODE) == digest(same)
    assert digest(CODE) != digest(CODE.replace("x + 1", "x + 2"))
    assert digest(CODE, "speed") == digest(CODE.replace("LEVEL = 3", "LEVEL = 4"), "speed")
    assert digest(CODE, "LEVEL") != digest(CODE.replace("LEVEL = 3", "LEVEL = 4"), "LEVEL")
    assert digest(CODE, "gone") == "missing" and digest("class A:\n    def f(self): ...", "A.f") != "missing"
    assert digest("x = None") != digest("x = ...") and digest("x = 0") != digest("x = False")
    assert bench.digest(b"a", False) != bench.digest(b"b", False)


@pytest.mark.parametrize(
    ("part", "old", "new", "outdates"),
    [
        ("A.f", "LEVEL, OTHER = 3", "LEVEL, OTHER = 2", True),  # what a base's method uses
        ("A.f", "size = 1", "size = 2", True),  # of a base, used by a method that is used
        ("A.f", "path.join(x)", "path.join(x, x)", True),  # a helper
        ("A.f", "from os import", "from posix import", True),
        ("A.f", "return OTHER", "return 7", False),  # a base's method that nothing uses
        ("A.f", "return 4", "return 5", False),
        ("A.f", "import math", "import cmath", False),
        ("A", "return OTHER", "return 7", True),
        ("made", "return OTHER", "return 7", True),  # a whole class, with its base
        ("made", "TYPE: int = 5", "TYPE: int = 6", False),
        ("", "TYPE: int = 5", "TYPE: int = 6", True),
        ("", "TYPE: int = 5", "TYPE: float = 5", False),
        ("", "x: int) -> int", "x: float) -> float", False),
        ("", "is too small", "is less than 0", False),
        ("", "raise ValueError", "raise TypeError", True),
        ("", "import math\nfrom os import path", "from os import path\nimport math", False),
        ("", "from os import path", "from posix import path", True),
    ],
)
def test_a_part_is_outdated_by_what_it_uses(bench: Any, part: str, old: str, new: str, outdates: bool) -> None:
    assert WHOLE.count(old) == 1
    digests = [bench.digest(text.encode(), True, part) for text in (WHOLE, WHOLE.replace(old, new))]
    assert "missing" not in digests and (digests[0] != digests[1]) == outdates


def test_a_missing_figure_costs_no_other_of_its_script(tree: Any, tmp_path: Path) -> None:
    (tmp_path / "benchmarks/script.py").write_text('print(\'{"speed": NaN, "share": 0.5}\')')
    commit(tmp_path)
    wrong = tree().measure([], False, Console())
    assert len(wrong) == 1 and "quick is nan" in wrong[0] and list(tree().notes) == ["part"]


@pytest.mark.parametrize("gone", ["src/code.py", "src/more.py"])
def test_nothing_is_measured_while_a_named_file_is_deleted(tree: Any, tmp_path: Path, gone: str) -> None:
    (tmp_path / "src/more.py").write_text("")
    commit(tmp_path)
    (tmp_path / gone).unlink()
    with pytest.raises(FootageError, match=rf"{gone} changed since the last commit"):
        tree().measure([], False, Console())


def test_the_digest_is_the_same_in_every_version_of_python(bench: Any) -> None:
    text = b'def f(a, *, b=1):\n    return f"{a!r:>{b}}" if a else [x async for x in b]\n'
    assert bench.digest(text, True) == "c14c69ef281d"


def test_measured_shown_outdated_and_shown_again(tree: Any, bench: Any, tmp_path: Path) -> None:
    head = git(tmp_path, "rev-parse", "--short", "HEAD")
    made = measured(tree, bench)
    note = made.notes["quick"]
    assert (note.values, note.commit) == ([30, 10, 20], head) and "core" in note.machine
    page = (tmp_path / "docs/benchmarks.md").read_text()
    assert (
        f"| how quick it is | 20 frames/s (10 to 30) | ≤ 15, **missed** | A | `{head}` | {note.date} | `quick` |"
        in page
    )
    assert "| 25.0% | ≥ 20% |" in page and page.endswith("<!-- end of rows -->\n\nThe end.\n")
    assert (tmp_path / "README.md").read_text() == "Fast<!-- figure quick: : {} -->: 20 frames/s<!-- end -->.\n"
    code = tmp_path / "src/code.py"
    code.write_text("# Said better.\n" + CODE)
    assert tree().write_pages() == []
    code.write_text(CODE.replace("LEVEL = 3", "LEVEL = 4"))
    again = tree()
    assert again.changed("quick") == ["src/code.py"] and list(again.living()) == ["part"]
    assert again.write_pages() == ["docs/benchmarks.md", "README.md"]
    assert (tmp_path / "README.md").read_text() == README
    assert "how quick" not in (tmp_path / "docs/benchmarks.md").read_text()
    (tmp_path / "src/more.py").write_text("")
    assert again.changed("quick") == ["src/code.py"], "what git does not know changes nothing"
    git(tmp_path, "add", "-A")
    assert again.changed("quick") == ["src/code.py", "src/more.py"]
    git(tmp_path, "rm", "-q", "-f", "src/more.py")
    code.write_text(CODE)
    tree().write_pages()
    assert (tmp_path / "docs/benchmarks.md").read_text() == page


def test_status_says_what_is_to_be_measured(
    tree: Any, bench: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured(tree, bench, "quick", "part")
    (tmp_path / "src/code.py").write_text(CODE.replace("LEVEL = 3", "LEVEL = 4"))
    capsys.readouterr()
    assert bench.main(["status"], tree()) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "to be measured again: src/code.py changed" in said and "lives" in said and "(to be entered)" in said


def test_what_cannot_be_measured_is_refused(tree: Any, bench: Any, tmp_path: Path) -> None:
    with pytest.raises(FootageError, match="those are quick, part"):
        tree().measure(["far"], False, Console())
    (tmp_path / "src/code.py").write_text(CODE + "MORE = 1\n")
    with pytest.raises(FootageError, match=r"src/code.py changed since the last commit: commit"):
        tree().measure([], False, Console())
    commit(tmp_path)
    for script, problem in (
        ("raise SystemExit(3)", "status 3"),
        ("print('no')", "ended with 'no'"),
        ("print({})", "None"),
    ):
        (tmp_path / "benchmarks/script.py").write_text(script)
        commit(tmp_path)
        wrong = tree().measure(["quick"], False, Console())
        assert len(wrong) == 1 and problem in wrong[0]
    assert tree().notes == {}


def test_a_busy_machine_measures_no_speed(tree: Any, bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tree()
    made.rows["quick"] = dataclasses.replace(made.rows["quick"], idle=True)
    monkeypatch.setattr(os, "getloadavg", lambda: (99.0, 0.0, 0.0))
    assert made.measure([], False, Console()) == [] and list(made.notes) == ["part"]
    made.measure([], True, Console())
    assert list(tree().notes) == ["quick", "part"]


def test_what_was_measured_elsewhere_lives_as_long_as_the_code_of_its_commit(
    tree: Any, bench: Any, tmp_path: Path
) -> None:
    old = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "src/code.py").write_text(CODE.replace("LEVEL = 3", "LEVEL = 4"))
    new, file = commit(tmp_path), tmp_path / "gpu.json"
    told = {"machine": "a GPU", "commit": old, "date": "2026-11-27", "figures": {"far": 7.5}}
    file.write_text(json.dumps(told))
    tree().enter(file)
    assert tree().living() == {} and tree().notes["far"].commit == old[: len(new)]
    file.write_text(json.dumps(told | {"commit": new}))
    assert bench.main(["enter", str(file)], tree()) == 0
    assert "| what is measured far away | 7.50 |  | A |" in (tmp_path / "docs/benchmarks.md").read_text()
    assert "**A**: a GPU" in (tmp_path / "docs/benchmarks.md").read_text()


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"commit": "0123456789"}, "git rev-parse"),
        ({"figures": {"near": 1}}, "near is no row: the rows are quick"),
        ({"figures": {"far": "fast"}}, "far is fast"),
        ({"figures": {"far": []}}, r"far is \[\]"),
        ({"date": "yesterday"}, "cannot be entered"),
    ],
)
def test_what_says_too_little_is_not_entered(tree: Any, tmp_path: Path, changed: dict[str, Any], problem: str) -> None:
    told = {"machine": "a GPU", "commit": "HEAD", "date": "2026-11-27", "figures": {"far": 7.5}} | changed
    (tmp_path / "gpu.json").write_text(json.dumps(told))
    with pytest.raises(FootageError, match=problem):
        tree().enter(tmp_path / "gpu.json")
    assert tree().notes == {}
