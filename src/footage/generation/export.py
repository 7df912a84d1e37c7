"""Writing models for programs without footage: graphs in the ONNX format, each checked against the model itself."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import logging
import lzma
import math
import shutil
import tempfile
import warnings
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from footage import __version__, files
from footage.config import Config
from footage.data.clips import BuiltInClips, ClipSource, Loader
from footage.data.pairs import open_source
from footage.data.store import Split
from footage.errors import ConfigError, ModelError
from footage.generation.model import Model
from footage.generation.rollout import from_uint8, match_channels
from footage.models.base import Converts, Exports, Graph, Predicts, RunGraph
from footage.models.generators.cascade.network import CascadeSampler
from footage.models.generators.samplers import directions, draw
from footage.models.generators.stream.sampler import StreamSampler
from footage.trust.locks import check_plain

Precision = Literal["fp32", "fp16", "int8"]
Arrays = dict[str, npt.NDArray[Any]]
OPSET = 20
"""Version of the operators: onnxruntime 1.17 and later know it."""
FORMAT = 1
"""Version of export.json."""
PARITY = 1e-4
"""Largest difference from the model that a graph in fp32 may have, where pictures are in [-1, 1]."""
CALIBRATED = 8
"""Inputs by which the ranges of numbers are found for int8."""
SHOWN = 4
"""Clips by which a lower precision is judged."""
FALL = 1.0
"""By how many dB the peak signal-to-noise ratio of what is made may fall at a lower precision."""
OWN = 36.24
"""Peak signal-to-noise ratio, dB, that a model without a truth is taken to have.

It falls by 1 dB where the precision adds an error of 2 of 255 grey levels (root mean square), 42.1 dB.
"""
ROUNDED = (2 / 255) ** 2 / 12
"""Mean square of the error of frames in [-1, 1] that are shown in 8 bits."""
LEVELS = 127
"""Largest number of a weight in int8."""
SMALL = 256
"""Weights of fewer numbers stay as they are."""
WEIGHTED = ("Conv", "ConvTranspose", "MatMul", "Gemm")
"""Operators whose weights are brought to int8."""
STEPS: dict[Precision, tuple[str, ...]] = {
    "fp32": ("fp32",),
    "fp16": ("fp16",),
    "int8": ("int8", "int8 weights", "int8 some weights"),
}
"""What is tried for a precision, one after another, until the quality is kept.

int8 is that of weights and of the numbers between; the numbers between stay fp32; so do the weights that cost most.
"""
MISSING = "pip install 'footage[onnx]'"


@dataclass(frozen=True)
class ExportedGraph:
    """A graph that was written."""

    name: str
    file: str
    sha256: str
    about: str
    inputs: dict[str, tuple[int | None, ...]]
    """Shape of each input, None where any length will do."""
    outputs: tuple[str, ...]
    difference: float
    """Largest difference of its outputs from the model's, over inputs of other lengths too.

    That of an output with numbers beyond 1 is in parts of the largest of them.
    """
    psnr: float
    """Peak signal-to-noise ratio of its first output beside the model's, dB.

    The range is 2, or twice the largest number of an output with numbers beyond 1.
    """


@dataclass(frozen=True)
class Export:
    """What was written: the content of export.json."""

    model: str
    weights: str
    """SHA-256 of the model's weights."""
    preset: str | None
    precision: Precision
    fps: float
    labels: tuple[str, ...]
    """Names of the columns of an input `label`."""
    graphs: tuple[ExportedGraph, ...]
    numbers: str
    """What is of the precision: one of `STEPS`."""
    fall: float
    """By how many dB the peak signal-to-noise ratio falls for the precision; see docs/exchange.md."""
    beside: Literal["truth", "model"]
    """Whether it was measured beside real clips, or beside what the model makes."""
    made_by: str = f"footage {__version__}"
    format: int = FORMAT


