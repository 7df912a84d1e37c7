"""Models for other programs: graphs run by onnxruntime make what the model makes; a page runs one in a browser."""

from __future__ import annotations

import functools
import http.server
import json
import re
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from playwright.sync_api import expect

from footage.commands import main as cli
from footage.commands.generate import load
from footage.errors import ConfigError, ModelError
from footage.generation import export
from footage.generation.export import Export, ExportedGraph, export_onnx, export_web
from footage.generation.model import Model
from footage.models.base import Converts, Exports, Graph
from tests.models import save_tiny_model

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route

onnxruntime = pytest.importorskip("onnxruntime")
FAMILIES: dict[str, dict[str, object]] = {
    "mlp-32": {},
    "recurrent-32": {},
    "stream-64-shots": {"clip__height": 16, "clip__width": 16},
    "stream-256": {"clip__height": 64, "clip__width": 64},
    "vae-64": {},
    "vae-latent-64": {},
    "lens-8": {},
    "simvp-64": {"task__past": 4},
    "convlstm-64": {"task__past": 4},
    "svg-64": {"task__past": 4},
    "sprites-64": {"task__past": 4},
    "translate-64": {},
    "spade-64": {"task__source_channels": 1},
    "animate-64": {},
    "upscale-x2": {},
    "diffusion-32": {},
    "talk-64": {"clip__frames": 5, "clip__height": 16, "clip__width": 16},
}
"""Every kind of model, but those of `test_graphs_make_what_the_model_makes`."""
BESIDE_TRUTH = {"simvp-64", "lens-8", "vae-64", "upscale-x2", "translate-64", "convlstm-64"}
"""Those of them whose lower precisions are judged beside real clips."""
QUICK = "simvp-64"
"""One of them that is tried each time: its batch is free, a state goes through it, and a number is clamped twice."""


def exported(folder: Path, preset: str, **knobs: object) -> Export:
    save_tiny_model(folder / "model", preset=preset, **knobs)
    return export_onnx(load(folder / "model", "cpu"), folder / "onnx")


def session(folder: Path, graph: ExportedGraph) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(folder / graph.file), providers=["CPUExecutionProvider"])


def test_graphs_make_what_the_model_makes(tmp_path: Path) -> None:
    about = exported(tmp_path, "conv3d-32")
    (clips,) = about.graphs
    codes = load(tmp_path / "model", "cpu").sampler.sliders  # type: ignore[attr-defined]
    assert clips.inputs == {"z": (None, codes), "label": (None, 2)} and clips.difference <= export.PARITY
    assert b".py" not in (tmp_path / "onnx" / clips.file).read_bytes()  # no lines of source, with their paths
    assert json.loads((tmp_path / "onnx" / "export.json").read_text())["graphs"][0]["sha256"] == clips.sha256
    model = load(tmp_path / "model", "cpu")
    for count in (1, 5):  # without footage: names and shapes of export.json
        z, label = torch.randn(count, codes), torch.eye(2)[torch.arange(count) % 2]
        (made,) = session(tmp_path / "onnx", clips).run(None, {"z": z.numpy(), "label": label.numpy()})
        with torch.no_grad():
            wanted = model.sampler.generator({"z": z}, label).clips.clamp(-1, 1)  # type: ignore[attr-defined]
        assert np.abs(made - wanted.numpy()).max() <= 1e-4


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("web")
    save_tiny_model(folder / "model", preset="stream-32", clip__height=16, clip__width=16)
    export_web(load(folder / "model", "cpu"), folder / "web")
    yield folder


