"""The studio's languages: in the Chinese one no text of any page is left in English."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import pytest
from starlette.testclient import TestClient

import footage
from footage import files
from footage.config import ClipConfig
from footage.config.presets import PRESETS, preset
from footage.config.registry import ARCHITECTURES
from footage.config.strict import field_texts
from footage.data.audit import Audit
from footage.library.additions import ClipDetails, Parent
from footage.library.library import Library
from footage.library.provenance import ModelCard
from footage.library.timelines import CHANGES, Timeline, TimelinePart
from footage.studio.app import application
from footage.studio.catalog import Catalog
from footage.studio.locales import LANGUAGES, Locale, read_locale, read_terms
from footage.studio.routes import pages
from footage.studio.security import Keys, Limits
from footage.studio.state import Studio
from footage.studio.training_form import knobs
from footage.studio.uploads import PromisedFile, SourceUploads
from footage.training.run_folder import DataNote, RunFolder, write_config
from tests.clips import moving, still, write
from tests.ingesting import ingest
from tests.libraries import save_clip
from tests.models import save_tiny_model
from tests.people import make_accounts, sign_in
from tests.streams import save_tiny_stream
from tests.studios import client_of
from tests.volumes import save_volumes, write_phantom

PACKAGE = Path(footage.__file__).parent
TEMPLATES, SCRIPTS = PACKAGE / "studio" / "templates", PACKAGE / "studio" / "static"
CHINESE = {"accept-language": "zh-CN", "accept": "text/html"}
ALLOWED = {
    *("footage", "CSV", "JSON", "OpenTimelineIO", "Premiere", "CMX", "otio", "VAE", "SHA", "Unicode", "KL"),
    *("HU", "kB", "MB", "GB", "GiB", "Del", "Ctrl", "Esc", "NTHWC"),
    *("VGAN", "DVD", "GAN", "MoCoGAN", "SimVP", "EDM", "ConvLSTM", "DDPAE", "SVG", "LP", "Net", "pix", "SPADE", "SAVP"),
    *("JPEG", "StyleGAN", "RMSprop", "WGAN", "GP", "GRU", "LSTM", "Adam", "Wasserstein", "Charbonnier", "Bengio"),
    *("Kingma", "Wang", "Ho", "Finn", "Shi", "Lotter", "Park", "Fréchet", "Fr", "chet"),
}
"""Latin words that a page in Chinese may show: product, formats, units, keys, axes to be typed; methods, and who found
them."""
NAMES = re.compile(
    r"\b[0-9a-f]{8,}\b|\bh264\b|\b(audit|report|comparison)?\.(mp4|gif|avi|md|html|png)\b|(model|config)\.json|\b(fps|4s|4x)\b"
    r"|stream-(shapes|digits|signs|64)( — (shapes|digits|signs-512))?|lens-8|upscale-x4(-fast)?"
    r"|kick:strength,chroma:content|spring-models|Final Cut( Pro)?|Media Source"
    r"|footage (train|models|library (list|verify|search|add|embed LIBRARY))|pip install \"footage\[timeline\]\""
    r"|patient-[0-9a-f]+-\d+|\bruns/|GET /api/models|/enter\b|--names NAME|--taste\b|--best 20|--sources|--accounts"
    r"|--preset stream-64|motion:0\.1:|\b(true|false|tie|none)\b|可选的有 [\w:, -]+"
)
"""Digests, codecs, file names; what is to be typed as it stands: commands, addresses, values; programs and models."""
SHOWN = ("title", "aria-label", "placeholder", "alt")
"""Attributes that people read or hear."""
HIDDEN = ("script", "style")


class ShownTexts(HTMLParser):
    """Collects what people read or hear of a page; texts in another language, marked as such, are left out."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._open: list[tuple[str, bool]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        foreign = tag != "html" and "lang" in values
        if not foreign:
            self.texts += [values[name] or "" for name in SHOWN if name in values]
            if tag == "input" and values.get("type") in ("button", "submit"):
                self.texts.append(values.get("value") or "")
        if tag not in ("meta", "link", "input", "img"):
            self._open.append((tag, foreign or tag in HIDDEN))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not any(hidden for _, hidden in self._open):
            self.texts.append(data)