class Exported(nn.Module):
    """A graph's function as a module, so that its weights are known."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.net, self.function, self.names = graph.net, graph.function, tuple(graph.inputs)
        self.batches = [(list(graph.inputs).index(name), axes[0]) for name, axes in graph.lengths.items()]

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        rows = [inputs[place].shape[axis] for place, axis in self.batches]
        for count in rows:
            torch._check(count == rows[0])  # type: ignore[no-untyped-call]  # tracing knows then that they are one
        made = self.function(*inputs)
        parts = made if isinstance(made, tuple) else (made,)
        # What goes through unchanged is a value of its own: a graph's input and output cannot have two names.
        return tuple(part.clone() if any(part is value for value in inputs) else part for part in parts)


def export_onnx(
    model: Model,
    folder: Path,
    precision: Precision = "fp32",
    watch: Callable[[str], object] = lambda _: None,
    clips: Tensor | None = None,
    left_out: tuple[str, ...] = (),
) -> Export:
    """Write a model's graphs into a folder, with export.json, which says what each is given and makes.

    Every graph is run by onnxruntime beside the model, on inputs of its own and of other lengths. At a lower precision
    they are run one after another too, from the first input to pictures, and these are judged: see `FALL`.

    Args:
        model: loaded for the CPU.
        folder: a new or an empty one, or one of an earlier export.
        precision: of the weights.
        watch: is told each graph before it is written, and, where int8 leaves some weights, each that is tried.
        clips: real ones, (B, C, T, H, W) in [-1, 1], by which ranges are found and the precision is judged.
        left_out: names of graphs that are not needed.

    Raises:
        ModelError: a library is not installed, the model is elsewhere or cannot be written so, a graph differs, or
            the precision takes too much. The folder is as it was then.
        ConfigError: there are other files in the folder, or the model is locked.
    """
    check_plain([model.folder], "what is written", "unlock a copy of it first")
    for library in ("onnx", "onnxscript", "onnxruntime"):
        try:
            __import__(library)
        except ImportError:
            raise ModelError(f"{library} is not installed", MISSING) from None
    sampler = model.sampler
    if not isinstance(sampler, Exports):
        raise ModelError(f"models of the kind {type(sampler).__name__} cannot be exported", "choose another model")
    if sampler.device.type != "cpu":
        problem = f"{model.info.name} is loaded for {sampler.device}, and is compared on the CPU"
        raise ModelError(problem, 'load it by footage.load(MODEL, device="cpu")')
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "export.json").is_file():
        raise ConfigError(f'"{folder}" holds other files, and no export', "give a new folder, or an empty one")
    with tempfile.TemporaryDirectory() as scratch, torch.random.fork_rng():
        torch.manual_seed(0)
        graphs = [graph for graph in sampler.graphs() if graph.name not in left_out]
        for graph in graphs:
            watch(graph.name)
            write_graph(graph, Path(scratch) / f"{graph.name}.onnx")
        judge = PrecisionJudge(model, graphs, Path(scratch), clips, precision, watch)
        part, about = judge.lower()
        if not about.fall <= FALL:
            problem = f"{precision} takes {about.fall:.1f} dB from what {model.info.name} makes, more than {FALL:g} dB"
            by_data = judge.has_truth and not judge.beside_truth
            beside = ", or judge it by the model's own clips: --data DATASET" if by_data else ""
            raise ModelError(problem, f"choose {'fp32' if precision == 'fp16' else 'fp16 or fp32'}{beside}")
        folder.mkdir(parents=True, exist_ok=True)
        for written in about.graphs:
            with files.replacing(folder / written.file) as path:
                shutil.copyfile(part / written.file, path)
    with files.replacing(folder / "export.json") as path:
        path.write_text(json.dumps(asdict(about), indent=1, ensure_ascii=False), encoding="utf-8")
    return about


def write_graph(graph: Graph, path: Path) -> None:
    """Write a graph in fp32."""
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass, CommonSubexpressionEliminationPass

    module, names = Exported(graph).eval(), list(graph.inputs)
    shapes = {name: {axis: torch.export.Dim.DYNAMIC for axis in graph.lengths.get(name, ())} for name in names}
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            # Not by the exporter itself: it makes loops of recurrent cells, which ONNX has operators for.
            free = (tuple(shapes[name] or None for name in names),)
            traced = torch.export.export(module, tuple(graph.inputs.values()), dynamic_shapes=free, strict=False)
            program: Any = torch.onnx.export(
                traced,
                dynamo=True,
                input_names=names,
                output_names=list(graph.outputs),
                opset_version=OPSET,
                verbose=False,
                optimize=False,
            )
            # What is made twice is made once: of two clamps of the same numbers the optimiser makes one name.
            CommonSubexpressionEliminationPass()(program.model)
            program.optimize()
            ClearMetadataAndDocStringPass()(program.model)  # lines of source, more than the weights of a small model
    except Exception as error:  # the tracer's own have no other base
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        reason = (str(cause).strip().splitlines() or [type(cause).__name__])[-1][:200]
        raise ModelError(
            f'"{graph.name}" cannot be written as ONNX ({reason})', "report it, with the preset"
        ) from error
    finally:
        exporter.setLevel(level)
    program.save(path, external_data=False)


class PrecisionJudge:
    """Brings graphs to a precision, and says what it takes.

    Where a graph is a part of what makes pictures, what they make together is judged; else its first output is.

    Args:
        model: whose graphs they are.
        graphs: some of its graphs.
        folder: has them in fp32; gets a folder for each of `STEPS`.
        clips: real ones, (B, C, T, H, W) in [-1, 1], which are the truth for models that have one.
        precision: that they are brought to; at fp32 nothing is made by the model to judge by.
        watch: is told what is tried.
    """

    def __init__(
        self,
        model: Model,
        graphs: list[Graph],
        folder: Path,
        clips: Tensor | None = None,
        precision: Precision = "int8",
        watch: Callable[[str], object] = lambda _: None,
    ) -> None:
        assert isinstance(model.sampler, Exports)
        self.model, self.graphs, self.folder, self.sampler = model, graphs, folder, model.sampler
        self.runs = {graph.name: Exported(graph).eval() for graph in graphs}
        self.asked: dict[str, list[dict[str, Tensor]]] = {graph.name: [] for graph in graphs}
        self.tried: dict[str, tuple[list[dict[str, Tensor]], list[list[npt.NDArray[Any]]]]] = {}
        """What graphs that make no pictures are given, and what the model makes of it."""
        self.clips, self.precision, self.watch = torch.empty(0) if clips is None else clips, precision, watch
        self.wanted: list[tuple[Tensor, Tensor | None]] = []
        if precision != "fp32" and clips is None and isinstance(model.sampler, (Converts, Predicts)):
            self.clips = clips_of(model.info.config)
        if precision != "fp32":
            self.wanted = rehearsed(model.sampler, self.run, self.clips)
        self.has_truth = any(truth is not None for _, truth in self.wanted)
        self.beside_truth = clips is not None and self.has_truth

    def run(self, name: str, /, **inputs: Tensor) -> tuple[Tensor, ...]:
        """Run a graph in the model itself, and note what it was given; see `footage.models.base.RunGraph`."""
        self.asked[name].append({known: inputs[known] for known in self.runs[name].names})
        with torch.no_grad():
            return cast(tuple[Tensor, ...], self.runs[name](*self.asked[name][-1].values()))

    def shown(self, graph: Graph) -> list[dict[str, Tensor]]:
        """Return a few inputs of a graph, such as it gets."""
        asked = self.asked[graph.name]
        return asked[:: max(1, len(asked) // CALIBRATED)] or tried(graph)

    def write(self, numbers: str, left: frozenset[tuple[str, str]] = frozenset()) -> Path:
        """Write all graphs with numbers of `STEPS`, some weights (graph, name) left as they are; return the folder."""
        place = self.folder / numbers
        place.mkdir(exist_ok=True)
        for graph in self.graphs:
            names = {name for owner, name in left if owner == graph.name}
            source, own = self.folder / f"{graph.name}.onnx", "fp32" if graph.exact else numbers
            compress(source, place, self.shown(graph), own, names)
        return place

    def fall(self, place: Path, graphs: list[Graph], sessions: Sessions | None = None) -> float:
        """Return by how many dB the peak signal-to-noise ratio falls, of what some graphs of a folder make.

        `sessions` run what makes pictures, where they are opened already.
        """
        alone = [graph for graph in graphs if not self.asked[graph.name]]
        for graph in alone:
            if graph.name not in self.tried:
                inputs = tried(graph)
                self.tried[graph.name] = inputs, outputs_of(self.runs[graph.name], inputs)
        gaps = [compare(place, graph, *self.tried[graph.name]).psnr for graph in alone]
        falls = [10 * math.log10(1 + 10 ** ((OWN - gap) / 10)) for gap in gaps]
        if len(alone) < len(graphs):
            rehearsal = rehearsed(self.sampler, sessions or Sessions(place, self.graphs), self.clips)
            falls.append(fall_of(self.wanted, rehearsal, self.beside_truth))
        return max(falls)

    def costly(self) -> frozenset[tuple[str, str]]:
        """Return weights, (graph, name), without which int8 should take half of `FALL` at most.

        What each costs is measured by itself, and what several cost is the sum: their errors are independent. There are
        none where they would have more than half of the numbers, since fp16 is smaller then.
        """
        import onnx

        place, kept = self.write("fp32"), list[tuple[str, str]]()
        sessions = Sessions(place, self.graphs)
        if any(self.asked.values()):
            rehearsed(self.sampler, sessions, self.clips)  # what no change of a graph changes is made once
        costs: dict[bool, dict[tuple[str, str], float]] = {True: {}, False: {}}
        sizes = dict[tuple[str, str], int]()
        for graph in (graph for graph in self.graphs if not graph.exact):
            source = self.folder / f"{graph.name}.onnx"
            content = onnx.load(str(source)).graph
            names = set(weight_axes(content))
            sizes |= {
                (graph.name, value.name): math.prod(value.dims) for value in content.initializer if value.name in names
            }
            for number, name in enumerate(sorted(names), 1):
                self.watch(f"{graph.name}: weights {number} of {len(names)} tried in int8")
                compress(source, place, [], "int8 some weights", names - {name})
                asked = bool(self.asked[graph.name])
                changed = sessions.replaced(graph.name, place / source.name) if asked else None
                costs[asked][graph.name, name] = self.fall(place, [graph], changed)
            compress(source, place, [], "fp32")
        for part in costs.values():
            total = sum(part.values())
            for worst in sorted(part, key=lambda key: -part[key]):
                if total > FALL / 2:
                    kept.append(worst)
                    total -= part[worst]
        return frozenset(kept if sum(sizes[key] for key in kept) <= sum(sizes.values()) / 2 else ())

    def lower(self) -> tuple[Path, Export]:
        """Bring graphs to the precision, by each of its `STEPS` until no more than `FALL` is lost.

        Returns:
            The folder of the last step, and what is said of it: not to be used where the fall is more than `FALL`.
        """
        for numbers in STEPS[self.precision]:
            place = self.write(numbers, self.costly() if numbers == "int8 some weights" else frozenset())
            if (fall := 0.0 if numbers == "fp32" else self.fall(place, self.graphs)) <= FALL:
                break
        written = []
        for graph in self.graphs:
            exact = graph.exact or numbers == "fp32"
            shown = tried(graph) if exact else self.shown(graph)
            about = compare(place, graph, shown, outputs_of(self.runs[graph.name], shown))
            if exact and not about.difference <= PARITY:
                problem = f'"{graph.name}" differs from the model by {about.difference:.2g} of a range of 2'
                raise ModelError(problem, "report it, with the preset")
            written.append(about)
        info, beside = self.model.info, "truth" if self.beside_truth else "model"
        head = (info.name, info.weights_sha256, info.config.preset, self.precision, info.fps, info.labels)
        return place, Export(*head, tuple(written), numbers, fall, cast(Literal["truth", "model"], beside))


def clips_of(config: Config, data: str | None = None, guide: str | None = None) -> Tensor:
    """Return a few clips that a model can learn from, (B, C, T, H, W) in [-1, 1], held-out ones where there are any.

    Args:
        config: the model's.
        data: a data set; None for drawn shapes.
        guide: the data set that the clips are made from, for a model of pairs.

    Raises:
        ConfigError: clips have another size than the model's.
        DatasetError: there is no such data set, or its clips are too short.
    """
    clip = config.clip
    shape = (clip.channels + config.task.source_channels * (config.task.source == "pairs"), clip.height, clip.width)
    source: ClipSource = BuiltInClips("shapes", height=clip.height, width=clip.width, channels=3)
    if data is not None:
        source = open_source(data, clip, guide, crops=config.net.crops, hears=config.net.hears)
    split: Split = "heldout" if source.spans("heldout") else "train"
    clips = from_uint8(Loader(source, split, frames=clip.frames, batch_size=SHOWN, seed=0).batch(0)[0])
    if data is None:
        clips = match_channels(clips, shape[0])
    if (own := (clips.shape[1], *clips.shape[3:])) != shape:
        problem = f"clips of {source.name} have {own[0]} channels of {own[1]}×{own[2]}"
        wanted = f"{shape[0]} channels of {shape[1]}×{shape[2]}"
        raise ConfigError(problem, f"give clips as the model learned from, {wanted}, and --guide for pairs")
    return clips


class Sessions:
    """Runs graphs of a folder; see `footage.models.base.RunGraph`. What one is given again, it does not make again."""

    def __init__(self, folder: Path, graphs: list[Graph]) -> None:
        self.sessions = {graph.name: start(folder / f"{graph.name}.onnx") for graph in graphs}
        self._made: dict[tuple[str, str], tuple[Tensor, ...]] = {}

    def __call__(self, name: str, /, **inputs: Tensor) -> tuple[Tensor, ...]:
        arrays = {label: value.numpy() for label, value in inputs.items()}
        digest = hashlib.sha256()
        for label in sorted(arrays):
            digest.update(f"{label} {arrays[label].shape}".encode() + arrays[label].tobytes())
        key = name, digest.hexdigest()
        if key not in self._made:
            self._made[key] = tuple(torch.from_numpy(part) for part in self.sessions[name].run(None, arrays))
        return tuple(part.clone() for part in self._made[key])

    def replaced(self, name: str, path: Path) -> Sessions:
        """Return the same with one graph from another file."""
        other = copy.copy(self)
        other.sessions = {**self.sessions, name: start(path)}
        other._made = {key: made for key, made in self._made.items() if key[0] != name}
        return other


def rehearsed(sampler: Exports, run: RunGraph, clips: Tensor) -> list[tuple[Tensor, Tensor | None]]:
    """Return what graphs make one after another, and the truth; what is drawn is always the same."""
    torch.manual_seed(1)
    return list(sampler.rehearse(run, clips))


def fall_of(
    wanted: list[tuple[Tensor, Tensor | None]], made: list[tuple[Tensor, Tensor | None]], beside_truth: bool
) -> float:
    """Return by how many dB the peak signal-to-noise ratio falls from what is wanted to what is made.

    With a truth, the mean squares of both errors are compared: 10 log10(made / wanted). Without one the error that is
    added is compared with that of a model at `OWN`. It is infinite where something that is made is no number.
    """
    falls = []
    for known in {beside_truth and truth is not None for _, truth in wanted}:
        own, after, count = 0.0, 0.0, 0
        for (frames, truth), (lowered, _) in zip(wanted, made, strict=True):
            if (beside_truth and truth is not None) == known:
                aim = truth if known and truth is not None else frames
                own += float((frames - aim).double().square().sum())
                after += float((lowered - aim).double().square().sum())
                count += frames.numel()
        # Without a truth: the error of a model at OWN, and the sum of both.
        least = ROUNDED if known else 4 * 10 ** (-OWN / 10)
        ratio = (after / count + least) / (own / count + least)
        falls.append(math.inf if math.isnan(ratio) else 10 * math.log10(ratio))
    return max(falls)


def examples(graph: Graph, seed: int, grow: int) -> dict[str, Tensor]:
    """Return other values for the inputs of a graph of which axes may have any length, those `grow` longer.

    With grow = -1 batches have one row. Other inputs stay as they are: they belong together.
    """
    rng = torch.Generator().manual_seed(seed)
    found = dict(graph.inputs)
    for name, axes in graph.lengths.items():
        value = graph.inputs[name]
        shape = list(value.shape)
        if grow < 0:
            shape[axes[0]] = 1
        else:
            for axis in axes:
                shape[axis] += grow * graph.multiple
        # Of the same mean and spread: pictures stay within their range, states near those that there are.
        spread = float(value.float().std()) if value.numel() > 1 else 1.0
        drawn = torch.randn(shape, generator=rng) * spread + float(value.float().mean())
        found[name] = drawn.clamp(float(value.min()), float(value.max())).to(value.dtype)
    return found


def tried(graph: Graph) -> list[dict[str, Tensor]]:
    """Return inputs of a graph: its own, and of other lengths."""
    longer = (1, -1) if any(graph.lengths.values()) else ()
    return [graph.inputs, *(examples(graph, seed, grow) for seed, grow in enumerate(longer, 1))]


def start(path: Path) -> Any:
    """Open a graph with onnxruntime."""
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # its own classes have no other base
        problem = f'"{path.stem}" cannot be run by onnxruntime ({str(error).strip().splitlines()[-1][-200:]})'
        raise ModelError(problem, "report it, with the preset") from error


def outputs_of(module: nn.Module, shown: list[dict[str, Tensor]]) -> list[list[npt.NDArray[Any]]]:
    """Return what a model makes of inputs of a graph: the outputs of each."""
    with torch.no_grad():
        return [[part.numpy() for part in module(*inputs.values())] for inputs in shown]


def compare(
    folder: Path, graph: Graph, shown: list[dict[str, Tensor]], outputs: list[list[npt.NDArray[Any]]]
) -> ExportedGraph:
    """Say how much a written graph's outputs differ from the model's."""
    path = folder / f"{graph.name}.onnx"
    session = start(path)
    worst, squares, count = 0.0, 0.0, 0
    for inputs, wanted in zip(shown, outputs, strict=True):
        made = session.run(list(graph.outputs), {name: value.numpy() for name, value in inputs.items()})
        for place, (own, part) in enumerate(zip(made, wanted, strict=True)):
            gap = np.abs(own.astype(np.float64) - part) / max(1.0, float(np.abs(part).max()))
            gap = np.nan_to_num(gap, nan=np.inf)
            worst = max(worst, float(gap.max()))
            if place == 0:
                squares, count = squares + float((gap**2).sum()), count + gap.size
    psnr = 10 * math.log10(4 * count / max(squares, 1e-24)) if math.isfinite(squares) else -math.inf
    sides = {
        name: tuple(None if axis in graph.lengths.get(name, ()) else side for axis, side in enumerate(value.shape))
        for name, value in graph.inputs.items()
    }
    digest = files.file_digest(path)
    return ExportedGraph(graph.name, path.name, digest, graph.about, sides, graph.outputs, worst, psnr)


def compress(
    source: Path, folder: Path, shown: list[dict[str, Tensor]], numbers: str, left: Collection[str] = ()
) -> None:
    """Write a graph in fp32 with other numbers, see `STEPS`; inputs and outputs stay as they are.

    Args:
        source: the graph.
        folder: gets a file of the same name.
        shown: inputs by which the ranges of numbers are found.
        numbers: one of `STEPS`.
        left: names of weights that stay as they are, where only weights are brought to int8.
    """
    import onnx

    path = folder / source.name
    if numbers == "int8":
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

        class Inputs(CalibrationDataReader):  # type: ignore[misc]
            def __init__(self) -> None:
                self._waiting = ({name: value.numpy() for name, value in inputs.items()} for inputs in shown)

            def get_next(self) -> Arrays | None:
                return next(self._waiting, None)

        logging.disable(logging.WARNING)  # it advises, whatever it is given, to prepare the graph first
        try:
            quantize_static(
                str(source),
                str(path),
                Inputs(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=list(WEIGHTED),
            )
        finally:
            logging.disable(logging.NOTSET)
        content = onnx.load(str(path))
    else:
        content = onnx.load(str(source))
    if numbers in ("int8 weights", "int8 some weights"):
        pack_weights(content.graph, left)
    if numbers == "fp16":
        from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

        kept = list(DEFAULT_OP_BLOCK_LIST)
        if any(node.op_type == "LSTM" for node in content.graph.node):
            kept.append("Transpose")  # onnxruntime 1.32 crashes on those in fp16 beside an LSTM
        content = convert_float_to_float16(content, keep_io_types=True, op_block_list=kept)
    content.graph.ClearField("value_info")  # shapes between, which runtimes find by themselves
    onnx.save(content, str(path))


def weight_axes(graph: Any) -> dict[str, int]:
    """Return the weights of an ONNX graph that can be brought to int8, each with the axis of its output channels."""
    weights, found = {value.name: value for value in graph.initializer}, dict[str, int]()
    for node in graph.node:
        for name in node.input if node.op_type in WEIGHTED else ():
            value = weights.get(name)
            if value is not None and len(value.dims) > 1 and math.prod(value.dims) >= SMALL:
                turned = any(flag.name == "transB" and flag.i for flag in node.attribute)
                last = 1 if node.op_type == "ConvTranspose" else len(value.dims) - 1
                found[name] = 0 if node.op_type == "Conv" or turned else last
    return found


def pack_weights(graph: Any, left: Collection[str]) -> None:
    """Bring the weights of an ONNX graph to int8, with a scale for each output channel, but those that are left."""
    from onnx import helper, numpy_helper

    weights = {value.name: value for value in graph.initializer}
    for name, axis in weight_axes(graph).items():
        if name not in left:
            numbers = numpy_helper.to_array(weights[name])
            others = tuple(other for other in range(numbers.ndim) if other != axis)
            scale = np.maximum(np.abs(numbers).max(axis=others, keepdims=True), 1e-30) / LEVELS
            rounded = np.round(numbers / scale).astype(np.int8)
            graph.initializer.remove(weights[name])
            parts = {f"{name}_int8": rounded, f"{name}_scale": scale.reshape(-1).astype(np.float32)}
            graph.initializer.extend(numpy_helper.from_array(part, place) for place, part in parts.items())
            graph.node.insert(0, helper.make_node("DequantizeLinear", list(parts), [name], axis=axis))


WEB = Path(__file__).with_name("web")
"""The page, and ONNX Runtime Web, packed; its licence is in NOTICE."""
RUNTIME = {
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""Files of onnxruntime-web 1.30.0, with their SHA-256 when unpacked."""
SEEDS = 16
"""Seeds whose content the page knows: it is that of the same seeds in footage."""
SLIDERS = 6
"""Latent sliders on the page."""
CHECKED = 4
"""Frames by which the page can be compared with footage: open it with ?check."""


