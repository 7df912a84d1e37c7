from __future__ import annotations

import base64
import html.parser
import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import footage
from footage.config import TrainConfig
from footage.errors import ConfigError, DatasetError, TrainingError
from footage.evaluation.protocols import PROTOCOLS
from footage.evaluation.report import content
from footage.evaluation.report.content import EvaluationReport, ReportedEvaluation, grid, write_samples
from footage.evaluation.report.page import goodness, meaning, poster, write_report
from footage.evaluation.results import (
    Curve,
    Evaluation,
    Figure,
    Floor,
    Interval,
    Line,
    Memorisation,
    NearestPair,
    Network,
    Side,
    Space,
    WorkStep,
    write,
)
from tests.models import save_tiny_model, tiny_config
from tests.test_train import QUICK

HOSTILE = "<script>alert(1)</script>&\"'\u202egpj.mp4"


def figure(name: str, value: float | None, **more: object) -> Figure:
    known = dict(
        metric="fvd",
        name=name,
        label="RFD-rand",
        value=value,
        better="lower",
        tier="C",
        networks=("random-0",),
        by_network=(0.5, 0.7),
        interval=Interval(0.4, 0.8, 0.95, "clips drawn anew"),
        floor=Floor(0.25, (100, 90)),
        clips=(128, 120),
        seeds=(7,),
        repeats=(0.6,),
    )
    return Figure(**{**known, **more})  # type: ignore[arg-type]


def evaluation(value: float = 0.6, name: str = "tiny", seen: int = 1000, **more: object) -> Evaluation:
    made = Side(name, "model", name, "d" * 64, "", 0, 128, 16, 64, 48, 3, 25.0, ("walk",), clips_seen=seen)
    real = Side("clips", "dataset", "my clips", "e" * 64, "heldout", 300, 120, 16, 64, 48, 3, 25.0, ("walk",), 4)
    ratios = tuple(np.linspace(0.3, 1.4, 101).tolist())
    space = Space("pixels", "D", (), 0.9, 0.4, 0.3, 0.11, 0.01, Interval(0.05, 0.2, 0.95, "x"), 3.0, ratios, ratios)
    pair = NearestPair("seed 3", 0, HOSTILE, 5, "pixels", 0.31, 2.5, "report-pairs/00.png")
    known = dict(
        made=made,
        real=real,
        protocol=PROTOCOLS["styleganv-fvd16"],
        seed=7,
        networks=(Network("random-0", "C", "abcdef0123456789", 192, "clip"),),
        floor="100 held-out windows against 90 of training",
        figures=(
            figure("frechet", value),
            figure("motion_ratio", 0.9, metric="motion", label="motion", better="one", tier="D", networks=()),
            figure("jump", 2.0, metric="motion", label="jump", better="real", tier="D", floor=None, real=1.5),
            figure("precision", 0.8, metric="prdc", label="precision", better="higher", interval=None),
            figure("flicker_ratio", None, metric="motion", label="flicker", better="one", note="stills"),
            figure("brand_new", 3.25, metric="unheard_of", label="brand new", note="what nobody has explained"),
        ),
        curves=(
            Curve(
                "motion",
                "autocorrelation",
                "Autocorrelation",
                "lag, s",
                "",
                (0.0, 0.1, 0.2),
                (Line("made", (1.0, None, 0.2)), Line("real", (1.0, 0.5, 0.1))),
                "D",
                (128, 120),
            ),
            Curve(
                "motion",
                "velocities",
                "Velocities",
                "speed",
                "share",
                (0.0, 0.1),
                (Line("made", (0.7, 0.3)), Line("real", (0.6, 0.4))),
                "D",
                (128, 120),
            ),
        ),
        memorisation=Memorisation("windows", 900, 1000, 60, 128, (space,), (pair,), (HOSTILE,)),
        warnings=(f"too few clips of {HOSTILE}",),
        work=(WorkStep("network random-0", 3.25),),
        device="cpu, 1 thread",
        made_by="footage test",
    )
    return Evaluation(**{**known, **more})  # type: ignore[arg-type]


