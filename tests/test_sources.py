import csv
import json
import os
import unicodedata

import pytest

from footage.data.ingest import sources
from footage.data.ingest.sources import ShownSize, scan, suited_size
from footage.data.store import SourceRow
from footage.errors import ConfigError, DatasetError
from footage.media.geometry import Size
from footage.media.probe import VideoInfo


def touch(root, *names, content=b"x"):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def test_finds_what_can_be_ingested(tmp_path):
    root = tmp_path / "my clips"
    touch(root, "b.MP4", "a.mkv", "walk/Ünï cödé 影.webm", "walk/deep/er/x.gif", ".hidden.mp4", ".git/y.mp4")
    touch(root, "readme.txt", "table.csv", "notes", "m/t10k-images-idx3-ubyte.gz", "m/t10k-labels-idx1-ubyte.gz")
    touch(root, "mnist_test_seq.npy", "seq/img10.png", "seq/img9.png", "seq/img2.png", "poster.jpg", "one/1.png")
    touch(root, "two/a_1.png", "two/a_2.png", "two/b_1.png", "two/b_2.png")
    found = scan([root])
    assert [(s.kind, s.name) for s in found.sources] == [
        ("video", "my clips/a.mkv"),
        ("video", "my clips/b.MP4"),
        ("array", "my clips/mnist_test_seq.npy"),
        ("idx", "my clips/m/t10k-images-idx3-ubyte.gz"),
        ("video", "my clips/walk/Ünï cödé 影.webm"),
        ("video", "my clips/walk/deep/er/x.gif"),
        ("pictures", "my clips/seq"),
        ("pictures", "my clips/two/a_#.png"),
        ("pictures", "my clips/two/b_#.png"),
    ]
    assert found.sources[6].pictures == ("img2.png", "img9.png", "img10.png")
    assert found.rejections == []
    assert found.ignored == {".txt": 1, ".csv": 1, "(no ending)": 1, ".jpg": 1, ".png": 1}


def test_labels_from_folders(tmp_path):
    touch(tmp_path, "src/run/a.mp4", "src/run/x/b.mp4", "src/c.mp4", "src/jump/f/1.png", "src/jump/f/2.png")
    touch(tmp_path, "src/f/1.png", "src/f/2.png", "alone.mp4")
    found = scan([tmp_path / "src", tmp_path / "alone.mp4"])
    labels = {s.name: s.label for s in found.sources}
    assert labels == {
        "src/c.mp4": None,
        "src/run/a.mp4": "run",
        "src/run/x/b.mp4": "run",
        "src/jump/f": "jump",
        "src/f": None,
        "alone.mp4": None,
    }
    assert all(s.label is None for s in scan([tmp_path / "src"], "none").sources)