def export_web(
    model: Model,
    folder: Path,
    precision: Precision = "fp32",
    watch: Callable[[str], object] = lambda _: None,
    clips: Tensor | None = None,
) -> Export:
    """Write a folder that any static server shows: the model as a live video, with its sliders, without Python.

    Raises:
        ModelError: as `export_onnx` does, or the model does not stream.
        ConfigError: as `export_onnx` does.
    """
    check_plain([model.folder], "what is written", "unlock a copy of it first")
    sampler = model.sampler
    if not isinstance(sampler, (StreamSampler, CascadeSampler)):
        problem = f"{model.info.name} makes clips of one length, and the page shows an endless video"
        raise ModelError(problem, "give a model of a stream preset, or export it by --onnx")
    base = sampler.base if isinstance(sampler, CascadeSampler) else sampler
    about = export_onnx(model, folder, precision, watch, clips, ("frames",))
    for name, digest in RUNTIME.items():
        runtime = lzma.decompress((WEB / f"{name}.xz").read_bytes())
        if hashlib.sha256(runtime).hexdigest() != digest:
            raise ModelError(f'"{name}" of this installation is damaged', "install footage again")
        with files.replacing(folder / name) as path:
            path.write_bytes(runtime)
    for name in ("index.html", "player.js", "NOTICE"):
        with files.replacing(folder / name) as path:
            path.write_bytes((WEB / name).read_bytes())
    generator, clip = base.generator, sampler.clip
    labels = [model.info.labels[number] for number in range(base.classes)] if base.classes else []
    seeds = draw(range(SEEDS), base.sliders)[1]
    with torch.no_grad():
        rows = directions(generator.entries())[:SLIDERS]
    content = asdict(about) | {
        "name": model.info.name,
        "width": clip.width,
        "height": clip.height,
        "labels": labels,
        "shot": base.shot,
        "processes": len(generator.bank.rates),
        "noise": list(sampler.size) if isinstance(sampler, CascadeSampler) else [],
        "seeds": _rounded(seeds),
        "sliders": _rounded(rows),
        "check": _frames_to_check(sampler, base, seeds[0]),
    }
    with files.replacing(folder / "model.json") as path:
        path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return about