def latin_words(text: str) -> list[str]:
    """Return the Latin words of a text that a Chinese reader should not meet; digests are none."""
    return [word for word in re.findall(r"[A-Za-z]{2,}", NAMES.sub("", text)) if word not in ALLOWED]


def english_in(page: str) -> list[str]:
    """Return the Latin words that a page shows."""
    parser = ShownTexts()
    parser.feed(page)
    return [f"{word}: {text.strip()}" for text in parser.texts for word in latin_words(text)]


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Everything that pages show, with names and texts of the user's that have no Latin letter in them."""
    folder = tmp_path_factory.mktemp("工作室")
    library = Library(folder / "素材")
    digest = "ab" * 32
    settings = {"loop": 2, "slow": 2.0, "seek": 1, "motion_seed": 3, "strength": 1.5, "truncation": 0.5, "drift": 2}
    settings |= {"to_seed": 5, "between": [1, 2], "to_label": "跑", "sliders": {"1": 2.0}, "size": [64, 64], "fps": 12}
    for number in range(6):
        path = write(folder / f"片段 {number}.mp4", moving(12, seed=number))
        library.add(path, ClipDetails(label="走", tags=("甲",), settings=settings if not number else {}))
    library.register(ModelCard(digest, "模型", str(folder), "预设", "数据", "cd" * 32, 12_000))
    first = library.get(1)
    parents = [Parent(first.digest, first.title, relation) for relation in ("source", "begin", "end")]
    library.add(save_clip(folder / "孩子.gif", 9), ClipDetails(parents=(*parents, Parent("ef" * 32, "别处", "source"))))
    library.add(write(folder / "原片.avi", moving(8, seed=11)), ClipDetails(title="原片", prompt="提示", source="来处"))
    library.add(write_phantom(folder / "体.nii.gz", model="模型", seed=3), ClipDetails(source="来处"))
    with library._database.write() as connection:
        connection.execute("UPDATE clips SET model = '模型', weights = ?, origin = 'generated', seed = 7", (digest,))
        connection.execute("UPDATE clips SET model = '另一', weights = NULL WHERE id = 2")
        connection.execute("UPDATE clips SET model = NULL, origin = 'imported' WHERE id IN (3, 4)")
        connection.execute("UPDATE clips SET missing = 1 WHERE id = 5")
        connection.execute("UPDATE clips SET codec = 'h264'")
    # every kind of step
    library.update(1, title="片段", notes="备注", prompt="提示", label="走", stars=3, verdict="keep", tags=["甲"])
    library.update(1, label=None)
    library.bulk([2, 3], {"stars": 4, "verdict": "reject"}, tag=["乙", "丙"], untag=["甲"])
    library.bulk([2], {"verdict": "undecided"})
    album = library.albums.create("相册").id
    library.albums.put(album, [1, 2])
    library.albums.order(album, [2, 1])
    library.albums.take(album, [2])
    library.albums.rename(album, "新名")
    library.albums.create("旧")
    library.albums.delete(library.albums.get("旧").id)
    library.views.save("视图", library_query(library))
    library.views.save("旧视图", library_query(library))
    library.views.delete("旧视图")
    for what in CHANGES:
        library.timelines.save("影片", Timeline((TimelinePart(clip=1, title=what),)), what)
    library.timelines.save("旧片", Timeline())
    library.timelines.delete("旧片")
    library.remove([6])
    library.remove([4])
    library.restore([4])
    # every kind and state of job
    jobs = library.jobs
    request = {"model": "模型", "seed": 3, "count": 2}
    for state in ("done", "failed", "cancelled"):
        job = jobs.submit("generate", request)
        jobs.claim("工人")
        result = {"clips": [1, 2]} if state == "done" else None
        error = 'there is no model "模型": see the list of models' if state == "failed" else None
        jobs.cancel(job.id) if state == "cancelled" else None
        jobs.finish(job.id, result, error=error)
    checked = jobs.submit("verify", {})
    jobs.claim("工人")
    jobs.finish(checked.id, {name: len(v) if isinstance(v, tuple) else v for name, v in vars(library.verify()).items()})
    jobs.submit("between", request)
    jobs.claim("工人")
    jobs.submit("generate", request)
    training = {"data": "数据", "device": "cpu", "clips": 9, "minutes": None, "knobs": {}}
    results = {"plan": {"plan": MEASURED}, "train": {"run": "runs/完成", "ended": "done", "seen": 9}}
    results |= {"evaluate": {"report": "report.html", "models": ["流"]}, "privacy": {"report": "privacy.html"}}
    results |= {"erase": {"erased": 3, "models": ["流 has seen it"]}}
    for kind, result in results.items():
        for error in (None, "the memory does not suffice for 7 clips"):
            job = jobs.submit(kind, training | {"run": "runs/完成", "title": "完成"})
            jobs.claim("工人", [kind])
            jobs.finish(job.id, None if error else result, error=error)
    for clip, how in ((1, "mark"), (2, "library"), (3, "classifier"), (5, "nothing")):
        jobs.submit("detect", {"clips": [clip], "title": "片段"})
        job = jobs.claim("工人", ["detect"])
        assert job is not None
        jobs.finish(job.id, {"how": how, "model": "流", "clip": 1, "false_alarm": 0.1})
    jobs.submit("detect", {"clips": [7], "title": "片段"})
    jobs.submit("plan", training | {"run": "runs/等待", "title": "等待"})
    for name in ("完成", "等待"):
        jobs.submit("train", training | {"run": f"runs/{name}", "title": name})
    for question in ("fidelity", "motion"):
        library.ratings.add("评比", question, 1, 2, "a", "评者")
        library.ratings.add("评比", question, 1, 3, "tie", "评者")
    # models, runs and reports
    models = folder / "模型"
    save_tiny_stream(models / "流", ("走", "跑"))
    save_tiny_model(models / "话", (), preset="talk-64", clip__frames=5, clip__height=16, clip__width=16)
    for name in ("话", "流"):
        card = json.loads((models / name / "model.json").read_text()) | {"dataset": "数据"}
        del card["digest"]
        (models / name / "model.json").write_text(json.dumps({**card, "digest": files.json_digest(card)}))
    for name, wrong in {"静": {"fps": 0}, "短": {"labels": ["走"]}, "假": {"made_by": "别人", "schema": 9}}.items():
        (models / name).mkdir()
        other = card | wrong
        (models / name / "model.json").write_text(json.dumps({**other, "digest": files.json_digest(other)}))
    save_run(models / "训练")
    save_run(models / "runs" / "完成")
    write_config(RunFolder(models / "runs" / "完成"), preset("stream-32"), DataNote("shapes", "数据", "", ()))
    values = {
        "state": "interrupted",
        "clips": 9000,
        "seconds": 90.0,
        "part": 0.5,
        "clips_per_second": 3.0,
        "device": "cpu",
    }
    values |= {"memory_gib": 1.0, "target_clips": 9, "target_minutes": None, "host": "机", "pid": 1, "began": 0.0}
    (models / "runs" / "完成" / "state").mkdir()
    (models / "runs" / "完成" / "state" / "status.json").write_text(json.dumps({**values, "written": 0.0}))
    (models / "比较").mkdir()
    (models / "比较" / "comparison.md").write_text("# 比较")
    (models / "比较" / "comparison.png").write_bytes(b"")
    save_dataset(models)
    save_volumes(models)
    (models / "audit.html").write_text("")
    (models / "report.html").symlink_to(models / "audit.html")
    made = Studio(library, Catalog(models), Keys())
    made.worker.close()
    yield made
    made.close()


