"""Models and resumable states on disk. Nothing that is loaded can run code.

A model folder is what a user shares: `model.json` (what it is), `weights-….safetensors` (averaged), `README.md`.
A state file is what resuming needs: networks, averages, optimisers, counters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file
from safetensors.torch import save as serialize
from torch import Tensor, nn

from footage import __version__, files
from footage.config import to_json
from footage.errors import LockError, ModelError
from footage.files import locked
from footage.models.base import Method, Sampler
from footage.models.card import ModelInfo, read_info, readme, weights_path
from footage.trust.locks import lock_made_of


def save_model(folder: Path, info: ModelInfo, nets: Mapping[str, nn.Module]) -> ModelInfo:
    """Write a folder of averaged networks: at every moment `model.json` names weights that are there and whole."""
    tensors = {
        f"{name}.{key}": value.detach().cpu().contiguous()
        for name, net in nets.items()
        for key, value in net.state_dict().items()
    }
    return write_model(folder, info, tensors)


def write_model(folder: Path, info: ModelInfo, tensors: Mapping[str, Tensor]) -> ModelInfo:
    folder.mkdir(parents=True, exist_ok=True)
    content = serialize(dict(tensors))
    digest = hashlib.sha256(content).hexdigest()
    final = folder / f"weights-{digest[:12]}.safetensors"
    files.write_bytes(final, content)
    info = replace(info, weights=final.name, weights_sha256=digest)
    value = {**asdict(info), "config": to_json(info.config), "labels": list(info.labels)}
    value["label_shares"] = list(info.label_shares)
    if not info.trained_with:
        del value["trained_with"]  # older versions know of no such thing
    if not info.reads_text:
        del value["text"]
    if info.volume is None:
        del value["volume"]
    files.write_json(folder / "model.json", {**value, "digest": files.json_digest(value)})
    files.write_text(folder / "README.md", readme(info))
    for other in folder.glob("weights*.safetensors"):
        if other != final:
            other.unlink()
    return info


LARGEST_CHANGE = 1.0
"""What `compact` may change in what a model makes, grey levels of 255, on average."""


@dataclass(frozen=True)
class Compaction:
    """What has become of a model folder that was written anew in half precision."""

    info: ModelInfo
    bytes_before: int
    """Of the weights."""
    bytes: int
    mean_change: float
    """Of what it makes, in grey levels of 255."""
    largest_change: float
    """Of a single value of it."""


def compact(
    folder: Path | str,
    to: Path,
    name: str | None = None,
    sources: Sequence[str] = (),
    seed: int = 0,
    say: Callable[[str], object] = lambda _: None,
) -> Compaction:
    """Write a model folder anew with half the bytes: matrices and kernels as float16, which has 11 significant bits.

    Biases, scales and other vectors stay as they are. Once loaded all are float32 again, by every version that reads
    model folders. The new weights have a hash of their own; the model card keeps the old one (`compacted_from`).

    Args:
        folder: the model folder.
        to: the folder to write, which may be the same.
        name: of the new model; None for that of the old one.
        sources: what it was trained on and by what licence, for the model card.
        seed: of the clips that tell what has changed.
        say: is told that the new folder was locked, since the old one is.

    Raises:
        LockError: the model is locked, and the folder to write is there and is not.
        ModelError: the model is damaged, or what it makes would change by `LARGEST_CHANGE` on average.
    """
    info = read_info(folder)
    tensors = _read_weights(Path(folder), info)
    halves = {
        key: value.half() if value.dtype == torch.float32 and value.ndim > 1 else value
        for key, value in tensors.items()
    }
    clip, labels = info.config.net.read_clip(info.config.clip), len(info.labels)
    rng = torch.Generator().manual_seed(seed)
    shape = (1, clip.channels + info.config.guides, clip.frames, clip.height, clip.width)
    noise, label = torch.rand(shape, generator=rng) * 2 - 1, torch.zeros(1, dtype=torch.long) if labels else None
    made = [
        next(iter(_sampler(info, Path(folder) / info.weights, some).preview(noise, label).values()))
        for some in (tensors, halves)
    ]
    changes = (made[1] - made[0]).abs() * 127.5
    if not float(changes.mean()) < LARGEST_CHANGE:  # not a number either: float16 ends at 65,504
        raise ModelError(
            f"in half precision what {info.name} makes changes by {float(changes.mean()):.2f} grey levels on average",
            "leave it as it is",
        )
    extra = info.extra | {"compacted_from": info.extra.get("compacted_from", info.weights_sha256)}
    if sources:
        extra["sources"] = list(sources)
    before = (Path(folder) / info.weights).stat().st_size
    with lock_made_of(to, [folder], say):
        info = write_model(to, replace(info, name=name or info.name, extra=extra), halves)
    size = (to / info.weights).stat().st_size
    return Compaction(info, before, size, float(changes.mean()), float(changes.max()))


def load_model(folder: Path | str, device: torch.device | str = "cpu") -> tuple[Sampler, ModelInfo]:
    """Load a model folder: check every hash, name and shape, then build its sampler on `device`.

    Raises:
        ModelError: something is missing, damaged, tampered with or of a newer version.
    """
    info = read_info(folder)
    return _sampler(info, Path(folder) / info.weights, _read_weights(Path(folder), info), device), info


def _sampler(info: ModelInfo, path: Path, tensors: Mapping[str, Tensor], device: torch.device | str = "cpu") -> Sampler:
    """Build a model's sampler out of the weights that are in the file `path`; refuse others than its networks have."""
    method = info.config.trained_by
    nets = method.sampling_nets(info.config, len(info.labels))
    expected = {f"{name}.{key}": value for name, net in nets.items() for key, value in net.state_dict().items()}
    for key in sorted(set(expected) ^ set(tensors)):
        raise ModelError(f'{path} {"lacks" if key in expected else "also holds"} "{key}"', "fetch the model again")
    for key, value in expected.items():
        tensor = tensors[key]
        if tensor.shape != value.shape:
            raise ModelError(f"{path}: {key} is {tuple(tensor.shape)}, not {tuple(value.shape)}", "fetch it again")
        if tensor.is_floating_point() != value.is_floating_point():
            raise ModelError(f"{path}: {key} is of {tensor.dtype}, not of {value.dtype}", "fetch it again")
    for name, net in nets.items():
        net.load_state_dict({key: tensors[f"{name}.{key}"] for key in net.state_dict()})
        net.to(device).eval().requires_grad_(False)
    return method.sampler_of(info.config, nets)


