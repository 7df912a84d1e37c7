"""Files of official weights: found, checked against their hash, converted to safetensors, loaded."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from footage import __version__, files
from footage.errors import ConfigError, ModelError
from footage.evaluation.features.base import About, Extractor, Frozen, tensors_digest
from footage.evaluation.features.lpips import Perceptual
from footage.evaluation.features.official import NOT_PINNED, OFFICIAL, Official, together
from footage.evaluation.features.script import ScriptExtractor

HASHED = 12
"""Letters of its tensors' hash in the name of a converted file."""


def find(network: str, weights: Path | None) -> Path:
    """Return the file of a network's weights.

    Args:
        network: its name.
        weights: the file, or a folder that has it under its published name, or converted.

    Raises:
        ModelError: it is not there; says which file, where it is published, and its hash.
    """
    entry = OFFICIAL[network]
    if weights is not None and weights.is_dir():
        converted = sorted(weights.glob(f"{network}-{'[0-9a-f]' * HASHED}.safetensors"))
        for path in (*converted, weights / entry.file):
            if path.is_file():
                return path
    elif weights is not None and weights.is_file():
        return weights
    hash_is = f"SHA-256 {entry.sha256}" if entry.sha256 else "no hash of it is known to us"
    second, fetch = "", f"fetch it from {entry.url}"
    if entry.beside is not None:
        known = f" (SHA-256 {entry.beside.sha256})" if entry.beside.sha256 else ""
        second, fetch = f" with {entry.beside.file}{known} beside it", f"{fetch} and {entry.beside.url}"
    where = "no --weights were given" if weights is None else f'there is none at "{weights}"'
    raise ModelError(
        f"{network} needs the file {entry.file} ({entry.what}; {hash_is}){second}, and {where}",
        f"{fetch}, then give --weights FILE; footage downloads nothing",
    )


def checked(network: str, path: Path, sha256: str | None = None) -> tuple[str, str]:
    """Check a published file's hash before anything in it is read.

    Args:
        network: the network that it is for.
        path: the file.
        sha256: what the user says it is; needed where the true one is not known to us.

    Returns:
        Its SHA-256, and what stands beside every figure.

    Raises:
        ModelError: it is another file, or its hash is not known and was not given.
    """
    entry = OFFICIAL[network]
    digests = [_digest_of(path, entry.sha256, entry.file, entry.url, network)]
    if entry.beside is not None:
        beside = entry.beside
        second = path.with_name(beside.file)
        if not second.is_file():
            raise ModelError(f"{path.name} needs {beside.file} beside it", f"fetch it from {beside.url}")
        digests.append(_digest_of(second, beside.sha256, beside.file, beside.url, network))
    digest = together(*digests)
    if entry.digest is None and sha256 is None:
        raise ModelError(
            f"no hash of {entry.file} is known to us, so {path.name} cannot be told from another file",
            f"convert it with --sha256 {digest} if you trust where you have it from; figures will say: {NOT_PINNED}",
        )
    if entry.digest is None and sha256 is not None and digest != sha256.strip().lower():
        raise ModelError(
            f"{path.name} has the SHA-256 {digest}, {sha256} was given for {network}",
            f"fetch {entry.file} again from {entry.url}",
        )
    notes = [entry.note] if entry.note else []
    return digest, "; ".join([*notes, NOT_PINNED] if entry.digest is None else notes)


def _digest_of(path: Path, known: str | None, file: str, url: str, network: str) -> str:
    """Return a file's SHA-256.

    Raises:
        ModelError: it is not the one that is known.
    """
    digest = files.file_digest(path)
    if known is not None and digest != known:
        raise ModelError(
            f"{path.name} has the SHA-256 {digest}, {file} for {network} has {known}", f"fetch {file} again from {url}"
        )
    return digest


def _tensors(network: str, path: Path) -> dict[str, Tensor]:
    """Read a published file, in our names. Nothing in it can run code."""
    rename, beside = OFFICIAL[network].rename, OFFICIAL[network].beside
    assert rename is not None, f"{network} is a program"
    try:
        paths = [path] if beside is None else [path, path.with_name(beside.file)]
        if path.suffix == ".npz":
            return rename({name: value for part in paths for name, value in _arrays(part).items()})
        parts = [torch.load(p, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(p)) for p in paths]
        return rename(parts[0] if beside is None else {**parts[0], **parts[1]})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, pickle.UnpicklingError) as error:
        what = f"{path} cannot be read as {OFFICIAL[network].file} ({type(error).__name__}: {str(error)[:200]})"
        raise ModelError(what, f"fetch it again from {OFFICIAL[network].url}") from None