def save_dataset(models: Path) -> None:
    """Make a data set with clips that were left out for all kinds of reasons, and with an upload that is not whole."""
    videos = models / "视频"
    write(videos / "走" / "一.mp4", moving(16, (32, 32)))
    write(videos / "跑" / "二.mp4", moving(16, (32, 32), seed=1))
    write(videos / "跑" / "三.mp4", moving(16, (32, 32)))
    write(videos / "跑" / "静.mp4", still(16, (32, 32)))
    write(videos / "跑" / "短.mp4", moving(4, (32, 32), seed=2))
    (videos / "坏.mp4").write_bytes(b"x" * 99)
    (videos / "空.mp4").write_bytes(b"")
    (videos / "字.数").write_text("")
    options: dict[str, Any] = {"height": 32, "width": 32, "min_frames": 8, "workers": 0}
    dataset = ingest([videos], models / "数据集", **options).dataset
    advice = {
        **{
            "command": "footage train",
            "preset": "stream-64: clips",
            "chosen": "stream-64, which suits frames of 32×32",
        },
        **{
            "usable clips": "2 of 2 training clips have 8 frames or more",
            "conditioned on": "nothing",
            "memory": "about 1.9 GiB",
        },
        "time": "about 1,107 minutes for 100,000 clips (1.5 clips/s measured here)",
    }
    Audit(dataset, advice).write(dataset.folder / "audit.html")
    uploads = SourceUploads(models / "uploads", Limits())
    uploads.begin("上传", [PromisedFile("一.mp4", 10, 0)])


