from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import av
import numpy as np
import pytest

import footage
from footage.commands import main as cli
from footage.commands import play
from footage.commands.terminal import make_console, print_block, print_json, print_marked
from footage.library.library import Library
from footage.media.encode import read_metadata
from footage.media.sheets import contact_sheet
from footage.models.card import PRETRAINED
from footage.studio.catalog import Catalog
from tests.libraries import filled, save_clip
from tests.models import save_tiny_model


def run(*words: str) -> int:
    try:
        cli.main(list(words))
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, footage.commands.main\n"
        "try: footage.commands.main.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'av', 'numpy', 'PIL', 'matplotlib', 'jinja2', 'lightning_fabric'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for verb in cli.VERBS:
        assert verb in done.stdout


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_command_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(verb, "--help") == 0
    said = capsys.readouterr().out
    assert verb in said and ("--json" in said or verb in cli.GROUPS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], 'did you mean "train"'),
        (["train", "shapes", "--preset", "conv3d-46"], '"conv3d-64"'),
        (["train", "shapes", "--preset=conv3d-46"], '"conv3d-64"'),
        (["train", "shapes", "--gan.lrr", "3"], "--gan.lr"),
        (["train", "shapes", "--gan.lr", "3"], "gan.lr is 3.0"),
        (["train", "shapes", "--method", "vae"], "give --preset vae-64 or --preset vae-gan-64"),
        (["train", "nowhere"], "footage ingest"),
        (["compare", "shapes", "--presets", "spade-64"], "give --guide DATASET, or leave spade-64 out"),
        (["generate", "nowhere", "--to", "x"], "no model.json"),
        (["generate", "stream-shape"], 'no model.json): did you mean "stream-shapes"'),
        (["frobnicate"], "known are audit"),
        (["--json"], '"--json" stands where a command is wanted: give one first; footage --help has all'),
        (["library", "--quiet"], "footage library --help has all"),
        (["ingest", "nowhere", "--to", "x"], "nowhere"),
        (["audit", "nowhere"], "does not exist"),
    ],
)
def test_mistakes_are_answered_in_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*words) == 2
    captured = capsys.readouterr()
    assert said in " ".join((captured.err + captured.out).split())
    assert "Traceback" not in captured.err


def test_the_overview_has_one_paragraph_for_each_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    said = capsys.readouterr().out
    assert "Make a data set from videos" in said and "not a medical device" not in said
    assert run("ingest", "--help") == 0
    assert "not a medical device" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out.startswith("footage 0.")