def _arrays(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as found:
        return dict(found)


def convert(path: Path, network: str, to: Path, sha256: str | None = None) -> Path:
    """Turn a published file into safetensors in our names, once its hash was checked.

    Args:
        path: the file as published.
        network: the network that it is for.
        to: the folder for what is made, NETWORK-HASH.safetensors.
        sha256: what the file's hash should be, where it is not known to us.

    Raises:
        ModelError: it is another file, or damaged.
        ConfigError: the network is a program, which cannot be converted.
    """
    if OFFICIAL[network].rename is None:
        raise ConfigError(f"{network} is TorchScript, a program", "give the file itself: --weights FILE")
    digest, note = checked(network, path, sha256)
    tensors = {key: value.float().contiguous() for key, value in _tensors(network, path).items()}
    _fitting(network, tensors, path)
    said = {"network": network, "source": path.name, "source_sha256": digest, "note": note}
    own = tensors_digest(tensors.items())
    table = {**said, "tensors_sha256": own, "made_by": f"footage {__version__}"}
    made = to / f"{network}-{own[:HASHED]}.safetensors"
    with files.replacing(made) as temporary:
        save_file(tensors, temporary, metadata={"footage": json.dumps(table)})
    return made


def _converted(network: str, path: Path) -> tuple[dict[str, Tensor], str, str]:
    """Read a converted file: its tensors, the published file's hash, and the note.

    Raises:
        ModelError: it is damaged, was altered, or is for another network.
    """
    remedy = "convert the published file again: footage evaluator convert"
    try:
        with safe_open(path, framework="pt") as handle:
            table: Mapping[str, Any] = json.loads((handle.metadata() or {})["footage"])
        tensors = load_file(path)
        digest, note, own = (str(table[key]) for key in ("source_sha256", "note", "tensors_sha256"))
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise ModelError(f"{path} is no converted file ({type(error).__name__}: {str(error)[:200]})", remedy) from None
    if table.get("network") != network:
        raise ModelError(f"{path} is for {table.get('network')}, not for {network}", remedy)
    if tensors_digest(tensors.items()) != own:
        raise ModelError(f"{path} was altered after it was converted (its tensors' digest differs)", remedy)
    if OFFICIAL[network].digest not in (None, digest):
        raise ModelError(f"{path} was converted from another file than {OFFICIAL[network].file}", remedy)
    return tensors, digest, note


def _fitting(network: str, tensors: Mapping[str, Tensor], path: Path) -> torch.nn.Module:
    """Return the network with its tensors.

    Raises:
        ModelError: one is missing, too many, or of another shape.
    """
    entry = OFFICIAL[network]
    assert entry.build is not None, f"{network} is a program"
    with torch.device("meta"):
        net = entry.build()
    expected = {key: value for key, value in net.state_dict().items() if not key.endswith("num_batches_tracked")}
    remedy = f"give {entry.file} as published"
    for key in sorted(set(expected) ^ set(tensors)):
        raise ModelError(f'{path.name} {"lacks" if key in expected else "also holds"} "{key}"', remedy)
    for key, value in expected.items():
        if tensors[key].shape != value.shape:
            raise ModelError(f"{path.name}: {key} is {tuple(tensors[key].shape)}, not {tuple(value.shape)}", remedy)
    counters = {key: torch.zeros((), dtype=torch.long) for key in set(net.state_dict()) - set(expected)}
    net.load_state_dict({**{key: value.float() for key, value in tensors.items()}, **counters}, assign=True)
    return net


def load_official(
    network: str, weights: Path | None, *, sha256: str | None = None, device: torch.device | str = "cpu"
) -> Extractor:
    """Load a published network that makes features from a file as published, or as `convert` made it.

    Args:
        network: its name.
        weights: the file, or a folder that has it.
        sha256: what the file's hash should be, where it is not known to us.
        device: where it runs; TorchScript always on the processor.

    Raises:
        ModelError: the file is missing, another one, damaged or altered.
    """
    entry = OFFICIAL[network]
    if entry.rename is not None:
        return Frozen(*_loaded(network, weights, sha256), device)
    path = find(network, weights)
    digest, note = checked(network, path, sha256)
    content = path.read_bytes()
    if files.bytes_digest(content) != digest:
        raise ModelError(f"{path} changed while it was read", "try again")
    return ScriptExtractor(content, _about(network, entry, digest, note))


def load_perceptual(network: str, weights: Path | None, *, device: torch.device | str = "cpu") -> Perceptual:
    """Load a published network that compares pairs of frames, see `load_official`."""
    return Perceptual(*_loaded(network, weights, None), device)


def _loaded(network: str, weights: Path | None, sha256: str | None) -> tuple[torch.nn.Module, About]:
    """Return a network of our own code with its weights, and what it is."""
    entry, path = OFFICIAL[network], find(network, weights)
    if path.suffix == ".safetensors":
        tensors, digest, note = _converted(network, path)
    else:
        digest, note = checked(network, path, sha256)
        tensors = _tensors(network, path)
    return _fitting(network, tensors, path), _about(network, entry, digest, note)


def _about(network: str, entry: Official, digest: str, note: str) -> About:
    classes = tuple(str(number) for number in range(entry.classes)) or None
    return About(network, "A", digest, entry.size, entry.of, classes, entry.least, entry.frames, note)