def _read_weights(folder: Path, info: ModelInfo) -> dict[str, Tensor]:
    """Read a model's tensors by name, and check that they are the ones that it names, and numbers."""
    path = weights_path(folder, info)
    if files.file_digest(path) != info.weights_sha256:
        raise ModelError(f"{path} is not the file that model.json names (its SHA-256 differs)", "fetch the model again")
    try:
        tensors = load_file(path) if locked.folder_of(path) is None else load(files.read_bytes(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error})", "fetch the model again") from None
    for key, value in tensors.items():
        if not bool(torch.isfinite(value if value.is_complex() else value.float()).all()):
            raise ModelError(f'{path}: "{key}" holds numbers that are not finite', "fetch the model again")
    return tensors


def begin_with(folder: Path | str, method: Method) -> None:
    """Put a trained model's weights into a method that is to go on from them: into its networks and their averages.

    A network may have parts that the model lacks: they begin as they are in a new one.

    Raises:
        ModelError: the model is damaged, or has other networks.
    """
    info = read_info(folder)
    tensors = _read_weights(Path(folder), info)
    for name, average in method.averages.items():
        state = average.module.state_dict()
        theirs = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
        remedy = f"give a model like {info.config.preset} with the same --net"
        if not theirs:
            raise ModelError(f"{folder} has no {name}", remedy)
        for key, tensor in theirs.items():
            value = state.get(key)
            if value is None or tensor.shape != value.shape:
                needed = "nothing" if value is None else f"{tuple(value.shape)}"
                raise ModelError(f"{folder} has {tuple(tensor.shape)} for {name}.{key}, {needed} is needed", remedy)
        for net in (average.module, method.nets[name]):
            net.load_state_dict({**net.state_dict(), **theirs})


def training_state(method: Method) -> dict[str, Any]:
    """Return the state of a method's networks, averages and optimisers, by their names."""
    return {
        "nets": {name: net.state_dict() for name, net in method.nets.items()},
        "averages": {name: average.module.state_dict() for name, average in method.averages.items()},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in method.optimizers.items()},
    }


def save_state(path: Path, state: Mapping[str, Any], progress: Mapping[str, Any]) -> None:
    """Write what resuming needs, a `training_state` and how far it is, atomically: one file, whole or not there."""
    state = {**state, "progress": dict(progress), "version": __version__}
    with files.writing(path) as handle:
        try:
            torch.save(state, handle)  # through a file object: it passes on the system's own error
        except RuntimeError as error:  # where it fails again while it closes the file
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def read_state(path: Path) -> dict[str, Any]:
    """Read a resumable state onto the CPU. Only tensors and plain values are accepted.

    Raises:
        ModelError: the file is damaged.
    """
    try:
        with locked.open_file(path) as handle:
            state: dict[str, Any] = torch.load(handle, map_location="cpu", weights_only=True)
        return {key: state[key] for key in ("nets", "averages", "optimizers", "progress")}
    except LockError:
        raise
    except Exception as error:  # torch.load raises many kinds for damaged files
        raise _unusable(path, error) from error


def _unusable(path: Path | str, error: Exception) -> ModelError:
    message = f"{path} cannot be resumed from ({type(error).__name__}: {str(error)[:200]})"
    return ModelError(message, "remove the run folder to begin again, or give another --out")


def restore_nets(state: Mapping[str, Any], method: Method) -> None:
    """Put saved weights into a method's networks and averages.

    Raises:
        ModelError: they belong to other networks.
    """
    try:
        for name, net in method.nets.items():
            net.load_state_dict(state["nets"][name])
        for name, average in method.averages.items():
            average.module.load_state_dict(state["averages"][name])
    except (KeyError, RuntimeError) as error:
        raise _unusable("the saved state", error) from error


def restore_optimizers(state: Mapping[str, Any], method: Method) -> None:
    """Put saved moments into a method's optimisers; rates and decays stay those of the present configuration."""
    for name, optimizer in method.optimizers.items():
        settings = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
        try:
            optimizer.load_state_dict(state["optimizers"][name])
        except (KeyError, ValueError) as error:
            raise _unusable("the saved state", error) from error
        for group, setting in zip(optimizer.param_groups, settings, strict=True):
            group.update(setting)