MEASURED = {"preset": "stream-32", "clips_per_second": 3.0, "memory_gib": 1.0, "memory_free_gib": 2.0, "batch_size": 8}
"""What a training was measured to take."""


def library_query(library: Library) -> object:
    from footage.studio.schemas import ClipQueryForm

    return ClipQueryForm(text="片", tag=["甲"]).query()


def save_run(folder: Path) -> None:
    """Write a run with every figure that training logs, and with every sign that something goes wrong."""
    (folder / "samples").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"config": {"preset": "预设"}, "data": {"name": "数据"}}))
    (folder / "samples" / "00001.png").write_bytes(b"")
    (folder / "samples" / "00001.mp4").write_bytes(b"")
    names = "generator_loss loss cost kl clips_per_second memory_gib contrast_ratio motion_ratio diversity_ratio "
    names += "periodicity_excess sticking_excess"
    critic = ["loss", "real", "fake", "labels", "r1", "r2", "temporal", "gradient_penalty", "heldout_gap"]
    row = dict.fromkeys([*names.split(), *(f"甲_{name}" for name in critic)], 1.0)
    signs = {"motion_ratio": 0.1, "diversity_ratio": 0.1, "periodicity_excess": 0.9, "sticking_excess": 0.9}
    rows = [row | {"clips": 5_000}, row | signs | {"clips": 9_000}]
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")