def test_a_stream_goes_on_with_its_state(page: Path) -> None:
    about = json.loads((page / "web" / "export.json").read_text())
    graphs = {graph["name"]: session(page / "web", ExportedGraph(**graph)) for graph in about["graphs"]}
    rng, processes = np.random.default_rng(0), json.loads((page / "web" / "model.json").read_text())["processes"]
    draw = lambda *shape: rng.standard_normal(shape, dtype=np.float32)  # noqa: E731
    moved = []
    state, angle = draw(processes, 2, 2), np.zeros(processes, np.float32)
    for _ in range(4000):
        motion, state, angle = graphs["move"].run(
            None, {"state": state, "angle": angle, "noise": draw(processes, 2, 2)}
        )
        moved.append(motion)
    rows = np.stack(moved)
    assert rows.shape == (4000, 2 * processes) and np.abs(angle).max() <= 2 * np.pi
    fast = rows[:, :2]  # the fastest process: stationary, of mean 0 and deviation 1
    assert abs(fast.mean()) < 0.2 and abs(fast.std() - 1) < 0.15
    label = np.array([[1, 0]], np.float32)
    style, canvas = graphs["paint"].run(
        None, {"content": draw(1, 64)[:, : about["graphs"][0]["inputs"]["content"][1]], "label": label}
    )
    frames = [
        graphs["animate"].run(None, {"style": style, "canvas": canvas, "motion": rows[a:b], "label": label})[0]
        for a, b in ((0, 7), (0, 3), (3, 7))
    ]
    np.testing.assert_allclose(frames[0], np.concatenate(frames[1:]), atol=1e-5)


def test_the_example_of_the_docs_makes_a_video(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[1] / "docs" / "exchange.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(import json\n.*?)```", text, re.DOTALL)
    assert "import onnxruntime" in example and "footage" not in example
    (tmp_path / "graphs").symlink_to(page / "web")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(example, names)
    pictures = np.stack(names["pictures"])  # type: ignore[call-overload]
    assert pictures.shape == (50, 16, 16, 3) and pictures.dtype == np.uint8
    assert np.abs(np.diff(pictures.astype(int), axis=0)).max() > 0, "nothing moves"