class Page(html.parser.HTMLParser):
    """Collects the text of a page and all addresses; complains of tags that do not close in order."""

    EMPTY = ("meta", "br", "img")

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text, self.links, self.tags, self.open = "", [], [], list[str]()
        self.feed(path.read_text(encoding="utf-8"))
        assert not self.open or self.open == ["html"], self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for key, value in attributes if key in ("src", "href", "poster")]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        optional = {"p", "li", "td", "th", "tr"}
        while self.open and self.open[-1] != tag:
            left = self.open.pop()
            assert left in optional, f"</{tag}> closes <{left}>"
        assert self.open, f"</{tag}> without a beginning"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def page(tmp_path: Path) -> Page:
    (tmp_path / "report-pairs").mkdir()
    Image.new("RGB", (20, 10)).save(tmp_path / "report-pairs" / "00.png")
    clips = [np.full((8, 20, 30, 3), 20 * n, np.uint8) for n in range(5)]
    for side in ("made", "real"):
        write_samples(tmp_path / f"report-{side}.mp4", clips, 10.0)
    entry = ReportedEvaluation("tiny", evaluation(), "report-made.mp4", "report-real.mp4")
    return Page(write_report(tmp_path / "report.html", EvaluationReport("one", (entry,), "footage test")))


def test_everything_that_a_figure_needs_stands_beside_it(page: Page) -> None:
    for expected in (
        "RFD-rand",
        "0.6",
        "95% interval 0.4 to 0.8",
        "real against real 0.25 (100 : 90 windows)",
        "tier C",
        "random-0 abcdef01",
        "128 : 120 clips",
        "seed 7",
        "Lower is better.",
        "1 is best",
        "real clips 1.5",
        "no figure: stills",
        "what nobody has explained",
        "styleganv-fvd16",
        "Skorokhodov",
        "abcdef0123456789",
        "100 held-out windows against 90 of training",
        "1 near-copy, to be looked at or left out",
        "ratio 0.31 in pixels",
        "network random-0",
        "e" * 64,
    ):
        assert expected in page.text, expected
    assert re.search(r"FVD\b(?!16)", page.text.replace("styleganv-fvd16", "")) is None
    assert page.text.index("Before you believe") < page.text.index("Figures") < page.text.index("Protocol")


def test_the_page_needs_nothing_else_and_runs_nothing(page: Page, tmp_path: Path) -> None:
    assert page.links and all(link.startswith("data:") for link in page.links)
    assert "script" not in page.tags and "link" not in page.tags and "iframe" not in page.tags
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "http:" not in source and "https:" not in source and "\u202e" not in source
    assert "<script>alert(1)</script>" in page.text and "\\u202e" in page.text  # as text, in plain sight
    assert "prefers-color-scheme: dark" in source and 'name="viewport"' in source
    kinds = {link.split(";")[0] for link in page.links}
    assert kinds == {"data:video/mp4", "data:image/png"} and page.tags.count("video") == 2
    for link in page.links:
        content_of = base64.b64decode(link.split(",", 1)[1])
        if link.startswith("data:image/png"):
            Image.open(io.BytesIO(content_of)).verify()
        else:
            assert content_of[4:8] == b"ftyp"
    assert page.tags.count("svg") > 8