ADDRESSES = (
    *("/", "/?bin=true", "/?album=1", "/?text=无", "/?sort=怪", "/?stars=1&min_stars=9", "/?metric=x", "/?tag=甲"),
    *(
        "/parts/clips",
        "/parts/clips?bin=true",
        "/parts/clips?bin=true&text=无",
        "/parts/facets",
        "/parts/facets?bin=true",
        "/parts/clips?sort=taste",
        "/parts/taste",
        "/parts/taste?clip=1",
        "/parts/signature?clip=1",
        *(f"/parts/origin?clip={clip}" for clip in (1, 2, 3, 5, 6, 7)),
    ),
    *(
        "/parts/cards?ids=1&ids=2&ids=3&ids=5",
        "/clip/1",
        "/clip/2",
        "/clip/3",
        "/clip/5",
        "/clip/6",
        "/clip/7",
        "/clip/8",
        "/clip/9",
        *("/data/volume?name=体", "/data/volume?name=体&number=9", "/data/audit?name=体", "/parts/more?clip=9"),
    ),
    *("/timeline", "/timeline?name=影片", "/parts/jobs?kind=film"),
    *("/clip/99", "/compare", "/compare?ids=1&ids=2&ids=7", "/duplicates", "/generate", "/generate?model=流&seed=3"),
    *(
        "/parts/jobs",
        "/parts/jobs?clip=1",
        "/parts/badge",
        "/parts/more?clip=1",
        "/parts/more?clip=3",
        "/activity",
        "/live",
        "/live?model=流",
        "/talk",
        "/talk?model=话&still=1",
        "/rate",
        "/rate/评比",
        "/rate/评比/results",
        "/rate/无/results",
    ),
    *(
        "/data",
        "/data?add=数据集",
        "/data/audit?name=数据集",
        "/data/audit?name=无",
        "/parts/erasure?name=数据集&source=视频/走/一.mp4",
        "/parts/erasure?name=数据集&source=无",
        "/parts/datasets",
        "/parts/folders",
    ),
    *("/parts/folders?path=片库", "/parts/folders?path=/"),
    *("/training", "/training/run?name=训练", "/parts/run?name=训练", "/training/run?name=无", "/reports"),
    *(
        "/parts/runs",
        "/training/new",
        "/training/new?data=digits-2",
        "/training/new?from=runs/完成",
        "/training/new?from=无",
    ),
    *("/parts/knobs?preset=stream-512", "/parts/knobs?preset=vae-gan-64", "/parts/knobs?preset=无"),
    *(
        "/training/run?name=runs/等待",
        "/training/run?name=runs/完成",
        "/parts/jobs?kind=plan",
        "/parts/plan?job=1",
        "/parts/run?name=runs/完成",
    ),
    *(
        "/parts/plan?job=7",
        "/parts/plan?job=8",
        "/parts/plan?job=13",
        "/models",
        "/evaluate",
        "/evaluate?made=流&real=shapes",
    ),
    *("/reports/view?name=比较/comparison.md", "/reports/view?name=./audit.html", "/reports/view?name=无", "/enter"),
    *("/nowhere", "/language/xx"),
)


