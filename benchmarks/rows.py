"""The rows of docs/benchmarks.md, each with the script that measures it and the code that it follows from.

`make bench` measures them (benchmarks/bench.py). Name as little code as will do: a row is gone once what it names does
something else, and one that names half the house lives for a day.
"""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

UNWRITTEN = ("", "ratio", "share", "count")
"""Units that are not written behind a value."""


@dataclass(frozen=True)
class Row:
    """A figure of the page."""

    name: str
    what: str
    command: str
    """A script with its arguments. The last line that it prints is a JSON object: figures, each a number or a list of
    numbers, one for each round. Empty where the row is entered."""
    figure: str
    """Its key there."""
    files: tuple[str, ...]
    """What the figure follows from: paths, with `*` for any characters, `/` too; or PATH::NAME, PATH::CLASS.METHOD for
    a part of a file, with all that it uses of that file. The script is always among them."""
    goal: str = ""
    """Such as `<= 1.05`; a figure without is for information."""
    unit: str = "ratio"
    digits: int = 2
    """Decimals; of a share, of its percentage."""
    idle: bool = False
    """Whether the machine has to do nothing else, as for speeds; ratios of what runs in turn are forgiving."""

    @property
    def sources(self) -> tuple[str, ...]:
        """All that the figure follows from."""
        script = tuple(word for word in shlex.split(self.command)[:1])
        return (*script, *self.files)

    def number(self, value: float) -> str:
        """Return a value without its unit."""
        return f"{100 * value:,.{self.digits}f}%" if self.unit == "share" else f"{value:,.{self.digits}f}"

    def written(self, values: Sequence[float], spread: bool = True) -> str:
        """Return the median as it is shown, with the smallest and the largest value."""
        said = [self.number(value) for value in (statistics.median(values), min(values), max(values))]
        unit = "" if self.unit in UNWRITTEN else f" {self.unit}"
        return f"{said[0]}{unit}" + (f" ({said[1]} to {said[2]})" if spread and said[1] != said[2] else "")

    def wanted(self, values: Sequence[float]) -> str:
        """Return the goal as it is shown, and whether the median misses it."""
        if not self.goal:
            return ""
        sign, limit = self.goal.split()
        value, most = statistics.median(values), float(limit)
        met = {"<=": value <= most, ">=": value >= most, "<": value < most, ">": value > most}[sign]
        shown = f"{100 * most:g}%" if self.unit == "share" else f"{most:,g}"
        return f"{sign.replace('<=', '≤').replace('>=', '≥')} {shown}" + ("" if met else ", **missed**")


SRC = "src/footage"
STREAM = (f"{SRC}/models/generators/stream/*.py",)
"""What makes frames of a `stream`."""
SHAPES = f"{SRC}/pretrained/stream-shapes/*.safetensors"
ROLLOUT = (f"{SRC}/generation/rollout.py::stream", f"{SRC}/generation/rollout.py::render")
"""What makes a video in chunks."""
WRITING = (f"{SRC}/media/encode.py::write_clip", f"{SRC}/media/encode.py::StreamEncoder")
CONVERTING = (f"{SRC}/generation/convert.py::convert", f"{SRC}/generation/convert.py::read_window", *WRITING)
"""What continues, translates and packs a clip, in chunks."""
LOOP = (
    *(f"{SRC}/training/trainer.py::Trainer.{name}" for name in ("run", "batch", "step", "save")),
    *(f"{SRC}/data/clips.py::Loader", f"{SRC}/data/clips.py::DatasetClips", f"{SRC}/data/store.py::Dataset.read"),
)
"""The training loop, and how clips come into it."""
MARK = (f"{SRC}/trust/mark.py", f"{SRC}/trust/mark.safetensors")
FINGERPRINTS = (f"{SRC}/media/fingerprints.py",)
SOUND = (f"{SRC}/media/sound_features.py",)
CUTTING = f"{SRC}/generation/cutting"

