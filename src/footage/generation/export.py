"""Writing models for programs without footage: graphs in the ONNX format, each checked against the model itself."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import lzma
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from footage import __version__, files
from footage.errors import ConfigError, ModelError
from footage.generation.model import Model
from footage.models.base import Exports, Graph
from footage.models.generators.cascade.network import CascadeSampler
from footage.models.generators.samplers import directions, draw
from footage.models.generators.stream.sampler import StreamSampler

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
    """Peak signal-to-noise ratio of its first output, dB, for a range of 2."""


@dataclass(frozen=True)
class Export:
    """What was written: the content of export.json."""

    model: str
    weights: str
    """SHA-256 of the model's weights."""
    preset: str | None
    precision: Precision
    fps: float
    graphs: tuple[ExportedGraph, ...]
    made_by: str = f"footage {__version__}"
    format: int = FORMAT


class Exported(nn.Module):
    """A graph's function as a module, so that its weights are known."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.net, self.function = graph.net, graph.function
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
    watch: Callable[[str], None] | None = None,
    left_out: tuple[str, ...] = (),
) -> Export:
    """Write a model's graphs into a folder, with export.json, which says what each is given and makes.

    Every graph is run by onnxruntime beside the model, on inputs of its own and of other lengths.

    Args:
        model: loaded for the CPU.
        folder: a new or an empty one, or one of an earlier export.
        precision: of the weights.
        watch: is told the name of each graph before it is written.
        left_out: names of graphs that are not needed.

    Raises:
        ModelError: a library is not installed, the model is elsewhere or cannot be written so, or a graph differs.
        ConfigError: there are other files in the folder.
    """
    for library in ("onnx", "onnxscript", "onnxruntime"):
        try:
            __import__(library)
        except ImportError:
            raise ModelError(f"{library} is not installed", MISSING) from None
    if not isinstance(model.sampler, Exports):
        raise ModelError(
            f"models of the kind {type(model.sampler).__name__} cannot be exported", "choose another model"
        )
    if model.sampler.device.type != "cpu":
        problem = f"{model.info.name} is loaded for {model.sampler.device}, and is compared on the CPU"
        raise ModelError(problem, 'load it by footage.load(MODEL, device="cpu")')
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "export.json").is_file():
        raise ConfigError(f'"{folder}" holds other files, and no export', "give a new folder, or an empty one")
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        graphs = [graph for graph in model.sampler.graphs() if graph.name not in left_out]
        written = []
        for graph in graphs:
            if watch is not None:
                watch(graph.name)
            written.append(write_graph(graph, folder, precision))
    about = Export(
        model.info.name,
        model.info.weights_sha256,
        model.info.config.preset,
        precision,
        model.info.fps,
        tuple(written),
    )
    with files.replacing(folder / "export.json") as path:
        path.write_text(json.dumps(asdict(about), indent=1, ensure_ascii=False), encoding="utf-8")
    return about


def write_graph(graph: Graph, folder: Path, precision: Precision) -> ExportedGraph:
    """Write a graph, and compare what it makes with what the model makes."""
    import onnx
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
    path = folder / f"{graph.name}.onnx"
    with files.replacing(path) as partial:
        program.save(partial, external_data=False)
        if precision != "fp32":
            _compress(partial, graph, precision)
        content = onnx.load(str(partial))
        content.graph.ClearField("value_info")  # shapes between, which runtimes find by themselves
        onnx.save(content, str(partial))
    difference, psnr = compare(path, graph, module)
    if precision == "fp32" and difference > PARITY:
        problem = f'"{graph.name}" differs from the model by {difference:.2g} of a range of 2'
        raise ModelError(problem, "report it, with the preset")
    inputs = {
        name: tuple(None if axis in shapes[name] else side for axis, side in enumerate(value.shape))
        for name, value in graph.inputs.items()
    }
    digest = files.file_digest(path)
    return ExportedGraph(graph.name, path.name, digest, graph.about, inputs, graph.outputs, difference, psnr)


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


def compare(path: Path, graph: Graph, module: nn.Module) -> tuple[float, float]:
    """Return the largest difference of a graph's outputs from the model's, and the PSNR of its first one in dB."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # its own classes have no other base
        problem = f'"{graph.name}" cannot be run by onnxruntime ({str(error).strip().splitlines()[-1][-200:]})'
        raise ModelError(problem, "report it, with the preset") from error
    worst, squares, count = 0.0, 0.0, 0
    for seed, grow in enumerate((0, 1, -1) if any(graph.lengths.values()) else (0,)):
        inputs = graph.inputs if seed == 0 else examples(graph, seed, grow)
        with torch.no_grad():
            wanted = [part.numpy() for part in module(*inputs.values())]
        made = session.run(list(graph.outputs), {name: value.numpy() for name, value in inputs.items()})
        for own, part in zip(made, wanted, strict=True):
            gap = np.abs(own.astype(np.float64) - part)
            worst = max(worst, float(gap.max()) / max(1.0, float(np.abs(part).max())))
        first = made[0].astype(np.float64) - wanted[0]
        squares, count = squares + float((first**2).sum()), count + first.size
    return worst, float(10 * np.log10(4 * count / max(squares, 1e-24)))


def _compress(path: Path, graph: Graph, precision: Precision) -> None:
    """Bring a graph's weights to fp16, or weights and numbers between to int8; inputs and outputs stay as they are."""
    import onnx

    if precision == "fp16":
        from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

        content, kept = onnx.load(str(path)), list(DEFAULT_OP_BLOCK_LIST)
        if any(node.op_type == "LSTM" for node in content.graph.node):
            kept.append("Transpose")  # onnxruntime 1.32 crashes on those in fp16 beside an LSTM
        onnx.save(convert_float_to_float16(content, keep_io_types=True, op_block_list=kept), str(path))
        return
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Inputs(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            seeds = range(1, CALIBRATED if any(graph.lengths.values()) else 1)
            drawn = [graph.inputs, *(examples(graph, seed, 0) for seed in seeds)]
            self._waiting = ({name: value.numpy() for name, value in inputs.items()} for inputs in drawn)

        def get_next(self) -> Arrays | None:
            return next(self._waiting, None)

    made = path.with_name(f"{path.name}.int8")
    try:
        quantize_static(
            str(path),
            str(made),
            Inputs(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv", "ConvTranspose", "MatMul", "Gemm"],
        )
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)


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
    model: Model, folder: Path, precision: Precision = "fp32", watch: Callable[[str], None] | None = None
) -> Export:
    """Write a folder that any static server shows: the model as a live video, with its sliders, without Python.

    Raises:
        ModelError: as `export_onnx` does, or the model does not stream.
    """
    sampler = model.sampler
    if not isinstance(sampler, (StreamSampler, CascadeSampler)):
        problem = f"{model.info.name} makes clips of one length, and the page shows an endless video"
        raise ModelError(problem, "give a model of a stream preset, or export it by --onnx")
    base = sampler.base if isinstance(sampler, CascadeSampler) else sampler
    about = export_onnx(model, folder, precision, watch, ("frames",))
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