def test_no_text_of_any_page_is_left_in_english(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: set[str] = set()
    pages.environment.cache_clear()
    loaded = jinja2.PackageLoader.get_source
    monkeypatch.setattr(
        jinja2.PackageLoader, "get_source", lambda self, env, name: rendered.add(name) or loaded(self, env, name)
    )
    folder = str(studio.library.folder.parent)  # the user's
    videos = quote(str(studio.catalog.folder / "视频"))
    client = TestClient(application(studio), base_url="http://127.0.0.1")
    left = {
        address: english_in(client.get(address.replace("片库", videos), headers=CHINESE).text.replace(folder, ""))
        for address in ADDRESSES
    }
    empty = Studio(Library(studio.library.folder.parent / "空"), Catalog(studio.library.folder.parent / "无"), Keys())
    empty.worker.close()
    nothing = TestClient(application(empty), base_url="http://127.0.0.1")
    for address in ADDRESSES:
        left[f"{address} of nothing"] = english_in(nothing.get(address, headers=CHINESE).text.replace(folder, ""))
    empty.close()
    shared = Studio(Library(studio.library.folder.parent / "共有"), studio.catalog, Keys())
    shared.worker.close()
    accounts = shared.keys.accounts = make_accounts(shared.library.folder)
    accounts.invite("look", "管理员")
    accounts.invite("rate", "管理员", accounts.all()[0].id)
    accounts.make_token(accounts.all()[0].id, "程序", "look")
    accounts.change(2, disabled=True)
    client = sign_in(application(shared), shared, "administer")
    client.post("/api/undo")
    for address in ("/account", "/people", "/log", "/join", "/join?name=甲", "/enter", "/"):
        page = client.get(address, headers=CHINESE).text
        for name in ("administer", "look", "rate", "make", "testclient"):
            page = page.replace(name, "名")
        left[f"{address} of accounts"] = english_in(page)
    looks = sign_in(application(shared), shared, "make")
    left["refused"] = english_in(looks.get("/people", headers=CHINESE).text.replace("make", "名"))
    shared.close()
    for address, words in left.items():
        assert not words, address
    assert rendered >= {path.name for path in TEMPLATES.glob("*.html")}, "a template was not rendered"


def test_a_planted_text_is_seen() -> None:
    assert english_in('<p title="Good morning">早上好</p>') and english_in("<p>早上 morning</p>")
    assert english_in('<html lang="zh-CN"><button aria-label="Close">×</button>')
    assert not english_in('<p>早上好 footage</p><script>const word = "text";</script><a lang="en">English</a>')


def test_no_branch_of_a_template_holds_a_text() -> None:
    for path in TEMPLATES.glob("*.html"):
        source = re.sub(r"\{% block body_class %\}.*?\{% endblock %\}", "", path.read_text())
        source = re.sub(r"(</?)\{\{.*?\}\}", r"\1div", source)
        source = re.sub(r"\{#.*?#\}|\{\{.*?\}\}|\{%.*?%\}", "", source, flags=re.DOTALL)
        assert not english_in(source), path.name


def test_no_script_holds_a_text() -> None:
    """Sentences, and words that are shown, come from the locale."""
    shown = re.compile(
        r"""(?:textContent\s*[=:]|placeholder\s*[=:]|\btitle\s*=|alt:|toast\(|ask\(|aria-label",)\s*["'`]([^"'`]+)"""
    )
    for path in SCRIPTS.glob("*.js"):
        if path.name == "htmx.min.js":
            continue
        code = re.sub(r"(?m)(^|\s)//.*$", "", path.read_text())
        literals = re.findall(r'"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\]|\\.)*)`', code)
        sentences = [
            text for pair in literals for text in pair if re.search(r"^[A-Z][a-z]+ [a-z]+|[a-z]{2,}[.!?] ?$", text)
        ]
        assert not sentences, f"{path.name}: {sentences}"
        literal = [text for text in shown.findall(code) if latin_words(re.sub(r"\$\{.*?\}", "", text))]
        assert not literal, f"{path.name}: {literal}"


def test_every_translation_fills_in_the_same() -> None:
    english, chinese = read_locale("en"), read_locale("zh-CN")
    assert not english.messages and not english.history
    filled = re.compile(r"\{(\w+)\}")
    for language in LANGUAGES[1:]:
        locale = read_locale(language)
        assert english.texts.keys() == locale.texts.keys()
        assert locale.messages.keys() == chinese.messages.keys() and locale.history.keys() == chinese.history.keys()
        pairs = [(text, locale.texts[name]) for name, text in english.texts.items()]
        for original, translation in (*pairs, *locale.messages.items(), *locale.history.items()):
            assert sorted(filled.findall(original)) == sorted(filled.findall(translation)), original


def test_one_thing_is_no_plural() -> None:
    """Texts of pages choose what fits the number; a message is translated with one thing as with several."""
    english, chinese = read_locale("en"), read_locale("zh-CN")
    assert [english("clips", n=n) for n in (0, 1, "1", "1,200", "…")] == [
        *("0 clips", "1 clip", "1 clip", "1,200 clips", "… clips")
    ]
    assert english("taste_learned", kept=1, rejected=2, pairs=1) == (
        "Learned from 1 kept clip, 2 rejected ones and 1 blind rating."
    )
    assert english("plan_usable", n="1", of="1") == "1 of 1 training clip is long enough"
    assert chinese("clips", n=1) == "1 个片段"
    several, one = "3 damaged frames or packets; 1 clip was kept", "1 damaged frame or packet; 2 clips were kept"
    assert [chinese.message(text) for text in (several, one)] == [
        *("3 帧或数据包损坏；保留了 1 个片段", "1 帧或数据包损坏；保留了 2 个片段")
    ]
    assert not any("[" in english(name) for name in english.texts), "a choice without a number before it"


def test_every_translation_is_chinese() -> None:
    chinese = read_locale("zh-CN")
    for part in (chinese.texts, chinese.messages, chinese.history):
        for name, translation in part.items():
            assert not latin_words(re.sub(r"\{\w+\}", "", translation)), name


CALLS = (
    "ConfigError",
    "MediaError",
    "ModelError",
    "UnusableMedia",
    "DatasetError",
    "Rejection",
    "_reject",
    "LibraryError",
    "TrainingError",
    "HTTPException",
    "refuse",
    "error_response",
)
REACHED = (
    *("data/ingest", "data/store.py", "data/synthetic.py", "data/jpeg.py"),
    *("studio", "library", "media/probe.py", "media/decode.py", "media/reader.py"),
    "media/volumes.py",
    *("models/requests.py", "models/reactions.py", "models/card.py", "models/checkpoint.py", "models/device.py"),
    *(
        "generation/model.py",
        "generation/clip.py",
        "generation/convert.py",
        "generation/novelty.py",
        "generation/rollout.py",
    ),
    *("config/__init__.py", "config/presets.py", "training/run_folder.py", "training/plan.py", "training/trainer.py"),
    *("generation/cutting/films.py", "generation/cutting/joins.py", "media/titles.py", "media/music.py"),
    *("training/cost.py", "evaluation/inputs.py", "evaluation/run.py", "evaluation/protocols.py"),
)
"""What a request to the studio goes through."""
LEFT_OUT = {
    "give an array uint8 (T, H, W, C) or (T, H, W), a tensor uint8 (T, C, H, W) or float (C, T, H, W) in "
    "[-1, 1], or pictures of PIL": "in Python alone",
    "frames of a clip are of different sizes": "likewise",
    "bring all to one size": "likewise",
    "classInd.txt": "the name of a file",
    "{}:{} cannot be served: {}": "on the command line, before there is a page",
    "give another --port": "likewise",
    "accounts need argon2-cffi": "likewise",
    "pip install 'footage[studio]'": "likewise",
    '{} is "{}", which is no file': "likewise, of a certificate",
    "give a file that there is": "likewise",
    'the key "{}" does not fit the certificate': "likewise",
    "give the key that it was made with": "likewise",
    '"{}" and "{}" are no certificate and key ({})': "likewise",
    "give both as PEM": "likewise",
    '"{}" or "{}" cannot be read ({})': "likewise",
    "see who owns it": "likewise",
    'the key "{}" is locked by a password': "likewise",
    "give one without": "likewise",
    '"{}": {}': "a fault of the disk, in the system's words",
    "give {}": "of a view's file that was edited by hand",
    "leave {} out, or train a model that streams with --preset stream-64": "known with it and with them",
    "{} {} asked for, and frames of {} are no function of time": "known with is and with are",
    "{}, and {}": "both are known by themselves",
    "{} {}: it {}": "the studio has refused the model before",
    "use footage {}": "likewise",
    "{} is {}": "likewise; the studio's form has refused it before",
    '{} is "{}"': "likewise",
}


def messages_of(path: Path) -> Iterator[str]:
    """Yield the errors that a module raises, as templates with {} for what is filled in."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in CALLS:
            for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str) and argument.value:
                    yield argument.value
                elif isinstance(argument, ast.JoinedStr | ast.Call):
                    parts = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
                    texts = ("".join(told(part, number) for part in parts) for number in ("{}", "1"))
                    yield from (text for text in texts if text != "{}")


def told(part: ast.expr, number: str) -> str:
    """Return what a part of a message says: itself, {} for what is filled in, or a number of what is counted."""
    if isinstance(part, ast.Constant):
        return str(part.value)
    value = part.value if isinstance(part, ast.FormattedValue) else part
    if isinstance(value, ast.Call) and getattr(value.func, "id", "") == "counted":
        names = [name.value for name in value.args[1:] if isinstance(name, ast.Constant)]
        if names:
            return f"{number} {names[0] if number == '1' else names[1] if len(names) > 1 else f'{names[0]}s'}"
    return "{}"


def test_every_error_has_a_translation() -> None:
    chinese = read_locale("zh-CN")
    paths = [
        path
        for name in REACHED
        for path in ([PACKAGE / name] if name.endswith(".py") else (PACKAGE / name).rglob("*.py"))
    ]
    messages = {message for path in paths for message in messages_of(path)} - LEFT_OUT.keys()
    assert len(messages) > 120
    unknown = {message for message in messages if latin_words(translated(chinese, message))}
    assert not unknown


def translated(locale: Locale, template: str) -> str:
    """Return the translation of a message with something filled in."""
    return locale.message(template.replace("{}", "7"))


def test_what_does_not_fit_is_said_in_chinese(studio: Studio) -> None:
    chinese = read_locale("zh-CN")
    client = client_of(studio)
    bad = [{"model": "x" * 201}, {"model": 1}, {}, {"model": "x", "count": 0}, {"model": "x", "count": "n"}]
    bad += [
        {"model": "x", "seed": 2**63},
        {"model": "x", "seconds": 0},
        {"model": "x", "seconds": 1e9},
        {"model": "x", "z": 1},
    ]
    bad += [
        {"model": "x", "tags": ["x"] * 51},
        {"model": "x", "tags": 1},
        {"model": "x", "sliders": 1},
        {"model": "x", "count": 1.5},
    ]
    bad += [{"model": "x", "motion": 3}, {"model": "x", "motion": {"drift": "x"}}]
    seen = set()
    for values in bad:
        for field in client.post("/api/jobs/generate", json=values).json().get("detail", []):
            seen.add(field["type"])
            assert not latin_words(chinese.message(field["msg"])), field
    assert len(seen) > 9


def test_problems_and_remedies_are_translated_together() -> None:
    chinese = read_locale("zh-CN")
    assert chinese.message('there is no view "a: b": did you mean "c" or "d"?') == "没有视图“a: b”：您是指“c”或“d”吗？"
    assert chinese.message("fps is 0: give at least 1: fetch it again") == "帧率为 0：请至少给出 1：请重新取得它"
    assert chinese.message("fps is 0: " * 50).startswith("帧率为 0")
    assert chinese.message("fps is 0: " * 5000).startswith("fps is 0")
    assert chinese.message("nobody has translated this: really") == "nobody has translated this: really"
    assert chinese.step("stars 4, verdict 'keep', tag 好") == "4 星，保留，加标签 好"
    assert (
        chinese.step("title 'stars 3, 好', stars 2, tags ['甲', '乙'], notes ''")
        == "标题 stars 3, 好，2 星，标签 甲, 乙，备注 "
    )
    assert chinese.step(f"title '{'长' * 39}, stars 2") == f"标题 {'长' * 39}，2 星", "a long value is cut off"
    assert chinese.step("done by, nobody") == "done by, nobody"
    assert (
        chinese.message('"好" cannot be read ([Errno 13] Permission denied): x')
        == "无法读取“好”（没有权限（错误 13））：x"
    )
    broken = "\"好\" cannot be read (JSONDecodeError: Expecting ',' delimiter: line 1 column 8 (char 7))"
    assert chinese.message(broken) == "无法读取“好”（不是有效的 JSON：缺少逗号（第 1 行第 8 列，第 7 个字符））"
    inside = '"好" was not taken in (not a video: Invalid data found when processing input: give a smaller one)'
    assert not latin_words(chinese.message(inside)), "problem and remedy of a reason too"
    assert chinese.message("an unforeseen fault: RuntimeError: 坏") == "意外的错误：RuntimeError: 坏"
    assert read_locale("en").message("there is no clip 3: see: x") == "there is no clip 3: see: x"
    assert read_locale("en").step("tag good") == "tag good"


def test_every_knob_and_preset_is_said_in_chinese() -> None:
    """What configurations say of themselves has a file of its own, in which nothing is left over."""
    terms = read_terms("zh-CN")
    told = {entry.about for entry in (PRESETS[name] for name in PRESETS)}
    told |= {knob.help for name in PRESETS for knob in knobs(PRESETS[name].config) if knob.help}
    assert told <= terms.keys(), told - terms.keys()
    known = set(told)
    for kind in (ARCHITECTURES[name] for name in ARCHITECTURES):
        known |= set(field_texts(kind).values())
    assert terms.keys() <= known | set(field_texts(ClipConfig).values()), "a text that nothing has any longer"
    assert read_locale("zh-CN").knob("unheard of") == ("unheard of", "en")