def test_report_json_is_the_report_and_figures_json_will_do(tmp_path: Path) -> None:
    report = EvaluationReport(
        "compared",
        (ReportedEvaluation("a", evaluation()), ReportedEvaluation("b", evaluation(0.4), "x.mp4")),
        "footage test",
    )
    write_report(tmp_path / "r.html", report)
    assert content.read(tmp_path / "r.json") == report
    write(tmp_path / "figures.json", evaluation())
    value = json.loads((tmp_path / "figures.json").read_text())
    floored = [row for row in value["figures"] if row["floor"] is not None]
    assert floored
    for row in floored:
        assert row["floor"]["windows"] == row["floor"]["clips"] == [100, 90]
        del row["floor"]["windows"]  # as older versions wrote it
    (tmp_path / "older.json").write_text(json.dumps(value))
    assert content.read(tmp_path / "older.json").main.evaluation == evaluation()
    assert content.read(tmp_path / "figures.json").main.evaluation == evaluation()
    (tmp_path / "bad.json").write_text('{"entries": 3}')
    for name in ("bad.json", "missing.json"):
        with pytest.raises(DatasetError, match="--report"):
            content.read(tmp_path / name)
    (tmp_path / "new.json").write_text('{"entries": [], "schema": 99}')
    with pytest.raises(DatasetError, match="upgrade"):
        content.read(tmp_path / "new.json")
    with pytest.raises(ConfigError):
        EvaluationReport("one", (), "footage test")


def test_a_comparison_marks_the_best_and_warns_of_what_cannot_be_compared(tmp_path: Path) -> None:
    other = evaluation(0.4, "other")
    entries = (ReportedEvaluation("one", evaluation()), ReportedEvaluation("two", other))
    path = write_report(tmp_path / "r.html", EvaluationReport("compared", entries, "footage test"))
    source = path.read_text(encoding="utf-8")
    row = re.search(r"<tr><td>RFD-rand.*?</tr>", source, re.DOTALL)
    assert row is not None and re.search(r'<td class="best">0\.4<', row.group()) and "<td>0.6<" in row.group()
    assert "are not comparable" not in source
    assert source.count("too few clips") == 1  # of both
    far = replace(other, real=replace(other.real, digest="f" * 64), made=replace(other.made, windows=64))
    source = write_report(
        tmp_path / "r.html", EvaluationReport("compared", (entries[0], ReportedEvaluation("far", far)), "t")
    ).read_text()
    assert "not comparable: different real clips, my clips eeeeeeee" in source and "clips 128 and 64" in source
    # A figure of another network is another figure, whatever it is called.
    net = replace(other, networks=(replace(other.networks[0], digest="0" * 64),))
    rows = content.common((entries[0], ReportedEvaluation("net", net)))
    frechet = [row for key, row in rows if key[0] == "frechet"]
    assert len(frechet) == 2 and all(None in row for row in frechet)


def test_curves_through_a_training(tmp_path: Path) -> None:
    entries = tuple(ReportedEvaluation(f"{n} clips", evaluation(1 / n, seen=n)) for n in (1000, 2000, 4000))
    page = Page(write_report(tmp_path / "r.html", EvaluationReport("training", entries, "footage test")))
    assert "Through the training" in page.text and "fresh samples" in page.text
    assert "made: 0.00025 at 4,000" in page.text.replace("2.50e-04", "0.00025")
    assert "Figures of the last model, 4000 clips" in page.text


def test_which_figure_is_better() -> None:
    good = goodness
    cases = {
        ("lower", 0.2, 0.3): True,
        ("higher", 0.2, 0.3): False,
        ("one", 1.2, 0.7): True,
        ("real", 1.6, 1.1): True,
    }
    for (better, a, b), first in cases.items():
        x, y = (good(figure("x", value, better=better, real=1.5)) for value in (a, b))
        assert x is not None and y is not None and (x < y) is first, better
    assert good(figure("x", None)) is None
    assert "several answers" in meaning(figure("best_psnr", 30.0, better="higher"))


def test_samples_are_small_even_and_apart(tmp_path: Path) -> None:
    clips = [np.full((6, 15, 21, 1), 10 * n, np.uint8) for n in range(1, 6)]
    shown = grid(clips)
    assert shown.shape[0] == 6 and shown.shape[1] % 2 == 0 and shown.shape[2] % 2 == 0
    assert shown[0, 0, 0, 0] == 10 and shown[0, -1, -1, 0] == 128  # the last places are empty
    write_samples(tmp_path / "clips.mp4", clips, 30.0)
    still = Image.open(io.BytesIO(poster(tmp_path / "clips.mp4")))
    assert still.size == (shown.shape[2], shown.shape[1])
    assert len(grid(clips[:1])) == 6