def _rounded(values: Tensor) -> list[Any]:
    """Return numbers as they stand in JSON, of float32's digits."""
    found: list[Any] = np.round(values.double().cpu().numpy(), 7).tolist()
    return found


def _frames_to_check(sampler: StreamSampler | CascadeSampler, base: StreamSampler, content: Tensor) -> dict[str, Any]:
    """Return frames that footage made, and all that they were made from."""
    rng = torch.Generator().manual_seed(0)
    motion = torch.randn(CHECKED, base.generator.bank.size, generator=rng).mul(1e4).round().div(1e4)
    content = torch.tensor(_rounded(content)).float()
    label = next(iter(base.label_example(1).values()), None)
    clock = torch.arange(CHECKED).float() if base.shot else None
    with torch.inference_mode():
        painted = base.generator.paint(content[None], label, 1)
        clips = base.generator.animate(painted, motion[None], label, None if clock is None else clock[None])
        frames = clips.float().clamp(-1, 1)[0].transpose(0, 1)  # T C H W
        noise = torch.zeros(0)
        if isinstance(sampler, CascadeSampler):
            noise = torch.randn(1, 1, *sampler.size, generator=rng).mul(1e4).round().div(1e4)
            above, left = ((frames.shape[2 + axis] - sampler.size[axis]) // 2 for axis in (0, 1))
            cut = frames[..., above : above + sampler.size[0], left : left + sampler.size[1]]
            frames = torch.cat([sampler.details(frame[None], noise).float().clamp(-1, 1) for frame in cut])
    shown = frames.expand(-1, 3, -1, -1) if frames.shape[1] == 1 else frames
    bytes_ = ((shown + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy().tobytes()
    return {
        "content": _rounded(content),
        "motion": _rounded(motion),
        "label": [] if label is None else label[0].tolist(),
        "clock": [] if clock is None else clock.tolist(),
        "noise": _rounded(noise[0, 0]) if len(noise) else [],
        "frames": base64.b64encode(bytes_).decode(),
    }