def test_what_others_keep_in_a_folder_is_not_written_over(page: Path, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds other files, and no export.*give a new folder"):
        export_web(load(page / "model", "cpu"), tmp_path)
    assert (tmp_path / "index.html").read_text() == "mine" and not (tmp_path / "model.json").exists()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(page: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(page / "web")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def test_the_page_shows_the_frames_that_python_makes(served: str, page: Path, browser: Browser) -> None:
    with browser.new_page() as tab:
        faults: list[str] = []
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.goto(f"{served}?check")
        tab.wait_for_selector("body[data-difference], body[data-fault]", timeout=120_000)
        assert not faults and int(tab.get_attribute("body", "data-difference") or 255) <= 2
        waiting: list[Route] = []
        tab.route("**/model.json", lambda route: waiting.append(route))
        with tab.expect_request("**/model.json"):
            tab.goto(served)
        expect(tab.locator("body")).to_have_text("loading the player", use_inner_text=True)  # no empty form meanwhile
        waiting[0].continue_()
        tab.wait_for_selector("body[data-frames]", timeout=120_000)
        expect(tab.locator("#seed")).to_be_visible()
        expect(tab.locator("footer")).to_be_visible()
        between = re.search(r"function between.*?\n}", (page / "web" / "player.js").read_text(), re.DOTALL)
        ends = "[[[3, 4], [3, 4]], [[1, 0], [0, 1]], [[1, 0], [1, 0.0001]]]"
        assert between is not None
        ways = tab.evaluate(
            f"() => {{ {between[0]} return {ends}.map(([a, b]) => Math.hypot(...between(a, b, 0.5))) }}"
        )
        assert ways == pytest.approx([5, 1, 1], abs=1e-6), "content on its way keeps its length"
        tab.select_option("#seed", "3")
        tab.fill("#motion", "7")
        seen = int(tab.get_attribute("body", "data-frames") or 0)
        tab.wait_for_function("seen => Number(document.body?.dataset.frames) > seen", arg=seen, timeout=120_000)
        expect(tab.locator("#said")).to_contain_text("frames a second")
        assert not faults


def test_a_precision_that_takes_more_than_1_db_is_refused(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(page / "model", "cpu")
    monkeypatch.setattr(export, "write_graph", lambda graph, path: shutil.copy(page / "web" / path.name, path))
    said: list[str] = []
    write = lambda folder, precision: export_onnx(model, tmp_path / folder, precision, said.append, None, ("frames",))  # noqa: E731
    with monkeypatch.context() as patched:
        patched.setattr(export, "rehearsed", lambda *_: pytest.fail("fp32 is not judged", pytrace=False))
        assert write("whole", "fp32").fall == 0
    about = write("onnx", "int8")
    before = {path.name: path.read_bytes() for path in (tmp_path / "onnx").iterdir()}
    assert about.fall <= 1 and about.beside == "model"
    assert before["move.onnx"] == (page / "web" / "move.onnx").read_bytes(), "small steps add up for ever"
    monkeypatch.setattr(export, "LEVELS", 1)  # weights of three levels
    monkeypatch.setattr(export, "STEPS", {"int8": ("int8 weights", "int8 some weights")})
    for folder in ("onnx", "new"):
        with pytest.raises(ModelError, match=r"int8 takes \d+\.\d dB .*, more than 1 dB: choose fp16 or fp32$"):
            write(folder, "int8")
    assert any(re.fullmatch(r"\w+: weights 1 of \d+ tried in int8", line) for line in said)
    assert {path.name: path.read_bytes() for path in (tmp_path / "onnx").iterdir()} == before
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("preset", "times"), [("upscale-x2", 1), ("vae-64", 1), ("translate-64", 2)])
def test_graphs_one_after_another_are_the_model(preset: str, times: int, tmp_path: Path) -> None:
    save_tiny_model(tmp_path, preset=preset)
    model = load(tmp_path, "cpu")
    sampler = model.sampler
    assert isinstance(sampler, Exports) and isinstance(sampler, Converts)
    judge = export.PrecisionJudge(model, sampler.graphs(), tmp_path)
    made = torch.cat([frames for frames, _ in judge.wanted], dim=2)
    truth = torch.cat([real for _, real in judge.wanted if real is not None], dim=2)
    torch.testing.assert_close(made, torch.cat(list(sampler.convert([sampler.sources(judge.clips)] * times, 0)), dim=2))
    assert torch.equal(truth, torch.cat([judge.clips] * times, dim=2)) and judge.clips.std() > 0.1


def test_the_fall_is_that_of_the_ratio() -> None:
    rng = torch.Generator().manual_seed(0)
    truth = torch.zeros(1, 1, 1, 100, 100)
    own, added = (torch.randn(truth.shape, generator=rng) * 0.1 for _ in range(2))
    wanted = [(truth + own, truth)]
    assert export.fall_of(wanted, [(truth + own + added / 2, truth)], True) == pytest.approx(
        10 * np.log10(1.25), abs=0.1
    )
    grey = (added / added.std()) * 2 * 2 / 255  # 2 grey levels
    assert export.fall_of(wanted, [(truth + own + grey, truth)], False) == pytest.approx(1, abs=0.01)
    assert export.fall_of(wanted, [(truth + np.nan, truth)], True) == np.inf


def test_what_cannot_be_exported_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_tiny_model(tmp_path / "model")
    given: dict[str, Any] = {"model": str(tmp_path / "model"), "onnx": tmp_path / "none", "quiet": True}
    with pytest.raises(ConfigError, match="guide is 'shapes': give --data too"):
        cli.verb(cli.VERBS["export"])(**given, precision="fp16", guide="shapes")
    with pytest.raises(ConfigError, match="data is 'shapes': give --precision too: fp32"):
        cli.verb(cli.VERBS["export"])(**given, data="shapes")
    with pytest.raises(
        ConfigError, match="nothing is given, and one is wanted: give one of --onnx FOLDER, --web FOLDER"
    ):
        cli.verb(cli.VERBS["export"])(str(tmp_path / "model"), quiet=True)
    model = load(tmp_path / "model", "cpu")
    with pytest.raises(ModelError, match="makes clips of one length"):
        export_web(model, tmp_path / "web")
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(model.sampler, "device", torch.device("meta"))
        with pytest.raises(ModelError, match="loaded for meta"):
            export_onnx(model, tmp_path / "other")
    monkeypatch.setattr(export, "PARITY", -1.0)
    with pytest.raises(ModelError, match="differs from the model"):
        export_onnx(model, tmp_path / "other")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ModelError, match=r"pip install 'footage\[onnx\]'"):
        export_onnx(model, tmp_path / "other")


def lowered(model: Model, folder: Path, precision: export.Precision, clips: torch.Tensor | None = None) -> Export:
    """Export again what `folder / "onnx"` has in fp32, without tracing."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(export, "write_graph", lambda graph, path: shutil.copy(folder / "onnx" / path.name, path))
        about = export_onnx(model, folder / precision, precision, clips=clips)
    assert about.fall <= 1 and about.precision == precision and about.beside == ("model" if clips is None else "truth")
    for graph in about.graphs:
        assert (folder / precision / graph.file).is_file()
    return about


@pytest.mark.parametrize(
    "preset", [QUICK, *(pytest.param(preset, marks=pytest.mark.nightly) for preset in FAMILIES if preset != QUICK)]
)
def test_every_kind_of_model_is_exported(preset: str, tmp_path: Path) -> None:
    about = exported(tmp_path, preset, **FAMILIES[preset])
    assert all(graph.difference <= export.PARITY for graph in about.graphs)
    model = load(tmp_path / "model", "cpu")
    clips = export.clips_of(model.info.config) if preset in BESIDE_TRUTH else None
    for precision in ("fp16",) if preset == QUICK else ("fp16", "int8"):
        lowered(model, tmp_path, precision, clips)


@pytest.mark.nightly
def test_recurrent_cells_in_half_precision(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "model", preset="svg-64", **FAMILIES["svg-64"])  # onnxruntime crashed on it
    about = export_onnx(load(tmp_path / "model", "cpu"), tmp_path / "onnx", "fp16")
    assert all(graph.difference < 0.01 and graph.psnr > 45 for graph in about.graphs)


@pytest.mark.nightly
def test_smaller_graphs(tmp_path: Path) -> None:
    about = exported(tmp_path, "stream-32", clip__height=16, clip__width=16, net__width=16)
    model, whole = (
        load(tmp_path / "model", "cpu"),
        sum((tmp_path / "onnx" / g.file).stat().st_size for g in about.graphs),
    )
    for precision in ("fp16", "int8"):
        small = lowered(model, tmp_path, precision)
        assert sum((tmp_path / precision / graph.file).stat().st_size for graph in small.graphs) < 0.75 * whole


def test_graphs_that_are_not_replaced_run_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What int8 costs is tried weight by weight, each in one of several graphs."""
    ran: list[str] = []

    class Session:
        def __init__(self, path: Path) -> None:
            self.path = path

        def run(self, outputs: object, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
            ran.append(self.path.stem)
            return [inputs["x"] + 1]

    monkeypatch.setattr(export, "start", Session)
    graphs = [
        Graph(name, "", torch.nn.Identity(), lambda x: x, {"x": torch.zeros(2)}, ("y",), {}) for name in ("a", "b")
    ]
    sessions = export.Sessions(tmp_path, graphs)
    one, two = torch.ones(2), torch.full((2,), 2.0)
    for numbers in (one, two, one):
        sessions("a", x=numbers)
    sessions("b", x=one)
    (other,) = sessions.replaced("b", tmp_path / "c.onnx")("b", x=one)
    (again,) = sessions.replaced("b", tmp_path / "c.onnx")("a", x=two)
    assert ran == ["a", "a", "b", "c"] and torch.equal(other, one + 1) and torch.equal(again, two + 1)
