from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
import numpy as np
import pytest
from PIL import Image

from footage.pages import plots
from footage.pages.environment import LISTED, data_uri, environment, format_figure, printable
from footage.pages.plots import Plot, PlotSeries
from tests.clips import write
from tests.studios import eventually

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HOSTILE = "<script>\u202egpj.mp4\x1b\"'&"


def filled(text: str, **values: object) -> str:
    return environment().from_string(text).render(values)


def test_whatever_is_filled_in_is_escaped_control_characters_included() -> None:
    shown = filled('<a title="{{ name }}">{{ name }} {{ name ~ 1 }} {{ [name] | join }}</a>', name=HOSTILE)
    assert shown.count("&lt;script&gt;\\u202egpj.mp4\\u001b") == 4
    assert "<script" not in shown and "\u202e" not in shown and "\x1b" not in shown and shown.count('"') == 2
    made = filled("{% macro cell(x) %}<b>{{ x }}</b>{% endmacro %}{{ cell(name) }}{{ cell(cell(name)) }}", name=HOSTILE)
    assert made.count("<b>") == 3 and made.count("&lt;script&gt;\\u202e") == 2
    assert printable("×, ü, 汉 · plain") == "×, ü, 汉 · plain" and printable(3) == 3
    svg = plots.line_svg(Plot(HOSTILE, HOSTILE, [PlotSeries(HOSTILE, (0.0, 1.0), (0.0, 1.0))], unit=HOSTILE))
    assert "<script" not in svg and svg.count("\\u202e") == 5 and filled("{{ svg }}", svg=svg) == svg


def test_a_name_that_is_not_known_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        filled("{{ nothing }}")


def test_tables() -> None:
    table = '{% from "macros.html" import table %}{{ table(rows, heads) }}'
    shown = filled(table, heads=("name", "clips", ""), rows=[("a", 12000, "rare")])
    assert '<th class="number">clips</th>' in shown and '<td class="number">12,000</td>' in shown
    assert "<td>a</td>" in shown and '<td class="remark">rare</td>' in shown
    shown = filled(table, heads=(), rows=[("flip", False), ("sizes", (1, 2)), ("clips", 12000)])
    assert "<tr><th>flip</th><td>no</td></tr>" in shown and "<td>1, 2</td>" in shown and "<td>12000</td>" in shown
    shown = filled(table, heads=("n",), rows=[("x",)] * (LISTED + 1234))
    assert shown.count("<td>x</td>") == LISTED and "and 1,234 more, in the files beside this page" in shown


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0.0, "0"), (0.12345, "0.123"), (0.00025, "2.50e-04"), (12345.6, "12,346")]
)
def test_figures_have_three_digits(value: float | None, text: str) -> None:
    assert format_figure(value) == text


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (-3, 7, [-2, 0, 2, 4, 6]), (0.011, 0.0118, [0.011, 0.0112, 0.0114, 0.0116])],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    found = plots.ticks(low, high)
    assert found[: len(expected)] == pytest.approx(expected)
    assert all(low - 1e-9 <= value <= high + 1e-9 for value in found)


