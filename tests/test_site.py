"""The site of the documentation: its pages are all there, what they list is complete, nothing comes from elsewhere."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from footage.commands import main as cli
from footage.config.presets import PRESETS
from footage.training import diagnostics
from tests.studios import eventually

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def hooks() -> ModuleType:
    """Return what MkDocs is told by mkdocs.yml to call."""
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / ".ci" / "site.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MADE = {"reference/commands.md", "reference/messages.md", "reference/python.md"}
MADE |= {f"notebooks/{path.stem}.md" for path in (ROOT / "examples" / "notebooks").glob("*.ipynb")}
WRITTEN = {path.relative_to(DOCS).as_posix(): path for path in DOCS.rglob("*.md")}
TAKEN = {place: ROOT / home for home, place in hooks().TAKEN_IN.items()}


def test_every_page_is_in_the_navigation_once() -> None:
    listed = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    pages = re.findall(r": (\S+\.md)$", listed, re.M)
    assert sorted(pages) == sorted({*WRITTEN, *TAKEN, *MADE})


@pytest.mark.parametrize("place", sorted({**WRITTEN, **TAKEN}))
def test_links_lead_somewhere_in_the_site_too(place: str) -> None:
    page = {**WRITTEN, **TAKEN}[place]
    text = hooks().fit_links(page.read_text(encoding="utf-8"), page.relative_to(ROOT).as_posix(), place)
    links = re.findall(r'(?:\]\(|<img src=")(?!\w+:)([^)#\s"]+)', re.sub(r"```.*?```", "", text, flags=re.S))
    for link in links:
        aim = (DOCS / place).parent.joinpath(link).resolve().relative_to(DOCS).as_posix()
        assert aim in {*WRITTEN, *TAKEN, *MADE} or (DOCS / aim).is_file(), f"{place} links to {link}"


def test_what_belongs_to_an_entry_of_a_list_stays_there() -> None:
    page = "- a\n  b\n\n  | table |\n  |---|\n1. c\n   d\n\n    code\n```python\nif x:\n  y\n```\n"
    wanted = "- a\n    b\n\n    | table |\n    |---|\n1. c\n    d\n\n    code\n```python\nif x:\n  y\n```\n"
    assert hooks().fit_lists(page) == wanted


def shared(place: str) -> dict[str, list[str]]:
    """Return what a page and its translation have in common: headings, steps, commands, code, links to other pages."""
    page = {**WRITTEN, **TAKEN}[place]
    text = hooks().fit_links(page.read_text(encoding="utf-8"), page.relative_to(ROOT).as_posix(), place)
    blocks = re.findall(r"^```.*?^```", text, re.S | re.M)
    # Figures that the benchmarks put into English pages come and go by themselves.
    prose = re.sub(r"^```.*?^```|<!-- figure .*?<!-- end -->", "", text, flags=re.S | re.M)
    aims = [(DOCS / place).parent.joinpath(link).resolve() for link in re.findall(r"\]\((?!\w+:)([^)#\s]+\.md)", prose)]
    links = [aim.relative_to(DOCS).as_posix() for aim in aims]
    return {
        "headings": re.findall(r"^#+(?= )", prose, re.M),
        "steps": re.findall(r"^ *(?:\*\*\d\.|\d\.|-|\|)(?= )", prose, re.M),
        "commands": [re.sub(r"\s+#.*", "", line) for block in blocks for line in block.splitlines()],
        "code": sorted(re.findall(r"`[^`\n]+`", prose)),
        "links": sorted(link for link in links if link.removeprefix("zh/") != place.removeprefix("zh/")),
    }


@pytest.mark.parametrize("place", sorted(place for place in {**WRITTEN, **TAKEN} if place.startswith("zh/")))
def test_chinese_pages_follow_the_english_ones(place: str) -> None:
    english = shared(place.removeprefix("zh/"))
    translated = {link: f"zh/{link}" for link in english["links"] if f"zh/{link}" in {**WRITTEN, **TAKEN}}
    english["links"] = sorted(translated.get(link, link) for link in english["links"])
    assert shared(place) == english


def rows(page: str) -> dict[str, list[str]]:
    """Return the cells of every row of a page's tables, by the first one."""
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {first.strip("`"): others for first, *others in cells}


def test_every_preset_is_in_the_table_of_which_model_when() -> None:
    table = rows("which-model.md")
    assert {name: table.get(name, [""])[0] for name in PRESETS} == {name: PRESETS[name].about for name in PRESETS}
    assert all(table[name][1] for name in PRESETS)


def test_every_extra_is_told_in_installing() -> None:
    table = " ".join(rows("install.md"))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert {*extras} - {"dev"} == set(re.findall(r"[\w-]+", table)) - {"extra", "---"}


def test_every_sign_of_trouble_is_told_with_its_remedies() -> None:
    table = rows("troubleshooting.md")
    source = Path(diagnostics.__file__).read_text(encoding="utf-8")
    assert {*re.findall(r'Diagnostic\("([^"]+)"', source), "diverged"} == set(diagnostics.GAN_REMEDIES)
    for kind, remedy in diagnostics.GAN_REMEDIES.items():
        told = [cell.replace("`", "") for cell in table[kind][1:]]
        assert table[kind][0] and told == [remedy, diagnostics.SUPERVISED_REMEDIES[kind]], kind


