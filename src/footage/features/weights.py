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
from footage.features.base import About, Extractor, Frozen, tensors_digest
from footage.features.official import NOT_PINNED, OFFICIAL, Official
from footage.features.script import ScriptExtractor

SECOND = "mean2.npz"
"""The file that has to lie beside that of C3D."""


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
        converted = sorted(weights.glob(f"{network}-*.safetensors"))
        for path in (*converted, weights / entry.file):
            if path.is_file():
                return path
    elif weights is not None and weights.is_file():
        return weights
    hash_is = f"SHA-256 {entry.sha256}" if entry.sha256 else "no hash of it is known to us"
    where = "no --weights were given" if weights is None else f'there is none at "{weights}"'
    raise ModelError(
        f"{network} needs the file {entry.file} ({entry.what}; {hash_is}), and {where}",
        f"fetch it from {entry.url}, then give --weights FILE; footage downloads nothing",
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
    entry, digest = OFFICIAL[network], _digest_of(network, path)
    expected = entry.sha256 or (sha256.strip().lower() if sha256 else None)
    if expected is None:
        raise ModelError(
            f"no hash of {entry.file} is known to us, so {path.name} cannot be told from another file",
            f"convert it with --sha256 {digest} if you trust where you have it from; figures will say: {NOT_PINNED}",
        )
    if digest != expected:
        raise ModelError(
            f"{path.name} has the SHA-256 {digest}, {entry.file} for {network} has {expected}",
            f"fetch {entry.file} again from {entry.url}",
        )
    notes = [entry.note] if entry.note else []
    return digest, "; ".join([*notes, NOT_PINNED] if entry.sha256 is None else notes)


def _digest_of(network: str, path: Path) -> str:
    """Return a file's SHA-256; for C3D that of both files' hashes."""
    digest = files.file_digest(path)
    if network != "c3d":
        return digest
    second = path.with_name(SECOND)
    if not second.is_file():
        raise ModelError(f"{path.name} needs {SECOND} beside it", f"fetch both from {OFFICIAL['c3d'].url}")
    return files.bytes_digest((digest + files.file_digest(second)).encode())


def _tensors(network: str, path: Path) -> dict[str, Tensor]:
    """Read a published file, in our names. Nothing in it can run code."""
    rename = OFFICIAL[network].rename
    assert rename is not None, f"{network} is a program"
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as one, np.load(path.with_name(SECOND), allow_pickle=False) as two:
                return rename({**one, "mean": two["mean"]})
        return rename(torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)))
    except (OSError, ValueError, KeyError, AttributeError, RuntimeError, pickle.UnpicklingError) as error:
        what = f"{path} cannot be read as {OFFICIAL[network].file} ({type(error).__name__}: {str(error)[:200]})"
        raise ModelError(what, f"fetch it again from {OFFICIAL[network].url}") from None


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
    made = to / f"{network}-{own[:12]}.safetensors"
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
    if OFFICIAL[network].sha256 not in (None, digest):
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
    """Load a published network from a file as published, or as `convert` made it.

    Args:
        network: its name.
        weights: the file, or a folder that has it.
        sha256: what the file's hash should be, where it is not known to us.
        device: where it runs; TorchScript always on the processor.

    Raises:
        ModelError: the file is missing, another one, damaged or altered.
    """
    entry, path = OFFICIAL[network], find(network, weights)
    if path.suffix == ".safetensors":
        tensors, digest, note = _converted(network, path)
        return Frozen(_fitting(network, tensors, path), _about(network, entry, digest, note), device)
    digest, note = checked(network, path, sha256)
    about = _about(network, entry, digest, note)
    if entry.rename is None:
        content = path.read_bytes()
        if files.bytes_digest(content) != digest:
            raise ModelError(f"{path} changed while it was read", "try again")
        return ScriptExtractor(content, about)
    return Frozen(_fitting(network, _tensors(network, path), path), about, device)


def _about(network: str, entry: Official, digest: str, note: str) -> About:
    classes = tuple(str(number) for number in range(entry.classes)) or None
    return About(network, "A", digest, entry.size, entry.of, classes, entry.least, entry.frames, note)