def test_the_verb_writes_reports(tmp_path: Path) -> None:
    for seed in (0, 1):
        save_tiny_model(tmp_path / f"m{seed}", seed=seed)
    common = dict(clips=8, resamples=2, metrics="fvd,motion,memorisation", cache=Path("none"), quiet=True)
    with pytest.raises(ConfigError, match='"prdc" cannot be measured here: give more clips'):  # 11 are needed
        footage.evaluate(tmp_path / "m0", "shapes", **{**common, "metrics": "prdc"})  # type: ignore[arg-type]
    report = tmp_path / "out" / "one.html"
    found = footage.evaluate(tmp_path / "m0", "shapes", report=report, **common)  # type: ignore[arg-type]
    page = Page(report)
    assert page.tags.count("video") == 2 and page.tags.count("img") > 0 and "RFD-rand" in page.text
    assert sorted(path.name for path in report.parent.iterdir()) == ["one-files", "one.html", "one.json"]
    assert content.read(report.with_suffix(".json")).main.evaluation == found
    both = tmp_path / "both" / "two.html"
    footage.evaluate(tmp_path / "m1", "shapes", compare=(str(report.with_suffix(".json")),), report=both, **common)  # type: ignore[arg-type]
    page = Page(both)
    assert "Side by side" in page.text and page.tags.count("video") == 3 and page.tags.count("img") > 1
    assert "are not comparable" not in page.text
    again = tmp_path / "three.html"
    footage.evaluate(both.with_suffix(".json"), report=again, quiet=True)
    assert Page(again).tags.count("video") == 3
    for wrong, words in (
        (dict(made=None), "nothing is given"),
        (dict(made=tmp_path / "m0"), "nothing to measure"),
        (dict(made=both.with_suffix(".json")), r'two.json" was measured before: give --report FILE.html'),
        (dict(made=both.with_suffix(".json"), real="shapes"), "was measured before"),
        (dict(made=tmp_path / "m0", real="shapes", report=tmp_path / "r.pdf"), "ends in .html"),
        (dict(made=tmp_path / "m0", real="shapes", all=True, compare=("x",)), "all is given"),
        (
            dict(made=tmp_path / "a.json", compare=("b.json",), report=tmp_path / "a.html"),
            "the report writes its own figures",
        ),
        (
            dict(made=tmp_path / "m0", real="shapes", report=tmp_path / "a.html", to=tmp_path / "a.json"),
            "its own figures",
        ),
    ):
        with pytest.raises(ConfigError, match=words):
            footage.evaluate(**wrong, quiet=True)  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match="is no run"):
        footage.evaluate(tmp_path / "m0", "shapes", all=True, quiet=True)


def test_every_model_of_a_run(tmp_path: Path) -> None:
    config = tiny_config(**QUICK, train__snapshot_clips=8)
    run = footage.train("shapes", config, out=tmp_path / "run", clips=20, quiet=True)
    found = footage.evaluate(run.path, "shapes", all=True, clips=8, resamples=2, metrics="motion", quiet=True)
    report = content.read(run.path / "report.json")
    assert [entry.evaluation.made.clips_seen for entry in report.entries] == [8, 16, 20]
    assert report.main.evaluation == found and report.kind == "training"
    page = Page(run.path / "report.html")
    assert "Through the training" in page.text and page.tags.count("video") == 4


def test_pages_need_no_torch() -> None:
    code = "import sys, footage.evaluation.report.page, footage.data.audit\n"
    code += "assert not {'torch', 'jinja2', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_run_keeps_no_snapshots_unless_it_is_asked_to() -> None:
    assert TrainConfig().snapshot_clips is None