def test_every_sign_of_trouble_has_a_section() -> None:
    text = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    sections = {part.partition("\n")[0]: part.split() for part in re.split(r"^#+ ", text, flags=re.M)}
    for kind in diagnostics.GAN_REMEDIES:
        assert len(sections[kind.capitalize()]) >= 30, kind


@pytest.mark.parametrize(
    ("tag", "elsewhere"),
    [
        ('<script src="https://cdn.example/x.js">', True),
        ('<link rel=stylesheet href="//fonts.example/css?family=Roboto">', True),
        ('<img alt="" src=http://pictures.example/a.png>', True),
        ('<script src="assets/x.js"></script><a href="https://c2pa.org">C2PA</a>', False),
        ('<link rel="stylesheet" href="../assets/main.css"><img src="pictures/hd.webp">', False),
    ],
)
def test_what_would_be_loaded_from_elsewhere_is_seen(tag: str, elsewhere: bool) -> None:
    assert bool(hooks().LOADED.search(tag)) == elsewhere


def plots() -> ModuleType:
    module: ModuleType = hooks().beside("plots")
    return module


def test_plots_show_what_the_code_says() -> None:
    refined = plots().refinement()
    path, gap = refined["path"], refined["block"] // 4
    drawn = [path[4 * (gap // 2 + gap * number)] - mean for number, mean in enumerate(refined["means"][2])]
    assert 0 < max(map(abs, drawn)) < 4 * refined["deviations"][2] < 4 * refined["deviations"][0]
    for length, (drawn, closed) in plots().loops().items():
        assert closed[0] == closed[-1] == drawn[0] != drawn[-1] and len(closed) == 4 * int(length) + 1
    wandering = plots().drifts()
    ways = [sum(abs(a - b) for a, b in pairwise(wandering[frames][0])) for frames in ("32", "128", "512")]
    assert ways == sorted(ways, reverse=True)


def test_plots_are_moved_by_the_keyboard(browser: Browser, tmp_path: Path) -> None:
    places = [f'<div class="plot" data-plot="{name}"></div>' for name in ("time", "refine", "loop", "drift")]
    page = (DOCS / "how-stream-works.md").read_text(encoding="utf-8")
    assert all(place in page for place in places)
    (tmp_path / "page.html").write_text(
        "<meta charset=utf-8>" + "\n".join([*places, plots().script()]), encoding="utf-8"
    )
    (tmp_path / "plots.js").write_bytes((DOCS / "plots.js").read_bytes())
    view = browser.new_page(viewport={"width": 400, "height": 800})
    wrong: list[str] = []
    view.on("pageerror", lambda error: wrong.append(str(error)))
    view.goto((tmp_path / "page.html").as_uri())
    for name, said in (
        ("time", "frame 21, 0.84 s"),
        ("refine", "9 frames known"),
        ("loop", "frame 52.00"),
        ("drift", "1.1"),
    ):
        plot = view.locator(f"[data-plot={name}]")
        before = plot.locator("svg").inner_html()
        plot.locator("input").press("ArrowRight")
        expect(plot.locator("output")).to_contain_text(said)
        eventually(view, lambda plot=plot, before=before: plot.locator("svg").inner_html() != before)
    assert wrong == [] and view.evaluate("document.documentElement.scrollWidth") <= 400
    view.close()


def test_built_strictly_with_every_command_and_name(tmp_path: Path) -> None:
    pytest.importorskip("mkdocstrings", reason="the extra docs is not installed")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    import footage

    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path), strict=True))
    commands = (tmp_path / "reference" / "commands.html").read_text(encoding="utf-8")
    names = {*cli.VERBS} - {*cli.GROUPS} | {f"{group} {name}" for group, verbs in cli.GROUPS.items() for name in verbs}
    assert names <= set(re.findall(r"<h2 id=[^>]*>([^<]*)<", commands))
    assert "--train.precision" in commands
    messages = (tmp_path / "reference" / "messages.html").read_text(encoding="utf-8")
    assert '<script type="application/json" id="plots">' in (tmp_path / "how-stream-works.html").read_text(
        encoding="utf-8"
    )
    assert messages.count("<tr>") > 1000 and "there is no preset" in messages
    python = (tmp_path / "reference" / "python.html").read_text(encoding="utf-8")
    assert {name for name in footage.__all__ if not re.search(rf'id="footage\.[\w.]*\b{name}"', python)} == set()
    assert "pictures/hd.webp" in (tmp_path / "index.html").read_text(encoding="utf-8")
    page = (tmp_path / "zh" / "tutorials" / "live-wall.html").read_text(encoding="utf-8")
    assert '<html lang="zh"' in page and '<a href="../../tutorials/live-wall.html" hreflang="en"' in page
    page = (tmp_path / "tutorials" / "live-wall.html").read_text(encoding="utf-8")
    assert '<html lang="en"' in page and '<a href="../zh/tutorials/live-wall.html" hreflang="zh"' in page
    page = (tmp_path / "models.html").read_text(encoding="utf-8")  # which is not translated
    assert '<a href="zh/index.html" hreflang="zh"' in page
