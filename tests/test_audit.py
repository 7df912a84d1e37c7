import base64
import html.parser
import io
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from footage.data.audit import Audit, sample_sheet
from footage.data.store import ClipRow, Dataset, DatasetInfo, Rejection, SourceRow, content_hash, save_tables

HOSTILE = "src/<script>alert(1)</script>&\"'[red]\u202egpj.mp4"
ADVICE = {"preset": "conv3d-64", "batch size": "16", "time": "25 <minutes>"}


@pytest.fixture
def dataset(tmp_path):
    frames = np.zeros((120, 24, 32, 3), np.uint8)
    rows = []
    for i in range(12):
        frames[i * 10 : i * 10 + 10] = 20 * i + 10
        label = "jump" if i == 0 else ("run" if i % 2 else "walk")
        split = "heldout" if i in (3, 4) else "train"
        rows.append(ClipRow(f"src/{i}.mp4", 0, 0.4, 10, label, None, split, "shard-00000.npy", i * 10, str(i)))
    np.save(tmp_path / "shard-00000.npy", frames)
    rejections = [Rejection(HOSTILE, "not a video", "its content is <b>text</b>")]
    rejections += [Rejection(f"src/short {i}.mp4", "too short", f"{i} frames", 0.0, 0.1) for i in range(8)]
    sources = [SourceRow(f"src/{i}.mp4", 1, 640, 480, 30.0, 0.4, "h264") for i in range(11)]
    sources.append(SourceRow("src/11.mp4", 1, 320, 240, 25.0, 0.4, "h264", 7, True, "invalid data", (0.2, 0.32)))
    info = DatasetInfo("my clips", 24, 32, 3, 25.0, ("jump", "run", "walk"), 12, content_hash(rows))
    save_tables(tmp_path, info, rows, rejections, sources)
    return Dataset(tmp_path)


def test_facts(dataset):
    facts = Audit(dataset, ADVICE)
    summary = dict(facts.summary)
    assert summary["clips"] == "12 from 12 of 12 sources"
    assert summary["length"] == "4.8 seconds; 120 frames"
    assert summary["for training"].startswith("10 clips") and summary["held out"].startswith("2 clips")
    assert summary["source sizes"] == "640×480 (11), 320×240 (1)" and summary["source fps"] == "30 (11), 25 (1)"
    assert facts.labels == [
        ("jump", 1, 0, "rare: add clips, or leave it out"),
        ("run", 5, 1, ""),
        ("walk", 4, 1, ""),
    ]
    rows = [replace(row, split="train") if row.label == "walk" else row for row in dataset.rows]
    told = {name: remark for name, _, _, remark in Audit(SimpleNamespace(rows=rows)).labels}
    assert told["walk"] == "none held out: add clips, or ingest with a larger --heldout" and not told["run"]
    rows = [replace(row, split="train") for row in rows]
    assert not any("held out" in remark for *_, remark in Audit(SimpleNamespace(rows=rows)).labels), "as was asked for"
    assert [(reason, len(group)) for reason, group in facts.rejected] == [("too short", 8), ("not a video", 1)]
    (fault,) = facts.faults
    assert fault[0] == "src/11.mp4" and "7 damaged" in fault[1] and "invalid data" in fault[1]
    assert facts.cuts == [("src/11.mp4", "2, at 0.20, 0.32 s")]
    assert facts.recommendation == list(ADVICE.items())


def test_from_how_many_clips_on_novelty_was_measured(dataset, monkeypatch):
    few = dict(Audit(dataset).summary)["copies"]
    assert few.startswith("likely: where models learned from few clips")
    assert "(with 8 5.5%, with 20 10.5%, from 24 on none)" in few
    monkeypatch.setattr("footage.data.audit.EXPECT_COPIES_BELOW", 10)
    assert dict(Audit(dataset).summary)["copies"].startswith("unlikely: models that had learned from 24, 54, 65")


@pytest.mark.parametrize(("width", "told"), [(32, False), (24, True)])
def test_pictures_that_were_cut_are_said_to_be(dataset, monkeypatch, width, told):
    """The sources are 4:3, and the frames 24 high."""
    info = replace(dataset.info, width=width, settings={"fit": "crop"})
    monkeypatch.setattr(dataset, "info", info)
    assert ("is cut off: --size auto" in dict(Audit(dataset).summary)["source sizes"]) == told


def test_terminal(dataset):
    console = Console(record=True, width=120, file=io.StringIO())
    console.print(Audit(dataset, ADVICE).text())
    text = console.export_text()
    for expected in (
        "12 from 12",
        "jump",
        "rare",
        "too short: 8",
        "and 3 more",
        "conv3d-64",
        "src/11.mp4: 2, at 0.20, 0.32 s",
        "[red]",
    ):
        assert expected in text


class Reader(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text, self.links = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for key, value in attrs if key in ("src", "href", "action", "srcset")]
        assert not [key for key, _ in attrs if key.startswith("on")]

    def handle_data(self, data):
        self.text.append(data)


def test_page_stands_alone_and_escapes_names(dataset, tmp_path):
    path = Audit(dataset, ADVICE).write(tmp_path / "audit.html")
    content = path.read_text("utf-8")
    reader = Reader()
    reader.feed(content)
    assert "script" not in reader.tags and "b" not in reader.tags
    assert [link.split(",")[0] for link in reader.links] == ["data:image/png;base64"]
    assert "http" not in content and "url(" not in content and "\u202e" not in content
    text = "".join(reader.text)
    assert "<script>alert(1)</script>&\"'[red]\\u202egpj.mp4" in text
    assert "its content is <b>text</b>" in text and "25 <minutes>" in text
    assert "2, at 0.20, 0.32 s" in text
    assert text.count("src/short") == 8 and "prefers-color-scheme: dark" in content
    image = base64.b64decode(re.search(r"base64,([^\"]+)", content)[1])
    assert Image.open(io.BytesIO(image)).size[0] > 100


def test_sheet_shows_the_clips_in_order(dataset):
    sheet = np.asarray(Image.open(io.BytesIO(sample_sheet(dataset, clips=4, moments=2))))
    levels = [int(sheet[4 + 100 * i + 50, 60, 0]) for i in range(4)]
    assert levels == [10, 70, 130, 190]


@pytest.mark.parametrize("channels", [1, 3])
def test_sheet_of_one_large_clip(tmp_path, channels):
    np.save(tmp_path / "shard-00000.npy", np.full((16, 300, 500, channels), 99, np.uint8))
    rows = [ClipRow("a.mp4", 0, 1, 16, None, None, "train", "shard-00000.npy", 0, "0")]
    save_tables(tmp_path, DatasetInfo("d", 300, 500, channels, 16.0, (), 1, "0"), rows, [])
    dataset = Dataset(tmp_path)
    image = Image.open(io.BytesIO(sample_sheet(dataset)))
    assert image.size == (5 * 132 + 4, 85) and image.getpixel((60, 40)) == (99, 99, 99)
    assert "Left out" not in Audit(dataset).write(tmp_path / "audit.html").read_text("utf-8")


def test_notes_of_sources_are_counted(dataset):
    one, two, *others = dataset.sources
    noted = [replace(one, notes=("interlaced", "10 bits")), replace(two, notes=("interlaced",)), *others]
    save_tables(dataset.folder, dataset.info, dataset.rows, [], noted)
    assert dict(Audit(Dataset(dataset.folder)).summary)["found in sources"] == "interlaced (2), 10 bits (1)"