def test_preset_sets_the_defaults_and_flags_override_them(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--preset", "conv3d-32", "--gan.lr", "1e-4", "--train.batch-size", "2", "--net.width", "4", "--dry-run"]
    assert run("train", "shapes", *words, "--json") == 0
    config = json.loads(capsys.readouterr().out)["config"]
    assert config["clip"]["height"] == 32 and config["gan"]["lr"] == 1e-4 and config["net"]["width"] == 4


@pytest.mark.parametrize("kind", ["mp4", "webm", "gif", "png"])
def test_generate_writes_clips_sheet_and_metadata(kind: str, tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "m")
    words = ["--count", "3", "--frames", "10", "--fps", "25", "--label", "walk", "--seed", "7", "--format", kind]
    assert run("generate", str(tmp_path / "m"), "--to", str(tmp_path / "out"), *words) == 0
    ending = "" if kind == "png" else f".{kind}"
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == sorted([*(f"walk-{seed:06d}{ending}" for seed in (7, 8, 9)), "sheet.png"])
    assert read_metadata(tmp_path / "out" / f"walk-000008{ending}")["seed"] == 8


def test_labels_with_hostile_names_stay_in_the_folder(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "m", labels=("../../evil", "ok"))
    assert (
        run("generate", str(tmp_path / "m"), "--to", str(tmp_path / "out"), "--count", "1", "--label", "../../evil")
        == 0
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["_evil-000000.mp4", "sheet.png"]
    assert {path.name for path in tmp_path.iterdir()} == {"m", "out"}


@pytest.mark.parametrize("kind", ["png", "mp4"])
def test_labels_with_dots_and_brackets(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_tiny_model(tmp_path / "m", labels=("v1.0 [/b]", "ok"))
    words = ["--count", "1", "--label", "v1.0 [/b]", "--format", kind]
    assert run("generate", str(tmp_path / "m"), "--to", str(tmp_path / "out [hd]"), *words) == 0
    assert "out [hd]" in capsys.readouterr().out
    assert run("models", str(tmp_path)) == 0
    assert "v1.0 [/b]" in " ".join(capsys.readouterr().out.split())


def test_file_in_the_way_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_tiny_model(tmp_path / "m")
    (tmp_path / "file").write_text("precious")
    assert run("generate", str(tmp_path / "m"), "--to", str(tmp_path / "file")) == 2
    assert "error:" in capsys.readouterr().err and (tmp_path / "file").read_text() == "precious"


def test_models_lists_presets_models_and_refused_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    save_tiny_model(tmp_path / "good")
    save_tiny_model(tmp_path / "bad")
    (tmp_path / "bad" / "model.json").write_text("{}")
    assert run("models", str(tmp_path)) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "conv3d-64" in said and "walk, run" in said and "does not describe" in said


@pytest.mark.parametrize(
    "words", [["verify", "{clip}"], ["detect", "{clip}"], ["library", "list", "{library}"], ["models"]]
)
def test_names_are_whole_on_a_terminal_of_80_columns(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.chdir(tmp_path)
    clip = save_clip(tmp_path / f"3-{'0' * 40}.mp4", seed=1, model="my-data-stream-64")
    with Library(tmp_path / "library") as library:
        library.add(clip)
        library.update(1, title="three people who walk past each other on a bridge in the rain, seen from above")
    places = {"clip": clip.name, "library": "library"}
    run(*(word.format(**places) for word in words))
    said = capsys.readouterr().out
    names = {
        "library": ["my-data-stream-64", "bridge"],
        "models": ["stream-digits", "upscale-x4-fast", "conv3d-64-long"],
    }
    assert all(name in said for name in names.get(words[0], [clip.name]))
    assert "…" not in said and max(map(len, said.splitlines())) <= 80


def test_models_leaves_those_of_the_package_out_of_the_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("models", str(PRETRAINED.parent)) == 0
    said = capsys.readouterr().out
    assert (
        said.startswith("no models in") and said.index("stream-shapes") < said.index("conv3d-64")
    ) and "pretrained" not in said.partition("models that come with footage")[2]


def test_models_says_what_each_can_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    save_tiny_model(tmp_path / "one", preset="simvp-64", task__past=4)
    save_tiny_model(tmp_path / "two", preset="vae-64")
    assert run("models", str(tmp_path)) == 0
    said = capsys.readouterr().out
    said = said[said.index("models in") : said.index("models that come with footage")]
    assert "predict" in said and "reconstruct, interpolate, embed, generate" in said


def test_exports_are_no_damaged_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_tiny_model(tmp_path / "one")
    page = tmp_path / "page"  # as export_web leaves it
    page.mkdir()
    for name in ("export.json", "model.json"):
        (page / name).write_text('{"graphs": [], "name": "one"}')
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "model.json").write_text("{}")
    assert [path.name for path in footage.models(tmp_path, quiet=True)] == ["one", "other"]
    known = {entry.name: entry.damaged for entry in Catalog(tmp_path).models()}
    assert "page" not in known and known["other"] and not known["one"]
    assert run("generate", str(page), "--to", str(tmp_path / "clips")) == 2
    assert "is an export of a model" in capsys.readouterr().err


def test_sheet_shows_what_belongs_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    captions: list[str] = []

    def drawn(strips: list[np.ndarray], names: list[str]) -> np.ndarray:
        captions[:] = names
        assert {shown.shape[:3] for shown in strips} == {(8, 32, 32)}, "of old clips too, as large, frame by frame"
        return contact_sheet(strips, names)

    monkeypatch.setattr("footage.media.sheets.contact_sheet", drawn)
    for number in (0, 1):
        save_tiny_model(tmp_path / f"model{number}", labels=(), seed=number)

    def generated(model: int, *words: str) -> str:
        assert run("generate", str(tmp_path / f"model{model}"), "--to", str(tmp_path / "clips"), *words) == 0
        return " ".join(capsys.readouterr().out.split())

    assert "2 clips and sheet.png in" in generated(0, "--count", "2")
    said = generated(0, "--count", "1", "--seed", "7")
    assert "1 clip and sheet.png, which shows 2 made before too," in said and "warning" not in said
    assert captions == ["000000", "000001", "000007"]
    generated(0, "--count", "1", "--seed", "9", "--format", "png")
    assert "4 made before" in generated(0, "--count", "1", "--seed", "8", "--frames", "16")
    assert captions == ["000000", "000001", "000007", "000008", "000009"]
    said = generated(1, "--count", "1", "--seed", "2")
    assert "warning:" in said and "000000.mp4" in said and "not on sheet.png" in said, (
        "a clip of another model is named"
    )
    assert captions == ["000002"]


@pytest.mark.parametrize("format", ["mp4", "gif", "png"])
def test_generate_writes_over_no_other_clip(format: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def generated(*words: str) -> int:
        return run("generate", str(model), "--to", str(clips), "--format", format, *words)

    model, clips = tmp_path / "model", tmp_path / "clips"
    save_tiny_model(model, labels=())
    assert generated("--count", "1", "--seed", "1", "--frames", "16") == 0

    def content() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in sorted(clips.rglob("*.*")) if path.is_file()}

    before = content()
    capsys.readouterr()
    for words in (("--frames", "14"), ("--frames", "16", "--size", "16x16")):
        assert generated("--count", "2", *words) == 2
        assert "is another clip" in capsys.readouterr().err and content() == before, "nothing was made before it"
    assert generated("--count", "1", "--seed", "1", "--frames", "16") == 0
    assert content() == before, "the same clip is made again"


def test_demo_in_small(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(play, "LARGE_SECONDS", 0.1)
    assert run("demo", "--to", str(tmp_path / "demo"), "--minutes", "0.01") == 0
    said = capsys.readouterr().out
    assert "What to try next" in said
    made = {path.name for path in (tmp_path / "demo").iterdir()}
    (film,) = (tmp_path / "demo" / "hd").glob("*.mp4")
    assert 0 < said.index(str(film)) < said.index("moving shapes"), "the large clip is there before anything is trained"
    with av.open(str(film)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert np.shape(frames) == (3, 384, 512, 3) and np.std(frames) > 30
    assert made == {"hd", "first", "sheet.png", "curves.png", "clips", "run"}
    assert len(list((tmp_path / "demo" / "clips").glob("*.mp4"))) == 16


SIGNS = "— 4×4 … é影 “a” ─┬│ ⠋ ▀"


def test_terminals_that_do_not_know_a_sign_show_what_looks_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {}
    for encoding in ("ascii", "latin-1", "cp1252", "gbk", "utf-8"):
        written = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
        make_console().print(SIGNS + "\udce9")
        sys.stdout.flush()
        shown[encoding] = written.getvalue().decode(encoding).rstrip("\n")
    assert shown["ascii"] == r'- 4x4 ... \xe9\u5f71 "a" -+| * #' + r"\udce9"
    assert shown["latin-1"] == r'- 4×4 ... é\u5f71 "a" -+| * #' + r"\udce9"
    assert shown["cp1252"].startswith(r"— 4×4 … é\u5f71 “a” -+|")
    assert shown["gbk"].startswith("— 4×4 … é影 “a” ─┬│ *")
    assert shown["utf-8"] == SIGNS + r"\udce9", "half a character of a file's name is shown by its number"


def test_names_of_strangers_do_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    name = "x\x1b[1A\x1b[2K\x9b31m\x07trusted"
    console = make_console()
    print_block(console, f"{name}.mp4: changed", {"made from": name})
    print_marked(console, "warning:", name)
    print_json({"signer": name})
    told = capsys.readouterr().out
    assert told.count("x[1A[2K31mtrusted") == 3 and json.loads(told.splitlines()[-1]) == {"signer": name}
    assert not {character for character in told if unicodedata.category(character) == "Cc"} - {"\n"}


@pytest.mark.parametrize(
    "words",
    [
        *(["--help"], ["train", "--help"], ["models", "{tmp}"], ["models", "{tmp}/é×"], ["audit", "{tmp}/é×"]),
        *(
            ["evaluator", "list"],
            ["train", "shapes", "--preset", "mlp-32", "--dry-run"],
            ["ingest", "{tmp}", "--to", "é"],
        ),
        *(["library", "list", "{tmp}/library"], ["library", "show", "{tmp}/library", "1"]),
        *(["library", "album", "{tmp}/library", "×", "影"], ["library", "history", "{tmp}/library"]),
        *(["library", "similar", "{tmp}/library", "1"], ["library", "search", "{tmp}/library", "影×"]),
    ],
    ids=" ".join,
)
def test_every_verb_speaks_to_a_terminal_of_ascii(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if words[0] == "library":
        library = filled(tmp_path, 2)
        library.add(save_clip(tmp_path / "影 ×.mp4", 9, label="é"))
    if words[0] == "models":
        save_tiny_model(tmp_path / "é×")
    written = {name: io.BytesIO() for name in ("stdout", "stderr")}
    for name, pipe in written.items():
        monkeypatch.setattr(sys, name, io.TextIOWrapper(pipe, encoding="ascii", write_through=True))
    status = run(*(word.format(tmp=tmp_path) for word in words))
    said = b"".join(pipe.getvalue() for pipe in written.values()).decode("ascii")
    assert status in (0, 2) and said.strip() and "Traceback" not in said


@pytest.mark.parametrize(("verb", "goes_on"), [("models", False), ("ingest", True)])
def test_ctrl_c_is_answered_in_a_sentence(
    verb: str, goes_on: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def waits(folder: Path) -> None:
        """Wait for ever."""
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(200)

    monkeypatch.setattr(cli, "verb", lambda home: waits)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        assert run(verb, "x") == 130
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    said = " ".join(capsys.readouterr().err.split())
    assert said.startswith("stopped: what had been finished is kept")
    assert ("the same command again goes on from there" in said) == goes_on


@pytest.mark.parametrize("ending", ["time.sleep(900)", "atexit.register(time.sleep, 900); sys.exit(3)"])
def test_second_ctrl_c_ends_at_once(ending: str) -> None:
    """While something is cleared up, or when the work is done and the process is ending."""
    code = f"""
import atexit, os, signal, sys, threading, time
from footage.commands.terminal import stoppable
signal.signal(signal.SIGINT, signal.default_int_handler)
with stoppable(True):
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(900)
    finally:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        {ending}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert done.returncode == 130
    assert done.stderr.strip() == "stopped at once; what had been finished or saved before is kept"


def test_ctrl_c_that_python_would_drop_is_not_lost() -> None:
    code = """
import os, signal, time, weakref
from footage.commands.terminal import stoppable
signal.signal(signal.SIGINT, signal.default_int_handler)
class Thing: pass
def pressed(_): os.kill(os.getpid(), signal.SIGINT); time.sleep(90)
try:
    with stoppable(False):
        thing = Thing(); watched = weakref.ref(thing, pressed)
        del thing
        time.sleep(90)
except KeyboardInterrupt:
    print("caught")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=250)
    assert (done.stdout, done.stderr) == ("caught\n", "")


@pytest.mark.parametrize(("followed", "seconds", "status"), [("", 0.5, 0), ("1", 60, 130)])
def test_a_closed_input_ends_only_what_is_followed(followed: str, seconds: float, status: int) -> None:
    """Jobs of cron, CI and containers begin with a closed input."""
    code = f"import time; from footage.commands import main; main._run = lambda _: time.sleep({seconds}); main.main([])"
    environment = {**os.environ, "FOOTAGE_PROGRESS": "json", "FOOTAGE_FOLLOWED": followed}
    done = subprocess.run([sys.executable, "-c", code], env=environment, stdin=subprocess.DEVNULL, capture_output=True)
    assert done.returncode == status, done.stderr


def test_output_that_is_not_there_is_dropped() -> None:
    code = "import sys; sys.stdout = sys.stderr = None; from footage.commands.main import main; main(['audit', 'x'])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_output_on_a_full_disk_is_said() -> None:
    code = "from footage.commands.main import main; main(['models', 'nowhere'])"
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2 and done.stderr.startswith("error: the disk is full"), done.stderr
    assert "Traceback" not in done.stderr and "ignored" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["generate", "{tmp}/model", "--to", "{tmp}/clips"],
        ["sliders", "{tmp}/model", "--to", "{tmp}/s.png"],
        ["compact", "{tmp}/model", "--to", "{tmp}/half"],
        ["upscale", "upscale-x4", "{tmp}/a.mp4", "--to", "{tmp}/b.mp4"],
        ["ingest", "{tmp}/a.mp4", "--to", "{tmp}/data"],
        ["library", "add", "{tmp}/library", "{tmp}/a.mp4"],
        ["library", "export", "{tmp}/library", "1", "--to", "{tmp}/clips.zip"],
    ],
    ids=lambda words: " ".join(words[:2]).replace(" {tmp}/model", ""),
)
def test_read_only_disk_is_named(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save_tiny_model(tmp_path / "model", labels=())
    save_clip(tmp_path / "a.mp4")
    filled(tmp_path, 1).close()
    before = sorted(tmp_path.rglob("*"))

    def refused(path: object, *rest: object, **options: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    opened = open

    def reading(path: object, mode: str = "r", *rest: object, **options: object) -> object:
        ours = str(path).startswith(str(tmp_path)) and set(mode) & set("wax+")
        return refused(path) if ours else opened(path, mode, *rest, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "mkdir", refused)
    monkeypatch.setattr("builtins.open", reading)
    monkeypatch.setattr(io, "open", reading)
    assert run(*(word.format(tmp=tmp_path) for word in words)) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "error: " in said and ("read-only" in said or "Read-only file system" in said) and str(tmp_path) in said
    assert sorted(tmp_path.rglob("*")) == before


def test_a_reader_that_has_gone_ends_a_command_with_141() -> None:
    """`footage models | head -0`, with what is printed too long for the pipe to hold: rich would end it with 1."""
    code = "from footage.commands.main import main; main(['models', 'nowhere'])"
    read, write = os.pipe()
    os.close(read)
    with open(write, "w", encoding="utf-8") as pipe:
        done = subprocess.run([sys.executable, "-c", code], stdout=pipe, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (141, "")


ANSWERS = {
    "audit {data} --no-advise": 0,
    "compact {model} --to half": 0,
    "detect {clip}": 4,
    "erase nobody --from {data} --yes": 2,
    "evaluate {data} {data} --metrics motion --clips 2 --frames 4": 0,
    "evaluator list": 0,
    "export {data} --webdataset shards": 0,
    "film missing.json": 2,
    "generate {model} --to clips --count 1": 0,
    "generate missing --to clips": 2,
    "ingest {clip} --to data --no-advise --min-frames 4": 0,
    "interpolate {clip} --slow 2x --to slow.mp4": 0,
    "library add {library} {clip}": 0,
    "library album {library}": 0,
    "library duplicates {library}": 0,
    "library edit {library} 1 --title new": 0,
    "library effects {library} 1": 2,
    "library export {library} 1 --to clips.zip": 0,
    "library find {library} {clip}": 0,
    "library gc {library}": 0,
    "library history {library}": 0,
    "library list {library}": 0,
    "library list missing": 2,
    "library rate {library} 1 --stars 4": 0,
    "library redo {library}": 0,
    "library remove {library} 2": 0,
    "library render {library} 1": 0,
    "library restore {library} 2": 0,
    "library search {library} clip": 0,
    "library show {library} 1": 0,
    "library similar {library} 1": 0,
    "library tag {library} 1 --add new": 0,
    "library taste {library}": 0,
    "library undo {library}": 0,
    "library verify {library}": 0,
    "library view {library}": 0,
    "lock missing": 2,
    "models .": 0,
    "models missing": 0,
    "privacy missing {data}": 2,
    "react {clip} --to page.html": 2,
    "shots {clip} --method quick": 0,
    "sliders {model} --to sliders.png": 0,
    "template list": 0,
    "verify {clip}": None,
}
"""Commands with what they are given, and their exit status; None for one that depends on the machine."""
UNASKED = "demo plan train compare evaluator play predict translate talk upscale join summary highlights effects"
UNASKED += " completion doctor manual reconstruct embed push pull serve library detector unlock"
UNASKED_OF = "evaluator train, evaluator convert, library embed, library purge"
"""Those that take long, run until they are stopped, or are asked for JSON elsewhere."""


def test_every_command_prints_one_json_document_or_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_tiny_model(tmp_path / "model")
    filled(tmp_path, 2).close()
    places = {name: tmp_path / name for name in ("model", "data", "library")} | {"clip": tmp_path / "clip 0.mp4"}
    run("ingest", str(tmp_path), "--to", str(places["data"]), "--size", "16x16", "--min-frames", "4", "--no-advise")
    wrong = []
    for line, expected in ANSWERS.items():
        capsys.readouterr()
        words = [word.format(**places) for word in line.split()]
        status, said = run(*words, "--json"), capsys.readouterr()
        known = status == expected or (expected is None and status in (0, 1, 3, 4))
        try:
            alone = said.err.startswith("error: ") and not said.out if status == 2 else json.loads(said.out) is not ...
        except ValueError:
            alone = False
        if not (known and alone) or " object at 0x" in said.out:
            wrong.append((line, status, said.out[:300], said.err[-300:]))
    assert wrong == []


def test_commands_are_asked_for_json() -> None:
    asked = {" ".join(line.split()[: 2 if line.split()[0] in cli.GROUPS else 1]) for line in ANSWERS}
    grouped = {f"{group} {name}" for group, names in cli.GROUPS.items() for name in names}
    assert asked | {*UNASKED.split(), *UNASKED_OF.split(", ")} == {*cli.VERBS, *grouped}