def test_captions_beside(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4")
    (tmp_path / "a.txt").write_bytes("\ufeffa man\n  walks \xfc".encode())
    assert [s.caption for s in scan([tmp_path]).sources] == ["a man walks ü", None]


def test_same_names_stay_distinct(tmp_path):
    touch(tmp_path, "x/clips/a.mp4", "y/clips/a.mp4", "y/clips/b/a.mp4")
    found = scan([tmp_path / "x/clips", tmp_path / "y/clips", tmp_path / "x/clips/a.mp4"])
    names = [s.name for s in found.sources]
    assert len(names) == len(set(names)) == 3
    assert len({s.path for s in found.sources}) == 3
    assert {s.label for s in found.sources} == {None, "b"}


def test_links(tmp_path):
    touch(tmp_path, "src/a/x.mp4", "elsewhere/y.mp4")
    (tmp_path / "src/a/loop").symlink_to(tmp_path / "src")
    (tmp_path / "src/b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "src/z.mp4").symlink_to(tmp_path / "nothing.mp4")
    found = scan([tmp_path / "src"])
    assert [s.name for s in found.sources] == ["src/a/x.mp4", "src/b/y.mp4"]
    assert [(r.source, r.reason) for r in found.rejections] == [("src/z.mp4", "unreadable")]


def test_names_that_are_no_utf8(tmp_path):
    for name in (b"bad\xff.mp4", b"bad\xfe.mp4"):
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as handle:
            handle.write(b"x")
    names = [s.name for s in scan([tmp_path]).sources]
    assert len(set(names)) == 2
    json.dumps(names, ensure_ascii=False).encode("utf-8")


def test_unreadable_folder(tmp_path, monkeypatch):
    touch(tmp_path, "src/ok.mp4", "src/secret/x.mp4")
    real = os.scandir

    def refuse(path):
        if str(path).endswith("secret"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(sources.os, "scandir", refuse)
    found = scan([tmp_path / "src"])
    assert [s.name for s in found.sources] == ["src/ok.mp4"]
    assert [(r.source, r.reason, r.detail) for r in found.rejections] == [
        ("src/secret", "unreadable", "Permission denied")
    ]


def test_the_dataset_itself_and_others_are_left_out(tmp_path):
    touch(tmp_path, "src/a.mp4", "src/out/shard-00000.npy", "src/other/dataset.json", "src/other/clips.jsonl")
    touch(tmp_path, "src/other/shard-00000.npy")
    found = scan([tmp_path / "src"], leave_out=tmp_path / "src/out")
    assert [s.name for s in found.sources] == ["src/a.mp4"]
    assert [r.source for r in found.rejections] == ["src/other"]


def test_missing_input(tmp_path):
    with pytest.raises(DatasetError, match="does not exist"):
        scan([tmp_path / "nowhere"])


def table(path, rows):
    if path.suffix == ".csv":
        with open(path, "w", newline="", encoding="utf-8-sig") as handle:
            writer = csv.DictWriter(handle, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text(json.dumps(rows))
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.json"])
def test_labels_from_a_table(tmp_path, name):
    touch(tmp_path, "src/a/x.mp4", "src/b/x.mp4", "src/y.mp4", "src/z.mp4")
    rows = [
        {"file": "a/x.mp4", "label": "run", "caption": "runs, fast"},
        {"file": "src/b/x.mp4", "label": "walk", "caption": ""},
        {"file": "y.mp4", "label": "7", "caption": ""},
        {"file": "gone.mp4", "label": "run", "caption": ""},
    ]
    found = scan([tmp_path / "src"], table(tmp_path / name, rows))
    assert {s.name: (s.label, s.caption) for s in found.sources} == {
        "src/a/x.mp4": ("run", "runs, fast"),
        "src/b/x.mp4": ("walk", None),
        "src/y.mp4": ("7", None),
        "src/z.mp4": (None, None),
    }
    assert [(r.source, r.reason) for r in found.rejections] == [("gone.mp4", "not found")]


def test_table_as_an_object(tmp_path):
    touch(tmp_path, "src/x.mp4")
    (tmp_path / "t.json").write_text('{"x.mp4": 3}')
    assert scan([tmp_path / "src"], tmp_path / "t.json").sources[0].label == "3"
    (tmp_path / "t.json").write_text("[" * 100_000)
    with pytest.raises(ConfigError, match="is not JSON"):
        scan([tmp_path / "src"], tmp_path / "t.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file,label\nx.mp4,run\n", "fits 2 files"),
        ("name,label\nx.mp4,run\n", "names no file"),
        ("file,class\nx.mp4,run\n", "has no label"),
        ("file,label\nnope.mp4,run\n", "no row of"),
        ("file,label,caption\na/x.mp4,run,fast, very fast\n", r"has 4 cells, its first row 3: put quotes around"),
        ("file,label\na/x.mp4,caf\xe9\n", "neither UTF-8 nor UTF-16.*CSV UTF-8"),
        ("file,label\na/x.mp4,run\na/x.mp4,walk\n", "two different rows"),
        ("", "no rows"),
        ("\x00\xff", "names no file|cannot be read|no rows|has no label"),
    ],
)
def test_bad_tables(tmp_path, content, message):
    touch(tmp_path, "src/a/x.mp4", "src/b/x.mp4")
    (tmp_path / "t.csv").write_text(content, encoding="latin-1")
    with pytest.raises(ConfigError, match=message):
        scan([tmp_path / "src"], tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("shown", "limit", "size"),
    [
        ((640, 480), 1280, (640, 480)),
        ((640, 480), 512, (512, 384)),
        ((640, 480), 100, (64, 48)),  # the exact shape comes before a larger one
        ((768, 432), 1280, (768, 432)),
        ((1920, 1080), 1280, (1280, 720)),
        ((1920, 1080), 1920, (1904, 1072)),  # not 1920×1072, which cuts off .7%
        ((854, 480), 1280, (848, 480)),  # .6% is cut off
        ((1080, 1920), 1280, (720, 1280)),
        ((1440, 1080), 1280, (1024, 768)),
        ((2560, 1080), 1280, (1280, 544)),
        ((1000, 1000), 1280, (768, 768)),
        ((100, 30), 1280, (48, 16)),  # no size cuts off as little as 2%
        ((16, 16), 1280, (16, 16)),
    ],
)
def test_size_that_suits(shown, limit, size):
    made = suited_size([ShownSize(*shown, 3.0)], limit)
    assert (made.width, made.height) == size


def test_size_that_suits_most_of_the_time():
    wide, square, large = ShownSize(640, 360, 10), ShownSize(400, 400, 4.0), ShownSize(1280, 720, 60.0)
    assert suited_size([square, wide, square]) == Size(352, 624)
    assert suited_size([square, wide, square, square]) == Size(400, 400)  # 400×400 for 12 seconds
    assert suited_size([large, wide]) == Size(352, 624)  # nothing is enlarged
    assert suited_size([large, large, wide]) == Size(720, 1280)  # but for a tenth of the time
    assert suited_size([ShownSize(640, 480, None)] * 3 + [square]) == Size(400, 400)  # unknown is a second
    upright = [ShownSize(480, 640, 1.0)]
    assert suited_size([ShownSize(640, 480, 3.0), *upright]) == Size(480, 640)  # another shape does not make it smaller
    rows = [SourceRow("a", 1, 640, 480, 25.0, 2.0), SourceRow("b", 0), VideoInfo(640, 480)]
    assert suited_size(rows) == Size(480, 640)


def test_no_size_that_suits():
    with pytest.raises(ConfigError, match=r"no source tells its size: give width and height, such as --size 64x64"):
        suited_size([SourceRow("a", 1)])
    with pytest.raises(ConfigError, match=r"no size suits sources of 12×30 and sides of 1280: give"):
        suited_size([ShownSize(12, 30, 1.0)])
    with pytest.raises(ConfigError, match=r"no size suits sources of 640×480 and sides of 8: give"):
        suited_size([ShownSize(640, 480, 1.0)], 8)


SPOKEN = "file,label,caption\na.mp4,walk,slowly\ncafé.mp4,coffee,\n"


@pytest.mark.parametrize(
    "content",
    [
        SPOKEN.replace(",", "\t").encode(),
        SPOKEN.replace(",", ";").encode("utf-8-sig"),
        SPOKEN.replace(",", "|").encode(),
        ("sep=;\n" + SPOKEN.replace(",", ";")).encode(),
        ('"sep=,"\r\n' + SPOKEN.replace("\n", "\r\n")).encode("utf-16"),  # with a mark
        ("sep=\t\n" + SPOKEN.replace(",", "\t")).encode(),
        SPOKEN.replace(",", "\t").encode("utf-16-le"),  # without one
        SPOKEN.encode("utf-16-be"),
        SPOKEN.replace(",", ", ").encode(),
        SPOKEN.replace("file,label", '"File", "LABEL"').replace("a.mp4", '"a.mp4"').encode(),
        SPOKEN.replace("\n", "\n\n,,\n \n").encode(),
        SPOKEN.replace("\n", "\r").encode(),
        ("\n\n" + SPOKEN.replace("\n", ",,\n")).encode(),
        unicodedata.normalize("NFD", SPOKEN).encode(),
        SPOKEN.replace("a.mp4", "{folder}/a.mp4").replace("café", "C:\\old\\src\\café").encode(),
        SPOKEN.replace("a.mp4", "/data/of/another/src/a.mp4").replace("café", "src/café").encode(),
    ],
)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_tables_as_people_save_them(tmp_path, content, form):
    touch(tmp_path, "src/a.mp4", unicodedata.normalize(form, "src/café.mp4"))
    (tmp_path / "t.txt").write_bytes(content.replace(b"{folder}", os.fsencode(tmp_path / "src")))
    found = scan([tmp_path / "src"], tmp_path / "t.txt")
    assert [(s.label, s.caption) for s in found.sources] == [("walk", "slowly"), ("coffee", None)]
    assert found.rejections == []


def test_json_tables_in_any_case_and_line_by_line(tmp_path):
    touch(tmp_path, "src/a.mp4", "src/b.mp4")
    (tmp_path / "t.json").write_bytes('[{"File": "a.mp4", "LABEL": "walk"}]'.encode("utf-16"))
    (tmp_path / "t.jsonl").write_text('{"File": "a.mp4", "Label": "walk"}\n\n{"file": "b.mp4", "label": 2}\n')
    assert [s.label for s in scan([tmp_path / "src"], tmp_path / "t.json").sources] == ["walk", None]
    assert [s.label for s in scan([tmp_path / "src"], tmp_path / "t.jsonl").sources] == ["walk", "2"]


def test_paths_in_tables_are_exact_where_they_can_be(tmp_path, monkeypatch):
    touch(tmp_path, "src/a/x.mp4", "src/b/x.mp4")
    table(tmp_path / "src/b/t.csv", [{"file": "x.mp4", "label": "here"}])  # relative to the table
    assert [s.label for s in scan([tmp_path / "src"], tmp_path / "src/b/t.csv").sources] == [None, "here"]
    monkeypatch.chdir(tmp_path / "src")
    table(tmp_path / "t.csv", [{"file": "a/x.mp4", "label": "root"}, {"file": "./b/x.mp4", "label": "folder"}])
    assert [s.label for s in scan([tmp_path / "src"], tmp_path / "t.csv").sources] == ["root", "folder"]
    (tmp_path / "link").symlink_to(tmp_path / "src")  # another way to the same file
    table(tmp_path / "t.csv", [{"file": str(tmp_path / "link/b/x.mp4"), "label": "linked"}])
    assert [s.label for s in scan([tmp_path / "src"], tmp_path / "t.csv").sources] == [None, "linked"]
    # The end of an absolute path is no match by the file's name alone, which may be another file's.
    table(tmp_path / "t.csv", [{"file": "/old/c/x.mp4", "label": "gone"}, {"file": "/old/a/x.mp4", "label": "moved"}])
    found = scan([tmp_path / "src"], tmp_path / "t.csv")
    assert [s.label for s in found.sources] == ["moved", None]
    assert [r.source for r in found.rejections] == ["/old/c/x.mp4"]