LOOP_SCRIPT = "benchmarks/loop.py 1"
CLIPS_SCRIPT = "benchmarks/clips.py --rounds 1"
GENERATE_SCRIPT = "benchmarks/generate.py"
STREAM_SCRIPT = "benchmarks/stream.py stream-shapes shapes --only promises"
SHAPES_SCRIPT = "benchmarks/shapes.py shapes stream-shapes"
EVALUATE_SCRIPT = "benchmarks/evaluate.py --metrics fvd"
LOCKS_SCRIPT = "benchmarks/locks.py --clips 160 --rounds 5"
MARK_SCRIPT = "benchmarks/mark.py --clips 6 --sizes 64x64"
SIGNING_SCRIPT = "benchmarks/signing.py --clips 4"
RHYTHM_SCRIPT = "benchmarks/rhythm.py --tracks"
FINGERPRINT_SCRIPT = "benchmarks/fingerprint.py --clips 100 --copies 20 --drawn 0"

ROWS = (
    Row(
        "store", "reading training clips from the store : decoding them from source files (GOP 250), clips a second",
        "benchmarks/store.py --files 4 --clips 100", "ratio",
        (f"{SRC}/data/store.py::Dataset.read", f"{SRC}/data/store.py::Dataset._window"), ">= 50", digits=0,
    ),
    Row(
        "ingest-two", "ingest of 48 videos of 640×360, two processes : one, frames a second",
        "benchmarks/ingest.py --minutes 0", "ratio",
        (f"{SRC}/data/ingest/pipeline.py", f"{SRC}/data/ingest/workers.py"), ">= 1.6", idle=True,
    ),
    Row(
        "ingest-memory", "ingest of 10 minutes of 1080p, peak memory of all processes together",
        "benchmarks/ingest.py --rounds 0", "together",
        (f"{SRC}/data/ingest/intake.py", f"{SRC}/data/ingest/shards.py", f"{SRC}/data/ingest/workers.py"),
        "< 1000", "MB", 0,
    ),
    Row(
        "duplicates", "near-duplicates of 20,000 vectors: all with all : what footage compares, time, worst of six",
        "benchmarks/duplicates.py --clips 20000", "least", (f"{SRC}/library/similarity.py::have_neighbour",), ">= 1",
        digits=1,
    ),
    Row("loop-data", "a training of `conv3d-32` waits for its data, part of the time", LOOP_SCRIPT, "data", LOOP,
        "< 0.02", "share", idle=True),
    Row("loop-outside", "the loop outside forward, backward and optimiser, `conv3d-32`, part of the time", LOOP_SCRIPT,
        "outside", LOOP, "< 0.03", "share", idle=True),
    Row("help", "`footage --help`", LOOP_SCRIPT, "help", (f"{SRC}/commands/main.py", f"{SRC}/__init__.py"), "< 0.5",
        "s", idle=True),
    Row(
        "step", "a training step of `mocogan-64`, batches of 3 : its bare convolutions",
        "benchmarks/step.py --threads 1", "ratio",
        (f"{SRC}/models/adversarial/gan.py", f"{SRC}/models/adversarial/critics.py::Critics.update",
         f"{SRC}/models/adversarial/critic_loss.py::CriticLoss", f"{SRC}/models/generators/recurrent/network.py",
         *(f"{SRC}/models/adversarial/{name}.py" for name in ("discriminators", "losses", "penalties"))),
        "<= 1.35",
    ),
    Row("generate-clips", "generating mp4s of 16 frames, 10,000 : 100 frames in all, peak memory", GENERATE_SCRIPT,
        "many clips of 16 frames, mp4", (*ROLLOUT, *WRITING), "<= 1.05", digits=3),
    Row("generate-long", "generating one mp4 of 10,000 frames : of 100, peak memory", GENERATE_SCRIPT,
        "one long clip, mp4", (*ROLLOUT, *WRITING),
        "<= 1.05", digits=3),
    Row("generate-gif", "generating one GIF of 10,000 frames : of 100, peak memory", GENERATE_SCRIPT,
        "one long clip, gif",
        (*ROLLOUT, f"{SRC}/media/encode.py::write_clip", f"{SRC}/media/encode.py::GifEncoder"), "<= 1.05", digits=3),
    Row("stream-memory", "`stream-shapes`, 100,000 frames : 100 frames, peak memory", STREAM_SCRIPT, "memory",
        (*STREAM, *ROLLOUT), "<= 1.02", digits=3),
    Row("stream-seams", "`stream-shapes`, streamed or sought against at once, largest difference, part of the range",
        STREAM_SCRIPT, "seams", STREAM, "<= 0.00001", digits=7),
    Row("stream-speed", "`stream-shapes`, one video on one thread, chunks of 16 frames", STREAM_SCRIPT, "rate", STREAM,
        ">= 2000", "frames/s", 0, idle=True),
    Row("shapes-whole", "clips of `stream-shapes` that show one whole shape", SHAPES_SCRIPT, "whole", (*STREAM, SHAPES),
        ">= 0.95", "share", 1),
    Row("shapes-between", "`stream-shapes`, deviation of the colour between clips", SHAPES_SCRIPT, "between",
        (*STREAM, SHAPES), ">= 60", "grey levels", 0),
    Row("shapes-within", "`stream-shapes`, deviation of the colour within a clip", SHAPES_SCRIPT, "within",
        (*STREAM, SHAPES), "<= 5", "grey levels", 1),
    *(
        Row(f"{verb}-memory", f"{what} on 5 minutes : on 10 seconds, peak memory", CLIPS_SCRIPT, key,
            (*CONVERTING, *more), "<= 1.05", digits=3)
        for verb, what, key, more in (
            ("predict", "`predict` (`simvp-64`)", "predict", (f"{SRC}/generation/convert.py::predict",)),
            ("translate", "`translate`", "translate", (f"{SRC}/models/translators/translate.py",)),
            ("reconstruct", "`reconstruct`", "reconstruct", (f"{SRC}/models/autoencoders/vae.py",)),
            ("embed", "`embed`", "embed", (f"{SRC}/generation/convert.py::embed",)),
        )
    ),
    Row(
        "encoder", "H.264 of 1280×720 : the networks before it (`stream-signs`, `upscale-x4`), time of one thread each",
        "benchmarks/upscaling_chain.py --only stages --base stream-signs --upscaler upscale-x4", "encoder",
        (f"{SRC}/generation/upscale.py::enlarge", f"{SRC}/generation/upscale.py::to_pixels",
         f"{SRC}/models/upscalers/*.py", f"{SRC}/media/encode.py::StreamEncoder", *STREAM), "< 0.2", "share", 1,
    ),
    Row(
        "upscale-memory", "60 s of 1280×720 by `generate --upscale` : 6 s, peak memory, medians of three",
        "benchmarks/upscaling_chain.py --only memory", "memory",
        (f"{SRC}/generation/upscale.py::enlarge", f"{SRC}/generation/upscale.py::enlarged_clip", *ROLLOUT, *WRITING),
        "<= 1.05", digits=3,
    ),
    *(
        Row(f"{name}-memory", f"`{verb}` of a video of 10 minutes : of 10 s, peak memory",
            f"benchmarks/cutting_memory.py '{key}'", key, files,
            "<= 1.05", digits=3)
        for name, verb, key, files in (
            ("shots", "shots", "shots", (f"{CUTTING}/shots.py",)),
            ("summary", "summary --method quick", "summary", (f"{CUTTING}/summary.py", f"{CUTTING}/films.py")),
            ("join", "join", "join", (f"{CUTTING}/joins.py", *WRITING)),
            ("film", "film", "film", (f"{CUTTING}/films.py", *WRITING)),
            ("interpolate", "interpolate --slow 2x", "interpolate --slow 2x", (f"{CUTTING}/flow.py", *WRITING)),
        )
    ),
    Row("evaluate-share", "`evaluate`'s own work : its networks' passes, tier C, 512 clips a side, 100 resamples",
        f"{EVALUATE_SCRIPT} --part share", "share100",
        (f"{SRC}/evaluation/figure_inputs.py", f"{SRC}/evaluation/feature_cache.py", f"{SRC}/metrics/distances.py",
         f"{SRC}/metrics/clip_vectors.py"), "< 0.15", "share", 1),
    Row("evaluate-memory", "`evaluate --metrics fvd` of 20,000 clips : of 2,048, peak memory",
        f"{EVALUATE_SCRIPT} --part memory --networks 1", "memory",
        (f"{SRC}/evaluation/feature_cache.py", f"{SRC}/evaluation/clip_sets.py", f"{SRC}/metrics/distances.py"),
        "<= 1.05", digits=3),
    Row("frechet", "Fréchet distance of 2,048 features, one core", f"{EVALUATE_SCRIPT} --part roots", "root",
        (f"{SRC}/metrics/distances.py::frechet",), "< 5", "s", idle=True),
    Row("frechet-scipy", "Fréchet distance of 2,048 features, by the matrix root of scipy : by footage, time",
        f"{EVALUATE_SCRIPT} --part roots", "roots",
        (f"{SRC}/metrics/distances.py::frechet",), digits=1),
    Row("features", "kinds of corruption of real clips that random features rank by their strength",
        "benchmarks/features.py shapes 192 32", "in order",
        (f"{SRC}/metrics/clip_vectors.py", f"{SRC}/metrics/distances.py::frechet",
         f"{SRC}/evaluation/features/ladder.py"), unit="share", digits=0),
    Row("tempo", "tempo of nine tracks, off by", RHYTHM_SCRIPT, "tempo", SOUND, unit="share", digits=3),
    Row("beats", "beats of nine tracks found within 70 ms, F-measure", RHYTHM_SCRIPT, "beats", SOUND, digits=3),
    Row("onsets", "onsets of nine tracks found within 50 ms, F-measure", RHYTHM_SCRIPT, "onsets", SOUND, digits=3),
    *(
        Row(f"library-{kind}", f"library of 100,000 clips, {what}, the slowest request, 95 of 100",
            "benchmarks/library.py", kind, files, goal, "ms", 0, idle=True)
        for kind, what, files, goal in (
            ("page", "a page", (f"{SRC}/library/query.py",), "<= 300"),
            ("text", "a search", (f"{SRC}/library/query.py", f"{SRC}/library/search.py"), "<= 100"),
            ("likeness", "likeness", (f"{SRC}/library/similarity.py",), "<= 200"),
            ("change", "a change", (f"{SRC}/library/edits.py",), "<= 50"),
        )
    ),
    Row("studio-kills", "lost or half done after 20 kills (SIGKILL) of the studio among 200 requests each",
        "benchmarks/studio_faults.py --sending 0 --ingesting 0 --training 0", "wrong",
        (f"{SRC}/studio/routes/clips.py", f"{SRC}/library/edits.py", f"{SRC}/library/additions.py"), "<= 0", "count",
        0),
    Row("library-kills", "lost or half done after 20 kills of a program among 200 changes of a library each",
        "benchmarks/library_faults.py", "wrong", (f"{SRC}/library/edits.py", f"{SRC}/library/additions.py"), "<= 0",
        "count", 0),
    Row("locks-raw", "training clips from a locked data set : a plain one, 64×64, processor time", LOCKS_SCRIPT,
        "64×64 raw, in memory", (f"{SRC}/files/locked.py", f"{SRC}/data/locked_arrays.py"), ">= 0.8"),
    Row("locks-opening", "clips from a locked set : a plain one, pages opened the first time, 64×64, processor time",
        LOCKS_SCRIPT,
        "64×64 raw, opening", (f"{SRC}/files/locked.py", f"{SRC}/data/locked_arrays.py"), ">= 0.8"),
    Row("locks-jpeg", "training clips from a locked data set : a plain one, 512×288 as JPEG, processor time",
        LOCKS_SCRIPT, "512×288 JPEG, in memory",
        (f"{SRC}/files/locked.py", f"{SRC}/data/locked_arrays.py"), ">= 0.8"),
    Row("signing", "signing a clip of `stream-signs` : making and writing it", SIGNING_SCRIPT, "stream-signs",
        (f"{SRC}/trust/provenance.py::seal", f"{SRC}/trust/provenance.py::_sign"), "< 0.01", "share"),
    Row("signing-small", "signing a clip of `stream-shapes`, 64×64 : making and writing it", SIGNING_SCRIPT,
        "stream-shapes", (f"{SRC}/trust/provenance.py::seal", f"{SRC}/trust/provenance.py::_sign"), "< 0.01", "share"),
    Row("mark-cost", "the invisible mark : making and writing a clip of `stream-shapes`, processor time", MARK_SCRIPT,
        "stream-shapes", MARK, "< 0.05", "share", 1),
    Row("mark-crf24", "generated clips of 64×64 in which the mark is found after H.264 crf 24", MARK_SCRIPT,
        "64x64 generated, H.264 crf 24", MARK, unit="share", digits=0),
    Row("mark-crf30", "generated clips of 64×64 in which the mark is found after H.264 crf 30", MARK_SCRIPT,
        "64x64 generated, H.264 crf 30", MARK, unit="share",
        digits=0),
    Row("mark-half", "generated clips of 64×64 in which the mark is found once they are half as large", MARK_SCRIPT,
        "64x64 generated, half size", MARK,
        unit="share", digits=0),
    Row("mark-false", "clips without a mark in which one is found, of 12", MARK_SCRIPT, "false alarms", MARK, "<= 0",
        "count", 0),
    Row("copies-found", "copies of clips of `stream-shapes` (recoded, cropped, cut …) that are found among 100 clips",
        FINGERPRINT_SCRIPT, "found", FINGERPRINTS, unit="share", digits=1),
    Row("copies-wrong", "of these 160 copies, those for which another clip is taken once their own is left out",
        FINGERPRINT_SCRIPT, "wrong", FINGERPRINTS,
        "<= 0", "count", 0),
    Row("modes", "modes of 288 that a `stream` of width 16 shows after 20,000 clips of shapes, three seeds", "",
        "",
        (*STREAM, f"{SRC}/models/adversarial/critic_loss.py", f"{SRC}/data/synthetic.py"), ">= 0.95", "share", 1),
    Row("moving-mnist", "Moving MNIST, 10 → 10, `sprites-64` after 74 minutes of two cores, squared error of a frame",
        "", "", (f"{SRC}/models/predictors/sprites/*.py", f"{SRC}/models/predictors/predict.py"), "< 60", "", 1),
    Row("vae-people", "`vae-64` on clips of two people that it never saw, after 16 minutes of one core, PSNR", "", "",
        (f"{SRC}/models/autoencoders/vae.py",), ">= 24", "dB", 1),
    Row("upscale-psnr", "`upscale-x4` on the last fifth of five videos, luma PSNR above bicubic", "", "",
        (f"{SRC}/models/upscalers/*.py",), ">= 0.5", "dB", 1),
    Row("gpu-stream-720p", "`stream-720p` on a GPU, one video of 1280×720, 64 frames at once", "", "",
        (f"{SRC}/models/generators/stream/network.py", f"{SRC}/models/generators/stream/sampler.py"), ">= 60",
        "frames/s", 0),
    Row("gpu-stream-512", "a training step of `stream-512`, 64 clips, on a GPU, part of the rate of bf16 products", "",
        "", (f"{SRC}/models/generators/stream/network.py", f"{SRC}/models/adversarial/critics.py",
         f"{SRC}/models/adversarial/discriminators.py"), ">= 0.35", "share", 1),
    *(
        Row(f"peers-{data}", f"RFD of `stream-64-shots` : of the best other preset, {data}, in equal time", "", "",
            (*STREAM, f"{SRC}/models/adversarial/critic_loss.py", f"{SRC}/models/adversarial/losses.py"), "< 1")
        for data in ("shapes", "actions", "signs")
    ),
)  # fmt: skip
"""In the order of the page."""