def test_plots_put_values_where_they_belong() -> None:
    line = PlotSeries("made", (0.0, 1.0, 2.0, 3.0), (0.0, 1.0, None, 4.0), "c0", "", (0, 0, None, 3), (1, 2, None, 5))
    drawn = plots.line_svg(Plot("a <label>", "x & y", [line], zero=True))
    assert "a &lt;label&gt;" in drawn and "x &amp; y" in drawn and "polygon" in drawn
    circles = [tuple(map(float, found)) for found in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', drawn)]
    assert len(circles) == 3 and circles[0][0] == plots.LEFT and circles[-1][0] == plots.WIDTH - plots.RIGHT
    steps = [circles[0][1] - y for _, y in circles[1:]]
    assert steps[0] > 0 and steps[1] == pytest.approx(4 * steps[0], abs=0.4)
    assert drawn.count("<polyline") == 1  # the gap parts what is left
    for values in ((), (None,), (2.0,), (1e12, 1e12)):
        shown = plots.line_svg(Plot("label", "x", [PlotSeries("made", tuple(map(float, range(len(values)))), values)]))
        assert "nan" not in shown and "inf" not in shown
    place = [float(x) for x in re.findall(r'cx="([\d.]+)"', plots.gauge_svg(0.5, (0.2, 0.9), 0.1, 1.0))]
    assert len(place) == 1 and 8 < place[0] < 292
    assert "nan" not in plots.gauge_svg(0.0, None, None, None)


def test_plots_of_nothing() -> None:
    for svg in (
        plots.line_svg(Plot("label", "", [])),
        plots.line_svg(Plot("label", "x", [PlotSeries("made", (1.0,), (1e17,))])),
        plots.bar_svg(Plot("label", "x", [PlotSeries("made", (), ())]), []),
    ):
        assert svg.startswith("<svg") and "nan" not in svg


def test_long_series_are_thinned_and_wild_values_run_off() -> None:
    line = PlotSeries("a_loss", tuple(map(float, range(5000))), (*(float(n % 2) for n in range(4999)), 1e9))
    thinned = line.thinned()
    assert len(thinned.x) == len(thinned.y) == 385 <= plots.MOST and thinned.x[0] == 6.0
    assert thinned.y[0] == pytest.approx(6 / 13) and line.thinned().thinned() == thinned
    drawn = plots.line_svg(Plot("a_loss", "", [thinned]), size=(640, 200), wild=False, marked=0)
    assert "<circle" not in drawn and 'viewBox="0 0 640 200"' in drawn and len(drawn) < 8_000
    heights = [float(point.split(",")[1]) for point in re.findall(r'<polyline points="([^"]+)"', drawn)[0].split()]
    assert min(heights) < plots.TOP and np.ptp(heights[:-1]) > 100  # the last value alone is off the plot


@pytest.mark.parametrize(
    ("value", "text"), [(0.05, "0.05"), (4000, "4,000"), (-25_000, "-25k"), (1.25e6, "1.25M"), (3e9, "3G")]
)
def test_numbers_beside_axes_are_short(value: float, text: str) -> None:
    assert plots.tick_label(value) == text


def test_pictures_of_plots(tmp_path: Path) -> None:
    line = PlotSeries("a loss", (0.0, 10.0, 100.0), (1.0, None, 2.0))
    plots.write_png(tmp_path / "curves.png", [Plot("one", "clips", [line, PlotSeries("empty", (), ())])] * 3)
    assert Image.open(tmp_path / "curves.png").size == (1210, 770)
    plots.write_png(tmp_path / "log.png", [Plot("", "clips", [line])], columns=1, inches=(4, 2), log=True)
    assert Image.open(tmp_path / "log.png").size == (440, 220)


def test_controls_cover_no_clip_until_it_is_pointed_at(tmp_path: Path, browser: Browser) -> None:
    clip = write(tmp_path / "clip.mp4", np.full((50, 96, 96, 3), 200, np.uint8)).read_bytes()
    body = '{% extends "base.html" %}{% block main %}<video loop muted controls width="200" src="{{ uri }}"></video>'
    (tmp_path / "page.html").write_text(filled(body + "{% endblock %}", uri=data_uri(clip, "video/mp4")))
    page = browser.new_page(viewport={"width": 400, "height": 300})
    page.goto((tmp_path / "page.html").as_uri())
    video = page.locator("video")
    page.wait_for_function("document.querySelector('video')?.readyState === 4")

    def spread() -> float:
        """How much the lower half differs from the clip's grey."""
        shown = np.asarray(Image.open(io.BytesIO(video.screenshot())).convert("L"))
        return float(np.ptp(shown[100:-10, 10:-10]))

    eventually(page, lambda: spread() < 20)
    video.hover()
    eventually(page, lambda: spread() > 50)
    video.click()
    page.wait_for_function("document.querySelector('video')?.paused === false")
    video.press(" ")
    page.wait_for_function("document.querySelector('video')?.paused")
    page.close()
